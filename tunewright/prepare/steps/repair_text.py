"""Mend damage to what people wrote: wrong decoding, HTML entities, control characters, stray white space (HTML tags when asked)."""

from __future__ import annotations

from functools import partial

import polars as pl
from pydantic import Field

from tunewright.core.parts import Look, Step, StepResult
from tunewright.prepare.fields import differs, edited
from tunewright.prepare.steps._shared import change
from tunewright.text.repair import Repair, mend


class RepairText(Step):
    """Mends damage to texts, answers and chats without guessing. Reasons: the names of the repairs that changed a row."""

    repairs: list[Repair] = Field(
        ["encoding", "html_entities", "control_characters", "white_space"],
        description="what to mend, in this order; html_tags replaces each tag by a space",
    )

    def run(self, rows: pl.DataFrame, look: Look) -> StepResult:
        changes = [change(rows.clear(), "fixed", "")]
        for repair in self.repairs:
            mended = edited(rows, partial(_mend, repair))
            changes.append(change(rows.filter(differs(rows, mended)), "fixed", repair))
            rows = mended
        return StepResult(rows, pl.concat(changes))


def _mend(repair: Repair, texts: pl.Series, row_ids: pl.Series) -> pl.Series:
    return mend(repair, texts)
