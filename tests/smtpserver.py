"""A mail server on loopback that does what a test tells it: real sockets, real TLS, every answer can be replaced.

It plays by the rules where nothing else is said, and counts what it took: ``accepted`` holds a message once its
final dot was read and the answer to it was positive or swallowed.
"""

from __future__ import annotations

import base64
import contextlib
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

DROP = b"(drop)"  # end the connection
SILENCE = b"(silence)"  # say nothing, and wait for the other side to go
DRIP = b"(drip)"  # a byte now and then, for ever
FLOOD = b"(flood)"  # lines without end

Answer = bytes | Callable[["SmtpServer", bytes], bytes]


class Accepted(NamedTuple):
    """A message that the server took."""

    sender: str
    recipients: tuple[str, ...]
    data: bytes
    options: str = ""


class Hangup(Exception):
    """The connection ends."""


class SmtpServer:
    """A scripted server.

    ``script`` gives the answers of a step: one that always holds, or a list of which each holds once (then comes the
    usual one). Steps are ``greeting``, ``EHLO``, ``STARTTLS``, ``AUTH``, ``MAIL``, ``RCPT``, ``DATA``, ``.``,
    ``RSET``, ``QUIT``. An answer is bytes, sent as they are with CR LF at the end; or one of the words above, which
    may also come after bytes; or a function of server and line that returns one of these, after it has done what it
    likes. What is no refusal for ``.`` comes after the message was taken.
    """

    def __init__(
        self, tls: str = "none", certificate: Path | None = None, offers: tuple[str, ...] = (), user: str = "me",
        secret: str = "topsecret", **script: Answer | list[Answer],
    ) -> None:  # fmt: skip
        self.tls, self.offers, self.user, self.secret = tls, offers, user, secret
        self.script: dict[str, Answer | list[Answer]] = dict(script)
        self.accepted: list[Accepted] = []
        self.said: list[bytes] = []  # every line that clients sent, but those of messages
        self.unfinished: list[bytes] = []  # what was read of messages whose final dot never came
        self.connections = 0
        self._lock = threading.Lock()
        self._context = None
        if certificate:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate, certificate.with_name("key.pem"))
        self._open: set[_Client] = set()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> SmtpServer:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End it, with all connections."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # or the thread would go on to accept one more
        self._socket.close()
        self.hang_up()

    def hang_up(self) -> None:
        """End all connections, as a server does that is tired of waiting."""
        with self._lock:
            for client in self._open:
                with contextlib.suppress(OSError):
                    client.conn.shutdown(socket.SHUT_RDWR)

    def settle(self) -> None:
        """Wait until every connection has ended."""
        end = time.monotonic() + 10
        while self._open:
            assert time.monotonic() < end, "a client does not hang up"
            time.sleep(0.005)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                conn, _ = self._socket.accept()
                self.connections += 1
                threading.Thread(target=self._attend, args=(conn,), daemon=True).start()

    def _attend(self, conn: socket.socket) -> None:
        conn.settimeout(30)
        conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = _Client(self, conn)
        with self._lock:
            self._open.add(client)
        try:
            with contextlib.suppress(OSError, Hangup, ValueError):
                client.talk()
        finally:
            client.end()
            with self._lock:
                self._open.discard(client)

    def answer(self, step: str, row: bytes, usual: bytes) -> bytes:
        """Return what to say."""
        with self._lock:
            given = self.script.get(step)
            if isinstance(given, list):
                given = given.pop(0) if given else None
        if given is None:
            return usual
        return given(self, row) if callable(given) else given


class _Client:
    """The server's side of one connection."""

    def __init__(self, server: SmtpServer, conn: socket.socket) -> None:
        self.server, self.conn = server, conn
        self.secured = False
        self.file = conn.makefile("rb")

    def secure(self) -> None:
        assert self.server._context
        self.conn = self.server._context.wrap_socket(self.conn, server_side=True)
        self.file = self.conn.makefile("rb")
        self.secured = True

    def end(self) -> None:
        with contextlib.suppress(OSError):
            self.file.close()
            self.conn.close()

    def say(self, data: bytes) -> bytes:
        trick = next((t for t in (DROP, SILENCE, DRIP, FLOOD) if data.endswith(t)), b"")
        text = data.removesuffix(trick)
        if text or not trick:
            self.conn.sendall(text + b"\r\n")
        while trick == FLOOD:
            self.conn.sendall(b"250-and more\r\n" * 1000)
        while trick == DRIP:
            self.conn.sendall(b"2")
            time.sleep(0.02)
        while trick == SILENCE and self.file.readline():
            pass
        if trick:
            raise Hangup
        return data

    def step(self, name: str, row: bytes, usual: bytes) -> bytes:
        return self.say(self.server.answer(name, row, usual))

    def talk(self) -> None:
        if self.server.tls == "implicit":
            self.secure()
        self.step("greeting", b"", b"220 mail.example.net ready")
        self.begin()
        while row := self.file.readline():
            row = row.rstrip(b"\r\n")
            self.server.said.append(row)
            name = row.split(b" ")[0].decode("latin-1").upper()
            act = getattr(self, f"do_{name.lower()}", None)
            if act:
                act(row)
            else:
                self.step(name, row, b"500 5.5.1 what?")

    def begin(self) -> None:
        self.begun, self.sender, self.options = False, "", ""
        self.recipients: list[str] = []

    def do_ehlo(self, row: bytes) -> None:
        offers = ["mail.example.net", *self.server.offers]
        if self.server.tls == "starttls" and not self.secured:
            offers = [offers[0], "STARTTLS"]
        usual = "\r\n".join(f"250{' ' if i == len(offers) - 1 else '-'}{o}" for i, o in enumerate(offers))
        self.step("EHLO", row, usual.encode())

    def do_starttls(self, row: bytes) -> None:
        if self.step("STARTTLS", row, b"220 go").startswith(b"220"):
            self.secure()

    def do_auth(self, row: bytes) -> None:
        """Ask for the answers of a mechanism and look at them."""
        way = row.split(b" ")[1].decode()
        if not self.step("AUTH", row, b"334 ").startswith(b"334"):
            return
        given = [self._answer()]
        if way == "LOGIN":
            self.say(b"334 UGFzc3dvcmQ6")
            given.append(self._answer())
        user, secret = self.server.user, self.server.secret
        good = {
            "PLAIN": [f"\0{user}\0{secret}"],
            "LOGIN": [user, secret],
            "XOAUTH2": [f"user={user}\1auth=Bearer {secret}\1\1"],
            "OAUTHBEARER": [
                f"n,a={user},\1host=localhost\1port={self.server.port}\1auth=Bearer {secret}\1\1",
            ],
        }[way]  # fmt: skip
        if given == good:
            self.step("login", row, b"235 2.7.0 welcome")
            return
        if "OAUTH" in way:
            self.say(b"334 " + base64.b64encode(b'{"status":"401"}'))
            self._answer()
        self.step("login", row, b"535 5.7.8 no " + base64.b64encode(given[-1].encode()) + b" " + given[-1].encode())

    def _answer(self) -> str:
        row = self.file.readline().rstrip(b"\r\n")
        self.server.said.append(row)
        return base64.b64decode(row).decode()

    def do_mail(self, row: bytes) -> None:
        found = re.fullmatch(rb"MAIL FROM:<(.*?)>(.*)", row)
        if self.begun:
            self.say(b"503 5.5.1 one after the other")
        elif self.step("MAIL", row, b"250 2.1.0 ok" if found else b"501 5.5.4 no").startswith(b"250") and found:
            self.begun = True
            self.sender, self.options = found[1].decode(), found[2].decode().strip()

    def do_rcpt(self, row: bytes) -> None:
        found = re.fullmatch(rb"RCPT TO:<(.+)>", row)
        if self.step("RCPT", row, b"250 2.1.5 ok" if found else b"501 5.5.4 no").startswith(b"25") and found:
            self.recipients.append(found[1].decode())

    def do_data(self, row: bytes) -> None:
        usual = b"354 go on" if self.recipients else b"503 5.5.1 for whom?"
        if self.step("DATA", row, usual).startswith(b"354"):
            self.take()

    def take(self) -> None:
        rows: list[bytes] = []
        while (row := self.file.readline()) != b".\r\n":
            if not row.endswith(b"\n"):
                self.server.unfinished.append(b"".join(rows) + row)
                raise Hangup
            rows.append(row[1:] if row.startswith(b".") else row)
        answer = self.server.answer(".", b".", b"250 2.0.0 taken")
        if answer[:1] not in (b"4", b"5"):
            taken = Accepted(self.sender, tuple(self.recipients), b"".join(rows), self.options)
            with self.server._lock:
                self.server.accepted.append(taken)
        self.begin()
        self.say(answer)

    def do_rset(self, row: bytes) -> None:
        self.begin()
        self.step("RSET", row, b"250 2.0.0 ok")

    def do_quit(self, row: bytes) -> None:
        self.step("QUIT", row, b"221 2.0.0 bye")
        raise Hangup
