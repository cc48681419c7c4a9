"""A message handed over at once, and what became of it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

from vrt import dispatch, letters, outgoing, output, post
from vrt.cli import App
from vrt.errors import Conflict, TryAgain, VrtError
from vrt.kept import FIELDS
from vrt.ledger import unstamp
from vrt.model import Ticket
from vrt.outgoing import Recorded
from vrt.storage.outbox import waiting
from vrt.text import line


def finish(app: App, done: Recorded, new: bool = False) -> None:
    """Say what was recorded; hand a message over at once if that can be done, and say what became of it."""
    if done.is_draft:
        number = done.ticket.number
        approved = outgoing.must_be_approved(app.desk, done.ticket)
        how = f"a colleague lets it go: vrt approve {number}" if approved else f"vrt reply {number} goes on with it"
        if approved and not published(app):
            how += ", when it is published: vrt sync"
        report(app, done.ticket, done.event.id, "draft", how, new)
    else:
        try_now(app, done.ticket, done.event.id, new)


def try_now(app: App, ticket: Ticket, event: str, new: bool = False) -> None:
    """Hand a message over at once if that can be done, and say what became of it; ``new``: it begins its ticket."""
    outcome, why = deliver(app, ticket, event)
    try:
        state = _state(app, ticket, event)
    except Conflict:
        raise
    except VrtError as exc:  # recorded it is, and a second try would be a second mail
        output.warn(f"{ticket.number}: the message is recorded, and nothing more can be said now: {exc.message}")
        return
    if state == dispatch.SENDING and outcome == "queued":
        outcome = "in doubt"
    report(app, app.desk.index.ticket(ticket.number) or ticket, event, outcome, why, new)


def _state(app: App, ticket: Ticket, event: str) -> str:
    """Return the state of a message; raises ``Conflict`` where it was dropped for what others published first."""
    found = dispatch.messages(app.desk.index.events(ticket.number)).get(event)
    if found is None:
        raise Conflict(f"the message in {ticket.number} was dropped, its text is kept", f"vrt show {ticket.number}")
    return found.state


@contextmanager
def alone(app: App) -> Iterator[None]:
    """Be the only one who sends, for a moment; what is handed over in that moment cannot be taken back."""
    with post.sending(app.desk, 1.0):
        yield


def published(app: App) -> bool:
    """Publish what was recorded, for somebody else is to go on with it; say whether that worked."""
    try:
        return post.publisher(app.desk, output.warn)()
    except VrtError as exc:
        output.warn(f"not published: {exc.message}")
        return False


def deliver(app: App, ticket: Ticket, event: str) -> tuple[str, str]:
    """Hand a message over now; return what became of it, and a sentence about that."""
    desk = app.desk
    found = waiting(desk.index, "id = ?", [event])
    if found and found[0].sender != desk.me.handle:
        return "queued", f"{found[0].sender} sends it{'' if published(app) else ' when it is published: vrt sync'}"
    try:
        posted = list(post.send(desk, post.publisher(desk, output.warn), event, patience=1.0))
    except TryAgain as exc:
        return "queued", f"{exc.message}: vrt send tries again"
    except VrtError as exc:
        return "queued", f"it waits, {exc.message}: then vrt send"
    if not posted:
        return "queued", "vrt send hands it over"
    one = posted[0]
    if one.outcome == "waiting":
        until = f"it goes out after {output.clock(one.next)}; vrt undo {ticket.number} takes it back"
        return "queued", until if one.next else f"{one.why}: vrt send"
    if one.outcome == "deferred":
        return "queued", f"{line(one.why)}; vrt send tries again after {output.clock(one.next)}"
    return one.outcome, line(one.why)


def _whom(app: App, ticket: Ticket, event: str) -> str:
    """Return to whom a message goes, without names, which whoever wrote it has seen: `` to jane@example.org``."""
    said = next((a for a in app.desk.index.articles(ticket.number, here=True) if a.event.id == event), None)
    found = [line(p.address) for p in letters.people(said.front if said else None, *map(str.lower, FIELDS[:3]))]
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return f" to {', '.join(found[:3])}{more}" if found else ""


def report(app: App, ticket: Ticket, event: str, outcome: str, why: str, new: bool = False) -> None:
    """Say what became of a message; raises ``VrtError`` for one that failed or is in doubt: somebody has to see it."""
    if app.json:
        from vrt import views

        more = {"event": event, "delivery": outcome, "note": why or None}
        output.as_json(views.tickets(app.desk, [ticket])[0] | more)
    elif outcome not in ("failed", "in doubt"):
        whom, then = _whom(app, ticket, event), _then(app, ticket, event)
        said = {"draft": "kept as a draft", "queued": f"queued{whom}{then}", "sent": f"sent{whom}{then}"}[outcome]
        begun = f"new in {ticket.queue}, " if new else ""
        output.out(f"{ticket.number} {begun}{said}" + (f"; {why}" if why else ""))
    if outcome in ("failed", "in doubt"):
        what = "could not be delivered" if outcome == "failed" else "may or may not have been delivered"
        hint = f"vrt outbox retry {ticket.number}, or vrt outbox cancel {ticket.number}"
        raise VrtError(f"{ticket.number}: message {event[-8:]}{_whom(app, ticket, event)} {what}: {why}", hint)


def _then(app: App, ticket: Ticket, event: str) -> str:
    """Return what was done with a message: that it closed its ticket, or lets it wait."""
    events = app.desk.index.events(ticket.number)
    after = [e for last, e in itertools.pairwise(events) if last.id == event]
    if [e.action for e in after] == ["close"]:
        return f", closed as {after[0].trailers['Outcome']}"
    if [e.action for e in after] == ["pend"]:
        return f", pending until {output.clock(unstamp(after[0].trailers['Until']))}"
    return ""
