"""Tone by a word list: negation turns it, smileys count, and texts without a rated word are not judged."""

import polars as pl
import pytest

from tunewright.text.tone import lexicon, tone_of


@pytest.mark.parametrize(
    ("text", "tone"),
    [
        ("I love this phone", 1),
        ("This is TERRIBLE", -1),
        ("not good at all", -1),
        ("I don't like it", -1),
        ("I want a good one", 1),
        ("we went home :)", 1),
        ("the order came on Monday", None),
        ("", None),
        (None, None),
    ],
)
def test_a_text_has_the_tone_of_its_words(text: str | None, tone: int | None):
    assert tone_of(pl.Series([text], dtype=pl.String)).to_list() == [tone]


def test_a_negation_does_not_reach_into_the_next_row():
    assert tone_of(pl.Series(["I said no", "good phone"])).to_list() == [None, 1]


def test_the_list_names_its_source_and_has_no_word_twice():
    assert lexicon()["word"].is_duplicated().sum() == 0
    assert len(lexicon()) > 7_000
