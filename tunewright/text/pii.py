"""Personal data by pattern, checksum and the words around it: 32 kinds, from e-mail addresses to Brazilian tax numbers.

    find(pl.Series(["mail jo@firm.example or 4111 1111 1111 1111"]))
    row 0 | kind email | start 5  | end 20 | value jo@firm.example      | confidence 0.95
    row 0 | kind card  | start 24 | end 43 | value 4111 1111 1111 1111  | confidence 0.95

Confidence says how sure the pattern is: a checksum, an unmistakable form or the right words before it are at least `STRONG`;
digits that merely could be a number of that kind are below, and are shown but never redacted. Forms are in `pii_contact` and
`pii_numbers`, arithmetic is in `checksums`; keys and passwords (kind `secret`) are told apart in `secrets`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, get_args

import polars as pl

from tunewright.text.patterns import STRONG, Pattern, search
from tunewright.text.pii_contact import CONTACT
from tunewright.text.pii_numbers import NUMBERS
from tunewright.text.secrets import SECRETS

__all__ = ["KINDS", "PATTERNS", "PERSONAL", "STRONG", "Kind", "find", "masked", "redact"]

# In order of precedence: where two kinds overlap, the first one has it.
Kind = Literal[
    "secret",
    "iban",
    "crypto_wallet",
    "passport",
    "drivers_licence",
    "imei",
    "card",
    "ssn",
    "email",
    "ip_address",
    "mac_address",
    "vin",
    "date_of_birth",
    "codice_fiscale",
    "insee",
    "chinese_id",
    "nino",
    "nhs",
    "german_tax_id",
    "spanish_id",
    "bsn",
    "aadhaar",
    "pan",
    "cpf",
    "cnpj",
    "sin",
    "personnummer",
    "bank_account",
    "gps",
    "phone",
    "address",
    "person",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
PERSONAL: tuple[Kind, ...] = tuple(kind for kind in KINDS if kind != "secret")
PATTERNS: dict[str, Pattern] = {**SECRETS, **NUMBERS, **CONTACT}


def find(texts: pl.Series, kinds: Sequence[Kind] = KINDS, region: str = "US", allow: Sequence[str] = ()) -> pl.DataFrame:
    """Personal data in `texts`, in order of row and place; `start` and `end` count characters.

    `region` (two letters) is where phone numbers without a country code belong; `allow` lists values, or ends of values
    such as '@ourfirm.com', that are nobody's secret. Overlapping finds go to the kind that stands first in `KINDS`.
    """
    chosen: dict[str, Pattern] = dict(SECRETS) if "secret" in kinds else {}
    chosen |= {kind: PATTERNS[kind] for kind in PERSONAL if kind in kinds}
    found = search(texts, chosen, region, allow)
    return found.with_columns(kind=pl.when(pl.col("kind").is_in(list(SECRETS))).then(pl.lit("secret")).otherwise("kind"))


def masked(value: str) -> str:
    """A value that can be shown: its form without its content ('j•@•••••.••')."""
    return value[:1] + re.sub(r"\w", "•", value[1:])


def redact(texts: pl.Series, kinds: Sequence[Kind] = KINDS, region: str = "US", allow: Sequence[str] = ()) -> pl.DataFrame:
    """Each text with sure finds replaced by '<KIND>', and what was `found` ('email 2, phone 1'; null for nothing)."""
    sure = find(texts, kinds, region, allow).filter(pl.col("confidence") >= STRONG)
    redacted: list[str | None] = texts.to_list()
    found: list[str | None] = [None] * len(texts)
    for part in sure.partition_by("row", maintain_order=True):
        row, at, pieces = part["row"][0], 0, []
        for kind, start, end in part.select("kind", "start", "end").iter_rows():
            pieces += [texts[row][at:start], f"<{kind.upper()}>"]
            at = end
        redacted[row] = "".join(pieces) + texts[row][at:]
        found[row] = ", ".join(f"{kind} {number}" for kind, number in part["kind"].value_counts().sort("kind").iter_rows())
    return pl.DataFrame({"text": redacted, "found": found}, schema={"text": pl.String, "found": pl.String})
