"""A text and its right answer out of a few: classification.

text "great phone" | label positive
"""

from __future__ import annotations

import polars as pl

from tunewright.core.recipe import DataSettings
from tunewright.sources.layout import DETAIL, REASON, Layout, blank, plain
from tunewright.sources.table import Table


class TextLabel(Layout):
    """A text and a label; the columns are named by data.text and data.label."""

    def uses(self, data: DataSettings) -> dict[str, str]:
        return {"data.text": data.text, "data.label": data.label}

    def required(self, data: DataSettings) -> dict[str, str]:
        return self.uses(data)

    def detect(self, sample: Table, data: DataSettings) -> str | None:
        if not {data.text, data.label} <= set(sample.frame.columns):
            return None
        return f"columns {data.text} and {data.label}, {sample.frame[data.label].drop_nulls().n_unique()} different labels in {len(sample.frame):,} sampled rows"

    def convert(self, table: Table, data: DataSettings) -> pl.DataFrame:
        text, wrong_text = plain(table, data.text)
        label, wrong_label = plain(table, data.label)
        frame = pl.DataFrame({"text": text, "label": label, "a": wrong_text, "b": wrong_label})
        bad = pl.coalesce("a", "b", pl.when(blank("label")).then(pl.lit("missing_label")))
        nested = pl.lit("a list or an object where text is needed")
        why = (
            pl.when(pl.col(REASON) == "missing_label")
            .then(pl.lit(f"column {data.label!r} is empty"))
            .when(pl.col(REASON).is_not_null())
            .then(nested)
        )
        return frame.with_columns(bad.alias(REASON)).with_columns(why.alias(DETAIL)).drop("a", "b")
