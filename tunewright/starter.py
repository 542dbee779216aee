"""`tunewright init`: look at data that nobody has described yet, say what was seen, and write a commented recipe for it.

12,430 rows, 6 columns.
layout text_label: label: 'team' with 5 classes (billing 4,012, delivery 3,120, ...)
slices: domain (9 values), compared for bias
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from tunewright.core.errors import DataError, RunError
from tunewright.core.files import write_text
from tunewright.core.recipe import DataSettings, Recipe
from tunewright.core.urls import is_url, masked
from tunewright.sources import First, look, read_columns

_TEXT_NAMES = ("text", "body", "content", "message", "review", "sentence", "comment", "prompt", "input", "question", "description")
_LABEL_NAMES = ("label", "labels", "class", "category", "target", "sentiment", "intent", "topic", "answer", "output", "y")
_GROUP_NAMES = (
    "user",
    "author",
    "sender",
    "customer",
    "thread",
    "conversation",
    "session",
    "patient",
    "review",
    "product",
    "document",
    "source",
    "group",
)
_DATE = re.compile(r"^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}.*)?$")
_MOST_CLASSES = 50
_MOST_SLICES = 20
_OFTEN = 10  # rows that a value of a slice should have on average
_ABOUT_LABELS = r"(normalise_labels|drop_conflicting_labels), |(?m:^  # instruction: .*\n)"
_ONLY_CLASSES = (
    "# tune: and the later stages handle classification today; `tunewright run RECIPE --until prepare` audits and prepares these rows"
)


@dataclass(frozen=True)
class _Column:
    """What a column looks like: different values, words a value, share of rows that have one."""

    distinct: int
    words: float
    filled: float
    dated: bool
    fraction: bool


def guess_settings(path: str | Path, overrides: Sequence[str] = ()) -> tuple[dict[str, Any], list[str]]:
    """The `data` section that fits the data, and one line for each choice. `overrides` are --set of data.* keys. Raises `DataError`
    when two layouts fit, or when no column can be a label and no other layout fits."""
    recipe = Recipe.check({"data": {"path": str(path)}}, "command line", overrides=[one for one in overrides if one.startswith("data.")])
    data = recipe.data
    given = data.model_dump(exclude_unset=True)
    first = look(data)
    frame = read_columns(data)
    if frame.is_empty():
        raise DataError(f"{masked(str(path))}: the file holds no rows.")
    stats = {column.name: _stats(column) for column in frame}
    name = first.choice.layout.part_name()
    notes = [f"{len(frame):,} rows, {len(frame.columns)} columns, read as {', '.join(sorted({place.format for place in first.places}))}."]
    labels = _label_by_name(stats, len(frame)) if data.layout == "auto" else []
    few = [one for one in labels if _OFTEN * stats[one].distinct <= len(frame)]
    if name == "text_label" or (name == "text" and labels) or (name == "prompt_completion" and few):
        values, more = _classification(masked(str(path)), frame, stats, data)
        more += [f"{few[0]} could be free text too, were there more of it: data.layout: {name}"] if name == "prompt_completion" else []
    else:
        values, more = {"layout": data.layout if data.layout != "auto" else name}, [first.choice.evidence]
    values, extra = _helpers(values, first, stats, len(frame))
    return given | values, notes + more + extra


def _stats(column: pl.Series) -> _Column:
    values = column.drop_nulls()
    some = values.filter(values != "").head(200).to_list()
    return _Column(
        column.n_unique(),
        float(column.fill_null("").str.split(" ").list.len().mean() or 0),  # type: ignore[arg-type]
        len(values) / max(1, len(column)),
        bool(some) and sum(bool(_DATE.match(one)) for one in some) >= 0.9 * len(some),
        bool(some) and all(re.fullmatch(r"-?\d+\.\d+", one) for one in some),
    )


def _classification(path: str, frame: pl.DataFrame, stats: Mapping[str, _Column], data: DataSettings) -> tuple[dict[str, Any], list[str]]:
    set_by_hand = data.model_fields_set
    label = data.label if "label" in set_by_hand else _guess_label(path, stats, len(frame))
    others = [name for name in stats if name != label]
    text = max(others, key=lambda name: (stats[name].words, name.lower() in _TEXT_NAMES), default=None)
    text = data.text if "text" in set_by_hand else text
    if text is None:
        raise DataError(f"{path}: has the single column {label!r}; a text column and a label column are needed.")
    for wanted in (text, label):
        if wanted not in stats:
            raise DataError(f"{path}: there is no column {wanted!r}. Columns: {', '.join(stats)}.")
    classes = frame[label].value_counts(sort=True)
    shown = ", ".join(f"{name} {count}" for name, count in classes.head(6).iter_rows())
    return {"text": text, "label": label}, [
        "layout text_label: a text and one of a few labels",
        f"text: {text!r} (the wordiest column, {stats[text].words:.0f} words a row)",
        f"label: {label!r} with {len(classes)} classes ({shown}{', ...' if len(classes) > 6 else ''})",
    ]


def _label_by_name(stats: Mapping[str, _Column], rows: int) -> list[str]:
    fitting = _may_be_labels(stats, rows)
    return [one for name in _LABEL_NAMES for one in fitting if one.lower() == name]


def _may_be_labels(stats: Mapping[str, _Column], rows: int) -> list[str]:
    return [name for name, one in stats.items() if 2 <= one.distinct <= min(_MOST_CLASSES, max(2, rows // 2)) and one.words < 5]


def _guess_label(path: str, stats: Mapping[str, _Column], rows: int) -> str:
    named = _label_by_name(stats, rows)
    if named:
        return named[0]
    fitting = _may_be_labels(stats, rows)
    if not fitting:
        table = ", ".join(f"{name} ({one.distinct} different values)" for name, one in stats.items())
        raise DataError(
            f"{path}: no column looks like a label (2 to {_MOST_CLASSES} different short values), and no other layout fits. Columns: {table}."
        )
    return min(fitting, key=lambda name: stats[name].distinct)


def _helpers(values: dict[str, Any], first: First, stats: Mapping[str, _Column], rows: int) -> tuple[dict[str, Any], list[str]]:
    """Columns that say which rows belong together, when a row was made, and where it comes from."""
    used = {
        values.get("text"),
        values.get("label"),
        *(first.choice.layout.uses(DataSettings(path="")).values() if "layout" in values else ()),
    }
    free = {name: one for name, one in stats.items() if name not in used}
    classes = stats[values["label"]].distinct if "label" in values else 1
    groups = [
        name for name, one in free.items() if name.lower().removesuffix("_id") in _GROUP_NAMES and 2 * classes < one.distinct < 0.9 * rows
    ]
    dates = [name for name, one in free.items() if one.dated and one.filled > 0.5]
    slices = [
        name
        for name, one in free.items()
        if name not in (*groups, *dates)
        and 2 <= one.distinct <= min(_MOST_SLICES, rows // _OFTEN)
        and one.words < 3
        and not one.fraction
        and one.filled > 0.5
    ]
    notes = []
    if groups:
        values["groups"] = groups
        notes.append(f"groups: {', '.join(groups)} (rows that share a value stay in one split)")
    if dates:
        values["date"] = dates[0]
        notes.append(f"date: {dates[0]} (for drift, and for a split by time)")
    if slices:
        values["slices"] = slices
        shown = ", ".join(f"{name} ({free[name].distinct} values)" for name in slices)
        notes.append(f"slices: {shown}; their values are compared for bias")
    return values, notes


def write_recipe(path: str, output: Path, overrides: Sequence[str] = ()) -> tuple[list[str], str]:
    """Write a recipe for the data at `path` to `output`; return what was found, and the command to go on with. Never overwrites."""
    if output.exists():
        raise RunError(f"{output} exists already and is not overwritten. Choose another name with -o, or remove it.")
    values, notes = guess_settings(path, overrides)
    values |= {"path": _shown_path(path, output)}
    if values["path"] != path and is_url(path):
        notes.append("credentials are not written: put them into environment variables, and ${NAME} into data.path")
    template = Path(__file__).with_name("starter_recipe.yaml").read_text(encoding="utf-8")
    head, *sections = re.split(r"(?m)^(?=\w+:)", template)
    if "label" not in values:
        sections = [re.sub(_ABOUT_LABELS, "", one) for one in sections if one.startswith(("data:", "audit:", "prepare:"))]
    text = head.replace("@FOUND@", "\n".join(f"# {note}" for note in notes)) + "".join(sections).replace("@DATA@", _data_lines(values))
    write_text(output, text if "label" in values else text + _ONLY_CLASSES + "\n")
    return notes, f"tunewright run {output}{'' if 'label' in values else ' --until prepare'}"


def _shown_path(path: str, output: Path) -> str:
    """Relative to the recipe when the data lie beside or below it."""
    if is_url(path):
        return masked(path)
    try:
        return str(Path(path).resolve().relative_to(output.resolve().parent))
    except ValueError:
        return str(Path(path).resolve())


_ABOUT = {
    "path": "file, directory, glob or database URL; files are relative to this file",
    "layout": "what a row is: `tunewright list layouts`",
    "groups": "columns whose equal values must stay in one split: author, thread, product ...",
    "date": "when a row was made",
    "slices": "columns whose values are compared for bias",
}


def _data_lines(values: Mapping[str, Any]) -> str:
    """The keys of the data section, each with what it means."""
    first = [key for key in ("path", "query", "layout", "text", "label", "groups", "date", "slices") if key in values]
    lines = []
    for key in [*first, *(one for one in values if one not in first)]:
        line = f"  {key}: {_yaml(values[key])}"
        lines.append(f"{line:<26} # {_ABOUT[key]}" if key in _ABOUT else line)
    if "groups" not in values:
        lines.append("  # groups: [author]       # columns whose equal values must stay in one split")
    return "\n".join(lines)


def _yaml(value: Any) -> str:
    return str(yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10_000)).removesuffix("\n").removesuffix("\n...")
