"""Base models, each in memory once however many releases build on it, and one pass through them.

A release is one of: the base itself, LoRA beside the base (`adapters.py`), a soft prompt before it (virtual tokens with negative
ids), or a whole model of its own (full fine-tuning, merged bottleneck, and adapters of other kinds, merged here).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tunewright.core.errors import EnvironmentProblem
from tunewright.core.optional import require
from tunewright.models.load import load_weights, quiet
from tunewright.serve.embedded.adapters import Adapters
from tunewright.serve.embedded.attention import ATTENTION, Pass, Piece
from tunewright.serve.embedded.cache import REMEDY, Arena, Buffer, Shape


@dataclass(frozen=True)
class Place:
    """Where models run and in what numbers."""

    device: torch.device
    dtype: torch.dtype

    @classmethod
    def of(cls, device: str, dtype: str) -> Place:
        """`auto` is CUDA with bfloat16 where there is one, else the processor with float32."""
        if device == "cuda" and not torch.cuda.is_available():
            raise EnvironmentProblem("serve.engine.device: cuda is asked for, but PyTorch finds no CUDA device here. Take auto or cpu.")
        chosen = torch.device("cuda" if device == "cuda" or (device == "auto" and torch.cuda.is_available()) else "cpu")
        if dtype == "auto":
            dtype = "bfloat16" if chosen.type == "cuda" else "float32"
        return cls(chosen, getattr(torch, dtype))


class Weights:
    """One model in memory: `run` takes it through one packed pass."""

    def __init__(self, key: str, model: Any, place: Place) -> None:
        self.key, self.model, self.place = key, model, place
        self.config = model.config.get_text_config()
        self.shape = Shape.of(model, place.dtype, place.device)
        self.adapters = Adapters(model)
        self.soft: dict[int, torch.Tensor] = {}  # embeddings of virtual tokens by their negative id
        self._next_soft = -1

    @property
    def context(self) -> int:
        """The longest sequence that the model was made for."""
        return int(getattr(self.config, "max_position_embeddings", None) or 2**31)

    def attend_by(self, name: str) -> None:
        """Switch the attention; scoring uses another one than generation."""
        if self.config._attn_implementation != name:
            self.model.set_attn_implementation(name)

    def add_soft(self, embeddings: torch.Tensor) -> tuple[int, ...]:
        """Ids of the virtual tokens with these embeddings (n, d)."""
        ids = tuple(range(self._next_soft, self._next_soft - len(embeddings), -1))
        self.soft |= dict(zip(ids, embeddings.to(self.place.device, self.place.dtype), strict=True))
        self._next_soft -= len(embeddings)
        return ids

    def remove_soft(self, ids: Sequence[int]) -> None:
        for one in ids:
            del self.soft[one]

    def run(self, where: Pass, tokens: Sequence[int], keep: Sequence[int]) -> torch.Tensor:
        """Logits (len(keep), v) after the tokens at the places `keep` of one pass; keys and values of all are kept."""
        self.attend_by(ATTENTION)
        device = self.place.device
        ids = torch.tensor(tokens, device=device)
        given: dict[str, Any] = {"input_ids": ids[None]}
        soft = [place for place, token in enumerate(tokens) if token < 0]
        if soft:
            embedded = self.model.get_input_embeddings()(ids.clamp(min=0))
            embedded[soft] = torch.stack([self.soft[tokens[place]] for place in soft])
            given = {"inputs_embeds": embedded[None]}
        kept = torch.tensor(keep, dtype=torch.long, device=device)
        out = self.model(**given, position_ids=where.positions(), use_cache=False, logits_to_keep=kept, ragged=where)
        logits: torch.Tensor = out.logits[0]
        return logits

    @torch.inference_mode()
    def check(self) -> None:
        """Compare packed passes with the model's own forward on a probe. Raises `EnvironmentProblem` when they differ: some families
        do things that ours does not."""
        arena, longest = Arena(self.shape, 1 << 40, 2), 19
        draw = torch.Generator().manual_seed(0)
        size = min(self.model.get_input_embeddings().num_embeddings, 300)
        rows = [torch.randint(0, size, (n,), generator=draw).tolist() for n in (longest, 8)]
        buffers = [Buffer(self.shape, longest) for _ in rows]
        self.adapters.use([None])
        try:
            for first, last in ((0, 5), (5, -1)):
                parts = [row[first:last] for row in rows]
                where = Pass(arena, [], [Piece(buffer, len(part)) for buffer, part in zip(buffers, parts, strict=True)])
                self.run(where, [token for part in parts for token in part], [0])
                for buffer, part in zip(buffers, parts, strict=True):
                    buffer.length += len(part)
            arena.reserve(2, longest)
            for slot, buffer in enumerate(buffers):
                arena.fill(slot, buffer.data[..., : buffer.length, :])
            ours = self.run(Pass(arena, [len(row) - 1 for row in rows], []), [row[-1] for row in rows], [0, 1]).float()
        except TypeError as error:
            raise EnvironmentProblem(
                f"The embedded engine cannot run models of family {self.config.model_type}: {error}. {REMEDY}"
            ) from error
        self.attend_by("sdpa")
        theirs = torch.stack([self.model(torch.tensor([row], device=ours.device), use_cache=False).logits[0, -1] for row in rows]).float()
        gap = float((ours - theirs).abs().max() / theirs.abs().max())
        if not gap < (1e-3 if self.place.dtype == torch.float32 else 0.1):
            raise EnvironmentProblem(
                f"The embedded engine answers differently from models of family {self.config.model_type} themselves (by {gap:.2g}"
                f" of the largest logit). {REMEDY}"
            )


def read_model(directory: Path, place: Place) -> Any:
    """The model of a directory, ready to answer."""
    return load_weights(directory).to(place.device, place.dtype).requires_grad_(False)


def read_merged(base: Path, adapter: Path, place: Place) -> Any:
    """A copy of the base with an adapter of a kind that cannot be added to it row by row merged into it, in float32 first."""
    peft = require("peft", "train")
    with quiet():
        tuned = peft.PeftModel.from_pretrained(load_weights(base), adapter, local_files_only=True)
        merged = tuned.merge_and_unload()
    return merged.to(place.device, place.dtype).requires_grad_(False).eval()


def read_soft(model: Any, adapter: Path) -> Any:
    """`model` behind the soft prompt in `adapter`, or None when it is another kind of adapter. `model` itself stays as it is."""
    peft = require("peft", "train")
    if not peft.PeftConfig.from_pretrained(adapter, local_files_only=True).is_prompt_learning:
        return None
    with quiet():
        tuned = peft.PeftModel.from_pretrained(model, adapter, local_files_only=True).eval()
    if not isinstance(tuned.get_prompt(batch_size=1), torch.Tensor):
        kind = tuned.active_peft_config.peft_type.value
        raise EnvironmentProblem(f"{adapter}: adapters of kind {kind} are not served by the embedded engine: LoRA and prompt tuning are.")
    return tuned
