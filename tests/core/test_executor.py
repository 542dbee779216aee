"""Work side by side in fresh processes: results in order, errors whole, no orphan left."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import workers_for_tests as jobs

from tunewright.core.errors import DataError, RunError
from tunewright.core.executor import LocalExecutor, ThreadExecutor, cores, in_threads
from tunewright.core.progress import Report


class Listening(Report):
    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.heard: list[str] = []

    def say(self, text: str = "") -> None:
        self.heard.append(text)


def test_results_come_in_order_from_other_processes_with_their_share_of_threads():
    report = Listening()
    results = LocalExecutor(report).map(jobs.double, [1, 2, 3], workers=2)
    assert [one[0] for one in results] == [2, 4, 6]
    assert os.getpid() not in {one[1] for one in results}
    assert {one[2] for one in results} == {str(max(1, cores() // 2))}
    assert sorted(report.heard) == ["said 1", "said 2", "said 3"]


def test_one_worker_means_this_process():
    assert LocalExecutor(Report(quiet=True)).map(jobs.double, [5])[0][:2] == (10, os.getpid())


def test_the_first_error_comes_through_and_stops_the_others():
    start = time.monotonic()
    with pytest.raises(DataError, match="rule, value, place"):
        LocalExecutor(Report(quiet=True)).map(jobs.fail, [0, 1], workers=2)
    assert time.monotonic() - start < 30


def test_a_killed_worker_is_told_as_such():
    with pytest.raises(RunError, match="memory ran out"):
        LocalExecutor(Report(quiet=True)).map(jobs.die, [0, 1], workers=2)


def test_workers_end_when_their_parent_is_killed(tmp_path: Path):
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from pathlib import Path\nimport workers_for_tests as jobs\n"
        "from tunewright.core.executor import LocalExecutor\nfrom tunewright.core.progress import Report\n"
        f"LocalExecutor(Report(quiet=True)).map(jobs.mark_and_wait, [Path({str(tmp_path)!r}) / n for n in 'ab'], workers=2)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 60
    while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(0.2)
    workers = [int(one.read_text()) for one in tmp_path.iterdir()]
    assert len(workers) == 2
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    while any(_alive(one) for one in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(_alive(one) for one in workers)


def _alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().split(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_threads_give_results_in_order_and_the_first_error():
    assert in_threads([partial(pow, number, 2) for number in range(50)], 3) == [number**2 for number in range(50)]
    with pytest.raises(ZeroDivisionError):
        in_threads([partial(divmod, 1, number) for number in (1, 0, 2)], 2)
    assert ThreadExecutor(Report(quiet=True)).map(jobs.double, [1, 2, 3], workers=2)[2][:2] == (6, os.getpid())
