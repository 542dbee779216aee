"""What the monitor last said of the versions that this server holds, so that one dashboard shows the traffic and what it means.

tunewright_monitor_signal_value{version="reviews@3",side="champion",signal="vocabulary"} 0.41
tunewright_monitor_open_alerts{version="reviews@3",severity="warning"} 1.0

The monitor is another process, or a job that has ended: it leaves windows and alerts in the traffic store, and they are read from there.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Gauge

from tunewright.core.errors import TunewrightError
from tunewright.serve.logs import LOG

if TYPE_CHECKING:
    from tunewright.traffic.store import TrafficStore

SECONDS = 15.0
NEWEST = 8  # windows of a version among which the newest of each side is
SEVERITIES = ("info", "warning", "critical")


class Watched:
    """Gauges of the monitor, read again every `SECONDS` in the background. What cannot be read leaves them as they were."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"tunewright_monitor_{name}", text, labels, registry=registry)

        stream = ("version", "side")
        self.value = gauge("signal_value", "what a signal measured on the newest window", *stream, "signal")
        self.threshold = gauge("signal_threshold", "what a signal may reach without an alarm, where it has a threshold", *stream, "signal")
        self.alarm = gauge("signal_alarm", "1 for a signal that alarms on the newest window", *stream, "signal")
        self.window = gauge("last_window_timestamp_seconds", "when the newest window ended", *stream)
        self.alerts = gauge("open_alerts", "alerts that are open, by severity", "version", "severity")
        self._task: asyncio.Task[None] | None = None
        self._told = ""

    def start(self, store: TrafficStore, names: Callable[[], Sequence[str]]) -> None:
        """Begin to look in `store` for what is said of `names`."""
        self._task = asyncio.create_task(self._run(store, names))

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def look(self, store: TrafficStore, names: Sequence[str]) -> None:
        """One look."""
        try:
            windows, open_alerts = await asyncio.to_thread(_read, store, names)
            self._told = ""
        except TunewrightError as error:
            if self._told != str(error):
                LOG.warning("what the monitor says cannot be read: %s", error)
            self._told = str(error)
            return
        for gauge in (self.value, self.threshold, self.alarm, self.window, self.alerts):
            gauge.clear()
        for one in windows:
            self._show(one)
        for name in names:
            for severity in SEVERITIES:
                self.alerts.labels(name, severity).set(open_alerts[name, severity])

    def _show(self, window: Mapping[str, Any]) -> None:
        stream = (window["version"], window["side"])
        self.window.labels(*stream).set(window["stop"].timestamp())
        for name, said in json.loads(window["signals"]).items():
            if not isinstance(said, dict) or not isinstance(said.get("value"), int | float):
                continue  # not measured on this window, or not a signal
            self.value.labels(*stream, name).set(said["value"])
            self.alarm.labels(*stream, name).set(bool(said.get("alarm")))
            if said.get("threshold") is not None:
                self.threshold.labels(*stream, name).set(said["threshold"])

    async def _run(self, store: TrafficStore, names: Callable[[], Sequence[str]]) -> None:
        while True:
            try:
                await self.look(store, names())
            except Exception:
                LOG.exception("what the monitor says could not be shown")
            await asyncio.sleep(SECONDS)


def _read(store: TrafficStore, names: Sequence[str]) -> tuple[list[dict[str, Any]], Counter[tuple[str, str]]]:
    """The newest window of each version and side, and how many alerts are open by (version, severity)."""
    windows = {}
    for name in names:
        for one in store.windows(versions=name, last=NEWEST).iter_rows(named=True):
            windows[one["version"], one["side"]] = one
    found = store.alerts(versions=list(names), states="open")
    return list(windows.values()), Counter(found.select("version", "severity").iter_rows())
