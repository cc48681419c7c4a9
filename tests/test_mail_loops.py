"""What kind of mail it is, whether a program may answer it, and to what address (tests/vectors/answers.json)."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vrt.mail import bounce, loops
from vrt.mail.parse import fields_of, parse

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "vectors" / "answers.json").read_text())
CORPUS = Path(os.environ.get("VRT_CORPUS") or Path(__file__).parents[2] / "shared" / "corpus")
KINDS = {"bounce", "auto-reply", "auto", "list", "mail"}
WORDS = [  # in the order in which they are looked for
    *("bounce", "auto-submitted", "list", "loop", "asked-not-to", "null-sender", "daemon", "noreply", "own-address"),
    *("no-sender", "not-addressed"),
]


def own(address: str) -> bool:
    return address.lower() in VECTORS["own"]


def built(header: list[str], without: tuple[str, ...] = ()) -> bytes:
    """Return the mail of the vectors with these lines in it."""
    names = {line.partition(":")[0].lower() for line in header} | {name.lower() for name in without}
    kept = [line for line in VECTORS["base"] if line.partition(":")[0].lower() not in names]
    return ("\n".join([*kept, *header]) + "\n\nHello,\nplease help.\nJane\n").encode()


def judged(raw: bytes) -> tuple[str, str]:
    """Return the kind of a mail, and why it must not be answered."""
    fields, mail = fields_of(raw), parse(raw)
    kind = loops.kind(fields, mail, bounce.read(raw, fields, mail))
    why = loops.no_reply(fields, mail, kind, own)
    assert kind in KINDS and (why == "" or why in WORDS)
    return kind, why


@pytest.mark.parametrize("row", VECTORS["mails"], ids=lambda row: f"{row['of']}: {' / '.join(row['header'])[:60]}")
def test_which_mails_are_answered(row: dict[str, Any]) -> None:
    assert judged(built(row["header"], tuple(row.get("without", ())))) == (row["kind"], row["why"])


def test_the_table_is_what_it_should_be() -> None:
    rows = VECTORS["mails"]
    assert sum(1 for row in rows if row["why"]) >= 80 and sum(1 for row in rows if not row["why"]) >= 20
    assert {row["why"] for row in rows} == {*WORDS, ""} - {"bounce"}
    assert {row["kind"] for row in rows} == KINDS - {"bounce"}


@pytest.mark.parametrize("name", ["auto-submitted", "Auto-Submitted", "AUTO-SUBMITTED"])
def test_names_of_fields_are_of_any_case(name: str) -> None:
    assert judged(built([f"{name}: auto-replied"])) == ("auto-reply", "auto-submitted")


def test_values_may_be_folded_and_hold_any_bytes() -> None:
    assert judged(built(["Precedence:\n bulk"])) == ("list", "list")
    assert judged(built([]).replace(b"Subject: ", b"X-Loop: \xff\xfe\nSubject: ")) == ("mail", "loop")


REPORT = b"""\
Return-Path: <>
From: MAILER-DAEMON@mx.example.com
To: info-en@example.org
Subject: Undelivered Mail Returned to Sender
Auto-Submitted: auto-replied
Precedence: bulk

<joe@example.com>: 550 5.1.1 User unknown
"""


def test_a_delivery_report_is_first_of_all_that() -> None:
    assert judged(REPORT) == ("bounce", "bounce")


def test_the_first_reason_counts() -> None:
    """Of a mail with everything wrong, less and less: the words come in their order."""
    steps = [
        ("auto-submitted", "Auto-Submitted: auto-replied"),
        ("list", "List-Id: <talk.lists.example>"),
        ("loop", "X-Loop: yes"),
        ("asked-not-to", "X-Auto-Response-Suppress: All"),
        ("daemon", "Sender: owner-talk@lists.example"),
        ("noreply", "Reply-To: noreply@example.com"),
        ("own-address", "Return-Path: <info-en@example.org>"),
        ("no-sender", "From: jane@example.com, joe@example.com"),
        ("not-addressed", "To: joe@example.com"),
    ]
    for i, (word, _) in enumerate(steps):
        assert judged(built([line for _, line in steps[i:]]))[1] == word
    assert [word for word in WORDS if word in dict(steps)] == list(dict(steps))
    with_null = [line for _, line in steps[4:] if not line.startswith("Return-Path")]
    assert judged(built(["Return-Path: <>", *with_null]))[1] == "null-sender"
    assert judged(built(["Return-Path: <>", "X-Loop: yes"]))[1] == "loop"


# --- to what address ---


@pytest.mark.parametrize(
    ("path", "sender", "passed", "to"),
    [
        ("<jane@example.com>", "jane@example.com", False, "jane@example.com"),
        ("<jane@Example.COM>", "Jane Roe <jane@example.com>", False, "jane@Example.COM"),
        ("<prvs=12ab=jane@example.com>", "jane@example.com", False, "prvs=12ab=jane@example.com"),
        ("<jane@example.com>", "jane.roe@example.com", False, "jane@example.com"),
        ("<jane@mail.example.com>", "jane@example.com", False, ""),
        ("<jane@mail.example.com>", "jane@example.com", True, "jane@example.com"),
        ("<mallory@evil.example>", "jane@example.com", False, ""),
        ("<mallory@evil.example>", '"info-en@example.org" <jane@example.com>', False, ""),
        ("<SRS0=AbCd=XY=example.com=jane@forwarder.example>", "jane@example.com", False, ""),
        ("<SRS0=AbCd=XY=example.com=jane@forwarder.example>", "jane@example.com", True, "jane@example.com"),
        (None, "jane@example.com", False, "jane@example.com"),
        (None, "jane@example.com", True, "jane@example.com"),
        ("<>", "jane@example.com", True, ""),
        ("<MAILER-DAEMON>", "jane@example.com", True, ""),
        ("nonsense", "jane@example.com", True, ""),
        ("<jane@example.com>", "Jane Roe", True, ""),
        ("<jane@example.com>", "jane@example.com, joe@example.com", True, ""),
        ("<jane@example.com>", "joe@example.net, jane@example.com", False, ""),
    ],
)
def test_where_an_answer_goes(path: str | None, sender: str, passed: bool, to: str) -> None:
    raw = built([f"From: {sender}"] + ([f"Return-Path: {path}"] if path else []), ("Return-Path",))
    assert loops.answer_to(fields_of(raw), parse(raw), passed) == to


def test_only_the_topmost_envelope_sender_counts() -> None:
    """The mail server that delivers writes it above what came with the mail (RFC 5321 section 4.4)."""
    raw = b"Return-Path: <mallory@evil.example>\nReturn-Path: <jane@example.com>\nFrom: jane@example.com\n\n"
    assert loops.answer_to(fields_of(raw), parse(raw), False) == ""


def test_nobody_is_answered_who_is_not_in_the_mail() -> None:
    for row in VECTORS["mails"]:
        raw = built(row["header"], tuple(row.get("without", ())))
        to = loops.answer_to(fields_of(raw), parse(raw), True)
        assert to.lower() in raw.decode().lower() and "\n" not in to


# --- the corpus, and anything at all ---


@pytest.mark.skipif(not (CORPUS / "mail").is_dir(), reason=f"no corpus of mails in {CORPUS}")
def test_of_the_reports_of_the_corpus_none_is_answered() -> None:
    answered = []
    for path in sorted(CORPUS.glob("mail/sisimai/*.eml")):
        raw = path.read_bytes()
        fields, mail = fields_of(raw), parse(raw)
        kind = loops.kind(fields, mail, bounce.read(raw, fields, mail))
        ours = {a.address for a in (*mail.to, *mail.cc)} - {a.address for a in mail.from_}
        if not loops.no_reply(fields, mail, kind, lambda address, ours=ours: address in ours):  # type: ignore[misc]
            answered.append(path.name.removeprefix("maildir__").removesuffix(".eml"))
    assert answered == [
        *("bsd__arf-22", "bsd__arf-23"),  # complaints that look like anybody's forwarded mail
        *("bsd__lhost-sendmail-14", "err__make-test-36"),  # of people who forward a report
        "not__is-not-bounce-01",
    ]
    for path in sorted(CORPUS.glob("mail/sisimai/*rfc3834*.eml")):
        assert judged(path.read_bytes()) == ("auto-reply", "auto-submitted")


def test_hostile_headers_take_no_time() -> None:
    raws = [
        b"Auto-Submitted: " + b"(" * 3_000_000,
        b"Auto-Submitted: ((((no\n" * 500,
        b"Return-Path: " + b"<" * 3_000_000,
        b"From: " + b"-request" * 300_000 + b"@example.com\n",
        b"Return-Path: <" + b"-bounces+a=b" * 200_000 + b"@example.com>\n",
        b"Sender: " + b"a@" * 1_000_000,
        b"Subject: " + b"[" * 3_000_000,
        b"".join(b"X-No-Auto-%d: yes\n" % i for i in range(500)),
        b"Delivered-To: info-en@example.org\n" * 500,
    ]
    for raw in raws:
        fields, mail = fields_of(raw), parse(raw)
        start = time.process_time()
        loops.no_reply(fields, mail, loops.kind(fields, mail, None), own)
        loops.answer_to(fields, mail, True)
        assert time.process_time() - start < 1  # seconds of CPU


NAMES = sorted({line.partition(":")[0] for row in VECTORS["mails"] for line in row["header"]})
VALUES = st.sampled_from(["no", "yes", "<>", "auto-replied", "<a@b", "info-en@example.org", "(", "=?utf-8?b?", ";", ""])


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(NAMES), VALUES | st.text(max_size=8)), max_size=12))
def test_any_header(lines: list[tuple[str, str]]) -> None:
    raw = b"".join(f"{name}: {value}\n".encode("utf-8", "surrogatepass") for name, value in lines)
    fields, mail = fields_of(raw), parse(raw)
    judged(raw)
    to = loops.answer_to(fields, mail, True)
    assert to == "" or ("@" in to and not set(to) & set(" \t\r\n<>,;"))
