"""``vrt textconv``."""

import click

from vrt import output
from vrt.cli import App
from vrt.commands import common
from vrt.text import shown


@click.command()
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("--key", is_flag=True, help="The file is from the keyring.")
@common.with_app
def command(app: App, file: str, key: bool) -> None:
    """Print a sealed FILE as text, for "git log -p" and "git diff" in a desk; "init" sets this up.

    It never fails: what the keys at hand do not open is shown as "(sealed: no key)".
    """
    from vrt.upkeep import opened_blob

    with open(file, "rb") as stream:
        data = stream.read()
    text = "(a key, sealed)" if key else None
    if text is None:
        try:
            text = opened_blob(app.desk, data)
        except Exception:  # whatever is wrong, git must go on
            text = None
    output.out(shown(text if text is not None else "(sealed: no key)").rstrip("\n"))
