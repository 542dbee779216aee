"""How sure the tuned model is of a row, from its likelihoods of the labels."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from tunewright.core.files import write_json
from tunewright.core.progress import Report
from tunewright.core.run import Run
from tunewright.prepare.review.desk import margins_of
from tunewright.prepare.review.doubt import Winner


class Told(Winner):
    """A winner whose likelihoods are given: loading and asking a model is what `tests/models` tests."""

    def _likelihood(self, texts: list[str]) -> Any:
        return np.log([[0.6, 0.3, 0.1], [0.02, 0.02, 0.02]])[: len(texts)]


def test_the_margin_is_between_the_two_likeliest_labels(run: Run):
    write_json(run.path("prepare", "summary.json"), {"labels": ["neg", "neutral", "pos"]})
    margins = Told(run, Report(quiet=True)).margins(pl.DataFrame({"text": ["clear", None]}))
    assert margins.tolist() == pytest.approx([0.3, 0.0])


def test_before_a_model_is_tuned_there_is_none_to_ask(run: Run):
    assert margins_of(run, Report(quiet=True)) is None
