"""``vrt merge``."""

import click

from vrt import structure
from vrt.cli import App
from vrt.commands import common
from vrt.errors import UsageError


@click.command()
@click.argument("tickets", metavar="N... INTO", nargs=-1, required=True, shell_complete=common.complete_ticket)
@common.force
@common.with_app
def command(app: App, tickets: tuple[str, ...], force: bool) -> None:
    """Merge tickets into another: what follows up to them goes there from now on.

    What was said stays where it was said; vrt unmerge parts them again. A closed ticket is opened again where one that
    waits for an answer is merged into it.

    \b
    vrt merge 0092 0105 0081
    """
    *names, into = tickets
    if not names:
        raise UsageError("merge takes tickets and the one that they go into", "vrt merge N... INTO")
    done = structure.merge(app.desk, names, into, force)
    common.report(
        app, done, lambda t: f"merged into {t.merged_into}" if t.merged_into else "open again: somebody waits there"
    )
