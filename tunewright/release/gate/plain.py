"""Artefacts that transformers and peft load in this process, by the code of `parity_script.py` that knows nothing of Tunewright."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tunewright.core.score import Floats
from tunewright.models.load import quiet
from tunewright.release import parity_script


class PlainArm:
    """A model and a tokenizer. Control tokens in a text stay text, as in training."""

    artefact = ""
    normalised = False
    reads_controls = False

    def __init__(self, name: str, model: Any, tokenizer: Any, prompt: dict[str, Any]) -> None:
        self.name, self._model, self._tokenizer, self._prompt = name, model, tokenizer, prompt

    @staticmethod
    def of(name: str, directory: Path, prompt: dict[str, Any], base: Path | None = None) -> PlainArm:
        """A directory with an adapter (on the model in `base`) or a whole model."""
        with quiet():
            model, tokenizer = parity_script.load(str(directory), str(base) if base else None)
        return PlainArm(name, model, tokenizer, prompt)

    @staticmethod
    def of_gguf(name: str, file: Path, prompt: dict[str, Any], config: Any) -> PlainArm:
        """A GGUF file, its weights dequantised by transformers. `config` says what GGUF cannot (biases of an MLP)."""
        import torch
        import transformers

        with quiet():
            options = {"gguf_file": file.name, "local_files_only": True}
            read: Any = transformers.AutoModelForCausalLM.from_pretrained
            model = read(file.parent, config=config, dtype=torch.float32, **options).eval()
            tokenizer = transformers.AutoTokenizer.from_pretrained(file.parent, **options)
        return PlainArm(name, model, tokenizer, prompt)

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        return [parity_script.prompt_tokens(self._tokenizer, self._prompt, text) for text in texts]

    def greedy(self, texts: Sequence[str], tokens: int) -> list[str]:
        return [parity_script.greedy(self._model, self._tokenizer, self._prompt, text, tokens) for text in texts]

    def scores(self, texts: Sequence[str]) -> Floats:
        return np.array([parity_script.answer(self._model, self._tokenizer, self._prompt, text) for text in texts], dtype=np.float64)

    def close(self) -> None:
        self._model = self._tokenizer = None
