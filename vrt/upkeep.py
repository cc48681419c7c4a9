"""What keeps a desk in good order, and what plain git asks of vrt."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from vrt.desk import Desk
from vrt.storage import articles


def counts(desk: Desk) -> dict[str, dict[str, int]]:
    """Return what waits in each queue: new, open, pending, owned by the caller, and ``oldest``.

    That is since when the one that waits longest does, in epoch seconds, 0 where none waits.
    """
    out = {q: {"new": 0, "open": 0, "pending": 0, "owned": 0, "oldest": 0} for q in desk.roster.queues}
    query = (
        "SELECT queue, state, owner = ?, count(*), coalesce(min(nullif(waiting_since, 0)), 0) FROM ticket "
        "WHERE state IN ('new', 'open', 'pending') GROUP BY 1, 2, 3"
    )
    for queue, state, mine, count, oldest in desk.index.sql(query, (desk.me.handle,)):
        row = out.setdefault(queue, {"new": 0, "open": 0, "pending": 0, "owned": 0, "oldest": 0})
        row[state] += count
        row["owned"] += count * mine
        row["oldest"] = min(filter(None, (row["oldest"], oldest)), default=0)
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
