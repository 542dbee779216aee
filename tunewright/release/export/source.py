"""What every format starts from: the release, its tokenizer, and its weights as one plain model.

A LoRA adapter is folded into the base's weights (W + BA), a bottleneck adapter already was when the release was packed. Prompt
tuning cannot be: its virtual tokens stand before every prompt, and no weight of a plain model does that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tunewright.core.errors import EnvironmentProblem, RunError
from tunewright.core.files import read_json
from tunewright.core.optional import require
from tunewright.registry.intake import read_manifest


@dataclass(frozen=True)
class Source:
    """A release to export; `name` is what the result is called."""

    directory: Path
    name: str

    @cached_property
    def manifest(self) -> dict[str, Any]:
        return read_manifest(self.directory)

    @cached_property
    def tokenizer(self) -> Any:
        from tunewright.release.pack import saved_tokenizer

        return saved_tokenizer(self.directory)

    @property
    def template(self) -> str:
        """The chat template that prompts were made with, also where the tokenizer itself has none."""
        from tunewright.models.chat import plain_template

        return str(self.tokenizer.chat_template or plain_template(self.tokenizer))

    @property
    def peft_type(self) -> str | None:
        config = self.directory / "adapter_config.json"
        return str(read_json(config)["peft_type"]) if config.is_file() else None

    @cached_property
    def model(self) -> Any:
        """The weights as one plain model of transformers, in fp32. Raises `RunError` when they cannot become one."""
        from tunewright.models.load import load_weights, quiet

        if self.peft_type is None:
            return load_weights(self.directory)
        if self.peft_type != "LORA":
            raise RunError(
                f"{self.directory}: {self.manifest['technique']} ({self.peft_type}) cannot be merged into the weights of a plain model, so there is "
                "no merged, gguf or ollama export of it. Use --format adapter, or train lora, bottleneck or full."
            )
        config = read_json(self.directory / "adapter_config.json")
        peft = require("peft", "train")
        with quiet():
            tuned = peft.PeftModel.from_pretrained(load_weights(self.base), self.directory, local_files_only=True)
            applied = peft.get_peft_model_state_dict(tuned)
            stored = require("safetensors.torch", "train").load_file(self.directory / "adapter_model.safetensors")
            if set(applied) != set(stored):
                odd = min(set(applied) ^ set(stored))
                raise EnvironmentProblem(
                    f"{self.directory}: the adapter does not fit its base model {config['base_model_name_or_path']}: {odd}."
                )
            return tuned.merge_and_unload().eval()

    @cached_property
    def base(self) -> Path:
        """Where the base model of an adapter is. Raises when it is not the one that the adapter belongs to."""
        from tunewright.models.load import model_directory, model_fingerprint

        told = self.manifest["base_model"]
        here = Path(told["path"])
        directory = here if (here / "config.json").is_file() else model_directory(told["name"])
        if model_fingerprint(directory) != told["fingerprint"]:
            raise RunError(
                f"{directory} is not the base model that {self.directory} belongs to: its fingerprint is {model_fingerprint(directory)}, "
                f"and the manifest says {told['fingerprint']}. Put the original back."
            )
        return directory


@dataclass(frozen=True)
class Options:
    """What a format may be told. `quantise` is of GGUF: f32, f16, bf16 or q8_0; `say` takes progress messages."""

    quantise: str = "f16"
    say: Callable[[str], None] = lambda _: None
