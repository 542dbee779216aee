"""What several checks need: the duplicate join of the rows at hand (made once) and excerpts."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from tunewright.text.neardup import TextJoin

EXCERPT = 200
_last: list[tuple[weakref.ref[pl.DataFrame], TextJoin]] = []


def joined(rows: pl.DataFrame) -> TextJoin:
    """The duplicate join of `rows`; the last one is remembered as long as its frame lives."""
    from tunewright.text.neardup import TextJoin

    if not _last or _last[0][0]() is not rows:
        _last[:] = [(weakref.ref(rows, lambda _: _last.clear()), TextJoin(rows["text"]))]
    return _last[0][1]


def excerpt(text: str = "text") -> pl.Expr:
    """The beginning of a text column, on one line."""
    shown = pl.col(text).str.head(EXCERPT + 100).str.replace_all(r"\s+", " ").str.strip_chars()
    return pl.when(shown.str.len_chars() > EXCERPT).then(shown.str.head(EXCERPT) + "…").otherwise(shown)
