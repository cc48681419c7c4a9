"""What a colleague's program may have written: articles of an odd shape, and messages that say something else."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from vrt.mail import ours
from vrt.mail.compose import File, Outgoing, as_sent, build, redirect
from vrt.model import Address
from vrt.storage import articles

DESK, JANE = Address("Help", "info@example.org"), Address("Jane Roe", "jane@example.com")
BODY = "Dear Jane,\n\n**yes**, see [the page](https://example.org/a).\n"


def message(**more: Any) -> tuple[bytes, dict[str, Any]]:
    out = Outgoing(
        DESK, (JANE,), "Re: ünïcode", BODY, "1@example.org", 1_795_000_000, files=(File("a.bin", "", b"\0x"),)
    )
    raw = build(out._replace(**more))
    front = {
        "from": [DESK._asdict()], "to": [JANE._asdict()], "subject": "Re: ünïcode",
        "attachments": [{"sha256": hashlib.sha256(b"\0x").hexdigest()}],
    }  # fmt: skip
    return raw, front


@pytest.mark.parametrize("html", [False, True])
def test_a_message_that_says_what_its_article_says(html: bool) -> None:
    assert ours.differs(*message(html=html), BODY.strip()) == ""


LIES: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "a secret copy": ("envelope", lambda raw: b"Bcc: spy@evil.example\r\n" + raw),
    "answers go elsewhere": ("header", lambda raw: b"Reply-To: spy@evil.example\r\n" + raw),
    "another sender": ("envelope", lambda raw: raw.replace(b"<info@example.org>", b"<ceo@example.org>", 1)),
    "a field of its own": ("header", lambda raw: b"X-Note: secret\r\n" + raw),
    "a field twice": ("header", lambda raw: b"Subject: other\r\n" + raw),
    "another subject": ("subject", lambda raw: raw.replace(b"Subject: ", b"Subject: Not ", 1)),
    "another text": ("text", lambda raw: raw.replace(b"Dear Jane", b"Dear Jade", 1)),
    "another HTML": ("HTML", lambda raw: raw.replace(b"<strong>yes", b"<strong>no")),
    "another link": ("HTML", lambda raw: raw.replace(b"https://example.org/a", b"https://example.net/a")
                     .replace(b"https://example.net/a", b"https://example.org/a", 1)),
    "another file": ("files", lambda raw: raw.replace(b"AHg=", b"AHk=")),
}  # fmt: skip


@pytest.mark.parametrize(("what", "lie"), LIES.values(), ids=LIES)
def test_a_message_that_says_something_else(what: str, lie: Callable[[bytes], bytes]) -> None:
    raw, front = message(html=True)
    assert lie(raw) != raw and ours.differs(lie(raw), front, BODY.strip()) == what


def test_what_was_redirected_is_the_mail_as_it_came() -> None:
    original = b"From: jane@example.com\nSubject: x\n\nhello\r\n"
    raw = redirect(original, DESK, (JANE,), "1@example.org", 1_795_000_000)
    front = {"from": [DESK._asdict()], "to": [JANE._asdict()]}
    assert ours.redirected(raw, front, original) == "" and raw.endswith(as_sent(original))
    assert ours.redirected(raw.replace(b"hello", b"hullo"), front, original) == "mail"
    assert ours.redirected(raw.replace(b"jane@example.com>", b"spy@evil.example>", 1), front, original) == "envelope"


def article(front: str) -> bytes:
    return f"---\n{front}\n---\n\nwords\n".encode()


def test_an_article_of_the_usual_shape() -> None:
    front = {
        "ticket": "2026112010000017", "from": [{"name": "J", "address": "j@x"}], "references": ["a@b"], "spam": True,
        "attachments": [{"name": "n", "type": "t/t", "size": 3, "sha256": "0"}], "later": ["a", 1, None],
        "report": {"kind": "failed", "recipients": ["j@x"]},
    }  # fmt: skip
    assert articles.load(articles.dump(front, "words")) == (front, "words")


@pytest.mark.parametrize(
    "front",
    [
        "from: 5", "from: {a: b}", "from: [5]", "to: yes", "from: [{name: [x]}]", "attachments: 7", "attachments: [{}]",
        "attachments: [{name: x, type: y, size: big, sha256: z}]", "references: 5", "references: [[x]]",
        "b: !!binary aGk=",
        "s: !!set {a, b}", "report: {? !!binary aGk= : x}", "from: [{? !!binary aGk= : x}]", "a: &a [*a]", "1: x",
        "a: &a [x, y]\nb: *a", "a: {b: {c: d}}", "a: " + "[" * 3000 + "]" * 3000, "a: 0x" + "f" * 300, "a: .inf",
        "a: .nan",
        "a: &s " + "x" * 70_000 + "\n" + "\n".join(f"k{i}: *s" for i in range(70)), "report: {a: {b: c}}", "- a",
        "a0: &a0 [x, x]\n" + "\n".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 30)),
    ],
)  # fmt: skip
def test_an_article_of_another_shape_does_not_open(front: str) -> None:
    with pytest.raises(ValueError, match="not an article"):
        articles.load(article(front))
