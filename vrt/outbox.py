"""Messages of ours that are not done with: sent again, given up, or taken back by a person."""

from __future__ import annotations

from collections.abc import Callable

from vrt import acts, dispatch, letters
from vrt.desk import Desk
from vrt.errors import Conflict, NotFound, UsageError
from vrt.letters import Letter
from vrt.model import CLOSED, Ticket
from vrt.outgoing import Recorded, done
from vrt.storage import outbox
from vrt.storage.outbox import Waiting


def message(desk: Desk, ticket: Ticket, end: str = "", states: tuple[str, ...] = dispatch.OPEN) -> dispatch.Message:
    """Return the message of a ticket whose event id ends in ``end``, or the only one that is in one of ``states``.

    Raises ``NotFound``, ``UsageError`` where there are several, ``Conflict`` where the one named is in another state.
    """
    found = [m for m in dispatch.messages(desk.index.events(ticket.number)).values() if m.queued.id.endswith(end)]
    fits = [m for m in found if m.state in states]
    if len(fits) > 1:
        ends = " ".join(m.queued.id[-8:] for m in fits[:9])
        raise UsageError(f"{len(fits)} messages of {ticket.number} could be meant", f"name one: {ends}")
    if not fits and end and found:
        raise Conflict(f"{found[0].queued.id} is {found[0].state}", f"vrt show {ticket.number}")
    if not fits:
        words = " or ".join("in doubt" if s == dispatch.SENDING else s for s in states)
        raise NotFound(f"no message of {ticket.number} is {words}", f"vrt show {ticket.number}")
    return fits[0]


def settle(desk: Desk, action: str, wanted: str, end: str, states: tuple[str, ...]) -> tuple[Ticket, str]:
    """Record ``retry`` or ``cancel`` of a message of the ticket ``wanted``; return the ticket and the message's event.

    ``end`` names the message by the end of its event id, none: the only one in one of ``states``. Raises as
    ``message``, and ``Conflict`` for one that another card is handing over in this moment, perhaps.
    """
    with desk.recording() as (write, entries):
        ticket = desk.known(wanted)
        own = dispatch.messages(desk.index.events(wanted))
        foreign = [e for e in ticket.undelivered if e not in own and e.endswith(end)]
        if action == "cancel" and len(foreign) == 1:  # it came back here, for a ticket that was merged
            about = foreign[0]
        else:
            chosen = message(desk, ticket, end, states)
            about, sender = chosen.queued.id, chosen.queued.trailers["Sender"]
            doubtful = outbox.in_doubt(desk.me.handle, desk.now, sender, chosen.since)
            if chosen.state == dispatch.SENDING and not doubtful:
                raise Conflict(f"{sender} is handing {about} over", "wait some minutes; then nobody will know")
        entries.append(done(desk, write, ticket, action, {"About": about}))
    return acts.after(entries), about


def undo(desk: Desk, number: str = "") -> tuple[Recorded, Letter]:
    """Take back the caller's last message, in the ticket ``number`` or in any, that is still queued.

    Where it closed the ticket, that is taken back too. Raises ``NotFound`` where there is none.
    """
    with desk.recording() as (write, entries):
        where, values = "agent = ? AND state = ?", [desk.me.handle, dispatch.QUEUED]
        found = [w for w in outbox.waiting(desk.index, where, values) if number in ("", w.ticket)]
        found = [w for w in found if not dispatch.automatic(w.id)]
        if not found:
            raise NotFound("no message of yours can be taken back any more", "vrt outbox")
        if not number:
            _check_last(desk, found[-1])
        ticket = desk.index.ticket(found[-1].ticket)
        article = letters.named(desk, ticket, found[-1].id) if ticket else None
        assert ticket is not None and article is not None
        if dispatch.messages(desk.index.events(ticket.number))[article.event.id].doubtful:
            raise Conflict(
                f"{article.event.id} may have been taken in an earlier try", f"vrt outbox cancel {ticket.number}"
            )
        entries.append(done(desk, write, ticket, "cancel", {"About": article.event.id}))
        events = desk.index.events(ticket.number)
        after = events[[e.id for e in events].index(article.event.id) + 1 :]
        did = [(e.action, e.agent) for e in after if e.action not in dispatch.BY_SENDER]  # it may have been tried
        if did == [("close", desk.me.handle)] and ticket.state == CLOSED:
            entries.append(done(desk, write, acts.after(entries), "reopen", {}))
    return Recorded(acts.after(entries), article.event), letters.again(desk, article)


def _check_last(desk: Desk, found: Waiting) -> None:
    """Raise ``Conflict`` unless a message is the caller's last: who names no ticket means what they just wrote."""
    query = (
        "SELECT id, ticket FROM event WHERE agent = ? AND action <> 'auto-reply' "
        "AND json_extract(trailers, '$.Sender') IS NOT NULL ORDER BY seq DESC LIMIT 1"
    )
    for last, ticket in desk.index.sql(query, [desk.me.handle]):
        if last != found.id:
            raise Conflict(f"your last message, in {ticket}, is out already", f"vrt undo {found.ticket}")


def is_back(desk: Desk, number: str, about: str, publish: Callable[[], bool]) -> bool:
    """Say whether a message that was cancelled is taken back for good: the card that sends it may be elsewhere.

    ``publish`` as ``post.send`` has it. Raises ``Conflict`` where that card was faster.
    """
    found = dispatch.messages(desk.index.events(number)).get(about)
    if found is None or found.state != dispatch.CANCELLED or found.queued.trailers["Sender"] == desk.me.handle:
        return True
    if not publish():
        return False
    state = dispatch.messages(desk.index.events(number))[about].state
    if state != dispatch.CANCELLED:
        what = "has sent it" if state == dispatch.SENT else "had begun to hand it over"
        raise Conflict(f"{found.queued.trailers['Sender']} {what}: {about}", f"vrt show {number}")
    return True
