"""The monitor's page: what a person without a terminal sees, with texts of strangers as text and nothing else."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from tests.monitor.conftest import NOON, Log
from tests.report.test_report import KNOWN_TAGS, Page
from tunewright.cli import main
from tunewright.monitor import Watch
from tunewright.monitor.history import history
from tunewright.monitor.target import find_target
from tunewright.report import charts, write_watch
from tunewright.traffic.record import Feedback
from tunewright.traffic.store import TrafficStore

HOSTILE = '<script>alert(1)</script><img src=x onerror="alert(2)">'
LATER = NOON + timedelta(minutes=30)


def page(store: TrafficStore, release: Path, place: Path) -> tuple[Page, str]:
    watch = Watch(find_target(str(release)), store)
    watch.round(LATER)
    write_watch(place, history(store, watch.target.model, watch.states(), LATER))
    html = place.read_text(encoding="utf-8")
    return Page(html), html


def test_it_shows_alerts_signals_labels_and_what_is_over(release: Path, store: TrafficStore, log: Log, fresh: pl.DataFrame, tmp_path: Path):
    ids = log(fresh["text"].head(100).to_list())
    store.add_feedback([Feedback(one, "label", "positive", NOON, "ann", sampled="uniform") for one in ids[:40]])
    calm, _ = page(store, release, tmp_path / "monitor.html")
    assert "Calm" in calm.text
    log([HOSTILE + text for text in fresh["text"].head(200)], start=NOON + timedelta(minutes=5))
    alarmed, html = page(store, release, tmp_path / "monitor.html")
    assert "<script" not in html
    assert "<img" not in html
    assert {tag for tag, _ in alarmed.elements} <= KNOWN_TAGS
    assert not [attributes for _, attributes in alarmed.elements if any(name.startswith("on") for name in attributes)]
    assert "<script>alert(1)</script>" in alarmed.text, "it is shown, as words"
    for words in (
        "Open now:",
        "vocabulary",
        "onerror word : 0.0% → 100.0%",
        "Signals of the newest window, and of the 3 last",
        "Labels, by the day",
    ):
        assert words in alarmed.text
    log(fresh["text"].tail(200).to_list(), start=NOON + timedelta(minutes=10))
    over, _ = page(store, release, tmp_path / "monitor.html")
    assert "Calm" in over.text
    assert "Alerts that are over" in over.text


def test_the_command_writes_it_also_before_there_is_a_window(
    release: Path, store: TrafficStore, log: Log, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    place = tmp_path / "pages" / "monitor.html"
    command = ["monitor", str(release), "--traffic", f"sqlite:///{tmp_path}/traffic.db", "--html", str(place)]
    assert main(command) == 0
    assert "Not measured" in Page(place.read_text(encoding="utf-8")).text


def test_a_trend_leaves_gaps_and_marks_what_was_beyond():
    drawn = str(charts.trend([1.0, None, 3.0, 2.0], [2.5, 2.5, 2.5, None], [False, False, True, False], "a signal"))
    assert drawn.count("<circle") == 1
    assert drawn.count("<polyline") == 3
    assert str(charts.trend([None], [None], [False], "nothing")).count("<polyline") == 0
    assert str(charts.trend([0.0], [None], [True], "one window")).count("<polyline") == 1
