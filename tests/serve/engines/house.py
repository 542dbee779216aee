"""Tiny real releases, and an engine that serves them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import torch

from tests.release.winner import LABELS, TEXTS, train
from tunewright.core.files import sha256_file, write_json
from tunewright.core.plugins import build
from tunewright.core.progress import Report
from tunewright.core.recipe import ModelSettings
from tunewright.models.chat import ChatFormat
from tunewright.models.contract import make_contract
from tunewright.models.load import attach, load_base, model_fingerprint
from tunewright.models.score import score_labels
from tunewright.release import pack, parity
from tunewright.serve.engine import Piece, Request, Sampling


def release(directory: Path, base_dir: Path, technique: str) -> Path:
    """What the release stage leaves, without its verdict: weights, tokenizer, manifest, tokens.json, parity.json."""
    if (directory / "manifest.json").exists():
        return directory
    base = load_base(ModelSettings.model_validate({"base": str(base_dir)}))
    candidate = directory.with_name(f"{directory.name}-candidate")
    train(technique, base_dir, candidate)
    winner = attach(base, candidate)
    directory.mkdir(parents=True)
    kind = pack.weights(winner, candidate, directory)
    base.tokenizer.save_pretrained(directory)
    fmt = ChatFormat(pack.saved_tokenizer(directory), None, None, 128, labels=LABELS)
    write_json(directory / "tokens.json", make_contract(fmt, TEXTS, [LABELS[i % 3] for i in range(len(TEXTS))]))
    scores = score_labels(winner, fmt, TEXTS).log_likelihood
    write_json(directory / "parity.json", {"texts": TEXTS, "log_likelihood": scores.tolist(), "tolerance": parity.TOLERANCE})
    told = {"name": str(base_dir), "path": str(base_dir), "fingerprint": model_fingerprint(base_dir)}
    files = [{"path": one.name, "sha256": sha256_file(one)} for one in sorted(directory.iterdir())]
    manifest = {"kind": kind, "technique": technique, "base_model": told, "prompt": parity.prompt(fmt), "files": files}
    write_json(directory / "manifest.json", manifest | {"status": "APPROVED: SHIP.", "approved": True})
    return directory


def run(test: Callable[[], Awaitable[Any]]) -> Any:
    return asyncio.run(asyncio.wait_for(test(), 60))  # type: ignore[arg-type]


@asynccontextmanager
async def engine(models: dict[str, Path], **settings: Any) -> AsyncIterator[Any]:
    """A running embedded engine with these models."""
    one = build("engines", {"name": "embedded", "threads": 1, **settings})
    await one.start(Report(quiet=True))
    try:
        for name, directory in models.items():
            await one.load(name, directory)
        yield one
    finally:
        await one.stop()


def ask(model: str, prompt: Any, **sampling: Any) -> Request:
    """A plain completion, greedy unless told otherwise."""
    return Request(model, prompt=prompt, sampling=Sampling(**({"temperature": 0.0, "max_tokens": 24} | sampling)))


async def pieces(engine: Any, request: Request) -> list[Piece]:
    return [piece async for piece in engine.generate(request)]


async def answer(engine: Any, request: Request) -> tuple[str, Piece]:
    """The whole text and the last piece."""
    found = await pieces(engine, request)
    return "".join(piece.text for piece in found), found[-1]


def generated(model: Any, tokenizer: Any, prompt: str, count: int = 24) -> str:
    """What transformers' own greedy `generate` says."""
    ids = torch.tensor([tokenizer(prompt)["input_ids"]])
    out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, do_sample=False, pad_token_id=0)
    return str(tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True))
