"""Near duplicates at Jaccard 0.5: our exact join beside five other tools, on the same rows in one run.

    python benchmarks/near_duplicates.py --rows 500000        # writes benchmarks/results/near_duplicates.json
    python benchmarks/near_duplicates.py --rows 500000 --partitioned --tools tunewright

Rows are new sentences (12-48 words, median 30) made from the word successions of the demo's reviews (a Markov chain), so that they
share phrases as real rows do; 4% are edited copies of other rows, with 0, 1, 2 or 3 words changed, dropped or put in, and a true
Jaccard similarity >= 0.5 over word triples. Each tool runs in a process of its own, in turns; CPU seconds, wall seconds and peak
memory (VmHWM) are of the whole process: start, import, reading the parquet file, cached machine code loaded, one flag a row. The
join alone is measured in processes of its own: CPU seconds from texts in memory to flags, after the tool has flagged 1,000 rows, so
that nothing of it is left to load. Slow tools get the first rows only (their own number, stated), so compare them by CPU
microseconds a row. The machine's memory is written to once before all: a virtual machine pays for each page at its first use, and
the first tool would pay for all. A planted pair is found when
one of its two rows is flagged; a flag is false when the row has no partner with J >= 0.5 at all, which a sparse matrix product
decides, without our kernels.

rensa streaming: as its README shows (128 slots, LSH, candidates checked against the sketch); rensa batch: its fastest pipeline (rho,
32 bands of 4). datasketch: MinHashLSH, 128 slots, candidates checked against the sketch. datatrove: its MinHash pipeline, 32 bands
of 4, its own normalisation and 3-grams. semhash: nearest neighbours of embeddings; it needs a model that is on this machine
(SEMHASH_MODEL, a model2vec directory), measures meaning, not words, and is asked for cosine >= 0.9. py-data-juicer: its MinHash
deduplicator, word windows of 3. What cannot be imported is said, with the reason.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import psutil

HERE = Path(__file__).parent
REVIEWS = HERE.parent / "examples" / "reviews" / "reviews.csv"
THRESHOLD = 0.5
MOST = {"datasketch": 10_000, "datatrove": 10_000, "semhash": 10_000, "py-data-juicer": 10_000}  # rows that a slow tool gets
SEED = 11


def triples(text: str) -> list[str]:
    words = text.casefold().split()
    return [" ".join(words[start : start + 3]) for start in range(max(1, len(words) - 2))]


def jaccard(one: str, other: str) -> float:
    a, b = set(triples(one)), set(triples(other))
    return len(a & b) / len(a | b)


def make_rows(count: int) -> tuple[list[str], list[tuple[int, int, int]]]:
    """`count` texts in random order, and the places of the planted pairs with the number of edits."""
    draw = random.Random(SEED)
    follow: dict[str, list[str]] = defaultdict(list)
    for text in pl.read_csv(REVIEWS)["text"].to_list():
        words = text.split()
        for word, following in zip(["", *words], words, strict=False):
            follow[word].append(following)
    everything = follow[""] + [word for words in follow.values() for word in words]

    def sentence() -> str:
        words, length = [draw.choice(follow[""])], draw.randint(12, 48)
        while len(words) < length:
            words.append(draw.choice(follow.get(words[-1]) or everything))
        return " ".join(words)

    texts = [sentence() for _ in range(count - count // 25)]
    pairs = []
    while len(texts) < count:
        place = draw.randrange(count - count // 25)
        words = texts[place].split()
        edits = draw.randint(0, 3)
        for _ in range(edits):
            at = draw.randrange(len(words))
            words[at : at + draw.randint(0, 1)] = draw.choices(everything, k=draw.randint(0, 1))
        copy = " ".join(words).capitalize()
        if jaccard(texts[place], copy) >= THRESHOLD:
            pairs.append((place, len(texts), edits))
            texts.append(copy)
    order = list(range(count))
    draw.shuffle(order)
    now = {old: new for new, old in enumerate(order)}
    return [texts[old] for old in order], [(now[a], now[b], edits) for a, b, edits in pairs]


def by_tunewright(texts: pl.Series) -> list[int]:
    from tunewright.text.neardup import TextJoin

    return TextJoin(texts).keep(THRESHOLD)["row"].to_list()


def by_partitions(texts: pl.Series) -> list[int]:
    from tunewright.core.executor import LocalExecutor
    from tunewright.core.progress import Report
    from tunewright.text.partitioned import join_partitioned

    with tempfile.TemporaryDirectory() as name:
        batches = []
        for start in range(0, len(texts), 250_000):
            batches.append(Path(name) / f"{start}.parquet")
            texts[start : start + 250_000].to_frame().write_parquet(batches[-1])
        found = join_partitioned(batches, THRESHOLD, LocalExecutor(Report()), Path(name) / "spill", partitions=8)
        return found.keep(THRESHOLD)["row"].to_list()


def by_rensa_streaming(texts: pl.Series) -> list[int]:
    from rensa import RMinHashDeduplicator

    index = RMinHashDeduplicator(threshold=THRESHOLD, num_perm=128, use_lsh=True)
    kept = index.add_pairs((str(place), triples(text)) for place, text in enumerate(texts))
    return [place for place, keep in enumerate(kept) if not keep]


def by_rensa_batch(texts: pl.Series) -> list[int]:
    from rensa import RMinHash, RMinHashLSH

    sketches = RMinHash.digest_matrix_from_token_sets_rho([triples(text) for text in texts], 128, 42)
    flags = RMinHashLSH(THRESHOLD, 128, 32).query_duplicate_flags_matrix_one_shot(sketches)
    return [place for place, flag in enumerate(flags) if flag]


def by_datasketch(texts: pl.Series) -> list[int]:
    from datasketch import MinHash, MinHashLSH

    index, flagged, sketches = MinHashLSH(threshold=THRESHOLD, num_perm=128), [], {}
    for place, text in enumerate(texts):
        sketch = MinHash(num_perm=128)
        sketch.update_batch([one.encode() for one in triples(text)])
        if any(sketch.jaccard(sketches[near]) >= THRESHOLD for near in index.query(sketch)):
            flagged.append(place)
        else:
            index.insert(place, sketch)
            sketches[place] = sketch
    return flagged


def by_datatrove(texts: pl.Series) -> list[int]:
    from datatrove.data import Document
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig

    config = MinhashConfig(n_grams=3, num_buckets=32, hashes_per_bucket=4)
    kept: set[int] = set()

    def read(data: Any, rank: int = 0, world_size: int = 1) -> Any:
        for place, text in enumerate(texts):
            yield Document(text=text, id=str(place))

    def note(data: Any, rank: int = 0, world_size: int = 1) -> Any:
        for document in data:
            kept.add(int(document.id))
            yield document

    with tempfile.TemporaryDirectory() as name:
        stages = [
            [read, MinhashDedupSignature(f"{name}/signatures", config=config)],
            [MinhashDedupBuckets(f"{name}/signatures", f"{name}/buckets", config=config)],
            [MinhashDedupCluster(f"{name}/buckets", f"{name}/remove", config=config)],
            [read, MinhashDedupFilter(f"{name}/remove"), note],
        ]
        for number, stage in enumerate(stages):
            # Buckets are numbered by task; the other stages run as one, in this process.
            tasks = config.num_buckets if number == 1 else 1
            LocalPipelineExecutor(stage, tasks=tasks, workers=1, logging_dir=f"{name}/logs{number}").run()
    return [place for place in range(len(texts)) if place not in kept]


def by_semhash(texts: pl.Series) -> list[int]:
    from model2vec import StaticModel
    from semhash import SemHash

    path = os.environ.get("SEMHASH_MODEL")
    if path is None:
        raise ImportError("SEMHASH_MODEL names no model2vec directory, and there is no network to fetch one")
    records = [{"text": text, "place": str(place)} for place, text in enumerate(texts)]
    index = SemHash.from_records(records=records, columns=["text"], model=StaticModel.from_pretrained(path))
    kept = {int(one["place"]) for one in index.self_deduplicate(threshold=0.9).selected}
    return [place for place in range(len(texts)) if place not in kept]


def by_data_juicer(texts: pl.Series) -> list[int]:
    from data_juicer.core.data import NestedDataset
    from data_juicer.ops.deduplicator.document_minhash_deduplicator import DocumentMinhashDeduplicator

    tool = DocumentMinhashDeduplicator(
        tokenization="space", window_size=3, jaccard_threshold=THRESHOLD, num_permutations=128, num_bands=32, num_rows_per_band=4
    )
    rows = NestedDataset.from_list([{"text": text, "place": place} for place, text in enumerate(texts)])
    kept = set(tool.process(rows.map(tool.compute_hash))[0]["place"])
    return [place for place in range(len(texts)) if place not in kept]


TOOLS = {
    "tunewright": by_tunewright,
    "tunewright partitioned": by_partitions,
    "rensa streaming": by_rensa_streaming,
    "rensa batch": by_rensa_batch,
    "datasketch": by_datasketch,
    "datatrove": by_datatrove,
    "semhash": by_semhash,
    "py-data-juicer": by_data_juicer,
}


def cpu_seconds() -> float:
    """Of this process since it began, and of the workers that it waited for."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def child(tool: str, rows: Path, most: int, flags: Path, alone: bool) -> None:
    """Write the flagged rows; print what the whole process has cost until then, or what the flags alone have cost when all was loaded."""
    texts = pl.read_parquet(rows)["text"].head(most)
    if alone:
        TOOLS[tool](texts.head(1_000))
    before = cpu_seconds() if alone else 0
    flagged = TOOLS[tool](texts)
    join = cpu_seconds() - before
    flags.write_text(json.dumps(flagged))
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())  # ru_maxrss would be the parent's
    assert found is not None
    print(json.dumps({"cpu_seconds": join if alone else cpu_seconds(), "peak_bytes": int(found[1]) * 1024}))


def measure(tool: str, rows: Path, most: int, alone: bool = False, **environment: str) -> dict[str, Any]:
    """What one run of a tool cost and flagged, or why it could not run."""
    flags = rows.with_suffix(".flags")
    command = [sys.executable, __file__, "--child", tool, str(rows), str(most), str(flags)] + ["--alone"] * alone
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)
    if done.returncode:
        return {"failed": next((line for line in reversed(done.stderr.splitlines()) if line and not line.startswith(" ")), "no message")}
    seconds = time.perf_counter() - start
    return {**json.loads(done.stdout.splitlines()[-1]), "seconds": seconds, "flagged": json.loads(flags.read_text())}


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


def judge(runs: list[dict[str, Any]], alone: list[float], texts: list[str], pairs: list[tuple[int, int, int]]) -> dict[str, Any]:
    """A tool's best figures of several runs, its recall by number of edits, its false flags."""
    rounds = {"rounds": [one["cpu_seconds"] for one in runs], "join_rounds": alone}
    best = {key: min(one[key] for one in runs) for key in ("cpu_seconds", "seconds", "peak_bytes")}
    flagged = set(runs[0]["flagged"])
    inside = [(a, b, edits) for a, b, edits in pairs if max(a, b) < len(texts)]
    hits = [(edits, a in flagged or b in flagged) for a, b, edits in inside]
    recall = {edits: f"{sum(hit for n, hit in hits if n == edits)}/{sum(n == edits for n, _ in hits)}" for edits in range(4)}
    false = len(flagged - with_true_partner(texts, sorted(flagged)))
    found = sum(hit for _, hit in hits)
    micro = best["cpu_seconds"] / len(texts) * 1e6
    counts = {"rows": len(texts), "planted_pairs": len(hits), "planted_found": found, "flagged": len(flagged), "false_flags": false}
    best |= {"join_cpu_seconds": min(alone)} if alone else {}
    return {**counts, "found_by_edits": recall, **best, "cpu_microseconds_per_row": micro, **rounds}


def compare(tools: list[str], count: int, rounds: int, folder: Path) -> dict[str, Any]:
    texts, pairs = make_rows(count)
    rows = folder / f"{count}.parquet"
    pl.DataFrame({"text": texts}).write_parquet(rows)
    runs: dict[str, list[dict[str, Any]]] = {tool: [] for tool in tools}
    alone: dict[str, list[float]] = {tool: [] for tool in tools}
    touched = np.ones(min(4 << 30, psutil.virtual_memory().available // 2) // 8)
    del touched
    if "tunewright" in tools:
        measure("tunewright", rows, 100)  # so that its machine code is cached, as on any day but the first
    for number in range(rounds):
        for tool in tools:
            if number == 0 or (tool not in MOST and "failed" not in runs[tool][0]):
                runs[tool].append(measure(tool, rows, min(count, MOST.get(tool, count))))
                if tool not in MOST and "failed" not in runs[tool][-1]:
                    alone[tool].append(measure(tool, rows, count, alone=True)["cpu_seconds"])
    results = {}
    for tool, done in runs.items():
        failed = done[0].get("failed")
        results[tool] = {"failed": failed} if failed else judge(done, alone[tool], texts[: min(count, MOST.get(tool, count))], pairs)
    return results


def show(results: dict[str, Any], cold: dict[str, Any] | None) -> None:
    print(
        f"{'tool':<24}{'rows':>9}{'CPU s':>8}{'join':>7}{'wall s':>8}{'us/row':>8}{'peak MB':>9}{'planted found':>22}{'false':>7}  found by edits 0-3"
    )
    for tool, got in results.items():
        if "failed" in got:
            print(f"{tool:<24} not run: {got['failed']}")
            continue
        share = f"{got['planted_found']:,}/{got['planted_pairs']:,} {got['planted_found'] / max(1, got['planted_pairs']):.1%}"
        print(
            f"{tool:<24}{got['rows']:>9,}{got['cpu_seconds']:>8.2f}{got.get('join_cpu_seconds', float('nan')):>7.2f}{got['seconds']:>8.2f}{got['cpu_microseconds_per_row']:>8.1f}"
            f"{got['peak_bytes'] / 1e6:>9.0f}{share:>22}{got['false_flags']:>7,}  {' '.join(got['found_by_edits'].values())}"
        )
    ours = results.get("tunewright", {})
    for tool, got in results.items():
        if ours and tool != "tunewright" and "failed" not in got:
            times = f"{got['cpu_microseconds_per_row'] / ours['cpu_microseconds_per_row']:.1f} times the CPU of tunewright a row"
            if "join_cpu_seconds" in got:
                median = statistics.median(a / b for a, b in zip(got["rounds"], ours["rounds"], strict=True))
                join = statistics.median(a / b for a, b in zip(got["join_rounds"], ours["join_rounds"], strict=True))
                times += f" (whole process, best of each; median of the rounds {median:.1f}, of the join alone {join:.1f})"
            print(f"{tool} takes {times}, {got['rows']:,} rows")
    if cold:
        print(f"tunewright's first call on a machine compiles its kernels: {cold['cpu_seconds']:.1f} CPU s in all")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=int, default=100_000, help="how many rows (default 100,000)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each fast tool runs, in turns (default 3)")
    parser.add_argument("--tools", nargs="+", choices=TOOLS, help="default: all but the partitioned join")
    parser.add_argument("--partitioned", action="store_true", help="time the join in tasks that share a directory, too")
    given = parser.parse_args()
    if given.child:
        tool, rows, most, flags = given.child
        child(tool, Path(rows), int(most), Path(flags), given.alone)
        return
    tools = given.tools or [tool for tool in TOOLS if tool != "tunewright partitioned"]
    tools += ["tunewright partitioned"] * (given.partitioned and "tunewright partitioned" not in tools)
    with tempfile.TemporaryDirectory() as name:
        results = compare(tools, given.rows, given.rounds, Path(name))
        rows, cache = Path(name) / f"{given.rows}.parquet", {"NUMBA_CACHE_DIR": str(Path(name) / "cold")}
        cold = measure("tunewright", rows, given.rows, **cache) if "tunewright" in tools else None
    show(results, cold)
    first = cold and {key: value for key, value in cold.items() if key != "flagged"}
    document = {"threshold": THRESHOLD, "tools": results, "first_call": first, "load_average": os.getloadavg(), "cores": os.cpu_count()}
    path = HERE / "results" / "near_duplicates.json"
    path.parent.mkdir(exist_ok=True)
    before = json.loads(path.read_text()) if path.exists() else {"tools": {}}
    kept = {tool: got for tool, got in (before.get("earlier", {}) | before["tools"]).items() if tool not in results}
    document["earlier"] = kept  # of tools that were not run this time
    path.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
