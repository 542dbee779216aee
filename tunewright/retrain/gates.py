"""Challenger against champion on the same sealed rows, paired: the gates before anybody's request may be answered by it.

    verdict      the challenger's own lifecycle ends in SHIP (better than the untuned model and the cheap systems)
    rolling      on fresh rows, which no champion has seen, the challenger is surely better
    frozen       on the test of old, a loss of more than `canary.worse_by` is ruled out: nothing was forgotten

Statistics are those of `evaluate`: intervals by resampling whole groups, McNemar or sign-flip tests. Both look at sealed rows, so the
look is counted in the seal of the challenger's run and in that of the champion's, and the confidence pays for all looks so far.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tunewright.core.files import fingerprint, read_json, read_parquet
from tunewright.core.plugins import build
from tunewright.core.progress import Report
from tunewright.core.recipe import Recipe
from tunewright.core.run import Run
from tunewright.core.score import Predictions
from tunewright.core.seal import open_test
from tunewright.retrain.recipe import LoopRecipe

SIDES = "champion", "challenger"
FEWEST = 30  # independent groups below which a test says nothing


def release_folder(release: Path, folder: Path) -> Path:
    """`release` laid out as a candidate of `tune`, so that `models.load.attach` reads it: a link, nothing is copied."""
    kind = read_json(release / "manifest.json")["kind"]
    place = folder / ("adapter" if kind == "adapter" else "model")
    folder.mkdir(parents=True, exist_ok=True)
    if not place.is_symlink():
        place.symlink_to(release.resolve(), target_is_directory=True)
    return folder


def answers(candidate: Path, recipe: Recipe, labels: list[str], texts: list[str], report: Report, name: str) -> list[str]:
    """What the weights in `candidate` answer to each text, in the recipe's prompt."""
    from tunewright.models.chat import ChatFormat
    from tunewright.models.load import attach, load_base
    from tunewright.models.score import score_labels

    base = load_base(recipe.model, report)
    model = attach(base, candidate)
    chat = ChatFormat.of(recipe, base.tokenizer, labels)
    with report.task(f"{name} answers", len(texts)) as bar:
        found = score_labels(model, chat, texts, task=bar)
    return [labels[place] for place in found.predict()]


def still_wins(champion: LoopRecipe, run: Run, folder: Path, report: Report) -> dict[str, Any]:
    """Does the old technique, trained on the new rows, still win against the champion on validation rows? On new ones it must be better,
    on old ones no worse than the gates will allow: what they will ask of it on sealed rows."""
    recipe = Recipe.check(read_json(run.path("resolved.json")), "the challenger's recipe")
    labels, rows = _labels(run), _validation(run, recipe.tune.validation_rows)
    winner = read_json(run.path("tune", "leaderboard.json"))["winner"]
    for name, candidate in (("champion", release_folder(champion.release, folder)), ("challenger", run.path("tune", winner))):
        said = answers(candidate, recipe, labels, rows["text"].to_list(), report, name)
        rows = rows.with_columns(pl.Series(name, said, dtype=pl.String))
    metric = build("metrics", recipe.tune.metric)
    parts = {
        part: {"rows": len(some)}
        | {name: float(metric.compute(_predictions(labels, some[name].to_list(), some["label"].to_list())) or 0.0) for name in SIDES}
        for part, some in (("new", rows.filter(part="new")), ("old", rows.filter(pl.col("part").ne_missing("new"))))
        if len(some)
    }
    gains = {part: one["challenger"] - one["champion"] for part, one in parts.items()}
    wins = gains.get("new", gains.get("old", 0.0)) > 0 and gains.get("old", 0.0) > -champion.settings.canary.worse_by
    return {"metric": recipe.tune.metric, "technique": winner, "parts": parts, "wins": wins}


def _validation(run: Run, most: int) -> pl.DataFrame:
    """At most so many validation rows, new ones first up to half of them."""
    rows = read_parquet(run.path("prepare", "validation.parquet")).sort(pl.col("row_id").hash(seed=17))
    new = rows.filter(pl.col("part").eq_missing("new")).head(max(1, most // 2))
    return pl.concat([new, rows.filter(pl.col("part").ne_missing("new")).head(most - len(new))])


def compare(champion: LoopRecipe, run: Run, folder: Path, attempt: str, earlier: int, report: Report) -> dict[str, Any]:
    """The gates, and what they rest on. `earlier` attempts on this champion have looked at a rolling test before."""
    from tunewright.evaluate.statistics import corrected_confidence

    recipe = Recipe.check(read_json(run.path("resolved.json")), "the challenger's recipe")
    verdict, labels = run.verdict, _labels(run)
    pair = fingerprint([str(read_json(champion.release / "manifest.json").get("fingerprint")), verdict["candidate"], attempt])
    test, looks = open_test(run, f"retrain {attempt}: challenger against champion", pair)
    open_test(champion.run, f"retrain {attempt}: challenger against champion", pair)
    told = read_parquet(run.path("evaluate", "scores.parquet"))
    ours = told.filter(system=verdict["candidate"], metric="accuracy").select("row_id", challenger="answer")
    said = answers(release_folder(champion.release, folder), recipe, labels, test["text"].to_list(), report, "champion")
    rows = test.with_columns(champion=pl.Series(said, dtype=pl.String)).join(ours, on="row_id", how="left", maintain_order="left")
    confidence = recipe.evaluate.ship_if.confidence
    limits = {"rolling": corrected_confidence(confidence, earlier + 1), "frozen": corrected_confidence(confidence, looks)}
    parts = {name: _pair(rows.filter(part=name), recipe, labels, limits[name]) for name in limits}
    gates = [_verdict_gate(verdict), _better(parts["rolling"]), _not_worse(parts["frozen"], champion.settings.canary.worse_by)]
    return {"gates": gates, "parts": parts, "looks": looks, "passed": all(one["passed"] is True for one in gates)}


def _pair(rows: pl.DataFrame, recipe: Recipe, labels: list[str], confidence: float) -> dict[str, Any]:
    from tunewright.evaluate.verdict import System
    from tunewright.evaluate.verdict import compare as compared

    groups = np.unique(rows["group"].to_numpy(), return_inverse=True)[1]
    about: dict[str, Any] = {"rows": len(rows), "groups": int(groups.max(initial=-1)) + 1, "confidence": confidence}
    if about["groups"] < 2:
        return about
    metric, truth = build("metrics", recipe.evaluate.metric), rows["label"].to_list()
    first, second = (_predictions(labels, rows[name].to_list(), truth) for name in ("champion", "challenger"))
    found = compared(
        metric, System("champion", "baseline", first, True), System("challenger", "candidate", second, True), groups, confidence
    )
    scores = {name: float(metric.compute(one) or 0.0) for name, one in (("champion", first), ("challenger", second))}
    gap = found.difference
    return about | {
        "metric": recipe.evaluate.metric,
        **scores,
        "difference": gap.estimate,
        "low": gap.low,
        "high": gap.high,
        "p_value": found.p_value,
        "detectable": found.detectable,
    }


def _verdict_gate(verdict: dict[str, Any]) -> dict[str, Any]:
    passed = {"SHIP": True, "DON'T SHIP": False}.get(verdict["verdict"])
    text = f"its own verdict is {verdict['verdict']}: {verdict['difference']:+.3f} against {verdict['baseline']}"
    return {"name": "verdict", "passed": passed, "text": text}


def _better(one: dict[str, Any]) -> dict[str, Any]:
    name = "rolling"
    if one["groups"] < FEWEST:
        return {
            "name": name,
            "passed": None,
            "text": f"{one['rows']} fresh sealed rows in {one['groups']} groups; {FEWEST} groups are needed",
        }
    passed = True if one["low"] > 0 and one["p_value"] <= 1 - one["confidence"] else False if one["high"] < 0 else None
    word = {True: "better", False: "worse", None: "cannot tell"}[passed]
    return {"name": name, "passed": passed, "text": f"on fresh sealed rows {_words(one)}: {word}"}


def _not_worse(one: dict[str, Any], worse_by: float) -> dict[str, Any]:
    name = "frozen"
    if one["groups"] < FEWEST:
        return {"name": name, "passed": None, "text": f"{one['rows']} frozen rows in {one['groups']} groups; {FEWEST} groups are needed"}
    passed = True if one["low"] > -worse_by else False if one["high"] < -worse_by else None
    word = {True: "is ruled out", False: "is certain", None: "cannot be ruled out"}[passed]
    return {"name": name, "passed": passed, "text": f"on the frozen test {_words(one)}: a loss of more than {worse_by:g} {word}"}


def _words(one: dict[str, Any]) -> str:
    share = f"{100 * one['confidence']:.4g}% interval {one['low']:+.3f} to {one['high']:+.3f}, p = {one['p_value']:.2g}"
    return f"({one['rows']:,}) {one['metric']} {one['challenger']:.3f} against {one['champion']:.3f}, {one['difference']:+.3f} ({share})"


def _predictions(labels: list[str], said: list[str], truth: list[str]) -> Predictions:
    number = {label: place for place, label in enumerate(labels)}
    return Predictions(labels, np.array([number[one] for one in said], np.int64), np.array([number[one] for one in truth], np.int64))


def _labels(run: Run) -> list[str]:
    return list(read_json(run.path("prepare", "summary.json"))["labels"])
