"""A suggested threshold goes into a recipe in whatever style it is written, and nothing else of it changes."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tunewright.core.errors import DataError
from tunewright.core.recipe import Recipe
from tunewright.prepare.review.thresholds import apply_thresholds, with_threshold

NEW = {"name": "drop_flagged", "checks": ["outliers"], "min_severity": "info", "min_score": 0.91, "to": "quarantine"}
BLOCK = """# ours
data: {path: rows.csv}   # the file
prepare:
  # first of all
  steps:
    # mend it
    - repair_text   # white space
    - name: drop_flagged
      checks: [secrets]
      to: quarantine
  seed: 5
"""
RECIPES = {
    "a block": BLOCK,
    "a list in brackets": "data: {path: rows.csv}\nprepare:\n  steps: [repair_text,\n    redact_pii]  # two\n",
    "all in braces": "data: {path: rows.csv}\nprepare: {steps: [repair_text], seed: 3}\n",
    "no step": "data: {path: rows.csv}\nprepare:\n  steps: []\n",
    "no steps": "data: {path: rows.csv}\nprepare:\n  seed: 3   # ours\n",
    "no steps in braces": "data: {path: rows.csv}\nprepare: {seed: 3}\ntune: {minutes: 3}\n",
    "an empty section": "data: {path: rows.csv}\nprepare:\ntune: {minutes: 3}\n",
    "no section": "data: {path: rows.csv}   # the file\n",
}


def steps_of(text: str) -> list[Any]:
    return Recipe.check(yaml.safe_load(text)).prepare.steps  # type: ignore[no-any-return]


@pytest.mark.parametrize("text", RECIPES.values(), ids=list(RECIPES))
def test_the_step_comes_first_and_the_rest_stays(text: str):
    new = with_threshold(text, "outliers", 0.91)
    assert steps_of(new) == [NEW, *steps_of(text)]
    for line in text.splitlines():
        for word in line.split():
            assert word.strip("[]{},") in new
    comments = [line.split("#", 1)[1] for line in text.splitlines() if "#" in line]
    assert [line.split("#", 1)[1] for line in new.splitlines() if "#" in line] == comments
    other = {key: value for key, value in yaml.safe_load(text).items() if key != "prepare"}
    assert {key: value for key, value in yaml.safe_load(new).items() if key != "prepare"} == other


@pytest.mark.parametrize("text", RECIPES.values(), ids=list(RECIPES))
def test_a_second_calibration_changes_the_threshold_and_nothing_else(text: str):
    once = with_threshold(text, "outliers", 0.91)
    again = with_threshold(once, "outliers", 0.5)
    assert again == once.replace("0.91", "0.5")
    assert with_threshold(again, "outliers", 0.91) == once


def test_a_step_without_a_score_gets_one():
    new = with_threshold(BLOCK, "secrets", 0.7)
    assert steps_of(new)[1] == {"name": "drop_flagged", "checks": ["secrets"], "to": "quarantine", "min_score": 0.7}
    braces = with_threshold("data: {path: rows.csv}\nprepare: {steps: [{name: drop_flagged, checks: [secrets]}]}\n", "secrets", 0.7)
    assert steps_of(braces) == [{"name": "drop_flagged", "checks": ["secrets"], "min_score": 0.7}]
    assert steps_of(with_threshold(BLOCK, "outliers", None))[0] == {key: one for key, one in NEW.items() if key != "min_score"}


@pytest.mark.parametrize("text", ["data: {path: rows.csv}\nprepare: &p {steps: &s [repair_text]}\ntune: {minutes: 3}\nx: *s\n", "{data: {path: rows.csv}}\n"])  # fmt: skip
def test_a_recipe_that_cannot_be_edited_safely_gets_the_line_to_paste(text: str):
    with pytest.raises(DataError, match=r"Put this line under prepare.steps:\n    - \{name: drop_flagged, checks: \[outliers\]"):
        with_threshold(text, "outliers", 0.91)


def suggested(score: float | None, shown: bool, low: float) -> dict[str, Any]:
    return {"wanted_precision": 0.9, "suggested": {"score_from": score, "shown": shown, "precision": {"value": 0.95, "low": low}}}


def test_only_what_the_sample_has_shown_is_written(tmp_path: Path):
    path = tmp_path / "recipe.yaml"
    path.write_text(BLOCK)
    checks = {"outliers": suggested(0.91, True, 0.9), "toxicity": suggested(0.4, False, 0.7), "language": {"wanted_precision": 0.9, "suggested": None}}  # fmt: skip
    done = apply_thresholds({"checks": checks}, path)
    assert steps_of(path.read_text())[0] == NEW
    assert list(done.written) == ["outliers"]
    said = "\n".join(done.lines(path))
    assert "toxicity: its precision may be as low as 70% where 90% is wanted; judge more rows" in said
    assert "language: no threshold reaches a precision of 90%" in said
    before = path.read_text()
    apply_thresholds({"checks": {"toxicity": checks["toxicity"]}}, path)
    assert path.read_text() == before
