"""`tunewright verify RUN [WHAT]`: check the evidence of a run again."""

from __future__ import annotations

import argparse

from tunewright.commands._shared import existing, out

HELP = "check the evidence of a run again"
VERIFIERS = ("ledger", "resume", "tokens", "parity", "seal")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("what", nargs="?", choices=VERIFIERS, metavar="WHAT", help=f"{', '.join(VERIFIERS)} (default: all but resume)")


def do(given: argparse.Namespace) -> int:
    from tunewright.verify import verify

    run = existing(given.run)
    results = verify(run, given.what)
    marks = {True: "ok", False: "FAIL", None: "-"}
    lines = [f"{marks[one['ok']]:<4}  {one['name']:<8} {one['text']}" for one in results]
    out(given, {"run": str(run.directory), "results": results}, lines)
    return 0 if all(one["ok"] is not False for one in results) else 1
