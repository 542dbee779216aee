"""learning-curve: nested sizes, what the next rows would buy, when a score is reached."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.test_prove import QUIET, recipe_of, write_rows
from tunewright.core.curvefit import Fit, fit_power_law
from tunewright.core.errors import DataError
from tunewright.core.files import read_parquet
from tunewright.curve import Question, learning_curve, nested_order, reach, sizes_of, story


def test_sizes_double_up_to_all_rows() -> None:
    assert sizes_of(2583, 5) == [161, 323, 646, 1292, 2583]
    assert sizes_of(100, 5) == [25, 50, 100]


def test_too_few_rows_are_refused_with_the_number_that_would_do() -> None:
    with pytest.raises(DataError, match="Label 80 first"):
        sizes_of(70, 5)


def test_every_beginning_holds_the_labels_in_proportion() -> None:
    labels = pl.Series(["rare"] * 20 + ["common"] * 180)
    order = nested_order(labels, seed=3)
    assert sorted(order) == list(range(200))
    for size in (20, 50, 100):
        assert abs(sum(labels[int(one)] == "rare" for one in order[:size]) - size / 10) <= 2
    assert not np.array_equal(order, nested_order(labels, seed=4))


def known_curve(noise: float) -> Fit:
    sizes = [size for size in (125, 250, 500, 1000, 2000) for _ in range(3)]
    rng = np.random.default_rng(0)
    return fit_power_law(sizes, [0.9 - 3 * size**-0.5 + rng.normal(0, noise) for size in sizes], 400)


def test_a_target_is_reached_where_the_curve_crosses_it() -> None:
    found = reach(known_curve(0.001), 0.85, rows=2000)  # 3 n^-0.5 = 0.05 at n = 3,600
    assert found["rows"] == pytest.approx(3600, rel=0.15)
    assert found["low"] <= 3600 <= found["high"]


def test_a_target_above_the_ceiling_is_not_within_reach() -> None:
    found = reach(known_curve(0.001), 0.95, rows=2000)
    assert found["rows"] is None
    assert found["limit"]["rows"] == 20_000
    assert found["limit"]["score"] < 0.95


def test_luck_of_the_test_rows_widens_the_curve() -> None:
    sizes, scores = [100, 200, 400, 800] * 2, [0.5, 0.6, 0.67, 0.72, 0.51, 0.61, 0.68, 0.71]
    luck = np.asarray(scores) + np.random.default_rng(0).normal(0, 0.03, (500, 1))
    narrow, wide = fit_power_law(sizes, scores, 500), fit_power_law(sizes, scores, 500, resampled=luck)
    reach_of = [high - low for low, high in (narrow.interval(800), wide.interval(800))]
    assert reach_of[1] > 1.5 * reach_of[0]
    assert abs(wide.gain(800, 1600).high - narrow.gain(800, 1600).high) < 0.02  # it moves all sizes alike


def answer_of(low: float, high: float) -> str:
    more = {"rows": 1000, "gain": (low + high) / 2, "low": low, "high": high, "worth": 0.01, "wasted": high < 0.01}
    return story({"rows": 2583, "metric": "macro_f1", "next": more, "now": {"score": 0.6, "low": 0.5, "high": 0.7}, "target": None}, None)[
        1
    ]


def test_the_answer_says_wasted_worth_it_or_too_wide() -> None:
    assert answer_of(0.0, 0.006).startswith("labelling more is wasted")
    assert answer_of(0.012, 0.03).startswith("more rows pay")
    assert "too wide to promise" in answer_of(0.002, 0.03)


def test_a_curve_from_real_files_rises_and_is_written_down(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.csv", variants=12)
    found = learning_curve(recipe_of(tmp_path), tmp_path / "run", Question(target=0.99), QUIET)
    points = found.document["points"]
    assert [one["rows"] for one in points] == [20, 40, 80]
    assert points[-1]["mean"] > points[0]["mean"]
    small, large = (set(read_parquet(tmp_path / "run" / "curve" / "rows" / f"{size}-17.parquet")["row_id"]) for size in (20, 40))
    assert small < large
    assert any("the next 1,000 rows would buy" in line for line in found.summary())
    assert (tmp_path / "run" / "report.html").read_text().count("How many rows are needed?") == 1
