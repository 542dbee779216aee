"""Alerts: raised when they last, told once and together, told again after the cool-off, resolved, and remembered across restarts."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from tests.monitor.conftest import NOON
from tunewright.core.loop import AlertSettings
from tunewright.core.watch import Moved
from tunewright.monitor.alerts import Alerts, Event, alerts_of, compose, told
from tunewright.monitor.decide import Decided
from tunewright.traffic.store import TrafficStore

MOVED = (Moved("word", "url_removed", 0.0, 0.12, ("cls-1",)),)


def said(alarm: bool, name: str = "vocabulary", severity: str = "warning", at_once: bool = False) -> Decided:
    return Decided(
        name, "input", severity, "read them", at_once, 0.3, 0.0, 0.1, 0.001, alarm, "words that rose most: url_removed", MOVED, {}
    )


def stage(store: TrafficStore, side: str = "champion", **settings: Any) -> Alerts:
    return Alerts(store, AlertSettings.model_validate({"cool_off_minutes": 60, **settings}), "demo@0", side)


def step(store: TrafficStore, minute: float, *judged: Decided, **settings: Any) -> list[str]:
    """One window, by a monitor that has just been started; what somebody is told."""
    moment = NOON + timedelta(minutes=minute)
    alerts = stage(store, **settings)
    alerts.see(list(judged), {"cls-1": "look at url_removed"}, moment, "window 1")
    return tell(store, alerts, moment)


def tell(store: TrafficStore, alerts: Alerts, moment: datetime) -> list[str]:
    events = alerts.events(moment)
    told(store, events, moment)
    return [f"{one.change} {one.alert.signal}" for one in events]


def test_one_window_beyond_the_threshold_tells_nobody_two_in_a_row_do_and_only_once(store: TrafficStore):
    assert step(store, 0, said(True)) == []
    assert step(store, 1, said(True)) == ["raised vocabulary"]
    assert step(store, 2, said(True)) == []
    (one,) = alerts_of(store, ["demo@0"], ["open"])
    assert (one.count, one.opened) == (3, NOON)


def test_windows_that_alarm_in_turn_with_quiet_ones_tell_nobody(store: TrafficStore):
    assert [step(store, minute, said(minute % 2 == 0)) for minute in range(6)] == [[]] * 6
    assert alerts_of(store, ["demo@0"], ["open"]) == []


def test_an_alert_is_over_after_two_quiet_windows_and_that_is_told_once(store: TrafficStore):
    for minute in range(2):
        step(store, minute, said(True))
    assert step(store, 2, said(False)) == []
    assert step(store, 3, said(True)) == []  # not over yet
    assert step(store, 4, said(False)) == []
    assert step(store, 5, said(False)) == ["resolved vocabulary"]
    assert step(store, 6, said(False)) == []


def test_an_alert_that_goes_on_is_told_again_after_the_cool_off(store: TrafficStore):
    found = [step(store, minute, said(True)) for minute in (0, 1, 30, 60, 61, 100, 121)]
    assert found == [[], ["raised vocabulary"], [], [], ["goes on vocabulary"], [], ["goes on vocabulary"]]


def test_an_alert_that_comes_back_within_the_cool_off_is_open_and_silent(store: TrafficStore):
    changes = [step(store, minute, said(alarm)) for minute, alarm in enumerate([True, True, False, False, True, True, True])]
    assert changes == [[], ["raised vocabulary"], [], ["resolved vocabulary"], [], [], []]
    assert [one.state for one in alerts_of(store, ["demo@0"], ["open"])] == ["open"]
    assert step(store, 62, said(True)) == ["raised vocabulary"]


def test_a_spell_that_came_back_silently_and_went_is_not_told_as_resolved(store: TrafficStore):
    for minute, alarm in enumerate([True, True, False, False, True, True]):
        step(store, minute, said(alarm))
    assert [step(store, 6, said(False)), step(store, 7, said(False))] == [[], []]


def test_what_needs_one_look_is_raised_at_once(store: TrafficStore):
    assert step(store, 0, said(True, "accuracy", at_once=True)) == ["raised accuracy"]


def test_sides_are_apart(store: TrafficStore):
    champion, challenger = stage(store), stage(store, side="challenger")
    for alerts in (champion, challenger):
        alerts.see([said(True)], {}, NOON, "")
    assert {one.side for one in alerts_of(store, ["demo@0"], ["pending"])} == {"champion", "challenger"}
    champion.see([said(True)], {}, NOON, "")
    assert tell(store, challenger, NOON) == []
    assert tell(store, champion, NOON) == ["raised vocabulary"]


def test_a_monitor_killed_before_it_told_anybody_tells_it_after_a_restart(store: TrafficStore):
    for _ in range(2):
        stage(store).see([said(True)], {}, NOON, "")
    again = stage(store)
    assert tell(store, again, NOON) == ["raised vocabulary"]
    assert tell(store, stage(store), NOON) == []


def test_what_fires_together_is_one_message_with_what_moved_and_what_to_do(store: TrafficStore):
    alerts = stage(store, raise_after=1)
    alerts.see(
        [said(True), said(True, "error_rate", "critical"), said(True, "language")], {"cls-1": "look at url_removed"}, NOON, "window 7"
    )
    events = alerts.events(NOON)
    assert len(events) == 3
    title, body, severity = compose([*events, Event("resolved", events[0].alert)], "traffic store x")
    assert title == "[critical] demo@0: 3 raised, 1 resolved"
    assert severity == "critical"
    assert body.index("CRITICAL error_rate") < body.index("WARNING language")
    for part in (
        "since 2026-11-27 12:00 UTC",
        "words that rose most: url_removed",
        "moved: word url_removed: 0.0% -> 12.0%",
        "cls-1: look at url_removed",
        "do: read them",
        "see: window 7",
        "RESOLVED vocabulary",
        "Evidence: traffic store x",
    ):
        assert part in body, part


def test_a_message_of_nothing_but_good_news_says_so(store: TrafficStore):
    for minute in range(2):
        step(store, minute, said(True))
    alerts = stage(store, clear_after=1)
    alerts.see([said(False)], {}, NOON, "")
    title, _, severity = compose(alerts.events(NOON), "")
    assert (title, severity) == ("[resolved] demo@0: 1 resolved", "resolved")
