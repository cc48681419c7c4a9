"""``vrt draft``."""

from dataclasses import replace

import click

from vrt import letters, outgoing
from vrt.cli import App
from vrt.commands import common, writing
from vrt.commands.wanted import Options, options
from vrt.errors import NotFound


@click.command()
@common.ticket
@click.option("--discard", is_flag=True, help="Drop the draft; the trail keeps it.")
@options
@common.with_app
def command(app: App, ticket: str, discard: bool, wanted: Options) -> None:
    """Begin a reply that waits, or go on with the draft that a colleague began.

    A draft is sealed to the queue like everything else. "vrt reply" goes on with it and sends it; in a queue where a
    second agent approves what goes out, "vrt approve" does. A ticket has one draft at a time.

    \b
    vrt draft 0081
    vrt draft 0081 --discard
    """
    desk = app.desk
    t = desk.ticket(ticket)
    if discard:
        if not t.draft:
            raise NotFound(f"{t.number} has no draft", f"vrt draft {t.number}")
        common.report(app, [outgoing.discard(desk, t.number)], lambda t: "draft dropped")
        return
    letter = letters.continued(desk, t) if t.draft else letters.reply(desk, t)
    letter = writing.changed(app, t, letter, wanted)
    writing.write(app, t, letter, replace(wanted, draft=True))
