"""One packed pass over rows of different lengths, without padding the layers: (1, T) tokens, each with its own position.

    decode rows, one token each     | a piece of prompt A     | a piece of prompt B
    keys: slots 0..n-1 of the arena | A's own buffer          | B's own buffer

Everything but attention does not care which row a token is from. Attention is registered through transformers'
`AttentionInterface`, as in `models/tree.py`: the rows that decode share one `scaled_dot_product_attention` over their slots (rows
much longer than the others get their own), each piece of a prompt another one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from tunewright.core.errors import EnvironmentProblem
from tunewright.core.optional import require
from tunewright.serve.embedded.cache import REMEDY, Arena, Buffer

ATTENTION = "tunewright_ragged"
UNKNOWN = ("softcap", "s_aux", "position_bias")  # of attention, in some families, and not in ours


@dataclass(frozen=True)
class Piece:
    """`count` tokens of a prompt that go into this pass; the buffer holds what came before them."""

    buffer: Buffer
    count: int


class Pass:
    """Where the tokens of one pass look: `lengths[i]` tokens of slot i are there already, its new one comes after them."""

    def __init__(self, arena: Arena, lengths: list[int], pieces: list[Piece], window: int | None = None) -> None:
        self.arena, self.lengths, self.pieces, self.decoding, self.window = arena, lengths, pieces, len(lengths), window
        self._others: dict[int, Pass] = {}
        device = arena.device
        self.slots = torch.arange(len(lengths), device=device)
        self.ends = torch.tensor(lengths, dtype=torch.long, device=device)
        self.groups = [self._group(first, last, lengths) for first, last in _runs(lengths)]
        self.masks = [_causal(piece.buffer.length, piece.count, window, device) for piece in pieces]

    def positions(self) -> torch.Tensor:
        """(1, T) position of each token in its own row."""
        spans = [torch.arange(one.buffer.length, one.buffer.length + one.count, device=self.ends.device) for one in self.pieces]
        return torch.cat([self.ends, *spans])[None]

    def within(self, window: int | None) -> Pass:
        """The same pass for layers whose tokens see the last `window` keys only (None: all of them)."""
        if window == self.window:
            return self
        if window is None:
            raise ValueError("a pass with a window has no view without one")
        if window not in self._others:
            self._others[window] = Pass(self.arena, self.lengths, self.pieces, window)
        return self._others[window]

    def _group(self, first: int, last: int, lengths: list[int]) -> tuple[int, int, int, int, torch.Tensor | None]:
        """Slots first..last-1 together: they look at keys start..stop-1, each at its own by the mask (None: at all of them)."""
        some = lengths[first:last]
        stop = max(some) + 1
        start = 0 if self.window is None else max(0, min(some) + 1 - self.window)
        if min(some) + 1 == stop and (self.window is None or stop - start <= self.window):
            return first, last, start, stop, None
        place, end = torch.arange(start, stop, device=self.ends.device), self.ends[first:last, None]
        sees = place <= end
        if self.window is not None:
            sees &= place > end - self.window
        return first, last, start, stop, sees[:, None, None]

    def attend(self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float | None) -> torch.Tensor:
        """(1, heads, T, d) in, (1, T, heads, d) out; keys and values of the new tokens are kept."""
        found, n = [], self.decoding
        heads, shared, size = query.shape[1], key.shape[1], query.shape[3]
        if n:
            keys, values = self.arena.layer(layer)
            keys[self.slots, :, self.ends] = key[0, :, :n].transpose(0, 1)
            values[self.slots, :, self.ends] = value[0, :, :n].transpose(0, 1)
            asked = query[0, :, :n].transpose(0, 1).reshape(n, shared, heads // shared, size)
            for first, last, start, stop, mask in self.groups:
                seen = keys[first:last, :, start:stop], values[first:last, :, start:stop]
                out = F.scaled_dot_product_attention(asked[first:last], *seen, attn_mask=mask, scale=scale)
                found.append(out.reshape(last - first, heads, size))
        for piece, mask in zip(self.pieces, self.masks, strict=True):
            span = slice(n, n + piece.count)
            seen = piece.buffer.add(layer, key[:, :, span], value[:, :, span])
            out = F.scaled_dot_product_attention(
                query[:, :, span], *seen, attn_mask=mask, is_causal=mask is None, scale=scale, enable_gqa=heads != shared
            )
            found.append(out[0].transpose(0, 1))
            n += piece.count
        return torch.cat(found)[None]


def _causal(past: int, count: int, window: int | None, device: torch.device) -> torch.Tensor | None:
    """Who of `count` tokens after `past` others sees whom; None where plain causal attention says it."""
    if past == 0 and (window is None or count <= window):
        return None
    mask = torch.ones(count, past + count, dtype=torch.bool, device=device).tril(past)
    return mask if window is None else mask.triu(past - window + 1)


def _runs(lengths: list[int]) -> list[tuple[int, int]]:
    """Neighbouring slots that share one attention: those of like length; one much longer than most is alone."""
    if not lengths:
        return []
    long = 2 * sorted(lengths)[len(lengths) // 2] + 64
    runs: list[tuple[int, int]] = []
    for slot, length in enumerate(lengths):
        if runs and length <= long and lengths[runs[-1][0]] <= long:
            runs[-1] = (runs[-1][0], slot + 1)
        else:
            runs.append((slot, slot + 1))
    return runs


def _attention(module: Any, query: Any, key: Any, value: Any, mask: Any, *, ragged: Pass, **rest: Any) -> Any:
    """What transformers calls in each layer. It makes no mask of its own, for none is registered under this name."""
    odd = [name for name in UNKNOWN if rest.get(name) is not None]
    if odd:
        raise EnvironmentProblem(f"The embedded engine cannot run this family of models: its attention asks for {odd[0]}. {REMEDY}")
    ragged = ragged.within(rest.get("sliding_window"))
    return ragged.attend(module.layer_idx, query, key, value, rest.get("scaling")), None


transformers = require("transformers", "train")
transformers.AttentionInterface.register(ATTENTION, _attention)
