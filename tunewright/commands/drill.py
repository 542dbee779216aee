"""`tunewright drill`: proves the closed loop on this machine."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from tunewright.commands._shared import out

HELP = "prove the loop offline: detect, label, retrain, gate, canary, promote, bad releases, rollback; with a time line"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", default="examples/reviews", metavar="DIR", help="folder with reviews.csv and drift.csv")
    parser.add_argument("--folder", metavar="DIR", help="where everything is kept, new or empty (default: a temporary folder, kept too)")
    parser.add_argument("--minutes", type=float, default=15.0, metavar="N", help="fail when it takes longer (default: 15)")


def do(given: argparse.Namespace) -> int:
    from tunewright.core.errors import RunError
    from tunewright.core.optional import require
    from tunewright.core.progress import Report

    for module in ("sqlalchemy", "fastapi", "httpx"):
        require(module, "serve")
    from tunewright.drill import acts, plan
    from tunewright.drill.timeline import DrillFailed

    if not given.minutes > 0:
        raise RunError(f"--minutes must be above 0, not {given.minutes:g}.")
    chosen = plan.real(Path(given.data))
    folder = Path(given.folder or tempfile.mkdtemp(prefix=f"tunewright-drill-{time.strftime('%H%M')}-")).resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunError(f"--folder {folder}: must be new or an empty folder, so that what is shown happened in this drill.")
    report = Report()
    report.say(f"drill in {folder}")
    line = acts.play(chosen, folder, report)
    minutes = line.seconds / 60
    if minutes > given.minutes:
        raise DrillFailed(f"drill: it took {minutes:.1f} minutes; at most {given.minutes:g} were allowed (--minutes).")
    out(given, {"folder": str(folder), "seconds": line.seconds, "timeline": line.lines}, [f"passed in {minutes:.1f} minutes; {folder}"])
    return 0
