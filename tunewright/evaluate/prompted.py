"""Language models as classifiers: the label whose tokens are likeliest after the prompt is the answer.

An untuned model prefers some labels whatever the text says. Batch calibration (Zhou et al. 2023, arXiv 2309.17249) takes
that out: the mean log-probability of each label over *training* rows, labels unseen, is subtracted. On the reviews this
lifts the untuned model from .25 to .47 macro-F1; a gain over the uncalibrated one would be half an illusion.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from tunewright.core.parts import Baseline, Look
from tunewright.core.score import LabelTask, Predictions

if TYPE_CHECKING:
    from tunewright.models.frozen import LowerStates
    from tunewright.models.load import LoadedModel

TIMED = 32
Examples = list[tuple[str, str]]  # (text, label) pairs shown before the question


class PromptedBaseline(Baseline):
    """The untuned model, asked with a prompt; its label prior is estimated on training rows and taken out."""

    uses_model = True
    prior_rows: int = Field(100, ge=1, description="training rows that the label prior is estimated on")
    seed: int = Field(17, ge=0, description="chooses these rows and the examples")

    def examples(self, task: LabelTask) -> Examples:
        return []

    def predict(self, task: LabelTask, look: Look) -> Predictions:
        from tunewright.models.load import load_base

        return self.ask(load_base(look.recipe.model, look.report), task, look)

    def ask(self, loaded: LoadedModel, task: LabelTask, look: Look, lower: LowerStates | None = None) -> Predictions:
        """`predict` with a model that is loaded already, and with what its lower layers say where that is known."""
        examples, name = self.examples(task), self.part_name()
        rows = task.train.filter(~task.train["text"].is_in([text for text, _ in examples]))
        rows = rows.sample(min(self.prior_rows, len(rows)), seed=self.seed) if len(rows) else task.train
        seen = ask(loaded, replace(task, test=rows), look, f"{name} prior", None, examples)
        found = ask(loaded, task, look, name, lower, examples)
        assert seen.probabilities is not None
        assert found.probabilities is not None
        odds = np.log(found.probabilities) - np.log(seen.probabilities).mean(axis=0)
        shares = np.exp(odds) / np.exp(odds).sum(axis=1, keepdims=True)
        calibrated = {"predicted": shares.argmax(axis=1), "probabilities": shares, "uncalibrated": found.predicted}
        return replace(found, **calibrated, fit_seconds=seen.predict_seconds)


def ask(loaded: LoadedModel, task: LabelTask, look: Look, name: str, lower: LowerStates | None, examples: Examples) -> Predictions:
    """Answers to the test rows in the recipe's prompt; examples come on top of `model.max_length`. Work that `lower` saves
    is not saved in service: then the time is that of `TIMED` rows without it."""
    from tunewright.models.chat import ChatFormat
    from tunewright.models.score import score_labels

    def prompt(room: int, shown: Examples) -> ChatFormat:
        given: Any = look.recipe.data.instruction, look.recipe.model.system, room
        return ChatFormat(loaded.tokenizer, *given, labels=task.labels, examples=shown)

    texts, fmt, clock = task.test["text"].to_list(), prompt(look.recipe.model.max_length, []), time.perf_counter()
    if examples:
        more = len(prompt(10**9, examples).prefix) - len(fmt.prefix)
        fmt = prompt(look.recipe.model.max_length + more, examples)
    with look.report.task(name, len(texts)) as bar:
        found = score_labels(loaded, fmt, texts, task=bar, lower=lower)
        seconds = time.perf_counter() - clock
        if lower is not None:
            clock, some = time.perf_counter(), texts[:TIMED]
            score_labels(loaded, fmt, some)
            seconds = (time.perf_counter() - clock) * len(texts) / len(some)
    return Predictions(
        task.labels,
        found.predict(),
        probabilities=found.probabilities().clip(1e-12),
        answer_nll=found.answer_nll,
        answer_tokens=found.answer_tokens,
        predict_seconds=seconds,
    )
