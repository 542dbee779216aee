"""The audit as a stage and as `tw.audit`: what is written, what is printed, when it fails."""

import json
from pathlib import Path

import polars as pl
import pytest

import tunewright.audit as stage
from tunewright.audit import audit_frame
from tunewright.core.executor import LocalExecutor
from tunewright.core.finding import FINDING_SCHEMA
from tunewright.core.ledger import Ledger, check_conservation
from tunewright.core.progress import Report
from tunewright.core.recipe import Recipe
from tunewright.core.run import Context, Run

QUICK = ["exact_duplicates", "near_duplicates", "html_remnants", "too_few_rows", "class_imbalance"]
ROWS = """id,text,label,shop
1,"I love this phone, it is wonderful",good,x
2,"I LOVE this phone,  it is wonderful",good,x
3,"I love this phone, it is wonderful indeed",good,x
4,Fish &amp; chips were cold and the waiter was rude,bad,x
5,,bad,x
6,ragged
7,not from this shop,bad,y
8,"no label here",,x
"""


def context(tmp_path: Path, **audit: object) -> Context:
    (tmp_path / "rows.csv").write_text(ROWS)
    values = {"data": {"path": str(tmp_path / "rows.csv"), "id": "id", "where": {"shop": "x"}}, "audit": {"checks": QUICK, **audit}}
    run, report = Run(tmp_path / "run"), Report(quiet=True)
    return Context(Recipe.check(values), run, Ledger(run.path("ledger.parquet")), LocalExecutor(report), report)


def test_a_row_can_be_followed_from_the_file_to_its_findings(tmp_path: Path):
    where = context(tmp_path)
    result = stage.run(where)
    rows = pl.read_parquet(where.run.path("audit", "rows.parquet"))
    assert rows.columns[:5] == ["row_id", "source", "line", "text", "label"]
    assert rows["row_id"].to_list() == ["1", "2", "3", "4", "5"]
    found = pl.read_parquet(where.run.path("audit", "findings.parquet"))
    assert dict(found.schema) == FINDING_SCHEMA
    by_check = {name: part["row_id"].drop_nulls().to_list() for (name,), part in found.group_by("check")}
    assert (by_check["exact_duplicates"], by_check["near_duplicates"], by_check["html_remnants"]) == (["2"], ["3"], ["4"])
    summary = json.loads(where.run.path("audit", "summary.json").read_text())
    assert summary["classes"] == {"good": 3, "bad": 2}
    assert (summary["quarantined"], summary["not_selected"]) == (2, 1)
    assert summary["checks"]["near_duplicates"]["settings"] == {"drop": 0.5, "show": 0.3}
    assert summary["checks"]["exact_duplicates"]["worst"][0]["related_row_id"] == "1"
    assert result.findings.equals(found)


def test_every_record_of_the_file_has_an_ending_in_the_ledger(tmp_path: Path):
    where = context(tmp_path)
    stage.run(where)
    lines = where.ledger.lines()
    counts = dict(lines.group_by("action").len().iter_rows())
    assert counts == {"read": 8, "kept": 5, "dropped": 1, "quarantined": 2}
    assert lines.filter(pl.col("action") == "dropped")["reason"].to_list() == ["not_selected"]
    assert set(lines.filter(pl.col("action") == "quarantined")["reason"]) == {"ragged_line", "missing_label"}
    check_conservation("audit", lines, pl.Series([], dtype=pl.String), pl.Series(["1", "2", "3", "4", "5"]))


def test_the_lines_that_are_printed_are_plain(tmp_path: Path):
    assert stage.run(context(tmp_path)).summary() == [
        "5 rows in 2 classes (good 3, bad 2)",
        "2 could not be read: audit/quarantine.parquet",
        "1 are left out by data.where",
        "too_few_rows: 'bad' has 2 rows, but train, validation and test need one each; 'good' has 3 rows",
        "1 row: the same words as an earlier row [exact_duplicates]",
        "1 row: HTML entities or tags left in the text [html_remnants]",
        "1 row: nearly the same words as an earlier row [near_duplicates]",
        "layout text_label: columns text and label, 3 different labels in 7 sampled rows",
    ]


@pytest.mark.parametrize(
    ("fail_on", "checks", "failed"),
    [
        ("error", ["too_few_rows"], True),
        ("error", ["html_remnants"], False),
        ("warning", ["html_remnants"], True),
        ("warning", ["class_imbalance"], False),
        ("never", ["too_few_rows"], False),
    ],
)
def test_the_recipe_decides_which_findings_fail_the_audit(tmp_path: Path, fail_on: str, checks: list[str], failed: bool):
    assert stage.run(context(tmp_path, fail_on=fail_on, checks=checks)).failed is failed


def test_frames_files_and_recipes_can_be_audited_without_a_run(tmp_path: Path):
    (tmp_path / "rows.csv").write_text(ROWS)
    from_file = audit_frame(tmp_path / "rows.csv", checks=QUICK)
    frame = pl.read_csv(tmp_path / "rows.csv", truncate_ragged_lines=True).rename({"text": "body"}).drop_nulls("label")
    from_frame = audit_frame(frame, text="body", checks=QUICK)
    assert from_frame.counts == from_file.counts
    assert from_frame.counts["exact_duplicates"] == 1
    assert "1 row: the same words as an earlier row" in from_frame._repr_html_()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["rows.csv"]
    recipe = Recipe.check({"data": {"path": str(tmp_path / "rows.csv")}, "audit": {"checks": ["short_text"]}})
    assert set(audit_frame(recipe).counts) <= {"short_text"}


def test_a_pandas_frame_will_do():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"text": ["Fish &amp; chips", None], "label": ["a", "b"]})
    assert audit_frame(frame, checks=["html_remnants", "empty_text"]).counts == {"html_remnants": 1, "empty_text": 1}


def test_rows_are_hostile_text_in_a_notebook():
    frame = pl.DataFrame({"text": ["x <script>alert(1)</script>"], "label": ["<img src=x onerror=alert(1)>"]})
    shown = audit_frame(frame, checks=["html_remnants", "too_few_rows"])._repr_html_()
    assert "<script>" not in shown
    assert "<img" not in shown


def test_evidence_never_spreads_personal_data():
    frame = pl.DataFrame({"text": ["write to jo@firm.example"] * 2, "label": ["a", "b"]})
    found = audit_frame(frame, checks=["exact_duplicates", "conflicting_labels", "personal_data"]).findings
    assert len(found) == 5
    assert not found["evidence"].str.contains("firm.example", literal=True).any()
