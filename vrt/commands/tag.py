"""``vrt tag``."""

import click

from vrt import acts, number
from vrt.cli import App
from vrt.commands import bulk, common
from vrt.commands.bulk import Chosen
from vrt.errors import UsageError


@click.command(cls=common.WordsCommand, context_settings=common.WORDS)
@bulk.tickets("N... [+TAG|-TAG]...", common.complete_ticket_or_tag, type=click.UNPROCESSED)
@common.with_app
def command(app: App, chosen: Chosen) -> None:
    """Add (+TAG) and remove (-TAG) tags, words that desk.yaml lists.

    \b
    vrt tag 0081 +urgent -press
    """
    tickets = tuple(w for w in chosen.names if number.parse(w))
    trailer = acts.retagged([w for w in chosen.names if w not in tickets])
    if not tickets and chosen.query is None:
        raise UsageError("tag takes tickets and tags", "vrt tag N +urgent -press")
    chosen = chosen._replace(names=tickets)
    said = "is tagged {}".format
    bulk.act(app, "tag", chosen, lambda t: said(" ".join(t.tags) or "with nothing"), lambda t: {"Tag": trailer})
