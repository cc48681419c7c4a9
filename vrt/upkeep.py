"""What keeps a desk in good order, and what plain git asks of vrt."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from vrt import dispatch
from vrt.desk import Desk
from vrt.storage import articles, seen

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


def maintain(desk: Desk) -> tuple[int, int]:
    """Repack the repository under the desk's lock; return its bytes on disk before and after."""
    before = _size(desk.path)
    with desk.writing() as lock:
        desk.repository.sweep()
        run = desk.repository.run
        # -f: what came in one pack was never compared; trees and commits shrink by a third.
        run("repack", "-a", "-d", "-f", "-q", "-l", lock=lock)
        run("pack-refs", "--all", lock=lock)
        run("prune", "--expire=2.weeks.ago", lock=lock)
        run("commit-graph", "write", "--reachable", "--changed-paths", "--no-progress", lock=lock)
    return before, _size(desk.path)


def _size(path: Path) -> int:
    return sum(p.stat().st_size for p in (path / "objects").rglob("*") if p.is_file())


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
