"""`tunewright diff RUN ROW`: what happened to one row, from its file and line to its tokens."""

from __future__ import annotations

import argparse
import sys

from tunewright.commands._shared import existing, out

HELP = "one row's life: read, found, changed, split, learnt"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("row", metavar="ROW", help="row id, the beginning of one, or SOURCE:LINE")
    parser.add_argument("--no-tokens", action="store_true", help="leave out token ids and loss mask (needs no tokenizer)")


def do(given: argparse.Namespace) -> int:
    from tunewright.diff import find_row, life, told

    run = existing(given.run)
    document = life(run, find_row(run, given.row), tokens=not given.no_tokens)
    out(given, document, told(document, color=sys.stdout.isatty()))
    return 0
