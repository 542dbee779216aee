"""Give rows other labels: from a file that somebody wrote, or where the audit's label check is very sure."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import polars as pl
from pydantic import Field, model_validator

from tunewright.core.errors import DataError
from tunewright.core.parts import Look, Step, StepResult
from tunewright.core.plugins import FILE
from tunewright.core.settings import did_you_mean
from tunewright.prepare.steps._shared import change, unchanged

_LOOKS = r"^labelled .*?, looks (.*) \(\d+% against \d+%\)"  # how label_noise says which label it would give


class Relabel(Step):
    """Relabels rows. Reasons: relabelled_by_file, relabelled_by_suggestion. The ledger keeps who said so, and the label before."""

    file: str | None = Field(None, description="csv, jsonl or parquet with row_id, label, and if you like by, at", json_schema_extra=FILE)
    suggestions: Literal["label_noise"] | None = Field(None, description="label_noise: take the audit's suggestion")
    min_score: float = Field(0.95, ge=0, le=1, description="only suggestions at least this sure")
    new_labels: bool = Field(False, description="whether a label may be given that no row has")

    @model_validator(mode="after")
    def _has_a_source(self) -> Relabel:
        if (self.file is None) == (self.suggestions is None):
            raise ValueError("name one source of labels: file, or suggestions: label_noise")
        return self

    def reads(self, directory: Path) -> list[Path]:
        return [Path(self.file)] if self.file else []

    def run(self, rows: pl.DataFrame, look: Look) -> StepResult:
        if "label" not in rows.columns:
            return unchanged(rows)
        wanted = self._from_file() if self.file is not None else self._from_findings(look)
        known = rows["label"].unique()
        odd = wanted.filter(~pl.col("__label").is_in(known.to_list()))
        if len(odd) and not self.new_labels:
            raise DataError(
                f"relabel: {odd['__label'][0]!r} for row {odd['row_id'][0]} is a label that no row has."
                f"{did_you_mean(odd['__label'][0], known.sort().to_list())} Set new_labels: true if it is meant."
            )
        joined = rows.join(wanted, on="row_id", how="left", maintain_order="left")
        other = joined.filter(pl.col("__label").is_not_null() & pl.col("label").ne_missing(pl.col("__label")))
        reason = "relabelled_by_file" if self.file is not None else "relabelled_by_suggestion"
        said = pl.concat_str(pl.format("{} -> {}", "label", "__label"), "__who", separator=", ", ignore_nulls=True)
        gone = len(wanted) - int(joined["__label"].is_not_null().sum())
        if gone:
            look.report.say(
                f"          relabel: {gone:,} of {len(wanted):,} labels are for rows that are not here (they left before, or the id is unknown)"
            )
        new = joined.with_columns(label=pl.coalesce("__label", "label")).select(rows.columns)
        return StepResult(new, change(other, "relabelled", reason, said))

    def _from_file(self) -> pl.DataFrame:
        """(row_id, __label, __who); the latest line of a row counts."""
        path = Path(self.file or "")
        given = _read(path)
        if missing := [name for name in ("row_id", "label") if name not in given.columns]:
            raise DataError(f"relabel: {path} has no column {missing[0]!r}; it has {', '.join(given.columns)}.")
        given = given.filter(pl.col("row_id").is_not_null() & (pl.col("label").fill_null("") != ""))
        if "at" in given.columns:
            given = given.sort("at", maintain_order=True)
        who = [pl.format("by {}", "by") if "by" in given.columns else pl.lit(None, pl.String)]
        who += [pl.format("at {}", "at") if "at" in given.columns else pl.lit(None, pl.String)]
        said = pl.concat_str(*who, separator=", ", ignore_nulls=True)
        last = given.select("row_id", __label="label", __who=pl.when(said != "").then(said)).unique(
            "row_id", keep="last", maintain_order=True
        )
        differing = given.group_by("row_id").agg(pl.col("label").n_unique()).filter(pl.col("label") > 1)
        if len(differing) and "at" not in given.columns:
            raise DataError(
                f"relabel: {path} gives row {differing['row_id'].sort()[0]} several labels. Keep one, or add a column at: the latest counts."
            )
        return last

    def _from_findings(self, look: Look) -> pl.DataFrame:
        found = look.findings().filter((pl.col("check") == self.suggestions) & (pl.col("score") >= self.min_score))
        said = found.select("row_id", __label=pl.col("evidence").str.extract(_LOOKS), __who=pl.format("score {}", pl.col("score").round(3)))
        return said.drop_nulls("__label").unique("row_id", keep="first", maintain_order=True)


def _read(path: Path) -> pl.DataFrame:
    """Every column as text."""
    readers = {".csv": lambda: pl.read_csv(path, infer_schema=False), ".parquet": lambda: pl.read_parquet(path).cast(pl.String)}
    readers |= dict.fromkeys((".jsonl", ".ndjson"), lambda: pl.read_ndjson(path).cast(pl.String))
    if path.suffix.lower() not in readers:
        raise DataError(f"relabel: {path} must be csv, jsonl or parquet.")
    try:
        return readers[path.suffix.lower()]()
    except FileNotFoundError as error:
        raise DataError(f"relabel: there is no file {path}. Paths are relative to the recipe.") from error
    except pl.exceptions.PolarsError as error:
        raise DataError(f"relabel: {path} cannot be read ({str(error).splitlines()[0]}).") from error
