"""The registry of one model: every change is one rename of `registry.json`, made under a lock, and told in `history.jsonl`.

    registry/reviews/registry.json      which versions there are, who is champion, who gets what share
    registry/reviews/history.jsonl      {"revision": 4, "time": ..., "by": "ana", "action": "promote", "version": 2, "reason": "..."}
    registry/reviews/versions/2/        a release and its lineage.json

A process that is killed at any moment leaves the state before its change or the one after, nothing between: a version's files
are moved into place before `registry.json` names them, and what it does not name is cleared by the next change. An event is
part of the state (`last`) before it is a line of the history, so neither can tell what the other does not know.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tunewright.core.errors import RunError
from tunewright.core.files import append_jsonl, atomic_dir, read_json, read_jsonl, sha256_file, write_json
from tunewright.registry import intake
from tunewright.registry.state import Mode, Rollout, State, Version

WAIT_SECONDS = 60.0


class Registry:
    """The versions of one model in `directory`, for example `registry/reviews`."""

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        self.file = self.directory / "registry.json"
        self._seen: tuple[tuple[int, int, int], State] | None = None

    @property
    def name(self) -> str:
        return self.directory.resolve().name

    def state(self) -> State:
        """What `registry.json` says now; empty before the first version. Read again only when the file is another one."""
        try:
            look = self.file.stat()
        except FileNotFoundError:
            return State(self.name)
        mark = (look.st_ino, look.st_mtime_ns, look.st_size)
        if self._seen is None or self._seen[0] != mark:
            self._seen = mark, State.of(read_json(self.file), str(self.file))
        return self._seen[1]

    def resolve(self, ref: str | int) -> int:
        """The number of "champion", "challenger", 3 or "3". Raises `RunError` when there is no such version."""
        return self.state().resolve(ref)

    def path(self, version: int) -> Path:
        """Where the release of `version` is. Raises `RunError` when its files were collected."""
        one = self.state().versions[self.resolve(version)]
        if one.state == "retired":
            raise RunError(f"{self.name}@{version} is retired: garbage collection removed its files. Choose a version that is ready.")
        return self.directory / "versions" / str(version)

    def register(
        self,
        release_dir: str | Path,
        *,
        run: str | Path | None = None,
        parent: int | None = None,
        reason: str,
        by: str,
        gates: Sequence[dict[str, Any]] = (),
        lineage: Mapping[str, Any] | None = None,
    ) -> int:
        """Take in a release as the next version; the same release again is the version that it already has.

        Every file is checked against the hash it was packed with. `lineage` adds to what the release's manifest says of its origin. `parent` is the version that it is meant to improve on (by
        default the champion). Raises `RunError`, and then nothing was registered.
        """
        release = Path(release_dir)
        manifest = intake.read_manifest(release)
        files = intake.listed(release, manifest)
        contents = next(one["sha256"] for one in files if one["path"] == intake.MANIFEST)
        with self._change("register", reason, by) as (before, commit):
            for number, one in before.versions.items():
                if one.state == "ready" and one.lineage["manifest_sha256"] == contents:
                    return number
            number = max(before.versions, default=0) + 1
            parent = before.champion if parent is None else before.resolve(parent)
            created, origin = _now(), str(run) if run else None
            told = {"model": self.name, "version": number, "created": created, "run": origin, "parent": parent}
            origins = {**manifest.get("lineage", {}), **(lineage or {})}
            told |= {"manifest_sha256": contents, "base_model": manifest["base_model"], "release": origins}
            with atomic_dir(self.directory / "versions" / str(number)) as beside:
                intake.take(release, files, beside)
                intake.check(beside, files)
                write_json(beside / intake.LINEAGE, told | {"reason": reason, "by": by, "files": files})
                mark = sha256_file(beside / intake.LINEAGE)
            version = Version(
                created=created,
                release_fingerprint=intake.release_fingerprint(manifest),
                approved=bool(manifest["approved"]),
                verdict=str(manifest["verdict"]),
                run=origin,
                parent=parent,
                lineage={"manifest_sha256": contents, "base_model": manifest["base_model"], **origins},
                gates=tuple(gates),
                state="ready",
                sha256=mark,
            )
            commit(replace(before, versions={**before.versions, number: version}), version=number)
        return number

    def promote(self, ref: str | int, *, reason: str, by: str, force: bool = False) -> int:
        """Make `ref` the champion; the one before is remembered for `rollback`. A rollout under way ends.

        Raises `RunError` when the release is not approved or failed a gate (unless `force`), or when its files changed or its
        parity was not checked (always).
        """
        with self._change("promote", reason, by) as (before, commit):
            number = before.resolve(ref)
            if number == before.champion:
                return number
            overruled = self._fit_to_serve(number, before, force, "promoted")
            previous = (*before.previous, *([before.champion] if before.champion is not None else []))
            after = replace(before.with_aliases(champion=number), previous=previous, rollout=None)
            if before.challenger == number:
                after = after.with_aliases(challenger=None)
            commit(after, version=number, before=before.champion, **({"overruled": overruled} if overruled else {}))
        return number

    def rollback(self, *, reason: str, by: str) -> int:
        """Make the previous champion the champion again; a rollout under way ends. Raises `RunError` when there is none."""
        with self._change("rollback", reason, by) as (before, commit):
            if not before.previous:
                raise RunError(f"{self.name}: there is no champion before {before.champion or 'the first'} to roll back to.")
            number = before.previous[-1]
            self.verify(number)
            after = replace(before.with_aliases(champion=number), previous=before.previous[:-1], rollout=None)
            if before.challenger == number:
                after = after.with_aliases(challenger=None)
            commit(after, version=number, before=before.champion)
        return number

    def set_challenger(self, version: str | int | None, *, reason: str, by: str) -> int | None:
        """Name the version that is to be tried against the champion, or nobody (None). A rollout of another one ends."""
        with self._change("set_challenger", reason, by) as (before, commit):
            number = None if version is None else before.resolve(version)
            if number == before.challenger:
                return number
            if number is not None and number == before.champion:
                raise RunError(f"{self.name}@{number} is the champion: a challenger must be another version.")
            if number is not None:
                self.verify(number)
            commit(replace(before.with_aliases(challenger=number), rollout=None), version=number, before=before.challenger)
        return number

    def set_rollout(self, mode: Mode, share: float, *, reason: str, by: str, force: bool = False) -> Rollout:
        """Let the challenger answer: unseen ("shadow") or to `share` of the callers ("canary").

        Callers that had it keep it when the share rises: the salt of their hash stays as long as the challenger does.
        """
        with self._change("set_rollout", reason, by) as (before, commit):
            if not 0 < share <= 1:
                raise RunError(f"{self.name}: the share of a rollout must be above 0 and at most 1, but got {share}.")
            number = before.challenger
            if number is None or before.champion is None:
                raise RunError(f"{self.name}: a rollout needs a champion and a challenger. Name the challenger first.")
            if mode == "canary":
                self._fit_to_serve(number, before, force, "rolled out")
            salt = before.rollout.salt if before.rollout else secrets.token_hex(8)
            rollout = Rollout(number, mode, share, salt, _now())
            commit(replace(before, rollout=rollout), version=number, mode=mode, share=share)
        return rollout

    def end_rollout(self, *, reason: str, by: str) -> None:
        """From now on the champion alone answers. Nothing happens when it does already."""
        with self._change("end_rollout", reason, by) as (before, commit):
            if before.rollout is not None:
                commit(replace(before, rollout=None), version=before.rollout.challenger)

    def record_gates(self, ref: str | int, gates: Sequence[dict[str, Any]], *, reason: str, by: str) -> None:
        """Add results of gates ({"name", "passed", "text"}) to a version; one of the same name is replaced."""
        with self._change("record_gates", reason, by) as (before, commit):
            number = before.resolve(ref)
            one = before.versions[number]
            names = {gate["name"] for gate in gates}
            kept = tuple(gate for gate in one.gates if gate["name"] not in names)
            versions = {**before.versions, number: replace(one, gates=(*kept, *gates))}
            commit(replace(before, versions=versions), version=number, gates=list(gates))

    def verify(self, version: str | int) -> int:
        """Check the hash of every file of a version; how many there are. Raises `RunError` naming the first that differs."""
        number = self.resolve(version)
        folder = self.path(number)
        lineage = folder / intake.LINEAGE
        if not lineage.is_file() or sha256_file(lineage) != self.state().versions[number].sha256:
            raise RunError(f"{lineage} is not the one that was registered. Register the release again.")
        files = read_json(lineage)["files"]
        intake.check(folder, files)
        extra = {str(one.relative_to(folder)) for one in folder.rglob("*") if one.is_file()} - {one["path"] for one in files}
        if extra - {intake.LINEAGE}:
            raise RunError(f"{folder} holds {min(extra - {intake.LINEAGE})}, which is not part of the release. Remove it.")
        return len(files)

    def collect_garbage(self, keep: int, *, reason: str = "garbage collection", by: str = "tunewright") -> list[int]:
        """Remove the files of all versions but the newest `keep` and those that serve, may soon, or would after a rollback."""
        if keep < 0:
            raise RunError(f"{self.name}: the number of versions to keep must be 0 or more, but got {keep}.")
        with self._change("collect_garbage", reason, by) as (before, commit):
            ready = [number for number, one in before.versions.items() if one.state == "ready"]
            spare = before.kept | set(sorted(ready)[len(ready) - min(keep, len(ready)) :])
            gone = sorted(set(ready) - spare)
            if gone:
                versions = {n: replace(one, state="retired") if n in gone else one for n, one in before.versions.items()}
                previous = tuple(number for number in before.previous if number not in gone)
                commit(replace(before, versions=versions, previous=previous), versions=gone)
                self._tidy(self.state())
        return gone

    def history(self) -> list[dict[str, Any]]:
        """Who changed what, when and why; oldest first. The last change is in it even if its line was never written."""
        told = read_jsonl(self._history) if self._history.exists() else []
        last = dict(self.state().last)
        return told if not last or (told and told[-1]["revision"] >= last["revision"]) else [*told, last]

    @property
    def _history(self) -> Path:
        return self.directory / "history.jsonl"

    def _fit_to_serve(self, number: int, state: State, force: bool, what: str) -> list[str]:
        """Raises `RunError` unless the version may answer callers; what `force` overruled."""
        self.verify(number)
        release = self.path(number)
        soft, hard = intake.why_not(release, intake.read_manifest(release), state.versions[number].gates)
        if hard or (soft and not force):
            remedy = (
                "Pack the release again, or check the same artefact again with `tunewright verify`."
                if hard
                else "`--force` overrules this, and the history will say so."
            )
            raise RunError(f"{self.name}@{number} cannot be {what}: {'; '.join([*hard, *soft])}. {remedy}")
        return soft

    @contextmanager
    def _change(self, action: str, reason: str, by: str) -> Iterator[tuple[State, Callable[..., None]]]:
        """The state under the lock, and what writes the next one with its event."""
        if not reason.strip() or not by.strip():
            raise RunError(f"{self.name}: {action} needs a reason and a name (`--reason`, `--by`): the history tells them.")
        self.directory.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.directory / ".lock", timeout=WAIT_SECONDS):
                before = self.state()
                self._catch_up(before)
                self._tidy(before)

                def commit(after: State, **fields: Any) -> None:
                    event = {"revision": before.revision + 1, "time": _now(), "by": by, "action": action, "reason": reason, **fields}
                    after = replace(after, model=self.name, revision=event["revision"], last=event)
                    write_json(self.file, after.document())
                    _sync(self.directory)
                    append_jsonl(self._history, event)

                yield before, commit
        except Timeout as error:
            raise RunError(f"{self.directory} was in use by another process for {WAIT_SECONDS:.0f} seconds. Try again.") from error

    def _catch_up(self, state: State) -> None:
        """Tell the last event if the process that made it was killed before it could, or in the middle of the line."""
        told = read_jsonl(self._history) if self._history.exists() else []
        if state.last and (not told or told[-1]["revision"] < state.last["revision"]):
            if self._history.exists() and not self._history.read_bytes().endswith(b"\n"):
                with open(self._history, "ab") as stream:
                    stream.write(b"\n")
            append_jsonl(self._history, dict(state.last))

    def _tidy(self, state: State) -> None:
        """Clear files that no version names; the caller holds the lock, so nobody is writing them."""
        ready = {str(number) for number, one in state.versions.items() if one.state == "ready"}
        folder = self.directory / "versions"
        for left in folder.iterdir() if folder.is_dir() else ():
            if left.name not in ready:
                shutil.rmtree(left)
        for left in self.directory.glob(".*.tmp"):
            left.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """Make a rename in `folder` last through a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
