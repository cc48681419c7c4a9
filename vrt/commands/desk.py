"""``vrt desk``."""

from typing import Any

import click

from vrt import output, settings
from vrt.cli import App
from vrt.commands import common
from vrt.errors import UsageError
from vrt.model import LIMITS
from vrt.roster import SPAM_FILTERS, SYNCS, write


@click.group()
def command() -> None:
    """Show and change what the desk agreed on (desk.yaml).

    \b
    vrt desk set --authserv mx.example.org --spam-filter rspamd
    """


@command.command()
@common.with_app
def show(app: App) -> None:
    """Show the settings of the desk."""
    _report(app)


@command.command("set")
@click.option("--name", metavar="NAME", help="What the desk is called in mails.")
@click.option(
    "--authserv",
    metavar="HOST",
    multiple=True,
    help="A mail server whose Authentication-Results are believed; several times for several: all of them.",
)
@click.option(
    "--spam-filter",
    multiple=True,
    type=click.Choice(SPAM_FILTERS),
    help="A filter in front of the desk whose verdict sends mail to junk.",
)
@click.option("--message-bytes", metavar="SIZE", help="How large a mail may be: 25M (default), 10M.")
@click.option(
    "--auto-replies-a-day",
    metavar="N",
    type=click.IntRange(0),
    help="How many automatic replies an address gets in a day: 40 (default).",
)
@click.option("--sync", type=click.Choice(SYNCS), help="auto: acts publish by themselves; manual: vrt sync does.")
@click.option(
    "--none",
    "empty",
    multiple=True,
    type=click.Choice(["authserv", "spam-filter"]),
    help="Believe no server, or no filter.",
)
@common.with_app
def set_(app: App, message_bytes: str | None, auto_replies_a_day: int | None, empty: tuple[str, ...],
         **values: Any) -> None:  # fmt: skip
    """Change settings of the desk.

    \b
    vrt desk set --authserv mx.example.org
    vrt desk set --message-bytes 10M
    """
    given = {name: value for name, value in values.items() if value}
    given |= {name.replace("-", "_"): () for name in empty}
    limits = dict(app.desk.roster.desk.limits)
    if message_bytes is not None:
        limits["message_bytes"] = _bytes(message_bytes)
    if auto_replies_a_day is not None:
        limits["auto_replies_a_day"] = auto_replies_a_day
    if limits != app.desk.roster.desk.limits:
        given["limits"] = limits
    if not given:
        raise UsageError("nothing to set, or it is like that already", "vrt desk show")
    settings.set_desk(app.desk, **given)
    _report(app)


def _bytes(text: str) -> int:
    """Return the bytes in ``25M``, ``500K`` or ``1000000``; raises ``UsageError``."""
    digits, factor = (
        (text[:-1], {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}[text[-1:].upper()])
        if (text[-1:].upper() in ("K", "M", "G"))
        else (text, 1)
    )
    if not (digits.isascii() and digits.isdigit()) or not 1024 <= int(digits) * factor <= 1 << 31:
        raise UsageError(f"{text!r} is no size from 1K to 2G", "write 25M or 500K")
    return int(digits) * factor


def _report(app: App) -> None:
    desk = app.desk.roster.desk
    values = write(desk) | {"limits": {**LIMITS, **desk.limits}}
    values |= {name: list(getattr(desk, name)) for name in ("authserv", "spam_filter")}
    if app.json:
        output.as_json(values)
        return
    from vrt.storage.articles import dump_yaml
    from vrt.text import shown

    output.out(shown(dump_yaml(values).decode().rstrip()))
