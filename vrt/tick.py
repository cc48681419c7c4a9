"""What time does to tickets, for cron: it closes those that were to close by now, and frees those of who is away.

Any number of clones may do it: what somebody has done already is found done, under the lock.
"""

from __future__ import annotations

from typing import NamedTuple

from vrt import absence, acts
from vrt.desk import Desk
from vrt.errors import NotAllowed
from vrt.model import ADMIN, AGENT, PENDING, UNCLOSED, Ticket

# Of a row of ``ticket``: its owner has it since before the last change of its card. What somebody gave an agent who is
# away, or the agent took, it keeps.
_HAD_BEFORE = """NOT EXISTS (
  SELECT 1 FROM event e WHERE e.ticket = number AND json_extract(e.trailers, '$.Owner') = owner AND e.seq > (
    SELECT max(d.seq) FROM event d
    WHERE d.ticket = 0 AND d.action = 'agent-set' AND json_extract(d.trailers, '$.Agent') = owner))"""


class Ticked(NamedTuple):
    """What was done: tickets as they were before."""

    closed: list[Ticket]
    freed: list[Ticket]


def tick(desk: Desk, dry: bool = False) -> Ticked:
    """Do what is due in the caller's queues (``dry``: only say what); raises ``NotAllowed`` for a machine's card."""
    if not desk.me.has(ADMIN, AGENT):
        raise NotAllowed(f"{desk.me.handle} may neither close nor release", "an agent's clone ticks")
    return Ticked(close(desk, dry), free(desk, list(absence.absent(desk)), dry))


def close(desk: Desk, dry: bool = False) -> list[Ticket]:
    """Close what was to close by itself by now, and return it.

    Not where something in a ticket waits for a person: unverified mail, a draft, a message that did not arrive.
    """
    mine = list(desk.me.queues)
    where = (
        f"pending_until > 0 AND pending_until <= ? AND state = '{PENDING}' AND pending_outcome <> '' AND "
        f"unverified = '' AND undelivered = '' AND draft = '' AND queue IN ({', '.join('?' * len(mine))})"
    )
    due: list[Ticket] = []

    def look() -> list[str]:
        found = desk.index.tickets(where, [desk.now, *mine])
        due[:] = [t for t in found if t.pending_outcome in desk.roster.desk.outcomes]
        return [t.number for t in due]

    if look() and not dry:
        acts.act(desk, "close", look, lambda t: {"Outcome": t.pending_outcome}, force=True)
    return due


def free(desk: Desk, away: list[str], dry: bool = False) -> list[Ticket]:
    """Release the tickets of agents who are ``away``, as far as the caller may, and return them."""
    mine = list(desk.me.queues)
    marks = (", ".join("?" * len(some)) for some in (UNCLOSED, away, mine))
    where = "state IN ({}) AND owner IN ({}) AND queue IN ({})".format(*marks) + f" AND {_HAD_BEFORE}"
    theirs: list[Ticket] = []

    def look() -> list[str]:
        theirs[:] = desk.index.tickets(where, [*UNCLOSED, *away, *mine])
        return [t.number for t in theirs]

    if away and look() and not dry:
        acts.act(desk, "release", look, force=True)
    return theirs
