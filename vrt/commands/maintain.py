"""``vrt maintain``."""

import click

from vrt import output, upkeep
from vrt.cli import App
from vrt.commands import common


@click.command()
@common.with_app
def command(app: App) -> None:
    """Repack the repository, so that it stays small and fast. Safe while others work; for cron, once a night.

    \b
    vrt maintain
    """
    before, after = upkeep.maintain(app.desk)
    if app.json:
        output.as_json({"before": before, "after": after})
    elif output.is_terminal():
        output.out(f"{output.size(before)} before, {output.size(after)} now")
