"""The upstream engine against real servers: Tunewright's own, llama.cpp's, and one that does everything wrong."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request as Asked
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.release.winner import TEXTS
from tests.serve.engines.house import answer, ask, engine, pieces, release, run
from tests.serve.house import setup_of
from tunewright.core.errors import TunewrightError
from tunewright.core.files import read_json
from tunewright.core.plugins import build
from tunewright.core.progress import Report
from tunewright.release.export import gguf
from tunewright.release.export.source import Options, Source
from tunewright.release.gate import llama_server
from tunewright.serve.app import create_app
from tunewright.serve.engine import EngineError, Piece, Request, Sampling

SERVER = llama_server.__file__
USER = ({"role": "user", "content": "Is it good?"},)


@contextmanager
def served(app: Any) -> Iterator[str]:
    """A real server on loopback in a thread of this process."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1"
    finally:
        server.should_exit = True
        thread.join(10)


@asynccontextmanager
async def upstream(url: str, releases: dict[str, Path], **settings: Any):
    one = build("engines", {"name": "upstream", "url": url, "retries": 0, **settings})
    await one.start(Report(quiet=True))
    try:
        for name, directory in releases.items():
            await one.load(name, directory)
        yield one
    finally:
        await one.stop()


@pytest.fixture(scope="module")
def tuned(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return release(tmp_path_factory.mktemp("upstream") / "lora", base, "lora")


@pytest.fixture(scope="module")
def tunewright(tuned: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    with served(create_app(setup_of(folder, tuned, "serve.engine={name: embedded, threads: 1}"))) as url:
        yield url


def test_answers_through_an_upstream_are_those_of_the_engine_itself(tuned: Path, tunewright: str):
    asked = [
        ask("m", "It broke", logprobs=2, max_tokens=8),
        ask("m", "It broke", temperature=1.2, seed=4, top_p=0.9, stop=("e",), frequency_penalty=0.5, presence_penalty=0.1),
        ask("m", (60, 61, 62), max_tokens=3),
        Request("m", messages=USER, sampling=Sampling(max_tokens=6, temperature=0, logprobs=1)),
        Request(
            "m",
            messages=USER,
            sampling=Sampling(max_tokens=100, seed=1, schema={"type": "object", "properties": {}, "additionalProperties": False}),
        ),
        Request("m", prompt="It broke", sampling=Sampling(max_tokens=2, temperature=0, logprobs=0), echo=True),
    ]

    async def test():
        async with engine({"m": tuned}) as own, upstream(tunewright, {"m": tuned}, models={"m": "lora"}) as far:
            return [(await pieces(own, one), await pieces(far, one)) for one in asked], far.load_now()

    found, gauges = run(test)
    for ours, theirs in found:
        assert "".join(one.text for one in theirs) == "".join(one.text for one in ours)
        assert theirs[-1].finish == ours[-1].finish
        assert theirs[-1].usage.prompt_tokens == ours[-1].usage.prompt_tokens
        assert theirs[-1].usage.completion_tokens == ours[-1].usage.completion_tokens
        scores = [[one.logprob for piece in side for one in piece.tokens] for side in (ours, theirs)]
        assert scores[1] == pytest.approx(scores[0], abs=1e-4)
    assert gauges == {"requests_running": 0}


@pytest.mark.parametrize("by", ["ids", "text"])
def test_labels_are_scored_through_an_upstream_that_echoes(by: str, tuned: Path, tunewright: str):
    texts = [text for text in TEXTS if "<|" not in text]
    expected = np.array(read_json(tuned / "parity.json")["log_likelihood"])[[TEXTS.index(text) for text in texts]]

    async def test():
        async with upstream(tunewright, {"m@3": tuned}, models={"m": "lora"}, score_by=by) as far:
            return await far.score("m@3", texts)

    found = run(test)
    assert np.abs(found.log_likelihood - expected).max() < 1e-3
    assert all(size > 10 for size in found.prompt_tokens)


def test_errors_of_an_upstream_are_told_as_what_they_mean(tuned: Path, tunewright: str):
    async def test():
        async with upstream(tunewright, {"m": tuned, "n": tuned}, models={"m": "lora"}) as far:
            refused = []
            for one in (ask("m", "It broke. " * 400), ask("n", "It"), ask("other", "It")):
                with pytest.raises(EngineError) as caught:
                    await answer(far, one)
                refused.append((caught.value.status, caught.value.code))
            return refused

    assert run(test) == [(400, "context_length_exceeded"), (502, "upstream_not_found"), (404, "model_not_found")]


class Naughty:
    """A server that answers as the path of its model says, and remembers what it was sent."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.callers: list[Any] = []
        self.open = 0
        names = ("/v1/chat/completions", "/v1/completions")
        self.app = Starlette(routes=[*(Route(name, self.answer, methods=["POST"]) for name in names), Route("/elsewhere", self.elsewhere)])

    async def elsewhere(self, request: Asked) -> Response:
        raise AssertionError("a redirect was followed")

    async def answer(self, request: Asked) -> Response:
        body = await request.json()
        self.asked.append(body)
        self.callers.append(request.client)
        self.keys.append(request.headers.get("authorization"))
        kind = body["model"]
        if kind.isdecimal():
            return JSONResponse({"error": {"message": "secret-key is\nwrong", "code": "odd"}}, int(kind))
        if kind == "redirect":
            return RedirectResponse("/elsewhere", 307)
        if kind == "document":
            return JSONResponse({"choices": [{"index": 0, "text": "x", "logprobs": None}]})
        return StreamingResponse(self.stream(kind), media_type="text/event-stream")

    async def stream(self, kind: str):
        self.open += 1
        try:
            yield b'data: {"choices": [{"index": 0, "delta": {"content": "a'
            yield '\u00e9"}}]}\r\n\r\n: a comment\r\n\r\n'.encode()
            if kind == "garbage":
                yield b"data: {nonsense\n\n"
            if kind == "odd":
                yield b'data: {"choices": [{"delta": 7}]}\n\n'
            if kind == "failing":
                yield b'data: {"error": {"message": "cuda"}}\n\n'
            if kind == "endless":
                while True:
                    yield b'data: {"choices": [{"index": 0, "delta": {"content": "b"}}]}\n\n'
                    await asyncio.sleep(0.005)
            if kind == "slow":
                await asyncio.sleep(5)
            if kind == "good":
                yield b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
        finally:
            self.open -= 1


@pytest.fixture(scope="module")
def naughty() -> Iterator[tuple[Naughty, str]]:
    one = Naughty()
    with served(one.app) as url:
        yield one, url


@pytest.mark.parametrize(
    ("kind", "status", "code", "before"),
    [
        ("400", 400, "odd", ""),
        ("401", 502, "upstream_refuses_key", ""),
        ("404", 502, "upstream_not_found", ""),
        ("422", 400, "odd", ""),
        ("429", 503, "upstream_busy", ""),
        ("500", 502, "upstream_error", ""),
        ("503", 503, "upstream_busy", ""),
        ("redirect", 502, "upstream_redirects", ""),
        ("document", 502, "upstream_error", ""),
        ("garbage", 502, "upstream_error", "aé"),
        ("odd", 502, "upstream_error", "aé"),
        ("failing", 502, "upstream_interrupted", "aé"),
        ("short", 502, "upstream_interrupted", "aé"),
        ("slow", 504, "upstream_timeout", "aé"),
    ],
)
def test_an_upstream_that_misbehaves_ends_the_answer_with_a_clear_error(
    kind: str, status: int, code: str, before: str, naughty: tuple[Naughty, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("UPSTREAM_KEY", "secret-key")

    async def test():
        got = []
        async with upstream(naughty[1], {"m": tmp_path}, models={"m": kind}, read_seconds=0.5, api_key="${UPSTREAM_KEY}") as far:
            with pytest.raises(EngineError) as caught:
                async for piece in far.generate(Request("m", messages=USER)):
                    got.append(piece.text)
            return "".join(got), caught.value, far.load_now()

    text, error, gauges = run(test)
    assert (text, error.status, error.code) == (before, status, code)
    assert "secret-key" not in str(error)
    assert "\n" not in str(error)
    assert naughty[0].keys[-1] == "Bearer secret-key"
    assert gauges["requests_running"] == 0


def test_an_upstream_that_tells_no_usage_is_counted_by_pieces(naughty: tuple[Naughty, str], tmp_path: Path):
    async def test():
        async with upstream(naughty[1], {"good": tmp_path}) as far:
            return await answer(far, Request("good", messages=USER, sampling=Sampling(schema={})))

    text, last = run(test)
    assert (text, last.finish, last.usage.completion_tokens) == ("aé", "stop", 1)
    assert naughty[0].asked[-1]["response_format"] == {"type": "json_object"}
    assert "max_tokens" not in naughty[0].asked[-1]


def test_one_connection_serves_one_answer_after_the_other(naughty: tuple[Naughty, str], tmp_path: Path):
    async def test():
        async with upstream(naughty[1], {"good": tmp_path}) as far:
            for _ in range(5):
                await answer(far, Request("good", messages=USER))

    naughty[0].callers.clear()
    run(test)
    assert len(set(naughty[0].callers)) == 1


def test_closing_the_iterator_closes_the_connection(naughty: tuple[Naughty, str], tmp_path: Path):
    async def test():
        async with upstream(naughty[1], {"endless": tmp_path}) as far:
            talk = far.generate(Request("endless", messages=USER))
            await anext(talk)
            during = naughty[0].open
            await talk.aclose()
            for _ in range(200):
                if naughty[0].open == 0:
                    break
                await asyncio.sleep(0.01)
            return during, naughty[0].open

    assert run(test) == (1, 0)


def test_an_upstream_that_does_not_echo_cannot_score_and_says_so(naughty: tuple[Naughty, str], tuned: Path, tmp_path: Path):
    async def test():
        async with upstream(naughty[1], {"document": tuned, "base": tmp_path}) as far:
            with pytest.raises(EngineError, match="cannot score labels") as caught:
                await far.score("document", ["It broke"])
            with pytest.raises(EngineError) as base:
                await far.score("base", ["It broke"])
            return caught.value.status, caught.value.code, base.value.code

    assert run(test) == (501, "scores_unsupported", "no_labels")


@pytest.mark.parametrize("breaks", [1, 3])
def test_a_connection_that_breaks_before_an_answer_is_tried_again(breaks: int, naughty: tuple[Naughty, str], tmp_path: Path):
    """A listener that hangs up `breaks` times, then hands over to the real server."""
    port, tries = int(naughty[1].split(":")[2].split("/")[0]), []

    async def hand_over(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tries.append(1)
        if len(tries) <= breaks:
            writer.close()
            return
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)

        async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                target.write(data)
            target.close()

        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))

    async def test():
        server = await asyncio.start_server(hand_over, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        one = build("engines", {"name": "upstream", "url": url, "retries": 2})
        from tunewright.serve.remote.client import Client

        one._client = Client(url, None, connect=1, read=5, retries=2, connections=4)
        await one.load("good", tmp_path)
        try:
            return (await answer(one, Request("good", messages=USER)))[0]
        except EngineError as error:
            return error.code
        finally:
            await one.stop()
            server.close()

    assert run(test) == ("aé" if breaks == 1 else "upstream_unreachable")
    assert len(tries) == (2 if breaks == 1 else 3)


def test_nobody_there_is_told_at_once(tmp_path: Path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}/v1"

    async def test():
        async with upstream(url, {"m": tmp_path}) as far:
            with pytest.raises(EngineError) as caught:
                await answer(far, ask("m", "It"))
            return caught.value.status, caught.value.code

    assert run(test) == (502, "upstream_unreachable")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/v1", "/v1", "http://", "${NO_SUCH_VARIABLE}/v1", "http://[::1"])
def test_an_address_that_is_none_is_refused_at_the_start(url: str):
    async def test():
        with pytest.raises(TunewrightError, match=r"serve\.engine\.url"):
            async with upstream(url, {}):
                pass

    run(test)


@pytest.fixture(scope="module")
def llama(tuned: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """llama.cpp's own server with the tiny release as GGUF."""
    file = tmp_path_factory.mktemp("llama") / "tiny.gguf"
    gguf.write_file(Source(tuned, "tiny"), file, Options("f32"))
    process = subprocess.Popen([sys.executable, str(SERVER), str(file), "512"], stdin=-1, stdout=-1, stderr=-3, text=True)
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        line = next(line for line in process.stdout if line.startswith("ADDRESS"))
        yield f"{line.split()[1]}/v1"
    finally:
        process.stdin.close()
        process.wait(20)


def whole_characters(found: list[Piece]) -> bool:
    return not any("\ufffd" in one.text for piece in found for one in piece.tokens)


def test_llama_cpp_answers_through_the_engine_and_says_that_it_cannot_score(tuned: Path, llama: str):
    """Of answers that are whole characters: llama.cpp joins the tokens of others."""
    sampling = Sampling(max_tokens=4, temperature=0, logprobs=2)
    asked = [Request("m", messages=({"role": "user", "content": f"Is {number} good?"},), sampling=sampling) for number in range(40)]

    async def test():
        async with engine({"m": tuned}) as own, upstream(llama, {"m": tuned}) as far:
            ours = [(one, await pieces(own, one)) for one in asked]
            kept = [(one, found) for one, found in ours if whole_characters(found)][:3]
            with pytest.raises(EngineError) as caught:
                await far.score("m", ["It broke"])
            return [(found, await pieces(far, one)) for one, found in kept], caught.value.code

    pairs, code = run(test)
    assert len(pairs) >= 2
    for ours, theirs in pairs:
        assert "".join(one.text for one in theirs) == "".join(one.text for one in ours)
        assert theirs[-1].usage.prompt_tokens == ours[-1].usage.prompt_tokens
        assert theirs[-1].usage.completion_tokens == 4
        scores = [[one.logprob for piece in side for one in piece.tokens] for side in (ours, theirs)]
        assert len(scores[0]) >= 3
        assert scores[1][: len(scores[0])] == pytest.approx(scores[0], abs=1e-2)  # llama.cpp tells the end token too
    assert code == "scores_unsupported"
