"""Language models as classifiers: the label whose tokens are likeliest after the prompt is the answer.

An untuned model prefers some labels whatever the text says. Batch calibration (Zhou et al. 2023, arXiv 2309.17249) takes
that out: the mean log-probability of each label over *training* rows, labels unseen, is subtracted. On the reviews this
lifts the untuned model from .25 to .47 macro-F1; a gain over the uncalibrated one would be half an illusion.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from tunewright.core.parts import Baseline, Look
from tunewright.core.progress import Report
from tunewright.core.recipe import Recipe
from tunewright.core.score import LabelTask, Predictions

if TYPE_CHECKING:
    from tunewright.models.frozen import LowerStates
    from tunewright.models.load import LoadedModel

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
        start, examples, name = time.perf_counter(), self.examples(task), self.part_name()
        rows = task.train.filter(~task.train["text"].is_in([text for text, _ in examples]))
        rows = rows.sample(min(self.prior_rows, len(rows)), seed=self.seed) if len(rows) else task.train
        prior = scores(loaded, look.recipe, task.labels, rows["text"].to_list(), look.report, f"{name} prior", examples)
        middle = time.perf_counter()
        found = scores(
            loaded, look.recipe, task.labels, task.test["text"].to_list(), look.report, name, examples, lower
        )
        calibration = np.log(prior.probabilities().clip(1e-12)).mean(axis=0)
        return answers(found, middle - start, time.perf_counter() - middle, calibration)


def scores(
    loaded: LoadedModel,
    recipe: Recipe,
    labels: list[str],
    texts: list[str],
    report: Report,
    what: str,
    examples: Examples | None = None,
    lower: LowerStates | None = None,
) -> Any:
    """`LabelScores` of `texts` in the recipe's prompt; examples come on top of `model.max_length`, `what` names the bar."""
    from tunewright.models.chat import ChatFormat
    from tunewright.models.score import score_labels

    def prompt(room: int, shown: Examples) -> ChatFormat:
        given = (recipe.data.instruction, recipe.model.system, room)
        return ChatFormat(loaded.tokenizer, *given, labels=labels, examples=shown)

    fmt = prompt(recipe.model.max_length, [])
    if examples:
        more = len(prompt(10**9, examples).prefix) - len(fmt.prefix)
        fmt = prompt(recipe.model.max_length + more, examples)
    with report.task(what, len(texts)) as task:
        return score_labels(loaded, fmt, texts, labels, task=task, lower=lower)


def answers(found: Any, fit_seconds: float, predict_seconds: float, prior: Any = None) -> Predictions:
    """Predictions from `LabelScores`; `prior` (c,) is taken out."""
    return Predictions(
        found.labels,
        found.predict(prior),
        probabilities=found.probabilities(prior),
        answer_nll=found.answer_nll,
        answer_tokens=found.answer_tokens,
        uncalibrated=None if prior is None else found.predict(),
        fit_seconds=fit_seconds,
        predict_seconds=predict_seconds,
    )
