"""Each signal alarms at the drift that it is for, says so in words, keeps quiet without drift, and says why when it cannot tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.monitor.conftest import NOON, window_of
from tunewright.core.loop import MonitorSettings
from tunewright.core.plugins import build, names
from tunewright.core.watch import Measure, Unmeasured, View
from tunewright.monitor.cohorts import with_maturity
from tunewright.monitor.measure import Measurer
from tunewright.testing.stand_in import StandIn

Rows = pl.DataFrame
WINDOW = 200


def labelled(right: int, wrong: int, sampled: str = "uniform", hours: float = 48) -> Rows:
    count = right + wrong
    times = pl.Series("time", [NOON] * count).dt.offset_by(f"-{int(hours)}h")
    told = pl.DataFrame({"id": [f"l{i}" for i in range(count)], "time": times, "label": ["positive"] * count})
    truth = (["positive"] * right + ["negative"] * wrong)[::-1] if wrong * 2 > count else ["positive"] * right + ["negative"] * wrong
    told = told.with_columns(truth=pl.Series(truth, dtype=pl.String), sampled=pl.lit(sampled))
    return with_maturity(told.with_columns(right=pl.col("label") == pl.col("truth")), MonitorSettings.model_validate({}), NOON)


def texts(change: Callable[[str], str]) -> Callable[[Rows], Rows]:
    return lambda rows: rows.with_columns(text=pl.Series([change(text) for text in rows["text"]]))


DUTCH = "Het scherm is heel helder en de batterij gaat lang mee, maar het geluid valt tegen."
DRIFT: dict[str, Callable[[Rows], Rows]] = {
    "input_length": texts(lambda text: text + " " + text),
    "language": lambda rows: rows.with_columns(text=pl.when(pl.int_range(pl.len()) % 4 == 0).then(pl.lit(DUTCH)).otherwise("text")),
    "vocabulary": texts(lambda text: text.replace("the", "ye olde")),
    "unseen_words": texts(lambda text: text + " blorptastic" + str(len(text) % 7)),
    "embedding": lambda rows: rows.with_columns(text=pl.when(pl.int_range(pl.len()) % 3 == 0).then(pl.lit(DUTCH)).otherwise("text")),
    "classifier": texts(lambda text: text.replace(".", " . http://x")),
    "label_mix": lambda rows: rows.with_columns(label=pl.when(pl.int_range(pl.len()) % 3 == 0).then(pl.lit("neutral")).otherwise("label")),
    "answer_length": lambda rows: rows.with_columns(answer=pl.lit("The answer is ") + pl.col("answer")),
    "refusals": lambda rows: rows.with_columns(
        answer=pl.when(pl.int_range(pl.len()) % 20 == 0).then(pl.lit("I'm sorry, but I cannot help with that request.")).otherwise("answer")
    ),
    "format_errors": lambda rows: rows.with_columns(
        label=pl.when(pl.int_range(pl.len()) % 20 == 0).then(pl.lit("(no label)")).otherwise("label")
    ),
    "repetition": lambda rows: rows.with_columns(
        answer=pl.when(pl.int_range(pl.len()) % 20 == 0).then(pl.lit("good good good good good good good good")).otherwise("answer")
    ),
    "confidence": lambda rows: rows.with_columns(confidence=pl.col("confidence") * 0.9),
    "estimated_accuracy": lambda rows: rows.with_columns(confidence=pl.col("confidence") * 0.9),
    "confidence_stream": lambda rows: rows.with_columns(confidence=pl.col("confidence") * 0.7),
    "error_rate": lambda rows: rows.with_columns(status=pl.when(pl.int_range(pl.len()) % 15 == 0).then(503).otherwise(200)),
}


@pytest.fixture(scope="session")
def quiet(model: StandIn, fresh: Rows) -> Rows:
    return window_of(model, fresh[:WINDOW])


def test_no_drift_no_alarm(measurer: Measurer, model: StandIn, fresh: Rows):
    found = [measurer.window(window_of(model, fresh[start : start + WINDOW])) for start in range(0, 1200, WINDOW)]
    assert [name for one in found for name, said in one.decided.items() if said.alarm] == []
    assert not any(one.drifted for one in found)
    assert not any("failed" in reason for one in found for reason in one.unmeasured.values())


@pytest.mark.parametrize("name", sorted(DRIFT))
def test_a_signal_alarms_at_its_own_drift_and_says_what_moved(name: str, measurer: Measurer, model: StandIn, fresh: Rows):
    changed = DRIFT[name](window_of(model, fresh[:WINDOW]))
    if name == "confidence_stream":
        changed = pl.concat([changed.with_columns(pl.col("id") + f"-{part}") for part in range(3)])
    found = measurer.window(changed)
    said = found.decided[name]
    assert said.alarm, said.text
    assert said.text
    assert said.moved
    assert said.advice
    assert said.p is None or said.p <= 0.01
    ids = {one for part in said.moved for one in part.examples}
    assert ids <= set(changed["id"])
    assert ids or name == "confidence_stream"
    assert found.drifted == (said.family in ("input", "output"))


def test_every_signal_of_the_folder_is_tested_here():
    elsewhere = {"latency", "first_token", "thumbs", "accuracy", "mistake_stream", "golden_prompts"}
    assert set(names("signals")) == set(DRIFT) | elsewhere


@pytest.mark.parametrize("name", names("signals"))
def test_a_signal_without_anything_to_measure_says_why(name: str, measurer: Measurer, quiet: Rows):
    nothing = quiet.with_columns(pl.lit(None, kind).alias(key) for key, kind in quiet.schema.items() if key not in ("id", "status"))
    found = measurer.window(nothing)
    looked = measurer.look(pl.DataFrame())
    if name == "error_rate":
        assert not found.decided[name].alarm
    else:
        reason = {**found.unmeasured, **looked.unmeasured}[name]
        assert reason
        assert "failed" not in reason


def test_a_signal_that_breaks_is_shown_and_the_others_go_on(measurer: Measurer, quiet: Rows, monkeypatch: pytest.MonkeyPatch):
    def broken(self: Any, view: View) -> Measure | Unmeasured:
        raise ZeroDivisionError("no rows")

    monkeypatch.setattr(type(measurer.signals["language"]), "measure", broken)
    found = measurer.window(quiet)
    assert found.unmeasured["language"] == "failed: ZeroDivisionError: no rows"
    assert "vocabulary" in found.decided


def asked(name: str, measurer: Measurer, **changes: Any) -> Measure | Unmeasured:
    """What one signal says of an empty window with these `changes` to the view."""
    rows = measurer._rows
    view = View(
        rows=rows,
        sides=np.zeros((1, len(rows)), np.float32),
        blocks=np.arange(len(rows)),
        labels=measurer.reference.labels,
        settings=MonitorSettings.model_validate({}),
    )
    said = build("signals", name).measure(View(**{**view.__dict__, **changes}))
    assert isinstance(said, Measure | Unmeasured)
    return said


def window_view(measurer: Measurer, window: Rows, **settings: Any) -> dict[str, Any]:
    rows = window.with_columns(now=pl.lit(True))
    return {
        "rows": rows,
        "sides": np.ones((1, len(rows)), np.float32),
        "blocks": np.arange(len(rows)),
        "settings": MonitorSettings.model_validate(settings),
    }


def test_latency_alarms_only_when_a_promise_is_surely_broken(measurer: Measurer, quiet: Rows):
    slow = quiet.with_columns(seconds=pl.when(pl.int_range(pl.len()) % 8 == 0).then(2.0).otherwise(0.1))
    said = asked("latency", measurer, **window_view(measurer, slow, p95_seconds=1.0))
    assert isinstance(said, Measure)
    assert (said.p or 0) < 0.001
    assert said.detail["p99"] == 2.0
    fine = asked("latency", measurer, **window_view(measurer, quiet, p95_seconds=1.0))
    shown = asked("latency", measurer, **window_view(measurer, slow))
    assert isinstance(fine, Measure)
    assert isinstance(shown, Measure)
    assert (fine.p, shown.p) == (1.0, None)


def test_first_token_is_shown(measurer: Measurer, quiet: Rows):
    said = asked("first_token", measurer, **window_view(measurer, quiet.with_columns(first_token_seconds=pl.lit(0.05))))
    assert isinstance(said, Measure)
    assert (said.value, said.p) == (0.05, None)


@pytest.mark.parametrize(
    ("rows", "alarms"),
    [
        (labelled(70, 30), False),  # exactly the objective
        (labelled(55, 45), True),
        (labelled(10, 90, sampled="targeted"), None),  # chosen because they are hard: never judged
        (labelled(10, 90, sampled="volunteered"), None),
        (labelled(10, 90, hours=2), None),  # too young: late labels are missing
        (pl.concat([labelled(90, 10), labelled(0, 100, sampled="targeted").with_columns(pl.col("id") + "t")]), False),
    ],
)
def test_accuracy_is_judged_on_mature_uniform_labels_alone(rows: Rows, alarms: bool | None, measurer: Measurer):
    said = asked("accuracy", measurer, labelled=rows, accuracy=0.75)
    if alarms is None:
        assert isinstance(said, Unmeasured)
    else:
        assert isinstance(said, Measure)
        assert ((said.p or 0) <= 0.01) == alarms
        assert said.detail["low"] < said.value < said.detail["high"]


def test_mistakes_that_become_more_frequent_are_found_in_their_stream(measurer: Measurer):
    steady = asked("mistake_stream", measurer, labelled=labelled(200, 100))
    worse = asked("mistake_stream", measurer, labelled=pl.concat([labelled(66, 34), labelled(20, 180).with_columns(pl.col("id") + "b")]))
    assert isinstance(steady, Measure)
    assert isinstance(worse, Measure)
    assert (steady.alarm, worse.alarm) == (False, True)
    assert worse.value > (worse.before or 1)


def test_a_change_that_was_made_good_is_no_alarm_any_more():
    from tunewright.monitor.streams import changed

    chance = np.random.default_rng(4)
    good, bad = (chance.random(500) < 0.1).astype(float), (chance.random(500) < 0.5).astype(float)
    assert changed(good, np.concatenate([good, bad]), 0.002, 1)[0]
    assert not changed(good, np.concatenate([good, bad, good, good, good]), 0.002, 1)[0]
    assert not changed(bad, np.concatenate([bad, good]), 0.002, 1)[0]  # fewer mistakes are no alarm


def thumbs(now: tuple[int, int], before: tuple[int, int]) -> Rows:
    ups = [True] * before[0] + [False] * before[1] + [True] * now[0] + [False] * now[1]
    return pl.DataFrame({"id": [f"t{i}" for i in range(len(ups))], "up": ups, "now": [False] * sum(before) + [True] * sum(now)})


def test_thumbs_are_compared_with_earlier_ones_of_the_same_version(measurer: Measurer):
    fall, rise, first = (
        asked("thumbs", measurer, thumbs=one) for one in (thumbs((10, 30), (80, 20)), thumbs((39, 1), (80, 20)), thumbs((9, 9), (0, 0)))
    )
    assert isinstance(fall, Measure)
    assert isinstance(rise, Measure)
    assert isinstance(first, Measure)
    assert (fall.p or 1) < 1e-4
    assert (rise.p or 0) > 0.5
    assert first.p is None
    assert isinstance(asked("thumbs", measurer, thumbs=thumbs((3, 3), (80, 20))), Unmeasured)


def test_golden_prompts_find_another_model_behind_the_same_name(measurer: Measurer, model: StandIn, fresh: Rows):
    golden = measurer.reference.golden
    other = StandIn.fit(fresh[:900])
    same = asked("golden_prompts", measurer, golden=golden, score=lambda texts: model.log_likelihood(texts) + 3.0)
    swapped = asked("golden_prompts", measurer, golden=golden, score=other.log_likelihood)
    broken = asked("golden_prompts", measurer, golden=golden, score=lambda texts: np.full((len(texts), 3), np.nan))
    fewer = asked("golden_prompts", measurer, golden=golden, score=lambda texts: np.zeros((len(texts), 2)))
    assert [one.alarm for one in (same, swapped, broken, fewer) if isinstance(one, Measure)] == [False, True, True, True]


def test_what_the_store_redacts_is_redacted_in_the_reference_too(model: StandIn, reviews: Rows, tmp_path: Any):
    from tunewright.monitor.reference import load_reference
    from tunewright.monitor.rows import from_reference

    rows = reviews[1200:1600].with_columns(text=pl.lit("mail jo@firm.example about it: ") + pl.col("text"))
    release = model.pack(tmp_path / "release", rows, {"serve": {"traffic": {"keep": "redacted"}}})
    assert from_reference(load_reference(release, "demo@0"))["text"].str.starts_with("mail <EMAIL> about it").all()


def test_the_release_s_own_prompt_around_a_text_and_a_label_said_in_a_chat_are_seen_through(measurer: Measurer):
    from tunewright.monitor.rows import from_traffic

    told = pl.DataFrame(
        {
            "id": ["a", "b", "c"],
            "prompt": ["What does this say?\n\nit broke", "it broke", None],
            "answer": [" negative", "It is negative.", None],
            "label": [None, None, None],
            "status": [200, 200, 503],
        },
        schema_overrides={"label": pl.String},
    )
    rows = from_traffic(told, measurer.reference)
    assert rows["text"].to_list() == ["it broke", "it broke", None]
    assert rows["label"].to_list() == ["negative", "(no label)", None]


def test_examples_in_alerts_hold_no_personal_data(measurer: Measurer, model: StandIn, fresh: Rows):
    rows = fresh[:WINDOW].with_columns(text=pl.lit("jo@firm.example zorgle ") + pl.col("text"))
    found = measurer.window(window_of(model, rows))
    assert found.examples
    assert not any("jo@firm" in one for one in found.examples.values())


def test_a_caller_s_requests_belong_together_unless_it_speaks_for_many(measurer: Measurer):
    from tunewright.monitor.rows import from_traffic

    callers = ["gateway"] * 60 + [f"c{index // 2}" for index in range(40)]
    told = pl.DataFrame(
        {"id": [str(one) for one in range(100)], "prompt": ["hello"] * 100, "answer": ["negative"] * 100, "caller": callers}
    )
    rows = from_traffic(told.with_columns(label=pl.col("answer"), status=pl.lit(200)), measurer.reference)
    assert rows["group"].to_list() == [None] * 60 + callers[60:]
