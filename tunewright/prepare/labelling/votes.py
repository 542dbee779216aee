"""Votes: every function on every row. (rows, functions) of label numbers, -1 where a function abstains.

A function that fails on a row abstains there; how often, and on which row and line first, is said. Nothing is hidden, nothing stops.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tunewright.core.errors import DataError
from tunewright.core.progress import Report
from tunewright.core.settings import did_you_mean
from tunewright.prepare.labelling.functions import ABSTAIN
from tunewright.prepare.labelling.load import Functions, Rule

Ints = npt.NDArray[np.int64]
SHOWN = 3  # failures of a function that are kept with their rows
BATCH = 10_000


@dataclass
class Failures:
    """How often a function failed, and the first rows on which it did."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, where: str, error: object, times: int = 1) -> None:
        self.count += times
        if len(self.first) < SHOWN:
            self.first.append(f"{where}: {error}")


@dataclass(frozen=True)
class Votes:
    """`matrix` is (rows, functions) of places in `labels`, -1 for abstaining."""

    matrix: Ints
    names: tuple[str, ...]
    labels: tuple[str, ...]
    failures: dict[str, Failures]


def cast_votes(functions: Functions, rows: pl.DataFrame, labels: Sequence[str] | None, report: Report) -> Votes:
    """Ask each function about each row. `labels` are those that exist, where the file does not say so itself; without either,
    whatever is voted for is a label. Raises DataError when nothing votes at all."""
    known = functions.labels or (tuple(labels) if labels else None)
    raw: dict[str, list[Any]] = {}
    failures = {name: Failures() for name in functions.rules}
    places = [f"row {row_id} ({source} line {line})" for row_id, source, line in rows.select("row_id", "source", "line").iter_rows()]
    seen = rows.drop("label", "source", "line", strict=False)
    framed = {name: rule for name, rule in functions.rules.items() if getattr(rule, "frame", False)}
    with report.task("asking the labelling functions", len(framed) * len(rows) + (len(functions.rules) - len(framed)) * len(rows)) as task:
        for name, rule in framed.items():
            raw[name] = _of_frame(rule, seen, failures[name])
            task.advance(len(rows), name)
        single = {name: rule for name, rule in functions.rules.items() if name not in framed}
        raw |= _of_rows(single, seen, places, failures, task) if single else {}
    matrix, found = _numbered({name: raw[name] for name in functions.rules}, known, places, failures)
    if not (matrix >= 0).any():
        worst = next((one.first[0] for one in failures.values() if one.first), "every function abstained on every row")
        raise DataError(f"no labelling function voted on any of the {len(rows):,} rows; {worst}.")
    return Votes(matrix, tuple(functions.rules), found, failures)


def _of_frame(rule: Rule, rows: pl.DataFrame, failures: Failures) -> list[Any]:
    """The votes of a function that sees the whole frame; when it fails, it abstains everywhere."""
    try:
        said = rule(rows)
        votes = rows.select(__vote=said).to_series().to_list() if isinstance(said, pl.Expr | pl.Series) else list(said)
        if len(votes) != len(rows):
            raise ValueError(f"gave {len(votes):,} votes for {len(rows):,} rows")
    except Exception as error:
        failures.add("the whole frame", f"{type(error).__name__}: {error}", len(rows))
        return [None] * len(rows)
    return votes


def _of_rows(
    rules: Mapping[str, Rule], rows: pl.DataFrame, places: list[str], failures: dict[str, Failures], task: Any
) -> dict[str, list[Any]]:
    votes: dict[str, list[Any]] = {name: [] for name in rules}
    for number, values in enumerate(rows.iter_rows(named=True)):
        x = SimpleNamespace(**values)
        for name, rule in rules.items():
            try:
                vote = rule(x)
            except Exception as error:
                failures[name].add(places[number], f"{type(error).__name__}: {error}")
                vote = None
            votes[name].append(vote)
        if number % BATCH == BATCH - 1:
            task.advance(BATCH * len(rules), "row by row")
    return votes


def _numbered(
    raw: dict[str, list[Any]], known: tuple[str, ...] | None, places: list[str], failures: dict[str, Failures]
) -> tuple[Ints, tuple[str, ...]]:
    """Votes as places in the labels. A vote that is no label is a failure and abstains."""
    labels = list(known) if known else sorted({one for votes in raw.values() for one in votes if isinstance(one, str)})
    number = {label: place for place, label in enumerate(labels)}
    meaning: dict[Any, int] = {}
    matrix = np.full((len(places), len(raw)), ABSTAIN, dtype=np.int64)
    for column, (name, votes) in enumerate(raw.items()):
        for row, vote in enumerate(votes):
            if vote is None or (type(vote) is int and vote == ABSTAIN):
                continue
            key = (type(vote), vote) if isinstance(vote, str | int | np.integer) else None
            place = meaning[key] if key in meaning else _place(vote, number, known)
            if isinstance(place, str):
                failures[name].add(places[row], place)
                continue
            if key is not None:
                meaning[key] = place
            matrix[row, column] = place
    return matrix, tuple(labels)


def _place(vote: Any, number: dict[str, int], known: tuple[str, ...] | None) -> int | str:
    """The place of a vote among the labels, or what is wrong with it."""
    if isinstance(vote, str):
        return number.get(vote, f"there is no label {vote!r}.{did_you_mean(vote, list(number))}")
    if isinstance(vote, bool | np.bool_) or not isinstance(vote, int | np.integer):
        return f"a vote must be a label, a number or ABSTAIN, but got {vote!r}"
    if int(vote) == ABSTAIN:
        return ABSTAIN
    if known is None:
        return f"the number {vote} names no label: say LABELS = [...] in the file"
    return int(vote) if 0 <= vote < len(number) else f"the number {vote} names none of the {len(number)} labels"
