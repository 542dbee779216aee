"""One way to write a character: Unicode form, quotes, dashes, spaces. Nothing is wrong with “curly” quotes; mixing them splits a vocabulary."""

from __future__ import annotations

from functools import partial
from typing import Literal

import polars as pl
from pydantic import Field

from tunewright.core.parts import Look, Step, StepResult
from tunewright.prepare.fields import differs, edited
from tunewright.prepare.steps._shared import change
from tunewright.text.repair import mend

QUOTES = {"‘": "'", "’": "'", "‚": "'", "‛": "'", "“": '"', "”": '"', "„": '"', "‟": '"', "«": '"', "»": '"'}
DASHES = {"‐": "-", "‑": "-", "‒": "-", "–": "-", "—": "-", "―": "-", "−": "-"}
Form = Literal["NFC", "NFKC", "none"]


class NormaliseText(Step):
    """Writes the same character in the same way. Reasons: unicode_form, quotes, dashes, white_space. Style, not damage: ask for it."""

    unicode: Form = Field("NFC", description="NFC joins letters and accents; NFKC also flattens ligatures and full-width forms; none")
    quotes: bool = Field(True, description="curly, low and angle quotes become straight ones")
    dashes: bool = Field(False, description="every dash and minus sign becomes a hyphen")
    white_space: bool = Field(True, description="runs of spaces become one, more than one empty line one, ends are trimmed")

    def run(self, rows: pl.DataFrame, look: Look) -> StepResult:
        changes = [change(rows.clear(), "fixed", "")]
        for reason, wanted in (("unicode_form", self.unicode != "none"), *((name, getattr(self, name)) for name in _PLAIN)):
            if wanted:
                done = edited(rows, partial(_rewrite, reason, self.unicode))
                changes.append(change(rows.filter(differs(rows, done)), "fixed", reason))
                rows = done
        return StepResult(rows, pl.concat(changes))


_PLAIN = ("quotes", "dashes", "white_space")


def _rewrite(reason: str, form: Form, texts: pl.Series, row_ids: pl.Series) -> pl.Series:
    if reason == "unicode_form":
        return texts.str.normalize("NFKC" if form == "NFKC" else "NFC")
    if reason == "white_space":
        return mend("white_space", texts)
    marks = QUOTES if reason == "quotes" else DASHES
    return texts.to_frame("t").select(pl.col("t").str.replace_many(marks)).to_series()
