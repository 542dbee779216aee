"""Bottleneck adapters: a narrow two-layer network beside each MLP learns; the model itself stays as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from tunewright.core.parts import Technique
from tunewright.tune.techniques._layers import frozen_below


class Bottleneck(Technique):
    """Parallel adapter (Houlsby et al. 2019, arXiv 1902.00751; He et al. 2022, arXiv 2110.04366): mlp(x) + up(silu(down(x)))."""

    learning_rate: float = Field(1e-2, gt=0, description="peak, reached after warmup_steps")
    r: int = Field(48, ge=1, description="width of the network")
    dropout: float = Field(0.0, ge=0, lt=1, description="share of the inner values that are dropped")
    trainable_layers: float = Field(0.5, gt=0, le=1, description="share of the layers that learn, counted from the top")

    def apply(self, model: Any, tokenizer: Any) -> Any:
        from tunewright.models.anatomy import anatomy
        from tunewright.models.bottleneck import add_bottleneck

        learning = range(self.frozen_layers(model), len(anatomy(model).layers))
        return add_bottleneck(model, self.r, layers=learning, dropout=self.dropout)

    def learns(self, weight: str) -> bool:
        return ".mlp.down." in weight or ".mlp.up." in weight

    def frozen_layers(self, model: Any) -> int:
        return frozen_below(model, self.trainable_layers)

    def save(self, model: Any, directory: Path) -> None:
        from tunewright.models.bottleneck import save_bottleneck

        save_bottleneck(model, directory / "adapter", model.config._name_or_path)
