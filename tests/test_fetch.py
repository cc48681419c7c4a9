"""Fetching from a real Dovecot, Maildirs and mboxes: everything once, touched only when durable, whoever is killed."""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Person, founded, mail
from dovecot import PASSWORD, Dovecot, certificate, free_ports


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Person:
    return founded(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def dovecot() -> Iterator[Dovecot]:
    server = Dovecot()
    yield server
    server.close()


def copy(base: Person, folder: Path) -> Person:
    """The same desk and keys in a folder of its own."""
    assert base.desk is not None
    folder.mkdir(exist_ok=True)
    shutil.copytree(base.desk, folder / "desk")
    person = Person(base.home, folder / "desk")
    (folder / "run").mkdir(mode=0o700)
    person.env = base.env | {"XDG_RUNTIME_DIR": str(folder / "run")}
    return person


@pytest.fixture
def alice(base: Person, tmp_path: Path) -> Person:
    return copy(base, tmp_path / "alice")


def config(person: Person, **accounts: dict[str, Any]) -> None:
    """Write the accounts into the desk's config.yaml, behind what stands there."""
    import yaml

    assert person.desk is not None
    path = person.desk / "vrt" / "config.yaml"
    lines = path.read_text().split("accounts:")[0] if path.exists() else ""
    path.write_text(lines + yaml.safe_dump({"accounts": accounts}, sort_keys=False))


def account(server: Dovecot, kind: str, user: str, **more: Any) -> dict[str, Any]:
    """Settings of an account on the test's Dovecot, over TLS."""
    port = {"imap": server.imaps, "pop3": server.pop3s}[kind]
    found: dict[str, Any] = {
        "type": kind, "host": "localhost", "port": port, "ca_file": str(server.ca), "user": user,
        "password_command": f"echo {PASSWORD}",
    }  # fmt: skip
    return found | more


def titles(person: Person) -> list[str]:
    return sorted(t["title"] for t in person.json("list", "state:any", "--limit", "0"))


def letters(count: int, name: str = "Matter") -> list[bytes]:
    return [mail(f"{name} {i}", id=f"<{name}-{i}@example.com>") for i in range(count)]


def kinds(person: Person, name: str = "info") -> dict[str, int]:
    done = person.json("fetch", name)["accounts"][name]
    assert done["problem"] is None
    return {k: n for k, n in done["counts"].items() if n}


# --- what happens to messages ---------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "after"), [("imap", "seen"), ("imap", "delete"), ("imap", "move:Done.Größe"),
                                              ("pop3", "delete"), ("pop3", "leave")])  # fmt: skip
def test_everything_once(kind: str, after: str, alice: Person, dovecot: Dovecot) -> None:
    user = f"u-{kind}-{after[:4]}"
    config(alice, info=account(dovecot, kind, user, after=after))
    dovecot.deliver(user, letters(5))
    done = alice.run("fetch")
    assert (done.code, done.out, done.err) == (0, "", "")  # silent for cron
    assert titles(alice) == [f"Matter {i}" for i in range(5)]
    assert kinds(alice) == {}  # nothing is fetched again
    dovecot.deliver(user, letters(1, "Later"))
    assert kinds(alice) == {"new": 1}
    assert dovecot.count(user) == (6 if after in ("seen", "leave") else 0)
    if after.startswith("move"):
        assert dovecot.count(user, "Done.Gr&APYA3w-e") == 6


def test_messages_come_byte_for_byte(alice: Person, dovecot: Dovecot) -> None:
    """Also with lines of 40 kB, leading dots, a carriage return first, and eight-bit text."""
    odd = b"From: a@example.com\r\nTo: info-en@example.org\r\nSubject: odd %d\r\nMessage-ID: <odd%d@x>\r\n\r\n"
    body = b".\r\n..\r\n.dot\r\n\r\rback\r\n" + b"x" * 40_000 + b"\r\n\xc3\xa4\xff\r\n.\r\n\r\n"
    config(alice, imap=account(dovecot, "imap", "b1"), pop=account(dovecot, "pop3", "b2"))
    for i, user in ((1, "b1"), (2, "b2")):
        dovecot.deliver(user, [odd % (i, i) + body])
    alice.ok("fetch")
    tickets = {t["title"]: t["number"] for t in alice.json("list")}
    for i in (1, 2):
        assert alice.run("raw", tickets[f"odd {i}"]).raw == odd % (i, i) + body


def test_starttls(alice: Person, dovecot: Dovecot) -> None:
    config(
        alice,
        imap=account(dovecot, "imap", "t1", tls="starttls", port=dovecot.imap),
        pop=account(dovecot, "pop3", "t2", tls="starttls", port=dovecot.pop3),
        plain=account(dovecot, "imap", "t3", tls="none", port=dovecot.imap),
    )
    for i in (1, 2, 3):
        dovecot.deliver(f"t{i}", letters(1, f"Secured{i}"))
    alice.ok("fetch")
    assert titles(alice) == ["Secured1 0", "Secured2 0", "Secured3 0"]


def test_certificate_of_another_is_refused(alice: Person, dovecot: Dovecot, tmp_path: Path) -> None:
    """Of another authority, and of a trusted authority for another name."""
    other = str(certificate(tmp_path / "other", "localhost"))
    elsewhere = Dovecot("mail.example.org")
    try:
        for kind in ("imap", "pop3"):
            for settings in (account(dovecot, kind, "c1", ca_file=other), account(elsewhere, kind, "c1")):
                config(alice, info=settings)
                done = alice.run("fetch")
                assert done.code == 1
                assert "cannot be trusted" in done.err
                assert len(done.err.splitlines()) == 1
    finally:
        elsewhere.close()


def test_bad_password(alice: Person, dovecot: Dovecot) -> None:
    config(
        alice,
        one=account(dovecot, "imap", "p1", password_command="echo hunter2"),
        two=account(dovecot, "pop3", "p2", password_command="echo hunter2"),
        three=account(dovecot, "pop3", "p3", password_command="exit 3"),
        good=account(dovecot, "imap", "p4"),
    )
    dovecot.deliver("p4", letters(1))
    done = alice.run("fetch")
    assert (done.code, done.out) == (1, "")
    assert "hunter2" not in done.err
    assert [row.split(":")[2].strip() for row in done.err.splitlines()] == [
        "account one",
        "account two",
        "account three",
    ]
    assert "password_command failed with exit 3" in done.err
    assert titles(alice) == ["Matter 0"]


def test_server_that_is_away(alice: Person, dovecot: Dovecot) -> None:
    config(alice, away=account(dovecot, "imap", "x", port=free_ports(1)[0]), good=account(dovecot, "pop3", "a1"))
    dovecot.deliver("a1", letters(1))
    done = alice.run("fetch")
    assert (done.code, len(done.err.splitlines())) == (75, 1)
    assert titles(alice) == ["Matter 0"]
    assert alice.run("fetch", "good").code == 0
    assert alice.run("fetch", "away").code == 75


def test_check_and_names(alice: Person, dovecot: Dovecot) -> None:
    config(alice, info=account(dovecot, "imap", "n1"), pop=account(dovecot, "pop3", "n1"))
    dovecot.deliver("n1", letters(3))
    done = alice.ok("fetch", "--check")
    assert [row.partition(": ")[0] for row in done.out.splitlines()] == ["info", "pop"]
    assert all("3 there, 3 to fetch" in row for row in done.out.splitlines())
    assert titles(alice) == []
    assert alice.json("fetch", "--check")["accounts"]["info"] == {"messages": 3, "waiting": 3, "problem": None}
    unknown = alice.run("fetch", "nobody")
    assert unknown.code == 4
    assert "info, pop" in unknown.err
    config(alice, info=account(dovecot, "imap", "n1", folder="Nowhere"))
    assert alice.run("fetch", "--check").code == 1


def test_oversize_is_left_or_moved_aside(alice: Person, dovecot: Dovecot) -> None:
    set_limit(alice, 20_000)
    big = mail("Big", "x" * 60 + "\n" * 30_000, id="<big@example.com>")
    for kind, after, large in (("imap", "move:Done", "leave"), ("imap", "seen", "move:Big"), ("pop3", "delete", "")):
        user = f"o-{kind}-{after[:4]}"
        more = {"too_large": large} if large else {}
        config(alice, **{user: account(dovecot, kind, user, after=after, **more)})
        dovecot.deliver(user, [*letters(2, user), big.replace(b"<big", f"<{user}".encode()), *letters(2, f"z{user}")])
        done = alice.run("fetch")
        assert done.code == 0, done.err
        assert done.err.count("is too large") == 1, done.err
        assert dovecot.count(user) == {"move": 1, "seen": 4, "dele": 1}[after[:4]]
        assert dovecot.count(user, "Big") == (1 if large == "move:Big" else 0)
        again = alice.run("fetch")
        assert (again.code, again.err) == (0, "")
        alice.json("fetch")
    queues = Counter(t["queue"] for t in alice.json("list", "state:any"))
    assert queues == {"info-en": 12, "postmaster": 3}


def set_limit(person: Person, size: int) -> None:
    person.ok("desk", "set", "--message-bytes", str(size))


def test_two_fetches_at_once(alice: Person, dovecot: Dovecot) -> None:
    config(alice, info=account(dovecot, "imap", "w1"))
    dovecot.deliver("w1", letters(2))
    assert alice.desk is not None
    with open(alice.desk / "vrt" / "fetch-info.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        done = alice.run("fetch")
        assert (done.code, done.out, done.err) == (0, "", "")
        assert titles(alice) == []
        waiting = start(alice, "fetch", "--wait")
        time.sleep(1)
        assert waiting.poll() is None
    assert waiting.wait(30) == 0
    assert len(titles(alice)) == 2


def test_published_before_it_is_touched(alice: Person, dovecot: Dovecot, tmp_path: Path) -> None:
    """Without a remote, or with one that is away, messages are recorded and stay on the server."""
    config(alice, info=account(dovecot, "imap", "d1", after="delete", publish=True))
    dovecot.deliver("d1", letters(2))
    done = alice.run("fetch")
    assert (done.code, len(done.err.splitlines())) == (1, 1)
    assert "no remote" in done.err
    alice.git("config", "remote.origin.url", str(tmp_path / "remote.git"))
    assert alice.run("fetch").code == 75
    assert dovecot.count("d1") == 2
    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path / "remote.git")], check=True)
    assert kinds(alice) == {"duplicate": 2}
    assert dovecot.count("d1") == 0
    there = subprocess.run(["git", f"--git-dir={tmp_path / 'remote.git'}", "rev-parse", "main", "keys"],
                           capture_output=True, check=True)  # fmt: skip
    assert there.stdout == alice.git("rev-parse", "main", "keys")


def test_untouched_where_the_desk_cannot_be_written(alice: Person, dovecot: Dovecot) -> None:
    config(alice, info=account(dovecot, "imap", "d2", after="delete"))
    dovecot.deliver("d2", letters(2))
    assert alice.desk is not None
    objects = alice.desk / "objects"
    kept = objects.rename(alice.desk / "kept")
    objects.write_bytes(b"")  # no folder: nothing can be written, not even by root
    assert alice.run("fetch").code != 0
    assert dovecot.count("d2") == 2
    objects.unlink()
    kept.rename(objects)
    assert kinds(alice) == {"new": 2}
    assert dovecot.count("d2") == 0


def test_loop_hears_of_new_mail_and_ends_when_told(alice: Person, dovecot: Dovecot, tmp_path: Path) -> None:
    box = maildir(tmp_path / "box", letters(1, "Local"))
    config(alice, info=account(dovecot, "imap", "l1"), box={"type": "maildir", "path": str(box)})
    dovecot.deliver("l1", letters(1, "First"))
    service = start(alice, "fetch", "--loop", "--every", "1h")
    try:
        wait_for(lambda: titles(alice) == ["First 0", "Local 0"], 30)
        time.sleep(1)
        begin = time.monotonic()
        dovecot.deliver("l1", letters(1, "Second"))
        wait_for(lambda: "Second 0" in titles(alice), 20)
        assert time.monotonic() - begin < 20
        service.send_signal(signal.SIGTERM)
        out, err = service.communicate(timeout=20)
        assert (service.returncode, out, err) == (0, b"", b"")
    finally:
        service.kill()
        service.wait()


def test_loop_survives_the_server(alice: Person, tmp_path: Path) -> None:
    """What is away is tried again, said once, and does not stop the other accounts, which are looked at regularly."""
    server = Dovecot()
    box = maildir(tmp_path / "box", [])
    config(alice, info=account(server, "imap", "s1"), box={"type": "maildir", "path": str(box)})
    service = start(alice, "fetch", "--loop", "--every", "1s")
    try:
        server.deliver("s1", letters(1, "First"))
        wait_for(lambda: titles(alice) == ["First 0"], 30)
        server.kill()
        server.deliver("s1", letters(1, "Second"))
        maildir(box, letters(1, "Local"))
        wait_for(lambda: "Local 0" in titles(alice), 30)
        server.start()
        wait_for(lambda: "Second 0" in titles(alice), 60)
        service.send_signal(signal.SIGINT)
        out, err = service.communicate(timeout=20)
        assert (service.returncode, out) == (0, b"")
        assert 1 <= len(err.splitlines()) <= 3, err
    finally:
        service.kill()
        service.wait()
        server.close()


def wait_for(found: Any, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.2)


def start(person: Person, *args: str) -> subprocess.Popen[bytes]:
    """Start vrt in a process group of its own."""
    argv = [sys.executable, "-m", "vrt", "-C", str(person.desk), *args]
    return subprocess.Popen(
        argv, env=person.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip


# --- Maildir and mbox -------------------------------------------------------------------------------


def maildir(path: Path, mails: list[bytes]) -> Path:
    for part in ("tmp", "new", "cur"):
        (path / part).mkdir(parents=True, exist_ok=True)
    for i, raw in enumerate(mails):
        (path / "new" / f"{time.time_ns()}.{i}.host").write_bytes(raw)
    return path


@pytest.mark.parametrize("after", ["seen", "delete", "move:Done"])
def test_maildir(after: str, alice: Person, tmp_path: Path) -> None:
    path = maildir(tmp_path / "box", letters(3))
    next((path / "new").iterdir()).rename(path / "cur" / "moved:2,")  # seen by a program, read by nobody
    (path / "cur" / "trash:2,T").write_bytes(letters(1, "Trash")[0])
    os.mkfifo(path / "new" / "pipe")
    (path / "new" / "link").symlink_to("/etc/passwd")
    config(alice, info={"type": "maildir", "path": str(path), "after": after})
    done = alice.run("fetch")
    assert done.code == 75  # for what is no message
    assert titles(alice) == ["Matter 0", "Matter 1", "Matter 2"]
    names = sorted(p.name for p in (path / "cur").iterdir())
    assert [n.endswith(":2,S") for n in names] == ([True] * 3 + [False] if after == "seen" else [False])
    assert len(list(path.glob(".Done/cur/*"))) == (3 if after == "move:Done" else 0)
    assert sorted(p.name for p in (path / "new").iterdir()) == ["link", "pipe"]


def mbox(mails: list[bytes]) -> bytes:
    return b"".join(
        b"From someone Fri Nov 20 10:00:00 2026\n" + m.replace(b"\nFrom ", b"\n>From ") + b"\n" for m in mails
    )


def test_mbox_goes_on_where_it_was(alice: Person, tmp_path: Path) -> None:
    path = tmp_path / "spool"
    path.write_bytes(mbox(letters(3)))
    config(alice, info={"type": "mbox", "path": str(path)})
    assert kinds(alice) == {"new": 3}
    assert kinds(alice) == {}
    with path.open("ab") as file:
        file.write(mbox(letters(2, "Later")))
    assert kinds(alice) == {"new": 2}
    path.write_bytes(mbox(letters(4)))  # somebody removed some and added one
    assert kinds(alice) == {"new": 1, "duplicate": 3}
    (tmp_path / "spool.lock").touch()
    assert alice.run("fetch").code == 75


def test_mbox_read_half_way_comes_again_whole(alice: Person, tmp_path: Path) -> None:
    path = tmp_path / "spool"
    whole = mbox([mail("Whole", "one\ntwo\nthree\n", id="<w@example.com>")])
    path.write_bytes(whole[:-12])
    config(alice, info={"type": "mbox", "path": str(path)})
    assert kinds(alice) == {"new": 1}
    path.write_bytes(whole)
    assert sum(kinds(alice).values()) == 1
    assert any(b"three" in alice.run("raw", t["number"]).raw for t in alice.json("list"))


def test_mbox_oversize(alice: Person, tmp_path: Path) -> None:
    set_limit(alice, 20_000)
    path = tmp_path / "spool"
    path.write_bytes(mbox([*letters(1), mail("Big", "word\n" * 10_000, id="<big@example.com>"), *letters(1, "Last")]))
    config(alice, info={"type": "mbox", "path": str(path)})
    done = alice.run("fetch")
    assert done.code == 0
    assert "too large" in done.err
    assert {"Last 0", "Matter 0"} < set(titles(alice))


# --- settings -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"type": "imap", "host": "mail.example.org", "user": "u", "password": "secret"}, "password"),
        ({"type": "imap", "host": "example.org", "user": "u", "password_command": "true", "tls": "none"}, "the clear"),
        ({"type": "imap", "host": "mail.example.org", "user": "u"}, "password_command or token_command"),
        ({"type": "imap", "host": "h", "user": "u\r\nDELETE INBOX", "password_command": "true"}, "user"),
        ({"type": "imap", "host": "h", "user": "u", "password_command": "true", "after": "leave"}, "after"),
        ({"type": "imap", "host": "h", "user": "u", "password_command": "true", "after": "move"}, "after"),
        ({"type": "imap", "host": "h", "user": "u", "password_command": "true", "after": "move:INBOX"}, "they are"),
        ({"type": "imap", "host": "h", "user": "u", "password_command": "true", "port": 99999}, "port"),
        ({"type": "imap", "host": "h", "user": "u", "password_command": "true", "verify": False}, "verify"),
        ({"type": "maildir", "path": "relative"}, "absolute"),
        ({"type": "gopher"}, "type"),
        ("nonsense", "settings"),
    ],
)  # fmt: skip
def test_bad_settings(settings: Any, said: str, alice: Person, tmp_path: Path) -> None:
    """Named in one line, exit 1, and the other accounts go on."""
    good = {"type": "maildir", "path": str(maildir(tmp_path / "box", letters(1)))}
    config(alice, bad=settings, good=good)
    done = alice.run("fetch")
    assert done.code == 1
    assert len(done.err.splitlines()) == 1
    assert "account bad: " in done.err
    assert said in done.err
    assert "secret" not in done.err
    assert titles(alice) == ["Matter 0"]


def test_no_accounts(alice: Person) -> None:
    done = alice.run("fetch")
    assert done.code == 1
    assert "docs/ADMIN.md" in done.err


# --- killed at random points --------------------------------------------------------------------------


def mixed(count: int) -> list[bytes]:
    """``count`` mails: those of the corpus where it is here, and made-up ones, some of them answers."""
    folder = Path(os.environ.get("VRT_CORPUS", ROOT.parent / "shared" / "corpus")) / "mail"
    found = [p.read_bytes() for p in sorted(folder.rglob("*.eml"))][: count * 2 // 5] if folder.is_dir() else []
    for i in range(count - len(found)):
        answer = {"in_reply_to": f"<k{i - 1}@example.com>"} if i % 10 == 9 else {}
        found.append(mail(f"Matter {i}", f"letter {i}\n" + "word\n" * 200, id=f"<k{i}@example.com>", **answer))
    return found


def refs(person: Person) -> list[str]:
    """The Content-Ref of every event: what is in the desk, comparable between copies of one desk."""
    return sorted(person.git("log", "--format=%(trailers:key=Content-Ref,valueonly)", "main").decode().split())


def finished(person: Person, server: Dovecot) -> int:
    """Call fetch until it ends well; return how often it took."""
    for i in range(20):
        if server.process is None:
            server.start()
        done = person.run("fetch")
        if done.code == 0:
            return i + 1
        assert done.code == 75, done.err
    raise AssertionError(f"20 fetches did not end well: {done.err}")


def one_run(base: Person, server: Dovecot, mails: list[bytes], kind: str, wanted: list[str], after: float, victim: str,
            folder: Path) -> None:  # fmt: skip
    person = copy(base, folder)
    user = folder.name
    what = "move:Done" if kind == "imap" else "delete"
    config(person, info=account(server, kind, user, after=what))
    server.deliver(user, mails)
    running = start(person, "fetch")
    time.sleep(after)
    if victim == "client":
        os.killpg(running.pid, signal.SIGKILL)
    else:
        server.kill()
        time.sleep(0.2)
        server.start()
    running.communicate()
    finished(person, server)
    assert refs(person) == wanted, "not everything once"
    assert server.count(user) == 0
    if kind == "imap":
        assert server.count(user, "Done") >= len(mails)
    person.ok("verify")
    shutil.rmtree(folder)
    shutil.rmtree(server.folder(user))


def killed(base: Person, tmp_path: Path, count: int, runs: int, kind: str) -> None:
    server = Dovecot()
    try:
        mails = mixed(count)
        person = copy(base, tmp_path / f"{kind}-ref")
        config(person, info=account(server, kind, "ref", after="seen" if kind == "imap" else "leave"))
        server.deliver("ref", mails)
        begin = time.monotonic()
        person.ok("fetch")
        taken = time.monotonic() - begin
        wanted = refs(person)
        assert len(wanted) > count * 0.9
        assert len(set(wanted)) == len(wanted)
        dice = random.Random()
        for i in range(runs):
            after = taken * (i + dice.random()) / runs
            victim = ("client", "server")[i % 2]
            try:
                one_run(base, server, mails, kind, wanted, after, victim, tmp_path / f"{kind}-{i}")
            except AssertionError as exc:
                raise AssertionError(f"{victim} killed after {after:.3f} of {taken:.3f} s: {exc}") from exc
    finally:
        server.close()


@pytest.mark.parametrize("kind", ["imap", "pop3"])
def test_killed_at_random_points(kind: str, base: Person, tmp_path: Path) -> None:
    """The client and the server, twice each, with 300 mails."""
    killed(base, tmp_path, 300, 4, kind)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["imap", "pop3"])
def test_killed_at_20_random_points(kind: str, base: Person, tmp_path: Path) -> None:
    """1,000 mails, 20 runs in which the client or the server is killed."""
    killed(base, tmp_path, 1000, 20, kind)
