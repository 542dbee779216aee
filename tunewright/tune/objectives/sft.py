"""Supervised fine-tuning: make the right answer likely."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tunewright.core.parts import Objective

if TYPE_CHECKING:
    import torch


class Sft(Objective):
    """Cross-entropy of the answer's tokens, its end token included; the prompt's tokens carry no loss. A row of weight 2 counts
    as if it were there twice.

    The loop divides by the answer tokens of the whole optimiser step, so the gradient does not depend on how the step
    is cut into micro-batches.
    """

    def loss(self, model: Any, tree: Any, lower: Any) -> tuple[torch.Tensor, int]:
        from tunewright.models.tree import answer_log_probs

        log_probs = answer_log_probs(model, tree, lower=lower)
        if tree.weights is not None:
            log_probs = log_probs * tree.weights[tree.branch].to(log_probs)
        return -log_probs.sum(), len(log_probs)
