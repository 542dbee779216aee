"""Does what serves still answer the release's golden prompts as it did when it was packed?"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from tunewright.core.parts import Signal
from tunewright.core.score import Floats
from tunewright.core.watch import Measure, Moved, Unmeasured, View


class GoldenPrompts(Signal):
    """The texts of parity.json asked again of what serves now (`--endpoint`): the labels' relative log-likelihoods must be the same."""

    family = "operation"
    severity = "critical"
    at_once = True
    advice: ClassVar[str] = (
        "other weights, another tokenizer or another prompt is served: `tunewright verify` the release, then restart or roll back"
    )
    tolerance: float = Field(
        0.05, gt=0, description="nats between two labels; another batch costs about 1e-4, int8 weights about 0.02, another adapter 1"
    )

    def measure(self, view: View) -> Measure | Unmeasured:
        if view.golden is None or not view.golden.get("texts"):
            return Unmeasured("the release has no golden prompts (parity.json)")
        if view.score is None:
            return Unmeasured("nothing to ask: give --endpoint URL")
        texts = [str(one) for one in view.golden["texts"]]
        packed = _relative(np.array(view.golden["log_likelihood"], dtype=np.float64))
        served = _relative(view.score(texts))
        if served.shape != packed.shape:
            return Measure(np.inf, 0.0, f"what serves knows {served.shape[1]} labels; the release has {packed.shape[1]}", alarm=True)
        gaps = np.nan_to_num(np.abs(served - packed), nan=np.inf).max(axis=1)
        worst = int(gaps.argmax())
        changed = int((served.argmax(axis=1) != packed.argmax(axis=1)).sum())
        text = f"{len(texts)} golden prompts: {changed} other answers, likelihoods within {gaps.max():.2g} nats ({self.tolerance:g} is allowed)"
        moved = (Moved("golden prompt", texts[worst][:80], 0.0, float(gaps[worst])),)
        return Measure(
            float(gaps.max()), 0.0, text, alarm=bool(gaps.max() > self.tolerance), moved=moved, detail={"threshold": self.tolerance}
        )


def _relative(scores: Floats) -> Floats:
    """Scores (n, c) less their mean: what a softmax hides is no difference."""
    return np.asarray(scores - scores.mean(axis=1, keepdims=True))
