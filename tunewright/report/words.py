"""How the report writes values: one way for each kind of number, and an en dash for what was not measured."""

from __future__ import annotations

import json
import math
from typing import Any

from jinja2 import Undefined

NOT_KNOWN = "–"
METRICS = {"macro_f1": "macro-F1"}


def shown(value: Any) -> Any:
    """What the page prints for a value: an en dash for what was not measured."""
    return NOT_KNOWN if value is None or isinstance(value, Undefined) else value


def _known(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def number(value: Any, digits: int = 3) -> str:
    return f"{value:.{digits}f}".replace("-", "−") if _known(value) else NOT_KNOWN


def brief(value: Any) -> str:
    """Three digits that count, whatever the unit."""
    return f"{value:.3g}".replace("-", "−") if _known(value) else NOT_KNOWN


def signed(value: Any, digits: int = 3) -> str:
    return f"{value:+.{digits}f}".replace("-", "−") if _known(value) else NOT_KNOWN


def percent(value: Any, digits: int = 0, sign: bool = False) -> str:
    return f"{100 * value:{'+' if sign else ''}.{digits}f}%".replace("-", "−") if _known(value) else NOT_KNOWN


def count(value: Any) -> str:
    return f"{value:,.0f}" if _known(value) else NOT_KNOWN


def p_value(value: Any) -> str:
    if not _known(value):
        return NOT_KNOWN
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def duration(seconds: Any) -> str:
    if not _known(seconds):
        return NOT_KNOWN
    if seconds == 0:
        return "0 s"
    if seconds < 1:
        return f"{1000 * seconds:.{0 if seconds >= 0.01 else 1 if seconds >= 0.001 else 2}f} ms"
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def size(amount: Any) -> str:
    if not _known(amount):
        return NOT_KNOWN
    for unit in ("B", "KB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}"
        amount /= 1000
    return f"{amount:.2f} GB"


def metric(name: Any) -> str:
    return METRICS.get(name, slug(name))


def slug(name: Any) -> str:
    """A slug in words: beats_cheap_baselines -> beats cheap baselines."""
    return str(name).replace("_", " ") if isinstance(name, str) and name else NOT_KNOWN


def first_up(text: Any) -> str:
    """The first letter as a capital, the others as they are."""
    return str(text)[:1].upper() + str(text)[1:]


def pretty(value: Any) -> str:
    """JSON for reading. (Jinja's own `tojson` is for scripts.)"""
    return json.dumps(value, indent=2, ensure_ascii=False)


FILTERS = {
    "num": number, "brief": brief, "signed": signed, "percent": percent, "count": count, "p": p_value, "duration": duration,
    "bytes": size, "words": slug, "metric": metric, "pretty": pretty, "first_up": first_up,
}  # fmt: skip
