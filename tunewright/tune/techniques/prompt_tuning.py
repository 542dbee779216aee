"""Prompt tuning: the model stays as it is; a few virtual tokens before the prompt learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from tunewright.core.optional import require
from tunewright.core.parts import Technique


class PromptTuning(Technique):
    """Soft prompt (Lester et al. 2021, arXiv 2104.08691), through PEFT. The smallest of all: one embedding for each virtual token."""

    learning_rate: float = Field(3e-2, gt=0, description="peak, reached after warmup_steps")
    num_virtual_tokens: int = Field(20, ge=1, description="each is one embedding that learns")
    prompt_tuning_init_text: str | None = Field(
        None, description="text whose embeddings the virtual tokens start from, repeated to fill; null draws random words"
    )

    def apply(self, model: Any, tokenizer: Any) -> Any:
        import torch

        peft = require("peft", "train")
        config = peft.PromptTuningConfig(
            num_virtual_tokens=self.num_virtual_tokens, prompt_tuning_init="SAMPLE_VOCAB", task_type="CAUSAL_LM"
        )
        tuned = peft.get_peft_model(model, config)
        if self.prompt_tuning_init_text:
            tokens = tokenizer(self.prompt_tuning_init_text, add_special_tokens=False)["input_ids"]
            chosen = torch.tensor([tokens[i % len(tokens)] for i in range(self.num_virtual_tokens)])
            with torch.no_grad():
                prompt = tuned.prompt_encoder["default"].embedding.weight
                prompt.copy_(model.get_input_embeddings()(chosen))
        return tuned

    def learns(self, weight: str) -> bool:
        return weight.startswith("prompt_encoder.")

    def save(self, model: Any, directory: Path) -> None:
        model.save_pretrained(directory / "adapter", save_embedding_layers=False)
