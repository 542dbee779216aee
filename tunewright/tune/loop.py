"""The training loop: steps, looks at validation, checkpoints, and the end.

    for each step:   micro-batches -> summed loss -> gradient of the mean over the step's answer tokens -> clip -> AdamW
    every so often:  validation loss and task metric -> best so far? -> checkpoint -> stop early?
    at the end:      the best checkpoint's weights are put back

A budget of minutes becomes a number of steps once the warm-up has been timed, and that number is stored: the schedule, and
with it every weight, is then a function of the seed, and a run that was killed goes on to the same bits.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from tunewright.core.files import append_jsonl, read_jsonl, write_text
from tunewright.core.parts import Technique
from tunewright.core.progress import Task
from tunewright.core.recipe import TuneSettings
from tunewright.tune import checkpoints
from tunewright.tune.batches import Sampler, learning_rate
from tunewright.tune.checkpoints import Progress, learning_weights
from tunewright.tune.guard import Guard, Record

SAVE_EVERY = 300.0  # seconds of training between checkpoints, besides those at looks
NOT_A_NUMBER = "loss or gradient is not a number"

Loss = Callable[[list[int]], tuple[torch.Tensor, int]]  # row indices -> summed loss over answer tokens, their number
Look = Callable[[], dict[str, float]]  # () -> loss, accuracy, macro_f1 on validation


@dataclass
class Loop:
    """One candidate's training. `run` starts, or goes on from the last checkpoint in `folder`, and returns where it ended."""

    model: Any
    technique: Technique
    settings: TuneSettings
    sampler: Sampler
    loss: Loss
    look: Look
    untuned: dict[str, float]  # the look at the model before training
    folder: Path
    task: Task
    history: list[Record] = field(default_factory=list)

    def run(self) -> Progress:
        self.weights = learning_weights(self.model)
        self.optimizer = torch.optim.AdamW(self.weights.values(), lr=self.technique.learning_rate, weight_decay=self.technique.weight_decay)
        self.progress = self._resume() or self._start()
        self._show(self.progress.step)
        while not self.progress.stopped_because:
            self._step()
            self._plan()
            if self.guard.must_stop:
                self.progress.stopped_because = NOT_A_NUMBER
            elif self.progress.step in self._looks():
                self._evaluate()
                self._save()
            elif self.progress.train_seconds - self._saved_at > SAVE_EVERY:
                self._save()
        best = self.folder / f"checkpoint-{self.progress.best_step}"
        checkpoints.restore_weights(best, self.model)
        kept = next(r for r in self.history if r["kind"] == "validation" and r["step"] == self.progress.best_step)
        self.guard.finish(kept)
        return self.progress

    def _start(self) -> Progress:
        """Step 0: the untuned model is the first look and the first best."""
        write_text(self.folder / "history.jsonl", "")
        self.progress, self.guard = Progress(), Guard(self.settings.metric, [])
        self._plan()
        self._record({"kind": "validation", "step": 0, "epoch": 0.0, **self.untuned, "seconds": 0.0})
        self.progress.best_value = self._value(self.untuned)
        self._save()
        return self.progress

    def _resume(self) -> Progress | None:
        """Go back to the last checkpoint, if there is one; what the history says about later steps is forgotten."""
        place = checkpoints.latest(self.folder)
        if place is None:
            return None
        progress = checkpoints.restore(place, self.model, self.optimizer)
        path = self.folder / "history.jsonl"
        kept = [record for record in read_jsonl(path) if record["step"] <= progress.step]
        write_text(path, "".join(json.dumps(record) + "\n" for record in kept))
        self.history, self.guard = kept, Guard(self.settings.metric, kept)
        self._saved_at = progress.train_seconds
        progress.resumed_at.append(progress.step)
        return progress

    def _step(self) -> None:
        """One optimiser step: the gradient is that of the mean loss over all answer tokens of its micro-batches."""
        clock, step = time.perf_counter(), self.progress.step
        rate = learning_rate(self.technique.learning_rate, step, self.technique.warmup_steps, self.progress.max_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        total, tokens, batches = 0.0, 0, self.sampler.micro_batches(step)
        for rows in batches:
            summed, count = self.loss(rows)
            torch.autograd.backward(summed)
            total, tokens = total + float(summed.detach()), tokens + count
        for weight in self.weights.values():
            if weight.grad is not None:
                weight.grad /= tokens
        norm = float(torch.nn.utils.clip_grad_norm_(self.weights.values(), self.technique.max_grad_norm))
        fine = math.isfinite(total) and math.isfinite(norm)
        if fine:
            self.optimizer.step()
        progress, seconds = self.progress, time.perf_counter() - clock
        progress.step += 1
        progress.rows_seen += sum(map(len, batches))
        progress.tokens_seen += self.sampler.tokens(step)
        progress.train_seconds += seconds
        self._record(
            {
                "kind": "train",
                "step": progress.step,
                "epoch": round(progress.step / self.sampler.steps_per_epoch, 4),
                "rows": progress.rows_seen,
                "tokens": progress.tokens_seen,
                "seconds": round(seconds, 4),
                "loss": total / tokens if fine else None,
                "learning_rate": rate,
                "grad_norm": norm if fine else None,
            }
        )
        self._show(1)

    def _plan(self) -> None:
        """Fix `max_steps`: from the recipe at once, from a time budget when the first steps have been timed."""
        progress, settings = self.progress, self.settings
        if progress.max_steps is not None:
            return
        by_epochs = math.ceil(settings.num_train_epochs * self.sampler.steps_per_epoch)
        if settings.max_steps is not None or settings.minutes is None:
            steps, limit = settings.max_steps or by_epochs, "max_steps"
        elif progress.step >= min(self.technique.warmup_steps + 1, by_epochs):  # the first is not timed: it fills caches
            timed = [record for record in self.history if record["kind"] == "train"][1:] or self.history[-1:]
            cost = sum(r["seconds"] for r in timed) / sum(self.sampler.tokens(r["step"] - 1) for r in timed)
            left, steps, limit = settings.minutes * 60 - progress.train_seconds, progress.step, "minutes"
            while steps < by_epochs and left > cost * self.sampler.tokens(steps) / 2:
                left -= cost * self.sampler.tokens(steps)
                steps += 1
        else:
            return
        progress.max_steps = min(steps, by_epochs)
        progress.limit = limit if steps < by_epochs else "num_train_epochs"

    def _looks(self) -> set[int]:
        """Steps after which validation is looked at; the last step is one of them."""
        steps, looks = self.progress.max_steps, self.settings.evaluations
        return set() if steps is None else {max(1, round(steps * i / looks)) for i in range(1, looks + 1)}

    def _evaluate(self) -> None:
        clock, progress = time.perf_counter(), self.progress
        found = self.look()
        seconds = time.perf_counter() - clock
        if not math.isfinite(found["loss"]):
            self.guard.alarm("not_a_number", progress.step, found["loss"], 0.0)
            progress.stopped_because = NOT_A_NUMBER
            return
        progress.evaluation_seconds += seconds
        epoch = round(progress.step / self.sampler.steps_per_epoch, 4)
        self._record({"kind": "validation", "step": progress.step, "epoch": epoch, **found, "seconds": round(seconds, 4)})
        value, stopping = self._value(found), self.settings.early_stopping
        if value > progress.best_value:
            progress.best_value, progress.best_step, progress.looks_without_gain = value, progress.step, 0
        else:
            progress.looks_without_gain += 1
        if progress.step == progress.max_steps:
            progress.stopped_because = f"{progress.limit} reached"
        elif stopping is not None and progress.looks_without_gain >= stopping.patience:
            progress.stopped_because = f"no better {self.settings.metric} in {stopping.patience} looks"

    def _value(self, look: dict[str, float]) -> list[float]:
        """What decides which look is best: the task metric, then the lower loss."""
        return [look[self.settings.metric], -look["loss"]]

    def _save(self) -> None:
        checkpoints.save(self.folder, self.model, self.optimizer, self.progress)
        self._saved_at = self.progress.train_seconds

    def _record(self, record: Record) -> None:
        append_jsonl(self.folder / "history.jsonl", record)
        self.history.append(record)
        self.guard.observe(record)

    def _show(self, steps: int) -> None:
        last = self.history[-1] if self.history else {"loss": None}
        info = "" if last["loss"] is None else f"loss {last['loss']:.3f}"
        self.task.advance(steps, info, self.progress.max_steps)
