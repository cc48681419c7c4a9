"""The desk's remote: where it is, and both branches fetched from it and pushed to it.

A remote is not trusted: what it serves lies in refs of its own until the law was checked on it.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path

from vrt.errors import TryAgain, UsageError, VrtError
from vrt.storage import partial
from vrt.storage.git import KEYS, MAIN, Heads, Repository
from vrt.storage.surroundings import check

_INCOMING = "refs/vrt/incoming/"
_HELD = Heads("refs/vrt/held/main", "refs/vrt/held/keys")  # what was done here, until it is put on top of theirs
_SEEN = Heads("refs/vrt/remote/main", "refs/vrt/remote/keys")  # what the remote had when it was seen last
# ssh and https URLs, host:path as ssh has it, file URLs and paths; never a helper (ext::), an option, or anything that
# a shell in somebody's ssh configuration could take for more than a name (CVE-2023-51385).
_HOST = r"(?:\w[\w.+-]*@)?(?:\w[\w.-]*|\[[\da-fA-F:.]+\])"
_URL = re.compile(
    rf"(?!.*%(?:[01]|7[fF]))(?:(?:ssh|https)://{_HOST}(?::\d{{1,5}})?/\S*|{_HOST}:(?!:|//)[^\s:-]\S*)"
    r"|(?:file:///[^\x00-\x1f%\x7f]*|\.{0,2}/[^\x00-\x1f\x7f]*)",
    re.ASCII,
)
_SECRET = re.compile(r"https://[^/@:]*:[^/@]*@.*")
_OPTIONS = ["-c", "transfer.fsckObjects=true", "-c", "http.lowSpeedLimit=100", "-c", "http.lowSpeedTime=60"]
_OPTIONS += ["-c", "core.bigFileThreshold=64m"]  # what is larger is not held in memory
# What git runs in the repository of a path, in our name: no hooks, those are for a server; whoever owns it, for its
# settings were looked at.
_THERE = "git -c 'safe.directory=*' -c core.hooksPath=/dev/null -c core.fsync=all"
_THERE += " -c uploadpack.allowFilter=true -c uploadpack.allowAnySHA1InWant=true"
_FETCH = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--no-recurse-submodules")
_ALL = "--filter=blob:limit=1g"  # leaves out nothing; without a filter git looks for the older articles
_AT_ONCE = 5000  # objects that are asked for by name


def url(repository: Repository) -> str:
    """Return where the desk's remote is, an empty string where it has none; raises ``UsageError`` for a strange one."""
    try:
        found = repository.run("config", "--local", "--get", "remote.origin.url").decode("utf-8", "replace").strip()
    except UsageError:
        raise
    except VrtError:
        return ""
    return checked(found)


def checked(where: str) -> str:
    """Return ``where`` if it is a remote that git may be sent to; raises ``UsageError`` if it is none."""
    if _SECRET.match(where):
        raise UsageError("a token in the remote's URL is seen by others on this machine", "put it into ~/.netrc")
    if not _URL.fullmatch(where):
        raise UsageError("the remote is no ssh, https or file URL and no path", "git config remote.origin.url URL")
    return where


def seen(repository: Repository) -> Heads:
    """Return the heads that the remote had when it was seen last, empty where it never was."""
    return Heads(*(repository.ref(name) for name in _SEEN))


def lost(repository: Repository, theirs: Heads) -> str:
    """Say what a remote lost of what it had when it was seen last; empty where it continues that."""
    for name, old, new in zip(("ledger", "keyring"), seen(repository), theirs, strict=True):
        if not old or old == new:
            continue
        if not new:
            gone = "" if any(theirs) else ", nor any other"
            return f"the remote has no branch of the {name} any more{gone}"
        if repository.is_ancestor(old, new):
            continue
        if repository.is_ancestor(new, old):
            count = int(repository.run("rev-list", "--count", f"{new}..{old}"))
            return f"the remote went back: its {name} lacks what it had last, {count} of its commits"
        base = repository.common(old, new)
        where = f"after commit {base[:16]}" if base else "from the first commit on"
        return f"the remote does not continue what it had before: its {name} is another {where}"
    return ""


def keep_lost(repository: Repository, heads: Heads) -> None:
    """Keep what was here before the remote was mended, so that git prunes none of it: ``refs/vrt/lost/``."""
    folder = f"refs/vrt/lost/{heads.main[:16]}"
    _set(repository, [f"update {folder}/main {heads.main}", f"update {folder}/keys {heads.keys}"])


class Remote:
    """A remote that is talked with."""

    def __init__(self, repository: Repository, where: str, limit: float | None = None) -> None:
        """``limit``: how many seconds one exchange may take; None for as long as something comes."""
        self._repository, self._where, self._limit = repository, where, limit

    def fetch(self, *options: str) -> Heads:
        """Fetch both branches, fsck'd, and return the heads that the remote has; its objects are here, nothing else is.

        A branch that is not there has an empty head. Raises ``TryAgain`` where the remote cannot be reached.
        """
        try:
            self._fetch([MAIN, KEYS], options)
        except TryAgain as exc:
            if "couldn't find remote ref" not in exc.message:
                raise
            names = self._names()
            if names:
                self._fetch(sorted(names), options)
            return Heads(*(self._repository.ref(_INCOMING + n[11:]) if n in names else "" for n in (MAIN, KEYS)))
        return Heads(*(self._repository.ref(_INCOMING + name[11:]) for name in (MAIN, KEYS)))

    def fetch_lean(self) -> Heads:
        """As ``fetch``, for a new desk that becomes a partial one: of the ledger come commits and folders alone."""
        if self._names() != {MAIN, KEYS}:
            return Heads("", "")
        self._fetch([KEYS], ())
        spec = f"+{MAIN}:{_INCOMING}{MAIN[11:]}"
        self._talk(*_FETCH, "--refmap=", "--filter=blob:none", "--", self._where, spec, lean=True)
        return Heads(*(self._repository.ref(_INCOMING + name[11:]) for name in (MAIN, KEYS)))

    def bring(self, ids: Sequence[str]) -> None:
        """Fetch objects by their ids; raises ``TryAgain``, also where the remote does not give them so."""
        for i in range(0, len(ids), _AT_ONCE):
            names = "".join(f"{name}\n" for name in ids[i : i + _AT_ONCE])
            self._talk(*_FETCH, "--filter=blob:none", "--stdin", "--", self._where, lean=True, feed=[names.encode()])

    def _names(self) -> set[str]:
        there = self._talk("ls-remote", "--refs", "--", self._where, MAIN, KEYS).decode("utf-8", "replace")
        return {row.partition("\t")[2] for row in there.splitlines()} & {MAIN, KEYS}

    def _fetch(self, names: list[str], options: Sequence[str]) -> None:
        spec = [f"+{name}:{_INCOMING}{name[11:]}" for name in names]
        lean = partial.is_partial(self._repository)
        more = ("--refmap=", _ALL) if lean else ()
        with partial.unpromised(self._repository) if lean else nullcontext():
            self._talk(*_FETCH, "--atomic", *more, *options, "--", self._where, *spec, lean=lean)

    def push(self, heads: Heads, over: Heads | None = None) -> None:
        """Push both heads, both or none, and only forward; raises ``TryAgain`` where the remote does not take them.

        ``over`` is what the remote has, where that is to be overwritten.
        """
        force = [f"--force-with-lease={n}:{h}" for n, h in ((KEYS, over.keys), (MAIN, over.main))] if over else []
        spec = [f"{heads.keys}:{KEYS}", f"{heads.main}:{MAIN}"]
        self._talk("push", "--quiet", "--atomic", "--no-verify", *force, "--", self._where, *spec)

    def _talk(self, command: str, *args: str, lean: bool = False, feed: Iterable[bytes] = ()) -> bytes:
        return _talk(self._repository, self._limit, command, *args, lean=lean, feed=feed)


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


def sweep(repository: Repository) -> None:
    """Remove the locks on refs of this module that a killed git left; only under ``vrt/sync.lock``."""
    for path in (repository.path / "refs/vrt").rglob("*.lock"):
        path.unlink(missing_ok=True)


def remember(repository: Repository, heads: Heads) -> None:
    """Remember what the remote has."""
    _set(repository, [f"update {name} {head}" for name, head in zip(_SEEN, heads, strict=True)])


def _talk(
    repository: Repository,
    limit: float | None,
    command: str,
    *args: str,
    lean: bool = False,
    feed: Iterable[bytes] = (),
) -> bytes:
    """Run fetch, push or ls-remote; where the remote is stands after ``--`` in ``args``.

    ``lean``: what is fetched may refer to objects that only the remote has. ``feed`` names objects.
    """
    words, options, place = list(args), list(_OPTIONS), args.index("--") + 1
    if lean:
        options += partial.fetching(args[place])
        words[place] = partial.REMOTE
    if feed:
        options += ["-c", "fetch.negotiationAlgorithm=noop"]  # what is here says nothing about what is asked for
    if folder := _folder(repository, args[place]):
        side = "receive-pack" if command == "push" else "upload-pack"
        words.insert(0, f"--{side}={_THERE} {side}")
        _check_host(folder)
    room = shutil.disk_usage(repository.path).free // 2
    try:
        return repository.run(command, *words, feed=feed, options=options, limit=limit, largest=room)
    except (TryAgain, UsageError):
        raise
    except VrtError as exc:
        if _cut_off(repository, room):
            raise TryAgain("the remote sends more than fits on half of the free disk", "free some space") from exc
        raise TryAgain(f"the remote: {exc.message}", "is it there? git config remote.origin.url") from exc


def bring(repository: Repository, ids: Sequence[str]) -> None:
    """Fetch objects of a partial desk by their ids; raises ``TryAgain`` where its remote does not give them."""
    Remote(repository, url(repository)).bring(ids)


def _cut_off(repository: Repository, largest: int) -> bool:
    """Say whether git was ended over a pack of ``largest`` bytes, and remove what there is of it."""
    found = [p for p in (repository.path / "objects/pack").glob("tmp_pack_*") if p.stat().st_size >= largest]
    for path in found:
        path.unlink()
    return bool(found)


def _folder(repository: Repository, where: str) -> Path | None:
    """Return the folder that a remote on this machine is in, as git finds it, None for one elsewhere."""
    if where.startswith("file://"):
        return Path(where.removeprefix("file://"))
    return repository.path / where if where.startswith((".", "/")) else None


def _check_host(folder: Path) -> None:
    """Look at a remote on this machine: git will run in it, with its settings. One that is not there is git's to say.

    Raises ``UsageError`` for what is no bare repository, or has settings that could run a program.
    """
    if folder.exists():
        if not (folder / "HEAD").exists() or os.path.lexists(folder / ".git"):
            raise UsageError("the remote is no bare repository", f"git init --bare {folder} makes one")
        check(folder, "the remote")
