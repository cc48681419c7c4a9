"""How much of a mail is read, and the processor time that reading one may take.

Knows nothing of mails. The limits are kept in bytes, characters and seconds; what lies beyond one is
still in the original, which is always kept whole.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

MAX_BYTES = 25 << 20  # of a mail that is taken apart
MAX_TEXT = 2_000_000  # characters of a mail's text, some hundred pages
MAX_HEADER = 1_000_000  # bytes of one field, and of the header where nothing else is read
SECONDS = 3.0  # of processor time for one mail

CUT_OFF = f"text cut off at {MAX_TEXT / 1e6:g} MB"


def larger_than(limit: int) -> str:
    """Return the defect of a mail that has more than ``limit`` bytes."""
    return f"larger than {limit / (1 << 20):g} MiB"


class TookTooLong(BaseException):
    """The time is up. Not an ``Exception``, so that what foresees any of those lets it through."""


class _Clock:
    """Whether a limit is running in this process, and whether its time is up."""

    running = False
    over = False


def look() -> None:
    """Raise ``TookTooLong`` if the time is up; for after a call that may have swallowed it."""
    if _Clock.running and _Clock.over:
        raise TookTooLong


def _expired(_signal: int, _frame: FrameType | None) -> None:
    _Clock.over = True
    look()


@contextmanager
def cpu(seconds: float) -> Iterator[None]:
    """Raise ``TookTooLong`` within the block after ``seconds`` of the process's processor time.

    Works in the main thread of a process, by a signal; elsewhere there is no limit. What runs outside of Python
    is interrupted when it comes back. Within another such block that one's time counts, and within any other
    use of the timer that ends sooner, that.
    """
    begin = time.process_time()
    outer = signal.getitimer(signal.ITIMER_PROF)[0] if threading.current_thread() is threading.main_thread() else 0.0
    if _Clock.running or threading.current_thread() is not threading.main_thread() or 0 < outer < seconds:
        yield
        return
    before = signal.signal(signal.SIGPROF, _expired)
    _Clock.running, _Clock.over = True, False
    try:
        # Again and again: some libraries swallow what is raised within them.
        signal.setitimer(signal.ITIMER_PROF, seconds, 0.1)
        yield
    finally:
        _Clock.running = False
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before if before is not None else signal.SIG_DFL)
        if outer:
            signal.setitimer(signal.ITIMER_PROF, max(outer - (time.process_time() - begin), 0.001))
