"""`tunewright verify RUN`: check the evidence of a finished run again, from its files alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import polars as pl

from tunewright.core.errors import LedgerError, RunError, TunewrightError
from tunewright.core.files import read_parquet
from tunewright.core.ledger import Ledger, check_conservation
from tunewright.core.run import Run
from tunewright.core.seal import check_seal

_IN_OUT = {
    "audit": ([], ["audit/rows.parquet"]),
    "prepare": (["audit/rows.parquet"], ["prepare/train.parquet", "prepare/validation.parquet", "prepare/test.parquet"]),
    "tune": (["prepare/train.parquet"], ["prepare/train.parquet"]),
    "evaluate": (["prepare/test.parquet"], ["prepare/test.parquet"]),
}


_NEEDS = {"ledger": "audit", "seal": "prepare", "tokens": "release", "parity": "release"}


def verify(run: Run, what: str | None = None) -> list[dict[str, Any]]:
    """One {name, ok, text} for `what`; without it for all that a run can show by now (`ok` is None for what is still to come)."""
    results: list[dict[str, Any]] = []
    for name in [what] if what else _NEEDS:
        if not what and not run.done(_NEEDS[name]):
            results.append({"name": name, "ok": None, "text": f"nothing to check: {_NEEDS[name]} has not finished"})
            continue
        results.append(_result(name, partial(_CHECKS[name], run)))
    return results


def verify_release(directory: Path, what: str | None = None) -> list[dict[str, Any]]:
    """The same for a release without its run, such as a registered version: its `tokens` (files included), its `parity`, or both."""
    release = import_module("tunewright.release")
    checks = {"tokens": release.verify_tokens, "parity": release.verify_parity}
    if what not in (None, *checks):
        raise RunError(f"{directory} is a release, not a run: {what} cannot be checked there. It must be one of: {', '.join(checks)}.")
    return [_result(name, partial(checks[name], directory)) for name in ([what] if what else checks)]


def _result(name: str, check: Callable[[], Any]) -> dict[str, Any]:
    try:
        return {"name": name, "ok": True, "text": str(check())}
    except (TunewrightError, LedgerError) as error:
        return {"name": name, "ok": False, "text": str(error)}


def _ids(run: Run, files: list[str]) -> pl.Series:
    parts = [read_parquet(run.path(file))["row_id"] for file in files]
    return pl.concat(parts) if parts else pl.Series("row_id", [], dtype=pl.String)


def _ledger(run: Run) -> str:
    lines = Ledger(run.path("ledger.parquet")).lines()
    stages = [stage for stage in _IN_OUT if run.done(stage)]
    for stage in stages:
        before, after = _IN_OUT[stage]
        check_conservation(stage, lines.filter(pl.col("stage") == stage), _ids(run, before), _ids(run, after))
    text = f"{len(lines):,} lines balance row by row in {', '.join(stages) or 'no stage yet'}"
    if "prepare" in stages:
        text += f"; {import_module('tunewright.prepare.proof').check_changes(run)}"
    return text


def _seal(run: Run) -> str:
    seal = check_seal(run)
    openings = seal["openings"]
    assert isinstance(openings, list)
    return f"the {seal['rows']} test rows are the ones that were sealed; looked at {len(openings)} time(s)"


def _resume(run: Run) -> str:
    return str(import_module("tunewright.tune").verify_resume(run))


def _tokens(run: Run) -> str:
    return str(import_module("tunewright.release").verify_tokens(run.path("release")))


def _parity(run: Run) -> str:
    return str(import_module("tunewright.release").verify_parity(run.path("release")))


_CHECKS: dict[str, Callable[[Run], str]] = {"ledger": _ledger, "seal": _seal, "resume": _resume, "tokens": _tokens, "parity": _parity}
