"""``vrt search``."""

import click

from vrt import output
from vrt.cli import App
from vrt.commands import common
from vrt.commands.list_ import result
from vrt.storage import partial


@click.command(cls=common.WordsCommand, context_settings=common.WORDS)
@click.argument("query", metavar="QUERY...", nargs=-1, required=True, type=click.UNPROCESSED,
                shell_complete=common.complete_query)  # fmt: skip
@click.option("-n", "--limit", type=click.IntRange(min=0), metavar="COUNT", help="At most so many (50), 0 for all.")
@common.with_app
def command(app: App, query: tuple[str, ...], limit: int | None) -> None:
    """Find tickets, in all queues and states, by words and fields; the newest match first.

    Words must all be in one article; case and accents do not matter, Chinese and Japanese are found too.
    "a phrase", -word (without it), begin* (beginnings), and the fields from: to: subject: body: file: queue:
    state: owner: tag: outcome: priority: after: before: age: is:.

    \b
    vrt search museum photo
    vrt search '"free licence"' from:jane -state:closed
    vrt search 著作権 after:2026-11-01
    """
    if limit is None:
        limit = 0 if app.json else 50
    # A word that the shell handed over with its spaces was quoted there: it is a phrase.
    text = " ".join(f'"{w}"' if " " in w and '"' not in w and ":" not in w else w for w in query)
    found, total = app.desk.find(text, limit=limit or -1, mine=False, order=None)
    result(app, found)
    if app.json:
        return
    if unseen := partial.unread(app.desk.repository, app.desk.index, app.desk.me.queues):
        output.tell(
            f"vrt: not looked into: {unseen:,} older articles that are not in this clone; vrt show fetches them"
        )
    if total > len(found):
        output.tell("vrt: there are more: vrt search -n 0, or narrow the query")
    elif not found:
        output.tell("vrt: no ticket is like that")
