"""Rows and labelling functions in; labels with probabilities and row weights out.

    text "broke after two days" | label negative | label_probability 0.97 | weight 0.97 | p_negative 0.97 | p_positive 0.03 | ... | label_given negative

The result is a data file like any other: `label` and `weight` mean to every command what they mean here, the rest are columns of
the file. Rows on which no function votes are left out, with reason `no_vote`, into a table of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from tunewright.core.errors import DataError
from tunewright.core.progress import Report
from tunewright.core.rows import QUARANTINE_SCHEMA, RESERVED
from tunewright.core.settings import did_you_mean
from tunewright.core.statistics import proportion
from tunewright.prepare.labelling.analysis import Pair, dependent, table
from tunewright.prepare.labelling.load import Functions
from tunewright.prepare.labelling.models import NAMES, Believed, Floats, Name, fit, majority
from tunewright.prepare.labelling.votes import Ints, Votes, cast_votes

GIVEN = "label_given"


@dataclass(frozen=True)
class Labelled:
    """`rows` that got a label, `left_out` (with reason), the `votes`, one line a function (`functions`), and how the models did."""

    rows: pl.DataFrame
    left_out: pl.DataFrame
    votes: Votes
    functions: pl.DataFrame
    scores: list[dict[str, Any]]
    pairs: list[Pair]
    model: Name
    believed: Believed
    unknown_gold: int

    def document(self) -> dict[str, Any]:
        """Everything but the rows, as plain values."""
        return {
            "rows": len(self.rows) + len(self.left_out),
            "labelled": len(self.rows),
            "no_vote": len(self.left_out),
            "labels": dict(self.rows["label"].value_counts().sort("label").iter_rows()),
            "model": self.model,
            "rounds": self.believed.rounds,
            "converged": self.believed.converged,
            "balance": dict(zip(self.votes.labels, self.believed.balance.round(4).tolist(), strict=True)),
            "functions": self.functions.to_dicts(),
            "failures": {name: {"count": one.count, "first": one.first} for name, one in self.votes.failures.items() if one.count},
            "models": self.scores,
            "gold_labels_unknown_to_the_functions": self.unknown_gold,
            "dependent": [one.words() for one in self.pairs],
        }


def label_rows(
    rows: pl.DataFrame, functions: Functions, model: Name, gold: pl.Series | None, balance: Mapping[str, float] | None, report: Report
) -> Labelled:
    """Label `rows` (row_id, source, line, text and the file's own columns). `gold` holds labels that are known, null elsewhere; they
    judge and never teach. `balance` names the share of each label where it is known."""
    known = None if gold is None else sorted(gold.drop_nulls().unique().to_list())
    votes = cast_votes(functions, rows, known or None, report)
    count = len(votes.labels)
    shares = _balance(balance, votes.labels)
    if count < 2:
        raise DataError(
            f"the functions know a single label, {votes.labels[0]!r}. Write one that votes for another, or set LABELS in the file."
        )
    believed = fit(model, votes.matrix, count, shares)
    judged = None if gold is None else _places(gold, votes.labels)
    models = {"majority": majority(votes.matrix, count), model: believed}
    scores = [_score(name, one, votes.matrix, judged) for name, one in models.items()]
    unknown = 0 if judged is None or gold is None else int((judged < 0).sum()) - gold.null_count()
    voted = pl.Series((votes.matrix >= 0).any(axis=1))
    return Labelled(
        _labelled(rows, votes, believed.shares, gold).filter(voted),
        _left_out(rows.filter(~voted)),
        votes,
        table(votes, judged, believed),
        scores,
        dependent(votes, believed.balance),
        model,
        believed,
        unknown,
    )


def known_model(name: str) -> Name:
    """`name`, if there is a label model of that name."""
    found = next((one for one in NAMES if one == name), None)
    if found is None:
        raise DataError(f"there is no label model {name!r}.{did_you_mean(name, list(NAMES))}")
    return found


def _balance(given: Mapping[str, float] | None, labels: tuple[str, ...]) -> Floats | None:
    if given is None:
        return None
    if strange := [name for name in given if name not in labels]:
        raise DataError(f"balance: the functions have no label {strange[0]!r}.{did_you_mean(strange[0], list(labels))}")
    shares = np.array([given.get(name, 0.0) for name in labels])
    if (shares <= 0).any() or abs(shares.sum() - 1) > 0.01:
        raise DataError(
            f"balance: every label needs a share above 0 and they must add up to 1, but got {', '.join(f'{name}={share:g}' for name, share in given.items())}."
        )
    return np.asarray(shares / shares.sum(), dtype=np.float64)


def _places(gold: pl.Series, labels: tuple[str, ...]) -> Ints:
    place = {label: number for number, label in enumerate(labels)}
    return np.array([place.get(one, -1) for one in gold.to_list()], dtype=np.int64)


def _score(name: str, believed: Believed, votes: Ints, gold: Ints | None) -> dict[str, Any]:
    """How often a model's label is the known one, on rows with a vote."""
    some = (votes >= 0).any(axis=1)
    said: dict[str, Any] = {"model": name, "mean_probability": round(float(believed.shares[some].max(axis=1).mean()), 4)}
    if gold is not None and (judged := some & (gold >= 0)).any():
        right = (believed.shares[judged].argmax(axis=1) == gold[judged]).astype(np.float64)
        interval = proportion(right, np.arange(len(right)))
        said |= {
            "gold_rows": len(right),
            "accuracy": round(interval.estimate, 4),
            "low": round(interval.low, 4),
            "high": round(interval.high, 4),
        }
    return said


def _labelled(rows: pl.DataFrame, votes: Votes, shares: Floats, gold: pl.Series | None) -> pl.DataFrame:
    """The rows in the shape of a data file."""
    best = shares.argmax(axis=1)
    probability = pl.Series(shares.max(axis=1)).round(6)
    ours = {
        "text": rows["text"],
        "label": pl.Series(np.array(votes.labels)[best].astype(str), dtype=pl.String),
        "label_probability": probability,
        "weight": probability,
        **{f"p_{label}": pl.Series(shares[:, place]).round(6) for place, label in enumerate(votes.labels)},
        **({GIVEN: gold} if gold is not None else {}),
        "labelled_from": rows.select(pl.format("{}:{}", "source", "line")).to_series(),
    }
    own = [name for name in rows.columns if name not in (*RESERVED, "label_", *ours)]
    return pl.DataFrame(ours).hstack(rows.select(own))


def _left_out(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows without a vote as a quarantine table."""
    said = rows.select("row_id", "source", "line", reason=pl.lit("no_vote"), detail=pl.lit("every labelling function abstains"), raw="text")
    return said.select(pl.col(name).cast(kind) for name, kind in QUARANTINE_SCHEMA.items())
