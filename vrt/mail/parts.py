"""The parts of a mail: taken apart by hand, which of them are its text, which are attachments.

Knows header fields and bytes; nothing of addresses, tickets or files. Not the standard
library's parser: it recurses into each level of a multipart (and so fails, in quadratic time,
on a thousand), and gives a nested message written anew instead of its bytes.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from vrt.mail import charset, header, html, limits
from vrt.mail.header import field_text, parameters

MAX_DEPTH = 20
MAX_PARTS = 200


@dataclass
class Reading:
    """What the reading of one mail counts and finds wrong."""

    parts: int = 0
    defects: set[str] = field(default_factory=set)


_READ = {"content-type", "content-disposition", "content-transfer-encoding", "content-id"}


@dataclass
class Part:
    """One part: its ``Content-`` fields read, its bytes as they stand in the mail."""

    fields: dict[str, str]
    raw: bytes
    reading: Reading
    default: str = "text/plain"

    @classmethod
    def read(cls, raw: bytes, reading: Reading, default: str = "text/plain") -> Part:
        """Return the part that begins with its header at the start of ``raw``."""
        fields, body = header.split(raw, reading.defects)
        return cls.of(fields, body, reading, default)

    @classmethod
    def of(cls, fields: list[tuple[str, bytes]], body: bytes, reading: Reading, default: str = "text/plain") -> Part:
        """Return the part with these fields; of a field given twice the first counts."""
        own: dict[str, str] = {}
        for name, value in fields:
            if name in _READ and name not in own:
                own[name] = field_text(value)
        reading.parts += 1
        return cls(own, body, reading, default)

    @cached_property
    def _type(self) -> tuple[str, dict[str, str]]:
        return parameters(self.fields.get("content-type", ""))

    @cached_property
    def _disposition(self) -> tuple[str, dict[str, str]]:
        return parameters(self.fields.get("content-disposition", ""))

    @cached_property
    def type(self) -> str:
        """The media type in lower case; that of a field that cannot be read is text/plain (RFC 2045 section 5.2)."""
        value = self._type[0]
        if not value:
            return self.default
        match = _MEDIA_TYPE.match(value)
        return match[0] if match else "text/plain"

    def parameter(self, name: str) -> str:
        """Return a parameter of the Content-Type, "" if it is not there."""
        return self._type[1].get(name, "")

    @property
    def attached(self) -> bool:
        """Whether its sender called the part an attachment (RFC 2183)."""
        return self._disposition[0] == "attachment"

    @cached_property
    def name(self) -> str:
        """The file name as sent, on one line; "" if there is none."""
        name = self._disposition[1].get("filename") or self._type[1].get("name") or ""
        return header.one_line(name)

    @property
    def encoding(self) -> str:
        """The transfer encoding in lower case, "" if none is named (RFC 2045 section 6)."""
        return self.fields.get("content-transfer-encoding", "").strip(" \t\"';").lower()

    @cached_property
    def content(self) -> bytes:
        """The bytes with the transfer encoding undone, as far as it can be."""
        if self.encoding == "base64":
            data, sound = charset.base64(self.raw)
            if not sound:
                self.reading.defects.add("bad base64")
            return data
        if self.encoding == "quoted-printable":
            return binascii.a2b_qp(self.raw)
        if self.encoding in ("x-uuencode", "uuencode", "x-uue", "uue"):
            data, sound = charset.uuencoded(self.raw)
            if not sound:
                self.reading.defects.add("bad uuencode")
            return data
        if self.encoding not in ("", "7bit", "8bit", "binary", "8-bit", "7-bit"):
            self.reading.defects.add("unknown transfer encoding")
        return self.raw

    @cached_property
    def text(self) -> str:
        """The content as text with ``\\n`` line ends, flowed lines put together (RFC 3676)."""
        label = self.parameter("charset")
        if not label and self.type == "text/html" and (match := _META.search(self.content[:2000])):
            label = match[1].decode()
        text, defect = charset.decode(self.content, label)
        if defect:
            self.reading.defects.add(defect)
        if len(self.content) > limits.MAX_TEXT:
            self.reading.defects.add(limits.CUT_OFF)
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        if self.type == "text/plain" and self.parameter("format").lower() == "flowed":
            return flowed(text, self.parameter("delsp").lower() == "yes")
        return text

    @cached_property
    def markdown(self) -> str:
        """The content of a text/html part as Markdown."""
        markdown, defects = html.to_markdown(self.text)
        self.reading.defects.update(defects)
        return markdown

    def children(self) -> list[Part] | None:
        """Return the parts of a multipart, None if it cannot be taken apart."""
        boundary = self.parameter("boundary").rstrip()
        if not boundary:
            self.reading.defects.add("multipart without boundary")
            return None
        pieces = split(self.raw, boundary.encode("utf-8", "replace"), self.reading.defects)
        if pieces is None and self.encoding in ("base64", "quoted-printable"):  # forbidden by RFC 2045 section 6.4
            pieces = split(self.content, boundary.encode("utf-8", "replace"), self.reading.defects)
        if pieces is None:
            self.reading.defects.add("multipart without parts")
            return None
        self.raw = b""  # else each level of a nested mail would keep a copy of all below it
        default = "message/rfc822" if self.type == "multipart/digest" else "text/plain"
        return list(self._read_all(pieces, default))

    def _read_all(self, pieces: list[bytes], default: str) -> Iterator[Part]:
        pieces.reverse()
        while pieces:
            if self.reading.parts >= MAX_PARTS:
                self.reading.defects.add(f"more than {MAX_PARTS} parts")
                return
            yield Part.read(pieces.pop(), self.reading, default)


# The charset that an HTML page names itself (https://html.spec.whatwg.org/#prescan-a-byte-stream-to-determine-its-encoding).
_META = re.compile(rb"""<meta[^>]{1,200}?charset\s*=\s*["']?([\w.:-]+)""", re.IGNORECASE | re.ASCII)
_MEDIA_TYPE = re.compile(
    r"""[^\s()<>@,;:\\"/\[\]?=\x00-\x20]{1,100}/[^\s()<>@,;:\\"/\[\]?=\x00-\x20]{1,100}""", re.ASCII
)


def split(raw: bytes, boundary: bytes, defects: set[str]) -> list[bytes] | None:
    """Return the pieces of ``raw`` between the lines that are ``boundary`` (RFC 2046 section 5.1.1).

    None if there is none. A missing closing line is a defect; what stands before the first and
    after the closing line is left out.
    """
    pieces: list[bytes] = []
    start, mark = -1, b"--" + boundary
    at = 0 if raw.startswith(mark) else _next_line(raw, mark, 0)
    while at >= 0:
        match = _BOUNDARY_END.match(raw, at + len(mark))
        if match is None:
            at = _next_line(raw, mark, at + len(mark))
            continue
        if start >= 0:
            end = at - (2 if raw[at - 2 : at - 1] == b"\r" else 1)
            pieces.append(raw[start : max(start, end)])
        if match[1]:
            return pieces
        if len(pieces) > MAX_PARTS:
            defects.add(f"more than {MAX_PARTS} parts")
            return pieces
        start = match.end()
        at = _next_line(raw, mark, start - 1)
    if start < 0:
        return None
    defects.add("multipart without end")
    return [*pieces, raw[start:]]


def _next_line(raw: bytes, mark: bytes, at: int) -> int:
    """Return where the next line after ``at`` begins that begins with ``mark``, -1 if none does."""
    return raw.find(b"\n" + mark, at) + 1 or -1


_BOUNDARY_END = re.compile(rb"(--)?[ \t]*\r?(?:\n|\Z)")


def flowed(text: str, delsp: bool) -> str:
    """Return format=flowed ``text`` with its soft line breaks undone (RFC 3676 section 4)."""
    out: list[str] = []
    open_depth = -1  # of the paragraph that the next line may continue
    for line in text.split("\n"):
        rest = line.lstrip(">")
        depth = len(line) - len(rest)
        rest = rest.removeprefix(" ")
        soft = rest.endswith(" ") and rest != "-- "
        kept = rest[:-1] if soft and delsp else rest
        if depth == open_depth and rest != "-- ":
            out.append(kept)
        else:
            out.append(("\n" if out else "") + (">" * depth + " " if depth else "") + kept)
        open_depth = depth if soft else -1
    return "".join(out)


@dataclass
class Attached:
    """An attachment: name, media type and decoded content."""

    name: str
    type: str
    content: bytes


def read(root: Part) -> tuple[str, list[Attached]]:
    """Return the text of a mail (``\\n`` line ends, no blank lines around) and its attachments, in their order."""
    attached: list[Part] = []
    bodies = _walk(root, 0, attached, True) or _only_text(attached)
    texts = [text for part in bodies if (text := _trimmed(_shown(part)))]
    body = "\n\n".join(texts)
    if len(body) > limits.MAX_TEXT:
        root.reading.defects.add(limits.CUT_OFF)
        body = body[: limits.MAX_TEXT].rstrip()
    return body, [_attachment(part) for part in attached]


def _only_text(attached: list[Part]) -> list[Part]:
    """Return the first text that only has a name: where there is nothing else to read it is also shown."""
    return [part for part in attached if part.type == "text/plain" and not part.attached][:1]


def _walk(part: Part, depth: int, attached: list[Part], inline: bool) -> list[Part]:
    """Return the parts that are the text of ``part``, and add to ``attached`` those that are none.

    ``inline``: whether a text without a name is text to read here.
    """
    if part.type.startswith("multipart/"):
        return _walk_multipart(part, depth, attached, inline and not part.attached)
    readable = part.type in ("text/plain", "text/html") and not part.attached and (not part.name or depth == 0)
    if inline and readable:
        return [part]
    attached.append(part)
    return []


def _walk_multipart(part: Part, depth: int, attached: list[Part], inline: bool) -> list[Part]:
    if depth >= MAX_DEPTH:
        part.reading.defects.add(f"more than {MAX_DEPTH} levels")
        attached.append(part)
        return []
    children = part.children()
    if children is None:
        fields = {name: value for name, value in part.fields.items() if name == "content-transfer-encoding"}
        return _walk(Part(fields, part.raw, part.reading), depth, attached, inline)
    if part.type == "multipart/related":
        root = _root(part, children)
        found = [_walk(child, depth + 1, attached, inline and child is root) for child in children]
    else:
        found = [_walk(child, depth + 1, attached, inline) for child in children]
    if part.type == "multipart/alternative":
        return _chosen(found)
    return [body for bodies in found for body in bodies]


def _root(part: Part, children: list[Part]) -> Part | None:
    """Return the part of a multipart/related that the others belong to (RFC 2387 section 3.2)."""
    start = part.parameter("start").strip("<> ")
    for child in children:
        if start and child.fields.get("content-id", "").strip("<> ") == start:
            return child
    texts = (c for c in children if c.type in ("text/plain", "text/html") or c.type.startswith("multipart/"))
    return next(texts, None)


def _chosen(alternatives: list[list[Part]]) -> list[Part]:
    """Return the bodies of the alternative to read: the first with plain text in it, else the last with any."""
    for bodies in alternatives:
        if any(part.type == "text/plain" and part.text.strip() for part in bodies):
            return bodies
    return next((bodies for bodies in reversed(alternatives) if any(_shown(part).strip() for part in bodies)), [])


def _shown(part: Part) -> str:
    return part.markdown if part.type == "text/html" else part.text


def _trimmed(text: str) -> str:
    """Return ``text`` without blank lines at both ends; the indentation of its first line stays."""
    text = text.rstrip()
    lead = len(text) - len(text.lstrip())
    return text[text.rfind("\n", 0, lead) + 1 :]


def _attachment(part: Part) -> Attached:
    name = part.name
    if not name and part.type in ("message/rfc822", "message/global"):
        fields, _ = header.split(part.content.lstrip(b"\r\n"), set())
        subject = next((field_text(value) for name, value in fields if name == "subject"), "")
        name = header.one_line(charset.words(subject))
        name = f"{name}.eml" if name else ""
    return Attached(name, part.type, part.content)
