"""From answers to a verdict: paired comparisons and the gates of shipping. Pure functions, no files.

The winner was chosen on validation, so the test judges one system. It ships when every gate passes; one failed gate
means DON'T SHIP, otherwise one that the test cannot tell means INCONCLUSIVE. A gain counts as shown when its
interval lies above zero *and* the paired test says so: the interval carries the size, the test stays exact when only
a handful of rows differ.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tunewright.core.recipe import ShipIf
from tunewright.core.score import Floats, Gate, Ints, Predictions, Verdict
from tunewright.evaluate.evidence import SummedMetric
from tunewright.evaluate.statistics import (
    Interval,
    Sample,
    bootstrap,
    corrected_confidence,
    holm,
    mcnemar,
    minimum_detectable_difference,
    rows_needed,
    sign_flip,
)

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


def strata_of(truth: Ints, groups: Ints) -> Ints | None:
    """Labels to stratify the bootstrap by: only where rows stand alone and no label is too rare to resample in."""
    alone = len(np.unique(groups)) == len(groups)
    return truth if alone and np.unique(truth, return_counts=True)[1].min() >= FEWEST_OF_CLASS else None


def compare(metric: SummedMetric, first: System, second: System, groups: Ints, confidence: float) -> Comparison:
    """Paired comparison on rows with `groups` (n,): intervals by resampling groups, p by McNemar's exact test for
    the accuracy of rows that stand alone, else by swapping the answers of whole groups."""
    truth = first.predictions.truth
    evidence = [metric.evidence(one.predictions) for one in (first, second)]
    assert truth is not None
    assert evidence[0] is not None
    assert evidence[1] is not None
    pair = np.stack([evidence[0], evidence[1]], axis=1)
    sample = Sample.of(pair, groups, truth, strata_of(truth, groups))

    def difference(sums: Floats) -> Floats:
        gap: Floats = metric.value(sums[..., 1, :]) - metric.value(sums[..., 0, :])
        return gap

    def relative(sums: Floats) -> Floats:
        gain: Floats = difference(sums) / metric.value(sums[..., 0, :])
        return gain

    width = metric.bounds[1] - metric.bounds[0]
    gap = bootstrap(sample, difference, confidence=confidence, bounds=(-width, width))
    if metric.part_name() == "accuracy" and sample.groups == sample.rows:
        right = [one.predictions.predicted == truth for one in (first, second)]
        p_value = mcnemar(int(np.sum(right[0] & ~right[1])), int(np.sum(right[1] & ~right[0])))
    else:
        p_value = sign_flip(sample, metric.value)
    return Comparison(
        first.name,
        second.name,
        gap,
        bootstrap(sample, relative, confidence=confidence, bounds=(-math.inf, math.inf)),
        p_value,
        minimum_detectable_difference(gap.standard_error, sample.groups, confidence),
    )


def judge(
    metric: SummedMetric,
    systems: Sequence[System],
    winner: str,
    groups: Ints,
    ship_if: ShipIf,
    openings: int,
    contract: Gate,
) -> Verdict:
    """The verdict on candidate `winner`. `openings` counts the looks at this test, this one included; `contract` is
    the gate of the token contract, which needs files to check."""
    by_name = {one.name: one for one in systems}
    candidate = by_name[winner]
    base = next(one for one in systems if one.kind == "base")
    confidence = corrected_confidence(ship_if.confidence, openings)
    against_base = compare(metric, base, candidate, groups, confidence)
    cheap = strongest(metric, [one for one in systems if one.kind == "baseline" and not one.uses_model])
    against_cheap = compare(metric, cheap, candidate, groups, confidence) if cheap else None
    raw = [one.p_value for one in (against_base, against_cheap) if one is not None]
    p_values = holm(raw)
    gates = [_beats_base(against_base, p_values[0], ship_if, confidence, len(groups))]
    if against_cheap is not None:
        gates.append(_beats_cheap(against_cheap, p_values[1], confidence, len(groups)))
    gates += [_changes_output(base, candidate), contract, _answers_every_class(candidate), _enough_rows(groups)]
    passed = [gate.passed for gate in gates]
    word = "DON'T SHIP" if False in passed else "INCONCLUSIVE" if None in passed else "SHIP"
    gap, gain = against_base.difference, against_base.relative.estimate
    return Verdict(
        verdict=word,
        metric=metric.part_name(),
        baseline=base.name,
        candidate=winner,
        difference=gap.estimate,
        relative_gain=gain if math.isfinite(gain) else None,
        ci_low=gap.low,
        ci_high=gap.high,
        p_value=p_values[0],
        n=len(groups),
        minimum_detectable_difference=against_base.detectable,
        test_openings=openings,
        gates=gates,
    )


def strongest(metric: SummedMetric, systems: Sequence[System]) -> System | None:
    """The best of `systems` on these very rows (which favours it, so the candidate's bar is high); None of none."""
    return max(systems, key=lambda one: metric.compute(one.predictions) or 0.0, default=None)


def _shown(one: Comparison, p_value: float, confidence: float) -> bool:
    return one.difference.low > 0 and p_value <= 1 - confidence


def _sentence(one: Comparison, p_value: float, confidence: float) -> str:
    gap = one.difference
    return (
        f"{gap.estimate:+.3f} against {one.first} ({confidence:.4g} interval {gap.low:+.3f} to {gap.high:+.3f},"
        f" p {p_value:.2g})"
    )


def _cannot_tell(one: Comparison, rows: int) -> str:
    needed = rows_needed(one.difference.estimate, rows, one.detectable)
    more = f"; about {needed:,} rows like these would show {one.difference.estimate:+.3f}" if needed else ""
    return f"{rows:,} rows see differences of {one.detectable:.3f} or more{more}."


def _beats_base(one: Comparison, p_value: float, ship_if: ShipIf, confidence: float, rows: int) -> Gate:
    """Pass: the gain asked for, and shown. Fail: clearly worse, or clearly less than asked for."""
    gain, wanted = one.relative, ship_if.relative_gain
    text = _sentence(one, p_value, confidence)
    defined = math.isfinite(gain.estimate)
    text += f", a relative gain of {gain.estimate:.0%} where {wanted:.0%} is asked for" if defined else ""
    passed: bool | None = None
    if one.difference.high < 0 or (defined and gain.high < wanted):
        passed, text = False, f"{text}: not the gain that was asked for."
    elif _shown(one, p_value, confidence) and (not defined or gain.estimate >= wanted):
        passed, text = True, f"{text}: shown."
    else:
        text = f"{text}: cannot tell yet. {_cannot_tell(one, rows)}"
    return Gate("beats_base", passed, gain.estimate if defined else None, wanted, text)


def _beats_cheap(one: Comparison, p_value: float, confidence: float, rows: int) -> Gate:
    text = _sentence(one, p_value, confidence)
    passed: bool | None = None
    if _shown(one, p_value, confidence):
        passed, text = True, f"{text}: better than the best system without a language model."
    elif one.difference.high < 0:
        passed, text = False, f"{text}: {one.first} is better, and cheaper."
    else:
        text = f"{text}: cannot tell whether it is better than {one.first}, which is cheaper. {_cannot_tell(one, rows)}"
    return Gate("beats_cheap_baselines", passed, one.difference.estimate, 0.0, text)


def _changes_output(base: System, candidate: System) -> Gate:
    name, first, second = "adapter_changes_output", base.predictions.answer_nll, candidate.predictions.answer_nll
    if first is None or second is None:
        return Gate(name, None, None, 0.0, "The likelihoods to compare with the untuned model are missing.")
    moved = float(np.max(np.abs(first - second), initial=0.0))
    what = f"Label likelihoods differ from the untuned model's by up to {moved:.3g} nats."
    if moved < 1e-4:
        return Gate(name, False, moved, 1e-4, f"{what} The tuned weights do nothing: they were lost or not applied.")
    return Gate(name, True, moved, 1e-4, what)


def _answers_every_class(candidate: System) -> Gate:
    answers = candidate.predictions
    assert answers.truth is not None
    counts = [np.bincount(one, minlength=len(answers.labels)) for one in (answers.truth, answers.predicted)]
    never = [
        label
        for label, rows, given in zip(answers.labels, *counts, strict=True)
        if rows >= FEWEST_OF_CLASS and given == 0
    ]
    text = f"It never answers {', '.join(map(repr, never))}." if never else "It answers every label that has rows."
    return Gate("no_class_never_predicted", not never, len(never), 0, text)


def _enough_rows(groups: Ints) -> Gate:
    count = len(np.unique(groups))
    enough = count >= FEWEST_GROUPS
    text = f"{len(groups):,} test rows in {count:,} independent groups; a verdict needs {FEWEST_GROUPS} groups."
    return Gate("enough_test_rows", True if enough else None, count, FEWEST_GROUPS, text)


def paradoxes(
    perplexity: Mapping[str, float], base: str, comparisons: Sequence[Comparison], metric: str
) -> list[dict[str, Any]]:
    """Candidates whose answer perplexity fell below the base's while the task metric did not rise for certain."""
    found = []
    for one in comparisons:
        before, after = perplexity.get(base), perplexity.get(one.second)
        if one.first != base or before is None or after is None or after >= before or one.difference.low > 0:
            continue
        found.append(
            {
                "system": one.second,
                "text": f"{one.second}: perplexity fell from {before:.3g} to {after:.3g}, yet {metric} did not rise"
                f" for certain ({one.difference.estimate:+.3f}). Lower perplexity is not a better classifier.",
            }
        )
    return found
