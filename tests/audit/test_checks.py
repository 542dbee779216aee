"""Each check finds what was planted for it, names the rows, and is quiet on rows without fault."""

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from tunewright.core import plugins
from tunewright.core.parts import Check, Look
from tunewright.testing.rows import shaped

CleanRows = Callable[[int], pl.DataFrame]
Rows = Callable[[list[str | None], list[str]], pl.DataFrame]
LONG = "one word after the other goes on and on " * 40


def found_by(name: str, rows: pl.DataFrame, look: Look, **settings: object) -> pl.DataFrame:
    check: Check = plugins.build("checks", {"name": name, **settings})
    found = check.run(shaped(rows, check.needs), look)
    return found if len(found.columns) else pl.DataFrame(schema={"row_id": pl.String, "evidence": pl.String})


@pytest.mark.parametrize("name", plugins.names("checks"))
def test_no_check_complains_about_clean_rows(name: str, clean: pl.DataFrame, look: Look):
    assert found_by(name, clean, look).is_empty()


PLANTED: list[tuple[str, list[str | None], list[str], list[str]]] = [
    ("exact_duplicates", ["Great phone, love it", "GREAT  phone, love\u00a0it", "No"], ["a", "a", "b"], ["r1"]),
    ("near_duplicates", ["we love this phone very much indeed", "we love this phone very much", "No"], ["a", "a", "b"], ["r1"]),
    ("conflicting_labels", ["Sure.", "sure.", "fine", "fine", "no"], ["a", "b", "a", "A ", "b"], ["r0", "r1"]),
    ("empty_text", ["", None, " \n\u200b\u00a0", "x"], ["a"] * 4, ["r0", "r1", "r2"]),
    ("short_text", ["Nice phone", "好", "这个手机很好用", "a text of words", ""], ["a"] * 5, ["r0", "r1"]),
    ("long_text", [LONG, "a short one"], ["a", "b"], ["r0"]),
    (
        "encoding_damage",
        ["itâ€™s fine", "it’s naïve – déjà vu", "lost \ufffd here", "I\u0092m gone", "Ünïcödé"],
        ["a"] * 5,
        ["r0", "r2", "r3"],
    ),
    (
        "html_remnants",
        ["A &amp; B", "one<br />two", "I <3 you &friends; a<b", "AT&T; R&D;", "use <name> here", "x &#39;y"],
        ["a"] * 6,
        ["r0", "r1", "r5"],
    ),
]


@pytest.mark.parametrize(("name", "texts", "labels", "expected"), PLANTED, ids=[one[0] for one in PLANTED])
def test_a_row_check_names_exactly_the_planted_rows(
    name: str, texts: list[str | None], labels: list[str], expected: list[str], rows_of: Rows, look: Look
):
    assert found_by(name, rows_of(texts, labels), look)["row_id"].sort().to_list() == expected


def test_exact_and_near_duplicates_share_the_rows_between_them(rows_of: Rows, look: Look):
    base = "the battery of this phone lasts for two whole days"
    rows = rows_of([base, base.upper(), base + " and more", base + " and a night", "nothing like it at all"], ["a"] * 5)
    assert found_by("exact_duplicates", rows, look)["row_id"].to_list() == ["r1"]
    near = found_by("near_duplicates", rows, look)
    assert near.select("row_id", "related_row_id", "severity").rows() == [("r2", "r0", "warning"), ("r3", "r0", "warning")]
    assert near["score"].to_list() == [pytest.approx(8 / 10), pytest.approx(8 / 11)]


def test_a_near_duplicate_with_another_label_is_shown_for_review_and_not_for_dropping(rows_of: Rows, look: Look):
    rows = rows_of(["I would buy this phone again any day", "I would not buy this phone again any day"], ["good", "bad"])
    near = found_by("near_duplicates", rows, look)
    assert near.select("severity", "suggested_fix").rows() == [("info", "review")]
    assert near["evidence"][0].startswith("labelled bad, the other good: ")


def test_encoding_evidence_points_at_the_place_and_shows_before_and_after(rows_of: Rows, look: Look):
    text = "They said itâ€™s broken"
    found = found_by("encoding_damage", rows_of([text], ["a"]), look).row(0, named=True)
    assert text[found["start"] : found["end"]] == "â€™"
    assert "itâ€™s broken → " in found["evidence"]
    assert "it’s broken" in found["evidence"]


PERSONAL = {
    "write to jo.doe+x@mail.firm.example please": ("email", "jo.doe+x@mail.firm.example"),
    "call (212) 867-5309 now": ("phone", "(212) 867-5309"),
    "ring +44 20 7946 0958.": ("phone", "+44 20 7946 0958"),
    "pay 4111 1111 1111 1111 today": ("card", "4111 1111 1111 1111"),
    "pay 4111 1111 1111 1112 today": None,
    "my IBAN is GB82 WEST 1234 5698 7654 32": ("iban", "GB82 WEST 1234 5698 7654 32"),
    "my IBAN is GB83 WEST 1234 5698 7654 32": None,
    "his SSN: 123-45-6789": ("ssn", "123-45-6789"),
    "order 000-12-3456 of 2002-08-22, 10.000.000 pieces": None,
    "see 8.8.8.8": ("ip_address", "8.8.8.8"),
    "version 1.2.3.4, 192.168.1.1, 300.1.1.1": None,
    "ratio 1234-5678-9012, isbn 0-672-31995-5": None,
}


@pytest.mark.parametrize("text", PERSONAL)
def test_personal_data_is_told_from_numbers_that_look_like_it(text: str, rows_of: Rows, look: Look):
    found = found_by("personal_data", rows_of([text], ["a"]), look)
    expected = PERSONAL[text]
    if expected is None:
        assert found.is_empty()
        return
    kind, value = expected
    row = found.row(0, named=True)
    assert text[row["start"] : row["end"]] == value
    assert row["evidence"].startswith(f"{kind}: ")
    assert value not in row["evidence"], "evidence must not spread the data that it warns of"


def test_a_doubtful_number_is_only_mentioned(rows_of: Rows, look: Look):
    found = found_by("personal_data", rows_of(["part 123-45-6789 fits", "his SSN is 123-45-6789", "order 2128675309"], ["a"] * 3), look)
    assert found["severity"].to_list() == ["info", "warning", "info"]


def test_allowed_values_are_nobodys_secret(rows_of: Rows, look: Look):
    rows = rows_of(["help@ourfirm.com or jo@home.example"], ["a"])
    found = found_by("personal_data", rows, look, allow=["@ourfirm.com"])
    assert len(found) == 1
    assert found["start"][0] == 20


def test_imbalance_and_thin_classes_are_named_with_their_numbers(rows_of: Rows, look: Look):
    labels = ["many"] * 60 + ["few"] * 4 + ["none"]
    rows = rows_of([f"text {one}" for one in range(65)], labels)
    imbalance = found_by("class_imbalance", rows, look).row(0, named=True)
    assert imbalance["severity"] == "warning"
    assert "'many' has 60 rows, 60.0 times as many as 'none' (1)" in imbalance["evidence"]
    thin = found_by("too_few_rows", rows, look)
    assert thin["severity"].to_list() == ["error", "warning"]
    assert "'none' has 1 rows, but train, validation and test need one each" in thin["evidence"][0]


def test_a_single_class_is_an_error(rows_of: Rows, look: Look):
    found = found_by("too_few_rows", rows_of([f"text {one}" for one in range(40)], ["only"] * 40), look)
    assert found.select("severity", "evidence").rows() == [("error", "every row is labelled 'only': there is nothing to tell apart")]


def test_spellings_of_one_label_are_named(rows_of: Rows, look: Look):
    rows = rows_of(["x"] * 6, ["Positive", "Positive", "positive ", "ＰＯＳＩＴＩＶＥ", "negative", "negative"])
    assert (
        sorted(one.split(" is ")[1] for one in found_by("label_spelling", rows, look)["evidence"])
        == ["'Positive' (2 rows) written differently"] * 2
    )


def test_a_word_that_gives_the_label_away_is_named(clean: pl.DataFrame, look: Look):
    marked = clean.with_columns(pl.when(pl.col("label") == "bad").then(pl.col("text") + " ticket-closed").otherwise("text").alias("text"))
    found = found_by("leaking_label", marked, look)
    assert len(found) == 1
    assert "ticket-closed stands in 100% of the rows labelled bad" in found["evidence"][0]


def test_a_label_of_several_words_in_the_text_is_named(clean: pl.DataFrame, look: Look):
    named = clean.with_columns(label=pl.col("label").replace({"bad": "Not Good At All"}))
    named = named.with_columns(
        pl.when(pl.col("label") != "good").then("Answer: not good at all. " + pl.col("text")).otherwise("text").alias("text")
    )
    assert any("not good at all stands in 100%" in one for one in found_by("leaking_label", named, look)["evidence"])


def test_flipped_labels_are_ranked_first_and_never_more_than_asked_for(clean_rows: CleanRows, look: Look):
    clean = clean_rows(600)
    flipped = [f"r{one}" for one in range(7, 600, 31)]
    other = pl.col("label").replace({"good": "bad", "bad": "good"})
    noisy = clean.with_columns(label=pl.when(pl.col("row_id").is_in(flipped)).then(other).otherwise("label"))
    found = found_by("label_noise", noisy, look)
    assert set(found["row_id"]) <= set(flipped)
    assert len(found) >= len(flipped) / 3
    assert found["score"].is_sorted(descending=True)
    assert found["evidence"].str.contains("^labelled (good, looks bad|bad, looks good) ").all()
    assert len(found_by("label_noise", noisy, look, most=0.005)) == 3


def test_copies_of_a_wrong_row_cannot_vouch_for_each_other(clean_rows: CleanRows, rows_of: Rows, look: Look):
    clean = clean_rows(300)
    copies = rows_of(["love excellent happy wonderful pleased great"] * 5, ["bad"] * 5)
    copies = copies.with_columns(row_id="copy" + pl.col("row_id"))
    assert set(copies["row_id"]) <= set(found_by("label_noise", pl.concat([clean, copies]), look)["row_id"])


def test_label_doubts_are_those_of_cleanlab():
    filter_ = pytest.importorskip("cleanlab.filter")
    from tunewright.audit.checks.label_noise import doubts

    draw = np.random.default_rng(5)
    given = draw.integers(0, 4, 500)
    believed = draw.dirichlet(np.ones(4), 500)
    believed[np.arange(500), given] += draw.random(500)
    believed /= believed.sum(axis=1, keepdims=True)
    expected = filter_.find_label_issues(given, believed, filter_by="confident_learning", n_jobs=1)
    assert doubts(given, believed)[0].tolist() == np.flatnonzero(expected).tolist()


GERMAN = "Ich habe das Telefon gestern gekauft und bin mit der Batterie überhaupt nicht zufrieden gewesen"


def test_a_row_in_another_language_is_named(rows_of: Rows, look: Look):
    english = [f"I bought this phone {one} days ago and the battery does not last as long as they said" for one in range(30)]
    found = found_by("language", rows_of([*english, GERMAN, "Ja"], ["a"] * 32), look)
    assert found["row_id"].to_list() == ["r30"]
    assert found["evidence"][0].startswith("de: ")


def test_rows_in_two_languages_are_one_finding_about_the_data(rows_of: Rows, look: Look):
    english = "I bought this phone yesterday and the battery does not last as long as they said"
    found = found_by("language", rows_of([english, GERMAN] * 10, ["a"] * 20), look)
    assert found["evidence"].to_list() == ["several languages: de 50%, en 50% of 20 rows looked at"]


def test_long_text_counts_tokens_of_the_models_own_prompt(rows_of: Rows, look: Look):
    from tunewright.models.chat import ChatFormat

    room = ChatFormat(look.tokenizer(), None, None, 256, labels=["a", "b"]).room
    texts = ["good " * number + "end" for number in range(1, 200)]
    lengths = [len(ids) for ids in look.tokenizer()(texts, add_special_tokens=False)["input_ids"]]
    fits = max(one for one, length in enumerate(lengths) if length <= room)
    found = found_by("long_text", rows_of([texts[fits], texts[fits + 1]], ["a", "b"]), look)
    assert found["row_id"].to_list() == ["r1"]
    assert found["evidence"][0].startswith(f"{lengths[fits + 1]} tokens where {room} fit: good good")


@pytest.mark.parametrize("texts", [[chr(0x4E00 + one) * 5 for one in range(60)], ["🙂"] * 60, [f"w{one}" for one in range(60)]])
def test_rows_without_common_words_are_no_crash(texts: list[str | None], rows_of: Rows, look: Look):
    assert found_by("label_noise", rows_of(texts, ["a", "b"] * 30), look).columns


def test_rows_that_all_belong_together_are_not_doubted():
    from tunewright.audit.checks.label_noise import doubts
    from tunewright.text.quick import out_of_sample

    given = np.array([0, 1] * 10)
    believed = out_of_sample(np.random.default_rng(0).normal(size=(20, 3)), given, 2, np.zeros(20), 5)
    assert len(doubts(given, believed)[0]) == 0
