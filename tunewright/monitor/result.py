"""What the monitor knows of a model: read from the traffic store alone, by `tunewright monitor`, by retraining, by anybody.

seen = status(store, "reviews")
seen.sustained              # drift of inputs or outputs that has an open alert
seen.accuracy               # Judged(labels=120, right=84, share=.70, low=.61, high=.78, objective=.74, p=.18)
seen.below_objective        # surely below it
seen.labels                 # {"uniform": 120, "targeted": 40, "volunteered": 12, "waiting": 9}
seen.moved                  # [{"signal": "vocabulary", "kind": "word", "name": "url_removed", "before": 0.0, "now": .12, ...}]
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from html import escape
from typing import Any

import polars as pl

from tunewright.core.loop import MonitorSettings
from tunewright.monitor.alerts import Alert, alerts_of, moved_line
from tunewright.monitor.cohorts import Judged, cohorts, recent, with_maturity
from tunewright.traffic.store import TrafficStore

DRIFT = ("input", "output")
ABOUT = "about"  # key of a window's `signals` that holds what it was measured with


@dataclass(frozen=True)
class MonitorResult:
    """One version and side of a model. `last` is the newest window as the store keeps it."""

    model: str
    version: str | None
    side: str
    windows: int
    drifted_in_a_row: int  # newest windows with any drift signal beyond its threshold
    last: dict[str, Any] | None
    alerts: tuple[Alert, ...]
    accuracy: Judged | None
    labels: dict[str, int]
    cohorts: list[dict[str, Any]]
    moved: list[dict[str, Any]] = field(default_factory=list)

    @property
    def sustained(self) -> bool:
        """Drift of inputs or outputs that has lasted `raise_after` windows and is not over."""
        return any(one.detail.get("family") in DRIFT for one in self.alerts)

    @property
    def since(self) -> datetime | None:
        """When the oldest open drift alert began."""
        return min((one.opened for one in self.alerts if one.detail.get("family") in DRIFT), default=None)

    @property
    def below_objective(self) -> bool:
        """Whether labelled accuracy is surely below the objective."""
        return any(one.signal == "accuracy" for one in self.alerts)

    @property
    def advice(self) -> list[str]:
        """What to do, one line for each open alert."""
        return [f"{one.signal}: {one.detail.get('advice', '')}" for one in self.alerts]

    def document(self) -> dict[str, Any]:
        own = asdict(self) | {
            "sustained": self.sustained,
            "since": self.since,
            "below_objective": self.below_objective,
            "advice": self.advice,
        }
        return own | {"alerts": [asdict(one) for one in self.alerts]}

    def lines(self) -> list[str]:
        """The state as a compact table."""
        if self.version is None:
            return [f"{self.model}: no window has been measured yet"]
        head = f"{self.version} {self.side}: {self.windows:,} windows"
        lines = [head]
        if self.last is not None:
            lines[0] += (
                f"; the newest has {self.last['requests']} requests, {self.last['start']:%Y-%m-%d %H:%M} to {self.last['stop']:%H:%M} UTC"
            )
            lines += table(self.last["signals"])
        lines += [_cohort(day) for day in self.cohorts[-7:]]
        for one in self.alerts:
            lines += [
                "",
                f"ALERT {one.severity} {one.signal}, since {one.opened:%Y-%m-%d %H:%M} UTC: {one.message}",
                f"  do: {one.detail.get('advice', '')}",
            ]
            lines += [f"  moved: {moved_line(part)}" for part in one.detail.get("moved", [])[:4]]
        return lines

    def _repr_html_(self) -> str:
        return "<pre>" + escape("\n".join(self.lines())) + "</pre>"


def table(signals: dict[str, Any]) -> list[str]:
    """A line for each signal: value, threshold, p, and what it says."""
    shown = {name: one for name, one in signals.items() if name != ABOUT}
    lines = [f"  {'signal':<19} {'value':>9} {'threshold':>9} {'p':>6}"]
    for name, one in sorted(
        shown.items(), key=lambda pair: (not pair[1].get("alarm"), "unmeasured" in pair[1], pair[1].get("family", ""), pair[0])
    ):
        if "unmeasured" in one:
            lines.append(f"  {name:<19} {'-':>9} {'-':>9} {'-':>6}  not measured: {one['unmeasured']}")
            continue
        numbers = f"{_number(one['value']):>9} {_number(one['threshold']):>9} {_number(one['p']):>6}"
        lines.append(f"{'!' if one['alarm'] else ' '} {name:<19} {numbers}  {one['text']}")
    return lines


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _cohort(one: dict[str, Any]) -> str:
    words = f"  labels of {one['day']}: {one['uniform']} uniform"
    if "share" in one:
        words += f", {one['right']} right = {one['share']:.1%} ({one['low']:.1%} to {one['high']:.1%})"
    words += f"; {one['targeted']} targeted, {one['volunteered']} volunteered"
    return words + ("" if one["mature"] else "; not mature, not judged")


def status(
    store: TrafficStore, model: str, version: str | None = None, side: str = "champion", now: datetime | None = None
) -> MonitorResult:
    """What is known of `model` (or of one `version` of it, "reviews@3"). Without a version: the one that was measured last on that side."""
    windows = store.windows(versions=version, side=side)
    own = windows.filter(pl.col("version").str.starts_with(f"{model}@")) if version is None else windows
    if own.is_empty() and version is None:
        return MonitorResult(model, None, side, 0, 0, None, (), None, {}, [])
    version = version or str(own["version"][-1])
    own = own.filter(pl.col("version") == version)
    last = None if own.is_empty() else {**own.row(-1, named=True), "signals": json.loads(own["signals"][-1])}
    about = {} if last is None else dict(last["signals"].get(ABOUT, {}))
    settings = MonitorSettings(label_maturity_hours=about.get("label_maturity_hours", 24.0), window=about.get("window", 500))
    labelled = with_maturity(store.labelled(versions=version, sides=side), settings, now or datetime.now(UTC))
    newest = recent(labelled, settings.window)
    accuracy = Judged.of(len(newest), int(newest["right"].sum()), about.get("objective")) if len(newest) else None
    counted = {kind: int((labelled["sampled"] == kind).sum()) for kind in ("uniform", "targeted", "volunteered")}
    counted["waiting"] = int((~labelled["mature"]).sum())  # uniform or not, too young to be judged
    found = tuple(one for one in alerts_of(store, [version, model], ["open"]) if one.side in (side, ""))
    moved = [{"signal": one.signal, **part} for one in found for part in one.detail.get("moved", [])]
    drifted = own["drifted"].reverse().to_list()
    in_a_row = next((count for count, one in enumerate(drifted) if not one), len(drifted))
    return MonitorResult(model, version, side, len(own), in_a_row, last, found, accuracy, counted, cohorts(labelled), moved)
