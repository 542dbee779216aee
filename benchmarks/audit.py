"""The whole default audit of 500,000 short rows, reading included: seconds, memory, and which check takes how long.

    python benchmarks/audit.py                               # 50,000 and 500,000 rows; writes benchmarks/results/audit.json
    python benchmarks/audit.py --rows 5000000 --memory-gb 4  # one size, spilling to disk beyond 4 GB
    python benchmarks/audit.py --rows 50000 --alone          # checks one after the other, for true seconds of each
    python benchmarks/audit.py --rows 500000 --alone --memory-gb 0.01 --estimate    # the costs a row, and a billion rows on paper

Rows are new texts made from the word successions of the demo's reviews (a Markov chain for each label), median 30 words, 4% of
them edited copies of others. Faults stand in them about as often as in real exports: typographic quotes in 8% of the rows, HTML
entities in 1%, mojibake in 0.5%, e-mail addresses and phone numbers in 0.3% each. Each run is a process of its own; `seconds`
counts from its start to the written findings, `peak` is the process with its children.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

HERE = Path(__file__).parent
REVIEWS = HERE.parent / "examples" / "reviews" / "reviews.csv"
SIZES = [50_000, 500_000]
LONGEST = 55
FAULTS = [  # (share of the rows, what they begin with)
    (0.08, "it’s a “real”"),
    (0.01, "fish &amp; chips<br />"),
    (0.005, "itâ€™s"),
    (0.003, "write to jo.doe@mail.example.com or"),
    (0.003, "call (212) 867-5309"),
]


def make_rows(count: int, seed: int = 11) -> pl.DataFrame:
    """`count` rows (text, label, domain) in random order."""
    draw = np.random.default_rng(seed)
    reviews = pl.read_csv(REVIEWS)
    parts = []
    for (label,), part in reviews.partition_by("label", as_dict=True).items():
        texts = _chained(part["text"].to_list(), count * len(part) // len(reviews) + 1, draw)
        parts.append(pl.DataFrame({"text": texts}).with_columns(label=pl.lit(label)))
    rows = pl.concat(parts).sample(count, seed=seed, shuffle=True)
    start, text = pl.Series(draw.random(count)), pl.col("text")
    for share, words in FAULTS:
        text = pl.when((start >= 0) & (start < share)).then(pl.lit(words + " ") + text).otherwise(text)
        start = start - share
    return rows.with_columns(text=text, domain=pl.Series(draw.choice(["phone", "camera", "player"], count)))


def _chained(texts: list[str], count: int, draw: np.random.Generator) -> pl.Series:
    """`count` texts in which each word follows one that it follows in `texts`; the last 4% are edited copies of others."""
    words, codes = np.unique([word for text in texts for word in text.split()], return_inverse=True)
    begins = np.cumsum([0, *(len(text.split()) for text in texts)])[:-1]
    inside = np.setdiff1d(np.arange(len(codes) - 1), begins[1:] - 1)
    order = inside[np.argsort(codes[inside], kind="stable")]
    first, number = np.searchsorted(codes[order], np.arange(len(words))), np.bincount(codes[order], minlength=len(words))
    grid = np.empty((count, LONGEST), np.int32)
    grid[:, 0] = codes[draw.choice(begins, count)]
    for at in range(1, LONGEST):
        now, lot = grid[:, at - 1], draw.random(count)
        following = codes[order[np.minimum(first[now] + (lot * number[now]).astype(int), len(order) - 1)] + 1]
        grid[:, at] = np.where(number[now] > 0, following, codes[(lot * len(codes)).astype(int)])
    lengths = draw.integers(5, LONGEST + 1, count)
    copies = count // 25
    source = draw.integers(0, count - copies, copies)
    lengths[-copies:] = lengths[source]
    edited = draw.random((copies, LONGEST)) < 0.05
    grid[-copies:] = np.where(edited, draw.choice(codes, (copies, LONGEST)), grid[source])
    kept = grid[np.arange(LONGEST) < lengths[:, None]]
    values = pa.array(words.tolist(), pa.large_string()).take(pa.array(kept))
    lists = pa.LargeListArray.from_arrays(np.concatenate([[0], np.cumsum(lengths)]), values)
    return pl.from_arrow(lists).list.join(" ")


def audited(file: Path, folder: Path, given: argparse.Namespace) -> None:
    """One audit in this process, by way of the lifecycle; prints what it took as JSON."""
    start = time.perf_counter()
    from tunewright import lifecycle
    from tunewright.core.progress import Report
    from tunewright.core.recipe import Recipe

    compute = {"workers": 1 if given.alone else "auto", "memory_gb": given.memory_gb}
    recipe = Recipe.check({"data": {"path": str(file)}, "audit": {"fail_on": "never"}, "compute": compute})
    lifecycle.run_only("audit", recipe, folder, Report(quiet=True))
    took = {"seconds": time.perf_counter() - start, "cpu_seconds": sum(os.times()[:4])}
    done, summary = (json.loads((folder / "audit" / f"{name}.json").read_text()) for name in ("done", "summary"))
    checks = {name: {"seconds": one["seconds"], "findings": sum(one["counts"].values())} for name, one in summary["checks"].items()}
    events = folder.rglob("*")
    disk = sum(one.stat().st_size for one in events if one.is_file())
    print(json.dumps({**took, "peak_bytes": done["peak_memory_bytes"], "disk_bytes": disk, "checks": checks, "notes": summary["notes"]}))


def measure(file: Path, given: argparse.Namespace) -> dict[str, Any]:
    """The audit of `file` in a fresh process and a fresh run directory."""
    command = [sys.executable, __file__, "--child", str(file)] + ["--alone"] * given.alone
    command += ["--memory-gb", str(given.memory_gb)] if given.memory_gb else []
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([*command, "--folder", f"{folder}/run"], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def scopes() -> dict[str, str]:
    from tunewright.core import plugins

    return {name: plugins.load("checks", name).scope for name in plugins.names("checks")}


def show(rows: int, took: dict[str, Any]) -> None:
    print(
        f"{rows:,} rows: {took['seconds']:.1f} s, {took['cpu_seconds']:.1f} CPU s, {took['peak_bytes'] / 1e9:.2f} GB, {took['disk_bytes'] / 1e6:.0f} MB on disk"
    )
    for note in took["notes"]:
        print(f"  {note}")
    scope = scopes()
    print(f"  {'check':<26}{'scope':<7}{'seconds':>9}{'of all':>8}{'us a row':>10}{'findings':>10}")
    for name, one in sorted(took["checks"].items(), key=lambda item: -item[1]["seconds"]):
        share, each = one["seconds"] / took["seconds"], 1e6 * one["seconds"] / rows
        print(f"  {name:<26}{scope[name]:<7}{one['seconds']:>9.2f}{share:>8.0%}{each:>10.2f}{one['findings']:>10,}")


def estimate(rows: int, took: dict[str, Any], billions: float = 1, nodes: int = 100, cores: int = 16) -> dict[str, float]:
    """What a cluster would take, from the CPU seconds a row of one core on this machine. An estimate on paper, not a measurement."""
    scope, checks = scopes(), took["checks"]
    growing = ("conflicting_labels", "exact_duplicates", "near_duplicates")  # one of them makes the join that the others share
    by_row = sum(one["seconds"] for name, one in checks.items() if scope[name] == "row")
    join = sum(checks[name]["seconds"] for name in growing if name in checks)
    fixed = sum(one["seconds"] for name, one in checks.items() if scope[name] == "all" and name not in growing)
    reading = max(0.0, took["cpu_seconds"] - by_row - join - fixed)
    costs = {"reading and writing": reading / rows, "row checks": by_row / rows, "duplicate join": join / rows}
    print(
        f"per row on one core: {', '.join(f'{name} {1e6 * cost:.1f} us' for name, cost in costs.items())}; checks on samples {fixed:.1f} s in all"
    )
    number, total = billions * 1e9, fixed
    for name, cost in costs.items():
        share = 1 if name.startswith("reading") else nodes * cores  # one process reads the source
        print(f"  {name}: {number:.0e} rows x {1e6 * cost:.1f} us / {share:,} cores = {number * cost / share:,.0f} s")
        total += number * cost / share
    print(f"  together {total / 3600:.1f} hours on paper, {took['disk_bytes'] / rows * number / 1e12:.2f} TB kept on shared storage")
    return {**costs, "samples": fixed, "seconds_on_paper": total}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=int, nargs="+", default=SIZES, help="how many rows, smallest first")
    parser.add_argument("--memory-gb", type=float, help="spill to disk rather than take more")
    parser.add_argument("--alone", action="store_true", help="one check at a time, so that seconds are those of the check")
    parser.add_argument("--estimate", action="store_true", help="what a billion rows would take on 100 nodes; with --alone and --memory-gb")
    given = parser.parse_args()
    if given.child:
        audited(given.child, given.folder, given)
        return
    document: dict[str, Any] = {"load_average": os.getloadavg(), "cores": os.cpu_count(), "memory_gb": given.memory_gb, "sizes": []}
    with tempfile.TemporaryDirectory() as folder:
        warm = Path(folder) / "warm.csv"
        make_rows(2_000).write_csv(warm)
        document["first_seconds"] = measure(warm, given)["seconds"]  # compiles the kernels, where they are not compiled yet
        for rows in given.rows:
            file = Path(folder) / "rows.csv"
            make_rows(rows).write_csv(file)
            took = measure(file, given)
            show(rows, took)
            document["sizes"].append({"rows": rows, "bytes": file.stat().st_size, **took})
            if given.estimate:
                document["estimate"] = estimate(rows, took)
    if len(given.rows) > 1:
        small, large = document["sizes"][0], document["sizes"][-1]
        print(f"{large['rows'] // small['rows']}x the rows take {large['seconds'] / small['seconds']:.1f}x the seconds")
    if given.rows == SIZES and not (given.alone or given.memory_gb):
        (HERE / "results").mkdir(exist_ok=True)
        (HERE / "results" / "audit.json").write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
