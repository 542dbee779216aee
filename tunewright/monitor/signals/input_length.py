"""Are texts longer or shorter than those that the release was tested on?"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from tunewright.core.parts import Signal
from tunewright.core.watch import Measure, Moved, Unmeasured, View
from tunewright.monitor.shuffles import earth_moved
from tunewright.monitor.texts import examples, with_text


class InputLength(Signal):
    """Length of texts: how far the logarithms of their lengths have moved (Wasserstein's distance)."""

    family = "input"
    advice: ClassVar[str] = (
        "look at the longest and the shortest requests: a new caller, a changed form, or text that is cut before it arrives?"
    )

    def measure(self, view: View) -> Measure | Unmeasured:
        own = with_text(view)
        if isinstance(own, Unmeasured):
            return own
        letters = own.rows["text"].str.len_chars().to_numpy()
        moved = earth_moved(np.log1p(letters), own.sides)
        before, now = float(np.median(letters[~own.now])), float(np.median(letters[own.now]))
        far = letters >= np.quantile(letters[own.now], 0.99) if now >= before else letters <= np.quantile(letters[own.now], 0.01)
        text = f"half of the texts have up to {now:.0f} characters; in the reference {before:.0f}"
        return Measure(float(moved[0]), 0.0, text, moved, moved=(Moved("length", "median characters", before, now, examples(own, far)),))
