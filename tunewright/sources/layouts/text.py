"""Plain text, to be continued as it is.

{"text": "Once upon a time ..."}
"""

from __future__ import annotations

from typing import ClassVar

import polars as pl

from tunewright.core.recipe import DataSettings
from tunewright.sources.layout import DETAIL, REASON, Layout, counted, plain
from tunewright.sources.table import Table


class Text(Layout):
    """One text a row, without an answer; the column is named by data.text."""

    weak: ClassVar[bool] = True

    def uses(self, data: DataSettings) -> dict[str, str]:
        return {"data.text": data.text}

    def required(self, data: DataSettings) -> dict[str, str]:
        return self.uses(data)

    def detect(self, sample: Table, data: DataSettings) -> str | None:
        columns = sample.frame.columns
        if data.text not in columns or data.label in columns or "label" in data.model_fields_set or data.text in sample.nested:
            return None
        filled = sample.frame.select(pl.col(data.text).is_not_null().sum()).item()
        return f"column {data.text} and no column {data.label}, filled {counted(filled, len(sample.frame))}"

    def convert(self, table: Table, data: DataSettings) -> pl.DataFrame:
        text, wrong = plain(table, data.text)
        why = pl.when(pl.col(REASON).is_not_null()).then(pl.lit("a list or an object where text is needed"))
        return pl.DataFrame({"text": text, REASON: wrong}).with_columns(why.alias(DETAIL))
