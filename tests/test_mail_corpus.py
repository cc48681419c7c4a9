"""Real mail from other projects' test suites (VRT_CORPUS, or ../shared/corpus beside the repository)."""

from __future__ import annotations

import json
import os
import random
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vrt.mail.parse import READ_AS_TEXT, Mail, attachments, parse
from vrt.mail.quote import blocks

CORPUS = Path(os.environ.get("VRT_CORPUS") or Path(__file__).parents[2] / "shared" / "corpus")
needs_corpus = pytest.mark.skipif(not (CORPUS / "mail").is_dir(), reason=f"no corpus of mails in {CORPUS}")


@cache
def messages() -> dict[str, bytes]:
    """Return the raw messages by their path."""
    return {str(path.relative_to(CORPUS / "mail")): path.read_bytes() for path in sorted(CORPUS.glob("mail/*/*.eml"))}


def expected(name: str) -> Any:
    return json.loads((CORPUS / "expected" / f"{name}.json").read_text())


def texts(mail: Mail) -> list[str]:
    """Return every text of a mail's header; the body is not among them."""
    people = [*mail.from_, *mail.to, *mail.cc, *mail.reply_to]
    out = [mail.subject, mail.message_id, *mail.in_reply_to, *mail.references, *mail.recipients, *mail.defects]
    out += [a.name for a in people] + [a.address for a in people]
    return out + [a.name for a in mail.attachments] + [a.type for a in mail.attachments]


def assert_sound(mail: Mail) -> None:
    for text in texts(mail):
        assert not set(text) & {"\r", "\n", "\0"}
        text.encode()  # no lone surrogates
    assert not set(mail.body) & {"\r", "\0"}
    mail.body.encode()
    assert not mail.body.startswith("\n") and mail.body == mail.body.rstrip()
    assert mail.date is None or mail.date.utcoffset() is not None
    assert list(mail.defects) == sorted(set(mail.defects))
    assert all(defect == defect.lower() and defect.isascii() and len(defect) < 50 for defect in mail.defects)
    assert len(mail.content) == 32
    assert READ_AS_TEXT not in mail.defects  # the net under a bug of ours caught it


@needs_corpus
def test_every_message_is_read() -> None:
    assert len(messages()) == 869
    for raw in messages().values():
        mail = parse(raw)
        assert_sound(mail)
        assert [a for a, _ in attachments(raw)] == list(mail.attachments)
        assert "".join(text for _, text in blocks(mail.body)) == mail.body


@needs_corpus
def test_most_messages_have_somebody_and_something_to_read() -> None:
    mails = [parse(raw) for raw in messages().values()]
    assert sum(1 for m in mails if m.from_) > 795
    assert sum(1 for m in mails if m.date) > 760
    assert sum(1 for m in mails if m.body) > 795


# --- against an independent parser (stalwart's) ---

# Where we and the other parser differ, looked at in the raw message: who is right, and why.
UUENCODED = "we: it gives the undecoded size of an x-uuencode part; ours begins with the PNG mark and has its end"
RAW_HEADER = "we: latin-1 bytes in the header, where it gives U+FFFD; the charset of the text says latin-1"
UNCLOSED = "we: a text/plain inside an unclosed multipart, inline and nameless, is text; it calls it an attachment"
DIFFERENCES = {
    "legacy__017": UUENCODED + "; " + RAW_HEADER,
    "legacy__048": UUENCODED,
    "legacy__022": RAW_HEADER,
    "legacy__023": RAW_HEADER,
    "legacy__027": RAW_HEADER,
    "malformed__002": "we: a multipart with no boundary in it is text for a reader; it calls the text an attachment",
    "malformed__003": UNCLOSED,
    "malformed__004": "even: the boundary stands nowhere in it; we show the raw text, it shows the innermost part",
    "malformed__006": UNCLOSED,
    "malformed__007": "we: it gives an attachment of no bytes without a type, which nobody sent",
    "malformed__008": "even: text, then html, in multipart/mixed; we show both, it attaches the html",
    "malformed__009": UNCLOSED,
    "malformed__011": UNCLOSED,
    "malformed__016": "we: inner boundaries mean nothing once the outer one has ended them (RFC 2046 5.1.2)",
    "malformed__021": "we: the text stands before the first boundary and again as html; it shows the markup, too",
    "thirdparty__000": "we: two text/plain in multipart/alternative are one text twice; it shows both",
    "thirdparty__001": "we: as thirdparty__000",
    "thirdparty__005": "even: 'invalid--1--' with no line end before the boundary; RFC 2046 demands one, it does not",
    "thirdparty__015": "we: three message/rfc822 are attached in the raw message; it stops at the first",
}


def words(text: str | None) -> str:
    return " ".join((text or "").split())


def differences(raw: bytes, want: dict[str, Any]) -> list[str]:
    """Return in what our reading differs from the other parser's, white space aside."""
    mail = parse(raw)
    out = []
    if words(want.get("subject")) != words(mail.subject):
        out.append("subject")
    for field, people in (("from", mail.from_), ("to", mail.to)):
        theirs = [(words(a["name"]), a["address"] or "") for a in want.get(field, [])]
        if theirs != [(words(a.name), a.address) for a in people]:
            out.append(field)
    joined = words(" ".join(want["text"]))
    # It lists the html parts without their text, so where there are any, ours holds more.
    if (
        joined != words(mail.body)
        if not want["html_parts"]
        else any(words(t) not in words(mail.body) for t in want["text"])
    ):
        out.append("text")
    if [t["type"] or "message/rfc822" for t in want["attachments"]] != [a.type for a in mail.attachments]:
        return [*out, "attachments"]
    for theirs, (ours, content) in zip(want["attachments"], attachments(raw), strict=True):
        message = theirs["kind"] == "Message"  # it gives no size, and no name where we make one of the subject
        named = (theirs["name"] or "") == ours.name or (message and not theirs["name"])
        if not named or (not message and theirs["size"] not in sizes(content, theirs["kind"])):
            out.append("attachments")
            break
    return out


def sizes(content: bytes, kind: str) -> set[int]:
    """Return the sizes that an attachment may be given: of a text that in UTF-8, with ``\\n``, too."""
    if kind != "Text":
        return {len(content)}
    unix = content.replace(b"\r\n", b"\n")
    return {len(content), len(unix), len(unix.decode("latin-1").encode()), len(content.decode("latin-1").encode())}


@needs_corpus
@pytest.mark.parametrize("name", sorted(expected("stalwart")) if (CORPUS / "expected").is_dir() else [])
def test_as_an_independent_parser_reads_it(name: str) -> None:
    short = name.removeprefix("stalwart/resources__eml__").removesuffix(".eml")
    found = differences(messages()[name], expected("stalwart")[name])
    assert bool(found) == (short in DIFFERENCES), found


def test_we_are_wrong_in_at_most_three() -> None:
    assert sum(1 for why in DIFFERENCES.values() if why.startswith("it")) <= 3


# --- the part that the sender newly wrote ---

# Answers that we do not find, and why we do not try to.
UNFOUND = {
    "embedded_email_1.txt": "a quotation with no mark and no address: to fold what follows could hide text",
    "embedded_email_16.txt": "expects the quotation above an answer to count as the sender's text",
    "forwarded_message.txt": "expects the header of a forwarded mail to be cut off where nothing else is written",
}


def newly_written(text: str) -> str:
    return "".join(part for kind, part in blocks(text) if kind == "text").strip()


@needs_corpus
@pytest.mark.parametrize(
    "reply", expected("replies") if (CORPUS / "expected").is_dir() else [], ids=lambda r: r["name"]
)
def test_what_the_sender_wrote(reply: dict[str, Any]) -> None:
    found = newly_written(reply["text"])
    if reply["mode"] == "tokens":
        assert all(token in found for token in reply["must"])
        assert not any(token in found for token in reply["must_not"])
    else:
        assert (found == reply["expected"].strip()) == (reply["name"] not in UNFOUND)


# --- anything at all ---


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=2000))
def test_random_bytes(raw: bytes) -> None:
    assert_sound(parse(raw))
    assert [a for a, _ in attachments(raw)] == list(parse(raw).attachments)


PIECES = [
    b"From: ",
    b"To: a@b, ",
    b"Date: ",
    b"Subject: =?utf-8?B?",
    b"=?iso-2022-jp?Q?",
    b"?=",
    b"\n",
    b"\r\n",
    b"\n\n",
    b"Content-Type: multipart/mixed; boundary=x\n",
    b"Content-Type: multipart/alternative; boundary=y\n",
    b"Content-Type: text/html; charset=utf-7\n",
    b"Content-Type: text/plain; format=flowed; charset=utf-16\n",
    b"Content-Type: message/rfc822\n",
    b"Content-Disposition: attachment; filename*0*=x'y'%",
    b"Content-Transfer-Encoding: base64\n",
    b"Content-Transfer-Encoding: x-uuencode\n",
    b"--x",
    b"--y",
    b"--",
    b"<p><a href=",
    b"> ",
    b"\x00",
    b"\xff\xfe",
    b"\x1b$B",
    b"text",
    b'"',
    b"<",
    b";",
]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=4), max_size=40))
def test_pieces_of_mails(pieces: list[bytes]) -> None:
    assert_sound(parse(b"".join(pieces)))


@needs_corpus
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_mutated_mails(data: st.DataObject) -> None:
    raw = bytearray(data.draw(st.sampled_from(sorted(messages().values(), key=len)[:700])))
    source = random.Random(data.draw(st.integers(0, 2**32)))
    for _ in range(source.randrange(1, 20)):
        at = source.randrange(len(raw) + 1)
        raw[at : at + source.choice([0, 1, 1, 10, 100])] = source.choice(
            [b"", b"\n", bytes([source.randrange(256)]), *PIECES]
        )
    mail = parse(bytes(raw))
    assert_sound(mail)
    assert [a for a, _ in attachments(bytes(raw))] == list(mail.attachments)
