"""Which rows a step learns from: a pure function of the seed and the step, so a resumed run needs no sampler state.

    sampler = Sampler(lengths=[31, 12, 44, 20, 9], batch_size=2, accumulation=1, seed=7)
    sampler.micro_batches(step=0)     # [[3, 0]]: rows of step 0, shorter first
    sampler.visits(steps=2)           # [1, 0, 1, 1, 1]: how often each row has been seen after two steps

Each epoch is a fresh permutation. The rows of one step are sorted by length before they are cut into micro-batches:
neighbours of like length waste least, and the gradient of the step does not depend on the order.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]


class Sampler:
    def __init__(self, lengths: Sequence[int], batch_size: int, accumulation: int, seed: int, shared: int = 0) -> None:
        """`lengths` are each row's own tokens; `shared` tokens come on top once a micro-batch."""
        self.lengths = np.asarray(lengths, dtype=np.int64)
        self.shared = shared
        self.batch_size = batch_size
        self.rows_per_step = batch_size * accumulation
        self.seed = seed
        self.steps_per_epoch = -(-len(self.lengths) // self.rows_per_step)
        self._permutation = lru_cache(maxsize=2)(self._shuffle)

    def _shuffle(self, epoch: int) -> Indices:
        return np.random.default_rng([self.seed, epoch]).permutation(len(self.lengths))

    def rows(self, step: int) -> Indices:
        """Row indices of `step` (from 0); the last step of an epoch may be smaller."""
        epoch, place = divmod(step, self.steps_per_epoch)
        return self._permutation(epoch)[place * self.rows_per_step : (place + 1) * self.rows_per_step]

    def micro_batches(self, step: int) -> list[list[int]]:
        rows = self.rows(step)
        rows = rows[np.lexsort((rows, self.lengths[rows]))]
        return [rows[start : start + self.batch_size].tolist() for start in range(0, len(rows), self.batch_size)]

    def tokens(self, step: int) -> int:
        """Tokens that `step` computes."""
        rows = self.rows(step)
        return int(self.lengths[rows].sum()) + self.shared * -(-len(rows) // self.batch_size)

    def largest(self) -> int:
        """Most tokens of a micro-batch in the first epoch."""
        pieces = (piece for step in range(self.steps_per_epoch) for piece in self.micro_batches(step))
        return self.shared + max(int(self.lengths[piece].sum()) for piece in pieces)

    def visits(self, steps: int) -> Indices:
        """How often each row has been learnt from after `steps` steps."""
        epochs, rest = divmod(steps, self.steps_per_epoch)
        counts = np.full(len(self.lengths), epochs, dtype=np.int64)
        counts[self._permutation(epochs)[: rest * self.rows_per_step]] += 1
        return counts


def stratified(labels: Sequence[str], cap: int, seed: int) -> Indices:
    """At most `cap` row indices, in order, with each label's share of the whole (largest remainders)."""
    values = np.asarray(labels)
    if len(values) <= cap:
        return np.arange(len(values))
    rng = np.random.default_rng(seed)
    names, counts = np.unique(values, return_counts=True)
    exact = counts * cap / len(values)
    take = np.floor(exact).astype(int)
    for index in np.argsort(take - exact)[: cap - take.sum()]:
        take[index] += 1
    chosen = [rng.choice(np.flatnonzero(values == name), n, replace=False) for name, n in zip(names, take, strict=True)]
    return np.sort(np.concatenate(chosen))


def learning_rate(peak: float, step: int, warmup_steps: int, max_steps: int | None) -> float:
    """Linear warm-up to `peak` in `warmup_steps`, then half a cosine that reaches zero after `max_steps`.

    During warm-up it depends on the step alone: the plan (`max_steps`) may still be unknown then.
    """
    if step < warmup_steps or max_steps is None:
        return peak * min(1.0, (step + 1) / max(1, warmup_steps))
    done = (step - warmup_steps) / max(1, max_steps - warmup_steps)
    return float(peak * 0.5 * (1 + np.cos(np.pi * min(1.0, done))))
