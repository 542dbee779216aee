"""Throw wild files at the readers: no crash, no lost record, bounded memory.

    python benchmarks/fuzz_readers.py 100000 [SEED]

Each input is a small file made of valid records, damaged records and random bytes, in a random container, packing, encoding and layout. For
each one: nothing but `DataError` may be raised; every marked record must come back, as a row or in quarantine; a jsonl file's lines that hold
something are as many as rows and quarantine together; ids are unique; the quick and the careful reader agree. Prints what was tried and found.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import psutil

from tunewright.core.errors import DataError
from tunewright.core.recipe import DataSettings
from tunewright.sources import read_rows
from tunewright.sources.formats import csv as csv_format
from tunewright.sources.formats import jsonl as jsonl_format
from tunewright.sources.place import Place

SCRAPS = [
    '"',
    '""',
    ",",
    "\r",
    "\r\n",
    "\n",
    "\t",
    ";",
    "|",
    "\\",
    "{",
    "[",
    "}",
    "]",
    ":",
    "null",
    "NaN",
    "1e999",
    "\\ud800",
    "\\u0000",
    "é",
    "\u2028",
]
SCRAPS += ["\ufeff", "\0", " ", "a", "text", "label", "0", "-", "😀", '"a"', "'", "{}", "[]", "\x1f", "\x85", "9" * 40]
RAW = [b"\xff", b"\xfe", b"\xed\xa0\x80", b"\xc3", b"\x00\x00", b"\x1f\x8b", b"PAR1", b"\xef\xbb\xbf", b"\x80"]
KEYS = [
    "messages",
    "conversations",
    "prompt",
    "completion",
    "instruction",
    "input",
    "output",
    "history",
    "system",
    "chosen",
    "rejected",
    "tools",
]
KEYS += ["text", "label", "role", "content", "from", "value", "source", "row_id", "", "weight", "answer"]


class Maker:
    """Makes inputs from one random generator."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def word(self) -> str:
        return "".join(self.random.choice(SCRAPS) for _ in range(self.random.randrange(5)))

    def damage(self) -> bytes:
        pick = self.random.random()
        if pick < 0.5:
            return self.word().encode("utf-8", "surrogatepass")
        return self.random.choice(RAW) if pick < 0.8 else self.random.randbytes(self.random.randrange(12))

    def value(self, depth: int = 0) -> Any:
        pick = self.random.randrange(12 if depth < 3 else 7)
        if pick < 4:
            return self.word()
        if pick < 7:
            return self.random.choice([None, True, 0, -1, 1.5, 2**70, "", "x" * 300])
        if pick < 9:
            return [self.value(depth + 1) for _ in range(self.random.randrange(4))]
        if pick < 11:
            return {self.random.choice(KEYS): self.value(depth + 1) for _ in range(self.random.randrange(4))}
        said = [
            ("role", "content", ["user", "assistant", "system", "tool"]),
            ("from", "value", ["human", "gpt", "observation", "function_call"]),
        ]
        role, content, roles = self.random.choice(said)
        return [{role: self.random.choice(roles), content: self.value(depth + 2)} for _ in range(self.random.randrange(4))]

    def csv_file(self, marks: list[str]) -> bytes:
        """Marked records between wild ones."""
        out = io.StringIO(newline="")
        writer = csv.writer(out, delimiter=self.random.choice(",,,;\t|"), lineterminator=self.random.choice(["\n", "\n", "\r\n"]))
        writer.writerow(["text", "label"])
        parts = [out.getvalue().encode()]
        for mark in marks:
            parts.append(b"".join(self.damage() for _ in range(self.random.randrange(4))) + b"\n" if self.random.random() < 0.4 else b"")
            out.seek(0), out.truncate()
            writer.writerow([mark, "a"] if self.random.random() < 0.6 else [mark + self.word().replace("\0", ""), "b"])
            parts.append(out.getvalue().encode("utf-8", "replace"))
        return b"".join(parts)

    def jsonl_file(self, marks: list[str]) -> bytes:
        lines = []
        keys = self.random.sample(KEYS, self.random.randrange(1, 5))
        for mark in marks:
            record = (
                {"text": mark, "label": "a"}
                if self.random.random() < 0.5
                else {"text": mark, **{key: self.value() for key in keys}, "label": mark}
            )
            line = json.dumps(record, ensure_ascii=self.random.random() < 0.5).encode("utf-8", "replace")
            if self.random.random() < 0.2:
                at = self.random.randrange(len(line))
                line = line[:at] + self.damage().replace(b"\n", b"") + line[at:] + mark.encode()
            lines.append(line)
        return b"\n".join(lines) + self.random.choice([b"", b"\n", b"\n\n"])

    def packed(self, raw: bytes) -> bytes:
        pick = self.random.random()
        return (
            gzip.compress(raw, 1)
            if pick < 0.04
            else lzma.compress(raw, preset=0)
            if pick < 0.05
            else bz2.compress(raw)
            if pick < 0.07
            else raw
        )


def check(maker: Maker, folder: Path, tally: Counter[str]) -> str | None:
    """One input; what is wrong with how it was read, or None."""
    kind = maker.random.choice(["csv", "csv", "jsonl", "jsonl", "json", "bytes"])
    marks = [f"mark{index}x" for index in range(maker.random.randrange(1, 7))]
    tally[kind] += 1
    if kind == "csv":
        raw = maker.csv_file(marks)
    elif kind == "jsonl":
        raw = maker.jsonl_file(marks)
    elif kind == "json":
        raw = (
            maker.random.choice([b"", b'{"d":'])
            + json.dumps([{"text": mark, "label": maker.value()} for mark in marks]).encode()
            + maker.damage()
        )
    else:
        raw = b"".join(maker.damage() for _ in range(maker.random.randrange(1, 20)))
    name = {"csv": "in.csv", "jsonl": "in.jsonl", "json": "in.json"}.get(kind) or maker.random.choice(
        ["in.csv", "in.tsv", "in.jsonl", "in.json", "in.parquet", "in.arrow"]
    )
    path = folder / name
    packed = maker.packed(raw)
    cut = packed is not raw and maker.random.random() < 0.3
    path.write_bytes(packed[: maker.random.randrange(len(packed))] if cut else packed)
    layout = maker.random.choice(["auto", "auto", "text", "messages", "sharegpt", "alpaca", "preference", "prompt_completion"])
    if kind in ("csv", "jsonl") and maker.random.random() < 0.8:
        layout = "text_label"
    encoding = maker.random.choice(["utf-8"] * 8 + ["auto", "latin-1", "utf-16", "cp1252"])
    data = DataSettings(path=str(path), layout=layout, encoding=encoding, max_line_bytes=maker.random.choice([1024, 1 << 20]))
    try:
        result = read_rows(data)
    except DataError:
        tally["refused"] += 1
        return None
    tally["rows"] += len(result.rows)
    tally["quarantined"] += len(result.quarantine)
    if cut or encoding not in ("utf-8", "latin-1", "cp1252"):
        return None
    return _lost(result, marks if kind == "csv" else [], raw if kind == "jsonl" else None) or _differ(path, name, data)


def _lost(result: Any, marks: list[str], lines: bytes | None) -> str | None:
    ids = [*result.rows["row_id"], *result.quarantine["row_id"]]
    if len(set(ids)) != len(ids):
        return "two rows have one id"
    columns = [name for name in result.rows.columns if result.rows[name].dtype == pl.String]
    seen = "\n".join(value for name in columns for value in result.rows[name].drop_nulls()) + "\n".join(
        result.quarantine["raw"].drop_nulls()
    )
    missing = [mark for mark in marks if mark not in seen]
    if missing:
        return f"lost {missing[0]}"
    if lines is not None and not lines.lstrip().startswith(b"["):
        records = sum(1 for line in lines.removeprefix(b"\xef\xbb\xbf").split(b"\n") if line.strip())
        if len(ids) != records:
            return f"{records} lines became {len(ids)} rows and quarantine lines"
    return None


def _differ(path: Path, name: str, data: DataSettings) -> str | None:
    reader = {"in.csv": csv_format, "in.jsonl": jsonl_format}.get(name)
    if reader is None:
        return None
    place = Place(str(path), name[3:], name)
    quick, slow = (_shown(list(reader.read(place, data, fast=fast))) for fast in (True, False))
    return None if quick == slow else "the quick and the careful reader differ"


def _shown(tables: list[Any]) -> Any:
    """Values, lines and bad records of all tables together, for they may be cut differently."""
    bad = [one for table in tables for one in table.bad]
    frame = pl.concat(
        [pl.DataFrame([table.lines.alias("__line"), *table.frame.get_columns()]) for table in tables if len(table.lines)]
        or [pl.DataFrame()],
        how="diagonal",
    )
    return frame.to_dict(as_series=False), bad


def run(inputs: int, seed: int = 1) -> tuple[list[str], Counter[str], float]:
    """(what went wrong, what was tried, growth of the memory in MB)."""
    process = psutil.Process()
    wrong: list[str] = []
    tally: Counter[str] = Counter()
    before = 0
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        for index in range(inputs):
            if index == min(2000, inputs // 2):
                before = process.memory_info().rss
            try:
                problem = check(Maker(seed * 1_000_003 + index), Path(folder), tally)
            except Exception as error:
                problem = f"{type(error).__name__}: {error}"
            if problem:
                wrong.append(f"seed {seed * 1_000_003 + index}: {problem}")
                if len(wrong) > 20:
                    break
    return wrong, tally, (process.memory_info().rss - before) / 2**20


if __name__ == "__main__":
    start = time.perf_counter()
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    failures, tried, growth = run(count, int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    print(
        f"{count:,} inputs in {time.perf_counter() - start:.0f} s: {dict(tried)}; memory grew by {growth:.0f} MB; {len(failures)} failures"
    )
    print("\n".join(failures))
    sys.exit(bool(failures) or growth > 200)
