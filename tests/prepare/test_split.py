"""The split: nothing that belongs together is torn apart, shares are met, and what cannot be split says why."""

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tunewright.core.errors import DataError
from tunewright.core.recipe import DataSettings, SplitSettings
from tunewright.prepare.split import SPLITS, assign
from tunewright.text.groups import leak_groups
from tunewright.text.neardup import TextJoin

SHARES = SplitSettings.model_validate({})
Rows = Callable[..., pl.DataFrame]


def split(labels: list[str], groups: list[int], shares: SplitSettings = SHARES, seed: int = 17) -> pl.Series:
    return assign(pl.Series("label", labels), np.array(groups, np.int64), shares, seed)


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 12)), min_size=3, max_size=80), seed=st.integers(0, 5))
def test_no_group_straddles_and_every_split_has_every_class_or_it_is_refused(rows: list[tuple[str, int]], seed: int):
    labels, groups = [label for label, _ in rows], [group for _, group in rows]
    problem = ""
    try:
        done = split(labels, groups, seed=seed)
    except DataError as error:
        problem = str(error)
    if problem:
        assert problem.startswith("prepare")
        assert any(word in problem for word in ("Add rows", "Check data.label", "Take fewer columns"))
        return
    frame = pl.DataFrame({"split": done, "label": labels, "group": groups})
    assert set(done) == set(SPLITS)
    assert frame.group_by("group").agg(pl.col("split").n_unique())["split"].max() == 1
    assert frame.select("split", "label").n_unique() == 3 * len(set(labels))


VOCABULARY = ["red", "blue", "green", "old", "new", "big"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(st.lists(st.sampled_from(VOCABULARY), min_size=1, max_size=7).map(" ".join), min_size=9, max_size=60),
    threads=st.lists(st.sampled_from(["x", "y", None, ""]), min_size=60, max_size=60),
)
def test_no_near_duplicate_pair_ever_straddles_a_split(texts: list[str], threads: list[str | None], rows_of: Rows):
    rows = rows_of(texts, [("a", "b")[one % 2] for one in range(len(texts))], thread=threads[: len(texts)])
    groups = leak_groups(rows, DataSettings(path="rows.csv", groups=["thread"]), 0.3)
    try:
        done = assign(rows["label"], groups, SHARES, 17)
    except DataError:
        assume(False)
    for left, right in TextJoin(rows["text"]).pairs(0.3).select("left", "right").iter_rows():
        assert done[left] == done[right]
    for thread in ("x", "y"):
        assert done.filter(rows["thread"] == thread).n_unique() <= 1


@pytest.mark.parametrize("shares", [(0.7, 0.15, 0.15), (0.5, 0.25, 0.25), (0.8, 0.1, 0.1)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_shares_and_class_proportions_are_met_closely_with_many_small_groups(shares: tuple[float, ...], seed: int):
    draw = np.random.default_rng(seed)
    groups = draw.integers(0, 400, 3000).tolist()
    labels = draw.choice(["a", "b", "c"], 3000, p=[0.6, 0.3, 0.1]).tolist()
    settings = SplitSettings(train=shares[0], validation=shares[1], test=shares[2])
    frame = pl.DataFrame({"split": split(labels, groups, settings, seed), "label": labels})
    for name, share in zip(SPLITS, shares, strict=True):
        part = frame.filter(pl.col("split") == name)
        assert len(part) / 3000 == pytest.approx(share, abs=0.005)
        for label in "abc":
            expected = share * labels.count(label)
            assert (part["label"] == label).sum() == pytest.approx(expected, abs=max(3, 0.03 * expected))


def test_single_rows_are_split_to_the_exact_count():
    labels = ["a"] * 100 + ["b"] * 20
    counts = pl.DataFrame({"split": split(labels, list(range(120))), "label": labels}).group_by("split", "label").len()
    assert sorted(counts.rows()) == [
        ("test", "a", 15), ("test", "b", 3), ("train", "a", 70), ("train", "b", 14), ("validation", "a", 15), ("validation", "b", 3),
    ]  # fmt: skip


def test_the_seed_decides_and_repeats():
    labels, groups = ["a", "b"] * 100, list(range(200))
    assert split(labels, groups, seed=1).equals(split(labels, groups, seed=1))
    assert not split(labels, groups, seed=1).equals(split(labels, groups, seed=2))


@pytest.mark.parametrize(
    ("labels", "groups", "message"),
    [
        ([], [], "no rows are left, but a classifier needs at least two classes"),
        (["a"] * 50, list(range(50)), "every row is labelled 'a'"),
        (["a", "a", "b"], [0, 1, 2], "fewer of 'b' (1), 'a' (2). Add rows"),
        (
            ["a"] * 20 + ["b"] * 20,
            [0] * 20 + list(range(1, 21)),
            "class 'a' in each of train, validation and test: its 20 rows belong to 1 group(s)",
        ),
        (["a", "b"] * 50, [0] * 90 + list(range(1, 11)), "because 90 of the 100 rows belong together"),
    ],
    ids=["none", "one class", "three rows", "a class in one group", "a giant group"],
)
def test_what_cannot_be_split_says_why_and_what_to_do(labels: list[str], groups: list[int], message: str):
    with pytest.raises(DataError) as error:
        split(labels, groups)
    assert message in str(error.value)


def test_three_rows_of_a_class_are_enough():
    assert set(split(["a"] * 3 + ["b"] * 3, list(range(6)))) == set(SPLITS)


def test_rows_stay_where_they_were_and_new_ones_fill_up():
    labels = pl.Series(["a", "b"] * 60)
    first = split(labels.to_list(), list(range(120)), seed=1)
    before = first.to_frame().with_row_index().select(pl.when(pl.col("index") % 10 > 0).then("split")).to_series()
    again = assign(labels, np.arange(120), SplitSettings.model_validate({}), 2, before)
    known = before.is_not_null()
    assert again.filter(known).equals(before.filter(known).alias("split"))
    assert dict(again.value_counts().iter_rows()) == {"train": 84, "validation": 18, "test": 18}


def test_a_group_that_was_in_two_splits_goes_where_most_of_it_was_and_at_a_tie_to_the_later():
    labels = pl.Series(["a", "b"] * 30)
    groups = np.array([0] * 3 + [1] * 2 + list(range(2, 57)))
    before = pl.Series(["test", "train", "train", "train", "test"] + [None] * 55)
    again = assign(labels, groups, SplitSettings.model_validate({}), 0, before)
    assert again[:5].to_list() == ["train"] * 3 + ["test"] * 2
