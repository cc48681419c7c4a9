"""A message in the editor: its fields and text, and what is kept of it until it is recorded."""

from __future__ import annotations

from dataclasses import replace

import click

from vrt import output
from vrt.cli import App
from vrt.commands import common
from vrt.errors import UsageError, VrtError
from vrt.letters import Letter
from vrt.mail import compose
from vrt.model import Address, Ticket
from vrt.storage.spool import Spool
from vrt.text import line

FIELDS = ("To", "Cc", "Bcc", "Subject")


def addresses(given: tuple[str, ...]) -> tuple[Address, ...]:
    """Return the addresses that somebody typed; raises ``UsageError``."""
    try:
        return compose.parse_addresses(", ".join(common.utf8(g, "an address") for g in given))
    except ValueError as exc:
        raise UsageError(str(exc), 'write it as jane@example.org or "Jane Roe <jane@example.org>"') from None


def as_text(letter: Letter) -> str:
    """Return a message as the editor shows it: who gets it, its subject, an empty line, its text."""
    rows = [f"{n}: {line(', '.join(map(typed, getattr(letter, n.lower()))))}".rstrip() for n in FIELDS[:3]]
    return "\n".join([*rows, f"Subject: {line(letter.subject)}", "", letter.body])


def typed(person: Address) -> str:
    """Return an address as a person types it: a name that could be read as something else stands in quotes."""
    if not person.name:
        return person.address
    name = person.name.replace("\\", "\\\\").replace('"', '\\"')
    return (
        f"{person.name if person.name.replace(' ', '').isalnum() else f'{chr(34)}{name}{chr(34)}'} <{person.address}>"
    )


def from_text(letter: Letter, text: str) -> Letter:
    """Return ``letter`` as somebody left it in the editor; raises ``UsageError`` for a field that cannot be read."""
    head, _, body = text.lstrip("\n").partition("\n\n")
    found = dict.fromkeys(FIELDS, "")
    for row in filter(str.strip, head.split("\n")):
        name, colon, value = row.partition(":")
        if not colon or name.strip().capitalize() not in found:
            raise UsageError(f"{row[:60]!r} is none of {', '.join(FIELDS)}", "leave an empty line below the fields")
        name = name.strip().capitalize()
        found[name] = ", ".join(filter(None, (found[name], value.strip())))  # a second Cc: adds to the first
    to, cc, bcc = (addresses((found[name],)) for name in FIELDS[:3])
    return replace(letter, to=to, cc=cc, bcc=bcc, subject=found["Subject"], body=body.rstrip("\n") + "\n")


def edited(app: App, name: str, letter: Letter, text: str, context: str, to_nobody: bool = False) -> tuple[Letter, str]:
    """Return what somebody makes of ``text`` in the editor, as a message and as text.

    What cannot be read, or would reach nobody (unless ``to_nobody``), comes back into the editor as often as wanted.
    Raises ``UsageError`` for an empty message.
    """
    while True:
        text = common.edit(context, text)
        keep(app, name, text)
        try:
            found = from_text(letter, text)
            if not found.body.strip():
                raise Nothing("the message is empty: nothing was sent", "write something, or vrt note")
            if not found.everybody and not to_nobody:
                raise UsageError("there is nobody to write to", "write an address behind To:")
            return found, text
        except Nothing:
            drop(app, name)
            raise
        except UsageError as exc:
            output.error(exc.message, exc.hint)
            if not click.confirm("edit again?", default=True, err=True):
                raise


class Nothing(UsageError):
    """Nothing was written."""


def context(ticket: Ticket) -> str:
    """Return what the editor shows below the line."""
    title = f"{ticket.number}  {line(ticket.title or '')}"
    return f"\n{title}\nWho gets it stands above the text, and can be changed there. An empty text sends nothing.\n"


def keep(app: App, name: str, text: str) -> None:
    """Keep a text, sealed to the caller's card, until it is recorded; ``name``: what it is kept under."""
    spool = Spool(app.desk.path, "outbox")
    spool.put(name, "", text.encode("utf-8", "replace"), app.desk.me.recipient)
    spool.flush()


def kept(app: App, name: str) -> str:
    """Return the text that was kept of a message that could not be recorded, empty where there is none."""
    spool = Spool(app.desk.path, "outbox")
    if name not in spool.names():
        return ""
    try:
        return spool.read(name, app.desk.keys.identities())[1].decode("utf-8", "replace")
    except (VrtError, OSError, ValueError):
        return ""


def drop(app: App, name: str) -> None:
    """Forget the text that was kept."""
    Spool(app.desk.path, "outbox").drop([name])
