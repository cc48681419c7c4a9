"""The fold: what events add up to, a ticket's state; and from which state an event may start. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from vrt import dispatch
from vrt.ledger import ACTIONS, UNBORN, UNVERIFIED_MOST, BadEvent, unstamp
from vrt.model import CLOSED, MERGED, NEW, OPEN, PENDING, UNCLOSED, Event, Ticket


def headline(front: dict[str, Any]) -> dict[str, str]:
    """Return title and requester of a ticket as the front matter of its first article says them."""
    first = (front.get("from") or [{}])[0]
    name, address = str(first.get("name") or ""), str(first.get("address") or "")
    requester = f"{name} <{address}>" if name and address else name or address
    return {"title": str(front.get("subject") or ""), "requester": requester}


def check_start(ticket: Ticket | None, event: Event) -> None:
    """Raise ``BadEvent`` unless ``event`` may start from the state of ``ticket`` (None: not there yet)."""
    row = ACTIONS[event.action]
    state = ticket.state if ticket else UNBORN
    if state not in row.starts:
        raise BadEvent(f"{event.action} does not go with a ticket that is {state or 'not there'}")
    about = event.trailers.get("About")
    if ticket and event.action == "accept" and about not in ticket.unverified:
        raise BadEvent(f"{about} is nothing unverified of this ticket")
    if ticket and event.action == "auto-reply" and about != ticket.last_event:
        raise BadEvent("an automatic reply follows what it answers")
    if ticket and "Rejected" in event.trailers and ticket.state != CLOSED:
        raise BadEvent("only a closed ticket takes no more mail")
    if ticket and "Unverified" in event.trailers and len(ticket.unverified) >= UNVERIFIED_MOST:
        raise BadEvent(f"{UNVERIFIED_MOST} unverified mails are enough for one ticket")
    if event.action in ("receive", "moved") and (ticket is None) != ("Queue" in event.trailers):
        raise BadEvent("a new ticket carries Queue, what joins one does not")
    if ticket and event.action in _DRAFTED:
        _check_draft(ticket, event, about or "")
    if ticket and event.action == "merge" and ticket.draft:
        raise BadEvent(f"it has a draft of {ticket.draft_by}, which nobody could finish once it is merged")
    if ticket and event.action in ("link", "unlink"):
        linked = event.trailers.get("Link") in ticket.links
        if linked == (event.action == "link"):
            raise BadEvent(f"it {'has' if linked else 'has no'} link to {event.trailers.get('Link')}")


_DRAFTED = ("draft", "reply", "forward", "approve", "discard")  # what may be about a ticket's draft


def _check_draft(ticket: Ticket, event: Event, about: str) -> None:
    """A ticket has one draft at a time; who wrote it last does not approve it."""
    if event.action == "draft" and about != ticket.draft:
        raise BadEvent("a draft takes the place of the one before")
    if about and about != ticket.draft:
        raise BadEvent(f"{about} is no draft that waits here")
    if event.action == "approve" and event.agent == ticket.draft_by:
        raise BadEvent(f"{event.agent} wrote the draft: somebody else approves it")


def apply(ticket: Ticket | None, event: Event) -> Ticket:
    """Return ``ticket`` after ``event``. Takes for granted what ``check_start`` checks."""
    facts = event.trailers
    if ticket is None:
        born = Ticket(event.ticket, facts["Queue"], created=event.time, waiting_since=event.time)
        return _after(born, event)
    return _after(ticket, event)


def _after(t: Ticket, event: Event) -> Ticket:
    facts = event.trailers
    t = t._replace(updated=event.time, last_event=event.id, articles=t.articles + bool(ACTIONS[event.action].files))
    match event.action:
        case "receive" if t.articles == 1:
            words, link = facts.get("Tag", "").split(), facts.get("Link", "")
            t = t._replace(priority=int(facts.get("Priority", 3)), tags=tuple(sorted({w[1:] for w in words})))
            return t._replace(links=(link,)) if link else t
        case "receive" if "Unverified" in facts:
            return t._replace(unverified=(*t.unverified, event.id))
        case "receive" if facts.get("Report") == "failed" and facts.get("About"):
            return _undelivered(t, facts["About"])
        case "receive" if facts.get("Kind") in _ANSWERS_NOTHING or "Rejected" in facts:
            return t
        case "receive":
            return _written(t, event.time)
        case "moved" if t.articles > 1:
            return _written(t, event.time)
        case "draft":
            return t._replace(draft=event.id, draft_by=event.agent)
        case "reply" | "forward" | "approve" | "redirect":
            return _sent(t, event)
        case "discard":
            return t._replace(draft="", draft_by="")
        case "sending" | "failed":
            return _undelivered(t, facts["About"])
        case "sent" | "deferred" | "retry":
            return _dispatched(t, facts["About"])
        case "cancel":
            t = _dispatched(t, facts["About"])
            waits = t.state in UNCLOSED and dispatch.answers(facts["About"])
            return t._replace(waiting_since=t.waiting_since or event.time) if waits else t
        case "link":
            return t._replace(links=tuple(sorted({*t.links, facts["Link"]})))
        case "unlink":
            return t._replace(links=tuple(n for n in t.links if n != facts["Link"]))
        case "accept":
            t = t._replace(unverified=tuple(e for e in t.unverified if e != facts["About"]))
            return t._replace(outcome="") if t.state == MERGED else _written(t, event.time)
        case "move":
            return t._replace(unverified=tuple(e for e in t.unverified if e != facts["About"]))
        case "merge":
            return t._replace(
                state=MERGED, merged_into=facts["Into"], lock=0, pending_until=0, pending_outcome="", waiting_since=0
            )
        case "unmerge" if t.outcome:  # as it was before: nobody accepted mail of it meanwhile
            return t._replace(state=CLOSED, merged_into="")
        case "unmerge":
            return t._replace(state=OPEN, merged_into="", waiting_since=event.time)
        case "new" if "Owner" in facts:
            return t._replace(state=OPEN, owner=facts["Owner"], lock=unstamp(facts["Lock"]) if "Lock" in facts else 0)
        case "take" | "assign":
            state = OPEN if t.state == NEW else t.state
            return t._replace(state=state, owner=facts["Owner"], lock=unstamp(facts["Lock"]))
        case "release":
            return t._replace(owner="", lock=0)
        case "route":
            return t._replace(queue=facts["Queue"], owner="", lock=0)
        case "priority":
            return t._replace(priority=int(facts["Priority"]))
        case "tag":
            words = facts["Tag"].split(" ")
            kept = set(t.tags) | {w[1:] for w in words if w[0] == "+"}
            return t._replace(tags=tuple(sorted(kept - {w[1:] for w in words if w[0] == "-"})))
        case "pend":
            until, then = unstamp(facts["Until"]), facts.get("Outcome", "")
            return t._replace(state=PENDING, pending_until=until, pending_outcome=then)
        case "close":
            return t._replace(
                state=CLOSED, outcome=facts["Outcome"], lock=0, pending_until=0, pending_outcome="", waiting_since=0
            )
        case "reopen":
            return t._replace(state=OPEN, outcome="", waiting_since=event.time)
    return t


_ANSWERS_NOTHING = ("bounce", "auto-reply")  # mail that nobody wrote: it reopens nothing, and nobody waits


def _written(t: Ticket, time: int) -> Ticket:
    """Return the ticket after somebody wrote in: open if it was not new, and waiting."""
    state = NEW if t.state == NEW else OPEN
    since = t.waiting_since or time
    return t._replace(state=state, outcome="", pending_until=0, pending_outcome="", waiting_since=since)


def _sent(t: Ticket, event: Event) -> Ticket:
    """Return the ticket after a message of ours: a reply answers who waits, a closed ticket stays closed."""
    if event.trailers.get("About") == t.draft:
        t = t._replace(draft="", draft_by="")
    if t.state == CLOSED or event.action == "redirect":
        return t
    if event.action == "forward" or event.trailers.get("Kind") == "forward":
        return t._replace(state=OPEN if t.state == NEW else t.state)
    return t._replace(state=OPEN, pending_until=0, pending_outcome="", waiting_since=0)


def _undelivered(t: Ticket, about: str) -> Ticket:
    """Return the ticket with a message that somebody has to look after; nobody does that for an automatic one."""
    if dispatch.automatic(about) or about in t.undelivered:
        return t
    return t._replace(undelivered=(*t.undelivered, about))


def _dispatched(t: Ticket, about: str) -> Ticket:
    return t._replace(undelivered=tuple(e for e in t.undelivered if e != about))


def fold(events: Iterable[Event]) -> dict[str, Ticket]:
    """Return the tickets that ``events``, in ledger order, add up to."""
    tickets: dict[str, Ticket] = {}
    for event in events:
        if event.ticket:
            tickets[event.ticket] = apply(tickets.get(event.ticket), event)
    return tickets


# --- what the events of several tickets say together -------------------------------------------------


def home(number: str, ticket: Callable[[str], Ticket | None]) -> Ticket | None:
    """Return what the ticket ``number`` is merged into in the end, itself if it is not, None where there is none."""
    found = ticket(number)
    while found and found.state == MERGED:
        found = ticket(found.merged_into)
    return found


def moved(events: Iterable[Event]) -> dict[str, str]:
    """Return the mails that ``events`` of a ticket say have gone, each with the ticket that it went to."""
    return {e.trailers["About"]: e.trailers["Into"] for e in events if e.action == "move"}
