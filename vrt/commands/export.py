"""``vrt export``."""

from pathlib import Path

import click

from vrt import export, output
from vrt.cli import App
from vrt.commands import common
from vrt.errors import UsageError
from vrt.text import line


@click.command()
@click.argument("names", metavar="N... DIR", nargs=-1, required=True, shell_complete=common.complete_ticket)
@common.with_app
def command(app: App, names: tuple[str, ...]) -> None:
    """Write tickets as plain files below DIR: a folder each, with ticket.md, a Markdown file per article, the
    originals and the attachments, under safe names.

    What it writes is plaintext: whoever can read the folder can read the mail.

    \b
    vrt export 0081 ~/case
    """
    *tickets, folder = names
    if not tickets:
        raise UsageError("export takes tickets and a folder", "vrt export N... DIR")
    numbers = [app.desk.resolve(t) for t in tickets]
    export.check(app.desk, numbers, Path(folder))
    written = [export.ticket(app.desk, number, Path(folder)) for number in numbers]
    if app.json:
        output.as_json([str(p) for p in written])
        return
    for path in written:
        output.out(line(str(path)))
    output.warn(f"{folder} now holds confidential mail in plaintext: delete it when you are done")
