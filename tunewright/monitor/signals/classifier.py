"""Can a classifier tell today's texts from the reference's?"""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import numpy as np
from pydantic import Field

from tunewright.core.parts import Signal
from tunewright.core.watch import Measure, Moved, Unmeasured, View
from tunewright.monitor.shuffles import told_apart
from tunewright.monitor.texts import vectors, with_text


class Classifier(Signal):
    """Classifier two-sample test: out-of-sample AUC of a linear classifier on words, word pairs and word vectors; 0.5 is no drift."""

    family = "input"
    advice: ClassVar[str] = "read the requests that the classifier is surest of: what do they have in common? Label some of them"
    rows: int = Field(1500, ge=100, description="of window and reference together at most, drawn at random; time rises with its cube")

    def measure(self, view: View) -> Measure | Unmeasured:
        from tunewright.text.quick import bag_of_words

        own = with_text(view)
        if isinstance(own, Unmeasured):
            return own
        points = view.once("vectors", partial(vectors, own))
        bag = bag_of_words(own.rows["text"]).matrix
        if len(own.rows) > self.rows:  # at random, whatever the side: the shuffles stay as probable as the truth
            chosen = np.random.default_rng(17).permutation(len(own.rows)) < self.rows
            own, points, bag = own.where(chosen), points[chosen], bag[chosen]
        kernel = points @ points.T + (bag @ bag.T).toarray().astype(np.float32)
        curve, scores = told_apart(kernel, own.sides, own.blocks)
        surest = np.argsort(-scores - 10 * own.now, kind="stable")[:3]
        moved = (Moved("request", "surest to be new", None, None, tuple(own.rows["id"].gather(surest).to_list())),)
        return Measure(float(curve[0]), 0.5, f"a classifier tells window and reference apart with AUC {curve[0]:.2f}", curve, moved=moved)
