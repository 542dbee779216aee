"""From logits to tokens, for all rows of a pass together; each row keeps its own random numbers and its own rules.

A row with a seed draws from a generator of its own, one number a token, so its answer does not depend on who shares the pass.
Log-probabilities are those of the model itself: before temperature, penalties, top_p and grammar.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tunewright.serve.engine import Sampling

COLD = 1e-5  # temperatures below it take the likeliest token
NUCLEUS = 256  # likeliest tokens that are looked at first for top_p


@dataclass(frozen=True)
class Choice:
    """The next token of a row, its log-probability, and the likeliest tokens with theirs."""

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


class Chooser:
    """How one row chooses: its settings, its random numbers, what it said before, its grammar."""

    def __init__(self, sampling: Sampling, grammar: Any = None) -> None:
        self.sampling, self.grammar = sampling, grammar
        self.random = np.random.default_rng(None if sampling.seed is None else sampling.seed % 2**64)
        self.said: Counter[int] = Counter()
        self.greedy = sampling.temperature < COLD
        self.penalised = sampling.frequency_penalty != 0 or sampling.presence_penalty != 0

    def adjust(self, logits: torch.Tensor) -> None:
        """Apply penalties and grammar to this row's logits (v,), in place."""
        if self.penalised and self.said:
            ids = torch.tensor(list(self.said), device=logits.device)
            times = torch.tensor(list(self.said.values()), dtype=logits.dtype, device=logits.device)
            logits[ids] -= self.sampling.frequency_penalty * times + self.sampling.presence_penalty
        if self.grammar is not None:
            logits.masked_fill_(~self.grammar.allowed(len(logits)).to(logits.device), -torch.inf)

    def took(self, token: int) -> None:
        """Remember the token that was chosen."""
        if self.penalised:
            self.said[token] += 1
        if self.grammar is not None:
            self.grammar.took(token)


def choose(logits: torch.Tensor, rows: Sequence[Chooser]) -> list[Choice]:
    """The next token of each row from its logits (n, v). The choosers remember them."""
    logits = logits.float()
    total = logits.logsumexp(-1)
    changed = [i for i, row in enumerate(rows) if row.grammar is not None or row.penalised]
    adjusted = logits
    if changed:
        adjusted = logits.clone()
        for i in changed:
            rows[i].adjust(adjusted[i])
    tokens = adjusted.argmax(-1)
    warm = [i for i, row in enumerate(rows) if not row.greedy]
    if warm:
        tokens[warm] = _sample(adjusted[warm], [rows[i] for i in warm])
    picked = (logits.gather(1, tokens[:, None])[:, 0] - total).tolist()
    chosen = tokens.tolist()
    for row, token in zip(rows, chosen, strict=True):
        row.took(token)
    return [
        Choice(token, logprob, likeliest(logits[i], total[i], rows[i].sampling.logprobs))
        for i, (token, logprob) in enumerate(zip(chosen, picked, strict=True))
    ]


def likeliest(logits: torch.Tensor, total: torch.Tensor, count: int | None) -> tuple[tuple[int, float], ...]:
    """The `count` likeliest tokens of (v,) logits with their log-probabilities, likeliest first."""
    if not count:
        return ()
    values, ids = logits.topk(min(count, len(logits)))
    return tuple(zip(ids.tolist(), (values - total).tolist(), strict=True))


def _sample(logits: torch.Tensor, rows: list[Chooser]) -> torch.Tensor:
    """A token of each row (n,) by inverting its cumulative distribution at the row's next random number."""
    heat = torch.tensor([row.sampling.temperature for row in rows], device=logits.device)
    chances = (logits / heat[:, None]).softmax(-1)
    draws = torch.tensor([row.random.random() for row in rows], dtype=torch.float64, device=logits.device)
    tokens = _invert(chances, draws)
    for i, row in enumerate(rows):
        if row.sampling.top_p < 1:
            tokens[i] = _nucleus(chances[i], row.sampling.top_p, draws[i : i + 1])
    return tokens


def _nucleus(chances: torch.Tensor, top_p: float, draw: torch.Tensor) -> torch.Tensor:
    """A token from the smallest set of likeliest tokens whose chances (v,) sum to `top_p`."""
    best, ids = chances.topk(min(NUCLEUS, len(chances)))
    if best.sum() < top_p:
        best, ids = chances.sort(descending=True)
    before = best.cumsum(0) - best
    size = max(1, int((before < top_p).sum()))
    return ids[_invert(best[None, :size], draw)[0]]


def _invert(chances: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
    """Index (n,) at which the cumulative sum of each row of (n, v) passes its draw; never one without a chance."""
    sums = chances.double().cumsum(-1)
    whole = sums[:, -1]
    aim = torch.minimum(draws * whole, torch.nextafter(whole, torch.zeros_like(whole)))
    return torch.searchsorted(sums, aim[:, None], right=True)[:, 0]
