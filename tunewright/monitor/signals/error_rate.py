"""How many requests fail?"""

from __future__ import annotations

from typing import ClassVar

from tunewright.core.parts import Signal
from tunewright.core.watch import Measure, Moved, Unmeasured, View
from tunewright.monitor.rows import failed
from tunewright.monitor.slow import at_least, failing


class ErrorRate(Signal):
    """Share of requests that failed by the service's fault (5xx, 408, 429). Alarms when it is surely over `monitor.error_rate` (exact binomial test)."""

    family = "operation"
    severity = "critical"
    advice: ClassVar[str] = (
        "read the column `error` of these requests and the server's log; `tunewright rollback` if it began with a new version"
    )

    def measure(self, view: View) -> Measure | Unmeasured:
        rows, most = view.window, view.settings.error_rate
        wrong = int(rows.select(failed().sum()).item())
        share = wrong / len(rows)
        moved = (Moved("request", "failed", most, share, failing(rows, failed())),) if wrong else ()
        text = f"{wrong} of {len(rows)} requests failed ({share:.1%}); {most:.1%} is acceptable"
        return Measure(share, most, text, p=at_least(wrong, len(rows), most), moved=moved)
