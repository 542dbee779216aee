"""Open a file of redacted rows with the vault: every <EMAIL_1> becomes what stood there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import polars as pl

from tunewright.core.errors import DataError
from tunewright.core.files import atomic_path
from tunewright.prepare.vault import PLACEHOLDER, Vault, passphrase_from


def unredact(source: Path, vault_file: Path, target: Path, key_env: str | None = None) -> int:
    """Write `source` with its placeholders opened to `target` (mode 0600); return how many there were. Raises DataError."""
    vault = Vault.load(vault_file, passphrase_from(key_env))
    if not source.is_file():
        raise DataError(f"there is no file {source}.")
    if target.resolve() == source.resolve():
        raise DataError(f"{target} is the file to open. Give another --output.")
    ending = source.suffix.lower()
    if ending not in _READ:
        text = source.read_text(encoding="utf-8")
        opened = vault.open([text])[0] or ""
        _write(target, lambda path: path.write_text(opened, encoding="utf-8"))
        return len(PLACEHOLDER.findall(text)) - len(PLACEHOLDER.findall(opened))
    rows = _READ[ending](source)
    ids = rows["row_id"].to_list() if "row_id" in rows.columns else None
    texts = [name for name, kind in rows.schema.items() if kind == pl.String and name != "row_id"]
    new = rows.with_columns(pl.Series(name, vault.open(rows[name].to_list(), ids), dtype=pl.String) for name in texts)
    _write(target, lambda path: _WRITE[ending](new, path))
    return sum(_marks(rows[name]) - _marks(new[name]) for name in texts)


def _marks(texts: pl.Series) -> int:
    return int(texts.str.count_matches(PLACEHOLDER.pattern).sum() or 0)


def _write(target: Path, write: Callable[[Path], object]) -> None:
    with atomic_path(target) as beside:
        os.close(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        write(beside)


_READ = {
    ".csv": lambda path: pl.read_csv(path, infer_schema=False),
    ".jsonl": lambda path: pl.read_ndjson(path),
    ".parquet": lambda path: pl.read_parquet(path),
}
_WRITE = {
    ".csv": lambda rows, path: rows.write_csv(path),
    ".jsonl": lambda rows, path: rows.write_ndjson(path),
    ".parquet": lambda rows, path: rows.write_parquet(path),
}
