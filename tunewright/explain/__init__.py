"""Explain: why does the winner answer as it does?

A few validation rows (never test rows), some right and some wrong for every label, go through each method of the recipe.
A method gets nothing but a function from texts to label log-likelihoods, so it works for every technique. It writes
`explain/METHOD.json`: the rows word by word, a sentence for each (`reasons.py`), and whether the words that it names matter at
all (`faithfulness.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import polars as pl

from tunewright.core.files import read_json, read_parquet, write_json
from tunewright.core.plugins import build
from tunewright.core.run import Context

POOL = 2  # validation rows that are answered for each one that is explained


@dataclass(frozen=True)
class ExplainResult:
    """What each method wrote, by name."""

    documents: dict[str, dict[str, Any]]

    def summary(self) -> list[str]:
        lines = []
        for document in self.documents.values():
            wrong = next((row for row in document["rows"] if not row["correct"]), None)
            lines += [f"for example: {row['sentence']}" for row in document["rows"][:1]]
            lines += [f"a mistake (the label is {wrong['label']}): {wrong['sentence']}"] if wrong else []
            lines.append(f"is that so? {document['faithfulness']['text']}")
        return lines

    def _repr_html_(self) -> str:
        return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in self.summary()) + "</ul>"


def run(context: Context) -> ExplainResult:
    """Explain answers of the winning candidate to `explain.rows` validation rows."""
    recipe, run = context.recipe, context.run
    labels: list[str] = read_json(run.path("prepare", "summary.json"))["labels"]
    winner: str = read_json(run.path("tune", "leaderboard.json"))["winner"]
    score = _scorer(context, winner, labels)
    pool = _pool(read_parquet(run.path("prepare", "validation.parquet")), POOL * recipe.explain.rows)
    rows = choose(pool, score(pool["text"].to_list()), labels, recipe.explain.rows)
    documents = {}
    for spec in recipe.explain.methods:
        method = build("explainers", spec)
        document = {"method": method.part_name(), "model": winner, **method.explain(score, rows, labels)}
        write_json(run.path("explain", f"{method.part_name()}.json"), document)
        documents[method.part_name()] = document
    return ExplainResult(documents)


def _scorer(context: Context, winner: str, labels: list[str]) -> Any:
    """A function from texts to (n, c) label log-likelihoods of the winner, with progress."""
    from tunewright.models.chat import ChatFormat
    from tunewright.models.load import attach, load_base
    from tunewright.models.score import score_labels

    loaded = attach(load_base(context.recipe.model, context.report), context.run.path("tune", winner))
    chat = ChatFormat.of(context.recipe, loaded.tokenizer, labels)

    def score(texts: list[str]) -> Any:
        with context.report.task("asking the winner why", len(texts)) as task:
            return score_labels(loaded, chat, texts, labels, task=task).log_likelihood

    return score


def _pool(rows: pl.DataFrame, most: int) -> pl.DataFrame:
    """At most about `most` rows, the same share of every label, in an order that the row ids fix."""
    each = -(-most // max(1, rows["label"].n_unique()))
    return rows.sort(pl.col("row_id").hash(seed=17), "row_id").group_by("label", maintain_order=True).head(each)


def choose(pool: pl.DataFrame, likelihood: Any, labels: list[str], count: int) -> pl.DataFrame:
    """`count` rows of `pool`, label by label a right answer and a wrong one in turn. `likelihood` is (n, c)."""
    answers = pl.Series("predicted", [labels[index] for index in np.argmax(likelihood, axis=1)])
    marked = pool.with_columns(answers, correct=pool["label"] == answers)
    turn = pl.int_range(pl.len()).over("label", "correct")
    return marked.with_columns(turn=turn).sort("turn", "correct", "label", descending=[False, True, False]).head(count)
