"""`tunewright report RUN`: one HTML file, and where the time went."""

from __future__ import annotations

import argparse

from tunewright.commands._shared import existing, out

HELP = "write one self-contained HTML file about a run"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN")


def do(given: argparse.Namespace) -> int:
    from tunewright.core.files import read_jsonl
    from tunewright.lifecycle import write_report
    from tunewright.report.effort import effort

    run = existing(given.run)
    path = write_report(run)
    events, decisions = (
        read_jsonl(file) if (file := run.path(*name)).exists() else [] for name in (("events.jsonl",), ("review", "log.jsonl"))
    )
    spent = effort(events, decisions)
    out(given, {"report": str(path), "effort": spent}, [str(path), *([spent["text"]] if spent else [])])
    return 0
