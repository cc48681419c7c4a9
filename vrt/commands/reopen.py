"""``vrt reopen``."""

import click

from vrt.cli import App
from vrt.commands import bulk, common
from vrt.commands.bulk import Chosen


@click.command()
@bulk.tickets()
@common.with_app
def command(app: App, chosen: Chosen) -> None:
    """Open closed tickets again. A --query has to ask for them: state:closed.

    \b
    vrt reopen 0081
    vrt reopen --query 'state:closed outcome:spam after:2d'
    """
    bulk.act(app, "reopen", chosen, lambda t: "open again")
