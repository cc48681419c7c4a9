"""A POP3 maildrop as a box (RFC 1939, 2449, 2595, 5034).

A client of its own, of the few commands that fetching needs: the standard library's refuses lines over 2,048 bytes,
which real mail has, and does not give them back byte for byte. It knows nothing of the desk.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Hashable, Iterator
from contextlib import suppress
from typing import NamedTuple

from vrt.errors import TryAgain, VrtError
from vrt.mail.accounts import Account
from vrt.mail.box import BYTES, HEADER, SLACK, Item, Look, Memory, State, header
from vrt.mail.sources import Letter
from vrt.mail.wire import Lost, Stop, Wire
from vrt.text import clip, line

_MANY = 8 << 20  # bytes of a list of all messages
_STATUS = 512  # bytes of a status line (RFC 2449 section 4), and more than servers use
# Response codes of an -ERR that a later call may not get (RFC 2449 section 8, RFC 3206).
_PASSING = re.compile(r"-ERR \[(IN-USE|LOGIN-DELAY|SYS/TEMP)\]", re.IGNORECASE)
_DOT = re.compile(rb"(?:(?<=\r\n)|\A)\.")


class _Refused(VrtError):
    """The server said -ERR."""


class _Listed(NamedTuple):
    """A message in the maildrop: its number in this session, its size, and its UIDL if the server has that."""

    number: int
    size: int
    unique: str

    @property
    def key(self) -> Hashable:
        """What names it in later sessions, as well as may be."""
        return self.unique or (self.number, self.size)

    @property
    def mark(self) -> str:
        """What is remembered of it on disk."""
        return hashlib.sha256(f"{self.unique} {self.size}".encode()).hexdigest() if self.unique else ""


class PopBox:
    """The maildrop of a POP3 account, open. Opening it raises ``Lost``, ``TryAgain`` or ``VrtError``."""

    def __init__(
        self, account: Account, password: Callable[[], str], limit: int, memory: Memory, stop: Stop | None, state: State
    ) -> None:
        self._account, self._password, self._limit, self._memory = account, password, limit, memory
        self._stop, self._state = stop, state
        self._seen = {str(m) for m in state.read().get("seen", [])}
        self._waiting: list[_Listed] = []
        self._open()

    def _open(self) -> None:
        account = self._account
        self._wire = Wire(account.host, account.port, account.tls, account.ca_file, self._stop)
        try:
            self._wire.allow()
            greeting = self._line().decode("ascii", "replace")
            if not greeting.startswith("+OK"):
                raise Lost(f"{account.host} does not welcome us: {_said(greeting)}")
            if account.tls == "starttls":
                self._secure()
            self._login()
            self._all = self._list()
            self._waiting = [m for m in self._all if not self._memory.done(m.key) and m.mark not in self._seen]
        except BaseException:
            self._wire.close()
            raise

    def _secure(self) -> None:
        try:
            self._ask("STLS", "STLS")
        except VrtError as exc:
            if isinstance(exc, Lost):
                raise
            text = f"{self._account.host} offers no STARTTLS: the password was not sent"
            raise VrtError(text, "is the port right? try implicit") from exc
        self._wire.secure()

    def _login(self) -> None:
        account, token = self._account, self._password()
        try:
            if account.token_command:
                # In two steps, for a token does not fit the 255 bytes of a command (RFC 5034 section 4).
                self._ask("AUTH XOAUTH2", "the login", go_on=True)
                text = f"user={account.user}\1auth=Bearer {token}\1\1"
                answer = self._ask(base64.b64encode(text.encode()).decode(), "the login", go_on=True)
                if not answer.startswith("+OK"):  # the reason, in a form for programs; an empty line gets the -ERR
                    self._ask("", "the login")
                    raise VrtError(f"{account.host} refused the login")
            else:
                self._ask(f"USER {account.user}", "the login")
                self._ask(f"PASS {token}", "the login")
        except VrtError as exc:  # a server may repeat what it was told
            exc.message = exc.message.replace(token, "(secret)")
            raise

    # --- words on the wire --------------------------------------------------------------------------

    def _line(self) -> bytes:
        return self._wire.readline().rstrip(b"\r\n")

    def _ask(self, command: str, doing: str, room: int = 0, go_on: bool = False) -> str:
        """Send a command and return the server's positive answer; raises ``_Refused`` or ``TryAgain`` for -ERR."""
        host = self._account.host
        self._wire.allow(room + SLACK)
        self._wire.send(command.encode() + b"\r\n")
        answer = self._line()[:_STATUS].decode("utf-8", "replace")
        if answer.startswith("+OK") or (go_on and answer.startswith("+")):
            return answer
        if not answer.startswith("-ERR"):
            raise Lost(f"{host} does not speak POP3 in {doing}: {_said(answer)}")
        text = f"{host} refused {doing}: {_said(answer)}"
        raise TryAgain(text) if _PASSING.match(answer) else _Refused(text)

    def _rows(self) -> Iterator[bytes]:
        """Yield the lines of a list (RFC 1939 section 3)."""
        while (row := self._wire.readline().rstrip(b"\r\n")) != b".":
            yield row

    def _text(self) -> bytes:
        """Return a text, without the line that ends it and the dots put before dots; its line ends are CRLF alone."""
        if self._wire.begins_with(b".\r\n"):
            self._wire.read(3)
            return b""
        text = self._wire.read_through(b"\r\n.\r\n")[:-3]
        return _DOT.sub(b"", text)

    def _pairs(self, command: str) -> Iterator[tuple[int, str]]:
        self._ask(command, command, _MANY)
        for row in self._rows():
            words = row.decode("ascii", "replace").split()
            if len(words) < 2 or not words[0].isdecimal() or len(words[0]) > 9:
                raise Lost(f"{self._account.host} does not speak POP3 in {command}: {_said(' '.join(words))}")
            yield int(words[0]), words[1]

    def _list(self) -> list[_Listed]:
        sizes = {
            number: int(size) if size.isdecimal() and len(size) < 16 else 0 for number, size in self._pairs("LIST")
        }
        unique: dict[int, str] = {}
        with suppress(_Refused):  # it is an optional command
            unique = dict(self._pairs("UIDL"))
        names = list(unique.values())
        if len(set(names)) < len(names):  # the same name twice: it is that of the content, and names no message
            unique = {}
        if not unique and sizes and self._account.after.what == "leave":
            self._note(f"{self._account.host} has no UIDL: every message is fetched each time")
        return [_Listed(number, size, unique.get(number, "")) for number, size in sorted(sizes.items())]

    def _note(self, text: str) -> None:
        if text not in self._memory.notes:
            self._memory.notes.append(text)

    # --- in -----------------------------------------------------------------------------------------

    def look(self) -> Look:
        """Count without fetching."""
        return Look(len(self._all), len(self._waiting))

    def chunks(self) -> Iterator[list[Item]]:
        """Yield what is to be received; where ``touch`` had to end the session, the rest of it in a new one."""
        while self._waiting:
            if self._wire.closed:
                self._open()
            if items := self._chunk():
                yield items
        self._forget()

    def _chunk(self) -> list[Item]:
        items: list[Item] = []
        self._current: list[_Listed] = []
        size = 0
        while self._waiting and len(items) < self._memory.at_once:
            one = self._waiting[0]
            alone = one.size > self._limit or one.key in self._memory.large
            if items and (alone or size + one.size > BYTES):
                break
            self._waiting.pop(0)
            try:
                item = self._fetch(one)
            except (_Refused, TryAgain) as exc:
                if isinstance(exc, Lost):
                    raise
                self._memory.skip(one.key, exc.message)
                continue
            items.append(item)
            self._current.append(one)
            size += len(item.letter.raw)
            if alone:
                break
        return items

    def _fetch(self, one: _Listed) -> Item:
        self._memory.ask(one.key)
        label = f"{self._account.name}:{one.number}"
        if one.key in self._memory.large or (one.size > self._limit and not one.unique):
            letter = Letter(label, header(self._top(one)), max(one.size, self._limit + 1))
        else:  # a claim is not believed; where it is true, this is tried once
            self._ask(f"RETR {one.number}", "a message", self._limit)
            raw = self._text()
            if one.size and not raw:
                raise _Refused(f"{self._account.host} gives nothing for a message")
            letter = Letter(label, raw) if len(raw) <= self._limit else Letter(label, header(raw), len(raw))
        self._memory.came()
        return Item(letter, one.key)

    def _top(self, one: _Listed) -> bytes:
        """Return the header of a message; without TOP, the first of the message, at the price of the session."""
        try:
            self._ask(f"TOP {one.number} 0", "a header", HEADER)
        except _Refused:
            self._ask(f"RETR {one.number}", "a message", HEADER)
            found = self._first()
            self._wire.close()
            return found
        return self._text()

    def _first(self) -> bytes:
        """Return the first lines of the answer, up to the end of the header."""
        found = bytearray()
        while (row := self._wire.readline()) != b"\r\n" and len(found) < HEADER:
            found += row[1:] if row.startswith(b".") else row
        return bytes(found + b"\r\n")

    # --- afterwards -------------------------------------------------------------------------------------

    def touch(self, items: list[Item]) -> None:
        """Delete messages that are durable, and end the session, which alone makes that last; or remember them."""
        by_key = {one.key: one for one in self._current}
        mine = [(i, by_key[i.key]) for i in items if i.key in by_key]
        going = [one for i, one in mine if self._account.after.what == "delete" and not i.letter.too_large]
        staying = [one for _, one in mine if one not in going]
        self._memory.left.update(one.key for one in staying)
        if marks := {one.mark for one in staying} - {""}:
            self._seen |= marks
            self._state.write({"seen": sorted(self._seen)})
        if going:
            for one in going:
                self._ask(f"DELE {one.number}", "a deletion")
            self._ask("QUIT", "the deletions")
            self._wire.close()
            for known in (self._memory.left, self._memory.large):  # in the next session numbers are others
                known -= {key for key in known if isinstance(key, tuple)}

    def _forget(self) -> None:
        """Forget what is no longer in the maildrop."""
        if self._seen - (here := {one.mark for one in self._all}):
            self._seen &= here
            self._state.write({"seen": sorted(self._seen)})

    def idle(self) -> bool:
        """POP3 servers tell nothing by themselves."""
        return False

    def wake(self) -> None:
        """Do nothing: there is no ``idle``."""

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self._wire.fileno()

    def has_more(self) -> bool:
        """Say whether the server said something unasked, which none does."""
        return False

    def close(self) -> None:
        """End the session, if that takes no time, and hang up."""
        if not self._wire.closed:
            with suppress(Exception):
                self._wire.send(b"QUIT\r\n")
        self._wire.close()


def _said(text: str) -> str:
    """Return what the server said, fit for a line."""
    return clip(line(text), 200)
