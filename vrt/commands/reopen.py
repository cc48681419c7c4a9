"""``vrt reopen``."""

import click

from vrt import acts
from vrt.cli import App
from vrt.commands import common


@click.command()
@common.tickets
@common.with_app
def command(app: App, tickets: tuple[str, ...]) -> None:
    """Open closed tickets again.

    \b
    vrt reopen 0081
    """
    common.report(app, acts.act(app.desk, "reopen", tickets), lambda t: "open again")
