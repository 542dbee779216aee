"""Let a model write its answer freely, through transformers' own `generate`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from tunewright.models.chat import ChatFormat
from tunewright.models.load import LoadedModel, quiet


@torch.no_grad()
def generate(
    loaded: LoadedModel | Any,
    fmt: ChatFormat,
    texts: Sequence[str],
    *,
    max_new_tokens: int = 16,
    temperature: float = 0.0,
    seed: int = 0,
) -> list[str]:
    """The answer to each text, up to the end token. Greedy at temperature 0, else sampled, the same for the same seed."""
    model = loaded.model if isinstance(loaded, LoadedModel) else loaded
    options: dict[str, Any] = {"do_sample": temperature > 0, "max_new_tokens": max_new_tokens, "eos_token_id": fmt.end}
    if temperature > 0:
        options |= {"temperature": temperature, "top_k": 0}
    encoded, answers = fmt.encode(texts), []
    with quiet(), torch.random.fork_rng():
        torch.manual_seed(seed)
        for body in encoded.bodies:
            ids = torch.tensor([encoded.prefix + body])
            pad = fmt.tokenizer.pad_token_id
            written = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), pad_token_id=pad, **options)
            new = written[0, ids.shape[1] :].tolist()
            answers.append(fmt.tokenizer.decode(new[: new.index(fmt.end)] if fmt.end in new else new).strip())
    return answers
