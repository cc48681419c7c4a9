"""A mail read: addresses, date, subject, text, attachments, and the digest to know it again by.

Pure: bytes in, values out, and never an exception whatever the bytes are. Knows nothing of
tickets, queues and storage.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from vrt.mail import charset, header, limits, parts
from vrt.model import Address, Attachment
from vrt.text import lower


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
TOOK_TOO_LONG = "took too long to read"


def parse(raw: bytes, limit: int = limits.MAX_BYTES) -> Mail:
    """Return the mail that ``raw`` (RFC 5322, or what was sent as such) is. Never raises.

    Of a mail with more than ``limit`` bytes only the header is read. One that takes too long (``limits.cpu``,
    where that works), or fails, which would be a bug, has its header read and the rest as the body; if that
    fails too, all of ``raw`` is the body: no mail is to be lost. Each is a defect.
    """
    if len(raw) > limit:
        return _header_only(raw, limits.larger_than(limit), with_body=False)
    try:
        with limits.cpu(limits.SECONDS):
            return _parsed(raw)
    except limits.TookTooLong:
        return _header_only(raw, TOOK_TOO_LONG)
    except Exception:
        return _header_only(raw, READ_AS_TEXT)


def _header_only(raw: bytes, defect: str, *, with_body: bool = True) -> Mail:
    """Return the mail with its header read and, ``with_body``, what follows the header as it stands."""
    try:
        with limits.cpu(limits.SECONDS / 3):
            reading = parts.Reading()
            fields, body = header.split(_normal(raw, reading.defects, limits.MAX_TEXT), reading.defects)
            root = parts.Part.of(fields, b"", reading)
            text = charset.decode(body, root.parameter("charset"))[0] if with_body else ""
            mail = _mail(raw, fields, root, _trimmed(text), [])
    except (limits.TookTooLong, Exception):
        text = raw[: limits.MAX_TEXT].decode("utf-8", "replace") if with_body else ""
        text = _trimmed(charset.clean(text))
        mail = Mail((), (), (), (), None, "", "", (), (), (), (), text, content_digest(raw), ())
    return replace(mail, defects=tuple(sorted({*mail.defects, defect})))


def _trimmed(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").strip("\n").rstrip()


def _parsed(raw: bytes) -> Mail:
    fields, root = _opened(raw)
    body, attached = parts.read(root)
    return _mail(raw, fields, root, body, attached)


def _mail(
    raw: bytes, fields: list[tuple[str, bytes]], root: parts.Part, body: str, attached: list[parts.Attached]
) -> Mail:
    reading = root.reading
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
        recipients=tuple(dict.fromkeys(lower(a.address) for group in around for a in group if a.address)),
        attachments=tuple(_described(a) for a in attached),
        body=body,
        content=content_digest(raw),
        defects=tuple(sorted(reading.defects)),
    )


def fields_of(raw: bytes) -> list[tuple[str, bytes]]:
    """Return the fields of a mail's header as ``header.split`` does. Never raises."""
    try:
        return header.split(_normal(raw, set(), limits.MAX_TEXT), set())[0]
    except Exception:  # a bug, as in ``parse``
        return []


def attachments(raw: bytes) -> list[tuple[Attachment, bytes]]:
    """Return the attachments of a mail as in ``Mail.attachments``, each with its decoded bytes. Never raises.

    None where the mail took too long to read, as in ``parse``; the size is no matter.
    """
    try:
        with limits.cpu(2 * limits.SECONDS):  # to find at any rate what ``parse`` found
            root = _opened(raw)[1]
            return [(_described(a), a.content) for a in parts.read(root)[1]]
    except (limits.TookTooLong, Exception):  # the latter would be a bug, as in ``parse``
        return []


def _described(attached: parts.Attached) -> Attachment:
    digest = hashlib.sha256(attached.content).hexdigest()
    return Attachment(attached.name, attached.type, len(attached.content), digest)


def _opened(raw: bytes) -> tuple[list[tuple[str, bytes]], parts.Part]:
    """Return the fields of the header, and the whole mail as a part."""
    reading = parts.Reading()
    fields, body = header.split(_normal(raw, reading.defects), reading.defects)
    return fields, parts.Part.of(fields, body, reading)


def _normal(raw: bytes, defects: set[str], most: int | None = None) -> bytes:
    """Return ``raw`` from its first header line on, as bytes with ``\\n`` in them; ``most`` bytes of it."""
    raw = raw[:most]
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        defects.add("utf-16 mail")
        raw = charset.decode(raw[: len(raw) & ~1], "utf-16", len(raw))[0].encode()
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
_BLANK_LINES = re.compile(rb"(?:[ \t]*+\r?\n)++(?=>?From |[!-9;-~]{1,200}[ \t]*:)")


def content_digest(raw: bytes) -> bytes:
    """Return the 32 bytes by which the same mail is known again when it comes another time.

    All CR (0x0D) are removed from ``raw``. The header block ends before the first empty line;
    without one it is all there is. A first line that begins with ``From `` or ``>From `` and not
    with a From field (``From :``) is passed over: mailbox files and some programs put it there.
    A field is a line that begins with its name (in any case), optional spaces and tabs, and a
    colon; its value goes on to the end of the line and over all next lines that begin with a
    space or tab. The digest is the SHA-256 of:

    1. for each of From, Reply-To, To, Cc, Date, Subject, In-Reply-To, References, Content-Type and
       Content-Transfer-Encoding, in this order, and for each field of that name, from the top: the
       name in lower case, a colon, the value with every run of white space (space, tab, LF, VT, FF)
       made one space and none at both ends, and a LF (0x0A); then one more LF;
    2. what follows the empty line, without the spaces and tabs at the end of each line, and
       without all LF at its end.

    If there is neither a From nor a Date field it is the SHA-256 of ``raw`` with all CR removed.
    Received fields and the like, which differ between two copies, do not matter. What decides how a
    mail is read, where it goes and who gets the answer does: whoever has a mail early could send it
    in advance with another Reply-To, and have the true one thrown away.
    """
    raw = raw.replace(b"\r", b"")
    block, _, body = (b"", b"", raw[1:]) if raw.startswith(b"\n") else raw.partition(b"\n\n")
    if _MBOX.match(block):
        block = block.partition(b"\n")[2]
    found: dict[bytes, list[bytes]] = {}
    for match in _DIGESTED.finditer(block):
        found.setdefault(match[1].lower(), []).append(match[2])
    if b"from" not in found and b"date" not in found:
        return hashlib.sha256(raw).digest()
    digest = hashlib.sha256()
    for name in _DIGESTED_NAMES:
        for value in found.get(name, ()):
            words = (b" ".join(block.split()) for block in _blocks(value.translate(_SPACES), b" "))
            digest.update(name + b":" + b" ".join(filter(None, words)) + b"\n")
    digest.update(b"\n")
    ends = b""  # empty lines that count only if something follows
    for block in _blocks(body, b"\n"):
        lines = b"\n".join([line.rstrip(b" \t") for line in block.split(b"\n")])
        text = lines.rstrip(b"\n")
        if text:
            digest.update(ends)
            digest.update(text)
            ends = b""
        ends += lines[len(text) :]
    return digest.digest()


def _blocks(data: bytes, mark: bytes) -> Iterator[bytes]:
    """Yield ``data`` in blocks that end in ``mark``: as one list, millions of lines or words would fill the memory."""
    at = 0
    while at < len(data):
        end = data.find(mark, at + _BLOCK) + 1 if at + _BLOCK < len(data) else 0
        yield data[at : end or len(data)]
        at = end or len(data)


_SPACES = bytes.maketrans(b"\t\n\v\f", b"    ")
_BLOCK = 1 << 20
_DIGESTED_NAMES = (
    b"from", b"reply-to", b"to", b"cc", b"date", b"subject", b"in-reply-to", b"references", b"content-type",
    b"content-transfer-encoding",
)  # fmt: skip
_DIGESTED = re.compile(
    rb"^(" + b"|".join(_DIGESTED_NAMES) + rb")[ \t]*:(.*+(?:\n[ \t].*+)*+)", re.IGNORECASE | re.MULTILINE
)
