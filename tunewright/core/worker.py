"""The other end of `executor.LocalExecutor`: one process, one function, one item. Started as `python -m tunewright.core.worker FD`."""

from __future__ import annotations

import itertools
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from tunewright.core.progress import Report, Task


class RemoteReport(Report):
    """A report whose bars and lines appear in the parent process."""

    def __init__(self, pipe: BinaryIO) -> None:
        super().__init__(quiet=True)
        self.pipe = pipe
        self._ids = itertools.count()
        self._lock = threading.Lock()

    def send(self, *message: Any) -> None:
        with self._lock:
            pickle.dump(message, self.pipe)
            self.pipe.flush()

    def say(self, text: str = "") -> None:
        self.send("say", text)

    @contextmanager
    def task(self, description: str, total: float | None = None) -> Iterator[Task]:
        key = next(self._ids)
        self.send("task", key, description, total)
        yield _RemoteTask(self, key)


class _RemoteTask:
    """Gathers steps and sends them at most five times a second."""

    def __init__(self, report: RemoteReport, key: int) -> None:
        self.report, self.key = report, key
        self.waiting, self.sent = 0.0, 0.0

    def advance(self, n: float = 1, info: str = "", total: float | None = None) -> None:
        self.waiting += n
        if time.monotonic() - self.sent > 0.2 or total is not None:
            self.report.send("advance", self.key, self.waiting, info, total)
            self.waiting, self.sent = 0.0, time.monotonic()


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _portable(error: BaseException) -> BaseException:
    """`error` with the worker's traceback as a note, or a plain stand-in when it does not pickle."""
    error.add_note(traceback.format_exc())
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__} in a worker process: {error}\n{traceback.format_exc()}")
    return error


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(int(os.environ["TUNEWRIGHT_PARENT"]),), daemon=True).start()
    sys.path[:] = pickle.load(sys.stdin.buffer)
    fn, item = pickle.load(sys.stdin.buffer)
    with open(int(sys.argv[1]), "wb") as pipe:
        report = RemoteReport(pipe)
        try:
            report.send("result", fn(item, report))
        except BaseException as error:
            report.send("error", _portable(error))


if __name__ == "__main__":
    main()
