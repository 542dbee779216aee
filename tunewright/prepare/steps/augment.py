"""New training rows made from old ones: typing errors, synonyms, paraphrases, translations, synthetic rows for rare classes.

    {name: augment, methods: [noise, synonyms], share: 0.3}
    {name: augment, methods: [{name: synthetic, base_url: "http://localhost:8000/v1", model: qwen2.5-7b}], labels: rare}

Where rows have answers (prompts, instructions, chats, preference pairs) what the user says is written anew and nothing else: see
`augment.turns`. Every new text passes the same tests; those that fail are in the ledger and in dropped.parquet with their reason. Whether the new
rows help is for `tunewright prove-data` to say: it trains with and without.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import polars as pl
from pydantic import Field, field_validator

from tunewright.core import plugins
from tunewright.core.errors import DataError
from tunewright.core.parts import Augmenter, Look, Step, StepResult
from tunewright.core.plugins import PartSpec
from tunewright.core.rows import compared
from tunewright.core.settings import show_place
from tunewright.prepare.steps._shared import change, unchanged
from tunewright.text.repair import empty

NEAR = 0.5
WRITTEN = ("text", "answer", "messages")  # what a method may write anew


class Augment(Step):
    """Adds training rows made from others. Reasons: the method's name; rejected: no_answer, refusal, length, lost_piece, repeats_parent, near_test, ..."""

    scope: ClassVar[Literal["all", "train"]] = "train"
    methods: list[PartSpec] = Field(min_length=1, description="how: noise, synonyms, templates, back_translation, paraphrase, synthetic")
    share: float = Field(0.3, gt=0, le=5, description="new rows, at most, as a share of the training rows; the methods have equal parts")
    per_row: int = Field(1, ge=1, le=20, description="new rows that one method may make from one row")
    labels: Literal["all", "rare"] | list[str] = Field(
        "all", description="rows of these labels only; rare: labels with fewer rows than the mean"
    )
    length_ratio: float = Field(2.0, gt=1, description="a new text may be this many times longer or shorter than its parent")
    seed: int = Field(17, ge=0, description="decides which rows, and how")

    @field_validator("methods")
    @classmethod
    def _known(cls, value: list[PartSpec]) -> list[PartSpec]:
        problems = [found for index, spec in enumerate(value) for found in plugins.part_problems("augmenters", spec, (index,))]
        if problems:
            raise ValueError("; ".join(f"methods{show_place(place)}: {message}" for place, message in problems))
        return value

    def run(self, rows: pl.DataFrame, look: Look) -> StepResult:
        from tunewright.prepare.augment.turns import user_said

        if rows.is_empty():
            return unchanged(rows)
        start = rows if "parent_id" in rows.columns else rows.with_columns(parent_id=pl.lit(None, pl.String))
        held_out = rows.clear() if look.held_out is None else look.held_out
        away = pl.DataFrame({"said": user_said(held_out), "whole": compared(held_out)})
        methods: list[Augmenter] = [plugins.build("augmenters", spec) for spec in self.methods]
        quota, known, told, rejected = int(self.share * len(rows)) // len(methods), start, [], []
        for place, method in enumerate(methods):
            new = self._made(method, start, quota, look, place)
            why = self._judged(new, known, away, look)
            fine = new.filter(why.is_null()).select(start.columns)
            known = pl.concat([known, fine])
            rejected.append(new.filter(why.is_not_null()).select(start.columns))
            told.append(change(new, "added", method.part_name().rsplit(".", 1)[-1], pl.format("from {}", "parent_id")))
            told.append(change(new.with_columns(__why=why).filter(why.is_not_null()), "dropped", pl.col("__why"), "made, and not taken"))
        if len(known) == len(start):
            known = rows
        return StepResult(known, pl.concat(told), pl.concat(rejected))

    def _made(self, method: Augmenter, rows: pl.DataFrame, quota: int, look: Look, place: int) -> pl.DataFrame:
        """New rows by `method`, with what the user says in them and in their parents beside them."""
        from tunewright.prepare.augment.turns import children

        parents = self._parents(method, rows, -(-quota // self.per_row), place)
        texts = children(method, parents, self.per_row, look, self.seed + place)
        name = method.part_name().rsplit(".", 1)[-1]
        turn = pl.int_range(pl.len()).over("parent_id") + 1 + place * self.per_row
        texts = texts.head(quota).with_columns(row_id=pl.format("{}+{}{}.{}", "parent_id", pl.lit(name), pl.lit(look.step), turn))
        inherited = rows.drop("parent_id", *(one for one in WRITTEN if one in texts.columns), strict=False)
        new = texts.join(inherited.rename({"row_id": "parent_id"}), on="parent_id", how="left", maintain_order="left")
        return new.with_columns(whole=compared(new))

    def _parents(self, method: Augmenter, rows: pl.DataFrame, number: int, place: int) -> pl.DataFrame:
        """Rows to write after, drawn at random; rows that were made themselves have no children."""
        from tunewright.prepare.augment.turns import is_instruction, one_turn

        fine = rows.filter(~empty(pl.col("text")) & pl.col("parent_id").is_null())
        if is_instruction(rows) and method.writes == "row":
            fine = fine.filter(one_turn(rows))
            if fine.is_empty():
                name = method.part_name().rsplit(".", 1)[-1]
                raise DataError(
                    f"augment: {name} writes a question with its answer, but these rows are all chats of several turns, tool calls or "
                    "preference pairs, which it cannot continue. Use noise, synonyms, templates, paraphrase or back_translation."
                )
        if self.labels != "all" and "label" in fine.columns:
            counts = fine["label"].value_counts()
            rare = counts.filter(pl.col("count") < pl.col("count").mean())["label"].to_list()
            fine = fine.filter(pl.col("label").is_in(rare if self.labels == "rare" else self.labels))
        draw = np.random.default_rng([self.seed, place]).permutation(len(fine))[:number]
        return fine.filter(pl.int_range(pl.len()).is_in(draw))

    def _judged(self, new: pl.DataFrame, known: pl.DataFrame, away: pl.DataFrame, look: Look) -> pl.Series:
        from tunewright.prepare.augment.accept import reasons

        if new.is_empty():
            return pl.Series("why", [], dtype=pl.String)
        threshold = min(NEAR, look.recipe.prepare.near_duplicate_threshold)
        return reasons(new, compared(known), away, threshold, self.length_ratio)
