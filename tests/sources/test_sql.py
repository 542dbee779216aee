"""Databases: DuckDB, SQLite, a real PostgreSQL and a real Flight SQL server on loopback. Credentials are never shown."""

import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import polars as pl
import pytest

from tunewright import lifecycle
from tunewright.core.errors import DataError
from tunewright.core.progress import Report
from tunewright.core.recipe import DataSettings, Recipe
from tunewright.core.urls import masked
from tunewright.sources import fingerprint, read_rows
from tunewright.testing.postgres import postgres_server

ROWS = [("good phone", "positive", 5), ("bad phone", "negative", 1), ("it's ok", None, 3)]
QUERY = "SELECT body AS text, mood AS label, stars FROM reviews ORDER BY stars DESC"
CREATE = "CREATE TABLE reviews (body TEXT, mood TEXT, stars INTEGER)"


def sql(path: str, query: str | None = QUERY, **fields: object) -> DataSettings:
    return DataSettings.model_validate({"path": path, "query": query, **fields})


def check(data: DataSettings, source: str) -> None:
    result = read_rows(data)
    assert result.rows.select("line", "text", "label", "stars").rows() == [
        (1, "good phone", "positive", "5"),
        (3, "bad phone", "negative", "1"),
    ]
    assert result.quarantine.select("line", "reason").rows() == [(2, "missing_label")]
    assert result.rows["source"].unique().to_list() == [source]


@pytest.fixture
def duck(tmp_path: Path) -> Path:
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        connection.execute(CREATE)
        connection.executemany("INSERT INTO reviews VALUES (?, ?, ?)", ROWS)
    return tmp_path / "shop.duckdb"


@pytest.fixture
def lite(tmp_path: Path) -> Path:
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        connection.execute(CREATE)
        connection.executemany("INSERT INTO reviews VALUES (?, ?, ?)", ROWS)
    connection.close()
    return tmp_path / "shop.db"


def test_duckdb_and_sqlite_by_url_and_by_file(duck: Path, lite: Path):
    check(sql(f"duckdb:///{duck}"), f"duckdb:///{duck}")
    check(sql(str(duck)), "shop.duckdb")
    check(sql(f"sqlite:///{lite}"), f"sqlite:///{lite}")
    check(sql(str(lite)), "shop.db")


def test_duckdb_in_memory_queries_files_beside_the_recipe(tmp_path: Path):
    pl.DataFrame({"text": ["a", "b"], "label": ["x", "y"]}).write_parquet(tmp_path / "rows.parquet")
    recipe = Recipe.check({"data": {"path": "duckdb:", "query": "SELECT * FROM 'rows.parquet' WHERE label = 'y'"}}, folder=tmp_path)
    assert read_rows(recipe.data).rows.select("text", "label").rows() == [("b", "y")]


def test_sqlite_types_that_change_from_row_to_row_and_broken_text(tmp_path: Path):
    with sqlite3.connect(tmp_path / "wild.db") as connection:
        connection.execute("CREATE TABLE rows (text, label)")
        connection.executemany("INSERT INTO rows VALUES (?, ?)", [("a", 1), (2, "x"), (3.5, "y"), (b"\xff\xfe", "z"), (None, "w")])
    connection.close()
    result = read_rows(sql(str(tmp_path / "wild.db"), "SELECT * FROM rows"))
    assert result.rows.select("text", "label").rows() == [("a", "1"), ("2", "x"), ("3.5", "y"), (None, "w")]
    assert result.quarantine.select("line", "reason").rows() == [(4, "broken_encoding")]


def test_the_fingerprint_follows_the_rows_and_the_query(lite: Path):
    before = fingerprint(sql(str(lite)))
    assert fingerprint(sql(str(lite))) == before
    assert fingerprint(sql(str(lite), QUERY + " LIMIT 1")) != before
    with sqlite3.connect(lite) as connection:
        connection.execute("INSERT INTO reviews VALUES ('new', 'positive', 4)")
    connection.close()
    assert fingerprint(sql(str(lite))) != before


def test_what_is_missing_is_named(tmp_path: Path, duck: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("NO_SUCH_THING", raising=False)
    for path, query, message in (
        (str(duck), None, "data.query: is needed to read duckdb"),
        (f"sqlite:///{tmp_path}/none.db", QUERY, "there is no such file"),
        (str(duck), "SELECT * FROM nothing", "the query could not be run"),
        ("oracle://h/db", QUERY, "is no database that can be read. Known: duckdb, sqlite"),
        ("postgresql://u:${NO_SUCH_THING}@h/db", QUERY, "environment variable NO_SUCH_THING is not set"),
    ):
        with pytest.raises(DataError, match=message):
            read_rows(sql(path, query))


def test_credentials_are_masked_wherever_settings_are_written():
    shown = {
        "postgresql://ann:s3cret@h:5432/db": "postgresql://***:***@h:5432/db",
        "postgresql://ann:${PGPASSWORD}@h/db": "postgresql://***:${PGPASSWORD}@h/db",
        "grpc+tls://:t0ken@h:443": "grpc+tls://:***@h:443",
        "postgresql://h/db?user=ann&password=s3cret": "postgresql://h/db?user=ann&password=***",
        "/data/a@b.csv": "/data/a@b.csv",
    }
    assert {path: masked(path) for path in shown} == shown
    data = DataSettings(path=["postgresql://ann:s3cret@h/db"])
    assert "s3cret" not in data.model_dump_json()
    assert data.path == ["postgresql://ann:s3cret@h/db"]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def until_open(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None, "the server stopped"
        time.sleep(0.1)
    raise AssertionError("the server does not answer")


@pytest.fixture(scope="module")
def postgres() -> Iterator[int]:
    """The port of a PostgreSQL server of our own."""
    with postgres_server("fsync=off") as server:
        yield server.port


def test_postgresql(postgres: int, monkeypatch: pytest.MonkeyPatch):
    import adbc_driver_postgresql.dbapi as driver

    url = f"postgresql://ann:s3cret%2Fpass@127.0.0.1:{postgres}/postgres"
    with driver.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE reviews (body TEXT, mood TEXT, stars INTEGER)")
        cursor.execute("INSERT INTO reviews VALUES ('good phone', 'positive', 5), ('bad phone', 'negative', 1), ('it''s ok', NULL, 3)")
        connection.commit()
    monkeypatch.setenv("PG_USER_PASSWORD", "ann:s3cret%2Fpass")
    name = f"postgresql://127.0.0.1:{postgres}/postgres"
    check(sql(f"postgresql://${{PG_USER_PASSWORD}}@127.0.0.1:{postgres}/postgres"), name)
    wide = "SELECT 'a' AS text, 1.50::numeric AS label, now() AS at, ARRAY['x'] AS many, '{\"k\": 1}'::jsonb AS j, gen_random_uuid()::text AS u"
    row = read_rows(sql(url, wide)).rows.row(0, named=True)
    assert (row["label"], row["many"], row["j"]) == ("1.50", '["x"]', '{"k": 1}')
    for broken in (sql(url, "SELECT nothing"), sql(url.replace("s3cret", "wr0ng"), QUERY)):
        with pytest.raises(DataError, match="the query could not be run") as caught:
            read_rows(broken)
        assert not any(secret in str(caught.value) for secret in ("s3cret", "wr0ng", "ann"))


@pytest.fixture(scope="module")
def flight_sql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """ROAPI, a Flight SQL server that PyPI has, with one table."""
    folder = tmp_path_factory.mktemp("flight")
    pl.DataFrame(ROWS, schema=["body", "mood", "stars"], orient="row").write_parquet(folder / "reviews.parquet")
    flight, http, wire = free_port(), free_port(), free_port()
    listen = ["--addr-flight-sql", f"127.0.0.1:{flight}", "-a", f"127.0.0.1:{http}", "-p", f"127.0.0.1:{wire}"]
    server = Path(sys.executable).with_name("roapi")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([server, "-t", f"reviews={folder}/reviews.parquet", *listen], stdout=log, stderr=log, cwd=folder)
    try:
        until_open(flight, process)
        yield flight
    finally:
        process.terminate()
        process.wait(30)


def test_flight_sql(flight_sql: int, monkeypatch: pytest.MonkeyPatch):
    url = f"grpc://127.0.0.1:{flight_sql}"
    check(sql(url), url)
    assert fingerprint(sql(url)) == fingerprint(sql(url))
    with pytest.raises(DataError, match="the query could not be run"):
        read_rows(sql(url, "SELECT * FROM nothing"))
    monkeypatch.setenv("DREMIO_TOKEN", "t0ken")
    with pytest.raises(DataError, match="could not be run") as caught:
        read_rows(sql(f"grpc://:${{DREMIO_TOKEN}}@127.0.0.1:{free_port()}"))
    assert "t0ken" not in str(caught.value)


def test_a_run_directory_holds_no_password(postgres: int, tmp_path: Path):
    url = f"postgresql://ann:s3cret%2Fpass@127.0.0.1:{postgres}/postgres"
    query = "SELECT 'text number ' || n AS text, CASE WHEN n % 2 = 0 THEN 'a' ELSE 'b' END AS label FROM generate_series(1, 20) AS n"
    recipe = Recipe.check({"data": {"path": url, "query": query}, "audit": {"checks": ["exact_duplicates"]}})
    run = lifecycle.run(recipe, tmp_path / "run", until="audit", report=Report(quiet=True))
    assert run.done("audit")["failed"] is False
    files = [path for path in run.directory.rglob("*") if path.is_file()]
    written = "".join(str(pl.read_parquet(one).rows()) if one.suffix == ".parquet" else one.read_text(errors="replace") for one in files)
    assert "text number 7" in written
    assert "s3cret" not in written
    assert "postgresql://***:***@127.0.0.1" in written
    again = lifecycle.run(recipe, tmp_path / "run", until="audit", report=Report(quiet=True))
    assert again.done("audit")["finished"] == run.done("audit")["finished"]
