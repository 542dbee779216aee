"""Slices nobody has named where a simple model errs more: rows with certain words, lengths or values of the file's other columns.

All slices of one or two conditions are counted at once by matrix products, as SliceLine does (Sagadeeva & Boehm 2021,
doi:10.1145/3448016.3457323). Among thousands of slices the worst looks bad by luck, so slices are found on one half of the rows
and judged on the other half, with Holm's correction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import Field

from tunewright.audit.checks._groups import Bools, Group, compared, percent
from tunewright.audit.checks._sample import QUICK_SAMPLE, quick_of, quick_rows
from tunewright.core.parts import Check, Look
from tunewright.core.rows import RESERVED
from tunewright.text.quick import Quick

MOST_WORDS, MOST_VALUES, MOST_SLICES = 150, 20, 10
AND = " and "
FEW, MANY = 0.01, 0.5  # share of the rows that a condition must hold for
ALIKE = 0.5  # slices that share this part of their rows are one


class FoundSlices(Check):
    """Rows of a kind that the quick classifier gets wrong more often, found without being named. Judged on other rows than found on."""

    severity: ClassVar[str] = "info"
    needs: ClassVar[tuple[str, ...]] = ("label",)
    scope: ClassVar[Literal["row", "all"]] = "all"
    measured_by: ClassVar[tuple[str, ...]] = ("min_rows", "sample")
    difference: float = Field(0.05, ge=0, le=1, description="the error rate must be this far above that of the other rows ...")
    p: float = Field(0.05, gt=0, lt=1, description="... with this corrected p")
    min_rows: int = Field(50, ge=10, description="rows that a slice must have in each half")
    sample: int = Field(QUICK_SAMPLE, ge=1, description="rows looked at, at most")

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        quick = quick_of(rows, look, self.sample)
        if quick is None or len(quick.rows) < 4 * self.min_rows:
            return pl.DataFrame()
        half = np.asarray(pl.Series(quick.groups).hash(seed=5).to_numpy() % 2 == 0)
        conditions = conditions_of(quick)
        found = worst_slices(conditions, quick.wrong, half, self.min_rows)
        groups = [Group("slice", name, member[~half]) for name, member in found]
        table = compared(groups, np.where(quick.wrong, 0, 1)[~half], ["wrong", "right"], quick.groups[~half])
        return table.filter(pl.col("kind") == "wrong").drop("kind")

    def measure_scan(self, rows: pl.LazyFrame, look: Look) -> pl.DataFrame:
        return self.measure(quick_rows(rows, self.sample), look)

    def decide(self, measures: pl.DataFrame, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        if measures.is_empty():
            return pl.DataFrame()
        worse = measures.filter((pl.col("p") <= self.p) & (pl.col("share") - pl.col("rest") >= self.difference))
        worse = worse.filter(pl.Series([_adds(line, worse) for line in worse.iter_rows(named=True)], dtype=pl.Boolean))
        said = "{}: the quick classifier gets {}% of {} rows wrong ({} to {}%), {}% of the other rows"
        limits = [percent(name) for name in ("low", "high", "rest")]
        return worse.sort("share", descending=True, maintain_order=True).select(
            evidence=pl.format(said, "group", percent("share"), "rows", *limits),
            score="share",
            suggested_fix=pl.lit("read some of these rows: review their labels, collect more of them, evaluate by slice"),
        )


def _adds(line: dict[str, Any], worse: pl.DataFrame) -> bool:
    """Whether a slice of two conditions is surely worse than the slices of one of them, where those are worse themselves."""
    wider = worse.filter(pl.col("group").is_in(line["group"].split(AND)) & (pl.col("group") != line["group"]))
    return bool((line["low"] > wider["share"]).all())


@dataclass(frozen=True)
class Conditions:
    """What can be said of a row: `holds` (rows, conditions), and how each is said."""

    names: list[str]
    kinds: list[str]
    holds: npt.NDArray[np.float32]


def conditions_of(quick: Quick) -> Conditions:
    """Frequent words, short and long texts, values of columns with few values."""
    rows, n = quick.rows, len(quick.rows)
    present = quick.bag.matrix.sign()
    counts = np.asarray(present.sum(axis=0)).ravel()
    single = ~quick.bag.words.str.contains(" ", literal=True).to_numpy() if len(quick.bag.words) else np.zeros(1, dtype=bool)
    kept = np.flatnonzero(single & (counts >= FEW * n) & (counts <= MANY * n))
    kept = kept[np.argsort(-counts[kept], kind="stable")][:MOST_WORDS]
    names = [f"with {quick.bag.words[int(one)]!r}" for one in kept]
    kinds, holds = names.copy(), [present[:, kept].toarray().astype(np.float32)]
    words = rows["text"].str.count_matches(r"\S+").to_numpy()
    low, high = np.quantile(words, [0.2, 0.8])
    for name, member in ((f"up to {low:.0f} words", words <= low), (f"{high:.0f} words or more", words >= high)):
        names, kinds, holds = [*names, name], [*kinds, "length"], [*holds, member[:, None].astype(np.float32)]
    for column in rows.columns:
        values = rows[column]
        if column in RESERVED or values.dtype not in (pl.String, pl.Boolean, pl.Categorical) or not 2 <= values.n_unique() <= MOST_VALUES:
            continue
        for value in values.cast(pl.String).drop_nulls().unique().sort():
            names, kinds = [*names, f"{column}={value}"], [*kinds, column]
            holds.append((values.cast(pl.String) == value).fill_null(False).to_numpy()[:, None].astype(np.float32))
    return Conditions(names, kinds, np.hstack(holds))


def worst_slices(conditions: Conditions, wrong: Bools, half: Bools, min_rows: int) -> list[tuple[str, Bools]]:
    """(how it is said, its rows) of the slices whose error rate is surely high in `half` of the rows; two conditions only where
    that is surely worse than each of them alone."""
    holds = conditions.holds[half]
    sizes, errors = holds.T @ holds, holds.T @ (holds * wrong[half, None])
    rate = errors / np.maximum(sizes, 1)
    usual = float(wrong[half].mean())
    sure = rate - 1.64 * np.sqrt(np.maximum(rate * (1 - rate), 0.01) / np.maximum(sizes, 1))
    alone = np.diag(rate)
    adds = sure >= np.maximum(alone[:, None], alone[None, :])
    possible = (sizes >= min_rows) & (sure > usual) & (adds | np.eye(len(rate), dtype=bool)) & (np.triu(np.ones_like(rate)) > 0)
    one, other = np.nonzero(possible)
    order = np.argsort(-sure[one, other], kind="stable")
    chosen: list[tuple[str, Bools]] = []
    for place in order[:200]:
        first, second = int(one[place]), int(other[place])
        if first != second and conditions.kinds[first] == conditions.kinds[second]:
            continue
        member = (conditions.holds[:, first] > 0) & (conditions.holds[:, second] > 0)
        if any((member & known).sum() > ALIKE * (member | known).sum() for _, known in chosen):
            continue
        chosen.append((AND.join(dict.fromkeys((conditions.names[first], conditions.names[second]))), member))
        if len(chosen) == MOST_SLICES:
            break
    return chosen
