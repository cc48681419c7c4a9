"""``vrt priority``."""

import click

from vrt.cli import App
from vrt.commands import bulk, common
from vrt.commands.bulk import Chosen
from vrt.errors import UsageError


@click.command()
@bulk.tickets("N... P")
@common.with_app
def command(app: App, chosen: Chosen) -> None:
    """Set the priority P of tickets: 1 (very low) to 5 (very high), 3 is usual.

    \b
    vrt priority 0081 5
    """
    chosen, priority = chosen.last("a priority", "vrt priority N... P, with P from 1 to 5")
    if priority not in tuple("12345"):
        raise UsageError(f"{priority} is no priority", "vrt priority N... P, with P from 1 to 5")
    bulk.act(app, "priority", chosen, lambda t: f"has priority {t.priority}", lambda t: {"Priority": priority})
