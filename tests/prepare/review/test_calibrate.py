"""Calibration: the sample is fair, and the intervals say what they promise."""

import math

import numpy as np
import polars as pl
import pytest

from tunewright.core.errors import DataError, RunError
from tunewright.core.finding import findings
from tunewright.prepare.review import Review
from tunewright.prepare.review.calibrate import Stratum, calibration, draw, judged, precision, recall
from tunewright.prepare.review.log import Decision
from tunewright.prepare.review.questions import draw_questions, measure, words


def population(flagged: int, rows: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    ids = [f"r{one:05d}" for one in range(rows)]
    found = pl.DataFrame({"row_id": ids[:flagged], "score": [one / flagged for one in range(flagged)]})
    return pl.DataFrame({"row_id": ids, "text": ids}), findings("odd", "info", found)


def test_the_sample_holds_flagged_rows_of_every_stratum_and_as_many_others():
    sample = draw(*population(100, 5_000), ["odd"], 60)
    counts = dict(sample["stratum"].value_counts().iter_rows())
    assert counts == {**{f"flagged {one}": 6 for one in range(5)}, "unflagged": 30}
    assert dict(sample.select("stratum", "rows").unique().iter_rows())["unflagged"] == 4_900


def test_equal_scores_share_a_stratum():
    rows, found = population(100, 200)
    sample = draw(rows, found.with_columns(score=pl.lit(1.0)), ["odd"], 20)
    assert set(sample["stratum"]) == {"flagged 0", "unflagged"}


def test_a_larger_sample_holds_the_smaller_one():
    small, large = (draw(*population(100, 5_000), ["odd"], size) for size in (20, 60))
    assert set(small["row_id"]) <= set(large["row_id"])


def test_rows_that_no_check_flags_are_drawn_for_all_checks_alike():
    rows, found = population(50, 5_000)
    sample = draw(rows, pl.concat([found, found.with_columns(check=pl.lit("even"))]), ["odd", "even"], 40)
    unflagged = sample.filter(pl.col("stratum") == "unflagged")
    assert unflagged["row_id"].n_unique() == len(unflagged) / 2


def test_strata_count_by_their_size_not_by_how_many_were_judged():
    strata = [Stratum("low", 900, 10, 0, score_from=0.0), Stratum("high", 100, 10, 10, score_from=0.9)]
    assert precision(strata).value == pytest.approx(0.1)


def test_recall_weighs_what_was_missed():
    found = recall([Stratum("flagged", 50, 50, 40)], [Stratum("unflagged", 1_000, 100, 1, flagged=False)])
    assert found.value == pytest.approx(40 / 50)
    assert found.low < 0.5 < found.high


def test_without_a_look_at_unflagged_rows_recall_is_unknown():
    found = recall([Stratum("flagged", 50, 50, 40)], [Stratum("unflagged", 1_000, 0, 0, flagged=False)])
    assert math.isnan(found.value)
    assert (found.low, found.high) == (0.0, 1.0)


def test_when_every_row_was_judged_nothing_is_uncertain():
    done = [Stratum("flagged", 20, 20, 15)], [Stratum("unflagged", 30, 30, 5, flagged=False)]
    assert precision(done[0]).low == precision(done[0]).high == 0.75
    assert recall(*done).high - recall(*done).low < 0.002


def test_ten_right_of_ten_is_not_certainty():
    assert 0.6 < precision([Stratum("flagged", 500, 10, 10)]).low < 0.85


SHAPES = {
    "typical": ([0.2, 0.4, 0.6, 0.8, 0.95], 80, 0.01, 5_000, 100),
    "misses much": ([0.3, 0.5, 0.7, 0.9, 0.9], 200, 0.05, 3_000, 200),
    "nearly always right": ([0.98] * 5, 100, 0.02, 3_000, 100),
    "nearly always wrong": ([0.02] * 5, 100, 0.005, 3_000, 100),
    "few rows": ([0.2, 0.6], 12, 0.1, 150, 40),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_intervals_hold_the_truth_about_nineteen_times_in_twenty(shape: str):
    shares, size, missed, others, sample = SHAPES[shape]
    rng, inside = np.random.default_rng(7), np.zeros(2)
    repeats = 300
    for _ in range(repeats):
        faults, hidden = rng.binomial(size, shares), int(rng.binomial(others, missed))
        each = min(size, sample // 2 // len(shares))
        flagged = [
            Stratum(str(k), size, each, int(rng.hypergeometric(right, size - right, each)), score_from=k) for k, right in enumerate(faults)
        ]
        looked = sample - each * len(shares)
        rest = [Stratum("unflagged", others, looked, int(rng.hypergeometric(hidden, others - hidden, looked)), flagged=False)]
        exact, caught = precision(flagged), recall(flagged, rest)
        truth = faults.sum() / size / len(shares), faults.sum() / max(1, faults.sum() + hidden)
        inside += exact.low - 1e-9 <= truth[0] <= exact.high + 1e-9, caught.low - 1e-3 <= truth[1] <= caught.high + 1e-3
    assert (inside / repeats > 0.91).all(), inside / repeats


def test_a_threshold_is_suggested_and_said_to_be_shown_only_when_its_interval_is_above():
    unflagged = Stratum("unflagged", 1_000, 50, 0, flagged=False)
    few = calibration([Stratum("low", 100, 10, 1, score_from=0.1), Stratum("high", 100, 10, 10, score_from=0.8), unflagged], 0.9)
    many = calibration([Stratum("low", 100, 90, 9, score_from=0.1), Stratum("high", 100, 90, 90, score_from=0.8), unflagged], 0.9)
    assert [(one["suggested"]["score_from"], one["suggested"]["shown"]) for one in (few, many)] == [(0.8, False), (0.8, True)]


def test_no_threshold_is_suggested_where_none_is_good_enough():
    assert calibration([Stratum("all", 100, 10, 1, score_from=0.1), Stratum("unflagged", 9, 9, 0, flagged=False)], 0.9)["suggested"] is None


def test_reviewers_who_differ_about_a_row_leave_it_out():
    sample = draw(*population(20, 100), ["odd"], 20)
    row = sample["row_id"][0]
    said = [Decision(row, "judge", by, check="odd", holds=by == "anna", stratum="calibration:odd:flagged 0") for by in ("anna", "ben")]
    strata, disputed = judged(sample, said)
    assert (sum(one.judged for one in strata["odd"]), disputed) == (0, {"odd": 1})


def test_what_was_decided_elsewhere_is_no_judgement_of_the_sample():
    sample = draw(*population(20, 100), ["odd"], 20)
    strata, _ = judged(sample, [Decision(sample["row_id"][0], "drop", "anna", check="odd", holds=True, stratum="gain")])
    assert sum(one.judged for one in strata["odd"]) == 0


def test_a_calibration_from_questions_to_thresholds(review: Review):
    draw_questions(review, 10)
    while (item := review.next("anna")) is not None:
        assert item.findings == []  # who sees that a row was flagged finds something
        review.decide(item.row_id, "judge", "anna", check=item.queued["check"], holds=item.row_id in ("r00", "r04"), seconds=2)
    found = measure(review, 0.9)["checks"]["label_noise"]
    assert (found["precision"]["value"], found["recall"]["value"]) == (0.5, 0.5)
    assert found["suggested"] is None
    assert any("precision 50%" in line for line in words(measure(review, 0.9)))
    assert review.resolved().is_empty()


def test_a_measured_precision_orders_the_next_queue(review: Review):
    draw_questions(review, 10)
    while (item := review.next("anna")) is not None:
        review.decide(item.row_id, "judge", "anna", check=item.queued["check"], holds=False)
    before = review.fill(n=5, random=0)["uncertainty"].max()
    measure(review)
    assert Review(review.run).fill(n=5, random=0)["uncertainty"].max() < before


def test_checks_that_compare_rows_are_asked_about_only_by_name(review: Review):
    assert set(draw_questions(review, 10)["check"]) == {"label_noise"}
    assert "near_duplicates" in set(draw_questions(review, 10, ["near_duplicates"])["check"])


def test_mistakes_say_what_to_do(review: Review):
    with pytest.raises(RunError, match="--sample"):
        measure(review)
    with pytest.raises(DataError, match="Did you mean 'label_noise'"):
        draw_questions(review, 10, ["label_nois"])
    with pytest.raises(DataError, match="at least 10"):
        draw_questions(review, 3)
