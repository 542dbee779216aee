"""Leave-one-word-out, on the log-odds of the answer (Zeiler and Fergus 2014, arXiv 1311.2901; Li et al. 2016, arXiv 1612.08220)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl
from pydantic import Field

from tunewright.core.parts import Explainer
from tunewright.core.score import Floats
from tunewright.explain.faithfulness import deletion_curve
from tunewright.explain.reasons import deciding_words
from tunewright.models.occlusion import log_odds, sentence, split_words, without

Score = Callable[[list[str]], Floats]


class Occlusion(Explainer):
    """Leaves out one word at a time; what the answer's log-odds lose is the word's weight. Needs nothing but scores."""

    most_words: int = Field(16, ge=2, description="longer texts are cut into this many groups of words, left out whole")
    dropped: list[int] = Field([2, 4], description="numbers of words dropped by the faithfulness check, besides one")
    random_orders: int = Field(2, ge=1, description="random orders that each row's deletion curve is compared with")

    def explain(self, score: Score, rows: pl.DataFrame, labels: list[str]) -> dict[str, Any]:
        """Explain the answers to `rows` (row_id, text, label). `score` gives (n, c) log-likelihoods of `labels`."""
        units = [split_words(text, self.most_words) for text in rows["text"]]
        dropped = [(row, (place,)) for row, own in enumerate(units) for place in range(len(own))]
        whole: list[tuple[int, Sequence[int]]] = [(row, ()) for row in range(len(units))]
        found = score(without(units, [*whole, *dropped]))
        answers = found[: len(units)].argmax(axis=1)
        odds = log_odds(found, answers[[row for row, _ in [*whole, *dropped]]])
        weights: list[list[float]] = [[] for _ in units]
        for (row, _), value in zip(dropped, odds[len(units) :], strict=True):
            weights[row].append(float(odds[row] - value))
        explained = [
            _row(line, labels[answers[row]], float(odds[row]), units[row], weights[row])
            for row, line in enumerate(rows.iter_rows(named=True))
        ]
        curve = deletion_curve(
            odds[: len(units)].tolist(),
            weights,
            lambda asked: log_odds(score(without(units, asked)), answers[[row for row, _ in asked]]),
            sorted(set(self.dropped) - {1}),
            self.random_orders,
        )
        return {"labels": labels, "rows": explained, "words": deciding_words(explained), "faithfulness": curve}


def _row(line: dict[str, Any], answer: str, odds: float, words: list[str], weights: list[float]) -> dict[str, Any]:
    probability = 1 / (1 + np.exp(-odds))
    return {
        "row_id": line["row_id"],
        "label": line["label"],
        "predicted": answer,
        "correct": answer == line["label"],
        "probability": float(probability),
        "words": words,
        "weights": [round(weight, 4) for weight in weights],
        "sentence": sentence(answer, float(probability), words, weights),
    }
