"""``vrt trail``."""

import click

from vrt import ledger, output, views
from vrt.cli import App
from vrt.commands import common


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
        what = ledger.subject(e).replace(f" {number}", "", 1)
        rule = f" by {e.trailers['Follow-Up']}" if "Follow-Up" in e.trailers else ""
        forced = " (forced)" if "Force" in e.trailers else ""
        rows.append((e.commit[:12], output.clock(e.time), e.agent, what + rule + forced))
    output.page(output.table(("COMMIT", "TIME", "AGENT", "EVENT"), rows))
