"""``vrt next``."""

import click

from vrt import acts, output
from vrt.cli import App
from vrt.commands import common, show
from vrt.errors import Conflict
from vrt.model import CLOSED, MERGED


@click.command()
@click.option("--queue", "-q", metavar="Q", shell_complete=common.complete_queue, help="Only from this queue.")
@common.with_app
def command(app: App, queue: str | None) -> None:
    """Take the most urgent ticket of my queues, among equals the one that waits longest, and show it.

    Tickets that somebody works on, that are pending, or that lie in junk are passed over.

    \b
    vrt next
    """
    desk = app.desk
    if queue:
        desk.roster.queue(queue)
    for _ in range(20):  # a colleague may take the same ticket in this very moment
        found = acts.waiting(desk, queue)
        if found is None:
            output.tell("vrt: nothing waits in your queues")
            if app.json:
                output.as_json(None)
            return
        if found.state in (CLOSED, MERGED):  # nothing to own, only to judge: accept or split
            show.show(app, found)
            return
        try:
            (taken,) = acts.act(desk, "take", [found.number], acts.owned_by(desk, desk.me.handle))
        except Conflict:
            continue
        show.show(app, taken)
        return
    raise Conflict("others took every ticket first", "vrt next")
