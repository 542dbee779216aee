"""Near duplicates at Jaccard 0.5: our exact join against `rensa` (MinHash + LSH in Rust), on the same rows in one run.

    python benchmarks/near_duplicates.py            # one to two minutes; writes benchmarks/results/near_duplicates.json

Rows are new sentences made from the word successions of the demo's reviews (a Markov chain), so that they share phrases as real
rows do; 4% are edited copies of other rows with a true Jaccard similarity >= 0.5 over word triples. Each tool runs in a process of
its own, in turns, and gets the same list of texts. `seconds` and `CPU` count from the texts to one flag a row; `peak` is the
whole process. A planted pair is found when one of its two rows is flagged; a flag is false when the row has no partner with
J >= 0.5 at all, which a sparse matrix product decides, without our kernels.

`rensa` runs as its README shows (streaming, 128 slots, LSH, candidates checked against the sketch) and as its fastest pipeline
(rho batch, 32 bands of 4 slots, which fits the threshold 0.5), both on the same word triples.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

HERE = Path(__file__).parent
REVIEWS = HERE.parent / "examples" / "reviews" / "reviews.csv"
THRESHOLD = 0.5
SIZES = [10_000, 100_000]
SEED = 11


def triples(text: str) -> list[str]:
    words = text.casefold().split()
    return [" ".join(words[start : start + 3]) for start in range(max(1, len(words) - 2))]


def jaccard(one: str, other: str) -> float:
    a, b = set(triples(one)), set(triples(other))
    return len(a & b) / len(a | b)


def make_rows(count: int) -> tuple[list[str], list[tuple[int, int]]]:
    """`count` texts in random order, and the places of the planted pairs."""
    draw = random.Random(SEED)
    follow: dict[str, list[str]] = defaultdict(list)
    for text in pl.read_csv(REVIEWS)["text"].to_list():
        words = text.split()
        for word, following in zip(["", *words], words, strict=False):
            follow[word].append(following)
    everything = follow[""] + [word for words in follow.values() for word in words]

    def sentence() -> str:
        words, length = [draw.choice(follow[""])], draw.randint(5, 40)
        while len(words) < length:
            words.append(draw.choice(follow.get(words[-1]) or everything))
        return " ".join(words)

    texts = [sentence() for _ in range(count - count // 25)]
    pairs = []
    while len(texts) < count:
        place = draw.randrange(count - count // 25)
        words = texts[place].split()
        for _ in range(draw.randint(0, max(1, len(words) // 10))):
            at = draw.randrange(len(words))
            words[at : at + draw.randint(0, 1)] = [draw.choice(everything)]
        copy = " ".join(words).capitalize()
        if jaccard(texts[place], copy) >= THRESHOLD:
            pairs.append((place, len(texts)))
            texts.append(copy)
    order = list(range(count))
    draw.shuffle(order)
    now = {old: new for new, old in enumerate(order)}
    return [texts[old] for old in order], [(now[a], now[b]) for a, b in pairs]


def by_tunewright(texts: list[str]) -> list[int]:
    from tunewright.text.neardup import TextJoin

    return TextJoin(pl.Series(texts)).keep(THRESHOLD)["row"].to_list()


def by_rensa_streaming(texts: list[str]) -> list[int]:
    from rensa import RMinHashDeduplicator

    index = RMinHashDeduplicator(threshold=THRESHOLD, num_perm=128, use_lsh=True)
    kept = index.add_pairs((str(place), triples(text)) for place, text in enumerate(texts))
    return [place for place, keep in enumerate(kept) if not keep]


def by_rensa_batch(texts: list[str]) -> list[int]:
    from rensa import RMinHash, RMinHashLSH

    sketches = RMinHash.digest_matrix_from_token_sets_rho([triples(text) for text in texts], 128, 42)
    flags = RMinHashLSH(THRESHOLD, 128, 32).query_duplicate_flags_matrix_one_shot(sketches)
    return [place for place, flag in enumerate(flags) if flag]


TOOLS = {"tunewright": by_tunewright, "rensa streaming": by_rensa_streaming, "rensa batch": by_rensa_batch}


def child(tool: str, rows: Path) -> None:
    texts = pl.read_parquet(rows)["text"].to_list()
    wall, cpu = time.perf_counter(), time.process_time()
    flagged = TOOLS[tool](texts)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())  # ru_maxrss would be the parent's
    assert found is not None
    peak = int(found[1]) * 1024
    print(json.dumps({"seconds": wall, "cpu_seconds": cpu, "peak_bytes": peak, "flagged": flagged}))


def measure(tool: str, rows: Path, **environment: str) -> dict[str, Any]:
    command = [sys.executable, __file__, "--tool", tool, "--rows", str(rows)]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | environment)
    return {**json.loads(done.stdout), "process_seconds": time.perf_counter() - start}


def with_true_partner(texts: list[str], places: list[int]) -> set[int]:
    """Those of `places` whose row has another row with J >= THRESHOLD, by a sparse product of all word triples."""
    from scipy.sparse import csr_array

    codes: dict[str, int] = {}
    rows = [sorted({codes.setdefault(one, len(codes)) for one in triples(text)}) for text in texts]
    sizes = np.array([len(row) for row in rows])
    ends = np.concatenate([[0], np.cumsum(sizes)])
    matrix = csr_array((np.ones(ends[-1], np.int32), np.concatenate(rows), ends), shape=(len(rows), len(codes)))
    found = set()
    for start in range(0, len(places), 500):
        part = np.array(places[start : start + 500])
        common = (matrix[part] @ matrix.T).tocoo()
        left, right = part[common.coords[0]], common.coords[1]
        near = common.data >= THRESHOLD * (sizes[left] + sizes[right] - common.data) - 1e-9
        found |= set(left[near & (left != right)].tolist())
    return found


def compare(count: int, repeats: int, folder: Path) -> dict[str, Any]:
    texts, pairs = make_rows(count)
    rows = folder / f"{count}.parquet"
    pl.DataFrame({"text": texts}).write_parquet(rows)
    runs: dict[str, list[dict[str, Any]]] = {tool: [] for tool in TOOLS}
    for _ in range(repeats):
        for tool in TOOLS:
            runs[tool].append(measure(tool, rows))
    flagged = {tool: set(done[0]["flagged"]) for tool, done in runs.items()}
    true = with_true_partner(texts, sorted(set().union(*flagged.values())))
    result: dict[str, Any] = {"rows": count, "planted_pairs": len(pairs), "tools": {}}
    for tool, done in runs.items():
        best = {key: min(one[key] for one in done) for key in ("seconds", "cpu_seconds", "process_seconds", "peak_bytes")}
        flags = flagged[tool]
        found = sum(a in flags or b in flags for a, b in pairs)
        result["tools"][tool] = {**best, "flagged": len(flags), "planted_found": found, "false_flags": len(flags - true)}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tool", choices=TOOLS, help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="how many rows, smallest first")
    given = parser.parse_args()
    if given.tool:
        child(given.tool, given.rows)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sizes = [compare(count, 3 if count <= SIZES[0] else 2, folder) for count in given.sizes]
        first = measure("tunewright", folder / f"{given.sizes[0]}.parquet", NUMBA_CACHE_DIR=str(folder / "cold"))["seconds"]
    print(
        f"{'rows':>8}  {'tool':<16}{'seconds':>9}{'CPU':>7}{'process':>9}{'peak MB':>9}{'flagged':>9}{'planted found':>20}{'false flags':>14}"
    )
    for one in sizes:
        for tool, got in one["tools"].items():
            share = f"{got['planted_found']:,}/{one['planted_pairs']:,} {got['planted_found'] / one['planted_pairs']:.1%}"
            false = f"{got['false_flags']:,} {got['false_flags'] / max(1, got['flagged']):.1%}"
            print(
                f"{one['rows']:>8,}  {tool:<16}{got['seconds']:>9.2f}{got['cpu_seconds']:>7.2f}{got['process_seconds']:>9.2f}"
                f"{got['peak_bytes'] / 1e6:>9.0f}{got['flagged']:>9,}{share:>20}{false:>14}"
            )
    small, large = sizes[0], sizes[-1]
    for tool in TOOLS:
        a, b = small["tools"][tool], large["tools"][tool]
        print(
            f"{tool}: {large['rows'] // small['rows']}x the rows take {b['cpu_seconds'] / a['cpu_seconds']:.1f}x the CPU seconds, {b['peak_bytes'] / a['peak_bytes']:.1f}x the memory"
        )
    print(f"tunewright's first call on a machine compiles its kernels: {first:.1f} s at {small['rows']:,} rows")
    document = {
        "threshold": THRESHOLD,
        "sizes": sizes,
        "first_call_seconds": first,
        "load_average": os.getloadavg(),
        "cores": os.cpu_count(),
    }
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "near_duplicates.json").write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
