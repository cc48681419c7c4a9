"""Tickets, events and articles as the plain mappings that ``--json`` prints. Its keys are a contract."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from vrt.desk import Desk
from vrt.model import Event, Queue, Ticket
from vrt.roster import Roster, seconds
from vrt.storage import seen
from vrt.storage.index import Article


def when(time: int) -> str | None:
    """Return epoch seconds as ISO 8601 in UTC, None for 0."""
    return datetime.fromtimestamp(time, timezone.utc).isoformat() if time else None


def due(ticket: Ticket, queue: Queue | None) -> int:
    """Return until when a waiting ticket ought to be answered (epoch seconds), 0 where nobody waits."""
    return ticket.waiting_since + seconds(queue.first_response) if ticket.waiting_since and queue else 0


def ticket(t: Ticket, roster: Roster) -> dict[str, Any]:
    """Return a ticket as ``list --json`` has it, but for ``unread``. What the caller's keys do not open is None."""
    return {
        "number": t.number, "title": t.title, "queue": t.queue, "state": t.state, "outcome": t.outcome or None,
        "owner": t.owner or None, "lock": when(t.lock), "priority": t.priority, "tags": list(t.tags),
        "requester": t.requester, "created": when(t.created), "updated": when(t.updated),
        "waiting_since": when(t.waiting_since), "due": when(due(t, roster.queues.get(t.queue))),
        "pending_until": when(t.pending_until), "articles": t.articles, "unverified": len(t.unverified),
        "undelivered": len(t.undelivered), "draft": bool(t.draft), "links": list(t.links),
    }  # fmt: skip


def tickets(desk: Desk, found: Sequence[Ticket]) -> list[dict[str, Any]]:
    """Return tickets as ``list --json`` has them; ``unread``: somebody has written there since the caller looked."""
    index, roster = desk.index, desk.roster
    news = seen.news(index, desk.me.handle, (t.number for t in found))
    return [ticket(t, roster) | {"unread": t.number in news} for t in found]


def event(e: Event) -> dict[str, Any]:
    """Return an event: id, commit, action, agent, time and its trailers in lower case."""
    head = {"id": e.id, "commit": e.commit, "action": e.action, "agent": e.agent, "time": when(e.time)}
    return head | {name.lower(): value for name, value in e.trailers.items()}


def article(a: Article) -> dict[str, Any]:
    """Return an article: its id, front matter and body; the front matter of a sealed one is what its event says."""
    if a.front is None:
        sealed = {"ticket": a.event.ticket, "event": a.event.id, "action": a.event.action}
        return {"id": a.event.id, **sealed, "body": None}
    return {"id": a.event.id, **a.front, "body": a.body}
