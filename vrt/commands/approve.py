"""``vrt approve``."""

import sys

import click

from vrt import letters, outgoing
from vrt.cli import App
from vrt.commands import common, posting, writing
from vrt.errors import VrtError
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

    Whoever wrote the draft last cannot approve it. To change it first: vrt draft N, and then somebody else approves it.

    \b
    vrt approve 0081
    vrt approve 0081 --close successful
    """
    t = app.desk.ticket(ticket)
    then = Then("close", {"Outcome": close}) if close else None
    seen = writing.seen(app, t)
    if sys.stdin.isatty() and not yes:
        letter = letters.continued(app.desk, t)
        sys.stderr.write("\n".join([*posting.look(app, t, letter, then), "", shown(letter.body)]) + "\n")
        if not click.confirm("approve it, and send it?", default=False, err=True):
            raise VrtError("nothing was sent", f"vrt draft {t.number} changes it")
        seen = t.last_event
    posting.finish(app, outgoing.approve(app.desk, t.number, seen=seen, then=then, force=force))
