"""A mail read as a whole: header, text, and the digest to know it again by."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from vrt.mail.parse import Mail, content_digest, parse
from vrt.model import Address

HEADER = b"From: Jo <jo@example.org>\nTo: desk@example.org\nDate: Mon, 1 Jan 2024 10:00:00 +0100\nSubject: Hello\n"


def mail(*lines: str | bytes, body: str | bytes = "Text.") -> Mail:
    """Return the reading of a mail with these header lines."""
    header = b"".join((line.encode() if isinstance(line, str) else line) + b"\r\n" for line in lines)
    return parse(header + b"\r\n" + (body.encode() if isinstance(body, str) else body))


def test_ordinary_mail() -> None:
    read = mail(
        "From: =?utf-8?Q?J=C3=B6rg?= Muster <joerg@example.org>",
        'To: "Desk, Help" <help@desk.example>, second@desk.example',
        "Cc: Third <third@example.org>",
        "Reply-To: Elsewhere <else@example.org>",
        "Date: Tue, 2 Jan 2024 10:00:00 +0200",
        "Subject: =?utf-8?B?w5ZmZm51bmc=?= of the\r\n shop",
        "Message-ID: <one@example.org>",
        "In-Reply-To: <zero@example.org>",
        "References: <a@example.org>\r\n <zero@example.org> <a@example.org>",
        body="Good day\r\n\r\nBye\r\n",
    )
    assert read.from_ == (Address("Jörg Muster", "joerg@example.org"),)
    assert read.to == (Address("Desk, Help", "help@desk.example"), Address("", "second@desk.example"))
    assert read.cc == (Address("Third", "third@example.org"),)
    assert read.reply_to == (Address("Elsewhere", "else@example.org"),)
    assert read.date == datetime(2024, 1, 2, 8, 0, tzinfo=UTC)
    assert read.subject == "Öffnung of the shop"
    assert read.message_id == "one@example.org"
    assert read.in_reply_to == ("zero@example.org",)
    assert read.references == ("a@example.org", "zero@example.org")
    assert read.body == "Good day\n\nBye"
    assert read.attachments == ()
    assert read.defects == ()


def test_recipients_in_the_order_that_decides_the_queue() -> None:
    read = mail(
        "X-Original-To: Orig@desk.example",
        "Delivered-To: box@desk.example",
        "Cc: cc@desk.example, TO@desk.example",
        "To: to@desk.example",
        "Envelope-To: env@desk.example",
        "Resent-To: Re Sent <resent@desk.example>",
    )
    assert read.recipients == (
        "resent@desk.example",
        "env@desk.example",
        "to@desk.example",
        "cc@desk.example",
        "box@desk.example",
        "orig@desk.example",
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a@example.org, b@example.org", [("", "a@example.org"), ("", "b@example.org")]),
        ('"O\'Neil, Pat" <pat@example.org>', [("O'Neil, Pat", "pat@example.org")]),
        ("jo@example.org (Jo Doe)", [("Jo Doe", "jo@example.org")]),
        ("Friends: a@example.org, b@example.org;", [("", "a@example.org"), ("", "b@example.org")]),
        ("undisclosed-recipients:;", []),
        ("jo@example.org <jo@example.org>", [("", "jo@example.org")]),
        ("Mailer Daemon", [("Mailer Daemon", "")]),
        ("MAILER-DAEMON <>", [("MAILER-DAEMON", "")]),
        ("Moderator <moderator>", [("Moderator", "moderator")]),
        ("Big Bug bb@example.org", [("", "bb@example.org")]),
        ('"never closed <jo@', [('"never closed <jo@', "")]),
        ('"=?utf-8?Q?J=C3=B6rg?=" <j@example.org>', [("Jörg", "j@example.org")]),
        ("=?iso-2022-jp?B?GyRCOzNFRBsoQg==?= <y@example.org>", [("山田", "y@example.org")]),
        ("=?utf-8?Q?a=2C_b=40c=2Ed_=3Cx=40y=2Ez=3E?= <real@example.org>", [("a, b@c.d <x@y.z>", "real@example.org")]),
    ],
)
def test_addresses(value: str, expected: list[tuple[str, str]]) -> None:
    assert [(a.name, a.address) for a in mail(f"To: {value}").to] == expected


@pytest.mark.parametrize(
    "value", ["Jo <jo@example.org> <other@evil.example>", "jo@example.org)other@evil.example", "<"]
)
def test_an_address_that_is_not_plain_is_a_defect(value: str) -> None:
    assert "bad address" in mail(f"From: {value}").defects


def test_two_from_fields_are_a_defect() -> None:
    assert "more than one from header" in mail("From: a@example.org", "From: b@example.org").defects


def test_address_fields_given_twice_are_joined() -> None:
    assert len(mail("To: a@example.org", "To: b@example.org").to) == 2


def test_eight_bit_header_is_utf8_or_the_charset_of_the_text() -> None:
    assert mail("Subject: Größe".encode()).subject == "Größe"
    assert mail("Subject: Größe".encode("latin-1")).subject == "Größe"
    koi8 = mail("Subject: Привет".encode("koi8-r"), "Content-Type: text/plain; charset=koi8-r")
    assert koi8.subject == "Привет"
    utf8 = mail("Subject: Größe".encode(), "Content-Type: text/plain; charset=iso-8859-1")
    assert utf8.subject == "Größe"


@pytest.mark.parametrize(
    ("value", "when"),
    [
        ("Mon, 1 Jan 2024 10:00:00 -0000", datetime(2024, 1, 1, 10, 0, tzinfo=UTC)),
        ("1 Jan 2024 10:00 EST", datetime(2024, 1, 1, 15, 0, tzinfo=UTC)),
        ("Monday, 01-Jan-24 10:00:00 GMT", datetime(2024, 1, 1, 10, 0, tzinfo=UTC)),
        ("Mon, 1 Jan 2024 10:00:00 +0100 (CET)", datetime(2024, 1, 1, 9, 0, tzinfo=UTC)),
        ("Mon, 31 Feb 2024 10:00:00 +0100", None),
        ("yesterday", None),
        ("Mon, 1 Jan 1960 00:00:00 +0000", None),
        ("Mon, 1 Jan 99999 00:00:00 +0000", None),
    ],
)
def test_dates(value: str, when: datetime | None) -> None:
    read = mail("From: a@example.org", f"Date: {value}")
    assert read.date == when
    assert read.defects == (() if when else ("bad date",))


def test_defects_of_an_empty_header() -> None:
    assert mail("X: y").defects == ("no date", "no sender")


def test_header_values_hold_no_line_ends_and_no_nul() -> None:
    read = mail("Subject: =?utf-8?Q?a=0D=0AB:_c=00?=", "From: =?utf-8?Q?x=0Ay?= <a@example.org>")
    assert read.subject == "a B: c\ufffd"
    assert read.from_[0].name == "x y"


def test_message_ids_without_brackets_or_with_folds() -> None:
    assert mail("Message-ID: abc").message_id == "abc"
    assert mail("References: a@b c@d").references == ("a@b", "c@d")
    assert mail("References: <long\r\n part@b>").references == ("longpart@b",)


@pytest.mark.parametrize(
    ("before", "defect"),
    [
        (b"From jo@example.org Mon Jan  1 10:00:00 2024\n", "mbox line before the header"),
        (b">From jo@example.org Mon Jan  1 10:00:00 2024\n", "mbox line before the header"),
        (b"\r\n \r\n", "blank lines before the header"),
        (b"\xef\xbb\xbf", "byte order mark before the header"),
    ],
)
def test_what_stands_before_the_header_is_passed_over(before: bytes, defect: str) -> None:
    read = parse(before + HEADER + b"\nText")
    assert (read.subject, read.body, read.defects) == ("Hello", "Text", (defect,))


def test_a_from_field_with_a_space_is_no_mbox_line() -> None:
    assert parse(HEADER.replace(b"From:", b"From :") + b"\nText").from_ == (Address("Jo", "jo@example.org"),)


def test_old_macintosh_line_ends() -> None:
    read = parse((HEADER + b"\nText\nmore").replace(b"\n", b"\r"))
    assert (read.subject, read.body, read.defects) == ("Hello", "Text\nmore", ("bare cr line ends",))


def test_utf16_mail() -> None:
    read = parse((HEADER + "\nGrüße".encode()).decode().encode("utf-16"))
    assert (read.subject, read.body, read.defects) == ("Hello", "Grüße", ("utf-16 mail",))


def test_junk_line_inside_the_header() -> None:
    read = parse(b"X-One: 1\njunk without its mark\n" + HEADER + b"\nText")
    assert (read.subject, read.body) == ("Hello", "Text")
    assert read.defects == ("line without colon in the header",)


def test_text_right_after_the_header() -> None:
    assert parse(HEADER + b"Dear desk\nno blank line").body == "Dear desk\nno blank line"


@pytest.mark.parametrize(
    "raw", [b"", b"\n", b"\r\n\r\n", b"\0", b"\xff\xfe", b"no header at all", b"From ", b"\xef\xbb\xbf"]
)
def test_hardly_a_mail(raw: bytes) -> None:
    read = parse(raw)
    assert read.from_ == () and read.date is None
    assert len(read.content) == 32


# --- the content digest; the hex values are from ``printf '…' | sha256sum`` ---

PLAIN = (
    b"From: Jo <jo@example.org>\nDate: Mon, 1 Jan 2024 10:00:00 +0000\nSubject: Hello there\n\nLine one\nLine  two\n"
)
PLAIN_HEX = "1cf77d5a117215a6177bddd20b0c6823cf071c41e8da7873da0ec7b69950c033"


@pytest.mark.parametrize(
    ("raw", "digest"),
    [
        (PLAIN, PLAIN_HEX),
        (PLAIN.replace(b"\n", b"\r\n"), PLAIN_HEX),
        (b"Received: by x\nX-Spam: no\n" + PLAIN, PLAIN_HEX),
        (b"From jo Mon Jan 1\n" + PLAIN, PLAIN_HEX),
        (PLAIN.replace(b"one\n", b"one \t\n") + b"\n\n", PLAIN_HEX),
        (PLAIN.replace(b"Subject: Hello there", b"SUBJECT :Hello\n\t  there "), PLAIN_HEX),
        (
            b"Date: Mon, 1 Jan 2024 10:00:00 +0000",
            "6ba6f7f8d7e370c5f7aa81ac87ad2a532d81927047f9dbdf95c2e4880061d8ce",
        ),
        (b"From: Jo@example.org\n\n", "48fec4503b36ee040f664f1c6fc1fb580a067f93a64ca45be2d0e0832e2b01a9"),
        (
            b"Subject: no sender\r\n\r\nHello\r\n",
            "63d9446286628cf44600216cbf4b4bd94add0f13732318a8064e3634bc483cce",
        ),
        (b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ],
)
def test_content_digest(raw: bytes, digest: str) -> None:
    assert content_digest(raw).hex() == digest
    assert parse(raw).content.hex() == digest


def test_content_digest_tells_other_content_apart() -> None:
    more = (b"From", b"Reply-To", b"To", b"Cc", b"In-Reply-To", b"References", b"Content-Type",
            b"Content-Transfer-Encoding")  # fmt: skip
    others = [name + b": x@y\n" + PLAIN for name in more]
    assert len({content_digest(raw) for raw in [PLAIN, *others]}) == 1 + len(more)
    others = [PLAIN.replace(b"two", b"three"), PLAIN.replace(b"Hello", b"Hallo"), PLAIN.replace(b"Jo ", b"Jon ")]
    others += [PLAIN.replace(b"  two", b" two"), PLAIN.replace(b"10:00", b"10:01")]
    assert len({content_digest(raw) for raw in [PLAIN, *others]}) == 6


# --- bombs: what matters is that an answer comes, soon, and that it says what was left out ---


def test_many_headers() -> None:
    read = parse(HEADER + b"".join(b"X-%d: y\n" % i for i in range(50_000)) + b"\nText")
    assert (read.subject, read.body, read.defects) == ("Hello", "Text", ("more than 500 headers",))


def test_a_list_of_commas() -> None:
    read = mail("From: a@example.org", "Date: Mon, 1 Jan 2024 10:00:00 +0000", "To: " + "," * 100_000)
    assert (read.to, read.body, read.defects) == ((), "Text.", ("more than 1000 addresses",))


def test_many_recipients() -> None:
    names = ", ".join(f'"Name, {i}" <u{i}@example.org>' for i in range(20_000))
    read = mail(f"To: {names}", f"Cc: {names}", f"Reply-To: {names}", f"Resent-To: {names}")
    assert len(read.to) == 1000 and read.to[0] == Address("Name, 0", "u0@example.org")
    assert "more than 1000 addresses" in read.defects


@pytest.mark.parametrize("piece", ["(", '"', "<", "\\", "a:", "a:;", "@", "a.", "<a@b>", '",', "=?utf-8?q?a?= ", "ü"])
def test_hostile_address_lists(piece: str) -> None:
    assert mail("Subject: s", f"To: {piece * (100_000 // len(piece))}").subject == "s"


@pytest.mark.parametrize("piece", ["=?", "=?a?b?", "=?utf-8?b?A?= ", "\r\n ", "?=", "=?x-1?q?=?= "])
def test_hostile_subjects(piece: str) -> None:
    assert mail("From: a@example.org", f"Subject: {piece * 100_000}").from_[0].address == "a@example.org"


def test_one_long_line() -> None:
    assert len(parse(HEADER + b"\n" + b"x" * 1_000_000).body) == 1_000_000


def test_a_bug_of_ours_loses_no_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vrt.mail.header.Reader.subject", lambda self: 1 / 0)
    read = parse(HEADER + b"\r\nText\r\n")
    assert "Subject: Hello" in read.body and "Text" in read.body
    assert read.defects == ("could not be read",)
    assert read.content == content_digest(HEADER + b"\r\nText\r\n")
