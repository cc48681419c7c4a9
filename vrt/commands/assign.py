"""``vrt assign``."""

import click

from vrt import absence, acts, output
from vrt.cli import App
from vrt.commands import bulk, common
from vrt.commands.bulk import Chosen


@click.command()
@bulk.tickets("N... AGENT", common.complete_ticket_or_agent)
@common.force
@common.with_app
def command(app: App, chosen: Chosen, force: bool) -> None:
    """Make AGENT, a member of the ticket's queue, the owner of tickets.

    An agent who is away gets none (exit 6), but by --force.

    \b
    vrt assign 0081 bob
    """
    chosen, agent = chosen.last("an agent", "vrt assign N... AGENT")
    app.desk.roster.card(agent)
    if not force:
        absence.check_here(app.desk, agent)
    facts = acts.owned_by(app.desk, agent)
    bulk.act(app, "assign", chosen, lambda t: f"assigned to {t.owner} until {output.clock(t.lock)}", facts, force=force)
