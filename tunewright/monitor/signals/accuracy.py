"""How often is the release right, by labels that came later?"""

from __future__ import annotations

from typing import ClassVar

import polars as pl

from tunewright.core.parts import Signal
from tunewright.core.watch import Measure, Moved, Unmeasured, View
from tunewright.monitor.cohorts import judged, recent


class Accuracy(Signal):
    """Accuracy on the newest labels (at most a window of them) from uniform samples, of requests old enough for late labels to be in. Alarms when it
    is surely below the objective (exact binomial test). Labels of targeted or volunteered rows are counted and never judged."""

    family = "truth"
    severity = "critical"
    at_once = True
    advice: ClassVar[str] = (
        "read the mistakes; `tunewright rollback` if it began with a new version, `tunewright retrain` when enough labels are approved"
    )

    def measure(self, view: View) -> Measure | Unmeasured:
        uniform = recent(view.labelled, view.settings.window)
        if uniform.is_empty():
            return Unmeasured(
                f"no label of a uniform sample is {view.settings.label_maturity_hours:g} hours old (monitor.label_maturity_hours)"
            )
        found = judged(uniform, view.settings, view.accuracy)
        wrong = uniform.filter(~uniform["right"])
        pairs = wrong.group_by("truth", "label").len().sort("len", "truth", "label", descending=[True, False, False]).head(3)
        moved = tuple(
            Moved(
                "mistake",
                f"{one['truth']} taken for {one['label']}",
                None,
                one["len"] / len(uniform),
                _ids(wrong, one["truth"], one["label"]),
            )
            for one in pairs.to_dicts()
        )
        text = f"{found.right} of {found.labels} uniform labels agree: {found.share:.1%} ({found.low:.1%} to {found.high:.1%})"
        text += f"; at least {found.objective:.1%} is wanted" if found.objective is not None else ""
        return Measure(
            found.share,
            found.objective,
            text,
            p=found.p,
            moved=moved,
            detail={"low": found.low, "high": found.high, "labels": found.labels},
        )


def _ids(wrong: pl.DataFrame, truth: str, label: str) -> tuple[str, ...]:
    return tuple(wrong.filter((pl.col("truth") == truth) & pl.col("label").eq_missing(label))["id"].tail(3).to_list())
