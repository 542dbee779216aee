"""The near-duplicate join against brute force on hostile text, and its promises on size."""

from __future__ import annotations

from unittest import mock

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from tunewright.text import neardup
from tunewright.text.native import run
from tunewright.text.neardup import KEEP_SCHEMA, TextJoin, clusters, keep_by_label, normalise
from tunewright.text.partitioned import FREQUENCIES

THRESHOLDS = [0.3, 0.5, 0.8]
WORDS = [
    "a",
    "A",
    "b",
    "ok",
    "Straße",
    "STRASSE",
    "é",
    "e\u0301",
    "ﬁne",
    "fine",
    "İ",
    "ß",
    "好",
    "用",
    "手机",
    "ดี",
    "มาก",
    "カ",
    "ガ",
    "👍",
    "👍🏽",
    "\u200d",
]
SPACES = [" ", "  ", "\t", "\n", "\u00a0", "\u3000", "\x1f", "\x85"]
words = st.one_of(st.sampled_from(WORDS), st.text(max_size=4))
text = st.lists(st.tuples(words, st.sampled_from(SPACES)), max_size=14).map(lambda parts: "".join(a + b for a, b in parts))


@st.composite
def related_texts(draw: st.DrawFn) -> list[str | None]:
    """A few texts, and edits of them, so that every degree of similarity occurs."""
    base = draw(st.lists(st.lists(words, max_size=16), min_size=1, max_size=5))
    rows: list[str | None] = [" ".join(one) for one in base]
    for _ in range(draw(st.integers(0, 8))):
        one = list(draw(st.sampled_from(base)))
        for _ in range(draw(st.integers(0, 2))):
            one.insert(draw(st.integers(0, len(one))), draw(words))
        rows.append(draw(st.sampled_from(SPACES)).join(one))
    return draw(st.permutations([*rows, None]))


@given(related_texts())
def test_there_is_room_for_the_shingles_of_any_text(rows: list[str | None]):
    texts = pl.Series(rows, dtype=pl.String).fill_null("")
    room = np.zeros(neardup.most_shingles(texts) + 100, np.uint64)
    assert len(neardup.shingled(texts, room).shingles) <= neardup.most_shingles(texts)


def test_frequencies_are_exact_when_small_and_close_when_large():
    times = np.array([1, 2, 31, 100, 5_000, 200_000])
    shingles, table = np.repeat(np.arange(len(times), dtype=np.uint64), times), np.zeros(16, np.uint8)
    np.random.default_rng(1).shuffle(shingles)
    run("count_shingles", shingles, np.array([len(shingles)]), np.array([True]), table)
    counted = FREQUENCIES[table[: len(times)]]
    assert counted[:3].tolist() == [1, 2, 31]
    assert np.abs(counted / times - 1).max() < 0.25


def shingles(text: str | None) -> frozenset[tuple[str, ...]]:
    parts = normalise(text or "").split()
    if not parts:
        return frozenset()
    return frozenset(tuple(parts[i : i + 3]) for i in range(max(1, len(parts) - 2)))


def brute_force(rows: list[str | None], threshold: float) -> dict[tuple[int, int], float]:
    sets = [shingles(one) for one in rows]
    pairs = {}
    for right, b in enumerate(sets):
        for left, a in enumerate(sets[:right]):
            if a and b and len(a & b) / len(a | b) >= threshold:
                pairs[left, right] = len(a & b) / len(a | b)
    return pairs


def all_pairs(join: TextJoin, threshold: float) -> dict[tuple[int, int], float]:
    """`pairs` names a repeated text through its first row only: spell out what that stands for."""
    first, n = join.first.tolist(), len(join)
    among = {(a, b): j for a, b, j in join.pairs(threshold).iter_rows() if first[a] == a and first[b] == b}
    spelled = {}
    for right in range(n):
        for left in range(right):
            a, b = sorted((first[left], first[right]))
            if a == b:
                spelled[left, right] = 1.0
            elif (a, b) in among:
                spelled[left, right] = among[a, b]
    return spelled


@pytest.mark.parametrize("threshold", THRESHOLDS)
@settings(max_examples=100, deadline=None)
@given(rows=st.one_of(related_texts(), st.lists(text, max_size=12)))
def test_pairs_are_exactly_those_of_brute_force(threshold: float, rows: list[str | None]) -> None:
    join = TextJoin(pl.Series(rows, dtype=pl.String))
    assert all_pairs(join, threshold) == brute_force(rows, threshold)


@pytest.mark.parametrize("threshold", THRESHOLDS)
@settings(max_examples=60, deadline=None)
@given(rows=related_texts())
def test_a_row_is_dropped_only_for_a_kept_row_and_no_two_kept_rows_are_near(threshold: float, rows: list[str | None]) -> None:
    near = brute_force(rows, threshold)
    dropped = TextJoin(pl.Series(rows, dtype=pl.String)).keep(threshold)
    kept = set(range(len(rows))) - set(dropped["row"].to_list())
    for row, partner, jaccard in dropped.iter_rows():
        assert partner in kept
        assert partner < row
        assert near[partner, row] == jaccard
    assert not [pair for pair in near if set(pair) <= kept]


@pytest.mark.parametrize("threshold", THRESHOLDS)
@settings(max_examples=60, deadline=None)
@given(rows=related_texts())
def test_components_are_the_connected_sets_of_all_pairs(threshold: float, rows: list[str | None]) -> None:
    near = brute_force(rows, threshold)
    expected = clusters(len(rows), [a for a, _ in near], [b for _, b in near])  # type: ignore[arg-type]
    join = TextJoin(pl.Series(rows, dtype=pl.String))
    assert join.components(threshold).tolist() == expected.tolist()
    assert len(join.links(threshold)) < len(rows)


@pytest.mark.parametrize("threshold", THRESHOLDS)
@settings(max_examples=60, deadline=None)
@given(rows=related_texts(), draw=st.data())
def test_within_groups_only_rows_of_one_group_are_compared(threshold: float, rows: list[str | None], draw: st.DataObject) -> None:
    groups = draw.draw(st.lists(st.sampled_from(["a", "b", None]), min_size=len(rows), max_size=len(rows)))
    expected = [pl.DataFrame(schema=KEEP_SCHEMA)]
    for group in set(groups):
        places = [place for place in range(len(rows)) if groups[place] == group]
        kept = TextJoin(pl.Series([rows[place] for place in places], dtype=pl.String)).keep(threshold)
        at = pl.Series(places, dtype=pl.UInt32)
        expected.append(kept.with_columns(row=at.gather(kept["row"]), kept=at.gather(kept["kept"])))
    texts, labels = pl.Series(rows, dtype=pl.String), pl.Series(groups, dtype=pl.String)
    whole = pl.concat(expected).sort("row")
    assert_frame_equal(keep_by_label(texts, labels, threshold), whole)
    assert_frame_equal(TextJoin(texts).near(0.3, per_row=100).keep(threshold, labels), whole)


@settings(max_examples=60, deadline=None)
@given(rows=related_texts())
def test_what_was_measured_once_decides_every_higher_threshold(rows: list[str | None]) -> None:
    join = TextJoin(pl.Series(rows, dtype=pl.String))
    near = join.near(0.3, per_row=100)
    assert near.cut == 0
    for threshold in [0.3, 0.5, 0.55, 0.8, 1.0]:
        assert_frame_equal(near.keep(threshold), join.keep(threshold))
        assert near.components(threshold).tolist() == join.components(threshold).tolist()


@pytest.mark.parametrize("threshold", THRESHOLDS)
@settings(max_examples=60, deadline=None)
@given(rows=related_texts())
def test_crowds_visited_in_order_give_the_same(threshold: float, rows: list[str | None]) -> None:
    join = TextJoin(pl.Series(rows, dtype=pl.String))
    quick = join.keep(threshold), join.components(threshold).tolist()
    with mock.patch.object(neardup, "PER_ROW", 0):
        assert_frame_equal(join.keep(threshold), quick[0])
        assert join.components(threshold).tolist() == quick[1]


def test_a_crowd_fills_its_table_and_is_still_decided() -> None:
    rows = pl.Series([f"dear customer your order has been shipped and will arrive soon {number}" for number in range(300)])
    near = TextJoin(rows).near(0.5, per_row=4)
    assert near.cut > 0
    assert len(near.pairs) <= 4 * len(rows)
    assert near.keep(0.5)["kept"].unique().to_list() == [0]
    assert set(near.components(0.5)) == {0}


def test_a_threshold_below_the_measured_floor_is_refused() -> None:
    with pytest.raises(ValueError, match="from the measured floor 0.5"):
        TextJoin(pl.Series(["a"])).near(0.5).keep(0.4)


def test_white_space_and_control_characters_between_words() -> None:
    rows = ["a b c d", "a\u2003b\u2028c\rd", "a\x1cb\x1dc\nd", "a\x00b c d", "ab c d"]
    assert TextJoin(pl.Series(rows)).first.tolist() == [0, 0, 0, 3, 4]


@pytest.mark.parametrize("length", [7, 8, 9, 15, 16, 17, 24])
def test_words_of_whole_blocks_of_bytes(length: int) -> None:
    word, other = "x" * length, "x" * (length - 1) + "y"
    rows = pl.Series([word, word.upper(), other, word + "x", f"{word} {other}", f"{word}{other}", f"{word} {other} "])
    assert TextJoin(rows).first.tolist() == [0, 0, 2, 3, 4, 5, 4]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ok", "OK"),
        ("Straße ist", "STRASSE  ist"),
        ("caf\u00e9", "cafe\u0301"),
        ("a\u00a0b c d", "A b\tc\nd"),
        ("很好 用", "很好用"),
        ("ΜΆΪΟΣ", "μάϊος"),
    ],
)
def test_the_same_words_in_other_dress_are_exact_duplicates(one: str, other: str) -> None:
    assert TextJoin(pl.Series([one, "something else", other])).first.tolist() == [0, 1, 0]


def test_texts_of_one_or_two_words_match_only_themselves() -> None:
    assert TextJoin(pl.Series(["ok", "ok then", "OK", "then ok"])).pairs(0.3).rows() == [(0, 2, 1.0)]


def test_rows_without_words_are_nobodys_duplicates() -> None:
    join = TextJoin(pl.Series(["", None, "  \n", "\u00a0"]))
    assert join.first.tolist() == [0, 1, 2, 3]
    assert join.pairs(0.3).is_empty()
    assert join.components(0.3).tolist() == [0, 1, 2, 3]


def test_an_edit_in_chinese_is_found_without_spaces() -> None:
    pairs = TextJoin(
        pl.Series(["这款手机的电池很耐用而且屏幕非常清晰", "这款手机的电池很耐用而且屏幕十分清晰", "完全不同的一句话没有任何关系"])
    ).pairs(0.5)
    assert pairs.select("left", "right").rows() == [(0, 1)]


def test_a_template_repeated_ten_thousand_times_stays_cheap_and_whole() -> None:
    rows = pl.Series(
        [f"Dear customer {i}, your order number {i * 7} has been shipped and will arrive at your door soon" for i in range(10_000)]
    )
    join = TextJoin(rows)
    assert set(join.components(0.3)) == {0}
    assert len(join.links(0.3)) == 9_999
    assert join.keep(0.3)["kept"].unique().to_list() == [0]


def test_a_row_of_a_million_words_is_neither_cut_nor_lost() -> None:
    long = [f"w{i}" for i in range(1_000_000)]
    edited = " ".join([*long[:500_000], "edit", *long[500_000:]])
    pairs = TextJoin(pl.Series([" ".join(long), "short one here", edited])).pairs(0.8)
    assert pairs.rows() == [(0, 2, pytest.approx(999_996 / 1_000_001))]


def test_the_answer_does_not_depend_on_how_rows_are_cut_into_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pl.Series([f"the quick brown fox number {i % 7} jumps over the lazy dog {i % 3}" for i in range(300)])
    whole = TextJoin(rows).pairs(0.3)
    monkeypatch.setattr("tunewright.text.neardup.CHUNK_BYTES", 200)
    assert TextJoin(rows).pairs(0.3).equals(whole)


def test_no_rows() -> None:
    join = TextJoin(pl.Series([], dtype=pl.String))
    assert join.pairs(0.5).is_empty()
    assert join.keep(0.5).is_empty()
    assert join.components(0.5).tolist() == []


@pytest.mark.parametrize("threshold", [0, -1, 1.5])
def test_a_threshold_that_is_no_similarity_is_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match="threshold must be above 0"):
        TextJoin(pl.Series(["a"])).pairs(threshold)
