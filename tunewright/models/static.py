"""Word vectors without a network and without torch: WordLlama's 19 MB table, 35,000 short texts a second on one core.

A text's vector is the mean of the vectors of its tokens, scaled to length 1 (Model2Vec and WordLlama call these static embeddings).
It knows that words mean alike, not what their order says: good for "about the same thing", not for "says the same". The package
`wordllama` brings the table; texts are cut at `LONGEST` tokens.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tunewright.core.optional import require

SIZE, LONGEST = 256, 512
Vectors = npt.NDArray[np.float32]


def static_vectors(texts: list[str]) -> Vectors:
    """Unit vectors (n, 256) of `texts`; zeros for a text without tokens. Raises EnvironmentProblem without the package."""
    sparse = require("scipy.sparse", "audit")
    tokenizer, table = _table()
    ids = [one.ids for one in tokenizer.encode_batch(texts, add_special_tokens=False)]
    ends = np.cumsum([0, *map(len, ids)])
    flat = np.fromiter((one for row in ids for one in row), np.int64, ends[-1])
    counts = sparse.csr_matrix((np.ones(len(flat), np.float32), np.minimum(flat, len(table) - 1), ends), shape=(len(texts), len(table)))
    sums = counts @ table
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    return np.asarray(sums / np.where(lengths > 0, lengths, 1), dtype=np.float32)


@cache
def _table() -> tuple[Any, Vectors]:
    package = require("wordllama", "embeddings")
    model = package.WordLlama.load(cache_dir=Path(str(package.__file__)).parent, disable_download=True)
    model.tokenizer.no_padding()
    model.tokenizer.enable_truncation(LONGEST)
    return model.tokenizer, np.asarray(model.embedding, dtype=np.float32)
