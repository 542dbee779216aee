"""Rows as the audit leaves them, in a run directory."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tunewright.core.executor import LocalExecutor
from tunewright.core.files import write_parquet
from tunewright.core.ledger import Ledger
from tunewright.core.parts import Look
from tunewright.core.progress import Report
from tunewright.core.recipe import Recipe
from tunewright.core.run import Context, Run


def frame(texts: list[str | None], labels: list[str], **more: list[str | None]) -> pl.DataFrame:
    numbers = range(len(texts))
    columns = {"row_id": [f"r{one}" for one in numbers], "source": ["rows.csv"] * len(texts), "line": [one + 2 for one in numbers]}
    kinds = {"row_id": pl.String, "source": pl.String, "line": pl.Int64, "text": pl.String, "label": pl.String}
    return pl.DataFrame(columns | {"text": texts, "label": labels} | more, schema=kinds | dict.fromkeys(more, pl.String))


@pytest.fixture
def rows_of() -> Callable[..., pl.DataFrame]:
    return frame


@pytest.fixture
def context(tmp_path: Path) -> Callable[..., Context]:
    def make(rows: pl.DataFrame, groups: tuple[str, ...] = (), **prepare: object) -> Context:
        run, report = Run(tmp_path / "run"), Report(quiet=True)
        write_parquet(run.path("audit", "rows.parquet"), rows)
        recipe = Recipe.check({"data": {"path": "rows.csv", "groups": list(groups)}, "prepare": prepare})
        return Context(recipe, run, Ledger(run.path("ledger.parquet")), LocalExecutor(report), report)

    return make


@pytest.fixture
def look() -> Look:
    report = Report(quiet=True)
    return Look(Recipe.check({"data": {"path": "rows.csv"}}), report, LocalExecutor(report), lambda: None)


class Server:
    """Answers as OpenAI and LibreTranslate do: `replies` maps a part of the question to what is answered; errors come first."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.errors: list[int] = []
        self.reply: Callable[[str], Any] = lambda text: f"said: {text[-40:]}"
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.asked.append(body)
                outer.keys.append(self.headers.get("Authorization"))
                if outer.errors:
                    self.send_response(outer.errors.pop(0))
                    self.send_header("Retry-After", "0")
                    self.end_headers()
                    self.wfile.write(b'{"error": "busy or wrong key sk-hidden"}')
                    return
                if self.path == "/translate":
                    answer: Any = {"translatedText": f"{body['q']} ({body['target']})"}
                else:
                    answer = {"choices": [{"message": {"role": "assistant", "content": outer.reply(body["messages"][0]["content"])}}]}
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps(answer).encode())

            def log_message(self, *_: Any) -> None:
                return

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@pytest.fixture
def server() -> Iterator[Server]:
    one = Server()
    yield one
    one.http.shutdown()
    one.http.server_close()
