"""A connection to a mail server on which every wait and every answer is bounded.

Knows sockets and TLS, and nothing of IMAP or POP3. Servers are not trusted: one that falls silent, drips, or
sends without end costs a fixed time and a fixed number of bytes.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections.abc import Callable
from typing import TypeVar

from vrt.errors import TryAgain, VrtError

CONNECT = 30.0  # seconds to reach one address of a server
SILENCE = 60.0  # seconds without a byte
RATE = 10_000  # bytes a second that a server must keep up, over one answer
USUAL = 1 << 20  # bytes of an answer that brings no mail

Got = TypeVar("Got")


class Lost(TryAgain):
    """The connection is gone, or of no more use."""


class TooMuch(Lost):
    """The server sends more than it was asked for."""


class Stopped(Exception):
    """Somebody asked the process to end."""


class Stop:
    """A wish to end that wakes whoever waits: it may be set in a signal handler."""

    def __init__(self) -> None:
        self._here, self._there = socket.socketpair()
        self._here.setblocking(False)
        self._there.setblocking(False)
        self.is_set = False

    def set(self) -> None:
        """Wish to end."""
        if not self.is_set:
            self.is_set = True
            self._there.send(b"!")

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when the wish is there."""
        return self._here.fileno()

    def close(self) -> None:
        """Give back the descriptors."""
        self._here.close()
        self._there.close()


class Wire:
    """One connection. ``tls``: ``implicit`` is secured at once, ``starttls`` later by ``secure``, ``none`` never.

    Raises ``Lost`` for what may pass, ``VrtError`` where no trusted TLS comes about.
    """

    def __init__(self, host: str, port: int, tls: str, ca_file: str = "", stop: Stop | None = None) -> None:
        self.host, self.port = host, port
        self._ca_file, self._stop = ca_file, stop
        self._buffer = bytearray()
        self._left, self._until = USUAL, 0.0
        self.closed = False
        try:
            self._sock: socket.socket = socket.create_connection((host, port), CONNECT)
        except (OSError, UnicodeError) as exc:
            raise Lost(f"cannot reach {host}:{port}: {_why(exc)}") from exc
        self._sock.setblocking(False)
        try:
            if tls == "none" and not _is_loopback(str(self._sock.getpeername()[0])):
                raise VrtError(f"{host} is not this machine, and tls: none would show the password to others")
            if tls == "implicit":
                self.secure()
        except BaseException:
            self.close()
            raise

    def secure(self) -> None:
        """Begin TLS; the certificate must be valid for the host. What came before in the clear is forgotten."""
        self.allow()
        self._buffer.clear()
        try:
            context = ssl.create_default_context(cafile=self._ca_file or None)
            self._sock = context.wrap_socket(self._sock, server_hostname=self.host, do_handshake_on_connect=False)
        except (OSError, ValueError) as exc:  # an SSLError is an OSError
            where = f"ca_file {self._ca_file}: " if self._ca_file else ""
            raise VrtError(f"{where}cannot prepare TLS: {_why(exc)}") from exc
        try:
            self._patiently(self._sock.do_handshake, select.POLLIN, handshake=True)
        except ssl.SSLCertVerificationError as exc:
            text = f"the certificate of {self.host}:{self.port} cannot be trusted: {exc.verify_message}"
            raise VrtError(text, "use the name it was made for, or give its authority as ca_file") from exc
        except ssl.SSLError as exc:
            raise VrtError(f"no TLS with {self.host}:{self.port}: {_why(exc)}", "is it the right port?") from exc

    def allow(self, count: int = USUAL) -> None:
        """Let the server send ``count`` bytes from now on, in a time that fits."""
        self._left = count
        self._until = time.monotonic() + SILENCE + count / RATE

    def read(self, count: int) -> bytes:
        """Return exactly ``count`` bytes; raises ``Lost``."""
        if count - len(self._buffer) > self._left:
            raise TooMuch(f"{self.host} sends more than was asked for")
        while len(self._buffer) < count:
            self._receive()
        return self._cut(count)

    def readline(self) -> bytes:
        """Return a line with its end; raises ``Lost``."""
        return self.read_through(b"\n")

    def read_through(self, mark: bytes) -> bytes:
        """Return everything up to ``mark`` and with it; raises ``Lost``."""
        start = 0
        while (at := self._buffer.find(mark, start)) < 0:
            start = max(0, len(self._buffer) - len(mark) + 1)
            self._receive()
        return self._cut(at + len(mark))

    def begins_with(self, mark: bytes) -> bool:
        """Say whether ``mark`` comes next, without taking it; raises ``Lost``."""
        while len(self._buffer) < len(mark):
            self._receive()
        return self._buffer.startswith(mark)

    def send(self, data: bytes) -> None:
        """Send all of ``data``; raises ``Lost``."""
        rest = memoryview(bytes(data))
        while rest:
            rest = rest[self._patiently(lambda rest=rest: self._sock.send(rest), select.POLLOUT) :]  # type: ignore[misc]

    def has_more(self) -> bool:
        """Say whether something was received that nobody has read."""
        return bool(self._buffer) or (isinstance(self._sock, ssl.SSLSocket) and self._sock.pending() > 0)

    def fileno(self) -> int:
        """Return the socket's descriptor, to wait for."""
        return self._sock.fileno()

    def close(self) -> None:
        """Hang up."""
        self.closed = True
        self._sock.close()

    # --- below ------------------------------------------------------------------------------------

    def _cut(self, count: int) -> bytes:
        found = bytes(memoryview(self._buffer)[:count])
        del self._buffer[:count]
        return found

    def _receive(self) -> None:
        if self._left <= 0:
            raise TooMuch(f"{self.host} sends more than was asked for")
        data = self._patiently(lambda: self._sock.recv(min(1 << 18, self._left)), select.POLLIN)
        if not data:
            raise Lost(f"{self.host} closed the connection")
        self._left -= len(data)
        self._buffer += data

    def _patiently(self, act: Callable[[], Got], event: int, handshake: bool = False) -> Got:
        """Return what ``act`` on the socket returns, waiting until it can be done.

        Raises ``Lost``; in a handshake also ``ssl.SSLError``.
        """
        while True:
            if self.closed:
                raise Lost(f"the connection to {self.host} is closed")
            try:
                return act()
            except ssl.SSLWantReadError:
                self._wait(select.POLLIN)
            except ssl.SSLWantWriteError:
                self._wait(select.POLLOUT)
            except BlockingIOError:
                self._wait(event)
            except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
                raise Lost(f"{self.host} closed the connection") from None
            except OSError as exc:
                if handshake and isinstance(exc, ssl.SSLError):
                    raise
                raise Lost(f"lost the connection to {self.host}: {_why(exc)}") from exc

    def _wait(self, event: int) -> None:
        left = min(SILENCE, self._until - time.monotonic())
        poll = select.poll()
        poll.register(self._sock, event)
        if self._stop:
            poll.register(self._stop.fileno(), select.POLLIN)
        ready = dict(poll.poll(max(0.0, left) * 1000))
        if self._stop and self._stop.fileno() in ready:
            raise Stopped
        if not ready:
            raise Lost(f"{self.host} {'did not answer in time' if left == SILENCE else 'is too slow'}")


def is_loopback_name(host: str) -> bool:
    """Say whether ``host`` names this machine: ``localhost``, or an address of 127.0.0.0/8 or ::1 (RFC 6890)."""
    return host.lower() == "localhost" or _is_loopback(host)


def _is_loopback(address: str) -> bool:
    import ipaddress

    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return bool((mapped or found).is_loopback)


def _why(exc: Exception) -> str:
    if isinstance(exc, ssl.SSLError):
        return (exc.reason or "").replace("_", " ").lower() or "the handshake failed"
    if isinstance(exc, TimeoutError):
        return "no answer"
    return (getattr(exc, "strerror", None) or type(exc).__name__).lower()
