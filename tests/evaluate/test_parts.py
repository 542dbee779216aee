"""What every metric and every baseline of the folders must do; and each one's own promise."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import polars as pl
import pytest
import sklearn.metrics

from tunewright.core.errors import DataError
from tunewright.core.executor import LocalExecutor
from tunewright.core.parts import Baseline, Look, Metric
from tunewright.core.plugins import build, names
from tunewright.core.progress import Report
from tunewright.core.recipe import Recipe
from tunewright.core.score import LabelTask, Predictions, macro_f1
from tunewright.evaluate.evidence import SummedMetric
from tunewright.testing.tiny import tiny_model

LABELS = ["bad", "good", "so-so"]
WORDS = {"bad": "it broke, the worst", "good": "I love it, great", "so-so": "a phone, nothing more"}


def predictions(rows: int = 60, seed: int = 0) -> Predictions:
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.ones(3), rows)
    return Predictions(
        LABELS,
        shares.argmax(axis=1),
        rng.integers(0, 3, rows),
        shares,
        answer_nll=rng.exponential(2, (rows, 3)),
        answer_tokens=rng.integers(2, 4, (rows, 3)),
    )


def only(found: Predictions, rows: Any) -> Predictions:
    arrays = {
        name: value[rows]
        for name in ("predicted", "truth", "probabilities", "answer_nll", "answer_tokens")
        if (value := getattr(found, name)) is not None
    }
    return Predictions(LABELS, **arrays)


@pytest.fixture(params=names("metrics"))
def metric(request: pytest.FixtureRequest) -> Metric:
    found: Metric = build("metrics", request.param)
    return found


def test_a_metric_is_deterministic_plain_json_and_blind_to_the_order_of_rows(metric: Metric) -> None:
    found = predictions()
    score = metric.compute(found)
    assert json.loads(json.dumps(score, allow_nan=False)) == score
    shuffled = metric.compute(only(found, np.random.default_rng(1).permutation(60)))
    assert shuffled == pytest.approx(score) if isinstance(score, float) else shuffled == score


def test_a_metric_without_truth_says_nothing(metric: Metric) -> None:
    assert metric.compute(Predictions(LABELS, np.zeros(3, dtype=np.int64))) is None


def test_a_metric_takes_one_row_and_one_class(metric: Metric) -> None:
    metric.compute(only(predictions(), [0]))
    metric.compute(Predictions(LABELS, np.zeros(5, dtype=np.int64), np.zeros(5, dtype=np.int64)))


def test_a_summed_metric_of_stacked_sums_equals_the_metric_of_each(metric: Metric) -> None:
    if not isinstance(metric, SummedMetric):
        return
    pieces = [only(predictions(), np.arange(i, 60, 4)) for i in range(4)]
    evidence = [found for one in pieces if (found := metric.evidence(one)) is not None]
    stacked = metric.value(np.stack([one.sum(axis=0) for one in evidence]))
    assert stacked == pytest.approx([metric.compute(one) for one in pieces])
    low, high = metric.bounds
    assert np.all((stacked >= low) & (stacked <= high))


@pytest.mark.parametrize("seed", range(5))
def test_scores_equal_those_of_scikit_learn(seed: int) -> None:
    found = predictions(rows=12, seed=seed)
    truth, said = found.truth, found.predicted
    assert truth is not None
    assert build("metrics", "accuracy").compute(found) == pytest.approx(sklearn.metrics.accuracy_score(truth, said))
    ours = build("metrics", "macro_f1").compute(found)
    theirs = sklearn.metrics.f1_score(truth, said, labels=[0, 1, 2], average="macro", zero_division=0)
    assert ours == pytest.approx(theirs)
    assert ours == pytest.approx(macro_f1(truth, said, 3))
    matrix = sklearn.metrics.confusion_matrix(truth, said, labels=[0, 1, 2])
    assert build("metrics", "confusion_matrix").compute(found) == matrix.tolist()
    table = sklearn.metrics.precision_recall_fscore_support(truth, said, labels=[0, 1, 2], zero_division=0)
    for place, row in enumerate(build("metrics", "per_class").compute(found)):
        assert [row[key] for key in ("precision", "recall", "f1", "support")] == pytest.approx([col[place] for col in table])


def test_perplexity_counts_nats_for_each_token_and_never_decides() -> None:
    tokens = np.array([[2, 1], [3, 1]])
    found = Predictions(["a", "b"], np.array([0, 1]), np.array([0, 1]), None, np.array([[4.0, 9], [9, 2]]), tokens)
    assert build("metrics", "perplexity").compute(found) == pytest.approx(np.exp((4 + 2) / (2 + 1)))
    assert build("metrics", "perplexity").higher_is_better is None


def test_accuracy_is_flagged_when_one_class_prevails() -> None:
    accuracy, said = build("metrics", "accuracy"), np.zeros(10, dtype=np.int64)
    uneven = Predictions(["a", "b"], said, np.array([0] * 8 + [1] * 2))
    assert "always answering 'a' would score 0.80" in accuracy.remark(uneven)
    assert accuracy.remark(Predictions(["a", "b"], said, np.array([0, 1] * 5))) is None


@pytest.fixture(scope="module")
def look(tmp_path_factory: pytest.TempPathFactory) -> Look:
    place = tmp_path_factory.mktemp("model")
    recipe = Recipe.check({"data": {"path": "x.csv"}, "model": {"base": str(tiny_model(place)), "max_length": 200}})
    report = Report(quiet=True)
    return Look(recipe, report, LocalExecutor(report), lambda: None)


def task(labels: list[str] = LABELS, train: int = 30, test: int = 9) -> LabelTask:
    def frame(split: str, count: int) -> pl.DataFrame:
        chosen = [labels[i % len(labels)] for i in range(count)]
        return pl.DataFrame(
            {
                "row_id": [f"{split}{i}" for i in range(count)],
                "text": [f"{WORDS[label]} {i}" for i, label in enumerate(chosen)],
                "label": chosen,
                "group": [i // 2 for i in range(count)],
            }
        )

    return LabelTask(frame("train", train), frame("test", test).drop("label"), LABELS)


@pytest.fixture(params=names("baselines"))
def baseline(request: pytest.FixtureRequest) -> Baseline:
    found: Baseline = build("baselines", request.param)
    return found


def test_a_baseline_answers_every_row_without_test_labels_and_twice_the_same(baseline: Baseline, look: Look) -> None:
    first, second = baseline.predict(task(), look), baseline.predict(task(), look)
    assert first.labels == LABELS
    assert first.predicted.shape == (9,)
    assert set(first.predicted) <= {0, 1, 2}
    assert np.array_equal(first.predicted, second.predicted)
    assert first.probabilities is not None
    assert first.probabilities.shape == (9, 3)
    assert first.probabilities.sum(axis=1) == pytest.approx(np.ones(9))
    assert np.array_equal(first.probabilities.argmax(axis=1), first.predicted)
    assert first.predict_seconds >= 0
    assert baseline.uses_model == (first.answer_nll is not None)


@pytest.mark.parametrize("labels", [["good"], ["bad", "good"]])
def test_a_baseline_lives_with_labels_that_never_occur(baseline: Baseline, look: Look, labels: list[str]) -> None:
    answers = baseline.predict(task(labels, train=6, test=1), look)
    assert answers.predicted.shape == (1,)
    if not baseline.uses_model:
        assert LABELS[answers.predicted[0]] in labels


def test_a_baseline_refuses_unknown_labels(look: Look) -> None:
    with pytest.raises(DataError, match=r"labels out of \['bad'\], but got \['good', 'so-so'\]"):
        build("baselines", "majority").predict(LabelTask(task().train, task().test, ["bad"]), look)


def test_majority_answers_the_most_frequent_label(look: Look) -> None:
    train = pl.concat([task().train, task(["so-so"], train=5).train])
    assert set(build("baselines", "majority").predict(LabelTask(train, task().test, LABELS), look).predicted) == {2}


@pytest.mark.parametrize("name", ["tfidf_logistic", "embedding_logistic", "nearest_neighbours"])
def test_fitted_baselines_learn_an_easy_task(name: str, look: Look) -> None:
    spec = {"name": name, "neighbours": 3} if name == "nearest_neighbours" else name
    answers = build("baselines", spec).predict(task(), look)
    assert [LABELS[index] for index in answers.predicted] == LABELS * 3


def test_calibration_takes_out_the_label_prior(look: Look) -> None:
    answers = build("baselines", "base_zero_shot").predict(task(train=60, test=60), look)
    assert answers.uncalibrated is not None
    counts = [np.bincount(one, minlength=3).max() for one in (answers.uncalibrated, answers.predicted)]
    assert counts[1] <= counts[0]  # a random model names one label nearly always until its prior is taken out


def test_few_shot_examples_are_balanced_training_rows() -> None:
    examples = build("baselines", {"name": "base_few_shot", "per_label": 2}).examples(task())
    assert sorted(label for _, label in examples) == sorted(LABELS * 2)
    assert {text for text, _ in examples} <= set(task().train["text"])
    assert examples == build("baselines", {"name": "base_few_shot", "per_label": 2}).examples(task())
