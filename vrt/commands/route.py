"""``vrt route``."""

import click

from vrt import acts
from vrt.cli import App
from vrt.commands import common
from vrt.errors import UsageError


@click.command()
@click.argument("names", metavar="N... QUEUE", nargs=-1, required=True, shell_complete=common.complete_ticket_or_queue)
@common.force
@common.with_app
def command(app: App, names: tuple[str, ...], force: bool) -> None:
    """Move tickets to another queue: its members can read them from now on.

    The article keys are sealed to the new queue; the ticket has no owner there yet.

    \b
    vrt route 0081 permissions-en
    """
    *tickets, queue = names
    if not tickets:
        raise UsageError("route takes tickets and a queue", "vrt route N... QUEUE")
    app.desk.roster.queue(queue)
    done = acts.act(app.desk, "route", tickets, lambda t: {"Queue": queue}, force=force)
    common.report(app, done, lambda t: f"routed to {t.queue}")
