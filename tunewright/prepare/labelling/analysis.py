"""What the functions do: coverage, overlaps, conflicts and accuracy of each, as Snorkel's LFAnalysis has them; and which of them are not independent."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import polars as pl

from tunewright.prepare.labelling.models import Believed, Floats, learn, posterior
from tunewright.prepare.labelling.votes import Ints, Votes

EXCESS = 0.05  # of agreement beyond what the model expects, to be worth a warning
ALPHA = 0.01  # over all pairs together
FEWEST = 4  # functions: two that are judged and two that judge


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
            f"{self.expected:.0%}. If one repeats the other, the model counts one witness twice: join them."
        )


def dependent(votes: Votes, balance: Floats) -> list[Pair]:
    """Pairs that agree, where both vote, by 5 points and by more than chance (normal test, Bonferroni over pairs) beyond what is
    expected; the worst first.

    What is expected: sum over classes of their posterior, from the other functions, times the chance that both say the same. The
    accuracy of each comes from a Dawid-Skene model without the other, which a copy cannot mislead. Still, one pair that copies
    can make honest pairs look dependent: what is named is to be looked at, by somebody who knows the functions.
    """
    patterns, counts = np.unique(votes.matrix, axis=0, return_counts=True)
    count = patterns.shape[1]
    pairs = list(combinations(range(count), 2)) if count >= FEWEST else []
    without = [_without(patterns, counts, balance, one) for one in range(count)] if pairs else []
    said = np.eye(len(balance) + 1)[patterns + 1]
    found = []
    for first, second in pairs:
        both = (patterns[:, [first, second]] >= 0).all(axis=1)
        rows = int(counts[both].sum())
        if rows < 2:
            continue
        theta = without[second].copy()
        theta[second] = without[first][second]
        rest = [one for one in range(count) if one not in (first, second)]
        fired = theta[[first, second], :, 1:].sum(axis=2)
        belief = posterior(said[both][:, rest], theta[rest], balance * fired.prod(axis=0))
        same = belief @ (theta[first, :, 1:] * theta[second, :, 1:] / fired.prod(axis=0)[:, None]).sum(axis=1)
        agree = float(np.average(patterns[both, first] == patterns[both, second], weights=counts[both]))
        expected = float(np.average(same, weights=counts[both]))
        error = math.sqrt(float((counts[both] * same * (1 - same)).sum())) / rows
        p = math.erfc((agree - expected) / max(error, 1e-12) / math.sqrt(2)) / 2
        if agree - expected >= EXCESS and p * len(pairs) < ALPHA:
            found.append(Pair(votes.names[first], votes.names[second], rows, agree, expected))
    return sorted(found, key=lambda one: one.expected - one.agree)


def _without(patterns: Ints, counts: Ints, balance: Floats, left_out: int) -> Floats:
    """theta of all functions but one, whose place holds zeros, learnt without it."""
    rest = [one for one in range(patterns.shape[1]) if one != left_out]
    theta: Floats = np.zeros((patterns.shape[1], len(balance), len(balance) + 1))
    theta[rest] = learn(patterns[:, rest], counts, len(balance), balance)[1]
    return theta
