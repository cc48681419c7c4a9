"""``vrt undo``."""

import click

from vrt import kept, outbox
from vrt.cli import App
from vrt.commands import common, posting
from vrt.commands.outbox import announce
from vrt.kept import Kept


@click.command()
@click.argument("ticket", metavar="[N]", default="", shell_complete=common.complete_ticket)
@common.with_app
def command(app: App, ticket: str) -> None:
    """Take back my last message that has not gone out yet, or that in ticket N.

    How long that can be done is the queue's send_delay. If it closed the ticket, the ticket is open again; "vrt reply"
    goes on with the text.

    \b
    vrt undo
    """
    number = app.desk.resolve(ticket) if ticket else ""
    with posting.alone(app):
        done, text = outbox.undo(app.desk, number)
    number, how = done.ticket.number, ""
    if done.event.action != "redirect":  # there is nothing in it that somebody wrote
        kept.put(app.desk, kept.name(text.kind, number), Kept(kept.as_text(text), text.files))
        how = f"; vrt {text.kind} {number} goes on with it"
    announce(app, number, done.event.id)
    common.report(app, [done.ticket], lambda t: f"message taken back{how}")
