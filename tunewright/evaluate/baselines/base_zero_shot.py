from __future__ import annotations

from tunewright.evaluate.prompted import PromptedBaseline


class BaseZeroShot(PromptedBaseline):
    """The untuned model with the instruction alone. Calibrated, it is the system that a tuned model has to beat."""
