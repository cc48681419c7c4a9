"""``vrt close``."""

import click

from vrt.cli import App
from vrt.commands import bulk, common
from vrt.commands.bulk import Chosen


@click.command()
@bulk.tickets()
@click.option("--outcome", "-o", required=True, metavar="W", shell_complete=common.complete_outcome,
              help="A word that desk.yaml lists: successful, unsuccessful, no-reply-needed, spam …")  # fmt: skip
@common.force
@common.with_app
def command(app: App, chosen: Chosen, outcome: str, force: bool) -> None:
    """Close tickets with an outcome.

    \b
    vrt close 0081 --outcome successful
    vrt close 0092 0105 0113 -o spam
    vrt close --query 'queue:junk age:>7d' -o spam --dry-run
    """
    bulk.act(app, "close", chosen, lambda t: f"closed as {t.outcome}", lambda t: {"Outcome": outcome}, force=force)
