"""Write the thresholds that a calibration suggests into a recipe, as plain edits of its text: comments, order and style stay.

    prepare:
      steps:
        - {name: drop_flagged, checks: [label_noise], min_severity: info, min_score: 0.9152, to: quarantine}   <- is new
        - repair_text  # our own

A row that a calibrated check flags with at least that score is set aside for a person, not dropped. Only thresholds whose interval
shows the precision that was wanted are written. A step `drop_flagged` for that check alone gets its `min_score` changed.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tunewright.core.errors import DataError
from tunewright.core.files import write_text
from tunewright.core.recipe import PrepareSettings, Recipe

STEP = "drop_flagged"


@dataclass(frozen=True)
class Applied:
    """`written` and `left` by check: the step, or why there is none."""

    written: dict[str, str] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)

    def lines(self, path: Path) -> list[str]:
        told = [f"{path}: {step}" for step in self.written.values()]
        return [*told, *(f"nothing is written for {check}: {why}" for check, why in self.left.items())]


def apply_thresholds(calibration: dict[str, Any], path: Path) -> Applied:
    """Put the suggested thresholds of `calibration` (`calibration.json`) into the recipe at `path`."""
    text, done = path.read_text(encoding="utf-8"), Applied()
    Recipe.load(path)
    for check, one in calibration["checks"].items():
        suggested, wanted = one["suggested"], one["wanted_precision"]
        if suggested is None:
            done.left[check] = f"no threshold reaches a precision of {wanted:.0%} in its sample"
        elif not suggested["shown"]:
            low = suggested["precision"]["low"]
            done.left[check] = f"its precision may be as low as {low:.0%} where {wanted:.0%} is wanted; judge more rows"
        else:
            score = suggested["score_from"]
            text = with_threshold(text, check, score)
            done.written[check] = _step(check, score)
    if done.written:
        write_text(path, text)
    return done


def with_threshold(text: str, check: str, score: float | None) -> str:
    """The recipe `text` with a threshold for `check`. Raises `DataError` with the line to paste where it cannot be edited."""
    try:
        new = _edited(text, check, score)
        ours = yaml.safe_load(new) == _meant(yaml.safe_load(text), check, score)
    except (yaml.YAMLError, _Strange):
        ours = False
    if not ours:
        raise DataError(
            f"the recipe is written in a way that cannot be edited safely. Put this line under prepare.steps:\n    - {_step(check, score)}"
        )
    return new


class _Strange(Exception):
    """A recipe that is not the mapping of mappings that was expected."""


def _values(check: str, score: float | None) -> dict[str, Any]:
    at = {} if score is None else {"min_score": score}
    return {"name": STEP, "checks": [check], "min_severity": "info", **at, "to": "quarantine"}


def _step(check: str, score: float | None) -> str:
    return _flow(_values(check, score))


def _flow(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000).removesuffix("...\n").strip()


def _own(step: Any, check: str) -> bool:
    return isinstance(step, dict) and step.get("name") == STEP and step.get("checks") == [check]


def _meant(recipe: dict[str, Any], check: str, score: float | None) -> dict[str, Any]:
    """What the recipe must say afterwards."""
    recipe = copy.deepcopy(recipe)
    recipe["prepare"] = recipe.get("prepare") or {}
    steps = recipe["prepare"].setdefault("steps", _usual())
    for step in steps:
        if _own(step, check) and score is not None:
            step["min_score"] = score
            return recipe
    steps.insert(0, _values(check, score))
    return recipe


def _usual() -> list[Any]:
    return list(PrepareSettings.model_validate({}).steps)


def _child(node: Any, key: str) -> Any:
    """The value of `key` in a mapping, or None."""
    if not isinstance(node, yaml.MappingNode):
        raise _Strange
    return next((value for name, value in node.value if name.value == key), None)


def _edited(text: str, check: str, score: float | None) -> str:
    root: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    prepare = _child(root, "prepare")
    new = [_values(check, score), *_usual()]
    if prepare is None:
        if root.flow_style:
            raise _Strange
        return f"{text.rstrip()}\n\nprepare:\n  steps:\n{_block(new, 4)}\n"
    if isinstance(prepare, yaml.ScalarNode) and not prepare.value:  # `prepare:` alone
        at = prepare.start_mark.index
        return f"{text[:at]}\n  steps:\n{_block(new, 4)}{text[at:]}"
    steps = _child(prepare, "steps")
    if steps is None and prepare.flow_style:
        return _put(text, prepare.start_mark.index + 1, f"steps: {_flow(new)}{', ' if prepare.value else ''}")
    if steps is None:
        at, column = prepare.start_mark.index, prepare.start_mark.column
        return _put(text, at, f"steps:\n{_block(new, column + 2)}\n{' ' * column}")
    if not isinstance(steps, yaml.SequenceNode):
        raise _Strange
    for step, value in zip(steps.value, yaml.safe_load(text)["prepare"]["steps"], strict=True):
        if _own(value, check) and score is not None:
            return _changed(text, step, score)
    if steps.flow_style:
        return _put(text, steps.start_mark.index + 1, f"{_step(check, score)}{', ' if steps.value else ''}")
    return _put(text, steps.start_mark.index, f"- {_step(check, score)}\n{' ' * steps.start_mark.column}")


def _changed(text: str, step: yaml.MappingNode, score: float) -> str:
    """The step with another `min_score`."""
    old = _child(step, "min_score")
    if old is not None:
        return text[: old.start_mark.index] + _flow(score) + text[old.end_mark.index :]
    if step.flow_style:
        return _put(text, step.end_mark.index - 1, f", min_score: {_flow(score)}")
    first = step.value[0][0].start_mark
    return _put(text, first.index, f"min_score: {_flow(score)}\n{' ' * first.column}")


def _put(text: str, at: int, words: str) -> str:
    return text[:at] + words + text[at:]


def _block(steps: list[Any], indent: int) -> str:
    return "\n".join(f"{' ' * indent}- {_flow(one)}" for one in steps)
