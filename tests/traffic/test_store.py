"""The store on SQLite and on a real PostgreSQL: schema, reading, people's words, retention."""

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from tests.traffic.conftest import NOON, exchange
from tunewright.core.errors import DataError, RunError
from tunewright.core.loop import TrafficSettings
from tunewright.traffic import migrate, schema
from tunewright.traffic.carry import questions, read_feedback, training_rows, write_rows
from tunewright.traffic.place import Place
from tunewright.traffic.read import Filter, probabilities
from tunewright.traffic.record import Feedback
from tunewright.traffic.store import TrafficStore


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def fill(store: TrafficStore, count: int = 6) -> None:
    with store.writer() as writer:
        for number in range(count):
            writer.log(exchange(number))


def test_what_is_logged_is_read_back_whole(store: TrafficStore):
    odd = exchange(
        1,
        format_ok=False,
        first_token_seconds=0.01,
        mean_logprob=-0.5,
        key="k-1",
        caller="ab",
        error="late",
        extra={"b": [1]},
        shadow_of="x",
    )
    with store.writer() as writer:
        writer.log(odd)
        writer.log(exchange(2, probabilities={}, label=None))
    rows = store.exchanges().to_dicts()
    given = {name: getattr(odd, name) for name in schema.columns(schema.requests) if hasattr(odd, name)}
    given |= {"probabilities": '{"negative":0.899,"positive":0.101}', "extra": '{"b":[1]}'}
    assert {name: rows[0][name] for name in given} == given
    assert (rows[0]["confidence"], rows[1]["confidence"], rows[1]["probabilities"], rows[1]["format_ok"]) == (0.899, None, None, None)
    assert probabilities(store.exchanges(), ["positive", "other"])[0, 0] == 0.101


def test_the_migrated_tables_are_the_tables_of_the_schema(store: TrafficStore):
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    with store.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), schema.metadata) == []
    assert migrate.version(store.engine) == migrate.HEAD == max(one.name[:4] for one in (migrate.SCRIPTS / "versions").glob("0*.py"))


def test_an_older_store_is_upgraded_and_keeps_its_rows(url: str, tmp_path: Path):
    place = Place.of(url, tmp_path)
    engine = place.engine()
    migrate.migrate(place, engine, to="0001")
    with engine.begin() as connection:
        row = {
            "id": "old",
            "time": NOON,
            "endpoint": "chat",
            "model": "m",
            "version": "m@1",
            "release": "r",
            "base": "b",
            "side": "champion",
        }
        numbers = dict.fromkeys(("prompt_tokens", "completion_tokens", "cached_tokens", "seconds", "queue_seconds"), 1)
        connection.execute(schema.requests.insert(), [{**row, **numbers, "status": 200}])
        assert not sa.inspect(connection).has_table("alerts")
    with TrafficStore.open(url, tmp_path) as store:
        assert store.exchanges()["id"].to_list() == ["old"]
        assert store.alerts().is_empty()


def test_a_store_of_a_newer_version_is_refused(url: str, tmp_path: Path):
    with TrafficStore.open(url, tmp_path) as store, store.engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(RunError, match=r"has schema 9999, but this tunewright knows up to .* newer version"):
        TrafficStore.open(url, tmp_path)


def test_processes_that_open_an_empty_store_at_once_are_safe(url: str, tmp_path: Path):
    code = f"from tunewright.traffic.store import TrafficStore as S; from pathlib import Path; S.open({url!r}, Path({str(tmp_path)!r})).close()"
    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(lambda _: subprocess.run([sys.executable, "-c", code], capture_output=True, text=True), range(3)))
    assert [one.stderr for one in done] == ["", "", ""]


def test_filters_by_version_side_time_and_id(store: TrafficStore):
    with store.writer() as writer:
        for number in range(10):
            writer.log(exchange(number, version=f"reviews@{1 + number % 2}", side="challenger" if number % 5 == 0 else "champion"))
    ids = lambda **chosen: [int(one[4:]) for one in store.exchanges(**chosen)["id"]]  # noqa: E731
    assert ids(versions="reviews@2") == [1, 3, 5, 7, 9]
    assert ids(versions=["reviews@1", "reviews@2"], sides="challenger") == [0, 5]
    assert ids(since=at(3), until=at(5)) == [3, 4]
    assert ids(last=3) == [7, 8, 9]
    assert ids(after=(at(6), "cls-6"), limit=2) == [7, 8]
    assert ids(ids=["cls-4", "cls-2", "nobody"]) == [2, 4]
    assert ids(ids=[]) == []
    assert store.exchanges(columns=["id"], limit=1).columns == ["id"]
    assert (store.count(versions="reviews@2"), store.latest_time(sides="challenger"), store.latest_time(versions="no")) == (5, at(5), None)


def test_labels_join_their_requests_and_the_approved_word_counts(store: TrafficStore):
    fill(store)
    say = lambda number, value, seconds, **more: Feedback(f"cls-{number}", "label", value, at(seconds), **more)  # noqa: E731
    store.add_feedback(
        [
            say(0, "negative", 100, sampled="uniform", event_time=at(50)),
            say(1, "neutral", 100, by="ann", approved=True),
            say(1, "positive", 200, by="bob"),
            Feedback("cls-2", "thumb", "down", at(100)),
            say(99, "negative", 100),
        ]
    )
    rows = store.labelled().select("id", "truth", "right", "sampled", "approved", "by", "lag_seconds").rows()
    assert rows == [
        ("cls-0", "negative", True, "uniform", False, "user", 100.0),
        ("cls-1", "neutral", False, "volunteered", True, "ann", 99.0),
    ]
    assert store.labelled(sampled="uniform")["event_time"].to_list() == [at(50)]
    assert store.labelled(approved=True)["id"].to_list() == ["cls-1"]
    assert store.labelled(arrived_before=at(100)).is_empty()
    feedback = store.feedback()
    assert feedback.filter(~pl.col("known"))["request_id"].to_list() == ["cls-99"]
    assert store.stats()["feedback_on_unknown_requests"] == 1
    assert store.feedback(versions="reviews@1", kinds="thumb")["value"].to_list() == ["down"]


def test_the_same_words_twice_count_once(store: TrafficStore):
    one = Feedback("cls-1", "label", "neutral", NOON)
    assert store.add_feedback([one, one]) == 1
    assert store.add_feedback([one, replace(one, value="negative")]) == 1


def test_uniform_and_targeted_samples_are_kept_apart(store: TrafficStore):
    fill(store, 40)
    targeted = store.draw(5, "targeted", "ann")
    assert targeted["id"].to_list() == [f"cls-{number}" for number in range(39, 34, -1)]
    uniform = store.draw(10, "uniform", "ann", seed=3)
    assert len(uniform) == 10
    assert not set(uniform["id"]) & set(targeted["id"])
    store.add_feedback([Feedback(one, "label", "neutral", NOON) for one in (uniform["id"][0], targeted["id"][0], "cls-0")])
    marked = dict(store.labelled().select("id", "sampled").iter_rows())
    assert marked == {
        uniform["id"][0]: "uniform",
        targeted["id"][0]: "targeted",
        **({"cls-0": "volunteered"} if "cls-0" not in uniform["id"] else {}),
    }
    assert len(store.queue()) == 13
    assert len(store.queue("targeted")) == 4
    assert store.reject([targeted["id"][1]], "ann") == 1
    assert len(store.queue("targeted", limit=2)) == 2
    assert store.stats()["to_review"] == {"targeted": 3, "uniform": 9}


def test_a_uniform_draw_is_uniform(store: TrafficStore):
    fill(store, 30)
    drawn = [number for seed in range(40) for number in _drawn(store, seed)]
    share = sum(number < 15 for number in drawn) / len(drawn)
    assert 0.38 < share < 0.62


def _drawn(store: TrafficStore, seed: int) -> list[int]:
    rows = store.draw(5, "uniform", "ann", seed=seed)
    with store.engine.begin() as connection:
        connection.execute(schema.reviews.delete())
    return [int(one[4:]) for one in rows["id"]]


def test_only_approved_answers_become_training_rows(store: TrafficStore, tmp_path: Path):
    fill(store)
    store.add_feedback([Feedback("cls-1", "label", "neutral", at(9)), Feedback("cls-2", "label", "positive", at(9))])
    assert training_rows(store).is_empty()
    assert store.approve(["cls-1", "cls-3", "nobody"], "ann") == (2, {"nobody": "no such request in the store"})
    rows = training_rows(store)
    assert rows.select("id", "text", "label", "source", "line", "by").rows() == [
        ("cls-1", "it broke after 1 days", "neutral", "traffic:reviews@1", "cls-1", "user"),
        ("cls-3", "it broke after 3 days", "negative", "traffic:reviews@1", "cls-3", "ann"),
    ]
    for name in ("rows.parquet", "rows.jsonl", "rows.csv"):
        write_rows(rows, tmp_path / name)
        assert (tmp_path / name).stat().st_size > 100
    with pytest.raises(DataError, match=r"written as .parquet, .jsonl or .csv"):
        write_rows(rows, tmp_path / "rows.xls")
    store.reject(["cls-1"], "ann")
    assert training_rows(store)["id"].to_list() == ["cls-3"]


def test_repeats_of_a_prompt_are_trained_on_once(store: TrafficStore):
    with store.writer() as writer:
        for number in range(3):
            writer.log(exchange(number, prompt="the same words"))
    store.approve(["cls-0", "cls-1", "cls-2"], "ann")
    assert len(training_rows(store)) == 1


def test_retention_deletes_old_requests_with_what_was_said_of_them(store: TrafficStore):
    fill(store, 4)
    store.draw(4, "uniform", "ann")
    store.add_feedback([Feedback(one, "thumb", "up", at(1)) for one in ("cls-0", "cls-3", "unknown")])
    gone = store.purge(now=NOON + timedelta(days=90, seconds=2))
    assert gone == {"requests": 2, "feedback": 2, "reviews": 2}
    assert store.exchanges()["id"].to_list() == ["cls-2", "cls-3"]
    assert store.feedback()["request_id"].to_list() == ["cls-3"]


def test_null_retention_keeps_everything(tmp_path: Path):
    with TrafficStore.open(TrafficSettings(retention_days=None), tmp_path) as store:
        fill(store, 2)
        assert store.purge(now=NOON + timedelta(days=9999))["requests"] == 0


def test_windows_and_alerts(store: TrafficStore):
    for number in range(3):
        start, stop = at(number * 10), at(number * 10 + 9)
        store.add_window(
            version="reviews@1", side="champion", start=start, stop=stop, requests=500, drifted=number > 0, signals={"length": {"p": 0.01}}
        )
    assert store.windows(last=2)["drifted"].to_list() == [True, True]
    assert store.windows(since=at(15), side="champion", versions="reviews@1")["signals"][0] == '{"length":{"p":0.01}}'
    fields = {"key": "reviews@1/length", "version": "reviews@1", "signal": "length", "severity": "warning", "opened": NOON, "updated": NOON}
    number = store.save_alert({**fields, "state": "open", "count": 2, "message": "longer", "detail": {"now": 41}})
    store.save_alert({"state": "closed", "closed": at(60), "updated": at(60)}, number)
    assert store.alerts(states="open").is_empty()
    assert store.alerts(versions="reviews@1", states=["open", "closed"], since=at(30))["closed"].to_list() == [at(60)]


def test_delayed_labels_from_files(store: TrafficStore, tmp_path: Path):
    fill(store)
    csv = tmp_path / "labels.csv"
    csv.write_text("request_id,label,event_time,sampled\ncls-1,neutral,2026-11-28T09:00:00,uniform\ncls-2,,,\ncls-3,positive,soon,\n")
    words, wrong = read_feedback(csv, "ann")
    assert [(one.request_id, one.sampled, one.event_time) for one in words] == [("cls-1", "uniform", datetime(2026, 11, 28, 9, tzinfo=UTC))]
    assert wrong[0] == "labels.csv, line 3: request_id and one of label must not be empty"
    assert wrong[1].startswith("labels.csv, line 4: event_time must be an ISO time such as")
    (tmp_path / "labels.jsonl").write_text('{"id": "cls-4", "answer": "fine", "by": "bob"}\n')
    assert read_feedback(tmp_path / "labels.jsonl", "ann")[0][0].by == "bob"
    (tmp_path / "wrong.csv").write_text("request,lable\n1,2\n")
    with pytest.raises(DataError, match="needs the column request_id, but has request, lable"):
        read_feedback(tmp_path / "wrong.csv", "ann")
    for path, message in ((tmp_path / "none.csv", "no such file"), (tmp_path / "labels.txt", "are read from .csv")):
        (tmp_path / "labels.txt").write_text("x")
        with pytest.raises(DataError, match=message):
            read_feedback(path, "ann")


def test_addresses_and_their_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PASS", "h1dden")
    place = Place.of("postgresql://ann:${PASS}@127.0.0.1:1/db", tmp_path)
    assert place.name == "postgresql://127.0.0.1:1/db"
    with pytest.raises(RunError, match=r"postgresql://127.0.0.1:1/db cannot be used") as caught:
        TrafficStore.open("postgresql://ann:${PASS}@127.0.0.1:1/db", tmp_path)
    assert "h1dden" not in str(caught.value)
    with pytest.raises(RunError, match="needs the environment variable NO_SUCH"):
        TrafficStore.open("postgresql://ann:${NO_SUCH}@h/db", tmp_path)
    with pytest.raises(RunError, match="must be sqlite:///FILE or postgresql://") as caught:
        TrafficStore.open("mysql://ann:h1dden@h/db", tmp_path)
    assert "h1dden" not in str(caught.value)
    (tmp_path / "broken.db").write_text("this is no database at all, but text " * 100)
    with pytest.raises(RunError, match=r"broken.db cannot be used: file is not a database"):
        TrafficStore.open("sqlite:///broken.db", tmp_path)


def test_sqlite_is_in_wal_mode_so_that_readers_do_not_wait(tmp_path: Path):
    with TrafficStore.open("sqlite:///traffic.db", tmp_path) as store:
        fill(store, 1)
        reader = sqlite3.connect(tmp_path / "traffic.db")
        assert reader.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM requests").fetchone() == (1,)
        with store.writer() as writer:
            writer.log(exchange(1))
            assert writer.flush(5)
        assert store.count() == 2
        reader.close()


def test_a_draw_can_be_narrowed(store: TrafficStore):
    fill(store, 6)
    assert store.draw(10, "uniform", "ann", Filter(since=at(4)))["id"].to_list() == ["cls-4", "cls-5"]


def test_the_text_inside_a_chat_is_the_question():
    template = "Which label?\n\n{text}"
    turns = '[{"role": "system", "content": "Be brief"}, {"role": "user", "content": "Which label?\\n\\nbad"}]'
    prompts = pl.Series("text", ["Which label?\n\ngood", "as it is", turns, "[{broken", '[{"role": "assistant", "content": "x"}]', None])
    assert questions(prompts, template).to_list() == ["good", "as it is", "bad", *prompts.to_list()[3:]]
