"""Does the release give other answers?"""

from __future__ import annotations

from typing import ClassVar

from tunewright.core.parts import Signal
from tunewright.core.watch import Measure, Unmeasured, View
from tunewright.monitor.rows import OTHER
from tunewright.monitor.shuffles import counts, divergence, one_hot
from tunewright.monitor.texts import enough, shifted


class LabelMix(Signal):
    """Mix of answered labels: Jensen-Shannon divergence. An answer that is no label is a kind of its own."""

    family = "output"
    advice: ClassVar[str] = "has the world changed, or the model? Label a uniform sample of today's requests: only labels can tell"

    def measure(self, view: View) -> Measure | Unmeasured:
        own = enough(view.where(view.rows["label"].is_not_null()), "too few answers")
        if isinstance(own, Unmeasured):
            return own
        names = [*view.labels, OTHER]
        columns = one_hot(own.rows["label"].replace_strict(names, range(len(names)), default=len(names) - 1).to_numpy(), len(names))
        apart = divergence(*counts(columns, own.sides))
        now = columns[own.now].mean(axis=0)
        text = "answers: " + ", ".join(f"{name} {share:.0%}" for name, share in zip(names, now, strict=True) if share > 0)
        return Measure(float(apart[0]), 0.0, text, apart, quadratic=True, moved=shifted(own, "label", names, columns, len(names)))
