"""How sure the tuned model is of a row. Of rows that it learnt from it is surer than it should be; their order still says which it doubts."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tunewright.core.files import read_json
from tunewright.core.progress import Report
from tunewright.core.recipe import Recipe
from tunewright.core.run import Run


class Winner:
    """The winner of `tune`, asked for the probability of each label."""

    def __init__(self, run: Run, report: Report) -> None:
        self.run, self.report = run, report
        self.labels: list[str] = read_json(run.path("prepare", "summary.json"))["labels"]

    def margins(self, rows: pl.DataFrame) -> npt.NDArray[np.float64]:
        """Probability of the likeliest label minus that of the next, for each of `rows`."""
        likelihood = self._likelihood(rows["text"].fill_null("").to_list())
        shares = np.exp(likelihood - likelihood.max(axis=1, keepdims=True))
        ordered = np.sort(shares / shares.sum(axis=1, keepdims=True), axis=1)
        return np.asarray(ordered[:, -1] - ordered[:, -2], dtype=np.float64)

    def _likelihood(self, texts: list[str]) -> Any:
        from tunewright.models.chat import ChatFormat
        from tunewright.models.load import attach, load_base
        from tunewright.models.score import score_labels

        recipe = Recipe.check(read_json(self.run.path("resolved.json")))
        winner = read_json(self.run.path("tune", "leaderboard.json"))["winner"]
        loaded = attach(load_base(recipe.model, self.report), self.run.path("tune", winner))
        chat = ChatFormat.of(recipe, loaded.tokenizer, self.labels)
        with self.report.task("asking the tuned model", len(texts)) as task:
            return score_labels(loaded, chat, texts, self.labels, task=task).log_likelihood
