"""``vrt redirect``."""

import sys

import click

from vrt import letters, outgoing
from vrt.cli import App
from vrt.commands import common, editing, lastlook, posting, writing
from vrt.errors import NotFound, VrtError


@click.command()
@common.ticket
@click.argument("addresses", metavar="ADDRESS...", nargs=-1, required=True)
@click.option("--event", "-e", metavar="EVENT", default="", help="This mail (the end of its id), not the last.")
@click.option("-y", "--yes", is_flag=True, help="Send without a last look.")
@common.force
@common.with_app
def command(app: App, ticket: str, addresses: tuple[str, ...], event: str, yes: bool, force: bool) -> None:
    """Send a mail on, unchanged, to somebody whose matter it is; they answer the requester themselves.

    It keeps its sender, so some servers refuse it: forward tells more, and the answer comes back here.

    \b
    vrt redirect 0081 legal@example.org
    vrt redirect 0081 info@example.net --event 5f3a91c2
    """
    t = app.desk.ticket(ticket)
    to = editing.addresses(addresses)
    seen = writing.seen(app, t)
    mail = letters.answered(app.desk, t, event)
    if mail is None:
        raise NotFound(f"nothing came in that could be redirected in {t.number}", f"vrt show {t.number}")
    if sys.stdin.isatty() and not yes:
        sys.stderr.write("\n".join(lastlook.redirected(mail, to)) + "\n")
        if not click.confirm("send it on, as it came?", err=True):
            raise VrtError("nothing was sent", f"vrt forward {t.number}")
    done = outgoing.redirect(app.desk, t.number, mail.event.id, to, seen=seen, force=force)
    posting.finish(app, done)
