"""Does the model answer in the form that was asked for?"""

from __future__ import annotations

from typing import ClassVar

from tunewright.core.parts import Signal
from tunewright.core.watch import Measure, Unmeasured, View
from tunewright.monitor.rates import more_often
from tunewright.monitor.rows import OTHER
from tunewright.monitor.texts import enough


class FormatErrors(Signal):
    """Share of answers that are none of the labels, or not of the form that the caller asked for."""

    family = "output"
    advice: ClassVar[str] = "do callers use the release's own prompt? Ask through /v1/classify, or give response_format"

    def measure(self, view: View) -> Measure | Unmeasured:
        own = enough(view.where(view.rows["label"].is_not_null() | view.rows["format_ok"].is_not_null()), "too few answers")
        if isinstance(own, Unmeasured):
            return own
        asked = own.rows["format_ok"].is_not_null()
        wrong = (asked & ~own.rows["format_ok"].fill_null(True)) | (own.rows["label"].eq(OTHER).fill_null(False) & ~asked)
        return more_often(own, wrong.to_numpy(), "answers have another form than was asked for", "format error")
