"""New texts of a class after some of its rows, by a model: for classes with few rows."""

from __future__ import annotations

import random

import polars as pl
from pydantic import Field

from tunewright.core.errors import DataError
from tunewright.core.parts import Look
from tunewright.prepare.augment.methods._prompted import Prompted, written


class Synthetic(Prompted):
    """A new text for the parent's label, with the parent and other rows of that label as examples. Prompt: {examples}, {label}."""

    examples: int = Field(4, ge=1, description="rows of the class that are shown, the parent first")

    def write(self, rows: pl.DataFrame, number: int, look: Look, seed: int) -> pl.DataFrame:
        if "label" not in rows.columns:
            raise DataError("augment: synthetic writes texts for a label, but these rows have none. Use paraphrase or back_translation.")
        by_label = {str(label): part["text"].fill_null("").to_list() for (label,), part in rows.group_by("label", maintain_order=True)}
        questions = []
        for row, text, label in rows.select("row_id", pl.col("text").fill_null(""), "label").iter_rows():
            for turn in range(number):
                chance = random.Random(f"{seed} {row} {turn}")
                others = [one for one in by_label[label] if one != text]
                shown = [text, *chance.sample(others, min(len(others), self.examples - 1))]
                listed = "\n\n".join(f"Text: {one}" for one in shown)
                questions.append(self.asked("synthetic", examples=listed, label=label))
        return written(rows, number, self.answers(questions, look, seed))
