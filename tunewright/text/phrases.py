"""Phrases by kind, from the tables in `data/`: boilerplate, placeholders, control tokens, refusals.

    spotted(pl.Series(["Hi. Sent from my iPhone"]), phrases("boilerplate"))
    row 0 | kind sent_from | start 4 | end 23 | value "Sent from my iPhone"

One look over all rows for the clues (plain words) finds those worth a second look; the regular expressions see only these.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import polars as pl

SPOTTED: dict[str, type[pl.DataType]] = {"row": pl.UInt32, "kind": pl.String, "start": pl.Int64, "end": pl.Int64, "value": pl.String}


PLAIN = re.compile(r"(?:\\b|\\\W|[^\\()\[\]{}?+*^$.|])+")  # no pattern but for edges of words


@dataclass(frozen=True)
class Phrase:
    """Every text with `form` (a regular expression of Polars) has `clue`, which is cheaper to look for."""

    kind: str
    clue: str
    form: str


@cache
def phrases(name: str) -> tuple[Phrase, ...]:
    """The table `data/NAME.tsv`."""
    lines = (files("tunewright.text") / "data" / f"{name}.tsv").read_text(encoding="utf-8").splitlines()
    table = [line.split("\t") for line in lines if line and not line.startswith("#")]
    return tuple(Phrase(kind, f"(?i:{clue})", f"(?i:{form})") for kind, clue, form in table)


def spotted(texts: pl.Series, table: Sequence[Phrase]) -> pl.DataFrame:
    """The first phrase of each kind in each text: SPOTTED, in order of row and place; `start` and `end` count characters."""
    common = [one.clue for one in table if not one.clue.startswith("(?i:^")]  # an anchor would slow the look for plain words down
    seen = _with_any(texts, common)
    found = [pl.DataFrame(schema=SPOTTED)]
    for one in table:
        held = (seen if one.clue in common else _with(texts, one.clue)).filter(pl.col("text").str.contains(one.clue))
        held = held.filter(pl.col("text").str.contains(one.form))
        if len(held):
            start = pl.col("text").cast(pl.Binary).bin.head(pl.col("text").str.find(one.form)).cast(pl.String).str.len_chars()
            placed = held.select("row", kind=pl.lit(one.kind), start=start.cast(pl.Int64), value=pl.col("text").str.extract(one.form, 0))
            found.append(placed.with_columns(end=pl.col("start") + pl.col("value").str.len_chars()).select(list(SPOTTED)))
    return pl.concat(found).sort("row", "start").unique(["row", "kind"], keep="first", maintain_order=True)


def _with_any(texts: pl.Series, clues: Sequence[str]) -> pl.DataFrame:
    """Rows with one of several clues. Clues that are plain words are looked for all at once, twenty times as fast as by a pattern."""
    words = [word for clue in clues for word in clue.removeprefix("(?i:").removesuffix(")").split("|")]
    if not all(clue.startswith("(?i:") for clue in clues) or not all(map(PLAIN.fullmatch, words)):
        return _with(texts, "|".join(clues))
    words = [re.sub(r"\\b|\\(?=\W)", "", word) for word in words]
    some = texts.str.contains_any(words, ascii_case_insensitive=True).fill_null(False).arg_true()
    return pl.DataFrame({"row": some.cast(pl.UInt32), "text": texts.gather(some).cast(pl.String)})


def _with(texts: pl.Series, clue: str) -> pl.DataFrame:
    """Rows (their numbers) and texts with the clue."""
    some = texts.str.contains(clue).fill_null(False).arg_true()
    return pl.DataFrame({"row": some.cast(pl.UInt32), "text": texts.gather(some).cast(pl.String)})
