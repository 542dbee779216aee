"""How long do answers take?"""

from __future__ import annotations

from typing import ClassVar

from tunewright.core.parts import Signal
from tunewright.core.watch import Measure, Unmeasured, View
from tunewright.monitor.slow import percentiles


class Latency(Signal):
    """Seconds from a request to the end of its answer: p50, p95 and p99. Alarms when more than 5% surely take longer than
    `monitor.p95_seconds`; without that promise it only shows."""

    family = "operation"
    advice: ClassVar[str] = (
        "longer requests, more of them at a time, or a slower machine? Compare queue_seconds, then raise the engine's share"
    )

    def measure(self, view: View) -> Measure | Unmeasured:
        return percentiles(view, "seconds", view.settings.p95_seconds)
