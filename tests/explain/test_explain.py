"""Explanations: the planted word is found, the sentence says it, and the deletion curve is what it claims to be."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tunewright.core.plugins import build
from tunewright.explain import choose
from tunewright.explain.faithfulness import deletion_curve, t_interval
from tunewright.explain.reasons import deciding_words
from tunewright.models.occlusion import bare, log_odds, sentence, split_words

LABELS = ["ham", "spam", "other"]


def marker_score(texts: list[str]) -> np.ndarray:
    """A classifier whose only evidence is known: 'lottery' is worth 3 nats for spam, 'meeting' 2 for ham, 'free' 1 for spam."""
    words = [[bare(word).casefold() for word in text.split()] for text in texts]
    spam = [3.0 * own.count("lottery") + 1.0 * own.count("free") for own in words]
    ham = [2.0 * own.count("meeting") + 0.5 for own in words]
    return np.array([[h, s, 0.0] for h, s in zip(ham, spam, strict=True)])


def rows_of(*texts: tuple[str, str]) -> pl.DataFrame:
    return pl.DataFrame(
        {"row_id": [f"r{i}" for i in range(len(texts))], "text": [t for t, _ in texts], "label": [label for _, label in texts]}
    )


ROWS = rows_of(
    ("you won the lottery, claim your free prize today", "spam"),
    ("the meeting is moved to ten on the same day", "ham"),
    ("is the lottery meeting still on", "ham"),
)


def test_occlusion_finds_the_word_that_decides() -> None:
    document = build("explainers", "occlusion").explain(marker_score, ROWS, LABELS)
    first, second, third = document["rows"]
    assert first["words"][int(np.argmax(first["weights"]))] == "lottery,"
    assert second["words"][int(np.argmax(second["weights"]))] == "meeting"
    assert third["words"][int(np.argmin(third["weights"]))] == "meeting"  # it speaks against spam
    assert [row["predicted"] for row in document["rows"]] == ["spam", "ham", "spam"]
    assert [row["correct"] for row in document["rows"]] == [True, True, False]
    assert document["words"][0] == {"word": "lottery", "label": "spam", "weight": pytest.approx(2.9, abs=0.3), "rows": 2}


def test_a_weight_is_the_log_odds_that_the_word_carries() -> None:
    document = build("explainers", "occlusion").explain(marker_score, rows_of(("free lottery", "spam")), ["ham", "spam", "other"])
    odds = [4.0 - math.log(math.exp(0.5) + 1), 3.0 - math.log(math.exp(0.5) + 1)]
    assert document["rows"][0]["probability"] == pytest.approx(1 / (1 + math.exp(-odds[0])))
    assert document["rows"][0]["weights"][0] == pytest.approx(odds[0] - odds[1], abs=1e-4)


def test_words_that_carry_nothing_weigh_nothing_and_the_sentence_says_so() -> None:
    row = build("explainers", "occlusion").explain(marker_score, rows_of(("a b c d", "ham")), LABELS)["rows"][0]
    assert row["weights"] == [0.0] * 4
    assert "no single word decided" in row["sentence"]


def test_long_texts_are_explained_whole_in_groups_of_words() -> None:
    text = " ".join(f"w{i}" for i in range(1000))
    units = split_words(text, 16)
    assert len(units) == 16
    assert " ".join(units) == text


@given(st.text(max_size=200), st.integers(2, 40))
def test_splitting_loses_no_word(text: str, most: int) -> None:
    assert " ".join(split_words(text, most)).split() == text.split()


def test_an_empty_text_is_explained_by_nothing() -> None:
    assert build("explainers", "occlusion").explain(marker_score, rows_of(("", "ham")), LABELS)["rows"][0]["words"] == []


@given(st.lists(st.lists(st.floats(-50, 50), min_size=3, max_size=3), min_size=1, max_size=5))
def test_log_odds_are_those_of_the_normalised_probabilities(values: list[list[float]]) -> None:
    likelihood = np.array(values)
    answers = likelihood.argmax(axis=1)
    probability = np.exp(likelihood - likelihood.max(axis=1, keepdims=True))
    probability /= probability.sum(axis=1, keepdims=True)
    own = probability[np.arange(len(answers)), answers]
    fine = own < 1 - 1e-9
    expected = np.log(own[fine] / (1 - own[fine]))
    assert log_odds(likelihood, answers)[fine] == pytest.approx(expected, abs=1e-5)


def linear_odds(truth: list[list[float]]):
    return lambda asked: [sum(truth[row]) - sum(truth[row][place] for place in places) for row, places in asked]


def curve_of(truth: list[list[float]], weights: list[list[float]] | None = None, sizes=(2,), orders=2, seed=17) -> dict:
    whole = [sum(own) for own in truth]
    return deletion_curve(whole, weights or truth, linear_odds(truth), sizes, orders, seed)


def test_the_deletion_curve_is_the_mean_change_by_importance_and_at_random() -> None:
    found = curve_of([[4.0, 1.0, 0.0, 0.0], [0.0, 3.0, 2.0, 0.0], [1.0, 0.0, 2.0, 6.0]], orders=400)
    zero, one, two = found["curve"]
    assert zero["by_importance"] == zero["random"] == 0
    assert one["by_importance"] == pytest.approx(-(4 + 3 + 6) / 3)
    assert one["random"] == pytest.approx(-(5 + 5 + 9) / 4 / 3)
    assert two["by_importance"] == pytest.approx(-(5 + 5 + 8) / 3)
    assert two["random"] == pytest.approx(-(5 + 5 + 9) / 2 / 3, rel=0.1)
    assert two["difference"] == pytest.approx(two["by_importance"] - two["random"])
    assert found["faithful"] is True


def test_a_random_explanation_is_not_called_faithful() -> None:
    draw = np.random.default_rng(3)
    truth = [draw.normal(size=12).tolist() for _ in range(12)]
    said = [curve_of(truth, [draw.normal(size=12).tolist() for _ in truth], (2, 4), 3, seed)["faithful"] for seed in range(40)]
    assert said.count(True) <= 4  # 2.5% of honest intervals lie below zero


def test_a_row_never_loses_its_last_word() -> None:
    asked: list[tuple[int, tuple[int, ...]]] = []

    def odds(jobs):
        asked.extend((row, tuple(places)) for row, places in jobs)
        return [0.0] * len(jobs)

    found = deletion_curve([0.0] * 3, [[1.0], [1.0, 2.0, 3.0], []], odds, (2, 4), 2)
    assert [(row, len(places)) for row, places in asked] == [(1, 2)] * 3
    assert [point["rows"] for point in found["curve"]] == [3, 1, 1]


def test_one_row_gives_a_curve_without_an_interval() -> None:
    found = curve_of([[1.0, 2.0, 3.0]])
    assert found["curve"][-1]["ci_low"] is None
    assert found["faithful"] is None


@given(st.lists(st.integers(-1000, 1000).map(lambda one: one / 100), min_size=2, max_size=30, unique=True))
def test_the_interval_is_students(values: list[float]) -> None:
    low, high = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    assert t_interval(values) == pytest.approx((low, high), abs=1e-9)


def test_the_sentence_names_the_words_that_carry_most() -> None:
    said = sentence("negative", 0.82, ["It", "was", "waste,", "returned!", "bright"], [0.02, 0.0, 1.9, 1.1, -1.2])
    assert said == "It answered negative (82%) mostly because of “waste” and “returned”; “bright” spoke against it."


def test_deciding_words_are_counted_once_a_row_whatever_their_case() -> None:
    row = {"predicted": "spam", "words": ["Free", "free!", "it"], "weights": [0.5, 0.7, 0.0]}
    found = deciding_words([row | {"row_id": "a"}, row | {"row_id": "b"}])
    assert found == [{"word": "free", "label": "spam", "weight": pytest.approx(1.2), "rows": 2}]


def test_rows_are_chosen_from_every_label_right_and_wrong() -> None:
    pool = rows_of(*[(f"text {i}", LABELS[i % 3]) for i in range(30)])
    likelihood = np.array([[1.0 if (i + (i % 5 == 0)) % 3 == place else 0.0 for place in range(3)] for i in range(30)])
    chosen = choose(pool, likelihood, LABELS, 6)
    assert set(chosen.select("label", "correct").iter_rows()) == {(label, right) for label in LABELS for right in (True, False)}
    assert choose(pool.reverse(), likelihood[::-1], LABELS, 3)["correct"].all()
