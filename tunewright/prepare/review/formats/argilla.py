"""Argilla's records JSON (2.x, what `dataset.records.to_json` writes and `from_json` reads): a list of records,

    {"id": "r3f09...", "fields": {"text": "great phone", "evidence": "..."}, "metadata": {"uncertainty": 0.61},
     "suggestions": {"label": {"value": "positive", "score": 0.39, "agent": "given label"}},
     "responses": {"label": [{"value": "negative", "user_id": "5d0f..."}]}, "vectors": {}}

with the questions `label`, `decision` (accept or drop) and `edited_text` (or `edited_answer`, ...). Argilla knows people by UUID: a
reviewer's is made from the name, so that what was exported from here finds its people again; unknown ones become `user 5d0f...`.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tunewright.core.errors import DataError
from tunewright.core.files import write_json
from tunewright.prepare.review.formats._shared import Entry, Said, by_person

ENDING = ".json"
DECISION = "decision"
EDIT = "edited_"
_NAMES = uuid.UUID("6a1f8c3e-0d5b-4f57-9a53-0c9e6b6f1d10")


def user_id(name: str) -> str:
    """The UUID of a reviewer."""
    return str(uuid.uuid5(_NAMES, name))


def write(entries: Sequence[Entry], labels: Sequence[str], path: Path) -> list[Path]:
    """Write the records."""
    write_json(path, [_record(entry) for entry in entries])
    return [path]


def _record(entry: Entry) -> dict[str, Any]:
    label = entry.row.get("label")
    suggested = {"value": label, "score": None if entry.uncertainty is None else round(1 - entry.uncertainty, 4), "agent": "given label"}
    responses: dict[str, list[dict[str, str | None]]] = {}
    for by, said in by_person(entry).items():
        for question, value in _answers(said, label):
            responses.setdefault(question, []).append({"value": value, "user_id": user_id(by)})
    people = [f"{user_id(by)} {by}" for by in by_person(entry)]
    return {
        "id": entry.row["row_id"],
        "fields": {**entry.fields, "evidence": entry.evidence},
        "metadata": {"uncertainty": entry.uncertainty, "given_label": label, "reviewers": people},
        "suggestions": {"label": suggested} if label else {},
        "responses": responses,
        "vectors": {},
    }


def _answers(said: Sequence[Said], label: str | None) -> list[tuple[str, str | None]]:
    found: list[tuple[str, str | None]] = []
    for one in said:
        if one.action in ("accept", "drop"):
            found.append((DECISION, one.action))
        if one.action == "accept" and label:
            found.append(("label", label))
        elif one.action == "relabel":
            found.append(("label", one.value))
        elif one.action == "edit":
            found.append((f"{EDIT}{one.field}", one.value))
    return found


def read(path: Path) -> list[Said]:
    """The responses of exported records, as decisions."""
    try:
        records = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise DataError(f"{path}: not valid JSON ({error}). Export with dataset.records.to_json(PATH).") from error
    if not isinstance(records, list):
        raise DataError(
            f"{path}: Argilla's records are a JSON list, but got {type(records).__name__}. Export with dataset.records.to_json(PATH)."
        )
    found: list[Said] = []
    for number, record in enumerate(records, start=1):
        try:
            found += _decisions(record)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise DataError(
                f"{path}, record {number}: not a record of a review export ({type(error).__name__}: {error}). Export with dataset.records.to_json(PATH)."
            ) from error
    return found


def _decisions(record: dict[str, Any]) -> list[Said]:
    row_id, metadata = str(record["id"]), record.get("metadata") or {}
    label = metadata.get("given_label")
    names = dict(one.split(" ", 1) for one in metadata.get("reviewers") or [])
    by_user: dict[str, dict[str, str]] = {}
    for question, responses in (record.get("responses") or {}).items():
        for one in responses:
            by_user.setdefault(str(one["user_id"]), {})[question] = one["value"]
    found: list[Said] = []
    for user, answers in by_user.items():
        origin = f"argilla:{row_id}/{user}"
        by = names.get(user, f"user {user[:8]}")
        if answers.get(DECISION) == "drop":
            found.append(Said(row_id, "drop", by=by, origin=origin))
            continue
        edits = {name.removeprefix(EDIT): text for name, text in answers.items() if name.startswith(EDIT) and text.strip()}
        changes = [Said(row_id, "edit", name, text, by=by, origin=origin) for name, text in edits.items()]
        if answers.get("label", label) != label:
            changes.append(Said(row_id, "relabel", "label", answers["label"], by=by, origin=origin))
        found += changes or [Said(row_id, "accept", by=by, origin=origin)]
    return found
