"""Where the project's time went: how much of it into the data, against the recommended 40%.

    events.jsonl      {"event": "stage_done", "stage": "audit", "seconds": 29.1, "cpu_seconds": 40.2}, also failed and superseded attempts
    review/log.jsonl  {"action": "relabel", "row_id": "r3f..", "seconds": 6.2, ...}
      -> wall 0.21, compute 0.12, people 38 minutes; together 0.34 of the time went into data

Wall time, compute and people's minutes are different things and stay apart. What nobody measured is counted and said, never guessed:
an attempt that was killed leaves no duration, and no log knows how long people sat over the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

RECOMMENDED = 0.4
DATA_STAGES = ("audit", "prepare")
MODEL_STAGES = ("tune", "evaluate", "explain", "release")
LONGEST = 600.0  # seconds of one decision that are believed; beyond it somebody went for lunch
Json = dict[str, Any]


def effort(events: Sequence[Json], decisions: Sequence[Json]) -> Json | None:
    """What was measured, or None when nothing was. `events` and `decisions` are the lines of the two files."""
    attempts, killed = _attempts(events)
    human = _people(decisions)
    if not attempts and not human["decisions"]:
        return None
    work: dict[str, Json] = {}
    for one in attempts:
        line = work.setdefault(one["name"], {**one, "attempts": 0, "seconds": 0.0, "cpu_seconds": 0.0, "without_cpu": 0, "failed": 0})
        line["attempts"] += 1
        line["failed"] += one["failed"]
        line["seconds"] += one["seconds"]
        line["cpu_seconds"] += one["cpu_seconds"] or 0.0
        line["without_cpu"] += one["cpu_seconds"] is None
    lines = sorted(work.values(), key=lambda one: (not one["data"], -one["seconds"]))
    wall, compute = (_share(lines, key) for key in ("seconds", "cpu_seconds"))
    all_data, everything = wall["data"] + human["seconds"], wall["data"] + wall["model"] + human["seconds"]
    found = {
        "recommended": RECOMMENDED,
        "wall": wall,
        "compute": compute | {"unmeasured_attempts": sum(one["without_cpu"] for one in lines)},
        "people": human,
        "share": all_data / everything if everything else None,
        "killed_attempts": killed,
        "work": lines,
    }
    return found | {"text": _words(found)}


def _attempts(events: Sequence[Json]) -> tuple[list[Json], int]:
    """Every attempt that ended, well or badly; and how many were killed before they could say how long they took."""
    found, begun = [], dict[str, int]()
    for one in events:
        name, kind = one.get("stage") or one.get("work"), str(one.get("event", ""))
        if name is None:
            continue
        if kind.endswith("_started"):
            begun[name] = begun.get(name, 0) + 1
        elif kind.endswith(("_done", "_failed")) and isinstance(one.get("seconds"), int | float):
            begun[name] = begun.get(name, 0) - 1
            data, cpu = name not in MODEL_STAGES, one.get("cpu_seconds")
            found.append({"name": name, "data": data, "failed": kind.endswith("_failed"), "seconds": one["seconds"], "cpu_seconds": cpu})
    return found, sum(max(0, one) for one in begun.values())


def _share(lines: Sequence[Json], key: str) -> Json:
    data, model = (round(sum(one[key] for one in lines if one["data"] is which), 2) for which in (True, False))
    return {"data": data, "model": model, "share": data / (data + model) if data + model else None}


def _people(decisions: Sequence[Json]) -> Json:
    """Seconds of review, at most `LONGEST` for one decision, by person."""
    timed = [one for one in decisions if isinstance(one.get("seconds"), int | float)]
    by: dict[str, float] = {}
    for one in timed:
        name = str(one.get("by") or "somebody")
        by[name] = by.get(name, 0.0) + min(LONGEST, max(0.0, one["seconds"]))
    return {"decisions": len(decisions), "unmeasured_decisions": len(decisions) - len(timed), "seconds": sum(by.values()), "by": by}


def _words(found: Json) -> str:
    """One sentence: the share, what it is made of, what was not measured."""
    share, people = found["share"], found["people"]
    part = "an unknown part" if share is None else f"{share:.0%}"
    text = f"{part} of the time that was measured went into data ({found['recommended']:.0%} is recommended)"
    parts = [f"{_part(found['wall'])} of the wall time", f"{_part(found['compute'])} of the compute"]
    if people["decisions"]:
        parts.append(f"{people['seconds'] / 60:.0f} minutes of review for {people['decisions']:,} decisions")
    missing = [] if people["decisions"] else ["no review was logged"]
    if people["unmeasured_decisions"]:
        missing.append(f"{people['unmeasured_decisions']:,} decisions have no time")
    if not found["wall"]["model"]:
        missing.append("no work on a model was logged")
    if killed := found["killed_attempts"]:
        missing.append(f"{killed} {'attempt was' if killed == 1 else 'attempts were'} killed, or still run, and left no time")
    if silent := found["compute"]["unmeasured_attempts"]:
        missing.append(f"{silent} {'attempt' if silent == 1 else 'attempts'} did not log their compute")
    return f"{text}: {', '.join(parts)}." + (f" Not measured: {'; '.join(missing)}." if missing else "")


def _part(one: Json) -> str:
    return "an unknown part" if one["share"] is None else f"{one['share']:.0%}"
