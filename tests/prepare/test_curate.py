"""curate: the rows it keeps are the ones that it says, shares of labels stay, and nothing is called proven that is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.prepare.conftest import frame
from tunewright.core.errors import DataError
from tunewright.core.files import write_json
from tunewright.core.finding import FINDING_SCHEMA
from tunewright.core.parts import Look
from tunewright.core.recipe import Recipe
from tunewright.core.run import Context, Run
from tunewright.prepare.curation import unproven
from tunewright.prepare.curation.difficulty import ifd
from tunewright.prepare.curation.diversity import cover
from tunewright.prepare.curation.quality import penalties
from tunewright.prepare.steps.curate import Curate
from tunewright.testing.tiny import tiny_model


def found(*lines: tuple[str, str, str, float]) -> pl.DataFrame:
    columns = [dict(zip(("row_id", "check", "severity", "score"), line, strict=True)) for line in lines]
    return pl.DataFrame(columns, schema=FINDING_SCHEMA)


def test_quality_counts_each_check_once_by_severity_and_score() -> None:
    rows = frame(["a", "b", "c"], ["x"] * 3)
    told = found(
        ("r0", "toxicity", "warning", 0.5),
        ("r0", "toxicity", "warning", 0.2),
        ("r0", "label_noise", "info", 1.0),
        ("r1", "leak", "error", 1.0),
    )
    assert penalties(rows, told).tolist() == pytest.approx([0.6, 3.0, 0.0])


def test_rows_that_the_audit_speaks_against_go_first_and_the_ledger_says_why(look: Look) -> None:
    rows = frame([f"text {number}" for number in range(10)], ["x"] * 10)
    flagged = replace(look, findings=lambda: found(*((f"r{number}", "toxicity", "warning", 0.9) for number in (1, 4, 7))))
    done = Curate(keep=7, by=["quality"]).run(rows, flagged)
    assert sorted(set(rows["row_id"]) - set(done.rows["row_id"])) == ["r1", "r4", "r7"]
    assert done.changes.select("action", "reason", "detail").unique().rows() == [("dropped", "less_merit", "0.9 of findings")]


def test_labels_keep_their_shares(look: Look) -> None:
    rows = frame([f"text number {number}" for number in range(100)], ["rare"] * 10 + ["common"] * 90)
    kept = Curate(keep=0.3).run(rows, look).rows
    assert dict(kept["label"].value_counts().iter_rows()) == {"rare": 3, "common": 27}


def test_diversity_takes_one_of_each_kind_before_a_second_of_any() -> None:
    corners = np.eye(5, dtype=np.float32)[[0] * 50 + [1] * 30 + [2, 3, 4]] + np.random.default_rng(0).normal(0, 0.01, (83, 5)).astype(
        "float32"
    )
    assert set(corners[cover(corners, 5)].argmax(axis=1)) == {0, 1, 2, 3, 4}


def test_blocks_still_give_the_number_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunewright.prepare.curation.diversity.BLOCK", 30)
    chosen = cover(np.random.default_rng(0).random((100, 4)), 37)
    assert len(set(chosen.tolist())) == 37


def test_copies_of_a_kept_row_are_covered_by_it(look: Look) -> None:
    texts = ["the battery is dead"] * 8 + ["a bright screen", "arrived late and broken", "my cat likes the box", "the menu is in German"]
    done = Curate(keep=5, by=["diversity"], by_label=False).run(frame(texts, ["x"] * 12), look)
    assert len(set(done.rows["text"])) == 5
    assert set(done.changes["reason"]) == {"covered_by_others"}


def test_asking_for_more_rows_than_there_are_changes_nothing(look: Look) -> None:
    rows = frame(["a", "b"], ["x", "y"])
    done = Curate(keep=5).run(rows, look)
    assert done.rows.equals(rows)
    assert done.changes.is_empty()


def test_difficulty_is_the_loss_with_the_text_over_the_loss_without(look: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEWRIGHT_CACHE", str(tmp_path / "cache"))
    recipe = Recipe.check({"data": {"path": "rows.csv"}, "model": {"base": str(tiny_model(tmp_path / "model"))}})
    rows = frame(["good phone", "", "it broke after two weeks"], ["yes", "no", "no"])
    here = replace(look, recipe=recipe, directory=tmp_path)
    ratios = ifd(rows, here)
    assert ratios[1] == pytest.approx(1.0, abs=1e-5)  # no text: no help
    assert len(set(ratios.round(6).tolist())) == 3
    monkeypatch.setattr("tunewright.models.tree.answer_log_probs", None)  # a second look computes nothing
    assert ifd(rows, here).tolist() == ratios.tolist()


def test_difficulty_of_rows_without_an_answer_is_refused(look: Look) -> None:
    with pytest.raises(DataError, match=r"Take it out of curate\.by"):
        ifd(frame(["a"], ["x"]).drop("label"), look)


def test_a_choice_is_called_unproven_until_it_was_compared_with_chance(tmp_path: Path) -> None:
    run, steps = Run(tmp_path), [{"name": "curate"}]
    assert unproven([{"name": "balance"}], run) == []
    assert "unproven" in unproven(steps, run)[0]
    write_json(run.path("prepare", "started.json"), {"inputs": "abc"})
    write_json(
        run.path("proof", "proof.json"), {"inputs": "abc", "comparisons": [{"first": "random_curate", "text": "curating helped by +0.02"}]}
    )
    assert unproven(steps, run) == ["proven before: curating helped by +0.02"]
    write_json(run.path("prepare", "started.json"), {"inputs": "other"})
    assert "unproven" in unproven(steps, run)[0]


def test_prepare_curates_training_rows_only_and_says_that_it_is_unproven(context: Callable[..., Context]) -> None:
    from tunewright import prepare

    texts = [
        f"{word} {thing} number {number}"
        for number, (word, thing) in enumerate(zip(["good", "bad"] * 30, ["phone", "cable", "case"] * 20, strict=True))
    ]
    here = context(frame(texts, ["yes", "no"] * 30), steps=[{"name": "curate", "keep": 0.5}], near_duplicate_threshold=1.0)
    result = prepare.run(here)
    sizes = {split: sum(by.values()) for split, by in result.counts.items()}
    assert sizes["train"] == round(0.5 * (60 - sizes["validation"] - sizes["test"]))
    assert "curate is unproven until tunewright prove-data compares it with as many random rows" in result.summary()
