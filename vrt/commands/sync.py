"""``vrt sync``."""

import click

from vrt import output
from vrt import sync as desks
from vrt.cli import App
from vrt.commands import common


@click.command()
@click.option("--restore", is_flag=True,
              help="Mend the remote: put back what it lost; an admin takes out what is unlawful.")  # fmt: skip
@common.with_app
def command(app: App, restore: bool) -> None:
    """Bring the desk and its remote together: take what others published, publish what was done here on top of it.

    What comes is checked against the law before it is believed, and must continue what came before; what is lawful
    before a breach is taken over. What was said here is never dropped; what was done is, with a sentence, where others
    did what makes it void.

    \b
    vrt sync
    vrt sync --restore
    """
    done = desks.sync(app.desk, restore=restore)
    if app.json:
        output.as_json(vars(done))
        return
    said = [f"{output.plural(done.came, 'event', 'events')} came", f"{done.went:,} went"]
    said += [f"{output.plural(done.again, 'mail', 'mails')} received again"] if done.again else []
    said += [f"{output.plural(done.sealed, 'key', 'keys')} given to others"] if done.sealed else []
    if output.is_terminal() or any(vars(done).values()):  # cron is told of what there was
        output.out(", ".join(said))
