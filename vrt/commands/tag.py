"""``vrt tag``."""

import click

from vrt import acts, number
from vrt.cli import App
from vrt.commands import common
from vrt.errors import UsageError


@click.command(cls=common.WordsCommand, context_settings=common.WORDS)
@click.argument("words", metavar="N... [+TAG|-TAG]...", nargs=-1, required=True, type=click.UNPROCESSED,
                shell_complete=common.complete_ticket_or_tag)  # fmt: skip
@common.with_app
def command(app: App, words: tuple[str, ...]) -> None:
    """Add (+TAG) and remove (-TAG) tags, words that desk.yaml lists.

    \b
    vrt tag 0081 +urgent -press
    """
    tickets = [w for w in words if number.parse(w)]
    trailer = acts.retagged([w for w in words if w not in tickets])
    if not tickets:
        raise UsageError("tag takes tickets and tags", "vrt tag N +urgent -press")
    done = acts.act(app.desk, "tag", tickets, lambda t: {"Tag": trailer})
    common.report(app, done, lambda t: f"is tagged {' '.join(t.tags) or 'with nothing'}")
