"""Percentiles of latency, and whether a promise about them is surely broken."""

from __future__ import annotations

import polars as pl

from tunewright.core.optional import require
from tunewright.core.watch import Measure, Moved, Unmeasured, View

LEAST = 20


def percentiles(view: View, column: str, promise: float | None) -> Measure | Unmeasured:
    """p50, p95, p99 of `column` in the window. The promise is about the 95th percentile: that more than 5% of the requests are slower
    has an exact binomial p, whatever the latencies look like."""
    known = view.window.drop_nulls(column)
    if len(known) < LEAST:
        return Unmeasured(f"only {len(known)} requests of the window have {column}")
    p50, p95, p99 = (float(known[column].quantile(share, "linear") or 0.0) for share in (0.5, 0.95, 0.99))
    slowest = known.sort(column, descending=True)["id"].head(3).to_list()
    text = f"p50 {p50:.3f} s, p95 {p95:.3f} s, p99 {p99:.3f} s"
    p = None
    if promise is not None:
        slower = int((known[column] > promise).sum())
        p = at_least(slower, len(known), 0.05)
        text += f"; {slower} of {len(known)} took longer than {promise:g} s"
    moved = (Moved("request", "slowest", None, None, tuple(slowest)),)
    return Measure(p95, promise, text, p=p, moved=moved, detail={"p50": p50, "p95": p95, "p99": p99})


def at_least(successes: int, n: int, share: float) -> float:
    """Exact binomial probability of `successes` or more of `n` when each has the chance `share`."""
    return 1.0 if successes <= 0 else float(require("scipy.special", "audit").betainc(successes, n - successes + 1, share))


def failing(rows: pl.DataFrame, expression: pl.Expr) -> tuple[str, ...]:
    """Ids of the first rows for which the expression holds."""
    return tuple(rows.filter(expression)["id"].head(3).to_list())
