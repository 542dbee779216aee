"""Money and identity numbers: a form, a checksum where there is one, and words around it where the form alone says little.

DNI 12345678Z          spanish_id  0.95   (mod 23, and the word before it)
529.982.247-25         cpf         0.97   (two check digits and an unmistakable form)
587654321              nothing     -      (nine digits that might be anything)
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from tunewright.text import checksums
from tunewright.text.patterns import CODES, Judge, Pattern, near

# Length of an IBAN by country (SWIFT IBAN registry): the checksum alone passes one random string in 97.
IBAN_LENGTHS: dict[str, int] = json.loads(Path(__file__).with_name("iban_lengths.json").read_text())


def _digits(match: re.Match[str]) -> str:
    return re.sub(r"\D", "", match[0])


def _iban(match: re.Match[str], region: str) -> float:
    code = match[0].replace(" ", "")
    return 0.99 if IBAN_LENGTHS.get(code[:2]) == len(code) and checksums.mod97(code) else 0.0


def _card(match: re.Match[str], region: str) -> float:
    digits = _digits(match)
    issued = re.match(r"4|5[1-5]|2(?:22[1-9]|2[3-9]|[3-6]|7[01]|720)|3[47]|6(?:011|5)|35|3(?:0|6|8)", digits)
    if not issued or len(set(digits)) == 1 or not checksums.luhn(digits):
        return 0.0
    return 0.95 if len(digits) < len(match[0]) else 0.8


def _ssn(match: re.Match[str], region: str) -> float:
    return 0.9 if near(match, r"\bssn\b|social security") else 0.5


def _account(match: re.Match[str], region: str) -> float:
    digits = _digits(match)
    if near(match, r"\b(?:routing|aba|rtn)\b", before=25):
        return 0.95 if len(digits) == 9 and checksums.routing(digits) else 0.0
    if near(match, r"(?:bank|savings|checking|current)[ -](?:account|acct)", before=45):
        return 0.8
    return 0.6 if near(match, r"(?:account|acct\.?) ?(?:number|no\b|nr\b|#)\W{0,3}(?:is\W)?$", before=20) else 0.0


def _wallet(match: re.Match[str], region: str) -> float:
    code = match[0]
    if code.startswith("0x"):
        return 0.9 if near(match, r"wallet|address|\beth\b|ethereum|send", 60, 30) else 0.6
    return 0.99 if (checksums.bech32 if code.lower().startswith("bc1") else checksums.base58check)(code) else 0.0


def _imei(match: re.Match[str], region: str) -> float:
    return 0.95 if checksums.luhn(_digits(match)) and near(match, r"\bimei\b") else 0.0


def _vin(match: re.Match[str], region: str) -> float:
    code = match[0]
    named = near(match, r"\bvin\b|vehicle|chassis", 30)
    if not re.search("[A-Z]", code) or len(set(code)) < 6 or not (named or checksums.vin(code)):
        return 0.0
    return 0.95 if named else 0.6


def _passport(match: re.Match[str], region: str) -> float:
    if match["value"]:
        return 0.85
    code = match[0]
    fields = (code[:9], code[9]), (code[13:19], code[19]), (code[21:27], code[27])
    return 0.99 if all(checksums.mrz(field, check) for field, check in fields) else 0.0


def _licence(match: re.Match[str], region: str) -> float:
    return 0.8 if len(_digits(match)) >= 5 else 0.0


def _nino(match: re.Match[str], region: str) -> float:
    if near(match, r"national insurance|\bnino?\b"):
        return 0.95
    return 0.8 if match[0].count(" ") == 4 else 0.5


def _aadhaar(match: re.Match[str], region: str) -> float:
    if not checksums.verhoeff(_digits(match)):
        return 0.0
    if near(match, r"aadha?ar|uidai?"):
        return 0.95
    return 0.8 if " " in match[0] else 0.0


def _insee(match: re.Match[str], region: str) -> float:
    code = match[0].replace(" ", "")
    return (0.95 if " " in match[0] else 0.85) if checksums.insee(code) else 0.0


def _dated(match: re.Match[str], region: str) -> float:
    """Swedish personnummer: a date of birth, a mark and a Luhn digit."""
    digits = _digits(match)[-10:]
    real = 1 <= int(digits[2:4]) <= 12 and 1 <= int(digits[4:6]) <= 31
    return 0.85 if real and checksums.luhn(digits) else 0.0


def _chinese(match: re.Match[str], region: str) -> float:
    code = match[0]
    real = 1900 <= int(code[6:10]) <= 2030 and 1 <= int(code[10:12]) <= 12 and 1 <= int(code[12:14]) <= 31
    return 0.97 if real and checksums.chinese_id(code) else 0.0


def _tested(test: str, context: str = "", alone: float = 0.0, known: float = 0.95) -> Judge:
    """Passes `checksums.<test>`; `known` with the context's words before it, `alone` without."""

    def judge(match: re.Match[str], region: str) -> float:
        code = re.sub(r"[\s./-]", "", match[0]).upper()
        if not getattr(checksums, test)(code):
            return 0.0
        return known if not context or near(match, context) else alone

    return judge


_CARD = r"(?:\d{13,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{1,7}|3\d{3}([ -])\d{6}\2\d{4,5})"
_SSN = r"(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}"
_IBAN = r"[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?"
_WALLET = r"[13][1-9A-HJ-NP-Za-km-z]{25,34}|bc1[02-9ac-hj-np-z]{11,71}|BC1[02-9AC-HJ-NP-Z]{11,71}|0x[0-9a-fA-F]{40}"
_INSEE = r"[12] ?\d{2} ?(?:0[1-9]|1[0-2]|[2-4]\d|50) ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}"
_NINO = r"(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]"
_MRZ = r"[A-Z0-9<]{9}\d[A-Z<]{3}\d{7}[MFX<]\d{7}[A-Z0-9<]{14}[\d<]\d"
_NUMBER_IS = r"(?: (?i:number|no|nr|num|id))?\.?(?: (?i:is))?[:#]? ?(?:# ?)?"
_PASSPORT = rf"(?i:\bpassport){_NUMBER_IS}(?P<value>[A-Z]{{0,2}}\d{{6,9}})(?!\w)"
_LICENCE = rf"(?i:\bdriv(?:er['’]?s?|ing) licen[cs]e){_NUMBER_IS}(?P<value>[A-Z0-9][A-Z0-9-]{{5,18}})(?!\w)"


def _whole(form: str) -> str:
    """The form, and not as a part of a longer number or word."""
    return rf"(?<![\w.,/=-])(?:{form})(?![\w/=-]|[.,]\d)"


NUMBERS: dict[str, Pattern] = {
    "iban": Pattern(r"[A-Z]{2}[0-9]{2} ?[A-Z0-9]{4}", rf"(?<!\w){_IBAN}(?!\w)", _iban),
    "card": Pattern(r"(?:[0-9][ -]?){13}", rf"(?<![\w.,/=-]){_CARD}(?![\w/=-])", _card),
    "crypto_wallet": Pattern(r"[13][1-9A-HJ-NP-Za-km-z]{25}|(?:bc|BC)1[0-9a-zA-Z]{11}|0x[0-9a-fA-F]{40}", _whole(_WALLET), _wallet, CODES),
    "passport": Pattern(r"(?i)passport|[0-9][MFX<][0-9]{6}", rf"{_PASSPORT}|(?<![\w<]){_MRZ}(?![\w<])", _passport),
    "drivers_licence": Pattern(r"(?i)driv[a-z'’]+ licen[cs]e", _LICENCE, _licence),
    "imei": Pattern(r"(?i)imei", _whole(r"\d{15}|\d{2}[ -]\d{6}[ -]\d{6}[ -]\d"), _imei),
    "vin": Pattern(r"[A-HJ-NPR-Z0-9]{17}", _whole(r"[A-HJ-NPR-Z0-9]{17}"), _vin),
    "ssn": Pattern(r"[0-9]{3}-[0-9]{2}-[0-9]{4}", rf"(?<![\w.-]){_SSN}(?![\w-])", _ssn),
    "nino": Pattern(r"[A-Z]{2} ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D]", _whole(_NINO), _nino),
    "nhs": Pattern(r"(?i)\bnhs\b", _whole(r"\d{3}[ -]?\d{3}[ -]?\d{4}"), _tested("nhs", r"\bnhs\b")),
    "spanish_id": Pattern(
        r"[0-9]{7,8}[ -]?[A-Z]", _whole(r"(?:\d{8}|[XYZ]-?\d{7})[ -]?[A-HJ-NP-TV-Z]"), _tested("spanish", r"\b(?:dni|nie|nif)\b", alone=0.6)
    ),
    "insee": Pattern(r"[12] ?[0-9]{2} ?[0-9]{2} ?[0-9]", _whole(_INSEE), _insee),
    "german_tax_id": Pattern(
        r"(?i)steuer|idnr|tax", _whole(r"\d{11}|\d{2} \d{3} \d{3} \d{3}"), _tested("german_tax", r"steuer|\bidnr|tax[ -]id")
    ),
    "codice_fiscale": Pattern(
        r"[A-Z]{6}[0-9]{2}[A-Z]", _whole(r"[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]"), _tested("codice_fiscale"), CODES
    ),
    "bsn": Pattern(r"(?i)bsn|burgerservice|sofi", _whole(r"\d{9}|\d{4}\.\d{2}\.\d{3}"), _tested("bsn", r"\bbsn\b|burgerservice|sofi")),
    "aadhaar": Pattern(r"[2-9][0-9]{3} ?[0-9]{4} ?[0-9]{4}", _whole(r"[2-9]\d{3}( ?)\d{4}\1\d{4}"), _aadhaar),
    "pan": Pattern(
        r"[A-Z]{5}[0-9]{4}[A-Z]",
        r"(?<!\w)[A-Z]{3}[ABCFGHJLPT][A-Z]\d{4}[A-Z](?!\w)",
        lambda match, region: 0.9 if near(match, r"\bpan\b|income tax") else 0.5,
        CODES,
    ),
    "cpf": Pattern(r"[0-9]{3}\.[0-9]{3}\.[0-9]{3}-|(?i)cpf", _whole(r"\d{3}\.\d{3}\.\d{3}-\d{2}|(?<=CPF )\d{11}"), _tested("cpf")),
    "cnpj": Pattern(r"[0-9]{3}/[0-9]{4}-", _whole(r"\d{2}\.\d{3}\.\d{3}/\d{4}-\d{2}"), _tested("cnpj")),
    "sin": Pattern(
        r"[0-9]{3}[ -][0-9]{3}[ -][0-9]{3}", _whole(r"[1-79]\d{2}([ -])\d{3}\1\d{3}"), _tested("luhn", r"\bsin\b|social insurance")
    ),
    "personnummer": Pattern(r"[0-9]{6}[-+][0-9]{4}", _whole(r"(?:19|20)?\d{6}[-+]\d{4}"), _dated),
    "chinese_id": Pattern(r"[1-9][0-9]{16}[0-9Xx]", _whole(r"[1-9]\d{16}[\dXx]"), _chinese),
    "bank_account": Pattern(r"(?i)routing|\baba\b|\brtn\b|account|acct", _whole(r"\d{6,17}|\d{2,5}(?:[ -]\d{2,5}){1,4}"), _account),
}
