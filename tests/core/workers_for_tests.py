"""Functions that worker processes import."""

import os
import signal
import time
from pathlib import Path

from tunewright.core.errors import DataError
from tunewright.core.progress import Report


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
