"""The quick classifier: out of sample, group by group, the same whatever the order of the rows; scripts without spaces too."""

import numpy as np
import polars as pl
import pytest

from tunewright.text.quick import MOST_WORK, bag_of_words, classify, out_of_sample, sample_of, to_classify, tokens

WORDS = {"good": ["love", "great", "happy"], "bad": ["hate", "awful", "broken"]}


def rows(number: int, seed: int = 0) -> pl.DataFrame:
    draw = np.random.default_rng(seed)
    labels = [("good", "bad")[one % 2] for one in range(number)]
    texts = [f"the phone {draw.choice(['and', 'or', 'with'])} {draw.choice(WORDS[label])} box {draw.integers(50)}" for label in labels]
    return pl.DataFrame({"row_id": [f"r{one}" for one in range(number)], "text": texts, "label": labels})


def test_a_row_is_judged_by_what_the_others_say():
    given = rows(200)
    swapped = given.with_columns(label=pl.when(pl.col("row_id") == "r7").then(pl.lit("good")).otherwise("label"))
    quick = classify(swapped, np.arange(200), bag_of_words(swapped["text"]), 3)
    assert quick.labels == ["bad", "good"]
    assert np.flatnonzero(quick.wrong).tolist() == [7]
    assert quick.believed[7, 0] > 0.8


def test_no_row_is_judged_by_its_own_group():
    texts = pl.Series([f"word{one} word{one}" for one in range(40) for _ in range(5)])
    groups = np.repeat(np.arange(40), 5)
    given = (np.arange(200) // 5 % 2).astype(np.intp)
    alone = out_of_sample(bag_of_words(texts).matrix, given, 2, np.arange(200), 5)
    together = out_of_sample(bag_of_words(texts).matrix, given, 2, groups, 5)
    assert (alone.argmax(axis=1) == given).mean() > 0.95, "its copies give each row away"
    assert (together.argmax(axis=1) == given).mean() < 0.7, "a group's words are unknown to the others"


def test_rows_of_one_group_are_believed_as_given():
    believed = out_of_sample(np.eye(20), np.array([0, 1] * 10), 2, np.zeros(20), 5)
    assert (believed.argmax(axis=1) == np.array([0, 1] * 10)).all()


def test_the_sample_depends_on_row_ids_and_not_on_their_order():
    given = rows(500)
    chosen = sample_of(given, 50)
    assert len(chosen) == 50
    assert set(chosen["row_id"]) == set(sample_of(given.reverse(), 50)["row_id"])
    assert set(chosen["row_id"]) >= set(sample_of(given, 20)["row_id"])


def test_many_classes_make_the_sample_smaller_and_empty_rows_are_left_out():
    given = pl.DataFrame(
        {"row_id": [f"r{one}" for one in range(3000)], "text": ["x"] * 2999 + [" "], "label": [f"c{one}" for one in range(3000)]}
    )
    assert len(to_classify(given, 10_000)) == MOST_WORK // 3000
    assert len(to_classify(given.tail(10), 10_000)) == 9


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Don't PANIC, ok?", ["don't", "panic", ",", "ok", "?"]), ("好手机 ok", ["好", "手", "机", "ok"]), ("", []), (None, [])],
)
def test_words_are_lower_case_and_characters_without_spaces_are_words(text: str | None, expected: list[str]):
    assert tokens(pl.Series([text], dtype=pl.String))["word"].to_list() == expected


def test_a_bag_has_pairs_of_neighbours_within_a_row_and_rows_of_length_one():
    bag = bag_of_words(pl.Series(["not good", "not good", "good phone", "phone bad"]))
    assert "not good" in bag.words.to_list()
    assert "good not" not in bag.words.to_list()
    assert np.asarray(bag.matrix.multiply(bag.matrix).sum(axis=1)).ravel() == pytest.approx(np.ones(4))


def test_texts_without_a_common_word_give_an_empty_bag():
    assert bag_of_words(pl.Series(["a", "b"])).matrix.nnz == 0
