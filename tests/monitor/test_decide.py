"""A family of signals alarms without drift no more often than is stated, and thresholds say what the decision says."""

from typing import Any, ClassVar

import numpy as np

from tunewright.core.parts import Signal
from tunewright.core.watch import Measure, Unmeasured, View
from tunewright.monitor.decide import decide


class Plain(Signal):
    """A signal of the inputs for these tests."""

    family = "input"
    advice: ClassVar[str] = "look"

    def measure(self, view: View) -> Measure | Unmeasured:
        return Unmeasured("never asked")


class Ordered(Plain):
    """A signal of operation for these tests."""

    family = "operation"


def measured(*statistics: Any, quadratic: bool = False) -> dict[str, Any]:
    return {f"s{i}": (Plain(), Measure(float(one[0]), statistic=one, quadratic=quadratic)) for i, one in enumerate(statistics)}


def test_a_family_alarms_at_the_stated_rate_however_its_signals_hang_together():
    chance = np.random.default_rng(1)
    for mixing in (0.0, 0.9):
        alarms = 0
        for _ in range(2000):
            common = chance.normal(size=200)
            found = measured(*(mixing * common + (1 - mixing**2) ** 0.5 * chance.normal(size=200) for _ in range(6)))
            alarms += any(one.alarm for one in decide(found, 0.05).values())
        assert 0.035 < alarms / 2000 < 0.065  # 0.05 +- 3 standard errors


def test_a_value_beyond_its_threshold_is_an_alarm_and_only_that():
    chance = np.random.default_rng(2)
    seen = set()
    for _ in range(300):
        lines = chance.gamma(2.0, size=(3, 400))
        lines[0, 0] *= chance.uniform(1, 4)
        for one in decide(measured(*lines, quadratic=True), 0.02).values():
            assert one.threshold is not None
            assert one.alarm == (one.value > one.threshold + 1e-12)
            seen.add(one.alarm)
    assert seen == {True, False}


def test_a_value_that_is_a_share_has_its_threshold_as_a_share():
    rise = np.concatenate([[0.2], np.random.default_rng(3).normal(0, 0.01, 999)])
    one = decide({"errors": (Plain(), Measure(0.25, 0.05, statistic=rise))}, 0.01)["errors"]
    assert one.alarm
    assert 0.06 < (one.threshold or 0) < 0.10


def test_a_signal_that_never_varies_never_alarms():
    one = decide(measured(np.zeros(100)), 0.05)["s0"]
    assert (one.alarm, one.threshold, one.p) == (False, None, 1.0)


def test_p_values_of_a_family_are_adjusted_together():
    found = {name: (Ordered(), Measure(1.0, p=p)) for name, p in (("a", 0.004), ("b", 0.006), ("c", 0.5))}
    judged = decide(found, 0.01)
    assert {name: one.p for name, one in judged.items()} == {"a": 0.012, "b": 0.012, "c": 0.5}
    assert not any(one.alarm for one in judged.values())
    assert decide({"a": found["a"]}, 0.01)["a"].alarm


def test_a_signal_that_only_shows_has_no_threshold():
    one = decide({"latency": (Ordered(), Measure(2.0))}, 0.01)["latency"]
    assert (one.alarm, one.threshold, one.p) == (False, None, None)
