"""``vrt pend``."""

import click

from vrt import acts, ledger, output
from vrt.cli import App
from vrt.commands import common


@click.command()
@common.tickets
@click.option("--until", required=True, metavar="T", help="A span (3d, 2w), tomorrow, or a date (2026-12-01).")
@common.force
@common.with_app
def command(app: App, tickets: tuple[str, ...], until: str, force: bool) -> None:
    """Let tickets wait until T; then they are offered again.

    \b
    vrt pend 0081 --until 2w
    """
    when = ledger.stamp(app.desk.later(until))
    done = acts.act(app.desk, "pend", tickets, lambda t: {"Until": when}, force=force)
    common.report(app, done, lambda t: f"pending until {output.clock(t.pending_until)}")
