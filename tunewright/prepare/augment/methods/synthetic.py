"""New texts of a class after some of its rows, or new questions with answers after some questions, by a model: for what is rare."""

from __future__ import annotations

import random
import re
from typing import ClassVar, Literal

import polars as pl
from pydantic import Field

from tunewright.core.errors import DataError
from tunewright.core.parts import Look
from tunewright.prepare.augment.methods._prompted import Prompted, written

ASKED, ANSWERED = "Question:", "Answer:"


class Synthetic(Prompted):
    """A new text for the parent's label, or a new question with its answer, with the parent and other rows as examples. Prompt: {examples}, {label}."""

    writes: ClassVar[Literal["turn", "row"]] = "row"
    examples: int = Field(4, ge=1, description="rows (of the class, where there are classes) that are shown, the parent first")

    def write(self, rows: pl.DataFrame, number: int, look: Look, seed: int) -> pl.DataFrame:
        if "answer" in rows.columns:
            return self._instructions(rows, number, look, seed)
        if "label" not in rows.columns:
            raise DataError(
                "augment: synthetic writes texts for a label, or questions with answers, but these rows have neither. Use paraphrase."
            )
        by_label = {str(label): part["text"].fill_null("").to_list() for (label,), part in rows.group_by("label", maintain_order=True)}
        questions = []
        for row, text, label in rows.select("row_id", pl.col("text").fill_null(""), "label").iter_rows():
            for turn in range(number):
                shown = self._shown(text, by_label[label], f"{seed} {row} {turn}")
                questions.append(self.asked("synthetic", examples="\n\n".join(f"Text: {one}" for one in shown), label=label))
        return written(rows, number, self.answers(questions, look, seed))

    def _instructions(self, rows: pl.DataFrame, number: int, look: Look, seed: int) -> pl.DataFrame:
        """Questions and answers in one reply each; a reply of another form is none."""
        told = [f"{ASKED} {text}\n{ANSWERED} {answer}" for text, answer in rows.select(pl.col("text", "answer").fill_null("")).iter_rows()]
        questions = [
            self.asked("synthetic_instruction", examples="\n\n".join(self._shown(own, told, f"{seed} {row} {turn}")))
            for row, own in zip(rows["row_id"], told, strict=True)
            for turn in range(number)
        ]
        pairs = [_pair(one) for one in self.answers(questions, look, seed)]
        made = written(rows, number, [one[0] for one in pairs])
        return made.with_columns(answer=pl.Series([one[1] for one in pairs], dtype=pl.String))

    def _shown(self, own: str, others: list[str], chance: str) -> list[str]:
        """`own` and, drawn by `chance`, some of the others."""
        rest = [one for one in others if one != own]
        return [own, *random.Random(chance).sample(rest, min(len(rest), self.examples - 1))]


def _pair(reply: str | None) -> tuple[str | None, str | None]:
    """(question, answer) of a reply in the form of the examples."""
    found = re.fullmatch(rf"(?s)\s*(?:{ASKED})?\s*(.+?)\s*\n\s*{ANSWERED}\s*(.+?)\s*", reply or "")
    if found is None or ASKED in found[2]:
        return None, None
    return found[1], found[2]
