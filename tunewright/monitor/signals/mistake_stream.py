"""Did mistakes become more frequent at some request?"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from tunewright.core.parts import Signal
from tunewright.core.watch import Measure, Moved, Unmeasured, View
from tunewright.monitor.cohorts import recent
from tunewright.monitor.streams import changed

LEAST = 20


class MistakeStream(Signal):
    """ADWIN on labelled answers in order of their requests (1: wrong), begun with the reference's: alarms at a rise that lasts."""

    family = "truth"
    severity = "critical"
    at_once = True
    advice: ClassVar[str] = (
        "read the mistakes since then; `tunewright rollback` if it began with a new version, else label more and retrain"
    )
    delta: float = Field(
        0.002, gt=0, lt=1, description="ADWIN's bound on a false alarm at each look; its real rate is in benchmarks/results/drift.json"
    )

    def measure(self, view: View) -> Measure | Unmeasured:
        labels = recent(view.labelled, 10 * view.settings.window)
        if len(labels) < LEAST:
            return Unmeasured(f"{len(labels)} mature labels of uniform samples; {LEAST} are the least to judge")
        known = view.rows.filter(~view.rows["now"]).drop_nulls(["label", "truth"])
        wrong = (known["label"] != known["truth"]).cast(float).to_numpy()
        stream = (~labels["right"]).cast(float).to_numpy()
        alarm, before, after = changed(wrong, stream, self.delta, worse=1)
        text = f"ADWIN: {after:.1%} mistakes" + (f", risen from {before:.1%}" if alarm else ", no rise found")
        ids = tuple(labels.filter(~labels["right"])["id"].tail(3).to_list())
        return Measure(after, before, text, alarm=alarm, moved=(Moved("mistake", "share of labelled answers", before, after, ids),))
