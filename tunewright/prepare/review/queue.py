"""The queue: which rows to look at next, and in which order. One line of `review/queue.parquet`:

    position 3 | row_id r3f09... | check label_noise | question null | stratum gain | wanted 2
    | uncertainty 0.61 | influence 4.2 | seconds 14.0 | gain 0.18

`stratum` says why the row is here: `gain` (it leads), `random` (a uniformly random row: what these show is true of all rows), or
`calibration:CHECK:...` with the `question` whether that check is right about the row. `wanted` is how many people should see it.
"""

from __future__ import annotations

import math

import polars as pl

from tunewright.core.errors import DataError
from tunewright.prepare.review.gain import Margins, with_gain

QUEUE_SCHEMA: dict[str, pl.DataType] = {
    "position": pl.Int64(),
    "row_id": pl.String(),
    "check": pl.String(),
    "question": pl.String(),
    "stratum": pl.String(),
    "wanted": pl.Int64(),
    "uncertainty": pl.Float64(),
    "influence": pl.Float64(),
    "seconds": pl.Float64(),
    "gain": pl.Float64(),
}


def build(
    rows: pl.DataFrame,
    findings: pl.DataFrame,
    precision: dict[str, list[tuple[float, float]]],
    n: int = 50,
    random: float = 0.2,
    overlap: float = 0.2,
    seed: int = 0,
    margins: Margins | None = None,
) -> pl.DataFrame:
    """The next `n` of `rows`: a share `random` of them drawn uniformly, the others by expected gain, one of each set of near
    duplicates; a share `overlap`, drawn at random too, is wanted by two reviewers."""
    for name, share in (("random", random), ("overlap", overlap)):
        if not 0 <= share <= 1:
            raise DataError(f"{name} must be a share between 0 and 1, but got {share:g}.")
    if n < 1:
        raise DataError(f"a queue needs at least 1 row, but got {n}.")
    n = min(n, len(rows))
    if n == 0:
        return pl.DataFrame(schema=QUEUE_SCHEMA)
    drawn = rows.sort("row_id").sample(round(random * n), seed=seed, shuffle=True)["row_id"].to_list()
    valued = with_gain(rows, findings, precision, set(drawn), margins)
    by_gain = valued.filter(~pl.col("row_id").is_in(drawn)).unique("cluster", keep="first", maintain_order=True).head(n - len(drawn))
    by_chance = pl.DataFrame({"row_id": drawn}, schema={"row_id": pl.String}).join(valued, on="row_id", maintain_order="left")
    queue = _interleave(by_gain, by_chance)
    twice = pl.int_range(pl.len()).shuffle(seed + 1) < math.ceil(overlap * len(queue))
    queue = queue.with_columns(wanted=1 + twice.cast(pl.Int64), question=pl.lit(None, dtype=pl.String))
    return number(queue)


def _interleave(by_gain: pl.DataFrame, by_chance: pl.DataFrame) -> pl.DataFrame:
    """The rows of both in their orders, the random ones spread evenly, so that stopping early leaves the same mixture."""
    parts = [
        part.with_columns(stratum=pl.lit(name), at=(pl.int_range(pl.len()) + 0.5) / max(1, len(part)))
        for name, part in (("gain", by_gain), ("random", by_chance))
    ]
    return pl.concat(parts).sort("at", "stratum")


def number(queue: pl.DataFrame) -> pl.DataFrame:
    """`queue` in the file's schema, positions counted from 1."""
    return queue.with_columns(position=pl.int_range(1, pl.len() + 1, dtype=pl.Int64)).select(
        pl.col(name).cast(kind) for name, kind in QUEUE_SCHEMA.items()
    )
