"""Do texts mean other things than those that the release was tested on?"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from tunewright.core.parts import Signal
from tunewright.core.watch import Measure, Moved, Unmeasured, View
from tunewright.monitor.shuffles import fourier, middle_distance
from tunewright.monitor.texts import vectors, with_text


class Embedding(Signal):
    """Maximum mean discrepancy of static word vectors (Gretton et al. 2012), by random Fourier features."""

    family = "input"
    advice: ClassVar[str] = (
        "read the requests that are farthest from the reference; label some of them, and retrain when enough are labelled"
    )
    features: int = Field(256, ge=16, description="random features; more are finer and slower")

    def measure(self, view: View) -> Measure | Unmeasured:
        own = with_text(view)
        if isinstance(own, Unmeasured):
            return own
        points = view.once("vectors", lambda: vectors(own))
        squared = middle_distance(fourier(points, self.features), own.sides)
        middle = points[~own.now].mean(axis=0)
        near = points @ middle
        far = np.argsort(near + 10 * ~own.now, kind="stable")[:3]
        ids = tuple(own.rows["id"].gather(far).to_list())
        moved = (Moved("similarity", "with the reference", float(near[~own.now].mean()), float(near[own.now].mean()), ids),)
        return Measure(float(squared[0]), 0.0, "squared distance of meanings (MMD)", squared, quadratic=True, moved=moved)
