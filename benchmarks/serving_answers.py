"""Do batched answers of the real model stay those of `model.generate` alone? And how do bfloat16 and int8 change answers and labels?

    python benchmarks/serving_answers.py --release runs/reviews/release --texts runs/reviews/prepare/validation.parquet

Greedy answers of `TOKENS` tokens to real texts as chats, all at once through the embedded engine, beside `model.generate` of one at a
time in float32; and the labels of a release for the same texts beside those of float32.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tunewright.core.plugins import build  # noqa: E402
from tunewright.core.progress import Report  # noqa: E402
from tunewright.models.load import load_tokenizer, load_weights, model_directory  # noqa: E402
from tunewright.serve.engine import Request, Sampling  # noqa: E402

TOKENS = 48
ARMS: dict[str, dict[str, Any]] = {
    "float32": {},
    "bfloat16": {"dtype": "bfloat16"},
    "int8": {"quantise": "int8"},
    "int8_auto": {"quantise": "auto"},
}


def turns(text: str) -> tuple[dict[str, str], ...]:
    return ({"role": "user", "content": f"What is this about? {text}"},)


def alone(texts: list[str]) -> list[list[int]]:
    """Token ids by transformers' own generate, one at a time."""
    base = model_directory("smollm2-135m")
    model, tokenizer = load_weights(base), load_tokenizer(str(base))
    found = []
    for text in texts:
        ids = tokenizer.apply_chat_template(list(turns(text)), add_generation_prompt=True, tokenize=True, return_dict=False)
        with torch.inference_mode():
            out = model.generate(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)), max_new_tokens=TOKENS, do_sample=False)
        said = out[0, len(ids) :].tolist()
        found.append([one for one in said if one != tokenizer.eos_token_id])
    return found


async def through(texts: list[str], labelled: list[str], release: Path, settings: dict[str, Any]) -> dict[str, Any]:
    engine = build("engines", {"name": "embedded", **settings})
    began = time.monotonic()
    await engine.start(Report())
    try:
        await engine.load("base", model_directory("smollm2-135m"))
        await engine.load("release", release)
        loaded = time.monotonic() - began

        async def one(text: str) -> list[int]:
            request = Request("base", messages=turns(text), sampling=Sampling(max_tokens=TOKENS, temperature=0, logprobs=0))
            return [token.id async for piece in engine.generate(request) for token in piece.tokens]

        clock = time.monotonic()
        answers = await asyncio.gather(*map(one, texts))
        seconds = time.monotonic() - clock
        clock = time.monotonic()
        scores = (await engine.score("release", labelled)).log_likelihood
        return {
            "answers": answers,
            "scores": scores,
            "tokens_per_second": sum(map(len, answers)) / seconds,
            "load_seconds": loaded,
            "texts_per_second": len(labelled) / (time.monotonic() - clock),
        }
    finally:
        await engine.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--release", type=Path, required=True)
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--answers", type=int, default=32)
    parser.add_argument("--labels", type=int, default=200)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    rows = pl.read_parquet(given.texts)["text"].to_list()
    texts, labelled = rows[: given.answers], rows[: given.labels]
    own = alone(texts)
    result: dict[str, Any] = {"answers": len(texts), "labels": len(labelled), "tokens": TOKENS, "arms": {}}
    whole = None
    for arm, settings in ARMS.items():
        found = asyncio.run(through(texts, labelled, given.release, settings))
        whole = found if whole is None else whole
        same = [ours == theirs for ours, theirs in zip(found["answers"], own, strict=True)]
        heads = [
            sum(np.cumprod([x == y for x, y in zip(ours, theirs, strict=False)]))
            for ours, theirs in zip(found["answers"], own, strict=True)
        ]
        gap = np.abs(found["scores"] - whole["scores"])
        result["arms"][arm] = {
            "same_answers": round(float(np.mean(same)), 3),
            "tokens_alike_before_the_first_difference": round(float(sum(heads) / sum(map(len, own))), 3),
            "labels_as_float32": round(float((found["scores"].argmax(1) == whole["scores"].argmax(1)).mean()), 4),
            "largest_label_difference_nats": round(float(gap.max()), 4),
            "tokens_per_second": round(found["tokens_per_second"], 1),
            "texts_per_second": round(found["texts_per_second"], 1),
            "load_seconds": round(found["load_seconds"], 1),
        }
        print(arm, json.dumps(result["arms"][arm]), file=sys.stderr, flush=True)
    result["load_average"] = [round(one, 2) for one in os.getloadavg()]
    print(json.dumps(result, indent=2))
    if given.out:
        given.out.write_text(json.dumps(result, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
