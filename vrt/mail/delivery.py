"""How mail leaves: the ``delivery`` of a desk's ``config.yaml``, checked, and what every way of handing over answers.

Takes the plain mapping that the file holds and gives a ``Delivery``; ``open`` gives what hands messages over by it.
Knows nothing of desks, tickets and the ledger: its callers record what became of a message.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from vrt.errors import TryAgain, VrtError
from vrt.mail import accounts
from vrt.roster import seconds

SAID = 500  # characters of an answer that are kept
_PLACE = "delivery"
_SETTINGS = {
    "maildir": ("path",),
    "sendmail": ("command",),
    "smtp": ("host", "port", "tls", "ca_file", "user", "password_command", "token_command"),
}
# The registered ports: submission, the same with implicit TLS (RFC 8314), and a server on this machine.
_PORTS = {"starttls": 587, "implicit": 465, "none": 25}
# What may be written between < and > of SMTP and as a word of a command line: no quotes, no lists, no options.
_ADDRESS = re.compile(r"(?!-)[A-Za-z0-9!#$%&'*+/=?^_`{|}~.\x80-\U0010ffff-]{1,64}@[A-Za-z0-9.\x80-\U0010ffff-]{1,253}")


class Delivery(NamedTuple):
    """One way for mail to leave; what its kind does not have is empty. ``give_up`` is in seconds."""

    kind: str = "maildir"
    path: Path | None = None
    command: tuple[str, ...] = ("/usr/sbin/sendmail",)
    host: str = ""
    port: int = 0
    tls: str = "starttls"
    ca_file: str = ""
    user: str = ""
    password_command: str = ""
    token_command: str = ""
    give_up: int = 2 * 86400


class Result(NamedTuple):
    """What became of a message that was offered.

    ``outcome`` is ``sent``, ``deferred`` (nobody has it, a later try may be taken) or ``failed`` (nobody has it, and
    nobody will); ``status`` an enhanced code (RFC 3463), ``said`` what the other side answered: foreign text of at
    most ``SAID`` characters; ``recipient`` the address that was refused, where it was one.
    """

    outcome: str
    status: str
    said: str = ""
    recipient: str = ""


class Unreachable(TryAgain):
    """Nothing was handed over, for certain, and that is not the message's fault: it waits."""


class InDoubt(VrtError):
    """Nobody can say whether the message was taken: a person has to decide about another try."""


class Transport(Protocol):
    """A way to hand over messages."""

    def send(
        self, name: str, envelope: str, recipients: Sequence[str], data: bytes, commit: Callable[[], None]
    ) -> Result:
        """Hand over one message to all ``recipients``, or to none of them.

        ``name`` is the event's id, ``envelope`` the address that bounces go to (empty for none), ``data`` the message
        with CR LF line ends. ``commit`` is called once, right before the one step after which the message may have
        been taken: if it raises, nothing is handed over. Raises ``Unreachable``, ``InDoubt``, and ``VrtError`` where
        the operator has to act first.
        """


def read(values: Any) -> Delivery:
    """Return the settings that ``values`` hold, those for a Maildir where it is empty; raises ``VrtError``."""
    if not isinstance(values, Mapping):
        raise _bad("holds no settings", "docs/ADMIN.md shows an example")
    kind = values.get("kind", "maildir")
    if kind not in list(_SETTINGS):  # a list in the file has no hash
        raise _bad(f"kind is {kind!r}", f"one of {', '.join(_SETTINGS)}")
    if "password" in values:
        raise _bad("a password does not belong into a file", "set password_command: pass show NAME")
    allowed = ("kind", "give_up", *_SETTINGS[kind])
    if unknown := [str(k) for k in values if k not in allowed]:
        raise _bad(f"unknown setting {unknown[0]}", f"{kind} has {', '.join(allowed)}")
    texts = {k: accounts.check_text(_PLACE, k, v) for k, v in values.items() if k not in ("port", "command")}
    given = Delivery(kind, give_up=_span(texts.pop("give_up", "2d")))
    if kind == "maildir":
        return given._replace(path=_absolute("path", texts["path"]) if "path" in texts else None)
    if kind == "sendmail":
        return given._replace(command=_command(values.get("command", list(given.command))))
    del texts["kind"]
    return _server(given._replace(port=accounts.check_port(_PLACE, values.get("port", 0)), **texts))  # type: ignore[arg-type]


def open(settings: Delivery, helo: str, folder: Path) -> AbstractContextManager[Transport]:
    """Return what hands messages over, to be used in a ``with``: it may keep a connection for many messages.

    ``helo`` is the desk's domain, the name under which a server is greeted; ``folder`` the Maildir where the settings
    name none.
    """
    if settings.kind == "smtp":
        from vrt.mail.smtp import Smtp

        return closing(Smtp(settings, helo))
    from vrt.mail.transport import Maildir, Sendmail

    if settings.kind == "sendmail":
        return nullcontext(Sendmail(settings.command))
    return nullcontext(Maildir(settings.path or folder))


def unsendable(envelope: str, recipients: Sequence[str]) -> Result | None:
    """Return why no program can be given these addresses, or None (RFC 3463, section 3.2: X.1.3, X.1.7, X.1.0)."""
    if not recipients:
        return Result("failed", "5.1.0", "there is nobody to send it to")
    if envelope and not _is_address(envelope):
        return Result("failed", "5.1.7", "the sender is no address that mail can come from")
    for address in recipients:
        if not _is_address(address):
            return Result("failed", "5.1.3", "this is no address that mail can be sent to", address[:SAID])
    return None


def _is_address(text: str) -> bool:
    # 254 octets: RFC 5321, section 4.5.3.1.3, without < and >. Unprintable are lone surrogates too.
    return text.isprintable() and bool(_ADDRESS.fullmatch(text)) and len(text.encode()) <= 254


# --- settings -------------------------------------------------------------------------------------


def _bad(text: str, hint: str | None = None) -> VrtError:
    return VrtError(f"{_PLACE}: {text}", hint)


def _span(text: str) -> int:
    try:
        found = seconds(text)
    except ValueError as exc:
        raise _bad(f"give_up: {exc}") from None
    if not found:
        raise _bad("give_up is nothing: no message would be tried twice", "write 2d")
    return found


def _absolute(key: str, text: str) -> Path:
    try:
        path = Path(text).expanduser()
    except RuntimeError:  # ~ of a user that is not here
        path = Path()
    if not path.is_absolute():
        raise _bad(f"{key} is not absolute")
    return path


def _command(value: Any) -> tuple[str, ...]:
    """Return the words of a command, which is never given to a shell."""
    import shlex

    if not isinstance(value, list):
        try:
            value = shlex.split(accounts.check_text(_PLACE, "command", value))
        except ValueError as exc:
            raise _bad(f"command cannot be split into words: {str(exc).lower()}") from None
    words = [accounts.check_text(_PLACE, "command", word) for word in value]
    if not words:
        raise _bad("command is empty")
    return (str(_absolute("command", words[0])), *words[1:])


def _server(given: Delivery) -> Delivery:
    accounts.check_server(_PLACE, given.host, given.tls)
    if given.user or given.password_command or given.token_command:
        accounts.check_login(_PLACE, given.user, given.password_command, given.token_command)
    ca_file = str(_absolute("ca_file", given.ca_file)) if given.ca_file else ""
    return given._replace(port=given.port or _PORTS[given.tls], ca_file=ca_file)
