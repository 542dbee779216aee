"""Label likelihoods from an upstream: prompt and label together as a completion that echoes its tokens with their log-probabilities.

vLLM takes token ids, so the tokens are those of training (`by: ids`). A server that takes texts only tokenises them itself
(`by: text`): the label's tokens are found at the end, by their text. llama.cpp and Ollama do not echo: they cannot score labels, and
the error says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from tunewright.models.chat import ChatFormat
from tunewright.serve.engine import EngineError, Scores
from tunewright.serve.remote.client import Client

LINES = 32  # completions in one request


async def score(client: Client, model: str, fmt: ChatFormat, texts: Sequence[str], by: Literal["ids", "text"]) -> Scores:
    """Log-likelihood of each label of `fmt` as the answer to each text. Raises `EngineError` when the upstream cannot say."""
    encoded = fmt.encode(texts)
    starts = [encoded.prefix + body for body in encoded.bodies]
    lines = [(start, fmt.answer(label)[:-1]) for start in starts for label in fmt.labels]
    found: list[float] = []
    for first in range(0, len(lines), LINES):
        found += await _scored(client, model, fmt, lines[first : first + LINES], by)
    values = np.array(found, dtype=np.float64).reshape(len(texts), len(fmt.labels))
    return Scores(values, tuple(map(len, starts)), tuple(encoded.truncated))


async def _scored(client: Client, model: str, fmt: ChatFormat, lines: list[tuple[list[int], list[int]]], by: str) -> list[float]:
    decode = fmt.tokenizer.decode
    prompts: list[Any] = [start + label if by == "ids" else decode(start) + decode(label) for start, label in lines]
    body = {"model": model, "prompt": prompts, "max_tokens": 1, "temperature": 0, "echo": True, "logprobs": 1}
    answer = await client.post("completions", body)
    try:
        choices = sorted(answer["choices"], key=lambda one: one["index"])
        told = [one["logprobs"] for one in choices]
        if len(told) != len(lines):
            raise ValueError(f"{len(told)} answers to {len(lines)} prompts")
        if by == "ids":
            return [_by_ids(one, len(start), len(label)) for one, (start, label) in zip(told, lines, strict=True)]
        return [_by_text(one, decode(label), len(label)) for one, (_, label) in zip(told, lines, strict=True)]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise EngineError(
            f"The upstream {client.shown} does not give the prompt's tokens back with their log-probabilities ({error}), so it cannot score "
            "labels. vLLM can; or serve the release with the embedded engine.",
            501,
            "scores_unsupported",
        ) from error


def _by_ids(told: dict[str, Any], start: int, size: int) -> float:
    values = told["token_logprobs"]
    if not start + size <= len(values) <= start + size + 1 or values[0] is not None:
        raise ValueError(f"{len(values)} tokens where {start + size} or one more are expected")
    return float(sum(float(one) for one in values[start : start + size]))


def _by_text(told: dict[str, Any], label: str, size: int) -> float:
    """The label's tokens are the last of the prompt; the one token after them may be listed or, when it ends the answer, not."""
    tokens, values = told["tokens"], told["token_logprobs"]
    for end in (len(tokens) - 1, len(tokens)):
        if "".join(tokens[end - size : end]) == label:
            return float(sum(float(one) for one in values[end - size : end]))
    raise ValueError(f"the prompt's last tokens are not {label!r}")
