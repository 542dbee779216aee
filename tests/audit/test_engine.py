"""Measures are kept, thresholds move without measuring, and neither threads nor batches change a result."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tunewright import lifecycle
from tunewright.audit import audit_frame, audit_rows, engine
from tunewright.audit.checks._shared import once
from tunewright.audit.checks.near_duplicates import NearDuplicates
from tunewright.audit.checks.short_text import ShortText
from tunewright.audit.measures import fingerprint_of
from tunewright.core.errors import RecipeError
from tunewright.core.executor import LocalExecutor
from tunewright.core.parts import Check, Look
from tunewright.core.progress import Report
from tunewright.core.recipe import Recipe
from tunewright.core.rows import QUARANTINE_SCHEMA, ReadResult

TEXTS = [
    "we love this phone very much indeed",
    "we love this phone very much",
    "We love this  phone very much indeed",
    "they love this phone very much indeed",
    "no",
    "fish &amp; chips were cold",
    "write to jo@firm.example today please",
] * 3
ROWS = pl.DataFrame({"text": TEXTS, "label": ["a", "a", "b", "b", "a", "b", "a"] * 3})
CHECKS = ["near_duplicates", "exact_duplicates", "short_text", "html_remnants", "personal_data", "class_imbalance"]


class Spoilt(Check):
    """A check with a bug."""

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        raise ZeroDivisionError("a bug")


def test_checks_that_share_something_come_first_and_then_it_is_freed():
    made, order = [], []

    class Early(Check):
        scope = "all"

        def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
            order.append(type(self).__name__)
            return pl.DataFrame()

    class Sharing(Early):
        shares = "thing"

        def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
            once(rows, "thing", lambda _: made.append("thing"))
            return super().measure(rows, look)

    class AlsoSharing(Sharing):
        pass

    recipe = Recipe.check({"data": {"path": "rows.csv"}, "compute": {"workers": 1}})
    report = Report(quiet=True)
    look = engine.look_of(recipe, report, LocalExecutor(report))
    with report.task("looking", 3) as task:
        engine.measure([Early(), Sharing(), AlsoSharing()], ROWS, look, task)
        engine.measure([AlsoSharing()], ROWS, look, task)
    assert order == ["Sharing", "AlsoSharing", "Early", "AlsoSharing"]
    assert made == ["thing", "thing"]  # once for both, and anew when it had been freed


def recipe_for(folder: Path, **sections: Any) -> Recipe:
    folder.mkdir(parents=True, exist_ok=True)
    ROWS.write_csv(folder / "rows.csv")
    return Recipe.check({"data": {"path": str(folder / "rows.csv")}, "audit": {"checks": CHECKS, "fail_on": "never"}} | sections)


def again(run: Path, *checks: Any) -> dict[str, Any]:
    """Audit into the run directory, by way of the lifecycle; the summary document."""
    recipe = recipe_for(run.parent, audit={"checks": list(checks), "fail_on": "never"})
    lifecycle.run_only("audit", recipe, run, Report(quiet=True))
    found: dict[str, Any] = json.loads((run / "audit" / "summary.json").read_text())["checks"]
    return found


def test_another_threshold_in_the_recipe_measures_nothing_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    first = again(tmp_path / "run", "near_duplicates", "short_text")
    assert not first["near_duplicates"]["measured_before"]
    for check in (NearDuplicates, ShortText):
        monkeypatch.setattr(check, "measure", lambda *_: pytest.fail("measured again"))
    second = again(tmp_path / "run", {"name": "near_duplicates", "drop": 0.9}, {"name": "short_text", "min_words": 7})
    assert second["near_duplicates"]["measured_before"]
    assert first["near_duplicates"]["counts"] == {"warning": 2}
    assert second["near_duplicates"]["counts"] == {"info": 2}
    assert second["short_text"]["counts"]["info"] > first["short_text"]["counts"]["info"]


@pytest.mark.parametrize("change", ["setting", "row", "model"])
def test_what_a_measurement_depends_on_is_measured_anew_and_the_old_measures_go(tmp_path: Path, change: str):
    again(tmp_path / "run", "near_duplicates", "short_text")
    before = {one.name for one in (tmp_path / "run" / "cache" / "measures").iterdir()}
    sections: dict[str, Any] = {"audit": {"checks": [{"name": "near_duplicates", "show": 0.4 if change == "setting" else 0.3}]}}
    sections |= {"model": {"max_length": 100}} if change == "model" else {}
    recipe = recipe_for(tmp_path, **sections)
    if change == "row":
        ROWS.head(20).write_csv(tmp_path / "rows.csv")
    lifecycle.run_only("audit", recipe, tmp_path / "run", Report(quiet=True))
    after = {one.name for one in (tmp_path / "run" / "cache" / "measures").iterdir()}
    assert len(before) == 2
    assert len(after) == 1
    assert not before & after


def test_a_damaged_measure_is_measured_again(tmp_path: Path):
    first = again(tmp_path / "run", "near_duplicates")
    for one in (tmp_path / "run" / "cache" / "measures").iterdir():
        one.write_bytes(b"not parquet")
    second = again(tmp_path / "run", {"name": "near_duplicates", "drop": 0.51})
    assert not second["near_duplicates"]["measured_before"]
    assert second["near_duplicates"]["counts"] == first["near_duplicates"]["counts"]


def test_an_audit_can_be_decided_again_in_python(monkeypatch: pytest.MonkeyPatch):
    result = audit_frame(ROWS, checks=CHECKS)
    expected = audit_frame(ROWS, checks=[{"name": one, **({"drop": 0.9} if one == "near_duplicates" else {})} for one in CHECKS])
    monkeypatch.setattr(NearDuplicates, "measure", lambda *_: pytest.fail("measured again"))
    other = result.rethreshold(near_duplicates={"drop": 0.9})
    assert other.findings.equals(expected.findings)
    assert not other.findings.equals(result.findings)
    assert other.document()["checks"]["near_duplicates"]["settings"] == {"drop": 0.9, "show": 0.3}


@pytest.mark.parametrize(
    ("thresholds", "complaint"),
    [
        ({"near_duplicates": {"show": 0.4}}, "near_duplicates.show: is part of what was measured"),
        ({"near_duplicate": {"drop": 0.4}}, "near_duplicate: did not run in this audit. Did you mean 'near_duplicates'?"),
        ({"near_duplicates": {"dorp": 0.4}}, "unknown key. Did you mean 'drop'?"),
    ],
)
def test_what_cannot_be_decided_again_is_refused(thresholds: dict[str, dict[str, float]], complaint: str):
    with pytest.raises(RecipeError, match=complaint):
        audit_frame(ROWS, checks=["near_duplicates"]).rethreshold(**thresholds)


def test_neither_threads_nor_batches_change_the_findings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    alone = audit_frame(recipe_for(tmp_path, compute={"workers": 1}))
    monkeypatch.setattr(engine, "BATCH", 4)
    monkeypatch.setattr("tunewright.audit.checks.personal_data.PersonalData.scope", "row")
    together = audit_frame(recipe_for(tmp_path, compute={"workers": 3}))
    assert together.findings.equals(alone.findings)
    assert set(alone.counts) == set(CHECKS) - {"class_imbalance"}


def test_checks_that_lack_their_columns_are_named_only_when_the_recipe_names_them(look: Look):
    rows = pl.DataFrame({"row_id": ["1"], "source": ["x"], "line": [1], "text": ["some text"]})
    read = ReadResult(rows, rows.clear(), pl.DataFrame(schema=QUARANTINE_SCHEMA))
    for asked, expected in (
        ("default", {}),
        (["class_imbalance", "short_text"], {"class_imbalance": "it needs label, which these rows do not have"}),
    ):
        recipe = look.recipe.model_copy(update={"audit": look.recipe.audit.model_copy(update={"checks": asked})})
        result = audit_rows(read, recipe, look.report, look.executor)
        assert result.skipped == expected
        assert "short_text" in [check.part_name() for check in result.checks]


def test_a_bug_in_a_check_is_not_swallowed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tunewright.audit.engine.chosen_checks", lambda _: [ShortText(), Spoilt(), NearDuplicates()])
    with pytest.raises(ZeroDivisionError, match="a bug"):
        audit_frame(ROWS)


def test_the_fingerprint_of_rows_is_about_content_and_not_about_batches():
    assert fingerprint_of([ROWS]) == fingerprint_of([ROWS[:5], ROWS[5:]])
    assert fingerprint_of([ROWS]) != fingerprint_of([ROWS.reverse()])
    assert fingerprint_of([ROWS]) != fingerprint_of([ROWS.rename({"label": "answer"})])
