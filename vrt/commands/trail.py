"""``vrt trail``."""

import click

from vrt import output, views
from vrt.cli import App
from vrt.commands import common
from vrt.commands.happened import what


@click.command()
@common.ticket
@common.with_app
def command(app: App, ticket: str) -> None:
    """Show the signed events of a ticket: when, who, what, in which commit.

    Plain git shows the same: git log --show-signature -- tickets/YYYY/MM/DD/000/NUMBER

    \b
    vrt trail 0081
    """
    number = app.desk.resolve(ticket)
    events = app.desk.index.events(number)
    if app.json:
        output.as_json([views.event(e) for e in events])
        return
    rows = []
    for e in events:
        rows.append((e.commit[:12], output.clock(e.time), e.agent, what(e)))
    output.page(output.table(("COMMIT", "TIME", "AGENT", "EVENT"), rows))
