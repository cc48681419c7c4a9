"""A desk taken from a remote: everything is verified from its first commit before any of it is believed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from vrt import ledger, paths
from vrt.desk import Desk
from vrt.errors import Breach, NotAllowed, TryAgain, UsageError
from vrt.founding import set_up
from vrt.headword import headword
from vrt.model import Card
from vrt.roster import Roster
from vrt.storage import git, history, lazy, local, lock, partial, remote
from vrt.storage.cache import Progress
from vrt.storage.facts import Facts
from vrt.storage.git import Heads, Repository
from vrt.storage.identity import Keys


class Root(NamedTuple):
    """What a person compares before a desk is believed: its first commit, in hex and in words, who made it and when."""

    commit: str
    words: str
    desk: str
    founder: str
    time: int  # epoch seconds


def clone(
    where: str, path: Path, config: local.Config, confirm: Callable[[Root], None], progress: Progress, *,
    root: str = "", card: str = "", since: int | None = None, warn: Callable[[str], None] = lambda text: None,
) -> Card | None:  # fmt: skip
    """Make the desk at ``path`` (a new folder) of the remote ``where``, and return the caller's card in it.

    ``root`` is the first commit that the desk must have; without it ``confirm`` is asked, and raises where it is not.
    ``card`` is whose clone it becomes, though the keys at hand are not that card's (None is returned then). ``since``
    (epoch seconds): of the articles only those of tickets in which something was done from then on are fetched now, the
    rest when they are read; ``warn`` is told where the host does not give a part of a desk. Raises
    ``UsageError``, ``TryAgain`` where the remote cannot be reached, ``Breach`` for what is not lawful, ``NotAllowed``
    where no card has the keys at hand. Nothing is left at ``path`` then.
    """
    remote.checked(where)
    if root and not _is_commit(root):
        raise UsageError(f"{root!r} is no commit", "give all 40 digits: vrt status in another clone shows them")
    _clear(path)
    repository = git.create(path)
    try:
        alone = local.private_folder(repository.path / local.FOLDER) / _ALONE
        with lock.held(alone, lambda: None):
            mine = _fill(repository, where, config, confirm, progress, root, card, since, warn)
        alone.unlink()
        return mine
    except BaseException:
        shutil.rmtree(repository.path)
        raise


_ALONE = "clone.lock"  # in ``vrt/`` until the clone is whole


def _clear(path: Path) -> None:
    """Remove what a clone that was killed has left; raises ``TryAgain`` where it still runs."""
    alone = path / local.FOLDER / _ALONE
    if alone.exists() and not git.Repository(path).heads().main:
        try:
            with lock.held(alone, lambda: None, patience=0):
                shutil.rmtree(path)
        except TryAgain:
            raise TryAgain(f"another vrt clone is at work in {path}", "let it finish") from None


def read(desk: Desk) -> None:
    """Make the index of a new clone, and fetch what is not here of the tickets that are still worked on."""
    index = desk.index
    try:
        lazy.whole(index)
    except TryAgain as exc:
        desk.warn(exc.message)


def _is_commit(text: str) -> bool:
    return len(text) == 40 and not set(text) - set("0123456789abcdef")


def _fill(
    repository: Repository, where: str, config: local.Config, confirm: Callable[[Root], None], progress: Progress,
    root: str, card: str, since: int | None, warn: Callable[[str], None],
) -> Card | None:  # fmt: skip
    repository.run("config", "remote.origin.url", where)
    folder = local.private_folder(repository.path / local.FOLDER)
    there = remote.Remote(repository, where)
    with progress("fetching", None):
        heads = there.fetch() if since is None else there.fetch_lean()
    if not heads.main or not heads.keys:
        raise Breach("there is no desk", f"is it the right place? {where}")
    if since is not None:
        with progress("fetching", None):
            heads = _fetch_recent(repository, there, heads, since, warn)
    first = repository.run("rev-list", "--max-parents=0", heads.main).decode().split()
    if root and first != [root]:
        raise Breach(f"the ledger there begins with {first[0]}, not with {root}", "ask an admin which is right")
    with closing(Facts(folder)) as facts, progress("checking the ledger", None) as show:
        state = facts.state()
        history.follow(repository, state, heads, show)
        facts.save(state)
    known = state.roster
    assert known is not None
    if not root:
        founded = next(iter(history.commits(repository, "", state.root)))
        who = founded.author.partition(" ")[0]
        confirm(Root(state.root, headword(state.root), known.desk.name, who, founded.committed))
    mine = _mine(known, config, card)
    local.write_config(folder / "config.yaml", config._replace(card=mine.handle if mine else card, root=state.root))
    with repository.reader() as reader:
        set_up(repository, reader.read(f"{heads.main}:{paths.SIGNERS}").decode())
    with lock.held(folder / "lock", repository.sweep) as fd:
        repository.move(Heads("", ""), heads, fd)
    remote.remember(repository, heads)
    return mine


def _fetch_recent(
    repository: Repository, there: remote.Remote, heads: Heads, since: int, warn: Callable[[str], None]
) -> Heads:
    """Fetch what the law needs of a ledger of which nothing but commits and folders came, and the recent articles."""
    repository.run("hash-object", "-w", "--stdin")  # most events add an empty file
    stamp = ledger.event_id(since, "", "")[:16]
    recent, older = partial.articles(repository, heads.main, stamp)
    wanted = partial.missing(repository, [*partial.desk_files(repository, heads.main), *recent])
    if older and not partial.missing(repository, older):
        warn("the host of the desk gives no part of it: all was fetched")
        partial.become_full(repository)
        return heads
    try:
        there.bring(wanted)
        if not older:
            partial.become_full(repository)
    except TryAgain as exc:
        warn(f"the host of the desk gives no single articles, so all are fetched ({exc.message})")
        heads = there.fetch("--refetch")
        partial.become_full(repository)
    return heads


def _mine(known: Roster, config: local.Config, card: str) -> Card | None:
    """Return the card that has the keys at hand; None where the caller says whose clone it is to be."""
    keys = Keys(config)
    recipient, signing = keys.recipient(), keys.signing_public()
    mine = next((c for c in known.cards.values() if (c.recipient, c.signing) == (recipient, signing)), None)
    if mine and not mine.dismissed and card in ("", mine.handle):
        return mine
    if card:
        known.card(card)
        return None
    gone = f"the card {mine.handle} was dismissed" if mine else "no card of this desk has your keys"
    raise NotAllowed(gone, "vrt identity, and hand the card to an admin: vrt agent add")
