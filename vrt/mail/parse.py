"""A mail read: addresses, date, subject, text, attachments, and the digest to know it again by.

Pure: bytes in, values out, and never an exception whatever the bytes are. Knows nothing of
tickets, queues and storage.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime

from vrt.mail import charset, header, parts
from vrt.model import Address, Attachment


@dataclass(frozen=True)
class Mail:
    """What a mail says. Every text is valid Unicode without NUL, every header value one line.

    ``date`` is in UTC, None if there is none to be used. ``message_id``, ``in_reply_to`` and
    ``references`` are without ``<>``. ``recipients`` are the addresses, in lower case, of
    Resent-To, Envelope-To, To, Cc, Delivered-To and X-Original-To. Sizes and digests of
    ``attachments`` are those of the decoded bytes. ``body`` has ``\\n`` line ends and no blank
    lines around it. ``content``: see ``content_digest``. ``defects`` are short phrases without
    foreign text.
    """

    from_: tuple[Address, ...]
    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    reply_to: tuple[Address, ...]
    date: datetime | None
    subject: str
    message_id: str
    in_reply_to: tuple[str, ...]
    references: tuple[str, ...]
    recipients: tuple[str, ...]
    attachments: tuple[Attachment, ...]
    body: str
    content: bytes
    defects: tuple[str, ...]


READ_AS_TEXT = "could not be read"


def parse(raw: bytes) -> Mail:
    """Return the mail that ``raw`` (RFC 5322, or what was sent as such) is. Never raises.

    Should the reading fail, which would be a bug, all of ``raw`` is the body, with that defect:
    no mail is to be lost.
    """
    try:
        return _parsed(raw)
    except Exception:
        body = charset.decode(raw)[0].replace("\r\n", "\n").replace("\r", "\n").strip("\n").rstrip()
        found = tuple(attachment for attachment, _ in attachments(raw))
        return Mail((), (), (), (), None, "", "", (), (), (), found, body, content_digest(raw), (READ_AS_TEXT,))


def _parsed(raw: bytes) -> Mail:
    fields, root, reading = _opened(raw)
    body, attached = parts.read(root)
    reader = header.Reader(fields, root.parameter("charset"), reading.defects)
    from_, to, cc = (reader.addresses(name) for name in ("from", "to", "cc"))
    if not from_:
        reading.defects.add("no sender")
    around = (reader.addresses("bcc"), to, cc, reader.addresses("delivered-to"))
    return Mail(
        from_=from_,
        to=to,
        cc=cc,
        reply_to=reader.addresses("reply-to"),
        date=reader.date(),
        subject=reader.subject(),
        message_id=next(iter(reader.ids("message-id")), ""),
        in_reply_to=reader.ids("in-reply-to"),
        references=reader.ids("references"),
        recipients=tuple(dict.fromkeys(a.address.lower() for group in around for a in group if a.address)),
        attachments=tuple(_described(a) for a in attached),
        body=body,
        content=content_digest(raw),
        defects=tuple(sorted(reading.defects)),
    )


def attachments(raw: bytes) -> list[tuple[Attachment, bytes]]:
    """Return the attachments of a mail as in ``Mail.attachments``, each with its decoded bytes. Never raises."""
    try:
        _, root, _ = _opened(raw)
        return [(_described(a), a.content) for a in parts.read(root)[1]]
    except Exception:  # a bug, as in ``parse``
        return []


def _described(attached: parts.Attached) -> Attachment:
    digest = hashlib.sha256(attached.content).hexdigest()
    return Attachment(attached.name, attached.type, len(attached.content), digest)


def _opened(raw: bytes) -> tuple[list[tuple[str, bytes]], parts.Part, parts.Reading]:
    """Return the fields of the header, the whole mail as a part, and the list of what is wrong with it."""
    reading = parts.Reading()
    fields, body = header.split(_normal(raw, reading.defects), reading.defects)
    return fields, parts.Part.of(fields, body, reading), reading


def _normal(raw: bytes, defects: set[str]) -> bytes:
    """Return ``raw`` from its first header line on, as bytes with ``\\n`` in them."""
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        defects.add("utf-16 mail")
        raw = charset.decode(raw[: len(raw) & ~1], "utf-16")[0].encode()
    if raw.startswith(b"\xef\xbb\xbf"):
        defects.add("byte order mark before the header")
        raw = raw[3:]
    if b"\n" not in raw and b"\r" in raw:
        defects.add("bare cr line ends")
        raw = raw.replace(b"\r", b"\n")
    if raw[:1] in (b"\r", b"\n", b" ", b"\t") and (blank := _BLANK_LINES.match(raw)):
        defects.add("blank lines before the header")
        raw = raw[blank.end() :]
    if _MBOX.match(raw):
        defects.add("mbox line before the header")
        raw = raw[raw.find(b"\n") + 1 :]
    return raw


_MBOX = re.compile(rb">?From (?![ \t]*:)")
_BLANK_LINES = re.compile(rb"(?:[ \t]*\r?\n)+(?=>?From |[!-9;-~]{1,200}[ \t]*:)")


def content_digest(raw: bytes) -> bytes:
    """Return the 32 bytes by which the same mail is known again when it comes another time.

    All CR (0x0D) are removed from ``raw``. The header block ends before the first empty line;
    without one it is all there is. A first line that begins with ``From `` or ``>From `` and not
    with a From field (``From :``) is passed over: mailbox files and some programs put it there.
    A field is a line that begins with its name (in any case), optional spaces and tabs, and a
    colon; its value goes on to the end of the line and over all next lines that begin with a
    space or tab. The digest is the SHA-256 of:

    1. for each of From, Date and Subject, the value of the first field of that name with every run of
       white space (space, tab, LF, VT, FF) made one space and none at both ends, empty if there
       is no such field, and a LF (0x0A) after each;
    2. what follows the empty line, without the spaces and tabs at the end of each line, and
       without all LF at its end.

    If there is neither a From nor a Date field it is the SHA-256 of ``raw`` with all CR removed.
    Received fields and the like, which differ between two copies, do not matter.
    """
    raw = raw.replace(b"\r", b"")
    block, _, body = (b"", b"", raw[1:]) if raw.startswith(b"\n") else raw.partition(b"\n\n")
    if _MBOX.match(block):
        block = block.partition(b"\n")[2]
    found = [pattern.search(block) for pattern in _DIGESTED]
    if not found[0] and not found[1]:
        return hashlib.sha256(raw).digest()
    values = [b" ".join(match[1].split()) + b"\n" if match else b"\n" for match in found]
    lines = (line.rstrip(b" \t") for line in body.split(b"\n"))
    return hashlib.sha256(b"".join(values) + b"\n".join(lines).rstrip(b"\n")).digest()


_DIGESTED = [
    re.compile(rb"^" + name + rb"[ \t]*:(.*(?:\n[ \t].*)*)", re.IGNORECASE | re.MULTILINE)
    for name in (b"from", b"date", b"subject")
]
