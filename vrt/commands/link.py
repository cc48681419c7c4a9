"""``vrt link``."""

import click

from vrt import structure
from vrt.cli import App
from vrt.commands import common


@click.command()
@common.ticket
@click.argument("other", metavar="M", shell_complete=common.complete_ticket)
@click.option("--remove", is_flag=True, help="They have nothing to do with each other.")
@common.with_app
def command(app: App, ticket: str, other: str, remove: bool) -> None:
    """Say that two tickets have to do with each other.

    vrt show of either names the other; nothing else changes.

    \b
    vrt link 0081 0092
    vrt link 0081 0092 --remove
    """
    done = structure.link(app.desk, ticket, other, remove)
    common.report(app, [done], lambda t: f"{'no longer linked' if remove else 'linked'} with {app.desk.resolve(other)}")
