"""``vrt release``."""

import click

from vrt.cli import App
from vrt.commands import bulk, common
from vrt.commands.bulk import Chosen


@click.command()
@bulk.tickets()
@common.force
@common.with_app
def command(app: App, chosen: Chosen, force: bool) -> None:
    """Give tickets back: no owner, no lock, free for the next agent.

    \b
    vrt release 0081 0092
    """
    bulk.act(app, "release", chosen, lambda t: "released", force=force)
