"""`tunewright report RUN`: one HTML file."""

from __future__ import annotations

import argparse

from tunewright.commands._shared import existing, out

HELP = "write one self-contained HTML file about a run"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN")


def do(given: argparse.Namespace) -> int:
    from tunewright.lifecycle import write_report

    path = write_report(existing(given.run))
    out(given, {"report": str(path)}, [str(path)])
    return 0
