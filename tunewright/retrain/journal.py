"""One attempt at a new champion, as it is kept on disk: `registry/MODEL/retrain/ID/journal.json`.

{"schema": 1, "id": "20261127-101500", "model": "reviews", "kind": "retrain", "trigger": "drift", "reason": "...", "by": "cron",
 "champion": 1, "challenger": 2, "state": "running", "outcome": "",
 "steps": {"rows": {"started": ..., "done": ..., "seconds": 1.2, "result": {...}}, "tune": {"started": ...}}}

A step does its work, then marks itself done with its result; a process that is killed in between does the step again, and every
step can be done again. Only the process that holds `retrain/.lock` writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from tunewright.core.errors import RunError
from tunewright.core.files import append_jsonl, read_json, write_json
from tunewright.registry import Registry

SCHEMA = 1
State = Literal["running", "promoted", "refused", "aborted", "rolled_back", "failed"]
FAILURES = 3  # errors in one step before the attempt is given up


class Busy(RunError):
    """Another process is at work on the same model; it will do what is to be done."""

    exit_code = 0


@dataclass
class Attempt:
    """An attempt and its journal."""

    directory: Path
    document: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.document["id"])

    @property
    def running(self) -> bool:
        return bool(self.document["state"] == "running")

    @property
    def began(self) -> datetime:
        return datetime.fromisoformat(self.document["began"])

    @property
    def ended(self) -> datetime | None:
        text = self.document["ended"]
        return datetime.fromisoformat(text) if text else None

    def path(self, *parts: str) -> Path:
        return self.directory.joinpath(*parts)

    def done(self, step: str) -> bool:
        return "done" in self.document["steps"].get(step, {})

    def result(self, step: str) -> dict[str, Any]:
        """What a step that is done found."""
        return dict(self.document["steps"][step]["result"])

    def notes(self, step: str) -> dict[str, Any]:
        """What a step under way has kept for its next turn."""
        return dict(self.document["steps"].get(step, {}).get("notes", {}))

    def start(self, step: str) -> None:
        if step not in self.document["steps"]:
            self.document["steps"][step] = {"started": _now()}
            self._save()

    def note(self, step: str, **notes: Any) -> None:
        self.document["steps"][step]["notes"] = self.notes(step) | notes
        self._save()

    def finish(self, step: str, result: dict[str, Any]) -> None:
        """Mark `step` done; the last thing that it does."""
        own = self.document["steps"][step]
        seconds = (datetime.now(UTC) - datetime.fromisoformat(own["started"])).total_seconds()
        own |= {"done": _now(), "seconds": round(seconds, 2), "result": result}
        self.document["failures"] = 0
        self._save()

    def change(self, **fields: Any) -> None:
        self.document |= fields
        self._save()

    def failed(self, error: str) -> bool:
        """Count an error; True when the attempt is given up."""
        self.document["failures"] += 1
        self.document["error"] = error
        if self.document["failures"] >= FAILURES:
            self.end("failed", error)
        self._save()
        return not self.running

    def end(self, state: State, outcome: str) -> None:
        """The attempt is over."""
        self.change(state=state, outcome=outcome, ended=_now())

    def tell(self, text: str) -> None:
        """One line of `events.jsonl`: what happened, for people."""
        append_jsonl(self.path("events.jsonl"), {"time": _now(), "text": text})

    def _save(self) -> None:
        write_json(self.path("journal.json"), self.document)


def folder(registry: Registry) -> Path:
    return registry.directory / "retrain"


def attempts(registry: Registry) -> list[Attempt]:
    """All attempts, oldest first."""
    found = sorted(folder(registry).glob("*/journal.json"))
    return [Attempt(path.parent, dict(read_json(path))) for path in found]


def begin(registry: Registry, **fields: Any) -> Attempt:
    """A new attempt; the caller holds the lock. `fields`: kind, trigger, reason, by, champion, and what the steps need."""
    moment = datetime.now(UTC)
    name = f"{moment:%Y%m%d-%H%M%S}"
    while (folder(registry) / name).exists():
        name += "x"
    document = {"schema": SCHEMA, "id": name, "model": registry.name, **fields}
    document |= {"challenger": fields.get("challenger"), "state": "running", "outcome": "", "failures": 0}
    attempt = Attempt(folder(registry) / name, document | {"began": moment.isoformat(), "ended": None, "steps": {}})
    attempt.change()
    return attempt


@contextmanager
def single_flight(registry: Registry) -> Iterator[None]:
    """Keep other processes from working on attempts of this model. Raises `Busy`."""
    folder(registry).mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder(registry) / ".lock", timeout=0):
            yield
    except Timeout as error:
        raise Busy(f"{registry.name}: another process is retraining it, and goes on with that.") from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
