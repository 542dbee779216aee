"""What the functions do: coverage, overlaps, conflicts and accuracy of each, as Snorkel's LFAnalysis has them; and which of them are not independent."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import polars as pl

from tunewright.prepare.labelling.models import Believed, Floats, posterior
from tunewright.prepare.labelling.votes import Ints, Votes

EXCESS = 0.05  # of agreement beyond what the model expects, to be worth a warning
ALPHA = 0.01  # over all pairs together


def table(votes: Votes, gold: Ints | None, believed: Believed) -> pl.DataFrame:
    """One line a function: `function, polarity, coverage, overlaps, conflicts, [correct, incorrect, accuracy,] believed, failures`.

    Coverage is the share of rows on which it votes, overlaps where another votes too, conflicts where another says something else.
    `gold` (rows) has the place of the right label, -1 where it is not known; `believed` is the label model's idea of the accuracy.
    """
    matrix = votes.matrix
    fires = matrix >= 0
    others = fires.sum(axis=1, keepdims=True) - fires
    same = np.stack([(matrix == matrix[:, [one]]).sum(axis=1) - 1 for one in range(matrix.shape[1])], axis=1)
    columns: dict[str, object] = {
        "function": list(votes.names),
        "polarity": [", ".join(votes.labels[one] for one in np.unique(column[column >= 0])) for column in matrix.T],
        "coverage": fires.mean(axis=0),
        "overlaps": (fires & (others > 0)).mean(axis=0),
        "conflicts": (fires & (others > same)).mean(axis=0),
    }
    if gold is not None:
        judged = fires & (gold >= 0)[:, None]
        right = (judged & (matrix == gold[:, None])).sum(axis=0)
        wrong = judged.sum(axis=0) - right
        columns |= {"correct": right, "incorrect": wrong}
        columns["accuracy"] = [
            one / (one + other) if one + other else None for one, other in zip(right.tolist(), wrong.tolist(), strict=True)
        ]
    columns["believed"] = [None if math.isnan(one) else one for one in believed.accuracy.tolist()]
    columns["failures"] = [votes.failures[name].count for name in votes.names]
    return pl.DataFrame(columns)


@dataclass(frozen=True)
class Pair:
    """Two functions that agree more often than independent ones with their accuracies would."""

    first: str
    second: str
    both: int
    agree: float
    expected: float

    def words(self) -> str:
        return (
            f"{self.first} and {self.second} agree on {self.agree:.0%} of {self.both:,} rows where independent functions would on "
            f"{self.expected:.0%}: the model counts one witness twice. Join them, or drop one."
        )


def dependent(votes: Votes, believed: Believed) -> list[Pair]:
    """Pairs that agree, where both vote, by 5 points and by more than chance (normal test, Bonferroni over pairs) beyond what is
    expected; the worst first, and others may follow from it. Two functions whose copying the model took for accuracy are not found.

    What is expected of a pair comes from the label model without these two: sum over classes of posterior times the chance that
    both say the same, given that both vote.
    """
    matrix, theta = votes.matrix, believed.theta
    said = np.eye(len(votes.labels) + 1)[matrix + 1]
    spoken = theta[:, :, 1:] / theta[:, :, 1:].sum(axis=2, keepdims=True)
    pairs = list(combinations(range(matrix.shape[1]), 2))
    found = []
    for first, second in pairs:
        rows = (matrix[:, first] >= 0) & (matrix[:, second] >= 0)
        both = int(rows.sum())
        if both < 2:
            continue
        rest = [one for one in range(matrix.shape[1]) if one not in (first, second)]
        belief = _rest(said[rows], theta, believed.balance, rest, (first, second))
        same = belief @ (spoken[first] * spoken[second]).sum(axis=1)
        agree, expected = float((matrix[rows, first] == matrix[rows, second]).mean()), float(same.mean())
        error = math.sqrt(float((same * (1 - same)).sum())) / both
        p = math.erfc((agree - expected) / max(error, 1e-12) / math.sqrt(2)) / 2
        if agree - expected >= EXCESS and p * len(pairs) < ALPHA:
            found.append(Pair(votes.names[first], votes.names[second], both, agree, expected))
    return sorted(found, key=lambda one: one.expected - one.agree)


def _rest(said: Floats, theta: Floats, balance: Floats, rest: list[int], pair: tuple[int, int]) -> Floats:
    """Posterior from the other functions' votes and from this pair having fired at all."""
    fired = np.prod([theta[one, :, 1:].sum(axis=1) for one in pair], axis=0)
    return posterior(said[:, rest], theta[rest], balance * fired)
