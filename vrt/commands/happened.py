"""Events as people read them: what was done, and what became of what was said."""

from __future__ import annotations

from vrt import dispatch, fold, ledger, output
from vrt.desk import Desk
from vrt.model import Event, Ticket
from vrt.storage import outbox


def marks(desk: Desk, t: Ticket, event: Event, events: list[Event], messages: dict[str, dispatch.Message]) -> list[str]:
    """Return the lines below an article: what is in doubt about it, where it went, whether it arrived."""
    rows = _doubt(t, event) if event.id in t.unverified else []
    rows += _gone(events, event) + _reported(events, event)
    rows += _state(desk, t, messages[event.id]) if event.id in messages else []
    return rows + (_draft(desk, t) if event.id == t.draft else [])


def is_past(event: Event, t: Ticket) -> bool:
    """Say whether an event is a draft that another one, or the message itself, took the place of."""
    return event.action == "draft" and event.id != t.draft


def _state(desk: Desk, t: Ticket, message: dispatch.Message) -> list[str]:
    """Return what became of a message of ours."""
    when = output.clock(message.since)
    sender, end = message.queued.trailers["Sender"], message.queued.id[-8:]
    said = {
        dispatch.QUEUED: ("yellow", f"queued, {sender} sends it"),
        dispatch.SENDING: ("red", f"IN DOUBT: handed over {when}, and nobody knows whether it was taken"),
        dispatch.SENT: ("dim", f"sent {when}"),
        dispatch.FAILED: ("red", f"NOT DELIVERED: vrt outbox retry {t.number} {end}, or cancel"),
        dispatch.BOUNCED: ("red", f"CAME BACK: vrt outbox retry {t.number} {end}, or cancel"),
        dispatch.CANCELLED: ("yellow", f"taken back {when}, never sent"),
        dispatch.SETTLED: ("dim", f"not sent again since {when}"),
    }  # fmt: skip
    style, text = said[message.state]
    if message.doubtful and message.state != dispatch.SENT:
        style, text = "red", f"{text.replace(', never sent', '')}; an earlier try may have been taken"
    if message.state == dispatch.SENDING and not outbox.in_doubt(desk.me.handle, desk.now, sender, message.since):
        style, text = "yellow", f"{sender} is handing it over"
    return [output.paint(f"   {text}", style)]


def _draft(desk: Desk, t: Ticket) -> list[str]:
    """Return what can be done with the draft that waits."""
    queue, author = desk.roster.queues.get(t.queue), desk.roster.cards.get(t.draft_by)
    approved = (queue and queue.approval) or (author and author.supervised)
    how = f"a colleague lets it go: vrt approve {t.number}" if approved else f"vrt reply {t.number} goes on with it"
    return [output.paint(f"   DRAFT, not sent: {how}", "yellow")]


def _doubt(t: Ticket, event: Event) -> list[str]:
    """Return what is in doubt about an unverified mail, and what can be done."""
    why = _DOUBTS.get(event.trailers.get("Unverified", ""), "")
    end = event.id[-8:]
    return [
        "",
        output.paint(f"   UNVERIFIED: {why}", "red"),
        output.paint(f"   vrt accept {t.number} {end}, or vrt split {t.number} {end}", "dim"),
    ]


def _gone(events: list[Event], event: Event) -> list[str]:
    """Return where an article went that was moved to another ticket."""
    goal = fold.moved(events).get(event.id)
    return [output.paint(f"   moved to {goal}", "yellow")] if goal else []


def _reported(events: list[Event], event: Event) -> list[str]:
    """Return what reports say of the delivery of a message of ours."""
    about = [e for e in events if "Report" in e.trailers and e.trailers.get("About") == event.id]
    colours = {"failed": "red", "delayed": "yellow"}
    said = [(e.trailers["Report"], e.id[-8:]) for e in about]
    return [output.paint(f"   {kind.upper()}, says the report {end}", colours.get(kind, "dim")) for kind, end in said]


_DOUBTS = {
    "stranger": "the sender has had no part in this ticket, whatever the mail says",
    "failed": "a trusted check says that the sender is forged",
    "unclear": "who sent it is not clear",
}


def done(event: Event) -> str:
    """Return the line that shows an event in which nothing was said."""
    return output.paint(f"· {output.clock(event.time)}  {event.agent}: {what(event)}", "dim")


def what(event: Event) -> str:
    """Return what an event did, for people: its subject without the number, times as people read them."""
    facts = event.trailers
    text = ledger.subject(event).replace(f" {event.ticket}", "", 1)
    if event.action in ("link", "unlink"):
        return f"{event.action} with {facts['Link']}"
    if event.action == "move":
        return f"move {facts['About'][-8:]} into {facts['Into']}"
    if "Until" in facts:
        then = f", then close as {facts['Outcome']}" if "Outcome" in facts else ""
        text = f"{event.action} until {output.clock(ledger.unstamp(facts['Until']))}{then}"
    said = [f" by {facts['Follow-Up']}"] if "Follow-Up" in facts else []
    said += [f" of {facts['About'][-8:]}"] if "About" in facts else []
    said += [f" beside {facts['Link']}"] if "Link" in facts else []
    said += [f" from {facts['From']}"] if "From" in facts else []
    notes = [facts[n] for n in ("Kind", "Report") if n in facts]
    notes += [f"unverified: {facts['Unverified']}"] if "Unverified" in facts else []
    notes += ["kept, not reopened"] if "Rejected" in facts else []
    notes += [f"no automatic reply: {facts['Suppressed']}"] if "Suppressed" in facts else []
    notes += ["forced"] if "Force" in facts else []
    return text + "".join(said) + (f" ({', '.join(notes)})" if notes else "")
