"""Label models: from votes that disagree to a distribution over labels for each row.

    majority      the share of the votes; ties go by how frequent labels are
    dawid_skene   each function's own confusion, learnt without a single gold label by EM (Dawid & Skene 1979, doi:10.2307/2346806)
    snorkel       Snorkel's LabelModel (extra `labels`)

What function j says of a row of class c has probability theta[j, c, .], abstaining included; so a function that can only ever say
"positive" tells something by firing. Its silence is not held against a class: rules are silent together (short texts, other topics),
and a model that believes silences to be independent learns those topics instead of the labels. For the same reason the classes'
frequencies are not learnt with the rest but are given, or those of the majority. Each distribution begins with `prior` votes' worth of
a belief, that functions are right with probability 0.7: rare ones are not trusted on three rows, and labels keep their names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tunewright.core.errors import DataError
from tunewright.core.optional import require
from tunewright.prepare.labelling.votes import Ints

Floats = npt.NDArray[np.float64]
Name = Literal["majority", "dawid_skene", "snorkel"]
NAMES: tuple[Name, ...] = ("majority", "dawid_skene", "snorkel")
BELIEVED = 0.7
PRIOR = 10.0
ROUNDS = 500
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Believed:
    """`shares` (rows, labels) add up to 1. `accuracy` (functions) is what the model thinks of each function where it votes (NaN where it never does); `theta`
    (functions, labels, 1 + labels) is how probably it says what, abstaining first, and `balance` (labels) the classes' frequency."""

    shares: Floats
    accuracy: Floats
    theta: Floats
    balance: Floats
    rounds: int
    converged: bool


def majority(votes: Ints, labels: int) -> Believed:
    """Each label's share of the votes of a row; a row without votes gets the shares of all votes."""
    counts = _one_hot(votes, labels)[:, :, 1:].sum(axis=1)
    balance = counts.sum(axis=0) / counts.sum()
    given = counts.sum(axis=1, keepdims=True)
    shares = np.where(given > 0, counts / np.maximum(given, 1), balance)
    return _believed(votes, shares, balance, 0, True)


def dawid_skene(votes: Ints, labels: int, balance: Floats | None = None, prior: float = PRIOR) -> Believed:
    """EM from the majority's labels. `balance` says how frequent the classes are (default: as in the majority's labels). Rows with the
    same votes are one row with a count, so the time of a round does not grow with the rows."""
    patterns, place, counts = np.unique(votes, axis=0, return_inverse=True, return_counts=True)
    shares, theta, balance, rounds, converged = learn(patterns, counts, labels, balance, prior)
    return _believed(votes, shares[place.reshape(-1)], balance, rounds, converged, theta)


def learn(
    patterns: Ints, counts: Ints, labels: int, balance: Floats | None = None, prior: float = PRIOR
) -> tuple[Floats, Floats, Floats, int, bool]:
    """The EM itself, over vote patterns (patterns, functions) that occur `counts` times: shares, theta, balance, rounds, converged."""
    said = _one_hot(patterns, labels)
    shares = majority(patterns, labels).shares
    counted = np.where((patterns >= 0).any(axis=1), counts, 0)[:, None]  # a row without votes teaches nothing
    if balance is None:
        balance = (counted * shares).sum(axis=0) / counted.sum()
    belief = _belief(np.average(patterns >= 0, axis=0, weights=counts), labels) * prior
    converged, rounds = False, 0
    while not converged and rounds < ROUNDS:
        rounds += 1
        theta = np.einsum("nc,njv->jcv", counted * shares, said) + belief
        theta /= theta.sum(axis=2, keepdims=True)
        new = posterior(said, theta, balance)
        converged = float(np.abs(new - shares).max()) < TOLERANCE
        shares = new
    return shares, theta, balance, rounds, converged


def posterior(said: Floats, theta: Floats, balance: Floats) -> Floats:
    """(rows, labels) from one-hot votes (rows, functions, 1 + labels), abstaining first; abstaining tells nothing."""
    logs = np.log(np.maximum(balance, 1e-12)) + np.einsum("njv,jcv->nc", said[:, :, 1:], np.log(theta[:, :, 1:]))
    raised = np.exp(logs - logs.max(axis=1, keepdims=True))
    shares: Floats = raised / raised.sum(axis=1, keepdims=True)
    return shares


def snorkel(votes: Ints, labels: int, balance: Floats | None = None, seed: int = 0) -> Believed:
    """Snorkel's LabelModel, 500 epochs. Raises DataError for fewer than three functions, which it cannot tell apart."""
    if votes.shape[1] < 3:
        raise DataError(
            f"Snorkel's label model needs at least 3 labelling functions, but got {votes.shape[1]}. Write more, or take dawid_skene."
        )
    model: Any = require("snorkel.labeling.model", "labels").LabelModel(cardinality=labels, verbose=False)
    model.fit(votes, n_epochs=500, seed=seed, progress_bar=False, class_balance=None if balance is None else balance.tolist())
    shares = np.asarray(model.predict_proba(votes), dtype=np.float64)
    return _believed(votes, shares, np.asarray(model.p, dtype=np.float64), 500, True)


def fit(name: Name, votes: Ints, labels: int, balance: Floats | None = None) -> Believed:
    """The label model of that name."""
    if name == "majority":
        return majority(votes, labels)
    return dawid_skene(votes, labels, balance) if name == "dawid_skene" else snorkel(votes, labels, balance)


def _one_hot(votes: Ints, labels: int) -> Floats:
    return np.eye(labels + 1)[votes + 1]


def _belief(coverage: Floats, labels: int) -> Floats:
    """(functions, labels, 1 + labels): votes as often on each class, and right with the same probability on each."""
    wrong = (1 - BELIEVED) / max(1, labels - 1)
    right = np.where(np.eye(labels) > 0, BELIEVED, wrong)
    fires = np.clip(coverage, 1e-3, 1 - 1e-3)[:, None, None]
    return np.concatenate([np.broadcast_to(1 - fires, (len(coverage), labels, 1)), fires * right], axis=2)


def _believed(votes: Ints, shares: Floats, balance: Floats, rounds: int, converged: bool, theta: Floats | None = None) -> Believed:
    said = _one_hot(votes, shares.shape[1])
    if theta is None:
        theta = np.einsum("nc,njv->jcv", shares, said) + _belief((votes >= 0).mean(axis=0), shares.shape[1])
        theta /= theta.sum(axis=2, keepdims=True)
    voted = said[:, :, 1:]
    fired = voted.sum(axis=(0, 2))
    right = np.einsum("nc,njc->j", shares, voted)
    return Believed(shares, np.divide(right, fired, out=np.full(len(fired), np.nan), where=fired > 0), theta, balance, rounds, converged)
