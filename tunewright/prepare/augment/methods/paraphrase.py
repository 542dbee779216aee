"""The same in other words, by a model."""

from __future__ import annotations

import polars as pl

from tunewright.core.parts import Look
from tunewright.prepare.augment.methods._prompted import Prompted, written


class Paraphrase(Prompted):
    """The text in other words, by an OpenAI-compatible server or the base model. Prompt: {text}, {label}."""

    def write(self, rows: pl.DataFrame, number: int, look: Look, seed: int) -> pl.DataFrame:
        labels = rows["label"] if "label" in rows.columns else pl.repeat("", len(rows), eager=True)
        pairs = zip(rows["text"].fill_null(""), labels, strict=True)
        questions = [self.asked("paraphrase", text=text, label=label) for text, label in pairs for _ in range(number)]
        return written(rows, number, self.answers(questions, look, seed))
