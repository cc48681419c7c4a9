"""``vrt take``."""

import click

from vrt import acts, output
from vrt.cli import App
from vrt.commands import common


@click.command()
@common.tickets
@common.force
@common.with_app
def command(app: App, tickets: tuple[str, ...], force: bool) -> None:
    """Make tickets mine and lock them, for as long as their queue says.

    Another's lock stops it (exit 6); --force takes the ticket over, and the trail shows it.

    \b
    vrt take 0081
    """
    done = acts.act(app.desk, "take", tickets, acts.owned_by(app.desk, app.desk.me.handle), force=force)
    common.report(app, done, lambda t: f"taken by {t.owner} until {output.clock(t.lock)}")
