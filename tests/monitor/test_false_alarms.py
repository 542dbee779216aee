"""Replays without drift keep the stated rate of false alarms, with whole reviews on one side as well; if the groups were not known they would not."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from tests.monitor.conftest import REVIEWS, window_of
from tunewright.monitor.measure import Measurer
from tunewright.monitor.reference import load_reference
from tunewright.testing.stand_in import StandIn

WINDOW, RATE = 200, 0.05
ROWS = pl.read_csv(REVIEWS).select("text", "label", row_id="id", group="review")


def share_of_alarms(folder: Path, whole: bool, known: bool, seeds: int = 6) -> float:
    """Windows in which a signal of the inputs alarms: rows dealt one by one or as `whole` reviews, whose groups the monitor knows or not."""
    alarms = windows = 0
    for seed in range(seeds):
        place = pl.col("group" if whole else "row_id").hash(seed=seed)
        rows = ROWS.sort(place, maintain_order=True)
        own = rows if known else rows.drop("group")
        model = StandIn.fit(own[:1000]).calibrated(own[1000:1400])
        settings = {"window": WINDOW, "false_alarms": RATE, "resamples": 300}
        measurer = Measurer(load_reference(model.pack(folder / f"{seed}{whole}{known}", own[1000:1400], {"monitor": settings}), "demo@0"))
        for start in range(1400, 1400 + 7 * WINDOW, WINDOW):
            part = own[start : start + WINDOW]
            window = window_of(model, part, **({"group": part["group"].alias("group")} if known else {}))
            found = measurer.window(window)
            alarms += any(one.alarm for one in found.decided.values() if one.family == "input")
            windows += 1
    return alarms / windows


@pytest.mark.slow
def test_no_drift_alarms_no_more_often_than_is_stated(tmp_path: Path):
    rate = share_of_alarms(tmp_path, whole=False, known=False)
    assert rate < RATE + 0.10  # three standard errors of 42 windows


@pytest.mark.slow
def test_other_reviews_are_no_drift_when_their_groups_are_known(tmp_path: Path):
    assert share_of_alarms(tmp_path, whole=True, known=True) < RATE + 0.10
    assert share_of_alarms(tmp_path, whole=True, known=False, seeds=2) > 0.5
