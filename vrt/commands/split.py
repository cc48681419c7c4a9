"""``vrt split``."""

import click

from vrt import structure
from vrt.cli import App
from vrt.commands import common


@click.command()
@common.ticket
@click.argument("events", metavar="[EVENT]...", nargs=-1)
@common.with_app
def command(app: App, ticket: str, events: tuple[str, ...]) -> None:
    """Give mail that joined a ticket a ticket of its own.

    An EVENT is named by the end of its id, as vrt trail prints it. None named: the mail that is unverified, if there is
    just one.

    \b
    vrt split 0081
    vrt split 0081 5f3a91c2 0b77de14
    """
    done = structure.split(app.desk, ticket, events)
    common.report(app, done, lambda t: f"new in {t.queue}")
