"""Scales and pictures: positions are those of the values."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewright.report.charts import Curve, Scale, curves, difference, stack, whisker

numbers = st.floats(-1e6, 1e6, allow_nan=False)


@given(st.lists(numbers, min_size=1, max_size=20), st.integers(2, 8))
def test_a_scale_holds_its_values_between_round_ends(values: list[float], ticks: int) -> None:
    scale = Scale.around(values, ticks)
    slack = 1e-6 * max(1.0, abs(scale.high), abs(scale.low))
    assert scale.low - slack <= min(values) <= max(values) <= scale.high + slack
    assert 2 <= len(scale.ticks) <= ticks + 3


def test_tick_labels_keep_the_digits_that_tell_them_apart() -> None:
    assert [Scale.around([0.4, 0.5], 4).label(tick) for tick in Scale.around([0.4, 0.5], 4).ticks] == [
        "0.400",
        "0.425",
        "0.450",
        "0.475",
        "0.500",
    ]
    assert [Scale.around([0, 30], 3).label(tick) for tick in Scale.around([0, 30], 3).ticks] == ["0", "10", "20", "30"]


def test_values_that_differ_by_rounding_alone_still_give_a_scale() -> None:
    scale = Scale.around([1.0, 1.0 + 1e-12])
    assert scale.at(1.0) < scale.at(2.0)


def test_nothing_to_draw_still_gives_a_scale() -> None:
    assert Scale.around([None, float("nan")]).ticks[0] == 0.0


def test_a_whisker_spans_its_interval() -> None:
    svg = whisker(Scale(0.0, 1.0, (0.0, 1.0)), 0.5, 0.25, 0.75, "winner", "half")
    assert 'x1="25.0%" x2="75.0%"' in svg
    assert 'cx="50.0%"' in svg
    assert 'aria-label="half"' in svg


def test_the_difference_shows_zero_and_what_was_asked_for() -> None:
    svg = difference(0.2, 0.1, 0.3, 0.05, "good", "label")
    assert "no difference" in svg
    assert "asked for" in svg
    assert "asked for" not in difference(0.2, 0.1, 0.3, None, "good", "label")


def test_curves_skip_what_is_not_a_number() -> None:
    scale = Scale.around([0, 1])
    svg = curves([Curve([(0, 0.0), (0.5, float("nan")), (1, 1.0)], "winner")], scale, scale, "curve")
    assert "nan" not in svg
    assert len(re.findall(r"points=\"([^\"]*)\"", svg)[0].split()) == 2


@pytest.mark.parametrize("hostile", ['"><script>', "<b>&"])
def test_words_in_pictures_are_escaped(hostile: str) -> None:
    assert hostile not in stack([(hostile, 1.0, "train")], hostile)
