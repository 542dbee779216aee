"""The default steps, the split and the proof over 50,000 and 500,000 short rows: seconds of each, and of `verify ledger`.

    python benchmarks/prepare.py                  # writes benchmarks/results/prepare.json
    python benchmarks/prepare.py --rows 50000
    python benchmarks/prepare.py --rows 5000000     # about a quarter of an hour; makes the rows first, which takes 8 GB

The rows are those of `audit.py`, faults included. Each step is timed with the writing down of what it changed. Rows are made in one
process and prepared in another, so that `peak_bytes` is that of preparing alone, the libraries included.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
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


def make(count: int, folder: Path) -> None:
    """Put the rows where an audit would have put them."""
    rows = make_rows(count).select(
        row_id=pl.format("r{}", pl.int_range(pl.len())),
        source=pl.lit("rows.csv"),
        line=pl.int_range(2, pl.len() + 2),
        text="text",
        label="label",
    )
    write_parquet(Run(folder).path("audit", "rows.parquet"), rows)


def measure(count: int, folder: Path) -> dict[str, Any]:
    """Seconds of the whole stage, of each step, and of its proof."""
    run, report = Run(folder), Report(quiet=True)
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
        "load_average": os.getloadavg(),
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
    found: list[Any] = []
    with tempfile.TemporaryDirectory() as place:
        for count in given.rows or [50_000, 500_000]:
            for task in (make, measure):  # each in a fresh process
                with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                    done = pool.submit(task, count, Path(place, str(count))).result()
            found.append(done)
            print(json.dumps(found[-1], indent=2))
    if not given.rows:
        RESULT.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
