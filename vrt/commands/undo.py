"""``vrt undo``."""

import click

from vrt import outbox
from vrt.cli import App
from vrt.commands import common, editing, posting
from vrt.commands.outbox import announce
from vrt.letters import REPLY


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
    if goes_on := text.kind == REPLY and done.event.action != "redirect":
        editing.keep(app, done.ticket.number, editing.as_text(text))
    announce(app, done.ticket.number, done.event.id)
    how = "; vrt reply {} goes on with it" if goes_on else ""
    common.report(app, [done.ticket], lambda t: "message taken back" + how.format(t.number))
