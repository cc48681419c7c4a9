"""What the places that mail is fetched from have in common: the form of a box, and what is remembered of it.

Knows no protocol. Messages are named by keys that mean something to their box alone.
"""

from __future__ import annotations

import errno
import json
from collections import Counter
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from vrt.errors import TryAgain, VrtError
from vrt.mail.sources import Letter
from vrt.mail.wire import TooMuch

MAILS = 250  # in one chunk
BYTES = 8 << 20  # in one chunk, unless one message alone has more
HEADER = 256 << 10  # bytes of a header that are kept of a message that is too large
SLACK = 1 << 20  # bytes that a server may send beyond what it claimed: claims are estimates on some


class Item(NamedTuple):
    """A message that was fetched, and its key in the box."""

    letter: Letter
    key: Hashable


class Look(NamedTuple):
    """What a box holds: all messages, and those that a fetch would take."""

    messages: int
    waiting: int


class Box(Protocol):
    """A place that mail is fetched from, open. Methods raise ``Lost`` where the connection is, else ``VrtError``."""

    def look(self) -> Look:
        """Count without fetching."""
        ...

    def chunks(self) -> Iterator[list[Item]]:
        """Yield what is to be received, in portions that fit memory, until nothing is left."""
        ...

    def touch(self, items: list[Item]) -> None:
        """Do with messages of a chunk, which are durable now, what the account says."""
        ...

    def idle(self) -> bool:
        """Let the server say by itself when something comes; False where it cannot."""
        ...

    def wake(self) -> None:
        """End ``idle``."""
        ...

    def fileno(self) -> int:
        """Return the descriptor to wait for within ``idle``."""
        ...

    def has_more(self) -> bool:
        """Say whether the server said something within ``idle`` already."""
        ...

    def close(self) -> None:
        """Hang up; never raises."""
        ...


class Still:
    """A box on this machine: it says nothing by itself, and holds nothing open."""

    def idle(self) -> bool:
        """Files tell nothing by themselves."""
        return False

    def wake(self) -> None:
        """Do nothing: there is no ``idle``."""

    def fileno(self) -> int:
        """There is nothing to wait for."""
        return -1

    def has_more(self) -> bool:
        """Say that nothing was said."""
        return False

    def close(self) -> None:
        """Do nothing: no file stays open."""


@dataclass
class Memory:
    """What is known of an account's messages beyond one connection, by their keys, as long as the process runs.

    A message that breaks the connection is found by asking for fewer at a time, and passed over in the end, so that
    it does not stand in the way of the others.
    """

    at_once: int = MAILS
    asked: tuple[Hashable, ...] = ()  # what was asked for and has not come yet
    large: set[Hashable] = field(default_factory=set)
    left: set[Hashable] = field(default_factory=set)  # durable, and left where they are
    skipped: dict[Hashable, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)  # what an admin should know
    _failures: Counter[Hashable] = field(default_factory=Counter)

    def ask(self, *keys: Hashable) -> None:
        """Remember what is asked for now."""
        self.asked = keys

    def came(self) -> None:
        """Remember that it came."""
        self.asked = ()
        self.at_once = min(MAILS, self.at_once * 4)

    def blame(self, exc: VrtError) -> None:
        """Draw the consequences of a lost connection."""
        keys, self.asked = self.asked, ()
        many = isinstance(exc, TooMuch) and len(keys) > 1
        self.at_once = 1 if many else max(1, self.at_once // 16)
        if len(keys) != 1:
            return
        if isinstance(exc, TooMuch) and keys[0] not in self.large:
            self.large.add(keys[0])
            return
        self._failures[keys[0]] += 1
        if self._failures[keys[0]] > 1:
            self.skip(keys[0], exc.message)

    def skip(self, key: Hashable, why: str) -> None:
        """Pass over a message from now on."""
        self.skipped[key] = why
        self.asked = ()

    def begin(self) -> None:
        """Give those passed over another chance, and forget what was said."""
        self.skipped.clear()
        self._failures.clear()
        self.notes.clear()
        self.at_once, self.asked = MAILS, ()

    def done(self, key: Hashable) -> bool:
        """Say whether a message is not to be asked for again."""
        return key in self.left or key in self.skipped


class State:
    """What is remembered of an account beyond one process: a small file in the desk's own folder."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> dict[str, Any]:
        """Return what was written last; an unreadable file counts as none, for intake knows duplicates."""
        try:
            found = json.loads(self._path.read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def write(self, values: dict[str, Any]) -> None:
        """Keep ``values``, whole or not at all."""
        from vrt.storage import local

        local.write_private(self._path, json.dumps(values).encode())


def trouble(exc: OSError, place: object) -> VrtError:
    """Return the error for a failure of this machine at ``place``: one that may pass, or one that will not."""
    may_pass = exc.errno in (errno.ENOSPC, errno.EDQUOT, errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
    return (TryAgain if may_pass else VrtError)(f"{exc.filename or place}: {exc.strerror}")


def header(raw: bytes) -> bytes:
    """Return the header of a message, with the empty line that ends it (RFC 5322 section 2.1), at most ``HEADER``."""
    ends = [raw.find(mark) + len(mark) for mark in (b"\r\n\r\n", b"\n\n") if mark in raw]
    return raw[: min([HEADER, *ends])]
