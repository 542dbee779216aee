"""Positive, negative or neither: the tone of English texts from a list of rated words, without a model.

    tone_of(pl.Series(["I love it", "not good at all", "it is a phone"]))       # [1, -1, null]

A word's tone is turned round when one of the three words before it negates it; a text's tone is the sum of its words'. The list
is VADER's (Hutto & Gilbert 2014; `data/tone.tsv` holds its licence). It measures groups of texts, not single ones: irony escapes
it. Null stands for a text without any word of the list, as most texts of another language are.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import polars as pl

LONGEST = 2_000
MILD = 0.5  # a sum up to this is no tone
TURNED = -0.74  # what is left of a negated word's tone, as VADER's authors measured it
REACH = 3  # words that a negation reaches
WORD = r"[\p{L}\p{M}]+(?:['’][\p{L}\p{M}]+)*|[^\w\s]+"
NEGATION = (
    r"^(?:not|no|never|none|nor|nothing|nowhere|neither|cannot|without|hardly|rarely|seldom|despite|aint|arent|cant|couldnt|didnt|"
    r"doesnt|dont|hadnt|hasnt|havent|isnt|shouldnt|wasnt|werent|wont|wouldnt)$|n['’]t$"
)


def tone_of(texts: pl.Series) -> pl.Series:
    """1, 0 or -1 for each text, null where no word of the list stands in it."""
    words = texts.fill_null("").str.head(LONGEST).str.to_lowercase().str.extract_all(WORD).alias("word").to_frame()
    single = words.with_row_index("row").explode("word", empty_as_null=True).drop_nulls("word")
    single = single.with_columns(turns=pl.col("word").str.contains(NEGATION))
    before = [pl.col("turns").shift(steps) & (pl.col("row") == pl.col("row").shift(steps)) for steps in range(1, REACH + 1)]
    single = single.with_columns(turned=pl.any_horizontal(before).fill_null(False))
    rated = single.join(lexicon(), on="word").filter(~pl.col("turns"))
    toned = rated.with_columns(tone=pl.when("turned").then(pl.col("tone") * TURNED).otherwise("tone"))
    sums = toned.group_by("row").agg(pl.col("tone").sum())
    sign = pl.when(pl.col("tone") > MILD).then(1).when(pl.col("tone") < -MILD).then(-1).when(pl.col("tone").is_not_null()).then(0)
    rows = pl.DataFrame({"row": range(len(texts))}, schema={"row": pl.UInt32})
    return rows.join(sums, on="row", how="left", maintain_order="left").select(tone=sign.cast(pl.Int8)).to_series()


@cache
def lexicon() -> pl.DataFrame:
    """(word, tone) of every rated word."""
    text = files("tunewright.text").joinpath("data", "tone.tsv").read_bytes()
    return pl.read_csv(text, separator="\t", comment_prefix="#", quote_char=None, schema={"word": pl.String, "tone": pl.Float64})
