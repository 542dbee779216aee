"""The guard reads the training history as it grows and raises alarms; each says what to do about it.

    {"name": "loss_spike", "step": 31, "value": 4.1, "threshold": 2.4, "advice": "..."}

It holds no state but the history: a resumed run replays it and has the same alarms. An alarm is raised once.
"""

from __future__ import annotations

import math
from statistics import fmean, median
from typing import Any

Record = dict[str, Any]
ADVICE = {
    "not_a_number": "Training stopped and the best checkpoint was restored. Lower learning_rate, or look for damaged rows near this step.",
    "loss_spike": "Look at the rows of this step; lower learning_rate or raise warmup_steps if it does not come back.",
    "gradient_norm": "The step was clipped. One such step is harmless; many mean that learning_rate is too high.",
    "validation_worse": "The model no longer improves on rows that it does not train on. The best checkpoint is used; fewer epochs would do.",
    "generalisation_gap": "It fits its training rows much better than others: train for fewer epochs, add rows, or use fewer weights (smaller r).",
    "perplexity_paradox": "The loss fell but the task metric did not rise: the model learnt the form of the answers, not the task. "
    "Judge it by the metric; try another technique, a higher learning_rate or more rows.",
    "no_effect": "The answers are those of the untuned model. Nothing was learnt: raise learning_rate or the budget.",
    "memorisation": "Answers to training rows can be told from answers to unseen rows: it remembers rows. Train for fewer epochs, and "
    "do not publish the weights if the rows are private.",
}


class Guard:
    SPIKE, NORM, WORSE, GAP, FALL, MEMORY = 2.0, 10.0, 1.1, 1.5, 0.9, 0.65
    WINDOW = 20

    def __init__(self, metric: str, history: list[Record]) -> None:
        self.metric = metric
        self.alarms: list[Record] = []
        self._train: list[Record] = []
        self._looks: list[Record] = []
        for record in history:
            self.observe(record)

    def observe(self, record: Record) -> list[Record]:
        """Take the next record of history.jsonl; return the alarms that it raises."""
        before = len(self.alarms)
        if record["kind"] == "train":
            self._observe_step(record)
            self._train.append(record)
        elif record["kind"] == "validation":
            self._observe_look(record)
            self._looks.append(record)
        return self.alarms[before:]

    @property
    def must_stop(self) -> bool:
        return any(alarm["name"] == "not_a_number" for alarm in self.alarms)

    def alarm(self, name: str, step: int, value: float, threshold: float) -> None:
        """Raise the alarm `name`, unless it has been raised before."""
        if all(alarm["name"] != name for alarm in self.alarms):
            shown = value if math.isfinite(value) else None  # JSON has no NaN
            self.alarms.append({"name": name, "step": step, "value": shown, "threshold": threshold, "advice": ADVICE[name]})

    def _observe_step(self, record: Record) -> None:
        step, loss, norm = record["step"], record["loss"], record["grad_norm"]
        if loss is None or norm is None:  # how the history writes a value that is not finite
            self.alarm("not_a_number", step, math.nan, 0.0)
            return
        recent = self._train[-self.WINDOW :]
        if len(recent) < 5:
            return
        usual = median(seen["loss"] for seen in recent)
        limit = max(self.SPIKE * usual, usual + 1.0)
        if loss > limit:
            self.alarm("loss_spike", step, loss, limit)
        limit = self.NORM * median(seen["grad_norm"] for seen in recent)
        if norm > limit:
            self.alarm("gradient_norm", step, norm, limit)

    def _observe_look(self, look: Record) -> None:
        if not self._looks:
            return
        step, loss = look["step"], look["loss"]
        limit = self.WORSE * min(seen["loss"] for seen in self._looks)
        if loss > limit and len(self._looks) > 1:
            self.alarm("validation_worse", step, loss, limit)
        since = [seen["loss"] for seen in self._train if seen["step"] > self._looks[-1]["step"]]
        if since and fmean(since) > 0 and loss > self.GAP * fmean(since) and look["epoch"] > 1:
            self.alarm("generalisation_gap", step, loss / fmean(since), self.GAP)

    def finish(self, best: Record) -> list[Record]:
        """Compare the look whose weights are kept with the untuned model's."""
        first, before = self._looks[0] if self._looks else best, len(self.alarms)
        if best["loss"] < self.FALL * first["loss"] and best[self.metric] <= first[self.metric]:
            self.alarm("perplexity_paradox", best["step"], best[self.metric], first[self.metric])
        return self.alarms[before:]

    def probe_memory(self, step: int, seen: list[float], unseen: list[float]) -> float:
        """Chance that a training row's answer loss is lower than an unseen row's: .5 is no memory (Yeom et al. 2018,
        arXiv 1709.01604). Alarms when it is above .65 and three standard errors above .5."""
        wins = fmean((row < other) + 0.5 * (row == other) for row in seen for other in unseen)
        error = math.sqrt((len(seen) + len(unseen) + 1) / (12 * len(seen) * len(unseen)))
        limit = max(self.MEMORY, 0.5 + 3 * error)
        if wins > limit:
            self.alarm("memorisation", step, wins, limit)
        return wins
