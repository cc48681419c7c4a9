"""A message in the editor, as often as it takes until it can be read."""

from __future__ import annotations

import click

from vrt import kept, output
from vrt.cli import App
from vrt.commands import common
from vrt.errors import UsageError
from vrt.kept import Kept
from vrt.letters import Letter
from vrt.model import Address, Ticket
from vrt.text import line


class Nothing(UsageError):
    """Nothing was written."""


def addresses(given: tuple[str, ...]) -> tuple[Address, ...]:
    """Return the addresses on the command line; raises ``UsageError``."""
    return kept.addresses(", ".join(common.utf8(g, "an address") for g in given))


def edited(app: App, name: str, letter: Letter, text: str, context: str, to_nobody: bool = False) -> tuple[Letter, str]:
    """Return what somebody makes of ``text`` in the editor, as a message and as text.

    What cannot be read, or would reach nobody (unless ``to_nobody``), comes back into the editor as often as wanted.
    Raises ``UsageError`` for an empty message.
    """

    def keep(text: str) -> None:
        kept.put(app.desk, name, Kept(text, letter.files))

    while True:
        text = common.edit(context, text.rstrip("\n") + "\n", keep)
        keep(text)
        try:
            found = kept.from_text(letter, text)
            if not found.body.strip():
                raise Nothing("the message is empty: nothing was sent", "write something, or vrt note")
            if not found.everybody and not to_nobody:
                raise UsageError("there is nobody to write to", "write an address behind To:")
            return found, text
        except Nothing:
            kept.drop(app.desk, name)
            raise
        except UsageError as exc:
            output.error(exc.message, exc.hint)
            if not click.confirm("edit again?", default=True, err=True):
                raise


def context(ticket: Ticket) -> str:
    """Return what the editor shows below the line."""
    title = f"{ticket.number}  {line(ticket.title or '')}"
    return f"\n{title}\nWho gets it stands above the text, and can be changed there. An empty text sends nothing.\n"
