"""``vrt attachments``."""

from pathlib import Path

import click

from vrt import export, output
from vrt.cli import App
from vrt.commands import common
from vrt.text import line


@click.command()
@common.ticket
@click.option("--save", metavar="DIR", type=click.Path(path_type=Path, file_okay=False),
              help="Write the files into DIR, under safe names; nothing is overwritten.")  # fmt: skip
@common.with_app
def command(app: App, ticket: str, save: Path | None) -> None:
    """List the files that came with the mails of a ticket, or save them.

    \b
    vrt attachments 0081
    vrt attachments 0081 --save /tmp/files
    """
    number = app.desk.resolve(ticket)
    if save:
        written = export.attachments(app.desk, number, save)
        if app.json:
            output.as_json([str(p) for p in written])
        else:
            for path in written:
                output.out(line(str(path)))
            files = output.plural(len(written), "file", "files")
            output.tell(
                f"vrt: {files} saved as plaintext: delete when you are done"
                if written
                else f"vrt: no files in {number}"
            )
        return
    rows = [
        {"event": a.event.id, **file}
        for a in app.desk.index.articles(number)
        for file in (a.front or {}).get("attachments") or []
    ]
    if app.json:
        output.as_json(rows)
    elif rows:
        cells = [
            (output.size(int(r["size"])), str(r["event"])[:16], str(r["type"]), str(r["name"] or "(unnamed)"))
            for r in rows
        ]
        output.page(output.table(("SIZE", "CAME", "TYPE", "NAME"), cells))
    else:
        output.tell(f"vrt: no files in {number}")
