"""``vrt assign``."""

import click

from vrt import acts, output
from vrt.cli import App
from vrt.commands import common
from vrt.errors import UsageError


@click.command()
@click.argument("names", metavar="N... AGENT", nargs=-1, required=True, shell_complete=common.complete_ticket_or_agent)
@common.force
@common.with_app
def command(app: App, names: tuple[str, ...], force: bool) -> None:
    """Make AGENT, a member of the ticket's queue, the owner of tickets.

    \b
    vrt assign 0081 bob
    """
    *tickets, agent = names
    if not tickets:
        raise UsageError("assign takes tickets and an agent", "vrt assign N... AGENT")
    app.desk.roster.card(agent)
    done = acts.act(app.desk, "assign", tickets, acts.owned_by(app.desk, agent), force=force)
    common.report(app, done, lambda t: f"assigned to {t.owner} until {output.clock(t.lock)}")
