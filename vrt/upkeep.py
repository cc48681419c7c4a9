"""What keeps a desk in good order, and what plain git asks of vrt."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from pathlib import Path
from typing import Any, NamedTuple

from vrt import dispatch
from vrt.desk import Desk
from vrt.errors import TryAgain
from vrt.storage import articles, leftovers, local, lock, partial, seen

_REFLOG, _GRACE = 90, 14  # days that git remembers where a branch stood, and that it keeps what nothing points to
_MANY_PACKS = 50
_LAST = "maintained"  # a file in ``vrt/``
_PACK, _PLAIN = ("-d", "-l", "-n", "-q"), ("-c", "repack.writeBitmaps=false")

_STATES, _MARKS = ("new", "open", "pending"), ("owned", "due", "unread", "drafts", "unverified")
_SENDING = {
    dispatch.QUEUED: "queued",
    dispatch.SENDING: "in_doubt",
    dispatch.FAILED: "failed",
    dispatch.BOUNCED: "failed",
}


def counts(desk: Desk) -> dict[str, dict[str, int]]:
    """Return what waits in each queue.

    Tickets: ``new``, ``open``, ``pending``; ``owned`` by the caller, ``due`` (pending, and the time has come),
    ``unread``, with ``drafts``, with ``unverified`` mail. Messages: ``queued``, ``in_doubt``, ``failed``. And
    ``oldest``: since when the one that waits longest does, in epoch seconds, 0 where none waits.
    """
    names = (*_STATES, *_MARKS, *dict.fromkeys(_SENDING.values()), "oldest")
    out = {queue: dict.fromkeys(names, 0) for queue in desk.roster.queues}
    me, index = desk.me.handle, desk.index
    tickets = (
        "SELECT queue, state, count(*), sum(owner = ? AND state IN ('new', 'open', 'pending')), "
        "sum(state = 'pending' AND pending_until <= ?), "
        f"sum({seen.UNREAD}), sum(draft <> ''), sum(unverified <> ''), "
        "coalesce(min(nullif(waiting_since, 0)), 0) FROM ticket WHERE current GROUP BY 1, 2"
    )
    for queue, state, count, *marks, oldest in index.sql(tickets, (me, desk.now, me, me)):
        row = out.setdefault(queue, dict.fromkeys(names, 0))
        if state in _STATES:
            row[state] += count
        for name, found in zip(_MARKS, marks, strict=True):
            row[name] += found
        row["oldest"] = min(filter(None, (row["oldest"], oldest)), default=0)
    messages = "SELECT t.queue, o.state, count(*) FROM outbox o JOIN ticket t ON t.number = o.ticket GROUP BY 1, 2"
    for queue, state, count in index.sql(messages):
        out[queue][_SENDING[state]] += count
    return out


def index_counts(desk: Desk) -> dict[str, int]:
    """Return how much the index holds: tickets, events, articles, those sealed to the caller, bytes on disk."""
    query = (
        "SELECT (SELECT count(*) FROM ticket), (SELECT count(*) FROM event), count(*), "
        "coalesce(sum(key IS NULL), 0) FROM article"
    )
    tickets, events, said, sealed = next(desk.index.sql(query))
    size = sum(p.stat().st_size for p in (desk.path / "vrt").glob("index.db*"))
    return {"tickets": tickets, "events": events, "articles": said, "sealed": sealed, "bytes": size}


class Maintained(NamedTuple):
    """What ``maintain`` did: the bytes of all objects on disk before and after, and whether all was packed anew."""

    before: int
    after: int
    full: bool


def maintain(desk: Desk, full: bool = False) -> Maintained:
    """Repack the repository while others read and write; return what that did.

    What came since the last run is packed; all anew the first time, once the desk has doubled, or if ``full``. The
    desk's lock is held for moments only, to remove what killed programs left. Raises ``TryAgain`` where another
    ``maintain`` runs, or the disk has no room for ``full``.
    """
    with ExitStack() as stack:
        try:
            alone = lock.held(desk.path / local.FOLDER / "maintain.lock", lambda: None, patience=0)
            fd = stack.enter_context(alone)
        except TryAgain:
            raise TryAgain("another vrt maintain is at work on this desk", "let it finish") from None
        tidy(desk)
        before, pays = _size(desk.path), _pays(desk)
        if full or pays:
            full = _has_room(desk, before, full)
        with desk.progress("packing (MB)", before // 1_000_000 if full else None) as show:
            _watched(desk, _pack_all if full else _pack_new, fd, show)
            write_graph(desk, fd)
        last = Last(desk.now, packed(desk)["in-pack"] if full else last_maintained(desk.path).objects)
        local.write_private(desk.path / local.FOLDER / _LAST, b"%d %d\n" % last)
    return Maintained(before, _size(desk.path), full)


def tidy(desk: Desk) -> list[Path]:
    """Remove what killed programs left in the repository, and reflog entries past their time; return the files."""
    expired, found = _has_old_reflog(desk), next(leftovers.leftovers(desk.path), None)
    if not expired and found is None:
        return []
    with desk.locked() as fd:
        removed = leftovers.remove(desk.path)
        if expired:  # else what they name would be kept forever
            ages = (f"--expire={_REFLOG}.days.ago", f"--expire-unreachable={_REFLOG}.days.ago")
            desk.repository.run("reflog", "expire", *ages, "--all", lock=fd)
    return removed


def _has_old_reflog(desk: Desk) -> bool:
    for path in (desk.path / "logs").rglob("*"):
        with suppress(OSError, ValueError, IndexError), path.open("rb") as file:
            if int(file.readline().partition(b"\t")[0].split()[-2]) < desk.now - (_REFLOG + 1) * 86400:
                return True
    return False


def _pays(desk: Desk) -> bool:
    """Say whether it pays to pack all anew: then every doubling of a desk costs it once."""
    count, last = packed(desk), last_maintained(desk.path)
    return not last.objects or count["count"] + count["in-pack"] >= 2 * last.objects or count["packs"] > _MANY_PACKS


def _has_room(desk: Desk, size: int, wanted: bool) -> bool:
    """Say whether the disk has room for all packs a second time; raises ``TryAgain`` where that is ``wanted``."""
    free = shutil.disk_usage(desk.path).free
    if free > size * 1.1:
        return True
    text = f"packing all anew needs {size * 1.1 / 1e6:,.0f} MB of the disk for a while, and {free / 1e6:,.0f} are free"
    if wanted:
        raise TryAgain(text, "free some space")
    desk.warn(f"{text}: only what is new was packed")
    return False


# What a writer has written and not yet pointed to stays where it is: loose, or in a pack that it marks as kept. None of
# these drops an object, but the last: git does not write again what a pack holds already, so that a writer may count
# on any of them. Not on those in a cruft pack (gitformat-pack(5)): git does write these again.


def _pack_new(desk: Desk, fd: int) -> None:
    # Packs of a partial clone git cannot join so.
    how = () if partial.is_partial(desk.repository) else ("-F", "--geometric=2")
    _repack(desk, fd, *how)


def _pack_all(desk: Desk, fd: int) -> None:
    if partial.is_partial(desk.repository):  # nothing is to be fetched meanwhile
        with _no_sync(desk):
            partial.settle(desk.repository)
            _pack_tight(desk, fd, nullcontext())
    else:
        _pack_tight(desk, fd, _no_sync(desk))


def _pack_tight(desk: Desk, fd: int, no_sync: AbstractContextManager[Any]) -> None:
    # -F: what came in one pack was never compared, nor packed tight; trees and commits shrink by a third.
    _repack(desk, fd, "-F", "--cruft")
    if any((desk.path / "objects/pack").glob("*.mtimes")):
        with suppress(TryAgain):
            with no_sync, desk.locked():
                pass  # everybody who may count on an object that is in the cruft pack has pointed to it, or gave up
            _repack(desk, fd, "--cruft", f"--cruft-expiration={_GRACE}.days.ago")


def _no_sync(desk: Desk) -> AbstractContextManager[Any]:
    return lock.held(desk.path / local.FOLDER / "sync.lock", lambda: None)


def _repack(desk: Desk, fd: int, *how: str) -> None:
    options = [*_PLAIN, *partial.options(desk.repository)]
    desk.repository.run("repack", *_PACK, *how, lock=fd, options=options)


def _watched(desk: Desk, pack: Callable[[Desk, int], None], fd: int, show: Callable[[int], None]) -> None:
    """Run ``pack`` and show how much has been written meanwhile."""
    from concurrent.futures import ThreadPoolExecutor, wait

    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(pack, desk, fd)
        while wait([job], 0.2).not_done:
            show(_size(desk.path, "pack/*tmp*") // 1_000_000)
        job.result()


def write_graph(desk: Desk, fd: int | None = None) -> None:
    """Write the commit-graph, with which git finds the commits of a folder without reading every tree."""
    desk.repository.run("commit-graph", "write", "--reachable", "--changed-paths", "--no-progress", lock=fd)


class Last(NamedTuple):
    """When ``maintain`` ran last (epoch seconds), and how many objects there were when it packed all; 0: never."""

    time: int = 0
    objects: int = 0


def last_maintained(path: Path) -> Last:
    """Return what is known of the last ``maintain`` of the desk in ``path``."""
    with suppress(OSError, ValueError):
        when, objects = (path / local.FOLDER / _LAST).read_bytes().split()
        return Last(int(when), int(objects))
    return Last()


def packed(desk: Desk) -> dict[str, int]:
    """Return git's counts: loose objects (``count``), objects in packs (``in-pack``), ``packs``, and others."""
    rows = desk.repository.run("count-objects", "-v").decode("utf-8", "replace").splitlines()
    return {name: int(number) for name, _, number in (row.partition(": ") for row in rows) if number.isdigit()}


def _size(path: Path, pattern: str = "**/*") -> int:
    size = 0
    for found in (path / "objects").glob(pattern):
        with suppress(OSError):  # packs come and go
            size += found.stat().st_size if found.is_file() else 0
    return size


def opened_blob(desk: Desk, data: bytes) -> str | None:
    """Return the text of a sealed file of the ledger, known by its content; None where no key at hand opens it."""
    oid = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
    article = desk.index.article_of_blob(oid)
    if article is None or article.front is None:
        return None
    if article.eml == oid:
        return desk.original(article).decode("utf-8", "replace")
    front: dict[str, Any] = article.front
    return articles.dump(front, article.body or "").decode()
