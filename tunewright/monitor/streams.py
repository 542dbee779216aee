"""Streams that are watched request by request: ADWIN (Bifet & Gavalda 2007, `river`) finds where a mean has changed, whatever the window."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tunewright.core.optional import require
from tunewright.core.score import Floats


def changed(baseline: Floats, stream: Floats, delta: float, worse: int) -> tuple[bool, float, float]:
    """Whether ADWIN found a change for the worse (`worse` 1: a rise, -1: a fall) in `stream`, begun with `baseline`, that has not been made good
    since; and the means before and after. The stream is read from its beginning each time, so nothing has to be remembered between looks."""
    detector = require("river.drift", "monitor").ADWIN(delta=delta)
    for value in _shuffled(baseline):
        detector.update(float(value))
    begin = before = now = worst = float(detector.estimation)
    alarm = turned = False
    for value in stream:
        held = float(detector.estimation)
        detector.update(float(value))
        now = float(detector.estimation)
        worst = max(worst, now, key=lambda one: worse * one)
        if detector.drift_detected:
            turned = worse * (now - held) < 0
            before = held if not (alarm or turned) else before
            alarm = alarm or not turned
    if turned and worse * (now - begin) < worse * (worst - begin) / 2:  # more than half of the way back
        return False, begin, now
    return alarm, before, now


def _shuffled(values: Floats) -> Sequence[float]:
    """The reference has no order in time; the order of its ids must not look like one."""
    return np.random.default_rng(17).permutation(values).tolist()  # type: ignore[no-any-return]
