"""``vrt accept``."""

import click

from vrt import structure
from vrt.cli import App
from vrt.commands import common


@click.command()
@common.ticket
@click.argument("events", metavar="[EVENT]...", nargs=-1)
@common.with_app
def command(app: App, ticket: str, events: tuple[str, ...]) -> None:
    """Accept unverified mails of a ticket: what they claim to be is true.

    The ticket is open and waits again, and their senders take part in it from now on. An EVENT is named by the end
    of its id, as vrt show prints it; it need not be where only one mail is unverified.

    \b
    vrt accept 0081
    vrt accept 0081 5f3a91c2
    """
    done = structure.accept(app.desk, ticket, events)
    common.report(app, [done], lambda t: f"accepted, {t.state} in {t.queue}")
