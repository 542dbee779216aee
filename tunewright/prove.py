"""`tunewright prove-data RECIPE`: did preparing the rows help, or would any rows have done as well?

    raw       the rows as they were read, flaws and all            \\
    prepared  what `prepare` made of them                            > one technique, equal steps, several seeds, one fixed test
    random    as many raw rows as `prepared` has, drawn by chance  /
    ...       without_STEP and random_curate, where the recipe has steps that work on training rows
      -> proof/proof.json: prepared - raw +0.031 (95% interval +0.004 to +0.058), or "no difference was shown; this test could have seen 0.05"

The test is the validation split, as prepared: the sealed test stays sealed. No row of the test split enters an arm, and rows that
are near duplicates of a test row, or share its group, leave every arm alike. Each finished training is kept, so a proof that was killed goes on.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tunewright import lifecycle
from tunewright.core.errors import DataError, RecipeError, RunError
from tunewright.core.executor import LocalExecutor
from tunewright.core.files import fingerprint, read_json, read_parquet, sha256_file, write_json, write_parquet
from tunewright.core.ledger import Ledger
from tunewright.core.parts import Step
from tunewright.core.plugins import PartSpec, build
from tunewright.core.progress import Report
from tunewright.core.recipe import Recipe
from tunewright.core.run import Context, Run
from tunewright.core.score import Predictions
from tunewright.core.settings import did_you_mean
from tunewright.tune.batches import stratified
from tunewright.tune.trial import Trial, attempt_all, kind_of

ALPHA = 0.05
SENTENCES = {
    "raw": "preparing the rows",
    "random": "preparing, against as many random raw rows,",
    "random_curate": "curating, against as many random rows,",
}
MEANING = {
    "raw": "rows as they were read",
    "prepared": "rows as prepared",
    "random": "as many random raw rows",
    "random_curate": "as many random rows of those before curate",
}


@dataclass(frozen=True)
class Budget:
    """What every arm gets: one system, `steps` optimiser steps, `seeds` trainings, at most `test_rows` rows to answer."""

    spec: PartSpec
    steps: int = 60
    seeds: int = 3
    test_rows: int = 500


@dataclass(frozen=True)
class Proof:
    """What `proof/proof.json` holds."""

    document: dict[str, Any]

    def summary(self) -> list[str]:
        one = self.document
        test, metric = one["test"], one["metric"]
        steps = f"{one['steps']} steps, " if one["steps"] else ""
        lines = [f"{one['system']}, {steps}{one['seeds']} seeds, {test['rows']} test rows in {test['groups']} groups ({metric})"]
        for arm in one["arms"]:
            scores = ", ".join(f"{score:.3f}" for score in arm["scores"])
            lines.append(f"  {arm['name']:<16} {arm['rows']:>7,} rows   {metric} {arm['mean']:.3f}   (seeds: {scores})")
        return [*lines, *(pair["text"] for pair in one["comparisons"]), *one["notes"]]

    def _repr_html_(self) -> str:
        return "".join(f"<p>{escape(line)}</p>" for line in self.summary())


def prove(
    recipe: Recipe, directory: str | Path, *, budget: Budget | None = None, arms: list[str] | None = None, report: Report | None = None
) -> Proof:
    """Train the arms and compare them. Runs audit and prepare first where they are not done.

    Raises `RecipeError` for an arm that the recipe does not give rise to, `DataError` where there is nothing to compare on.
    """
    report = report or Report()
    budget = budget or Budget(recipe.tune.techniques[0])
    run = lifecycle.run(recipe, directory, until="prepare", report=report)
    if run.done("prepare") is None:
        raise RunError(
            f"{run.directory}: the audit stopped the run, so there are no prepared rows. Mend the rows, or set audit.fail_on: never."
        )
    with run.locked(), run.work("prove-data"):
        context = Context(recipe, run, Ledger(run.path("ledger.parquet")), LocalExecutor(report), report)
        proof = _prove(context, budget, arms)
    lifecycle.write_report(run)
    return proof


def _prove(context: Context, budget: Budget, wanted: list[str] | None) -> Proof:
    run, clock = context.run, time.monotonic()
    folder = run.path("proof")
    test = _test(context, budget.test_rows)
    write_parquet(folder / "test.parquet", test)
    frames, removed = _arms(context, test, wanted)
    labels = read_json(run.path("prepare", "summary.json"))["labels"]
    trials = {name: _trials(context, budget, labels, name, make) for name, make in frames.items()}
    every = [one for some in trials.values() for one in some]
    attempt_all("prove-data", list({one.answers: one for one in every}.values()), context.executor, context.report)
    document = _judge(context, budget, test, trials, labels) | {"removed": removed, "seconds": round(time.monotonic() - clock, 1)}
    write_json(folder / "proof.json", document)
    return Proof(document)


def _test(context: Context, most: int) -> pl.DataFrame:
    rows = read_parquet(context.run.path("prepare", "validation.parquet"))
    if "label" not in rows.columns:
        raise DataError("prove-data compares classifiers, but these rows have no labels. It does not serve generation yet.")
    chosen: list[int] = stratified(rows["label"].to_list(), most, context.recipe.prepare.seed).tolist()
    return rows[chosen]


def _arms(
    context: Context, test: pl.DataFrame, wanted: list[str] | None
) -> tuple[dict[str, Callable[[int], pl.DataFrame]], dict[str, int]]:
    """For each arm, what makes its rows for a seed; and how many rows left each set of rows because they are too near to the test."""
    recipe, run = context.recipe, context.run
    lines = Ledger(run.path("ledger.parquet")).lines().filter((pl.col("stage") == "prepare") & (pl.col("action") == "kept"))
    held_out = lines.filter(pl.col("detail").is_in(["validation", "test"]))["row_id"]
    rows = read_parquet(run.path("audit", "rows.parquet"))
    sets = {"raw": rows.filter(~pl.col("row_id").is_in(held_out.implode())), "prepared": read_parquet(run.path("prepare", "train.parquet"))}
    on_train = _train_steps(recipe)
    known = [*sets, "random", *(f"without_{name}" for name in on_train), *(["random_curate"] if "curate" in on_train else [])]
    chosen = known if wanted is None else list(dict.fromkeys(["prepared", *wanted]))
    strange = [name for name in chosen if name not in known]
    if strange:
        raise RecipeError("--arms", [f"{name!r} is no arm of this recipe.{did_you_mean(name, known)}" for name in strange])
    for name in on_train:
        if f"without_{name}" in chosen or (name == "curate" and "random_curate" in chosen):
            sets[f"without_{name}"] = _without(context, name)
    clean = {name: _apart(frame, test, recipe) for name, frame in sets.items()}
    removed = {name: len(sets[name]) - len(clean[name]) for name in sets}
    size = len(clean["prepared"])
    frames: dict[str, Callable[[int], pl.DataFrame]] = {name: lambda seed, frame=frame: frame for name, frame in clean.items()}  # type: ignore[misc]
    for name, pool in (("random", "raw"), ("random_curate", "without_curate")):
        if pool in clean:
            frames[name] = lambda seed, frame=clean[pool]: frame.sample(min(size, len(frame)), seed=seed)  # type: ignore[misc]
    empty = [name for name in chosen if frames[name](0).is_empty()]
    if empty:
        raise DataError(
            f"prove-data: no rows are left for {', '.join(empty)}: all of them are too near to the test rows. Declare fewer data.groups."
        )
    return {name: frames[name] for name in known if name in chosen}, removed


def _train_steps(recipe: Recipe) -> list[str]:
    """Names of the recipe's steps that work on training rows only (balance, augment, curate)."""
    steps: list[Step] = [build("steps", spec) for spec in recipe.prepare.steps]
    return list(dict.fromkeys(step.part_name() for step in steps if step.scope == "train"))


def _without(context: Context, step: str) -> pl.DataFrame:
    """Training rows as they would be without `step`, from the same rows by the same split."""
    prepare = context.recipe.prepare
    steps = [spec for spec in prepare.steps if build("steps", spec).part_name() != step]
    recipe = context.recipe.model_copy(update={"prepare": prepare.model_copy(update={"steps": steps})})
    run = Run(context.run.path("proof", f"without_{step}"))
    shutil.rmtree(run.directory, ignore_errors=True)
    for name in ("audit", "review", "cache"):  # what steps read
        if (source := context.run.path(name)).exists():
            run.directory.mkdir(parents=True, exist_ok=True)
            run.path(name).symlink_to(source.resolve())
    from tunewright import prepare as stage

    stage.run(replace(context, recipe=recipe, run=run, ledger=Ledger(run.path("ledger.parquet"))))
    rows = read_parquet(run.path("prepare", "train.parquet"))
    shutil.rmtree(run.directory)
    return rows


def _apart(rows: pl.DataFrame, test: pl.DataFrame, recipe: Recipe) -> pl.DataFrame:
    """`rows` without those linked to a test row by near-duplicate text or a declared group."""
    from tunewright.text.groups import leak_groups

    both = pl.concat([test, rows], how="diagonal_relaxed").with_columns(pl.col("text").fill_null(""))
    groups = leak_groups(both, recipe.data, recipe.prepare.near_duplicate_threshold)
    return rows.filter(~np.isin(groups[len(test) :], groups[: len(test)]))


def _trials(context: Context, budget: Budget, labels: list[str], arm: str, make: Callable[[int], pl.DataFrame]) -> list[Trial]:
    """One trial a seed. Seeds vary initial weights, order of rows and the random arm's rows."""
    recipe, folder, found = context.recipe, context.run.path("proof"), []
    learns = kind_of(budget.spec if isinstance(budget.spec, str) else str(budget.spec["name"])) == "techniques"
    for seed in range(recipe.tune.seed, recipe.tune.seed + budget.seeds):
        drawn = arm.startswith("random")
        path = folder / "rows" / (f"{arm}-{seed}.parquet" if drawn else f"{arm}.parquet")
        write_parquet(path, make(seed))
        tune = recipe.tune.model_dump(include={"objective", "per_device_train_batch_size", "gradient_accumulation_steps"})
        asked = [recipe.model.model_dump(), recipe.data.instruction, tune, recipe.evaluate.metric, budget.spec, budget.steps]
        mark = fingerprint([asked, seed if learns else None, sha256_file(path), sha256_file(folder / "test.parquet")])
        name = f"{arm}-{seed}" if learns or drawn else arm  # a baseline fitted on the same rows says the same with every seed
        found.append(
            Trial(recipe, labels, budget.spec, path, folder / "test.parquet", budget.steps, seed, folder / f"{name}.parquet", mark)
        )
    return found


def _judge(context: Context, budget: Budget, test: pl.DataFrame, trials: dict[str, list[Trial]], labels: list[str]) -> dict[str, Any]:
    """Scores of the arms and the corrected comparisons of `prepared` with each other arm."""
    from tunewright.evaluate.seeded import METHOD, difference
    from tunewright.evaluate.statistics import holm

    metric, truth = build("metrics", context.recipe.evaluate.metric), _codes(test["label"], labels)
    evidence, arms, groups = {}, [], test["group"].to_numpy()
    for name, some in trials.items():
        answers = [one.done() for one in some]
        found = np.stack([metric.evidence(Predictions(labels, _codes(a["predicted"], labels), truth)) for a in answers if a is not None])
        scores = [float(metric.value(one.sum(axis=0))) for one in found]
        rows = len(read_parquet(some[0].train))
        batch = context.recipe.tune.per_device_train_batch_size * context.recipe.tune.gradient_accumulation_steps
        about = MEANING.get(name, f"prepared without {name.removeprefix('without_')}")
        evidence[name] = found
        arms.append(
            {"name": name, "about": about, "rows": rows, "scores": scores, "mean": float(np.mean(scores)),
             "epochs": round(budget.steps * batch / rows, 3)}
        )  # fmt: skip
    gaps = {name: difference(metric.value, found, evidence["prepared"], groups) for name, found in evidence.items() if name != "prepared"}
    adjusted = holm([one.p_value for one in gaps.values()])
    pairs = [
        {"first": name, "second": "prepared", **asdict(one), "p_holm": p, "text": sentence(name, one, p, len(gaps))}
        for (name, one), p in zip(gaps.items(), adjusted, strict=True)
    ]
    name = budget.spec if isinstance(budget.spec, str) else str(budget.spec["name"])
    return {
        "system": name if isinstance(budget.spec, str) else budget.spec.get("alias") or name,
        "steps": budget.steps if kind_of(name) == "techniques" else None,
        "seeds": budget.seeds,
        "metric": metric.part_name(),
        "method": METHOD,
        "test": {"split": "validation", "rows": len(test), "groups": test["group"].n_unique()},
        "arms": arms,
        "comparisons": pairs,
        "notes": _notes(budget, arms),
        "inputs": (context.run.done("prepare") or {}).get("inputs"),
    }  # fmt: skip


def _codes(labels: pl.Series, known: list[str]) -> Any:
    return np.array([known.index(label) for label in labels], dtype=np.int64)


def sentence(arm: str, gap: Any, p_holm: float, family: int) -> str:
    """The comparison of `prepared` with `arm` in words: helped, hurt, or not shown and what could have been seen."""
    what = SENTENCES.get(arm, f"the step {arm.removeprefix('without_')}")
    numbers = f"{gap.estimate:+.3f} (95% interval {gap.low:+.3f} to {gap.high:+.3f}, p = {p_holm:.2g} after Holm over {family})"
    if p_holm <= ALPHA and gap.low > 0:
        return f"{what} helped by {numbers}"
    if p_holm <= ALPHA and gap.high < 0:
        return f"{what} hurt by {numbers}"
    return f"{what} made no difference that was shown: {numbers}; this test could have seen {gap.detectable:.3f}"


def _notes(budget: Budget, arms: list[dict[str, Any]]) -> list[str]:
    sizes = {one["name"]: one["rows"] for one in arms}
    notes = []
    if budget.seeds == 1:
        notes.append("one seed: the luck of training is not in these intervals; ask for --seeds 3")
    if sizes.get("random") == sizes.get("raw"):
        notes.append("preparing removed no training rows, so the random arm is the raw arm")
    if sizes.get("random", sizes["prepared"]) < sizes["prepared"]:
        notes.append(f"there are only {sizes['random']:,} raw rows for the random arm, fewer than were prepared")
    return notes
