"""``vrt init``."""

import getpass
import re
import time
from pathlib import Path

import click

from vrt import output
from vrt.cli import App
from vrt.commands import common
from vrt.storage.local import Config
from vrt.text import line


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--name", required=True, metavar="N", help="What the team is called.")
@click.option("--domain", required=True, metavar="D", help="The mail domain of its addresses and agents.")
@click.option("--agent", metavar="H", help="My handle, by default my login name.")
@click.option(
    "--timezone", default="UTC", show_default=True, metavar="Z", help="In which ticket numbers take their date."
)
@common.my_keys
@common.with_app
def command(app: App, folder: Path, name: str, domain: str, agent: str | None, timezone: str, config: Config) -> None:
    """Make a new desk in the folder DIR, with me as its first admin.

    Keys are made where there are none ($VRT_HOME, else ~/.config/vrt). The desk starts with the queues postmaster
    (mail for no other queue) and junk. It prints the key of a recovery card once: keep it on paper.

    \b
    vrt init desk --name "Example VRT" --domain example.org
    vrt init desk --name "Example VRT" --domain example.org --identity ~/.ssh/id_ed25519 --signing-key ~/.ssh/id_ed25519
    """
    from vrt import founding

    handle = agent or re.sub(r"[^a-z0-9-]", "", getpass.getuser().lower()).lstrip("-0123456789") or "founder"
    made = founding.found(folder, name, domain.lower(), handle, config, int(time.time()), timezone)
    if app.json:
        output.as_json({"desk": str(made.path), "agent": made.card.handle, "recovery": made.recovery})
        return
    for key in made.made_keys:
        output.tell(f"made {line(str(key))} (keep a backup of it)")
    output.out(f"desk {line(str(made.path))}: you are {made.card.handle}, admin and agent")
    output.out()
    output.out("The recovery card opens every queue, now and later, if all agents lose their")
    output.out("keys. Its key is kept nowhere: write it down or print it, lock it away, and")
    output.out("clear this screen.")
    output.out()
    output.out(f"    {made.recovery}")
    output.out()
    output.tell(f"next: cd {line(str(folder))} && vrt queue add info-en --address info-en@{domain} --language en")
