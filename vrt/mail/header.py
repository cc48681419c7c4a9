"""The header of a mail: its fields, parameters, addresses, date, message-ids.

Knows nothing of the parts of a mail. Sole user of mail-parser, which reads addresses and dates
field by field, for its reading of whole mails fails on some. Nothing here raises on any
input, and every scan is linear.
"""

from __future__ import annotations

import binascii
import email.utils
import logging
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from typing import Any, ClassVar

from mailparser.dates import parse_mail_date
from mailparser.utils import get_addresses

from vrt.mail import charset, limits
from vrt.model import Address

logging.getLogger("mailparser").setLevel(logging.CRITICAL + 1)  # it would print subjects

MAX_FIELDS = 500
MAX_ADDRESSES = 1000
_LONGEST_ID = 998  # characters, as many as a line may have (RFC 5322 section 2.1.1)
_MAX_VALUE = 100_000  # characters of a field given to mail-parser

_FIELD = re.compile(rb"([!-9;-~]{1,200})[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*+)\n?")
_BLANK = re.compile(rb"[ \t]*\r?(?:\n|\Z)")
_LIKELY = re.compile(
    rb"(?i)(?:from|to|cc|subject|date|message-id|mime-version|content-[a-z-]+|received|x-[\w-]+)[ \t]*:"
)


def split(raw: bytes, defects: set[str]) -> tuple[list[tuple[str, bytes]], bytes]:
    """Return the fields (name in lower case, raw value) before the first empty line, and what follows.

    A line that is no field ends the header, as in most mail programs, unless a well-known field
    comes right after it. Reads at most ``MAX_FIELDS`` fields.
    """
    fields: list[tuple[str, bytes]] = []
    at = 0
    while at < len(raw):
        if (match := _FIELD.match(raw, at)) is not None:
            if len(fields) == MAX_FIELDS:
                defects.add(f"more than {MAX_FIELDS} headers")
                return fields, raw[_header_end(raw, at) :]
            fields.append((match[1].decode().lower(), match[2]))
            at = match.end()
        elif (match := _BLANK.match(raw, at)) is not None:
            return fields, raw[match.end() :]
        else:
            defects.add("line without colon in the header")
            end = raw.find(b"\n", at) + 1
            if not end or not _LIKELY.match(raw, end):
                return fields, raw[at:]
            at = end
    return fields, b""


_EMPTY_LINE = re.compile(rb"\n\r?\n")


def _header_end(raw: bytes, at: int) -> int:
    match = _EMPTY_LINE.search(raw, at)
    return match.end() if match else len(raw)


_FOLD = re.compile(r"\r?\n[ \t]?|\r")


def field_text(value: bytes, hint: str = "") -> str:
    """Return a raw field value unfolded, on one line.

    8-bit bytes, which RFC 5322 forbids, are UTF-8 (RFC 6532), else in the charset ``hint`` if
    that fits, else guessed. Only the first megabyte is read.
    """
    value = value[: limits.MAX_HEADER]
    if value.isascii():
        text = value.decode()
    else:
        text, unsure = charset.decode(value, "utf-8")
        if unsure and charset.codec(hint):
            text = charset.decode(value, hint)[0]
    return _FOLD.sub(" ", charset.clean(text)).strip(" \t")


# A parameter of a Content- field (RFC 2045 section 5.1). At most one quote in a value is never closed.
_PARAMETER = re.compile(
    r'[;\s]*+([^\s=;"]{1,100})\s*+=\s*+(?:"((?:[^"\\]|\\.)*+)"?|([^;"]*+))[^;]*+|[;\s]++|[^;]+', re.DOTALL
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_SECTION = re.compile(r"([^*]+)\*(\d{1,3})(\*?)|([^*]+)(\*)")


def parameters(text: str) -> tuple[str, dict[str, str]]:
    """Return the value of a Content-Type or Content-Disposition field in lower case, and its parameters.

    Continued and charset-marked parameters are put together (RFC 2231); encoded words are
    decoded although RFC 2047 section 5 forbids them here, for many senders use them.
    """
    value, _, rest = text[:8000].partition(";")
    plain: dict[str, str] = {}
    pieces: dict[str, dict[int, tuple[str, bool]]] = {}
    for match in _PARAMETER.finditer(rest):
        if not match[1]:
            continue
        found = _ESCAPED.sub(r"\1", match[2]) if match[2] is not None else match[3].strip()
        section = _SECTION.fullmatch(match[1].lower())
        if section is None:
            plain.setdefault(match[1].lower(), found)
        else:
            name = section[1] or section[4]
            pieces.setdefault(name, {}).setdefault(int(section[2] or 0), (found, bool(section[3] or section[5])))
    out = {name: charset.words(found) for name, found in plain.items()}
    out.update((name, _continued(sections)) for name, sections in pieces.items())
    return value.strip().lower(), out


def _continued(sections: dict[int, tuple[str, bool]]) -> str:
    """Return the sections of one parameter (text, whether percent-encoded) as one text (RFC 2231 section 3)."""
    data, label = b"", ""
    for number in sorted(sections):
        text, encoded = sections[number]
        if encoded and not data and text.count("'") >= 2:
            label, _, text = text.split("'", 2)
        raw = text.encode("utf-8", "replace")
        data += _percent(raw) if encoded else raw
    return charset.words(charset.decode(data, label)[0])


_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")


def _percent(data: bytes) -> bytes:
    return _PERCENT.sub(lambda m: binascii.unhexlify(m[1]), data)


_NEWLINES = re.compile(r"[ \t]*[\r\n]+[ \t]*")


def one_line(text: str) -> str:
    """Return ``text`` with line ends made a space."""
    return _NEWLINES.sub(" ", text).strip()


class Reader:
    """The addresses, date and subject of one header, as mail-parser or else the standard library reads them."""

    # What is read as one list of addresses.
    _SLOTS: ClassVar = {
        "from": ("from",),
        "to": ("to",),
        "cc": ("cc",),
        "reply-to": ("reply-to",),
        "bcc": ("resent-to", "envelope-to"),
        "delivered-to": ("delivered-to", "x-original-to"),
    }

    def __init__(self, fields: Sequence[tuple[str, bytes]], hint: str, defects: set[str]) -> None:
        """Read ``fields`` (name in lower case, raw value); ``hint``: the charset of the mail's text."""
        self._defects = defects
        self._values: dict[str, list[str]] = {}
        for name, value in fields:
            if name in _READ:
                if name == "references":  # the last are the nearest
                    value = value[-limits.MAX_HEADER :]
                self._values.setdefault(name, []).append(field_text(value, hint))
        self._joined = {slot: self._join(names) for slot, names in self._SLOTS.items()}

    def first(self, name: str) -> str:
        """Return the first value of a field, unfolded, encoded words and all; "" if there is none."""
        return self._values.get(name, [""])[0]

    def _join(self, names: tuple[str, ...]) -> str:
        values = [value for name in names for value in self._values.get(name, [])]
        return self._bounded(_reencoded(", ".join(value for value in values if value)))

    def _bounded(self, value: str) -> str:
        """Return a list of addresses cut off where mail-parser would take too long."""
        if value.count(",") >= MAX_ADDRESSES:
            commas = (match.start() for match in _COMMA.finditer(value) if match[1])
            cut = next(islice(commas, MAX_ADDRESSES - 1, None), None)
            if cut is not None:
                self._defects.add(f"more than {MAX_ADDRESSES} addresses")
                value = value[:cut]
        if len(value) > _MAX_VALUE:
            self._defects.add("header too long")
            value = value[:_MAX_VALUE].rpartition(",")[0] or value[:_MAX_VALUE]
        return value

    def addresses(self, slot: str) -> tuple[Address, ...]:
        """Return the addresses of one of ``from``, ``to``, ``cc``, ``reply-to`` and of the recipients' slots."""
        value = self._joined[slot]
        if not value:
            return ()
        if slot == "from" and len(self._values["from"]) > 1:
            self._defects.add("more than one from header")
        found = [a for a in (_address(name, address) for name, address in _mailboxes(value) if address) if a]
        return tuple(found or self._plainly(value))

    def _plainly(self, value: str) -> list[Address]:
        """Return the addresses of ``value`` as the standard library reads them."""
        if "@" not in value and "<" not in value:
            return self._names(value)
        try:
            pairs = email.utils.getaddresses([value])
        except Exception:  # RecursionError: comments in comments
            pairs = []
        found = [a for a in (_address(name, address) for name, address in pairs) if a]
        # "Jo Doe jo@example.org" comes out as JoDoejo@example.org: an address that nobody wrote.
        if any(a.address not in value for a in found) or (not found and "@" in value):
            found = [Address("", match[0]) for match in islice(_BARE.finditer(value), MAX_ADDRESSES)]
        if not found and any(c.isalnum() for c in value[:200]):
            found = [Address(one_line(charset.words(value))[:200], "")]
        self._defects.add("bad address")
        return found

    def _names(self, value: str) -> list[Address]:
        """Return what stands where addresses should, as names ("Mailer Daemon"); nothing for an empty group."""
        if value.rstrip().endswith(";"):
            value = value.rpartition(":")[2].rstrip(" ;")
        names = (one_line(charset.words(name)).strip('"') for name in value.split(","))
        found = [Address(name, "") for name in names if name]
        if found:
            self._defects.add("bad address")
        return found

    def date(self) -> datetime | None:
        """Return when the mail says it was written, in UTC."""
        value = self.first("date")
        if not value:
            self._defects.add("no date")
            return None
        try:
            found = parse_mail_date(value[:200]).value or email.utils.parsedate_to_datetime(value[:200])
            found = (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
            if found.year >= 1970:
                return found
        except Exception:  # the many that parsedate_to_datetime and a date out of range raise
            pass
        self._defects.add("bad date")
        return None

    def subject(self) -> str:
        """Return the subject decoded, on one line."""
        raw = self.first("subject")
        if len(raw) > _MAX_VALUE:
            self._defects.add("header too long")
            raw = raw[:_MAX_VALUE]
        return one_line(charset.words(raw))

    def ids(self, name: str) -> tuple[str, ...]:
        """Return the message-ids of a field without ``<>``, in their order, none twice; the last thousand."""
        text = " ".join(self._values.get(name, []))
        found = [_SPACE.sub("", m[1]) for m in _ID.finditer(text)]
        if not found:  # some senders leave the brackets out
            found = [
                word for word in text.replace("<", " ").replace(">", " ").split() if "@" in word or name == "message-id"
            ]
        if any(len(i) > _LONGEST_ID for i in found):
            self._defects.add("bad message id")
        return tuple(dict.fromkeys(i for i in found if 0 < len(i) <= _LONGEST_ID))[-1000:]


@lru_cache(maxsize=1024)  # most mail of a team is to the same few addresses
def _mailboxes(value: str) -> list[tuple[str, str]]:
    """Return the (name, address) pairs that mail-parser is sure of, none where it is not."""
    unsure: list[dict[str, Any]] = []
    try:
        pairs: list[tuple[str, str]] = get_addresses(value, defects=unsure, decode_names=True)
    except Exception:
        return []
    return [] if any(not defect["recovered"] for defect in unsure) else pairs


_READ = {name for names in Reader._SLOTS.values() for name in names} | {
    "date",
    "subject",
    "message-id",
    "in-reply-to",
    "references",
}
_COMMA = re.compile(r'"(?:[^"\\]|\\.)*"|(,)', re.DOTALL)
_ID = re.compile(r"<([^<>]*)>")
_SPACE = re.compile(r"\s+")
_BARE = re.compile(r"[^\s<>,;:\"()\[\]@]{1,200}@[^\s<>,;:\"()\[\]@]{1,255}")
_RUN = re.compile(r"=\?[^?\s]{1,60}\?[bBqQ]\?[^?]*\?=(?:[ \t]+=\?[^?\s]{1,60}\?[bBqQ]\?[^?]*\?=)*")


def _reencoded(value: str) -> str:
    """Return ``value`` with its encoded words in UTF-8, so that only ``charset`` has to know the others."""
    if "=?" not in value:
        return value
    return _RUN.sub(lambda m: _encoded_word(one_line(charset.words(m[0]))), value)


def _encoded_word(text: str) -> str:
    packed = binascii.b2a_base64(text.encode(), newline=False).decode()
    return f"=?utf-8?b?{packed}?="


def _address(name: str, address: str) -> Address | None:
    """Return an address made valid text on one line, None if there is nothing in it."""
    name, address = one_line(charset.words(name)), _SPACE.sub("", charset.clean(address))
    if not address and not name:
        return None
    if name == address:
        name = ""
    return Address(name, address)
