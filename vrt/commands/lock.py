"""``vrt lock``."""

import click

from vrt import output
from vrt.cli import App
from vrt.commands import common


@click.command()
@common.with_app
def command(app: App) -> None:
    """Forget the keys that "vrt unlock" keeps open.

    \b
    vrt lock
    """
    from vrt.storage import identity

    count = identity.lock()
    output.tell(f"vrt: {count} keys forgotten" if count else "vrt: no key was open")
