"""``vrt approve``."""

import sys
from dataclasses import replace

import click

from vrt import letters, outgoing
from vrt.cli import App
from vrt.commands import common, lastlook, posting, writing
from vrt.errors import UsageError, VrtError
from vrt.model import Ticket
from vrt.outgoing import Then
from vrt.text import shown


@click.command()
@common.ticket
@click.option("--close", metavar="W", shell_complete=common.complete_outcome, help="Close the ticket with it, as W.")
@click.option("-y", "--yes", is_flag=True, help="Do not show it and ask first.")
@common.force
@common.with_app
def command(app: App, ticket: str, close: str | None, yes: bool, force: bool) -> None:
    """Let a colleague's draft go out as it is, and say so with my signature.

    Whoever wrote the draft last cannot approve it, nor can anybody who is supervised. To change it first: vrt draft N;
    then somebody else approves it.

    \b
    vrt approve 0081
    vrt approve 0081 --close successful
    """
    t = app.desk.ticket(ticket)
    then = Then("close", {"Outcome": close}) if close else None
    seen = writing.seen(app, t)
    if sys.stdin.isatty() and not yes and t.draft_by != app.desk.me.handle:  # who wrote it is not asked, but told
        letter = replace(letters.continued(app.desk, t), author=t.draft_by)
        sys.stderr.write("\n".join([*lastlook.look(app, t, letter, then), "", shown(letter.body)]) + "\n")
        if not click.confirm("approve it, and send it?", default=False, err=True):
            raise VrtError("nothing was sent", f"vrt draft {t.number} changes it")
        seen = t.last_event
    elif not yes and not _knows(app, t, seen):
        raise UsageError(f"you have not seen the draft of {t.number}", f"vrt show {t.number}, or -y")
    posting.finish(app, outgoing.approve(app.desk, t.number, seen=seen, then=then, force=force))


def _knows(app: App, ticket: Ticket, seen: str) -> bool:
    """Say whether what the caller has seen of a ticket goes as far as its draft; there is nothing to know of none."""
    ids = [e.id for e in app.desk.index.events(ticket.number)]
    return ticket.draft not in ids or ids.index(seen) >= ids.index(ticket.draft)
