"""``vrt note``."""

import click

from vrt import acts
from vrt.cli import App
from vrt.commands import common


@click.command()
@common.tickets
@common.message
@common.with_app
def command(app: App, tickets: tuple[str, ...], message: str | None, file: str | None) -> None:
    """Write an internal note, sealed to the ticket's queue; it never leaves the desk.

    Without -m and -F your editor opens on a file in memory. An empty note is refused (exit 2), and so is
    the same note twice in a row (exit 6).

    \b
    vrt note 0081 -m "Checked the licence: fine."
    vrt note 0081 < call.txt -F -
    """
    body = common.text(message, file, what="note")
    common.report(app, acts.act(app.desk, "note", tickets, body=body), lambda t: f"noted ({t.last_event})")
