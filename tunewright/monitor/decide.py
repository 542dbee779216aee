"""What is worth an alarm: thresholds for all signals of a family at once, at a stated rate of false alarms.

Signals with a statistic are compared by the largest of them (Westfall & Young 1993): each is standardised over the shuffles, and
the share of shuffles whose largest signal is at least as far out is the p-value, adjusted for all signals of the family however they hang
together. Signals with a p-value of their own are adjusted by Holm's method. A family that has both kinds halves its rate between them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tunewright.core.parts import Signal
from tunewright.core.score import Floats
from tunewright.core.statistics import holm
from tunewright.core.watch import Measure, Moved


@dataclass(frozen=True)
class Decided:
    """A signal, measured and judged. `threshold` is in the units of `value`; `p` is adjusted for the family; both None where it only shows."""

    name: str
    family: str
    severity: str
    advice: str
    at_once: bool
    value: float
    before: float | None
    threshold: float | None
    p: float | None
    alarm: bool
    text: str
    moved: tuple[Moved, ...]
    detail: dict[str, Any]

    def document(self) -> dict[str, Any]:
        """As the traffic store keeps it."""
        return {key: value for key, value in asdict(self).items() if key not in ("name", "advice", "at_once")}


def decide(found: Mapping[str, tuple[Signal, Measure]], rate: float) -> dict[str, Decided]:
    """Judge every measure; a family alarms without drift in at most `rate` of the windows."""
    judged: dict[str, Decided] = {}
    for family in sorted({signal.family for signal, _ in found.values()}):
        own = {name: pair for name, pair in found.items() if pair[0].family == family}
        dealt = {name: measure.statistic for name, (_, measure) in own.items() if measure.statistic is not None}
        tested = {name: measure.p for name, (_, measure) in own.items() if measure.p is not None}
        share = rate / max(1, bool(dealt) + bool(tested))
        limits = _largest({name: (statistic, own[name][1].quadratic) for name, statistic in dealt.items()}, share)
        limits |= {name: (None, p) for name, p in zip(tested, holm(list(tested.values())), strict=True)} if tested else {}
        for name, (signal, measure) in own.items():
            threshold, p = limits.get(name, (measure.detail.get("threshold"), None))
            if measure.statistic is not None and threshold is not None:
                threshold += measure.value - float(measure.statistic[0])
            alarm = bool(measure.alarm) if p is None else p <= share
            judged[name] = _judged(name, signal, measure, threshold, p, alarm)
    return judged


def _judged(name: str, signal: Signal, measure: Measure, threshold: float | None, p: float | None, alarm: bool) -> Decided:
    traits = (name, signal.family, signal.severity, signal.advice, signal.at_once)
    return Decided(*traits, measure.value, measure.before, threshold, p, alarm, measure.text, measure.moved, measure.detail)


def _largest(dealt: Mapping[str, tuple[Floats, bool]], rate: float) -> dict[str, tuple[float | None, float | None]]:
    """(threshold, adjusted p) of each statistic, from the distribution of the largest over the same shuffles."""
    if not dealt:
        return {}
    scaled = {name: np.cbrt(statistic) if quadratic else np.asarray(statistic) for name, (statistic, quadratic) in dealt.items()}
    middle = {name: float(one.mean()) for name, one in scaled.items()}
    spread = {name: float(one.std()) for name, one in scaled.items()}
    far = {name: (one - middle[name]) / spread[name] if spread[name] > 1e-12 else np.zeros(len(one)) for name, one in scaled.items()}
    largest = np.max(list(far.values()), axis=0)
    lines = len(largest)
    limit = float(np.sort(largest)[::-1][int(rate * lines + 1e-9)])  # beyond it lie at most `rate` of the lines
    found: dict[str, tuple[float | None, float | None]] = {}
    for name, (_, quadratic) in dealt.items():
        at = middle[name] + limit * spread[name]
        threshold = at**3 if quadratic else at
        found[name] = (threshold if spread[name] > 1e-12 else None, float((largest >= far[name][0]).mean()))
    return found
