"""What a monitor's signal looks at, and what it says: the nouns beside the verb `Signal` (`core/parts.py`).

A window of traffic and the release's reference rows stand in one frame, the reference first, and `sides` deals the rows to two
sides again and again. Its first line is the truth: 1.0 for a row of the window. Every other line is a shuffle, as probable as the
truth when nothing has drifted. A statistic that is computed for every line is its own threshold, exact for any two sizes.

    rows   | text ...                          | now        sides   | 0 0 0 1 1    the truth
           | "the battery died"                | false              | 1 0 1 0 0    a shuffle
           | "url_removed lol so tired"        | true               | 0 1 0 0 1    another
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

from tunewright.core.loop import MonitorSettings
from tunewright.core.score import Floats, Ints

Sides = npt.NDArray[np.float32]
Scorer = Callable[[list[str]], Floats]
T = TypeVar("T")


@dataclass(frozen=True)
class Moved:
    """One thing that is more or less frequent (or larger or smaller) now than in the reference; `examples` are request ids."""

    kind: str  # "word", "label", "language", "length", "request" ...
    name: str
    before: float | None = None
    now: float | None = None
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Measure:
    """What a signal found. It is decided in one of three ways: by `statistic` (for each line of `sides`; larger is further from the
    reference; `value` is its first or differs by a constant), by `p`, or by the signal itself (`alarm`). With none of them it only shows."""

    value: float
    before: float | None = None  # of the reference, or what was promised
    text: str = ""  # one line in plain words
    statistic: Floats | None = None
    quadratic: bool = False  # the statistic grows like a square: its cube root is nearly normal (Wilson & Hilferty 1931)
    p: float | None = None
    alarm: bool | None = None
    moved: tuple[Moved, ...] = ()
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Unmeasured:
    """A signal that cannot say anything here, and why."""

    reason: str


@dataclass(frozen=True)
class View:
    """What a signal may look at. `rows` are reference and window in the same columns: id, now, text, answer, label, truth, confidence,
    status, seconds, first_token_seconds, format_ok, completion_tokens, endpoint. `labelled` and `thumbs` hold what people said of this version."""

    rows: pl.DataFrame
    sides: Sides
    blocks: Ints  # (rows,) what belongs together and changes sides as a whole
    labels: list[str]
    settings: MonitorSettings
    accuracy: float | None = None  # of the release on its reference
    labelled: pl.DataFrame = field(default_factory=pl.DataFrame)  # id, time, label (answered), truth, sampled, mature
    thumbs: pl.DataFrame = field(default_factory=pl.DataFrame)  # id, up, now (of a request in this window)
    confidences: Floats = field(default_factory=lambda: np.zeros(0))  # of the windows before this one, oldest first
    golden: dict[str, Any] | None = None  # the release's parity.json
    score: Scorer | None = None  # what serves this version now, if it can be asked
    _seen: dict[str, Any] = field(default_factory=dict)

    @property
    def now(self) -> npt.NDArray[np.bool_]:
        """(rows,) whether a row is of the window."""
        return np.asarray(self.sides[0] > 0)

    @property
    def window(self) -> pl.DataFrame:
        return self.rows.filter(pl.col("now"))

    def where(self, kept: pl.Series | npt.NDArray[np.bool_]) -> View:
        """The same view of some rows; what is kept must not depend on the side."""
        mask = np.asarray(kept, dtype=np.bool_)
        return (
            self
            if mask.all()
            else View(
                **{
                    **self.__dict__,
                    "rows": self.rows.filter(pl.Series(mask)),
                    "sides": self.sides[:, mask],
                    "blocks": self.blocks[mask],
                    "_seen": {},
                }
            )
        )

    def once(self, name: str, compute: Callable[[], T]) -> T:
        """What `compute` gives, computed once for all signals."""
        if name not in self._seen:
            self._seen[name] = compute()
        return self._seen[name]  # type: ignore[no-any-return]
