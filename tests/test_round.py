"""From end to end over a real Postfix and Dovecot: written by vrt, answered by Python's client, fetched again.

Everything goes over submission with TLS and a login, and over IMAP. Whoever is outside has a mailbox, and an ordinary
mail program that is made of ``email`` and ``smtplib``; what they have of a ticket has to be one thread for notmuch.
"""

from __future__ import annotations

import getpass
import os
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
from email.utils import formatdate, make_msgid
from pathlib import Path
from typing import Any, NamedTuple

import mailparser
import pytest
import yaml
from conftest import REAL_HOME, Person, founded
from postfix import needed
from submission import MISSING, Submission, submission
from test_follow_up import original, shown

PLAIN, HTML = "info-en@example.org", "hilfe@example.org"
ARCHIVE, LAWYER = "archive@example.org", "lawyer@example.net"
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
    Tongue('Müller, "Jörg" (Büro)', "Größe der Brücke, geändert", "Schöne Grüße.\n.\n..\nFrom hier", "Maß.txt"),
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
    Tongue("👩🏽‍🚀 Zoë 🦊", "🌉 + 🇪🇺 = ❤️?", "🙏🏿 Thanks = 100% 😀\n\n\tindented" + " word" * 60, "📎 notes; v=2.txt"),
]


@dataclass
class Talk:
    """One ticket as those outside see it. ``people``: the requester, and perhaps a friend; name by address."""

    queue: str
    people: dict[str, str]
    number: str = ""
    ids: list[str] = field(default_factory=list)  # of all messages so far, without <>
    last: EmailMessage = field(default_factory=EmailMessage)  # what came from outside last
    sent: list[bytes] = field(default_factory=list)  # by the requester

    @property
    def requester(self) -> str:
        return next(iter(self.people))


@pytest.fixture(scope="module")
def servers() -> Iterator[Submission]:
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


def text_of(message: EmailMessage, kind: str = "plain") -> str:
    """Return the text of a message, plain or html."""
    part = message.get_body((kind,))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def answer(who: str, raw: bytes, tongue: Tongue, i: int) -> EmailMessage:
    """Return somebody's answer to a message of ours, to all who got it: quoted, threaded, with a Re:."""
    got = message_from_bytes(raw, policy=policy.default)
    assert isinstance(got, EmailMessage)
    quoted = "".join(f"> {row}\n" for row in text_of(got).split("\n"))
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


def send(servers: Submission, talk: Talk, message: EmailMessage) -> None:
    """Send a mail from outside, to all whom it names.

    What counts is what it says once it is written: Python's ``email`` loses spaces where it folds a long text.
    """
    raw = message.as_bytes()
    talk.last = said = message_from_bytes(raw, policy=policy.default)
    by, found = said["From"].addresses[0], [*said["To"].addresses, *(said["Cc"].addresses if said["Cc"] else ())]
    servers.write(raw, by.addr_spec, *(a.addr_spec for a in found))
    talk.ids.append(said["Message-ID"].strip("<>"))
    talk.people[by.addr_spec] = by.display_name
    if by.addr_spec == talk.requester:
        talk.sent.append(raw)


def fetched(servers: Submission, desk: Person, waiting: Counter[str]) -> None:
    """Fetch when the mailboxes of the queues have as many mails as were sent to them."""
    end = time.monotonic() + 20
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
    end = time.monotonic() + 20
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
    desk.ok("show", talk.number)
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
    return raw


def named(message: EmailMessage, name: str) -> tuple[tuple[str, str], ...]:
    """Return the names and addresses in a field; nothing where it is not there."""
    return tuple((a.display_name, a.addr_spec) for a in (message[name].addresses if message[name] else ()))


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
    people = [(expected.sender,), *(tuple((n, a) for a, n in found.items()) for found in (expected.to, expected.cc))]
    assert [named(message, field) for field in ("From", "To", "Cc")] == people
    assert message["Subject"] == expected.subject
    assert re.fullmatch(r"<[0-9a-f]{32}@example\.org>", message["Message-ID"])
    ids = expected.ids if len(expected.ids) <= MOST_IDS else expected.ids[:1] + expected.ids[1 - MOST_IDS :]
    assert message["In-Reply-To"] == f"<{ids[-1]}>" and message["References"].split() == [f"<{i}>" for i in ids]
    assert message["Date"].endswith("+0000") and abs(message["Date"].datetime.timestamp() - time.time()) < 60
    parts = checked_parts(message, expected)

    read = mailparser.parse_from_bytes(sent)
    assert read.subject == expected.subject and read.message_id == message["Message-ID"]
    assert [tuple(found) for found in (read.from_, read.to, read.cc)] == people
    assert {a["filename"] for a in read.attachments} == set(expected.files)
    assert read.text_plain[0].replace("\r\n", "\n").rstrip() == parts[0].rstrip()

    visible = "\n".join([*(f"{k}: {v}" for k, v in message.items()), *parts])
    here = [socket.gethostname(), getpass.getuser(), *map(str, (REAL_HOME, desk.home, desk.desk))]
    for secret in (*here, "alice", ARCHIVE):
        assert not re.search(rf"(?<!\w){re.escape(secret)}(?!\w)", visible), secret
    return parts[0]


def checked_parts(message: EmailMessage, expected: Expected) -> list[str]:
    """Look at the parts of a message of ours; return its texts."""
    kinds = [p.get_content_type() for p in message.walk() if p.get_content_disposition() != "attachment"]
    texts = ["multipart/alternative", "text/plain", "text/html"] if expected.html else ["text/plain"]
    assert kinds == ["multipart/mixed"] * bool(expected.files) + texts
    assert all(re.fullmatch("[0-9a-f]{32}", p.get_boundary() or "") for p in message.walk() if p.is_multipart())
    files = [p for p in message.walk() if p.get_content_disposition() == "attachment"]
    assert {p.get_filename(): p.get_payload(decode=True) for p in files} == expected.files
    found = [text_of(message, kind.partition("/")[2]) for kind in texts if kind.startswith("text/")]
    if expected.html:
        assert '<html lang="de">' in found[1] and expected.text.partition("\n")[0] in found[1]
    assert found[0].startswith(f"{expected.text}\n\n-- \n{expected.sender[0]}\n")
    return found


# --- rounds -----------------------------------------------------------------------------------------


def rounds(servers: Submission, desk: Person, folder: Path, plan: list[tuple[str, int, bool]]) -> None:
    """Hold a talk for each (queue, rounds, with a friend in Cc) of ``plan``, all at the same time.

    A round is one reply and one answer to it. In the end what its requester has of a ticket is one thread.
    """
    needed("notmuch")
    many, spoken = len(plan), iter(range(1000))
    waiting = Counter({box: servers.dovecot.count(box) for box in (PLAIN, HTML)})
    talks = [Talk(queue, {f"r{many}-{n}@example.com": ""}) for n, (queue, _, _) in enumerate(plan)]
    for n, talk in enumerate(talks):
        tongue = TONGUES[n * 3]
        message = letter(talk.requester, tongue, talk.queue, f"{tongue.subject} {n}", tongue.text, n)
        if plan[n][2]:
            talk.people[f"friend-{many}-{n}@example.net"] = name = 'Φίλος, "der" 友'
            message["Cc"] = Address(name, addr_spec=f"friend-{many}-{n}@example.net")
        send(servers, talk, message)
    waiting += Counter(talk.queue for talk in talks)
    fetched(servers, desk, waiting)
    for ticket in desk.json("list"):
        for talk in (t for t in talks if f"<{t.requester}>" in ticket["requester"]):
            talk.number = ticket["number"]
    for i in range(max(count for _, count, _ in plan)):
        going = [talk for talk, (_, count, _) in zip(talks, plan, strict=True) if i < count]
        for talk in going:
            k = next(spoken)
            raw = reply(servers, desk, talk, i, TONGUES[k % len(TONGUES)], folder)
            who = [*talk.people][i % 3 == 1 and len(talk.people) > 1]
            send(servers, talk, answer(who, raw, TONGUES[(5 * k + 3) % len(TONGUES)], i))
        waiting += Counter(talk.queue for talk in going)
        fetched(servers, desk, waiting)
        for talk in going:
            joined(desk, talk, i + 2)
    one_thread_each(servers, folder, talks)


def joined(desk: Person, talk: Talk, mails: int) -> None:
    """See that the last of ``mails`` from outside is a verified follow-up of its ticket, as it was written."""
    ticket = shown(desk, talk.number)
    event, article = ticket["events"][-1], ticket["articles"][-1]
    assert (event["action"], event["follow-up"], "unverified" in event) == ("receive", "ours", False), event
    assert [e["action"] for e in ticket["events"]].count("receive") == mails
    assert (ticket["state"], ticket["owner"], ticket["unverified"], ticket["undelivered"]) == ("open", "alice", 0, 0)
    by = talk.last["From"].addresses[0]
    assert article["from"] == [{"name": by.display_name, "address": by.addr_spec}]
    assert (article["subject"], article["message_id"]) == (talk.last["Subject"], talk.ids[-1])
    assert article["body"].rstrip() == text_of(talk.last).rstrip()
    names = [p.get_filename() for p in talk.last.iter_attachments()]
    assert [a["name"] for a in article.get("attachments", [])] == names and not article.get("defects")


def one_thread_each(servers: Submission, folder: Path, talks: list[Talk]) -> None:
    """See with notmuch that what a requester got and sent is one thread, and that those of two are two."""
    (folder / "config").write_text(f"[database]\npath={folder}/mail\n[user]\nprimary_email=jane@example.com\n")

    def notmuch(*args: str) -> list[str]:
        env = {"PATH": os.environ["PATH"], "NOTMUCH_CONFIG": str(folder / "config"), "HOME": str(folder)}
        done = subprocess.run(["notmuch", *args], env=env, check=True, capture_output=True, text=True)
        return done.stdout.splitlines()

    for n, talk in enumerate(talks):
        (folder / "mail" / str(n)).mkdir(parents=True)
        for at, raw in enumerate([*talk.sent, *servers.inbox(talk.requester)]):
            (folder / "mail" / str(n) / f"{at}.eml").write_bytes(raw)
    notmuch("new", "--quiet")
    assert notmuch("count", "*") == [str(sum(len(talk.ids) for talk in talks))]
    found = [notmuch("search", "--output=threads", f"path:{n}/**") for n in range(len(talks))]
    assert [len(threads) for threads in found] == [1] * len(talks)
    assert len({threads[0] for threads in found}) == len(talks)


def test_six_rounds(servers: Submission, desk: Person, tmp_path: Path) -> None:
    rounds(servers, desk, tmp_path, [(PLAIN, 3, False), (HTML, 3, True)])
    desk.ok("verify")


def test_we_write_first(servers: Submission, desk: Person, tmp_path: Path) -> None:
    """A ticket that an agent begins, and twice in a row, is one thread too."""
    needed("notmuch")
    talk = Talk(PLAIN, {"first@example.com": TONGUES[8].name})
    text = ("-s", TONGUES[8].subject, "-m", TONGUES[8].text)
    done = desk.ok("new", "-q", "info-en", "--to", str(Address(TONGUES[8].name, addr_spec=talk.requester)), *text)
    talk.number = done.out.split()[0]
    desk.ok("show", talk.number)
    desk.ok("reply", talk.number, "-m", "Did you get it?")
    raw = b""
    for said in shown(desk, talk.number)["articles"][-2:]:
        raw = arrived(servers, talk.requester, said["message_id"])
        got = message_from_bytes(raw, policy=policy.default)
        assert isinstance(got, EmailMessage) and named(got, "To") == ((TONGUES[8].name, talk.requester),)
        assert got["In-Reply-To"] == got["References"] == (f"<{talk.ids[-1]}>" if talk.ids else None)
        talk.ids.append(said["message_id"])
    waiting = Counter({PLAIN: servers.dovecot.count(PLAIN) + 1})
    send(servers, talk, answer(talk.requester, raw, TONGUES[9], 0))
    fetched(servers, desk, waiting)
    joined(desk, talk, 1)
    reply(servers, desk, talk, 3, TONGUES[3], tmp_path)
    one_thread_each(servers, tmp_path, [talk])


@pytest.mark.slow
def test_fifty_rounds(servers: Submission, desk: Person, tmp_path: Path) -> None:
    """Among them a ticket whose References are more than a message of ours names."""
    plan = [(PLAIN, 10, False), (HTML, 10, True), (PLAIN, 8, False), (HTML, 10, False), (PLAIN, 12, True)]
    rounds(servers, desk, tmp_path, plan)
    desk.ok("verify")


# --- what comes back, and what others are asked -----------------------------------------------------


def began(servers: Submission, desk: Person, who: str, subject: str) -> Talk:
    """Return a talk that somebody has begun."""
    talk = Talk(PLAIN, {who: ""})
    waiting = Counter({PLAIN: servers.dovecot.count(PLAIN) + 1})
    send(servers, talk, letter(who, TONGUES[0], PLAIN, subject, "Is it old?\n"))
    fetched(servers, desk, waiting)
    (talk.number,) = (t["number"] for t in desk.json("list") if t["title"] == subject)
    return talk


@pytest.mark.parametrize(("who", "state", "said"), [(GONE, "bounced", "CAME BACK"), (MISSING, "failed", "NOT DELIV")])
def test_a_reply_that_nobody_gets(servers: Submission, desk: Person, who: str, state: str, said: str) -> None:
    """Taken by the server and returned as a mail that is fetched; and refused by the server at once."""
    talk = began(servers, desk, who, f"Will be {state}")
    waiting = Counter({PLAIN: servers.dovecot.count(PLAIN) + 1})
    desk.ok("show", talk.number)
    done = desk.run("reply", talk.number, "-m", "It is.")
    if state == "bounced":
        assert done.code == 0 and f"sent to {who}" in done.out
        fetched(servers, desk, waiting)
    else:
        assert done.code == 1 and "550 5.1.1" in done.err and f"vrt outbox retry {talk.number}" in done.err
    ticket, message = shown(desk, talk.number), last_of_ours(desk, talk.number)["id"]
    event, report = ticket["events"][-1], ticket["articles"][-1]
    assert event["about"] == message and ticket["undelivered"] == 1 and ticket["state"] == "open"
    if state == "bounced":
        assert (event["action"], event["report"], event["follow-up"]) == ("receive", "failed", "report")
        found = report["report"]
        assert (found["kind"], found["recipients"], found["status"]) == ("failed", [who], "5.1.1")
    else:
        assert (event["action"], event["status"], report["recipient"]) == ("failed", "5.1.1", who)
    (row,) = [r for r in desk.ok("list").out.splitlines() if talk.number in r]
    assert " !1 " in row
    (waits,) = desk.json("outbox")
    assert (waits["state"], waits["event"], waits["ticket"]) == (state, message, talk.number)
    text = desk.ok("show", talk.number).out
    assert said in text and " 1 undelivered " in text
    assert ("550 5.1.1" if state == "failed" else f"Delivery failed for {who}: 5.1.1 ") in text

    desk.ok("outbox", "cancel", talk.number)
    assert desk.json("outbox") == [] and shown(desk, talk.number)["undelivered"] == 0
    assert not any("!" in r for r in desk.ok("list").out.splitlines() if talk.number in r)


def test_somebody_else_is_asked(servers: Submission, desk: Person, tmp_path: Path) -> None:
    """Their answer to a forward joins the ticket as internal, and nothing of it gets to the requester."""
    talk = began(servers, desk, "asks@example.com", "Whose bridge is it?")
    args = ("forward", talk.number, f"Ελένη <{LAWYER}>", "-m", "Is this a threat?")
    assert f"sent to {LAWYER}" in desk.ok(*args).out
    forward = last_of_ours(desk, talk.number)
    raw = arrived(servers, LAWYER, forward["message_id"])
    got = message_from_bytes(raw, policy=policy.default)
    assert str(got["From"]) == f"Example VRT <{PLAIN}>" and str(got["To"]) == f"Ελένη <{LAWYER}>"
    assert got["Subject"] == f"Fwd: [Ticket#{talk.number}] Whose bridge is it?"
    assert got["References"] is None and got["In-Reply-To"] is None and "> Is it old" not in text_of(got)
    assert "Is this a threat?" in text_of(got) and "Is it old?" in text_of(got)

    asked, waiting = Talk(PLAIN, {LAWYER: ""}), Counter({PLAIN: servers.dovecot.count(PLAIN) + 1})
    send(servers, asked, answer(LAWYER, raw, TONGUES[2]._replace(text="SECRET: pay them."), 0))
    fetched(servers, desk, waiting)
    event = shown(desk, talk.number)["events"][-1]
    assert (event["action"], event["follow-up"], event["internal"]) == ("receive", "ours", "yes")
    assert f"── INTERNAL mail from Ελένη Παπαδοπούλου <{LAWYER}>" in desk.ok("show", talk.number).out
    assert desk.run("reply", talk.number, "-m", "x", "--event", event["id"][-8:]).code == 2

    raw = reply(servers, desk, talk, 3, TONGUES[1], tmp_path)  # quotes the requester, and names no id of the others
    assert "SECRET" not in text_of(message_from_bytes(raw, policy=policy.default))
    waiting += Counter([PLAIN])
    send(servers, talk, answer("asks@example.com", raw, TONGUES[4], 0))
    fetched(servers, desk, waiting)
    event = shown(desk, talk.number)["events"][-1]
    assert (event["follow-up"], "internal" in event) == ("ours", False)
