"""API keys: `keys.json` in the registry directory, readable by its owner alone. A key itself is shown once and never stored.

{"schema": 1, "keys": [{"id": "k-5f0c2a9b", "name": "shop", "sha256": "9f86d0...", "scopes": ["infer", "feedback"], "created": "2026-11-27T10:04:09+00:00",
                        "expires": null, "revoked": null, "requests_per_minute": null, "replaces": null}]}

A key is `tw-` and 256 random bits, so a plain SHA-256 of it is as good as a slow hash: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from filelock import FileLock

from tunewright.core.errors import RunError
from tunewright.core.files import atomic_path, read_json
from tunewright.core.settings import did_you_mean

SCHEMA = 1
SCOPES = ("infer", "feedback", "metrics", "admin")  # admin: all of them
DEFAULT_SCOPES = ("infer", "feedback")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._@-]{0,63}")


@dataclass(frozen=True)
class Key:
    """What is kept of one key. Times are ISO, in UTC."""

    id: str
    name: str
    sha256: str
    scopes: tuple[str, ...]
    created: str
    expires: str | None = None
    revoked: str | None = None
    requests_per_minute: int | None = None  # None: what serve.requests_per_minute says
    replaces: str | None = None

    def state(self, now: datetime) -> str:
        """valid, expired or revoked."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and datetime.fromisoformat(self.expires) <= now else "valid"

    def may(self, scope: str) -> bool:
        return scope in self.scopes or "admin" in self.scopes

    def shown(self, now: datetime) -> dict[str, Any]:
        """For people: all but the hash."""
        return {name: value for name, value in asdict(self).items() if name != "sha256"} | {"state": self.state(now)}


class KeyFile:
    """The keys in a file; every change is made under a lock and written whole."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> tuple[Key, ...]:
        """All keys, revoked ones too. Raises `RunError` for a file that is none of ours, or that others may read."""
        if not self.path.exists():
            return ()
        mode = self.path.stat().st_mode & 0o777
        if mode & 0o077:
            raise RunError(f"{self.path} may be read by others (mode {mode:o}). Make it private: chmod 600 {self.path}")
        document = read_json(self.path)
        try:
            if document["schema"] != SCHEMA:
                raise ValueError(f"schema {document['schema']!r} is not {SCHEMA}")
            keys = tuple(Key(**{**one, "scopes": tuple(one["scopes"])}) for one in document["keys"])
            for one in keys:
                one.state(datetime.now(UTC))
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(f"{self.path} holds no keys of ours ({type(error).__name__}: {error}). Restore it, or move it away.") from error
        return keys

    def create(
        self,
        name: str,
        *,
        scopes: Sequence[str] = DEFAULT_SCOPES,
        days: float | None = None,
        requests_per_minute: int | None = None,
        replaces: Key | None = None,
        overlap: timedelta | None = None,
    ) -> tuple[str, Key]:
        """(the key, shown this once; what is kept of it). With `replaces` the old key ends after `overlap`. Raises `RunError`."""
        _check(name, scopes, days, requests_per_minute)
        token, now = f"tw-{secrets.token_urlsafe(32)}", datetime.now(UTC)
        key = Key(
            id=f"k-{secrets.token_hex(4)}",
            name=name,
            sha256=digest(token),
            scopes=tuple(scopes),
            created=_iso(now),
            expires=None if days is None else _iso(now + timedelta(days=days)),
            requests_per_minute=requests_per_minute,
            replaces=replaces.id if replaces else None,
        )
        with self._change() as keys:
            if replaces is not None:
                ends = _iso(now + (overlap or timedelta()))
                keys[:] = [_ended(one, ends) if one.id == replaces.id else one for one in keys]
            keys.append(key)
        return token, key

    def rotate(self, ref: str, *, overlap: timedelta) -> tuple[str, Key]:
        """A new key with the rights of `ref`, which goes on being valid for `overlap`. Raises `RunError`."""
        old, now = self.find(ref), datetime.now(UTC)
        if old.state(now) != "valid":
            raise RunError(f"{ref} is {old.state(now)}: only a valid key can be rotated. `tunewright keys create` makes a new one.")
        life = None
        if old.expires is not None:
            life = (datetime.fromisoformat(old.expires) - datetime.fromisoformat(old.created)) / timedelta(days=1)
        limits = {"days": life, "requests_per_minute": old.requests_per_minute}
        return self.create(old.name, scopes=old.scopes, replaces=old, overlap=overlap, **limits)  # type: ignore[arg-type]

    def revoke(self, ref: str) -> Key:
        """End a key at once. Raises `RunError` when there is none."""
        found, now = self.find(ref), _iso(datetime.now(UTC))
        with self._change() as keys:
            keys[:] = [replace(one, revoked=one.revoked or now) if one.id == found.id else one for one in keys]
        return self.find(found.id)

    def find(self, ref: str) -> Key:
        """The key with this id, or the only valid one of this name. Raises `RunError`."""
        keys, now = self.read(), datetime.now(UTC)
        found = [one for one in keys if one.id == ref] or [one for one in keys if one.name == ref and one.state(now) == "valid"]
        if len(found) == 1:
            return found[0]
        if found:
            raise RunError(f"{len(found)} valid keys have the name {ref!r}. Say which by its id: {', '.join(one.id for one in found)}.")
        raise RunError(f"{self.path} has no key {ref!r}.{did_you_mean(ref, [one.id for one in keys] + [one.name for one in keys])}")

    @contextmanager
    def _change(self) -> Iterator[list[Key]]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path.with_name(f".{self.path.name}.lock"), mode=0o600):
            keys = list(self.read())
            yield keys
            with atomic_path(self.path) as beside:
                handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(handle, "wb") as stream:
                    stream.write(_document(keys))


class Keyring:
    """What the server knows of the keys: read again when the file changes. Once keys are asked for, they stay asked for."""

    def __init__(self, path: Path | None, required: bool) -> None:
        self._file = KeyFile(path) if path is not None else None
        self._mark: tuple[int, int, int] | None = None
        self.keys: tuple[Key, ...] = ()
        self.required = required
        self.refresh()

    def refresh(self) -> bool:
        """Read the file again if it is another one; whether it was. Raises `RunError`; the keys from before then stay."""
        if self._file is None:
            return False
        try:
            look = self._file.path.stat()
            mark = look.st_ino, look.st_mtime_ns, look.st_size
        except FileNotFoundError:
            mark = None
        if mark == self._mark:
            return False
        self.keys = self._file.read()
        self._mark = mark
        self.required = self.required or bool(self.keys)
        return True

    def find(self, token: str) -> Key | None:
        """The key that `token` is, valid or not. Takes as long whichever it is, and whether or not it is one."""
        wanted, found = digest(token), None
        for key in self.keys:
            if hmac.compare_digest(key.sha256, wanted):
                found = key
        return found


def digest(token: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def _check(name: str, scopes: Sequence[str], days: float | None, requests_per_minute: int | None) -> None:
    if not _NAME.fullmatch(name):
        raise RunError(
            f"{name!r} is no name for a key: letters, digits, spaces and . _ @ - only, at most 64, beginning with a letter or digit."
        )
    wrong = [scope for scope in scopes if scope not in SCOPES]
    if wrong or not scopes:
        raise RunError(f"scopes must be some of {', '.join(SCOPES)}, but got {', '.join(map(repr, wrong)) or 'none'}.")
    if days is not None and not 0 < days <= 36500:
        raise RunError(f"--days must be above 0 and at most 36500, but got {days:g}.")
    if requests_per_minute is not None and requests_per_minute < 1:
        raise RunError(f"--requests-per-minute must be 1 or more, but got {requests_per_minute}.")


def _ended(key: Key, when: str) -> Key:
    """`key`, ending at `when` unless it ends earlier."""
    return replace(key, expires=min(key.expires, when, key=datetime.fromisoformat) if key.expires else when)


def _document(keys: list[Key]) -> bytes:
    import orjson

    return orjson.dumps({"schema": SCHEMA, "keys": [asdict(one) for one in keys]}, option=orjson.OPT_INDENT_2)


def _iso(when: datetime) -> str:
    return when.isoformat(timespec="seconds")
