"""csv: comma, semicolon, tab or bar, told from the header line. Well-formed stretches of a file are read by Polars, the others by Python's
csv module, with the same result (a property test compares them).

    text,label              ->   text "great, really" | label positive | line 2
    "great, really",positive
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from itertools import chain

import polars as pl

from tunewright.core.errors import DataError
from tunewright.core.recipe import DataSettings
from tunewright.sources.formats._csv_fast import read_block
from tunewright.sources.place import Place
from tunewright.sources.stream import Source
from tunewright.sources.table import Bad, Table, is_broken, numbers, visible

ENDINGS = ("csv", "txt")
FIRST = 1 << 19  # enough to tell the layout from
BLOCK = 1 << 23


def read(
    place: Place, data: DataSettings, required: tuple[str, ...] = (), delimiter: str | None = None, fast: bool = True
) -> Iterator[Table]:
    """Tables of at most about `BLOCK` bytes. A record with the wrong number of fields is bad."""
    csv.field_size_limit(2**31 - 1)
    source = Source(place.file, data.encoding, data.max_line_bytes)
    if not source.fill(FIRST).strip():
        raise source.nothing(place.path)
    delimiter = delimiter or _delimiter(source.buffer)
    header = _header(place, source, delimiter)
    empty = numbers([])
    yield Table(pl.DataFrame(schema=dict.fromkeys(header, pl.String)), empty)
    size = FIRST
    while source.fill(size):
        size = BLOCK
        found = read_block(source.buffer, header, delimiter, source.limit, source.ended) if fast else None
        if found:
            frame, lines, used, ends = found
            yield Table(frame, numbers(lines + source.line))
            source.take(used, ends)
        else:
            yield _careful(source, header, delimiter, place)
    if source.stream.problem:
        yield Table(pl.DataFrame(schema=dict.fromkeys(header, pl.String)), empty, [cut_off(source)])


def cut_off(source: Source) -> Bad:
    """The end of a damaged file, as a record that could not be read."""
    return Bad(source.line, "truncated_file", source.stream.problem or "", visible((source.tail or b"").decode("utf-8", "replace")))


def _delimiter(start: bytes) -> str:
    first = start.lstrip(b"\r\n").splitlines()[0].decode("utf-8", "surrogateescape")
    return max(",;\t|", key=lambda mark: len(next(csv.reader([first], delimiter=mark), [])))


def _header(place: Place, source: Source, delimiter: str) -> list[str]:
    records = _Records(source, delimiter)
    first = next(iter(records), None)
    records.give_back()
    if first is None:
        raise DataError(f"{place.path}: the file is empty.")
    if isinstance(first, Bad):
        raise DataError(f"{place.path}, line {first.line}: the header line cannot be read: {first.detail}.")
    line, values = first
    header = [name.strip() for name in values]
    if any(map(is_broken, header)) or any("\0" in name for name in header):
        raise DataError(
            f"{place.path}, line {line}: the header line holds bytes that are not {source.stream.encoding}. Check data.format and data.encoding."
        )
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise DataError(f"{place.path}, line {line}: column {twice[0]!r} is given {header.count(twice[0])} times. Rename one of them.")
    return header


def _careful(source: Source, header: list[str], delimiter: str, place: Place) -> Table:
    """The records that begin in the buffer, read with Python's csv module; those that cannot be read are bad."""
    columns: list[list[str]] = [[] for _ in header]
    lines: list[int] = []
    bad: list[Bad] = []
    records = _Records(source, delimiter, len(source.buffer))
    for record in records:
        if isinstance(record, Bad):
            bad.append(record)
            continue
        line, values = record
        if len(values) != len(header):
            bad.append(Bad(line, "ragged_line", f"{len(values)} fields where the header has {len(header)}", visible(records.first())))
            records.again_if_long()
        elif any(map(is_broken, values)):
            bad.append(Bad(line, "broken_encoding", f"bytes that are not {source.stream.encoding}", visible(delimiter.join(values))))
        elif any("\0" in value for value in values):
            bad.append(Bad(line, "nul_byte", "a NUL byte, which no text holds", visible(delimiter.join(values))))
        else:
            lines.append(line)
            for column, value in zip(columns, values, strict=True):
                column.append(value)
    records.give_back()
    frame = pl.DataFrame({name: pl.Series(name, values, dtype=pl.String) for name, values in zip(header, columns, strict=True)})
    return Table(frame, numbers(lines), bad)


class _Records:
    """Records from the front of a source, each with the line it starts on. After one that several lines of text
    went into and that cannot be right (a stray quote swallowed them), reading starts again on the line after its first."""

    def __init__(self, source: Source, delimiter: str, until: int = 0) -> None:
        self._source, self._delimiter, self._until = source, delimiter, until
        self._waiting: deque[bytes] = deque()
        self._taken: list[bytes] = []
        self._size = self._used = 0

    def __iter__(self) -> Iterator[tuple[int, list[str]] | Bad]:
        reader = self._reader()
        while True:
            self._done()
            if self._until and self._used >= self._until:
                return
            try:
                values = next(reader)
            except StopIteration:
                return
            except _TooLong as error:
                yield self._too_long(str(error))
                reader = self._reader()
                continue
            except csv.Error as error:
                yield Bad(self._source.line, "broken_quotes", f"quotes that do not match ({error})", visible(self.first()))
                self._again()
                reader = self._reader()
                continue
            if values:
                yield self._source.line, values

    def again_if_long(self) -> None:
        """Read the last record's lines again, but its first, if it had several."""
        if len(self._taken) > 1:
            self._again()

    def give_back(self) -> None:
        """Put what was not used back into the source's buffer."""
        self._done()
        self._source.buffer = b"".join(chain(self._waiting, [self._source.buffer]))
        self._waiting.clear()

    def first(self) -> str:
        """The first line of the last record."""
        return self._taken[0].decode("utf-8", "surrogateescape")

    def _reader(self) -> Iterator[list[str]]:
        return csv.reader(self._feed(), delimiter=self._delimiter, strict=True)

    def _feed(self) -> Iterator[str]:
        while True:
            if not self._waiting and not self._more():
                return
            line = self._waiting.popleft()
            self._taken.append(line)
            self._size += len(line)
            if self._size > self._source.limit:
                raise _TooLong(f"more than data.max_line_bytes ({self._source.limit:,})")
            yield line.decode("utf-8", "surrogateescape")

    def _more(self) -> bool:
        source = self._source
        block = source.fill(BLOCK)
        if not block:
            return False
        end = max(block.rfind(b"\n"), block.rfind(b"\r", 0, len(block) - 1)) + 1
        while not end and not source.ended and len(block) <= source.limit:
            block = source.fill(2 * len(block))
            end = max(block.rfind(b"\n"), block.rfind(b"\r", 0, len(block) - 1)) + 1
        if not end and not source.ended:
            self._waiting.append(block)
            source.skip_line()
            source.line -= 1  # it is counted when the record is done
            return True
        end = len(block) if source.ended else end
        self._waiting.extend(block[:end].splitlines(keepends=True))
        source.buffer = block[end:]
        return True

    def _done(self) -> None:
        self._source.line += len(self._taken)
        self._used += self._size
        self._taken, self._size = [], 0

    def _again(self) -> None:
        self._waiting.extendleft(reversed(self._taken[1:]))
        self._taken, self._size = self._taken[:1], len(self._taken[0])
        self._done()

    def _too_long(self, detail: str) -> Bad:
        bad = Bad(self._source.line, "huge_line", detail, visible(self._taken[0][:8192].decode("utf-8", "surrogateescape")))
        self._again()
        return bad


class _TooLong(Exception):
    """A record that is longer than the limit."""
