"""Ctrl-C ends the work also when Python drops it on the way."""

import os
import signal
from collections.abc import Iterator

import pytest

from tunewright.core import interrupt
from tunewright.core.progress import Report


@pytest.fixture(autouse=True)
def interrupts_arrive() -> Iterator[None]:
    """A shell starts what it runs in the background with interrupts ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Clumsy:
    """An interrupt that falls into a destructor is printed and forgotten."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_that_was_dropped_is_heard_at_the_next_step():
    with interrupt.heard(), Report(quiet=True).task("work") as task:
        task.advance()
        one = Clumsy()
        del one
        with pytest.raises(KeyboardInterrupt):
            task.advance()
    interrupt.check()  # over with the command
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupt_is_raised_where_it_falls():
    with pytest.raises(KeyboardInterrupt), interrupt.heard():
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(10):
            pass
    interrupt.check()
