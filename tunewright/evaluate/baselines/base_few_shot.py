from __future__ import annotations

import polars as pl
from pydantic import Field

from tunewright.core.score import LabelTask
from tunewright.evaluate.prompted import PromptedBaseline

LONGEST = 400  # characters of an example


class BaseFewShot(PromptedBaseline):
    """The untuned model with a few solved training rows in the prompt, as many of each label, in turn."""

    per_label: int = Field(2, ge=1, description="examples of each label")

    def examples(self, task: LabelTask) -> list[tuple[str, str]]:
        rows = task.train.filter(pl.col("text").str.len_chars() <= LONGEST).sort("row_id")
        shuffled = rows.sample(fraction=1, shuffle=True, seed=self.seed)
        turn = pl.int_range(pl.len()).over("label")
        chosen = shuffled.with_columns(turn=turn).filter(pl.col("turn") < self.per_label).sort("turn", maintain_order=True)
        return list(chosen.select("text", "label").iter_rows())
