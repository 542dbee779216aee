"""Beyond memory: the same rows, findings and ledger as in memory, from pieces on disk; thresholds move there too."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tunewright import lifecycle
from tunewright.audit import audit_frame, spill
from tunewright.audit.checks import _shared
from tunewright.audit.checks.html_remnants import HtmlRemnants
from tunewright.audit.checks.language import Language
from tunewright.audit.checks.short_text import ShortText
from tunewright.audit.spill import OnDisk, memory_limit, read_within
from tunewright.core.ledger import Ledger
from tunewright.core.plugins import load, names
from tunewright.core.progress import Report
from tunewright.core.recipe import ComputeSettings, Recipe

TINY = 1e-6
TEXTS = [
    "we love this phone very much indeed",
    "we love this phone very much",
    "We love this  phone very much indeed",
    "no",
    "fish &amp; chips were cold",
    "write to jo@firm.example today please",
    "itâ€™s broken",
    "Ich habe das Telefon gestern gekauft und bin mit der Batterie überhaupt nicht zufrieden gewesen",
]


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spill, "BATCH", 16)
    monkeypatch.setattr(spill, "FEWEST", 20)
    monkeypatch.setattr(_shared, "SCAN_BATCH", 50)
    monkeypatch.setattr(_shared, "JOIN_BATCH", 70)


def rows(clean: pl.DataFrame) -> pl.DataFrame:
    odd = pl.DataFrame({"text": TEXTS, "label": ["good", "bad"] * 4})
    return pl.concat([odd, clean.select("text", "label"), odd.with_columns(text=pl.col("text") + " and so on and on"), odd])


def recipe_for(folder: Path, frame: pl.DataFrame, memory: float | None, **audit: Any) -> Recipe:
    folder.mkdir(parents=True, exist_ok=True)
    frame.with_row_index("id").write_csv(folder / "rows.csv")
    with open(folder / "rows.csv", "a") as file:
        file.write("ragged\n")
    data = {"path": str(folder / "rows.csv"), "where": {}}
    return Recipe.check({"data": data, "audit": {"fail_on": "never", **audit}, "compute": {"memory_gb": memory}})


def stage(recipe: Recipe, run: Path) -> None:
    lifecycle.run_only("audit", recipe, run, Report(quiet=True))


@pytest.mark.slow
def test_a_run_beyond_memory_leaves_the_same_files(clean: pl.DataFrame, tmp_path: Path):
    runs = {"memory": None, "disk": TINY}
    for name, memory in runs.items():
        stage(recipe_for(tmp_path, rows(clean), memory), tmp_path / name)
    for file in ("rows", "quarantine", "findings"):
        one, other = (pl.read_parquet(tmp_path / name / "audit" / f"{file}.parquet") for name in runs)
        assert one.equals(other), file
    one, other = (Ledger(tmp_path / name / "ledger.parquet").lines() for name in runs)
    assert one.equals(other)
    assert len(pl.read_parquet(tmp_path / "disk" / "audit" / "findings.parquet")["check"].unique()) > 8
    assert not list((tmp_path / "disk").rglob("*.tmp"))
    said = [json.loads((tmp_path / name / "audit" / "done.json").read_text())["summary"] for name in runs]
    assert said[0] == said[1]


def shaped_rows(task: str, clean: pl.DataFrame) -> pl.DataFrame:
    """Rows of a task, with every column that a check may ask for, and copies, answers that conflict, and lines that many share."""
    texts = pl.concat([rows(clean), rows(clean).head(30)])["text"].to_list()
    count = len(texts)
    plain = pl.DataFrame(
        {
            "text": [
                f"{text} And this line stands at the end of many texts here." if place % 9 == 0 else text
                for place, text in enumerate(texts)
            ]
        }
    )
    plain = plain.with_columns(
        sent=pl.Series([f"{1 + place % 28:02d}/{1 + place % 12:02d}/20{10 + place % 9}" if place % 40 else "soon" for place in range(count)]),
        shop=pl.Series([("corner", "mall", "web")[place % 3] if place % 7 else "corner" for place in range(count)]),
        split=pl.Series(["test" if place % 3 == 0 else "train" for place in range(count)]),
        author=pl.Series([f"a{place % 60}" for place in range(count)]),
    )  # fmt: skip
    following = plain["text"].shift(-1).fill_null("no")
    if task == "label":
        return plain.with_columns(label=pl.Series([("good", "bad", "Good")[place % 3] if place % 5 else "bad" for place in range(count)]))
    said = [
        f"{one} (" if place % 30 == 0 else "" if place % 31 == 0 else f"{one} {'word ' * (place % 50)}"
        for place, one in enumerate(following)
    ]
    if task == "answer":
        return plain.rename({"text": "prompt"}).with_columns(completion=pl.Series(said).replace("", "yes"))
    return plain.rename({"text": "prompt"}).with_columns(chosen=pl.Series(said).replace("", "yes"), rejected=pl.lit("I cannot say."))


@pytest.mark.parametrize("task", ["label", "answer", "preference"])
def test_every_check_measures_beyond_memory_what_it_measures_in_memory(task: str, clean: pl.DataFrame, tiny_base: str, tmp_path: Path):
    """With samples smaller than the rows, so that each has to draw the same ones."""
    (tmp_path / "exam.csv").write_text('question\n"This phone was nearly new and we love it very much"\n"the battery of my phone"\n')
    given: dict[str, dict[str, Any]] = {"contamination": {"against": [str(tmp_path / "exam.csv")]}, "too_small": {"enough": 1000}}
    sampling = [name for name in names("checks") if "sample" in load("checks", name).model_fields]
    given |= {name: {"sample": 150 if name in ("outliers", "semantic_duplicates") else 120} for name in sampling if name != "date_drift"}
    shaped_rows(task, clean).write_csv(tmp_path / "rows.csv")
    data = {"path": str(tmp_path / "rows.csv"), "date": "sent", "slices": ["shop"], "groups": ["author"]}
    checks = [{"name": name, **given.get(name, {})} for name in names("checks")]
    model = {"base": tiny_base, "max_length": 80}
    found = []
    for memory in (None, TINY):
        recipe = Recipe.check({"data": data, "model": model, "audit": {"checks": checks, "fail_on": "never"}, "compute": {"memory_gb": memory}})  # fmt: skip
        found.append(audit_frame(recipe))
    small, large = ({name: found_by(one, name) for name in names("checks")} for one in found)
    assert small.keys() == large.keys()
    for name, one in small.items():
        assert one.equals(large[name]), name
    assert found[0].skipped == found[1].skipped
    assert not any("of the rows, drawn" in note for note in found[1].notes), "no check of ours sees fewer rows beyond memory"
    assert sum(len(one) > 0 for one in small.values()) >= 18


def found_by(result: Any, name: str) -> pl.DataFrame:
    return result.findings.filter(pl.col("check") == name)  # type: ignore[no-any-return]


def test_thresholds_move_beyond_memory_without_measuring_again(clean: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    checks: list[Any] = ["short_text", "html_remnants"]
    stage(recipe_for(tmp_path, rows(clean), TINY, checks=checks), tmp_path / "run")
    before = pl.read_parquet(tmp_path / "run" / "audit" / "findings.parquet")
    for check in (ShortText, HtmlRemnants):
        monkeypatch.setattr(check, "measure", lambda *_: pytest.fail("measured again"))
    stage(recipe_for(tmp_path, rows(clean), TINY, checks=[{"name": "short_text", "min_words": 7}, "html_remnants"]), tmp_path / "run")
    after = pl.read_parquet(tmp_path / "run" / "audit" / "findings.parquet")
    counts = [dict(one.group_by("check").len().iter_rows()) for one in (before, after)]
    assert counts[1]["short_text"] > counts[0]["short_text"]
    assert counts[1]["html_remnants"] == counts[0]["html_remnants"]


def test_the_result_in_python_can_be_decided_again(clean: pl.DataFrame, tmp_path: Path):
    checks = ["short_text", "near_duplicates"]
    small = audit_frame(recipe_for(tmp_path, rows(clean), TINY, checks=checks))
    large = audit_frame(recipe_for(tmp_path, rows(clean), None, checks=checks))
    for result in (small, large):
        assert result.counts["near_duplicates"] > 0
    moved = [one.rethreshold(short_text={"min_words": 7}, near_duplicates={"drop": 0.99}).findings for one in (small, large)]
    assert moved[0].equals(moved[1])
    assert not moved[0].equals(small.findings)


def test_a_check_that_cannot_scan_sees_as_many_rows_as_fit_and_the_summary_says_so(
    clean: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(spill, "FEWEST", 100)
    monkeypatch.delattr(Language, "measure_scan")
    checks = ["language", "class_imbalance", "short_text"]
    for _ in ("measured", "measured before"):
        stage(recipe_for(tmp_path, rows(clean), TINY, checks=checks), tmp_path / "run")
        notes = json.loads((tmp_path / "run" / "audit" / "summary.json").read_text())["notes"]
        assert notes[-1].startswith("language: on about 100 of the rows")
        checks = [{"name": "language", "main": 0.7}, "class_imbalance", "short_text"]
    stage(recipe_for(tmp_path, rows(clean), None, checks=[{"name": "language", "main": 0.6}]), tmp_path / "run")
    summary = json.loads((tmp_path / "run" / "audit" / "summary.json").read_text())
    assert not any("of the rows" in note for note in summary["notes"])
    assert not summary["checks"]["language"]["measured_before"], "measures of a sample are not those of all rows"


def test_rows_that_fit_stay_in_memory(clean: pl.DataFrame, tmp_path: Path):
    data = recipe_for(tmp_path, rows(clean), None).data
    assert not isinstance(read_within(data, ComputeSettings(memory_gb=1.0), tmp_path / "rows.parquet", Report(quiet=True)), OnDisk)
    assert isinstance(read_within(data, ComputeSettings(memory_gb=TINY), tmp_path / "rows.parquet", Report(quiet=True)), OnDisk)
    assert memory_limit(ComputeSettings(memory_gb=2.0)) == 2 * 10**9
    assert memory_limit(ComputeSettings()) > 10**8
