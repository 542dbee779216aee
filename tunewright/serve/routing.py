"""Which version answers whom: from the name that a caller asks for and the registry's state, without any state of its own.

reviews             the champion, or the challenger for the share of the callers that a canary rollout gives it
reviews@champion    the champion, whoever asks;  reviews@challenger the other one;  reviews@3 version 3;  smollm2-135m the base model

A caller sticks to a side: its hash with the rollout's salt decides, and who had the challenger keeps it when the share rises.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from tunewright.core.settings import did_you_mean
from tunewright.registry import Rollout
from tunewright.serve.errors import ApiError
from tunewright.serve.logs import one_line
from tunewright.traffic.record import Side


@dataclass(frozen=True)
class Table:
    """Who can answer under which name. Replaced whole when the registry changes, so a request sees one state of it."""

    model: str
    champion: int | None
    challenger: int | None = None
    rollout: Rollout | None = None
    versions: frozenset[int] = frozenset()
    base: str | None = None
    revision: int = 0
    created: dict[int, str] = field(default_factory=dict)

    def name(self, number: int) -> str:
        """The name of a version, as it is logged: reviews@3."""
        return f"{self.model}@{number}"

    def names(self) -> list[str]:
        """Everything that a caller may ask for, the likeliest first."""
        aliases = [name for name, number in (("champion", self.champion), ("challenger", self.challenger)) if number is not None]
        found = [self.model] if self.champion is not None else []
        found += [f"{self.model}@{alias}" for alias in aliases]
        found += [self.name(number) for number in sorted(self.versions, reverse=True)]
        return [*found, *([self.base] if self.base else [])]


@dataclass(frozen=True)
class Choice:
    """Who answers a request. `version` is None for the base model; `shadow` is the version that gets a copy."""

    name: str
    version: int | None
    side: Side
    shadow: int | None = None


def caller_hash(salt: str, who: str) -> str:
    """Sixteen hex digits that stand for a caller; the first bits decide its side."""
    return hashlib.blake2b(f"{salt}\0{who}".encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()


def position(digest: str) -> float:
    """Where a caller stands in [0, 1): below the share means the challenger."""
    return int(digest[:13], 16) / 16**13


def choose(table: Table, asked: str, who: str) -> Choice:
    """Who answers the caller `who` that asks for the model `asked`. Raises `ApiError` 404 when there is no such model."""
    if asked == table.base:
        return Choice(asked, None, "direct")
    model, at, ref = asked.partition("@")
    if model != table.model or (table.champion is None and not at):
        raise unknown(table, asked)
    if at:
        number = {"champion": table.champion, "challenger": table.challenger}.get(ref, _number(ref))
        if number is None or number not in table.versions:
            raise unknown(table, asked)
        return Choice(table.name(number), number, "direct")
    champion = table.champion
    assert champion is not None
    rollout = table.rollout
    if rollout is None or rollout.challenger not in table.versions:
        return Choice(table.name(champion), champion, "champion")
    inside = position(caller_hash(rollout.salt, who)) < rollout.share
    if rollout.mode == "canary" and inside:
        return Choice(table.name(rollout.challenger), rollout.challenger, "challenger")
    return Choice(table.name(champion), champion, "champion", rollout.challenger if rollout.mode == "shadow" and inside else None)


def unknown(table: Table, asked: str) -> ApiError:
    """404 with the names that would do."""
    shown = one_line(asked[:100])
    return ApiError(404, f"There is no model {shown!r} here.{did_you_mean(shown, table.names())}", "model_not_found", "model")


def _number(ref: str) -> int | None:
    return int(ref) if ref.isascii() and ref.isdecimal() and len(ref) <= 9 and str(int(ref)) == ref else None
