"""Groups that the bias checks compare: the values of the columns that `data.slices` names, and the shares that they differ in.

    compared(groups, labels, ...) -> column | group | rows  | kind     | share | low | high | rest | p
                                     domain | nyt   | 1,200 | negative | .31   | .28 | .34  | .22  | .0004

`p` is that of the group against all other rows, corrected for the number of groups that were judged (Holm). Groups of fewer than
`JUDGED` rows are shown with their interval and have no p. Where `data.groups` (or the quick classifier) says which rows belong
together, intervals and tests count groups of rows and not rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from tunewright.core.errors import DataError
from tunewright.core.parts import Look
from tunewright.core.recipe import DataSettings
from tunewright.core.rows import RESERVED
from tunewright.core.statistics import clopper_pearson, holm, proportion, same_mix

JUDGED = 30  # rows that a group needs to be judged
MOST_GROUPS = 30
OTHERS, NOTHING = "(all others)", "(empty)"
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
WHAT_TO_DO = "collect more of it, reweight with the balance step, evaluate by slice"


@dataclass(frozen=True)
class Group:
    """One value of one column; `member` says which rows have it."""

    column: str
    value: str
    member: Bools

    @property
    def rows(self) -> int:
        return int(self.member.sum())


def column_of(data: DataSettings, given: str, columns: Sequence[str]) -> str:
    """The name that a column of the file has among the rows. Raises DataError when there is none."""
    name = {data.text: "text", data.label: "label"}.get(given, f"{given}_" if given in RESERVED else given)
    if name not in columns:
        raise DataError(f"data.slices: the rows have no column {given!r}. Name one of: {', '.join(sorted(columns))}.")
    return name


def declared(rows: pl.DataFrame, look: Look) -> Iterator[Group]:
    """The groups of every column of `data.slices`, the largest first; values beyond the `MOST_GROUPS`-th are one group."""
    for given in look.recipe.data.slices:
        name = column_of(look.recipe.data, given, rows.columns)
        values = rows.select(value=pl.col(name).cast(pl.String).fill_null("").replace("", NOTHING))
        known = values["value"].value_counts(name="rows").sort("rows", "value", descending=[True, False])["value"]
        if len(known) > MOST_GROUPS:
            values = values.with_columns(
                value=pl.when(pl.col("value").is_in(known[: MOST_GROUPS - 1].implode())).then("value").otherwise(pl.lit(OTHERS))
            )
            known = pl.concat([known[: MOST_GROUPS - 1], pl.Series([OTHERS])])
        yield from (Group(given, value, (values["value"] == value).to_numpy()) for value in known)


def grouping(rows: pl.LazyFrame, look: Look, *columns: str) -> pl.DataFrame:
    """Of rows that do not fit in memory the columns that say which group each row is of, and `columns`."""
    names = rows.collect_schema().names()
    data = look.recipe.data
    wanted = [column_of(data, given, names) for given in (*data.slices, *data.groups)]
    return rows.select(list(dict.fromkeys(("row_id", *columns, *wanted)))).collect(engine="streaming")


def belonging(rows: pl.DataFrame, look: Look) -> Ints | None:
    """A number a row, equal for rows with the same values in the columns of `data.groups`; None without such columns."""
    names = [column_of(look.recipe.data, given, rows.columns) for given in look.recipe.data.groups]
    if not names:
        return None
    joined = pl.concat_str([pl.col(name).cast(pl.String) for name in names], separator="\x1f", ignore_nulls=True)
    values = rows.select(value=pl.when(joined.str.strip_chars("\x1f") == "").then("row_id").otherwise(joined))["value"]
    return values.rank("dense").cast(pl.Int64).to_numpy()


def compared(groups: Sequence[Group], kinds: npt.NDArray[np.intp], names: Sequence[str], together: Ints | None) -> pl.DataFrame:
    """A line for each group and kind: column, group, rows, kind, share, low, high, rest (the share among all other rows), p.

    kinds (n,) numbers `names`, -1 for rows that have none; together (n,) numbers sets of rows that belong together, if any do.
    """
    has, size = kinds >= 0, len(names)
    total = np.bincount(kinds[has], minlength=size)
    hits = [] if together is None else [(kinds == kind).astype(np.float64) for kind in range(size)]
    usual = total / max(1, total.sum())
    lines, tests = [], []
    for group in groups:
        inside = group.member & has
        counts = np.bincount(kinds[inside], minlength=size)
        n, rest = int(counts.sum()), int(total.sum() - counts.sum())
        for kind, name in enumerate(names if n else ()):
            if together is None:
                low, high = clopper_pearson(int(counts[kind]), n)
            else:
                limits = proportion(hits[kind][inside], together[inside])
                low, high = limits.low, limits.high
            others = (total[kind] - counts[kind]) / rest if rest else None
            lines.append((group.column, group.value, n, name, counts[kind] / n, low, high, others))
        p = None
        if min(n, rest) >= JUDGED:
            effects = [1.0, 1.0] if together is None else [_effect(hits, usual, part, together) for part in (inside, has & ~group.member)]
            p = same_mix(np.array([counts / effects[0], (total - counts) / effects[1]]))
        tests.append((group.column, group.value, p))
    schema = {"column": pl.String, "group": pl.String, "rows": pl.Int64, "kind": pl.String}
    schema |= dict.fromkeys(("share", "low", "high", "rest"), pl.Float64)
    table = pl.DataFrame(lines, schema=schema, orient="row")
    return table.join(_corrected(tests), on=["column", "group"], how="left", maintain_order="left")


def _effect(hits: Sequence[npt.NDArray[np.float64]], usual: npt.NDArray[np.float64], part: Bools, together: Ints) -> float:
    """How many rows of `part` count as one, were its shares those of all rows: the largest design effect of the kinds."""
    sets = np.unique(together[part], return_inverse=True)[1]
    effect = 1.0
    for hit, share in zip(hits, usual, strict=True):
        gap = hit[part] - share
        sums = np.bincount(sets, weights=gap)
        effect = max(effect, float(sums @ sums) / max(float(gap @ gap), 1e-12))
    return effect


def _corrected(tests: Sequence[tuple[str, str, float | None]]) -> pl.DataFrame:
    """(column, group, p) with Holm's correction over the groups that were judged."""
    adjusted = iter(holm([p for *_, p in tests if p is not None]))
    lines = [(column, group, None if p is None else next(adjusted)) for column, group, p in tests]
    return pl.DataFrame(lines, schema={"column": pl.String, "group": pl.String, "p": pl.Float64}, orient="row")


def numbered(values: pl.Series, most: int) -> tuple[npt.NDArray[np.intp], list[str]]:
    """(the number of each row's value, the values): the `most` most frequent ones; -1 for null, the rarer ones are one kind."""
    known = values.drop_nulls().value_counts(name="rows").sort("rows", values.name, descending=[True, False])[values.name].to_list()
    if len(known) > most:
        known = [*known[: most - 1], OTHERS]
    number = {value: place for place, value in enumerate(known)}
    rare = number.get(OTHERS, -1)
    places = values.replace_strict(number, default=rare, return_dtype=pl.Int64) if number else pl.repeat(-1, len(values), eager=True)
    return places.set(values.is_null(), -1).to_numpy(), known


def percent(name: str) -> pl.Expr:
    """A share as whole percents."""
    return (100 * pl.col(name)).round().cast(pl.Int64)


def named() -> pl.Expr:
    """How findings name a group: domain=nyt."""
    return pl.format("{}={}", "column", "group")
