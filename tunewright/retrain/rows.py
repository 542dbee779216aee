"""The rows of a challenger: approved traffic and a share of the champion's own, each with its split and where it comes from.

    id 4711 | text ... | label negative | split test       | part frozen  | source reviews.csv        | line 212
    id cls-9f2 | ...                    | split train      | part         | source traffic:reviews@1  | line cls-9f2
    id cls-77a | ...                    | split test       | part rolling | source traffic:reviews@1  | line cls-77a

frozen    the test of the first run: sealed then, sealed now, never trained on
rolling   a share of the new rows, uniformly sampled ones where there are any; when the next attempt begins they may be trained on
replay    a share of the old training rows (validation rows stay validation rows)

A new row that is near a frozen one is left out, with that reason; near duplicates between the other splits are taken care of by prepare.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import polars as pl

from tunewright.core.errors import RunError
from tunewright.core.files import read_parquet, write_parquet
from tunewright.core.seal import check_seal
from tunewright.retrain.recipe import LoopRecipe, known_ids
from tunewright.text.groups import leak_groups

SPLITS = ("train", "validation", "test")
FROM = ("source", "line")


def write(champion: LoopRecipe, new: pl.DataFrame, labels: list[str], folder: Any) -> dict[str, Any]:
    """Write `rows.parquet` and `left_out.parquet` into `folder`; what is in them. Raises `RunError`."""
    old = old_rows(champion)
    fit, left = _usable(champion, new, labels, old.filter(pl.col("part") == "frozen"))
    if fit.is_empty():
        raise RunError(f"none of the {len(new)} new rows can be used: {left['why'].value_counts().to_dicts()}. Approve others.")
    dealt = deal(fit, champion)
    chosen = old.filter((pl.col("split") != "train") | _lot(old["id"], "replay").lt(champion.settings.replay))
    extra = [name for name in old.columns if name not in dealt.columns]
    rows = pl.concat([chosen, dealt.with_columns(pl.lit(None, dtype=pl.String).alias(name) for name in extra).select(old.columns)])
    write_parquet(folder / "rows.parquet", rows)
    write_parquet(folder / "left_out.parquet", left)
    by_source = rows.group_by("source", "split").len().sort("source", "split")
    return {
        "rows": len(rows),
        "new": len(dealt),
        "left_out": dict(left["why"].value_counts().sort("why").iter_rows()),
        "replayed": int((chosen["split"] == "train").sum()),
        "frozen": int((rows["part"] == "frozen").sum()),
        "rolling": int((rows["part"] == "rolling").sum()),
        "rolling_sampled": sorted(dealt.filter(pl.col("part") == "rolling")["sampled_"].unique()),
        "by_source": [{"source": source, "split": split, "rows": n} for source, split, n in by_source.iter_rows()],
    }


def old_rows(champion: LoopRecipe) -> pl.DataFrame:
    """What the champion's run kept, as it was read (before its steps, which will be taken again), with its split. An earlier rolling
    test has done its duty: it may be trained on now."""
    known_ids(champion)
    run = champion.run
    check_seal(run)
    raw = read_parquet(run.path("audit", "rows.parquet"))
    splits = [read_parquet(run.path("prepare", f"{name}.parquet")).select("row_id", split=pl.lit(name)) for name in SPLITS]
    rows = raw.drop("split", "part", strict=False).join(pl.concat(splits), on="row_id", maintain_order="left")
    part = raw.select("row_id", part=pl.col("part") if "part" in raw.columns else pl.lit(None, dtype=pl.String))
    rows = rows.join(part, on="row_id", maintain_order="left")
    rolled = (pl.col("split") == "test") & (pl.col("part") == "rolling")
    rows = rows.with_columns(split=pl.when(rolled).then(pl.lit("train")).otherwise("split"))
    rows = rows.with_columns(part=pl.when(pl.col("split") == "test").then(pl.lit("frozen")))
    data = champion.recipe.data
    named = [name for name in dict.fromkeys([*data.groups, *data.slices, *([data.date] if data.date else [])]) if name in rows.columns]
    origin = [pl.coalesce(f"{name}_" if f"{name}_" in rows.columns else name, name).cast(pl.String).alias(name) for name in FROM]
    told: list[Any] = [pl.col("row_id").alias("id"), pl.col("text"), pl.col("label").cast(pl.String), "split", "part", *origin]
    own = [pl.col(name).cast(pl.String) for name in named if name not in ("text", "label", *FROM)]
    return rows.select(*told, *own).sort(pl.col("part").is_null(), maintain_order=True)


def _usable(champion: LoopRecipe, new: pl.DataFrame, labels: list[str], frozen: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """New rows that may be learnt from, and the others with the reason."""
    texts = pl.concat([frozen.select("text"), new.select("text")])
    threshold = champion.recipe.prepare.near_duplicate_threshold
    group = pl.Series(leak_groups(texts, champion.recipe.data.model_copy(update={"groups": []}), threshold))
    sealed = group[len(frozen) :].is_in(group[: len(frozen)].unique().implode())
    why = pl.when(sealed).then(pl.lit("near_a_frozen_test_row")).when(~pl.col("label").is_in(labels)).then(pl.lit("unknown_label"))
    marked = new.with_columns(why=why)
    left = marked.filter(pl.col("why").is_not_null()).select("id", "source", "line", "label", "why")
    return marked.filter(pl.col("why").is_null()).drop("why"), left


def deal(new: pl.DataFrame, champion: LoopRecipe) -> pl.DataFrame:
    """Give each new row a split. The lot of a row hangs on its text alone, so it falls alike in the next attempt."""
    wanted = champion.settings.rolling_test * len(new)
    uniform = new["sampled"] == "uniform"
    pool = uniform if int(uniform.sum()) >= wanted else pl.Series([True]).new_from_index(0, len(new))
    share = min(1.0, wanted / max(1, int(pool.sum())))
    split = champion.recipe.prepare.split
    lot = new["text"].str.to_lowercase()
    rolling = pool & _lot(lot, "rolling").lt(share)
    validation = _lot(lot, "validation").lt(split.validation / (split.train + split.validation))
    name = pl.when(rolling).then(pl.lit("test")).when(validation).then(pl.lit("validation")).otherwise(pl.lit("train"))
    return new.with_columns(split=name, sampled_="sampled").with_columns(
        part=pl.when(rolling).then(pl.lit("rolling")).otherwise(pl.lit("new"))
    )


def _lot(values: pl.Series, purpose: str) -> pl.Series:
    """A number in [0, 1) for each value, always the same."""
    drawn = [int.from_bytes(blake2b(f"{purpose}\x00{one}".encode(), digest_size=8).digest()) / 2**64 for one in values]
    return pl.Series(drawn, dtype=pl.Float64)
