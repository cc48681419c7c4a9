"""``vrt maintain``."""

import click

from vrt import output, upkeep
from vrt.cli import App
from vrt.commands import common


@click.command()
@click.option("--full", is_flag=True, help="Pack everything anew: smallest, but it takes its time.")
@common.with_app
def command(app: App, full: bool) -> None:
    """Repack the repository, so that it stays small and fast. Others go on working; for cron, once a night.

    Packs what is new. Everything is packed anew the first time and whenever the desk has doubled.

    \b
    vrt maintain
    vrt maintain --full
    17 3 * * * vrt -C /srv/desk maintain
    """
    done = upkeep.maintain(app.desk, full)
    if app.json:
        output.as_json({"before": done.before, "after": done.after})
    elif output.is_terminal():
        output.out(f"{output.size(done.before)} before, {output.size(done.after)} now")
