"""Does the model refuse to answer?"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import polars as pl

from tunewright.core.parts import Signal
from tunewright.core.watch import Measure, Unmeasured, View
from tunewright.monitor.rates import more_often
from tunewright.monitor.texts import with_text

BEGINNING = 250  # characters of an answer in which a refusal stands


class Refusals(Signal):
    """Share of answers that refuse, or that speak of themselves as a language model; mere apologies do not count."""

    family = "output"
    advice: ClassVar[str] = "read the refused requests: an attack, a new subject, or a changed system prompt?"

    def measure(self, view: View) -> Measure | Unmeasured:
        from tunewright.text.phrases import phrases, spotted

        own = with_text(view, "answer")
        if isinstance(own, Unmeasured):
            return own
        found = spotted(own.rows["answer"].str.head(BEGINNING), phrases("refusals")).filter(pl.col("kind") != "apology")
        refused = np.zeros(len(own.rows), np.bool_)
        refused[found["row"].to_numpy()] = True
        return more_often(own, refused, "answers refuse", "refusal")
