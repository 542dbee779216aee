"""Plain tables for spreadsheets and scripts: one line a row, with empty columns to fill in. csv, and the same as jsonl:

    row_id,label,text,evidence,action,field,value,by
    r3f09...,positive,"great phone","labelled positive, looks negative",relabel,,negative,anna

A row that several people decided about has a line for each. A line without an action is left alone when it comes back.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tunewright.core.errors import DataError
from tunewright.core.files import write_text
from tunewright.core.settings import did_you_mean
from tunewright.prepare.review.formats._shared import Entry, Said

COLUMNS = ("action", "field", "value", "by", "at", "seconds")
KNOWN = ("accept", "relabel", "edit", "drop", "skip")
_START = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would run these


def write_csv(entries: Sequence[Entry], labels: Sequence[str], path: Path) -> list[Path]:
    """Write a csv file. A cell that a spreadsheet would take for a formula gets an apostrophe before it."""
    lines = list(_lines(entries))
    stream = io.StringIO()
    names = list(dict.fromkeys(name for line in lines for name in line)) or ["row_id", *COLUMNS]
    writer = csv.DictWriter(stream, names, lineterminator="\n")
    writer.writeheader()
    for line in lines:
        writer.writerow(
            {name: f"'{value}" if isinstance(value, str) and value.startswith(_START) else value for name, value in line.items()}
        )
    write_text(path, stream.getvalue())
    return [path]


def write_jsonl(entries: Sequence[Entry], labels: Sequence[str], path: Path) -> list[Path]:
    """Write a jsonl file."""
    write_text(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in _lines(entries)))
    return [path]


def _lines(entries: Sequence[Entry]) -> Iterator[dict[str, Any]]:
    for entry in entries:
        shown = {"row_id": entry.row["row_id"], "label": entry.row.get("label"), **entry.fields, "evidence": entry.evidence}
        for one in entry.said or (None,):
            yield shown | {name: getattr(one, name) if one else None for name in COLUMNS}


def read_csv(path: Path) -> list[Said]:
    """Decisions of a csv file that was filled in."""
    text = path.read_text(encoding="utf-8-sig")
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    csv.field_size_limit(2**31 - 1)
    lines = (
        {name: value for name, value in line.items() if name} for line in csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    )
    return _read(path, ({name: _plain(value) for name, value in line.items()} for line in lines))


def _plain(value: Any) -> str | None:
    text = str(value).removeprefix("'") if isinstance(value, str) and value[1:2] and value[1:].startswith(_START) else value
    return text or None


def read_jsonl(path: Path) -> list[Said]:
    """Decisions of a jsonl file that was filled in."""
    return _read(path, _objects(path))


def _objects(path: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), start=1):
        if line.strip():
            try:
                value = json.loads(line)
            except ValueError as error:
                raise DataError(f"{path}, line {number}: not valid JSON ({error}).") from error
            if not isinstance(value, dict):
                raise DataError(f"{path}, line {number}: a JSON object is needed, but got {type(value).__name__}.")
            yield value


def _read(path: Path, lines: Iterator[dict[str, Any]]) -> list[Said]:
    found = []
    for number, line in enumerate(lines, start=1):
        if not line.get("row_id"):
            raise DataError(f"{path}, record {number}: there is no row_id. Keep that column of the export.")
        if not (action := str(line.get("action") or "").strip().lower()):
            continue
        if action not in KNOWN:
            raise DataError(
                f"{path}, record {number}: the action must be one of {', '.join(KNOWN)}, but got {action!r}.{did_you_mean(action, list(KNOWN))}"
            )
        value = line.get("value")
        try:
            seconds = float(line["seconds"]) if line.get("seconds") else None
        except ValueError as error:
            raise DataError(f"{path}, record {number}: seconds must be a number, but got {line['seconds']!r}.") from error
        takes_value = action in ("relabel", "edit")
        field = line.get("field") if action == "edit" else None
        origin = f"table:{line['row_id']}/{action}/{field or ''}/{value or ''}"
        found.append(Said(line["row_id"], action, field, value if takes_value else None, line.get("by"), line.get("at"), seconds, origin))
    return found
