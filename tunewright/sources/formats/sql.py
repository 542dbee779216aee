"""sql: the rows of a query. DuckDB and SQLite files, PostgreSQL, and Flight SQL (Dremio and other lakehouses) through ADBC drivers.

    path: postgresql://ann:${PGPASSWORD}@db.example.org/shop   query: SELECT body AS text, label FROM tickets
      ->   text "My parcel ..." | label delivery | line 1 (the first row of the result) | source postgresql://db.example.org/shop

Credentials never leave this module: errors are cleaned of them, rows carry the URL without them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import polars as pl

from tunewright.core.errors import DataError, TunewrightError
from tunewright.core.optional import require
from tunewright.core.recipe import DataSettings
from tunewright.core.urls import expanded, named, without
from tunewright.sources.formats.parquet import of_batches
from tunewright.sources.place import Place
from tunewright.sources.table import Bad, Table, as_text, is_broken, numbers, visible

BATCH = 65_536
_Read = Callable[[Place, str, str], Iterator[Table]]


def read(place: Place, data: DataSettings, required: tuple[str, ...] = ()) -> Iterator[Table]:
    """Tables of at most about `BATCH` rows. Whatever a driver raises becomes a `DataError` without credentials."""
    try:
        url, secrets = expanded(place.path)
    except KeyError as error:
        raise DataError(f"data.path: the environment variable {error.args[0]} is not set, and {place.name} needs it.") from None
    name = named(url)
    if not data.query:
        raise DataError(f"data.query: is needed to read {name}, for example: SELECT * FROM reviews")  # noqa: S608
    scheme = url.split(":", 1)[0]
    if scheme not in _READERS:
        raise DataError(f"data.path: {name} is no database that can be read. Known: {', '.join(_READERS)}.")
    place = Place(place.path, place.format, name, place.classes, place.added)
    try:
        yield from _READERS[scheme](place, url, data.query)
    except TunewrightError:
        raise
    except Exception as error:  # a driver's errors have no common base class
        text = without(secrets, str(error))
        raise DataError(
            f"{name}: the query could not be run ({type(error).__name__}: {text.strip()}). Query: {data.query.strip()[:500]}"
        ) from None


def _duckdb(place: Place, url: str, query: str) -> Iterator[Table]:
    duckdb = require("duckdb", "sql")
    file = url.removeprefix("duckdb://").removeprefix("/") if "//" in url[:9] else None
    if file is not None and not Path(file).is_file():
        raise DataError(f"data.path: there is no such file: {file}.")
    with closing(duckdb.connect(file or ":memory:", read_only=file is not None)) as connection:
        connection.execute("SET autoinstall_known_extensions = false")
        if file is None:
            connection.execute("SET file_search_path = ?", [url.removeprefix("duckdb:")])
        reader = connection.sql(query).to_arrow_reader(BATCH)
        yield from of_batches(place, reader, reader.schema.empty_table())


def _sqlite(place: Place, url: str, query: str) -> Iterator[Table]:
    """SQLite's types change from row to row, which Arrow's do not; so its rows are read with Python's own module."""
    file = Path(url.removeprefix("sqlite:///"))
    if not file.is_file():
        raise DataError(f"data.path: there is no such file: {file}.")
    with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
        cursor = connection.execute(query)
        names = [one[0] for one in cursor.description or ()]
        yield _of_values(names, [], 1)
        line = 1
        while rows := cursor.fetchmany(BATCH):
            yield _of_values(names, rows, line)
            line += len(rows)


def _of_values(names: list[str], rows: list[tuple[Any, ...]], first: int) -> Table:
    kept: list[list[str | None]] = []
    lines: list[int] = []
    bad: list[Bad] = []
    for line, row in enumerate(rows, start=first):
        values = [as_text(value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value) for value in row]
        if any(value is not None and is_broken(value) for value in values):
            raw = "|".join(value or "" for value in values)
            bad.append(Bad(line, "broken_encoding", "bytes that are not utf-8", visible(raw)))
        else:
            kept.append(values)
            lines.append(line)
    columns = [pl.Series(name, [row[at] for row in kept], dtype=pl.String) for at, name in enumerate(names)]
    return Table(pl.DataFrame(columns), numbers(lines), bad)


def _postgresql(place: Place, url: str, query: str) -> Iterator[Table]:
    driver = require("adbc_driver_postgresql.dbapi", "sql")
    yield from _fetch(place, driver.connect(url), query)


def _flight_sql(place: Place, url: str, query: str) -> Iterator[Table]:
    """grpc://user:password@host:port; a token instead of a password: grpc+tls://:TOKEN@host:port."""
    driver = require("adbc_driver_flightsql.dbapi", "sql")
    options = require("adbc_driver_flightsql", "sql").DatabaseOptions
    parts = urlsplit(url)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    given = {options.WITH_COOKIE_MIDDLEWARE.value: "true"}  # Dremio keeps its session in a cookie
    if user:
        given |= {"username": user, "password": password}
    elif password:
        given[options.AUTHORIZATION_HEADER.value] = f"Bearer {password}"
    if parse_qs(parts.query).get("disableCertificateVerification", ["false"])[0].lower() == "true":
        given[options.TLS_SKIP_VERIFY.value] = "true"
    host = parts.netloc.rsplit("@", 1)[-1]
    yield from _fetch(place, driver.connect(f"{parts.scheme}://{host}", db_kwargs=given, autocommit=True), query)


def _fetch(place: Place, connection: Any, query: str) -> Iterator[Table]:
    with closing(connection), closing(connection.cursor()) as cursor:
        cursor.execute(query)
        with cursor.fetch_record_batch() as reader:
            yield from of_batches(place, reader, reader.schema.empty_table())


_READERS: dict[str, _Read] = {
    "duckdb": _duckdb,
    "sqlite": _sqlite,
    "postgresql": _postgresql,
    "postgres": _postgresql,
    "grpc": _flight_sql,
    "grpc+tcp": _flight_sql,
    "grpc+tls": _flight_sql,
}
