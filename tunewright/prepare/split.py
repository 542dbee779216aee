"""The split: train, validation and test that share no text, no near duplicate, no declared group; classes in proportion.

Rows that belong together move as one. Large groups are placed first, each where the classes are then nearest to their
shares; rows that belong to nothing fill up each class to the exact count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tunewright.core.errors import DataError
from tunewright.core.recipe import SplitSettings

SPLITS = ("train", "validation", "test")
Counts = npt.NDArray[np.int64]


@dataclass
class _Plan:
    """`units` holds the rows of each class in each group; `at[u]` is the split of group u, or -1; `filled` what splits hold."""

    units: Counts
    shares: npt.NDArray[np.float64]
    at: npt.NDArray[np.int64]
    filled: Counts

    def place(self, unit: Any, split: int) -> None:
        if self.at[unit] >= 0:
            self.filled[self.at[unit]] -= self.units[unit]
        self.at[unit] = split
        self.filled[split] += self.units[unit]


def assign(
    labels: pl.Series | None, groups: npt.NDArray[np.int64], settings: SplitSettings, seed: int, before: pl.Series | None = None
) -> pl.Series:
    """The split of each row, by name. Equal `groups` get equal splits. Without labels all rows are of one class.

    `before` names the split that a row had in an earlier split, or null; a group goes where most of its rows were. Raises DataError when a class cannot be in all three splits.
    """
    if labels is None:
        labels = pl.Series("label", ["rows"], dtype=pl.String).new_from_index(0, len(groups))
        _check_enough(len(groups))
    else:
        _check_classes(labels.unique().sort().to_list(), labels)
    names = labels.unique().sort()
    codes = np.searchsorted(names.to_numpy(), labels.to_numpy())
    numbers, unit_of = np.unique(groups, return_inverse=True)
    units = np.zeros((len(numbers), len(names)), np.int64)
    np.add.at(units, (unit_of, codes), 1)
    shares = np.array([getattr(settings, name) for name in SPLITS])
    plan = _Plan(units, shares, np.full(len(units), -1), np.zeros((len(SPLITS), len(names)), np.int64))
    shuffled = np.random.default_rng(seed).permutation(len(units))
    sizes = units.sum(axis=1)
    if before is not None:
        _place_as_before(plan, unit_of, before)
        shuffled = shuffled[plan.at[shuffled] < 0]
    _place_groups(plan, shuffled[sizes[shuffled] > 1], sizes)
    _place_singles(plan, shuffled[sizes[shuffled] == 1])
    _every_class_everywhere(plan, names.to_list())
    _check_sizes(plan, sizes)
    return pl.Series("split", np.array(SPLITS)[plan.at[unit_of]])


def _place_as_before(plan: _Plan, unit_of: npt.NDArray[np.int64], before: pl.Series) -> None:
    """Each group goes where most of its rows were; a tie goes to the later split, so that the test loses none."""
    known = before.is_in(SPLITS).fill_null(False)
    places = np.array([SPLITS.index(name) for name in before.filter(known)], np.int64)
    votes = np.zeros((len(plan.units), len(SPLITS)), np.int64)
    np.add.at(votes, (unit_of[known.to_numpy()], places), 1)
    for unit in np.flatnonzero(votes.sum(axis=1)):
        plan.place(unit, len(SPLITS) - 1 - int(votes[unit][::-1].argmax()))


def _check_classes(names: list[Any], labels: pl.Series) -> None:
    if len(names) < 2:
        said = f"every row is labelled {names[0]!r}" if names else "no rows are left"
        raise DataError(f"prepare: {said}, but a classifier needs at least two classes. Check data.label, data.where and prepare.steps.")
    counts = labels.value_counts().sort("count", labels.name).iter_rows()
    few = [f"{label!r} ({count})" for label, count in counts if count < 3]
    if few:
        raise DataError(
            f"prepare: train, validation and test need each class, so a class needs at least 3 rows after cleaning, but there are fewer"
            f" of {', '.join(few)}. Add rows of these classes, or leave them out (data.where, or remove the rows)."
        )


def _check_enough(rows: int) -> None:
    if rows < 3:
        raise DataError(
            f"prepare: train, validation and test need a row each, but {rows} rows are left. Check data.where and prepare.steps."
        )


def _place_groups(plan: _Plan, units: npt.NDArray[np.int64], sizes: Counts) -> None:
    """Largest first; each goes where it moves the rows of its classes least away from the shares (chi-square)."""
    target = np.outer(plan.shares, plan.units.sum(axis=0)).clip(min=1e-9)
    total, whole = target.sum(axis=1), plan.filled.sum(axis=1).astype(np.float64)
    for unit in units[np.argsort(-sizes[units], kind="stable")]:
        own, size = plan.units[unit], sizes[unit]
        cost = (own * (own + 2 * (plan.filled - target)) / target).sum(axis=1)
        split = int((cost + size * (size + 2 * (whole - total)) / total).argmin())
        plan.place(unit, split)
        whole[split] += size


def _place_singles(plan: _Plan, units: npt.NDArray[np.int64]) -> None:
    """Rows that belong to no group: each class is filled up to its shares, rounded by largest remainder."""
    classes = plan.units[units].argmax(axis=1)
    for label in range(plan.units.shape[1]):
        own = units[classes == label]
        wanted = (plan.shares * plan.units[:, label].sum() - plan.filled[:, label]).clip(min=0)
        wanted *= len(own) / wanted.sum() if wanted.sum() else 0
        counts = np.floor(wanted).astype(int)
        counts[np.argsort(counts - wanted, kind="stable")[: len(own) - counts.sum()]] += 1
        for split, part in enumerate(np.split(own, np.cumsum(counts)[:-1])):
            plan.at[part] = split
            plan.filled[split, label] += len(part)


def _every_class_everywhere(plan: _Plan, names: list[Any]) -> None:
    """Move the smallest group that helps where a split lacks a class; give up with an error when none can be spared."""
    for split, label in np.argwhere(plan.filled == 0):
        candidates = [
            unit
            for unit in np.flatnonzero(plan.units[:, label])
            if all(plan.filled[plan.at[unit]][own] > count for own, count in enumerate(plan.units[unit]) if count)
        ]
        if not candidates:
            own = plan.units[:, label]
            raise DataError(
                f"prepare: found no way to have class {names[label]!r} in each of train, validation and test: its {own.sum()} rows belong"
                f" to {(own > 0).sum()} group(s) that must stay together (near duplicates and data.groups). Add rows of other groups,"
                " raise prepare.near_duplicate_threshold, or take fewer columns for data.groups."
            )
        plan.place(min(candidates, key=lambda unit: plan.units[unit].sum()), int(split))


def _check_sizes(plan: _Plan, sizes: Counts) -> None:
    rows, wanted = plan.filled.sum(axis=1), plan.shares * sizes.sum()
    for name, got, want in zip(SPLITS, rows, wanted, strict=True):
        if got < want / 2 - 1:
            raise DataError(
                f"prepare.split: {name} would get {got} rows instead of about {want:.0f}, because {sizes.max()} of the {sizes.sum()} rows"
                " belong together (near duplicates, data.groups) and must stay in one split. Take fewer columns for data.groups,"
                " raise prepare.near_duplicate_threshold, or add other rows."
            )
