"""``vrt pend``."""

import click

from vrt import ledger, output
from vrt.cli import App
from vrt.commands import bulk, common
from vrt.commands.bulk import Chosen
from vrt.model import Ticket


@click.command()
@bulk.tickets()
@click.option("--until", required=True, metavar="T", help="A span (3d, 2w), tomorrow, or a date (2026-12-01).")
@click.option("--close", "outcome", metavar="W", shell_complete=common.complete_outcome,
              help="Close it then with this outcome, unless somebody writes before; vrt tick does it.")  # fmt: skip
@common.force
@common.with_app
def command(app: App, chosen: Chosen, until: str, outcome: str | None, force: bool) -> None:
    """Let tickets wait until T; then they are offered again, or close by themselves.

    \b
    vrt pend 0081 --until 2w
    vrt pend 0081 --until 2w --close no-reply-needed
    """
    facts = {"Until": ledger.stamp(app.desk.later(until))} | ({"Outcome": outcome} if outcome else {})

    def said(t: Ticket) -> str:
        then = f", then closed as {t.pending_outcome}" if t.pending_outcome else ""
        return f"pending until {output.clock(t.pending_until)}{then}"

    bulk.act(app, "pend", chosen, said, lambda t: dict(facts), force=force)
