"""``vrt index``."""

import click

from vrt import output, upkeep
from vrt.cli import App
from vrt.commands import common


@click.command()
@click.option("--rebuild", is_flag=True, help="Throw it away and make it anew from the two branches.")
@common.with_app
def command(app: App, rebuild: bool) -> None:
    """Show how far the local index has read, or rebuild it. It is a cache, encrypted to my key.

    \b
    vrt index --rebuild
    """
    if rebuild:
        app.desk.rebuild_index()
    counts = upkeep.index_counts(app.desk)
    if app.json:
        output.as_json(counts)
    else:
        output.out(f"{counts['tickets']:,} tickets, {counts['events']:,} events, {counts['articles']:,} articles "
                   f"({counts['sealed']:,} sealed), {output.size(counts['bytes'])}")  # fmt: skip
