"""Ctrl-C that is not lost. Python drops a `KeyboardInterrupt` that happens to fall into a destructor or into a callback of a library
("Exception ignored in ..."), and the run would go on for hours. So the wish is remembered too, and long work asks for it: `check()`.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_wished = False


@contextmanager
def heard() -> Iterator[None]:
    """Remember interrupts while the block runs; in other threads than the first, which get none, it does nothing."""
    global _wished
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, _remember)
    try:
        yield
    finally:
        _wished = False
        signal.signal(signal.SIGINT, signal.default_int_handler)


def check() -> None:
    """Raise the `KeyboardInterrupt` that was asked for and got lost."""
    if _wished:
        raise KeyboardInterrupt


def _remember(number: int, frame: FrameType | None) -> None:
    global _wished
    _wished = True
    raise KeyboardInterrupt
