"""What becomes of a message once it is recorded: handed over, refused, tried again, taken back, given up.

The servers are real ones on loopback (``smtpserver``), the clock alone is ours.
"""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from conftest import Done, Person, copied, founded, mail
from dovecot import certificate
from smtpserver import Accepted, Answer, SmtpServer
from test_follow_up import looking
from test_structure import Near

from vrt import post
from vrt.desk import Desk
from vrt.storage.crypt import Identity
from vrt.storage.identity import Keys
from vrt.storage.local import Config
from vrt.storage.spool import Spool

HOUR = 3600
JANE, MAX, EVE = "jane@example.com", "max@example.com", "eve@example.net"


class Clerk(Near):
    """Somebody whose commands run in this process. ``at``: what the clock shows (epoch seconds), 0 for the real one."""

    at = 0

    def run(self, *args: str, feed: bytes | str = b"", **more: Any) -> Done:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Desk, "now", property(lambda desk: self.at or int(time.time())))
            return super().run(*args, feed=feed, **more)

    @property
    def local(self) -> Path:
        assert self.desk is not None
        return self.desk / "vrt"

    def identities(self) -> list[Identity]:
        home = Path(self.env["VRT_HOME"])
        return Keys(Config(identity=home / "identity.txt", signing_key=home / "signing")).identities()

    def delivers(self, **values: Any) -> None:
        """Set ``delivery`` in config.yaml."""
        config = self.local / "config.yaml"
        rows = [r for r in config.read_text().splitlines() if not r.startswith("delivery:")]
        config.write_text("\n".join([*rows, f"delivery: {json.dumps(values)}"]) + "\n")

    def sends_by(self, server: SmtpServer, **more: Any) -> None:
        """Let a server on loopback take the messages."""
        self.delivers(kind="smtp", host="127.0.0.1", port=server.port, tls=server.tls, **more)

    def reply(self, ticket: str, text: str = "Yes, it is so.", *args: str) -> dict[str, Any]:
        """Reply, and return what is said of it; however it ends."""
        done = self.run("reply", ticket, "-m", text, "-y", "--json", *args)
        return {**done.json, "code": done.code}

    def outbox(self, *args: str) -> list[dict[str, Any]]:
        return self.json("outbox", *args)  # type: ignore[no-any-return]

    def actions(self, ticket: str) -> list[str]:
        return [e["action"] for e in self.json("trail", ticket)]

    def state(self, event: str) -> str:
        """Return the state of a message as ``outbox`` has it, ``done`` where it is not listed."""
        return next((m["state"] for m in self.outbox("--all") if m["event"] == event), "done")

    def lawful(self) -> None:
        assert self.json("verify")["breaches"] == []


def clerk(person: Person) -> Clerk:
    return Clerk(person.home, person.desk)


class Office:
    """People with clones of one desk, and the host between them; the first has founded it."""

    def __init__(self, folder: Path, *others: tuple[str, str, tuple[str, ...]]) -> None:
        self.folder, self.host = folder, folder / "host.git"
        first = clerk(founded(folder))
        self.people = {"alice": first}
        subprocess.run(["git", "init", "-q", "--bare", str(self.host)], check=True)
        for handle, role, queues in others:
            person = Person(folder / f"home-{handle}")
            card = folder / f"{handle}.yaml"
            card.write_text(person.ok("identity").out)
            flags = [word for q in queues for word in ("--queue", q)]
            first.ok("agent", "add", handle, "--card", str(card), "--role", role, "--agreed", "2026-11-01", *flags)
            self.people[handle] = clerk(person)
        assert first.desk is not None
        for handle, person in self.people.items():
            if handle != "alice":
                person.desk = copied(first.desk, folder / f"desk-{handle}", handle)
        self._connect()
        self.sync()

    def _connect(self) -> None:
        for person in self.people.values():
            person.git("config", "remote.origin.url", str(self.host))

    def copy(self, folder: Path) -> Office:
        """The same people and clones elsewhere; the keys stay where they are."""
        shutil.copytree(self.folder, folder / "office", ignore=shutil.ignore_patterns("home-*"))
        other = Office.__new__(Office)
        other.folder, other.host, other.people = folder / "office", folder / "office" / "host.git", {}
        for handle, person in self.people.items():
            assert person.desk is not None
            other.people[handle] = Clerk(person.home, other.folder / person.desk.name)
        other._connect()
        return other

    def __getitem__(self, handle: str) -> Clerk:
        return self.people[handle]

    def sync(self, *handles: str) -> None:
        """Let some sync one after the other, or all of them until all have the same."""
        for handle in handles or (*self.people, *list(self.people)[:-1]):
            self[handle].ok("sync")

    def agrees(self) -> None:
        """All clones and the host have the same history, and it is lawful."""
        self.sync()
        heads = {p.git("rev-parse", "main", "keys") for p in self.people.values()}
        assert len(heads) == 1
        assert set(subprocess.run(["git", "rev-parse", "main", "keys"], cwd=self.host, capture_output=True, check=True)
                   .stdout.split()) == set(heads.pop().split())  # fmt: skip
        for person in self.people.values():
            person.lawful()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Office:
    """Alice and bob in info-en, and carol, who is not."""
    both, other = ("info-en", "permissions-en"), ("permissions-en",)
    return Office(tmp_path_factory.mktemp("base"), ("bob", "agent", both), ("carol", "agent", other))


@pytest.fixture
def office(base: Office, tmp_path: Path) -> Office:
    return base.copy(tmp_path)


@pytest.fixture
def alice(base: Office, tmp_path: Path) -> Clerk:
    """Alice alone, with her desk and no remote."""
    desk = base["alice"].desk
    assert desk is not None
    shutil.copytree(desk, tmp_path / "desk")
    person = Clerk(base["alice"].home, tmp_path / "desk")
    person.git("config", "--unset", "remote.origin.url")
    return person


@pytest.fixture
def server() -> Iterator[SmtpServer]:
    with SmtpServer() as made:
        yield made


def refuses(address: str, answer: bytes) -> Answer:
    """Return what refuses one recipient."""
    return lambda server, row: answer if address.encode() in row else b"250 2.1.5 ok"


def epoch(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def to(taken: Accepted) -> str:
    return taken.recipients[0]


def heads(person: Person) -> bytes:
    return person.git("rev-parse", "main", "keys")


# --- servers that do not want it now, or never --------------------------------------------------------


def test_retried_on_schedule_and_then_failed(alice: Clerk, server: SmtpServer) -> None:
    """4xx for an hour, then 5xx for one address: tried after 1, 2, 4 … minutes, then failed, and everybody sees it."""
    alice.sends_by(server)
    server.script["RCPT"] = refuses(JANE, b"450 4.2.1 busy")
    start = alice.at = int(time.time()) + 5
    n, other = alice.receive(mail("Busy"), mail("Other", sender=MAX))
    first = alice.reply(n, "To Jane.")
    assert (first["delivery"], first["code"]) == ("queued", 0) and "4.2.1 busy" in first["note"]
    assert alice.reply(other, "To Max.")["delivery"] == "sent"
    tried, waits = start, []
    while tried < start + HOUR:
        (queued,) = alice.outbox()
        assert (queued["state"], queued["ticket"]) == ("queued", n)
        then = epoch(queued["next"])
        waits.append((then - tried) / 60)
        alice.at, dialled = then - 1, server.connections
        assert alice.run("send").code == 0 and server.connections == dialled, "it is not due yet"
        alice.at = tried = then
        done = alice.run("send")
        assert done.code == 75 and "is tried again after" in done.err and "450 4.2.1 busy" in done.err
    assert waits == [1, 2, 4, 8, 16, 32]
    assert "sending" not in alice.actions(n), "nobody had the message, so nothing is recorded"

    server.script["RCPT"] = refuses(JANE, b"550 5.1.1 no such \x1b[31muser")
    server.script["DATA"] = [b"451 4.3.0 not now"]
    assert alice.reply(other, "Once more to Max.")["delivery"] == "queued"
    alice.at += 2 * HOUR
    done = alice.run("send", "--json")
    assert [(m["ticket"], m["outcome"]) for m in done.json] == [(n, "failed"), (other, "sent")]
    assert done.code == 1 and "could not be delivered: 550 5.1.1 no such" in done.err and "\x1b" not in done.err
    assert [to(a) for a in server.accepted] == [MAX, MAX]
    failed_for_all_to_see(alice, n, first["event"])
    assert alice.run("send").code == 0 and len(server.accepted) == 2
    assert {t["number"]: t["undelivered"] for t in alice.json("list", "state:any")} == {n: 1, other: 0}
    alice.lawful()


def failed_for_all_to_see(alice: Clerk, n: str, about: str) -> None:
    """What the server said is sealed, and shown in ``show`` and ``outbox``, without what it would do to a terminal."""
    (event,) = [e for e in alice.json("trail", n) if e["action"] == "failed"]
    assert (event["status"], event["about"]) == ("5.1.1", about)
    assert b"no such" not in alice.git("log", "-p", "--text", "--no-textconv", "main")
    (said,) = [a for a in alice.json("show", n)["articles"] if a["action"] == "failed"]
    assert (said["body"], said["recipient"]) == ("550 5.1.1 no such \x1b[31muser", JANE)
    out = alice.ok("show", n).out
    assert "550 5.1.1 no such" in out and "\x1b" not in out and "NOT DELIVERED" in out
    assert "!1" in alice.ok("list").out and "no such" in alice.ok("outbox").out
    (listed,) = alice.outbox()
    assert (listed["state"], listed["event"]) == ("failed", about) and "\x1b" not in listed["why"]


def test_given_up_after_a_while_and_tried_again_when_told(alice: Clerk, server: SmtpServer) -> None:
    """The waits grow to four hours; after ``give_up`` it has failed; who lets it be tried again gets as long again."""
    alice.sends_by(server, give_up="1d")
    server.script["DATA"] = b"451 4.3.0 later"
    alice.at = start = int(time.time()) + 5
    (n,) = alice.receive(mail("Slow"))
    about = alice.reply(n)["event"]
    waits = []
    while alice.state(about) == "queued":
        then = epoch(alice.outbox()[0]["next"])
        waits.append(then - alice.at)
        alice.at = then
        done = alice.run("send")
    assert waits[-3:] == [4 * HOUR] * 3 and sorted(waits) == waits
    assert done.code == 1 and alice.state(about) == "failed" and 24 * HOUR < alice.at - start < 29 * HOUR
    (said,) = [a for a in alice.json("show", n)["articles"] if a["action"] == "failed"]
    assert said["body"] == "tried for too long: 451 4.3.0 later" and said["status"] == "4.4.7"
    alice.at += 48 * HOUR
    again = alice.json("outbox", "retry", n)
    assert again["delivery"] == "queued", "a new try has as long as the first"
    assert epoch(alice.outbox()[0]["next"]) == alice.at + 60
    del server.script["DATA"]
    alice.at += 60
    assert alice.ok("send", "-v").out == "1 message sent\n" and alice.actions(n)[-3:] == ["retry", "sending", "sent"]
    alice.lawful()


def test_refused_after_the_whole_message(alice: Clerk, server: SmtpServer) -> None:
    """4xx and 5xx for what was read to the end: in the trail, for it was about to be taken."""
    alice.sends_by(server)
    server.script["."] = [b"451 4.7.1 greylisted", b"554 5.7.1 no, spam"]
    alice.at = int(time.time()) + 5
    (n,) = alice.receive(mail("Read"))
    assert alice.reply(n)["delivery"] == "queued"
    assert alice.actions(n)[-3:] == ["reply", "sending", "deferred"]
    assert alice.json("list")[0]["undelivered"] == 0
    alice.at += 60
    assert alice.run("send").code == 1
    assert [(e["action"], e.get("status")) for e in alice.json("trail", n)][-3:] == [
        ("deferred", "4.7.1"), ("sending", None), ("failed", "5.7.1"),
    ]  # fmt: skip
    assert server.accepted == []
    alice.ok("outbox", "cancel", n)
    assert alice.outbox() == [] and alice.json("list")[0]["undelivered"] == 0 and alice.run("send").code == 0
    alice.lawful()


# --- taken back ---------------------------------------------------------------------------------------


def test_within_the_delay_a_reply_can_be_taken_back(alice: Clerk, server: SmtpServer) -> None:
    """With the close that came with it; its text is what the next reply begins with. After the delay it is too late."""
    alice.sends_by(server)
    alice.ok("queue", "set", "info-en", "--send-delay", "5m")
    alice.at = int(time.time()) + 5
    n, other = alice.receive(mail("Hasty"), mail("Other", sender=MAX))
    about = alice.reply(other, "To Max.", "--close", "successful")
    assert about["delivery"] == "queued" and "takes it back" in about["note"]
    alice.at += 1
    said = alice.ok("reply", n, "-m", "Too fast.", "-y", "--close", "successful").out
    assert said.startswith(f"{n} queued") and "closed as successful" in said and f"vrt undo {n}" in said
    alice.at += 298
    assert alice.run("send", "--json").json[0]["outcome"] == "waiting" and server.connections == 0
    assert alice.ok("undo").out.startswith(f"{n} message taken back; vrt reply {n} goes on with it")
    assert alice.actions(n)[-4:] == ["reply", "close", "cancel", "reopen"]
    (waits,) = [t for t in alice.json("list") if t["number"] == n]
    assert (waits["state"], waits["undelivered"]) == ("open", 0) and waits["waiting_since"]
    (kept,) = (alice.local / "outbox").iterdir()
    _, text = Spool(alice.local.parent, "outbox").read(kept.stem, alice.identities())
    assert json.loads(text)["text"].startswith("To: Jane Roe <jane@example.com>\nCc:\nBcc:\nSubject: Re: [Ticket#")
    assert "Too fast." in text.decode() and b"Too fast" not in kept.read_bytes()
    assert alice.run("undo", n).code == 4, "it is not queued any more"

    alice.at += 1
    assert alice.ok("send", "-v").out == "1 message sent\n" and [to(a) for a in server.accepted] == [MAX]
    for args in (("undo",), ("undo", other)):
        done = alice.run(*args)
        assert done.code == 4 and "no message of yours can be taken back any more" in done.err
    assert alice.run("outbox", "cancel", other).code == 4
    alice.lawful()


def test_undo_after_tries_in_vain_opens_the_ticket_too(alice: Clerk, server: SmtpServer) -> None:
    alice.sends_by(server)
    server.script["."] = b"451 4.7.1 greylisted"
    n, plain, waits = alice.receive(mail("One"), mail("Two", sender=MAX), mail("Three", sender=EVE))
    assert alice.reply(n, "Yes.", "--close", "successful")["delivery"] == "queued"
    alice.reply(plain, "Yes.")
    alice.reply(waits, "Yes.", "--pend", "3d")
    for ticket, state in ((n, "open"), (plain, "open"), (waits, "pending")):
        assert alice.json("undo", ticket)[0]["state"] == state
    assert [t["waiting_since"] is None for t in alice.json("list")] == [False] * 3
    assert alice.actions(n)[-2:] == ["cancel", "reopen"] and alice.outbox() == []
    alice.lawful()


def test_what_was_closed_by_somebody_after_stays_closed(office: Office) -> None:
    """Only what the caller did with the message is taken back with it."""
    alice, bob = office["alice"], office["bob"]
    alice.ok("queue", "set", "info-en", "--send-delay", "1h")
    (n,) = alice.receive(mail("Both"))
    alice.reply(n)
    office.sync()
    bob.ok("close", n, "-o", "duplicate", "--force")
    office.sync()
    assert alice.json("undo")[0]["state"] == "closed"
    assert bob.run("undo", n).code == 4, "what others wrote is not taken back by undo"
    office.agrees()


def test_a_forward_taken_back_is_no_reply(alice: Clerk) -> None:
    """Who was to be asked must not be whom the next reply goes to."""
    alice.ok("queue", "set", "info-en", "--send-delay", "1h")
    (n,) = alice.receive(mail("Ask"))
    alice.ok("forward", n, MAX, "-m", "What do you say?", "-y")
    assert f"vrt forward {n} goes on with it" in alice.ok("undo").out
    alice.ok("redirect", n, MAX)
    assert "goes on" not in alice.ok("undo").out
    assert list(kept(alice)) == [f"forward-{n}"]
    alice.lawful()


def test_who_may_settle_what(office: Office, server: SmtpServer) -> None:
    """Agents of the queue, by the end of the message's id where there are several; nobody else. Never what is sent."""
    alice, bob, carol = (office[h] for h in ("alice", "bob", "carol"))
    alice.sends_by(server)
    server.script["RCPT"] = b"550 5.1.1 no"
    (n,) = alice.receive(mail("Many"))
    events = [alice.reply(n, text)["event"] for text in ("One.", "Two.", "Three.")]
    assert {m["state"] for m in alice.outbox()} == {"failed"}
    del server.script["RCPT"]
    office.sync()
    for action in ("retry", "cancel"):
        done = carol.run("outbox", action, n, events[0][-8:])
        assert done.code == 5 and "carol is not in the queue info-en" in done.err
    assert carol.outbox() == [] and len(carol.outbox("--all")) == 3, "they are not hers to look after"
    assert (
        all(m["to"] is None and m["why"] is None for m in carol.outbox("--all"))
        and "sealed" in carol.ok("outbox", "-a").out
    )
    done = bob.run("outbox", "retry", n)
    assert done.code == 2 and all(e[-8:] in done.err for e in events)
    assert bob.json("outbox", "retry", n, events[0][-8:])["delivery"] == "queued", "alice's machine sends it"
    assert bob.run("outbox", "retry", n, events[0]).code == 6
    assert bob.run("outbox", "retry", n, "00000000").code == 4
    bob.ok("outbox", "cancel", n, events[1][-8:])
    bob.ok("outbox", "cancel", n, events[2])
    assert [m["event"] for m in bob.outbox()] == [events[0]]
    office.sync()
    assert alice.ok("send", "-v").out == "1 message sent\n" and b"One." in server.accepted[0].data
    for person in (alice, bob):
        office.sync()
        assert person.outbox() == []
        assert {person.run("outbox", a, n, e).code for a in ("retry", "cancel") for e in events} == {6}
    assert len(server.accepted) == 1
    office.agrees()


# --- how it is handed over ----------------------------------------------------------------------------


def test_without_settings_into_a_maildir(alice: Clerk) -> None:
    """Only its owner can look into it; the message is there in plain, once, as RFC 5322 has it."""
    (n,) = alice.receive(mail("Help"))
    assert alice.ok("reply", n, "-m", "Yes, it is so.", "-y").out.startswith(f"{n} sent")
    folder = alice.local / "maildir"
    assert {stat.S_IMODE(p.stat().st_mode) for p in (folder, *folder.glob("*"))} == {0o700}
    (file,) = folder.glob("new/*")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and not list(folder.glob("tmp/*"))
    assert file.name == alice.json("trail", n)[-3]["id"]
    assert b"\nTo: Jane Roe <jane@example.com>\r\n" in file.read_bytes() and b"Yes, it is so." in file.read_bytes()
    assert alice.actions(n)[-3:] == ["reply", "sending", "sent"]
    alice.lawful()


def test_wrong_settings_lose_nothing(alice: Clerk, server: SmtpServer, tmp_path: Path) -> None:
    """Each says what is wrong; the reply waits, and goes out once that is put right."""
    good = {"kind": "smtp", "host": "127.0.0.1", "port": server.port, "tls": "none"}
    secure = SmtpServer(tls="implicit", certificate=certificate(tmp_path, "localhost"), offers=("AUTH PLAIN",))
    tls = {**good, "host": "localhost", "port": secure.port, "tls": "implicit"}
    login = {"user": "me", "ca_file": str(tmp_path / "cert.pem")}
    cases: list[tuple[Any, str, int]] = [
        ({"kind": "uucp"}, "kind is 'uucp'", 1),
        ({**good, "password": "x"}, "a password does not belong into a file", 1),
        ({**good, "hots": "x"}, "unknown setting hots", 1),
        ({**good, "user": "me"}, "password_command", 1),
        ({"kind": "smtp"}, "host", 1),
        ({**tls, **login, "password_command": "exit 3"}, "password_command failed with exit 3", 75),
        ({**tls, **login, "password_command": "echo wrong"}, "refused the login", 1),
        ({**tls, "user": "me", "password_command": "echo topsecret"}, "certificate", 75),
        ({**good, "port": 1}, "127.0.0.1", 75),
        ({**good, "host": "no-such-host.invalid", "tls": "starttls"}, "no-such-host.invalid", 75),
        ({"kind": "sendmail", "command": ["/no/such/sendmail"]}, "/no/such/sendmail is no program", 75),
        ({"kind": "maildir", "path": "/no/such/folder/box"}, "/no/such/folder", 75),
    ]  # fmt: skip
    numbers = alice.receive(*(mail(f"Help {i}") for i in range(len(cases))))
    alice.at = int(time.time()) + 5
    for n, (values, said, code) in zip(numbers, cases, strict=True):
        config = alice.local / "config.yaml"
        config.write_text(f"card: alice\ndelivery: {json.dumps(values)}\n")
        done = alice.run("reply", n, "-m", "Yes.", "-y")
        assert (done.code, done.err) == (0, "") and done.out.startswith(f"{n} queued") and said in done.out, values
        alice.at += 2 * HOUR
        done = alice.run("send")
        assert said in done.err and "Traceback" not in done.err and done.err.startswith("vrt: "), done.err
        assert done.code == code, (values, done)
        assert alice.json("list")[0]["undelivered"] == 0
    for broken in ("delivery: [\n", "delivery: [1]\n"):
        (alice.local / "config.yaml").write_text(f"card: alice\n{broken}")
        for args in (("send",), ("reply", numbers[0], "-m", "No.", "-y")):
            done = alice.run(*args)
            assert done.code in (1, 2) and "config.yaml" in done.err and done.out == ""
    (alice.local / "config.yaml").write_text("card: alice\n")
    alice.delivers(**tls, **login, password_command="echo topsecret")
    assert {m["ticket"] for m in alice.outbox()} == set(numbers)
    alice.at += 5 * HOUR
    assert alice.ok("send", "-v").out == f"{len(cases)} messages sent\n"
    secure.close()
    assert len({a.data for a in secure.accepted}) == len(cases) == len(secure.accepted)
    alice.lawful()


def test_two_calls_of_send_at_once(alice: Clerk, server: SmtpServer) -> None:
    """The second waits for the first, finds nothing, and doubles nothing; an undo meanwhile is told to come back."""
    alice.ok("queue", "set", "info-en", "--send-delay", "1m")
    alice.sends_by(server)
    numbers = alice.receive(*(mail(f"Help {i}") for i in range(3)))
    for n in numbers:
        alice.reply(n)
    alice.ok("queue", "set", "info-en", "--send-delay", "0m")
    reached, go_on = threading.Event(), threading.Event()

    def slow(server: SmtpServer, row: bytes) -> bytes:
        reached.set()
        go_on.wait(30)
        return b"354 go on"

    server.script["DATA"] = [slow]
    argv = [sys.executable, "-m", "vrt", "-C", str(alice.desk), "send", "-v"]
    calls = [subprocess.Popen(argv, env=alice.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    assert reached.wait(30)
    done = alice.run("undo")
    assert done.code == 75 and "another vrt is handing messages over" in done.err
    assert {m["state"] for m in alice.outbox()} == {"queued"}
    go_on.set()
    out = sorted(call.communicate(timeout=60) for call in calls)
    assert out == [(b"", b""), (b"3 messages sent\n", b"")] and len(server.accepted) == 3
    assert server.connections == 1, "one connection is enough for all"
    alice.lawful()


def test_where_nobody_answers_the_rest_waits(alice: Clerk, server: SmtpServer) -> None:
    """A server that is away may take its time to be found away; a few tries tell, and none is counted as one more."""
    alice.ok("queue", "set", "info-en", "--send-delay", "1m")
    alice.sends_by(server)
    alice.at = int(time.time()) + 5
    numbers = alice.receive(*(mail(f"Help {i}") for i in range(6)))
    for n in numbers:
        alice.reply(n)
    alice.at += 60
    server.script["greeting"] = b"421 4.3.2 away"
    outcomes = [m["outcome"] for m in alice.run("send", "--json").json]
    assert outcomes == ["deferred"] * 3 + ["waiting"] * 3 and server.connections == 3
    del server.script["greeting"]
    assert alice.ok("send", "-v").out == "3 messages sent\n", "the others need not wait longer"
    alice.at += 60
    assert alice.ok("send", "-v").out == "3 messages sent\n" and len({a.data for a in server.accepted}) == 6


def test_what_is_written_meanwhile_waits_until_it_is_published(office: Office) -> None:
    """Between the publishing and the sending of a round another shell may have recorded one more."""
    alice = office["alice"]
    n, other = alice.receive(mail("Before"), mail("Meanwhile"))
    with away(alice):
        alice.reply(n)

    def publish() -> bool:
        if alice.actions(other) == ["receive"]:
            alice.ok("sync")
            assert alice.reply(other)["delivery"] == "queued"
        return True

    with looking(alice) as desk:
        posted = [(p.message.ticket, p.outcome) for p in post.send(desk, publish)]
    assert posted == [(n, "sent")]
    assert alice.ok("send", "-v").out == "1 message sent\n"
    office.agrees()


# --- put on top of what others published first --------------------------------------------------------


@contextmanager
def away(person: Clerk) -> Iterator[None]:
    """Let somebody's remote be out of reach for a while."""
    url = person.git("config", "remote.origin.url").decode().strip()
    person.git("config", "remote.origin.url", f"{url}.away")
    yield
    person.git("config", "remote.origin.url", url)


def kept(person: Clerk) -> dict[str, str]:
    """What this machine keeps of what could not be recorded, by its name."""
    spool = Spool(person.local.parent, "outbox")
    return {name: json.loads(spool.read(name, person.identities())[1])["text"] for name in spool.names()}


def test_what_was_said_and_fits_no_more_is_kept(office: Office) -> None:
    """Bob writes a note, a reply and a forward in a ticket that alice merged meanwhile: no word is lost, or sent."""
    alice, bob = office["alice"], office["bob"]
    n, into = alice.receive(mail("Old"), mail("New"))
    office.sync()
    with away(bob):
        bob.ok("note", n, "-m", "He is the mayor, never tell him that we know.")
        bob.ok("reply", n, "-m", "Dear Jane, yes.", "-y")
        bob.ok("forward", n, MAX, "-m", "Is that so?", "-y")
    alice.ok("merge", n, into)
    office.sync("alice")
    done = bob.ok("sync")
    assert done.err.count("its text kept") == 3 and f"vrt reply {into} begins with it" in done.err
    texts = kept(bob)
    (note,) = [t for name, t in texts.items() if "-note-" in name]
    assert note == "He is the mayor, never tell him that we know."
    assert texts[into].startswith("To: ")
    assert "<jane@example.com>\nCc:\nBcc:\nSubject: Re: [Ticket#" in texts[into]
    assert "\n\nDear Jane, yes." in texts[into] and "mayor" not in texts[into]
    assert texts[f"forward-{into}"].startswith(f"To: {MAX}\n") and "Is that so?" in texts[f"forward-{into}"]
    assert "take" in done.err, "what was only done is dropped, with a sentence"
    assert bob.outbox("--all") == [] and bob.actions(n) == ["receive", "merge"]
    assert bob.json("sync") == {"came": 0, "went": 0, "again": 0, "sealed": 0}, "that was said once"
    office.agrees()


def test_a_change_of_the_desk_is_put_on_top(office: Office) -> None:
    """An admin made a queue and took mail into it while others published; of two who changed one file one is told."""
    alice, bob = office["alice"], office["bob"]
    (n,) = alice.receive(mail("Old"))
    office.sync()
    bob.ok("note", n, "-m", "Bob was here.")
    office.sync("bob")
    with away(alice):
        alice.ok("note", n, "-m", "Alice too.")
        alice.ok("queue", "add", "press", "--address", "press@example.org")
        alice.ok("queue", "set", "info-en", "--send-delay", "0m", "--title", "Help")
        (new,) = alice.receive(mail("A question", to="press@example.org"))
        alice.ok("template", "edit", "closing", "-l", "en", "-m", "Bye")
    assert alice.json("sync") == {"came": 1, "went": 5, "again": 0, "sealed": 0}
    assert {t["number"]: t["queue"] for t in alice.json("list")} == {n: "info-en", new: "press"}
    office.agrees()
    with away(alice):
        alice.ok("queue", "set", "info-en", "--title", "Info")
    office.sync("bob")
    with away(bob):
        bob.ok("agent", "away", "--until", "2099-01-01")
    office.sync("alice", "bob")
    assert "2099-01-01" in alice.ok("agent", "list").out or alice.ok("sync")
    office.sync()
    office.agrees()


def test_what_was_done_and_fits_no_more_is_dropped(office: Office) -> None:
    """Both took, answered, closed: who published first has it, the other is told; notes stand, a reply is kept."""
    alice, bob = office["alice"], office["bob"]
    taken, closed, answered = alice.receive(mail("One"), mail("Two", sender=MAX), mail("Three", sender=EVE))
    office.sync()
    for person, word in ((alice, "successful"), (bob, "spam")):
        with away(person):
            person.ok("take", taken)
            person.ok("note", taken, "-m", f"{word} I think")
            person.ok("close", closed, "-o", word)
            person.reply(answered, f"From {word}.", "--close", word)
    office.sync("alice")
    done = bob.ok("sync")
    told = [row for row in done.err.splitlines() if "dropped" in row]
    assert [any(f"{action} {n}" in row for row in told) for action, n in
            (("take", taken), ("close", closed), ("take", answered), ("close", answered))] == [True] * 4  # fmt: skip
    assert len(told) == 5 and list(kept(bob)) == [answered] and "From spam." in kept(bob)[answered]
    office.sync()
    tickets = {t["number"]: t for t in bob.json("list", "state:any")}
    assert (tickets[taken]["owner"], tickets[closed]["outcome"]) == ("alice", "successful")
    assert bob.actions(taken) == ["receive", "take", "note", "note"]
    assert bob.actions(answered).count("reply") == 1, "of two who answer one mail, one is asked again"
    for person in (alice, bob):
        assert person.run("send").code == 0
    office.agrees()
    assert list(alice.local.glob("maildir/new/*")) and bob.outbox("--all") == []


def test_killed_between_holding_and_recording_anew(office: Office) -> None:
    """What was done here hangs on refs of this machine meanwhile: the next sync finds it, once."""
    alice, bob = office["alice"], office["bob"]
    for i, moment in enumerate(("desk.give_up", "git.move", "reapply.reapply", "writer.record", "remote.let_go")):
        (n,) = alice.receive(mail(f"Held {i}"))
        office.sync("alice", "bob")
        with away(bob):
            bob.ok("note", n, "-m", "first")
            assert bob.reply(n)["delivery"] == "queued", "what is not published is not sent"
        alice.ok("note", n, "-m", "faster")
        office.sync("alice")
        killed(bob, moment, "sync")
        bob.ok("sync")
        assert bob.actions(n) == ["receive", "note", "note", "take", "reply"], moment
        assert bob.git("for-each-ref", "refs/vrt/held") == b"" and kept(bob) == {}
    assert bob.ok("send", "-v").out == f"{i + 1} messages sent\n"
    assert len(list(bob.local.glob("maildir/new/*"))) == i + 1
    office.agrees()


# --- killed ---------------------------------------------------------------------------------------------

KILL = """
import os, signal, sys
place, _, count = os.environ["KILL_AT"].partition(":")
module, _, name = place.rpartition(".")
left = int(count or 1)
def call(frame, event, arg):
    global left
    if frame.f_code.co_name == name and frame.f_code.co_filename.endswith(f"/{module}.py"):
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
sys.setprofile(lambda frame, event, arg: call(frame, event, arg) if event == "call" else None)
"""


def killed(person: Clerk, at: str, *args: str) -> None:
    """Run vrt, and kill it where it calls a function: ``smtp.wait``, or ``writer.record:2`` for the second call."""
    folder = person.local / "kill"
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(KILL)
    env = person.env | {"KILL_AT": at, "PYTHONPATH": f"{folder}:{person.env['PYTHONPATH']}"}
    argv = [sys.executable, "-m", "vrt", "-C", str(person.desk), *args]
    done = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert done.returncode == -9, f"it never came to {at}: {done.stdout.decode()}{done.stderr.decode()}"
