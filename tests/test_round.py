"""From end to end over a real Postfix and Dovecot: written by vrt, answered by Python's client, fetched again.

Everything goes over submission with TLS and a login, and over IMAP. Whoever is outside has a mailbox, and an ordinary
mail program that is made of ``email`` and ``smtplib``; what they have of a ticket has to be one thread for notmuch.
"""

from __future__ import annotations

import getpass
import re
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, formatdate, make_msgid, parsedate_to_datetime
from pathlib import Path
from typing import Any, NamedTuple

import mailparser
import pytest
import yaml
from conftest import REAL_HOME, Person, founded
from postfix import needed
from submission import Submission, submission
from test_follow_up import original, shown

PLAIN, HTML = "info-en@example.org", "hilfe@example.org"
ARCHIVE, LAWYER = "archive@example.net", "lawyer@example.net"
GONE = "no+body@example.com"  # Postfix takes mail for it, Dovecot has no such user: it comes back
MOST_IDS = 20  # in References of a message of ours
OURS = {"From", "To", "Cc", "Subject", "Date", "Message-ID", "In-Reply-To", "References", "MIME-Version",
        "Content-Type", "Content-Transfer-Encoding"}  # fmt: skip


class Tongue(NamedTuple):
    """How somebody is called, what they write about, what they say, and what they attach."""

    name: str
    subject: str
    text: str
    file: str


TONGUES = [
    Tongue('Müller, "Jörg" (Büro)', "Größe der Brücke, geändert", "Schöne Grüße aus Köln.\n.\n..\nFrom hier", "Maß.txt"),
    Tongue("Анна Каренина", "Вопрос о фотографии", "Здравствуйте!\nФотография старая.", "снимок моста.jpg"),
    Tongue("Ελένη Παπαδοπούλου", "Ερώτηση για την εικόνα", "Καλημέρα σας,\nη εικόνα είναι παλιά.", "εικόνα.png"),
    Tongue("ليلى حداد", "سؤال عن الصورة", "السلام عليكم،\nالصورة قديمة جدا.", "صورة الجسر.pdf"),
    Tongue("רבקה כהן", "שאלה על התמונה", "שלום רב,\nהתמונה ישנה.", "תמונה.pdf"),
    Tongue("प्रिया शर्मा", "चित्र के बारे में प्रश्न", "नमस्ते,\nयह चित्र पुराना है। क्‍या यह ठीक है?", "चित्र.odt"),
    Tongue("สมชาย ใจดี", "คำถามเกี่ยวกับรูปภาพ", "สวัสดีครับ\nรูปภาพนี้เก่ามาก", "รูปภาพ.png"),
    Tongue("王小明", "关于图片的问题", "您好：\n这张照片很旧。" + "很长的一行没有空格" * 30, "桥的照片.jpg"),
    Tongue("山田 太郎", "写真についての質問", "こんにちは。\nこの写真は古いです。", "橋の写真（古い）.jpg"),
    Tongue("김민수", "사진에 관한 질문", "안녕하세요.\n이 사진은 오래되었습니다.", "다리 사진.hwp"),
    Tongue("İbrahim Işık", "Fotoğraf hakkında soru", "Merhaba,\nışık çok güçlü, ğüşıöç.", "köprü ığş.txt"),
    Tongue("Nguyễn Thị Ánh", "Câu hỏi về bức ảnh", "Xin chào,\nbức ảnh này đã cũ.", "ảnh cũ.jpg"),
    Tongue("👩🏽‍🚀 Zoë 🦊", "🌉 + 🇪🇺 = ❤️?", "🙏🏿 Thanks = 100% 😀\n\n\tindented " + "word " * 60, "📎 notes; v=2.txt"),
]


@dataclass
class Talk:
    """One ticket as those outside see it. ``people``: the requester, and perhaps a friend; name by address."""

    queue: str
    people: dict[str, str]
    number: str = ""
    ids: list[str] = field(default_factory=list)  # of all messages so far, without <>
    last: EmailMessage = field(default_factory=EmailMessage)  # what came from outside last
    kept: list[bytes] = field(default_factory=list)  # what the requester wrote and got

    @property
    def requester(self) -> str:
        return next(iter(self.people))


@pytest.fixture(scope="module")
def servers() -> Iterator[Submission]:
    needed("notmuch")
    with submission() as running:
        yield running


@pytest.fixture(scope="module")
def desk(servers: Submission, tmp_path_factory: pytest.TempPathFactory) -> Person:
    """A desk that sends by that Postfix and fetches from that Dovecot, with a plain queue and one that sends HTML."""
    person = founded(tmp_path_factory.mktemp("round"))
    person.ok("queue", "add", "hilfe-de", "--address", HTML, "--title", "Büro für Brücken 橋", "--html",
              "--language", "de", "--signature", "Grüße\nhttps://example.org/ü")  # fmt: skip
    accounts = {name: servers.account(address) for name, address in (("info", PLAIN), ("hilfe", HTML))}
    assert person.desk is not None
    with (person.desk / "vrt" / "config.yaml").open("a") as file:
        yaml.safe_dump({"accounts": accounts, "delivery": servers.delivery(tls="starttls")}, file)
    return person


# --- those outside ----------------------------------------------------------------------------------


def letter(who: str, tongue: Tongue, to: str, subject: str, text: str, files: int = 0) -> EmailMessage:
    """Return a mail as an ordinary mail program makes it."""
    message = EmailMessage(policy=policy.SMTP)
    message["From"] = Address(tongue.name, addr_spec=who)
    message["To"], message["Subject"] = to, subject
    message["Date"], message["Message-ID"] = formatdate(localtime=True), make_msgid(domain=who.partition("@")[2])
    message.set_content(text)
    for i in range(files):
        message.add_attachment(bytes(range(256)) * (i + 1), "image", "png", filename=f"{i} {tongue.file}")
    return message


def answer(talk: Talk, who: str, raw: bytes, tongue: Tongue, i: int) -> EmailMessage:
    """Return somebody's answer to a message of ours, to all who got it: quoted, threaded, with a Re:."""
    got = message_from_bytes(raw, policy=policy.default)
    part = got.get_body(("plain",))
    assert part is not None
    quoted = "".join(f"> {row}\n" for row in part.get_content().splitlines())
    subject = str(got["Subject"])
    subject = subject if subject.startswith("Re:") else f"Re: {subject}"
    text = f"{tongue.text}\n\nOn {got['Date']}, {got['From']} wrote:\n{quoted}"
    message = letter(who, tongue, str(got["From"]), subject, text, i % 2)
    message["In-Reply-To"] = got["Message-ID"]
    message["References"] = f"{got['References'] or ''} {got['Message-ID']}".strip()
    if others := [a for a in (*got["To"].addresses, *(got["Cc"].addresses if got["Cc"] else ())) if a.addr_spec != who]:
        message["Cc"] = others
    if i % 3 == 1:
        message.get_body(("plain",)).add_alternative(f"<p>{tongue.text}</p>", subtype="html")  # type: ignore[union-attr]
    return message


def post(servers: Submission, talk: Talk, message: EmailMessage) -> None:
    """Send a mail from outside, to all whom it names."""
    raw = message.as_bytes()
    found = [a.addr_spec for name in ("To", "Cc") for value in message.get_all(name, []) for a in value.addresses]
    who = message["From"].addresses[0].addr_spec
    servers.write(raw, who, *found)
    talk.ids.append(message["Message-ID"].strip("<>"))
    talk.last = message
    talk.people[who] = message["From"].addresses[0].display_name
    if who == talk.requester:
        talk.kept.append(raw)


def fetched(servers: Submission, desk: Person, waiting: Counter[str]) -> None:
    """Fetch when the mailboxes of the queues have as many mails as were sent to them."""
    end = time.monotonic() + 60
    while any(servers.dovecot.count(box) < count for box, count in waiting.items()):
        assert time.monotonic() < end, servers.postfix.log[-3000:]
        time.sleep(0.02)
    done = desk.ok("fetch")
    assert (done.out, done.err) == ("", "")


# --- what we send -----------------------------------------------------------------------------------


class Expected(NamedTuple):
    """What a message of ours has to be; ``to`` and ``cc``: names by address."""

    sender: tuple[str, str]
    to: dict[str, str]
    cc: dict[str, str]
    subject: str
    text: str
    files: dict[str, bytes]
    ids: list[str]  # of the conversation before it
    html: bool


def arrived(servers: Submission, user: str, message_id: str) -> bytes:
    """Wait for a message in somebody's inbox, and return it."""
    end = time.monotonic() + 60
    with servers.mailbox(user) as client:
        while not (found := client.search(None, "HEADER", "Message-ID", message_id)[1][0].split()):
            assert time.monotonic() < end, servers.postfix.log[-3000:]
            time.sleep(0.03)
            client.noop()
        assert len(found) == 1
        return client.fetch(found[0].decode(), "(BODY.PEEK[])")[1][0][1]  # type: ignore[index, return-value]


def last_of_ours(desk: Person, ticket: str) -> dict[str, Any]:
    """Return the article of the last reply or forward."""
    return next(a for a in reversed(shown(desk, ticket)["articles"]) if re.search("-(reply|forward)-", a["id"]))


def reply(servers: Submission, desk: Person, talk: Talk, i: int, tongue: Tongue, folder: Path) -> bytes:
    """Let an agent reply; return what the requester has in the mailbox then, with everything in it looked at."""
    args, hook = ["reply", talk.number, "-m", tongue.text], f"[Ticket#{talk.number}]"
    subject = re.sub(r"^(Re: )?(\[Ticket#\d+\] )?", f"Re: {hook} ", str(talk.last["Subject"]))
    if i % 4 == 2:
        subject = " — ".join([tongue.subject] * 3)
        args += ["--subject", subject]
        subject = f"{hook} {subject}"
    to = talk.last["From"].addresses[0].addr_spec
    cc = {address: name for address, name in talk.people.items() if address != to}
    if cc:  # to whom we never wrote has to be named
        args += ["--all"] if i else [f for a, n in cc.items() for f in ("--cc", str(Address(n, addr_spec=a)))]
    args += ["--quote"] * (i % 3 == 0) + ["--bcc", ARCHIVE] * (i % 5 == 1)
    files = {f"{n} {tongue.file}": bytes([n, 13, 10, 0, 255]) * 99 for n in range(i % 3)}
    for name, data in files.items():
        (folder / name).write_bytes(data)
        args += ["--attach", str(folder / name)]
    done = desk.ok(*args)
    assert done.err == "" and f"{talk.number} sent to {to}" in done.out
    said = last_of_ours(desk, talk.number)
    raw = arrived(servers, talk.requester, said["message_id"])
    html = talk.queue == HTML
    sender = ("Büro für Brücken 橋" if html else "Example VRT", talk.queue)
    expected = Expected(sender, {to: talk.people[to]}, cc, subject, tongue.text, files, talk.ids, html)
    text = checked(desk, raw, original(desk, talk.number, said["id"]), expected)
    assert ("\n> " in text) == (i % 3 == 0)
    if i % 5 == 1:
        assert arrived(servers, ARCHIVE, said["message_id"]).endswith(raw.partition(b"\r\nFrom: ")[2])
    talk.ids.append(said["message_id"])
    talk.kept.append(raw)
    return raw


def checked(desk: Person, raw: bytes, written: bytes, expected: Expected) -> str:
    """Look at a message of ours, as it arrived, with two parsers of others; return its text."""
    sent = re.sub(rb"(?<=\r\n)Bcc:[^\r]*\r\n(?:[ \t][^\r]*\r\n)*", b"", written)
    assert raw.endswith(sent) and sent.startswith(b"From: ")
    assert sent.isascii() and max(map(len, sent.split(b"\r\n"))) <= 78
    assert sent.count(b"\n") == sent.count(b"\r") == sent.count(b"\r\n")
    added = message_from_bytes(raw.removesuffix(sent), policy=policy.default)
    assert set(added.keys()) == {"Return-Path", "Received"} and len(added.keys()) == 2
    assert "from example.org (" in added["Received"]

    message = message_from_bytes(sent, policy=policy.default)
    assert isinstance(message, EmailMessage)
    names = Counter(message.keys())
    assert set(names) <= OURS and set(names.values()) == {1} and not any(p.defects for p in message.walk())
    people = {n: [(a.display_name, a.addr_spec) for a in message[n].addresses] for n in ("From", "To", "Cc") if message[n]}
    told = {"From": [expected.sender], "To": [(n, a) for a, n in expected.to.items()]}
    told |= {"Cc": [(n, a) for a, n in expected.cc.items()]} if expected.cc else {}
    assert people == told
    assert message["Subject"] == expected.subject
    assert re.fullmatch(r"<[0-9a-f]{32}@example\.org>", message["Message-ID"])
    ids = expected.ids if len(expected.ids) <= MOST_IDS else expected.ids[:1] + expected.ids[1 - MOST_IDS :]
    assert message["In-Reply-To"] == f"<{ids[-1]}>" and message["References"].split() == [f"<{i}>" for i in ids]
    assert message["Date"].endswith("+0000") and abs(parsedate_to_datetime(message["Date"]).timestamp() - time.time()) < 60
    parts = checked_parts(message, expected)

    read = mailparser.parse_from_bytes(sent)
    assert read.subject == expected.subject and read.message_id == message["Message-ID"]
    assert (read.from_, read.to, read.cc) == (told["From"], told["To"], told.get("Cc", []))
    assert {a["filename"] for a in read.attachments} == set(expected.files)
    assert read.text_plain[0].replace("\r\n", "\n").rstrip() == parts[0].rstrip()

    visible = "\n".join([*(f"{k}: {v}" for k, v in message.items()), *parts])
    for secret in (socket.gethostname(), getpass.getuser(), "alice", str(REAL_HOME), str(desk.home), str(desk.desk), ARCHIVE):
        assert not re.search(rf"(?<!\w){re.escape(secret)}(?!\w)", visible, re.IGNORECASE), secret
    return parts[0]


def checked_parts(message: EmailMessage, expected: Expected) -> list[str]:
    """Look at the parts of a message of ours; return its texts."""
    kinds = [p.get_content_type() for p in message.walk() if p.get_content_disposition() != "attachment"]
    texts = ["multipart/alternative", "text/plain", "text/html"] if expected.html else ["text/plain"]
    assert kinds == ["multipart/mixed"] * bool(expected.files) + texts
    assert all(re.fullmatch("[0-9a-f]{32}", p.get_boundary() or "") for p in message.walk() if p.is_multipart())
    assert {p.get_filename(): p.get_content() for p in message.iter_attachments()} == expected.files
    found = [p.get_content().replace("\r\n", "\n") for p in message.walk() if p.get_content_maintype() == "text"]
    found = found[: len(texts[-2:])]
    assert found[0].startswith(f"{expected.text}\n\n-- \n{expected.sender[0]}\n")
    return found


# --- rounds -----------------------------------------------------------------------------------------


def rounds(servers: Submission, desk: Person, folder: Path, plan: list[tuple[str, int, bool]]) -> None:
    """Hold a talk for each (queue, rounds, with a friend in Cc) of ``plan``, all at the same time.

    Each round is one reply and one answer to it. In the end each ticket is one thread of its requester's mail.
    """
    tag, talks = f"r{len(plan)}", []
    for n, (queue, _, with_friend) in enumerate(plan):
        talks.append(Talk(queue, {f"{tag}-{n}@example.com": ""} | ({f"{tag}-friend@example.net": ""} if with_friend else {})))
    before = {box: servers.dovecot.count(box) for box in (PLAIN, HTML)}
    for n, talk in enumerate(talks):
        tongue, friend = TONGUES[n * 3 % len(TONGUES)], "".join([*talk.people][1:])
        message = letter(talk.requester, tongue, f"{tongue.name.replace(',', '')} <{talk.queue}>".replace('"', ""), tongue.subject, tongue.text, n)
        if friend:
            message["Cc"] = talk.people[friend] = 
