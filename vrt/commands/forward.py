"""``vrt forward``."""

import click

from vrt import letters
from vrt.cli import App
from vrt.commands import common, editing, writing
from vrt.commands.wanted import Options, options


@click.command()
@common.ticket
@click.argument("addresses", metavar="ADDRESS...", nargs=-1, required=True)
@click.option("--event", "-e", metavar="EVENT", default="", help="Forward this mail (the end of its id), not the last.")
@options
@common.with_app
def command(app: App, ticket: str, addresses: tuple[str, ...], event: str, wanted: Options) -> None:
    """Ask somebody else about a mail: it goes to them with its files, below a text of yours.

    Their answer comes back into the ticket and stays internal: they become no party of it, and it is never quoted to
    the requester.

    \b
    vrt forward 0081 legal@example.org -m "Is this a threat?"
    """
    t = app.desk.ticket(ticket)
    letter = letters.forward(app.desk, t, editing.addresses(addresses), event)
    writing.write(app, t, writing.changed(app, t, letter, wanted), wanted)
