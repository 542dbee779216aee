"""`tunewright learning-curve RECIPE`: how many rows do I need?

    train on 161, 323, 646, 1,291 and 2,583 of the prepared rows, twice each; answer one fixed test; fit score = ceiling - a n^-b
      -> curve/curve.json: the next 1,000 rows would buy +0.012 (95% interval +0.003 to +0.021); 0.80 is not within 10x

Smaller sets are parts of the larger ones and keep the classes' shares. The test is the validation split: the sealed test stays
sealed. A technique gets the recipe's epochs over each set, up to `--steps`. Intervals hold the luck of training and of the test rows;
nothing can hold the chance that the curve bends where no rows are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tunewright import lifecycle
from tunewright.core.curvefit import Fit, fit_power_law
from tunewright.core.errors import DataError, RunError
from tunewright.core.executor import LocalExecutor
from tunewright.core.files import fingerprint, read_json, read_parquet, sha256_file, write_json, write_parquet
from tunewright.core.ledger import Ledger
from tunewright.core.plugins import PartSpec, build
from tunewright.core.progress import Report
from tunewright.core.recipe import Recipe
from tunewright.core.run import Context
from tunewright.core.score import Floats, Ints, Predictions
from tunewright.tune.batches import stratified
from tunewright.tune.trial import Trial, attempt_all, kind_of

MORE = 1_000  # rows whose worth is asked for
REACH = 10  # times the rows at hand beyond which nothing is claimed
REPEATS = 1_000
FEWEST = 20  # rows in the smallest training


@dataclass(frozen=True)
class Question:
    """Which system, how many sizes and seeds, the score that is wanted, and the gain below which labelling is not worth it."""

    spec: PartSpec = "tfidf_logistic"
    sizes: int = 5
    seeds: int = 2
    steps: int = 120
    test_rows: int = 1_000
    target: float | None = None
    worth: float = 0.01


@dataclass(frozen=True)
class CurveResult:
    """What `curve/curve.json` holds."""

    document: dict[str, Any]

    def summary(self) -> list[str]:
        one = self.document
        lines = [f"{one['system']} on {one['test']['rows']} test rows ({one['metric']})"]
        for point in one["points"]:
            scores = ", ".join(f"{score:.3f}" for score in point["scores"])
            lines.append(f"  {point['rows']:>8,} rows   {point['mean']:.3f}   (seeds: {scores})")
        return [*lines, *one["story"]]

    def _repr_html_(self) -> str:
        return "".join(f"<p>{escape(line)}</p>" for line in self.summary())


def learning_curve(recipe: Recipe, directory: str | Path, question: Question | None = None, report: Report | None = None) -> CurveResult:
    """Train at growing sizes and say what more rows would buy. Runs audit and prepare first where they are not done.

    Raises `DataError` when there are too few rows for three sizes.
    """
    report, question = report or Report(), question or Question()
    run = lifecycle.run(recipe, directory, until="prepare", report=report)
    if run.done("prepare") is None:
        raise RunError(
            f"{run.directory}: the audit stopped the run, so there are no prepared rows. Mend the rows, or set audit.fail_on: never."
        )
    with run.locked(), run.work("learning-curve"):
        context = Context(recipe, run, Ledger(run.path("ledger.parquet")), LocalExecutor(report), report)
        document = _measure(context, question)
        write_json(run.path("curve", "curve.json"), document)
    lifecycle.write_report(run)
    return CurveResult(document)


def _measure(context: Context, question: Question) -> dict[str, Any]:
    run = context.run
    train, test = (read_parquet(run.path("prepare", f"{name}.parquet")) for name in ("train", "validation"))
    if "label" not in train.columns:
        raise DataError("learning-curve measures classifiers, but these rows have no labels. It does not serve generation yet.")
    chosen: list[int] = stratified(test["label"].to_list(), question.test_rows, context.recipe.prepare.seed).tolist()
    test, labels = test[chosen], read_json(run.path("prepare", "summary.json"))["labels"]
    write_parquet(run.path("curve", "test.parquet"), test)
    sizes = sizes_of(len(train), question.sizes)
    trials = {size: _trials(context, question, labels, train, size) for size in sizes}
    attempt_all("learning-curve", [one for some in trials.values() for one in some], context.executor, context.report)
    scores, resampled = _scores(context.recipe, test, trials, labels)
    fit = fit_power_law([size for size in sizes for _ in range(question.seeds)], scores, REPEATS, resampled=resampled)
    return _document(context, question, test, fit, {size: scores[i * question.seeds :][: question.seeds] for i, size in enumerate(sizes)})


def sizes_of(rows: int, count: int) -> list[int]:
    """`count` sizes, each twice the one before, ending at `rows`; fewer where the smallest would be tiny."""
    found = [round(rows / 2**step) for step in range(count) if rows / 2**step >= FEWEST]
    if len(found) < 3:
        raise DataError(
            f"a learning curve needs three sizes of {FEWEST} rows and more, but there are {rows} training rows. Label {FEWEST * 4} first."
        )
    return found[::-1]


def _trials(context: Context, question: Question, labels: list[str], train: pl.DataFrame, size: int) -> list[Trial]:
    """One trial a seed on `size` rows; the rows of a smaller size are among them."""
    recipe, folder, found = context.recipe, context.run.path("curve"), []
    tune = recipe.tune
    steps = min(
        question.steps, math.ceil(tune.num_train_epochs * size / (tune.per_device_train_batch_size * tune.gradient_accumulation_steps))
    )
    for seed in range(tune.seed, tune.seed + question.seeds):
        path = folder / "rows" / f"{size}-{seed}.parquet"
        write_parquet(path, train[nested_order(train["label"], seed)[:size].tolist()])
        settings = tune.model_dump(include={"objective", "per_device_train_batch_size", "gradient_accumulation_steps"})
        asked = [recipe.model.model_dump(), recipe.data.instruction, settings, recipe.evaluate.metric, question.spec, steps, seed]
        mark = fingerprint([asked, sha256_file(path), sha256_file(folder / "test.parquet")])
        test, answers = folder / "test.parquet", folder / f"{size}-{seed}.parquet"
        found.append(Trial(recipe, labels, question.spec, path, test, steps, seed, answers, mark))
    return found


def nested_order(labels: pl.Series, seed: int) -> Ints:
    """An order of rows whose every beginning holds each label in proportion."""
    rng, place = np.random.default_rng(seed), np.zeros(len(labels))
    codes = labels.rank("dense").to_numpy()
    for code in np.unique(codes):
        own = rng.permutation(np.flatnonzero(codes == code))
        place[own] = (np.arange(len(own)) + rng.random()) / len(own)
    return np.argsort(place, kind="stable")


def _scores(recipe: Recipe, test: pl.DataFrame, trials: dict[int, list[Trial]], labels: list[str]) -> tuple[list[float], Floats]:
    """The score of each training, sizes in order, and the same scores on resampled groups of test rows (REPEATS, trainings)."""
    from tunewright.evaluate.statistics import Sample

    metric = build("metrics", recipe.evaluate.metric)

    def codes(column: pl.Series) -> Any:
        return np.array([labels.index(label) for label in column], dtype=np.int64)

    answers = [found for some in trials.values() for one in some if (found := one.done()) is not None]
    evidence = [metric.evidence(Predictions(labels, codes(one["predicted"]), codes(test["label"]))) for one in answers]
    sample = Sample.of(np.stack(evidence, axis=1), test["group"].to_numpy())
    return [float(one) for one in metric.value(sample.total)], sample.resample(metric.value, REPEATS, seed=0)


def _document(context: Context, question: Question, test: pl.DataFrame, fit: Fit, scores: dict[int, list[float]]) -> dict[str, Any]:
    rows, spec = max(scores), question.spec
    name = spec if isinstance(spec, str) else str(spec["name"])
    gain, last = fit.gain(rows, rows + MORE), fit.interval(rows)
    drawn = sorted({*np.geomspace(min(scores), 2 * rows + MORE, 30).round().astype(int).tolist(), *scores})
    document: dict[str, Any] = {
        "system": name if isinstance(spec, str) else spec.get("alias") or name,
        "metric": context.recipe.evaluate.metric,
        "test": {"split": "validation", "rows": len(test), "groups": test["group"].n_unique()},
        "rows": rows,
        "points": [{"rows": size, "scores": some, "mean": float(np.mean(some))} for size, some in scores.items()],
        "fit": {"ceiling": fit.ceiling, "amount": fit.amount, "rate": fit.rate},
        "curve": [{"rows": size, "score": fit.predict(size), "low": (limits := fit.interval(size))[0], "high": limits[1]} for size in drawn],
        "now": {"score": fit.predict(rows), "low": last[0], "high": last[1]},
        "next": {"rows": MORE, "gain": gain.estimate, "low": gain.low, "high": gain.high, "worth": question.worth, "wasted": gain.high < question.worth},
        "target": None if question.target is None else reach(fit, question.target, rows),
        "inputs": (context.run.done("prepare") or {}).get("inputs"),
    }  # fmt: skip
    short = kind_of(name) == "techniques" and question.steps < math.ceil(rows / context.recipe.tune.per_device_train_batch_size)
    document["story"] = story(document, question.steps if short else None)
    return document


def reach(fit: Fit, target: float, rows: int) -> dict[str, Any]:
    """The number of rows at which the curve is at `target`, with limits; None for what lies beyond `REACH` times `rows`."""
    limit = REACH * rows
    needed = _needed(np.array([[fit.ceiling, fit.amount, fit.rate]]), target)[0]
    low, high = np.quantile(_needed(fit.draws, target), [0.025, 0.975], method="inverted_cdf")
    there = fit.interval(limit)

    def known(value: float) -> int | None:
        return math.ceil(value) if value <= limit else None

    low, high = min(low, needed), max(high, needed)
    at_limit = {"rows": limit, "score": fit.predict(limit), "low": there[0], "high": there[1]}
    return {"score": target, "rows": known(needed), "low": known(low), "high": known(high), "limit": at_limit}


def _needed(curves: Floats, target: float) -> Floats:
    """Rows at which ceiling - amount n^-rate = target, for curves (n, 3); infinite where the ceiling is below."""
    ceiling, amount, rate = curves.T
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        needed = np.power(amount / (ceiling - target), 1 / rate)
    return np.where(ceiling > target, np.maximum(needed, 1.0), np.inf)


def story(one: dict[str, Any], short_of_steps: int | None) -> list[str]:
    """The answers in words."""
    more, now, metric = one["next"], one["now"], one["metric"]
    numbers = f"{more['gain']:+.3f} {metric} (95% interval {more['low']:+.3f} to {more['high']:+.3f})"
    lines = [f"at {one['rows']:,} rows the curve is at {now['score']:.3f} ({now['low']:.3f} to {now['high']:.3f})"]
    if more["wasted"]:
        lines.append(f"labelling more is wasted: the next {more['rows']:,} rows would buy {numbers}, surely less than {more['worth']:g}")
    elif more["low"] >= more["worth"]:
        lines.append(f"more rows pay: the next {more['rows']:,} would buy {numbers}")
    else:
        lines.append(
            f"the next {more['rows']:,} rows would buy {numbers}: too wide to promise the {more['worth']:g} that would make it worth while"
        )
    if one["target"] is not None:
        lines.append(_target_words(one["target"], one["rows"]))
    if short_of_steps is not None:
        lines.append(
            f"{short_of_steps} steps do not reach every row of the largest set once: raise --steps before you believe that the curve is flat"
        )
    return lines


def _target_words(target: dict[str, Any], rows: int) -> str:
    limit, wanted = target["limit"], f"{target['score']:g}"
    if target["rows"] is None:
        best = f"there the curve is at {limit['score']:.3f} ({limit['low']:.3f} to {limit['high']:.3f})"
        sooner = f"; at best with {target['low']:,} rows" if target["low"] else ""
        return f"{wanted} is not within {REACH}x, {limit['rows']:,} rows: {best}{sooner}"
    high = f"{target['high']:,}" if target["high"] else f"more than {limit['rows']:,}"
    done = "is reached already, at about" if target["rows"] <= rows else "needs about"
    return f"{wanted} {done} {target['rows']:,} rows (95% interval {target['low']:,} to {high})"
