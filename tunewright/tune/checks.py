"""Checks around training: gradients reach the right weights; the output changed; what is remembered of single rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from tunewright.core.errors import RunError
from tunewright.core.parts import Technique
from tunewright.tune.batches import Indices
from tunewright.tune.guard import Guard
from tunewright.tune.rows import Rows

PROBE_ROWS = 32
UNCHANGED = 1e-3  # nats: what rounding may move an answer's log-likelihood


def check_gradients(model: Any, technique: Technique, loss: Callable[[], torch.Tensor]) -> dict[str, int]:
    """One backward pass: gradients must reach exactly the weights that the technique names, and not all be zero."""
    model.train()
    torch.autograd.backward(loss())
    reached = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
    meant = {name for name, _ in model.named_parameters() if technique.learns(name)}
    alive = sum(bool(grad.any()) for grad in reached.values())
    model.zero_grad(set_to_none=True)
    if odd := sorted(reached.keys() ^ meant):
        raise RunError(
            f"technique {technique.part_name()}: gradients must reach exactly the weights that it names (`learns`), but "
            f"{len(odd)} differ, such as {odd[0]}. Its `apply` or its `learns` is wrong."
        )
    if not alive:
        raise RunError(f"technique {technique.part_name()}: no gradient reaches the {len(meant)} weights that should learn.")
    return {"weights": len(meant), "with_gradient": len(reached), "not_zero": alive}


def check_outcome(
    model: Any, guard: Guard, step: int, rows: Rows, visits: Indices, validation: Rows, untuned: list[float]
) -> dict[str, Any]:
    """With the kept weights: did answers change from the `untuned` nats, and can rows of training be told from others?"""
    probe = list(range(min(PROBE_ROWS, len(validation.truth))))
    unseen = validation.answer_nll(model, probe)
    moved = max(abs(new - old) for new, old in zip(unseen, untuned, strict=False))
    if moved < UNCHANGED:
        guard.alarm("no_effect", step, moved, UNCHANGED)
    most = [int(row) for row in np.argsort(-visits, kind="stable")[:PROBE_ROWS] if visits[row]]
    return {
        "output_changed": {"largest_difference_in_nats": moved, "changed": moved >= UNCHANGED},
        "memory_probe": guard.probe_memory(step, rows.answer_nll(model, most), unseen) if most else None,
    }
