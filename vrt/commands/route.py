"""``vrt route``."""

import click

from vrt.cli import App
from vrt.commands import bulk, common
from vrt.commands.bulk import Chosen


@click.command()
@bulk.tickets("N... QUEUE", common.complete_ticket_or_queue)
@common.force
@common.with_app
def command(app: App, chosen: Chosen, force: bool) -> None:
    """Move tickets to another queue: its members can read them from now on.

    The article keys are sealed to the new queue; the ticket has no owner there yet.

    \b
    vrt route 0081 permissions-en
    """
    chosen, queue = chosen.last("a queue", "vrt route N... QUEUE")
    app.desk.roster.queue(queue)
    bulk.act(app, "route", chosen, lambda t: f"routed to {t.queue}", lambda t: {"Queue": queue}, force=force)
