"""Confidence sequences hold at every look; the simulations peek after every single observation."""

import numpy as np
import pytest

from tunewright.core.sequential import Counts, against, difference, log_martingale, more_often, share, shares


def test_limits_close_in_on_the_share():
    assert share(0, 0, 0.05) == (0.0, 1.0)
    widths = [np.diff(share(0.1 * n, n, 0.05))[0] for n in (10, 100, 1000, 10_000)]
    assert widths == sorted(widths, reverse=True)
    low, high = share(100, 1000, 0.05)
    assert 0.06 < low < 0.1 < high < 0.15
    assert share(0, 200, 0.05)[0] == 0.0
    assert share(0, 200, 0.05)[1] < 0.035
    assert share(200, 200, 0.05)[1] == 1.0


def test_limits_are_where_the_martingale_reaches_one_over_alpha():
    low, high = share(37, 211, 0.01)
    assert log_martingale(37, 211, np.array([low, high])) == pytest.approx(np.log(100), abs=1e-6)


@pytest.mark.parametrize("p", [0.02, 0.3, 0.5])
def test_the_truth_is_ever_left_out_no_more_often_than_alpha(p: float):
    runs, n, alpha = 1500, 800, 0.1
    seen = np.cumsum(np.random.default_rng(1).random((runs, n)) < p, axis=1)
    ever = (log_martingale(seen, np.arange(1, n + 1), p) >= np.log(1 / alpha)).any(axis=1).mean()
    assert ever <= alpha + 3 * np.sqrt(alpha * (1 - alpha) / runs)


def test_an_ordinary_interval_would_be_wrong_far_more_often():
    runs, n = 1000, 800
    seen = np.cumsum(np.random.default_rng(2).random((runs, n)) < 0.3, axis=1)
    trials = np.arange(1, n + 1)
    z = np.abs(seen - 0.3 * trials) / np.sqrt(0.21 * trials)
    assert (z[:, 20:] > 1.96).any(axis=1).mean() > 0.25


def test_differences_hold_under_peeking_whatever_the_allocation():
    rng, runs, n, alpha = np.random.default_rng(3), 800, 600, 0.1
    to_second = rng.random((runs, n)) < np.linspace(0.02, 0.6, n)  # a share that grows, as in a canary
    bad = rng.random((runs, n)) < 0.2
    of_second, of_first = np.cumsum(to_second, axis=1), np.cumsum(~to_second, axis=1)
    second, first = np.cumsum(bad & to_second, axis=1), np.cumsum(bad & ~to_second, axis=1)
    evidence = against(0.0, first[:, ::3], of_first[:, ::3], second[:, ::3], of_second[:, ::3])
    assert (evidence >= np.log(1 / alpha)).any(axis=1).mean() <= alpha + 3 * np.sqrt(alpha * (1 - alpha) / runs)


def test_a_loss_that_is_there_is_ruled_out_no_more_often_than_alpha():
    rng, runs, n, alpha, loss = np.random.default_rng(5), 800, 600, 0.1, 0.1
    to_second = rng.random((runs, n)) < 0.3
    bad = rng.random((runs, n)) < np.where(to_second, 0.05 + loss, 0.05)
    of_second, of_first = np.cumsum(to_second, axis=1), np.cumsum(~to_second, axis=1)
    second, first = np.cumsum(bad & to_second, axis=1), np.cumsum(bad & ~to_second, axis=1)
    evidence = against(loss, first[:, ::3], of_first[:, ::3], second[:, ::3], of_second[:, ::3])
    assert (evidence >= np.log(1 / alpha)).any(axis=1).mean() <= alpha + 3 * np.sqrt(alpha * (1 - alpha) / runs)


@pytest.mark.parametrize("counts", [((27, 79), (112, 161)), ((0, 298), (0, 62)), ((3, 400), (9, 40)), ((50, 50), (0, 50))])
def test_limits_of_a_difference_are_where_its_evidence_is_enough(counts: tuple[Counts, Counts]):
    alpha = 0.01
    low, high = difference(*counts, alpha)
    for limit in (low, high):
        if abs(limit) < 1:
            assert against(limit, *counts[0], *counts[1]) == pytest.approx(np.log(1 / alpha), abs=1e-3)
    apart = [share(*one, alpha / 3) for one in counts]
    assert low >= apart[1][0] - apart[0][1], "never wider than two sequences at a third of alpha"
    assert high <= apart[1][1] - apart[0][0]


def test_two_thirds_of_the_requests_are_enough():
    found = [n for n in range(50, 130, 5) if difference((0.3 * n, n), (0.7 * n, n), 0.0025)[0] > 0]
    apart = [n for n in range(50, 130, 5) if share(0.7 * n, n, 0.00125)[0] > share(0.3 * n, n, 0.00125)[1]]
    assert found[0] < 0.7 * apart[0]


def test_a_real_difference_is_found():
    assert difference((30, 1000), (60, 300), 0.05)[0] > 0.05
    low, high = difference((0, 500), (0, 500), 0.05)
    assert low == -high
    assert 0 < high < 0.021


def test_discordant_pairs():
    assert (more_often(0, 0), more_often(3, 5)) == (1.0, 1.0)
    assert more_often(20, 2) < 0.01 < more_often(6, 2)
    rng, runs, n = np.random.default_rng(4), 1500, 300
    won = np.cumsum(rng.random((runs, n)) < 0.5, axis=1)
    trials = np.arange(1, n + 1)
    p = np.where(won > trials - won, np.exp(-log_martingale(won, trials, 0.5)), 1.0)
    assert (p <= 0.05).any(axis=1).mean() <= 0.05


def test_many_at_once_are_like_one_at_a_time():
    low, high = shares([1, 40, 0], [10, 100, 0], 0.05)
    assert [share(*one, 0.05) for one in ((1, 10), (40, 100), (0, 0))] == list(zip(low.tolist(), high.tolist(), strict=True))
