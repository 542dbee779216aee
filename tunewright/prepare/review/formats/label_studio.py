"""Label Studio's JSON: a list of tasks, https://labelstud.io/guide/task_format.

    {"id": 1, "data": {"row_id": "r3f09...", "text": "great phone", "label": "positive", "evidence": "..."},
     "predictions": [{"model_version": "given label", "result": [{"type": "choices", "value": {"choices": ["positive"]}, ...}]}],
     "annotations": [{"result": [...], "was_cancelled": false, "lead_time": 6.2, "completed_by": {"email": "anna@example.com"}}]}

Beside the tasks goes the labelling configuration that they fit. Label Studio knows people by e-mail address: the name of a reviewer who
gave another one travels in the `meta` of each result, and such annotations belong to whoever imports them there.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from tunewright.core.errors import DataError
from tunewright.core.files import write_json, write_text
from tunewright.prepare.review.formats._shared import Entry, Said, by_person

ENDING = ".json"
DECISION = "decision"
EDIT = "edited_"


def write(entries: Sequence[Entry], labels: Sequence[str], path: Path) -> list[Path]:
    """Write the tasks and, beside them, the labelling configuration."""
    config = path.with_suffix(".config.xml")
    write_json(path, [_task(number, entry) for number, entry in enumerate(entries, start=1)])
    fields = list(dict.fromkeys(name for entry in entries for name in entry.fields))
    write_text(config, _config(labels, fields or ["text"]))
    return [path, config]


def _task(number: int, entry: Entry) -> dict[str, Any]:
    label = entry.row.get("label")
    given: dict[str, Any] = {"model_version": "given label", "result": [_choice("label", label)]}
    if entry.uncertainty is not None:
        given["score"] = round(1 - entry.uncertainty, 4)
    annotations = [_annotation(by, said, label) for by, said in by_person(entry).items()]
    data = {"row_id": entry.row["row_id"], **entry.fields, "label": label or "", "evidence": entry.evidence}
    return {"id": number, "data": data, "predictions": [given] if label else [], "annotations": annotations}


def _annotation(by: str, said: Sequence[Said], label: str | None) -> dict[str, Any]:
    results = []
    for one in said:
        if one.action in ("accept", "drop"):
            results.append(_choice(DECISION, one.action))
        if one.action == "accept" and label:
            results.append(_choice("label", label))
        elif one.action == "relabel":
            results.append(_choice("label", one.value))
        elif one.action == "edit":
            results.append({"from_name": f"{EDIT}{one.field}", "to_name": "text", "type": "textarea", "value": {"text": [one.value]}})
    for result in results:
        result["meta"] = {"reviewer": [by]}
    cancelled = all(one.action == "skip" for one in said)
    seconds = sum(one.seconds or 0 for one in said)
    found: dict[str, Any] = {"result": results, "was_cancelled": cancelled, "ground_truth": False, "lead_time": round(seconds, 2)}
    found |= {"created_at": said[-1].at} if said[-1].at else {}
    return found | ({"completed_by": {"email": by}} if "@" in by else {})


def _choice(name: str, value: Any) -> dict[str, Any]:
    return {"from_name": name, "to_name": "text", "type": "choices", "value": {"choices": [value]}}


def _config(labels: Sequence[str], fields: Sequence[str]) -> str:
    choices = "".join(f"\n    <Choice value={quoteattr(one)}/>" for one in labels)
    shown = "\n".join(f'  <Header value={quoteattr(name)}/>\n  <Text name="{name}" value="${name}"/>' for name in fields)
    edits = "\n".join(
        f'  <Header value="{name}, if it has to be changed"/>\n  <TextArea name="{EDIT}{name}" toName="text" rows="3" maxSubmissions="1"/>'
        for name in fields
    )
    label = f'  <Choices name="label" toName="text" choice="single">{choices}\n  </Choices>\n' if labels else ""
    decision = '<Choice value="accept"/><Choice value="drop"/>'
    return (
        f'<View>\n{shown}\n  <Text name="evidence" value="$evidence"/>\n{label}'
        f'  <Choices name="{DECISION}" toName="text" choice="single">{decision}</Choices>\n{edits}\n</View>\n'
    )


def read(path: Path) -> list[Said]:
    """The annotations of an export ("JSON" in Label Studio), as decisions."""
    try:
        tasks = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise DataError(f"{path}: not valid JSON ({error}). Export as JSON, not JSON_MIN or CSV.") from error
    if not isinstance(tasks, list):
        raise DataError(f"{path}: Label Studio's JSON is a list of tasks, but got {type(tasks).__name__}. Export as JSON, not JSON_MIN.")
    found: list[Said] = []
    for number, task in enumerate(tasks, start=1):
        try:
            row_id, label = task["data"]["row_id"], task["data"].get("label") or None
            for place, annotation in enumerate(task.get("annotations", [])):
                found += _decisions(row_id, label, annotation, f"label-studio:{annotation.get('id', f'{row_id}/{place}')}")
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise DataError(
                f"{path}, task {number}: not a task of a review export ({type(error).__name__}: {error}). "
                "Export as JSON from a project into which `tunewright review RUN export` was imported."
            ) from error
    return found


def _decisions(row_id: str, label: str | None, annotation: dict[str, Any], origin: str) -> list[Said]:
    results = annotation.get("result", [])
    common = {"by": _annotator(annotation, results), "at": annotation.get("created_at"), "origin": origin}
    if annotation.get("was_cancelled"):
        return [Said(row_id, "skip", seconds=annotation.get("lead_time"), **common)]
    chosen = {one["from_name"]: one["value"]["choices"][0] for one in results if one["type"] == "choices" and one["value"]["choices"]}
    edits = {one["from_name"]: "\n".join(one["value"]["text"]) for one in results if one["type"] == "textarea"}
    made: list[tuple[str, str | None, str | None]] = []
    if chosen.get(DECISION) == "drop":
        made.append(("drop", None, None))
    else:
        made += [("edit", name.removeprefix(EDIT), text) for name, text in edits.items() if name.startswith(EDIT) and text.strip()]
        made += [("relabel", "label", chosen["label"])] if chosen.get("label", label) != label else []
        made += [("accept", None, None)] if not made and chosen else []
    spent = annotation.get("lead_time")
    share = spent / len(made) if spent and made else None
    return [Said(row_id, action, name, value, seconds=share, **common) for action, name, value in made]


def _annotator(annotation: dict[str, Any], results: Sequence[dict[str, Any]]) -> str | None:
    """An e-mail address, the name that travels with the results, or `user 3` for a bare number."""
    named = next((one["meta"]["reviewer"][0] for one in results if one.get("meta", {}).get("reviewer")), None)
    who = annotation.get("completed_by")
    if isinstance(who, dict):
        return str(who.get("email") or who.get("id"))
    return named or (f"user {who}" if who is not None else None)
