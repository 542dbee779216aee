"""One round of the monitor: measure the windows that are full, judge labels, move alerts on, tell people. Run it from cron, or let `--watch` repeat it.

    watch = Watch(find_target("reviews"), store)
    done = watch.round()         # done.windows measured now, done.open alerts, done.delivery

Nothing is kept in memory that matters: the store has the windows, the alerts and the messages, so a round that was killed is simply done again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tunewright.core.errors import TunewrightError
from tunewright.core.progress import Report
from tunewright.core.score import Floats
from tunewright.monitor.alerts import Alert, Alerts, alerts_of, compose, told
from tunewright.monitor.cohorts import objective, with_maturity
from tunewright.monitor.decide import Decided
from tunewright.monitor.deliver import Delivery, Receiver, deliver, hand_over
from tunewright.monitor.measure import Found, Measurer
from tunewright.monitor.reference import Reference, load_reference
from tunewright.monitor.result import ABOUT, MonitorResult, status
from tunewright.monitor.rows import from_traffic
from tunewright.monitor.target import Target, endpoint
from tunewright.monitor.windows import fresh
from tunewright.traffic.store import TrafficStore

SIDES = ("champion", "challenger", "shadow", "direct")
EARLIER = 10  # windows before this one whose confidences the stream begins with
NO_DATA = "no_data"


@dataclass(frozen=True)
class Round:
    """What a round did. `open` are the alerts that are open after it, of every version that serves; `waiting` says for each version and
    side that callers meet how many requests of its next window are there, and how many it takes."""

    windows: int
    open: list[Alert]
    delivery: Delivery
    problems: list[str] = field(default_factory=list)
    waiting: dict[str, tuple[int, int]] = field(default_factory=dict)

    def lines(self) -> list[str]:
        alerts = f"{len(self.open)} open: {', '.join(one.key for one in self.open)}" if self.open else "no alert is open"
        sent = f"; messages: {self.delivery.sent} sent, {self.delivery.failed} failed" if self.delivery.sent or self.delivery.failed else ""
        next_one = [f"the next of {stream} has {count:,} of {of:,} requests" for stream, (count, of) in self.waiting.items()]
        return ["; ".join([f"{self.windows} new windows", *next_one, f"{alerts}{sent}"]), *self.problems]


@contextmanager
def alone(store: TrafficStore, model: str) -> Iterator[None]:
    """Keep a second monitor of the same model waiting while the block runs: both would measure the same windows."""
    from filelock import FileLock
    from sqlalchemy import text

    file = store.place.file
    if file is not None:
        with FileLock(file.with_name(f"{file.name}.{model}.monitor.lock")):
            yield
        return
    with store.engine.connect() as connection:
        name = {"name": f"tunewright monitor {model}"}
        connection.execute(text("SELECT pg_advisory_lock(hashtext(:name))"), name)
        try:
            yield
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(hashtext(:name))"), name)
            connection.commit()


class Watch:
    """Watches a target's versions in one traffic store."""

    def __init__(
        self,
        target: Target,
        store: TrafficStore,
        receivers: Sequence[Receiver] = (),
        url: str | None = None,
        key: str | None = None,
        overrides: Sequence[str] = (),
    ) -> None:
        self.target, self.store, self.receivers, self._url, self._key, self._overrides = target, store, receivers, url, key, overrides
        self._measurers: dict[str, Measurer] = {}

    def round(self, now: datetime | None = None, report: Report | None = None) -> Round:
        """Do what is to be done now. A version that cannot be watched is said, and the others are watched all the same."""
        with alone(self.store, self.target.model):
            return self._round(now or datetime.now(UTC), report or Report(quiet=True))

    def _round(self, moment: datetime, report: Report) -> Round:
        versions, problems, windows = self.target.versions(), [], 0
        streams: list[Alerts] = []
        waiting: dict[str, tuple[int, int]] = {}
        for version, directory in versions.items():
            try:
                measurer = self._measurer(version, directory)
            except TunewrightError as error:
                problems.append(f"{version}: {error}")
                continue
            for side in SIDES:
                if self.store.latest_time(versions=version, sides=side) is None:
                    continue
                alerts = Alerts(self.store, measurer.reference.settings.alerts, version, side)
                windows += self._stream(measurer, alerts, moment, report)
                streams.append(alerts)
                if side in ("champion", "challenger"):
                    waiting[f"{version} {side}"] = self._waiting(version, side), measurer.reference.settings.window
        if len(problems) == len(versions):
            raise TunewrightError("\n".join(problems))
        streams.append(self._no_data(list(versions), moment))
        self._retire(list(versions), moment)
        self._tell(streams, moment)
        delivery = deliver(self.store, self.target.model, self.receivers, moment)
        found = alerts_of(self.store, [*versions, self.target.model], ["open"])
        return Round(windows, found, delivery, [*problems, *delivery.problems], waiting)

    def states(self) -> list[MonitorResult]:
        """What is known of each version and side that has traffic, the champion first."""
        found = [status(self.store, self.target.model, version, side) for version in self.target.versions() for side in SIDES]
        return [one for one in found if one.windows or one.alerts or one.cohorts] or [status(self.store, self.target.model)]

    def _measurer(self, version: str, directory: Path) -> Measurer:
        """The release's reference and signals, read again when the reference changes."""
        known = self._measurers.get(version)
        reference = load_reference(directory, version, self._overrides)
        if known is None or (known.reference.fingerprint, known.reference.settings) != (reference.fingerprint, reference.settings):
            score = endpoint(self._url, version, directory, self._key) if self._url else None
            known = self._measurers[version] = Measurer(reference, score)
        return known

    def _stream(self, measurer: Measurer, alerts: Alerts, moment: datetime, report: Report) -> int:
        """Measure the full windows of one version and side, then look at what does not wait for windows."""
        reference, version, side, count = measurer.reference, alerts.version, alerts.side, 0
        settings = reference.settings
        labelled = with_maturity(self.store.labelled(versions=version, sides=side), settings, moment)
        own = self._golden(reference) if side == "direct" else frozenset()
        slowest = timedelta(seconds=reference.timeout_seconds + 60)
        for exchanges in fresh(self.store, version, side, settings, moment, slowest, own):
            before = self.store.windows(versions=version, side=side, last=EARLIER)
            thumbs = self._thumbs(version, side, before["stop"][-1] if len(before) else None)
            found = measurer.window(
                from_traffic(exchanges, reference), labelled, thumbs, self._confidences(version, side, before, reference)
            )
            number = self._save(version, side, exchanges, found, reference)
            count += 1
            alerts.see(list(found.decided.values()), dict(found.examples), moment, f"window {number} of {self.store.place.name}")
            report.say(f"{version} {side}: window {number}, {len(exchanges)} requests{', drifted' if found.drifted else ''}")
        if side in ("champion", "challenger"):
            found = measurer.look(labelled)
            alerts.see(list(found.decided.values()), {}, moment, f"labels and golden prompts of {version} in {self.store.place.name}")
        return count

    def _waiting(self, version: str, side: str) -> int:
        """Requests that came since the newest window ended, which are not enough for another one yet."""
        newest = self.store.windows(versions=version, side=side, last=1)
        return self.store.count(versions=version, sides=side, since=newest["stop"][0] if len(newest) else None)

    def _save(self, version: str, side: str, exchanges: pl.DataFrame, found: Found, reference: Reference) -> int:
        settings, accuracy = reference.settings, reference.accuracy
        about: dict[str, Any] = {
            "reference": reference.fingerprint,
            "reference_rows": len(reference.rows),
            "objective": objective(settings, accuracy.estimate if accuracy else None),
            **{name: getattr(settings, name) for name in ("window", "false_alarms", "resamples", "label_maturity_hours")},
        }
        return self.store.add_window(
            version=version,
            side=side,
            start=exchanges["time"].min(),  # type: ignore[arg-type]
            stop=exchanges["ended"].max(),  # type: ignore[arg-type]
            requests=len(exchanges),
            drifted=found.drifted,
            signals=found.document() | {ABOUT: about},
        )

    def _thumbs(self, version: str, side: str, since: datetime | None) -> pl.DataFrame:
        """Thumbs in order of arrival; `now` since the window before this one was cut."""
        said = self.store.feedback(kinds="thumb", versions=version, sides=side)
        fresh_ones = pl.lit(True) if since is None else pl.col("time") > since
        return said.select(id="request_id", up=pl.col("value") == "up", now=fresh_ones)

    def _confidences(self, version: str, side: str, before: pl.DataFrame, reference: Reference) -> Floats:
        """Confidences of the windows before this one, in order."""
        if before.is_empty():
            return np.zeros(0)
        wanted = ["id", "time", "confidence"]
        rows = self.store.exchanges(versions=version, sides=side, since=before["start"][0], until=before["stop"][-1], columns=wanted)
        return np.asarray(rows["confidence"].drop_nulls().tail(EARLIER * reference.settings.window).to_numpy(), np.float64)

    def _golden(self, reference: Reference) -> frozenset[str]:
        """Hashes of the golden prompts, which the monitor itself asks."""
        texts = (reference.golden or {}).get("texts", [])
        return frozenset(mark for one in texts if (mark := self.store.keeper.hash(str(one))))

    def _no_data(self, versions: list[str], moment: datetime) -> Alerts:
        """The alarm that nothing comes in any more."""
        settings = self.target.reference(self._overrides).settings.alerts
        alerts = Alerts(self.store, settings, self.target.model, "")
        if settings.no_data_minutes is None:
            return alerts
        last = self._last_request(versions)
        since = last or self.target.serving_since()
        minutes = (moment - since).total_seconds() / 60 if since else 0.0
        text = (
            f"no request for {minutes:,.0f} minutes"
            if last
            else f"no request at all in the {minutes:,.0f} minutes since this version exists"
        )
        advice = "is the endpoint up, and does it write to this store? Has the caller gone?"
        silent = minutes >= settings.no_data_minutes
        judged = Decided(
            NO_DATA, "operation", "critical", advice, True, minutes, None, settings.no_data_minutes, None, silent, text, (), {}
        )
        alerts.see([judged], {}, moment, f"{self.store.place.name}")
        return alerts

    def _last_request(self, versions: list[str]) -> datetime | None:
        """When somebody else than the monitor asked last; golden prompts name their version, so they are on the side `direct`."""
        routed = self.store.latest_time(versions=versions, sides=["champion", "challenger"])
        named = self.store.exchanges(versions=versions, sides="direct", last=100, columns=["time", "prompt_hash"])
        known = {mark for one in self._measurers.values() for mark in self._golden(one.reference)}
        times = named.filter(~pl.col("prompt_hash").is_in(list(known)).fill_null(False))["time"].to_list()
        return max([*times, *([routed] if routed else [])], default=None)

    def _retire(self, versions: list[str], moment: datetime) -> None:
        """Close the alerts of versions that do not serve any more; nobody need be told what a promotion did."""
        for row in self.store.alerts(states=["pending", "open"]).to_dicts():
            version = str(row["version"])
            if version.startswith(f"{self.target.model}@") and version not in versions:
                self.store.save_alert({"state": "closed", "closed": moment, "updated": moment}, row["id"])

    def _tell(self, streams: Sequence[Alerts], moment: datetime) -> None:
        """One message about everything that happened in this round."""
        events = [event for one in streams for event in one.events(moment)]
        if not events:
            return
        if self.receivers:
            where = f"traffic store {self.store.place.name}; `tunewright monitor {self.target.model}` shows the state"
            hand_over(self.store, self.target.model, self.receivers, compose(events, where), moment)
        told(self.store, events, moment)
