"""The writer: fast, never in the way, nothing lost but what the promise names; and what of a text is kept."""

import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import pytest

from tests.traffic.conftest import NOON, exchange
from tunewright.core.loop import TrafficSettings
from tunewright.testing.postgres import postgres_server
from tunewright.traffic import writer as writer_module
from tunewright.traffic.keep import Keeper
from tunewright.traffic.record import Feedback
from tunewright.traffic.store import TrafficStore


def until(condition, seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def test_kill_minus_nine_loses_nothing_that_is_older_than_100_ms(url: str, tmp_path: Path):
    command = [sys.executable, "-m", "tests.traffic.victim", url, str(tmp_path)]
    victim = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert victim.stdout is not None
    lines = [victim.stdout.readline() for _ in range(1500)]
    killed_at = time.time()
    victim.send_signal(signal.SIGKILL)
    lines += victim.stdout.readlines()
    victim.wait()
    told = {f"cls-{line.split()[0]}": float(line.split()[1]) for line in lines if line.endswith("\n") and len(line.split()) == 2}
    with TrafficStore.open(url, tmp_path) as store:
        kept = set(store.exchanges(columns=["id", "time"])["id"])
    owed = {name for name, when in told.items() if when < killed_at - 0.1}
    assert len(owed) > 800
    assert owed - kept == set()


def test_log_costs_microseconds_and_hundreds_of_rows_a_second_are_stored(store: TrafficStore):
    rows = [exchange(number) for number in range(3000)]
    with store.writer() as writer:
        costs = []
        start = time.perf_counter()
        for one in rows:
            before = time.perf_counter()
            writer.log(one)
            costs.append(time.perf_counter() - before)
        assert writer.flush(20)
        seconds = time.perf_counter() - start
    assert median(costs) < 50e-6
    assert 3000 / seconds > 500
    assert store.count() == 3000


def test_a_row_is_stored_within_100_ms_of_its_acceptance(store: TrafficStore):
    with store.writer() as writer:
        writer.log(exchange(0))
        writer.flush()
        waits = []
        for number in range(1, 8):
            start = time.monotonic()
            writer.log(exchange(number))
            until(lambda count=number + 1: store.count() == count, 2)
            waits.append(time.monotonic() - start)
    assert median(waits) < 0.1


def test_many_threads_and_two_writers_lose_nothing(url: str, tmp_path: Path):
    with TrafficStore.open(url, tmp_path) as store, store.writer() as one, store.writer() as other:

        def work(start: int) -> None:
            for number in range(start, start + 250):
                (one if number % 2 else other).log(exchange(number))

        threads = [threading.Thread(target=work, args=(start,)) for start in range(0, 1000, 250)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert one.flush()
        assert other.flush()
        assert store.count() == 1000
        assert one.stats()["accepted"] + other.stats()["accepted"] == 1000


@pytest.mark.parametrize(
    ("keep", "prompt", "note"),
    [
        ("text", "mail jo@firm.example", "call 030 1234"),
        ("redacted", "mail <EMAIL>", "call 030 1234"),
        ("hash", None, None),
        ("nothing", None, None),
    ],
)
def test_what_is_kept_of_a_text(tmp_path: Path, keep: str, prompt: str | None, note: str | None):
    with TrafficStore.open(TrafficSettings.model_validate({"keep": keep}), tmp_path) as store:
        with store.writer() as writer:
            for number in range(2):
                writer.log(
                    exchange(number, prompt="mail jo@firm.example", answer="I wrote to jo@firm.example", error="jo@firm.example: no")
                )
            writer.feedback(Feedback("cls-0", "answer", "ask jo@firm.example", NOON, note="call 030 1234"))
            writer.feedback(Feedback("cls-0", "label", "negative", NOON))
        row, feedback = store.exchanges().row(0, named=True), store.feedback()
        assert (row["prompt"], row["label"], feedback["note"][0]) == (prompt, "negative", note)
        assert store.exchanges()["prompt_hash"].n_unique() == 1
        assert feedback["value"].to_list()[1] == "negative"
    raw = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
    assert (b"jo@firm.example" in raw) == (keep == "text")


def test_a_hash_of_nothing_cannot_be_guessed_later():
    first, second = Keeper("nothing"), Keeper("nothing")
    assert first.hash("good") == first.hash("good") != second.hash("good")
    assert Keeper("hash").hash("good") == Keeper("redacted").hash("good")


def test_a_text_that_breaks_the_redaction_costs_its_words_only(store: TrafficStore, monkeypatch: pytest.MonkeyPatch):
    with store.writer() as writer:
        monkeypatch.setattr(writer.keeper, "texts", lambda given: 1 / 0)
        writer.log(exchange(0))
        writer.log(exchange(1))
    assert store.exchanges().select("id", "prompt", "label").rows() == [("cls-0", None, "negative"), ("cls-1", None, "negative")]


def test_bad_text_and_bad_rows_do_not_take_others_with_them(store: TrafficStore, caplog: pytest.LogCaptureFixture):
    with store.writer() as writer:
        writer.log(exchange(0, prompt="a\x00b \ud800 c"))
        writer.log(exchange(1, prompt_tokens=10**30))
        writer.log(exchange(2, time=datetime(2026, 1, 1)))
        writer.log(exchange(3))
        assert writer.flush()
        stats = writer.stats()
    assert store.exchanges().select("id", "prompt").rows() == [("cls-0", "a\ufffdb ? c"), ("cls-3", "it broke after 3 days")]
    assert (stats["stored"], stats["rejected"], stats["down"]) == (2, 2, "")
    assert "refuses a row" in caplog.text
    assert len(list(Path(str(writer._spill.folder)).glob("rejected.log"))) == 1


def test_while_sqlite_is_locked_rows_spill_and_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    monkeypatch.setattr("tunewright.traffic.place.BUSY_SECONDS", 0.05)
    monkeypatch.setattr(writer_module, "PROBE_SECONDS", (0.05, 0.1))
    caplog.set_level(logging.WARNING, "tunewright.traffic")
    with TrafficStore.open("sqlite:///traffic.db", tmp_path) as store, store.writer() as writer:
        blocker = sqlite3.connect(tmp_path / "traffic.db", isolation_level=None)
        blocker.execute("BEGIN EXCLUSIVE")
        for number in range(50):
            writer.log(exchange(number))
        assert writer.flush(10)
        stats = writer.stats()
        assert (stats["stored"], stats["spilled"]) == (0, 50)
        assert "locked" in stats["down"]
        blocker.execute("COMMIT")
        blocker.close()
        until(lambda: writer.stats()["recovered"] == 50)
        writer.log(exchange(50))
        assert writer.flush()
        assert (store.count(), writer.stats()["down"], writer.stats()["stored"]) == (51, "", 1)
    assert "does not take rows (database is locked)" in caplog.text
    assert "answers again; 50 rows taken in" in caplog.text
    assert list((tmp_path / "traffic.db.spill").iterdir()) == []


def test_rows_that_a_dead_process_spilled_are_taken_in_by_the_next(store: TrafficStore):
    with store.writer() as writer:
        until(lambda: not writer._leftovers)
        spill = writer._spill
        spill.write([("requests", row) for row in store.keeper.requests([exchange(0), exchange(1)])])
        path = spill._path
        with open(path, "ab") as stream:
            stream.write(b'{"table": "requests", "row": {"id": "cut sho')
        other = store.writer()
        until(lambda: not other._leftovers)
        assert path.exists(), "the file of a process that lives is its own"
        other.close()
    assert store.count() == 0
    with store.writer() as late:
        until(lambda: late.stats()["recovered"] == 2)
    assert store.exchanges()["id"].to_list() == ["cls-0", "cls-1"]
    assert not path.exists()


def test_when_neither_database_nor_disk_take_rows_they_wait_in_memory_up_to_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(writer_module, "PROBE_SECONDS", (0.05, 0.1))
    full, insert = threading.Event(), writer_module.insert_rows
    full.set()

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writer_module, "insert_rows", lambda *given: refuse() if full.is_set() else insert(*given))
    with TrafficStore.open("sqlite:///traffic.db", tmp_path) as store, store.writer(capacity=20) as writer:
        monkeypatch.setattr(writer._spill, "write", refuse)
        for number in range(50):
            writer.log(exchange(number))
            time.sleep(0.002)
        assert writer.flush()
        stats = writer.stats()
        assert (stats["held"], stats["dropped"], stats["stored"]) == (20, 30, 0)
        assert "wait in memory" in caplog.text
        assert "rows dropped so far" in caplog.text
        full.clear()
        until(lambda: writer.stats()["held"] == 0)
        assert store.count() == 20


@pytest.mark.slow
def test_while_postgresql_is_down_answers_go_on_and_nothing_is_lost(tmp_path: Path):
    with postgres_server("fsync=off") as server:
        with TrafficStore.open(server.url, tmp_path) as store, store.writer() as writer:
            writer.log(exchange(0))
            assert writer.flush()
            server.stop()
            for number in range(1, 200):
                start = time.perf_counter()
                writer.log(exchange(number))
                assert time.perf_counter() - start < 0.05
                time.sleep(0.001)
            assert writer.flush(30)
            assert writer.stats()["spilled"] == 199
            assert "s3cret" not in writer.stats()["down"]
            server.start()
            until(lambda: writer.stats()["recovered"] == 199, 30)
            assert store.count() == 200


def test_the_writer_purges_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with TrafficStore.open(TrafficSettings(retention_days=30), tmp_path) as store:
        with store.writer() as writer:
            writer.log(exchange(0, time=datetime(2020, 1, 1, tzinfo=UTC)))
            writer.flush()
            writer._purge_at = 0.0
            writer.log(exchange(1, time=datetime.now(UTC)))
            until(lambda: store.count() == 1)
        assert store.exchanges()["id"].to_list() == ["cls-1"]
