"""``vrt verify``."""

import click

from vrt import output
from vrt.cli import App
from vrt.commands import common
from vrt.errors import Breach


@click.command()
@click.option("--full", is_flag=True, help="Check everything from the first commit on, not only what is new.")
@click.option("--ledger-only", is_flag=True, help="Leave out opening the articles.")
@common.with_app
def command(app: App, full: bool, ledger_only: bool) -> None:
    """Check what is new since I checked last: every signature and rule of the ledger and the keyring, and every
    article that my keys open against its place. A breach is exit 7 and names commit, rule and card.

    \b
    vrt verify
    vrt verify --full
    """
    from vrt import verify

    found = verify.verify(app.desk, articles=not ledger_only, full=full)
    if app.json:
        output.as_json(vars(found))
    elif not found.breaches:
        sealed = f", {found.sealed:,} sealed to others" if found.sealed else ""
        since = f" since event {found.since:,}" if found.since else ""
        away = f", {found.absent:,} not in this clone" if found.absent else ""
        said = f"{found.articles:,} articles{sealed}{away}"
        output.out(f"{found.events:,} events, {found.keys:,} keys, {said}{since}: all in order")
    if found.unreadable:
        output.warn(f"{found.unreadable:,} articles in your own queues do not open: a key is missing or wrong")
    if found.breaches:
        for breach in found.breaches[:20]:
            output.error(breach)
        raise Breach(
            f"verification failed: {output.plural(len(found.breaches), 'breach', 'breaches')}",
            "docs/ADMIN.md, what to do about a breach",
        )
