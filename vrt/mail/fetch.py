"""Fetching: one account after the other into the desk, touching a message only after its event is durable.

Knows boxes, not what they speak; intake does the rest. Nothing here relies on what a server said in an earlier
connection: what is not touched comes again, and intake knows duplicates.
"""

from __future__ import annotations

import fcntl
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from vrt.desk import Desk
from vrt.errors import VrtError
from vrt.mail import intake
from vrt.mail.accounts import Account, secret
from vrt.mail.box import Box, Item, Look, Memory, State, trouble
from vrt.mail.plan import Received
from vrt.mail.sources import Letter
from vrt.mail.wire import Lost, Stop, Stopped, TooMuch
from vrt.storage import local
from vrt.work import Map, spread

POOL_FROM = 200_000  # bytes of mail from which worker processes pay
PATIENCE = 5  # connections that bring nothing in a row
PAUSE = 0.25  # seconds before the first of them, twice as many before each further


@dataclass
class Outcome:
    """What one round brought: how many of each kind, what an admin should know, and what stopped it."""

    account: str
    counts: Counter[str] = field(default_factory=Counter)
    too_large: list[tuple[str, int]] = field(default_factory=list)  # new tickets of such messages, and bytes
    notes: list[str] = field(default_factory=list)
    problem: VrtError | None = None
    busy: bool = False  # another process fetches this account


class Session:
    """One account over time: its box while that is open, and what is remembered of it."""

    def __init__(self, desk: Desk, account: Account, publish: Callable[[], None] | None, stop: Stop | None) -> None:
        """``publish`` brings the desk to its remote, or raises ``VrtError``; None: there is no way to."""
        self.account = account
        self._desk, self._publish, self._stop = desk, publish, stop
        self._memory = Memory()
        self._folder = desk.path / local.FOLDER
        self.box: Box | None = None
        self.idle = False

    def look(self) -> Look:
        """Open the account and count, without fetching; raises ``VrtError``."""
        self._memory.begin()
        try:
            return self._opened().look()
        finally:
            self.close()

    def round(self, show: Callable[[int], None], wait: bool = False) -> Outcome:
        """Fetch what is there, trying again where a connection is lost as long as that brings something.

        ``show`` takes how many are done. With ``wait`` another process that fetches the account is waited for. What
        goes wrong is in the outcome; raises ``Stopped`` alone.
        """
        outcome = Outcome(self.account.name)
        path = self._folder / f"fetch-{self.account.name}.lock"
        try:
            with alone(path, wait) as mine:
                if mine:
                    self._rounds(outcome, show)
                outcome.busy = not mine
        except VrtError as exc:
            outcome.problem = exc
        except OSError as exc:
            outcome.problem = trouble(exc, "this machine")
        outcome.notes += self._memory.notes
        if outcome.problem:
            self.close()
        return outcome

    def _rounds(self, outcome: Outcome, show: Callable[[int], None]) -> None:
        self._memory.begin()
        failures = 0
        with Workers() as work:
            while True:
                done, opened = outcome.counts.total() + len(self._memory.skipped), self.box is not None
                try:
                    box, opened = self._opened(), True
                    for items in box.chunks():
                        self._take(box, items, work, outcome)
                        show(outcome.counts.total())
                        if self._stop and self._stop.is_set:
                            raise Stopped
                    break
                except Lost as exc:
                    self.close()
                    hopeless = isinstance(exc, TooMuch) and not self._memory.asked  # no mail is to blame
                    self._memory.blame(exc)
                    brought = outcome.counts.total() + len(self._memory.skipped) > done
                    failures = 0 if brought else failures + 1
                    if hopeless or not opened or failures > PATIENCE:
                        raise
                    self._pause(failures)
                except BaseException:
                    self.close()
                    raise
        if self._memory.skipped:
            why = next(iter(self._memory.skipped.values()))
            count = len(self._memory.skipped)
            what = "a message" if count == 1 else f"{count} messages"
            outcome.problem = Lost(f"{what} could not be fetched and {'is' if count == 1 else 'are'} left: {why}")

    def _pause(self, failures: int) -> None:
        time.sleep(random.uniform(0.5, 1) * PAUSE * 2 ** max(0, failures - 1))
        if self._stop and self._stop.is_set:
            raise Stopped

    def _take(self, box: Box, items: list[Item], work: Workers, outcome: Outcome) -> None:
        """Receive one chunk, and only then touch it."""
        letters = [item.letter for item in items]
        received = list(intake.receive(self._desk, letters, work.map(letters), lambda done: None))
        outcome.counts.update(r.outcome for r in received)
        outcome.too_large += [_large(i.letter, r) for i, r in zip(items, received, strict=True) if _is_new(i.letter, r)]
        if self.account.publish:
            self._publish_first()
        box.touch(items)

    def _publish_first(self) -> None:
        if self._publish is None:
            raise VrtError("publish is true, and nothing here can publish")
        try:
            self._publish()
        except VrtError as exc:
            exc.message = f"what came is recorded, but not published, so it stays on the server: {exc.message}"
            raise

    # --- the box ------------------------------------------------------------------------------------

    def _opened(self) -> Box:
        if self.box is None:
            self.box = self._open()
        elif self.idle:
            self.idle = False
            self.box.wake()
        return self.box

    def _open(self) -> Box:
        account, memory, stop = self.account, self._memory, self._stop
        limit = self._desk.roster.desk.limit("message_bytes")
        state = State(self._folder / f"fetch-{account.name}.json")
        password = partial(secret, account)
        if account.type == "imap":
            from vrt.mail.imap import ImapBox

            return ImapBox(account, password, limit, memory, stop)
        if account.type == "pop3":
            from vrt.mail.pop import PopBox

            return PopBox(account, password, limit, memory, stop, state)
        if account.type == "maildir":
            from vrt.mail.maildir import MaildirBox

            return MaildirBox(account, limit, memory)
        from vrt.mail.mbox import MboxBox

        return MboxBox(account, limit, state)

    def rest(self) -> bool:
        """Between two rounds: let the server tell when something comes, else hang up; says which."""
        try:
            self.idle = self.box is not None and self.box.idle()
        except VrtError:
            self.idle = False
        if not self.idle:
            self.close()
        return self.idle

    def close(self) -> None:
        """Hang up."""
        if self.box is not None:
            self.box.close()
        self.box, self.idle = None, False


def _is_new(letter: Letter, received: Received) -> bool:
    return bool(letter.too_large and received.ticket) and received.outcome != "duplicate"


def _large(letter: Letter, received: Received) -> tuple[str, int]:
    return received.ticket, letter.too_large


class Workers:
    """Worker processes for intake, started when there is enough to do."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._map: Map | None = None

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *error: Any) -> bool | None:
        return self._stack.__exit__(*error)

    def map(self, letters: list[Letter]) -> Map:
        """Return the ``map`` for these letters."""
        if self._map is None and sum(len(letter.raw) for letter in letters) >= POOL_FROM:
            self._map = self._stack.enter_context(spread(True))
        return self._map or map


@contextmanager
def alone(path: Path, wait: bool) -> Iterator[bool]:
    """Hold the lock of an account and yield True; False where another process holds it and we do not ``wait``."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(fd)
