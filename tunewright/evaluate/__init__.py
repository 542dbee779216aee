"""Evaluate: every system answers the sealed test rows once, side by side, and the verdict is drawn from the differences.

    test rows, labels apart -> baselines (fitted on train) and candidates answer        systems/NAME.parquet
      -> metrics with intervals that resample whole groups                              results.json, scores.parquet
      -> the winner, chosen on validation, against the untuned model and the best cheap system -> gates    verdict.json

Opening the test is counted, and each look at it costs width (`core/seal.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from tunewright.core.files import fingerprint, read_json, read_parquet, sha256_file, write_json, write_parquet
from tunewright.core.plugins import build, names
from tunewright.core.run import Context
from tunewright.core.score import Gate, LabelTask, Predictions, Verdict
from tunewright.core.seal import open_test

if TYPE_CHECKING:
    import polars as pl

    from tunewright.evaluate.systems import Entrant
    from tunewright.evaluate.verdict import System

BASE = "base_zero_shot"


@dataclass(frozen=True)
class EvaluateResult:
    """The verdict, the leaderboard (best first) and the story."""

    verdict: Verdict
    systems: list[dict[str, Any]]
    story: list[str]

    def summary(self) -> list[str]:
        return self.story

    def _repr_html_(self) -> str:
        metric = self.verdict.metric
        rows = [f"<tr><td>{escape(one['name'])}</td><td>{one['scores'][metric]:.3f}</td></tr>" for one in self.systems]
        told = "".join(f"<p>{escape(line)}</p>" for line in self.story)
        return f"{told}<table><tr><th>system</th><th>{escape(metric)}</th></tr>{''.join(rows)}</table>"


def run(context: Context) -> EvaluateResult:
    """Judge the candidates of `tune/leaderboard.json` on the sealed test."""
    from tunewright.evaluate.systems import Job, score_all

    recipe, run = context.recipe, context.run
    board = read_json(run.path("tune", "leaderboard.json"))
    labels: list[str] = read_json(run.path("prepare", "summary.json"))["labels"]
    train = read_parquet(run.path("prepare", "train.parquet"))
    learnt = {one["name"]: _weights(context, one["name"]) for one in board["candidates"]}
    test, openings = open_test(run, "evaluate", fingerprint(learnt))
    task = LabelTask(train, test.drop("label"), labels)
    entrants = _entrants(context, board, learnt, fingerprint([test["row_id"].to_list(), train["row_id"].to_list()]))
    answers = score_all(Job(entrants, recipe, task, run.path("evaluate", "systems")), context.executor)
    truth = np.array([labels.index(label) for label in test["label"]], dtype=np.int64)
    systems = _systems(entrants, {name: replace(one, truth=truth) for name, one in answers.items()})
    result = _judge(context, test, systems, board["winner"], openings)
    cut = _truncated(context, labels, test)
    detail = f"to {recipe.model.max_length} tokens (model.max_length)"
    context.ledger.record("evaluate", "truncated", cut, reason="longer_than_max_length", detail=detail)
    context.ledger.record("evaluate", "kept", test, reason="scored")
    context.ledger.close("evaluate", test["row_id"], test["row_id"])
    return result


def _truncated(context: Context, labels: list[str], test: pl.DataFrame) -> pl.DataFrame:
    """Test rows whose text does not fit the prompt."""
    from tunewright.models.chat import ChatFormat
    from tunewright.models.load import load_tokenizer

    model, tokenizer = context.recipe.model, load_tokenizer(context.recipe.model.base, context.report)
    given = (context.recipe.data.instruction, model.system, model.max_length)
    return test.filter(ChatFormat(tokenizer, *given, labels=labels).encode(test["text"].to_list()).truncated)


def _weights(context: Context, candidate: str) -> list[str]:
    folder = context.run.path("tune", candidate)
    return [
        sha256_file(path) for part in ("adapter", "model") for path in sorted((folder / part).glob("*.safetensors"))
    ]


def _entrants(context: Context, board: dict[str, Any], learnt: dict[str, list[str]], rows: str) -> list[Entrant]:
    """The untuned model (always), the other baselines of the recipe, and all candidates."""
    from tunewright.evaluate.systems import Entrant

    recipe, chosen = context.recipe, context.recipe.evaluate.baselines
    specs = names("baselines") if chosen == "default" else list(chosen)
    parts = {part.part_name(): (part, spec) for spec in specs for part in [build("baselines", spec)]}
    parts = {BASE: (build("baselines", BASE), BASE)} | parts
    settings = [recipe.model.model_dump(), recipe.data.instruction, recipe.evaluate.metric, rows]
    entrants = []
    for name, (part, spec) in parts.items():
        mark = fingerprint([settings, name, part.model_dump()])
        entrants.append(Entrant(name, "base" if name == BASE else "baseline", part.uses_model, mark, spec))
    for one in board["candidates"]:
        name = one["name"]
        spec, folder = {"name": one["technique"], **one["settings"]}, context.run.path("tune", name)
        entrants.append(Entrant(name, "candidate", True, fingerprint([settings, learnt[name]]), spec, folder))
    return entrants


def _systems(entrants: Sequence[Entrant], answers: dict[str, Predictions]) -> list[System]:
    """Who answered what; a calibrated model also appears as it was before calibration, to show what that does."""
    from tunewright.evaluate.verdict import System

    systems = []
    for one in entrants:
        found = answers[one.name]
        systems.append(System(one.name, one.kind, found, one.uses_model))
        if found.uncalibrated is not None:
            raw = replace(found, predicted=found.uncalibrated, probabilities=None, uncalibrated=None)
            systems.append(System(f"{one.name}_uncalibrated", "baseline", raw, one.uses_model))
    return systems


def _judge(context: Context, test: pl.DataFrame, systems: list[System], winner: str, openings: int) -> EvaluateResult:
    """Scores, paired tests and verdict, written to the run directory."""
    from tunewright.evaluate import results
    from tunewright.evaluate.statistics import corrected_confidence
    from tunewright.evaluate.verdict import compare, judge, strongest_cheap

    settings, folder = context.recipe.evaluate, context.run.path("evaluate")
    labels, groups = systems[0].predictions.labels, test["group"].to_numpy()
    metric = build("metrics", settings.metric)
    others = names("metrics") if settings.metrics == "default" else settings.metrics
    metrics = list({one.part_name(): one for one in [metric, *(build("metrics", spec) for spec in others)]}.values())
    confidence = corrected_confidence(settings.ship_if.confidence, openings)
    with context.report.task("intervals and tests"):
        verdict = judge(metric, systems, winner, groups, settings.ship_if, openings, _contract(context, winner))
        table = [results.entry(one, metrics, groups, confidence) for one in systems]
        cheap, base = strongest_cheap(metric, systems), next(one for one in systems if one.kind == "base")
        rivals = [one for one in (base, cheap) if one is not None]
        candidates = [one for one in systems if one.kind == "candidate"]
        pairs = [compare(metric, rival, one, groups, confidence) for one in candidates for rival in rivals]
    table.sort(key=lambda one: -one["scores"][metric.part_name()])
    story = results.story(verdict, {one["name"]: one["scores"][metric.part_name()] for one in table}, cheap, confidence)
    shown = [*rivals, *(one for one in candidates if one.name == winner)]
    document = {
        "metric": metric.part_name(),
        "labels": labels,
        "rows": len(test),
        "groups": int(test["group"].n_unique()),
        "confidence": confidence,
        "test_openings": openings,
        "winner": winner,
        "systems": table,
        "comparisons": results.comparison_table(pairs, confidence),
        "slices": results.slices(test, labels, shown),
        "notes": results.notes(systems, metrics, pairs, metric.part_name()),
        "story": story,
    }
    write_parquet(folder / "scores.parquet", results.score_rows(test, systems))
    write_json(folder / "results.json", document)
    write_json(folder / "verdict.json", asdict(verdict))
    return EvaluateResult(verdict, table, story)


def _contract(context: Context, winner: str) -> Gate:
    """Are the tokens that the winner is asked with those that it was trained on?"""
    from tunewright.models.contract import check
    from tunewright.models.load import load_tokenizer

    stored = read_json(context.run.path("tune", winner, "tokens.json"))
    broken = check(stored, load_tokenizer(context.recipe.model.base, context.report))
    text = broken or "Prompts, masks and end token are those of training."
    return Gate("token_contract", broken is None, broken, None, text)
