"""Mails made to stall what reads them, to fill its memory, or to confuse it; by name, each with what it shows."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import NamedTuple

MB = 1_000_000


class Bomb(NamedTuple):
    """``make`` returns the mail; it goes to ``queue``, with at least these ``defects``."""

    make: Callable[[], bytes]
    defects: set[str]
    queue: str


BOMBS: dict[str, Bomb] = {}


def add(name: str, make: Callable[[str], bytes], *defects: str, queue: str = "info-en") -> None:
    BOMBS[name] = Bomb(lambda: make(name), set(defects), queue)


def head(name: str, *more: bytes, without: str = "") -> bytes:
    """Return a header, ``more`` fields at its end, ``without`` the field of that name."""
    rows = [
        b"From: Jo <jo@example.com>",
        b"To: info-en@example.org",
        b"Subject: bomb " + name.encode(),
        b"Message-ID: <%s@bomb.example>" % name.encode(),
        b"Date: Fri, 20 Nov 2026 10:00:00 +0100",
        b"MIME-Version: 1.0",
    ]
    rows = [row for row in rows if not without or not row.lower().startswith(without.lower().encode() + b":")]
    return b"\n".join([*rows, *more]) + b"\n"


def field(name: str, which: str, value: bytes) -> bytes:
    """Return a mail with one field of its own."""
    return head(name, which.encode() + b": " + value, without=which) + b"\ntext\n"


def multipart(name: str, body: bytes, boundary: bytes = b"b", kind: bytes = b"mixed") -> bytes:
    return head(name, b'Content-Type: multipart/%s; boundary="%s"' % (kind, boundary)) + b"\n" + body


def text(name: str, body: bytes, charset: bytes = b"utf-8", encoding: bytes = b"8bit") -> bytes:
    kind = b"Content-Type: text/plain; charset=" + charset
    return head(name, kind, b"Content-Transfer-Encoding: " + encoding) + b"\n" + body


def html(name: str, body: bytes) -> bytes:
    return head(name, b"Content-Type: text/html; charset=utf-8") + b"\n" + body


def nested(levels: int, payload: bytes = b"the end\n", close: bool = True) -> bytes:
    """Return multiparts in each other, from the Content-Type of the first on."""
    out = [b"Content-Type: multipart/mixed; boundary=b0\n\n"]
    out += [
        b"--b%d\nContent-Type: multipart/mixed; boundary=b%d\n\n" % (level - 1, level) for level in range(1, levels)
    ]
    out.append(b"--b%d\n\n" % (levels - 1) + payload)
    if close:
        out += [b"\n--b%d--\n" % level for level in range(levels - 1, -1, -1)]
    return b"".join(out)


FILE = b"--b\nContent-Disposition: attachment; filename=a.zip\nContent-Transfer-Encoding: base64\n\n"
DEEP, MANY, CUT, PLAIN = "more than 20 levels", "more than 200 parts", "text cut off at 2 MB", "html read as plain text"

# --- structure ------------------------------------------------------------------------------------

add("nested-1000", lambda n: head(n) + nested(1000), DEEP)
add("nested-20-around-20-mb", lambda n: head(n) + nested(20, b"x\n" + (b"y" * 76 + b"\n") * 260_000), CUT)
add("nested-100000-never-closed", lambda n: head(n) + nested(100_000, close=False), DEEP)
add("nested-one-boundary", lambda n: multipart(n, b"--b\nContent-Type: multipart/mixed; boundary=b\n\n" * 50_000), MANY)
add("nested-messages", lambda n: head(n) + b"Content-Type: message/rfc822\n\n" * 50_000 + b"x\n")
add("10000-parts", lambda n: multipart(n, b"--b\n\nx\n" * 10_000 + b"--b--\n"), MANY)
add("4000000-empty-parts", lambda n: multipart(n, b"--b\n" * 4_000_000), MANY)
add("boundary-empty", lambda n: multipart(n, b"--\nx\n" * 100_000, b""), "multipart without boundary")
add("boundary-1-mb", lambda n: multipart(n, b"--" + b"b" * MB + b"\n\nx\n", b"b" * MB), "multipart without parts")
add("boundary-prefixes", lambda n: multipart(n, b"".join(b"--" + b"b" * i + b"\n\nx\n" for i in range(2000))))
add("boundary-within-a-line", lambda n: multipart(n, b"--b" * 6_000_000), "multipart without parts")
add(
    "25-mib-and-more",
    lambda n: text(n, (b"y" * 76 + b"\n") * 360_000),
    "larger than 25 MiB",
    queue="postmaster",
)

# --- header ---------------------------------------------------------------------------------------

add("50000-headers", lambda n: head(n, *[b"X-%d: y" % i for i in range(50_000)]) + b"\nx\n", "more than 500 headers")
add("header-of-10-mb", lambda n: head(n, b"X-Big: " + b"z" * 10 * MB) + b"\nx\n")
add("header-folded-5000000", lambda n: head(n, b"X-Big: a" + b"\n b" * 5_000_000) + b"\nx\n")
add("header-8-bit", lambda n: head(n, *[b"Cc: " + bytes(range(160 + i % 50, 255)) * 40 for i in range(490)]) + b"\nx\n")
add("blank-lines-before", lambda n: b"\n \n\t\n" * 3_000_000 + head(n) + b"\nx\n", "blank lines before the header")
add("to-100-kb-of-commas", lambda n: field(n, "Cc", b"," * 100_000), "more than 1000 addresses")
add(
    "to-20000-people",
    lambda n: field(n, "Cc", b", ".join(b"A %d <a%d@example.com>" % (i, i) for i in range(20_000))),
    "more than 1000 addresses",
)
add("to-20000-fields", lambda n: head(n, *[b"To: a%d@example.com" % i for i in range(20_000)]) + b"\nx\n")
add("to-quotes", lambda n: field(n, "Cc", b'"' * 40_001))
add("to-quoted-commas", lambda n: field(n, "Cc", b'"a,' * 33_000 + b" <x@example.com>"))
add("to-comments", lambda n: field(n, "Cc", b"(" * 20_000 + b"x@example.com" + b")" * 20_000), "bad address")
add("to-groups", lambda n: field(n, "Cc", b"g: a@b.c; " * 8_000))
add("from-angles", lambda n: field(n, "From", b"<" * 40_000), "bad address")
add("from-angle-pairs", lambda n: field(n, "From", b"<>" * 20_000 + b"jo@example.com"))
add("from-ats", lambda n: field(n, "From", b"a@" * 20_000))
add("from-backslashes", lambda n: field(n, "From", b'"' + b"\\" * 40_001 + b'" <jo@example.com>'))
add("from-spaces", lambda n: field(n, "From", b"jo" + b" " * 40_000 + b"doe" + b" \t" * 20_000 + b"<jo@example.com>"))
add("subject-10-mb-of-words", lambda n: field(n, "Subject", b"=?utf-8?b?w6TDtsO8?=\n " * 420_000), "header too long")
add("subject-folded-2500000", lambda n: field(n, "Subject", b"a\n b" * 2_500_000), "header too long")
add("subject-6000-charsets", lambda n: field(n, "Subject", b"".join(b"=?x%d?q?=E4?= " % i for i in range(6_000))))
add("subject-half-words", lambda n: field(n, "Subject", b"=?" * 20_000))
add("subject-numbers", lambda n: field(n, "Subject", b"[Ticket#2026112000000000] " * 3_800))
add("message-id-1-mb", lambda n: field(n, "Message-ID", b"<" + b"i" * MB + b"@example.com>"), "bad message id")
add("100000-references", lambda n: field(n, "References", b" ".join(b"<r%d@example.com>" % i for i in range(100_000))))
add("references-angles", lambda n: field(n, "References", b"<" * MB))
add("date-of-digits", lambda n: field(n, "Date", b"1" * 100_000), "bad date")
add("type-semicolons", lambda n: multipart(n, (b"--b\nContent-Type: text/plain" + b";" * 8_000 + b"\n\nx\n") * 199))
add("type-quotes", lambda n: field(n, "Content-Type", b"text/plain; " + b'a="b\\' * 8_000))
add(
    "type-continued-100000",
    lambda n: field(n, "Content-Type", b"text/plain" + b"".join(b"; name*%d*=%%41" % i for i in range(100_000))),
)
add("names-of-8-kb", lambda n: multipart(n, (FILE.replace(b"a.zip", b"n" * 7_900) + b"eA==\n") * 199))

# --- encodings and charsets -----------------------------------------------------------------------

add("base64-20-mb", lambda n: multipart(n, FILE + base64.encodebytes(bytes(range(256)) * 58_000) + b"\n--b--\n"))
add("base64-equals", lambda n: text(n, b"=" * 20 * MB, encoding=b"base64"), "bad base64")
add("base64-pieces", lambda n: text(n, b"QQ==" * 5_000_000 + b"*", encoding=b"base64"), "bad base64", CUT)
add("base64-junk", lambda n: text(n, b"A*" * 10_000_000, encoding=b"base64"), "bad base64", CUT)
add("quoted-printable-equals", lambda n: text(n, b"=" * 20 * MB, encoding=b"quoted-printable"), CUT)
add("uuencode-empty-lines", lambda n: text(n, b"begin 644 a\n" + b"\n" * 20 * MB, encoding=b"uuencode"), "bad uuencode")
add("uuencode-lies", lambda n: text(n, b"begin 644 a\n" + b"~~~~\n" * 4_000_000, encoding=b"uuencode"), "bad uuencode")
add("binary", lambda n: text(n, bytes(b for b in range(256) if b not in (0, 10, 13, 61)) * 80_000), "charset wrong")
add("nuls", lambda n: text(n, b"\0" * 20 * MB), CUT)
add("bare-crs", lambda n: (head(n) + b"\n").replace(b"\n", b"\r") + b"a\r" * 10 * MB, "bare cr line ends")
add("newlines", lambda n: text(n, b"\n" * 20 * MB + b"x"))
add("flowed", lambda n: head(n, b"Content-Type: text/plain; format=flowed") + b"\n" + b"a \n>>>> \n" * 2_000_000, CUT)
add("utf-7", lambda n: text(n, b"+AGE-" * 4_000_000, b"utf-7"), CUT)
add("utf-16-claimed", lambda n: text(n, b"\xd8\x00" * 10_000_000, b"utf-16"), "charset wrong")
add(
    "utf-16-mail",
    lambda n: b"\xff\xfe" + (head(n).decode() + "\n" + "𝒳" * 4_000_000).encode("utf-16-le"),
    "utf-16 mail",
)
add("iso-2022-escapes", lambda n: text(n, b"\x1b$B\x1b(B" * 3_300_000, b"iso-2022-jp"))
add("iso-2022-windows", lambda n: text(n, b"\x1b$B-!-!\x1b(B" * 2_000_000, b"iso-2022-jp"))
add("charset-guessed", lambda n: head(n) + b"\n" + "Привет, это письмо. ".encode("koi8-r") * MB, "charset guessed")
add("charset-unicode-escape", lambda n: text(n, b"\\u0041\\x1b" * 100_000, b"unicode_escape"), "unknown charset")
add("charset-zlib", lambda n: text(n, b"x\xda\xed\xc1" * 100_000, b"zlib"), "unknown charset")
add("charset-idna", lambda n: text(n, b"xn--" + b"a" * MB, b"idna"), "unknown charset")

# --- HTML -----------------------------------------------------------------------------------------

add("html-deep", lambda n: html(n, b"<div>" * 400_000 + b"x"), PLAIN)
add("html-1000000-tags", lambda n: html(n, b"<b>x</b>" * 500_000), PLAIN)
add("html-attribute", lambda n: html(n, b'<a href="https://example.org/' + b"a" * 1_900_000 + b'">x</a>'), PLAIN)
add("html-attributes", lambda n: html(n, b"<p " + b" ".join(b"a%x" % i for i in range(130_000)) + b">x"), PLAIN)
add("html-breaks-in-a-link", lambda n: html(n, b"<a href=https://example.org>" + b"x<br>" * 29_000), PLAIN)
add("html-open-formats", lambda n: html(n, b"<p><font><b><a>" * 120_000), PLAIN)
add("html-table", lambda n: html(n, b"<table>" + b"<tr><td>a<td>b" * 9_000))
add("html-tables-in-tables", lambda n: html(n, b"<table><tr><td>" * 100_000 + b"x"), PLAIN)
add("html-quotations", lambda n: html(n, b"<blockquote>" * 120 + b"x<p>" * 20_000))
add("html-lists", lambda n: html(n, b"<ul><li>" * 60 + b"x<p>" * 20_000))
add("html-entities", lambda n: html(n, b"&amp;&lt;&nbsp;" * 60_000))
add("html-endless-number", lambda n: html(n, b"<div>" * 2_000 + b"&#" + b"9" * 100_000 + b";"), PLAIN)
add("html-unfinished", lambda n: html(n, b"<meta " * 300_000), PLAIN)
add(
    "html-199-slow-ones",
    lambda n: multipart(n, (b"--b\nContent-Type: text/html\n\n<a href=x:y>" + b"<br>" * 11_000 + b"\n") * 199),
    "took too long to read",
)

# --- what is shown --------------------------------------------------------------------------------

add("quoted-deeply", lambda n: text(n, b">" * 400_000 + b"\n" + b"> " * 400_000 + b"x\n"))
add("quote-attributions", lambda n: text(n, b"On 1 Jan 2026 at 10:00 a@b.c wrote:\n" * 50_000))
add("quote-blank-lines", lambda n: text(n, b"a <a@b.c>:\n\n\n\n\n\n\n\n\n\n" * 100_000))
add("quote-signatures", lambda n: text(n, b"-- \n> a\n" * 200_000))
add("short-lines", lambda n: text(n, b"a\n" * 10 * MB), CUT)
add("words", lambda n: text(n, b" ".join(b"%x" % (i * 7919) for i in range(2 * MB))), CUT)
add("han", lambda n: text(n, "漢字".encode() * 3 * MB), CUT)
add("controls", lambda n: text(n, b"\x1b[2J\x07\x9b" * 4 * MB), CUT, "charset wrong")
