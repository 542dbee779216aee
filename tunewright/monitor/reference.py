"""What a release is compared with: its own answers to its own validation rows, and what it promised.

release/reference.parquet   row_id | text | label | answer | confidence | probabilities | prompt_tokens
                            r81    | "it broke after two weeks" | negative | negative | 0.94 | [0.94, 0.04, 0.02] | 41
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from tunewright.core.errors import RecipeError, RunError
from tunewright.core.files import read_json, read_parquet, sha256_file
from tunewright.core.loop import MonitorSettings, ServeSettings, TrafficSettings
from tunewright.core.recipe import Recipe
from tunewright.core.statistics import Interval, clopper_pearson

LEAST = 50  # rows; with fewer no window can be told from another


@dataclass(frozen=True)
class Reference:
    """A release as the monitor knows it. `rows` has id, group, text, answer, label (as answered), truth, confidence."""

    version: str  # "reviews@3"
    directory: Path
    rows: pl.DataFrame
    labels: list[str]
    settings: MonitorSettings
    traffic: TrafficSettings
    timeout_seconds: float
    fingerprint: str  # of the file
    prompt: dict[str, Any]
    golden: dict[str, Any] | None

    @property
    def accuracy(self) -> Interval | None:
        """Of the release on its reference; None when the rows have no labels."""
        known = self.rows.drop_nulls(["label", "truth"])
        if known.is_empty():
            return None
        right, n = int((known["label"] == known["truth"]).sum()), len(known)
        low, high = clopper_pearson(right, n)
        return Interval(right / n, low, high, (right / n * (1 - right / n) / n) ** 0.5, "Clopper-Pearson")


def load_reference(directory: Path, version: str, overrides: Sequence[str] = ()) -> Reference:
    """The reference of the release in `directory`, with `overrides` ("monitor.window=200"). Raises `RunError` when it has none that can be used, and
    `RecipeError` for settings that are wrong."""
    manifest, recipe = read_json(directory / "manifest.json"), read_json(directory / "recipe.json")
    file = directory / "reference.parquet"
    if not file.exists():
        raise RunError(f"{file} is missing: the release was packed by an older Tunewright. Run its release stage again, then watch it.")
    rows, serve = read_parquet(file), ServeSettings.model_validate(recipe.get("serve", {}))
    lacking = {"row_id", "text", "label", "answer", "confidence"} - set(rows.columns)
    if lacking or len(rows) < LEAST:
        what = (
            f"has no column {', '.join(sorted(lacking))}" if lacking else f"has {len(rows)} rows, and {LEAST} are the least to compare with"
        )
        raise RunError(f"{file} {what}. Run the release stage again with more validation rows (prepare.split.validation).")
    return Reference(
        version=version,
        directory=directory,
        rows=rows.select(
            group="group" if "group" in rows.columns else pl.lit(None, pl.String),
            id="row_id",
            text="text",
            answer="answer",
            label="answer",
            truth="label",
            confidence=pl.col("confidence").cast(pl.Float64),
        ),
        labels=list(manifest["prompt"]["answers"]),
        settings=_settings(recipe, overrides, directory),
        traffic=serve.traffic,
        timeout_seconds=serve.timeout_seconds,
        fingerprint=sha256_file(file)[:16],
        prompt=manifest["prompt"],
        golden=read_json(directory / "parity.json") if (directory / "parity.json").exists() else None,
    )


def _settings(recipe: dict[str, Any], overrides: Sequence[str], directory: Path) -> MonitorSettings:
    foreign = [one for one in overrides if not one.strip().startswith("monitor.")]
    if foreign:
        raise RecipeError("command line", [f"--set {one}: only monitor.KEY=VALUE can be set here." for one in foreign])
    values = {"data": {"path": "rows.csv"}, "monitor": recipe.get("monitor") or {}}
    return Recipe.check(values, source=str(directory / "recipe.json"), overrides=overrides).monitor
