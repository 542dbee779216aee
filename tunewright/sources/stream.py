"""The bytes of a file as UTF-8, whatever its compression and encoding, with a limit on how much is held at a time.

    Stream(Path("mails.csv.xz"), "utf-8")   ->   b"text,label\\nhello,a\\n..."

Compression is told from the first bytes of the file, not from its name. Bytes that are not of the encoding stay broken in the
output, so that the reader can quarantine their record. A file that was cut off ends where it is cut, and `problem` says so.
"""

from __future__ import annotations

import bz2
import codecs
import lzma
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from tunewright.core.errors import DataError

_INPUT = 1 << 18
_OUTPUT = 1 << 22
_GUESS_FROM = 1 << 18
_MARKS = (
    (b"\xff\xfe\x00\x00", "utf-32-le"),
    (b"\x00\x00\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
    (b"\xef\xbb\xbf", "utf-8"),
)


class Stream:
    """Reads forward only. `problem` is set once the end was reached early."""

    def __init__(self, path: Path, encoding: str = "utf-8") -> None:
        self.problem: str | None = None
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise DataError(f"{path}: cannot be opened ({error.strerror}).") from error
        head = self._file.read(6)
        self._file.seek(0)
        self._pieces = self._unpacked(head)
        first = self._more(_GUESS_FROM if encoding == "auto" else 4)
        mark = next(((mark, name) for mark, name in _MARKS if first.startswith(mark)), None)
        self.encoding = mark[1] if mark else _guess(path, first) if encoding == "auto" else _normal(encoding)
        self._left = first[len(mark[0]) :] if mark else first
        if self.encoding != "utf-8":
            self._pieces = self._guarded(_transcoded(self._left, self._pieces, _decoder(path, self.encoding)))
            self._left = b""

    def read(self, size: int) -> bytes:
        """At least `size` bytes, fewer only at the end."""
        self._left = self._more(size, self._left)
        found, self._left = self._left, b""
        return found

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _more(self, size: int, start: bytes = b"") -> bytes:
        parts, length = [start], len(start)
        while length < size and (piece := next(self._pieces, None)) is not None:
            parts.append(piece)
            length += len(piece)
        return b"".join(parts)

    def _unpacked(self, head: bytes) -> Iterator[bytes]:
        if head.startswith(b"\x28\xb5\x2f\xfd"):
            import pyarrow as pa

            stream = pa.CompressedInputStream(pa.PythonFile(self._file), "zstd")
            return self._guarded(iter(lambda: stream.read(_OUTPUT), b""))
        if head.startswith(b"\x1f\x8b"):
            return self._guarded(_inflated(self._file, lambda: _Gzip()))
        if head.startswith(b"\xfd7zXZ\x00"):
            return self._guarded(_inflated(self._file, lambda: lzma.LZMADecompressor(memlimit=1 << 30)))
        if head.startswith(b"BZh"):
            return self._guarded(_inflated(self._file, bz2.BZ2Decompressor))
        return self._guarded(iter(lambda: self._file.read(_OUTPUT), b""))

    def _guarded(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """The pieces, up to the one that cannot be unpacked."""
        try:
            yield from pieces
        except (EOFError, OSError, zlib.error, lzma.LZMAError, ValueError) as error:
            self.problem = f"the file is cut off or damaged here ({error})"


class _Gzip:
    """zlib's decompressor behind the interface that bz2's and lzma's share."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data


def _inflated(file: BinaryIO, make: Callable[[], Any]) -> Iterator[bytes]:
    """Unpacked pieces of bounded size; members one after the other are one file."""
    unpacker, data, started = make(), b"", False
    while True:
        if not data and unpacker.needs_input:
            data = file.read(_INPUT)
            if not data:
                if started:
                    raise EOFError("the compressed data end too early")
                return
        started = True
        piece = unpacker.decompress(data, _OUTPUT)
        data = b""
        if piece:
            yield piece
        if unpacker.eof:
            data = unpacker.unused_data.lstrip(b"\x00") or file.read(_INPUT).lstrip(b"\x00")
            if not data:
                return
            unpacker, started = make(), False


def _normal(encoding: str) -> str:
    return "utf-8" if encoding.lower().replace("-", "").replace("_", "") in ("utf8", "utf8sig", "ascii", "usascii") else encoding


def _guess(path: Path, head: bytes) -> str:
    """The encoding of a file that carries no mark: UTF-8 if it is that, otherwise the likeliest."""
    try:
        head.decode() if len(head) < _GUESS_FROM else codecs.getincrementaldecoder("utf-8")().decode(head)
        return "utf-8"
    except UnicodeDecodeError:
        from charset_normalizer import from_bytes

        best = from_bytes(head).best()
        if best is None:
            raise DataError(f"{path}: the encoding cannot be guessed. Name it in data.encoding, for example cp1252.") from None
        return _normal(best.encoding)


def _decoder(path: Path, encoding: str) -> codecs.IncrementalDecoder:
    try:
        "".encode(encoding)
        return codecs.getincrementaldecoder(encoding)("tunewright_mark")
    except (LookupError, UnicodeError) as error:
        raise DataError(f"{path}: cannot be read as data.encoding {encoding!r} ({error}). Name the encoding it was written in.") from error


def _transcoded(first: bytes, pieces: Iterator[bytes], decoder: codecs.IncrementalDecoder) -> Iterator[bytes]:
    yield _utf8(decoder.decode(first))
    for piece in pieces:
        yield _utf8(decoder.decode(piece))
    yield _utf8(decoder.decode(b"", final=True))


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _mark(error: UnicodeError) -> tuple[str, int]:
    """Half a surrogate pair where bytes do not decode: no text holds one, so the record is recognised later."""
    assert isinstance(error, UnicodeDecodeError)
    return "\udcff", error.end


codecs.register_error("tunewright_mark", _mark)


class Source:
    """A stream with a buffer: readers look at `buffer`, `take` from its front, and `fill` it again."""

    def __init__(self, path: Path, encoding: str, limit: int) -> None:
        self.stream = Stream(path, encoding)
        self.limit = limit
        self.buffer = b""
        self.line = 1
        self.ended = False
        self.tail: bytes | None = None

    def fill(self, size: int) -> bytes:
        """The buffer, holding at least `size` bytes unless the file ends. A record that was cut off goes to `tail`."""
        if not self.ended and len(self.buffer) < size:
            more = self.stream.read(size - len(self.buffer))
            self.ended = len(self.buffer) + len(more) < size
            self.buffer += more
            if self.ended:
                self.stream.close()
            if self.ended and self.stream.problem:
                end = self.buffer.rfind(b"\n") + 1
                self.buffer, self.tail = self.buffer[:end], self.buffer[end:]
        return self.buffer

    def nothing(self, path: str) -> DataError:
        """The error for a file without anything in it that can be read."""
        return DataError(f"{path}: {self.stream.problem or 'the file is empty'}.")

    def take(self, count: int, lines: int) -> None:
        """Forget `count` bytes, which held `lines` line ends."""
        self.buffer = self.buffer[count:]
        self.line += lines

    def skip_line(self) -> bytes:
        """Forget the line at the front, however long it is; its first bytes."""
        head = self.buffer[:4096]
        while (end := self.buffer.find(b"\n")) < 0 and not self.ended:
            self.buffer = b""
            self.fill(_OUTPUT)
        self.take(len(self.buffer) if end < 0 else end + 1, 1)
        return head
