"""The default steps, the split and the proof over 50,000 and 500,000 short rows: seconds of each, and of `verify ledger`.

    python benchmarks/prepare.py                  # writes benchmarks/results/prepare.json
    python benchmarks/prepare.py --rows 50000

The rows are those of `audit.py`, faults included. Each step is timed with the writing down of what it changed.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import polars as pl
from audit import make_rows

from tunewright.core.executor import LocalExecutor
from tunewright.core.files import write_parquet
from tunewright.core.ledger import Ledger
from tunewright.core.progress import Report
from tunewright.core.recipe import Recipe
from tunewright.core.run import Context, PeakMemory, Run
from tunewright.prepare import run as prepare
from tunewright.prepare.apply import Bench
from tunewright.prepare.proof import check_changes

RESULT = Path(__file__).parent / "results" / "prepare.json"


def measure(count: int, folder: Path) -> dict[str, Any]:
    """Seconds of the whole stage, of each step, and of its proof."""
    rows = make_rows(count).select(
        row_id=pl.format("r{}", pl.int_range(pl.len())),
        source=pl.lit("rows.csv"),
        line=pl.int_range(2, pl.len() + 2),
        text="text",
        label="label",
    )
    run, report = Run(folder), Report(quiet=True)
    write_parquet(run.path("audit", "rows.parquet"), rows)
    context = Context(Recipe.check({"data": {"path": "rows.csv"}}), run, Ledger(run.path("ledger.parquet")), LocalExecutor(report), report)
    steps: dict[str, float] = {}
    take, clocks = Bench.take, [time.perf_counter()]

    def timed(self: Bench, *given: Any) -> pl.DataFrame:
        done = take(self, *given)
        clocks.append(time.perf_counter())
        steps[given[2]] = round(clocks[-1] - clocks[-2], 2)
        return done

    Bench.take = timed  # type: ignore[method-assign]
    start = time.perf_counter()
    with PeakMemory() as memory:
        result = prepare(context)
    seconds = time.perf_counter() - start
    Bench.take = take  # type: ignore[method-assign]
    start = time.perf_counter()
    check_changes(run)
    return {
        "rows": count,
        "seconds": round(seconds, 2),
        "steps": steps,
        "split_and_files": round(seconds - sum(steps.values()), 2),
        "proof_seconds": round(time.perf_counter() - start, 2),
        "peak_bytes": memory.bytes,
        "summary": result.summary(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, action="append")
    given = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as place:
        measure(2_000, Path(place, "warm"))  # numba compiles
        for count in given.rows or [50_000, 500_000]:
            found.append(measure(count, Path(place, str(count))))
            print(json.dumps(found[-1], indent=2))
    if not given.rows:
        RESULT.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
