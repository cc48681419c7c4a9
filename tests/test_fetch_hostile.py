"""Fetching from servers that lie, fall silent, send without end or cut the line: a problem said, and on it goes."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Person, founded, mail

LIMIT = 300_000


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Person:
    person = founded(tmp_path_factory.mktemp("base"))
    person.ok("desk", "set", "--message-bytes", str(LIMIT))
    return person


@pytest.fixture
def alice(base: Person, tmp_path: Path) -> Person:
    assert base.desk is not None
    shutil.copytree(base.desk, tmp_path / "desk")
    return Person(base.home, tmp_path / "desk")


class Hangup(Exception):
    """The server ends the connection."""


class Server:
    """A thread on loopback that plays a server; what it was told is in ``said``."""

    def __init__(self) -> None:
        self.said: list[bytes] = []
        self.connections = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                conn, _ = self._socket.accept()
                conn.settimeout(30)
                self.connections += 1
                with contextlib.suppress(OSError, Hangup), conn, conn.makefile("rb") as file:
                    self.conn, self.number = conn, self.connections
                    self.greet()
                    for row in file:
                        self.said.append(row.rstrip())
                        self.handle(row.rstrip())

    def send(self, data: bytes) -> None:
        self.conn.sendall(data)

    def greet(self) -> None:
        raise NotImplementedError

    def handle(self, row: bytes) -> None:
        raise NotImplementedError

    def close(self) -> None:
        self._socket.close()


class Imap(Server):
    """Enough of IMAP. ``mails`` by UID; ``before`` may answer a command itself (True) or change things."""

    def __init__(self, mails: dict[int, bytes], **tricks: Any) -> None:
        self.mails = dict(mails)
        self.flags: dict[int, set[bytes]] = {uid: set() for uid in mails}
        self.capabilities = tricks.pop("capabilities", b"IMAP4rev1 UIDPLUS MOVE IDLE")
        self.claims: dict[int, int] = tricks.pop("claims", {})
        self.validity = 1
        self.moved: list[int] = []
        self.before: Callable[[Imap, bytes, bytes, bytes], bool] = tricks.pop("before", lambda *_: False)
        self.greeting: bytes = tricks.pop("greeting", b"* OK hello\r\n")
        assert not tricks
        super().__init__()

    def greet(self) -> None:
        self.send(self.greeting)

    def handle(self, row: bytes) -> None:
        tag, _, rest = row.partition(b" ")
        name, _, args = rest.partition(b" ")
        if name.upper() == b"UID":
            name, _, args = args.partition(b" ")
        name = name.upper()
        if self.before(self, tag, name, args):
            return
        getattr(self, "do_" + name.decode().lower(), lambda args: None)(args)
        self.send(tag + b" OK done\r\n")
        if name == b"LOGOUT":
            raise Hangup

    def do_capability(self, args: bytes) -> None:
        self.send(b"* CAPABILITY " + self.capabilities + b"\r\n")

    def do_select(self, args: bytes) -> None:
        self.send(b"* %d EXISTS\r\n* OK [UIDVALIDITY %d] x\r\n" % (len(self.mails), self.validity))

    def do_search(self, args: bytes) -> None:
        found = [u for u in sorted(self.mails) if b"\\Deleted" not in self.flags[u]]
        if b"UNSEEN" in args:
            found = [u for u in found if b"\\Seen" not in self.flags[u]]
        self.send(b"* SEARCH " + b" ".join(b"%d" % u for u in found) + b"\r\n")

    def do_fetch(self, args: bytes) -> None:
        uids, _, what = args.partition(b" ")
        for seq, uid in enumerate(sorted(self.mails), 1):
            if uid in ids(uids):
                raw = self.mails[uid]
                if b"RFC822.SIZE" in what:
                    size = self.claims.get(uid, len(raw))
                    self.send(b"* %d FETCH (UID %d RFC822.SIZE %d)\r\n" % (seq, uid, size))
                    continue
                if b"HEADER" in what:
                    raw = raw[: raw.index(b"\n\n") + 2]
                name, part = b"BODY[HEADER]" if b"HEADER" in what else b"BODY[]", re.search(rb"<(\d+)\.(\d+)>", what)
                if part:
                    start, count = int(part[1]), int(part[2])
                    raw, name = raw[start : start + count], name + b"<%d>" % start
                self.send(b"* %d FETCH (UID %d %s {%d}\r\n" % (seq, uid, name, len(raw)) + raw + b")\r\n")

    def do_store(self, args: bytes) -> None:
        for uid in ids(args.split(b" ")[0]):
            self.flags[uid] |= set(re.findall(rb"\\\w+", args))

    def do_move(self, args: bytes) -> None:
        for uid in ids(args.split(b" ")[0]):
            self.mails.pop(uid, None)
            self.moved.append(uid)

    def do_copy(self, args: bytes) -> None:
        self.moved += ids(args.split(b" ")[0])

    def do_expunge(self, args: bytes) -> None:
        for uid in ids(args):
            self.mails.pop(uid, None)


def ids(text: bytes) -> list[int]:
    out: list[int] = []
    for part in text.split(b","):
        first, _, last = part.partition(b":")
        out += range(int(first), int(last or first) + 1)
    return out


class Pop(Server):
    """Enough of POP3; the same tricks."""

    def __init__(self, mails: list[bytes], **tricks: Any) -> None:
        self.mails = dict(enumerate(mails, 1))
        self.claims: dict[int, int] = tricks.pop("claims", {})
        self.without: set[str] = tricks.pop("without", set())
        self.before: Callable[[Pop, str, int], bool] = tricks.pop("before", lambda *_: False)
        self.greeting: bytes = tricks.pop("greeting", b"+OK hello\r\n")
        assert not tricks
        super().__init__()

    def greet(self) -> None:
        self.deleted: set[int] = set()
        self.send(self.greeting)

    def handle(self, row: bytes) -> None:
        words = row.decode().split()
        name, number = words[0], int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
        if self.before(self, name, number):
            return
        if name in self.without or name not in ("USER", "PASS", "LIST", "UIDL", "RETR", "TOP", "DELE", "QUIT"):
            self.send(b"-ERR what?\r\n")
            return
        self.send(b"+OK\r\n")
        if name in ("LIST", "UIDL"):
            for n in sorted(self.mails):
                claimed = self.claims.get(n, len(self.mails[n]))
                self.send(b"%d %d\r\n" % (n, claimed) if name == "LIST" else b"%d u%d\r\n" % (n, n))
            self.send(b".\r\n")
        elif name in ("RETR", "TOP"):
            raw = self.mails[number]
            raw = raw[: raw.index(b"\n\n") + 2] if name == "TOP" else raw
            self.send(raw.replace(b"\n", b"\r\n") + b".\r\n")
        elif name == "DELE":
            self.deleted.add(number)
        elif name == "QUIT":
            for n in self.deleted:
                del self.mails[n]
            raise Hangup


def point(person: Person, **servers: Server) -> None:
    """Let the desk fetch from these servers."""
    assert person.desk is not None
    rows = ["accounts:"]
    for name, server in servers.items():
        kind = "imap" if isinstance(server, Imap) else "pop3"
        after = getattr(server, "after", "delete")
        rows.append(
            f"  {name}: {{type: {kind}, host: localhost, port: {server.port}, tls: none, user: me, "
            f"password_command: echo topsecret, after: '{after}'}}"
        )
    (person.desk / "vrt" / "config.yaml").write_text("\n".join(rows) + "\n")


def titles(person: Person) -> list[str]:
    return sorted(t["title"] for t in person.json("list", "state:any", "--limit", "0"))


def letters(count: int, size: int = 10) -> dict[int, bytes]:
    return {i: mail(f"Matter {i}", "word\n" * size, id=f"<h{i}@example.com>") for i in range(1, count + 1)}


def every(count: int) -> list[str]:
    return sorted(f"Matter {i}" for i in range(1, count + 1))


@pytest.fixture
def play() -> Iterator[Callable[..., Any]]:
    """Makes servers that end with the test."""
    made: list[Server] = []

    def make(kind: type[Server], *args: Any, **tricks: Any) -> Any:
        made.append(kind(*args, **tricks))
        return made[-1]

    yield make
    for server in made:
        server.close()


# --- IMAP -----------------------------------------------------------------------------------------


def test_the_fake_server_works(alice: Person, play: Callable[..., Any]) -> None:
    server = play(Imap, letters(3))
    point(alice, info=server)
    alice.ok("fetch")
    assert titles(alice) == every(3)
    assert server.mails == {}


@pytest.mark.parametrize("claim", [0, 10, LIMIT, LIMIT * 100, 2**62])
def test_sizes_are_lies(claim: int, alice: Person, play: Callable[..., Any]) -> None:
    """Whatever is claimed: a mail that the desk takes comes in whole."""
    mails = letters(4, 2000)
    server = play(Imap, mails, claims=dict.fromkeys(mails, claim))
    point(alice, info=server)
    alice.ok("fetch")
    assert titles(alice) == every(4)
    assert server.mails == {}
    assert b"word" in alice.run("raw", alice.json("list")[0]["number"]).raw


def test_a_small_claim_and_a_huge_literal(alice: Person, play: Callable[..., Any]) -> None:
    """Only its header is taken, with a ticket in postmaster; the others come in."""
    mails = letters(5)
    mails[3] = mail("Huge", "word\n" * (LIMIT * 2), id="<huge@example.com>")
    server = play(Imap, mails, claims={3: 500})
    point(alice, info=server)
    done = alice.run("fetch")
    assert done.code == 0, done.err
    assert done.err.count("\n") == 1
    assert "too large" in done.err
    assert sorted(server.mails) == [3]
    assert {"Matter 1", "Matter 2", "Matter 4", "Matter 5"} < set(titles(alice))
    assert alice.run("fetch").err == ""


def test_a_literal_of_petabytes(alice: Person, play: Callable[..., Any]) -> None:
    """Its size alone is enough to hang up: nothing of it is read, and the others come in."""

    def before(server: Imap, tag: bytes, name: bytes, args: bytes) -> bool:
        if name == b"FETCH" and b"BODY" in args and 2 in ids(args.split(b" ")[0]):
            server.send(b"* 2 FETCH (UID 2 BODY[] {4000000000000000}\r\nab")
            return True
        return False

    server = play(Imap, letters(4), before=before)
    point(alice, info=server)
    begin = time.monotonic()
    done = alice.run("fetch")
    assert time.monotonic() - begin < 55  # it did not wait for the bytes: that would be 60 seconds
    assert done.code == 75
    assert done.err.count("\n") == 1
    assert titles(alice) == ["Matter 1", "Matter 3", "Matter 4"]
    assert sorted(server.mails) == [2]


@pytest.mark.parametrize(
    "where",
    [
        b"LOGIN",
        b"SEARCH",
        pytest.param(b"SELECT", marks=pytest.mark.slow),
        pytest.param(b"FETCH", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("noise", ["untagged", "line", "nested", "garbage", "number"])
def test_answers_without_end_or_sense(where: bytes, noise: str, alice: Person, play: Callable[..., Any]) -> None:
    """The connection is dropped after a fixed number of bytes, in a line; memory stays bounded."""

    def before(server: Imap, tag: bytes, name: bytes, args: bytes) -> bool:
        if name != where:
            return False
        end = time.monotonic() + 25
        while time.monotonic() < end:
            if noise == "untagged":
                server.send(b"* OK \x1b[31m still here\r\n" * 4000)
            elif noise == "line":
                server.send(b"* SEARCH " + b"1" * 100_000)
            elif noise == "nested":
                server.send(b"* 1 FETCH (UID 1 BODY[] " + b"(" * 50_000 + b"\r\n" + tag + b" OK\r\n")
                return True
            elif noise == "garbage":
                server.send(b"\x00\xff\x1b]0;pwned\x07\r\n")
                return True
            else:
                server.send(b"* 1 FETCH (UID 1 BODY[] {" + b"9" * 5000 + b"}\r\n")
                return True
        return True

    server = play(Imap, letters(1), before=before)
    good = play(Imap, letters(2))
    point(alice, bad=server, good=good)
    begin = time.monotonic()
    done = alice.run("fetch")
    assert done.code == 75 or (noise == "nested" and where in (b"LOGIN", b"SELECT") and done.code in (1, 75)), done.err
    assert done.err.count("\n") == 1
    assert "\x1b" not in done.err
    assert time.monotonic() - begin < 120
    assert "Matter 2" in titles(alice)


@pytest.mark.parametrize(
    "greeting", [b"* BYE too many\x1b[2J\r\n", b"220 ESMTP\r\n", b"\x00" * 3_000_000, b"* OK\r\n" * 9, b""]
)
def test_greetings(greeting: bytes, alice: Person, play: Callable[..., Any]) -> None:
    class Rude(Imap):
        def greet(self) -> None:
            super().greet()
            if not self.greeting:
                raise Hangup

    server = play(Rude, letters(1), greeting=greeting)
    point(alice, info=server)
    done = alice.run("fetch")
    assert done.code == (0 if b"OK" in greeting else 75), done.err
    assert "\x1b" not in done.err
    assert done.err.count("\n") == (0 if b"OK" in greeting else 1)


def test_the_line_is_cut_in_a_literal(alice: Person, play: Callable[..., Any]) -> None:
    """Three times, at different mails: what was asked for comes again; everything is in once."""
    cut: list[int] = []

    def before(server: Imap, tag: bytes, name: bytes, args: bytes) -> bool:
        if name == b"FETCH" and b"BODY" in args and server.number <= 3:
            uid = ids(args.split(b" ")[0])[0]
            cut.append(uid)
            server.send(b"* 1 FETCH (UID %d BODY[] {%d}\r\n" % (uid, len(server.mails[uid])) + server.mails[uid][:100])
            raise Hangup
        return False

    server = play(Imap, letters(40), before=before)
    point(alice, info=server)
    alice.ok("fetch")
    assert len(cut) == 3
    assert titles(alice) == every(40)
    assert server.mails == {}


def test_one_mail_always_cuts_the_line(alice: Person, play: Callable[..., Any]) -> None:
    """It is found, left, and reported; the others come in."""

    def before(server: Imap, tag: bytes, name: bytes, args: bytes) -> bool:
        if name == b"FETCH" and b"BODY" in args and 7 in ids(args.split(b" ")[0]):
            raise Hangup
        return False

    server = play(Imap, letters(30), before=before)
    point(alice, info=server)
    done = alice.run("fetch")
    assert done.code == 75
    assert done.err.count("\n") == 1
    assert titles(alice) == sorted(set(every(30)) - {"Matter 7"})
    assert sorted(server.mails) == [7]


def test_one_mail_is_refused(alice: Person, play: Callable[..., Any]) -> None:
    def before(server: Imap, tag: bytes, name: bytes, args: bytes) -> bool:
        if name == b"FETCH" and b"BODY" in args and 2 in ids(args.split(b" ")[0]):
            server.send(tag + b" NO The requested item could not be found.\r\n")
            return True
        return False

    server = play(Imap, letters(3), before=before)
    point(alice, info=server)
    done = alice.run("fetch")
    assert done.code == 75
    assert titles(alice) == ["Matter 1", "Matter 3"]
    assert sorted(server.mails) == [2]


@pytest.mark.parametrize("where", [b"FETCH", b"MOVE"])
def test_uidvalidity_changes_in_the_middle(where: bytes, alice: Person, play: Callable[..., Any]) -> None:
    """Nothing is touched by an old UID: UIDs mean other mails now."""
    mails = letters(6)

    def before(server: Imap, tag: bytes, name: bytes, args: bytes) -> bool:
        if name == where and server.validity == 1:
            server.validity = 2
            server.mails = {uid + 3: raw for uid, raw in mails.items()}  # 4, 5, 6 are others now
            server.flags = {uid: set() for uid in server.mails}
            server.send(b"* OK [UIDVALIDITY 2] renumbered\r\n" + tag + b" OK done\r\n")
            return True
        return False

    server = play(Imap, mails, before=before)
    server.after = "move:Done"
    point(alice, info=server)
    alice.ok("fetch")
    assert titles(alice) == every(6)
    assert server.mails == {}
    assert sorted(server.moved) == [4, 5, 6, 7, 8, 9]
    assert server.connections == 2


def test_uids_of_others_stay(alice: Person, play: Callable[..., Any]) -> None:
    """Without UIDPLUS nothing is expunged: an EXPUNGE would take what somebody else has marked."""
    server = play(Imap, letters(3), capabilities=b"IMAP4rev1")
    server.flags[1].add(b"\\Deleted")
    point(alice, info=server)
    done = alice.run("fetch")
    assert done.code == 0
    assert "no UIDPLUS" in done.err
    assert titles(alice) == ["Matter 2", "Matter 3"]
    assert sorted(server.mails) == [1, 2, 3]
    assert all(b"\\Deleted" in flags for flags in server.flags.values())
    assert not any(b"EXPUNGE" in row for row in server.said)
    assert alice.run("fetch").err == ""


def test_move_without_the_command(alice: Person, play: Callable[..., Any]) -> None:
    server = play(Imap, letters(3), capabilities=b"IMAP4rev1 UIDPLUS")
    server.after = "move:Done"
    point(alice, info=server)
    alice.ok("fetch")
    assert (server.mails, server.moved) == ({}, [1, 2, 3])


def test_nothing_is_touched_before_it_is_durable(alice: Person, play: Callable[..., Any]) -> None:
    """At the moment of each MOVE the ledger already has the events."""
    seen: list[int] = []

    def before(server: Imap, tag: bytes, name: bytes, args: bytes) -> bool:
        if name == b"MOVE":
            seen.append(alice.git("log", "--format=%(trailers:key=Action,valueonly)", "main").count(b"receive"))
        return False

    server = play(Imap, letters(600), before=before)
    server.after = "move:Done"
    point(alice, info=server)
    alice.ok("fetch")
    assert seen == [250, 500, 600]
    assert titles(alice) == every(600)


def test_starttls_stripped(alice: Person, play: Callable[..., Any]) -> None:
    """Neither where it is not offered, nor where it is refused, nor after PREAUTH is the password sent."""
    assert alice.desk is not None
    bare = play(Imap, letters(1))

    def no(server: Imap, tag: bytes, name: bytes, args: bytes) -> bool:
        if name == b"STARTTLS":
            server.send(tag + b" NO not now\r\n")
        return name == b"STARTTLS"

    refusing = play(Imap, letters(1), capabilities=b"IMAP4rev1 STARTTLS", before=no)
    preauth = play(Imap, letters(1), greeting=b"* PREAUTH welcome\r\n", capabilities=b"IMAP4rev1 STARTTLS")
    pop = play(Pop, list(letters(1).values()))
    servers = {"bare": bare, "refusing": refusing, "preauth": preauth, "pop": pop}
    point(alice, **servers)
    path = alice.desk / "vrt" / "config.yaml"
    path.write_text(path.read_text().replace("tls: none", "tls: starttls"))
    done = alice.run("fetch")
    assert done.code == 1, done.err
    assert done.err.count("\n") == 4
    for server in servers.values():
        assert not any(b"topsecret" in row or b"AUTHENTICATE" in row for row in server.said), server.said
    assert titles(alice) == []


def test_plain_only_to_this_machine(alice: Person) -> None:
    """A name that says it is loopback is not enough, the address must be; see also the settings that are refused."""
    from vrt.errors import VrtError
    from vrt.mail.wire import Wire, is_loopback_name

    assert is_loopback_name("localhost")
    assert is_loopback_name("127.3.4.5")
    assert is_loopback_name("::1")
    assert not any(is_loopback_name(n) for n in ("localhost.example.org", "128.0.0.1", "0.0.0.0", "10.0.0.1", "::2"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing; shows the address that would be used
            address = str(probe.getsockname()[0])
        except OSError:
            pytest.skip("this machine has no address but loopback")
    with socket.create_server((address, 0)) as server, pytest.raises(VrtError, match="not this machine"):
        Wire(address, server.getsockname()[1], "none")


@pytest.mark.parametrize(
    "text", [b"[AUTHENTICATIONFAILED] no", b"[UNAVAILABLE] later \x1b[31mred\x07", b"topsecret is wrong"]
)
def test_login_is_refused(text: bytes, alice: Person, play: Callable[..., Any]) -> None:
    def before(server: Imap, tag: bytes, name: bytes, args: bytes) -> bool:
        if name == b"LOGIN":
            server.send(tag + b" NO " + text + b"\r\n")
            return True
        return False

    server = play(Imap, letters(1), before=before)
    point(alice, info=server)
    done = alice.run("fetch")
    assert done.code == (75 if b"UNAVAILABLE" in text else 1)
    assert "\x1b" not in done.err
    assert "topsecret" not in done.err
    assert done.err.count("\n") == 1


def test_token_logins(alice: Person, play: Callable[..., Any]) -> None:
    """OAUTHBEARER (RFC 7628) where it is offered, else XOAUTH2; the refusal's details are asked for and not shown."""
    import base64

    assert alice.desk is not None
    told: list[bytes] = []

    def before(server: Imap, tag: bytes, name: bytes, args: bytes) -> bool:
        if name == b"AUTHENTICATE":
            server.tag = tag  # type: ignore[attr-defined]
            server.send(b"+ \r\n")
            return True
        if name == b"":
            told.append(base64.b64decode(tag))
            server.send(server.tag + b" OK in\r\n")  # type: ignore[attr-defined]
            return True
        return False

    one = play(Imap, letters(1), before=before, capabilities=b"IMAP4rev1 AUTH=OAUTHBEARER AUTH=XOAUTH2")
    two = play(Imap, letters(1), before=before, capabilities=b"IMAP4rev1 AUTH=XOAUTH2")

    def pop_before(server: Pop, name: str, number: int) -> bool:
        if name == "AUTH":
            server.send(b"+ \r\n")
            return True
        if name not in ("USER", "PASS", "LIST", "UIDL", "RETR", "DELE", "QUIT"):
            told.append(base64.b64decode(name))
            server.send(b"+OK in\r\n")
            return True
        return False

    three = play(Pop, list(letters(1).values()), before=pop_before)
    point(alice, one=one, two=two, three=three)
    path = alice.desk / "vrt" / "config.yaml"
    path.write_text(path.read_text().replace("password_command", "token_command"))
    alice.run("fetch")
    assert told == [
        b"n,a=me,\1auth=Bearer topsecret\1\1", b"user=me\1auth=Bearer topsecret\1\1",
        b"user=me\1auth=Bearer topsecret\1\1",
    ]  # fmt: skip
    assert titles(alice) == every(1)


def test_silence(alice: Person, play: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that falls silent, and one that drips, cost a bounded time."""
    from vrt.mail import wire

    monkeypatch.setattr(wire, "SILENCE", 0.5)
    server = play(Imap, {}, greeting=b"")
    found = wire.Wire("127.0.0.1", server.port, "none")
    found.allow()
    with pytest.raises(wire.Lost, match="did not answer"):
        found.readline()
    found.close()
    monkeypatch.setattr(wire, "RATE", 1_000_000)

    class Dripping(Imap):
        def greet(self) -> None:
            for _ in range(100):
                self.send(b"x")
                time.sleep(0.1)

    found = wire.Wire("127.0.0.1", play(Dripping, {}).port, "none")
    found.allow(1_000_000)
    begin = time.monotonic()
    with pytest.raises(wire.Lost, match="too slow"):
        found.readline()
    found.close()
    assert time.monotonic() - begin < 6


# --- POP3 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "without", [set(), {"UIDL"}, {"TOP"}, {"UIDL", "TOP"}], ids=lambda w: "-".join(sorted(w)) or "all"
)
@pytest.mark.parametrize("after", ["delete", "leave"])
def test_pop_servers_of_all_kinds(after: str, without: set[str], alice: Person, play: Callable[..., Any]) -> None:
    """With UIDL and TOP and without; one mail is too large."""
    mails = list(letters(4).values())
    mails[1] = mail("Huge", "word\n" * LIMIT, id="<huge@example.com>")
    server = play(Pop, mails, without=without)
    server.after = after
    point(alice, info=server)
    done = alice.run("fetch")
    assert done.code == 0, done.err
    assert "too large" in done.err
    assert {"Matter 1", "Matter 3", "Matter 4"} < set(titles(alice))
    assert len(titles(alice)) == 4
    assert len(server.mails) == (1 if after == "delete" else 4)
    before = sum(row.startswith(b"RETR") for row in server.said)
    again = alice.run("fetch", "--json")
    assert again.code == 0
    counts = again.json["accounts"]["info"]["counts"]
    assert (counts["new"], counts["follow-up"]) == (0, 0)
    assert len(titles(alice)) == 4
    if "UIDL" not in without:
        assert sum(row.startswith(b"RETR") for row in server.said) == before


@pytest.mark.parametrize("claim", [0, 10, LIMIT * 100])
def test_pop_sizes_are_lies(claim: int, alice: Person, play: Callable[..., Any]) -> None:
    mails = list(letters(3, 2000).values())
    server = play(Pop, mails, claims=dict.fromkeys((1, 2, 3), claim))
    point(alice, info=server)
    alice.ok("fetch")
    assert titles(alice) == every(3)
    assert server.mails == {}


def test_pop_cut_lines(alice: Person, play: Callable[..., Any]) -> None:
    """The third mail cuts the line each time: it is left, the others come in and are deleted."""

    def before(server: Pop, name: str, number: int) -> bool:
        if name == "RETR" and b"Matter 3" in server.mails[number]:
            server.send(b"+OK\r\nSubject: half")
            raise Hangup
        return False

    server = play(Pop, list(letters(6).values()), before=before)
    point(alice, info=server)
    done = alice.run("fetch")
    assert done.code == 75
    assert done.err.count("\n") == 1
    assert titles(alice) == sorted(set(every(6)) - {"Matter 3"})
    assert len(server.mails) == 1


def test_pop_endless_answers(alice: Person, play: Callable[..., Any]) -> None:
    def before(server: Pop, name: str, number: int) -> bool:
        if name == "RETR" and number == 2:
            server.send(b"+OK\r\nSubject: endless\r\n\r\n")
            with contextlib.suppress(OSError):
                for _ in range(20_000):
                    server.send(b"\r\n" * 50_000)
            raise Hangup
        return False

    server = play(Pop, list(letters(3).values()), before=before)
    point(alice, info=server)
    done = alice.run("fetch")
    assert done.code == 0, done.err
    assert "too large" in done.err
    assert {"Matter 1", "Matter 3"} < set(titles(alice))


@pytest.mark.parametrize(
    "text", [b"-ERR [AUTH] topsecret\x1b[0m", b"-ERR [IN-USE] locked", b"-ERR [SYS/TEMP] later", b"huh"]
)
def test_pop_login_is_refused(text: bytes, alice: Person, play: Callable[..., Any]) -> None:
    def before(server: Pop, name: str, number: int) -> bool:
        if name == "PASS":
            server.send(text + b"\r\n")
            return True
        return False

    server = play(Pop, list(letters(1).values()), before=before)
    point(alice, info=server)
    done = alice.run("fetch")
    assert done.code == (1 if b"[AUTH]" in text else 75)
    assert "\x1b" not in done.err
    assert "topsecret" not in done.err
    assert done.err.count("\n") == 1
