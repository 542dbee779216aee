"""Which rows belong together, so that none of them is judged by a model that saw another."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from tunewright.core.recipe import DataSettings
from tunewright.core.rows import RESERVED, asked
from tunewright.text.neardup import TextJoin, clusters


def leak_groups(rows: pl.DataFrame, data: DataSettings, threshold: float) -> npt.NDArray[np.int64]:
    """One number a row, equal for rows linked by near-duplicate texts (Jaccard >= `threshold`) or equal `data.groups` values.

    Links chain: a near duplicate of a row of my thread is in my group. Null and empty values link nothing.
    """
    links = TextJoin(asked(rows)).links(threshold)
    left, right = [links["left"].to_numpy()], [links["right"].to_numpy()]
    for given in data.groups:
        name = {data.text: "text", data.label: "label"}.get(given, f"{given}_" if given in RESERVED else given)
        same = rows.select(pl.col(name).cast(pl.String).alias("value")).with_row_index("row").filter(pl.col("value").fill_null("") != "")
        same = same.with_columns(first=pl.col("row").first().over("value"))
        left.append(same["first"].to_numpy())
        right.append(same["row"].to_numpy())
    return clusters(len(rows), np.concatenate(left), np.concatenate(right))
