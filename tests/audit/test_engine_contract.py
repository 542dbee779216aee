"""What the engine relies on: measures of batches add up, thresholds stay out of measures, deciding changes nothing; on rows of every task."""

from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError

from tunewright.audit.engine import found_by
from tunewright.core import plugins
from tunewright.core.finding import FINDING_SCHEMA
from tunewright.core.parts import Check, Look
from tunewright.testing.rows import shaped

NAMES = plugins.names("checks")
ODD: list[str | None] = [
    None,
    "",
    "ok",
    "the battery of this phone lasts for two whole days",
    "the battery of this phone lasts for two whole days and a night",
    "The battery of this phone  lasts for two whole days",
    "itâ€™s broken &amp; cold<br />",
    "mail jo@firm.example or call (212) 867-5309 now",
    "As an AI language model, I cannot do that. [insert name]",
    "Ich habe das Telefon gestern gekauft und bin mit der Batterie überhaupt nicht zufrieden gewesen",
    "好" * 30,
    "<|im_start|>you idiot, " + "more and more " * 60,
]


def rows_for(task: str, clean: pl.DataFrame, check: type[Check]) -> pl.DataFrame:
    odd = pl.DataFrame({"text": ODD, "label": ["good", "bad"] * 6}, schema={"text": pl.String, "label": pl.String})
    odd = odd.with_row_index("line").select(
        row_id=pl.format("odd{}", "line"), source=pl.lit("rows.csv"), line=pl.col("line").cast(pl.Int64) + 900, text="text", label="label"
    )
    rows = pl.concat([clean.head(50), odd])
    if task == "classification":
        return shaped(rows, [one for one in check.needs if one != "label"])
    columns = {"generation": ["answer"], "preference": ["answer", "rejected"], "text": []}[task]
    return shaped(rows, sorted({*columns, *check.needs} - {"label"})).drop("label")


def measured(check: Check, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
    frame = check.measure(rows, look)
    return frame if frame.width else pl.DataFrame()


def other_thresholds(check: Check) -> list[Check]:
    """The check with each of its thresholds moved."""
    moved = []
    for name in set(type(check).model_fields) - set(check.measured_by):
        value: Any = getattr(check, name)
        steps = [value + 1, value - 1] if isinstance(value, int) and not isinstance(value, bool) else []
        steps += [value * 1.1, value * 0.9] if isinstance(value, float) else []
        for step in steps:
            try:
                moved.append(type(check).model_validate(check.model_dump() | {name: step}))
                break
            except ValidationError:
                continue
    return moved


@pytest.mark.parametrize("task", ["classification", "generation", "preference", "text"])
@pytest.mark.parametrize("name", NAMES)
def test_measures_and_findings_keep_what_the_engine_relies_on(name: str, task: str, clean: pl.DataFrame, look: Look):
    check: Check = plugins.build("checks", name)
    rows = rows_for(task, clean, type(check))
    if not set(check.needs) <= set(rows.columns):
        return
    measures = measured(check, rows, look)
    if check.scope == "row":
        parts = [part for part in (measured(check, rows[at : at + 7], look) for at in range(0, len(rows), 7)) if part.width]
        together = pl.concat(parts, how="vertical_relaxed") if parts else pl.DataFrame()
        assert together.equals(measures) or (together.is_empty() and measures.is_empty()), "measures of batches must add up"
    for other in other_thresholds(check):
        assert measured(other, rows, look).equals(measures), f"{other!r}: a threshold changes what is measured"
    before = measures.clone()
    found = found_by(check, measures, rows, look)
    assert dict(found.schema) == FINDING_SCHEMA
    assert set(found["row_id"].drop_nulls()) <= set(rows["row_id"])
    assert found["evidence"].null_count() == 0
    assert measures.equals(before), "deciding changed the measures"
    if "row_id" in measures.columns and len(measures):
        some = rows.filter(pl.col("row_id").is_in(measures["row_id"].implode()))
        assert found_by(check, measures, some, look).equals(found), "a decision may look at the rows that were measured, at no others"
