"""The statistics against scipy and statsmodels, against brute force, and against what they promise (by simulation)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as some
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from tunewright.core.errors import DataError
from tunewright.core.plugins import build
from tunewright.core.score import Predictions
from tunewright.evaluate import statistics
from tunewright.evaluate.evidence import class_evidence
from tunewright.evaluate.statistics import Sample, bootstrap, proportion

Ints = npt.NDArray[np.int64]
MACRO = build("metrics", "macro_f1")


def evidence_of(truth: Ints, answers: Ints, classes: int = 3) -> npt.NDArray[np.float64]:
    evidence = class_evidence(Predictions([str(i) for i in range(classes)], answers, truth))
    assert evidence is not None
    return evidence


def macro_f1(sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(MACRO.value(sums[..., 0, :]))


def mean(sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(sums[..., 0, 0] / sums[..., 0, 1])


def mean_sample(values: npt.NDArray[np.float64], groups: Ints | None = None, **more: Ints) -> Sample:
    evidence = np.column_stack([values, np.ones(len(values))])[:, None, :]
    return Sample.of(evidence, np.arange(len(values)) if groups is None else groups, **more)


@given(some.integers(0, 60), some.integers(1, 60), some.sampled_from([0.8, 0.95, 0.99]))
def test_clopper_pearson_equals_statsmodels(right: int, n: int, confidence: float) -> None:
    right = min(right, n)
    expected = proportion_confint(right, n, alpha=1 - confidence, method="beta")
    expected = [0.0 if right == 0 else expected[0], 1.0 if right == n else expected[1]]
    assert statistics.clopper_pearson(right, n, confidence) == pytest.approx(expected, abs=1e-9)


@given(some.integers(0, 80), some.integers(0, 80))
def test_mcnemar_equals_statsmodels(only_first: int, only_second: int) -> None:
    expected = reference_mcnemar([[5, only_first], [only_second, 5]], exact=True).pvalue if only_first + only_second else 1
    assert statistics.mcnemar(only_first, only_second) == pytest.approx(float(expected), abs=1e-12)


@pytest.mark.parametrize("size", range(1, 10))
def test_holm_equals_statsmodels(size: int) -> None:
    p_values = list(np.random.default_rng(size).random(size) ** 3)
    assert statistics.holm(p_values) == pytest.approx(list(multipletests(p_values, method="holm")[1]), abs=1e-12)


def test_holm_of_nothing_is_nothing() -> None:
    assert statistics.holm([]) == []


def test_bca_of_a_skewed_mean_equals_scipy_up_to_the_small_sample_correction() -> None:
    values = np.random.default_rng(3).lognormal(size=400)
    ours = bootstrap(mean_sample(values), mean, resamples=20_000, bounds=(0, 100))
    theirs = scipy.stats.bootstrap((values,), np.mean, n_resamples=20_000, method="BCa", rng=5)
    width = theirs.confidence_interval.high - theirs.confidence_interval.low
    # Hesterberg's t quantiles widen 400 rows by 0.5%; what remains is Monte-Carlo error of two sets of resamples
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.03 * width)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.03 * width)
    assert ours.standard_error == pytest.approx(theirs.standard_error, rel=0.03)


def test_collapsing_equal_groups_changes_nothing() -> None:
    rng = np.random.default_rng(1)
    truth, answers, groups = rng.integers(0, 3, 200), rng.integers(0, 3, 200), rng.integers(0, 40, 200)
    sample = Sample.of(evidence_of(truth, answers)[:, None], groups)
    assert sample.groups == len(np.unique(groups)) == sample.counts.sum()
    assert float(macro_f1(sample.total[None])[0]) == pytest.approx(float(MACRO.value(evidence_of(truth, answers).sum(axis=0))))
    doubled = Sample.of(np.repeat(evidence_of(truth, answers)[:, None], 2, axis=0), np.tile(np.arange(200), 2))
    assert doubled.groups == 200


def test_rows_that_share_a_group_widen_the_interval() -> None:
    rng = np.random.default_rng(2)
    groups = np.repeat(np.arange(40), 10)
    right = (rng.random(40) < 0.6)[groups].astype(float)  # all rows of a group agree: 400 rows, 40 observations
    alone, together = proportion(right, np.arange(400)), proportion(right, groups)
    assert together.high - together.low > 2.5 * (alone.high - alone.low)
    assert statistics.design_effect(right, groups) == pytest.approx(10, rel=0.05)
    resampled = [bootstrap(mean_sample(right, one), mean) for one in (np.arange(400), groups)]
    assert resampled[1].high - resampled[1].low > 2.5 * (resampled[0].high - resampled[0].low)


def test_design_effect_of_independent_rows_is_one() -> None:
    right = np.array([1.0, 0, 1, 1, 0])
    assert statistics.design_effect(right, np.arange(5)) == 1.0
    assert statistics.design_effect(np.ones(5), np.zeros(5, dtype=np.int64)) == 1.0


def test_stratified_resamples_keep_the_size_of_each_class() -> None:
    truth = np.repeat([0, 1], [190, 10])
    kept: list[set[float]] = []

    def rare(sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        kept.append(set(sums[..., 0, 3].ravel()))
        return macro_f1(sums)

    answers = np.where(np.random.default_rng(0).random(200) < 0.7, truth, 1 - truth)
    bootstrap(Sample.of(evidence_of(truth, answers, 2)[:, None], np.arange(200), truth, strata=truth), rare)
    assert kept[1] == {10.0}


def test_resampling_is_deterministic() -> None:
    sample = mean_sample(np.random.default_rng(0).random(50))
    assert bootstrap(sample, mean, seed=4) == bootstrap(sample, mean, seed=4)


@pytest.mark.parametrize("groups", [np.arange(30), np.repeat(np.arange(10), 3), np.zeros(30, dtype=np.int64)])
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_nothing_varies_but_the_interval_has_width(groups: Ints, share: float) -> None:
    right = np.full(30, share)
    truth = np.tile([0, 1, 2], 10)
    answers = truth if share else (truth + 1) % 3
    scored = [
        proportion(right, groups),
        bootstrap(mean_sample(right, groups), mean),
        bootstrap(Sample.of(evidence_of(truth, answers)[:, None], groups, truth), macro_f1),
    ]
    for interval in scored:
        assert 0 <= interval.low < interval.high <= 1
        assert interval.low <= interval.estimate <= interval.high


def test_all_right_has_the_exact_lower_limit() -> None:
    exact = statistics.clopper_pearson(30, 30)
    assert proportion(np.ones(30), np.arange(30)).low == pytest.approx(exact[0])
    assert bootstrap(mean_sample(np.ones(30)), mean).low == pytest.approx(exact[0])


def test_one_row_says_next_to_nothing() -> None:
    one = proportion(np.ones(1), np.zeros(1, dtype=np.int64))
    assert (one.low, one.high) == (pytest.approx(0.025), 1.0)
    wide = bootstrap(mean_sample(np.ones(1)), mean)
    assert wide.high - wide.low > 0.9


def test_no_rows_is_an_error_that_says_so() -> None:
    with pytest.raises(DataError, match="at least 1 row, but got 0"):
        mean_sample(np.zeros(0))
    with pytest.raises(DataError, match="at least 1 row, but got 0"):
        proportion(np.zeros(0), np.zeros(0, dtype=np.int64))
    with pytest.raises(DataError, match="3 of 2"):
        statistics.clopper_pearson(3, 2)


def test_a_score_that_is_not_defined_has_no_limits() -> None:
    interval = bootstrap(mean_sample(np.array([1.0, 2.0])), lambda sums: mean(sums) / 0.0, bounds=(-math.inf, math.inf))
    assert (interval.low, interval.high, interval.method) == (-math.inf, math.inf, "not defined")


def two_systems(right_first: Ints, right_second: Ints, groups: Ints) -> Sample:
    ones = np.ones(len(groups))
    first, second = (np.column_stack([right, ones]) for right in (right_first, right_second))
    return Sample.of(np.stack([first, second], axis=1), groups)


def share(sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(sums[..., 0] / sums[..., 1])


def test_swapping_single_rows_equals_mcnemar() -> None:
    first, second = np.zeros(100, dtype=np.int64), np.zeros(100, dtype=np.int64)
    first[:6], second[6:24] = 1, 1
    p_value = statistics.sign_flip(two_systems(first, second, np.arange(100)), share, resamples=50_000)
    assert p_value == pytest.approx(statistics.mcnemar(6, 18), abs=0.003)


def test_swapping_groups_equals_all_sign_patterns() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(8), 5)
    first, second = rng.integers(0, 2, 40), (rng.random(40) < 0.8).astype(np.int64)
    gaps = np.bincount(groups, weights=second - first)
    signs = np.array(np.meshgrid(*[[-1, 1]] * 8)).reshape(8, -1).T
    exact = np.mean(np.abs(signs @ gaps) >= abs(gaps.sum()) - 1e-9)
    assert statistics.sign_flip(two_systems(first, second, groups), share, resamples=50_000) == pytest.approx(exact, abs=0.01)


def test_equal_systems_have_p_one_and_an_interval_around_zero() -> None:
    right = np.random.default_rng(0).integers(0, 2, 60)
    sample = two_systems(right, right, np.arange(60))
    assert statistics.sign_flip(sample, share) == 1.0
    gap = bootstrap(sample, lambda sums: share(sums[..., 1, :]) - share(sums[..., 0, :]), bounds=(-1, 1))
    assert gap.low < 0 < gap.high
    assert gap.high == pytest.approx(statistics.clopper_pearson(0, 60)[1])


def test_each_look_at_the_test_widens_the_interval() -> None:
    right = np.tile([1.0, 1, 0], 50)
    widths = []
    for openings in (1, 2, 5):
        interval = proportion(right, np.arange(150), statistics.corrected_confidence(0.95, openings))
        widths.append(interval.high - interval.low)
    assert widths[0] < widths[1] < widths[2]
    assert statistics.corrected_confidence(0.95, 2) == pytest.approx(0.975)
    with pytest.raises(DataError, match="openings >= 1"):
        statistics.corrected_confidence(0.95, 0)


@pytest.mark.parametrize(("discordant", "rows"), [(0.1, 312), (0.2, 626), (0.3, 940)])
def test_detectable_difference_agrees_with_published_sample_sizes(discordant: float, rows: int) -> None:
    """Rows for 80% power at 5% to see 5 points (Connor 1987)."""
    error = math.sqrt((discordant - 0.05**2) / rows)
    assert statistics.minimum_detectable_difference(error, rows) == pytest.approx(0.05, rel=0.02)


def test_detectable_difference_of_few_or_equal_answers_is_never_zero() -> None:
    assert statistics.minimum_detectable_difference(0.0, 100) > 0.05
    assert statistics.minimum_detectable_difference(0.0, 1) == 1.0


def test_rows_needed_grow_with_the_square() -> None:
    assert statistics.rows_needed(0.05, 100, 0.1) == 400
    assert statistics.rows_needed(-0.05, 100, 0.1) == 400
    assert statistics.rows_needed(0.2, 100, 0.1) == 100
    assert statistics.rows_needed(0.0, 100, 0.1) is None


def test_ten_thousand_resamples_take_about_a_second() -> None:
    rng = np.random.default_rng(0)
    truth, answers, groups = rng.integers(0, 3, 560), rng.integers(0, 3, 560), rng.integers(0, 80, 560)
    start = time.perf_counter()
    bootstrap(Sample.of(evidence_of(truth, answers)[:, None], groups), macro_f1, resamples=10_000)
    assert time.perf_counter() - start < 2


# Simulations. Each trial draws a new test set from a known world; the promise must hold within Monte-Carlo error:
# with 400 trials a true 95% is seen as 92.8% to 97.2% in 95 of 100 such tests, and below 91.7% in 3 of 1,000.
TRIALS = 400
SHARES = [0.55, 0.25, 0.2]
World = tuple[Ints, Ints, Ints]


def draw(rng: np.random.Generator, groups: int, size: int, right: list[float]) -> World:
    """Truth, answers, groups. With size > 1 groups share how hard they are and which label prevails."""
    sizes = rng.poisson(size - 1, groups) + 1 if size > 1 else np.ones(groups, dtype=np.int64)
    of = np.repeat(np.arange(groups), sizes)
    mix = rng.dirichlet(np.array(SHARES) * 4, groups) if size > 1 else np.tile(SHARES, (groups, 1))
    truth = (rng.random(len(of))[:, None] > mix[of].cumsum(axis=1)[:, :2]).sum(axis=1)
    hard = rng.normal(0, 0.7, groups)[of] if size > 1 else 0.0
    odds = np.log(np.array(right)[truth] / (1 - np.array(right)[truth])) + hard
    hit = rng.random(len(of)) < 1 / (1 + np.exp(-odds))
    return truth, np.where(hit, truth, (truth + 1 + (rng.random(len(of)) < 0.3)) % 3), of


def accuracy_interval(world: World) -> statistics.Interval:
    return proportion((world[0] == world[1]).astype(float), world[2])


def macro_f1_interval(world: World) -> statistics.Interval:
    sample = Sample.of(evidence_of(world[0], world[1])[:, None], world[2], world[0])
    return bootstrap(sample, macro_f1, resamples=2_000)


@pytest.mark.parametrize("interval", [accuracy_interval, macro_f1_interval])
@pytest.mark.parametrize(
    ("groups", "size", "right"),
    [(60, 1, [0.8, 0.6, 0.5]), (300, 1, [0.8, 0.6, 0.5]), (300, 1, [0.97, 0.95, 0.93]), (45, 12, [0.8, 0.6, 0.5]), (150, 4, [0.8, 0.6, 0.5])],
)  # fmt: skip
def test_intervals_cover_the_truth_95_percent_of_the_time(
    interval: Callable[[World], statistics.Interval], groups: int, size: int, right: list[float]
) -> None:
    rng = np.random.default_rng(7)
    huge = draw(rng, 400_000 // size, size, right)
    true = (
        float(np.mean(huge[0] == huge[1]))
        if interval is accuracy_interval
        else float(MACRO.value(evidence_of(huge[0], huge[1]).sum(axis=0)))
    )
    found = [interval(draw(rng, groups, size, right)) for _ in range(TRIALS)]
    assert np.mean([one.low <= true <= one.high for one in found]) >= 0.917


def test_the_stated_power_is_the_real_one() -> None:
    """Systems that truly differ by the detectable difference are told apart in 80% of tests (exact tests: a bit less)."""
    rng, rows, discordant = np.random.default_rng(11), 400, 0.2
    gap = statistics.minimum_detectable_difference(math.sqrt(discordant / rows), rows)
    seen = []
    for _ in range(2_000):
        lost, won = rng.multinomial(rows, [(discordant - gap) / 2, (discordant + gap) / 2, 1 - discordant])[:2]
        seen.append(statistics.mcnemar(int(lost), int(won)) <= 0.05)
    assert 0.74 <= np.mean(seen) <= 0.84  # 80%, less what the exact test loses; Monte-Carlo error 0.9 points
