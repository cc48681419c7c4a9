"""What the commands that write mail share: its text in the editor, the last look, and what became of it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace

import click

from vrt import kept, letters, outgoing, output
from vrt.cli import App
from vrt.commands import common
from vrt.commands.editing import Nothing, addresses, context, edited
from vrt.commands.lastlook import ask
from vrt.commands.posting import finish
from vrt.commands.wanted import Options, attached
from vrt.errors import UsageError, VrtError
from vrt.letters import Letter
from vrt.model import Ticket
from vrt.outgoing import Recorded, Then


def changed(app: App, ticket: Ticket, letter: Letter, wanted: Options) -> Letter:
    """Return ``letter`` as the options change it: to whom, about what, with which files."""
    to, cc, bcc = (addresses(given) for given in (wanted.to, wanted.cc, wanted.bcc))
    letter = replace(letter, to=to or letter.to, cc=cc or letter.cc, bcc=bcc or letter.bcc)
    letter = replace(letter, files=letter.files + attached(wanted.attach))
    if wanted.subject is not None:
        text = common.utf8(wanted.subject, "the subject")
        letter = replace(letter, subject=letters.with_hook(app.desk, ticket, text))
    return letter


Record = Callable[[Letter, bool], Recorded]  # takes a message, and whether it is a draft


def write(app: App, ticket: Ticket, letter: Letter, wanted: Options, then: Then | None = None) -> None:
    """Let somebody write a message in a ticket, look at it, record it, and hand it over at once if that can be done."""
    last = seen(app, ticket)
    outgoing.check_seen(app.desk, ticket, last, wanted.force)  # before anything is written in vain

    def record(letter: Letter, draft: bool) -> Recorded:
        after = None if draft else then
        return outgoing.record(
            app.desk, ticket.number, letter, seen=last, then=after, force=wanted.force, draft=wanted.draft or draft
        )

    compose(app, ticket, letter, wanted, record, then)


def compose(
    app: App, ticket: Ticket, letter: Letter, wanted: Options, record: Record, then: Then | None = None, name: str = ""
) -> None:
    """As ``write``; ``record`` takes what was written, and ``name`` is what it is kept under until then."""
    as_draft = wanted.draft or outgoing.must_be_approved(app.desk, ticket)
    if as_draft and then:
        raise UsageError(f"a draft does not {then.action} the ticket", "whoever lets it go out can")
    if letter.draft and wanted.template:
        raise UsageError(
            f"{ticket.number} has a draft, which -t does not change", f"vrt draft {ticket.number} --discard"
        )
    name = name or kept.name(letter.kind, ticket.number)
    try:
        if wanted.edits:
            letter, as_draft = _by_editor(app, ticket, letter, wanted, then, as_draft, name)
        else:
            letter, as_draft = _by_options(app, ticket, letter, wanted, then, as_draft)
        done = record(letter, as_draft)
    except (click.Abort, KeyboardInterrupt, VrtError):
        if wanted.edits and kept.get(app.desk, name):
            again = f"vrt {click.get_current_context().info_name} {'…' if kept.is_new(name) else ticket.number}"
            output.tell(f"vrt: what you wrote is kept: {again} goes on with it")
        raise
    if wanted.edits:
        kept.drop(app.desk, name)
    finish(app, done, kept.is_new(name))


def _by_options(
    app: App, ticket: Ticket, letter: Letter, wanted: Options, then: Then | None, as_draft: bool
) -> tuple[Letter, bool]:
    text = None
    if wanted.message is not None or wanted.file is not None:
        text = common.text(wanted.message, wanted.file, what="message")
    quote = letter.kind == letters.FORWARD if wanted.quote is None else wanted.quote
    letter = replace(letter, body=letters.body(app.desk, ticket, letter, text, wanted.template, quote))
    if not sys.stdin.isatty() or wanted.yes:
        return letter, as_draft
    said = ask(app, ticket, letter, then, as_draft, edits=False)
    if said == "q":
        raise VrtError("nothing was sent")
    return letter, as_draft or said == "d"


def _by_editor(
    app: App, ticket: Ticket, letter: Letter, wanted: Options, then: Then | None, as_draft: bool, name: str
) -> tuple[Letter, bool]:
    if not letter.draft:
        quote = True if wanted.quote is None else wanted.quote
        letter = replace(letter, body=letters.body(app.desk, ticket, letter, None, wanted.template, quote))
    begun = letter.body.strip() if not (letter.draft or wanted.template) else None
    before = kept.get(app.desk, name)
    if before and wanted.says and not kept.is_new(name):  # that cannot be begun without them
        raise UsageError(
            "there is a message that you wrote before, which these options would not change",
            f"vrt {click.get_current_context().info_name} without them goes on with it; an empty text there drops it",
        )
    if letter.draft:
        output.tell(f"vrt: going on with the draft by {ticket.draft_by}")
    if before:
        output.tell("vrt: going on with what you wrote before")
        letter = replace(letter, files=before.files)
    text = before.text if before else kept.as_text(letter)
    while True:
        letter, text = edited(app, name, letter, text, context(ticket), as_draft)
        if letters.hook(app.desk, ticket) not in letter.subject:
            letter = replace(letter, subject=letters.with_hook(app.desk, ticket, letter.subject))
        if letter.body.strip() == begun:
            kept.drop(app.desk, name)
            raise Nothing("nothing was written: nothing was sent", f"vrt show {ticket.number}")
        if wanted.yes and not before:
            return letter, as_draft
        said = ask(app, ticket, letter, then, as_draft)
        if said == "q":
            raise VrtError("nothing was sent")
        if said != "e":
            if said == "d" and then:
                output.warn(f"a draft does not {then.action} the ticket: whoever lets it go out can")
            return letter, as_draft or said == "d"


def seen(app: App, ticket: Ticket) -> str:
    """Return the last event of a ticket that the caller has seen: what ``show`` or ``next`` showed them, or they wrote.

    Where there is none, the last there is. Nobody has seen what their machine did by itself, as receiving mail.
    """
    from vrt.storage import seen as marks

    index, me = app.desk.index, app.desk.me.handle
    shown = marks.last(index, ticket.number)
    known = [e.id for e in index.events(ticket.number) if e.id == shown or (e.agent == me and e.action in _WRITTEN)]
    return known[-1] if known else ticket.last_event


_WRITTEN = ("new", "note", "draft", "reply", "forward", "approve", "redirect")
