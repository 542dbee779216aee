"""The tone of the data is the tone that a model learns: one made from complaints sounds negative, and expects complaints.

Tone comes from a list of rated English words (`text/tone.py`), and so does its bias: among texts that are half positive and half
negative by people's judgement, 39% of those with a tone count as negative (measured on 23,703 rated texts of four domains). A
data set is compared with that, and each group of `data.slices` with the other rows.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import polars as pl
from pydantic import Field

from tunewright.audit.checks._groups import WHAT_TO_DO, Group, belonging, compared, declared, named, percent
from tunewright.audit.checks._shared import first_rows
from tunewright.core.parts import Check, Look
from tunewright.text.quick import sample_of

BALANCED = 0.39
TONES = ["negative", "neutral", "positive"]
LEAST_KNOWN = 0.2  # share of rows with a rated word under which the texts are not English, or not about anything with a tone
ALL = "(all rows)"


class ToneSkew(Check):
    """Texts that sound more negative, or more positive, than a balanced data set; and groups of `data.slices` that differ in tone.
    English only; looks at a sample."""

    severity: ClassVar[str] = "info"
    scope: ClassVar[Literal["row", "all"]] = "all"
    measured_by: ClassVar[tuple[str, ...]] = ("sample",)
    tilt: float = Field(0.15, gt=0, lt=0.39, description="how far the share of negative among positive and negative may lie from balanced")
    difference: float = Field(
        0.1, ge=0, le=1, description="a tone's share in a group must be this far from its share in the other rows ..."
    )
    p: float = Field(0.05, gt=0, lt=1, description="... and the mixes must differ with this corrected p")
    sample: int = Field(20_000, ge=1, description="rows looked at, at most")

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        from tunewright.text.tone import tone_of

        looked, tables = sample_of(rows, self.sample), []
        for field in ("text", "answer"):
            if field not in rows.columns or looked.is_empty():
                continue
            tone = tone_of(looked[field])
            if tone.is_not_null().mean() < LEAST_KNOWN:  # type: ignore[operator]
                continue
            kinds = np.asarray(tone.fill_null(0).to_numpy() + 1, dtype=np.intp)
            everybody = Group(ALL, "", np.ones(len(looked), dtype=bool))
            table = compared([everybody, *declared(looked, look)], kinds, TONES, belonging(looked, look))
            tables.append(table.with_columns(field=pl.lit(field)))
        return pl.concat(tables) if tables else pl.DataFrame()

    def measure_scan(self, rows: pl.LazyFrame, look: Look) -> pl.DataFrame:
        return self.measure(first_rows(rows, self.sample), look)

    def decide(self, measures: pl.DataFrame, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        if measures.is_empty():
            return pl.DataFrame()
        return pl.concat([self._overall(measures), self._groups(measures)])

    def _overall(self, measures: pl.DataFrame) -> pl.DataFrame:
        from tunewright.core.statistics import clopper_pearson

        found = []
        for (field,), part in measures.filter(pl.col("column") == ALL).group_by("field", maintain_order=True):
            rows = int(part["rows"][0])
            share = dict(part.select("kind", "share").iter_rows())
            negative, toned = round(share["negative"] * rows), round((share["negative"] + share["positive"]) * rows)
            low, high = clopper_pearson(negative, toned) if toned else (0.0, 1.0)
            tilted = "negative" if low > BALANCED + self.tilt else "positive" if high < BALANCED - self.tilt else ""
            if not tilted:
                continue
            mix = ", ".join(f"{share[tone]:.0%} {tone}" for tone in TONES)
            said = (
                f"{field}: {mix} in tone; of those with a tone {negative / toned:.0%} are negative ({low:.0%} to {high:.0%}), "
                f"{BALANCED:.0%} in balanced data. A model made from these rows takes over their tone"
            )
            found.append((said, abs(negative / toned - BALANCED), field, "warning" if tilted == "negative" else self.severity))
        schema = {"evidence": pl.String, "score": pl.Float64, "field": pl.String, "severity": pl.String}
        table = pl.DataFrame(found, schema=schema, orient="row")
        fix = "collect texts of the other tone, or reweight with the balance step"
        return table.with_columns(suggested_fix=pl.lit(fix))

    def _groups(self, measures: pl.DataFrame) -> pl.DataFrame:
        apart = (pl.col("share") - pl.col("rest")).abs()
        judged = (pl.col("p") <= self.p) & (apart >= self.difference) & (pl.col("kind") != "neutral")
        worst = measures.filter(judged).with_columns(apart=apart)
        worst = worst.sort("apart", descending=True, maintain_order=True)
        worst = worst.unique(["column", "group", "field"], keep="first", maintain_order=True)
        said = "{}: {} sounds {} in {}% of the rows ({} to {}%), in {}% of the other rows"
        limits = [percent(name) for name in ("low", "high", "rest")]
        return worst.select(
            evidence=pl.format(said, named(), "field", "kind", percent("share"), *limits),
            score="apart",
            field="field",
            severity=pl.lit(self.severity),
            suggested_fix=pl.lit(WHAT_TO_DO),
        )
