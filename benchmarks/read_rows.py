"""How fast 500,000 rows of about 200 bytes are read, and how much memory that takes, by container.

    python benchmarks/read_rows.py [ROWS]

The rows are made from `reviews.csv` (texts put together two by two). Each container is read in a fresh process: seconds from nothing to rows with ids,
peak memory of the whole process (imports of Polars and pyarrow, about 95 MB, included). Targets: csv 2.5 s and 600 MB, jsonl 5 s.
"""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl

REVIEWS = Path(__file__).parents[1] / "examples" / "reviews" / "reviews.csv"
KINDS = ("csv", "jsonl", "parquet", "chat.jsonl")


def make(folder: Path, rows: int) -> None:
    """The same rows in every container, and as many chats of two turns."""
    reviews, pick = pl.read_csv(REVIEWS), random.Random(1)
    texts, labels = reviews["text"].to_list(), reviews["label"].to_list()
    chosen = [(index, pick.randrange(len(texts)), pick.randrange(len(texts))) for index in range(rows)]
    frame = pl.DataFrame(
        [(index, f"{texts[one]} {texts[two]}", labels[one]) for index, one, two in chosen], schema=["id", "text", "label"], orient="row"
    )
    frame.write_csv(folder / "rows.csv")
    frame.write_ndjson(folder / "rows.jsonl")
    frame.write_parquet(folder / "rows.parquet")
    with (folder / "rows.chat.jsonl").open("w") as file:
        for _, one, two in chosen:
            turns = [{"role": "user", "content": texts[one]}, {"role": "assistant", "content": texts[two]}]
            file.write(json.dumps({"messages": turns}, ensure_ascii=False) + "\n")


def read(path: str) -> None:
    """Read one file and print what it took, as JSON."""
    import pyarrow  # noqa: F401  (its import is not what is measured)

    from tunewright.core.recipe import DataSettings
    from tunewright.sources import read_rows

    start, cpu = time.perf_counter(), time.process_time()
    rows = len(read_rows(DataSettings(path=path)).rows)
    seconds = {"wall_s": round(time.perf_counter() - start, 2), "cpu_s": round(time.process_time() - cpu, 2)}
    print(json.dumps({"rows": rows, **seconds, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), int(sys.argv[1]) if len(sys.argv) > 1 else 500_000)
        for kind in KINDS:
            path = Path(folder) / f"rows.{kind}"
            done = subprocess.run([sys.executable, __file__, "--read", str(path)], capture_output=True, text=True, check=True)
            print(f"{kind:<11} {path.stat().st_size / 1e6:6.0f} MB  {done.stdout.strip()}")


if __name__ == "__main__":
    read(sys.argv[2]) if sys.argv[1:2] == ["--read"] else main()
