"""Beyond memory: the same rows, findings and ledger as in memory, from pieces on disk; thresholds move there too."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tunewright import lifecycle
from tunewright.audit import audit_frame, spill
from tunewright.audit.checks.html_remnants import HtmlRemnants
from tunewright.audit.checks.short_text import ShortText
from tunewright.audit.spill import OnDisk, memory_limit, read_within
from tunewright.core.ledger import Ledger
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


def test_what_only_a_sample_of_the_rows_was_asked_is_said(clean: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(spill, "FEWEST", 100)
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
