"""Coefficients of agreement against published worked examples and against scikit-learn."""

import math

import numpy as np
import pytest

from tunewright.core.errors import DataError
from tunewright.prepare.review.agreement import agreement, cohen_kappa, confusion, krippendorff_alpha

# Krippendorff 2011, "Computing Krippendorff's alpha-reliability", example C: four observers, twelve units, missing values
FOUR = [
    [1, 1, None, 1], [2, 2, 3, 2], [3, 3, 3, 3], [3, 3, 3, 3], [2, 2, 2, 2], [1, 2, 3, 4],
    [4, 4, 4, 4], [1, 1, 2, 1], [2, 2, 2, 2], [None, 5, 5, 5], [None, None, 1, 1], [None, 3, None, None],
]  # fmt: skip
ANSWERS = [[None if one is None else str(one) for one in unit] for unit in FOUR]


def test_nominal_alpha_of_krippendorffs_example():
    assert krippendorff_alpha(ANSWERS) == pytest.approx(0.743, abs=0.0005)


def test_ordinal_alpha_of_krippendorffs_example():
    assert krippendorff_alpha(ANSWERS, "ordinal", list("12345")) == pytest.approx(0.815, abs=0.0005)


def test_binary_alpha_of_krippendorffs_two_observers():
    # the same paper, example A: ten units, two observers
    pairs = zip("0100000010", "1110010000", strict=True)
    assert krippendorff_alpha([list(one) for one in pairs]) == pytest.approx(0.095, abs=0.0005)


def test_kappa_of_a_textbook_table():
    table = {("yes", "yes"): 20, ("yes", "no"): 5, ("no", "yes"): 10, ("no", "no"): 15}
    assert cohen_kappa([pair for pair, count in table.items() for _ in range(count)]) == pytest.approx(0.4)


def test_kappa_is_scikit_learns():
    from sklearn.metrics import cohen_kappa_score

    rng = np.random.default_rng(3)
    first, second = rng.choice(list("abc"), (2, 80))
    assert cohen_kappa(list(zip(first, second, strict=True))) == pytest.approx(cohen_kappa_score(first, second))


def test_one_answer_throughout_has_no_coefficient():
    assert math.isnan(cohen_kappa([("a", "a"), ("a", "a")]))
    assert math.isnan(krippendorff_alpha([["a", "a"], ["a", "a"]]))


def test_nothing_in_common_has_no_coefficient():
    assert math.isnan(krippendorff_alpha([["a", None], [None, "b"]]))


def test_perfect_agreement_of_few_is_not_certainty():
    few, many = ([["a", "a"], ["b", "b"]] * half for half in (4, 100))
    lows = [agreement(one, ["anna", "ben"])[0].low for one in (few, many)]
    assert lows[0] < 0.5 < 0.9 < lows[1] < 1


@pytest.mark.slow
def test_intervals_hold_the_truth_about_nineteen_times_in_twenty():
    rng = np.random.default_rng(5)
    truth = 0.8**2  # both raters know the answer with 0.8, else they guess evenly
    inside = 0
    for _ in range(60):
        answer = rng.integers(0, 2, 100)
        said = [np.where(rng.random(100) < 0.8, answer, rng.integers(0, 2, 100)).astype(str) for _ in range(2)]
        found = agreement([list(one) for one in zip(*said, strict=True)], ["anna", "ben"])[0]
        inside += found.low <= truth <= found.high
    assert inside >= 52


def test_confusion_counts_who_said_what():
    assert confusion([["a", "b"], ["a", "a"], ["a", "b"], ["b", None]], 0, 1) == {"a": {"a": 1, "b": 2}}


def test_an_ordinal_alpha_needs_an_order_that_names_every_answer():
    with pytest.raises(DataError, match="'5'"):
        krippendorff_alpha(ANSWERS, "ordinal", list("1234"))
