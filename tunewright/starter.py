"""`tunewright init`: look at a file that nobody has described yet and write a commented recipe for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tunewright.core.errors import DataError, RunError
from tunewright.core.files import write_text
from tunewright.sources import read_columns

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
_MOST_CLASSES = 50


def guess_settings(path: Path) -> tuple[dict[str, Any], list[str]]:
    """The `data` section that fits the file, and one line for each choice. Raises `DataError` when no column can be a label."""
    frame = read_columns(path)
    if frame.is_empty():
        raise DataError(f"{path}: the file holds no rows.")
    stats = {
        name: {
            "distinct": frame[name].n_unique(),
            "words": float(frame[name].fill_null("").str.split(" ").list.len().mean() or 0),  # type: ignore[arg-type]
            "filled": 1 - frame[name].null_count() / len(frame),
        }
        for name in frame.columns
    }
    label = _guess_label(path, stats, len(frame))
    text = max(
        (name for name in stats if name != label), key=lambda name: (stats[name]["words"], name.lower() in _TEXT_NAMES), default=None
    )
    if text is None:
        raise DataError(f"{path}: has the single column {label!r}; a text column and a label column are needed.")
    classes = frame[label].value_counts(sort=True)
    shown = ", ".join(f"{name} {count}" for name, count in classes.head(6).iter_rows())
    notes = [
        f"{len(frame):,} rows, {len(frame.columns)} columns.",
        f"text: {text!r} (the wordiest column, {stats[text]['words']:.0f} words a row)",
        f"label: {label!r} with {len(classes)} classes ({shown}{', ...' if len(classes) > 6 else ''})",
    ]
    values: dict[str, Any] = {"text": text, "label": label}
    groups = [
        name
        for name, one in stats.items()
        if name not in (text, label)
        and name.lower().removesuffix("_id") in _GROUP_NAMES
        and 2 * len(classes) < one["distinct"] < 0.9 * len(frame)
    ]
    if groups:
        values["groups"] = groups
        notes.append(f"groups: {', '.join(groups)} (rows that share a value stay in one split)")
    return values, notes


def _guess_label(path: Path, stats: dict[str, dict[str, float]], rows: int) -> str:
    fitting = [name for name, one in stats.items() if 2 <= one["distinct"] <= min(_MOST_CLASSES, max(2, rows // 2)) and one["words"] < 5]
    named = [name for name in _LABEL_NAMES for one in fitting if one.lower() == name for name in [one]]
    if named:
        return named[0]
    if not fitting:
        table = ", ".join(f"{name} ({one['distinct']:.0f} different values)" for name, one in stats.items())
        raise DataError(f"{path}: no column looks like a label (2 to {_MOST_CLASSES} different short values). Columns: {table}.")
    return min(fitting, key=lambda name: stats[name]["distinct"])


def write_recipe(data: Path, output: Path) -> list[str]:
    """Write a recipe for `data` to `output`; return what was found. Never overwrites."""
    if output.exists():
        raise RunError(f"{output} exists already and is not overwritten. Choose another name with -o, or remove it.")
    values, notes = guess_settings(data)
    try:
        shown = data.resolve().relative_to(output.resolve().parent)
    except ValueError:
        shown = data.resolve()
    quoted = {key: _yaml(value) for key, value in values.items()}
    template = Path(__file__).with_name("starter_recipe.yaml").read_text(encoding="utf-8")
    found = "\n".join(f"# {note}" for note in notes)
    groups = quoted.get("groups", "[]")
    text = (
        template.replace("@FOUND@", found)
        .replace("@PATH@", _yaml(str(shown)))
        .replace("@TEXT@", quoted["text"])
        .replace("@LABEL@", quoted["label"])
        .replace("@GROUPS@", groups)
    )
    write_text(output, text)
    return notes


def _yaml(value: Any) -> str:
    import yaml

    return str(yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10_000)).removesuffix("\n").removesuffix("\n...")
