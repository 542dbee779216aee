"""Is it time to retrain? What speaks for it, and what holds it back.

    accuracy   labelled accuracy on uniformly sampled, mature labels lies surely below the objective, by a test that cron may repeat
    drift      the monitor's drift alerts are open (sustained over its windows), and enough new approved rows wait
    schedule   the last attempt began `every_hours` ago
    by hand    `--now`: holds against cool-down and budget, not against an attempt under way or a lack of any new row

Held back by: an attempt under way, the cool-down, the weekly budget, too few new rows.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tunewright.core.files import read_json, read_parquet
from tunewright.core.sequential import share
from tunewright.monitor.result import status
from tunewright.registry import Registry
from tunewright.retrain import journal
from tunewright.retrain.recipe import LoopRecipe, known_ids
from tunewright.traffic.carry import questions, training_rows
from tunewright.traffic.store import TrafficStore

CONFIDENCE = 0.95
MARGIN = 0.05  # below the release's own accuracy, when the recipe names no objective


@dataclass(frozen=True)
class Trigger:
    """One reason to retrain: does it hold, and why."""

    name: str
    due: bool
    text: str
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Due:
    """All triggers, all that holds back, and so whether to begin."""

    model: str
    champion: int
    triggers: list[Trigger]
    held: list[str]
    new_rows: int

    @property
    def due(self) -> bool:
        return not self.held and any(one.due for one in self.triggers)

    @property
    def reason(self) -> str:
        return "; ".join(one.text for one in self.triggers if one.due)

    def lines(self) -> list[str]:
        head = f"{self.model}@{self.champion}: {'retraining is due' if self.due else 'nothing to do'}; {self.new_rows:,} new approved rows"
        rest = [f"  {'DUE' if one.due else 'no ':<4}{one.name}: {one.text}" for one in self.triggers]
        return [head, *rest, *(f"  held back: {one}" for one in self.held)]

    def document(self) -> dict[str, Any]:
        return asdict(self) | {"due": self.due}


def check(registry: Registry, store: TrafficStore, recipe: LoopRecipe, by_hand: bool = False, now: datetime | None = None) -> Due:
    """Look at everything once."""
    now = now or datetime.now(UTC)
    champion, settings = recipe.version, recipe.settings
    rows = new_rows(registry, store, recipe)
    asked: dict[str, Any] = {"accuracy": _accuracy, "drift": _drift, "schedule": _schedule}
    triggers = [asked[name](registry, store, recipe, len(rows), now) for name in settings.triggers]
    if by_hand:
        triggers.append(Trigger("by_hand", True, "asked for by hand"))
    return Due(registry.name, champion, triggers, _held(registry, recipe, len(rows), by_hand, now), len(rows))


def new_rows(registry: Registry, store: TrafficStore, recipe: LoopRecipe) -> Any:
    """Approved rows of this model's traffic that the champion's run does not know."""
    import polars as pl

    rows = training_rows(store, approved=True)
    mine = pl.col("version").str.starts_with(f"{registry.name}@")
    rows = rows.filter(mine, ~pl.col("id").is_in(list(known_ids(recipe))))
    template = str(read_json(recipe.release / "manifest.json")["prompt"].get("user", "{text}"))
    return rows.with_columns(questions(rows["text"], template))


def _accuracy(registry: Registry, store: TrafficStore, recipe: LoopRecipe, rows: int, now: datetime) -> Trigger:
    objective, until = _objective(recipe), now - timedelta(hours=recipe.monitor.label_maturity_hours)
    labelled = store.labelled(versions=f"{registry.name}@{recipe.version}", sides="champion", sampled="uniform", until=until)
    labelled = labelled.drop_nulls("right")
    right, n = int(labelled["right"].sum()), len(labelled)
    low, high = share(right, n, 1 - CONFIDENCE)
    text = f"{right} of {n} uniformly sampled mature labels are right ({low:.1%} to {high:.1%}); the objective is {objective:.1%}"
    return Trigger("accuracy", n > 0 and high < objective, text, {"right": right, "labels": n, "high": high, "objective": objective})


def _objective(recipe: LoopRecipe) -> float:
    if recipe.monitor.accuracy is not None:
        return recipe.monitor.accuracy
    reference = read_parquet(recipe.release / "reference.parquet")
    return float((reference["answer"] == reference["label"]).mean()) - MARGIN  # type: ignore[arg-type]


def _drift(registry: Registry, store: TrafficStore, recipe: LoopRecipe, rows: int, now: datetime) -> Trigger:
    seen = status(store, registry.name, f"{registry.name}@{recipe.version}", now=now)
    moved = ", ".join(sorted({one.signal for one in seen.alerts})) or "no open alert"
    enough = rows >= recipe.settings.min_new_rows
    text = f"{seen.drifted_in_a_row} drifted windows in a row ({moved}), {rows} new approved rows"
    return Trigger("drift", seen.sustained and enough, text, {"windows": seen.drifted_in_a_row, "sustained": seen.sustained})


def _schedule(registry: Registry, store: TrafficStore, recipe: LoopRecipe, rows: int, now: datetime) -> Trigger:
    every = recipe.settings.every_hours
    if every is None:
        return Trigger("schedule", False, "retrain.every_hours is not set")
    last = max([one.began for one in journal.attempts(registry)], default=recipe.created)
    hours = (now - last).total_seconds() / 3600
    return Trigger("schedule", hours >= every, f"{hours:.1f} hours since the last attempt; every {every:g}")


def _held(registry: Registry, recipe: LoopRecipe, rows: int, by_hand: bool, now: datetime) -> list[str]:
    found, past, settings = [], journal.attempts(registry), recipe.settings
    found += [f"attempt {one.id} is under way" for one in past if one.running]
    if rows < (1 if by_hand else settings.min_new_rows):
        found.append(f"{rows} new approved rows; at least {1 if by_hand else settings.min_new_rows} are needed (retrain.min_new_rows)")
    trained = [one for one in past if one.document["kind"] == "retrain"]
    if by_hand or not trained:
        return found
    idle = (now - (trained[-1].ended or now)).total_seconds() / 3600
    if idle < settings.cool_down_hours:
        found.append(f"{idle:.1f} hours since the last attempt ended; cool-down {settings.cool_down_hours:g} (retrain.cool_down_hours)")
    week = sum(one.began > now - timedelta(days=7) for one in trained)
    if week >= settings.max_per_week:
        found.append(f"{week} attempts in the last seven days; at most {settings.max_per_week} (retrain.max_per_week)")
    return found
