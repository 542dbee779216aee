"""Reading and writing files so that a crash never leaves half of one.

Every write goes to a hidden neighbour first and is renamed into place. A full disk becomes `DiskFull`.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from tunewright.core.errors import DiskFull, RunError


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn 'no space left' while writing `path` into an error that says what to do."""
    try:
        yield
    except Exception as error:  # polars and safetensors have error types of their own for it
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error):
            raise DiskFull(
                f"{path}: no space left on the device. What was finished is kept; free some space and run the same command again."
            ) from error
        raise


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to; rename it to `path` when the block ends well, remove it otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with disk_errors(path):
            yield beside
            with open(beside, "rb") as written:
                os.fsync(written.fileno())
            os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def atomic_dir(path: Path) -> Iterator[Path]:
    """The same for a directory; an older one at `path` is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    try:
        with disk_errors(path):
            yield beside
            if path.exists():
                old = path.with_name(f".{path.name}.{os.getpid()}.old")
                os.replace(path, old)
                os.replace(beside, path)
                shutil.rmtree(old)
            else:
                os.replace(beside, path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    with atomic_path(path) as beside:
        beside.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON. NaN and infinity are refused: they are not JSON."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False, default=str) + "\n")


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing: the stage that writes it has not finished. Run it first.") from error
    except ValueError as error:
        raise RunError(f"{path} is not valid JSON ({error}). Delete its folder and run that stage again.") from error


def write_parquet(path: Path, frame: pl.DataFrame) -> None:
    with atomic_path(path) as beside:
        frame.write_parquet(beside)


def read_parquet(path: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(path)
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing: the stage that writes it has not finished. Run it first.") from error
    except pl.exceptions.ComputeError as error:
        raise RunError(f"{path} cannot be read ({error}). Delete its folder and run that stage again.") from error


def append_jsonl(path: Path, record: dict[str, Any]) -> None:
    """Append one line. A line is one write call, so a reader sees whole lines or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with disk_errors(path), open(path, "ab", buffering=0) as stream:
        stream.write((json.dumps(record, ensure_ascii=False, default=str) + "\n").encode())


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """All whole records; a last line that a crash cut short is left out."""
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except ValueError:
            continue
    return records


def sha256_file(path: Path) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def link(source: Path | str, target: Path | str) -> None:
    """A hard link, which costs no space, or a copy where the file system has none."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def fingerprint(value: Any) -> str:
    """Sixteen hex digits that change when `value` (anything JSON can hold) changes."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]
