"""Are free answers longer or shorter?"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from tunewright.core.parts import Signal
from tunewright.core.watch import Measure, Moved, Unmeasured, View
from tunewright.monitor.shuffles import earth_moved
from tunewright.monitor.texts import examples, with_text


class AnswerLength(Signal):
    """Length of answers: how far the logarithms of their lengths have moved (Wasserstein's distance)."""

    family = "output"
    advice: ClassVar[str] = "read the longest answers: does the model not stop, or explain itself where a label was asked for?"

    def measure(self, view: View) -> Measure | Unmeasured:
        own = with_text(view, "answer")
        if isinstance(own, Unmeasured):
            return own
        letters = own.rows["answer"].str.len_chars().to_numpy()
        moved = earth_moved(np.log1p(letters), own.sides)
        before, now = float(letters[~own.now].mean()), float(letters[own.now].mean())
        longest = examples(own, letters >= np.quantile(letters[own.now], 0.99))
        text = f"an answer has {now:.1f} characters on average; in the reference {before:.1f}"
        return Measure(float(moved[0]), 0.0, text, moved, moved=(Moved("length", "mean characters", before, now, longest),))
