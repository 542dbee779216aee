"""Did confidence fall at some request, without waiting for the window to end?"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from tunewright.core.parts import Signal
from tunewright.core.watch import Measure, Moved, Unmeasured, View
from tunewright.monitor.streams import changed
from tunewright.monitor.texts import enough


class ConfidenceStream(Signal):
    """ADWIN on the confidence of every answer, begun with the reference's: alarms at a fall that lasts, however small."""

    family = "output"
    advice: ClassVar[str] = (
        "label the requests that it is least sure of (they train best), and a uniform sample (only that tells the accuracy)"
    )
    delta: float = Field(
        0.002, gt=0, lt=1, description="ADWIN's bound on a false alarm at each look; its real rate is in benchmarks/results/drift.json"
    )

    def measure(self, view: View) -> Measure | Unmeasured:
        own = enough(view.where(view.rows["confidence"].is_not_null()), "too few answers have probabilities (/v1/classify gives them)")
        if isinstance(own, Unmeasured):
            return own
        sure = own.rows["confidence"].to_numpy()
        alarm, before, after = changed(sure[~own.now], np.concatenate([view.confidences, sure[own.now]]), self.delta, worse=-1)
        text = f"ADWIN: mean confidence {after:.3f}" + (f", fallen from {before:.3f}" if alarm else ", no fall found")
        return Measure(after, before, text, alarm=alarm, moved=(Moved("confidence", "mean of the stream", before, after),))
