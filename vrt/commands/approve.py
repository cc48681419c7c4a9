"""``vrt approve``."""

import sys

import click

from vrt import letters, outgoing
from vrt.cli import App
from vrt.commands import common, posting, writing
from vrt.commands.wanted import Options
from vrt.text import shown


@click.command()
@common.ticket
@click.option("-y", "--yes", is_flag=True, help="Do not show it and ask first.")
@common.force
@common.with_app
def command(app: App, ticket: str, yes: bool, force: bool) -> None:
    """Let a colleague's draft go out as it is, and say so with my signature.

    Whoever wrote the draft last cannot approve it. To change it first: vrt draft N, and then somebody else approves it.

    \b
    vrt approve 0081
    """
    t = app.desk.ticket(ticket)
    seen = writing.seen(app, t, Options(message=""))
    if sys.stdin.isatty() and not yes:
        letter = letters.continued(app.desk, t)
        sys.stderr.write("\n".join([*posting.look(app, t, letter, None), "", shown(letter.body)]) + "\n")
        click.confirm("approve it, and send it?", default=False, abort=True, err=True)
        seen = t.last_event
    posting.finish(app, outgoing.approve(app.desk, t.number, seen=seen, force=force))
