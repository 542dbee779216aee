"""Accuracy by labels that come late: in cohorts of requests, with exact intervals, and only from uniform samples.

cohort 2026-11-26 | mature | 412 requests | uniform 60: 51 right, 85.0% (73.4% to 92.9%) | targeted 25, shown apart

A cohort is the requests of one day. A label that comes late changes its request's cohort and nothing else. A cohort is mature when its youngest request is
`monitor.label_maturity_hours` old: labels that come fast are not like those that come late, so younger ones are shown and not judged.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from tunewright.core.loop import MonitorSettings
from tunewright.core.optional import require
from tunewright.core.statistics import clopper_pearson


@dataclass(frozen=True)
class Judged:
    """Accuracy on labels: exact 95% limits (Clopper & Pearson 1934), and p that it is at least the objective all the same."""

    labels: int
    right: int
    share: float
    low: float
    high: float
    objective: float | None = None
    p: float | None = None

    @staticmethod
    def of(labels: int, right: int, objective: float | None = None) -> Judged:
        low, high = clopper_pearson(right, labels)
        p = None if objective is None else at_most(right, labels, objective)
        return Judged(labels, right, right / labels, low, high, objective, p)

    def document(self) -> dict[str, Any]:
        return asdict(self)


def at_most(successes: int, n: int, share: float) -> float:
    """Exact binomial probability of `successes` or fewer of `n` when each has the chance `share`."""
    return 1.0 if successes >= n else float(require("scipy.special", "audit").betainc(n - successes, successes + 1, 1 - share))


def with_maturity(labelled: pl.DataFrame, settings: MonitorSettings, now: datetime) -> pl.DataFrame:
    """Labelled requests (as the store joins them) with `mature`."""
    old = pl.lit(now - timedelta(hours=settings.label_maturity_hours))
    ours = labelled.with_columns(right=pl.col("right").fill_null(False), mature=pl.col("time") <= old)
    return ours.select("id", "time", "label", "truth", "right", "sampled", "mature")


def recent(labelled: pl.DataFrame, most: int) -> pl.DataFrame:
    """The newest mature labels of uniform samples."""
    if labelled.is_empty():
        return labelled
    return labelled.filter(pl.col("mature") & (pl.col("sampled") == "uniform")).sort("time", "id").tail(most)


def objective(settings: MonitorSettings, accuracy: float | None) -> float | None:
    """The least accuracy that is acceptable: the recipe's, or the release's own less 5 points."""
    if settings.accuracy is not None:
        return settings.accuracy
    return None if accuracy is None else max(0.0, accuracy - 0.05)


def judged(uniform: pl.DataFrame, settings: MonitorSettings, accuracy: float | None) -> Judged:
    """Accuracy of the rows against the objective."""
    return Judged.of(len(uniform), int(uniform["right"].sum()), objective(settings, accuracy))


def cohorts(labelled: pl.DataFrame) -> list[dict[str, Any]]:
    """One line a day of requests, oldest first."""
    lines = []
    days = labelled.with_columns(day=pl.col("time").dt.date()).partition_by("day", as_dict=True) if len(labelled) else {}
    for (day,), rows in sorted(days.items()):
        uniform = rows.filter(pl.col("sampled") == "uniform")
        line: dict[str, Any] = {"day": str(day), "mature": bool(rows["mature"].all())}
        line |= {kind: int((rows["sampled"] == kind).sum()) for kind in ("uniform", "targeted", "volunteered")}
        if len(uniform):
            line |= {
                key: value for key, value in Judged.of(len(uniform), int(uniform["right"].sum())).document().items() if value is not None
            }
        lines.append(line)
    return lines
