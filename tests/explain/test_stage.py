"""The explain stage on a tiny real model."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.release.winner import LABELS, TEXTS, context_of
from tunewright.core.files import read_json
from tunewright.explain import run
from tunewright.models.chat import ChatFormat
from tunewright.models.load import attach, load_base
from tunewright.models.score import score_labels
from tunewright.testing.tiny import tiny_model


def test_it_explains_the_winners_own_answers_to_validation_rows(tmp_path: Path) -> None:
    context = context_of(tmp_path / "run", tiny_model(tmp_path / "base"))
    assert not list((tmp_path / "run").rglob("test.parquet"))  # there is no test to look at
    result = run(context)
    document = read_json(tmp_path / "run" / "explain" / "occlusion.json")
    winner = attach(load_base(context.recipe.model), context.run.path("tune", "lora"))
    scores = score_labels(winner, ChatFormat.of(context.recipe, winner.tokenizer, LABELS), TEXTS)
    answered = dict(zip(TEXTS, [LABELS[index] for index in scores.predict()], strict=True))
    probability = dict(zip(TEXTS, scores.probabilities().max(axis=1), strict=True))
    assert len(document["rows"]) == 6
    for row in document["rows"]:
        text = " ".join(row["words"])
        if text in answered:
            assert row["predicted"] == answered[text]
            assert row["probability"] == pytest.approx(probability[text], abs=1e-4)
    assert document["model"] == "lora"
    assert any("changes the log-odds" in line for line in result.summary())
