"""One window through every signal."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from tunewright.core.errors import TunewrightError
from tunewright.core.loop import MonitorSettings
from tunewright.core.parts import Signal
from tunewright.core.plugins import build, names
from tunewright.core.score import Floats, Ints
from tunewright.core.watch import Measure, Scorer, Unmeasured, View
from tunewright.monitor.decide import Decided, decide
from tunewright.monitor.reference import Reference
from tunewright.monitor.rows import from_reference
from tunewright.monitor.shuffles import shuffled

log = logging.getLogger("tunewright.monitor")
SHOWN = 100  # characters of an example


@dataclass(frozen=True)
class Found:
    """What all signals said of one window, and why some said nothing. `examples` are the beginnings of texts by request id, without personal data."""

    decided: Mapping[str, Decided]
    unmeasured: Mapping[str, str]
    examples: Mapping[str, str]

    @property
    def drifted(self) -> bool:
        """Whether a signal of the inputs or the outputs is beyond its threshold."""
        return any(one.alarm for one in self.decided.values() if one.family in ("input", "output"))

    def document(self) -> dict[str, Any]:
        """Each signal as the store keeps it."""
        told: dict[str, Any] = {name: one.document() for name, one in self.decided.items()}
        for one in told.values():
            one["examples"] = {key: self.examples[key] for part in one["moved"] for key in part["examples"] if key in self.examples}
        return told | {name: {"unmeasured": reason} for name, reason in self.unmeasured.items()}


def signals_of(settings: MonitorSettings) -> dict[str, Signal]:
    """The signals that the recipe names. Raises `RecipeError`."""
    specs = names("signals") if settings.signals == "default" else settings.signals
    built = [build("signals", spec) for spec in specs]
    return {one.part_name(): one for one in built}


class Measurer:
    """Compares windows with one release's reference."""

    def __init__(self, reference: Reference, score: Scorer | None = None) -> None:
        self.reference, self.score = reference, score
        self.signals = signals_of(reference.settings)
        self._rows = from_reference(reference).with_columns(now=pl.lit(False))
        accuracy = reference.accuracy
        self._accuracy = accuracy.estimate if accuracy else None

    def window(
        self,
        rows: pl.DataFrame,
        labelled: pl.DataFrame | None = None,
        thumbs: pl.DataFrame | None = None,
        confidences: Floats | None = None,
    ) -> Found:
        """Every signal about a window (`rows` in `rows.COLUMNS`)."""
        own = {name: one for name, one in self.signals.items() if not one.at_once}
        return self._measure(own, rows, labelled, thumbs, confidences)

    def look(self, labelled: pl.DataFrame) -> Found:
        """The signals that are looked at each time, window or not: labels that came in, golden prompts."""
        own = {name: one for name, one in self.signals.items() if one.at_once}
        return self._measure(own, self._rows.head(0).drop("now"), labelled, None, None)

    def _measure(
        self,
        signals: Mapping[str, Signal],
        rows: pl.DataFrame,
        labelled: pl.DataFrame | None,
        thumbs: pl.DataFrame | None,
        confidences: Floats | None,
    ) -> Found:
        settings = self.reference.settings
        both = pl.concat([self._rows, rows.with_columns(now=pl.lit(True)).select(self._rows.columns).cast(self._rows.schema)])
        blocks = _blocks(both)
        view = View(
            rows=both,
            sides=shuffled(blocks, len(rows), settings.resamples),
            blocks=blocks,
            labels=self.reference.labels,
            settings=settings,
            accuracy=self._accuracy,
            labelled=pl.DataFrame() if labelled is None else labelled,
            thumbs=pl.DataFrame() if thumbs is None else thumbs,
            confidences=np.zeros(0) if confidences is None else confidences,
            golden=self.reference.golden,
            score=self.score,
        )
        found: dict[str, tuple[Signal, Measure]] = {}
        unmeasured: dict[str, str] = {}
        for name, signal in signals.items():
            said = _asked(name, signal, view)
            if isinstance(said, Unmeasured):
                unmeasured[name] = said.reason
            else:
                found[name] = (signal, said)
        decided = decide(found, settings.false_alarms)
        return Found(decided, unmeasured, _shown(rows, decided))


def _blocks(rows: pl.DataFrame) -> Ints:
    """(rows,) a number for each group of a side; a row without a group is one of its own."""
    alone = pl.format("row {}", pl.int_range(pl.len()))
    name = pl.when(pl.col("group").is_null()).then(alone).otherwise(pl.format("{} {}", "now", "group"))
    return np.asarray(rows.select(number=name.rank("dense"))["number"].to_numpy(), np.int64)


def _asked(name: str, signal: Signal, view: View) -> Measure | Unmeasured:
    """What a signal says. One that fails is shown as failed: the others still watch."""
    try:
        return signal.measure(view)
    except TunewrightError as error:
        return Unmeasured(f"failed: {error}")
    except Exception as error:
        log.exception("signal %s failed", name)
        return Unmeasured(f"failed: {type(error).__name__}: {error}")


def _shown(rows: pl.DataFrame, decided: Mapping[str, Decided]) -> dict[str, str]:
    """The beginnings of the texts that signals point at. They go into messages, so personal data is taken out whatever the store keeps."""
    ids = {key for one in decided.values() for part in one.moved for key in part.examples}
    some = rows.filter(pl.col("id").is_in(list(ids))).drop_nulls("text").unique("id")
    if some.is_empty():
        return {}
    from tunewright.text.pii import redact

    texts = redact(some["text"].str.replace_all(r"\s+", " "))["text"].to_list()
    begun = (text if len(text) <= SHOWN else text[: SHOWN - 1].rstrip() + "…" for text in texts)
    return dict(zip(some["id"].to_list(), begun, strict=True))
