"""jsonl: one JSON object a line. orjson reads the lines that it reads like Python's json module does; the others (floats, numbers of any
size, nested values, repeated keys) take the careful way.

    {"text": "great phone", "label": "positive"}   ->   text "great phone" | label positive | line 1
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import orjson

from tunewright.core.recipe import DataSettings
from tunewright.sources.formats.csv import cut_off
from tunewright.sources.place import Place
from tunewright.sources.stream import Source
from tunewright.sources.table import Bad, Table, is_broken, of_objects, visible

ENDINGS = ("jsonl", "ndjson")
FIRST = 1 << 19  # enough to tell the layout from
BLOCK = 1 << 23
_Objects = list[tuple[int, dict[str, Any]]]


def read(place: Place, data: DataSettings, required: tuple[str, ...] = (), fast: bool = True) -> Iterator[Table]:
    """Tables of at most about `BLOCK` bytes. An object without one of the `required` fields is bad."""
    source = Source(place.file, data.encoding, data.max_line_bytes)
    if not source.fill(FIRST).strip():
        raise source.nothing(place.path)
    if _is_list(source.buffer):
        from tunewright.sources.formats import json as whole

        yield from whole.read(place, data, required)
        return
    size = FIRST
    while block := source.fill(size):
        size = BLOCK
        end = len(block) if source.ended else block.rfind(b"\n") + 1
        while not end and len(block) <= source.limit and not source.ended:
            block = source.fill(2 * len(block))
            end = len(block) if source.ended else block.rfind(b"\n") + 1
        bad: list[Bad] = []
        objects: _Objects = []
        if not end:
            line = source.line
            bad.append(_huge(line, source.skip_line(), source.limit))
        else:
            lines = block[:end].split(b"\n")
            _collect(lines, source, required, objects, bad, fast)
            source.take(end, len(lines) - 1)
        yield of_objects(objects, bad)
    if source.stream.problem:
        yield of_objects([], [cut_off(source)])


def _is_list(start: bytes) -> bool:
    """True for a JSON list of objects that was named like lines of JSON."""
    start = start.lstrip()
    if not start.startswith(b"["):
        return False
    try:
        first = orjson.loads(start.split(b"\n", 1)[0])
    except orjson.JSONDecodeError:
        return start[1:].lstrip()[:1] == b"{"
    return isinstance(first, list) and bool(first) and isinstance(first[0], dict)


def _collect(lines: list[bytes], source: Source, required: tuple[str, ...], objects: _Objects, bad: list[Bad], fast: bool) -> None:
    needed = frozenset(required)
    for line, raw in enumerate(lines, start=source.line):
        found: dict[str, Any] | Bad | None = simple(raw) if fast else None
        if not isinstance(found, dict) or len(raw) > source.limit or not needed <= found.keys():
            if not raw.strip():
                continue
            found = _one(line, raw, source, required)
        if isinstance(found, Bad):
            bad.append(found)
        else:
            objects.append((line, found))


def _one(line: int, raw: bytes, source: Source, required: tuple[str, ...]) -> dict[str, Any] | Bad:
    if len(raw) > source.limit:
        return _huge(line, raw, source.limit)
    found = careful(line, raw, source.stream.encoding)
    return found if isinstance(found, Bad) else missing(line, found, required, raw) or found


def _huge(line: int, raw: bytes, limit: int) -> Bad:
    return Bad(line, "huge_line", f"more than data.max_line_bytes ({limit:,})", visible(raw[:8192].decode("utf-8", "replace")))


def missing(line: int, found: dict[str, Any], required: tuple[str, ...], raw: bytes) -> Bad | None:
    """The record as a bad one when a required field is not there at all (null is there)."""
    for name in required:
        if name not in found:
            shown = ", ".join(map(str, found)) or "no fields"
            return Bad(
                line, "missing_field", f"no field {name!r}; the object has {visible(shown)}", visible(raw[:8192].decode("utf-8", "replace"))
            )
    return None


def simple(raw: bytes) -> dict[str, Any] | None:
    """The object of a line that orjson and the json module read alike: text, true, false, null and whole numbers, no key twice (told from
    the number of quotes, so no backslashes). None for any other line."""
    if b"\\" in raw:
        return None
    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    if type(found) is not dict:
        return None
    texts = 0
    for value in found.values():
        kind = type(value)
        if kind is str:
            texts += 1
        elif value is not None and kind is not bool and kind is not int:
            return None
    return found if raw.count(b'"') == 2 * (len(found) + texts) else None


def careful(line: int, raw: bytes, encoding: str) -> dict[str, Any] | Bad:
    """The object of any line, or why it is none."""
    text = raw.decode("utf-8", "surrogateescape")
    try:
        found = loads(text)
    except Unusable as error:
        return Bad(line, error.reason, str(error), visible(text))
    except (ValueError, RecursionError) as error:
        return Bad(line, "invalid_json", f"not valid JSON ({error})", visible(text))
    if is_broken(text):
        return Bad(line, "broken_encoding", f"bytes that are not {encoding}", visible(text))
    return checked(line, found, text)


def checked(line: int, found: Any, text: str) -> dict[str, Any] | Bad:
    """`found` when it is an object that can be stored as text."""
    if not isinstance(found, dict):
        return Bad(line, "not_an_object", f"a JSON object is needed, but got {type(found).__name__}", visible(text))
    if "\\u" in text or "\\U" in text:
        try:
            if is_broken(json.dumps(found, ensure_ascii=False)):
                return Bad(line, "lone_surrogate", "an escape like \\ud800 that is half a character", visible(text))
        except (ValueError, RecursionError) as error:
            return Bad(line, "invalid_json", f"not valid JSON ({error})", visible(text))
    return found


class Unusable(Exception):
    """JSON that some readers accept and others do not."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def loads(text: str) -> Any:
    """Strict JSON. Raises `Unusable` for a key given twice and for NaN and Infinity, `ValueError` for what is no JSON."""
    return STRICT.decode(text)


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise Unusable("duplicate_key", f"the key {twice!r} is given {keys.count(twice)} times in one object")
    return found


def _no_constant(name: str) -> Any:
    raise Unusable("not_a_number", f"{name} is not JSON; write null for a missing value")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise Unusable("not_a_number", f"{text[:40]} is too large for a number")
    return value


STRICT = json.JSONDecoder(object_pairs_hook=_no_key_twice, parse_constant=_no_constant, parse_float=_finite)
