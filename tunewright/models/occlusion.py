"""What an answer loses without a word, and how that is said in one sentence; for `explain` and for the endpoint.

It answered negative (82%) mostly because of “waste” and “returned”; “bright” spoke against it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from tunewright.core.score import Floats

LITTLE = 0.1  # nats of log-odds below which a word is not worth naming: 50% would become 52%
NAMED = 3


def split_words(text: str, most: int) -> list[str]:
    """The words of `text`, or `most` groups of neighbouring words where there are more."""
    words = text.split()
    cuts = np.linspace(0, len(words), min(most, len(words)) + 1).astype(int)
    return [" ".join(words[start:stop]) for start, stop in pairwise(cuts)]


def without(units: list[list[str]], asked: Sequence[tuple[int, Sequence[int]]]) -> list[str]:
    """For each (row, places): that row's text without the words at `places`."""
    return [" ".join(word for place, word in enumerate(units[row]) if place not in places) for row, places in asked]


def log_odds(likelihood: Floats, answers: Any) -> Floats:
    """log p / (1 - p) of label `answers[i]` among the c labels of row i; `likelihood` is (n, c), unnormalised, c >= 2."""
    own = np.arange(len(likelihood)), answers
    others = likelihood.astype(np.float64, copy=True)
    others[own] = -np.inf
    top = others.max(axis=1, keepdims=True)
    rest = top[:, 0] + np.log(np.exp(others - top).sum(axis=1))
    odds: Floats = likelihood[own] - rest
    return odds


def sentence(answer: str, probability: float, words: list[str], weights: list[float]) -> str:
    """Says `answer`, how sure, and the words behind it; `weights` are changes of the log-odds, positive in its favour."""
    ranked = sorted(zip(weights, words, strict=True), reverse=True)
    total = sum(weight for weight, _ in ranked if weight > 0)
    named: list[str] = []
    covered = 0.0
    for weight, word in ranked[:NAMED]:
        if weight < LITTLE or covered > 0.75 * total:
            break
        named, covered = [*named, bare(word)], covered + weight
    said = f"It answered {answer} ({probability:.0%})"
    if not named:
        return f"{said}, and no single word decided: it would answer about the same without any one of them."
    against, word = ranked[-1]
    other = f"; “{bare(word)}” spoke against it" if -against >= max(LITTLE, 0.5 * ranked[0][0]) else ""
    return f"{said} mostly because of {_listed(named)}{other}."


def bare(word: str) -> str:
    """A word without the punctuation around it, unless it is nothing else."""
    return word.strip(".,;:!?\"'()[]“”‘’…") or word


def _listed(words: list[str]) -> str:
    quoted = [f"“{word}”" for word in words]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"
