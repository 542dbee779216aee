"""The rows a person may see: what the audit read, without the sealed test."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl

from tunewright.core.errors import DataError, RunError
from tunewright.core.files import read_json, read_parquet
from tunewright.core.ledger import Ledger
from tunewright.core.run import Run
from tunewright.core.settings import did_you_mean

CONTENT = ("text", "answer", "rejected")  # what can be edited
SHORTEST_PREFIX = 4


@dataclass(frozen=True)
class Rows:
    """The reviewable rows of a run, and what the audit says about them."""

    run: Run

    @cached_property
    def sealed(self) -> set[str]:
        """Ids of the test rows, from the ledger: the sealed file itself is not opened. Empty before the first prepare."""
        lines = Ledger(self.run.path("ledger.parquet")).lines()
        test = (pl.col("stage") == "prepare") & (pl.col("action") == "kept") & (pl.col("detail") == "test")
        return set(lines.filter(test)["row_id"].to_list())

    @cached_property
    def every(self) -> pl.DataFrame:
        return read_parquet(self.run.path("audit", "rows.parquet"))

    @cached_property
    def frame(self) -> pl.DataFrame:
        """All rows but those of the sealed test."""
        return self.every.filter(~pl.col("row_id").is_in(list(self.sealed)))

    @cached_property
    def findings(self) -> pl.DataFrame:
        """Findings about reviewable rows."""
        found = read_parquet(self.run.path("audit", "findings.parquet"))
        return found.filter(pl.col("row_id").is_not_null()).join(self.frame.select("row_id"), on="row_id", how="semi")

    @cached_property
    def labels(self) -> list[str]:
        """Labels that occur, in alphabetical order; none for rows without labels."""
        return sorted(self.frame["label"].drop_nulls().unique().to_list()) if "label" in self.frame.columns else []

    @cached_property
    def about(self) -> dict[str, str]:
        """What each check looks for, in words."""
        checks = read_json(self.run.path("audit", "summary.json")).get("checks", {})
        return {name: str(one.get("about", name)) for name, one in checks.items()}

    def find(self, row_id: str) -> dict[str, Any]:
        """The row of that id, or of an id that begins so. Raises DataError for an unknown or ambiguous id, RunError for a test row."""
        ids = self.every["row_id"]
        near = self.every.filter(ids == row_id)
        if near.is_empty() and len(row_id) >= SHORTEST_PREFIX:
            near = self.every.filter(ids.str.starts_with(row_id))
        if near.is_empty():
            raise DataError(
                f"there is no row {row_id!r} among the {len(ids):,} rows of {self.run.directory}. `tunewright review RUN next` names one."
            )
        if len(near) > 1:
            raise DataError(f"{len(near)} rows have an id that begins with {row_id!r}. Give more of it, for example {near['row_id'][0]}.")
        if near["row_id"][0] in self.sealed:
            raise RunError(
                f"row {near['row_id'][0]} is in the sealed test split. A test that people mend while they look at results proves nothing: "
                "review training and validation rows only."
            )
        return near.to_dicts()[0]

    def known_label(self, label: str, new: bool) -> str:
        """`label`, if rows have it or `new` labels are welcome. Raises DataError otherwise."""
        if not self.labels:
            raise DataError("these rows have no labels to change; edit their text or answer instead (--edit).")
        if label not in self.labels and not new:
            raise DataError(f"no row has the label {label!r}.{did_you_mean(label, self.labels)} --new-label accepts a label that is new.")
        if not label.strip():
            raise DataError("a label must have a name, but got an empty one.")
        return label

    def known_field(self, name: str | None) -> str:
        """The field that an edit changes: the answer of rows that have one, else the text."""
        there = [one for one in CONTENT if one in self.frame.columns]
        if name is None:
            return "answer" if "answer" in there else "text"
        if name not in there:
            raise DataError(f"field {name!r} cannot be edited.{did_you_mean(name, there)}")
        return name
