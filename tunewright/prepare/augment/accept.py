"""Which new texts may stay; of chats it is what the user says. Each that may not has one reason, the first of these that holds:

no_answer          the model or the translator gave nothing, or the text is empty
refusal            the model says that it cannot help, and the parent says nothing of the kind
length             much shorter or longer than its parent
lost_piece         code, a quotation, a link or a number of its parent is missing, which the answer may be about
repeats_parent     the parent's own words (case and white space apart)
new_personal_data  an address or a number that the parent does not have
duplicate          the words of another training row, or of another new one
near_test          the words, or nearly the words, of a row of validation or test: it would leak
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import polars as pl

from tunewright.text.neardup import TextJoin
from tunewright.text.pii import STRONG, find
from tunewright.text.repair import empty

DATA = Path(__file__).with_name("data")
SLACK = 20  # characters by which any text may differ from its parent


def reasons(new: pl.DataFrame, rows: pl.Series, held_out: pl.DataFrame, threshold: float, ratio: float) -> pl.Series:
    """For each of `new` why it may not stay, or null.

    new: what the user `said` and `parent_said`, the `whole` row (that and its answer), whether a piece got `lost`. `rows` are whole
    training rows, held_out (said, whole) those of validation and test; `threshold` is the Jaccard similarity from which on two are near.
    """
    size, usual = pl.col("said").str.len_chars(), pl.col("parent_said").str.len_chars()
    bounds = (size * ratio + SLACK < usual) | (size > usual * ratio + SLACK)
    simple = new.select(
        pl.when(empty(pl.col("said"))).then(pl.lit("no_answer"))
        .when(pl.col("said").str.contains(refusals()) & ~pl.col("parent_said").str.contains(refusals()).fill_null(False)).then(pl.lit("refusal"))
        .when(bounds).then(pl.lit("length"))
        .when("lost").then(pl.lit("lost_piece"))
        .alias("reason")
    ).to_series()  # fmt: skip
    texts, whole = new["said"].fill_null(""), new["whole"].fill_null("")
    same = TextJoin(pl.concat([new["parent_said"].fill_null(""), texts])).first
    repeats = pl.Series(same[len(new) :] == same[: len(new)])
    found = pl.DataFrame({"reason": simple, "repeats": repeats, "personal": _personal(texts, new["parent_said"])})
    near = _near(texts, held_out["said"].fill_null(""), threshold)
    if not whole.equals(texts):
        near |= _near(whole, held_out["whole"].fill_null(""), threshold)
    found = found.with_columns(_known(whole, rows.fill_null("")), near)
    return found.select(
        pl.when(pl.col("reason").is_not_null()).then("reason")
        .when("repeats").then(pl.lit("repeats_parent"))
        .when("personal").then(pl.lit("new_personal_data"))
        .when("near").then(pl.lit("near_test"))
        .when("known").then(pl.lit("duplicate"))
    ).to_series()  # fmt: skip


@cache
def refusals() -> str:
    """A pattern for texts in which a model declines."""
    lines = (DATA / "refusals.txt").read_text(encoding="utf-8").splitlines()
    return "(?i)" + "|".join(line for line in lines if line and not line.startswith("#"))


def _personal(texts: pl.Series, parents: pl.Series) -> pl.Series:
    """True where a text holds personal data that its parent does not hold."""
    found = find(texts).filter(pl.col("confidence") >= STRONG)
    fresh = [row for row, value in found.select("row", "value").iter_rows() if value not in (parents[row] or "")]
    places = np.zeros(len(texts), dtype=bool)
    places[fresh] = True
    return pl.Series(places)


def _known(texts: pl.Series, others: pl.Series) -> pl.Series:
    """True where a text repeats a training row, or a new text before it."""
    first = TextJoin(pl.concat([others, texts])).first[len(others) :]
    return pl.Series("known", first != np.arange(len(others), len(others) + len(texts)))


def _near(texts: pl.Series, held_out: pl.Series, threshold: float) -> pl.Series:
    """True where a text is near a row that was held out."""
    near = np.zeros(len(texts), dtype=bool)
    if len(held_out) and len(texts):
        pairs = TextJoin(pl.concat([held_out, texts])).pairs(threshold)
        across = pairs.filter((pl.col("left") < len(held_out)) & (pl.col("right") >= len(held_out)))
        near[across["right"].to_numpy() - len(held_out)] = True
        copies = TextJoin(pl.concat([held_out, texts])).first[len(held_out) :]
        near |= copies < len(held_out)
        same = np.where(copies >= len(held_out), copies - len(held_out), 0)
        near |= near[same] & (copies >= len(held_out))  # a copy of a near text stands in no pair of its own
    return pl.Series("near", near)
