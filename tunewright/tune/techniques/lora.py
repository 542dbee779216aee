"""LoRA: a low-rank product beside each linear layer learns; the model itself stays as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from tunewright.core.errors import RecipeError
from tunewright.core.optional import require
from tunewright.core.parts import Technique
from tunewright.core.settings import did_you_mean
from tunewright.tune.techniques._layers import frozen_below


class Lora(Technique):
    """Low-rank adaptation (Hu et al. 2021, arXiv 2106.09685), through PEFT. Saved as a PEFT adapter; merges into the model."""

    learning_rate: float = Field(2e-3, gt=0, description="peak, reached after warmup_steps")
    r: int = Field(8, ge=1, description="rank of the product")
    lora_alpha: int = Field(16, ge=1, description="the product is scaled by lora_alpha / r")
    lora_dropout: float = Field(0.0, ge=0, lt=1, description="share of the inputs of the product that are dropped")
    target_modules: Literal["all-linear"] | list[str] = Field("all-linear", description="or names: [q_proj, v_proj]")
    trainable_layers: float = Field(0.5, gt=0, le=1, description="share of the layers that learn, counted from the top")

    def apply(self, model: Any, tokenizer: Any) -> Any:
        from torch import nn

        from tunewright.models.anatomy import anatomy

        layers = anatomy(model).layers
        linear = sorted({name.rpartition(".")[2] for name, part in layers.named_modules() if isinstance(part, nn.Linear)})
        wanted = linear if self.target_modules == "all-linear" else list(self.target_modules)
        for name in wanted:
            if name not in linear:
                place = f"techniques.lora.target_modules: the model's layers have no linear layer {name!r}."
                raise RecipeError("recipe", [place + did_you_mean(name, linear)])
        peft = require("peft", "train")
        config = peft.LoraConfig(
            r=self.r,
            lora_alpha=self.lora_alpha,
            lora_dropout=self.lora_dropout,
            target_modules=wanted,
            layers_to_transform=list(range(self.frozen_layers(model), len(layers))),
            task_type="CAUSAL_LM",
        )
        return peft.get_peft_model(model, config)

    def learns(self, weight: str) -> bool:
        return "lora_" in weight

    def frozen_layers(self, model: Any) -> int:
        return frozen_below(model, self.trainable_layers)

    def save(self, model: Any, directory: Path) -> None:
        model.save_pretrained(directory / "adapter", save_embedding_layers=False)
