"""The desk's remote: where it is, and both branches fetched from it and pushed to it.

A remote is not trusted: what it serves lies in refs of its own until the law was checked on it.
"""

from __future__ import annotations

import re

from vrt.errors import TryAgain, UsageError, VrtError
from vrt.storage.git import KEYS, MAIN, Heads, Repository

_HELD = Heads("refs/vrt/held/main", "refs/vrt/held/keys")  # what was done here, until it is put on top of theirs
_SEEN = Heads("refs/vrt/remote/main", "refs/vrt/remote/keys")  # what the remote had when it was seen last
# ssh, https and file URLs, host:path as ssh has it, and plain paths; never a helper (ext::) or an option.
_URL = re.compile(
    r"(?:ssh|https|file)://[^\s-]\S*|(?:[\w.-]+@)?[\w.][\w.-]*:(?!:|//)[^\s:-]\S*|(?:\.{0,2}/|[A-Za-z]:[\\/])\S*"
)
_ALLOWED = ["-c", "protocol.allow=never"]
_ALLOWED += [word for name in ("ssh", "https", "file") for word in ("-c", f"protocol.{name}.allow=always")]
_ALLOWED += ["-c", "http.lowSpeedLimit=100", "-c", "http.lowSpeedTime=60"]


def url(repository: Repository) -> str:
    """Return where the desk's remote is, an empty string where it has none; raises ``UsageError`` for a strange one."""
    try:
        found = repository.run("config", "--local", "--get", "remote.origin.url").decode("utf-8", "replace").strip()
    except VrtError:
        return ""
    if not _URL.fullmatch(found):
        raise UsageError("the remote is no ssh, https or file URL and no path", "git config remote.origin.url URL")
    return found


def seen(repository: Repository) -> Heads:
    """Return the heads that the remote had when it was seen last, empty where it never was."""
    return Heads(*(repository.ref(name) for name in _SEEN))


def fetch(repository: Repository, where: str) -> Heads:
    """Fetch both branches, fsck'd, and return the heads that the remote has; its objects are here, nothing else is.

    A remote without these branches has empty heads. Raises ``TryAgain`` where it cannot be reached.
    """
    spec = [f"+{MAIN}:refs/vrt/incoming/main", f"+{KEYS}:refs/vrt/incoming/keys"]
    try:
        _fetch(repository, where, spec)
    except TryAgain as exc:
        if "couldn't find remote ref" not in exc.message:
            raise
        return Heads("", "")
    return Heads(repository.ref("refs/vrt/incoming/main"), repository.ref("refs/vrt/incoming/keys"))


def _fetch(repository: Repository, where: str, spec: list[str]) -> None:
    _talk(repository, "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--atomic",
          "--no-recurse-submodules", "--", where, *spec)  # fmt: skip


def push(repository: Repository, where: str, heads: Heads) -> None:
    """Push both heads, both or none, and only forward; raises ``TryAgain`` where the remote does not take them."""
    _talk(
        repository,
        "push",
        "--quiet",
        "--atomic",
        "--no-verify",
        "--",
        where,
        f"{heads.keys}:{KEYS}",
        f"{heads.main}:{MAIN}",
    )


def held(repository: Repository) -> Heads:
    """Return where what was done here hangs while it is put on top of what others published; empty for nothing."""
    return Heads(*(repository.ref(name) for name in _HELD))


def hold(repository: Repository, heads: Heads) -> None:
    """Hang what was done here on refs of this machine."""
    _set(repository, [f"update {name} {head}" for name, head in zip(_HELD, heads, strict=True)])


def let_go(repository: Repository) -> None:
    """Take the refs of ``hold`` away."""
    _set(repository, [f"delete {name}" for name in _HELD if repository.ref(name)])


def _set(repository: Repository, lines: list[str]) -> None:
    repository.run("update-ref", "--stdin", feed=["\n".join(lines).encode() + b"\n"])


def remember(repository: Repository, heads: Heads) -> None:
    """Remember what the remote has."""
    _set(repository, [f"update {name} {head}" for name, head in zip(_SEEN, heads, strict=True)])


def _talk(repository: Repository, command: str, *args: str) -> None:
    try:
        repository.run(command, *args, options=[*_ALLOWED, "-c", "transfer.fsckObjects=true"])
    except TryAgain:
        raise
    except VrtError as exc:
        raise TryAgain(f"the remote: {exc.message}", "is it there? git config remote.origin.url") from exc
