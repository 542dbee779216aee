"""How long does a caller wait for the first word?"""

from __future__ import annotations

from typing import ClassVar

from tunewright.core.parts import Signal
from tunewright.core.watch import Measure, Unmeasured, View
from tunewright.monitor.slow import percentiles


class FirstToken(Signal):
    """Seconds to the first token of streamed answers: p50, p95 and p99. It only shows."""

    family = "operation"
    severity = "info"
    advice: ClassVar[str] = "long prompts, or a full queue?"

    def measure(self, view: View) -> Measure | Unmeasured:
        return percentiles(view, "first_token_seconds", None)
