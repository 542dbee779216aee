"""From answers to a verdict: paired comparisons and the gates of shipping. Pure functions, no files.

The winner was chosen on validation, so the test judges one system. It ships when every gate passes; one failed gate
means DON'T SHIP, otherwise one that the test cannot tell means INCONCLUSIVE. A gain counts as shown when its interval
lies above zero *and* the paired test says so: the interval gives the size, the test stays exact when few rows differ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tunewright.core.recipe import ShipIf
from tunewright.core.score import Floats, Gate, Ints, Predictions, Verdict
from tunewright.evaluate import statistics
from tunewright.evaluate.evidence import SummedMetric
from tunewright.evaluate.statistics import Interval, Sample, bootstrap

FEWEST_GROUPS = 30  # independent groups below which no verdict is given
FEWEST_OF_CLASS = 10  # rows of a label from which never answering it is a fault


@dataclass(frozen=True)
class System:
    """Something that answered the test rows. `base` is the untuned model that the verdict compares with."""

    name: str
    kind: Literal["base", "baseline", "candidate"]
    predictions: Predictions
    uses_model: bool = False


@dataclass(frozen=True)
class Comparison:
    """`second` against `first` on the same rows: positive differences favour `second`."""

    first: str
    second: str
    difference: Interval
    relative: Interval
    p_value: float
    detectable: float
    rows: int


def right_of(system: System) -> Floats:
    """1 where the answer is right, else 0: (n,)."""
    return np.asarray(system.predictions.predicted == system.predictions.truth, dtype=np.float64)


def sample_of(metric: SummedMetric, systems: Sequence[System], groups: Ints) -> Sample:
    """Evidence of `systems` on the same rows. Resampling is stratified by label where rows stand alone and no label is
    rare; groups mix labels, so there it is not."""
    truth = systems[0].predictions.truth
    evidence = [found for one in systems if (found := metric.evidence(one.predictions)) is not None]
    assert truth is not None
    assert len(evidence) == len(systems)
    alone = len(np.unique(groups)) == len(groups)
    common = np.unique(truth, return_counts=True)[1].min(initial=len(truth)) >= FEWEST_OF_CLASS
    return Sample.of(np.stack(evidence, axis=1), groups, truth, truth if alone and common else None)


def compare(metric: SummedMetric, first: System, second: System, groups: Ints, confidence: float) -> Comparison:
    """Paired comparison on rows with `groups` (n,): intervals by resampling groups, p by McNemar's exact test for the
    accuracy of rows that stand alone, else by swapping the answers of whole groups."""
    sample = sample_of(metric, [first, second], groups)

    def difference(sums: Floats) -> Floats:
        return np.asarray(metric.value(sums[..., 1, :]) - metric.value(sums[..., 0, :]))

    def relative(sums: Floats) -> Floats:
        return np.asarray(difference(sums) / metric.value(sums[..., 0, :]))

    won = right_of(second) - right_of(first)
    if metric.part_name() == "accuracy" and sample.groups == sample.rows:
        p_value = statistics.mcnemar(int(np.sum(won < 0)), int(np.sum(won > 0)))
    else:
        p_value = statistics.sign_flip(sample, metric.value)
    width = metric.bounds[1] - metric.bounds[0]
    gap = bootstrap(sample, difference, confidence=confidence, bounds=(-width, width))
    gain = bootstrap(sample, relative, confidence=confidence, bounds=(-math.inf, math.inf))
    trials = sample.rows / statistics.design_effect(won, groups) if won.any() else sample.groups
    detectable = statistics.minimum_detectable_difference(gap.standard_error, trials, confidence)
    return Comparison(first.name, second.name, gap, gain, p_value, detectable, sample.rows)


def strongest_cheap(metric: SummedMetric, systems: Sequence[System]) -> System | None:
    """The best system without a language model, on these very rows: that favours it, so the bar is high."""
    cheap = [one for one in systems if one.kind == "baseline" and not one.uses_model]
    return max(cheap, key=lambda one: metric.compute(one.predictions) or 0.0, default=None)


def judge(
    metric: SummedMetric, systems: Sequence[System], winner: str, groups: Ints, ship_if: ShipIf, openings: int, contract: Gate
) -> Verdict:
    """The verdict on candidate `winner`. `openings` counts the looks at this test, this one included; `contract` is the
    gate of the token contract, which needs files to check."""
    candidate = next(one for one in systems if one.name == winner)
    base = next(one for one in systems if one.kind == "base")
    cheap = strongest_cheap(metric, systems)
    confidence = statistics.corrected_confidence(ship_if.confidence, openings)
    pairs = [compare(metric, one, candidate, groups, confidence) for one in (base, cheap) if one is not None]
    p_values = statistics.holm([one.p_value for one in pairs])
    gates = [_beats("beats_base", pairs[0], p_values[0], ship_if.relative_gain, confidence)]
    gates += [_beats("beats_cheap_baselines", pair, p_values[1], 0.0, confidence) for pair in pairs[1:]]
    gates += [_changes_output(base, candidate), contract, _answers_every_class(candidate), _enough_rows(groups)]
    passed = [gate.passed for gate in gates]
    gap, gain = pairs[0].difference, pairs[0].relative.estimate
    return Verdict(
        verdict="DON'T SHIP" if False in passed else "INCONCLUSIVE" if None in passed else "SHIP",
        metric=metric.part_name(),
        baseline=base.name,
        candidate=winner,
        difference=gap.estimate,
        relative_gain=gain if math.isfinite(gain) else None,
        ci_low=gap.low,
        ci_high=gap.high,
        p_value=p_values[0],
        n=len(groups),
        minimum_detectable_difference=pairs[0].detectable,
        test_openings=openings,
        gates=gates,
    )


def _beats(name: str, one: Comparison, p_value: float, wanted: float, confidence: float) -> Gate:
    """Pass: a gain is shown and as large as wanted. Fail: surely worse, or surely less than wanted. Else: cannot tell."""
    gap, gain = one.difference, one.relative
    known = math.isfinite(gain.estimate)
    text = f"{gap.estimate:+.3f} against {one.first}"
    text += f" ({100 * confidence:.4g}% interval {gap.low:+.3f} to {gap.high:+.3f}, p = {p_value:.2g})"
    if known and wanted:
        text += f", or {gain.estimate:+.0%} ({gain.low:+.0%} to {gain.high:+.0%}) where {wanted:+.0%} is asked for"
    passed: bool | None = None
    if gap.high < 0 or (known and gain.high < wanted):
        passed, text = False, f"{text}: {'worse' if gap.high < 0 else 'surely less than asked for'}."
    elif gap.low > 0 and p_value <= 1 - confidence and (not known or gain.estimate >= wanted):
        passed, text = True, f"{text}: shown."
    else:
        needed = statistics.rows_needed(gap.estimate, one.rows, one.detectable)
        text += f": cannot tell. {one.rows:,} rows like these show differences of {one.detectable:.3f} or more"
        text += f"; {gap.estimate:+.3f} needs about {needed:,}." if needed and needed > one.rows else "."
    return Gate(name, passed, gain.estimate if known else None, wanted, text)


def _changes_output(base: System, candidate: System) -> Gate:
    first, second = base.predictions.answer_nll, candidate.predictions.answer_nll
    name, least = "adapter_changes_output", 1e-4
    if first is None or second is None:
        return Gate(name, None, None, least, "The likelihoods to compare with the untuned model are missing.")
    moved = float(np.max(np.abs(first - second), initial=0.0))
    text = f"Likelihoods of labels differ from the untuned model's by up to {moved:.3g} nats."
    text += "" if moved > least else " The tuned weights do nothing: they were lost or not applied."
    return Gate(name, moved > least, moved, least, text)


def _answers_every_class(candidate: System) -> Gate:
    answers, c = candidate.predictions, len(candidate.predictions.labels)
    truths, said = np.bincount(answers.truth, minlength=c), np.bincount(answers.predicted, minlength=c)  # type: ignore[arg-type]
    never = [answers.labels[place] for place in np.flatnonzero((truths >= FEWEST_OF_CLASS) & (said == 0))]
    text = f"It never answers {', '.join(map(repr, never))}." if never else "It answers every label that has rows."
    return Gate("no_class_never_predicted", not never, len(never), 0, text)


def _enough_rows(groups: Ints) -> Gate:
    count = len(np.unique(groups))
    text = f"{len(groups):,} test rows in {count:,} independent groups; a verdict needs {FEWEST_GROUPS} groups."
    return Gate("enough_test_rows", True if count >= FEWEST_GROUPS else None, count, FEWEST_GROUPS, text)
