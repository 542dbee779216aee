"""Well-formed csv at the speed of Polars. A block of bytes is well-formed when every quote opens at the start of a field, closes at its end
or is doubled inside, every record has the header's number of fields, and nothing in it is open to interpretation; then, and only then,
Polars and Python's csv module read the same, and the line of each record follows from counting line ends.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import polars as pl

_NEWLINE, _RETURN, _QUOTE = 10, 13, 34
_Bytes = np.ndarray[Any, np.dtype[np.uint8]]
_Places = np.ndarray[Any, np.dtype[np.int64]]


def read_block(block: bytes, header: list[str], delimiter: str, limit: int, ended: bool) -> tuple[pl.DataFrame, _Places, int, int] | None:
    """The whole records at the front of `block`: frame, line of each (the first line is 0), bytes used, line ends in them.
    None when the block is not well-formed, or holds no whole record."""
    if ended and not block.endswith(b"\n"):
        block += b"\n"
    if b"\0" in block or block.startswith(b"\xef\xbb\xbf") or (b"\r" in block and block.count(b"\r") != block.count(b"\r\n")):
        return None
    letters = np.frombuffer(block, np.uint8)
    marks = np.flatnonzero((letters == ord(delimiter)) | (letters == _NEWLINE) | (letters == _QUOTE))
    kinds = letters[marks]
    quotes = kinds == _QUOTE
    inside = (np.cumsum(quotes, dtype=np.int32) & 1).astype(bool)
    newlines = kinds == _NEWLINE
    outer = ~quotes & ~inside
    last = np.flatnonzero(newlines & outer)
    if not len(last):
        return None
    stop = int(last[-1]) + 1
    marks, kinds, quotes = marks[:stop], kinds[:stop], quotes[:stop]
    inside, newlines, outer = inside[:stop], newlines[:stop], outer[:stop]
    ends = marks[newlines & outer]
    used = int(ends[-1]) + 1
    if not _even(kinds[outer], len(header)) or not _sizes_fit(letters, ends, len(header), limit):
        return None
    if not _quotes_fit(letters, marks[quotes & inside], marks[quotes & ~inside], ord(delimiter)):
        return None
    frame = _parse(block[:used], header, delimiter)
    if frame is None or len(frame) != len(ends):
        return None
    every = marks[newlines]
    lines = np.zeros(len(ends), np.int64)
    lines[1:] = np.searchsorted(every, ends[:-1], side="right") if len(every) != len(ends) else np.arange(1, len(ends))
    return frame, lines, used, len(every)


def _even(separators: _Bytes, width: int) -> bool:
    """Every record has `width` fields."""
    ends = np.flatnonzero(separators == _NEWLINE)
    return bool((np.diff(ends, prepend=-1) == width).all())


def _sizes_fit(letters: _Bytes, ends: _Places, width: int, limit: int) -> bool:
    """No record is over the limit, and none is a blank line (which is no record at all)."""
    sizes = np.diff(ends, prepend=-1)
    if sizes.max() > limit:
        return False
    if width > 1:
        return True
    short = ends[sizes <= 2]
    return bool(((sizes > 1).all()) and (letters[short - 1] != _RETURN).all())


def _quotes_fit(letters: _Bytes, opening: _Places, closing: _Places, delimiter: int) -> bool:
    """Quotes open after a separator and close before one, or stand in pairs."""
    if not len(opening):
        return True
    before = letters[opening[opening > 0] - 1]
    after = letters[closing + 1]
    fits_before = (before == delimiter) | (before == _NEWLINE) | (before == _QUOTE)
    fits_after = (after == delimiter) | (after == _NEWLINE) | (after == _QUOTE) | (after == _RETURN)
    return bool(fits_before.all() and fits_after.all())


def _parse(block: bytes, header: list[str], delimiter: str) -> pl.DataFrame | None:
    try:
        block.decode()
        return pl.read_csv(
            io.BytesIO(block),
            has_header=False,
            separator=delimiter,
            schema={name or "\x00": pl.String() for name in header},
            empty_string_is_null=False,
        ).rename({"\x00": ""} if "" in header else {})
    except (UnicodeDecodeError, pl.exceptions.PolarsError):
        return None
