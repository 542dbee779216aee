"""The bias audit: planted skew is found with its group, chance is not, and small groups are shown and not judged."""

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from tunewright.core import plugins
from tunewright.core.errors import DataError
from tunewright.core.parts import Look

CleanRows = Callable[[int], pl.DataFrame]


def audited(
    name: str, rows: pl.DataFrame, look: Look, slices: list[str], groups: list[str] | None = None, **settings: object
) -> pl.DataFrame:
    data = look.recipe.data.model_copy(update={"slices": slices, "groups": groups or []})
    there = Look(look.recipe.model_copy(update={"data": data}), look.report, look.executor, look.tokenizer)
    return plugins.build("checks", {"name": name, **settings}).run(rows, there)


def with_region(rows: pl.DataFrame, seed: int = 0) -> pl.DataFrame:
    return rows.with_columns(region=pl.Series(np.random.default_rng(seed).choice(["north", "south", "west"], len(rows))))


@pytest.mark.parametrize("name", ["group_representation", "label_skew", "tone_skew", "group_errors"])
def test_groups_drawn_by_chance_are_alike(name: str, clean_rows: CleanRows, look: Look):
    assert audited(name, with_region(clean_rows(600)), look, ["region"]).is_empty()


@pytest.mark.parametrize("name", ["group_representation", "label_skew", "group_errors"])
def test_without_declared_slices_nothing_is_compared(name: str, clean_rows: CleanRows, look: Look):
    assert audited(name, with_region(clean_rows(200)), look, []).is_empty()


def test_a_column_that_is_not_there_is_named(clean_rows: CleanRows, look: Look):
    with pytest.raises(DataError, match="data.slices: the rows have no column 'regoin'"):
        audited("label_skew", with_region(clean_rows(50)), look, ["regoin"])


def test_small_groups_are_named_and_too_small_ones_are_not_judged(clean_rows: CleanRows, look: Look):
    region = ["north"] * 930 + ["south"] * 60 + ["west"] * 10
    rows = clean_rows(1000).with_columns(region=pl.Series(region), label=pl.Series(["bad"] * 990 + ["good"] * 10))
    few = audited("group_representation", rows, look, ["region"])
    assert few["evidence"].to_list() == [
        "region=south has 60 of 1000 rows (6.0%)",
        "region=west has 10 of 1000 rows (1.0%): too few to judge, so it is only shown",
    ]
    assert not audited("label_skew", rows, look, ["region"])["evidence"].str.contains("west").any()


def test_another_mix_of_labels_is_found_with_its_interval(clean_rows: CleanRows, look: Look):
    rows = with_region(clean_rows(900))
    skewed = rows.filter((pl.col("region") != "west") | (pl.col("label") == "bad"))
    found = audited("label_skew", skewed, look, ["region"])
    assert "region=west: 100% are labelled bad (98 to 100%)" in found["evidence"][0]
    assert found["field"].to_list() == ["region"] * len(found)


def test_rows_that_belong_together_are_one_case_and_not_many(clean_rows: CleanRows, look: Look):
    rows = with_region(clean_rows(900))
    rows = rows.with_columns(region=pl.when(pl.int_range(pl.len()) < 100).then(pl.lit("east")).otherwise("region"))
    rows = rows.with_columns(label=pl.when(pl.col("region") == "east").then(pl.lit("bad")).otherwise("label"))
    author = pl.when(pl.col("region") == "east").then(pl.lit("ann")).otherwise(pl.col("row_id"))
    alone = audited("label_skew", rows, look, ["region"])
    together = audited("label_skew", rows.with_columns(author=author), look, ["region"], groups=["author"])
    assert "east" in alone["evidence"].str.join("\n")[0]
    assert together.is_empty() or "east" not in together["evidence"].str.join("\n")[0]


def complaints(number: int) -> list[str]:
    draw = np.random.default_rng(1)
    return [
        f"the {draw.choice(['phone', 'shop', 'box'])} is {draw.choice(['terrible', 'awful', 'broken', 'useless'])}" for _ in range(number)
    ]


def test_a_data_set_of_complaints_is_a_warning(clean_rows: CleanRows, look: Look):
    rows = clean_rows(300).with_columns(text=pl.Series(complaints(300)))
    found = audited("tone_skew", rows, look, [])
    assert found["severity"].to_list() == ["warning"]
    assert "of those with a tone 100% are negative" in found["evidence"][0]


def test_a_group_that_complains_is_named(clean_rows: CleanRows, look: Look):
    rows = with_region(clean_rows(600))
    loud = pl.when(pl.col("region") == "west").then(pl.Series(complaints(600))).otherwise("text")
    found = audited("tone_skew", rows.with_columns(text=loud), look, ["region"])
    assert any(said.startswith("region=west: text sounds negative in 100%") for said in found["evidence"])


def test_texts_in_another_language_have_no_tone_here(clean_rows: CleanRows, look: Look):
    rows = clean_rows(200).with_columns(text=pl.lit("das Gerät kam am Montag an"))
    assert audited("tone_skew", rows, look, []).is_empty()


def noisy(rows: pl.DataFrame, where: pl.Expr, seed: int = 5) -> pl.DataFrame:
    """Half of the labels of some rows are drawn by chance."""
    other = pl.when(pl.col("label") == "good").then(pl.lit("bad")).otherwise(pl.lit("good"))
    drawn = pl.Series(np.random.default_rng(seed).random(len(rows)) < 0.5)
    return rows.with_columns(label=pl.when(where & drawn).then(other).otherwise("label"))


def test_a_group_with_noisy_labels_errs_more(clean_rows: CleanRows, look: Look):
    rows = noisy(with_region(clean_rows(900)), pl.col("region") == "west")
    found = audited("group_errors", rows, look, ["region"])
    assert len(found) == 1
    assert found["evidence"][0].startswith("region=west: the quick classifier gets ")


def test_a_slice_nobody_named_is_found_by_its_word(clean_rows: CleanRows, look: Look):
    rows = noisy(clean_rows(2000), pl.col("text").str.contains("garden"))
    found = audited("found_slices", rows, look, [])
    assert found["evidence"].str.contains("with 'garden'").any()
    assert found["evidence"].str.contains("garden").all(), "nothing else is wrong with these rows"


def test_slices_found_by_luck_rarely_pass_the_other_half(clean_rows: CleanRows, look: Look):
    third = pl.int_range(pl.len()) % 3 == 0
    rows = clean_rows(1000)
    passed = [not audited("found_slices", noisy(rows, third, seed), look, []).is_empty() for seed in range(8)]
    assert sum(passed) <= 1
