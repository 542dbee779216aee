"""What `registry.json` says: the versions of one model, which of them serves, and who gets a challenger.

{"schema": 1, "model": "reviews", "revision": 7,
 "versions": {"1": {"created": "2026-11-27T10:04:09+00:00", "release_fingerprint": "5b1e...", "approved": true, "verdict": "SHIP",
                    "run": "runs/reviews", "parent": null, "lineage": {...}, "gates": [], "state": "ready", "sha256": "e3b0..."}, "2": {...}},
 "aliases": {"champion": 1, "challenger": 2}, "previous": [],
 "rollout": {"challenger": 2, "mode": "canary", "share": 0.05, "salt": "9f2c...", "since": "2026-11-27T10:09:40+00:00"},
 "last": {"revision": 7, "action": "set_rollout", ...}}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from tunewright.core.errors import RunError

SCHEMA = 1
ALIASES = ("champion", "challenger")
Mode = Literal["shadow", "canary"]


@dataclass(frozen=True)
class Version:
    """One registered release. `state` is retired once its files were collected; what is known of it stays."""

    created: str
    release_fingerprint: str
    approved: bool
    verdict: str
    run: str | None
    parent: int | None
    lineage: Mapping[str, Any]
    gates: tuple[Mapping[str, Any], ...]  # {"name", "passed": true | false | null, "text"}
    state: Literal["ready", "retired"]
    sha256: str  # of lineage.json, which holds the hash of every other file


@dataclass(frozen=True)
class Rollout:
    """Who else answers: in the shadow nobody sees it; as a canary `share` of the callers, chosen by a hash with `salt`."""

    challenger: int
    mode: Mode
    share: float
    salt: str
    since: str


@dataclass(frozen=True)
class State:
    """`registry.json`, read once."""

    model: str
    revision: int = 0
    versions: Mapping[int, Version] = field(default_factory=dict)
    aliases: Mapping[str, int] = field(default_factory=dict)
    previous: tuple[int, ...] = ()  # champions before this one, newest last
    rollout: Rollout | None = None
    last: Mapping[str, Any] = field(default_factory=dict)  # the change that made this revision
    schema: int = SCHEMA

    @property
    def champion(self) -> int | None:
        return self.aliases.get("champion")

    @property
    def challenger(self) -> int | None:
        return self.aliases.get("challenger")

    @property
    def kept(self) -> set[int]:
        """Versions that serve, may soon, or would after a rollback: garbage collection leaves them alone."""
        return {*self.aliases.values(), *self.previous[-1:], *([self.rollout.challenger] if self.rollout else [])}

    def resolve(self, ref: str | int) -> int:
        """The version that `ref` means: an alias, 3 or "3". Raises `RunError` when there is none."""
        text = str(ref)
        number = self.aliases.get(text, int(text) if text.isdecimal() else None)
        if number not in self.versions or number is None:
            known = [*self.aliases, *map(str, self.versions)]
            raise RunError(
                f"{self.model}@{text}: there is no such version. It must be one of: {', '.join(known) or 'none is registered yet'}."
                + (" `tunewright promote` makes a version the champion." if text in ALIASES else "")
            )
        return number

    def with_aliases(self, **aliases: int | None) -> State:
        """The same with some aliases moved, or taken away by None."""
        return replace(self, aliases={name: number for name, number in {**self.aliases, **aliases}.items() if number is not None})

    def document(self) -> dict[str, Any]:
        """As it is written."""
        return asdict(self) | {"versions": {str(number): asdict(one) for number, one in self.versions.items()}}

    @staticmethod
    def of(document: Mapping[str, Any], source: str) -> State:
        """As it was read from `source`. Raises `RunError` when it is of another schema or no registry at all."""
        if document.get("schema") != SCHEMA:
            raise RunError(
                f"{source}: schema {document.get('schema')!r} is not {SCHEMA}, which this version of Tunewright reads. Upgrade Tunewright."
            )
        try:
            versions = {
                int(number): Version(**(one | {"gates": tuple(one["gates"])})) for number, one in dict(document["versions"]).items()
            }
            rollout = document["rollout"]
            return State(
                model=document["model"],
                revision=document["revision"],
                versions=versions,
                aliases=document["aliases"],
                previous=tuple(document["previous"]),
                rollout=Rollout(**rollout) if rollout else None,
                last=document["last"],
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RunError(f"{source} is not a registry ({type(error).__name__}: {error}). Restore it from a backup.") from error
