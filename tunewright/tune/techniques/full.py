"""Full fine-tuning: every weight learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from tunewright.core.parts import Technique


class Full(Technique):
    """All weights learn, embeddings included. Needs four times the model's memory and saves a whole model."""

    learning_rate: float = Field(1e-4, gt=0, description="peak, reached after warmup_steps")

    def apply(self, model: Any, tokenizer: Any) -> Any:
        return model.requires_grad_(True)

    def learns(self, weight: str) -> bool:
        return True

    def save(self, model: Any, directory: Path) -> None:
        model.save_pretrained(directory / "model")
