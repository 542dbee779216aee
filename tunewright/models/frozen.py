"""What the frozen lower layers say about a row never changes: compute it once, keep it on disk, start later epochs above.

    lower = LowerStates(cache, loaded.fingerprint, layer=15)
    answer_log_probs(model, tree, lower=lower)        # runs layers 15.. only, and the lower ones for rows not seen before

Files hold raw fp32 states with an index of `key offset tokens` lines. Each process writes files of its own and reads those of all, so
candidates that train side by side share the work without locks. Over `max_bytes` nothing more is kept: rows not held
are computed at each use, slower and with the same result, and `full` is True.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xxhash

from tunewright.core.files import disk_errors
from tunewright.models.anatomy import anatomy
from tunewright.models.tree import Plan, RowTokens, Tree, walk


class LowerStates:
    """Output of the layers below `layer` of the model with this fingerprint, for prefixes and rows."""

    def __init__(self, directory: Path, fingerprint: str, layer: int, max_bytes: int = 4 << 30) -> None:
        self.layer, self.max_bytes, self.full = layer, max_bytes, False
        self.directory = directory / f"{fingerprint}-{layer}"
        self.directory.mkdir(parents=True, exist_ok=True)
        self._mine = self.directory / f"{uuid.uuid4().hex}.f32"
        self._where: dict[str, tuple[Path, int, int]] = {}
        self._prefixes: dict[tuple[int, ...], tuple[torch.Tensor, dict[int, Any]]] = {}

    def prefix(self, model: Any, prefix: tuple[int, ...]) -> torch.Tensor:
        """States of a prefix (1, n, d)."""
        return self._prefix(model, prefix)[0]

    def rows(self, model: Any, tree: Tree) -> torch.Tensor:
        """States of all row tokens of `tree` (1, T, d)."""
        mark = xxhash.xxh3_64_hexdigest(np.array(tree.prefix, dtype=np.int64).tobytes())
        keys = [mark + xxhash.xxh3_128_hexdigest(np.array([row.tokens, row.depth]).tobytes()) for row in tree.rows]
        if any(key not in self._where for key in keys):
            self._look()
        missing = [i for i, key in enumerate(keys) if key not in self._where]
        fresh: dict[int, torch.Tensor] = {}
        if missing:
            states = self._compute(model, tree.prefix, [tree.rows[i] for i in missing])
            fresh = dict(zip(missing, states, strict=True))
            self._keep([keys[i] for i in missing], states)
        width = anatomy(model).causal.config.hidden_size
        return torch.cat([fresh[i] if i in fresh else self._get(key, width) for i, key in enumerate(keys)])[None]

    @torch.no_grad()
    def _prefix(self, model: Any, prefix: tuple[int, ...]) -> tuple[torch.Tensor, dict[int, Any]]:
        if prefix not in self._prefixes:
            self._refuse_learning(model)
            plan = Plan([], len(prefix))
            states = self._walk(model, torch.tensor(prefix, dtype=torch.long), plan)
            self._prefixes[prefix] = states, plan.prefix
        return self._prefixes[prefix]

    @torch.no_grad()
    def _compute(self, model: Any, prefix: tuple[int, ...], rows: list[RowTokens]) -> Sequence[torch.Tensor]:
        stored = self._prefix(model, prefix)[1]
        tokens = torch.tensor([token for row in rows for token in row.tokens], dtype=torch.long)
        states = self._walk(model, tokens, Plan(rows, len(prefix), stored))
        return torch.split(states[0], [len(row.tokens) for row in rows])

    def _walk(self, model: Any, tokens: torch.Tensor, plan: Plan) -> torch.Tensor:
        """Layers 0..layer-1 without dropout."""
        parts = anatomy(model)
        lower = parts.layers[: self.layer]
        modes = [block.training for block in lower]
        for block in lower:
            block.eval()
        states = walk(parts, parts.embed(tokens)[None], plan, 0, self.layer)
        for block, mode in zip(lower, modes, strict=True):
            block.train(mode)
        return states

    def _refuse_learning(self, model: Any) -> None:
        parts = anatomy(model)
        below = [parts.causal.get_input_embeddings(), *parts.layers[: self.layer]]
        if any(parameter.requires_grad for block in below for parameter in block.parameters()):
            raise ValueError(f"weights below layer {self.layer} learn, so their output cannot be kept")

    def _keep(self, keys: list[str], states: Sequence[torch.Tensor]) -> None:
        used = sum(file.stat().st_size for file in self.directory.glob("*.f32"))
        if used + sum(piece.nbytes for piece in states) > self.max_bytes:
            self.full = True
            return
        lines = ""
        with disk_errors(self._mine), open(self._mine, "ab") as data:
            for key, piece in zip(keys, states, strict=True):
                lines += f"{key} {data.tell()} {len(piece)}\n"
                data.write(piece.contiguous().numpy().tobytes())
        with disk_errors(self._mine), open(self._mine.with_suffix(".index"), "a", encoding="ascii") as index:
            index.write(lines)
        self._look()

    def _look(self) -> None:
        """Learn what other processes have written since the last look; a line still being written waits."""
        for path in self.directory.glob("*.index"):
            whole, _, _ = path.read_text(encoding="ascii").rpartition("\n")
            for line in whole.splitlines():
                key, offset, count = line.split()
                self._where[key] = path.with_suffix(".f32"), int(offset), int(count)

    def _get(self, key: str, width: int) -> torch.Tensor:
        path, offset, count = self._where[key]
        held = np.memmap(path, np.float32, "r", offset, (count, width))
        return torch.from_numpy(np.array(held))
