"""``vrt note``."""

import click

from vrt import text
from vrt.cli import App
from vrt.commands import bulk, common
from vrt.commands.bulk import Chosen
from vrt.commands.said import people
from vrt.model import Ticket
from vrt.output import clock
from vrt.text import line


@click.command()
@bulk.tickets()
@common.message
@common.with_app
def command(app: App, chosen: Chosen, message: str | None, file: str | None) -> None:
    """Write an internal note, sealed to the ticket's queue; it never leaves the desk.

    Without -m and -F your editor opens on a file in memory. An empty note is refused (exit 2), and so is
    the same note twice in a row (exit 6).

    \b
    vrt note 0081 -m "Checked the licence: fine."
    vrt note 0081 < call.txt -F -
    """

    def body(tickets: list[Ticket]) -> str:
        return common.text(message, file, lambda: _context(app, tickets), "note")

    bulk.act(app, "note", chosen, lambda t: "noted", text=body)


def _context(app: App, found: list[Ticket]) -> str:
    """Return what the editor shows below the line: the tickets, and what was said last in the only one."""
    from vrt.templates import render

    desk = app.desk
    shown = [
        {
            "hook": desk.roster.desk.hook,
            **t._asdict(),
            "title": line(t.title or ""),
            "requester": line(t.requester or "-"),
        }
        for t in found
    ]
    said = desk.index.articles(found[0].number, here=True) if len(found) == 1 else []
    last = None
    if said and said[-1].body is not None:
        front = said[-1].front or {}
        who = people(front, "from") or said[-1].event.agent
        last = {"who": who, "when": clock(said[-1].event.time), "lines": text.shown(said[-1].body).split("\n")[:40]}
    return render("note", tickets=shown, last=last)
