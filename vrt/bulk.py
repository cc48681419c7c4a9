"""One act on all tickets that a query finds: exactly those that ``vrt list`` shows for it, all or none."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from vrt import acts, ledger
from vrt.acts import Facts
from vrt.desk import Desk
from vrt.errors import UsageError
from vrt.model import Ticket


class Found(NamedTuple):
    """What a query found: tickets that an action has something to do with, and others."""

    fit: list[Ticket]
    others: list[Ticket]


def find(desk: Desk, query: str, action: str, facts: Callable[[Ticket], Facts]) -> Found:
    """Return what ``query`` finds for ``action``; raises ``UsageError`` for one that asks for nothing, as ``find``."""
    if not query.strip():
        raise UsageError("the query asks for nothing", "state what the tickets are like, as in vrt list QUERY")
    shown, _ = desk.find(query, limit=-1, mine=True)
    fit = [t for t in shown if _fits(action, t, facts)]
    fitting = {t.number for t in fit}
    return Found(fit, [t for t in shown if t.number not in fitting])


def _fits(action: str, ticket: Ticket, facts: Callable[[Ticket], Facts]) -> bool:
    """Say whether a ticket is not yet as ``action`` would make it, and in a state to begin from."""
    if ticket.state not in ledger.ACTIONS[action].starts or (action == "release" and not ticket.owner):
        return False
    return facts(ticket).get("Queue") != ticket.queue


def act(
    desk: Desk, action: str, query: str, seen: Collection[Ticket], facts: Callable[[Ticket], Facts], **more: Any
) -> list[Ticket]:
    """Do ``action`` to those of ``seen`` that ``query`` still finds under the lock; return them as they are then."""
    known = {t.number for t in seen}
    return acts.act(
        desk,
        action,
        lambda: [t.number for t in find(desk, query, action, facts).fit if t.number in known],
        facts,
        **more,
    )
