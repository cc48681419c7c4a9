"""A login at an IMAP server, with IMAPClient on a ``Wire``: the only module that knows the library.

The wire bounds what the server may send, and what goes wrong comes out as errors of ours, whatever the library or
the server makes of it. Logins are PLAIN or LOGIN, and with tokens OAUTHBEARER (RFC 7628) or XOAUTH2.
"""

from __future__ import annotations

import imaplib
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from imapclient import IMAPClient  # type: ignore[import-untyped]

from vrt.errors import TryAgain, VrtError
from vrt.mail.accounts import Account
from vrt.mail.box import SLACK
from vrt.mail.wire import Lost, Stopped, Wire
from vrt.text import clip, line

# Response codes of a NO that a later call may not get (RFC 5530, RFC 2221).
_PASSING = re.compile(r"\[(UNAVAILABLE|INUSE|LIMIT|SERVERBUG|OVERQUOTA|EXPUNGEISSUED|THROTTLED)\b", re.IGNORECASE)

# The library logs what servers say, as they say it, and logging brings warnings to the terminal by itself.
logging.getLogger("imapclient").setLevel(logging.CRITICAL + 1)


class Refused(VrtError):
    """The server said NO or BAD."""


class _Connection(imaplib.IMAP4):
    """The library's connection, on a ``Wire``: the methods that imaplib lets one replace."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        super().__init__(wire.host, wire.port)

    def open(self, host: str = "", port: int = 0, timeout: float | None = None) -> None:
        self.host, self.port = host, port
        self.sock: Any = self.wire

    def read(self, size: int) -> bytes:
        return self.wire.read(size)

    def readline(self) -> bytes:
        return self.wire.readline()

    def send(self, data: Any) -> None:
        self.wire.send(data)

    def shutdown(self) -> None:
        self.wire.close()

    def starttls(self, ssl_context: Any = None) -> Any:
        typ, data = self._simple_command("STARTTLS")
        if typ == "OK":
            self.wire.secure()
            self._tls_established = True
            self.untagged_responses.clear()  # said by whoever sat between (CVE-2011-0411)
            self._get_capabilities()
        return self._untagged_response(typ, data, "STARTTLS")


class Client(IMAPClient):  # type: ignore[misc]
    """The library's client on a wire of ours."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        super().__init__(wire.host, wire.port, ssl=False)
        self._imap.debug = 0  # it would format every literal, and every password, for a log that nobody reads

    def _create_IMAP4(self) -> _Connection:
        return _Connection(self._wire)

    def _set_read_timeout(self) -> None:
        """The wire has its own."""


@contextmanager
def answers(wire: Wire, doing: str, room: int = 0) -> Iterator[None]:
    """Let the server answer with ``room`` bytes more than usual, and turn what goes wrong into errors of ours."""
    wire.allow(room + SLACK)
    try:
        yield
    except (VrtError, Stopped):
        raise
    except imaplib.IMAP4.error as exc:
        if isinstance(exc, imaplib.IMAP4.abort) or isinstance(exc.__context__, imaplib.IMAP4.abort):
            raise Lost(f"{wire.host} ended {doing}: {_said(exc)}") from exc
        text = f"{wire.host} refused {doing}: {_said(exc)}"
        raise (TryAgain(text) if _PASSING.search(str(exc)) else Refused(text)) from exc
    except MemoryError:
        raise
    except Exception as exc:  # the library trips over answers that are no IMAP in more ways than it names
        raise Lost(f"{wire.host} does not speak IMAP in {doing} ({type(exc).__name__})") from exc


def _said(exc: Exception) -> str:
    """Return what the server said, fit for a line."""
    return clip(line(str(exc)), 200)


def connect(wire: Wire, account: Account, password: Callable[[], str]) -> Client:
    """Return the client of ``wire``, logged in as the account says.

    ``password`` is asked once TLS is there. Raises ``Lost`` and ``TryAgain`` for what may pass, else ``VrtError``.
    """
    with answers(wire, "the connection"):
        try:
            client = Client(wire)
        except imaplib.IMAP4.error as exc:
            raise Lost(f"{account.host} does not welcome us: {_said(exc)}") from exc
    if account.tls == "starttls":
        _secure(client, wire, account)
    if client._imap.state != "AUTH":  # else PREAUTH: a server that knows us already
        _login(client, wire, account, password)
    return client


def _secure(client: Client, wire: Wire, account: Account) -> None:
    if client._imap.state == "AUTH":  # whoever sits between wants no TLS (CVE-2020-12398)
        raise VrtError(f"{account.host} lets us in before TLS: this is not trusted")
    refused = VrtError(
        f"{account.host} offers no STARTTLS: the password was not sent", "is the port right? try implicit"
    )
    with answers(wire, "STARTTLS"):
        if not client.has_capability("STARTTLS"):
            raise refused
        try:
            client.starttls()
        except imaplib.IMAP4.abort:
            raise
        except imaplib.IMAP4.error as exc:
            raise refused from exc


def _login(client: Client, wire: Wire, account: Account, password: Callable[[], str]) -> None:
    with answers(wire, "the login"):
        known = {c.decode("ascii", "replace") for c in client.capabilities()}
    token = password()
    try:
        with answers(wire, "the login"):
            if account.token_command:
                if "AUTH=OAUTHBEARER" in known:
                    client.oauthbearer_login(account.user, token)
                else:
                    client.oauth2_login(account.user, token)
            elif "AUTH=PLAIN" in known:
                client.plain_login(account.user, token)
            elif "LOGINDISABLED" in known:
                raise VrtError(f"{account.host} allows no login with a password here", "use TLS or token_command")
            elif not (account.user + token).isascii():
                raise VrtError(f"{account.host} takes only ASCII in user and password (it has no AUTH=PLAIN)")
            else:
                client.login(account.user, token)
    except VrtError as exc:  # a server may repeat what it was told
        exc.message = exc.message.replace(token, "(secret)")
        raise
