"""``vrt new``."""

from dataclasses import replace

import click

from vrt import acts, kept, letters, outgoing
from vrt.cli import App
from vrt.commands import common, editing, writing
from vrt.commands.wanted import Options, options
from vrt.errors import UsageError
from vrt.letters import Letter
from vrt.model import Ticket


@click.command()
@click.option("--queue", "-q", required=True, metavar="Q", shell_complete=common.complete_queue, help="Its queue.")
@click.option("--from", "requester", metavar="ADDRESS",
              help='Who asked, by telephone or letter: jane@example.org or "Jane <jane@example.org>".')  # fmt: skip
@click.option("--take", is_flag=True, help="Take it at once.")
@options
@common.with_app
def command(app: App, queue: str, requester: str | None, take: bool, wanted: Options) -> None:
    """Make a ticket by hand: record a telephone call, a letter, a matter seen elsewhere; or write to somebody first.

    With --to the text goes to them by mail, and they are the ticket's requester; without, it stays here.

    \b
    vrt new -q info-en -s "Call from the museum" --from "Jane Roe <jane@example.org>" -m "She asks …"
    vrt new -q info-en -s "Your picture" --to jane@example.org
    """
    subject = common.utf8((wanted.subject or "").strip(), "the subject")
    if not subject or "\n" in subject:
        raise UsageError("the subject must be one line that says something", 'give it with -s "…"')
    desk = app.desk
    target = desk.roster.queue(queue)
    if not wanted.to:
        people = editing.addresses((requester,)) if requester else ()
        body = common.text(wanted.message, wanted.file, what="ticket")
        made = acts.new(desk, target, subject, body, next(iter(people), None), take)
        common.report(app, [made], lambda t: f"new in {t.queue}" + (f", taken by {t.owner}" if t.owner else ""))
        return
    if requester:
        raise UsageError("--to and --from exclude each other: who is written to is the requester")
    about = Ticket(desk.mint(desk.today(), desk.me, 0), target.name, title=subject)
    letter = Letter(letters.REPLY, editing.addresses(wanted.to), subject)
    letter = writing.changed(app, about, letter, replace(wanted, subject=None))
    writing.compose(
        app,
        about,
        letter,
        wanted,
        lambda letter, draft: outgoing.begin(desk, about, letter, draft),
        name=kept.name_of_new(desk, target.name, letter),
    )
