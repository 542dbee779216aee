"""A fast stand-in for a tuned model: TF-IDF and logistic regression, packed as a release's files, answering 20,000 texts a second.

    model = StandIn.fit(train)                                    # rows with text and label
    model.pack(directory, reference, {"monitor": {"window": 200}})    # manifest, recipe, calibration, reference, parity: no weights
    answers = model.answer(texts)                                 # label, confidence, probabilities

For what needs tens of thousands of answers: the monitor's tests, `benchmarks/drift.py`, drills. What it says of a text is a small model's; how
the monitor reads it is the same for every model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tunewright.core.files import write_json, write_parquet
from tunewright.core.optional import require
from tunewright.core.score import Floats


@dataclass(frozen=True)
class StandIn:
    """A fitted pipeline, its labels, and the temperature of its probabilities."""

    pipeline: Any
    labels: list[str]
    temperature: float = 1.0

    @classmethod
    def fit(cls, rows: pl.DataFrame) -> StandIn:
        """Learn from `rows` with text and label."""
        text = require("sklearn.feature_extraction.text", "audit")
        model = require("sklearn.linear_model", "audit").LogisticRegression(C=3.0, solver="lbfgs", max_iter=200)
        words = text.TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
        pipeline = require("sklearn.pipeline", "audit").make_pipeline(words, model)
        pipeline.fit(rows["text"].to_list(), rows["label"].to_list())
        return cls(pipeline, [str(one) for one in pipeline.classes_])

    def log_likelihood(self, texts: Sequence[str]) -> Floats:
        """(n, c) natural logarithms of uncalibrated probabilities."""
        return np.asarray(self.pipeline.predict_log_proba(list(texts)), np.float64)

    def probabilities(self, texts: Sequence[str]) -> Floats:
        """(n, c), calibrated."""
        scores = self.log_likelihood(texts) / self.temperature
        odds = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(odds / odds.sum(axis=1, keepdims=True))

    def calibrated(self, rows: pl.DataFrame) -> StandIn:
        """With the temperature at which the labels of `rows` are likeliest (Guo et al. 2017)."""
        truth = np.array([self.labels.index(one) for one in rows["label"]])
        texts = rows["text"].to_list()

        def loss(temperature: float) -> float:
            shares = replace(self, temperature=temperature).probabilities(texts)
            return float(-np.log(np.maximum(shares[np.arange(len(truth)), truth], 1e-12)).mean())

        return replace(self, temperature=min(np.geomspace(0.2, 5.0, 60).tolist(), key=loss))

    def answer(self, texts: Sequence[str]) -> pl.DataFrame:
        """label, answer, confidence, probabilities (in the order of the labels) for each text."""
        shares = self.probabilities(texts)
        label = pl.Series("label", [self.labels[one] for one in shares.argmax(axis=1)])
        lists = pl.Series("probabilities", shares.tolist(), dtype=pl.List(pl.Float64))
        return pl.DataFrame({"label": label, "answer": label, "confidence": shares.max(axis=1), "probabilities": lists})

    def pack(self, directory: Path, rows: pl.DataFrame, recipe: dict[str, Any] | None = None) -> Path:
        """Write what a monitor reads of a release; `rows` (row_id, text, label, perhaps group) become its reference."""
        own = self.answer(rows["text"].to_list())
        reference = rows.select("row_id", "text", "label", *(["group"] if "group" in rows.columns else [])).hstack(
            own.select("answer", "confidence", "probabilities")
        )
        write_parquet(directory / "reference.parquet", reference.with_columns(prompt_tokens=pl.col("text").str.len_chars() // 4))
        golden = rows["text"].head(8).to_list()
        scores = self.log_likelihood(golden).tolist()
        write_json(directory / "parity.json", {"rows": len(golden), "same_answers": len(golden), "texts": golden, "log_likelihood": scores})
        write_json(
            directory / "calibration.json", {"temperature": self.temperature, "prior": None, "labels": self.labels, "rows": len(rows)}
        )
        write_json(directory / "recipe.json", {"data": {"path": "rows.csv"}, **(recipe or {})})
        prompt = {
            "system": None,
            "user": "What does this say?\n\n{text}",
            "answers": {one: [index] for index, one in enumerate(self.labels)},
        }
        manifest = {
            "status": "APPROVED: SHIP.",
            "approved": True,
            "verdict": "SHIP",
            "kind": "model",
            "technique": "stand-in",
            "prompt": prompt,
        }
        manifest |= {
            "base_model": {"name": "stand-in", "path": ".", "fingerprint": "none"},
            "files": [],
            "created": "2026-11-01T00:00:00+00:00",
        }
        write_json(directory / "manifest.json", manifest)
        return directory
