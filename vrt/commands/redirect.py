"""``vrt redirect``."""

import click

from vrt import outgoing
from vrt.cli import App
from vrt.commands import common, editing, posting, writing


@click.command()
@common.ticket
@click.argument("addresses", metavar="ADDRESS...", nargs=-1, required=True)
@click.option("--event", "-e", metavar="EVENT", default="", help="This mail (the end of its id), not the last.")
@common.force
@common.with_app
def command(app: App, ticket: str, addresses: tuple[str, ...], event: str, force: bool) -> None:
    """Send a mail on, unchanged, to somebody whose matter it is; they answer the requester themselves.

    It keeps its sender, so some servers refuse it: forward tells more, and the answer comes back here.

    \b
    vrt redirect 0081 legal@example.org
    vrt redirect 0081 info@example.net --event 5f3a91c2
    """
    t = app.desk.ticket(ticket)
    seen = writing.seen(app, t)
    posting.finish(
        app, outgoing.redirect(app.desk, t.number, event, editing.addresses(addresses), seen=seen, force=force)
    )
