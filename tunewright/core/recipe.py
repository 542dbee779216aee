"""The recipe: one YAML file, one section a stage, every key optional but `data.path`.

    data: {path: reviews.csv, text: text, label: label, groups: [review]}
    tune: {techniques: [lora, {name: bottleneck, learning_rate: 1e-3}], minutes: 2}

Loading is strict: an unknown key, a wrong type, a part that does not exist are errors, and all errors of a recipe come at once,
each with its place, its line and, where one is near, the name that was probably meant.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, field_serializer, field_validator, model_validator

from tunewright.core.errors import RecipeError
from tunewright.core.loop import MonitorSettings, RetrainSettings, ServeSettings
from tunewright.core.plugins import FOLDERS, PartSpec, part_problems, with_resolved_files
from tunewright.core.settings import Place, Settings, problems_of, show_place
from tunewright.core.urls import absolute, masked


class DataSettings(Settings):
    """Where the rows are and which columns mean what."""

    path: str | list[str] = Field(
        description="file, directory, glob, list of these, or URL of a database; files are relative to the recipe"
    )
    query: str | None = Field(None, description="SQL, when the path is a database")
    dataset: str | None = Field(None, description="entry of a dataset_info.json, when the path is one")
    layout: PartSpec = Field("auto", description="what a row is; auto looks at the columns and a sample, and says what it saw")
    text: str = Field("text", description="column with the text to classify")
    label: str = Field("label", description="column with the right answer")
    id: str | None = Field(None, description="column with unique row ids; without one, ids come from each row's content")
    groups: list[str] = Field([], description="columns whose equal values must stay in one split (author, thread, ...)")
    slices: list[str] = Field([], description="columns whose values are compared for bias (domain, region, gender, ...)")
    date: str | None = Field(None, description="column with each row's date")
    where: dict[str, str] = Field({}, description="keep only rows whose column equals the value, for example {domain: amazon}")
    format: Literal["auto", "csv", "tsv", "jsonl", "json", "parquet"] = Field("auto", description="auto goes by the file's ending")
    max_line_bytes: int = Field(64 * 2**20, ge=1024, description="a longer record goes to quarantine, so that memory stays bounded")
    encoding: str = Field("utf-8", description="of csv and json files; a file with a byte order mark is recognised; auto guesses")
    instruction: str | None = Field(None, description="what the model is told before the text; the default names the labels")

    @field_serializer("path")
    def _without_secrets(self, path: str | list[str]) -> str | list[str]:
        """What is written to disk holds no password; `${NAME}` in a URL is kept."""
        return masked(path) if isinstance(path, str) else [masked(one) for one in path]


class ComputeSettings(Settings):
    """Where the data stages run. Results are equal on every engine."""

    engine: Literal["local", "ray"] = Field("local", description="local: this machine; ray: tasks on a Ray cluster (extra `ray`)")
    address: str | None = Field(None, description="of a running Ray cluster; null starts one on this machine")
    workers: Literal["auto"] | int = Field("auto", description="tasks at a time; auto is one a core")
    memory_gb: float | None = Field(None, gt=0, description="spill to disk rather than use more; null is 60% of the free memory")


class ModelSettings(Settings):
    """The model to start from, and how rows become prompts."""

    base: str = Field("smollm2-135m", description="smollm2-135m (bundled), a local directory, or a Hugging Face id")
    system: str | None = Field(None, description="system message; null takes the chat template's own")
    max_length: int = Field(512, ge=16, description="longest prompt with answer, in tokens; longer texts are cut and counted")


class AuditSettings(Settings):
    """What to look for in the rows."""

    checks: Literal["default"] | list[PartSpec] = Field("default", description="default runs every check of the folder")
    fail_on: Literal["never", "warning", "error"] = Field("error", description="findings of this severity end the command with exit code 1")


class SplitSettings(Settings):
    """Shares of the rows, which must add up to 1, and what decides which rows go where."""

    train: float = Field(0.7, gt=0, lt=1)
    validation: float = Field(0.15, gt=0, lt=1)
    test: float = Field(0.15, gt=0, lt=1)
    by: Literal["random", "date", "column"] = Field(
        "random",
        description="random: classes in proportion; date: train before validation before test (data.date); column: the rows say it",
    )
    column: str | None = Field(None, description="column with train, validation or test in each row, for by: column")
    keep: bool = Field(True, description="by random, in a run that was split before: rows stay where they were, so the test stays the test")
    leaks: Literal["drop", "keep"] = Field(
        "drop",
        description="by date or column, rows of one group may fall apart: drop those outside the latest split, or keep and count them",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> SplitSettings:
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train + validation + test must be 1 (here {total:g})")
        if (self.by == "column") != (self.column is not None):
            raise ValueError("by: column and a column go together: name the column that holds train, validation or test")
        return self


class PrepareSettings(Settings):
    """What is done about findings, and how rows are split."""

    steps: list[PartSpec] = Field(
        [
            "repair_text",
            "normalise_labels",
            "drop_empty",
            "drop_exact_duplicates",
            "drop_conflicting_labels",
            "drop_near_duplicates",
            "redact_pii",
        ],
        description="applied in this order",
    )
    split: SplitSettings = Field(default_factory=lambda: SplitSettings.model_validate({}))
    near_duplicate_threshold: float = Field(0.3, gt=0, le=1, description="rows at least this similar (Jaccard) share a split")
    seed: int = Field(17, ge=0)


class EarlyStopping(Settings):
    """Stop when the task metric on validation has not risen for `patience` looks."""

    patience: int = Field(3, ge=1)


class TuneSettings(Settings):
    """Which techniques compete, under which budget. The budget is the same for each."""

    techniques: list[PartSpec] = Field(["lora", "bottleneck", "prompt_tuning", "full"], min_length=1)
    objective: PartSpec = "sft"
    minutes: float | None = Field(1.5, gt=0, description="training time for each candidate, looks at validation apart; null for no limit")
    max_steps: int | None = Field(None, ge=1, description="optimiser steps for each candidate, instead of minutes")
    num_train_epochs: float = Field(3, gt=0, description="at most this many passes over the training rows")
    per_device_train_batch_size: int = Field(8, ge=1)
    gradient_accumulation_steps: int = Field(1, ge=1)
    evaluations: int = Field(3, ge=1, description="looks at validation for each candidate, the one at the start apart")
    validation_rows: int = Field(200, ge=1, description="rows of validation used for these looks, at most")
    early_stopping: EarlyStopping | None = Field(default_factory=lambda: EarlyStopping.model_validate({}))
    metric: Literal["accuracy", "macro_f1"] = Field("macro_f1", description="chooses the best checkpoint and the winner")
    workers: Literal["auto"] | int = Field("auto", description="candidates trained side by side; auto is one a core, two at most")
    seed: int = Field(17, ge=0)


class ShipIf(Settings):
    """What the winner must show before the verdict is SHIP."""

    relative_gain: float = Field(0.15, ge=0, description="gain over the untuned model, relative to the untuned model's score")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="of intervals and tests, before the correction for looks at the test")


class EvaluateSettings(Settings):
    """How the sealed test is judged."""

    metrics: Literal["default"] | list[PartSpec] = Field("default", description="default computes every metric of the folder")
    baselines: Literal["default"] | list[PartSpec] = Field("default", description="default fits every baseline of the folder")
    metric: Literal["accuracy", "macro_f1"] = Field("macro_f1", description="the metric that decides")
    ship_if: ShipIf = Field(default_factory=lambda: ShipIf.model_validate({}))


class ExplainSettings(Settings):
    """How answers are explained."""

    methods: list[PartSpec] = Field(["occlusion"])
    rows: int = Field(12, ge=1, description="validation rows that are explained")


class ReleaseSettings(Settings):
    """What is checked before a release is packed."""

    probe_rows: int = Field(16, ge=1, description="rows that the release must answer alike when plain libraries load it")


class Recipe(Settings):
    """Everything that one run needs to know."""

    data: DataSettings
    compute: ComputeSettings = Field(default_factory=lambda: ComputeSettings.model_validate({}))
    model: ModelSettings = Field(default_factory=lambda: ModelSettings.model_validate({}))
    audit: AuditSettings = Field(default_factory=lambda: AuditSettings.model_validate({}))
    prepare: PrepareSettings = Field(default_factory=lambda: PrepareSettings.model_validate({}))
    tune: TuneSettings = Field(default_factory=lambda: TuneSettings.model_validate({}))
    evaluate: EvaluateSettings = Field(default_factory=lambda: EvaluateSettings.model_validate({}))
    explain: ExplainSettings = Field(default_factory=lambda: ExplainSettings.model_validate({}))
    release: ReleaseSettings = Field(default_factory=lambda: ReleaseSettings.model_validate({}))
    serve: ServeSettings = Field(default_factory=lambda: ServeSettings.model_validate({}))
    monitor: MonitorSettings = Field(default_factory=lambda: MonitorSettings.model_validate({}))
    retrain: RetrainSettings = Field(default_factory=lambda: RetrainSettings.model_validate({}))

    @field_validator(
        "compute", "model", "audit", "prepare", "tune", "evaluate", "explain", "release", "serve", "monitor", "retrain", mode="before"
    )
    @classmethod
    def _bare_section(cls, value: Any) -> Any:
        """`tune:` with nothing after it means the defaults."""
        return {} if value is None else value

    @staticmethod
    def load(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
        """Read the recipe at `path`, apply `overrides` ('tune.minutes=2'), check everything. Raises `RecipeError`."""
        source = Path(path)
        try:
            text = source.read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise RecipeError(str(source), ["there is no such file. `tunewright init DATA` writes a recipe for your rows."]) from error
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(str(source), [f"cannot be read as UTF-8 text ({error})."]) from error
        values, lines = _parse(text, str(source))
        return Recipe.check(values, source=str(source), folder=source.parent, lines=lines, overrides=overrides)

    @staticmethod
    def check(
        values: dict[str, Any],
        source: str = "recipe",
        folder: Path = Path("."),
        lines: Mapping[Place, int] | None = None,
        overrides: Sequence[str] = (),
    ) -> Recipe:
        """Build a recipe from plain values; `data.path` is taken relative to `folder`. Raises `RecipeError` with all mistakes."""
        _override(values, overrides)
        found: list[tuple[Place, str]] = []
        recipe = None
        try:
            recipe = Recipe.model_validate(values)
        except ValidationError as error:
            found += problems_of(error, Recipe)
        for kind, place, spec in _part_specs(values):
            found += part_problems(kind, spec, place)
        if found or recipe is None:
            raise RecipeError(source, [_show(place, message, lines or {}) for place, message in found])
        paths = [recipe.data.path] if isinstance(recipe.data.path, str) else recipe.data.path
        resolved = [absolute(one, folder) for one in paths]
        path = resolved if isinstance(recipe.data.path, list) else resolved[0]
        steps = [with_resolved_files("steps", spec, folder) for spec in recipe.prepare.steps]
        updates = {"data": recipe.data.model_copy(update={"path": path}), "prepare": recipe.prepare.model_copy(update={"steps": steps})}
        if recipe.audit.checks != "default":
            checks = [with_resolved_files("checks", spec, folder) for spec in recipe.audit.checks]
            updates["audit"] = recipe.audit.model_copy(update={"checks": checks})
        return recipe.model_copy(update=updates)


def _part_specs(values: Mapping[str, Any]) -> list[tuple[str, Place, Any]]:
    """Every part that the raw values of a recipe name: (kind, place, spec)."""
    homes = (
        ("data", "layout", "layouts"),
        ("audit", "checks", "checks"),
        ("prepare", "steps", "steps"),
        ("tune", "techniques", "techniques"),
        ("tune", "objective", "objectives"),
        ("evaluate", "metrics", "metrics"),
        ("evaluate", "baselines", "baselines"),
        ("explain", "methods", "explainers"),
        ("serve", "engine", "engines"),
        ("monitor", "signals", "signals"),
    )
    found: list[tuple[str, Place, Any]] = []
    for section, key, kind in homes:
        assert kind in FOLDERS
        inner = values.get(section)
        spec = inner.get(key) if isinstance(inner, Mapping) else None
        if isinstance(spec, list):
            found += [(kind, (section, key, index), one) for index, one in enumerate(spec)]
        elif spec not in (None, "default", "auto"):
            found.append((kind, (section, key), spec))
    return found


def _show(place: Place, message: str, lines: Mapping[Place, int]) -> str:
    known = next((lines[place[:length]] for length in range(len(place), 0, -1) if place[:length] in lines), None)
    where = f"line {known}: " if known else ""
    return f"{where}{show_place(place)}: {message}"


class _Loader(yaml.SafeLoader):
    """The safe loader, which also reads 1e-5 as a number (YAML 1.1 wants 1.0e-5)."""


_Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789"))


def _parse(text: str, source: str) -> tuple[dict[str, Any], dict[Place, int]]:
    """Values of a YAML document and the line of each key."""
    try:
        node = yaml.compose(text, Loader=_Loader)
        values = yaml.load(text, Loader=_Loader)  # noqa: S506  (a SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise RecipeError(source, [f"{where}not valid YAML: {getattr(error, 'problem', None) or error}."]) from error
    if not isinstance(values, dict):
        raise RecipeError(source, [f"must be a mapping of sections (data, model, tune, ...), but got {type(values).__name__}."])
    lines: dict[Place, int] = {}
    twice: list[str] = []
    _walk(node, (), lines, twice)
    if twice:
        raise RecipeError(source, twice)
    return values, lines


def _walk(node: Any, place: Place, lines: dict[Place, int], twice: list[str]) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*place, str(key.value))
            if inner in lines:
                twice.append(f"line {key.start_mark.line + 1}: {show_place(inner)}: given twice; it is also on line {lines[inner]}.")
            lines[inner] = key.start_mark.line + 1
            _walk(value, inner, lines, twice)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            lines[(*place, index)] = value.start_mark.line + 1
            _walk(value, (*place, index), lines, twice)


def _override(values: dict[str, Any], overrides: Sequence[str]) -> None:
    """Apply `key.key=value` settings in place; the value is read as YAML."""
    problems = []
    for text in overrides:
        key, equals, value = text.partition("=")
        *outer, last = key.strip().split(".")
        target: Any = values
        for step in outer:
            target = target.setdefault(step, {}) if isinstance(target, dict) else None
            target = {} if target is None else target
        if not equals or not last or not isinstance(target, dict):
            problems.append(f"--set {text}: must be section.key=value, for example --set tune.minutes=2.")
            continue
        try:
            target[last] = yaml.load(value, Loader=_Loader)  # noqa: S506  (a SafeLoader)
        except yaml.YAMLError as error:
            problems.append(f"--set {text}: the value is not valid YAML ({error}).")
    if problems:
        raise RecipeError("command line", problems)
