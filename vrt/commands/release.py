"""``vrt release``."""

import click

from vrt import acts
from vrt.cli import App
from vrt.commands import common


@click.command()
@common.tickets
@common.force
@common.with_app
def command(app: App, tickets: tuple[str, ...], force: bool) -> None:
    """Give tickets back: no owner, no lock, free for the next agent.

    \b
    vrt release 0081 0092
    """
    done = acts.act(app.desk, "release", tickets, force=force)
    common.report(app, done, lambda t: "released")
