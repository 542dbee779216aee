"""The champion's recipe, as it came with its release, and the recipe of its challenger that is derived from it.

What a challenger learns from changes (`data`, and the split that stands in the rows); how it is made does not, unless the technique
that won last time no longer wins: then the recipe's other techniques compete again, and the old one at other learning rates.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from tunewright.core.errors import RunError
from tunewright.core.files import read_json
from tunewright.core.loop import MonitorSettings, RetrainSettings
from tunewright.core.plugins import PartSpec, build
from tunewright.core.recipe import Recipe
from tunewright.core.run import Run
from tunewright.registry import Registry

RATES = (0.33, 3.0)  # times the old winner's learning rate, when techniques compete again


@dataclass(frozen=True)
class LoopRecipe:
    """What is known of a version that serves: its release, recipe, and the run that it came from."""

    version: int
    release: Path
    recipe: Recipe
    run: Run
    created: datetime

    @property
    def settings(self) -> RetrainSettings:
        return self.recipe.retrain

    @property
    def monitor(self) -> MonitorSettings:
        return self.recipe.monitor


def champion_of(registry: Registry) -> LoopRecipe:
    """The champion's. Raises `RunError` when there is none."""
    state = registry.state()
    if state.champion is None:
        raise RunError(f"{registry.name}: there is no champion to improve on. `tunewright promote {registry.name}@1` makes one.")
    return of_version(registry, state.champion)


def of_version(registry: Registry, version: int) -> LoopRecipe:
    """Raises `RunError` when the release has no recipe."""
    known, release = registry.state().versions[version], registry.path(version)
    file = release / "recipe.json"
    if not file.is_file():
        raise RunError(f"{release} has no recipe.json: it was packed by an older Tunewright. Run the release stage again and register it.")
    places = [Path(str(one)) for one in (known.run, known.lineage.get("run")) if one]
    run = next((one for one in places if one.is_dir()), places[0] if places else release / "no-run")
    recipe = Recipe.check(read_json(file), str(file))
    return LoopRecipe(version, release, recipe, Run(run), datetime.fromisoformat(known.created))


def known_ids(recipe: LoopRecipe) -> set[str]:
    """Ids of all rows that the version's run has read. Raises `RunError` when the run is gone."""
    file = recipe.run.path("audit", "rows.parquet")
    if not file.is_file():
        raise RunError(
            f"{recipe.run.directory} is gone, and with it the rows that {recipe.release} was trained on: without them nothing can be replayed,"
            " and the frozen test is lost. Restore the run directory, or run the lifecycle on all rows and register the result."
        )
    return set(pl.scan_parquet(file).select("row_id").collect()["row_id"])


def derived(champion: LoopRecipe, rows: Path, techniques: list[PartSpec]) -> dict[str, Any]:
    """The recipe of the challenger, as JSON."""
    values = champion.recipe.model_dump(mode="json")
    data = values["data"]
    clear: dict[str, Any] = {"query": None, "dataset": None, "where": {}, "format": "parquet", "encoding": "utf-8", "layout": "text_label"}
    values["data"] = data | clear | {"path": str(rows), "id": "id", "text": "text", "label": "label"}
    split = {"by": "column", "column": "split", "leaks": "drop", "keep": True}
    values["prepare"]["split"] = values["prepare"]["split"] | split
    values["tune"]["techniques"] = techniques
    if champion.settings.minutes is not None:
        values["tune"]["minutes"] = champion.settings.minutes
    return values


def old_winner(champion: LoopRecipe) -> PartSpec:
    """The technique of the champion with its settings."""
    board = read_json(champion.run.path("tune", "leaderboard.json"))
    won = next(one for one in board["candidates"] if one["name"] == read_json(champion.release / "manifest.json")["candidate"])
    alias = {"alias": won["name"]} if won["name"] != won["technique"] else {}
    return {"name": won["technique"], **won["settings"], **alias}


def rivals(champion: LoopRecipe) -> list[PartSpec]:
    """The old winner, the same at other learning rates, and every other technique of the first recipe."""
    won = old_winner(champion)
    assert isinstance(won, dict)
    rate = build("techniques", won).learning_rate
    name = str(won.get("alias") or won["name"])
    found: list[PartSpec] = [won]
    found += [{**won, "learning_rate": rate * factor, "alias": f"{name}_rate_x{factor:g}".replace(".", "_")} for factor in RATES]
    seen = {name}
    for spec in champion.recipe.tune.techniques:
        part = build("techniques", spec)
        own = part.alias or part.part_name()
        if own not in seen and not own.startswith(f"{name}_rate_x"):
            seen.add(own)
            found.append(spec)
    return found
