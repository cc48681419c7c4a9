"""``vrt raw``."""

import click

from vrt import output
from vrt.cli import App
from vrt.commands import common
from vrt.errors import NotFound, UsageError
from vrt.storage.index import Article
from vrt.text import shown


@click.command()
@common.ticket
@click.argument("event", required=False)
@common.with_app
def command(app: App, ticket: str, event: str | None) -> None:
    """Write the untouched original of a mail: byte for byte into a file or pipe, made safe on a terminal.

    EVENT (an id or its beginning or end, see "vrt trail --json") chooses among several mails; without it, the
    first one.

    \b
    vrt raw 0081 > mail.eml
    """
    data = app.desk.original(choose(app, app.desk.resolve(ticket), event))
    if output.is_terminal():
        output.page(shown(data.decode("utf-8", "replace")))
    else:
        output.raw(data)


def choose(app: App, number: str, event: str | None) -> Article:
    """Return the mail of a ticket that ``event`` names, by default its first."""
    mails = [a for a in app.desk.index.articles(number) if a.eml]
    if not mails:
        raise NotFound(f"{number} has no mail, only what was written here", f"vrt show {number}")
    if event is None:
        return mails[0]
    found = [a for a in mails if a.event.id.startswith(event) or a.event.id.endswith(event)]
    if not found:
        raise NotFound(f"no mail {event} in {number}", "one of " + ", ".join(a.event.id for a in mails[:5]))
    if len(found) > 1:
        raise UsageError(
            f"{len(found)} mails begin or end with {event}", "one of " + ", ".join(a.event.id for a in found[:5])
        )
    return found[0]
