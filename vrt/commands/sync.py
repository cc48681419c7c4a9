"""``vrt sync``."""

import click

from vrt import output
from vrt import sync as desks
from vrt.cli import App
from vrt.commands import common


@click.command()
@common.with_app
def command(app: App) -> None:
    """Bring the desk and its remote together: take what others published, publish what was done here.

    What comes is checked against the law before it is believed. An intake node gives way to others: what it received,
    but had not published, it receives again from its spool.

    \b
    vrt sync
    """
    done = desks.sync(app.desk)
    if app.json:
        output.as_json(vars(done))
        return
    said = [f"{output.plural(done.came, 'event', 'events')} came", f"{done.went:,} went"]
    said += [f"{output.plural(done.again, 'mail', 'mails')} received again"] if done.again else []
    output.out(", ".join(said))
