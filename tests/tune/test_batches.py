from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewright.tune.batches import Sampler, learning_rate, stratified


@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 3), st.integers(0, 5))
def test_every_row_is_visited_once_an_epoch(rows: int, batch: int, accumulation: int, seed: int) -> None:
    sampler = Sampler([1] * rows, batch, accumulation, seed)
    first = [index for step in range(sampler.steps_per_epoch) for index in sampler.rows(step)]
    assert sorted(first) == list(range(rows))
    assert sampler.visits(2 * sampler.steps_per_epoch).tolist() == [2] * rows


def test_visits_counts_what_the_steps_used() -> None:
    sampler = Sampler([5] * 11, 2, 2, seed=3)
    used = np.bincount(np.concatenate([sampler.rows(step) for step in range(4)]), minlength=11)
    assert sampler.visits(4).tolist() == used.tolist()


def test_micro_batches_hold_the_rows_of_the_step_sorted_by_length() -> None:
    lengths = [9, 1, 8, 2, 7, 3, 6, 4]
    sampler = Sampler(lengths, 2, 2, seed=0)
    flat = [row for batch in sampler.micro_batches(0) for row in batch]
    assert sorted(flat) == sorted(sampler.rows(0).tolist())
    assert [lengths[row] for row in flat] == sorted(lengths[row] for row in flat)


def test_epochs_are_shuffled_differently_and_a_seed_decides() -> None:
    one, same, other = (Sampler([1] * 50, 50, 1, seed) for seed in (1, 1, 2))
    assert one.rows(0).tolist() == same.rows(0).tolist() != other.rows(0).tolist()
    assert one.rows(0).tolist() != one.rows(1).tolist()


def test_stratified_keeps_each_labels_share_and_the_cap() -> None:
    labels = ["a"] * 600 + ["b"] * 300 + ["c"] * 100
    chosen = stratified(labels, 50, seed=1)
    counts = {name: sum(labels[index] == name for index in chosen) for name in "abc"}
    assert counts == {"a": 30, "b": 15, "c": 5}
    assert stratified(labels, 50, seed=1).tolist() == chosen.tolist()
    assert stratified(labels[:7], 50, seed=1).tolist() == list(range(7))


def test_learning_rate_warms_up_then_falls_to_zero_by_half_a_cosine() -> None:
    values = [learning_rate(2.0, step, 4, 12) for step in range(13)]
    assert values[:4] == [0.5, 1.0, 1.5, 2.0]
    assert values[4] == 2.0
    assert values[8] == pytest.approx(1.0)
    assert values[12] == pytest.approx(0.0)
    assert [learning_rate(2.0, step, 4, None) for step in range(4)] == values[:4]
