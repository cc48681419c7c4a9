"""``vrt priority``."""

import click

from vrt import acts
from vrt.cli import App
from vrt.commands import common
from vrt.errors import UsageError


@click.command()
@click.argument("names", metavar="N... P", nargs=-1, required=True, shell_complete=common.complete_ticket)
@common.with_app
def command(app: App, names: tuple[str, ...]) -> None:
    """Set the priority P of tickets: 1 (very low) to 5 (very high), 3 is usual.

    \b
    vrt priority 0081 5
    """
    *tickets, priority = names
    if not tickets:
        raise UsageError("priority takes tickets and a priority", "vrt priority N... P, with P from 1 to 5")
    if priority not in tuple("12345"):
        raise UsageError(f"{priority} is no priority", "vrt priority N... P, with P from 1 to 5")
    done = acts.act(app.desk, "priority", tickets, lambda t: {"Priority": priority})
    common.report(app, done, lambda t: f"has priority {t.priority}")
