"""Placeholders that can be opened again: <EMAIL_1> in the rows, what it stood for in a file that only you hold.

    {"version": 1, "numbered": "row", "sealed": null,
     "entries": [{"row_id": "r3f09..", "placeholder": "<EMAIL_1>", "value": "jo@firm.example"}]}

`numbered: row` counts anew in each row, so rows cannot be linked by who is in them, and opening needs the row's id; `numbered:
data` gives a value the same placeholder everywhere. The file is readable by its owner alone (0600). With a passphrase the entries are
encrypted (Fernet: AES-128-CBC and HMAC-SHA-256; the key comes from the passphrase by scrypt).
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import polars as pl

from tunewright.core.errors import DataError
from tunewright.core.files import atomic_path
from tunewright.core.optional import require

Numbered = Literal["row", "data"]
PLACEHOLDER = re.compile(r"<([A-Z][A-Z_]*)_(\d+)>")


class Vault:
    """Hands out placeholders and remembers what they stand for."""

    def __init__(self, numbered: Numbered) -> None:
        self.numbered = numbered
        self.values: dict[tuple[str, str], str] = {}  # (row id or "", placeholder) -> value
        self._given: dict[tuple[str, str, str], str] = {}  # (row id or "", kind, value) -> placeholder
        self._last: dict[tuple[str, str], int] = {}

    def avoid(self, texts: pl.Series, row_ids: pl.Series) -> None:
        """Numbers that stand in the texts already, such as a literal <EMAIL_1>, are not given to anything else."""
        odd = texts.str.contains(r"<[A-Z][A-Z_]*_\d+>").fill_null(False).arg_true()
        for row, text in zip(row_ids.gather(odd), texts.gather(odd), strict=True):
            for kind, number in PLACEHOLDER.findall(text):
                if (row, f"<{kind}_{number}>") not in self.values and ("", f"<{kind}_{number}>") not in self.values:
                    key = (self._scope(row), kind)
                    self._last[key] = max(self._last.get(key, 0), int(number))

    def placeholder(self, row_id: str, kind: str, value: str) -> str:
        """The placeholder for `value` in this row."""
        scope, word = self._scope(row_id), kind.upper()
        if (scope, word, value) not in self._given:
            self._last[scope, word] = number = self._last.get((scope, word), 0) + 1
            self._given[scope, word, value] = f"<{word}_{number}>"
            self.values[scope, f"<{word}_{number}>"] = value
        return self._given[scope, word, value]

    def _scope(self, row_id: str) -> str:
        return row_id if self.numbered == "row" else ""

    def open(self, texts: Sequence[str | None], row_ids: Sequence[str | None] | None = None) -> list[str | None]:
        """`texts` with every known placeholder replaced by what it stood for. Raises DataError when row ids are needed and missing."""
        if self.numbered == "row" and row_ids is None:
            raise DataError("this vault numbers placeholders anew in each row (numbered: row), so opening needs a row_id for each text.")
        ids = row_ids if row_ids is not None and self.numbered == "row" else [""] * len(texts)
        return [None if text is None else self._opened(text, row or "") for text, row in zip(texts, ids, strict=True)]

    def _opened(self, text: str, scope: str) -> str:
        return PLACEHOLDER.sub(lambda found: self.values.get((scope, found[0]), found[0]), text)

    def save(self, path: Path, passphrase: str | None = None) -> None:
        """Write the vault for its owner's eyes. One that is there and holds something else is moved aside, never overwritten."""
        entries = [{"row_id": row or None, "placeholder": mark, "value": value} for (row, mark), value in self.values.items()]
        document: dict[str, Any] = {"version": 1, "numbered": self.numbered, "sealed": None, "entries": entries}
        if path.exists():
            if path.is_file() and _same_entries(path, document, passphrase):
                return
            path.rename(path.with_name(f"{path.name}.{datetime.now(UTC):%Y%m%d-%H%M%S-%f}"))
        if passphrase is not None:
            salt = secrets.token_bytes(16)
            token = _cipher(passphrase, salt).encrypt(json.dumps(entries, ensure_ascii=False).encode()).decode()
            document |= {"sealed": {"by": "fernet", "salt": base64.b64encode(salt).decode()}, "entries": token}
        with atomic_path(path) as beside:
            with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
                json.dump(document, stream, ensure_ascii=False, indent=1)

    @classmethod
    def load(cls, path: Path, passphrase: str | None = None) -> Vault:
        """Read a vault. Raises DataError when it is none, or when the passphrase is missing or wrong."""
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            numbered, sealed, entries = document["numbered"], document["sealed"], document["entries"]
        except FileNotFoundError as error:
            raise DataError(f"there is no vault {path}. Name the file that prepare wrote (setting vault of redact_pii).") from error
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise DataError(f"{path} is no vault that redact_pii wrote ({type(error).__name__}: {error}).") from error
        if sealed is not None:
            entries = _unsealed(path, entries, sealed, passphrase)
        vault = cls(numbered)
        vault.values = {(one["row_id"] or "", one["placeholder"]): one["value"] for one in entries}
        return vault


def passphrase_from(variable: str | None) -> str | None:
    """The passphrase in an environment variable; None when none is named. Raises DataError when it is empty."""
    if variable is None:
        return None
    if not os.environ.get(variable):
        raise DataError(f"the environment variable {variable} (passphrase of the vault) is not set. Set it, or leave out the setting.")
    return os.environ[variable]


def _same_entries(path: Path, document: dict[str, Any], passphrase: str | None) -> bool:
    try:
        before = Vault.load(path, passphrase)
        sealed = json.loads(path.read_text(encoding="utf-8"))["sealed"] is not None
    except DataError:
        return False
    entries = {(one["row_id"] or "", one["placeholder"]): one["value"] for one in document["entries"]}
    return before.values == entries and before.numbered == document["numbered"] and sealed == (passphrase is not None)


def _cipher(passphrase: str, salt: bytes) -> Any:
    key = hashlib.scrypt(passphrase.encode(), salt=salt, n=2**15, r=8, p=1, maxmem=2**26, dklen=32)
    return require("cryptography.fernet", "vault").Fernet(base64.urlsafe_b64encode(key))


def _unsealed(path: Path, token: str, sealed: dict[str, str], passphrase: str | None) -> Any:
    if passphrase is None:
        raise DataError(f"{path} is encrypted. Name the environment variable with its passphrase: --key-env VARIABLE.")
    cipher = _cipher(passphrase, base64.b64decode(sealed["salt"]))
    try:
        return json.loads(cipher.decrypt(token.encode()))
    except require("cryptography.fernet", "vault").InvalidToken as error:
        raise DataError(f"{path} does not open with this passphrase, or the file was changed.") from error
