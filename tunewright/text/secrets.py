"""Keys, tokens and passwords, which a model would repeat word for word: told by structure, checksum or the word before them.

    postgres://app:s3cr3t-pw@db.example/x    url_password    0.9   (only the password counts as found)
    ghp_... with a right CRC32 at its end    github_token    0.99  (a wrong one: 0.5, somebody's example)

Forms that need no judgement are in `data/secrets.tsv`; placeholders such as 'password=changeme' or '${TOKEN}' are no secrets.
"""

from __future__ import annotations

import base64
import json
import math
import re
import zlib
from collections import Counter
from importlib.resources import files

from tunewright.text.patterns import CODES, Pattern, always

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
FILLER = re.compile(
    r"(?i)example|placeholder|your|change_?me|dummy|sample|redacted|hidden|test|foo|bar\b|^pass(?:word|wd)?$|^secret$|x{3,}|\*{2,}|\.{3}|1234|[<>{}$%()\[\]]"
)


def entropy(value: str) -> float:
    """Bits per character (Shannon); random letters and digits of 20 characters have about 4, words about 3."""
    return -sum(count / len(value) * math.log2(count / len(value)) for count in Counter(value).values())


def shape(value: str) -> str:
    """A secret as it can be shown: its first signs and its length ('AKIA… (20 characters)')."""
    return f"{value[: min(4, len(value) // 4)]}… ({len(value)} characters)"


def github_checksum(token: str) -> bool:
    """The last six signs of a GitHub or npm token are the CRC32 of the others, in base 62."""
    number, code = zlib.crc32(token.split("_", 1)[1][:-6].encode()), ""
    while number:
        number, rest = divmod(number, 62)
        code = BASE62[rest] + code
    return code.rjust(6, "0") == token[-6:]


def _github(match: re.Match[str], region: str) -> float:
    return 0.99 if github_checksum(match[0]) else 0.5


def _jwt(match: re.Match[str], region: str) -> float:
    part = match[0].split(".")[0]
    try:
        head = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except ValueError:
        return 0.0
    return 0.95 if isinstance(head, dict) and "alg" in head else 0.0


def _url_password(match: re.Match[str], region: str) -> float:
    named = re.search(r"(?i)//(?:user(?:name)?|login|name|me):", match[0])
    return 0.0 if named or FILLER.search(match["value"]) else 0.9


def _bare_key(match: re.Match[str], region: str) -> float:
    key = match[0]
    return 0.85 if re.search(r"\d", key) and re.search("[A-Z]", key) and entropy(key) > 4 else 0.0


def _assigned(match: re.Match[str], region: str) -> float:
    value = match["value"]
    mixed = sum(re.search(form, value) is not None for form in ("[a-z]", "[A-Z]", r"\d", r"[^\w\s]"))
    if FILLER.search(value) or mixed < 2 or not re.search(r"\d", value) or entropy(value) < 2.5 or re.fullmatch(r"[\d.,:/-]+", value):
        return 0.0
    return 0.85 if len(value) >= 16 and entropy(value) >= 3.5 else 0.6


_ASSIGNED = r"(?:pass(?:word|wd|phrase)|pwd|secret(?:[_-]?(?:access[_-]?)?key)?|(?:api|access|auth|private)[_-]?(?:key|token)|token)"
_PRIVATE = (
    r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----(?:[\s\S]{0,8000}?-----END (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----)?"
)


def _from_file() -> dict[str, Pattern]:
    lines = (files("tunewright.text") / "data" / "secrets.tsv").read_text(encoding="utf-8").splitlines()
    table = [line.split("\t") for line in lines if line and not line.startswith("#")]
    return {name: Pattern(hint, form, always(float(confidence)), CODES) for name, hint, form, confidence in table}


_WORDS = r"(?i)(?:pass(?:word|wd|phrase)|pwd|secret|token|api[_-]?key|access[_-]?key)[\"']?(?: is|\s?[:=])"
SECRETS: dict[str, Pattern] = {
    "private_key": Pattern("PRIVATE KEY", _PRIVATE, always(0.99), CODES),
    **_from_file(),
    "github_token": Pattern(
        r"gh[oprsu]_[0-9A-Za-z]{30}|npm_[0-9A-Za-z]{30}", r"(?<!\w)(?:gh[oprsu]|npm)_[A-Za-z0-9]{36}(?!\w)", _github, CODES
    ),
    "jwt": Pattern(r"eyJ[\w-]{8,}\.eyJ", r"(?<![\w-])eyJ[\w-]{8,}\.eyJ[\w-]{4,}\.[\w-]*", _jwt, CODES),
    "bare_key": Pattern(r"sk-[0-9A-Za-z_-]{32}", r"(?<![\w-])sk-(?:proj-|svcacct-|admin-)?[0-9A-Za-z_-]{32,}(?![\w-])", _bare_key, CODES),
    "url_password": Pattern(
        r"://[^\s:/@]+:[^\s/@]+@",
        r"(?<![a-z])[a-z][a-z0-9+.-]{1,20}://[^\s:/@]*:(?P<value>[^\s:/@]{3,})@[\w.-]+",
        _url_password,
        "://[^\\s/@]*:",
    ),
    "assigned": Pattern(
        _WORDS,
        rf"(?i:\b|_){_ASSIGNED.replace('(?:', '(?i:', 1)}[\"']?(?: is|\s?[:=]=?)\s{{0,2}}[\"']?(?P<value>[^\s\"',;<>]{{8,200}})",
        _assigned,
        _WORDS,
    ),
}
