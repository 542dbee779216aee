"""Windows go on where they stopped, hold every request once, and miss no slow answer."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.monitor.conftest import NOON, Log
from tunewright.core.loop import MonitorSettings
from tunewright.monitor import windows
from tunewright.traffic.store import TrafficStore

LATER = NOON + timedelta(hours=3)
SLOWEST = timedelta(minutes=3)


def cut(store: TrafficStore, now: datetime = LATER, skip: frozenset[str] = frozenset(), **settings: Any) -> list[list[str]]:
    """Measure what is full, as a round does; the ids of each window."""
    chosen = MonitorSettings.model_validate({"window": 20, **settings})
    found = []
    for one in windows.fresh(store, "demo@0", "champion", chosen, now, SLOWEST, skip):
        times = {"start": one["time"].min(), "stop": one["ended"].max()}
        store.add_window(version="demo@0", side="champion", requests=len(one), drifted=False, signals={}, **times)  # type: ignore[arg-type]
        found.append(one["id"].to_list())
    return found


def test_full_windows_are_cut_in_order_and_the_rest_waits_for_the_next_round(store: TrafficStore, log: Log):
    ids = log([f"text {i}" for i in range(50)])
    assert cut(store) == [ids[:20], ids[20:40]]
    assert cut(store) == []
    more = log([f"text {i}" for i in range(15)], start=NOON + timedelta(minutes=5))
    assert cut(store) == [ids[40:] + more[:10]]


def test_any_number_of_windows_is_read_in_parts(store: TrafficStore, log: Log, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(windows, "AT_ONCE", 1)
    ids = log([f"text {i}" for i in range(130)])
    assert [one for part in cut(store) for one in part] == ids[:120]


def test_a_slow_answer_is_in_the_window_in_which_it_ended(store: TrafficStore, log: Log):
    slow = log(["slow"], seconds=45.0, id="slow")
    ids = log([f"text {i}" for i in range(20)], start=NOON + timedelta(seconds=1))
    assert cut(store, now=NOON + timedelta(seconds=30)) == [ids]
    assert slow
    more = log([f"text {i}" for i in range(20)], start=NOON + timedelta(seconds=60))
    assert cut(store) == [["slow", *more[:19]]]


def test_what_ended_at_the_same_moment_stays_together(store: TrafficStore, log: Log):
    for index in range(25):
        log(["same"], id=f"same-{index:02}")
    assert [len(one) for one in cut(store)] == [25]
    assert cut(store) == []


def test_an_answer_that_may_still_be_on_its_way_to_the_store_is_waited_for(store: TrafficStore, log: Log):
    log([f"text {i}" for i in range(20)])
    assert cut(store, now=NOON + timedelta(seconds=19.5)) == []
    assert len(cut(store, now=NOON + timedelta(seconds=21))) == 1


def test_time_closes_a_window_that_is_not_full(store: TrafficStore, log: Log):
    ids = log([f"text {i}" for i in range(30)])
    assert cut(store, window=100) == []
    assert cut(store, window=100, window_minutes=30.0, now=NOON + timedelta(minutes=10)) == []
    assert cut(store, window=100, window_minutes=30.0) == [ids]
    log([f"text {i}" for i in range(19)], start=NOON + timedelta(hours=1))
    assert cut(store, window=100, window_minutes=30.0) == []  # fewer than 20 say nothing


def test_other_sides_and_versions_and_the_monitor_s_own_prompts_are_not_in_it(store: TrafficStore, log: Log):
    ids = log([f"text {i}" for i in range(20)])
    log(["shadow"] * 30, side="shadow")
    log(["golden"], start=NOON - timedelta(minutes=1))
    mark = store.keeper.hash("golden")
    assert mark
    assert cut(store, skip=frozenset([mark])) == [ids]
