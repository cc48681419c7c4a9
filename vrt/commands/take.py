"""``vrt take``."""

import click

from vrt import acts, output
from vrt.cli import App
from vrt.commands import bulk, common
from vrt.commands.bulk import Chosen


@click.command()
@bulk.tickets()
@common.force
@common.with_app
def command(app: App, chosen: Chosen, force: bool) -> None:
    """Make tickets mine and lock them, for as long as their queue says.

    Another's lock stops it (exit 6); --force takes the ticket over, and the trail shows it.

    \b
    vrt take 0081
    """
    facts = acts.owned_by(app.desk, app.desk.me.handle)
    bulk.act(app, "take", chosen, lambda t: f"taken by {t.owner} until {output.clock(t.lock)}", facts, force=force)
