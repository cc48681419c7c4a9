"""The desk brought together with its remote: what others published comes here, what was done here goes there.

What a remote serves is looked at before it is believed: it must continue what was seen before, and be lawful.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass

from vrt import law, paths
from vrt.changes import write_signers
from vrt.desk import Desk
from vrt.errors import Breach, Conflict, TryAgain, UsageError
from vrt.mail import intake
from vrt.mail.sources import Letter
from vrt.reapply import check_clash, own, reapply
from vrt.storage import crypt, local, lock, remote
from vrt.storage.git import Heads
from vrt.storage.spool import Spool
from vrt.verify import Report, check_law

TRIES = 8  # pushes that others may be faster with


@dataclass
class Synced:
    """What one sync did: events that came, events that went, mails of the spool that were received again."""

    came: int = 0
    went: int = 0
    again: int = 0


def sync(desk: Desk) -> Synced:
    """Bring the desk and its remote together.

    Raises ``UsageError`` where there is no remote, ``TryAgain`` where it cannot be reached, ``Breach`` for a
    history that is not to be believed, ``Conflict`` where others published first and this card may not give way.
    """
    where = remote.url(desk.repository)
    if not where:
        raise UsageError("this desk has no remote", "git config remote.origin.url URL")
    with lock.held(desk.path / local.FOLDER / "sync.lock", lambda: None):
        return _sync(desk, where)


def _sync(desk: Desk, where: str) -> Synced:
    done = Synced()
    while remote.held(desk.repository).main:  # a call before was cut off
        heads = desk.repository.heads()
        state = check_law(desk, heads, Report())
        with desk.writing():
            if desk.repository.heads() == heads:
                _put_on_top(desk, state)
    for attempt in range(TRIES):
        _receive_again(desk, done)
        theirs = remote.fetch(desk.repository, where)
        _take_over(desk, theirs, done)
        _receive_again(desk, done)
        with desk.writing():
            ours, waiting = desk.repository.heads(), Spool(desk.path).names()
        try:
            if ours != theirs:
                remote.push(desk.repository, where, ours)
        except TryAgain:
            if attempt == TRIES - 1 or remote.fetch(desk.repository, where) == theirs:
                raise  # nobody was faster: the remote does not take it
            time.sleep(random.uniform(0.1, 0.5) * (attempt + 1))
            continue
        remote.remember(desk.repository, ours)
        Spool(desk.path).drop(waiting)
        done.went = _count(desk, theirs.main, ours.main)
        return done
    raise TryAgain("others kept publishing first", "vrt sync")


def _take_over(desk: Desk, theirs: Heads, done: Synced) -> None:
    """Make the desk continue what the remote has, once it is found lawful."""
    repository, seen = desk.repository, remote.seen(desk.repository)
    if theirs == Heads("", "") == seen:
        return  # a new one
    if not theirs.main or not theirs.keys:
        raise Breach("the remote lacks a branch that it had, or one of the two", "ask who changed it")
    for old, new in zip(seen, theirs, strict=True):
        if old and not repository.is_ancestor(old, new):
            raise Breach(
                "the remote does not continue what it had before", "ask who changed it; nothing was taken over"
            )
    if _has(desk, repository.heads(), theirs):
        return  # nothing new
    state = check_law(desk, theirs, Report())  # before the lock: it takes its time
    with desk.writing() as fd:
        ours = repository.heads()
        base = Heads(*(repository.common(a, b) for a, b in zip(ours, theirs, strict=True)))
        if not base.main or not base.keys:
            raise Breach("the remote is another desk", "git config remote.origin.url")
        if base == theirs:
            return  # it came in the meantime
        if base != ours:
            _may_give_up(desk, base, ours, theirs)
        done.came += _count(desk, base.main, theirs.main)
        if base != ours:
            remote.hold(repository, ours)
            desk.give_up(base)
        repository.move(ours, theirs, fd)
        remote.remember(repository, theirs)
        desk.follow()
        _put_on_top(desk, state)
    desk.catch_up()
    with repository.reader() as reader:
        write_signers(repository, reader.read(f"{theirs.main}:{paths.SIGNERS}").decode())


def _has(desk: Desk, ours: Heads, theirs: Heads) -> bool:
    return all(desk.repository.is_ancestor(new, old) for new, old in zip(theirs, ours, strict=True))


def _put_on_top(desk: Desk, state: law.State) -> None:
    """Put what was done here on top of what was taken over; only within ``writing``."""
    for told in reapply(desk, state):
        desk.warn(told)
    desk.follow()


def _may_give_up(desk: Desk, base: Heads, ours: Heads, theirs: Heads) -> None:
    """Raise ``Conflict`` unless what was done after ``base`` can be put on top of what others published.

    An intake node cannot read what it received, and receives again what lies in its spool.
    """
    kept = set(Spool(desk.path).names())
    mine = own(desk, base, ours)
    check_clash(desk, base, theirs, mine)
    for event, _ in mine:
        if desk.spools and event.action == "receive" and event.id not in kept:
            raise Conflict("others published first, and this node cannot receive again what it did", "ask an admin")


def _count(desk: Desk, old: str, new: str) -> int:
    span = f"{old}..{new}" if old else new
    return int(desk.repository.run("rev-list", "--count", span)) if old != new else 0


def _receive_again(desk: Desk, done: Synced) -> None:
    """Receive what the spool holds and the ledger does not: it was given up, or cut off before it was recorded."""
    spool = Spool(desk.path)
    with desk.writing():  # else it might be about to be recorded
        names = [name for name in spool.names() if not desk.index.has_event(name)]
    if names:
        letters = list(_letters(desk, spool, names))
        done.again += sum(1 for _ in intake.receive(desk, [letter for _, letter in letters], map, lambda n: None))
        spool.drop([name for name, _ in letters])


def _letters(desk: Desk, spool: Spool, names: list[str]) -> Iterator[tuple[str, Letter]]:
    mine = desk.keys.identities()
    for name in names:
        try:
            yield name, Letter(*spool.read(name, mine))
        except (crypt.CannotOpen, OSError):
            desk.warn(f"vrt/spool/{name}.age cannot be opened and is left there")
