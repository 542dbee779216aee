"""Does the model say the same thing over and over?"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from tunewright.core.parts import Signal
from tunewright.core.watch import Measure, Unmeasured, View
from tunewright.monitor.rates import more_often
from tunewright.monitor.texts import with_text


class Repetition(Signal):
    """Share of answers in which the same words, lines or letters are said again and again."""

    family = "output"
    advice: ClassVar[str] = (
        "read those answers: a lost end token, or greedy decoding of long answers? Check the served files by `tunewright verify`"
    )
    share: float = Field(0.3, gt=0.1, le=1, description="of an answer that the repeated words take")

    def measure(self, view: View) -> Measure | Unmeasured:
        from tunewright.text.repeats import repeats

        own = with_text(view, "answer")
        if isinstance(own, Unmeasured):
            return own
        found = repeats(own.rows["answer"], self.share)
        loops = np.zeros(len(own.rows), np.bool_)
        loops[found["row"].to_numpy()] = True
        return more_often(own, loops, "answers repeat themselves", "repetition")
