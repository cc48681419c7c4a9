"""An mbox on this machine as a box (RFC 4155), which is never written: how far it was read is remembered.

It knows the file system, and nothing of the desk.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from vrt.errors import TryAgain, VrtError
from vrt.mail import sources
from vrt.mail.accounts import Account
from vrt.mail.box import BYTES, MAILS, Item, Look, State, Still, header, trouble
from vrt.mail.sources import Letter

_PIECE = 64 << 10  # bytes of a line at a time


class _Found(NamedTuple):
    """A message: its bytes, its true size if it is too large to be kept, and where it ends."""

    raw: bytes
    too_large: int
    end: int


class MboxBox(Still):
    """An mbox that mail servers go on adding to."""

    def __init__(self, account: Account, limit: int, state: State) -> None:
        self._path, self._name, self._limit, self._state = Path(account.path), account.name, limit, state
        self._seen: tuple[int, ...] = ()  # what the file was when ``_offset`` and ``_digest`` were right
        self._offset = 0
        self._digest: Any = hashlib.sha256()  # of what stands before ``_offset``
        with self._open() as file:
            row = file.readline(_PIECE)
            if row and not sources.SEPARATOR.match(row):
                raise VrtError(
                    f"{self._path} is no mbox: its first line is no 'From ' line", "is it a Maildir, a mail?"
                )

    @contextmanager
    def _open(self) -> Iterator[BinaryIO]:
        """Yield the file while no mail server adds to it; raises ``TryAgain`` where one does."""
        try:
            with open(self._path, "rb", opener=lambda p, f: os.open(p, f | os.O_NONBLOCK | os.O_CLOEXEC)) as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise VrtError(f"{self._path} is no mbox")
                if Path(f"{self._path}.lock").exists():
                    raise TryAgain(f"{self._path} is being written", f"if it is not, remove {self._path}.lock")
                fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                yield file
        except BlockingIOError:
            raise TryAgain(f"{self._path} is being written") from None
        except OSError as exc:
            raise trouble(exc, self._path) from exc

    def look(self) -> Look:
        """Count without receiving; it takes reading the whole."""
        with self._open() as file:
            every = sum(1 for _ in _messages(file, self._limit, 0))
            self._find_place(file)
            return Look(every, sum(1 for _ in _messages(file, self._limit, self._offset)))

    def chunks(self) -> Iterator[list[Item]]:
        """Yield what is to be received. The file is free for its mail server between two portions."""
        while True:
            items: list[Item] = []
            size = 0
            with self._open() as file:
                self._find_place(file)
                for found in _messages(file, self._limit, self._offset):
                    label = f"{self._name}:{found.end}"
                    items.append(Item(Letter(label, found.raw, found.too_large), found.end))
                    size += len(found.raw)
                    if len(items) == MAILS or size >= BYTES:
                        break
            if not items:
                return
            yield items

    def touch(self, items: list[Item]) -> None:
        """Remember how far the mbox is durable."""
        end = items[-1].key
        assert isinstance(end, int)
        with self._open() as file:
            if _identity(file) == self._seen:
                self._advance(file, end)
                self._state.write({"offset": self._offset, "sha256": self._digest.hexdigest()})

    def _find_place(self, file: BinaryIO) -> None:
        """Find where to go on: behind what was read, if that stands there as it did and a message begins; else at 0."""
        now = _identity(file)
        if now == self._seen:
            return
        known = self._state.read()
        self._seen, self._offset, self._digest = now, 0, hashlib.sha256()
        offset = known.get("offset", 0)
        if not isinstance(offset, int) or not 0 < offset <= now[1]:
            return
        self._advance(file, offset)
        row = file.readline(_PIECE)
        if self._digest.hexdigest() != known.get("sha256") or (row and not sources.SEPARATOR.match(row)):
            self._offset, self._digest = 0, hashlib.sha256()

    def _advance(self, file: BinaryIO, end: int) -> None:
        file.seek(self._offset)
        while self._offset < end and (data := file.read(min(end - self._offset, 1 << 20))):
            self._digest.update(data)
            self._offset += len(data)


def _identity(file: BinaryIO) -> tuple[int, ...]:
    found = os.fstat(file.fileno())
    return found.st_ino, found.st_size, found.st_mtime_ns


def _messages(file: BinaryIO, limit: int, start: int) -> Iterator[_Found]:
    """Yield the messages from ``start`` on, by the rules of ``sources.split``, in bounded memory."""
    file.seek(start)
    kept, size, begun, blank, fresh, at = bytearray(), 0, False, True, True, start
    while row := file.readline(_PIECE):
        if fresh and blank and row.startswith(b"From ") and sources.SEPARATOR.match(row):
            if begun:
                yield _found(kept, size, limit, at)
            kept, size, begun = bytearray(), 0, True
        else:
            size += len(row)
            if len(kept) <= limit:
                kept += row
        at += len(row)
        blank = fresh and row in (b"\n", b"\r\n")
        fresh = row.endswith(b"\n")
    if begun:
        yield _found(kept, size, limit, at)


def _found(kept: bytearray, size: int, limit: int, end: int) -> _Found:
    raw = bytes(kept)
    if size > limit:
        return _Found(header(raw), size, end)
    for blank in (b"\n\r\n", b"\n\n"):  # the empty line before the next separator belongs to the mbox
        if raw.endswith(blank):
            raw = raw[: 1 - len(blank)]
            break
    return _Found(sources.QUOTED.sub(rb"\1", raw), 0, end)
