"""Distances over shuffles are those of SciPy and scikit-learn, and their p-values are those of chance."""

import numpy as np
import scipy.sparse
import scipy.spatial.distance
import scipy.stats
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score

from tunewright.monitor import shuffles
from tunewright.monitor.shuffles import shuffled

CHANCE = np.random.default_rng(3)
ALONE = np.arange(100)
SIDES = shuffled(ALONE, 40, 30)
LINES = SIDES > 0.5


def test_the_first_line_is_the_truth_and_every_line_has_a_window_of_the_same_size():
    assert LINES[0].tolist() == [False] * 60 + [True] * 40
    assert set(LINES.sum(axis=1)) == {40}
    assert len({line.tobytes() for line in LINES}) == 31


def test_distances_are_those_of_scipy():
    values = CHANCE.normal(size=100).round(1)  # with ties
    expected = [scipy.stats.wasserstein_distance(values[line], values[~line]) for line in LINES]
    np.testing.assert_allclose(shuffles.earth_moved(values, SIDES), expected, rtol=1e-4)
    np.testing.assert_allclose(shuffles.rise(values, SIDES), [values[line].mean() - values[~line].mean() for line in LINES], atol=1e-5)


def test_divergence_is_that_of_scipy_for_dense_and_sparse_counts():
    table = CHANCE.poisson(0.7, size=(100, 12)).astype(np.float32)
    expected = [scipy.spatial.distance.jensenshannon(table[line].sum(axis=0), table[~line].sum(axis=0), base=2) ** 2 for line in LINES]
    for form in (table, scipy.sparse.csr_matrix(table)):
        np.testing.assert_allclose(shuffles.divergence(*shuffles.counts(form, SIDES)), expected, atol=1e-5)


def test_fourier_features_give_the_maximum_mean_discrepancy_of_a_gaussian_kernel():
    points = CHANCE.normal(size=(100, 8)).astype(np.float32)
    points[60:] += 1.0
    squares = scipy.spatial.distance.cdist(points, points, "sqeuclidean")
    width = np.median(squares[np.triu_indices(100, 1)])
    kernel = np.exp(-squares / (2 * width))
    exact = kernel[:60, :60].mean() + kernel[60:, 60:].mean() - 2 * kernel[:60, 60:].mean()
    found = shuffles.middle_distance(shuffles.fourier(points, 4096), SIDES)[0]
    assert abs(found - exact) < 0.1 * exact


def test_each_shuffle_of_the_classifier_is_a_ridge_regression_fitted_anew():
    points = CHANCE.normal(size=(100, 5)).astype(np.float32)
    points[60:, 0] += 0.8
    curve, scores = shuffles.told_apart(points @ points.T, SIDES, ALONE, folds=5, ridge=2.0)
    fold = np.random.default_rng(17).permutation(np.arange(100) % 5)
    for line in (0, 7):
        expected = np.empty(100)
        for one in range(5):
            train = fold != one
            level = SIDES[line][train].mean()
            fitted = Ridge(alpha=2.0, fit_intercept=False).fit(points[train], SIDES[line][train] - level)
            expected[~train] = fitted.predict(points[~train])
        assert abs(curve[line] - roc_auc_score(LINES[line], expected)) < 2e-3
        if line == 0:
            np.testing.assert_allclose(scores, expected, atol=1e-3)
    assert curve[0] > 0.6 > curve[1:].mean()


def test_without_drift_p_values_are_uniform():
    chance, found = np.random.default_rng(9), []
    sides = shuffled(np.arange(120), 40, 199)
    for _ in range(1500):
        moved = shuffles.earth_moved(chance.exponential(size=120), sides)
        found.append((moved >= moved[0]).mean())
    assert scipy.stats.kstest(found, "uniform").pvalue > 0.001
    assert abs(np.mean(np.array(found) <= 0.05) - 0.05) < 0.018


def test_rows_that_belong_together_change_sides_together():
    blocks = np.repeat(np.arange(20), 6)
    lines = shuffled(blocks, 40, 200) > 0.5
    assert lines[0].tolist() == [False] * 80 + [True] * 40
    for line in lines[1:]:
        assert all(len(set(line[blocks == one])) == 1 for one in range(20))
        assert abs(line.sum() - 40) <= 3
    assert len({line.tobytes() for line in lines}) > 150


def test_groups_that_differ_by_chance_are_no_drift_and_without_their_groups_they_would_be():
    chance, found = np.random.default_rng(5), {"blocks": 0, "alone": 0}
    blocks = np.repeat(np.arange(60), 5)
    dealt = {"blocks": shuffled(blocks, 150, 99), "alone": shuffled(np.arange(300), 150, 99)}
    for _ in range(400):
        values = chance.normal(size=60)[blocks] + 0.5 * chance.normal(size=300)
        for name, sides in dealt.items():
            moved = shuffles.earth_moved(values, sides)
            found[name] += (moved >= moved[0]).mean() <= 0.05
    assert 0.02 < found["blocks"] / 400 < 0.085
    assert found["alone"] / 400 > 0.2


def test_the_classifier_does_not_learn_a_group_by_heart():
    chance, blocks = np.random.default_rng(6), np.repeat(np.arange(60), 5)
    points = (chance.normal(size=(60, 20))[blocks] + 0.1 * chance.normal(size=(300, 20))).astype(np.float32)
    sides = shuffled(blocks, 150, 1)
    assert shuffles.told_apart(points @ points.T, sides, np.arange(300))[0][0] > 0.85
    assert abs(shuffles.told_apart(points @ points.T, sides, blocks)[0][0] - 0.5) < 0.2
