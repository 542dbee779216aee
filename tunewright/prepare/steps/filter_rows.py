"""Keep or drop rows by what their columns hold: lengths, patterns, values, languages.

    {name: filter_rows, keep: [{field: text, min_words: 3, max_characters: 4000}], drop: [{field: folder, equals: [spam_2, easy_ham]}]}

The conditions of one entry hold together; a row stays when every entry of `keep` holds and none of `drop`.
"""

from __future__ import annotations

from typing import Any

import polars as pl
from pydantic import Field, field_validator, model_validator

from tunewright.core.parts import Look, Step, StepResult
from tunewright.core.settings import Settings
from tunewright.prepare.split_by import column_of
from tunewright.prepare.steps._shared import drop


class Condition(Settings):
    """What must hold for one column; all that is given holds together."""

    field: str = Field("text", description="column looked at")
    min_words: int | None = Field(None, ge=0, description="words it must have")
    max_words: int | None = Field(None, ge=0, description="words it may have")
    min_characters: int | None = Field(None, ge=0, description="characters it must have")
    max_characters: int | None = Field(None, ge=0, description="characters it may have")
    matches: str | None = Field(None, description="regular expression that occurs in it (Rust syntax: no look-around)")
    equals: str | list[str] | None = Field(None, description="value, or one of these values")
    language: str | list[str] | None = Field(None, description="ISO 639 code, or one of these; short texts are guesses")
    missing: bool | None = Field(None, description="true: there is no value; false: there is one")

    @field_validator("matches")
    @classmethod
    def _is_a_pattern(cls, value: str | None) -> str | None:
        try:
            pl.Series([""]).str.contains(value or "")
        except pl.exceptions.PolarsError as error:
            raise ValueError(f"must be a regular expression ({str(error).splitlines()[-1].strip()})") from error
        return value

    @model_validator(mode="after")
    def _says_something(self) -> Condition:
        if not self.asked():
            raise ValueError(f"an entry needs at least one condition besides field: {', '.join(list(Condition.model_fields)[1:])}")
        for unit in ("words", "characters"):
            low, high = getattr(self, f"min_{unit}"), getattr(self, f"max_{unit}")
            if low is not None and high is not None and low > high:
                raise ValueError(f"min_{unit} must not be above max_{unit} (here {low} and {high}): no row can be both")
        return self

    def asked(self) -> dict[str, Any]:
        """The conditions that are given."""
        return {name: value for name, value in self.model_dump().items() if name != "field" and value is not None}

    def words(self) -> str:
        """'text: min_words 3, max_words 50'."""
        shown = {name: "|".join(value) if isinstance(value, list) else value for name, value in self.asked().items()}
        return f"{self.field}: " + ", ".join(f"{name} {value}" for name, value in shown.items())

    def holds(self, rows: pl.DataFrame) -> pl.Series:
        """True for each row for which all of it holds; a missing value only ever holds `missing: true` and upper limits."""
        text = rows[column_of(rows, self.field, "filter_rows.field")].cast(pl.String).alias("t")
        values, fine = text.fill_null(""), pl.repeat(True, len(rows), eager=True)
        for unit, sizes in (("words", values.str.count_matches(r"\S+")), ("characters", values.str.len_chars())):
            low, high = getattr(self, f"min_{unit}"), getattr(self, f"max_{unit}")
            fine = fine & (sizes >= low) if low is not None else fine
            fine = fine & (sizes <= high) if high is not None else fine
        if self.matches is not None:
            fine = fine & text.str.contains(self.matches).fill_null(False)
        if self.equals is not None:
            fine = fine & text.is_in(_several(self.equals)).fill_null(False)
        if self.missing is not None:
            fine = fine & ((values.str.strip_chars() == "") == self.missing)
        return fine & _in_language(values, fine, self.language) if self.language is not None else fine


class FilterRows(Step):
    """Drops rows for which a condition of `keep` does not hold, or one of `drop` does. Reasons: not_kept, filtered_out."""

    keep: list[Condition] = Field([], description="conditions that a row must meet, for example {field: text, min_words: 3}")
    drop: list[Condition] = Field([], description="conditions that a row must not meet")

    @model_validator(mode="after")
    def _filters_something(self) -> FilterRows:
        if not self.keep and not self.drop:
            raise ValueError("name at least one condition in keep or drop, for example keep: [{field: text, min_words: 3}]")
        return self

    def run(self, rows: pl.DataFrame, look: Look) -> StepResult:
        told = []
        for reason, wanted, conditions in (("not_kept", True, self.keep), ("filtered_out", False, self.drop)):
            for condition in conditions:
                wrong = condition.holds(rows) != wanted
                done = drop(rows, wrong, reason, condition.words())
                rows = done.rows
                told.append(done.changes)
        return StepResult(rows, pl.concat(told))


def _several(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _in_language(values: pl.Series, wanted: pl.Series, codes: str | list[str]) -> pl.Series:
    """Only rows that are still wanted are asked for their language."""
    from tunewright.text.language import identify

    places = wanted.arg_true()
    said = identify(values.gather(places))["code"].is_in(_several(codes))
    return pl.repeat(False, len(values), eager=True).scatter(places, said) if len(said) else wanted
