"""Export the queue with what was decided, and import what people decided elsewhere. All of an import is checked before any is kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from tunewright.core.errors import DataError, TunewrightError
from tunewright.core.settings import did_you_mean
from tunewright.prepare.review.desk import Review
from tunewright.prepare.review.formats import argilla, label_studio, table
from tunewright.prepare.review.formats._shared import Entry, Said
from tunewright.prepare.review.log import Decision
from tunewright.prepare.review.outcome import opinions

_WRITERS: dict[str, Any] = {
    "label-studio": label_studio.write,
    "argilla": argilla.write,
    "csv": table.write_csv,
    "jsonl": table.write_jsonl,
}
_READERS: dict[str, Any] = {"label-studio": label_studio.read, "argilla": argilla.read, "csv": table.read_csv, "jsonl": table.read_jsonl}
FORMATS = tuple(_WRITERS)
MOST_SHOWN = 5


def export(review: Review, path: Path, format: str) -> tuple[list[Path], int]:
    """Write the queue and every row that somebody decided about to `path`; return the files and the number of rows. Questions
    about checks stay here."""
    write = _WRITERS[_known(format)]
    entries = _entries(review)
    return write(entries, review.rows.labels, path), len(entries)


def _said(review: Review) -> dict[str, list[Said]]:
    """What each person wants for each row as of now, skips of rows they never decided included."""
    said: dict[str, list[Said]] = {}
    decisions = [one for one in review.log.decisions() if not one.final]
    for row_id, people in opinions(decisions).items():
        said[row_id] = [line for one in people for line in _lines(row_id, one.by, one.at, one.dropped, list(one.changes.values()))]
    for one in decisions:
        if one.action == "skip" and all(other.by != one.by for other in said.get(one.row_id, [])):
            said.setdefault(one.row_id, []).append(Said(one.row_id, "skip", by=one.by, at=one.at))
    return said


def _entries(review: Review) -> list[Entry]:
    said = _said(review)
    spent: dict[tuple[str, str], float] = {}
    for one in review.log.decisions():
        spent[one.row_id, one.by] = spent.get((one.row_id, one.by), 0.0) + (one.seconds or 0.0)
    queued = {line["row_id"]: line["uncertainty"] for line in review.queue().to_dicts() if line["question"] is None}
    entries = []
    for row_id in dict.fromkeys([*queued, *said]):
        item = review.show(row_id)
        evidence = "; ".join(f"{one['check']}: {one['evidence']}" for one in item.findings)
        lines = [replace(one, seconds=spent.get((row_id, one.by or "")) or None) for one in said.get(row_id, [])]
        entries.append(Entry(item.row, evidence, queued.get(row_id), tuple(lines)))
    return entries


def _lines(row_id: str, by: str, at: str, dropped: bool, changes: list[Decision]) -> list[Said]:
    if dropped or not changes:
        return [Said(row_id, "drop" if dropped else "accept", by=by, at=at)]
    return [Said(row_id, one.action, one.field, one.value, by=by, at=one.at) for one in changes]


def take_in(review: Review, path: Path, format: str, by: str, new_label: bool = False) -> tuple[int, int]:
    """Append the decisions of a file; return how many are new and how many were here already. `by` signs those that the file
    does not sign. Raises DataError with the first mistakes, and then keeps nothing."""
    read = _READERS[_known(format)]
    if not path.is_file():
        raise DataError(f"there is no file {path}.")
    here = {(one.row_id, one.by, one.action, one.field, one.value) for entry in _said(review).values() for one in entry}
    made: list[Decision] = []
    mistakes: list[str] = []
    known = 0
    try:
        lines: list[Said] = read(path)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text ({error}). Save it as UTF-8.") from error
    for one in map(_as_text, lines):
        try:
            decision = review.check_decision(
                one.row_id,
                one.action,
                one.by or by,
                value=one.value,
                field=one.field,
                seconds=one.seconds,
                new_label=new_label,
                origin=one.origin,
            )
        except TunewrightError as error:
            mistakes.append(f"  {one.row_id}: {error}")
            continue
        same = (decision.row_id, decision.by, decision.action, decision.field, decision.value)
        if same in here:
            known += 1
            continue
        here.add(same)
        made.append(replace(decision, at=one.at) if one.at else decision)
    if mistakes:
        more = f"\n  ... and {len(mistakes) - MOST_SHOWN} more" if len(mistakes) > MOST_SHOWN else ""
        raise DataError(
            f"{path}: {len(mistakes)} decisions cannot be used; nothing was imported.\n" + "\n".join(mistakes[:MOST_SHOWN]) + more
        )
    review.log.append(made)
    return len(made), known


def _as_text(one: Said) -> Said:
    """JSON has numbers where people wrote words: a label 3, a row 17."""
    texts = {name: None if (value := getattr(one, name)) is None else str(value) for name in ("row_id", "field", "value", "by", "at")}
    return replace(one, **texts)  # type: ignore[arg-type]


def _known(format: str) -> str:
    if format not in _WRITERS:
        raise DataError(f"the format must be one of {', '.join(FORMATS)}, but got {format!r}.{did_you_mean(format, list(FORMATS))}")
    return format
