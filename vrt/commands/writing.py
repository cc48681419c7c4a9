"""What the commands that write mail share: its text in the editor, the last look, and what became of it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import click

from vrt import letters, outgoing, output
from vrt.cli import App
from vrt.commands import common
from vrt.commands.editing import Nothing, addresses, as_text, context, drop, edited, kept
from vrt.commands.posting import ask, finish
from vrt.commands.wanted import Options
from vrt.errors import UsageError, VrtError
from vrt.letters import Letter
from vrt.mail import limits
from vrt.mail.compose import File
from vrt.model import Ticket
from vrt.outgoing import Recorded, Then


def attached(paths: tuple[str, ...]) -> tuple[File, ...]:
    """Return files to send along; raises ``UsageError`` for one that cannot be read."""
    import mimetypes

    found, room = [], limits.MAX_BYTES  # what comes in larger is not taken apart, here or elsewhere
    for path in paths:
        try:
            with open(path, "rb") as stream:
                data = stream.read(room + 1)
        except OSError as exc:
            raise UsageError(f"{path}: {exc.strerror}") from None
        room -= len(data)
        if room < 0:
            whole = path if len(paths) == 1 else "what is attached"
            raise UsageError(f"{whole} is {limits.larger_than(limits.MAX_BYTES)}", "put it elsewhere and send a link")
        found.append(File(Path(path).name, mimetypes.guess_type(path)[0] or "application/octet-stream", data))
    return tuple(found)


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
    name = name or (ticket.number if letter.kind == letters.REPLY else f"{letter.kind}-{ticket.number}")
    try:
        if wanted.edits:
            letter, as_draft = _by_editor(app, ticket, letter, wanted, then, as_draft, name)
        else:
            letter, as_draft = _by_options(app, ticket, letter, wanted, then, as_draft)
        done = record(letter, as_draft)
    except (click.Abort, KeyboardInterrupt, VrtError):
        if wanted.edits and kept(app, name):
            again = f"vrt {click.get_current_context().info_name} {'…' if name == 'new' else ticket.number}"
            output.tell(f"vrt: what you wrote is kept: {again} goes on with it")
        raise
    drop(app, name)
    finish(app, done, name == "new")


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
    text = kept(app, name)
    if letter.draft:
        output.tell(f"vrt: going on with the draft by {ticket.draft_by}")
    if text:
        output.tell("vrt: going on with what you wrote before and could not send")
    text = text or as_text(letter)
    while True:
        letter, text = edited(app, name, letter, text, context(ticket), as_draft)
        if letters.hook(app.desk, ticket) not in letter.subject:
            letter = replace(letter, subject=letters.with_hook(app.desk, ticket, letter.subject))
        if letter.body.strip() == begun:
            drop(app, name)
            raise Nothing("nothing was written: nothing was sent", f"vrt show {ticket.number}")
        if wanted.yes:
            return letter, as_draft
        said = ask(app, ticket, letter, then, as_draft)
        if said == "q":
            drop(app, name)
            raise VrtError("nothing was sent")
        if said != "e":
            return letter, as_draft or said == "d"


def seen(app: App, ticket: Ticket) -> str:
    """Return the last event of a ticket that ``show`` or ``next`` has shown the caller; if none, the last there is."""
    from vrt.storage import seen as marks

    return marks.last(app.desk.index, ticket.number) or ticket.last_event
