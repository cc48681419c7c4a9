"""``vrt unmerge``."""

import click

from vrt import acts
from vrt.cli import App
from vrt.commands import common


@click.command()
@common.tickets
@common.with_app
def command(app: App, tickets: tuple[str, ...]) -> None:
    """Part merged tickets again: follow-ups come to them. One that was closed before is closed, others are open.

    \b
    vrt unmerge 0092
    """
    done = acts.act(app.desk, "unmerge", tickets)
    common.report(app, done, lambda t: f"{t.state} in {t.queue}")
