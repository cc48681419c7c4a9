"""Where mail is fetched from: the ``accounts`` of a desk's ``config.yaml``, checked, and their passwords.

Takes the plain mapping that the file holds and gives ``Account``s. It opens no connection. A password is never
in the file: a command prints it when it is needed. ``vrt.mail.delivery`` checks a server and its login with this too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from vrt.errors import NotFound, VrtError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_WHAT_TO_DO = {"imap": ("seen", "delete", "move"), "pop3": ("leave", "delete"), "maildir": ("seen", "delete", "move"),
               "mbox": ("leave",)}  # fmt: skip
_SERVER = ("host", "port", "tls", "ca_file", "user", "password_command", "token_command")
_SETTINGS = {
    "imap": (*_SERVER, "folder", "after", "too_large", "publish"),
    "pop3": (*_SERVER, "after", "publish"),
    "maildir": ("path", "after", "too_large", "publish"),
    "mbox": ("path", "after", "publish"),
}
# Type and TLS: the registered ports (RFC 8314, 3501, 1939).
_PORTS = {("imap", "implicit"): 993, ("pop3", "implicit"): 995, ("imap", ""): 143, ("pop3", ""): 110}
PATIENCE = 30  # seconds for a command that prints a password
_LONGEST = 64 << 10  # bytes of what it prints; the tokens of large providers have some thousand


class After(NamedTuple):
    """What happens to a message once it is in the desk: ``leave``, ``seen``, ``delete``, or ``move`` to ``folder``."""

    what: str
    folder: str = ""


class Account(NamedTuple):
    """One place that mail is fetched from; what its type does not have is empty."""

    name: str
    type: str
    host: str = ""
    port: int = 0
    tls: str = "implicit"
    ca_file: str = ""
    user: str = ""
    password_command: str = ""
    token_command: str = ""
    folder: str = "INBOX"
    path: str = ""
    after: After = After("")
    too_large: After = After("leave")
    publish: bool = False

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return self.path or f"{self.host}:{self.port}"


def choose(known: Mapping[str, Any], names: tuple[str, ...]) -> list[str]:
    """Return the names of the accounts that are asked for, all where none is; raises ``NotFound`` or ``VrtError``."""
    if unknown := [n for n in names if n not in known]:
        hint = f"this desk has {', '.join(known)}" if known else "this desk has no accounts, see docs/ADMIN.md"
        raise NotFound(f"no account named {unknown[0]}", hint)
    if not known:
        raise VrtError("this desk has no accounts to fetch from", "name them in vrt/config.yaml, see docs/ADMIN.md")
    return list(dict.fromkeys(names or known))


def read(name: str, values: Any) -> Account:
    """Return the account ``name`` with the settings ``values``; raises ``VrtError`` for one that is not in order."""
    known = ", ".join(_SETTINGS)
    if not _NAME.fullmatch(name):
        raise VrtError(
            f"account {name!r}: this cannot be the name of an account", "use letters, digits, dots and dashes"
        )
    if not isinstance(values, Mapping):
        raise _bad(name, "holds no settings", "docs/ADMIN.md shows an example")
    kind = values.get("type")
    if kind not in _SETTINGS:
        raise _bad(name, f"type is {kind!r}" if kind else "has no type", f"one of {known}")
    if "password" in values:
        raise _bad(name, "a password does not belong into a file", "set password_command: pass show NAME")
    allowed = ("type", *_SETTINGS[kind])
    if unknown := [str(k) for k in values if k not in allowed]:
        raise _bad(name, f"unknown setting {unknown[0]}", f"{kind} has {', '.join(allowed)}")
    place = f"account {name}"
    texts = {k: check_text(place, k, v) for k, v in values.items() if k not in ("port", "publish")}
    after, large = texts.pop("after", ""), texts.pop("too_large", "leave")
    account = Account(name, port=check_port(place, values.get("port", 0)), publish=_flag(name, values), **texts)  # type: ignore[arg-type]
    account = account._replace(
        after=_after(name, "after", after or _WHAT_TO_DO[kind][0], _WHAT_TO_DO[kind]),
        too_large=_after(name, "too_large", large, ("leave", "move")),
    )
    return _server(account) if "host" in allowed else _path(account)


def secret(account: Account) -> str:
    """Return the password or token of an account; raises as ``secret_of`` does."""
    return secret_of(account.password_command, account.token_command)


def secret_of(password_command: str, token_command: str) -> str:
    """Return what the command that is not empty prints in its first line.

    Raises ``VrtError`` where the command fails, is too slow or prints nothing; what it printed is never shown.
    """
    what = "token_command" if token_command else "password_command"
    code, data = _run(token_command or password_command)
    if code is None:
        raise VrtError(f"{what} took more than {PATIENCE} seconds", "it must not ask anybody")
    if code:
        raise VrtError(f"{what} failed with exit {code}", "run it by hand as the user that runs vrt")
    try:
        found = data.split(b"\n", 1)[0].rstrip(b"\r").decode()
    except UnicodeDecodeError:
        raise VrtError(f"{what} printed no UTF-8 text") from None
    if not found or _CONTROLS.search(found):
        raise VrtError(f"{what} printed {'controls' if found else 'nothing'} in its first line")
    return found


def _run(command: str) -> tuple[int | None, bytes]:
    """Run ``command`` in a shell without input; return its exit code (None: too slow) and the first of its output."""
    import os
    import signal
    import subprocess
    import threading

    process = subprocess.Popen(
        ["sh", "-c", command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True
    )
    late = threading.Event()

    def end() -> None:
        late.set()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # with whatever it started that keeps the pipe open

    timer = threading.Timer(PATIENCE, end)
    timer.start()
    try:
        assert process.stdout
        with process.stdout as pipe:
            data = pipe.read(_LONGEST)
        code = process.wait()
    finally:
        timer.cancel()
    return (None if late.is_set() else code), data


# --- settings -------------------------------------------------------------------------------------


def check_text(place: str, key: str, value: Any) -> str:
    """Return the setting ``key`` of ``place`` (``account info``, for people) as text; raises ``VrtError``."""
    if isinstance(value, bool | int | float):
        value = str(value)
    if not isinstance(value, str) or not value or (_CONTROLS.search(value) and not key.endswith("_command")):
        raise VrtError(f"{place}: {key} is not a line of text")
    return value


def check_port(place: str, value: Any) -> int:
    """Return a port; 0 is the usual one. Raises ``VrtError``."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 65536:
        raise VrtError(f"{place}: port is a number from 1 to 65535")
    return value


def check_server(place: str, host: str, tls: str) -> None:
    """Raise ``VrtError`` for what is no server, or would be spoken to in the clear although it is not this machine."""
    from vrt.mail.wire import is_loopback_name  # brings TLS, which a Maildir does not need

    if not host or re.search(r"[\s/]", host):
        raise VrtError(f"{place}: {'host is not the name of a server' if host else 'has no host'}")
    if tls not in ("implicit", "starttls", "none"):
        raise VrtError(f"{place}: tls is {tls!r}", "tls can be implicit, starttls or none")
    if tls == "none" and not is_loopback_name(host):
        text = f"tls: none would send password and mail to {host} in the clear"
        raise VrtError(f"{place}: {text}", "use implicit or starttls")


def check_login(place: str, user: str, password_command: str, token_command: str) -> None:
    """Raise ``VrtError`` where a user is missing, or the one command that prints the secret."""
    if not user:
        raise VrtError(f"{place}: has no user")
    if bool(password_command) == bool(token_command):
        raise VrtError(f"{place}: needs either password_command or token_command", "password_command: pass show NAME")


def _bad(name: str, text: str, hint: str | None = None) -> VrtError:
    return VrtError(f"account {name}: {text}", hint)


def _flag(name: str, values: Mapping[str, Any]) -> bool:
    value = values.get("publish", False)
    if not isinstance(value, bool):
        raise _bad(name, "publish is true or false")
    return value


def _after(name: str, key: str, text: str, known: tuple[str, ...]) -> After:
    what, _, folder = text.partition(":")
    if what not in known or bool(folder) != (what == "move"):
        words = [f"{w}:FOLDER" if w == "move" else w for w in known]
        raise _bad(name, f"{key} is {text!r}", f"{key} can be {', '.join(words)}")
    return After(what, folder)


def _server(account: Account) -> Account:
    place = f"account {account.name}"
    check_server(place, account.host, account.tls)
    check_login(place, account.user, account.password_command, account.token_command)
    if account.after.folder and account.after.folder == account.folder:
        raise _bad(account.name, "after would move messages to where they are", "name another folder")
    tls = account.tls if account.tls == "implicit" else ""
    ca_file = str(Path(account.ca_file).expanduser()) if account.ca_file else ""
    return account._replace(port=account.port or _PORTS[account.type, tls], ca_file=ca_file)


def _path(account: Account) -> Account:
    path = Path(account.path).expanduser()
    if not account.path or not path.is_absolute():
        raise _bad(account.name, "path is not absolute" if account.path else "has no path")
    return account._replace(path=str(path))
