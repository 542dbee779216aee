"""The report's tables of groups: what is marked, what is only shown, and rows that are hostile text."""

from pathlib import Path

import polars as pl

from tunewright.core.files import write_json, write_parquet
from tunewright.report import render
from tunewright.report.bias import bias
from tunewright.report.read import read_run


def run_with(tmp_path: Path, name: str = "<b>nyt</b>", p: float | None = 0.001) -> Path:
    def put(check: str, lines: list[dict[str, object]]) -> None:
        write_parquet(tmp_path / "cache" / "measures" / f"{check}-0.parquet", pl.DataFrame(lines, infer_schema_length=None))

    wrong = {"column": "domain", "low": 0.4, "high": 0.6, "rest": 0.3}
    put("group_representation", [{"column": "domain", "group": name, "rows": 400, "low": 0.1, "high": 0.2, "share": 0.15, "of": 2000}])
    put("group_errors", [{**wrong, "group": name, "rows": 400, "share": 0.5, "p": p}])
    put("found_slices", [{**wrong, "column": "slice", "group": "with 'not'", "rows": 90, "share": 0.32, "p": 0.4}])
    settings = {"counts": {}, "settings": {"difference": 0.05, "p": 0.05}, "worst": [], "about": "x", "seconds": 0.1}
    write_json(
        tmp_path / "audit" / "summary.json", {"rows": 2000, "skipped": {}, "checks": {"group_errors": settings, "found_slices": settings}}
    )
    return tmp_path


def test_a_group_that_errs_surely_more_is_marked(tmp_path: Path):
    found = bias(run_with(tmp_path), read_run(tmp_path)["audit"])
    assert found is not None
    assert found["columns"][0]["groups"][0]["errors"]["differs"] is True
    assert found["slices"][0]["differs"] is False


def test_a_group_that_was_not_judged_is_shown_and_not_marked(tmp_path: Path):
    found = bias(run_with(tmp_path, p=None), None)
    assert found is not None
    assert found["columns"][0]["groups"][0]["errors"]["differs"] is False


def test_the_page_has_the_groups_and_escapes_their_names(tmp_path: Path):
    page = render(read_run(run_with(tmp_path)))
    assert "Whether groups are treated alike" in page
    assert "&lt;b&gt;nyt&lt;/b&gt;" in page
    assert "<b>nyt</b>" not in page


def test_a_run_without_measures_has_no_such_section(tmp_path: Path):
    assert bias(tmp_path, None) is None
    assert "Whether groups are treated alike" not in render(read_run(tmp_path))
