"""What every format carries: a row to review, and what somebody said about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Said:
    """One decision on its way in or out. `by` is None where the file does not say who it was; `origin` keeps an import from counting twice."""

    row_id: str
    action: str
    field: str | None = None
    value: str | None = None
    by: str | None = None
    at: str | None = None
    seconds: float | None = None
    origin: str | None = None


@dataclass(frozen=True)
class Entry:
    """A row with what the audit says about it, and the decisions so far."""

    row: dict[str, Any]
    evidence: str
    uncertainty: float | None
    said: tuple[Said, ...]

    @property
    def fields(self) -> dict[str, str]:
        """The row's texts: what a reviewer reads and may edit."""
        return {name: self.row[name] for name in ("text", "answer", "rejected") if self.row.get(name) is not None}


def by_person(entry: Entry) -> dict[str, list[Said]]:
    """The decisions of each reviewer."""
    found: dict[str, list[Said]] = {}
    for one in entry.said:
        found.setdefault(one.by or "", []).append(one)
    return found
