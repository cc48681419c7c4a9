"""``vrt queue``."""

from typing import Any

import click

from vrt import output, queues
from vrt.cli import App
from vrt.commands import common
from vrt.errors import UsageError
from vrt.model import Queue
from vrt.roster import ANSWERED, SIGNED_BY, write


@click.group()
def command() -> None:
    """List, add and change queues.

    \b
    vrt queue add info-en --address info-en@example.org --language en
    """


_SETTINGS = [
    click.option("--language", metavar="L", help="The language of its mail: en, de, zh-hans …"),
    click.option("--lock-timeout", metavar="T", help="How long a taken ticket stays locked (24h)."),
    click.option("--first-response", metavar="T", help="Within what time a mail ought to be answered (7d)."),
    click.option("--follow-up", metavar="WHAT",
                 help="What a follow-up to a closed ticket does: reopen (default), new, reject, or 'new after 30d'."),
    click.option("--auto-reply", multiple=True, type=click.Choice([*ANSWERED, "none"]),
                 help="What is answered automatically; several times for several (default: none)."),
    click.option("--move-from", metavar="Q", multiple=True, shell_complete=common.complete_queue,
                 help="Take tickets only from this queue; several times for several (default: from all)."),
    click.option("--signature", metavar="TEXT", help="What stands below its replies."),
    click.option("--title", metavar="TEXT", help="Its name in From (default: the desk's)."),
    click.option("--signed-by", type=click.Choice(SIGNED_BY),
                 help="Who stands in From: the queue (default), or the agent's handle and the queue."),
    click.option("--html/--no-html", default=None, help="Send HTML beside the plain text (default: not)."),
    click.option("--approval/--no-approval", default=None,
                 help="A second agent approves every message (default: not)."),
    click.option("--send-delay", metavar="T", help="How long a message can be taken back: 0m (default) to 1d."),
]  # fmt: skip


def _settings(function: Any) -> Any:
    for option in reversed(_SETTINGS):
        function = option(function)
    return function


def _given(values: dict[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in values.items() if value not in (None, ())}
    if "none" in given.get("auto_reply", ()):
        given["auto_reply"] = ()
    return given


@command.command("list")
@common.with_app
def list_(app: App) -> None:
    """Show all queues."""
    roster = app.desk.roster
    if app.json:
        output.as_json([{"name": q.name, **write(q)} for q in roster.queues.values()])
        return
    mine = app.desk.me.queues
    rows = [
        ("yes" if q.name in mine else "-", q.name, q.language, ", ".join(q.addresses) or "-",
         ", ".join(c.handle for c in roster.readers(q.name) if c.has("admin", "agent")) or "nobody")
        for q in roster.queues.values()
    ]  # fmt: skip
    output.page(output.table(("MINE", "QUEUE", "LANGUAGE", "ADDRESSES", "AGENTS"), rows))


@command.command()
@click.argument("name", metavar="NAME", shell_complete=common.complete_queue)
@common.with_app
def show(app: App, name: str) -> None:
    """Show the settings of a queue."""
    queue = app.desk.roster.queue(name)
    values = {f: list(v) if isinstance(v, tuple) else v for f, v in queue._asdict().items()}
    values["agents"] = [c.handle for c in app.desk.roster.readers(name) if c.has("admin", "agent")]
    if app.json:
        output.as_json(values)
    else:
        from vrt.storage.articles import dump_yaml
        from vrt.text import shown

        output.out(shown(dump_yaml(values).decode().rstrip()))


@command.command()
@click.argument("name", metavar="NAME")
@click.option("--address", metavar="A", multiple=True, help="A mail address of its own; several times for several.")
@_settings
@common.with_app
def add(app: App, name: str, address: tuple[str, ...], **values: Any) -> None:
    """Make a queue, with a key of its own and me as its first member.

    \b
    vrt queue add permissions-de --address permissions-de@example.org --language de
    """
    made = queues.add_queue(app.desk, Queue(name, address, **_given(values)))
    _report(app, made, "made")


@command.command("set")
@click.argument("name", metavar="NAME", shell_complete=common.complete_queue)
@click.option("--address", metavar="A", multiple=True, help="Its addresses from now on: all of them.")
@_settings
@common.with_app
def set_(app: App, name: str, address: tuple[str, ...], **values: Any) -> None:
    """Change settings of a queue.

    \b
    vrt queue set info-en --lock-timeout 4h
    """
    given = _given({"addresses": address, **values})
    if not given:
        raise UsageError("nothing to set", "vrt queue set --help")
    _report(app, queues.set_queue(app.desk, name, **given), "changed")


def _report(app: App, queue: Queue, what: str) -> None:
    if app.json:
        output.as_json({"name": queue.name, **write(queue)})
    else:
        output.out(f"queue {queue.name} {what}{': ' + ', '.join(queue.addresses) if queue.addresses else ''}")
