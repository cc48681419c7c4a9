"""A message of ours, written by the standards: RFC 5322, 2045, 2047; RFC 3834 where it is automatic.

Every value may come from a stranger: what would not be a header value is left out or encoded.
"""

from __future__ import annotations

import os
import re
from datetime import datetime, timezone
from email.header import Header
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from vrt.model import Address

_ID = re.compile(r"[!-;=?-~]{1,240}@[!-;=?-~]{1,240}")
_ADDRESS = re.compile(r"(?!-)[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9.-]{1,253}")
_ATOMS = re.compile(r"[A-Za-z0-9 !#$%&'*+/=?^_`{|}~-]+")
_REFERENCES = 20


def new_message_id(domain: str) -> str:
    """Return a Message-ID, without ``<>``, that nobody can guess: 128 random bits at ``domain``."""
    return f"{os.urandom(16).hex()}@{domain}"


def is_address(text: str) -> bool:
    """Say whether mail can be sent to ``text``: an address in ASCII, unquoted, that no program takes for an option."""
    return bool(_ADDRESS.fullmatch(text))


def references(in_reply_to: str, before: tuple[str, ...]) -> tuple[str, ...]:
    """Return the ids for the References field of an answer (RFC 5322 section 3.6.4); the first and the last ones."""
    ids = [i for i in dict.fromkeys((*before, in_reply_to)) if _ID.fullmatch(i)]
    return tuple(ids if len(ids) <= _REFERENCES else ids[:1] + ids[1 - _REFERENCES :])


def message(
    sender: Address, to: str, subject: str, body: str, *, message_id: str, date: int, in_reply_to: str = "",
    refers: tuple[str, ...] = (), more: dict[str, str] | None = None,
) -> bytes:  # fmt: skip
    """Return a text message as bytes with CR LF line ends.

    ``date`` is in epoch seconds; ``in_reply_to`` and ``refers`` are Message-IDs without ``<>``; ``more`` are fields
    with values of our own. ``to`` has to be an ``is_address``.
    """
    rows = [("From", _mailbox(sender)), ("To", to), ("Subject", _text(subject))]
    rows += [("Date", format_datetime(datetime.fromtimestamp(date, timezone.utc))), ("Message-ID", f"<{message_id}>")]
    if _ID.fullmatch(in_reply_to):
        rows.append(("In-Reply-To", f"<{in_reply_to}>"))
    if refers:
        rows.append(("References", "\r\n ".join(f"<{i}>" for i in refers)))
    rows += [*(more or {}).items(), ("MIME-Version", "1.0")]
    content = EmailMessage(policy=SMTP)
    content.set_content(body, cte="quoted-printable")
    del content["MIME-Version"]
    head = "".join(f"{name}: {value}\r\n" for name, value in rows)
    return head.encode("ascii") + bytes(content)


def _text(text: str) -> str:
    """Return unstructured text as a header value, folded, encoded where it is not plain ASCII."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if line.isascii() and "=?" not in line and all(len(word) < 900 for word in line.split()):
        return Header(line, "us-ascii", header_name="Subject", maxlinelen=76).encode(linesep="\r\n")
    return Header(line, "utf-8", header_name="Subject", maxlinelen=76).encode(linesep="\r\n")


def _mailbox(sender: Address) -> str:
    if not sender.name:
        return sender.address
    if _ATOMS.fullmatch(sender.name):
        return f"{sender.name} <{sender.address}>"
    return f"{Header(sender.name, 'utf-8', header_name='From').encode(linesep=chr(13) + chr(10))} <{sender.address}>"
