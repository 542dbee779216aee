"""Evaluate: every system answers the sealed test rows once, side by side, and the verdict is drawn from the differences.

    test rows, labels apart -> baselines (fitted on train) and candidates answer      systems/NAME.parquet
      -> metrics with intervals that resample whole groups                            results.json, scores.parquet
      -> the winner, chosen on validation, against the untuned model and the best cheap system -> gates   verdict.json

Opening the test is counted, and each look at it costs width (`core/seal.py`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from tunewright.core.errors import DataError
from tunewright.core.files import fingerprint, read_json, read_parquet, sha256_file, write_json, write_parquet
from tunewright.core.plugins import build, names
from tunewright.core.run import Context
from tunewright.core.score import Gate, LabelTask, Verdict
from tunewright.core.seal import open_test

if TYPE_CHECKING:
    import polars as pl

    from tunewright.evaluate.systems import Entrant
    from tunewright.evaluate.verdict import System

BASE = "base_zero_shot"


@dataclass(frozen=True)
class EvaluateResult:
    """The verdict and what `results.json` holds."""

    verdict: Verdict
    results: dict[str, Any]

    def summary(self) -> list[str]:
        story, metric = self.results["story"], self.results["metric"]
        places = [
            f"{one['name']} {one['scores'][metric]:.3f} ({one['intervals'][metric][0]:.2f} to {one['intervals'][metric][1]:.2f})"
            for one in self.results["systems"]
        ]
        return [*story[:-1], f"{metric} on the test, with intervals: {', '.join(places)}.", story[-1]]

    def _repr_html_(self) -> str:
        return "".join(f"<p>{escape(line)}</p>" for line in self.summary())


def run(context: Context) -> EvaluateResult:
    """Judge the candidates of `tune/leaderboard.json` on the sealed test."""
    from tunewright.evaluate.systems import Job, score_all
    from tunewright.evaluate.verdict import System

    recipe, run, ledger = context.recipe, context.run, context.ledger
    board = read_json(run.path("tune", "leaderboard.json"))
    labels = read_json(run.path("prepare", "summary.json"))["labels"]
    weights = {one["name"]: _weights(context, one["name"]) for one in board["candidates"]}
    test, openings = open_test(run, "evaluate", fingerprint(weights))
    if test.is_empty():
        raise DataError("prepare/test.parquet has no rows to judge by. Add rows, or raise prepare.split.test.")
    entrants = _entrants(context, board, weights)
    task = LabelTask(read_parquet(run.path("prepare", "train.parquet")), test.drop("label"), labels)
    answers = score_all(Job(entrants, recipe, task, run.path("evaluate", "systems")), context.executor)
    truth = np.array([labels.index(label) for label in test["label"]], dtype=np.int64)
    systems = []
    for one in entrants:
        found = replace(answers[one.name], truth=truth)
        systems.append(System(one.name, one.kind, found, one.uses_model))
        if found.uncalibrated is not None:  # as it was before calibration, to show what that does
            raw = replace(found, predicted=found.uncalibrated, probabilities=None)
            systems.append(System(f"{one.name}_uncalibrated", "baseline", raw, one.uses_model))
    contract, cut = _prompts(context, board["winner"], labels, test)
    result = _judge(context, test, systems, board["winner"], openings, contract)
    detail = f"to {recipe.model.max_length} tokens (model.max_length)"
    ledger.record("evaluate", "truncated", cut, reason="longer_than_max_length", detail=detail)
    ledger.record("evaluate", "kept", test, reason="scored")
    ledger.close("evaluate", test["row_id"], test["row_id"])
    return result


def _weights(context: Context, candidate: str) -> list[str]:
    folder = context.run.path("tune", candidate)
    return [sha256_file(path) for part in ("adapter", "model") for path in sorted((folder / part).glob("*.safetensors"))]


def _entrants(context: Context, board: dict[str, Any], weights: dict[str, list[str]]) -> list[Entrant]:
    """The untuned model (always), the other baselines of the recipe, and all candidates."""
    from tunewright.evaluate.systems import Entrant

    recipe, chosen = context.recipe, context.recipe.evaluate.baselines
    specs = {BASE: BASE} | {build("baselines", spec).part_name(): spec for spec in _named("baselines", chosen)}
    rows = [sha256_file(context.run.path("prepare", f"{split}.parquet")) for split in ("train", "test")]
    asked = [recipe.model.model_dump(), recipe.data.instruction, recipe.evaluate.metric, rows]
    entrants = []
    for name, spec in specs.items():
        part = build("baselines", spec)
        mark = fingerprint([asked, name, part.model_dump()])
        entrants.append(Entrant(name, "base" if name == BASE else "baseline", part.uses_model, mark, spec))
    for one in board["candidates"]:
        spec, mark = {"name": one["technique"], **one["settings"]}, fingerprint([asked, weights[one["name"]]])
        entrants.append(Entrant(one["name"], "candidate", True, mark, spec, context.run.path("tune", one["name"])))
    return entrants


def _named(kind: str, chosen: Any) -> list[Any]:
    return list(names(kind) if chosen == "default" else chosen)


def _prompts(context: Context, winner: str, labels: list[str], test: pl.DataFrame) -> tuple[Gate, pl.DataFrame]:
    """The gate of the token contract (are prompts those of training?), and the test rows cut to fit their prompt."""
    from tunewright.models.chat import ChatFormat
    from tunewright.models.contract import check
    from tunewright.models.load import load_tokenizer

    model, tokenizer = context.recipe.model, load_tokenizer(context.recipe.model.base, context.report)
    broken = check(read_json(context.run.path("tune", winner, "tokens.json")), tokenizer)
    fmt = ChatFormat(tokenizer, context.recipe.data.instruction, model.system, model.max_length, labels=labels)
    cut = test.filter(np.array(fmt.encode(test["text"].to_list()).truncated, dtype=bool))
    text = broken or "Prompts, loss masks and end token are those of training."
    text += f" {len(cut)} of {len(test)} test rows were cut to {model.max_length} tokens (model.max_length)."
    return Gate("token_contract", broken is None, broken, None, text), cut


def _judge(context: Context, test: pl.DataFrame, systems: list[System], winner: str, openings: int, contract: Gate) -> EvaluateResult:
    """Scores, paired tests and verdict, written to the run directory."""
    from tunewright.evaluate import results
    from tunewright.evaluate.statistics import corrected_confidence
    from tunewright.evaluate.verdict import compare, judge, strongest_cheap

    settings, folder = context.recipe.evaluate, context.run.path("evaluate")
    labels, groups = systems[0].predictions.labels, test["group"].to_numpy()
    always = [settings.metric, "per_class", "confusion_matrix"]
    parts = [build("metrics", spec) for spec in [*always, *_named("metrics", settings.metrics)]]
    metrics, metric = list({one.part_name(): one for one in parts}.values()), parts[0]
    confidence = corrected_confidence(settings.ship_if.confidence, openings)
    with context.report.task("intervals and tests"):
        verdict = judge(metric, systems, winner, groups, settings.ship_if, openings, contract)
        table = [results.entry(one, metrics, groups, confidence) for one in systems]
        cheap = strongest_cheap(metric, systems)
        rivals = [one for one in systems if one.kind == "base" or one is cheap]
        candidates = [one for one in systems if one.kind == "candidate"]
        pairs = [compare(metric, rival, one, groups, confidence) for one in candidates for rival in rivals]
    table.sort(key=lambda one: -one["scores"][settings.metric])
    shown = [*rivals, *(one for one in candidates if one.name == winner)]
    document = {
        "metric": settings.metric,
        "labels": labels,
        "rows": len(test),
        "groups": test["group"].n_unique(),
        "confidence": confidence,
        "test_openings": openings,
        "winner": winner,
        "systems": table,
        "comparisons": results.comparison_table(pairs, confidence),
        "slices": results.slices(test, labels, shown),
        "notes": results.notes(systems, metrics, pairs, settings.metric),
        "story": results.story(verdict, table, cheap, confidence),
    }
    write_parquet(folder / "scores.parquet", results.score_rows(test, systems))
    write_json(folder / "results.json", document)
    write_json(folder / "verdict.json", asdict(verdict))
    return EvaluateResult(verdict, document)
