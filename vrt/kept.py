"""A message as text, as an editor shows it; and what is kept of one until it is recorded.

What somebody wrote and could not record, or took back, lies in ``vrt/outbox``, sealed to the own card, with its files.
Knows nothing of the terminal.
"""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import NamedTuple

from vrt.desk import Desk
from vrt.errors import UsageError, VrtError
from vrt.letters import REPLY, Letter
from vrt.mail import compose
from vrt.mail.compose import File
from vrt.model import Address
from vrt.storage import crypt
from vrt.storage.spool import Spool
from vrt.text import line

FIELDS = ("To", "Cc", "Bcc", "Subject")
_NEW = "new-"  # before what is kept of a message that begins a ticket


class Kept(NamedTuple):
    """A text as the editor had it, and the files of the message."""

    text: str
    files: tuple[File, ...] = ()


def name(kind: str, ticket: str) -> str:
    """Return what a message is kept under: of each kind one in a ticket."""
    return ticket if kind == REPLY else f"{kind}-{ticket}"


def name_of_new(desk: Desk, queue: str, letter: Letter) -> str:
    """Return what a message is kept under that begins a ticket: of each queue, subject and recipients one."""
    about = "\n".join([queue, letter.subject, *(p.address for p in letter.everybody)])
    return _NEW + desk.keyring.ref("kept", about.encode("utf-8", "replace")).rpartition(":")[2][:12].lower()


def is_new(under: str) -> bool:
    """Say whether a name is that of a message which begins a ticket."""
    return under.startswith(_NEW)


def put(desk: Desk, under: str, kept: Kept) -> None:
    """Keep a text; it is there also after a crash."""
    files = [[f.name, f.type, base64.b64encode(f.data).decode()] for f in kept.files]
    spool = Spool(desk.path, "outbox")
    spool.put(under, "", json.dumps({"text": kept.text, "files": files}).encode(), desk.me.recipient)
    spool.flush()


def get(desk: Desk, under: str) -> Kept | None:
    """Return what is kept under a name, None for nothing that can be opened."""
    spool = Spool(desk.path, "outbox")
    if under not in spool.names():
        return None
    try:
        found = json.loads(spool.read(under, desk.keys.identities())[1])
        return Kept(found["text"], tuple(File(n, t, base64.b64decode(data)) for n, t, data in found["files"]))
    except (VrtError, crypt.CannotOpen, OSError, ValueError, KeyError, TypeError):
        return None


def drop(desk: Desk, under: str) -> None:
    """Forget what is kept under a name."""
    Spool(desk.path, "outbox").drop([under])


# --- a message as text ------------------------------------------------------------------------------------


def as_text(letter: Letter) -> str:
    """Return a message as the editor shows it: who gets it, its subject, an empty line, its text."""
    rows = [f"{n}: {line(', '.join(map(typed, getattr(letter, n.lower()))))}".rstrip() for n in FIELDS[:3]]
    return "\n".join([*rows, f"Subject: {line(letter.subject)}", "", letter.body.rstrip("\n") + "\n"])


def typed(person: Address) -> str:
    """Return an address as a person types it: a name that could be read as something else stands in quotes."""
    if not person.name:
        return person.address
    if person.name.replace(" ", "").isalnum():
        return f"{person.name} <{person.address}>"
    quoted = person.name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}" <{person.address}>'


def addresses(text: str) -> tuple[Address, ...]:
    """Return the addresses that somebody typed; raises ``UsageError``."""
    try:
        return compose.parse_addresses(text)
    except ValueError as exc:
        raise UsageError(str(exc), 'write it as jane@example.org or "Jane Roe <jane@example.org>"') from None


def from_text(letter: Letter, text: str) -> Letter:
    """Return ``letter`` as somebody left it in the editor; raises ``UsageError`` for a field that cannot be read."""
    head, _, body = text.lstrip("\n").partition("\n\n")
    found = dict.fromkeys(FIELDS, "")
    for row in filter(str.strip, head.split("\n")):
        field, colon, value = row.partition(":")
        if not colon or field.strip().capitalize() not in found:
            raise UsageError(f"{row[:60]!r} is none of {', '.join(FIELDS)}", "leave an empty line below the fields")
        field = field.strip().capitalize()
        found[field] = ", ".join(filter(None, (found[field], value.strip())))  # a second Cc: adds to the first
    to, cc, bcc = (addresses(found[field]) for field in FIELDS[:3])
    return replace(letter, to=to, cc=cc, bcc=bcc, subject=found["Subject"], body=body.rstrip("\n") + "\n")
