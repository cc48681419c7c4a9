"""What is a delivery report, and what it says: real ones of many systems, and what people write about them."""

from __future__ import annotations

import json
import os
import pickle
import time
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vrt.mail import bounce
from vrt.mail.bounce import Report
from vrt.mail.parse import fields_of, parse

CORPUS = Path(os.environ.get("VRT_CORPUS") or Path(__file__).parents[2] / "shared" / "corpus")
needs_corpus = pytest.mark.skipif(not (CORPUS / "mail").is_dir(), reason=f"no corpus of mails in {CORPUS}")


def read(raw: bytes) -> Report | None:
    """Return what is read of ``raw``, without the net under bugs; and with it, the same."""
    fields, mail = fields_of(raw), parse(raw)
    report = bounce._read(raw, fields, mail)
    assert bounce.read(raw, fields, mail) == report
    if report is not None:
        assert_sound(report)
    return report


def assert_sound(report: Report) -> None:
    assert report.kind in ("failed", "delayed", "delivered")
    assert len(report.recipients) <= bounce.MAX_RECIPIENTS and len(report.message_ids) <= bounce.MAX_IDS
    assert len(report.reason) <= bounce.MAX_REASON
    for text in (*report.recipients, *report.message_ids, report.status, report.reason):
        text.encode()  # no lone surrogates
        assert not set(text) & {chr(c) for c in (*range(32), 127, *range(128, 160))}
    assert all(a.count("@") == 1 for a in report.recipients)
    assert all(i and "<" not in i and ">" not in i for i in report.message_ids)
    assert report.status == "" or report.status.count(".") == 2
    assert pickle.loads(pickle.dumps(report)) == report


# --- reports ---

DSN = b"""\
Return-Path: <>
From: MAILER-DAEMON@mx.example.net (Mail Delivery System)
To: info-en@example.org
Subject: Undelivered Mail Returned to Sender
Auto-Submitted: auto-replied
In-Reply-To: <thread@example.org>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="x"

--x
Content-Type: text/plain

This is the mail system. I'm sorry to have to inform you that your message could not be delivered.

--x
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.net
X-Original-Message-ID: <ours@example.org>

Final-Recipient: rfc822; forwarded@example.com
Original-Recipient: rfc822;jane@example.com
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 <forwarded@example.com>:
    User unknown

Final-Recipient: rfc822; joe@example.com
Action: delayed
Status: 4.4.1
--x
Content-Type: message/rfc822

Received: from a by b
Message-ID: <ours@example.org>
Subject: Re: The bridge

Hello
--x--
"""


def test_a_standard_report() -> None:
    assert read(DSN) == Report(
        "failed",
        ("jane@example.com",),  # as we wrote it, and not the one that is only late
        "5.1.1",
        "550 5.1.1 <forwarded@example.com>: User unknown",
        ("ours@example.org", "thread@example.org"),
    )


@pytest.mark.parametrize("ends", [b"\r\n", b"\r"])
def test_line_ends_do_not_matter(ends: bytes) -> None:
    assert read(DSN.replace(b"\n", ends)) == read(DSN)


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        (b"Action: failed", b"Action: delayed", "delayed"),
        (b"Action: failed", b"Action: Failed", "failed"),
        (b"Action: failed", b"Action: failure (bounced)", "failed"),
        (b"Action: failed\nStatus: 5.1.1", b"Status: 5.1.1", "failed"),
        (b"Action: failed", b"Action: relayed", "delayed"),  # for the other recipient it still is
    ],
)
def test_what_the_recipients_groups_say(old: bytes, new: bytes, kind: str) -> None:
    report = read(DSN.replace(old, new))
    assert report is not None and report.kind == kind


@pytest.mark.parametrize("action", [b"delivered", b"relayed", b"expanded"])
def test_a_success_is_none_of_the_failures(action: bytes) -> None:
    report = read(
        DSN.replace(b"Action: failed", b"Action: " + action).replace(b"Action: delayed", b"Action: " + action)
    )
    assert report is not None and report.kind == "delivered"


@pytest.mark.parametrize(
    "head",
    [
        b"Message-ID:<ours@example.org>",
        b"message-id:\n <ours@example.org>",
        b">From x@y Mon\nMessage-Id: <ours@example.org>",
    ],
)
@pytest.mark.parametrize(
    "type_", [b"message/rfc822", b"text/rfc822-headers", b"message/global", b"text/plain; name=headers.txt"]
)
def test_the_id_of_what_is_returned(head: bytes, type_: bytes) -> None:
    raw = DSN.replace(b"X-Original-Message-ID: <ours@example.org>\n", b"")
    raw = raw.replace(b"Received: from a by b\nMessage-ID: <ours@example.org>", head)
    report = read(raw.replace(b"message/rfc822", type_))
    assert report is not None and report.message_ids == ("ours@example.org", "thread@example.org")


def test_the_ids_that_a_report_answers_come_last() -> None:
    raw = DSN[: DSN.index(b"--x\nContent-Type: message/rfc822")].replace(
        b"X-Original-Message-ID: <ours@example.org>\n", b""
    )
    report = read(raw.replace(b"In-Reply-To", b"References: <first@example.org> <last@example.org>\nIn-Reply-To"))
    assert report is not None
    assert report.message_ids == ("thread@example.org", "last@example.org", "first@example.org")


MDN = b"""\
From: Jane Roe <jane@example.com>
To: info-en@example.org
Subject: Read: The bridge
Content-Type: multipart/report; report-type=disposition-notification; boundary=x

--x
Content-Type: text/plain

Your message was read.
--x
Content-Type: message/disposition-notification

Final-Recipient: rfc822;jane@example.com
Original-Message-ID: <ours@example.org>
Disposition: manual-action/MDN-sent-manually; displayed
--x--
"""


def test_a_read_receipt() -> None:
    report = read(MDN)
    assert report is not None
    assert (report.kind, report.recipients, report.message_ids) == (
        "delivered",
        ("jane@example.com",),
        ("ours@example.org",),
    )


def test_a_complaint_is_no_delivery_report() -> None:
    arf = MDN.replace(b"disposition-notification", b"feedback-report").replace(
        b"Disposition: ", b"Feedback-Type: abuse\nX: "
    )
    assert read(arf) is None


def plain(
    body: str, *, sender: str = "MAILER-DAEMON@mx.example.net", subject: str = "failure notice", **fields: str
) -> bytes:
    """Return a mail as bytes; names of fields with underscores; ``return_path`` is empty unless given."""
    head = {"return_path": "<>", "to": "info-en@example.org"} | fields
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in head.items() if value]
    lines += [f"From: {sender}", f"Subject: {subject}", "Content-Type: text/plain; charset=utf-8"]
    return ("\n".join(lines) + "\n\n" + body).encode()


RETURNED = """\
Return-Path: <info-en@example.org>
Received: from a by b; Fri, 20 Nov 2026 10:00:00 +0100
From: info-en@example.org
To: jane@example.com
Subject: The bridge
Message-ID: <ours@example.org>

Hello
"""
FREE = {
    "as qmail writes them": plain(
        "Hi. Here is the mailer of mx.example.net.\nYour message was not delivered, and I will not try again.\n\n"
        "<jane@example.com>:\nRemote host said: 550 5.1.1 No such user\n\n"
        "--- Below this line is a copy of the message.\n\n" + RETURNED
    ),
    "as Exim writes them": plain(
        "Your message could not be delivered to all of its recipients. This address has failed:\n\n"
        "  jane@example.com\n    host mx.example.com [192.0.2.1]\n    SMTP error: 550 5.1.1 Unknown\n\n"
        "------ This is a copy of the message, including all the headers. ------\n\n" + RETURNED,
        sender="Mail Delivery System <Mailer-Daemon@mx.example.net>", subject="Mail delivery failed",
        x_failed_recipients="jane@example.com",
    ),
    "a German one": plain(
        "Ihre E-Mail an jane@example.com konnte nicht zugestellt werden:\n\n550 5.1.1 Empfänger unbekannt\n\n"
        "----- Original message headers -----\n" + RETURNED,
        sender="Postmaster <postmaster@mx.example.net>", subject="Unzustellbar: The bridge",
    ),
    "a Japanese one": plain(
        "次のあて先へのメッセージは送信できませんでした。\n\n<jane@example.com>\n 5.1.1\n\n" + RETURNED,
        sender="Postmaster@mx.example.net", subject="配信エラー",
    ),
    "a Chinese one": plain(
        "您的邮件无法投递到 jane@example.com\n原因: 550 5.1.1 user not found\n\n" + RETURNED,
        sender="postmaster@mx.example.net", subject="系统退信",
    ),
    "a Russian one": plain(
        "Ваше сообщение не доставлено:\n\njane@example.com\n550 5.1.1 неизвестный адрес\n\n" + RETURNED,
        sender="mailer-daemon@mx.example.net", subject="Недоставленное сообщение",
    ),
    "a French one": plain(
        "Votre message n'a pas pu être remis à <jane@example.com>\n\n550 5.1.1\n\n" + RETURNED,
        sender="postmaster@mx.example.net", subject="Non remis : The bridge",
    ),
    "one that nobody sent": plain("550 5.1.1 <jane@example.com>: no mailbox\n\n" + RETURNED, sender="<>", subject="x"),
    "one of a sender that cannot be answered": plain(
        "Could not be delivered to: <jane@example.com>\nAs their mailbox is full. 5.1.1\n\n" + RETURNED,
        sender="no-reply@mx.example.net", subject="Mail",
    ),
    "one whose envelope is not known": plain(
        "<jane@example.com>: 550 5.1.1 User unknown\n\n" + RETURNED,
        return_path="", subject="Returned mail: User unknown",
    ),
}  # fmt: skip


@pytest.mark.parametrize("raw", FREE.values(), ids=list(FREE))
def test_reports_that_keep_no_standard(raw: bytes) -> None:
    report = read(raw)
    assert report is not None
    assert (report.kind, report.recipients, report.status) == ("failed", ("jane@example.com",), "5.1.1")
    assert "5.1.1" in report.reason and "\n" not in report.reason
    assert report.message_ids == ("ours@example.org",)


@pytest.mark.parametrize(
    ("subject", "body"),
    [
        (
            "Warning: message x delayed 24 hours",
            "The address to which the message has not yet been delivered is:\n\na@b.example",
        ),
        (
            "Delivery Status Notification (Delay)",
            "Delivery to the following recipient has been delayed:\n\n a@b.example",
        ),
        (
            "Warning: could not send message for past 4 hours",
            "You do not need to resend your message\n451 4.4.1 a@b.example",
        ),
        ("Nachricht verzögert", "Ihre Nachricht konnte noch nicht zugestellt werden. 4.4.1 a@b.example"),
    ],
)
def test_what_is_only_late(subject: str, body: str) -> None:
    report = read(plain(body, subject=subject))
    assert report is not None and report.kind == "delayed"


# --- what is none ---

QUOTED = "\n".join("> " + line for line in FREE["as qmail writes them"].decode().partition("\n\n")[2].split("\n"))
JANE = "Jane Roe <jane@example.com>"
PATH = "<jane@example.com>"
BODY = FREE["as qmail writes them"].decode().partition("\n\n")[2]
AS_ATTACHMENT = (
    b"Return-Path: <jane@example.com>\nFrom: Jane Roe <jane@example.com>\nTo: info-en@example.org\n"
    b"Subject: Fwd: Undelivered Mail Returned to Sender\nContent-Type: multipart/mixed; boundary=out\n\n"
    b"--out\nContent-Type: text/plain\n\nWhat is this?\n--out\nContent-Type: message/rfc822\n\n" + DSN + b"\n--out--\n"
)
PARTS = DSN[DSN.index(b"--x\nContent-Type: message/delivery-status") :]
WITH_PARTS = (  # as Apple Mail forwards a report
    b"Return-Path: <jane@example.com>\nFrom: Jane Roe <jane@example.com>\nTo: info-en@example.org\n"
    b"Subject: Fwd: Undelivered Mail Returned to Sender\nContent-Type: multipart/mixed; boundary=x\n\n"
    b"--x\nContent-Type: text/plain\n\nWhat is this?\n" + PARTS
)
NOT = {
    "a person forwards one": plain(
        "I got this, why?\n\n" + BODY, sender=JANE, return_path=PATH, subject="Fwd: failure notice"
    ),
    "a person forwards one and keeps its subject": plain(BODY, sender=JANE, return_path=PATH),
    "a person whose envelope is not known forwards one": plain(BODY, sender=JANE, return_path=""),
    "a person answers one": plain(
        "Please help.\n\nMAILER-DAEMON wrote:\n" + QUOTED, sender=JANE, return_path=PATH,
        subject="Re: Undelivered Mail Returned to Sender",
    ),
    "a person attaches one": AS_ATTACHMENT,
    "a person forwards one in parts": WITH_PARTS,
    "a person asks about a code": plain(
        "Hello,\nwhen I write to your photo team I get \"550 5.1.1 user unknown\". Is the address right?\nJane",
        sender=JANE, return_path=PATH, subject="550 5.1.1",
    ),
    "a postmaster asks about a code": plain(
        "Hello,\nour users' mail to you is rejected: 550 5.7.1 blocked. Could you look into it?\n\n" + RETURNED,
        sender="postmaster@example.com", return_path="<postmaster@example.com>", subject="Mail delivery failure",
    ),
    "a postmaster answers": plain(
        "The mailbox is there again.\n\n" + QUOTED,
        sender="postmaster@example.com", return_path="<postmaster@example.com>", subject="Re: Undelivered mail",
    ),
    "a postmaster's statistics": plain(
        "message bounce detail (by relay)\n\n  host said: 550 5.1.1 User unknown (total: 12)\n",
        sender="postmaster@example.com", return_path="<postmaster@example.com>", subject="Mail of Nov 19",
    ),
    "root's log": plain(
        "postfix/smtp: to=<a@b.example>, status=bounced (host said: 550 5.1.1 User unknown)\n" * 5,
        sender="root@example.com", return_path="<root@example.com>", subject="Logwatch for example.com",
    ),
    "a vacation notice": plain("I am away until Monday.", sender=JANE, subject="Automatic reply: The bridge",
                               auto_submitted="auto-replied"),
    "a vacation notice about a report": plain(
        "I am away.\n\n--- Original message ---\n" + BODY, sender=JANE, subject="Automatic reply: Undelivered Mail",
        auto_submitted="auto-replied",
    ),
    "a vacation notice of a postmaster": plain(
        "I am out of the office. Your message was not delivered to anyone else.",
        sender="Postmaster <postmaster@example.com>",
        subject="Out of office: The bridge", auto_submitted="auto-replied (vacation)",
    ),
    "a vacation notice with a mail system's name": plain(
        "Thank you for your mail. I am on leave until Monday.", sender="Mail Delivery System Team <desk@example.com>",
        subject="Abwesenheitsnotiz: The bridge",
    ),
    "an acknowledgement": plain("We have received your message. 2.1.5 is your number.", sender="help@example.com",
                                subject="[Ticket#2026] The bridge"),
    "a parcel": plain(
        "Ihre Sendung konnte nicht zugestellt werden.", sender="DHL <noreply@parcels.example>",
        return_path="<bounce@parcels.example>", subject="Zustellung fehlgeschlagen",
    ),
    "a parcel without an envelope sender": plain(
        "Your parcel could not be delivered.", sender="noreply@parcels.example", subject="Delivery failed",
    ),
    "a newsletter about mail": plain(
        "Undeliverable mail: ten tips. 550 5.1.1 explained.", sender="News <news@example.com>",
        return_path="<bounces+123-info=example.org@mailer.example>", subject="Why was your mail returned to sender?",
    ),
    "a mail of the mail system's that is no report": plain("Hi", subject="Test"),
    "a list asks to wait": plain(
        "Your mail to 'Talk' is being held until the list moderator can review it for approval.",
        sender="talk-owner@lists.example", return_path="<talk-bounces@lists.example>",
        subject="Your message to Talk awaits moderator approval",
    ),
    "a TLS report": b"From: noreply-smtp-tls-reporting@google.com\nSubject: Report Domain: example.org\n"
    b"Content-Type: multipart/report; report-type=tlsrpt; boundary=x\n\n--x\n\nReport\n--x--\n",
    "nothing": b"",
}  # fmt: skip


@pytest.mark.parametrize("raw", NOT.values(), ids=list(NOT))
def test_what_is_no_report(raw: bytes) -> None:
    assert read(raw) is None


def test_the_same_words_of_a_mail_system_are_one() -> None:
    """The examples above fail for their senders, not for their words."""
    assert read(plain(BODY)) is not None
    assert read(WITH_PARTS.replace(b"Jane Roe <jane@example.com>", b"MAILER-DAEMON@mx.example.net")) is not None


# --- the corpus ---


@cache
def expected() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((CORPUS / "expected" / "bounces.json").read_text())
    return {name: {each["reason"] for each in reports} for name, reports in found.items()}


@cache
def reports() -> dict[str, Report | None]:
    return {str(p.relative_to(CORPUS / "mail")): read(p.read_bytes()) for p in sorted(CORPUS.glob("mail/*/*.eml"))}


NO_FAILURE = {"feedback", "vacation", "delivered"}
# Failures that we do not recognise, and why we do not want to.
MISSED = {
    "sisimai/maildir__bsd__lhost-fml-02.eml": "a list tells a person that he is no member; it is list mail",
    "sisimai/maildir__bsd__lhost-sendmail-14.eml": "a person has forwarded it",
}


@needs_corpus
def test_failures_are_recognised() -> None:
    failures = [name for name, reasons in expected().items() if reasons - NO_FAILURE]
    found = [name for name in failures if (r := reports()[name]) and r.kind in ("failed", "delayed")]
    assert set(failures) - set(found) == set(MISSED)
    assert len(found) / len(failures) >= 0.97 and len(failures) == 320


@needs_corpus
def test_no_complaint_nor_vacation_notice_is_a_failure() -> None:
    names = [name for name, reasons in expected().items() if reasons <= {"feedback", "vacation"}]
    assert len(names) == 12 and [name for name in names if reports()[name]] == []
    delivered = [reports()[name] for name, reasons in expected().items() if reasons == {"delivered"}]
    assert [r.kind for r in delivered if r] == ["delivered"]  # the other one is a notification in JSON


@needs_corpus
def test_most_say_whom_and_which_message() -> None:
    found = [r for name, r in reports().items() if r and name in expected()]
    assert sum(1 for r in found if r.recipients) >= 0.96 * len(found)
    assert sum(1 for r in found if r.message_ids) >= 0.90 * len(found)  # in the others there is none
    assert all(r.reason for r in found)


# Mails of other suites that are delivery reports, looked at one by one.
OTHERS = {
    "cpython/msg_05.eml": "failed",  # Postfix's, its words replaced
    "mikel-mail/spec__fixtures__emails__multipart_report_emails__multi_address_bounce1.eml": "failed",
    "mikel-mail/spec__fixtures__emails__multipart_report_emails__multi_address_bounce2.eml": "failed",
    "mikel-mail/spec__fixtures__emails__multipart_report_emails__multipart_report_multiple_status.eml": "failed",
    "mikel-mail/spec__fixtures__emails__multipart_report_emails__report_422.eml": "delayed",
    "mikel-mail/spec__fixtures__emails__multipart_report_emails__report_530.eml": "failed",
    "mime4j/core__src__test__resources__mimetools-testmsgs__badbound.msg.eml": "failed",
    "mimekit/UnitTests__TestData__messages__bounce.txt.eml": "failed",
    "mimekit/UnitTests__TestData__messages__delivery-status-multiple-blank-lines.txt.eml": "failed",
    "mimekit/UnitTests__TestData__messages__delivery-status.anonymized.eml": "failed",
    "mimekit/UnitTests__TestData__messages__delivery-status2.txt.eml": "failed",
    "mimekit/UnitTests__TestData__messages__disposition-notification.anonymized.eml": "delivered",
    "nodemailer/test__fixtures__delivery-status.eml": "failed",
    "php-mmp/tests__mails__failure.eml": "failed",
    "webklex/tests__messages__example_bounce.eml": "failed",
}


@needs_corpus
def test_no_other_mail_is_a_report() -> None:
    assert {name: r.kind for name, r in reports().items() if r and not name.startswith("sisimai/")} == OTHERS


@needs_corpus
def test_what_of_that_suite_is_no_report() -> None:
    """Of its mails for which no reading is given: complaints, an answering machine, a forwarded one, a plain mail."""
    none = [name for name, r in reports().items() if not r and name.startswith("sisimai/") and name not in expected()]
    assert [name.removeprefix("sisimai/maildir__").removesuffix(".eml") for name in none] == [
        "bsd__lhost-x2-07",  # a postmaster with an envelope sender: as a person in his place would write it
        "bsd__rfc3834-06",
        "dos__arf-01",
        "err__make-test-36",
        "mac__arf-01",
        "not__is-not-bounce-01",
    ]


@needs_corpus
def test_replies_are_none() -> None:
    replies = json.loads((CORPUS / "expected" / "replies.json").read_text())
    assert [r["name"] for r in replies if read(plain(r["text"], sender=JANE, return_path=PATH, subject="Re: x"))] == []


# --- anything at all ---

HEAD = b"Return-Path: <>\nFrom: MAILER-DAEMON@a.example\nSubject: failure notice\n"
REPORT = HEAD + b"Content-Type: multipart/report; boundary=x\n\n--x\nContent-Type: message/delivery-status\n\n"
LARGE = {
    "a returned message": DSN.replace(b"\nHello\n", b"\n" + b"Hello, this is a line of text.\n" * 800_000),
    "one line": HEAD + b"\n" + b"a" * 25_000_000,
    "addresses without end": HEAD + b"\n" + b"a@" * 12_000_000,
    "header lines": HEAD + b"\n" + b"Message-ID: <" * 1_900_000,
    "quotes": HEAD + b"\n" + b">" * 25_000_000,
    "words of reports": HEAD + b"\n" + b"message could not be error while zustell fehl " * 500_000,
    "codes": HEAD + b"\n" + b"5.1.1.5.1.1." * 2_000_000,
    "blank lines": HEAD + b"\n" + b"\n" * 25_000_000,
    "groups": REPORT + b"Action: failed\n\n" * 1_500_000,
    "one group": REPORT + b"Action: failed\n" + b" folded\n" * 3_000_000,
    "recipients": REPORT + b"Final-Recipient: rfc822; a@b.example\nAction: failed\n\n" * 400_000,
    "a long recipient": REPORT + b"Action: failed\nFinal-Recipient: " + b"a" * 20_000_000,
    "parts": HEAD + b"Content-Type: multipart/report; boundary=x\n\n" + b"--x\n\n" * 4_000_000,
    "reports in reports": REPORT.replace(b"message/delivery-status", b"message/rfc822") * 20_000,
}


@pytest.mark.parametrize("raw", LARGE.values(), ids=list(LARGE))
def test_large_mails_take_no_longer(raw: bytes) -> None:
    fields, mail = fields_of(raw), parse(raw)
    start = time.process_time()
    bounce._read(raw, fields, mail)
    assert time.process_time() - start < 2  # seconds of CPU; all take less than a third of one on a slow machine


PIECES = [
    *(b"Return-Path: <>\n", b"From: MAILER-DAEMON <>\n", b"From: postmaster@a.example\n", b"Subject: Undeliverable\n"),
    *(
        b"X-Failed-Recipients: a@b\n",
        b"Content-Type: multipart/report; report-type=delivery-status; boundary=x\n",
        b"\n",
    ),
    *(b"Content-Type: message/delivery-status\n\n", b"Content-Type: message/rfc822\n\n", b"--x\n", b"--x--\n", b"\n\n"),
    *(
        b"Action: failed\n",
        b"Status: 5.",
        b"1.1\n",
        b"Final-Recipient: rfc822;",
        b"a@b\n",
        b"Diagnostic-Code: ;",
        b"\x1b[2J",
    ),
    *(
        b"Message-ID: <",
        b">\n",
        b"\xff\xfe",
        b"\x00",
        b"\xe2\x80\xa8",
        b"550 ",
        b" not delivered",
        b"--- Original message ---\n",
    ),
]


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=4), max_size=40))
def test_pieces_of_reports(pieces: list[bytes]) -> None:
    read(b"".join(pieces))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_mutated_reports(data: st.DataObject) -> None:
    raw = bytearray(data.draw(st.sampled_from([DSN, MDN, WITH_PARTS, *FREE.values()])))
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(raw)))
        raw[at : at + data.draw(st.sampled_from([0, 1, 10, 100]))] = data.draw(st.sampled_from([b"", b"\n", *PIECES]))
    read(bytes(raw))
