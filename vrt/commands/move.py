"""``vrt move``."""

import click

from vrt import structure
from vrt.cli import App
from vrt.commands import common


@click.command()
@common.ticket
@click.argument("events", metavar="EVENT...", nargs=-1, required=True)
@click.argument("into", metavar="M", shell_complete=common.complete_ticket)
@common.with_app
def command(app: App, ticket: str, events: tuple[str, ...], into: str) -> None:
    """Move mail that joined a ticket wrongly to another ticket.

    That one waits as after any new mail, and who sent it takes part there, and no longer here. An EVENT is named by
    the end of its id, as vrt trail prints it. What a ticket began with stays: vrt merge takes it along.

    \b
    vrt move 0081 5f3a91c2 0092
    """
    done = structure.move(app.desk, ticket, events, into)
    asked = app.desk.resolve(into)
    why = f", which {asked} is merged into" if asked != done.number else ""
    common.report(app, [done], lambda t: f"has it now, {t.state} in {t.queue}{why}")
