"""The tables of `results.json` and `scores.parquet`: every system with its scores, intervals and costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import polars as pl

from tunewright.core.plugins import build
from tunewright.core.score import Ints, Verdict
from tunewright.evaluate.evidence import SummedMetric
from tunewright.evaluate.statistics import Interval, bootstrap, holm, proportion
from tunewright.evaluate.verdict import Comparison, System, right_of, sample_of

FEWEST_IN_SLICE = 30


def interval(metric: SummedMetric, system: System, groups: Ints, confidence: float) -> Interval:
    """Interval of one score: exact for accuracy, by resampling groups for the others."""
    if metric.part_name() == "accuracy":
        return proportion(right_of(system), groups, confidence)
    sample = sample_of(metric, [system], groups)
    return bootstrap(sample, lambda sums: metric.value(sums[..., 0, :]), confidence=confidence, bounds=metric.bounds)


def entry(system: System, metrics: Sequence[Any], groups: Ints, confidence: float) -> dict[str, Any]:
    """One line of the leaderboard. Times are of batches, with whatever ran beside them."""
    answers = system.predictions
    found = {one.part_name(): one.compute(answers) for one in metrics}
    summed = [one for one in metrics if isinstance(one, SummedMetric) and found[one.part_name()] is not None]
    limits = {one.part_name(): _plain(interval(one, system, groups, confidence)) for one in summed}
    tables = {name: value for name, value in found.items() if isinstance(value, list | dict)}
    seconds = answers.predict_seconds
    return {
        "name": system.name,
        "kind": system.kind,
        "uses_model": system.uses_model,
        "scores": {name: value for name, value in found.items() if name not in tables},
        "intervals": {name: [one["low"], one["high"]] for name, one in limits.items()},
        "confusion": tables.pop("confusion_matrix"),
        **tables,
        "fit_seconds": answers.fit_seconds,
        "seconds": seconds,
        "milliseconds_per_row": 1000 * seconds / len(groups),
        "rows_per_second": len(groups) / seconds if seconds else None,
    }


def _plain(one: Interval) -> dict[str, Any]:
    """An interval as JSON, which has no infinity."""
    return {name: None if value in (math.inf, -math.inf) else value for name, value in asdict(one).items()}


def comparison_table(pairs: Sequence[Comparison], confidence: float) -> list[dict[str, Any]]:
    """Paired tests; `p_holm` is corrected over the whole table."""
    adjusted = holm([one.p_value for one in pairs])
    return [
        {**asdict(one), "difference": _plain(one.difference), "relative": _plain(one.relative)}
        | {"p_holm": p_holm, "confidence": confidence}
        for one, p_holm in zip(pairs, adjusted, strict=True)
    ]


def slices(test: pl.DataFrame, labels: Sequence[str], systems: Sequence[System]) -> list[dict[str, Any]]:
    """Accuracy by label and by tercile of text length. Slices with fewer than 30 rows are shown, not judged."""
    lengths = test["text"].str.len_chars().to_numpy()
    tercile = np.searchsorted(np.quantile(lengths, [1 / 3, 2 / 3]), lengths)
    masks = [("label", label, (test["label"] == label).to_numpy()) for label in labels]
    masks += [("length", name, tercile == place) for place, name in enumerate(("short", "medium", "long"))]
    right = {one.name: right_of(one) for one in systems}
    return [
        {"by": by, "value": value, "rows": int(rows.sum()), "judged": bool(rows.sum() >= FEWEST_IN_SLICE)}
        | {"accuracy": {name: float(one[rows].mean()) if rows.any() else None for name, one in right.items()}}
        for by, value, rows in masks
    ]


def score_rows(test: pl.DataFrame, systems: Sequence[System]) -> pl.DataFrame:
    """row_id, system, metric, score, answer: `accuracy` is 1 or 0, `answer_nll` the nats of the true answer."""
    pieces = []
    for one in systems:
        answers, columns = one.predictions, {"accuracy": right_of(one)}
        if answers.answer_nll is not None:
            columns["answer_nll"] = answers.answer_nll[np.arange(len(test)), answers.truth]
        said = pl.Series("answer", [answers.labels[index] for index in answers.predicted])
        for metric, score in columns.items():
            names = pl.lit(one.name).alias("system"), pl.lit(metric).alias("metric")
            pieces.append(test.select("row_id", *names, pl.Series("score", score), said))
    return pl.concat(pieces)


def notes(systems: Sequence[System], metrics: Sequence[Any], pairs: Sequence[Comparison], metric: str) -> list[str]:
    """What a reader could get wrong: a flattering accuracy, and perplexity that falls without better answers."""
    found = [one.remark(systems[0].predictions) for one in metrics if isinstance(one, SummedMetric)]
    perplexity = {one.name: build("metrics", "perplexity").compute(one.predictions) for one in systems}
    for pair in pairs:
        before, after = perplexity[pair.first], perplexity[pair.second]
        if before is not None and after is not None and after < before and pair.difference.low <= 0:
            found.append(
                f"perplexity: {pair.second} has {after:.3g} where {pair.first} has {before:.3g}, yet its {metric} is not"
                f" surely higher ({pair.difference.estimate:+.3f}). Lower perplexity does not mean better answers."
            )
    return [note for note in found if note is not None]


def story(verdict: Verdict, table: list[dict[str, Any]], cheap: System | None, confidence: float) -> list[str]:
    """What happened on the test in plain sentences, in the order a reader asks."""
    scores = {one["name"]: one["scores"][verdict.metric] for one in table}
    gain = "" if verdict.relative_gain is None else f" or {verdict.relative_gain:+.0%}"
    lines = [
        f"On {verdict.n:,} sealed rows {verdict.candidate} reaches {verdict.metric} {scores[verdict.candidate]:.3f};"
        f" the untuned model (label prior calibrated) {scores[verdict.baseline]:.3f}: {verdict.difference:+.3f}{gain},"
        f" {100 * confidence:.4g}% interval {verdict.ci_low:+.3f} to {verdict.ci_high:+.3f}."
    ]
    if cheap is not None:
        lines.append(f"The best system without a language model, {cheap.name}, reaches {scores[cheap.name]:.3f}.")
    lines += [f"{gate.name}: {gate.text}" for gate in verdict.gates if gate.passed is not True]
    return [*lines, f"Verdict: {verdict.verdict}."]
