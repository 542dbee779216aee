"""Is the release surer or less sure of its answers?"""

from __future__ import annotations

from typing import ClassVar

from tunewright.core.parts import Signal
from tunewright.core.watch import Measure, Moved, Unmeasured, View
from tunewright.monitor.shuffles import earth_moved
from tunewright.monitor.texts import enough, examples


class Confidence(Signal):
    """Calibrated probability of the given answer: how far its distribution has moved (Wasserstein's distance)."""

    family = "output"
    advice: ClassVar[str] = (
        "label the requests that it is least sure of (they train best), and a uniform sample (only that tells the accuracy)"
    )

    def measure(self, view: View) -> Measure | Unmeasured:
        own = enough(view.where(view.rows["confidence"].is_not_null()), "too few answers have probabilities (/v1/classify gives them)")
        if isinstance(own, Unmeasured):
            return own
        sure = own.rows["confidence"].to_numpy()
        moved = earth_moved(sure, own.sides)
        before, now = float(sure[~own.now].mean()), float(sure[own.now].mean())
        least = examples(own, sure <= sorted(sure[own.now])[min(2, int(own.now.sum()) - 1)])
        text = f"mean confidence {now:.3f}; in the reference {before:.3f}"
        return Measure(float(moved[0]), 0.0, text, moved, moved=(Moved("confidence", "mean", before, now, least),))
