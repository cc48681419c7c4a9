"""What rules may look at: the facts of one mail, bounded, and a view of them that reads each text once.

Knows the parsed mail and nothing of the rules. Nothing here raises on any mail, and nothing takes long on one.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from vrt.mail.patterns import Text
from vrt.model import Address, Attachment

if TYPE_CHECKING:
    from vrt.mail.parse import Mail  # reading a mail needs much that reading the rules does not

MAX_BODY = 500_000  # characters
MAX_VALUE = 10_000  # characters of a header field, of the subject, of a file name
MAX_FIELDS = 500
MAX_PEOPLE = 1000
MAX_FILES = 200
_MAX_WORDS = 500  # encoded words that are decoded in a header: a hostile one holds 100,000, a millisecond each


class Facts(NamedTuple):
    """What rules may look at. Every text is decoded, and is foreign text.

    ``headers``: (name in lower case, value on one line). ``recipients``: as ``Mail.recipients``, with the names that
    To and Cc give them. ``size``: bytes of the whole mail. ``queue``: the queue that owns the address it went to, ""
    if none does; ``language``: that queue's. ``spam``: the verdict of a trusted filter.
    """

    headers: tuple[tuple[str, str], ...] = ()
    from_: tuple[Address, ...] = ()
    to: tuple[Address, ...] = ()
    cc: tuple[Address, ...] = ()
    reply_to: tuple[Address, ...] = ()
    recipients: tuple[Address, ...] = ()
    subject: str = ""
    body: str = ""
    attachments: tuple[Attachment, ...] = ()
    size: int = 0
    queue: str = ""
    language: str = ""
    spam: bool = False


def facts(
    mail: Mail, fields: Iterable[tuple[str, bytes]], size: int, queue: str = "", language: str = "", spam: bool = False
) -> Facts:
    """Return what rules may look at in ``mail``, each text cut to its limit.

    ``fields`` are those of its header as ``header.split`` gives them; ``size`` is in bytes; the rest as in ``Facts``.
    """
    names = {a.address.lower(): a.name for a in (*mail.cc, *mail.to)}
    return Facts(
        headers=_decoded(fields),
        from_=mail.from_[:MAX_PEOPLE],
        to=mail.to[:MAX_PEOPLE],
        cc=mail.cc[:MAX_PEOPLE],
        reply_to=mail.reply_to[:MAX_PEOPLE],
        recipients=tuple(Address(names.get(a, ""), a) for a in mail.recipients[:MAX_PEOPLE]),
        subject=mail.subject[:MAX_VALUE],
        body=mail.body[:MAX_BODY],
        attachments=mail.attachments[:MAX_FILES],
        size=size,
        queue=queue,
        language=language,
        spam=spam,
    )


def _decoded(fields: Iterable[tuple[str, bytes]]) -> tuple[tuple[str, str], ...]:
    """Return the fields as text, without the guess at charsets: hundreds of guesses take seconds."""
    from vrt.mail import charset, header

    out: list[tuple[str, str]] = []
    words = 0
    for name, raw in fields:
        if len(out) == MAX_FIELDS:
            break
        value = raw[: 4 * MAX_VALUE]
        try:
            text = codecs.utf_8_decode(value, "strict", len(value) == len(raw))[0]  # it may be cut inside a letter
        except UnicodeDecodeError:
            text = charset.decode(value, "windows-1252")[0]
        text = header.field_text(text.encode())[:MAX_VALUE]
        words += text.count("=?")
        out.append((name, header.one_line(charset.words(text)) if "=?" in text and words <= _MAX_WORDS else text))
    return tuple(out)


class View:
    """The facts of one mail as conditions ask for them; each text is made ready at most once."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self._texts: dict[str, tuple[Text, ...]] = {}
        self._people: dict[str, tuple[Person, ...]] = {}

    def texts(self, field: str) -> tuple[Text, ...]:
        """Return the texts of ``subject``, ``body``, ``queue``, ``language`` or ``header NAME``; empty ones left out.

        Of a header field each value is there, also an empty one.
        """
        if field not in self._texts:
            if field.startswith("header "):
                name = field.removeprefix("header ")
                values = [value[:MAX_VALUE] for n, value in self.facts.headers[:MAX_FIELDS] if n == name]
            else:
                whole: str = getattr(self.facts, field)
                values = [whole[: MAX_BODY if field == "body" else MAX_VALUE]] if whole else []
            self._texts[field] = tuple(Text(value) for value in values)
        return self._texts[field]

    def people(self, field: str) -> tuple[Person, ...]:
        """Return the mailboxes of ``from``, ``to``, ``cc``, ``reply_to`` or ``recipient``."""
        if field not in self._people:
            name = {"from": "from_", "recipient": "recipients"}.get(field, field)
            found: tuple[Address, ...] = getattr(self.facts, name)
            self._people[field] = tuple(map(Person, found[:MAX_PEOPLE]))
        return self._people[field]

    @cached_property
    def files(self) -> tuple[File, ...]:
        """The attachments."""
        return tuple(map(File, self.facts.attachments[:MAX_FILES]))


class Person:
    """One mailbox as conditions look at it."""

    def __init__(self, mailbox: Address) -> None:
        self.mailbox = mailbox

    @cached_property
    def key(self) -> str:
        """The address as it is looked up."""
        return self.mailbox.address[:MAX_VALUE].strip().lower()

    @cached_property
    def texts(self) -> tuple[Text, ...]:
        """The address and the name, empty ones left out."""
        return tuple(Text(text[:MAX_VALUE]) for text in (self.mailbox.address, self.mailbox.name) if text)

    def __str__(self) -> str:
        return str(Address(self.mailbox.name[:100], self.mailbox.address[:100]))


class File:
    """One attachment as conditions look at it."""

    def __init__(self, attachment: Attachment) -> None:
        self.name, self.type = Text(attachment.name[:MAX_VALUE]), Text(attachment.type[:MAX_VALUE])
        self.size = attachment.size

    def __str__(self) -> str:
        return f"{self.name.text[:100]} ({self.type.text[:100]}, {self.size:,} bytes)"
