"""What several checks need of the same rows, made once: the duplicate join, sizes; and excerpts."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

import polars as pl

from tunewright.core.rows import content

if TYPE_CHECKING:
    from tunewright.text.neardup import TextJoin

EXCERPT = 200
Made = TypeVar("Made")


@dataclass
class _Once:
    lock: Lock = field(default_factory=Lock)
    made: list[Any] = field(default_factory=list)


_frames: dict[int, dict[str, _Once]] = {}
_lock = Lock()


def once(rows: pl.DataFrame, name: str, make: Callable[[pl.DataFrame], Made]) -> Made:
    """`make(rows)`, made by the first check that asks and given to the others, as long as this frame lives."""
    with _lock:
        if id(rows) not in _frames:
            _frames[id(rows)] = {}
            weakref.finalize(rows, _frames.pop, id(rows), None).atexit = False
        entry = _frames[id(rows)].setdefault(name, _Once())
    with entry.lock:
        if not entry.made:
            entry.made.append(make(rows))
    made: Made = entry.made[0]
    return made


def forget() -> None:
    """Free what `once` holds; the frames themselves may live on."""
    with _lock:
        for entries in _frames.values():
            entries.clear()


def joined(rows: pl.DataFrame) -> TextJoin:
    """The duplicate join of `rows`, by text and free-text answer."""

    def make(rows: pl.DataFrame) -> TextJoin:
        from tunewright.text.neardup import TextJoin

        return TextJoin(content(rows))

    return once(rows, "joined", make)


def excerpt(text: str = "text") -> pl.Expr:
    """The beginning of a text column, on one line."""
    shown = pl.col(text).str.head(EXCERPT + 100).str.replace_all(r"\s+", " ").str.strip_chars()
    return pl.when(shown.str.len_chars() > EXCERPT).then(shown.str.head(EXCERPT) + "…").otherwise(shown)
