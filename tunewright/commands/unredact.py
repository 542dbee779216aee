"""`tunewright unredact FILE --vault V`: put back what redact_pii replaced, with the vault that it wrote."""

from __future__ import annotations

import argparse
from pathlib import Path

from tunewright.commands._shared import out

HELP = "put back what redact_pii replaced, with its vault"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="csv, jsonl, parquet or plain text with placeholders")
    parser.add_argument("--vault", required=True, metavar="FILE", help="vault that redact_pii wrote")
    parser.add_argument("--key-env", metavar="VARIABLE", help="environment variable with the vault's passphrase")
    parser.add_argument("-o", "--output", metavar="FILE", help="where to write (default: FILE.opened.ENDING); never over FILE itself")


def do(given: argparse.Namespace) -> int:
    from tunewright.prepare.unredact import unredact

    source = Path(given.file)
    target = Path(given.output) if given.output else source.with_suffix(f".opened{source.suffix}")
    opened = unredact(source, Path(given.vault), target, given.key_env)
    out(given, {"output": str(target), "opened": opened}, [f"Put back {opened:,} values. Wrote {target}, readable by you alone."])
    return 0
