"""What a host does before it takes a push: it holds what is pushed against the law, and refuses what is unlawful.

Git calls it in the bare repository (githooks(5), pre-receive), where what is pushed lies apart until the hook ends
well (git-receive-pack(1), "Quarantine Environment"). It needs no key, and knows no desk, card or configuration.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from pathlib import Path
from shlex import quote
from typing import NamedTuple

from vrt import law
from vrt.errors import Breach, Conflict, UsageError, VrtError
from vrt.storage import history, local
from vrt.storage.database import CannotWrite, Unusable, remove
from vrt.storage.facts import FILE, Facts
from vrt.storage.git import KEYS, MAIN, Heads, Repository

_NONE = "0" * 40
_DAMAGED = (Unusable, ValueError, TypeError, LookupError)  # what a bad file of facts ends in


class Move(NamedTuple):
    """What a push does to a ref: from one commit to another, in hex; zeros where there is none."""

    old: str
    new: str


def moves(lines: Iterable[bytes]) -> dict[str, Move]:
    """Read what git gives to a pre-receive hook, a line ``old new ref`` for each ref.

    Raises ``VrtError`` for anything but the two branches of a desk moving forward: nothing else is pushed to a host.
    """
    found: dict[str, Move] = {}
    for row in lines:
        old, _, rest = row.decode("utf-8", "replace").rstrip("\n").partition(" ")
        new, _, ref = rest.partition(" ")
        if ref not in (MAIN, KEYS):
            raise VrtError(f"{ref[:200]} is no branch of a desk", f"push {MAIN} and {KEYS}, nothing else")
        if new == _NONE:
            raise VrtError(f"{ref} is not deleted: main only moves forward (rule 8), and so do the keys (rule 9)")
        found[ref] = Move(old, new)
    return found


def quarantine(path: Path) -> dict[str, str]:
    """Return the variables with which git sees what is being pushed to the repository ``path``.

    Of those that git hands to a hook only the folder counts, and only one within the repository's own objects: nothing
    else in the environment leads git anywhere. Call it before anything else touches the environment.
    """
    given = os.environ.get("GIT_QUARANTINE_PATH", "")
    objects = path.resolve() / "objects"
    if not given or Path(given).resolve().parent != objects:
        return {}
    return {
        "GIT_QUARANTINE_PATH": given,
        "GIT_OBJECT_DIRECTORY": given,
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(objects),
    }


def receive(path: Path, pushed: dict[str, Move], root: str = "", *, now: int, warn: Callable[[str], None]) -> None:
    """Hold what is pushed to the bare repository ``path`` against the law; return where it may be taken.

    ``root`` is the commit that the ledger must begin with, if that is known; ``now`` is the host's clock (epoch
    seconds). Raises ``VrtError`` where the push is refused, for a commit that breaks a rule ``law.Unlawful``.
    """
    repository = Repository(path, quarantine(path))
    ours = repository.heads()
    theirs = Heads(*(pushed[ref].new if ref in pushed else head for ref, head in zip((MAIN, KEYS), ours, strict=True)))
    if any(move.old != (repository.ref(ref) or _NONE) for ref, move in pushed.items()):
        raise _late()
    if not (theirs.main and theirs.keys):
        raise VrtError("a desk begins with both branches", f"push {MAIN} and {KEYS} at once")
    if root and not (ours.main and ours.keys):
        _check_root(repository, theirs.main, root)
    try:
        _check_with_facts(repository, theirs, now, warn)
    except Breach:
        if repository.heads() != ours:
            raise _late() from None
        raise
    except VrtError as exc:
        if (exc.hint or "").startswith("upgrade vrt"):  # which the pusher has, and the host not
            exc.hint = "upgrade vrt on the host"
        raise


def _late() -> Conflict:
    return Conflict("somebody else published first", "vrt sync")


def _check_root(repository: Repository, head: str, root: str) -> None:
    if repository.run("rev-list", "--max-parents=0", head).decode().split() != [root]:
        raise VrtError(f"the ledger does not begin with {root}, as this host wants it", "is it another desk?")


def _check_with_facts(repository: Repository, theirs: Heads, now: int, warn: Callable[[str], None]) -> None:
    """Check what is pushed, with what is kept of earlier pushes if that is in order: else on the whole history."""
    folder = repository.path / local.FOLDER
    try:
        with closing(_facts(folder, repository.path / "objects")) as facts:
            _check(repository, facts, theirs, now)
    except (*_DAMAGED, CannotWrite, OSError) as exc:
        warn(f"{folder / FILE} cannot be used ({type(exc).__name__}): this push was checked from the first event on")
        if isinstance(exc, _DAMAGED):  # else it may be in order, and in use
            with suppress(OSError):
                remove(folder / FILE)
        _check(repository, None, theirs, now)


def _facts(folder: Path, objects: Path) -> Facts:
    """Open what was accepted; where a group may push, it may use that file too."""
    facts = Facts(folder)
    mode = objects.stat().st_mode
    if mode & stat.S_IWGRP:
        with suppress(PermissionError):  # somebody else made it, and did this
            folder.chmod(stat.S_IMODE(mode))
            (folder / FILE).chmod(0o660)
    return facts


def _check(repository: Repository, facts: Facts | None, theirs: Heads, now: int) -> None:
    """Check what is pushed on top of what was accepted before. Only the latter is kept: the push may still fail."""
    state = facts.state() if facts else law.State()
    ours = repository.heads()
    pairs = zip(_heads(state), ours, strict=True)
    if facts and any(old not in ("", new) and not repository.is_ancestor(old, new) for old, new in pairs):
        facts.forget()  # somebody set the branches back
        state = facts.state()
    if _heads(state) != ours:
        _accept(repository, state, ours)
        if facts:
            facts.save(state)
            state = facts.state()
            _accept(repository, state, ours)  # nothing to do, unless it could not be saved
    history.follow(repository, state, theirs, host=now)
    if _heads(state) != theirs:
        raise Breach("a branch is to point to something that is no commit")


def _heads(state: law.State) -> Heads:
    return Heads(state.head, state.key_head)


def _accept(repository: Repository, state: law.State, ours: Heads) -> None:
    """Take in what the repository has. What was unlawful there before it had a hook may be mended by a push."""
    if ours.main and ours.keys and _heads(state) != ours:
        with suppress(law.Unlawful):
            history.follow(repository, state, ours)


# --- putting it in place --------------------------------------------------------------------------

_SETTINGS = {
    "receive.fsckObjects": "true",
    "receive.denyDeletes": "true",
    "receive.denyNonFastForwards": "true",
    "core.fsync": "all",
}
_MARK = "# Written by vrt hook install."


class Installed(NamedTuple):
    """What ``install`` did: where the hook lies, the desk's root where one is known, how many events were there, and
    what is unlawful among them (empty: nothing).
    """

    hook: Path
    root: str
    events: int
    breach: str


def install(path: Path, root: str = "", *, beside: bool = False) -> Installed:
    """Put the hook into the bare repository ``path``, which may hold a desk already.

    ``beside``: as one of several, in ``pre-receive.d``, which somebody else's hook runs. Raises ``UsageError`` where
    ``path`` is no bare repository of the caller's, or has a hook of somebody else.
    """
    if root and not (len(root) == 40 and set(root) <= set("0123456789abcdef")):
        raise UsageError(f"{root!r} is no commit", "give all 40 digits: vrt status in a clone shows them")
    if not (path / "objects").is_dir() or not (path / "HEAD").is_file():
        raise UsageError(f"{path} is no bare repository", f"git init --bare {path} makes one")
    if (path / "objects").stat().st_uid != os.geteuid():
        raise UsageError(f"{path} belongs to {(path / 'objects').owner()}", "let its owner call this: sudo -u …")
    target = path / "hooks" / ("pre-receive.d/vrt" if beside else "pre-receive")
    if os.path.lexists(target) and _MARK not in target.read_text("latin-1"):
        raise UsageError(f"{target} is somebody else's", "let it call vrt hook pre-receive, or see --forgejo")
    repository = Repository(path, {})
    found, events, breach = _examine(repository) if repository.heads().main else ("", 0, "")
    if root and found not in ("", root):
        raise UsageError(f"the ledger in {path} begins with {found}", "is it another desk?")
    for name, value in _SETTINGS.items():
        repository.run("config", "--local", name, value)
    _write(target, root or found)
    return Installed(target, root or found, events, breach)


def _examine(repository: Repository) -> tuple[str, int, str]:
    """Check all that a repository has, and keep what is lawful; return its root, how many events, and the breach."""
    breach = ""
    with closing(_facts(repository.path / local.FOLDER, repository.path / "objects")) as facts:
        facts.forget()
        state = facts.state()
        try:
            history.follow(repository, state, repository.heads())
        except Breach as exc:
            breach = exc.message
        facts.save(state)
        return state.root, state.place, breach


def _write(target: Path, root: str) -> None:
    """Write the hook, whole or not at all: one that is there goes on working until then."""
    words = [sys.executable, "-EP", "-m", "vrt", "hook", "pre-receive", *(["--root", root] if root else [])]
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_name(f".{target.name}.new")  # a name that nobody runs
    new.write_text(f"#!/bin/sh\n{_MARK}\nexec {' '.join(map(quote, words))}\n")
    new.chmod(0o755)
    new.replace(target)
