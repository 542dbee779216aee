"""json: a list of objects, an object that holds one such list, or columns (`{"text": [...], "label": [...]}`). A file whose lines are
objects of their own is read as jsonl.

    [{"text": "great phone", "label": "positive"}, ...]   ->   text "great phone" | label positive | line 1 (the first object)
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tunewright.core.recipe import DataSettings
from tunewright.sources.formats import jsonl
from tunewright.sources.place import Place
from tunewright.sources.stream import Source
from tunewright.sources.table import Bad, Table, is_broken, of_objects, visible

ENDINGS = ("json",)
_WHOLE = 1 << 40
_TURN_KEYS = ({"role", "content"}, {"from", "value"})


def read(place: Place, data: DataSettings, required: tuple[str, ...] = ()) -> Iterator[Table]:
    """One table: a JSON document is read whole."""
    source = Source(place.file, data.encoding, data.max_line_bytes)
    raw = source.fill(_WHOLE)
    if not raw.strip():
        raise source.nothing(place.path)
    text = (raw + (source.tail or b"")).decode("utf-8", "surrogateescape")
    start = text.lstrip()[:1]
    if start == "[":
        yield _of_list(_elements(text), required, source)
        return
    values = _whole(text) if start == "{" else None
    rows = _rows(values) if values is not None else None
    if rows is None:
        yield from jsonl.read(place, data, required)
        return
    yield _of_list(((index, one, "") for index, one in enumerate(rows, start=1)), required, source)


def _whole(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _rows(values: dict[str, Any]) -> list[Any] | None:
    """The records of a JSON object: of the one list of objects in it, or its columns put side by side. None: it is a record itself."""
    lists = [one for one in values.values() if isinstance(one, list) and one and all(isinstance(item, dict) for item in one)]
    if len(lists) == 1 and not any(keys <= lists[0][0].keys() for keys in _TURN_KEYS):
        return lists[0]
    columns = list(values.values())
    if columns and all(isinstance(one, list) for one in columns) and len({len(one) for one in columns}) == 1 and not lists:
        return [dict(zip(values, row, strict=True)) for row in zip(*columns, strict=True)]
    if columns and all(isinstance(one, dict) and one.keys() == columns[0].keys() for one in columns) and len(columns) > 1:
        return [{name: one[key] for name, one in values.items()} for key in columns[0]]
    return None


def _elements(text: str) -> Iterator[tuple[int, Any, str]]:
    """(ordinal, value or what is wrong with it, its text) of each element of a JSON list. What follows a break is one bad record."""
    lenient = json.JSONDecoder()
    at, ordinal = _skip(text, text.index("[") + 1), 0
    while True:
        if text[at : at + 1] == "]" and (ordinal == 0 or text[at - 1 : at] != ","):
            rest = text[_skip(text, at + 1) :]
            if rest:
                yield ordinal + 1, ValueError("not valid JSON (something follows the list)"), rest
            return
        ordinal += 1
        try:
            value, end = jsonl.STRICT.raw_decode(text, at)
        except jsonl.Unusable as error:
            try:
                _, end = lenient.raw_decode(text, at)
            except (ValueError, RecursionError) as broken:
                yield ordinal, ValueError(f"not valid JSON ({broken}); the rest of the list is lost with it"), text[at:]
                return
            value = error
        except (ValueError, RecursionError) as error:
            yield ordinal, ValueError(f"not valid JSON ({error}); the rest of the list is lost with it"), text[at:]
            return
        yield ordinal, value, text[at:end]
        at = _skip(text, end)
        if text[at : at + 1] == ",":
            at = _skip(text, at + 1)
        elif text[at : at + 1] != "]":
            yield ordinal + 1, ValueError("not valid JSON (a comma or the end of the list is missing)"), text[at:]
            return


def _skip(text: str, at: int) -> int:
    while text[at : at + 1] in (" ", "\n", "\r", "\t"):
        at += 1
    return at


def _of_list(elements: Iterator[tuple[int, Any, str]], required: tuple[str, ...], source: Source) -> Table:
    bad: list[Bad] = []
    objects: list[tuple[int, dict[str, Any]]] = []
    for line, value, text in elements:
        if isinstance(value, jsonl.Unusable):
            bad.append(Bad(line, value.reason, str(value), visible(text)))
            continue
        if isinstance(value, ValueError):
            reason = "truncated_file" if source.stream.problem else "invalid_json"
            bad.append(Bad(line, reason, source.stream.problem or str(value), visible(text)))
            continue
        if is_broken(text):
            bad.append(Bad(line, "broken_encoding", f"bytes that are not {source.stream.encoding}", visible(text)))
            continue
        found = jsonl.checked(line, value, text)
        if not isinstance(found, Bad):
            found = jsonl.missing(line, found, required, text[:2000].encode("utf-8", "replace")) or found
        if isinstance(found, Bad):
            bad.append(found)
        else:
            objects.append((line, found))
    return of_objects(objects, bad)
