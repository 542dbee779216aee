"""The sealed test: hashed before training, opened only by `evaluate`, each look counted and paid for.

`prepare/seal.json`: {"sha256": ..., "rows": 556, "openings": [{"purpose", "fingerprint", "time"}]}. A look is one set of systems
judged on the test, named by its fingerprint; finishing an interrupted evaluation of the same set is the same look.
"""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl

from tunewright.core.errors import RunError
from tunewright.core.files import read_json, read_parquet, sha256_file, write_json, write_parquet
from tunewright.core.run import Run


def seal_test(run: Run, rows: pl.DataFrame) -> None:
    """Write `prepare/test.parquet` and its hash. Looks that were taken in this run directory before stay counted, whatever changed."""
    path, seal = run.path("prepare", "test.parquet"), run.path("prepare", "seal.json")
    before = read_json(seal) if seal.exists() else {}
    write_parquet(path, rows)
    write_json(seal, {"sha256": sha256_file(path), "rows": len(rows), "openings": before.get("openings", [])})


def check_seal(run: Run) -> dict[str, object]:
    """The seal, if the test split is still the one that was sealed. Raises `RunError` otherwise."""
    path = run.path("prepare", "test.parquet")
    seal: dict[str, object] = read_json(run.path("prepare", "seal.json"))
    if not path.exists():
        raise RunError(f"{path} is missing, but prepare/seal.json names it. Run prepare again in a new run directory.")
    if sha256_file(path) != seal["sha256"]:
        raise RunError(
            f"{path} is not the test split that was sealed (its hash changed). Results on it would prove nothing: prepare again in a new run directory."
        )
    return seal


def open_test(run: Run, purpose: str, fingerprint: str) -> tuple[pl.DataFrame, int]:
    """The test rows and how many looks have been taken at them, this one included.

    `fingerprint` names the set of systems that will be judged. Raises `RunError` when the split was changed after sealing.
    """
    seal = check_seal(run)
    openings = seal["openings"]
    assert isinstance(openings, list)
    if not any(one["fingerprint"] == fingerprint for one in openings):
        openings.append({"purpose": purpose, "fingerprint": fingerprint, "time": datetime.now(UTC).isoformat(timespec="seconds")})
        write_json(run.path("prepare", "seal.json"), seal)
    return read_parquet(run.path("prepare", "test.parquet")), len(openings)
