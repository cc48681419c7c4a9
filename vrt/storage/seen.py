"""What the caller has seen of which ticket: the last event that was there then. Known on this machine alone.

News is what was said since then: by others, or by a machine of the caller's own in another's name (a mail that it
received). Whoever wrote in a ticket has seen what stood there before.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from vrt.model import Ticket
from vrt.storage.database import CannotWrite, Database, Unusable
from vrt.storage.index import Index

_OWN = "('new', 'note', 'draft', 'reply', 'forward', 'approve', 'redirect')"
# Of an article ``a`` that the caller can read, whose handle is given twice: is it news?
_NEWS = f"""
a.key IS NOT NULL AND a.seq > coalesce((SELECT seq FROM seen WHERE ticket = a.ticket), 0) AND EXISTS (
  SELECT 1 FROM event e WHERE e.seq = a.seq AND e.action <> 'auto-reply' AND
  (e.agent <> ? OR e.action IN ('receive', 'failed')))
AND NOT EXISTS (SELECT 1 FROM event o WHERE o.ticket = a.ticket AND o.seq > a.seq AND o.agent = ?
  AND o.action IN {_OWN})
"""
# The same of a row of the table ``ticket``.
UNREAD = f"EXISTS (SELECT 1 FROM article a WHERE a.ticket = number AND {_NEWS})"


def look(index: Index, ticket: Ticket) -> None:
    """Remember that the caller has seen ``ticket`` up to its last event; best effort, and never waits for anybody."""
    query = (
        "SELECT e.seq, e.ticket FROM event e LEFT JOIN seen s ON s.ticket = e.ticket "
        "WHERE e.id = ? AND e.seq > coalesce(s.seq, 0)"
    )
    with suppress(CannotWrite, Unusable):
        if news := next(iter(list(index.sql(query, [ticket.last_event]))), None):
            list(index.sql("PRAGMA busy_timeout = 0"))
            try:
                list(index.sql("INSERT OR REPLACE INTO seen (seq, ticket) VALUES (?, ?)", news))
            finally:
                list(index.sql("PRAGMA busy_timeout = 10000"))


def news(index: Index, me: str, numbers: Iterable[str]) -> dict[str, int]:
    """Return how many articles of which of the tickets ``numbers`` are news to ``me``, a handle.

    What is closed, with nothing in it that waits for somebody, is no news.
    """
    query = (
        "SELECT a.ticket, count(*) FROM article a JOIN ticket t ON t.number = a.ticket AND t.current "
        f"WHERE a.ticket IN (SELECT value FROM json_each(?)) AND {_NEWS} GROUP BY a.ticket"
    )
    wanted = json.dumps([int(n) for n in numbers])
    return {str(number): count for number, count in index.sql(query, [wanted, me, me])}


Remembered = list[tuple[int, int]]


def remembered(path: Path, key: bytes) -> Remembered:
    """Return what the index file at ``path``, perhaps damaged or of another version, still knows of what was seen."""
    if not path.is_file():
        return []
    with suppress(CannotWrite, Unusable):
        old = Database(path, key)
        try:
            if old.one("SELECT 1 FROM sqlite_master WHERE name = 'seen'"):
                return [(ticket, seq) for ticket, seq in old.sql("SELECT ticket, seq FROM seen")]
        finally:
            old.close()
    return []


def remember(index: Index, rows: Remembered) -> None:
    """Let a new index know what the one before it knew."""
    with index.writing():
        for row in rows:
            list(index.sql("INSERT OR REPLACE INTO seen (ticket, seq) VALUES (?, ?)", row))


def last(index: Index, number: str) -> str:
    """Return the id of the last event that the caller has seen of a ticket, empty where they never looked."""
    query = "SELECT e.id FROM seen s JOIN event e ON e.ticket = s.ticket AND e.seq <= s.seq WHERE s.ticket = ?"
    return str(next((id_ for (id_,) in index.sql(query + " ORDER BY e.seq DESC LIMIT 1", [int(number)])), ""))
