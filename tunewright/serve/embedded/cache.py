"""Keys and values. Rows that decode sit in slots of one arena; a prompt being read has a buffer; finished prompts leave blocks behind.

A block is 32 tokens of one model's keys and values with all that came before it: its key is a hash over (model, tokens up to its
end), so a system prompt, a release's instruction or the earlier turns of a chat are found again whoever asks. Blocks that were not
used for longest go first when `max_bytes` is full.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import numpy as np
import torch

from tunewright.core.errors import EnvironmentProblem

REMEDY = "Serve it with vLLM or llama.cpp and name its URL: engine: {name: upstream, url: ...}."
BLOCK = 32  # tokens of a block
STRIDE = 256  # the arena's capacity grows in steps of this many tokens


@dataclass(frozen=True)
class Shape:
    """Of keys and values of one token: layers, heads that keys have, and numbers in a head."""

    layers: int
    heads: int
    size: int
    dtype: torch.dtype
    device: torch.device

    @property
    def token_bytes(self) -> int:
        return 2 * self.layers * self.heads * self.size * self.dtype.itemsize

    def room(self, rows: int, tokens: int) -> torch.Tensor:
        """Zeros, for what a mask hides must be finite all the same."""
        return torch.zeros(self.layers, 2, rows, self.heads, tokens, self.size, dtype=self.dtype, device=self.device)

    @classmethod
    def of(cls, model: Any, dtype: torch.dtype, device: torch.device) -> Shape:
        """As the model itself keeps them, found by a pass of two tokens. Raises `EnvironmentProblem` when layers keep something else."""
        with torch.inference_mode():
            kept = model(torch.zeros(1, 2, dtype=torch.long, device=device), use_cache=True, logits_to_keep=1).past_key_values
        shapes = {(one.shape[0], *one.shape[1:]) for layer in getattr(kept, "layers", [None]) for one in _kept(layer)}
        if len(shapes) != 1 or (found := shapes.pop())[0] != 1 or found[2] != 2:
            raise EnvironmentProblem(f"The embedded engine cannot keep what models of family {model.config.model_type} keep. {REMEDY}")
        return cls(len(kept.layers), found[1], found[3], dtype, device)


def _kept(layer: Any) -> list[torch.Tensor]:
    """Keys and values of a layer of transformers' own cache; a tensor of no shape when it has others."""
    found = [getattr(layer, "keys", None), getattr(layer, "values", None)]
    return [one if isinstance(one, torch.Tensor) else torch.empty(0, 0, 0, 0) for one in found]


class Buffer:
    """Keys and values of one prompt while it is read: (layers, 2, 1, heads, tokens, d). `length` of them are there."""

    def __init__(self, shape: Shape, tokens: int) -> None:
        self.data, self.length = shape.room(1, tokens), 0

    def put(self, block: torch.Tensor) -> None:
        """Append (layers, 2, 1, heads, n, d)."""
        count = block.shape[4]
        self.data[..., self.length : self.length + count, :] = block
        self.length += count

    def add(self, layer: int, key: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the new tokens of one layer after `length`; all keys and values of that layer up to them (1, heads, n, d)."""
        end = self.length + key.shape[2]
        keys, values = self.data[layer]
        keys[:, :, self.length : end], values[:, :, self.length : end] = key, value
        return keys[:, :, :end], values[:, :, :end]


class Arena:
    """Slots of the rows that decode, always 0..n-1 without holes: (layers, 2, slots, heads, capacity, d)."""

    def __init__(self, shape: Shape, max_bytes: int, max_rows: int) -> None:
        self.shape, self.device, self.max_bytes, self.max_rows = shape, shape.device, max_bytes, max_rows
        self.data = shape.room(0, 0)

    @property
    def slots(self) -> int:
        return self.data.shape[2]

    @property
    def capacity(self) -> int:
        return self.data.shape[4]

    def layer(self, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
        keys, values = self.data[layer]
        return keys, values

    def rows_for(self, tokens: int) -> int:
        """How many rows may decode when the longest has `tokens`; one always may."""
        return max(1, min(self.max_rows, self.max_bytes // (_rounded(tokens) * self.shape.token_bytes)))

    def reserve(self, rows: int, tokens: int) -> None:
        """Make room for `rows` rows of `tokens` tokens; what is there stays."""
        tokens = max(_rounded(tokens), self.capacity)
        allowed = self.rows_for(tokens)
        if rows <= self.slots <= allowed and tokens <= self.capacity:
            return
        wanted = min(allowed, max(rows, min(2 * self.slots, self.max_rows), 4))
        old, self.data = self.data, self.shape.room(max(wanted, rows), tokens)
        kept = min(old.shape[2], rows)
        self.data[:, :, :kept, :, : old.shape[4]] = old[:, :, :kept]

    def fill(self, slot: int, data: torch.Tensor) -> None:
        """Put (layers, 2, 1, heads, n, d) into a slot."""
        self.data[:, :, slot : slot + 1, :, : data.shape[4]] = data

    def move(self, source: int, target: int, length: int) -> None:
        self.data[:, :, target, :, :length] = self.data[:, :, source, :, :length]

    def read(self, slot: int, start: int, stop: int) -> torch.Tensor:
        return self.data[:, :, slot : slot + 1, :, start:stop]

    def clear(self) -> None:
        """Give the memory back; no row is here."""
        self.data = self.shape.room(0, 0)


def _rounded(tokens: int) -> int:
    return -(-tokens // STRIDE) * STRIDE


class PrefixCache:
    """Blocks of prompts by the hash of all tokens up to their end, least recently used first."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes, self.bytes = max_bytes, 0
        self.asked = self.found = 0  # tokens of prompts, and those of them that were here
        self._blocks: OrderedDict[bytes, torch.Tensor] = OrderedDict()

    def take(self, model: str, tokens: Sequence[int], buffer: Buffer) -> int:
        """Fill `buffer` with the longest known beginning of `tokens`, the last token left out, for its logits are wanted. Its length."""
        known = list(takewhile(self._blocks.__contains__, chain(model, tokens[: len(tokens) - 1])))
        for key in known:
            buffer.put(self._blocks[key])
        self._touch(known)
        self.asked, self.found = self.asked + len(tokens), self.found + buffer.length
        return buffer.length

    def keep(self, model: str, tokens: Sequence[int], read: Callable[[int, int], torch.Tensor]) -> None:
        """Keep the full blocks of `tokens`, as many as there may be; `read(start, stop)` gives the keys and values of those that are new."""
        keys = chain(model, tokens)
        self._touch(known := list(takewhile(self._blocks.__contains__, keys)))
        for number, key in enumerate(keys[len(known) :], len(known)):
            block = read(number * BLOCK, (number + 1) * BLOCK)
            if block.nbytes * (number + 1) > self.max_bytes:
                break
            self._blocks[key] = block.clone()
            self.bytes += block.nbytes
        self._touch(keys)
        while self.bytes > self.max_bytes:
            self.bytes -= self._blocks.popitem(last=False)[1].nbytes

    def forget(self) -> None:
        self._blocks.clear()
        self.bytes = 0

    def _touch(self, keys: list[bytes]) -> None:
        """They are the most recently used now, the beginning most of all: an end is worth nothing without it."""
        for key in reversed(keys):
            if key in self._blocks:
                self._blocks.move_to_end(key)


def chain(model: str, tokens: Sequence[int]) -> list[bytes]:
    """The key of each full block of `tokens`: a hash of the one before it and its own tokens. Nobody can make two prompts collide."""
    keys, last = [], model.encode()
    whole = np.asarray(tokens[: len(tokens) // BLOCK * BLOCK], dtype=np.int64).reshape(-1, BLOCK)
    for block in whole:
        last = hashlib.blake2b(last + block.tobytes(), digest_size=16).digest()
        keys.append(last)
    return keys
