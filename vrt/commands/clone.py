"""``vrt clone``."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vrt import ledger, output, query
from vrt.cli import App, ask_here
from vrt.commands import common
from vrt.errors import NotAllowed, UsageError
from vrt.storage.local import Config
from vrt.text import line

if TYPE_CHECKING:
    from vrt.cloning import Root


@click.command()
@click.argument("url")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--root", metavar="COMMIT", default="", help="The first commit of the ledger, as another clone shows it.")
@click.option("--since", metavar="DATE", help="Closed tickets from before: fetch what was said when it is read.")
@click.option("--card", metavar="H", default="", help="Whose clone it becomes, though I have not that card's keys now.")
@common.my_keys
@common.with_app
def command(app: App, url: str, folder: Path, root: str, since: str | None, card: str, config: Config) -> None:
    """Make a desk in the folder DIR from a remote (ssh, https, file, or a path), for the card that has my keys.

    Everything is verified from the first commit on before any of it is believed. That commit is the desk's identity:
    with --root it must be the one named; without, it is shown, and I confirm it once after comparing it with
    what "vrt status" shows somebody who is in the desk.

    \b
    vrt clone ssh://git@git.example.org/vrt.git desk --root 3f1c…
    vrt clone git@git.example.org:vrt.git desk
    vrt clone --since 2026-01-01 https://git.example.org/vrt.git desk
    """
    from vrt import cloning
    from vrt.desk import Desk

    ask_here()
    where = str(Path(url).resolve()) if Path(url).exists() else url
    started = query.moment(since, int(time.time())) if since else None
    mine = cloning.clone(
        where, folder, config, _confirm, output.progress, root=root, card=card, since=started, warn=output.warn
    )
    if mine:
        desk = Desk(folder.resolve(), progress=output.progress)
        desk.warn = output.warn
        cloning.read(desk)
    if app.json:
        output.as_json({"desk": str(folder.resolve()), "agent": mine.handle if mine else card})
    elif mine:
        output.out(f"desk {line(str(folder))}: you are {mine.handle} ({', '.join(mine.roles)})")
    else:
        output.out(f"desk {line(str(folder))}: its card is {card}, whose keys are not at hand")
        output.tell(f"next: vrt -C {line(str(folder))} agent rekey {card} --card FILE --recovery")


def _confirm(root: "Root") -> None:
    """Let the caller compare the desk's root, once."""
    output.tell(f"desk: {line(root.desk)}, founded by {root.founder} on {ledger.for_people(root.time)}")
    output.tell(f"root: {root.commit}")
    output.tell(f"      {root.words}")
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError("nobody is here to confirm the root of the desk", f"compare it, then: --root {root.commit}")
    if not click.confirm("Is that what an agent of this desk reads from vrt status?", err=True):
        raise NotAllowed("the root was not confirmed; nothing is left here", "ask an admin for it")
