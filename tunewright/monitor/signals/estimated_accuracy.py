"""How often is the release right, as far as that can be told without labels?"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from tunewright.core.parts import Signal
from tunewright.core.watch import Measure, Moved, Unmeasured, View
from tunewright.monitor.estimate import estimate, per_row
from tunewright.monitor.shuffles import rise
from tunewright.monitor.texts import enough, examples


class EstimatedAccuracy(Signal):
    """Accuracy estimated from confidence: the share of answers surer than a threshold that as many reference rows exceed as are right (average
    thresholded confidence, Garg et al. 2022). It cannot see answers that are wrong and sure, so it asks for labels and never triggers a retraining."""

    family = "output"
    advice: ClassVar[str] = "an estimate only: label a uniform sample of this window (`tunewright traffic`), which measures it"
    method: Literal["difference", "threshold", "mean"] = Field(
        "threshold", description="share above a threshold; difference of confidences (Guillory et al. 2021); or mean confidence"
    )

    def measure(self, view: View) -> Measure | Unmeasured:
        own = enough(view.where(view.rows["confidence"].is_not_null()), "too few answers have probabilities (/v1/classify gives them)")
        if isinstance(own, Unmeasured):
            return own
        known = own.rows["truth"].is_not_null().to_numpy() & ~own.now
        if not known.any():
            return Unmeasured("the reference has no labels")
        right = (own.rows["label"] == own.rows["truth"]).fill_null(False).to_numpy()
        sure = own.rows["confidence"].to_numpy()
        scores = per_row(self.method, sure, sure[known], right[known])
        now, before = estimate(self.method, sure[own.now], sure[known], right[known]), float(right[known].mean())
        fallen = -rise(scores, own.sides)
        least = examples(own, sure <= np.sort(sure[own.now])[min(2, int(own.now.sum()) - 1)])
        text = f"estimated accuracy {now:.1%}; on the reference {before:.1%}"
        moved = (Moved("accuracy", "estimated", before, now, least),)
        return Measure(float(fallen[0]), 0.0, text, fallen, moved=moved, detail={"estimate": now, "reference": before})
