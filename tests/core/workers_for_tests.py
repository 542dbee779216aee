"""Functions that worker processes import."""

import os
import signal
import time
from pathlib import Path

import polars as pl
from pydantic import Field

from tunewright.core.errors import DataError
from tunewright.core.parts import Check, Look
from tunewright.core.progress import Report
from tunewright.text.partitioned import Item, measure_candidates


def double(item: int, report: Report) -> tuple[int, int, str]:
    with report.task("doubling", 2) as task:
        task.advance()
        task.advance()
    report.say(f"said {item}")
    return item * 2, os.getpid(), os.environ.get("OMP_NUM_THREADS", "")


def fail(item: int, report: Report) -> int:
    if item == 1:
        raise DataError("rule, value, place")
    time.sleep(60)
    return item


def die(item: int, report: Report) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return item


def mark_and_wait(item: Path, report: Report) -> None:
    item.write_text(str(os.getpid()))
    time.sleep(120)


def die_the_first_time(item: Path, report: Report) -> str:
    if not item.exists() and item.name in "024":
        item.write_text("seen")
        os.kill(os.getpid(), signal.SIGKILL)
    item.write_text("done")
    return item.name


def fail_at_once(item: int, report: Report) -> int:
    raise DataError("rule, value, place")


def die_once(grave: Path) -> None:
    """End this process as if the machine had: the first one that comes here."""
    if not grave.exists():
        grave.touch()
        os.kill(os.getpid(), signal.SIGKILL)


class Mortal(Check):
    """Finds nothing; its first worker dies."""

    grave: str = Field("", description="the file that says that it did")

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        die_once(Path(self.grave))
        return pl.DataFrame()


def measure_after_dying(item: Item, report: Report) -> None:
    """Verifies candidates; the first worker that is asked to dies."""
    die_once(item[0].directory.parent / "grave")
    measure_candidates(item, report)
