"""``vrt unlock``."""

import click

from vrt import output
from vrt.cli import App
from vrt.commands import common
from vrt.errors import UsageError
from vrt.roster import seconds


@click.command()
@click.option("--for", "span", default="8h", show_default=True, metavar="T", help="How long: 30m, 8h, 1d.")
@common.with_app
def command(app: App, span: str) -> None:
    """Keep my passphrase-protected SSH keys open, in memory, until "vrt lock" or for a while.

    They lie in $XDG_RUNTIME_DIR/vrt (mode 0600), which no disk holds and a reboot empties.

    \b
    vrt unlock --for 2h
    """
    try:
        until = seconds(span)
    except ValueError as exc:
        raise UsageError(str(exc)) from None
    kept = app.desk.keys.unlock(until)
    for path in kept:
        output.out(f"{path} is open until {output.clock(app.desk.now + until)}")
    if not kept:
        output.tell("vrt: your keys have no passphrase: there is nothing to unlock")
