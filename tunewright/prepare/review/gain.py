"""What a look at a row is worth: uncertain x influential x cheap. Each factor is a column of the queue, and so is the product.

uncertainty 0.61   chance that something is wrong with the row: 1 - product over its findings of (1 - chance that this one is right),
                   where a calibrated check brings its measured precision; with a tuned model, its margin on the label too
influence   4.2    rows it stands for: its copies, and its ten nearest neighbours by their similarity; times the rarity of its class
seconds     14     to read it at 238 words a minute (Brysbaert 2019, doi:10.1016/j.jml.2019.104047), and 3 to decide
gain        0.18   = uncertainty * influence / seconds
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tunewright.core.optional import require
from tunewright.core.rows import content

CHANCE = {"error": 0.7, "warning": 0.5, "info": 0.15}  # that a finding is right and matters, before anybody has looked at one
OF_A_LABEL = 0.6  # the same where it is about the label, which only a person can mend
MENDED = 0.25  # what is left of it where a step of prepare mends the row by itself
QUIET = 0.02  # that a row is wrong about which no check says anything
WORDS_A_SECOND = 238 / 60
DECIDING = 6.0
NEIGHBOURS = 10
CANDIDATES = 2_000  # rows whose neighbours are looked for
REFERENCE = 10_000  # rows among which they are looked for
MODEL_ROWS = 200  # rows that the tuned model is asked about
Margins = Callable[[pl.DataFrame], npt.NDArray[np.float64]]


def uncertainty(rows: pl.DataFrame, findings: pl.DataFrame, precision: dict[str, list[tuple[float, float]]]) -> pl.DataFrame:
    """`row_id, uncertainty, check` for each of `rows`; `check` is the finding that counts most.

    `precision` holds, for calibrated checks, (lowest score, measured precision) of each score stratum, ascending.
    """
    rank = (pl.col("score").rank("average").over("check") / pl.len().over("check")).fill_null(0.5)
    automatic = pl.col("suggested_fix").fill_null("review").str.contains("_")  # the name of a step
    prior = (
        pl.when(pl.col("field") == "label").then(OF_A_LABEL).otherwise(pl.col("severity").replace_strict(CHANCE, return_dtype=pl.Float64))
    )
    guess = prior * (0.5 + 0.5 * rank)
    measured = pl.lit(None, dtype=pl.Float64)
    for check, steps in precision.items():
        for lowest, share in steps:
            inside = (pl.col("check") == check) & (pl.col("score").fill_null(-np.inf) >= lowest)
            measured = pl.when(inside).then(pl.lit(share)).otherwise(measured)
    chance = pl.coalesce(measured, guess) * pl.when(automatic).then(MENDED).otherwise(1.0)
    worst = (
        findings.select("row_id", "check", chance=chance.clip(0, 0.999))
        .sort("chance", descending=True)
        .unique(["row_id", "check"], keep="first", maintain_order=True)
        .group_by("row_id", maintain_order=True)
        .agg(uncertainty=1 - (1 - pl.col("chance")).product(), check=pl.col("check").first())
    )
    return (
        rows.select("row_id")
        .join(worst, on="row_id", how="left", maintain_order="left")
        .with_columns(pl.col("uncertainty").fill_null(QUIET))
    )


def reading_seconds(rows: pl.DataFrame) -> pl.Series:
    """Seconds to read and decide each row."""
    words = content(rows).fill_null("").str.count_matches(r"\S+")
    return (DECIDING + words / WORDS_A_SECOND).alias("seconds")


def rarity(rows: pl.DataFrame) -> pl.Series:
    """How much more a row of a rare class counts: square root of the mean class size over its own, between 1/2 and 3."""
    if "label" not in rows.columns:
        return pl.Series("rarity", np.ones(len(rows)))
    mean = len(rows) / max(1, rows["label"].n_unique())
    return rows.select(rarity=(mean / pl.len().over("label")).sqrt().clip(0.5, 3)).to_series()


def neighbours(texts: list[str], reference: list[str]) -> npt.NDArray[np.float64]:
    """For each of `texts`, the summed TF-IDF cosine to its ten nearest in `reference` (a sample of all rows, itself left out)."""
    text = require("sklearn.feature_extraction.text", "audit")
    hashed = text.HashingVectorizer(n_features=2**18, alternate_sign=False, norm=None)
    weigh = text.TfidfTransformer(sublinear_tf=True).fit(hashed.transform(reference or [""]))
    there = weigh.transform(hashed.transform(reference or [""])).T.tocsc()
    found = np.zeros(len(texts))
    for start in range(0, len(texts), 250):
        near = (weigh.transform(hashed.transform(texts[start : start + 250])) @ there).toarray()
        near[near > 1 - 1e-9] = 0.0  # itself and its copies, which are counted apart
        most = min(NEIGHBOURS, near.shape[1])
        found[start : start + 250] = np.partition(near, near.shape[1] - most, axis=1)[:, -most:].sum(axis=1)
    return found


def with_gain(
    rows: pl.DataFrame,
    findings: pl.DataFrame,
    precision: dict[str, list[tuple[float, float]]],
    always: set[str],
    margins: Margins | None = None,
) -> pl.DataFrame:
    """The most promising of `rows` and those in `always`, with `uncertainty, check, influence, seconds, gain, cluster`, best first.

    Neighbours are looked for around the 2,000 rows that lead without them. `margins` asks the tuned model how sure it is of
    each row (1 sure, 0 not at all) for the 200 that lead then.
    """
    from tunewright.text.neardup import TextJoin

    texts = content(rows).fill_null("")
    judged = rows.select("row_id").with_columns(
        texts.alias("content"), reading_seconds(rows), rarity(rows), cluster=pl.Series(TextJoin(texts).components(0.5))
    )
    judged = judged.join(uncertainty(rows, findings, precision), on="row_id", maintain_order="left").with_columns(
        copies=pl.len().over("cluster")
    )
    first = pl.col("uncertainty") * pl.col("copies") * pl.col("rarity") / pl.col("seconds")
    judged = judged.with_columns(gain=first).sort("gain", "row_id", descending=[True, False])
    leading = judged.head(CANDIDATES)
    leading = pl.concat([leading, judged.slice(CANDIDATES).filter(pl.col("row_id").is_in(list(always)))])
    reference = texts.sample(min(REFERENCE, len(texts)), seed=0).to_list()
    near = pl.Series(neighbours(leading["content"].to_list(), reference))
    leading = _product(leading.with_columns(influence=(pl.col("copies") + near) * pl.col("rarity")))
    if margins is not None:
        asked = leading.head(MODEL_ROWS).select("row_id").join(rows, on="row_id", maintain_order="left")
        sure: dict[str, Any] = dict(zip(asked["row_id"].to_list(), margins(asked).tolist(), strict=True))
        doubt = 1 - pl.col("row_id").replace_strict(sure, default=1.0, return_dtype=pl.Float64)
        leading = _product(leading.with_columns(uncertainty=1 - (1 - pl.col("uncertainty")) * (1 - 0.5 * doubt)))
    return leading.select("row_id", "uncertainty", "influence", "seconds", "gain", "check", "cluster")


def _product(rows: pl.DataFrame) -> pl.DataFrame:
    product = pl.col("uncertainty") * pl.col("influence") / pl.col("seconds")
    return rows.with_columns(gain=product).sort("gain", "row_id", descending=[True, False])
