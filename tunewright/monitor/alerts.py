"""Alerts: from thresholds that were crossed to something that a person is told, once.

pending   beyond its threshold, but not yet `raise_after` windows in a row; nobody is told
open      told; told again after `cool_off_minutes` while it lasts
closed    within its threshold `clear_after` windows in a row; told as resolved if it had been told

One row a spell in the store's table `alerts`, written before anybody is told: a monitor that is killed goes on where it was. What happens in one
round is one message. An alert that closes and opens again within the cool-off is open, but silent.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from tunewright.core.loop import AlertSettings
from tunewright.monitor.decide import Decided
from tunewright.traffic.store import TrafficStore

DELIVERY = "delivery"  # `signal` of the rows that are messages, not alerts (see `deliver.py`)
Change = Literal["raised", "goes on", "resolved"]
ORDER = ("info", "warning", "critical")


@dataclass(frozen=True)
class Alert:
    """One spell of one signal of one version and side."""

    number: int
    key: str
    version: str
    signal: str
    severity: str
    state: Literal["pending", "open", "closed"]
    opened: datetime
    updated: datetime
    notified: datetime | None
    count: int
    message: str
    detail: dict[str, Any]

    @property
    def side(self) -> str:
        return str(self.detail.get("side", ""))


@dataclass(frozen=True)
class Event:
    """What somebody should be told of an alert."""

    change: Change
    alert: Alert


def alerts_of(store: TrafficStore, versions: list[str], states: list[str]) -> list[Alert]:
    """The alerts of `versions` in the order they were opened."""
    rows = store.alerts(versions=versions, states=states).to_dicts()
    return [_alert(one) for one in rows if one["signal"] != DELIVERY]


def _alert(row: dict[str, Any]) -> Alert:
    names = ("key", "version", "signal", "severity", "state", "opened", "updated", "notified", "count", "message")
    return Alert(number=row["id"], detail=json.loads(row["detail"]), **{name: row[name] for name in names})


class Alerts:
    """The alerts of one stream (a version and a side), moved on by what the signals say."""

    def __init__(self, store: TrafficStore, settings: AlertSettings, version: str, side: str) -> None:
        self.store, self.settings, self.version, self.side = store, settings, version, side
        found = alerts_of(store, [version], ["pending", "open"])
        self.live = {one.key: one for one in found if one.side == side}

    def key(self, signal: str) -> str:
        return f"{self.version}/{self.side}/{signal}"

    def see(self, judged: list[Decided], examples: dict[str, str], moment: datetime, evidence: str) -> None:
        """Take in what one window (or one look) said. Nobody is told here: see `events`."""
        for one in judged:
            now = self.live.get(self.key(one.name))
            if one.alarm:
                self._beyond(one, now, examples, moment, evidence)
            elif now is not None:
                self._within(now, moment)

    def _beyond(self, one: Decided, now: Alert | None, examples: dict[str, str], moment: datetime, evidence: str) -> None:
        count = now.count + 1 if now else 1
        needed = 1 if one.at_once else self.settings.raise_after
        state = "open" if count >= needed or (now and now.state == "open") else "pending"
        moved = [
            {"kind": part.kind, "name": part.name, "before": part.before, "now": part.now, "examples": list(part.examples)}
            for part in one.moved
        ]
        shown = {key: examples[key] for part in one.moved for key in part.examples if key in examples}
        detail = {"side": self.side, "family": one.family, "value": one.value, "before": one.before, "threshold": one.threshold, "p": one.p}
        detail |= {"moved": moved, "examples": shown, "advice": one.advice, "evidence": evidence, "within": 0}
        detail |= {"told": now.detail["told"]} if now and "told" in now.detail else {}
        values = {"severity": one.severity, "state": state, "updated": moment, "count": count, "message": one.text, "detail": detail}
        self._save(self.key(one.name), one.name, now, values, moment)

    def _within(self, now: Alert, moment: datetime) -> None:
        within = int(now.detail.get("within", 0)) + 1
        over = now.state == "pending" or within >= self.settings.clear_after
        values = {"updated": moment, "detail": {**now.detail, "within": within}}
        self._save(now.key, now.signal, now, values | ({"state": "closed", "closed": moment} if over else {}), moment)

    def _save(self, key: str, signal: str, now: Alert | None, values: dict[str, Any], moment: datetime) -> None:
        if now is None:
            silent = self._silent_until(key)
            fresh = {"key": key, "version": self.version, "signal": signal, "opened": moment, "closed": None, "notified": silent}
            number = self.store.save_alert(fresh | values)
            self.live[key] = Alert(number, key, self.version, signal, notified=silent, opened=moment, **values)
            return
        self.store.save_alert(values, now.number)
        kept = {name: value for name, value in values.items() if name != "closed"}
        self.live[key] = Alert(**{**now.__dict__, **kept})
        if values.get("state") == "closed":
            del self.live[key]

    def _silent_until(self, key: str) -> datetime | None:
        """When somebody was last told of the same thing: within the cool-off the new spell counts as told."""
        told = [one.notified for one in alerts_of(self.store, [self.version], ["closed"]) if one.key == key and one.notified]
        return max(told) if told else None

    def events(self, moment: datetime) -> list[Event]:
        """What is to be told now; `told` marks it."""
        pause = timedelta(minutes=self.settings.cool_off_minutes)
        found = []
        for one in alerts_of(self.store, [self.version], ["open", "closed"]):
            if one.side != self.side:
                continue
            if one.state == "open" and one.notified is None:
                found.append(Event("raised", one))
            elif one.state == "open" and one.notified is not None and moment - one.notified >= pause:
                found.append(Event("goes on" if one.detail.get("told") else "raised", one))
            elif one.state == "closed" and one.detail.get("told") == "open":
                found.append(Event("resolved", one))
        return found


def told(store: TrafficStore, events: list[Event], moment: datetime) -> None:
    """Mark what was handed over for sending."""
    for one in events:
        detail = {**one.alert.detail, "told": "resolved" if one.change == "resolved" else "open"}
        values: dict[str, Any] = {"detail": detail}
        if one.change != "resolved":
            values["notified"] = moment
        store.save_alert(values, one.alert.number)


def compose(events: list[Event], where: str) -> tuple[str, str, str]:
    """(title, body, severity) of one message about everything that happened in a round."""
    worst = max((one.alert.severity for one in events if one.change != "resolved"), key=ORDER.index, default="resolved")
    groups = {change: [one.alert for one in events if one.change == change] for change in ("raised", "goes on", "resolved")}
    counted = ", ".join(f"{len(group)} {'alert ' if change == 'goes on' else ''}{change}" for change, group in groups.items() if group)
    versions = ", ".join(sorted({one.alert.version for one in events}))
    lines = []
    for change, group in groups.items():
        for alert in sorted(group, key=lambda one: (-ORDER.index(one.severity), one.key)):
            lines += [*_told(change, alert), ""]
    return f"[{worst}] {versions}: {counted}", "\n".join([*lines, f"Evidence: {where}"]), worst


def _told(change: str, alert: Alert) -> list[str]:
    since = f"{alert.opened:%Y-%m-%d %H:%M} UTC"
    if change == "resolved":
        return [f"RESOLVED {alert.signal} ({alert.version}, {alert.side}); it had lasted since {since}"]
    often = "" if alert.count == 1 else f", {alert.count} times beyond its threshold"
    lines = [f"{alert.severity.upper()} {alert.signal} ({alert.version}, {alert.side}) {change} since {since}{often}", f"  {alert.message}"]
    for part in alert.detail.get("moved", [])[:4]:
        lines.append(f"  moved: {moved_line(part)}")
        lines += [f"    {key}: {text}" for key, text in _examples(alert, part)]
    return [*lines, f"  do: {alert.detail.get('advice', '')}", f"  see: {alert.detail.get('evidence', '')}"]


def _examples(alert: Alert, part: dict[str, Any]) -> list[tuple[str, str]]:
    shown = alert.detail.get("examples", {})
    return [(key, shown.get(key, "(no text kept)")) for key in part.get("examples", [])[:1]]


def moved_line(part: dict[str, Any]) -> str:
    """'word url_removed: 0.0% -> 12.3%' of one thing that moved."""
    change = moved_by(part)
    return f"{part['kind']} {part['name']}" + (f": {change}" if change else "")


def moved_by(part: dict[str, Any]) -> str:
    """'0.0% -> 12.3%', empty for a thing without numbers."""
    before, now = part.get("before"), part.get("now")
    share = part["kind"] in ("word", "label", "language", "mistake", "thumb", "accuracy") or "share" in part["name"]
    numbers = [("-" if one is None else f"{one:.1%}" if share else f"{one:.3g}") for one in (before, now)]
    return "" if before is None and now is None else f"{numbers[0]} -> {numbers[1]}"
