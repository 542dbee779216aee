"""Reading rows. Every record of a file becomes a row with an id for life, or goes to quarantine with its line and a reason.

A row:  row_id r8c1f03e2a9d04b17 | source reviews.csv | line 212 | text "great phone" | label positive | review amazon_7 | ...

The id comes from the row's content (and a counter for exact repeats), so sorting the file or adding rows changes no id. Columns
of the file other than text and label keep their names; one that would clash with ours gets an underscore (`source_`).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl
import xxhash

from tunewright.core.errors import DataError
from tunewright.core.recipe import DataSettings
from tunewright.core.settings import did_you_mean

RESERVED = ("row_id", "source", "line", "text", "label", "group", "answer", "rejected", "messages", "tools", "weight", "parent_id")
QUARANTINE_SCHEMA: dict[str, pl.DataType] = {
    "row_id": pl.String(),
    "source": pl.String(),
    "line": pl.Int64(),
    "reason": pl.String(),
    "detail": pl.String(),
    "raw": pl.String(),
}
_BAD_LIMIT = 0.5
_RESTART_LIMIT = 1000
_RAW_LIMIT = 2000


@dataclass(frozen=True)
class ReadResult:
    """`rows` to work with; `not_selected` by `data.where`; `quarantine` (columns of `QUARANTINE_SCHEMA`)."""

    rows: pl.DataFrame
    not_selected: pl.DataFrame
    quarantine: pl.DataFrame


Task = Literal["classification", "preference", "generation", "text"]


def task_of(rows: pl.DataFrame) -> Task:
    """What the rows ask of a model, told from their columns."""
    for column, task in _TASKS.items():
        if column in rows.columns:
            return task
    return "text"


_TASKS: dict[str, Task] = {"label": "classification", "rejected": "preference", "answer": "generation"}


def content(rows: pl.DataFrame) -> pl.Series:
    """What makes a row the same as another: its text, and its free-text answer where it has one."""
    if "answer" not in rows.columns:
        return rows["text"]
    return rows.select(text=pl.concat_str("text", "answer", separator="\n", ignore_nulls=True)).to_series()


@dataclass(frozen=True)
class _Bad:
    line: int
    reason: str
    detail: str
    raw: str


@dataclass(frozen=True)
class _Table:
    """Columns as read (all text), the line of each record, and the records that could not be read."""

    columns: dict[str, list[str | None]]
    lines: list[int]
    bad: list[_Bad]


def read_rows(data: DataSettings) -> ReadResult:
    """Read the file of `data`. Raises `DataError` when nothing can be read: no file, no rows, no such column, broken throughout."""
    path = Path(data.path if isinstance(data.path, str) else data.path[0])
    if not path.is_file():
        hint = "it is a directory" if path.is_dir() else "there is no such file"
        raise DataError(f"data.path: {hint}: {path}. Give a csv, tsv, jsonl or parquet file.")
    table = _READERS[_format(data, path)](path, data)
    total = len(table.lines) + len(table.bad)
    if total == 0:
        raise DataError(f"{path}: the file holds no rows.")
    if len(table.bad) > _BAD_LIMIT * total:
        worst = table.bad[0]
        raise DataError(
            f"{path}: {len(table.bad)} of {total} records cannot be read, the first on line {worst.line}: {worst.detail}. "
            "Check data.format and data.encoding; nothing was changed."
        )
    return _build(table, path, data)


def read_columns(path: str | Path) -> pl.DataFrame:
    """Every readable record of a file with its own columns as text, for a first look at data nobody has described yet."""
    data = DataSettings(path=str(path))
    if not Path(path).is_file():
        raise DataError(f"there is no file {path}. Give a csv, tsv, jsonl or parquet file.")
    if (kind := _format(data, Path(path))) == "jsonl":
        text = _text_of(Path(path), data.encoding)
        keys = next((list(one) for _, _, one in _json_values(Path(path), text) if isinstance(one, dict) and one), [""])
        data = data.model_copy(update={"text": keys[0], "label": keys[0]})
    return pl.DataFrame(_READERS[kind](Path(path), data).columns, infer_schema_length=None)


def _format(data: DataSettings, path: Path) -> str:
    if data.format != "auto":
        return data.format
    ending = path.suffix.lower().lstrip(".")
    name = {"csv": "csv", "tsv": "tsv", "txt": "csv", "jsonl": "jsonl", "ndjson": "jsonl", "json": "jsonl", "parquet": "parquet"}.get(
        ending
    )
    if name is None:
        raise DataError(
            f"data.path: cannot tell the format of {path} from its ending {path.suffix!r}. Set data.format to csv, tsv, jsonl or parquet."
        )
    return name


def _text_of(path: Path, encoding: str) -> str:
    """The file as text. Bytes that do not decode stay visible as lone surrogates, so that their rows can be found."""
    raw = path.read_bytes()
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "utf-16"
    elif encoding.lower().replace("-", "") == "utf8":
        encoding = "utf-8-sig"
    try:
        return raw.decode(encoding, errors="surrogateescape")
    except (LookupError, UnicodeError) as error:
        raise DataError(f"{path}: cannot be read as data.encoding {encoding!r} ({error}). Name the encoding it was written in.") from error


def _broken(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text)


def _visible(text: str) -> str:
    """Broken bytes as U+FFFD, so that the text can be stored; long text cut."""
    return text[:_RAW_LIMIT].encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _read_csv(path: Path, data: DataSettings) -> _Table:
    text = _text_of(path, data.encoding)
    if not text.strip():
        raise DataError(f"{path}: the file is empty.")
    physical = io.StringIO(text, newline="").readlines()
    delimiter = "\t" if _format(data, path) == "tsv" else _delimiter(physical[0])
    csv.field_size_limit(2**31 - 1)
    records = _csv_records(physical, delimiter)
    first = next(records)
    if isinstance(first, _Bad):
        raise DataError(f"{path}, line {first.line}: the header line cannot be read: {first.detail}.")
    header = [name.strip() for name in first[1]]
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise DataError(f"{path}, line 1: column {twice[0]!r} is given {header.count(twice[0])} times. Rename one of them.")
    columns: list[list[str | None]] = [[] for _ in header]
    lines: list[int] = []
    bad: list[_Bad] = []
    for record in records:
        if isinstance(record, _Bad):
            bad.append(record)
            continue
        line, values = record
        if any(map(_broken, values)):
            bad.append(_Bad(line, "broken_encoding", f"bytes that are not {data.encoding}", delimiter.join(values)))
            continue
        lines.append(line)
        for column, value in zip(columns, values, strict=True):
            column.append(value)
    return _Table(dict(zip(header, columns, strict=True)), lines, bad)


def _delimiter(header: str) -> str:
    return max(",;\t|", key=lambda mark: len(next(csv.reader([header], delimiter=mark))))


def _csv_records(physical: list[str], delimiter: str) -> Iterator[tuple[int, list[str]] | _Bad]:
    """Records with the line they start on. A record with the wrong number of fields is bad, and when it spans several lines
    (a stray quote swallowed them) reading starts again on the line after its first, so the others are not lost with it."""
    start, width, restarts = 0, 0, 0
    while start < len(physical):
        reader = csv.reader(iter(physical[start:]) if start else iter(physical), delimiter=delimiter, strict=True)
        begin = start
        while True:
            here = begin + reader.line_num
            problem = ""
            try:
                values = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                problem, values = str(error), []
            if not problem and not values:
                continue
            width = width or len(values)
            if not problem and len(values) == width:
                yield here + 1, values
                continue
            spans = begin + reader.line_num - here
            raw = physical[here]
            if problem:
                yield _Bad(here + 1, "broken_quotes", f"quotes that do not match ({problem})", raw)
            else:
                yield _Bad(here + 1, "ragged_line", f"{len(values)} fields where the header has {width}", raw)
            if problem or spans > 1:
                start, restarts = here + 1, restarts + 1
                if restarts > _RESTART_LIMIT:
                    raise DataError(
                        f"line {here + 1}: more than {_RESTART_LIMIT} records with quotes that do not match. Is the file really comma-separated?"
                    )
                break


def _read_jsonl(path: Path, data: DataSettings) -> _Table:
    text = _text_of(path, data.encoding)
    if not text.strip():
        raise DataError(f"{path}: the file is empty.")
    bad: list[_Bad] = []
    objects: list[tuple[int, dict[str, Any]]] = []
    for line, raw, value in _json_values(path, text):
        if isinstance(value, ValueError) or _broken(raw):
            reason = "invalid_json" if isinstance(value, ValueError) else "broken_encoding"
            bad.append(_Bad(line, reason, str(value) if isinstance(value, ValueError) else f"bytes that are not {data.encoding}", raw))
        elif not isinstance(value, dict):
            bad.append(_Bad(line, "not_an_object", f"a JSON object is needed, but got {type(value).__name__}", raw))
        elif data.text not in value or data.label not in value:
            missing = data.text if data.text not in value else data.label
            bad.append(_Bad(line, "missing_field", f"no field {missing!r}; the object has {', '.join(value) or 'no fields'}", raw))
        else:
            objects.append((line, value))
    names = list(dict.fromkeys(name for _, one in objects for name in one))
    if not objects and bad and bad[0].reason == "missing_field":
        raise DataError(f"{path}, line {bad[0].line}: {bad[0].detail}. Set data.text and data.label to the right fields.")
    columns = {name: [_as_text(one.get(name)) for _, one in objects] for name in names}
    return _Table(columns, [line for line, _ in objects], bad)


def _json_values(path: Path, text: str) -> Iterator[tuple[int, str, Any]]:
    if text.lstrip().startswith("["):
        try:
            yield from ((index, "", one) for index, one in enumerate(json.loads(text), start=1))
        except ValueError as error:
            raise DataError(f"{path}: starts like a JSON list but is not valid JSON ({error}).") from error
        return
    for line, raw in enumerate(text.split("\n"), start=1):
        if raw.strip():
            try:
                yield line, raw, json.loads(raw)
            except (ValueError, RecursionError) as error:
                yield line, raw, ValueError(f"not valid JSON ({error})")


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _read_parquet(path: Path, data: DataSettings) -> _Table:
    try:
        frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path}: cannot be read as parquet ({error}).") from error
    columns = {}
    for name, kind in frame.schema.items():
        column = frame[name]
        if kind == pl.Binary:
            raise DataError(f"{path}: column {name!r} holds bytes. Store it as text, or leave it out of the file.")
        columns[name] = [_as_text(one) for one in column.to_list()] if kind.is_nested() else column.cast(pl.String).to_list()
    return _Table(columns, list(range(1, len(frame) + 1)), [])


_READERS = {"csv": _read_csv, "tsv": _read_csv, "jsonl": _read_jsonl, "parquet": _read_parquet}


def _check_columns(path: Path, data: DataSettings, columns: list[str]) -> None:
    wanted = {"data.text": data.text, "data.label": data.label} | ({"data.id": data.id} if data.id else {})
    wanted |= {f"data.groups[{index}]": name for index, name in enumerate(data.groups)}
    wanted |= {f"data.where.{name}": name for name in data.where}
    missing = [
        f"{place}: there is no column {name!r} in {path}.{did_you_mean(name, columns)}"
        for place, name in wanted.items()
        if name not in columns
    ]
    if missing:
        raise DataError("\n".join(missing))


def _build(table: _Table, path: Path, data: DataSettings) -> ReadResult:
    _check_columns(path, data, list(table.columns))
    frame = pl.DataFrame({name: pl.Series(name, values, dtype=pl.String) for name, values in table.columns.items()})
    frame = frame.insert_column(0, pl.Series("__line", table.lines, dtype=pl.Int64))
    selected = pl.lit(True)
    for name, value in data.where.items():
        selected = selected & (pl.col(name) == value).fill_null(False)
    ids = _row_ids(frame.drop("__line"), data, table.lines, path)
    names = {name: f"{name}_" if name in RESERVED else name for name in table.columns} | {data.text: "text", data.label: "label"}
    frame = frame.with_columns(ids, pl.lit(path.name).alias("__source"), selected.alias("__selected")).rename(names)
    frame = frame.rename({"__line": "line", "__id": "row_id", "__source": "source"})
    front = ["row_id", "source", "line", "text", "label"]
    frame = frame.select(*front, *(name for name in frame.columns if name not in front))
    rows, rest = frame.filter("__selected").drop("__selected"), frame.filter(~pl.col("__selected")).drop("__selected")
    if rows.is_empty():
        raise DataError(f"{path}: data.where {data.where} selects none of the {len(frame)} rows.")
    blank = pl.col("label").str.strip_chars().fill_null("") == ""
    unlabelled = rows.filter(blank).select(
        "row_id",
        "source",
        "line",
        reason=pl.lit("missing_label"),
        detail=pl.lit(f"column {data.label!r} is empty"),
        raw=pl.col("text").str.head(_RAW_LIMIT),
    )
    rows = rows.filter(~blank)
    if rows.is_empty():
        raise DataError(f"{path}: column {data.label!r} (data.label) is empty in every row.")
    seen: dict[int, int] = {}
    bad = pl.DataFrame(
        [(_numbered(f"{one.reason}:{one.raw}", seen), path.name, one.line, one.reason, one.detail, _visible(one.raw)) for one in table.bad],
        schema=QUARANTINE_SCHEMA,
        orient="row",
    )
    return ReadResult(rows, rest, pl.concat([bad, unlabelled.cast(QUARANTINE_SCHEMA)]))  # type: ignore[arg-type]


def _row_ids(frame: pl.DataFrame, data: DataSettings, lines: list[int], path: Path) -> pl.Series:
    if data.id is not None:
        ids = frame[data.id]
        for wrong, word in ((ids.is_null() | (ids == ""), "empty"), (ids.is_duplicated(), "not unique")):
            if wrong.any():
                at = [line for line, is_wrong in zip(lines, wrong.to_list(), strict=True) if is_wrong]
                raise DataError(
                    f"{path}, lines {', '.join(map(str, at[:3]))}: data.id column {data.id!r} is {word} in {len(at)} rows. "
                    "Name a column with unique ids, or set data.id to null."
                )
        return ids.alias("__id")
    seen: dict[int, int] = {}
    joined = frame.select(pl.concat_str(pl.all().fill_null("\x00"), separator="\x1f")).to_series()
    return pl.Series("__id", [_numbered(text, seen) for text in joined.to_list()], dtype=pl.String)


def _numbered(content: str, seen: dict[int, int]) -> str:
    """`r` + 16 hex digits of the content's hash; the second row with the same content gets `-2`, and so on."""
    digest = xxhash.xxh3_64_intdigest(content.encode("utf-8", "surrogateescape"))
    seen[digest] = count = seen.get(digest, 0) + 1
    return f"r{digest:016x}" + (f"-{count}" if count > 1 else "")
