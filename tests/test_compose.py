"""A message of ours, read back by others' parsers: what went in comes out, and nothing that a value holds does harm."""

from __future__ import annotations

import email
import html.parser
import re
import socket
import time
from email.header import decode_header, make_header
from email.message import Message
from email.policy import compat32, default
from email.utils import getaddresses, parsedate_to_datetime
from itertools import islice, product
from typing import Any
from unicodedata import normalize

import mailparser
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vrt.mail import citing, compose, markdown, parse, quote
from vrt.mail.compose import File, Outgoing
from vrt.model import Address
from vrt.text import filename

US = Address("Example VRT", "info-en@example.org")
JANE = Address("Jane Doe", "jane@example.com")
HOOK = "[Ticket#2026112010000081]"
WHEN = 1_795_168_925  # 2026-11-20 10:02:05 UTC

# Name, subject and text in the scripts that people write to us in, with what is awkward in each.
SCRIPTS = {
    "en": ("Jane Doe", "A picture of the bridge", "Dear Jane,\n\nthank you.\n\n-- \nThe team\n"),
    "marks": ('Doe, "Jane" (Dr.) \\ <x@y>; a:b', 'Quotes "and" <brackets>, a, b; c', "a\\b \"c\"\n.\nFrom us\n"),
    "de": ("Jürgen Müßig-Größenwahn", "Die Brücke über den Fluß", "Schöne Grüße\naus Köln – „heute“\n"),
    "fr": ("Hélène Œuvrard", "Où est passée l’œuvre ?", "À bientôt,\nl’équipe… «  merci  »\n"),
    "es": ("Íñigo Núñez", "¿Dónde está el archivo?", "¡Muchas gracias!\n"),
    "pl": ("Łukasz Żółć", "Zażółć gęślą jaźń", "Pchnąć w tę łódź jeża\n"),
    "tr": ("İbrahim Şığ", "Iğdır'ın ışığı", "Teşekkürler\n"),
    "vi": ("Nguyễn Thị Ngọc", "Ảnh cầu Thê Húc", "Xin cảm ơn rất nhiều\n"),
    "ru": ("Александра Константинопольская-Преображенская", "Фотография моста через реку", "Спасибо за письмо!\n" * 9),
    "uk": ("Євген Їжакевич", "Щодо світлини", "Дякуємо\n"),
    "el": ("Γιώργος Παπαδόπουλος", "Η φωτογραφία της γέφυρας", "Ευχαριστούμε πολύ\n"),
    "ar": ("محمد عبد الله", "صورة الجسر القديم", "شكرا جزيلا لكم\n"),
    "he": ("דוד בן־גוריון", "תמונה של הגשר", "תודה רבה\n"),
    "fa": ("می‌خواهم رضایی", "نامه‌های رسیده", "سپاس‌گزارم\n"),
    "hi": ("क्षितिज श्रीवास्तव", "पुल की तस्वीर", "आपका बहुत धन्यवाद\n"),
    "bn": ("রবীন্দ্রনাথ ঠাকুর", "সেতুর ছবি", "ধন্যবাদ\n"),
    "th": ("สมชาย ใจดี", "ภาพถ่ายของสะพานเก่าแก่ที่สวยงามมาก", "ขอบคุณมากค่ะ\n"),
    "zh": ("王小明", "关于大桥照片的许可问题关于大桥照片的许可问题大桥照片", "非常感谢您的来信。" * 40 + "\n"),
    "ja": ("山田　太郎", "橋の写真について", "ありがとうございます。\n"),
    "ko": ("김철수", "다리 사진에 관하여", "감사합니다\n"),
    "emoji": ("👩‍👩‍👧‍👦 🏳️‍🌈", "👍🏽 thanks ❤️ " + "😀" * 40, "🎉\n"),
    "combining": ("Zoe\u0308 A\u030a\u0323", "e\u0301" * 60, "n\u0303o\n"),
    "mixed": ("Bob Иванов 山田", "Re: plain words, then слово and 単語 then plain words again", "a я 山\n"),
    "long": ("x" * 200, "w" * 300 + " " + "v " * 150 + "end", "y" * 2000 + "\n"),
}  # fmt: skip


def outgoing(**more: Any) -> Outgoing:
    """Return a plain message to Jane, changed by ``more``."""
    plain = Outgoing(US, (JANE,), f"Re: {HOOK} A picture", "Thank you.\n", "abc@example.org", WHEN)
    return plain._replace(**more)


def sound(raw: bytes) -> list[str]:
    """Check what holds for every message of ours; return the names of its fields."""
    assert raw.isascii() and b"\0" not in raw
    lines = raw.split(b"\r\n")
    assert all(b"\n" not in line and b"\r" not in line for line in lines)
    head = lines[: lines.index(b"")]
    rows = re.split(rb"\r\n(?![ \t])", b"\r\n".join(head))
    assert [r for r in rows if not re.match(rb"[A-Za-z-]+: ?", r)] == []
    assert all(len(line) <= 998 and line.strip() for line in head)
    assert [line for line in head if len(line) > 78 and b" " in line.strip(b" ").split(b": ", 1)[-1]] == []
    assert max((len(line) for line in lines[len(head) :]), default=0) <= 78
    encoded = re.compile(rb"=\?[^? ]+\?[^? ]\?[^? ]+\?=")
    assert all(b"=?" not in encoded.sub(b"", row) for row in rows)
    for word in encoded.findall(b"\n".join(rows)):
        assert len(word) <= 75
        ((data, charset),) = decode_header(word.decode())
        assert charset == "utf-8" and isinstance(data, bytes) and data.decode()  # no character is split
    return [r.partition(b":")[0].decode() for r in rows]


def read(raw: bytes, policy: Any) -> Message:
    message = email.message_from_bytes(raw, policy=policy)
    for part in message.walk():
        assert part.defects == []
    return message


def unfolded(value: Any) -> str:
    """Return a field of the old parser as it is shown: ``decode_header`` leaves the folds in."""
    return str(make_header(decode_header(re.sub(r"\r?\n(?=[ \t])", "", value))))


def text_of(part: Message) -> str:
    data = part.get_payload(decode=True)
    assert isinstance(data, bytes)
    return data.decode().replace("\r\n", "\n")


def leaves(message: Message) -> list[Message]:
    return [p for p in message.walk() if not p.is_multipart()]


# --- what went in comes out ---------------------------------------------------------------------------


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script(script: str) -> None:
    name, subject, body = SCRIPTS[script]
    name_of_file = f"{name} – {subject[:20]}.pdf"
    out = outgoing(
        sender=Address(name, US.address), to=(Address(name, "a@example.com"), JANE),
        cc=(Address(name, "b@example.com"),), subject=f"Re: {HOOK} {subject}", body=body, html=True, language="de",
        files=(File(name_of_file, "application/pdf", b"\0%PDF"), File("data.csv", "text/csv", body.encode())),
    )  # fmt: skip
    raw = compose.build(out)
    sound(raw)
    wanted = filename(name_of_file)

    new = read(raw, default)
    assert new["Subject"] == out.subject.rstrip()
    assert [a.addr_spec for a in new["To"].addresses] == ["a@example.com", "jane@example.com"]
    # Python 3.11 reads a space between two encoded words of a name, where RFC 2047 section 6.2 has none.
    assert new["From"].addresses[0].display_name.replace(" ", "") == name.replace(" ", "")
    assert new["Date"].datetime.timestamp() == WHEN and new["Message-ID"] == "<abc@example.org>"

    old = read(raw, compat32)
    assert unfolded(old["Subject"]) == out.subject.rstrip()
    people = getaddresses([re.sub(r"\r\n", "", old[field]) for field in ("From", "To", "Cc")])
    assert [(unfolded(n), a) for n, a in people] == [
        (name, US.address), (name, "a@example.com"), tuple(JANE), (name, "b@example.com")
    ]  # fmt: skip
    assert old["Date"].endswith("+0000")

    third = mailparser.parse_from_bytes(raw)
    composed = [normalize("NFC", text) for text in (out.subject.rstrip(), name)]  # it shows no other form
    assert [normalize("NFC", text) for text in (third.subject, third.from_[0][0])] == composed
    assert [a["filename"] for a in third.attachments] == [wanted, "data.csv"]

    for message in (new, old):
        plain, page, pdf, table = leaves(message)
        assert text_of(plain) == body and plain.get_content_type() == "text/plain"
        assert page.get_content_type() == "text/html" and page.get_content_charset() == "utf-8"
        assert (pdf.get_filename(), pdf.get_payload(decode=True)) == (wanted, b"\0%PDF")
        assert (table.get_filename(), table.get_payload(decode=True)) == ("data.csv", body.encode())
        assert pdf.get_content_disposition() == "attachment" and pdf.get_content_type() == "application/pdf"

    own = parse.parse(raw)
    assert (own.subject, own.from_, own.body) == (out.subject.rstrip(), (out.sender,), body.strip("\n").rstrip())
    assert [a.name for a in own.attachments] == [wanted, "data.csv"] and own.defects == ()


LINES = st.text(st.characters(exclude_categories=("Cs", "Cc", "Cf", "Zl", "Zp")), max_size=120)


@settings(max_examples=100, deadline=None)
@given(LINES, LINES, st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0\r"), max_size=400))
def test_round_trip(name: str, subject: str, body: str) -> None:
    shown = [compose.fields.clean(text) for text in (name, subject)]
    raw = compose.build(outgoing(to=(Address(name, "a@example.com"),), subject=subject, body=body))
    sound(raw)
    old = read(raw, compat32)
    ((got, address),) = getaddresses([re.sub(r"\r\n", "", old["To"])])
    assert [unfolded(got), unfolded(old["Subject"])] == shown and address == "a@example.com"
    assert text_of(old) == (body if body.endswith("\n") else body + "\n")
    assert compose.envelope(raw) == (US.address, ("a@example.com",))


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        ("Thank you.\n", "quoted-printable"), ("trailing \t\n", "quoted-printable"),
        ("é" + "e" * 100, "quoted-printable"), ("山" * 100, "base64"), ("я" * 100, "base64"),
        ("x" * 5000, "quoted-printable"), ("", "quoted-printable"),
        ("a" * 76 + "\n" + "=" * 76 + "\n.\n..\nFrom x\n", "quoted-printable"),
    ],
)  # fmt: skip
def test_encodings_of_the_text(body: str, encoding: str) -> None:
    raw = compose.build(outgoing(body=body))
    message = read(raw, compat32)
    assert message["Content-Transfer-Encoding"] == encoding
    assert all(len(line) <= 76 for line in raw.partition(b"\r\n\r\n")[2].split(b"\r\n"))
    assert text_of(message) == (body if body.endswith("\n") else body + "\n")


@pytest.mark.parametrize(
    ("kind", "sent_as"),
    [
        ("image/png", "image/png"), ("IMAGE/PNG", "image/png"), ("message/rfc822", "application/octet-stream"),
        ("multipart/mixed", "application/octet-stream"), ("image/png\r\nBcc: x@y.z", "application/octet-stream"),
        ("image/png; name=x", "application/octet-stream"), ("", "application/octet-stream"),
        ("x", "application/octet-stream"), ("a/b/c", "application/octet-stream"), ("ä/b", "application/octet-stream"),
        ("text/plain", "text/plain"),
    ],
)  # fmt: skip
def test_files_go_byte_for_byte(kind: str, sent_as: str) -> None:
    data = b"From x\n.\n\r\n\rlone\0\xff" + bytes(range(256)) + b"no end"
    raw = compose.build(outgoing(files=(File("x.bin", kind, data), File("empty", kind, b""))))
    _, part, empty = leaves(read(raw, compat32))
    assert (part.get_content_type(), part.get_payload(decode=True)) == (sent_as, data)
    assert empty.get_payload(decode=True) == b"" and part.get_content_charset() is None


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd", "C:\\x\\a.exe", "a\r\nBcc: x.pdf", 'a"; filename="b.txt', "a\0b", "\u202egnp.exe", "",
        "=?utf-8?q?x=0d=0aBcc:x?=", "x" * 9000, "ä" * 9000, "\ud800.txt", "a\\", "a;b=c", "%0d%0a'", "utf-8''%0d",
        "＂＼／", "-rf", ".bashrc", "con.txt",
    ],
)  # fmt: skip
def test_names_of_files(name: str) -> None:
    raw = compose.build(outgoing(files=(File(name, "image/png", b"x"),)))
    sound(raw)
    for policy in (default, compat32):
        assert leaves(read(raw, policy))[1].get_filename() == filename(name)
    fallback = leaves(read(raw, compat32))[1].get_param("name")
    assert isinstance(fallback, str) and fallback.isascii() and len(fallback) <= 50


# --- hostile values -----------------------------------------------------------------------------------

BREAKS = [
    "\r\n", "\n", "\r", "\r\n ", "\n\t", "\r\n\r\n", "\0", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\r\r\n",
    "\\r\\n", "%0d%0a",
]  # fmt: skip
HARM = [
    "Bcc: all@evil.example",
    "Content-Type: text/html",
    ".",
    "\r\n<script>",
    "Resent-To: x@evil.example",
    "To: a@evil.example,",
]
LEADS = ["", "x", '"', "Name <a@b.example>"]
ENCODED = [
    "=?utf-8?q?x=0d=0aBcc:_a=40evil.example?=", "=?utf-8?b?eA0KQmNjOiBhQGV2aWwuZXhhbXBsZQ==?=", "=?x?", "?=",
    "=?utf-7?q?+AA0ACg-Bcc: x?=", "=?us-ascii*en?q?x?=", "=?=?utf-8?q?y?=?=", "=?utf-8?q?=?= =?utf-8?q?=0a?=",
    "=3D?utf-8?q?x?=",
]  # fmt: skip
SHAPES = [
    "x" * 10_000, "ä" * 10_000, "😀" * 3000, "a " * 5000, '"' * 500, "\\" * 501, "," * 500, "<" * 100 + ">" * 100,
    "()" * 200, "@" * 99, "a@b.example, c@d.example", "<x@evil.example>", "group: a@b.example;", "\u202eevil\u202c",
    "a\u200bb\u2060c\ufeff", "\u2066x\u2069", "\ud800", "\udfff\ud800", "\U000e0041\U000e007f", "", " ", "\t\t",
    "\u3000", "\u3164", "e" + "\u0301" * 5000, "\x1b[2J\x1b]0;x\a", "\x9b31m", "'; --", "-oQ/tmp", "--help", ";x=y",
    "\x7f" * 50, "a:b", ": x", "\ufffe\uffff", "a" * 997 + " b", "=" * 900, "_" * 900,
]  # fmt: skip
HOSTILE = [
    *ENCODED, *SHAPES, *(f"{lead}{cut}{harm}" for cut, harm, lead in product(BREAKS, HARM, LEADS)),
    *(f"{e}{s[:40]}" for e, s in product(ENCODED, SHAPES[5:])),
]  # fmt: skip
FIELDS = ["From", "To", "Cc", "Bcc", "Subject", "Date", "Message-ID", "X-Note", "MIME-Version", "Content-Type"]
CHUNK = 25


def test_there_are_enough_hostile_values() -> None:
    assert len(set(HOSTILE)) >= 500


@pytest.mark.parametrize("at", range(0, len(HOSTILE), CHUNK))
def test_hostile_values_in_every_field(at: int) -> None:
    """No field more, none less, the same parts, the same recipients, whatever a value holds."""
    for value in HOSTILE[at : at + CHUNK]:
        out = outgoing(
            sender=Address(value, US.address), to=(Address(value, "a@example.com"), Address(value, "b@example.com")),
            cc=(Address(value, "c@example.com"),), bcc=(Address(value, "d@example.com"),), subject=value, body=value,
            html=True, language=value, files=(File(value, value, b"x"),),
            in_reply_to=value, refers=(value, "a@b.example"),
            more=(("X-Note", value),),
        )  # fmt: skip
        raw = compose.build(out)
        wanted = [
            *FIELDS[:7],
            *(["In-Reply-To"] if f"In-Reply-To: <{value}>\r\n".encode("utf-8", "replace") in raw else []),
        ]
        assert sound(raw) == [*wanted, "References", *FIELDS[7:]], value
        assert compose.envelope(raw) == (US.address, tuple(f"{c}@example.com" for c in "abcd"))
        for policy in (default, compat32):
            message = read(raw, policy)
            kinds = [part.get_content_type() for part in message.walk()]
            assert (
                kinds[:4] == ["multipart/mixed", "multipart/alternative", "text/plain", "text/html"] and len(kinds) == 5
            )
        shown = unfolded(message["Subject"])
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\u200b\u2028-\u202e\u2066-\u2069\ud800-\udfff]", shown)
        assert shown == compose.fields.clean(value)  # what looks encoded in it is not decoded
        assert [a for _, a in getaddresses([re.sub(r"\r\n", "", message["To"])])] == ["a@example.com", "b@example.com"]
        assert b"Bcc" not in b"".join(row[:3] for row in compose.transmitted(raw).split(b"\r\n\r\n")[0].split(b"\r\n"))


@pytest.mark.parametrize("at", range(0, len(HOSTILE), CHUNK * 4))
def test_hostile_values_as_addresses_and_ids(at: int) -> None:
    """An address or an id of a message is one, or it is refused."""
    for value in HOSTILE[at : at + CHUNK * 4]:
        for address in (value, f"{value}@example.com", f"a@{value}", f"a@{value}.example"):
            for field in ("sender", "to", "cc", "bcc"):
                person = Address("x", address)
                try:
                    raw = compose.build(outgoing(**{field: person if field == "sender" else (person,)}))
                except ValueError:
                    continue
                sound(raw)
                assert compose.sendable(address) in (lambda by, to: (by, *to))(*compose.envelope(raw))
                assert len(read(raw, default)["From"].addresses) == 1
        for change in ({"message_id": value}, {"more": ((value, "x"),)}):
            try:
                raw = compose.build(outgoing(**change))
            except ValueError:
                continue
            assert len(sound(raw)) - len(change.get("more", ())) == 8, value


def test_plain_text_that_looks_encoded_is_encoded() -> None:
    raw = compose.build(outgoing(sender=Address("=?utf-8?q?Boss?=", US.address), subject="=?utf-8?q?x?= and a=?b"))
    assert b"?Boss?" not in raw and b"?q?x?=" not in raw
    new = read(raw, default)
    assert new["From"].addresses[0].display_name == "=?utf-8?q?Boss?=" and new["Subject"] == "=?utf-8?q?x?= and a=?b"


# --- who gets it --------------------------------------------------------------------------------------


def test_bcc_is_for_the_sender_only() -> None:
    many = tuple(Address("Überlange Namen", f"bcc{i}@example.net") for i in range(40))
    for to in ((JANE,), ()):
        raw = compose.build(outgoing(to=to, bcc=many, body="Bcc: stays@example.com\n", html=True))
        sent = compose.transmitted(raw)
        assert compose.envelope(raw)[1] == tuple(p.address for p in (*to, *many))
        assert b"bcc0" in raw and b"@example.net" not in sent and b"\r\nBcc: stays@example.com\r\n" in sent
        assert read(sent, compat32).keys() == [k for k in read(raw, compat32) if k != "Bcc"]
        assert compose.transmitted(sent) == sent


EMAILS = st.from_regex(
    r"[A-Za-z0-9!#$%&'*+/?^_`{|}~][A-Za-z0-9!#$%&'*+/?^_`{|}~.-]{0,20}@[a-z0-9]{1,9}\.[a-z]{2,6}", fullmatch=True
)
PEOPLE = st.lists(st.builds(Address, st.text(max_size=80), EMAILS), max_size=6).map(tuple)


@settings(max_examples=60, deadline=None)
@given(st.builds(Address, st.text(max_size=80), EMAILS), PEOPLE, PEOPLE, PEOPLE)
def test_envelope_is_the_recipients(
    sender: Address, to: tuple[Address, ...], cc: tuple[Address, ...], bcc: tuple[Address, ...]
) -> None:
    raw = compose.build(outgoing(sender=sender, to=to, cc=cc, bcc=bcc))
    sound(raw)
    wanted: dict[str, str] = {}
    for person in (*to, *cc, *bcc):
        wanted.setdefault(person.address.lower(), person.address)
    if not wanted:
        with pytest.raises(ValueError):
            compose.envelope(raw)
    else:
        assert compose.envelope(raw) == (sender.address, tuple(wanted.values()))


def test_nobody_gets_it_twice() -> None:
    people = tuple(Address("", a) for a in ("jane@example.com", "b@example.com", "Jane@Example.COM"))
    raw = compose.build(outgoing(to=people[:2], cc=people, bcc=people[::-1]))
    assert compose.envelope(raw)[1] == ("jane@example.com", "b@example.com")


GOOD = b"From: a@b.example\r\nTo: c@d.example\r\n\r\nx\r\n"


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"\r\n", b"x", GOOD[:20], GOOD.replace(b"\r\n", b"\n"), GOOD.replace(b"From", b"Subject"),
        GOOD.replace(b"To", b"X"), GOOD.replace(b"c@d", b"c d"), GOOD.replace(b"c@d.example", b"<c@d.example"),
        GOOD.replace(b"c@d.example", b"c@d.example,"), GOOD.replace(b"c@d.example", b"g: c@d.example;"),
        GOOD.replace(b"c@d.example", b"c@d.example (x)"), GOOD.replace(b"c@d.example", b"-x@d.example"),
        GOOD.replace(b"c@d", b"\xc3\xa4@d"), b"To: e@f.example\r\n" + GOOD, b"From: e@f.example\r\n" + GOOD,
        GOOD.replace(b"a@b.example", b"a@b.example, e@f.example"), b"Resent-To: e@f.example\r\n" + GOOD,
        b"Resent-Date: x\r\nResent-From: a@b.example\r\nResent-To: c@d.example\r\n" + GOOD, b" x\r\n" + GOOD,
        b"From x\r\n" + GOOD, b"Resent-Date: x\r\nResent-From: a@b.example\r\nResent-To: c@d.example\r\n\r\n" + GOOD,
        b"no colon\r\n" + GOOD, GOOD.replace(b"c@d.example", b'"x" y <c@d.example>'),
        GOOD.replace(b"c@d.example", b'"' + b"\\" * 99),
    ],
)  # fmt: skip
def test_envelope_guesses_nothing(raw: bytes) -> None:
    assert compose.envelope(GOOD) == ("a@b.example", ("c@d.example",))
    with pytest.raises(ValueError):
        compose.envelope(raw)


# --- redirecting --------------------------------------------------------------------------------------

ORIGINALS = [
    b"Received: from a\r\n\tby b; x\r\nFrom: Jane <jane@example.com>\r\nBcc: kept@example.com\r\n\r\nText\r\n",
    b"From: j@example.com\r\nSubject: 8 bit \xe4\xff\xc3\xa4\r\n\r\n\xff\xfe\x00 bytes \x80\r\n.\r\n",
    b"Resent-Date: x\r\nResent-From: q@x.org\r\nResent-To: o@x.org\r\nResent-Message-ID: <x@y>\r\nTo: j@x\r\n\r\n",
    b"Resent-To: old@example.com\r\nFrom: j@example.com\r\n\r\nno end of line", b"broken header without colon\r\n\r\nx",
    b"\r\nonly a body\r\n", b"", b"x" * 5000, b"a: b\rc\r\r\n\r\nlone\rcarriage\r\n",
]  # fmt: skip
TO = (Address("Zoë Q.", "zoe@example.net"), Address("", "legal@example.net"))


@pytest.mark.parametrize("original", ORIGINALS)
def test_redirect_changes_no_byte(original: bytes) -> None:
    raw = compose.redirect(original, Address("Team – info", US.address), TO, "r1@example.org", WHEN)
    assert raw.endswith(original)
    block = raw[: len(raw) - len(original)]
    names = ["Resent-Date", "Resent-From", "Resent-To", "Resent-Message-ID"]
    assert sound(block + b"\r\n") == names
    message = email.message_from_bytes(raw, policy=compat32)
    assert message.keys()[:4] == names and message["Resent-Message-ID"] == "<r1@example.org>"
    assert parsedate_to_datetime(message["Resent-Date"]).timestamp() == WHEN
    assert compose.envelope(raw) == (US.address, ("zoe@example.net", "legal@example.net"))
    assert compose.transmitted(raw) == raw


def test_redirect_mends_line_ends_only() -> None:
    wanted = b"Subject: x\r\n\r\n>From a\r\n.\r\nb\rc\r\n\r\n\xff"
    kept = b"Subject: x\n\n>From a\n.\r\nb\rc\n\r\n\xff"
    for line in (b"", b"From jane@example.com Fri Nov 20 10:02:05 2026\n", b"From MAILER-DAEMON x\r\n"):
        raw = compose.redirect(line + kept, US, TO, "r@e.example", WHEN)
        assert raw.endswith(b"Message-ID: <r@e.example>\r\n" + wanted)


@pytest.mark.parametrize(
    ("original", "by", "to", "message_id"),
    [
        (b" x\r\n", US, TO, "r@e.example"), (b"\tx\r\n", US, TO, "r@e.example"), (b"a: b\r\n", US, (), "r@e.example"),
        (b"a: b\r\n", US, TO, "r"), (b"a: b\r\n", US, (Address("", "ä@e.example"),), "r@e.example"),
        (b"a: b\r\n", Address("", "x"), TO, "r@e.example"), (b"From x y\n x", US, TO, "r@e.example"),
    ],
)  # fmt: skip
def test_redirect_refuses(original: bytes, by: Address, to: tuple[Address, ...], message_id: str) -> None:
    with pytest.raises(ValueError):
        compose.redirect(original, by, to, message_id, WHEN)


# --- addresses that people type -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "written"),
    [
        ("jane@example.org", "jane@example.org"), ("Jane.Doe+x@Example.ORG", "Jane.Doe+x@Example.ORG"),
        ("a..b.@docomo.example", "a..b.@docomo.example"), ("info@bücher.example", "info@xn--bcher-kva.example"),
        ("info@BÜCHER.example", "info@xn--bcher-kva.example"), ("x@例え.テスト", "x@xn--r8jz45g.xn--zckzah"),
        ("x@例え。テスト", "x@xn--r8jz45g.xn--zckzah"), ("root@localhost", "root@localhost"),
        ("a@straße.example", None),
        ("a@βόλος.example", None), ("jürgen@example.org", None), ("a@a\u200db.example", None), ("", None), ("@", None),
        ("a@", None), ("@b.example", None), ("a", None), ("-x@b.example", None), ("a@b@c.example", None),
        ("a@-b.example", None), ("a@b..example", None), ("a@b.example.", None), ("a b@c.example", None),
        ('"a b"@c.example', None), ("a@[127.0.0.1]", None), ("a" * 65 + "@b.example", None),
        ("a@" + "b" * 64 + ".example", None), ("a@" + "ä" * 64 + ".example", None), ("a@" + "ä." * 5000, None),
        ("a@exa℀mple.org", None), ("a@b.example\n", None), ("a@\u202eb.example", None), ("a@\ud800.example", None),
        ("a@b_c.example", None), ("a@b＠c.example", None),
    ],
)  # fmt: skip
def test_sendable(address: str, written: str | None) -> None:
    if written is None:
        with pytest.raises(ValueError) as caught:
            compose.sendable(address)
        assert len(str(caught.value)) < 80 and not compose.is_address(address)
    else:
        assert compose.sendable(address) == written and compose.is_address(written)
        assert compose.sendable(written) == written


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("Jane <jane@example.org>, joe@example.org", [("Jane", "jane@example.org"), ("", "joe@example.org")]),
        ("<jane@example.org>", [("", "jane@example.org")]), ("", []), (" , ,", []),
        ("a@b.example,\n c@d.example,", [("", "a@b.example"), ("", "c@d.example")]),
        ('"Doe, Jane \\"J\\"" <jane@example.org>', [('Doe, Jane "J"', "jane@example.org")]),
        ("Zoë Q. < zoe@bücher.example >", [("Zoë Q.", "zoe@xn--bcher-kva.example")]),
        ('"" <a@b.example>', [("", "a@b.example")]),
        ("joe@x.example <a@b.example>", [("joe@x.example", "a@b.example")]),
        ("A\n\u202eB <a@b.example>", [("A B", "a@b.example")]), ("Doe, Jane <a@b.example>", "Doe"),
        ("a@b.example; c@d.example", "a@b.example; c@d.example"), ("team: a@b.example;", "team: a@b.example;"),
        ("a@b.example (Jane)", "a@b.example (Jane)"), ("Jane", "Jane"), ("Jane <jane>", "Jane <jane>"),
        ("Jane <a@b.example> x", "Jane <a@b.example> x"), ('"Jane <a@b.example>', '"Jane'),
        ("ok@b.example, jürgen@b.example", "jürgen@b.example"), (", ".join(["a@b.example"] * 51), "more than 50"),
        ("x" * 60_000, "characters"), ("\x1b[2J", "\\x1b[2J"), ('"\\"' * 15_000, '"'), ('"\\' * 20_000, '"'),
        ("<" * 40_000, "<<<"), ("a " * 20_000 + "<", "a a a"),
    ],
)  # fmt: skip
def test_parse_addresses(typed: str, found: list[tuple[str, str]] | str) -> None:
    if isinstance(found, str):
        with pytest.raises(ValueError) as caught:
            compose.parse_addresses(typed)
        assert found in str(caught.value) and len(str(caught.value)) < 200 and "\x1b" not in str(caught.value)
    else:
        assert list(map(tuple, compose.parse_addresses(typed))) == found


# --- what an answer takes over ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("subject", "made"),
    [
        ("A picture", f"Re: {HOOK} A picture"), (f"Re: {HOOK} A picture", f"Re: {HOOK} A picture"),
        ("RE: aw: Fwd: WG : x", f"Re: {HOOK} x"), (f"AW: {HOOK} Re: {HOOK}: Fw: x", f"Re: {HOOK} x"),
        ("Re[2]: Re(3): Re^4: x", f"Re: {HOOK} x"), ("回复：x", f"Re: {HOOK} x"),
        ("[Ticket#2025010110000011] x", f"Re: {HOOK} x"), (f"x {HOOK} y", f"Re: {HOOK} x y"), ("", f"Re: {HOOK}"),
        ("Re:", f"Re: {HOOK}"), ("Regarding: x", f"Re: {HOOK} Regarding: x"),
        ("[Other#2025010110000011] x", f"Re: {HOOK} [Other#2025010110000011] x"),
        ("20260101 report", f"Re: {HOOK} 20260101 report"), ("a\r\nBcc: b\u202e\0", f"Re: {HOOK} a Bcc: b"),
        ("Re: " * 500 + "x", None), ("x" * 5000, None), ("[Ticket#" * 200, None), ("山" * 300, None),
        ("Re " * 300 + ":", None),
    ],
)  # fmt: skip
def test_reply_subject(subject: str, made: str | None) -> None:
    got = citing.reply_subject(subject, HOOK)
    assert got.startswith(f"Re: {HOOK}") and len(got) <= 250 and got.isprintable()
    assert made is None or got == made
    assert citing.reply_subject(got, HOOK) == got
    assert citing.reply_subject("Fwd: x", HOOK, "Fwd") == f"Fwd: {HOOK} x"
    assert citing.reply_subject("x", HOOK, "") == f"{HOOK} x"


@pytest.mark.parametrize(
    ("language", "line"),
    [
        ("en", "On 20 November 2026, Jane Doe <jane@example.com> wrote:"),
        ("de-at", "Am 20 November 2026 schrieb Jane Doe <jane@example.com>:"),
        ("fr", "Le 20 November 2026, Jane Doe <jane@example.com> a écrit :"),
        ("ES", "El 20 November 2026, Jane Doe <jane@example.com> escribió:"),
        ("xx", "On 20 November 2026, Jane Doe <jane@example.com> wrote:"),
        ("", "On 20 November 2026, Jane Doe <jane@example.com> wrote:"),
    ],
)  # fmt: skip
def test_quoting(language: str, line: str) -> None:
    body = "Hello,\n\n> you wrote\n> > and I before\nso it is. \n"
    made = citing.quoted(body, str(JANE), "20 November 2026", language)
    assert made == f"{line}\n> Hello,\n>\n>> you wrote\n>>> and I before\n> so it is.\n"
    # Answered above or below, it is known again as what others said.
    assert quote.blocks(f"Thank you.\n\n{made}") == [("text", "Thank you.\n\n"), ("quote", made)]


def test_quoting_wraps_but_breaks_no_link() -> None:
    url = "https://example.org/" + "path/" * 30
    iri = f"https://example.org/維基{'百' * 60}"
    body = f"Words {'and words ' * 30} see {url} please\n  {'indented ' * 12}\n{'很长的一段话。' * 30}\n{iri}"
    lines = citing.quoted(body + "\n" + "คำ" * 90, "x", "y", "en").splitlines()
    assert all(line[:2] == "> " for line in lines[1:])
    assert f"> {url}" in lines and f"> {iri}" in lines
    assert all(compose.text.width(line) <= 72 for line in lines if "://" not in line)
    joined = "".join(line[2:] for line in lines[1:])
    assert joined.replace(" ", "") == (body + "คำ" * 90).replace(" ", "").replace("\n", "")


@pytest.mark.parametrize(
    "body",
    [
        "x\n" * 4000, "x" * 400_000, "a " * 400_000, "山" * 400_000, ">" * 400_000, "> " * 99_999, "\n" * 400_000 + "x",
        " " * 400_000 + "x", "e" + "\u0301" * 400_000,
    ],
    ids=range(9),
)  # fmt: skip
def test_quoting_ends(body: str) -> None:
    made = citing.quoted(body, "x", "y", "en")
    assert len(made) < 700_000 and made.count("\n") <= 10_000
    assert made.endswith("> […]\n") == (body.strip("\n") != "x" and not body.startswith("> > "))


@pytest.mark.parametrize("cut", BREAKS[:14])
def test_no_quoted_line_looks_unquoted(cut: str) -> None:
    made = citing.quoted(f"a{cut}You are right.{cut}b", f"Jane{cut}> x", f"today{cut}y", "en")
    first, *rest = made.splitlines()
    assert first.startswith("On today") and first.endswith("wrote:") and all(line.startswith(">") for line in rest)


def test_forwarding() -> None:
    front = {
        "from": [JANE._asdict()], "to": [US._asdict(), {"name": "", "address": "x@example.com"}],
        "date": "2026-11-20T10:02:05+00:00",
        "subject": "A\r\nTo: nobody@example.com\u202e", "event": "secret", "ticket": "secret",
    }  # fmt: skip
    made = citing.forwarded(front, "Hello {{ x }}\n> quoted\n", "de")
    assert made == (
        "---------- Weitergeleitete Nachricht ----------\n"
        "Von: Jane Doe <jane@example.com>\nDatum: 2026-11-20T10:02:05+00:00\n"
        "An: Example VRT <info-en@example.org>, x@example.com\nBetreff: A To: nobody@example.com\n\n"
        "Hello {{ x }}\n> quoted\n"
    )
    for language in ("en", "de", "fr", "es"):
        assert quote.blocks("See below.\n\n" + citing.forwarded(front, "Hello", language))[1][0] == "quote"
    odd = {"from": "x", "to": [1, None, {}], "subject": None, "received": 5, "date": ""}
    assert citing.forwarded(odd, "", "en") == "---------- Forwarded message ----------\nDate: 5\n\n"


# --- HTML ---------------------------------------------------------------------------------------------


class Seen(html.parser.HTMLParser):
    """What a document holds: tags, attributes, text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[tuple[str, str | None]] = set()
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= set(attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


FRAME = {"html", "head", "meta", "body"}
TAGS = FRAME | {*"p br a em strong ul ol li blockquote code pre hr h1 h2 h3 h4 h5 h6".split()}  # noqa: SIM905
HOSTILE_MARKDOWN = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "![x](http://track.example/x.png)",
    "![x][r]\n\n[r]: http://track.example/x.png", "[x](javascript:alert(1))", "[x](JaVaScRiPt:alert(1))",
    "[x](java\nscript:alert(1))", "[x](&#106;avascript:alert(1))", "[x](data:text/html,x)", "[x](vbscript:x)",
    "[x](file:///etc/passwd)", "[x](//evil.example)", "[x](cid:1)", "<javascript:alert(1)>",
    "[x][r]\n\n[r]: javascript:alert(1)", '[x](http://a.example "onmouseover=alert(1)")',
    '[x](http://a.example/"onmouseover="alert(1))', "<style>*{}</style>", "```\"><script>\nx\n```", "`<script>`",
    "<!-- x -->", "<?php ?>", "<![CDATA[x]]>", "&lt;script&gt;", "> <script>x</script>",
    "> [paypal.example](http://evil.example)", "    <script>", "</body></html><script>", "- > <b>",
    "1. x\n   > <i>\n> y", "> a\n    > b\n\t> c", "\0<script\0>", "[x](ftp://a.example)", "[x]( http://a.example )",
    "<svg/onload=x>", "| a |\n|---|\n| <b> |", "[x](mailto:a@b.example?body=<script>)",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE_MARKDOWN)
def test_html_is_harmless(text: str) -> None:
    seen = Seen(markdown.to_html(text, "en"))
    assert seen.tags <= TAGS
    plain = {("lang", "en"), ("charset", "utf-8"), ("dir", "auto")}
    for name, value in seen.attributes - plain:
        assert name in ("href", "title", "class"), name
        assert name != "href" or re.match(r"https?://|mailto:", value or "")
    page = compose.build(outgoing(body=text, html=True, language="en"))
    sound(page)


def test_html_says_what_was_written() -> None:
    body = "Dear *Jane*,\n\n- one\n- [two](https://example.org/ü)\n\nRegards\n-- \nThe team\n<info@example.org>\n\n"
    page = markdown.to_html(body, "de-AT")
    assert page.startswith('<!DOCTYPE html>\n<html lang="de-AT">') and "<h2>" not in page
    assert "<em>Jane</em>" in page and '<a href="https://example.org/%C3%BC">two</a>' in page
    assert page.count("<p>-- <br>\nThe team<br>\n&lt;info@example.org&gt;</p>") == 1
    quotation = markdown.to_html("Am Montag schrieb Jane:\n> [a](http://b.example) *x*\n> > 1. old\n\nnew\n")
    inner = "<blockquote>\n1. old<br>\n</blockquote>\n"
    assert f"<blockquote>\n[a](http://b.example) *x*<br>\n{inner}</blockquote>\n<p>new</p>" in quotation
    assert "<html>" in quotation and "<html>" in markdown.to_html("x", '"><script>')
    assert "&gt; not quoted" in markdown.to_html("```\n> not quoted\n```")


@pytest.mark.parametrize(
    "text",
    [
        "> x\n" * 20_000, ">" * 100_000, "> " * 50_000, "*" * 20_000, "[" * 20_000, "- " * 5000, "`" * 20_000,
        "<" * 20_000,
    ],
    ids=range(8),
)  # fmt: skip
def test_html_of_much(text: str) -> None:
    assert Seen(markdown.to_html(text)).tags <= TAGS


# --- what is not said ---------------------------------------------------------------------------------


def test_nothing_of_this_machine_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TZ", "USER", "LOGNAME", "HOME", "EMAIL", "VRT_HOME"):
        monkeypatch.setenv(name, "ZZQ-9")
    monkeypatch.setattr(socket, "gethostname", lambda: "zzq")
    monkeypatch.setattr(socket, "getfqdn", lambda *_: "zzq")
    time.tzset()
    out = outgoing(html=True, files=(File("/home/somebody/secret/a.txt", "text/plain", b"x"),), language="en")
    raws = [compose.build(out) for _ in range(20)]
    monkeypatch.undo()
    time.tzset()
    for word in (b"zzq", b"/home", b"somebody", b"python", b"x-mailer", b"user-agent", b"vrt/", b"localhost"):
        assert word not in raws[0].lower()
    assert b"Date: Fri, 20 Nov 2026 10:02:05 +0000\r\n" in raws[0]
    boundaries = [b for raw in raws for b in re.findall(rb'boundary="([0-9a-f]{32})"', raw)]
    assert len(set(boundaries)) == 40
    bare = {re.sub(rb"[0-9a-f]{32}", b"", raw) for raw in raws}
    assert len(bare) == 1  # nothing else differs from one time to the next


def test_ids_that_are_referred_to() -> None:
    ids = tuple(f"{i}@example.com" for i in range(60))
    kept = compose.references("last@example.com", ("bad id", "x@=?utf-8?q?y?=", "a\r\nb@c", *ids, "<x@y>"))
    raw = compose.build(outgoing(in_reply_to="last@example.com", refers=kept))
    sound(raw)
    assert read(raw, default)["References"].split() == [f"<{i}>" for i in kept]
    assert (kept[0], kept[-2:], len(kept)) == ("0@example.com", ("59@example.com", "last@example.com"), 20)
    long = "x" * 240 + "@" + "y" * 240
    assert all(len(row) <= 998 for row in compose.build(outgoing(in_reply_to=long, refers=(long,) * 3)).split(b"\r\n"))
    made = list(islice((compose.new_message_id("example.org") for _ in range(99)), 99))
    assert len(set(made)) == 99 and all(re.fullmatch(r"[0-9a-f]{32}@example\.org", i) for i in made)


@pytest.mark.parametrize(
    "name", ["From", "bcc", "Resent-To", "Content-Type", "MIME-Version", "X Y", "X:", "", "X\r\nBcc", "Ä", "Received"]
)
def test_fields_of_ones_own(name: str) -> None:
    with pytest.raises(ValueError):
        compose.build(outgoing(more=((name, "x"),)))
