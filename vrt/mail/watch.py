"""Fetching as a service: each account when its server tells of new mail, or when its time has come.

Knows time, sockets and signals, and nothing of what the boxes speak. One process, one thread: accounts are fetched
one after the other, and a server that does not answer delays the others by the limits of ``vrt.mail.wire``.
"""

from __future__ import annotations

import random
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from vrt.errors import TryAgain
from vrt.mail.fetch import Outcome, Session
from vrt.mail.wire import Stop, Stopped

RENEW = 9 * 60.0  # seconds in IDLE; RFC 2177 allows 29 minutes, routers forget a silent connection sooner
LONGEST = 15 * 60.0  # seconds between two tries of an account that fails


def run(sessions: list[Session], every: float, stop: Stop, report: Callable[[Outcome], None]) -> None:
    """Fetch until ``stop`` is set. ``every`` is the time in seconds between two looks at an account without IDLE."""
    due = dict.fromkeys(sessions, 0.0)
    failed = dict.fromkeys(sessions, 0)
    try:
        while not stop.is_set:
            for session in sessions:
                if stop.is_set:
                    break
                if due[session] <= time.monotonic() or (session.idle and _has_news(session)):
                    outcome = session.round(lambda done: None)
                    failed[session] = failed[session] + 1 if outcome.problem else 0
                    if not stop.is_set:
                        report(outcome)
                    due[session] = time.monotonic() + _until_next(session, outcome, failed[session], every)
            _wait(sessions, min(due.values()), stop)
    except Stopped:
        pass
    finally:
        for session in sessions:
            session.close()


def _until_next(session: Session, outcome: Outcome, failed: int, every: float) -> float:
    """Return how many seconds to wait, with jitter, so that many desks do not come at the same moment."""
    jitter = random.uniform(0.8, 1.2)
    if outcome.problem is None:
        return (RENEW if not outcome.busy and session.rest() else every) * jitter
    if not isinstance(outcome.problem, TryAgain):  # a wrong password tried too often locks the account
        return LONGEST * jitter
    return float(min(LONGEST, every * 2 ** min(failed - 1, 10)) * jitter)


def _has_news(session: Session) -> bool:
    """Say whether the server of a resting account said something."""
    assert session.box
    if session.box.has_more():
        return True
    poll = select.poll()
    poll.register(session.box.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _wait(sessions: list[Session], until: float, stop: Stop) -> None:
    """Wait for the next that is due, a server that says something, or the end."""
    poll = select.poll()
    poll.register(stop.fileno(), select.POLLIN)
    for session in sessions:
        if session.idle and session.box:
            if session.box.has_more():
                return
            poll.register(session.box.fileno(), select.POLLIN)
    poll.poll(max(0.0, until - time.monotonic()) * 1000)


@contextmanager
def until_told() -> Iterator[Stop]:
    """Yield what SIGTERM and SIGINT set, as long as this lasts."""
    stop = Stop()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        stop.close()
