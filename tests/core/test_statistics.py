"""Tests of shares agree with the references that people check them against."""

import pytest

from tunewright.core.statistics import same_mix, same_share


def test_mixes_are_compared_as_scipy_does():
    from scipy.stats import chi2_contingency

    table = [[60, 40, 9], [510, 90, 100]]
    assert same_mix(table) == pytest.approx(chi2_contingency(table, correction=False).pvalue)


def test_few_rows_are_judged_by_fishers_exact_test():
    from scipy.stats import fisher_exact

    assert same_share(3, 4, 1, 12) == pytest.approx(fisher_exact([[3, 1], [1, 11]]).pvalue)


@pytest.mark.parametrize("table", [[[5, 0], [7, 0]], [[5, 5]], [[0, 0], [3, 4]]])
def test_where_nothing_can_differ_p_is_one(table: list[list[float]]):
    assert same_mix(table) == 1.0
