"""Whole rounds over a real store: each version and side apart, labels whenever they come, silence, the command and what retraining reads."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.monitor.conftest import NOON, Log, logger, packed
from tunewright.cli import main
from tunewright.core.errors import RunError, TunewrightError
from tunewright.monitor import Watch, status
from tunewright.monitor.deliver import Receiver
from tunewright.monitor.measure import SHOWN
from tunewright.monitor.result import ABOUT
from tunewright.monitor.target import Target, find_target
from tunewright.testing.stand_in import StandIn
from tunewright.traffic.record import Feedback
from tunewright.traffic.store import TrafficStore

Rows = pl.DataFrame
LATER = NOON + timedelta(minutes=30)
URL = "http://example.org/tunewright and more of it "


class Recorder(Receiver):
    """A receiver that keeps its messages."""

    def __init__(self) -> None:
        super().__init__("recorder", "r", "", ())
        object.__setattr__(self, "got", [])

    def send(self, title: str, body: str, severity: str) -> str | None:
        self.got.append((title, body, severity))  # type: ignore[attr-defined]
        return None


def titles(one: Recorder) -> list[str]:
    return [title for title, _, _ in one.got]  # type: ignore[attr-defined]


def drifted(rows: Rows) -> list[str]:
    return [URL + text for text in rows["text"].to_list()]


def test_quiet_traffic_raises_nothing_and_is_measured_once(release: Path, store: TrafficStore, log: Log, fresh: Rows):
    log(fresh["text"].head(250).to_list())
    to = Recorder()
    first, second = (Watch(find_target(str(release)), store, [to]).round(LATER) for _ in range(2))
    assert (first.windows, second.windows) == (2, 0)
    assert first.waiting == second.waiting == {"demo@0 champion": (50, 100)}
    assert "; the next of demo@0 champion has 50 of 100 requests; " in second.lines()[0]
    assert first.open == second.open == []
    assert titles(to) == []
    seen = status(store, "demo", now=LATER)
    assert (seen.version, seen.windows, seen.drifted_in_a_row, seen.sustained) == ("demo@0", 2, 0, False)
    assert seen.last is not None
    assert seen.last["signals"][ABOUT]["window"] == 100
    assert "vocabulary" in "\n".join(seen.lines())


def test_two_monitors_at_once_measure_every_window_once(release: Path, store: TrafficStore, log: Log, fresh: Rows):
    from concurrent.futures import ThreadPoolExecutor

    log(fresh["text"].head(300).to_list())
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: Watch(find_target(str(release)), store).round(LATER).windows, range(2)))
    assert sorted(done) == [0, 3]
    assert len(store.windows()) == 3


def test_drift_is_told_once_with_examples_and_retraining_sees_it(release: Path, store: TrafficStore, log: Log, fresh: Rows):
    log(drifted(fresh.head(200)))
    to = Recorder()
    watch = Watch(find_target(str(release)), store, [to])
    done = watch.round(LATER)
    assert {"classifier", "vocabulary"} <= {one.signal for one in done.open}
    (title,) = titles(to)
    body = to.got[0][1]  # type: ignore[attr-defined]
    assert "raised" in title
    assert "-> 100.0%" in body
    assert "http://example.org/tunewright and more" in body
    shown = {text for one in done.open for text in one.detail["examples"].values()}
    assert all(len(text) <= SHOWN for text in shown)
    assert all(text in {URL + one for one in fresh["text"]} or text.endswith("…") for text in shown), "a text that is cut says so"
    assert any(text.endswith("…") for text in shown)
    assert watch.round(LATER).open == done.open
    assert len(titles(to)) == 1
    seen = status(store, "demo", now=LATER)
    assert seen.sustained
    assert seen.drifted_in_a_row == 2
    assert seen.since is not None
    assert any(one["signal"] == "vocabulary" and one["name"] == "tunewright" for one in seen.moved)
    assert any(one.startswith("vocabulary: ") for one in seen.advice)
    json.dumps(seen.document(), default=str)
    log(fresh["text"].tail(200).to_list(), start=NOON + timedelta(minutes=10))
    assert watch.round(LATER).open == []
    assert "resolved" in titles(to)[-1]


def test_sides_and_versions_are_apart(model: StandIn, reviews: Rows, store: TrafficStore, log: Log, fresh: Rows, tmp_path: Path):
    releases = {f"demo@{number}": packed(model, reviews, tmp_path / str(number)) for number in (1, 2)}

    class Two(Target):
        def versions(self) -> dict[str, Path]:
            return releases

    log(fresh["text"].head(200).to_list(), version="demo@1")
    log(drifted(fresh.head(200)), version="demo@2", side="challenger")
    done = Watch(Two("demo", release=releases["demo@1"]), store).round(LATER)
    assert done.windows == 4
    assert {(one.version, one.side) for one in done.open if one.signal == "vocabulary"} == {("demo@2", "challenger")}
    assert status(store, "demo", now=LATER).version == "demo@1"
    assert not status(store, "demo", now=LATER).sustained
    assert status(store, "demo", "demo@2", "challenger", now=LATER).sustained
    del releases["demo@2"]  # the challenger is gone
    assert [one.key for one in Watch(Two("demo", release=releases["demo@1"]), store).round(LATER).open if "demo@2" in one.key] == []


def test_labels_that_come_late_change_their_cohort_and_no_window(release: Path, store: TrafficStore, log: Log, fresh: Rows):
    rows = fresh.head(100)
    ids = log(rows["text"].to_list())
    watch = Watch(find_target(str(release)), store)
    watch.round(LATER)
    windows = store.windows()
    days = NOON + timedelta(days=2)
    wrong = {"negative": "positive", "positive": "negative", "neutral": "positive"}
    answers = store.exchanges()["label"].to_list()

    def say(part: slice, sampled: Any, truth: Callable[[str], str]) -> None:
        store.add_feedback(
            [Feedback(one, "label", truth(answer), days, sampled=sampled) for one, answer in list(zip(ids, answers, strict=True))[part]]
        )

    say(slice(0, 20), "uniform", lambda answer: answer)
    say(slice(20, 60), "targeted", lambda answer: wrong[answer])
    done = watch.round(days + timedelta(hours=1))
    assert [one.signal for one in done.open] == []
    seen = status(store, "demo", now=days + timedelta(hours=1))
    assert seen.accuracy is not None
    assert (seen.accuracy.labels, seen.accuracy.right) == (20, 20)
    assert seen.labels == {"uniform": 20, "targeted": 40, "volunteered": 0, "waiting": 0}
    say(slice(60, 100), "uniform", lambda answer: wrong[answer])
    done = watch.round(days + timedelta(hours=2))
    assert "accuracy" in {one.signal for one in done.open}
    seen = status(store, "demo", now=days + timedelta(hours=2))
    assert seen.below_objective
    assert seen.accuracy is not None
    assert (seen.accuracy.labels, seen.accuracy.right) == (60, 20)
    assert seen.cohorts[-1]["day"] == "2026-11-27"
    assert store.windows().equals(windows)
    young = status(store, "demo", now=NOON + timedelta(hours=2))
    assert young.accuracy is None
    assert young.labels["waiting"] == 100


def test_silence_is_an_alarm_and_the_monitor_s_own_questions_do_not_break_it(
    model: StandIn, reviews: Rows, store: TrafficStore, log: Log, tmp_path: Path
):
    release = packed(model, reviews, tmp_path / "demo", alerts={"no_data_minutes": 30.0})
    to = Recorder()
    watch = Watch(find_target(str(release)), store, [to])
    assert [one.signal for one in watch.round(LATER).open] == ["no_data"]  # nothing has ever come
    log(["hello there"])
    assert watch.round(NOON + timedelta(minutes=1)).open != []
    assert watch.round(NOON + timedelta(minutes=2)).open == []
    assert "resolved" in titles(to)[-1]
    golden = str(reviews["text"][1200])
    log([golden], start=NOON + timedelta(minutes=29), side="direct")
    done = watch.round(NOON + timedelta(minutes=32))
    assert [(one.signal, one.severity) for one in done.open] == [("no_data", "critical")]
    assert "no request for 32 minutes" in done.open[0].message


def test_a_version_whose_release_has_no_reference_is_said_and_the_others_are_watched(
    model: StandIn, reviews: Rows, store: TrafficStore, log: Log, fresh: Rows, tmp_path: Path
):
    releases = {f"demo@{number}": packed(model, reviews, tmp_path / str(number)) for number in (1, 2)}
    (releases["demo@2"] / "reference.parquet").unlink()

    class Two(Target):
        def versions(self) -> dict[str, Path]:
            return releases

    log(fresh["text"].head(100).to_list(), version="demo@1")
    done = Watch(Two("demo", release=releases["demo@1"]), store).round(LATER)
    assert done.windows == 1
    assert "older Tunewright" in done.problems[0]
    (releases["demo@1"] / "reference.parquet").unlink()
    with pytest.raises(TunewrightError, match="older Tunewright"):
        Watch(Two("demo", release=releases["demo@1"]), store).round(LATER)


@pytest.fixture
def serving(model: StandIn) -> Iterator[tuple[str, dict[str, Any]]]:
    """An endpoint whose /v1/classify answers by the model in `state`."""
    state: dict[str, Any] = {"model": model, "status": 200, "keys": []}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            state["keys"].append(self.headers.get("authorization"))
            own: StandIn = state["model"]
            data = [
                {
                    "answer": one["answer"],
                    "confidence": one["confidence"],
                    "probabilities": dict(zip(own.labels, one["probabilities"], strict=True)),
                }
                for one in own.answer(asked["input"]).iter_rows(named=True)
            ]
            body = json.dumps({"data": data}).encode()
            self.send_response(state["status"])
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", state
    server.shutdown()
    server.server_close()


def test_golden_prompts_are_asked_of_the_endpoint_and_another_model_is_an_alert(
    release: Path, store: TrafficStore, log: Log, fresh: Rows, serving: tuple[str, dict[str, Any]]
):
    url, state = serving
    log(fresh["text"].head(20).to_list())
    watch = Watch(find_target(str(release)), store, url=url, key="k3y")
    assert watch.round(LATER).open == []
    assert state["keys"] == ["Bearer k3y"]
    state["model"] = StandIn.fit(fresh.head(800))
    assert [one.signal for one in watch.round(LATER).open] == ["golden_prompts"]
    state["status"] = 500  # an endpoint that fails says nothing of the weights
    assert [one.signal for one in watch.round(LATER).open] == ["golden_prompts"]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    code = main(["monitor", *arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_the_command_ends_with_1_when_an_alert_is_open(
    release: Path, store: TrafficStore, log: Log, fresh: Rows, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    traffic = ["--traffic", f"sqlite:///{tmp_path}/traffic.db"]
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    log(fresh["text"].head(100).to_list(), start=hour_ago)
    code, told = run(capsys, str(release), *traffic)
    assert (code, told["windows_measured"], told["open_alerts"]) == (0, 1, [])
    log(drifted(fresh.head(200)), start=hour_ago + timedelta(minutes=10))
    code, told = run(capsys, str(release.parent), *traffic)
    assert (code, told["model"], told["windows_measured"]) == (1, "demo", 2)
    assert "demo@0/champion/vocabulary" in told["open_alerts"]
    assert main(["monitor", str(release), *traffic]) == 1
    shown = capsys.readouterr().out
    assert "! vocabulary" in shown
    assert "ALERT warning vocabulary" in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "no such model"),
        (["RELEASE", "--set", "serve.queue=3"], "only monitor.KEY=VALUE"),
        (["RELEASE", "--set", "monitor.windw=3"], "Did you mean 'window'"),
        (["RELEASE", "--set", "monitor.false_alarms=0.0001"], "tell no rate below"),
        (["RELEASE", "--watch", "0"], "--watch must be"),
        (["RELEASE", "--alert", "slack://***"], "lost its secrets"),
        (["RELEASE", "--replay", "nowhere.csv"], "no such file"),
    ],
)
def test_what_is_wrong_is_said(
    arguments: list[str], words: str, release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    code = main(["monitor", *[str(release) if one == "RELEASE" else one for one in arguments]])
    assert code == 2
    assert words in capsys.readouterr().err


def test_a_file_is_replayed_as_if_it_were_traffic(
    release: Path, fresh: Rows, tmp_path: Path, serving: tuple[str, dict[str, Any]], capsys: pytest.CaptureFixture[str]
):
    calm, odd = tmp_path / "calm.csv", tmp_path / "odd.txt"
    fresh.head(250).write_csv(calm)
    odd.write_text("\n".join(one.replace("\n", " ") for one in drifted(fresh.head(250))))
    code, told = run(capsys, str(release), "--replay", str(calm))
    assert (code, told["rows"], told["left"], told["raised"]) == (0, 250, 50, {})
    assert "unmeasured" in told["windows"][0]["confidence"]
    code, told = run(capsys, str(release), "--replay", str(odd))
    assert code == 1
    assert told["raised"]["vocabulary"] == 2
    code, told = run(capsys, str(release), "--replay", str(calm), "--endpoint", serving[0])
    assert code == 0
    assert told["windows"][0]["confidence"]["threshold"] > 0
    assert main(["monitor", str(release), "--replay", str(odd)]) == 1
    assert "Would have raised an alert:" in capsys.readouterr().out
    assert main(["monitor", str(release), "--replay", str(calm), "--set", "monitor.window=300"]) == 2
    assert list(tmp_path.glob("*.db")) == []


def test_a_watch_goes_on_after_a_round_that_failed(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    import tunewright.commands.monitor as command

    rounds: list[int] = []

    def sleep(_: float) -> None:
        rounds.append(1)
        if len(rounds) == 1:
            (release / "reference.parquet").rename(release / "gone")
        elif len(rounds) == 2:
            (release / "gone").rename(release / "reference.parquet")
        else:
            raise KeyboardInterrupt

    monkeypatch.setattr(command.time, "sleep", sleep)
    assert main(["monitor", str(release), "--watch", "5", "--traffic", f"sqlite:///{tmp_path}/t.db"]) == 130
    said = capsys.readouterr().err
    assert said.count("no alert is open") == 2
    assert said.count("this round failed") == 1


def test_a_release_alone_has_the_name_that_the_endpoint_gives_it(release: Path, tmp_path: Path):
    from tunewright.serve.target import find_target as served

    odd = tmp_path / "My run (3)" / "release"
    packed_here = release.rename(odd) if odd.parent.mkdir() is None else odd
    for path in (packed_here, packed_here.parent):
        assert find_target(str(path)).model == served(str(path)).model == "My-run-3"
    with pytest.raises(RunError, match="cannot be watched"):
        find_target(str(tmp_path))


@pytest.mark.slow
def test_a_round_on_postgresql_is_the_same(release: Path, model: StandIn, fresh: Rows):
    from tunewright.testing.postgres import postgres_server

    with postgres_server("fsync=off") as server, TrafficStore.open(server.url) as store:
        log = logger(store, model)
        log(drifted(fresh.head(200)))
        to = Recorder()
        done = Watch(find_target(str(release)), store, [to]).round(LATER)
        assert done.windows == 2
        assert "vocabulary" in {one.signal for one in done.open}
        assert len(titles(to)) == 1
        assert status(store, "demo", now=LATER).sustained
        assert Watch(find_target(str(release)), store, [to]).round(LATER).windows == 0
