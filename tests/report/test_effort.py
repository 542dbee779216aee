"""Effort: what was measured is added up by kind, what was not is counted and said."""

from __future__ import annotations

from typing import Any

import pytest

from tunewright.report.effort import effort


def done(name: str, seconds: float, cpu: float | None = None, word: str = "done") -> list[dict[str, Any]]:
    key = "stage" if name in ("audit", "prepare", "tune") else "work"
    ended = {"event": f"{key}_{word}", key: name, "seconds": seconds} | ({} if cpu is None else {"cpu_seconds": cpu})
    return [{"event": f"{key}_started", key: name}, ended]


def test_shares_of_wall_and_compute_are_apart() -> None:
    found = effort([*done("audit", 30, 10), *done("prepare", 10, 10), *done("tune", 60, 180)], [])
    assert found is not None
    assert found["wall"] == {"data": 40, "model": 60, "share": 0.4}
    assert found["compute"]["share"] == 0.1


def test_failed_and_repeated_attempts_count() -> None:
    found = effort([*done("tune", 50, 50), *done("tune", 30, 30, "failed"), *done("audit", 20, 20), *done("prove-data", 60, 60)], [])
    assert found is not None
    assert found["wall"] == {"data": 80, "model": 80, "share": 0.5}
    assert {one["name"]: (one["attempts"], one["failed"]) for one in found["work"]}["tune"] == (2, 1)


def test_people_are_counted_by_name_and_a_lunch_is_not_believed() -> None:
    log = [{"by": "ann", "seconds": 30.0}, {"by": "ann", "seconds": 5000.0}, {"by": "bo", "seconds": 10.0}, {"by": "bo"}]
    found = effort(done("tune", 640), log)
    assert found is not None
    assert found["people"]["by"] == {"ann": 630.0, "bo": 10.0}
    assert found["share"] == 0.5
    assert "1 decisions have no time" in found["text"]


def test_what_was_not_measured_is_said() -> None:
    found = effort([*done("audit", 30), {"event": "stage_started", "stage": "tune"}], [])
    assert found is not None
    assert found["compute"]["share"] is None
    for words in ("no review was logged", "1 attempt was killed", "1 attempt did not log their compute"):
        assert words in found["text"]


@pytest.mark.parametrize("events", [[], [{"event": "note"}]])
def test_nothing_measured_is_nothing_said(events: list[dict[str, Any]]) -> None:
    assert effort(events, []) is None


def test_decisions_without_a_time_alone_make_no_share() -> None:
    found = effort([], [{"row_id": "r1", "action": "accept", "by": "ann"}])
    assert found is not None
    assert found["share"] is None
    assert "an unknown part of the time that was measured" in found["text"]
    assert "1 decisions have no time" in found["text"]
