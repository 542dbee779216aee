"""What the monitor has seen over time, as plain values for a page: the newest windows signal by signal, alerts that are over, labels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from tunewright.monitor.alerts import alerts_of, moved_by
from tunewright.monitor.result import ABOUT, MonitorResult
from tunewright.traffic.store import TrafficStore

WINDOWS = 60  # at most, of one version and side
CLOSED = 20  # alerts that are over, at most


def history(store: TrafficStore, model: str, states: Sequence[MonitorResult], moment: datetime) -> dict[str, Any]:
    """The state of each version and side with how it came to be.

    {"model", "made", "streams": [{"version", "side", "signals": [{"name", "measured", "limits", "alarms", ...}], ...}]}
    """
    return {"model": model, "made": moment, "streams": [_stream(store, one) for one in states if one.version is not None]}


def _stream(store: TrafficStore, state: MonitorResult) -> dict[str, Any]:
    windows = store.windows(versions=state.version, side=state.side, last=WINDOWS)
    said = [json.loads(one) for one in windows["signals"]]
    alerts = [one for one in alerts_of(store, [str(state.version), state.model], ["closed"]) if one.side in (state.side, "")]
    closed = sorted((one for one in alerts if one.notified is not None), key=lambda one: one.updated, reverse=True)[:CLOSED]
    told = state.document() | {"about": said[-1].get(ABOUT, {}) if said else {}, "signals": _signals(said)}
    for alert in told["alerts"]:
        alert["detail"] = alert["detail"] | {"moved": [part | {"change": moved_by(part)} for part in alert["detail"].get("moved", [])]}
    told["closed"] = [asdict(one) for one in closed]
    return told | {"moments": windows["stop"].to_list(), "requests": store.count(versions=state.version, sides=state.side)}


def _signals(said: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each signal of the newest window with its values in the windows before; those beyond their threshold come first."""
    if not said:
        return []
    found = []
    for name, now in said[-1].items():
        if name == ABOUT:
            continue
        past = [one.get(name, {}) for one in said]
        line = {
            "name": name,
            "now": now,
            "measured": [one.get("value") for one in past],
            "alarms": [bool(one.get("alarm")) for one in past],
        }
        found.append(line | {"limits": [one.get("threshold") for one in past]})
    return sorted(
        found, key=lambda one: (not one["now"].get("alarm"), "unmeasured" in one["now"], one["now"].get("family", ""), one["name"])
    )
