"""Files, packed files, directories, globs and lists of them: all give the same rows, and damage is quarantined with its place."""

import bz2
import gzip
import json
import lzma
from functools import partial
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from tunewright.core.errors import DataError
from tunewright.core.recipe import DataSettings, Recipe
from tunewright.sources import fingerprint, read_batches, read_rows

CSV = b"text,label\ngood one,a\nbad one,b\n"
JSONL = b'{"text": "good one", "label": "a"}\n{"text": "bad one", "label": "b"}\n'


def zst(raw: bytes) -> bytes:
    return pa.compress(raw, codec="zstd", asbytes=True)


@pytest.mark.parametrize("content", [CSV, JSONL], ids=["csv", "jsonl"])
@pytest.mark.parametrize(("ending", "pack"), [(".gz", gzip.compress), (".xz", lzma.compress), (".bz2", bz2.compress), (".zst", zst)])
def test_packed_files_give_the_rows_of_the_plain_file(read, content: bytes, ending: str, pack):
    name = "rows.csv" if content is CSV else "rows.jsonl"
    assert read(name + ending, pack(content)).rows.drop("source").equals(read(name, content).rows.drop("source"))


@pytest.mark.parametrize("pack", [gzip.compress, partial(lzma.compress, preset=0), bz2.compress, zst], ids=["gz", "xz", "bz2", "zst"])
def test_a_packed_file_that_was_cut_off_gives_what_is_there_and_says_where_it_ends(read, pack):
    lines = b"".join(b"text number %d with some words %d,a\n" % (index, index * 7919) for index in range(200_000))
    packed = pack(b"text,label\n" + lines)
    result = read("rows.csv.gz", packed[: len(packed) // 2])
    assert len(result.rows) > 1000
    assert result.quarantine["reason"].to_list() == ["truncated_file"]
    assert result.quarantine["line"].to_list() == [len(result.rows) + 2]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_byte_order_marks_tell_the_encoding(read, encoding: str):
    assert read("rows.csv", "text,label\ncafé,a\n".encode(encoding)).rows["text"].to_list() == ["café"]
    assert read("rows.jsonl", '{"text": "café", "label": "a"}\n'.encode(encoding)).rows["text"].to_list() == ["café"]


def test_encoding_auto_guesses(read):
    text = "text,label\n" + "".join(f"Größe und Maße für Straßen in Köln, Nummer {index},a\n".replace(", N", " N") for index in range(30))
    result = read("rows.csv", text.encode("cp1252"), encoding="auto")
    assert result.rows["text"][0] == "Größe und Maße für Straßen in Köln Nummer 0"


def test_mixed_encodings_in_one_file_cost_only_the_broken_records(read):
    result = read("rows.csv", b"text,label\ncaf\xc3\xa9,a\ncaf\xe9,a\nplain,b\n")
    assert result.rows["line"].to_list() == [2, 4]
    assert result.quarantine.select("line", "reason").rows() == [(3, "broken_encoding")]


def test_an_odd_byte_at_the_end_of_utf16_is_one_broken_record(read):
    result = read("rows.csv", "text,label\na,x\nb,y\nc,z".encode("utf-16") + b"A")
    assert len(result.rows) == 2
    assert result.quarantine["reason"].to_list() == ["broken_encoding"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"text": "a", "label": "x", "text": "b"}', "duplicate_key"),
        ('{"text": NaN, "label": "x"}', "not_a_number"),
        ('{"text": "a", "label": -Infinity}', "not_a_number"),
        ('{"text": 1e999, "label": "x"}', "not_a_number"),
        ('{"text": "\\ud800", "label": "x"}', "lone_surrogate"),
        ('{"text": ["a"], "label": "x"}', "not_text"),
        ('{"text": "a", "label": {"b": 1}}', "not_text"),
        ("[" * 100_000, "invalid_json"),
        ('{"text": ' + "9" * 5000 + ', "label": "x"}', "invalid_json"),
        ('{"text": "\0", "label": "x"}', "invalid_json"),
    ],
)
def test_json_that_readers_disagree_about_is_quarantined(read, line: str, reason: str):
    good = '{"text": "good", "label": "x"}'
    result = read("rows.jsonl", f"{good}\n{line}\n{good}\n")
    assert result.quarantine.select("line", "reason").rows() == [(2, reason)]
    assert result.rows["line"].to_list() == [1, 3]


def test_whole_numbers_of_any_size_keep_their_digits(read):
    numbers = [2**63, 2**64, 10**40, -(2**70)]
    result = read("rows.jsonl", "".join(json.dumps({"text": "t", "label": "x", "n": one}) + "\n" for one in numbers))
    assert result.rows["n"].to_list() == [str(one) for one in numbers]


def test_nul_bytes_in_csv_are_quarantined(read):
    assert read("rows.csv", b"text,label\na\0b,x\nc,y\n").quarantine.select("line", "reason").rows() == [(2, "nul_byte")]


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl"])
def test_a_record_over_the_limit_is_quarantined_and_the_next_ones_are_read(read, name: str):
    long = "x" * 5000
    content = f"text,label\nshort,a\n{long},b\nlast,a\n" if name == "rows.csv" else None
    content = content or "".join(json.dumps({"text": one, "label": "a"}) + "\n" for one in ("short", long, "last"))
    result = read(name, content, max_line_bytes=1024)
    assert result.rows["text"].to_list() == ["short", "last"]
    assert result.quarantine["reason"].to_list() == ["huge_line"]


def test_json_as_an_object_with_a_list_as_columns_and_as_a_broken_list(read):
    rows = [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]
    held = read("held.json", json.dumps({"version": 1, "data": rows}))
    columns = read("columns.json", json.dumps({"text": ["a", "b"], "label": ["x", "y"]}))
    indexed = read("indexed.json", json.dumps({"text": {"0": "a", "1": "b"}, "label": {"0": "x", "1": "y"}}))
    lines = read("lines.json", "".join(json.dumps(row) + "\n" for row in rows))
    for result in (held, columns, indexed, lines):
        assert result.rows.select("text", "label").rows() == [("a", "x"), ("b", "y")]
    cut = read("cut.json", json.dumps(rows * 3)[:-20])
    assert (len(cut.rows), cut.quarantine["reason"].to_list(), cut.quarantine["line"].to_list()) == (5, ["invalid_json"], [6])


def test_directories_globs_and_lists_are_read_in_order_with_names_that_tell_files_apart(tmp_path: Path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "rows.csv").write_bytes(CSV)
    (tmp_path / "two" / "more.jsonl").write_bytes(b'{"text": "third", "label": "a", "x": 1}\n')
    (tmp_path / "README.md").write_text("not rows")
    result = read_rows(DataSettings(path=str(tmp_path)))
    assert result.rows["source"].unique(maintain_order=True).to_list() == ["one/rows.csv", "two/more.jsonl", "two/rows.csv"]
    assert result.rows["row_id"].n_unique() == 5
    assert result.rows["x"].to_list() == [None, None, "1", None, None]
    assert len(read_rows(DataSettings(path=str(tmp_path / "*" / "*.csv"))).rows) == 4
    assert len(read_rows(DataSettings(path=[str(tmp_path / "one"), str(tmp_path / "two" / "more.jsonl")])).rows) == 3
    with pytest.raises(DataError, match="no file matches"):
        read_rows(DataSettings(path=str(tmp_path / "*.parquet")))


def test_the_fingerprint_of_a_directory_changes_with_any_file(tmp_path: Path):
    (tmp_path / "a.csv").write_bytes(CSV)
    (tmp_path / "b.csv").write_bytes(CSV)
    before = fingerprint(DataSettings(path=str(tmp_path)))
    (tmp_path / "b.csv").write_bytes(CSV + b"new,a\n")
    assert fingerprint(DataSettings(path=str(tmp_path))) != before


def test_parquet_lists_and_structs_become_json(tmp_path: Path, read):
    table = pa.table({"text": ["a", "b"], "label": [1, 2], "meta": [{"k": 1, "l": ["x"]}, None], "many": [["é"], []]})
    pq.write_table(table, tmp_path / "rows.parquet")
    rows = read("rows.parquet").rows
    assert rows["label"].to_list() == ["1", "2"]
    assert [one and json.loads(one) for one in rows["meta"]] == [{"k": 1, "l": ["x"]}, None]
    assert [json.loads(one) for one in rows["many"]] == [["é"], []]


def test_a_data_set_that_datasets_saved_is_read_with_class_names_and_splits(tmp_path: Path):
    features = Features({"text": Value("string"), "label": ClassLabel(names=["negative", "positive"])})
    parts = {
        "train": Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]}, features=features),
        "test": Dataset.from_dict({"text": ["a"], "label": [1]}, features=features),
    }
    DatasetDict(parts).save_to_disk(str(tmp_path / "both"))
    parts["train"].save_to_disk(str(tmp_path / "single"))
    both = read_rows(DataSettings(path=str(tmp_path / "both"))).rows
    assert both.select("text", "label", "split").rows() == [
        ("a", "negative", "train"),
        ("b", "positive", "train"),
        ("a", "positive", "test"),
    ]
    assert both["source"][2].startswith("test/data-")
    single = read_rows(DataSettings(path=str(tmp_path / "single"))).rows
    assert single["row_id"].to_list() == both["row_id"].head(2).to_list()
    assert "split" not in single.columns


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl", "rows.parquet"])
def test_batches_hold_the_rows_of_the_whole_read(tmp_path: Path, name: str):
    frame = pl.DataFrame({"text": [f"text {index % 900}" for index in range(2500)], "label": ["a", "b"] * 1250})
    write = {"rows.csv": frame.write_csv, "rows.jsonl": frame.write_ndjson, "rows.parquet": frame.write_parquet}[name]
    write(tmp_path / name)
    data = DataSettings(path=str(tmp_path / name))
    batches = list(read_batches(data, 1000))
    assert [len(one.rows) for one in batches] == [1000, 1000, 500]
    assert pl.concat([one.rows for one in batches]).equals(read_rows(data).rows)


def test_a_column_that_only_later_records_have_gives_the_same_ids_in_batches(tmp_path: Path):
    lines = [json.dumps({"text": f"t{index}", "label": "a"} | ({"late": 1} if index > 40_000 else {})) for index in range(50_000)]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    data = DataSettings(path=str(tmp_path / "rows.jsonl"))
    assert pl.concat([one.rows for one in read_batches(data, 7000)])["row_id"].equals(read_rows(data).rows["row_id"])


def test_paths_are_relative_to_the_recipe_and_may_be_a_list(tmp_path: Path):
    recipe = Recipe.check({"data": {"path": ["a.csv", "sqlite:///b.db", "duckdb:", "postgresql://h/db"]}}, folder=tmp_path)
    assert recipe.data.path == [str(tmp_path / "a.csv"), f"sqlite:///{tmp_path}/b.db", f"duckdb:{tmp_path}", "postgresql://h/db"]


def test_a_small_packed_file_that_is_damaged_is_not_called_empty(read):
    with pytest.raises(DataError, match="cut off or damaged here"):
        read("rows.csv.gz", gzip.compress(CSV)[:-8] + bytes(8))
