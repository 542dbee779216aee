"""Personal data by pattern and checksum: e-mail, phone, IBAN, payment card, US social security number, IPv4 address.

    find(pl.Series(["mail jo@firm.example or 4111 1111 1111 1111"]))
    row 0 | kind email | start 5  | end 20 | value jo@firm.example      | confidence 0.95
    row 0 | kind card  | start 24 | end 43 | value 4111 1111 1111 1111  | confidence 0.95

Confidence says how sure the pattern is: a checksum or an unmistakable form is at least `STRONG`; digits that merely could be
a number of that kind are below, and are shown but never redacted.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import polars as pl

from tunewright.core.optional import require

Kind = Literal["iban", "card", "ssn", "email", "ip_address", "phone"]
KINDS: tuple[Kind, ...] = get_args(Kind)
STRONG = 0.75
FOUND = ["row", "kind", "start", "end", "value", "confidence"]
FOUND_SCHEMA = dict(zip(FOUND, (pl.UInt32, pl.String, pl.Int64, pl.Int64, pl.String, pl.Float64), strict=True))
# Length of an IBAN by country (SWIFT IBAN registry): the checksum alone passes one random string in 97.
IBAN_LENGTHS: dict[str, int] = json.loads(Path(__file__).with_name("iban_lengths.json").read_text())


@dataclass(frozen=True)
class Pattern:
    """`hint` picks rows worth a look (a Polars regex), `exact` finds candidates in them, `judge` gives a confidence or 0."""

    hint: str
    exact: str
    judge: Callable[[re.Match[str], str], float]


def luhn(digits: str) -> bool:
    """The check digit of payment cards (ISO/IEC 7812-1)."""
    doubled = (int(one) * (1 + place % 2) for place, one in enumerate(reversed(digits)))
    return sum(number // 10 + number % 10 for number in doubled) % 10 == 0


def _iban(match: re.Match[str], region: str) -> float:
    code = match[0].replace(" ", "")
    if IBAN_LENGTHS.get(code[:2]) != len(code):
        return 0.0
    return 0.99 if int("".join(str(int(one, 36)) for one in code[4:] + code[:4])) % 97 == 1 else 0.0


def _card(match: re.Match[str], region: str) -> float:
    digits = re.sub(r"\D", "", match[0])
    issued = re.match(r"4|5[1-5]|2(?:22[1-9]|2[3-9]|[3-6]|7[01]|720)|3[47]|6(?:011|5)|35|3(?:0|6|8)", digits)
    if not issued or len(set(digits)) == 1 or not luhn(digits):
        return 0.0
    return 0.95 if len(digits) < len(match[0]) else 0.8


def _ssn(match: re.Match[str], region: str) -> float:
    before = match.string[max(0, match.start() - 40) : match.start()].casefold()
    return 0.9 if re.search(r"\bssn\b|social security", before) else 0.5


def _email(match: re.Match[str], region: str) -> float:
    return 0.0 if ".." in match[0] else 0.95


def _ip_address(match: re.Match[str], region: str) -> float:
    try:
        reachable = ipaddress.IPv4Address(match[0]).is_global
    except ValueError:
        return 0.0
    before = match.string[max(0, match.start() - 12) : match.start()]
    version = re.search(r"(?i)(?:\bv|version|release|revision|rev)[ .:]*$", before)
    return 0.5 if reachable and not version else 0.0


def _phone(match: re.Match[str], region: str) -> float:
    phonenumbers = require("phonenumbers", "audit")
    try:
        number = phonenumbers.parse(match[0], region)
    except phonenumbers.NumberParseException:
        return 0.0
    if not phonenumbers.is_valid_number(number):
        return 0.0
    if match[0].startswith("+"):
        return 0.9
    return 0.8 if re.search(r"\d[ ).-]+\d", match[0]) else 0.4


_PHONE = r"(?:\+?\d{9,15}|(?:\+\d{1,3}[ .-]?)?(?:\(\d{1,4}\)[ .-]?)?\d{1,5}(?:[ .-]{1,2}\d{2,5}){1,4})"
_CARD = r"(?:\d{13,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{1,7}|3\d{3}([ -])\d{6}\2\d{4,5})"
_SSN = r"(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}"
_IBAN = r"[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?"
_EMAIL = r"[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[a-zA-Z]{2,24}"
PATTERNS: dict[Kind, Pattern] = {
    "iban": Pattern(r"[A-Z]{2}\d{2} ?[A-Z0-9]{4}", rf"(?<!\w){_IBAN}(?!\w)", _iban),
    "card": Pattern(r"(?:\d[ -]?){13}", rf"(?<![\w.,/=-]){_CARD}(?![\w/=-])", _card),
    "ssn": Pattern(r"\d{3}-\d{2}-\d{4}", rf"(?<![\w.-]){_SSN}(?![\w-])", _ssn),
    "email": Pattern(r"\w@[\w-]+\.\w", rf"(?<![\w.+-]){_EMAIL}(?![\w-])", _email),
    "ip_address": Pattern(r"\d\.\d{1,3}\.\d{1,3}\.\d", r"(?<![\w.-])\d{1,3}(?:\.\d{1,3}){3}(?![\w-]|\.\d)", _ip_address),
    "phone": Pattern(r"\d[ ().-]{0,3}\d[\d ().-]{5,}\d", rf"(?<![\w.,/=#:$+-]){_PHONE}(?![\w/=%]|[.,:-]\d)", _phone),
}


def find(texts: pl.Series, kinds: Sequence[Kind] = KINDS, region: str = "US", allow: Sequence[str] = ()) -> pl.DataFrame:
    """Personal data in `texts`, in order of row and place; `start` and `end` count characters.

    `region` (two letters) is where phone numbers without a country code belong; `allow` lists values, or ends of values
    such as '@ourfirm.com', that are nobody's secret. Overlapping finds go to the kind that stands first in `KINDS`.
    """
    allowed = tuple(one.casefold() for one in allow) or ("\0",)
    hints = "|".join(f"(?:{PATTERNS[kind].hint})" for kind in kinds)
    found: list[tuple[int, str, int, int, str, float]] = []
    for row in texts.str.contains(hints).fill_null(False).arg_true().to_list() if kinds else []:
        taken: list[tuple[int, int]] = []
        for kind in (one for one in KINDS if one in kinds):
            for match in re.finditer(PATTERNS[kind].exact, texts[row]):
                overlaps = any(match.start() < stop and start < match.end() for start, stop in taken)
                if overlaps or match[0].casefold().endswith(allowed):
                    continue
                confidence = PATTERNS[kind].judge(match, region)
                if confidence > 0:
                    taken.append(match.span())
                    found.append((row, kind, *match.span(), match[0], confidence))
    return pl.DataFrame(found, schema=FOUND_SCHEMA, orient="row").sort("row", "start")


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
