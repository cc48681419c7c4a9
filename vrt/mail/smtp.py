"""Handing a message to a mail server: SMTP (RFC 5321) with TLS and a login, on a ``Wire``.

A client of its own, of the few commands that sending needs: it has to know exactly from where on a message may have
been taken, and it bounds what a server may send and how long it may take. It knows nothing of the desk.
"""

from __future__ import annotations

import base64
import re
import select
from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from typing import NamedTuple

from vrt.errors import TryAgain, VrtError
from vrt.mail.accounts import secret_of
from vrt.mail.delivery import SAID, Delivery, InDoubt, Result, Unreachable, unsendable
from vrt.mail.wire import Lost, Wire
from vrt.text import clip, line

PATIENCE = 600.0  # seconds for the answer to a whole message (RFC 5321, section 4.5.3.2.6)
_ANSWER = 64 << 10  # bytes of one answer
_ROW = re.compile(r"([2-5][0-9]{2})(?:([ -])(.*))?", re.DOTALL)
_STATUS = re.compile(r"([245])\.[0-9]{1,3}\.[0-9]{1,3}(?![0-9.])")  # RFC 2034
_LONE = re.compile(rb"\r(?!\n)|(?<!\r)\n")
_DOMAIN = re.compile(r"[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,30}")
_LOGIN = (530, 534, 535, 538)  # codes of RFC 4954: the operator has to act, and no message is at fault


class _Denied(VrtError):
    """The server does not let us in."""


class _Reply(NamedTuple):
    """An answer: its three digits, and the text of its lines."""

    code: int
    rows: tuple[str, ...]

    @property
    def said(self) -> str:
        return f"{self.code} {' '.join(self.rows)}".strip()[:SAID]

    def result(self, recipient: str = "") -> Result:
        """Return what it means for the message, where it is no ``go on``."""
        outcome = {2: "sent", 4: "deferred", 5: "failed"}[self.code // 100]
        given = _STATUS.match(self.rows[0])
        status = given.group() if given and int(given[1]) == self.code // 100 else f"{self.code // 100}.0.0"
        return Result(outcome, status, self.said, recipient)


class Smtp:
    """A server that takes messages; one connection for many of them, made when the first is sent."""

    def __init__(self, settings: Delivery, helo: str) -> None:
        with suppress(UnicodeError):
            helo = helo.encode("idna").decode()
        if not _DOMAIN.fullmatch(helo):
            raise VrtError(f"a mail server cannot be greeted as {helo!r}", "see the domain in vrt desk show")
        self._settings, self._helo = settings, helo
        self._session: _Session | None = None

    def send(
        self, name: str, envelope: str, recipients: Sequence[str], data: bytes, commit: Callable[[], None]
    ) -> Result:
        """Hand over one message; see ``vrt.mail.delivery.Transport``."""
        if refused := unsendable(envelope, recipients):
            return refused
        if _LONE.search(data):  # RFC 5321, section 2.3.8: servers disagree where a message with such a line ends
            return Result("failed", "5.6.0", "a CR or LF stands alone in the message, which SMTP cannot carry")
        try:
            session, refused = self._offer(envelope, recipients, data)
            return refused or self._hand_over(session, data, commit)
        except BaseException:
            self._drop()
            raise

    def close(self) -> None:
        """End the session, if that takes no time, and hang up."""
        if self._session:
            with suppress(Exception):
                self._session.wire.send(b"QUIT\r\n")
        self._drop()

    def _drop(self) -> None:
        if self._session:
            self._session.wire.close()
        self._session = None

    def _offer(self, envelope: str, recipients: Sequence[str], data: bytes) -> tuple[_Session, Result | None]:
        """Get the server to await the message, on a new connection where the one that was kept is gone.

        Return why it does not, or None. Raises ``Unreachable``.
        """
        while True:
            kept = self._session is not None
            try:
                session = self._session = self._session or _connect(self._settings, self._helo)
                refused = session.unfit(envelope, recipients, data)
                if not refused and (refused := session.offer(envelope, recipients, data)):
                    self._reset(session)
                return session, refused
            except Lost as exc:
                self._drop()
                if not kept:
                    raise Unreachable(exc.message, exc.hint) from exc

    def _reset(self, session: _Session) -> None:
        """Make the session ready for the next message, or end it; the refusal of this one stands."""
        try:
            good = session.ask("RSET").code == 250
        except Lost:
            good = False
        if not good:
            self._drop()

    def _hand_over(self, session: _Session, data: bytes, commit: Callable[[], None]) -> Result:
        wire = session.wire
        body = (data if data.endswith(b"\r\n") else data + b"\r\n").replace(b"\r\n.", b"\r\n..")
        commit()
        try:
            wire.allow(len(body))
            wire.send((b"." if body.startswith(b".") else b"") + body + b".\r\n")
        except Lost as exc:  # RFC 5321, section 4.1.1.10: without the final dot the server has to forget it
            self._drop()
            return Result("deferred", "4.4.2", f"{exc.message}, in the middle of the message"[:SAID])
        try:
            session.wait(PATIENCE)
            reply = session.reply()
            if reply.code // 100 == 3:
                raise Lost(f"{wire.host} does not speak SMTP: {_safe(reply.said)}")
        except Lost as exc:
            text = f"{wire.host} did not say whether it took the message: {exc.message}"
            raise InDoubt(text, "vrt outbox") from exc
        return reply.result()


def _connect(settings: Delivery, helo: str) -> _Session:
    """Return a session in which mail may be sent; raises ``Unreachable``, or ``_Denied`` where the login is refused."""
    try:
        session = _Session(settings, helo)
        try:
            session.begin()
        except BaseException:
            session.wire.close()
            raise
        return session
    except (_Denied, Unreachable):
        raise
    except VrtError as exc:
        raise Unreachable(exc.message, exc.hint) from exc


class _Session:
    """One connection."""

    def __init__(self, settings: Delivery, helo: str) -> None:
        self._settings, self._helo = settings, helo
        self._offers: dict[str, str] = {}
        self._secrets: list[str] = []
        self.wire = Wire(settings.host, settings.port, settings.tls, settings.ca_file)

    # --- words on the wire ------------------------------------------------------------------------

    def ask(self, command: str) -> _Reply:
        """Send a command and return the answer; raises ``Lost``, also where the server ends the session (421)."""
        if self.wire.has_more():
            raise Lost(f"{self.wire.host} answers what it was not asked")
        self.wire.allow(_ANSWER)
        self.wire.send(command.encode() + b"\r\n")
        reply = self.reply()
        if reply.code == 421:
            raise Lost(f"{self.wire.host} ends the session: {_safe(reply.said)}")
        return reply

    def reply(self) -> _Reply:
        """Return the next answer (RFC 5321, section 4.2.1); raises ``Lost``."""
        self.wire.allow(_ANSWER)
        rows: list[str] = []
        code, more = "", "-"
        while more == "-":
            row = self.wire.readline().rstrip(b"\r\n").decode("utf-8", "replace")
            found = _ROW.fullmatch(row)
            if not found or (rows and found[1] != code):
                raise Lost(f"{self.wire.host} does not speak SMTP: {_safe(row)}")
            code, more = found[1], found[2] or ""
            text = found[3] or ""
            for secret in self._secrets:  # a server may repeat what it was told
                text = text.replace(secret, "(secret)")
            rows.append(text)
        return _Reply(int(code), tuple(rows))

    def wait(self, seconds: float) -> None:
        """Wait until the server says something, longer than the wire would."""
        if not self.wire.has_more():
            poll = select.poll()
            poll.register(self.wire.fileno(), select.POLLIN)
            poll.poll(seconds * 1000)

    # --- the beginning ----------------------------------------------------------------------------

    def begin(self) -> None:
        """Greet, secure the connection and log in; raises ``VrtError`` in many ways."""
        host = self.wire.host
        if (greeting := self.reply()).code != 220:
            raise Lost(f"{host} does not welcome us: {_safe(greeting.said)}")
        self._hello()
        if self._settings.tls == "starttls":
            if "STARTTLS" not in self._offers or self.ask("STARTTLS").code != 220:
                raise VrtError(f"{host} offers no STARTTLS: nothing was sent", "is the port right? try implicit")
            self.wire.secure()
            self._hello()  # what it said before may have been said by somebody between (RFC 3207, section 4.2)
        if self._settings.user:
            self._login()

    def _hello(self) -> None:
        reply = self.ask(f"EHLO {self._helo}")
        if reply.code != 250:
            raise Lost(f"{self.wire.host} refused the greeting: {_safe(reply.said)}")
        self._offers = {}
        for row in reply.rows[1:]:
            name, _, values = row.replace("AUTH=", "AUTH ", 1).upper().partition(" ")
            self._offers[name] = f"{self._offers.get(name, '')} {values}".strip()

    def _login(self) -> None:
        """Log in (RFC 4954). Every answer is sent in a line of its own: a token does not fit that of the command."""
        settings, host = self._settings, self.wire.host
        known = self._offers.get("AUTH", "").split()
        wanted = ("OAUTHBEARER", "XOAUTH2") if settings.token_command else ("PLAIN", "LOGIN")
        way = next((w for w in wanted if w in known), None)
        if not way:
            raise _Denied(f"{host} offers no login by {' or '.join(wanted)}", "see user in delivery, docs/ADMIN.md")
        secret = secret_of(settings.password_command, settings.token_command)
        answers = [base64.b64encode(a.encode()).decode() for a in self._answers(way, secret)]
        self._secrets = [secret, *answers]
        reply = self.ask(f"AUTH {way}")
        for answer in answers:
            if reply.code != 334:
                break
            reply = self.ask(answer)
        if (
            reply.code == 334
        ):  # why not, in a form for programs; the refusal comes after a word (RFC 7628, section 3.2.3)
            reply = self.ask("AQ==" if way == "OAUTHBEARER" else "")
        if reply.code != 235:
            text = f"{host} refused the login: {_safe(reply.said)}"
            raise TryAgain(text) if reply.code // 100 == 4 else _Denied(text, "see user in delivery, docs/ADMIN.md")

    def _answers(self, way: str, secret: str) -> tuple[str, ...]:
        user = self._settings.user
        if way == "OAUTHBEARER":  # RFC 7628, section 3.1; the user as RFC 5801, section 4 has it
            name = user.replace("=", "=3D").replace(",", "=2C")
            where = f"host={self._settings.host}\1port={self._settings.port}"
            return (f"n,a={name},\1{where}\1auth=Bearer {secret}\1\1",)
        if way == "XOAUTH2":
            return (f"user={user}\1auth=Bearer {secret}\1\1",)
        return (f"\0{user}\0{secret}",) if way == "PLAIN" else (user, secret)  # PLAIN: RFC 4616

    # --- one message --------------------------------------------------------------------------------

    def unfit(self, envelope: str, recipients: Sequence[str], data: bytes) -> Result | None:
        """Return why the server cannot take this message, by what it says of itself; or None."""
        limit = self._offers.get("SIZE", "")
        if limit.isdecimal() and len(limit) < 20 and 0 < int(limit) < len(data):  # RFC 1870
            return Result("failed", "5.3.4", f"{self.wire.host} takes at most {int(limit)} bytes, not {len(data)}")
        if not data.isascii() and "8BITMIME" not in self._offers:
            return Result("failed", "5.6.3", f"{self.wire.host} takes only 7-bit messages")
        foreign = next((a for a in (*recipients, envelope) if not a.isascii()), "")
        if foreign and "SMTPUTF8" not in self._offers:
            return Result("failed", "5.6.7", f"{self.wire.host} takes only addresses in ASCII", foreign)
        return None

    def offer(self, envelope: str, recipients: Sequence[str], data: bytes) -> Result | None:
        """Name sender and recipients, and ask for the message to be awaited.

        Return why it is not, or None. Raises ``Lost`` and ``_Denied``.
        """
        options = f" SIZE={len(data)}" if "SIZE" in self._offers else ""
        options += "" if data.isascii() else " BODY=8BITMIME"
        options += "" if "".join((envelope, *recipients)).isascii() else " SMTPUTF8"
        refused = self._step(f"MAIL FROM:<{envelope}>{options}")
        for address in () if refused else recipients:
            result = self._step(f"RCPT TO:<{address}>", address)
            refused = refused or result
            if result and result.outcome == "failed":
                refused = result
                break
        refused = refused or self._step("DATA", good=(354,))
        if not refused and self.wire.has_more():
            raise Lost(f"{self.wire.host} answers a message that it does not have")
        return refused

    def _step(self, command: str, recipient: str = "", good: Container[int] = range(200, 300)) -> Result | None:
        reply = self.ask(command)
        if reply.code in _LOGIN:
            raise _Denied(f"{self.wire.host} wants a login: {_safe(reply.said)}", "see user in delivery, docs/ADMIN.md")
        if reply.code in good:
            return None
        if reply.code // 100 not in (4, 5):
            raise Lost(f"{self.wire.host} does not speak SMTP: {_safe(reply.said)}")
        return reply.result(recipient)


def _safe(text: str) -> str:
    """Return what the server said, fit for a line."""
    return clip(line(text), 200)
