"""A message of ours, written by the standards: RFC 5322, 2045-2047 and 2231, and read back for its envelope.

Every value may come from a stranger: what would not be a header value is left out or encoded. Nothing is said of
this machine or its user. Bytes of a message in, or values; knows nothing of tickets, desks and storage.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from vrt import text
from vrt.mail import fields
from vrt.mail.charset import clean
from vrt.model import Address

# Either without =?, which could be taken for the beginning of an encoded word.
_ID = re.compile(r"(?!.*=\?)[!-;=?-~]{1,240}@[!-;=?-~]{1,240}")
_ADDRESS = re.compile(r"(?!-)(?!.*=\?)[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@([A-Za-z0-9.-]{1,253})")
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")  # RFC 1123 section 2.1
_REFERENCES = 20
_MOST_ADDRESSES, _MOST_TYPED = 50, 50_000

_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,60}/[a-z0-9][a-z0-9!#$&^_.+-]{0,60}", re.IGNORECASE)
_OWN_FIELD = re.compile(r"(?!resent-|content-)[a-z][a-z0-9-]{0,60}", re.IGNORECASE)
_WRITTEN = {
    *("from", "sender", "to", "cc", "bcc", "subject", "date", "message-id", "in-reply-to", "references"),
    *("mime-version", "received", "return-path"),
}


class File(NamedTuple):
    """What is attached: its name as people see it, its media type, its bytes."""

    name: str
    type: str
    data: bytes


class Outgoing(NamedTuple):
    """A message to be built.

    ``body`` is Markdown with ``\\n`` line ends; ``html``: whether it goes out as HTML too, in ``language``
    (RFC 5646). ``date`` is in epoch seconds; ids are without ``<>``; ``more`` are fields of one's own.
    """

    sender: Address
    to: tuple[Address, ...]
    subject: str
    body: str
    message_id: str
    date: int
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()
    html: bool = False
    language: str = ""
    files: tuple[File, ...] = ()
    in_reply_to: str = ""
    refers: tuple[str, ...] = ()
    more: tuple[tuple[str, str], ...] = ()


# --- ids and addresses --------------------------------------------------------------------------------


def new_message_id(domain: str) -> str:
    """Return a Message-ID, without ``<>``, that nobody can guess: 128 random bits at ``domain``."""
    return f"{os.urandom(16).hex()}@{domain}"


def references(in_reply_to: str, before: tuple[str, ...]) -> tuple[str, ...]:
    """Return the ids for the References field of an answer (RFC 5322 section 3.6.4); the first and the last ones."""
    ids = [i for i in dict.fromkeys((*before, in_reply_to)) if _ID.fullmatch(i)]
    return tuple(ids if len(ids) <= _REFERENCES else ids[:1] + ids[1 - _REFERENCES :])


def is_address(value: str) -> bool:
    """Say whether mail can be sent to ``value``: an address in ASCII, unquoted, that no program takes for an option."""
    found = _ADDRESS.fullmatch(value)
    return found is not None and all(_LABEL.fullmatch(label) for label in found[1].split("."))


def sendable(address: str) -> str:
    """Return ``address`` as it is written into a message: a domain in another script in its ASCII form.

    Raises ``ValueError`` with a short reason where mail cannot be sent to it. The ASCII form is that of Python's own
    codec, IDNA 2003 (RFC 3490); domains for which IDNA 2008 (RFC 5891) means another one are refused.
    """
    local, _, domain = address.rpartition("@")
    if not local.isascii():
        raise ValueError("the part before the @ is not ASCII, which few mail servers take")
    if not domain.isascii():
        if len(domain) > 253 or any(c in domain for c in "ßẞς\u200c\u200d"):
            raise ValueError("write its domain in the ASCII form (xn--…)")
        try:
            domain = domain.encode("idna").decode("ascii")
        except UnicodeError as exc:
            raise ValueError("its domain cannot be one") from exc
    if not is_address(found := f"{local}@{domain}"):
        raise ValueError("no address that mail can be sent to")
    return found


_PERSON = re.compile(r'(?:"((?:[^"\\]|\\.)*+)"\s*+|([^"<>]*+))<([^<>]*+)>', re.DOTALL)
_QUOTED_OR_COMMA = re.compile(r'"(?:[^"\\]|\\.?)*+"?|,', re.DOTALL)


def parse_addresses(value: str) -> tuple[Address, ...]:
    """Return the addresses that a person typed: ``Jane <jane@example.org>, joe@example.org``, each ``sendable``.

    Raises ``ValueError``, naming the piece, where one is none or there are more than 50. Groups and comments are
    not understood; a name with a comma is to stand in quotes.
    """
    if len(value) > _MOST_TYPED:
        raise ValueError(f"more than {_MOST_TYPED} characters of addresses")
    found = []
    for piece in _pieces(value):
        person = _PERSON.fullmatch(piece)
        quoted, name, address = person.groups("") if person else ("", "", piece)
        name = re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL) or name
        try:
            found.append(Address(fields.clean(name, fields.MOST_NAME), sendable(address.strip())))
        except ValueError as exc:
            raise ValueError(f"{text.clip(text.line(piece), 80)}: {exc}") from exc
        if len(found) > _MOST_ADDRESSES:
            raise ValueError(f"more than {_MOST_ADDRESSES} addresses")
    return tuple(found)


def _pieces(value: str) -> Iterator[str]:
    """Yield what stands between the commas that are in no quotes; nothing for nothing."""
    start = 0
    ends = [m.start() for m in _QUOTED_OR_COMMA.finditer(value) if m[0] == ","]
    for end in (*ends, len(value)):
        if piece := value[start:end].strip():
            yield piece
        start = end + 1


# --- writing ------------------------------------------------------------------------------------------


def build(out: Outgoing) -> bytes:
    """Return the message in ASCII with CR LF line ends.

    ``Bcc`` stands in it, since ``envelope`` reads the recipients from it: what is handed over is ``transmitted``.
    A draft may have no recipients. Raises ``ValueError`` for an address that is not ``sendable``, and for an id or
    a field of one's own that is none.
    """
    if not _ID.fullmatch(out.message_id):
        raise ValueError("no Message-ID")
    people = (("From", (out.sender,)), ("To", out.to), ("Cc", out.cc), ("Bcc", out.bcc))
    head = [fields.field(name, fields.mailboxes(_sendable(found))) for name, found in people if found]
    head += [fields.field("Subject", fields.unstructured(out.subject)), _dated(out.date, out.message_id)]
    if _ID.fullmatch(out.in_reply_to):
        head.append(f"In-Reply-To: <{out.in_reply_to}>\r\n")
    if ids := [i for i in out.refers if _ID.fullmatch(i)]:
        head.append("References: " + "\r\n ".join(f"<{i}>" for i in ids) + "\r\n")
    for name, value in out.more:
        if not _OWN_FIELD.fullmatch(name) or name.lower() in _WRITTEN:
            raise ValueError(f"{text.line(name)[:80]} is no field of one's own")
        head.append(fields.field(name, fields.unstructured(value)))
    return ("".join(head) + "MIME-Version: 1.0\r\n").encode("ascii") + _content(out)


def _sendable(people: Iterable[Address]) -> list[Address]:
    return [Address(person.name, sendable(person.address)) for person in people]


def _dated(date: int, message_id: str, prefix: str = "") -> str:
    from email.utils import formatdate  # in English whatever the locale; in UTC, so that no time zone is told

    stamp = formatdate(date).replace("-0000", "+0000")
    return f"{prefix}Date: {stamp}\r\n{prefix}Message-ID: <{message_id}>\r\n"


def _content(out: Outgoing) -> bytes:
    """Return the rest of the header, from Content-Type on, and the body."""
    body = clean(out.body).replace("\r\n", "\n").replace("\r", "\n")
    content = _text("plain", body)
    if out.html:
        from vrt.mail import markdown  # the converter is loaded only where a queue wants HTML

        content = _multipart("alternative", [content, _text("html", markdown.to_html(body, out.language))])
    return _multipart("mixed", [content, *map(_file, out.files)]) if out.files else content


def _text(subtype: str, body: str) -> bytes:
    data = (body if body.endswith("\n") else f"{body}\n").replace("\n", "\r\n").encode()
    coded, encoding = binascii.b2a_qp(data, quotetabs=False, istext=True), "quoted-printable"
    if not data.isascii() and len(coded) > len(data) * 4 // 3 + 4:
        coded, encoding = _base64(data), "base64"
    return _part([("Content-Type", [f"text/{subtype};", "charset=utf-8"])], encoding, coded)


def _base64(data: bytes) -> bytes:
    return base64.encodebytes(data).replace(b"\n", b"\r\n")


def _file(file: File) -> bytes:
    """Return the part of an attached file, byte for byte what it is.

    An attached message or multipart may not be in base64 (RFC 2046 section 5.2.1), and would change on its way
    without: it goes as the bytes that it is. A program that knows no RFC 2231 has the name in ASCII.
    """
    kind = file.type.lower() if _TYPE.fullmatch(file.type) else ""
    if not kind or kind.startswith(("message/", "multipart/")):
        kind = "application/octet-stream"
    name = text.filename(file.name[:5000])
    plain = re.sub(r"[^ -~]", "_", re.sub("[\u0300-\u036f]", "", unicodedata.normalize("NFD", name)))
    typed = [f"{kind};", *fields.parameters("name", plain if len(plain) <= 50 else plain[:30] + plain[-20:])]
    if kind.startswith("text/") and _is_utf8(file.data):
        typed[-1] += ";"
        typed.append("charset=utf-8")
    disposed = ["attachment;", *fields.parameters("filename", name)]
    return _part([("Content-Type", typed), ("Content-Disposition", disposed)], "base64", _base64(file.data))


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _part(head: list[tuple[str, list[str]]], encoding: str, coded: bytes) -> bytes:
    rows = [fields.field(name, tokens) for name, tokens in head]
    return ("".join(rows) + f"Content-Transfer-Encoding: {encoding}\r\n\r\n").encode("ascii") + coded


def _multipart(subtype: str, parts: list[bytes]) -> bytes:
    boundary = os.urandom(16).hex()
    head = fields.field("Content-Type", [f"multipart/{subtype};", f'boundary="{boundary}"'])
    inner = "".join(f"--{boundary}\r\n%b\r\n" for _ in parts).encode() % tuple(parts)
    return f"{head}\r\n".encode() + inner + f"--{boundary}--\r\n".encode()


# --- handing over -------------------------------------------------------------------------------------

_ENVELOPE_LINE = re.compile(rb"From [^\s:][^\r\n]*\r?\n")  # of an mbox (RFC 4155)
_BLOCK = ("resent-date", "resent-from", "resent-to", "resent-message-id")
_MAILBOX = re.compile(r'(?:(?:"(?:[^"\\]|\\.)*+" |[^"<>,@]++)<([^<>]+)>|([^\s"<>,]+))(?:, |\Z)')
_ROW = re.compile(rb"([A-Za-z][A-Za-z0-9-]*): ?([ -~]*(?:\r\n[ \t][ -~]*)*+)\r\n")


def redirect(original: bytes, by: Address, to: tuple[Address, ...], message_id: str, date: int) -> bytes:
    """Return ``original`` as it is sent on to ``to``, under a block of Resent- fields (RFC 5322 section 3.6.6).

    Nothing of it changes but that an mbox's ``From `` line is left out and that a bare LF becomes CR LF: SMTP knows
    no other line end (RFC 5321 section 2.3.8), and some servers take a bare one for the end of the message. What is
    8-bit stays so. ``date`` is in epoch seconds. Raises ``ValueError`` as ``build`` does, and for an original whose
    first line would go on with a field of ours.
    """
    if not to or not _ID.fullmatch(message_id):
        raise ValueError("no Message-ID" if to else "no recipient")
    if (mail := as_sent(original))[:1] in (b" ", b"\t"):
        raise ValueError("the original begins with half a line")
    dated, identified, _ = _dated(date, message_id, "Resent-").split("\r\n")
    people = [fields.field(n, fields.mailboxes(_sendable(p))) for n, p in (("Resent-From", (by,)), ("Resent-To", to))]
    block = f"{dated}\r\n{''.join(people)}{identified}\r\n"
    return block.encode("ascii") + mail


def as_sent(original: bytes) -> bytes:
    """Return a mail as it goes on: without an mbox's ``From `` line, and with CR LF at every line's end."""
    line = _ENVELOPE_LINE.match(original)
    return re.sub(rb"(?<!\r)\n", b"\r\n", original[line.end() if line else 0 :])


def transmitted(raw: bytes) -> bytes:
    """Return a message that ``build`` or ``redirect`` made as it is handed over: without ``Bcc``."""
    head, end, body = raw.partition(b"\r\n\r\n")
    if head.startswith(b"Resent-Date:"):
        return raw
    return re.sub(rb"(?<=\r\n)Bcc:[^\r]*\r\n(?:[ \t][^\r]*\r\n)*+", b"", head + b"\r\n")[:-2] + end + body


def envelope(raw: bytes) -> tuple[str, tuple[str, ...]]:
    """Return the bounce address of a message of ours, and all its recipients, each once.

    Reads only what ``build`` and ``redirect`` write, and raises ``ValueError`` for anything else: who a message
    goes to is not to be guessed.
    """
    redirected = raw.startswith(b"Resent-Date:")
    found: dict[str, str] = {}
    for name, value in _fields(raw):
        if redirected and name != _BLOCK[len(found)]:
            raise ValueError(f"{name} where {_BLOCK[len(found)]} should be")
        if not redirected and (name.startswith("resent-") or name in found):
            raise ValueError(f"{name} where it may not be")
        found[name] = value
        if redirected and len(found) == len(_BLOCK):
            break
    names = ("resent-to",) if redirected else ("to", "cc", "bcc")
    by = _addresses(found.get("resent-from" if redirected else "from", ""))
    recipients: dict[str, str] = {}
    for address in (a for name in names for a in _addresses(found.get(name, ""))):
        recipients.setdefault(text.lower(address), address)
    if len(by) != 1 or not recipients or (redirected and len(found) < len(_BLOCK)):
        raise ValueError("no message of ours: not one sender, or no recipient")
    return by[0], tuple(recipients.values())


def _fields(raw: bytes) -> Iterator[tuple[str, str]]:
    """Yield the fields of the header, name in lower case and value unfolded, as far as they are asked for."""
    at = 0
    while not raw.startswith(b"\r\n", at):
        field = _ROW.match(raw, at)
        if field is None:
            raise ValueError("a line that is no field of ours")
        yield field[1].decode().lower(), field[2].decode().replace("\r\n", "")
        at = field.end()


def _addresses(value: str) -> list[str]:
    found, at = [], 0
    while at < len(value):
        person = _MAILBOX.match(value, at)
        if person is None or not is_address(address := person[1] or person[2]):
            raise ValueError("no address")
        found.append(address)
        at = person.end()
    return found
