"""Replace personal data and secrets by their kind: 'call 212-555-0100' becomes 'call <PHONE>'. Doubtful finds stay.

With `vault: FILE` each value gets a numbered placeholder, and the file, which only you can read, says what stood there:
`tunewright unredact ROWS --vault FILE` puts it back.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import polars as pl
from pydantic import Field, model_validator

from tunewright.core.parts import Look, Step, StepResult
from tunewright.core.plugins import FILE
from tunewright.prepare.fields import WRITTEN, differs, edited
from tunewright.prepare.steps._shared import change
from tunewright.prepare.vault import Vault, passphrase_from
from tunewright.text.pii import KINDS, STRONG, Kind, find


class RedactPii(Step):
    """Replaces e-mail addresses, phone and account numbers, keys by <EMAIL>, <PHONE>, ... Reason: personal_data."""

    kinds: list[Kind] = Field(list(KINDS), description="what to replace")
    region: str = Field("US", pattern="^[A-Z]{2}$", description="country of phone numbers without a country code")
    allow: list[str] = Field([], description="values, or ends of values such as '@ourfirm.com', that stay")
    numbered: Literal["no", "row", "data"] = Field(
        "no", description="<EMAIL_1>: the same value has the same number in its row, or in all rows"
    )
    vault: str | None = Field(None, description="file for what was replaced, to put it back later; needs numbered", json_schema_extra=FILE)
    vault_key_env: str | None = Field(None, description="environment variable with a passphrase that encrypts the vault (extra `vault`)")

    @model_validator(mode="after")
    def _numbers_for_the_vault(self) -> RedactPii:
        if self.vault is not None and self.numbered == "no":
            raise ValueError("a vault needs numbered: row or numbered: data, or placeholders could not be told apart")
        if self.vault_key_env is not None and self.vault is None:
            raise ValueError("vault_key_env is the passphrase of a vault; name the file in vault")
        return self

    def run(self, rows: pl.DataFrame, look: Look) -> StepResult:
        passphrase = passphrase_from(self.vault_key_env)
        vault = Vault("data" if self.numbered == "data" else "row")
        counts: list[pl.DataFrame] = []

        written = [name for name in (*WRITTEN, "messages") if name in rows.columns]
        for name in written if self.numbered != "no" else []:
            vault.avoid(rows[name], rows["row_id"])

        def fix(texts: pl.Series, row_ids: pl.Series) -> pl.Series:
            found = find(texts, self.kinds, self.region, self.allow).filter(pl.col("confidence") >= STRONG)
            counts.append(found.select(pl.col("kind"), row_id=row_ids.gather(found["row"])))
            return self._replaced(texts, row_ids, found, vault)

        done = edited(rows, fix)
        if self.vault is not None:
            vault.save(Path(self.vault), passphrase)
        changed = rows.filter(differs(rows, done))
        kinds = pl.concat(counts[: len([name for name in written if name != "messages"])]).group_by("row_id", "kind").len().sort("kind")
        told = kinds.group_by("row_id").agg(detail=pl.format("{} {}", "kind", "len").str.join(", "))
        lines = changed.select("row_id", "source", "line").join(told, on="row_id", how="left", maintain_order="left")
        return StepResult(done, change(lines, "fixed", "personal_data", pl.col("detail").fill_null("")))

    def _replaced(self, texts: pl.Series, row_ids: pl.Series, found: pl.DataFrame, vault: Vault) -> pl.Series:
        """`texts` with each find replaced by its placeholder; only texts with finds pass through Python."""
        places: list[int] = []
        redacted: list[str] = []
        for (row,), part in found.sort("row", "start").group_by("row", maintain_order=True):
            place = int(str(row))
            text, at, pieces = texts[place], 0, []
            for kind, start, end, value in part.select("kind", "start", "end", "value").iter_rows():
                name = vault.placeholder(row_ids[place], kind, value) if self.numbered != "no" else f"<{kind.upper()}>"
                pieces += [text[at:start], name]
                at = end
            places.append(place)
            redacted.append("".join(pieces) + text[at:])
        return texts.clone().scatter(places, redacted) if places else texts
