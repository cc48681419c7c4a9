"""Which parts of a mail are its text and which are attachments."""

from __future__ import annotations

import base64
import hashlib

import pytest

from vrt.mail.parse import Mail, attachments, parse
from vrt.mail.parts import flowed

HEADER = "From: a@example.org\nDate: Mon, 1 Jan 2024 10:00:00 +0000\nMIME-Version: 1.0\n"


def part(type_: str, content: str, *more: str) -> str:
    """Return a part with its header."""
    return "\n".join([f"Content-Type: {type_}", *more, "", content])


def multi(subtype: str, *parts: str, boundary: str = "frontier") -> str:
    """Return a multipart of these parts."""
    inside = "".join(f"--{boundary}\n{one}\n" for one in parts)
    return f'Content-Type: multipart/{subtype}; boundary="{boundary}"\n\npreamble\n{inside}--{boundary}--\nepilogue\n'


def read(text: str | bytes) -> Mail:
    return parse(HEADER.encode() + (text.encode() if isinstance(text, str) else text))


def listed(mail: Mail) -> list[tuple[str, str]]:
    return [(a.name, a.type) for a in mail.attachments]


PLAIN = part("text/plain", "Plain text")
HTML = part("text/html", "<p>Marked <b>text</b></p>")
PDF = part("application/pdf", "JVBERi0=", "Content-Transfer-Encoding: base64")
ICS = part("text/calendar; method=REQUEST", "BEGIN:VCALENDAR")
PNG = part("image/png", "iVBORw0KGgo=", "Content-Transfer-Encoding: base64", "Content-ID: <logo>")
NOTE = part("text/plain", "A note", 'Content-Disposition: attachment; filename="note.txt"')


@pytest.mark.parametrize(
    ("text", "body", "names"),
    [
        (PLAIN, "Plain text", []),
        (HTML, "Marked **text**", []),
        (multi("alternative", PLAIN, HTML), "Plain text", []),
        (multi("alternative", part("text/plain", " \n"), HTML), "Marked **text**", []),
        (multi("alternative", HTML, PLAIN), "Plain text", []),
        (multi("mixed", PLAIN, HTML), "Plain text\n\nMarked **text**", []),
        (multi("mixed", PLAIN, PDF, PLAIN), "Plain text\n\nPlain text", [("", "application/pdf")]),
        (multi("mixed", PLAIN, NOTE), "Plain text", [("note.txt", "text/plain")]),
        (multi("alternative", PLAIN, HTML, ICS), "Plain text", [("", "text/calendar")]),
        (multi("related", HTML, PNG), "Marked **text**", [("", "image/png")]),
        (multi("related", PNG, HTML), "Marked **text**", [("", "image/png")]),
        (multi("alternative", PLAIN, multi("related", HTML, PNG, boundary="in")), "Plain text", [("", "image/png")]),
        (
            multi("alternative", PLAIN, multi("mixed", HTML, PDF, HTML, boundary="in")),
            "Plain text",
            [("", "application/pdf")],
        ),
        (
            multi("mixed", multi("alternative", PLAIN, HTML, boundary="in"), PDF),
            "Plain text",
            [("", "application/pdf")],
        ),
        (multi("mixed", PLAIN, part("application/ms-tnef", "x")), "Plain text", [("", "application/ms-tnef")]),
        (multi("mixed", PLAIN, part("text/enriched", "x")), "Plain text", [("", "text/enriched")]),
        (multi("mixed", PLAIN, part("text/plain; name=log.txt", "x")), "Plain text", [("log.txt", "text/plain")]),
        (PDF, "", [("", "application/pdf")]),
        (
            multi("signed", PLAIN, part("application/pgp-signature; name=signature.asc", "x")),
            "Plain text",
            [("signature.asc", "application/pgp-signature")],
        ),
        (
            multi("encrypted", part("application/pgp-encrypted", "Version: 1"), part("application/octet-stream", "x")),
            "",
            [("", "application/pgp-encrypted"), ("", "application/octet-stream")],
        ),
        (
            multi(
                "report", PLAIN, part("message/delivery-status", "Action: failed"), part("text/rfc822-headers", "A: b")
            ),
            "Plain text",
            [("", "message/delivery-status"), ("", "text/rfc822-headers")],
        ),
        (
            multi(
                "mixed",
                PLAIN,
                multi("mixed", PLAIN, boundary="in").replace("\n", "\nContent-Disposition: attachment\n", 1),
            ),
            "Plain text",
            [("", "text/plain")],
        ),
    ],
)
def test_text_and_attachments(text: str, body: str, names: list[tuple[str, str]]) -> None:
    mail = read(text)
    assert (mail.body, listed(mail), mail.defects) == (body, names, ())


def test_root_of_related_by_its_start_parameter() -> None:
    first = part("text/html", "<p>not this</p>", "Content-ID: <a>")
    root = part("text/html", "<p>this</p>", "Content-ID: <b>")
    mail = read(multi('related; start="<b>"', first, root))
    assert (mail.body, listed(mail)) == ("this", [("", "text/html")])


def test_text_with_only_a_name_is_shown_if_there_is_no_other() -> None:
    mail = read(multi("mixed", part("text/plain; name=body.txt", "All that there is")))
    assert (mail.body, listed(mail)) == ("All that there is", [("body.txt", "text/plain")])


def test_contents_agree_with_the_list() -> None:
    raw = (HEADER + multi("mixed", PLAIN, PDF, NOTE)).encode()
    found = attachments(raw)
    assert tuple(a for a, _ in found) == parse(raw).attachments
    assert [content for _, content in found] == [b"%PDF-", b"A note"]
    assert found[0][0].size == 5
    assert found[0][0].sha256 == hashlib.sha256(b"%PDF-").hexdigest()


def test_nested_message_keeps_its_bytes() -> None:
    inner = "From: x@example.org\nSubject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\nX-Odd:   spaces \n\n" + "Inner text\n"
    raw = (HEADER + multi("mixed", PLAIN, part("message/rfc822", inner))).encode()
    ((attachment, content),) = attachments(raw)
    assert (attachment.name, attachment.type) == ("Grüße.eml", "message/rfc822")
    assert content == inner.encode()
    assert parse(raw).body == "Plain text"


def test_digest_holds_messages() -> None:
    mail = read(multi("digest", "\nSubject: one\n\nText", "\nSubject: two\n\nText"))
    assert listed(mail) == [("one.eml", "message/rfc822"), ("two.eml", "message/rfc822")]


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ('Content-Disposition: attachment; filename="report.pdf"', "report.pdf"),
        ("Content-Disposition: attachment; filename=report.pdf", "report.pdf"),
        ("Content-Disposition: attachment; filename=two words.pdf", "two words.pdf"),
        ('Content-Disposition: attachment; filename="open.pdf', "open.pdf"),
        ('Content-Disposition: attachment; filename="a;b\\"c.pdf"', 'a;b"c.pdf'),
        ("Content-Disposition: attachment; filename*=utf-8''Gr%C3%B6%C3%9Fe.pdf", "Größe.pdf"),
        ("Content-Disposition: attachment; filename*=iso-8859-1'de'Gr%F6%DFe.pdf", "Größe.pdf"),
        ("Content-Disposition: attachment; filename*0=long; filename*1=er.pdf", "longer.pdf"),
        ("Content-Disposition: attachment; filename*1=er.pdf; filename*0=long", "longer.pdf"),
        ("Content-Disposition: attachment; filename*0*=utf-8''Gr%C3%B6; filename*1=sse.pdf", "Grösse.pdf"),
        ("Content-Disposition: attachment; filename*0*=utf-8''Gr%C3; filename*1*=%B6sse.pdf", "Grösse.pdf"),
        ("Content-Disposition: attachment; filename=plain.pdf; filename*=utf-8''st%C3%A4r.pdf", "stär.pdf"),
        ('Content-Disposition: attachment; filename="=?utf-8?Q?Gr=C3=B6=C3=9Fe.pdf?="', "Größe.pdf"),
        ("Content-Disposition: attachment; filename==?utf-8?B?R3LDtsOfZS5wZGY=?=", "Größe.pdf"),
        ('Content-Disposition: attachment; filename="Größe.pdf"', "Größe.pdf"),
        ('Content-Disposition: attachment; filename="../../etc/passwd"', "../../etc/passwd"),
        ('Content-Disposition: attachment; FileName="UPPER.PDF"', "UPPER.PDF"),
        ('Content-Disposition: attachment; filename="a\n b.pdf"', "a b.pdf"),
        ("Content-Disposition: attachment", "typed.pdf"),
        ("X-None: x", "typed.pdf"),
    ],
)
def test_file_names(field: str, name: str) -> None:
    (attachment,) = read(part('application/pdf; name="typed.pdf"', "x", field)).attachments
    assert attachment.name == name


BYTES = bytes(range(256)) * 3
BASE64 = base64.encodebytes(BYTES)


def content(encoding: str, data: bytes) -> tuple[bytes, tuple[str, ...]]:
    raw = HEADER.encode() + b"Content-Type: application/octet-stream\nContent-Transfer-Encoding: "
    raw += encoding.encode() + b"\n\n" + data
    return attachments(raw)[0][1], parse(raw).defects


@pytest.mark.parametrize(
    ("encoding", "data", "expected", "defects"),
    [
        ("base64", BASE64, BYTES, ()),
        ("BASE64 ", BASE64.replace(b"\n", b"\r\n"), BYTES, ()),
        ('"base64"', BASE64, BYTES, ()),
        ("base64", BASE64.rstrip(b"=\n")[:-2], BYTES[:-2], ("bad base64",)),
        ("base64", b"!*" + BASE64, BYTES, ("bad base64",)),
        ("base64", b"YQ==\nYg==\n", b"ab", ("bad base64",)),
        ("base64", b"Dear desk, this is no base64 at all.", b"Dear desk, this is no base64 at all.", ("bad base64",)),
        ("quoted-printable", b"a=3D=\nb=C3=BC", "a=bü".encode(), ()),
        ("quoted-printable", b"100%=ZZ =", b"100%=ZZ ", ()),
        ("x-uuencode", b"begin 644 x\n#86)C\n`\nend\n", b"abc", ()),
        ("uuencode", b"begin 644 x\n#86)C\n", b"abc", ("bad uuencode",)),
        ("uuencode", b"nothing of the kind", b"nothing of the kind", ("bad uuencode",)),
        ("8bit", BYTES, BYTES, ()),
        ("binary", BYTES, BYTES, ()),
        ("odd", b"abc", b"abc", ("unknown transfer encoding",)),
    ],
)
def test_transfer_encodings(encoding: str, data: bytes, expected: bytes, defects: tuple[str, ...]) -> None:
    assert content(encoding, data) == (expected, defects)


@pytest.mark.parametrize(
    ("text", "body", "defects"),
    [
        ("Content-Type: multipart/mixed\n\nJust text", "Just text", ("multipart without boundary",)),
        ("Content-Type: multipart/mixed; boundary=x\n\nJust text", "Just text", ("multipart without parts",)),
        ("Content-Type: multipart/mixed; boundary=x\n\n--x\n\nJust text", "Just text", ("multipart without end",)),
        ("Content-Type: multipart/mixed; boundary=x\n\n--x--\n", "", ()),
        ("Content-Type: multipart/mixed; boundary=x\n\n", "", ("multipart without parts",)),
        ("Content-Type: multipart/mixed; boundary=x\n\n--x\n\none\n--xy\ntwo\n--x--", "one\n--xy\ntwo", ()),
        ("Content-Type: multipart/mixed; boundary=x\n\n--x  \n\none\n--x-- \n", "one", ()),
        ("Content-Type: nonsense\n\nJust text", "Just text", ()),
        ("Content-Type: text/plain; charset\n\nJust text", "Just text", ()),
        ("Content-Type: \n\nJust text", "Just text", ()),
        ("Content-Type: text/html charset=utf-8\n\n<b>Just text</b>", "**Just text**", ()),
    ],
)
def test_broken_structure(text: str, body: str, defects: tuple[str, ...]) -> None:
    mail = read(text)
    assert (mail.body, mail.defects) == (body, defects)


def test_html_that_names_its_charset_itself() -> None:
    page = '<meta http-equiv="Content-Type" content="text/html; charset=koi8-r"><p>Привет</p>'
    assert read(b"Content-Type: text/html\n\n" + page.encode("koi8-r")).body == "Привет"


def test_text_that_begins_with_a_byte_order_mark() -> None:
    assert read(b"Content-Transfer-Encoding: base64\n\n" + base64.encodebytes("Grüße".encode("utf-16"))).body == "Grüße"
    assert read(b"\n\xef\xbb\xbf" + "Grüße".encode()).body == "Grüße"


def test_a_file_name_stays_on_one_line() -> None:
    (attachment,) = read(
        part("application/pdf", "x", "Content-Disposition: attachment; filename*=''a%0D%0Ab%00")
    ).attachments
    assert attachment.name == "a b\ufffd"


def test_flowed_text_is_put_together() -> None:
    text = "A long \nparagraph.\n\n> quoted \n> text\n>> deeper\n stuffed\n-- \nMe"
    mail = read(part("text/plain; format=flowed", text))
    assert mail.body == "A long paragraph.\n\n> quoted text\n>> deeper\nstuffed\n-- \nMe"


def test_flowed_text_with_delsp() -> None:
    assert flowed("日本 \n語", delsp=True) == "日本語"
    assert flowed("two \nwords", delsp=False) == "two words"


def test_body_keeps_its_indentation_and_loses_blank_lines_around() -> None:
    assert read("\n \n\n    indented\n\n\nend  \n\n").body == "    indented\n\n\nend"


def test_line_ends_become_newlines() -> None:
    assert read(b"\na\r\nb\rc\nd").body == "a\nb\nc\nd"


def test_many_levels_are_kept_as_an_attachment() -> None:
    text = "Content-Type: multipart/mixed; boundary=b0\n\n"
    text += "".join(f"--b{i}\nContent-Type: multipart/mixed; boundary=b{i + 1}\n\n" for i in range(5000))
    mail = read(text + "--b5000\n\nInnermost\n")
    assert listed(mail) == [("", "multipart/mixed")]
    assert mail.attachments[0].size > 200_000
    assert mail.defects == ("more than 20 levels", "multipart without end")


def test_nineteen_levels_are_read() -> None:
    text = "Content-Type: text/plain\n\nInnermost"
    for i in range(19):
        text = multi("mixed", text, boundary=f"b{i}")
    assert read(text).body == "Innermost"


def test_many_parts() -> None:
    mail = read(multi("mixed", *[part("text/plain", f"{i}") for i in range(1000)]))
    assert mail.body.split() == [str(i) for i in range(199)]  # the mail itself is the first part
    assert "more than 200 parts" in mail.defects


@pytest.mark.parametrize("piece", [";", ';a="', ";a=b", ";a*1=b", "=", '"', "%41", "'"])
def test_hostile_parameters(piece: str) -> None:
    assert read(part("text/plain; " + piece * 100_000, "Text")).body == "Text"


@pytest.mark.parametrize("piece", ["--x", "--x ", "\n--x y", "-"])
def test_hostile_boundaries(piece: str) -> None:
    assert read("Content-Type: multipart/mixed; boundary=x\n\n." + piece * 100_000).body
