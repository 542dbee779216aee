"""Repairs mend what they are for and leave everything else alone."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewright.core.recipe import DataSettings
from tunewright.text.checksums import luhn
from tunewright.text.groups import leak_groups
from tunewright.text.labels import spellings
from tunewright.text.pii import STRONG, find, masked, redact
from tunewright.text.repair import Repair, changed_part, decode_again, mend


@pytest.mark.parametrize(
    ("repair", "before", "after"),
    [
        ("encoding", "itâ€™s naÃ¯ve", "it’s naïve"),
        ("encoding", "I\u0092m gone", "I’m gone"),
        ("encoding", "ä½\xa0å¥½", "你好"),
        ("encoding", "it’s naïve – “déjà vu”, ﬁne, ＡＢＣ, e\u0301", "it’s naïve – “déjà vu”, ﬁne, ＡＢＣ, e\u0301"),
        ("html_entities", "A &amp; B &lt;3 &#39;x&#x27;", "A & B <3 'x'"),
        ("html_entities", "double &amp;#38; &amp;amp; twice", "double & & twice"),
        ("html_entities", "go to /a?b=1&copy=2&reg=3 with &friends; AT&T;", "go to /a?b=1&copy=2&reg=3 with &friends; AT&T;"),
        ("html_tags", "<p class='x'>one<br/>two</p> 1 <2> <name> <3", " one two  1 <2> <name> <3"),
        ("control_characters", "a\x00b\ufeffc\u200bd\te\nf 👩\u200d👧 \x85", "abcd\te\nf 👩\u200d👧 \x85"),
        ("white_space", "  a \t b\u00a0c \n\n\n\n d  ", "a b c\n\nd"),
    ],
)
def test_a_repair_mends_its_damage_and_nothing_else(repair: Repair, before: str, after: str):
    assert mend(repair, pl.Series([before, None, "plain"])).to_list() == [after, None, "plain"]


def test_a_wrongly_read_chinese_page_is_not_half_mended():
    assert decode_again("¤£¦n·N«ä¥´ÅÍ±z¡I¦pªG") == ("¤£¦n·N«ä¥´ÅÍ±z¡I¦pªG", [])


@given(st.text(max_size=80), st.text(max_size=80))
def test_the_changed_part_is_where_two_texts_differ(before: str, after: str):
    start, end, shown = changed_part(before, after)
    assert 0 <= start <= end <= len(before)
    assert " → " in shown


def test_the_commonest_spelling_of_a_label_wins_and_equal_ones_by_alphabet():
    assert spellings(pl.Series("label", ["Yes", "yes", "yes", " YES", "no", "No"])) == {
        "yes": "yes",
        "Yes": "yes",
        " YES": "yes",
        "No": "No",
        "no": "No",
    }


@pytest.mark.parametrize(("digits", "valid"), [("4111111111111111", True), ("79927398713", True), ("79927398710", False)])
def test_luhn(digits: str, valid: bool):
    assert luhn(digits) is valid


@given(st.text(alphabet="ab1@.+- ()0456789x\u00e9🙂", max_size=60))
def test_finds_lie_in_the_text_in_order_and_apart(text: str):
    found = find(pl.Series([text]))
    end = 0
    for row in found.iter_rows(named=True):
        assert row["start"] >= end
        assert text[row["start"] : row["end"]] == row["value"]
        end = row["end"]


def test_redacted_text_has_no_sure_find_left_and_says_what_went():
    text = "🙂 jo@firm.example and al@firm.example, +44 20 7946 0958, part 123-45-6789"
    done = redact(pl.Series(["nothing", text, None]))
    redacted = "🙂 <EMAIL> and <EMAIL>, <PHONE>, part 123-45-6789"
    assert done.rows() == [("nothing", None), (redacted, "email 2, phone 1"), (None, None)]
    assert find(done["text"]).filter(pl.col("confidence") >= STRONG).is_empty()


def test_a_masked_value_shows_only_its_form():
    assert masked("jo@firm.com") == "j•@••••.•••"


def test_groups_join_near_texts_and_equal_columns_in_chains():
    rows = pl.DataFrame(
        {
            "text": ["one two three four five", "one two three four six", "alone here", "far away", "quite another"],
            "thread": ["a", "b", "b", None, ""],
            "source": ["rows.csv"] * 5,
            "source_": ["1", "2", "3", "4", "4"],
        }
    )

    def groups(*columns: str) -> list[int]:
        return leak_groups(rows, DataSettings(path="rows.csv", groups=list(columns)), 0.3).tolist()

    assert groups() == [0, 0, 1, 2, 3]
    assert groups("thread") == [0, 0, 0, 1, 2]
    assert groups("thread", "source") == [0, 0, 0, 1, 1], "the file's own column, which is stored as source_"
