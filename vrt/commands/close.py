"""``vrt close``."""

import click

from vrt import acts
from vrt.cli import App
from vrt.commands import common


@click.command()
@common.tickets
@click.option("--outcome", "-o", required=True, metavar="W", shell_complete=common.complete_outcome,
              help="A word that desk.yaml lists: successful, unsuccessful, no-reply-needed, spam …")  # fmt: skip
@common.force
@common.with_app
def command(app: App, tickets: tuple[str, ...], outcome: str, force: bool) -> None:
    """Close tickets with an outcome.

    \b
    vrt close 0081 --outcome successful
    vrt close 0092 0105 0113 -o spam
    """
    done = acts.act(app.desk, "close", tickets, lambda t: {"Outcome": outcome}, force=force)
    common.report(app, done, lambda t: f"closed as {t.outcome}")
