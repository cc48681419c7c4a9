"""A message looked at for the last time, handed over, and what became of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from vrt import letters, outgoing, output, post
from vrt.cli import App
from vrt.commands.editing import FIELDS
from vrt.errors import TryAgain, VrtError
from vrt.letters import Letter
from vrt.mail import quote
from vrt.model import CLOSED, PENDING, Ticket
from vrt.outgoing import Recorded, Then
from vrt.storage.outbox import waiting
from vrt.text import line


def look(app: App, ticket: Ticket, letter: Letter, then: Then | None) -> list[str]:
    """Return what somebody sees before a message goes out."""
    mail = letters.mail_of(app.desk, ticket, letter)
    by = letters.sender(app.desk, app.desk.roster.queue(ticket.queue), mail)
    new = {p.address for p in letters.strangers(app.desk, ticket, letter)} if letter.kind == letters.REPLY else set()
    rows = [("From", line(str(by)))]
    for name in FIELDS[:3]:
        people = getattr(letter, name.lower())
        told = [line(str(p)) + (output.paint(" (new here)", "red") if p.address in new else "") for p in people]
        rows += [(name, ", ".join(told))] if told else []
    rows.append(("Subject", line(letter.subject)))
    words = sum(len(text.split()) for kind, text in quote.blocks(letter.body) if kind == "text")
    files = [f"{line(f.name)} ({output.size(len(f.data))})" for f in letter.files]
    rows.append(("Text", output.plural(words, "word", "words")))
    rows += [("Files", ", ".join(files))] if files else []
    if then:
        rows.append(("Then", " ".join([then.action, *then.facts.values()])))
    return [f"{output.paint(f'{name}:', 'dim')} {value}" for name, value in rows]


def ask(app: App, ticket: Ticket, letter: Letter, then: Then | None, as_draft: bool, edits: bool = True) -> str:
    """Return what is said to the last look: ``y`` send, ``e`` edit again, ``d`` keep as a draft, ``q`` not at all."""
    for row in look(app, ticket, letter, then):
        sys.stderr.write(row + "\n")
    words = ["yes", *["edit"] * edits, *["draft"] * (not as_draft), "quit"]
    question = f"{'keep it as a draft' if as_draft else 'send it'}? {', '.join(words)}"

    def one(text: str) -> str:
        found = next((word for word in words if word.startswith(text.strip().lower())), "")
        if not found:
            raise click.BadParameter(f"say {', '.join(words[:-1])} or {words[-1]}")
        return found[0]

    return str(click.prompt(question, value_proc=one, default="y", err=True))


def finish(app: App, done: Recorded, new: bool = False) -> None:
    """Say what was recorded; hand a message over at once if that can be done, and say what became of it."""
    if done.is_draft:
        number = done.ticket.number
        approved = outgoing.must_be_approved(app.desk, done.ticket)
        how = f"a colleague lets it go: vrt approve {number}" if approved else f"vrt reply {number} goes on with it"
        report(app, done.ticket, done.event.id, "draft", how, new)
    else:
        try_now(app, done.ticket, done.event.id, new)


def try_now(app: App, ticket: Ticket, event: str, new: bool = False) -> None:
    """Hand a message over at once if that can be done, and say what became of it; ``new``: it begins its ticket."""
    outcome, why = deliver(app, ticket, event)
    report(app, app.desk.index.ticket(ticket.number) or ticket, event, outcome, why, new)


@contextmanager
def alone(app: App) -> Iterator[None]:
    """Be the only one who sends, for a moment; what is handed over in that moment cannot be taken back."""
    with post.sending(app.desk, 1.0):
        yield


def deliver(app: App, ticket: Ticket, event: str) -> tuple[str, str]:
    """Hand a message over now; return what became of it, and a sentence about that."""
    desk = app.desk
    found = waiting(desk.index, "id = ?", [event])
    if found and found[0].sender != desk.me.handle:
        return "queued", f"{found[0].sender} sends it"
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
    said = next((a for a in app.desk.index.articles(ticket.number) if a.event.id == event), None)
    found = [line(p.address) for p in letters.people(said.front if said else None, *map(str.lower, FIELDS[:3]))]
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return f" to {', '.join(found[:3])}{more}" if found else ""


def report(app: App, ticket: Ticket, event: str, outcome: str, why: str, new: bool = False) -> None:
    """Say what became of a message; raises ``VrtError`` for one that failed or is in doubt: somebody has to see it."""
    if app.json:
        from vrt import views

        output.as_json(views.tickets(app.desk, [ticket])[0] | {"event": event, "outcome": outcome, "why": why or None})
    elif outcome not in ("failed", "in doubt"):
        whom, then = _whom(app, ticket, event), ""
        if ticket.state == CLOSED:
            then = f", closed as {ticket.outcome}"
        elif ticket.state == PENDING:
            then = f", pending until {output.clock(ticket.pending_until)}"
        said = {"draft": "kept as a draft", "queued": f"queued{whom}{then}", "sent": f"sent{whom}{then}"}[outcome]
        begun = f"new in {ticket.queue}, " if new else ""
        output.out(f"{ticket.number} {begun}{said}" + (f"; {why}" if why else ""))
    if outcome in ("failed", "in doubt"):
        what = "could not be delivered" if outcome == "failed" else "may or may not have been delivered"
        raise VrtError(f"{event} {what}: {why}", f"vrt outbox retry {ticket.number}, or vrt outbox cancel")
