"""Wild input: the quick and the careful reader agree, nothing is lost, nothing but `DataError` is raised."""

import csv as csv_module
import io
import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tunewright.core.errors import DataError
from tunewright.core.recipe import DataSettings
from tunewright.sources import read_batches, read_rows
from tunewright.sources.formats import csv, jsonl
from tunewright.sources.identity import Identity
from tunewright.sources.place import Place

SCRAPS = ["a", "b", " ", '"', '""', ",", "\n", "\r\n", "\r", "\t", "é", "😀", "\0", "\ufeff", "\\", ";"]
wild_text = st.lists(st.sampled_from(SCRAPS), max_size=12).map("".join)
wild_lines = st.lists(st.one_of(wild_text.map(str.encode), st.binary(max_size=8)), max_size=12).map(b"\n".join)


def both(reader: Any, path: Path, block: int, limit: int = 1 << 20) -> list[Any]:
    """What the quick and the careful reader make of a file, read in blocks of `block` bytes."""
    data, place = DataSettings(path=str(path), max_line_bytes=limit), Place(str(path), "csv", path.name)
    found = []
    before = reader.FIRST, reader.BLOCK
    reader.FIRST = reader.BLOCK = block
    try:
        for fast in (True, False):
            try:
                tables = list(reader.read(place, data, fast=fast))
            except DataError as error:
                found.append(str(error))
                continue
            frames = [pl.DataFrame([table.lines.alias("__line"), *table.frame.get_columns()]) for table in tables if len(table.lines)]
            frame = pl.concat(frames or [pl.DataFrame()], how="diagonal").to_dict(as_series=False)
            found.append((frame, [one for table in tables for one in table.bad]))
    finally:
        reader.FIRST, reader.BLOCK = before
    return found


@settings(max_examples=400, deadline=None)
@given(wild_lines, st.sampled_from([16, 64, 1 << 23]))
@example(b'"a","b\n"\n', 16)
@example(b"a,b\r\n\r\n\r\n", 64)
@example("a,b\n\ufeffc,d\n".encode(), 16)
@example(b'a,"b""c"\n"",""\n', 1 << 23)
def test_csv_is_read_alike_quickly_and_carefully(tmp_path_factory: pytest.TempPathFactory, wild: bytes, block: int):
    path = tmp_path_factory.mktemp("csv") / "rows.csv"
    path.write_bytes(b"text,label\n" + wild)
    quick, careful = both(csv, path, block)
    assert quick == careful


cell = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(cell, cell), max_size=15), st.sampled_from([32, 1 << 23]), st.sampled_from(["\n", "\r\n"]))
def test_well_formed_csv_is_read_alike_quickly_and_carefully(tmp_path_factory: pytest.TempPathFactory, rows: Any, block: int, end: str):
    stream = io.StringIO(newline="")
    csv_module.writer(stream, lineterminator=end).writerows([("text", "label"), *rows])
    path = tmp_path_factory.mktemp("csv") / "rows.csv"
    path.write_bytes(stream.getvalue().encode())
    quick, careful = both(csv, path, block)
    assert quick == careful


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=6,
)
json_lines = st.one_of(
    st.dictionaries(st.sampled_from(["text", "label", "é", ""]), json_values, max_size=4).map(lambda one: json.dumps(one).encode()),
    st.dictionaries(st.sampled_from(["text", "label", '"', ":"]), st.text(max_size=8), max_size=4).map(
        lambda one: json.dumps(one, ensure_ascii=False).encode("utf-8", "surrogatepass")
    ),
    st.binary(max_size=12),
    st.sampled_from(
        [
            b'{"a":1,"a":2}',
            b'{"a":"b","a":"b"}',
            b'{"a":NaN}',
            b'{"a":1e999}',
            b'{"a":-0}',
            b'{"a":18446744073709551616}',
            b" ",
            b"\xef\xbb\xbf{}",
        ]
    ),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(json_lines, min_size=1, max_size=8).map(b"\n".join), st.sampled_from([16, 1 << 23]))
def test_jsonl_is_read_alike_quickly_and_carefully(tmp_path_factory: pytest.TempPathFactory, wild: bytes, block: int):
    path = tmp_path_factory.mktemp("jsonl") / "rows.jsonl"
    path.write_bytes(b'{"text": "t", "label": "x"}\n' + wild)
    quick, careful = both(jsonl, path, block)
    assert quick == careful
    if not isinstance(quick, str):
        records = sum(1 for line in path.read_bytes().split(b"\n") if line.strip())
        assert len(quick[0].get("__line", [])) + len(quick[1]) == records


@settings(max_examples=100, deadline=None)
@given(
    st.binary(max_size=200),
    st.sampled_from(["csv", "tsv", "jsonl", "json", "parquet", "arrow", "csv.gz", "jsonl.xz"]),
    st.sampled_from(["utf-8", "auto", "utf-16"]),
)
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, wild: bytes, ending: str, encoding: str):
    path = tmp_path_factory.mktemp("bytes") / f"rows.{ending}"
    path.write_bytes(wild)
    with suppress(DataError):
        read_rows(DataSettings(path=str(path), encoding=encoding))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=60), st.integers(1, 20))
def test_ids_are_the_same_however_the_rows_are_cut(texts: list[str], size: int):
    frame = pl.DataFrame({"text": texts, "label": ["x"] * len(texts)})
    identity = Identity()
    parts = [identity.of_frame(frame.slice(start, size)) for start in range(0, len(texts), size)]
    assert pl.concat(parts).to_list() == Identity().of_frame(frame).to_list()
    assert pl.concat(parts).n_unique() == len(texts)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["a", "b", '"q"', ""]), st.sampled_from(["x", "y"])), min_size=1, max_size=40), st.integers(1, 9))
def test_batches_are_the_whole_read_in_pieces(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], size: int):
    path = tmp_path_factory.mktemp("batches") / "rows.csv"
    with path.open("w", newline="") as file:
        csv_module.writer(file).writerows([("text", "label"), *rows])
    data = DataSettings(path=str(path))
    batches = list(read_batches(data, size))
    assert max(len(one.rows) for one in batches) <= size
    assert pl.concat([one.rows for one in batches]).equals(read_rows(data).rows)


@pytest.mark.slow
def test_six_thousand_wild_files_are_read_without_a_crash_or_a_lost_row():
    script = Path(__file__).parents[2] / "benchmarks" / "fuzz_readers.py"
    done = subprocess.run([sys.executable, str(script), "6000", "7"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
