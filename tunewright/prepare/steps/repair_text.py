"""Mend damage to the text: wrong decoding, HTML entities, control characters, stray white space (HTML tags when asked)."""

from __future__ import annotations

import polars as pl
from pydantic import Field

from tunewright.core.parts import Look, Step, StepResult
from tunewright.prepare.steps._shared import change
from tunewright.text.repair import Repair, mend


class RepairText(Step):
    """Mends damage to the text without guessing. Reasons: the names of the repairs that changed a row."""

    repairs: list[Repair] = Field(
        ["encoding", "html_entities", "control_characters", "white_space"],
        description="what to mend, in this order; html_tags replaces each tag by a space",
    )

    def run(self, rows: pl.DataFrame, look: Look) -> StepResult:
        changes = [change(rows.clear(), "fixed", "")]
        for repair in self.repairs:
            mended = mend(repair, rows["text"])
            changes.append(change(rows.filter(mended.ne_missing(rows["text"])), "fixed", repair))
            rows = rows.with_columns(text=mended)
        return StepResult(rows, pl.concat(changes))
