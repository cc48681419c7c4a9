"""``vrt close``."""

import click

from vrt.cli import App
from vrt.commands import bulk, common
from vrt.commands.bulk import Chosen
from vrt.errors import UsageError


@click.command()
@bulk.tickets()
@click.option("--outcome", "-o", metavar="W", shell_complete=common.complete_outcome,
              help="A word that desk.yaml lists: successful, unsuccessful, no-reply-needed, spam …")  # fmt: skip
@common.force
@common.with_app
def command(app: App, chosen: Chosen, outcome: str | None, force: bool) -> None:
    """Close tickets with an outcome.

    \b
    vrt close 0081 --outcome successful
    vrt close 0092 0105 0113 -o spam
    vrt close --query 'queue:junk age:>7d' -o spam --dry-run
    """
    words = app.desk.roster.desk.outcomes
    if outcome is None and not chosen.dry_run:
        raise UsageError("closed as what?", "--outcome " + ", ".join(words))
    as_ = outcome or words[0]  # a dry run of any
    bulk.act(app, "close", chosen, lambda t: f"closed as {t.outcome}", lambda t: {"Outcome": as_}, force=force)
