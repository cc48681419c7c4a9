"""``vrt hook``."""

import os
import sys
import time
from pathlib import Path

import click

from vrt import hook, output
from vrt.cli import App
from vrt.commands import common
from vrt.errors import Breach, VrtError
from vrt.text import line

_root = click.option("--root", metavar="COMMIT", default="", help="The commit that the ledger has to begin with.")


@click.group()
def command() -> None:
    """Let a host refuse what is unlawful, before any clone has to. It needs no key for that.

    \b
    sudo -u git vrt hook install /srv/git/vrt.git
    """


@command.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@_root
@click.option("--forgejo", is_flag=True, help="Write hooks/pre-receive.d/vrt, which the hook of Forgejo or Gitea runs.")
@common.with_app
def install(app: App, folder: Path, root: str, forgejo: bool) -> None:
    """Put the hook into the bare repository DIR, and set git there to take no malformed objects and to let no branch
    be deleted or set back. What is in DIR already is checked. A hook of somebody else is left as it is.

    To be called again where vrt or Python has moved.

    \b
    vrt hook install /srv/git/vrt.git
    vrt hook install /srv/git/vrt.git --root 3f1c…
    """

    done = hook.install(folder.resolve(), root, beside=forgejo)
    if app.json:
        output.as_json(done._asdict() | {"hook": str(done.hook)})
    else:
        output.out(f"{line(str(done.hook))}: {done.events:,} events checked" + (", all in order" * (not done.breach)))
    if done.breach:
        raise Breach(f"what {line(str(folder))} holds is not lawful: {done.breach}", "docs/ADMIN.md, The host")


@command.command("pre-receive")
@_root
@click.pass_obj
def pre_receive(app: App, root: str) -> int:
    """Hold a push against the law of the ledger; exits with 1 where it is refused. Git calls this in the repository
    that is pushed to, and gives it the branches on stdin.

    \b
    #!/bin/sh
    exec /opt/vrt/bin/vrt hook pre-receive
    """
    path = Path(app.given or os.environ.get("GIT_DIR") or ".").resolve()
    warnings: list[str] = []
    try:
        hook.receive(path, hook.moves(sys.stdin.buffer), root, now=int(time.time()), warn=warnings.append)
        return 0
    except VrtError as exc:
        output.error(exc.message, exc.hint)  # the first line that the pusher sees
        return 1
    finally:
        for warning in warnings:
            output.warn(warning)
