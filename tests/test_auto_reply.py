"""Automatic replies: to whom, how often, and what they look like; two programs that answer each other stop at once."""

from __future__ import annotations

import email
import json
import re
from email.header import decode_header, make_header
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from conftest import Person, founded, mail
from test_cmd_desk import later
from test_follow_up import (
    above,
    automatic,
    born,
    bounce,
    closed,
    event,
    joined,
    original,
    reply_of,
    shown,
    take_in,
    trail,
)

ALL = ("--auto-reply", "new", "--auto-reply", "follow-up", "--auto-reply", "rejected")
HOUR, DAY = 3600, 86400


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Person:
    """The founder of a desk whose queue ``info-en`` answers everything; each test here receives mail of its own."""
    person = founded(tmp_path_factory.mktemp("auto-reply"))
    person.ok("desk", "set", "--authserv", "mx.example.org", "--spam-filter", "spamassassin")
    person.ok("queue", "set", "info-en", *ALL)
    person.ok("queue", "add", "shut-en", "--address", "shut-en@example.org", "--follow-up", "reject", *ALL)
    return person


def read(raw: bytes) -> Message:
    return email.message_from_bytes(raw)


def suppressed(person: Person, got: dict[str, Any]) -> str | None:
    """Return why a mail was not answered, as the trail says it; None for one that was."""
    events = trail(person, got["ticket"])
    answered = any(e["action"] == "auto-reply" and e["about"] == got["event"] for e in events)
    (facts,) = [e for e in events if e["id"] == got["event"]]
    assert answered != ("suppressed" in facts) or not answered
    return None if answered else facts.get("suppressed", "nothing said")


# --- when -------------------------------------------------------------------------------------------


def test_off_by_default(alice: Person) -> None:
    (n,) = born(alice, mail("Quiet"))
    take_in(alice, mail(f"[Ticket#{n}]", "more"))
    alice.ok("close", n, "-o", "successful")
    alice.ok("queue", "set", "info-en", "--follow-up", "reject")
    (got,) = take_in(alice, mail(f"[Ticket#{n}]", "and more"))
    assert "rejected" not in event(alice, got)  # nobody would have told her
    events = trail(alice, n)
    assert [e["action"] for e in events if e["action"] == "auto-reply"] == []
    assert not any("suppressed" in e for e in events)  # where nothing is answered there is nothing to say


def test_each_event_is_answered_by_itself(alice: Person) -> None:
    alice.ok("queue", "set", "info-en", "--follow-up", "reject")
    for i, chosen in enumerate((["new"], ["follow-up", "rejected"])):
        alice.ok("queue", "set", "info-en", *(word for c in chosen for word in ("--auto-reply", c)))
        who = f"jane{i}@example.com"
        (n,) = born(alice, mail("Which", sender=who))
        take_in(alice, mail(f"[Ticket#{n}]", "more", sender=who), env=later(alice, 2 * HOUR))
        alice.ok("close", n, "-o", "successful", env=later(alice, 3 * HOUR))
        take_in(alice, mail(f"[Ticket#{n}]", "no more", sender=who), env=later(alice, 4 * HOUR))
        events = trail(alice, n)
        received = [e["id"] for e in events if e["action"] == "receive"]
        answered = [received.index(e["about"]) for e in events if e["action"] == "auto-reply"]
        assert answered == [k for k, word in enumerate(("new", "follow-up", "rejected")) if word in chosen]
    alice.ok("queue", "set", "info-en", "--auto-reply", "none")
    (n,) = born(alice, mail("None", sender="jane9@example.com"))
    assert automatic(alice, n) == []


def test_the_trail_shows_it_and_the_ticket_keeps_its_state(desk: Person) -> None:
    (got,) = take_in(desk, mail("Trail", sender="trail@example.com", id="<trail@example.com>"))
    now = shown(desk, got["ticket"])
    (reply,) = automatic(desk, got["ticket"])
    assert (reply["about"], reply["sender"], reply["agent"]) == (got["event"], "alice", "alice")
    assert (now["state"], now["requester"], bool(now["waiting_since"])) == ("new", "trail@example.com", True)
    kept = now["articles"][1]
    assert (kept["action"], kept["about"], kept["to"][0]["address"]) == (
        "auto-reply",
        got["event"],
        "trail@example.com",
    )
    assert kept["from"] == [{"name": "Example VRT", "address": "info-en@example.org"}]
    assert got["ticket"] in kept["body"] and kept["subject"].startswith("Auto: ")
    assert desk.ok("verify").out.endswith("all in order\n")
    # The same mail once more is not answered once more.
    assert (
        take_in(desk, mail("Trail", sender="trail@example.com", id="<trail@example.com>"))[0]["outcome"] == "duplicate"
    )
    assert len(automatic(desk, got["ticket"])) == 1


# --- what it looks like -----------------------------------------------------------------------------


def test_the_header_is_as_the_standards_want_it(desk: Person) -> None:
    """RFC 3834 section 3.1, and what other programs look for."""
    first = mail(
        "A question of mine", sender="Jane Roe <jane.roe@home.example>", to="Team <INFO-EN@example.org>",
        id="<question@home.example>", references="<before1@home.example> <before2@home.example>",
    )  # fmt: skip
    (n,) = born(desk, first)
    raw = reply_of(desk, n)
    reply = read(raw)
    assert reply["From"] == "Example VRT <info-en@example.org>" and reply["To"] == "jane.roe@home.example"
    assert reply["Subject"] == f"Auto: [Ticket#{n}] A question of mine"
    assert reply["In-Reply-To"] == "<question@home.example>"
    assert reply["References"].split() == [
        "<before1@home.example>",
        "<before2@home.example>",
        "<question@home.example>",
    ]
    assert reply["Auto-Submitted"] == "auto-replied"
    assert re.fullmatch(r"<[0-9a-f]{32}@example\.org>", reply["Message-ID"])
    assert reply["Precedence"] == "bulk" and reply["X-Auto-Response-Suppress"] == "All" and reply["X-Loop"]
    assert "Return-Path" not in reply and "Reply-To" not in reply and "Cc" not in reply and "Bcc" not in reply
    assert_sound(raw)
    text = text_of(raw)
    assert f"[Ticket#{n}]" in text.replace("\n", "") and "Example VRT" in text and "{{" not in text


def assert_sound(raw: bytes) -> None:
    """ASCII in lines of at most 78 characters that end in CR LF; no field twice, and none that is not meant."""
    assert raw.isascii() and b"\0" not in raw
    lines = raw.split(b"\r\n")
    assert all(b"\n" not in line and b"\r" not in line for line in lines)
    head = lines[: lines.index(b"")]
    long = [line for line in lines if len(line) > 78 and len(line.split()) > 1 and not line.startswith(b"In-Reply-To")]
    assert long == []
    assert all(len(line) <= 998 for line in lines)
    names = [line.partition(b":")[0].decode() for line in head if line[:1] not in b" \t"]
    assert sorted(names) == sorted(set(names)), "a field twice"
    assert set(names) <= {
        *("From", "To", "Subject", "Date", "Message-ID", "In-Reply-To", "References", "Auto-Submitted", "MIME-Version"),
        *("X-Auto-Response-Suppress", "Precedence", "X-Loop", "Content-Type", "Content-Transfer-Encoding"),
    }
    assert not read(raw).defects


def test_every_reply_has_an_id_of_its_own(desk: Person) -> None:
    found = born(desk, *(mail("Ids", str(i), sender=f"ids{i}@example.com") for i in range(20)))
    ids = {read(reply_of(desk, n))["Message-ID"] for n in found}
    assert len(ids) == 20
    digits = [int(i[1:33], 16) for i in ids]
    assert max(digits).bit_length() > 120 and len({d % 256 for d in digits}) > 8


LANGUAGES = {
    "en": "sent automatically", "de": "automatisch verschickt", "fr": "automatiquement", "es": "automáticamente",
    "de-at": "automatisch verschickt", "zh-hans": "sent automatically", "xx": "sent automatically",
}  # fmt: skip


def test_languages(desk: Person) -> None:
    """That of the queue, its main language, or English; each of the three texts is there."""
    for language in LANGUAGES:
        address = ("--address", f"lang-{language}@example.org", "--signature", "Das Team – équipe")
        desk.ok("queue", "add", f"lang-{language}", *address, "--language", language, "--follow-up", "reject", *ALL)

    def write(subject: str, i: int, language: str) -> bytes:
        return mail(subject, str(i), sender=f"{language}@example.com", to=f"lang-{language}@example.org")

    found = born(desk, *(write("Sprache", 1, language) for language in LANGUAGES))
    both = list(zip(found, LANGUAGES, strict=True))
    take_in(desk, *(write(f"[Ticket#{n}]", 2, language) for n, language in both), env=later(desk, 2 * HOUR))
    desk.ok("close", *found, "-o", "successful", env=later(desk, 3 * HOUR))
    take_in(desk, *(write(f"[Ticket#{n}]", 3, language) for n, language in both), env=later(desk, 4 * HOUR))
    for n, language in both:
        replies = [original(desk, n, reply["id"]) for reply in automatic(desk, n)]
        texts = {text_of(raw) for raw in replies}
        assert len(texts) == 3
        for raw in replies:
            assert_sound(raw)
            plain = " ".join(text_of(raw).split())
            assert LANGUAGES[language] in plain and n in plain and "Das Team – équipe" in plain and "{" not in plain


def text_of(raw: bytes) -> str:
    message = read(raw)
    content = message.get_payload(decode=True)
    assert isinstance(content, bytes)
    return content.decode(message.get_content_charset() or "ascii")


HOSTILE_SUBJECTS = [
    "x\r\n\tBcc: all@evil.example", "=?utf-8?q?x=0D=0ABcc=3A_all=40evil.example?=",
    "=?utf-8?b?eA0KQmNjOiBhbGxAZXZpbC5leGFtcGxlDQoNCkJvZHk=?=", "=?utf-8?q?x=0ABcc=3A_a=40b=0A=0Abody?=",
    "=?utf-8?q?x=E2=80=A8Bcc=3A_a=40b?=", "=?utf-8?q?x=C2=85Bcc=3A_a=40b?=", "=?utf-8?q?=00=1B[2J?=",
    "{{ hook }} {% for x in y %}", "=?utf-8?q?=3D=3Futf-8=3Fq=3Fx=3D0D=3D0ABcc=3A_x=3F=3D?=", "x" * 900, "ä" * 400,
    "=?utf-8?b?" + "4oCu" * 15 + "?=", "=?utf-7?q?+AA0ACg-Bcc: x?=", "wide " + "\U0001f600" * 100, "a " * 400, "",
    "Re: " * 100 + "x", "=?iso-2022-jp?b?GyRCJCIbKEI=?=", "%s %d %(x)s", "$(id) `id` ; rm -rf /",
]  # fmt: skip


def test_hostile_subjects(desk: Person) -> None:
    """Whatever a subject holds, it stays a subject."""
    mails = []
    for i, subject in enumerate(HOSTILE_SUBJECTS):
        raw = mail("SUBJECT", f"hostile {i}", sender=f"subject{i}@example.com")
        mails.append(raw.replace(b"SUBJECT", subject.encode()))
    for n, subject in zip(born(desk, *mails), HOSTILE_SUBJECTS, strict=True):
        raw = reply_of(desk, n)
        assert_sound(raw)
        line = str(make_header(decode_header(read(raw)["Subject"]))).replace("\r\n", "")
        assert f"[Ticket#{n}]" in line and line.isprintable(), subject
        assert re.search(rb"(?mi)^bcc", raw) is None, subject


def test_hostile_senders_and_ids(desk: Person) -> None:
    """To is one plain address; ids that are none are left out, not passed on."""
    ids = [
        "<a@b>\r\n\tBcc: x@evil.example", "<a b@c d>", "<" + "x" * 900 + "@e.example>", "<é@example.com>",
        "no brackets", "<a@b> <c@d>", "<\x1b[2J@x>", "<>", "<a@b@c>", "<a,b@c>",
        "=?utf-8?q?=3Ca=0D=0ABcc=3A_x=40y=3E?=",
    ]  # fmt: skip
    names = [
        '"x\r\n\tBcc: y@evil.example" <{}>', "=?utf-8?q?x=0D=0ABcc=3A_y=40e.example?= <{}>", "a@evil.example <{}>",
        '"{{}}" <{}>', "=?utf-8?q?=2C?= b@evil.example <{}>",
    ]  # fmt: skip
    mails = []
    for i, id_ in enumerate(ids):
        raw = mail(
            "Ids", f"ids {i}", sender=f"hid{i}@example.com", id="<PLACE>", references="<REFER>", in_reply_to="<REPLY>"
        )
        for place in (b"<PLACE>", b"<REFER>", b"<REPLY>"):
            raw = raw.replace(place, id_.encode())
        mails.append(raw)
    for i, name in enumerate(names):
        raw = mail("Names", f"names {i}", sender="PLACE@example.com")
        mails.append(raw.replace(b"PLACE@example.com", name.format(f"name{i}@example.com").encode()))
    found = take_in(desk, *mails)
    answered = 0
    for got in found:
        for reply in automatic(desk, got["ticket"]):
            raw = original(desk, got["ticket"], reply["id"])
            assert_sound(raw)
            assert re.fullmatch(r"(?:hid|name)\d+@example\.com", read(raw)["To"])
            answered += 1
    assert answered >= len(ids)  # an odd id is no reason not to answer


ODD = [
    '"quo ted"@example.com', "a@[127.0.0.1]", "ä@example.com", "a@exämple.com", "a@b@c.example", "a%b@example.com",
    "-oQ/tmp/x@example.com", "|id@example.com", "a,b@example.com", "a@example.com>", "x" * 65 + "@example.com",
    "a@" + "x" * 250 + ".example", "a!b@example.com", "/etc/passwd@example.com",
]  # fmt: skip


def test_odd_addresses_make_no_odd_header(desk: Person) -> None:
    """They are answered as they are, or not at all."""
    mails = [mail("Odd", str(i), sender="PLACE@example.com") for i in range(len(ODD))]
    found = take_in(
        desk, *(r.replace(b"PLACE@example.com", a.encode()) for r, a in zip(mails, ODD, strict=True))
    )  # fmt: skip
    for got, address in zip(found, ODD, strict=True):
        for reply in automatic(desk, got["ticket"]):
            raw = original(desk, got["ticket"], reply["id"])
            assert_sound(raw)
            assert read(raw)["To"] == address and address.isascii()


# --- to whom not ------------------------------------------------------------------------------------

REASONS: dict[str, dict[str, Any]] = {
    "auto-submitted": {"auto_submitted": "auto-generated"},
    "list": {"list_id": "<x.lists.example>"},
    "loop": {"x_loop": "somebody"},
    "asked-not-to": {"x_auto_response_suppress": "All"},
    "null-sender": {"return_path": "<>"},
    "daemon": {"sender": "MAILER-DAEMON@example.com"},
    "noreply": {"sender": "no-reply@example.com"},
    "own-address": {"sender": "shut-en@example.org"},
    "no-sender": {"sender": "reason1@example.com, reason2@example.com"},
    "not-addressed": {"to": "undisclosed-recipients:;", "delivered_to": "info-en@example.org"},
    "mismatch": {"return_path": "<somebody@elsewhere.example>"},
}
MORE: list[tuple[str, dict[str, Any]]] = [
    ("list", {"precedence": "bulk"}), ("list", {"mailing_list": "x"}), ("list", {"list_unsubscribe": "<mailto:a@b.c>"}),
    ("auto-submitted", {"x_autoreply": "yes"}), ("asked-not-to", {"x_auto_response_suppress": "OOF"}),
    ("loop", {"x_otrs_loop": "True"}), ("noreply", {"reply_to": "donotreply@example.com"}),
    ("daemon", {"return_path": "<bounces@example.com>"}), ("own-address", {"reply_to": "info-en@example.org"}),
]  # fmt: skip


def test_who_is_not_answered_and_why(desk: Person) -> None:
    """Each reason, in the trail of the ticket; and the same mail without it is answered."""
    cases = [*REASONS.items(), *MORE]
    mails = [
        mail("Why", f"why {i}", **{"sender": f"reason{i}@example.com", **fields}) for i, (_, fields) in enumerate(cases)
    ]  # fmt: skip
    found = take_in(desk, *mails)
    assert [(suppressed(desk, got), fields) for got, (_, fields) in zip(found, cases, strict=True)] == cases
    plain = [mail("Why", f"why {i}", sender=f"reason{i}@example.com") for i in range(len(cases))]
    assert [suppressed(desk, got) for got in take_in(desk, *plain)] == [None] * len(cases)


def test_reports_and_forged_mail_are_not_answered(desk: Person) -> None:
    (n,) = born(desk, mail("Reports", sender="reports@example.com"))
    (got,) = take_in(desk, bounce(reply_of(desk, n)))
    assert suppressed(desk, got) == "bounce"
    failed = "Authentication-Results: mx.example.org; dmarc=fail header.from=bank.example"
    forged = above(mail("Forged", sender="victim@bank.example"), failed)
    same = above(mail("Forged 2", sender="victim@bank.example"), failed, "Return-Path: <victim@bank.example>")
    for got in take_in(desk, forged, same):
        assert got["outcome"] == "new" and suppressed(desk, got) not in (None, "nothing said", "hourly")
    # Nor what is not proven to belong to a ticket.
    (got,) = take_in(desk, mail(f"[Ticket#{n}]", "stranger", sender="stranger@evil.example"))
    assert joined(got) == ("unverified", n) and suppressed(desk, got) == "nothing said"


def test_junk_is_not_answered(desk: Person, tmp_path: Path) -> None:
    """Whatever put it there: the filter or a rule; even if the queue junk were told to answer."""
    rules = tmp_path / "rules.yaml"
    rules.write_text("rules:\n- name: seo\n  if:\n    subject: cheap links\n  then:\n    junk: yes\n")
    desk.ok("rules", "edit", "-F", str(rules))
    desk.ok("queue", "set", "junk", *ALL)
    found = take_in(
        desk,
        mail("Cheap links", "1", sender="seo1@example.com"),
        above(mail("Hello", "2", sender="seo2@example.com"), "X-Spam-Flag: YES"),
    )
    assert [(m["queue"], suppressed(desk, m)) for m in found] == [("junk", "spam")] * 2


# --- how often --------------------------------------------------------------------------------------


def test_once_an_hour(desk: Person) -> None:
    """To one mailbox, however it is written, whatever the ticket; also if vrt was started anew each time."""
    spellings = [
        "hour@example.com",
        "HOUR@Example.COM",
        "hour+a@example.com",
        "Hour+b+c@example.com",
        "H <hour@example.com>",
    ]
    mails = [mail("Hourly", str(i), sender=s) for i, s in enumerate(spellings)]
    assert [suppressed(desk, m) for m in take_in(desk, *mails[:3])] == [None, "hourly", "hourly"]
    found = [take_in(desk, m)[0] for m in mails[3:]]
    assert [suppressed(desk, m) for m in found] == ["hourly"] * 2
    for i, (after, said) in enumerate([(HOUR - 120, "hourly"), (HOUR + 120, None), (HOUR + 240, "hourly")]):
        (got,) = take_in(desk, mail("Hourly", f"later {i}", sender=spellings[i]), env=later(desk, after))
        assert suppressed(desk, got) == said


def test_the_same_text_again_and_again(desk: Person) -> None:
    """A program that always sends the same words, with a new id each time, in one call or in several."""

    def same(i: int) -> bytes:
        return mail("Same", "Always the same.", sender="same@example.com", id=f"<same{i}@example.com>")

    found = [*take_in(desk, *(same(i) for i in range(4))), *take_in(desk, same(4)), *take_in(desk, same(5))]
    assert [suppressed(desk, m) for m in found] == [None, *["hourly"] * 5]


def test_so_many_a_day(alice: Person) -> None:
    """Forty, or as the desk says; the day goes with the clock, and every call is a process of its own."""
    alice.ok("queue", "set", "info-en", *ALL)
    alice.ok("desk", "set", "--auto-replies-a-day", "3")
    said = []
    for i in range(5):
        env = later(alice, i * (HOUR + 60))
        (got,) = take_in(alice, mail("Daily", str(i), sender=f"daily+{i}@example.com"), env=env)
        said.append(suppressed(alice, got))
    assert said == [None] * 3 + ["daily"] * 2
    (got,) = take_in(alice, mail("Daily", "next day", sender="daily@example.com"), env=later(alice, DAY + 600))
    assert suppressed(alice, got) is None
    alice.ok("desk", "set", "--auto-replies-a-day", "0", env=later(alice, DAY + 600))
    (got,) = take_in(alice, mail("Daily", "never", sender="never@example.com"), env=later(alice, DAY + 600))
    assert suppressed(alice, got) == "daily"


def test_forty_a_day(alice: Person) -> None:
    """The file of those who were answered outlives the process and a rebuilt index; it holds no address."""
    alice.ok("queue", "set", "info-en", *ALL)
    (got,) = take_in(alice, mail("Forty", sender="forty@example.com"))
    assert suppressed(alice, got) is None
    assert alice.desk
    path = alice.desk / "vrt" / "answered"
    assert path.stat().st_mode & 0o777 == 0o600
    text = path.read_text()
    assert "forty" not in text and "example" not in text
    # As after a day with one answer every 36 minutes, of which the last was more than an hour ago.
    for name, value in (found := json.loads(text)).items():
        (entry,) = value
        when = entry[0] if isinstance(entry, list) else entry
        times = [when - HOUR - 600 * k for k in range(1, 40)]
        found[name] = [[t, f"1:{'A' * 26}"] if isinstance(entry, list) else t for t in times]
    path.write_text(json.dumps(found))
    alice.ok("index", "--rebuild")
    got, again = take_in(
        alice, mail("Forty", "1", sender="forty@example.com"), mail("Forty", "2", sender="forty@example.com")
    )
    assert [suppressed(alice, m) for m in (got, again)] == [None, "hourly"]
    (got,) = take_in(alice, mail("Forty", "3", sender="forty@example.com"), env=later(alice, HOUR + 60))
    assert suppressed(alice, got) == "daily"


DAMAGED = [
    "",
    "{",
    "[]",
    "null",
    '{"x": 3}',
    '{"x": [[1, 2, 3]]}',
    '{"x": [1e400]}',
    '{"x": [[1e400, ""]]}',
    "\0",
    "[" * 9999,
]


def test_a_damaged_memory_stops_no_mail(desk: Person) -> None:
    assert desk.desk
    for i, text in enumerate(DAMAGED):
        (desk.desk / "vrt" / "answered").write_text(text)
        (got,) = take_in(desk, mail("Damaged", repr(text[:9]), sender=f"damaged{i}@example.com"))
        assert got["outcome"] == "new"


# --- two that answer each other ---------------------------------------------------------------------


class Side:
    """A desk that answers everything, and which of its replies went out already."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir()
        self.person = Person(folder / "home")
        self.address = f"help@{name}.example"
        self.person.ok(
            "init", str(folder / "desk"), "--name", f"Desk {name}", "--domain", f"{name}.example", "--agent", name
        )
        self.person.desk = folder / "desk"
        self.person.ok("queue", "add", "help", "--address", self.address, *ALL)
        self.gone: set[str] = set()

    def outgoing(self) -> list[bytes]:
        """The replies that did not go out yet, as they would."""
        out = []
        for ticket in self.person.json("list", "state:any", "--limit", "0"):
            for reply in automatic(self.person, ticket["number"]):
                if reply["id"] not in self.gone:
                    self.gone.add(reply["id"])
                    out.append(original(self.person, ticket["number"], reply["id"]))
        return out


def carried(raw: bytes, how: str) -> bytes:
    """Return a mail as another host hands it over: with what it knows of the envelope, or stripped to the bone."""
    if how == "stripped":  # of all that marks an automatic reply, as some gateways do
        for name in (b"Auto-Submitted", b"X-Auto-Response-Suppress", b"Precedence", b"X-Loop"):
            raw = re.sub(rb"(?m)^%s: .*\r\n" % name, b"", raw)
        return raw
    return above(raw, "Return-Path: <>") if how == "null sender" else raw


@pytest.mark.parametrize("how", ["as sent", "null sender", "stripped"])
def test_two_desks_answer_each_other_once(tmp_path: Path, how: str) -> None:
    """Somebody writes to one in the name of the other: exactly one reply each way, at most."""
    one, other = Side(tmp_path / "one", "one"), Side(tmp_path / "other", "other")
    take_in(one.person, mail("Hello", sender=other.address, to=one.address))
    sent = {one.address: 0, other.address: 0}
    for _ in range(8):
        moved = 0
        for side, to in ((one, other), (other, one)):
            for raw in side.outgoing():
                assert read(raw)["To"] == to.address
                sent[side.address] += 1
                moved += 1
                take_in(to.person, carried(raw, how))
        if not moved:
            break
    else:
        pytest.fail(f"they are still at it: {sent}")
    assert sent[one.address] == 1 and sent[other.address] <= 1, sent


def responder(raw: bytes, i: int, how: str, to: str) -> bytes:
    """Return what a badly made responder sends back to a reply."""
    got = read(raw)
    who = {
        "one address": "robot@naive.example",
        "tags": f"robot+{i}@naive.example",
        "case": "Robot@Naive.Example".swapcase(),
    }
    fields: dict[str, Any] = {"in_reply_to": got["Message-ID"], "references": got["Message-ID"]}
    if how == "forgetful":
        fields = {}
    subject = " ".join(str(make_header(decode_header(got["Subject"]))).split())
    if how == "null sender":
        fields["return_path"] = "<>"
    sender = who.get(how, f"robot{i}@naive.example" if how in ("new addresses", "forgetful") else "robot@naive.example")
    body = "I got your mail." if how == "same text" else f"I got your mail number {i}."
    return mail(f"Re: {subject}", body, sender=sender, to=to, **fields)


@pytest.mark.parametrize(
    "how", ["one address", "tags", "case", "new addresses", "forgetful", "same text", "null sender"]
)  # fmt: skip
def test_a_badly_made_responder_gets_one_reply(tmp_path: Path, how: str) -> None:
    """It answers everything at once, with no mark of a machine and a new id each time."""
    side = Side(tmp_path / "side", "side")
    start = mail("Hello", sender="robot@naive.example", to=side.address)
    take_in(side.person, start if how != "null sender" else above(start, "Return-Path: <robot@naive.example>"))
    count = 0
    for i in range(1, 8):
        if not (out := side.outgoing()):
            break
        count += len(out)
        for raw in out:
            take_in(side.person, responder(raw, i, how, side.address))
    assert count == 1, f"{count} replies, and no end"


def test_no_more_than_one_a_ticket_in_an_hour_but_for_everybody(desk: Person) -> None:
    """Ten people at the same time get ten replies: the limit is for each of them."""
    found = take_in(desk, *(mail("Many", str(i), sender=f"many{i}@example.com") for i in range(10)))
    assert [suppressed(desk, m) for m in found] == [None] * 10
    (n,) = born(desk, mail("Shut", sender="shut@example.com", to="shut-en@example.org"))
    assert len(automatic(desk, n)) == 1
    m = closed(desk, "shut-en", "shut2")
    assert len(automatic(desk, m)) == 1
