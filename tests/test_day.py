"""A day in ``vrt list``: what is news, what waits for whom and for how long, what did not arrive; and watching it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Person, founded, mail
from test_cmd_desk import fetch, later
from test_terminal import evil_mail, vrt_on_terminal

DAY = 86400


def row(person: Person, number: str, *args: str) -> list[str]:
    """Return the words of a ticket's row in ``vrt list``."""
    return next(r.split() for r in person.ok("list", *args).out.splitlines() if r.startswith(number))


def unread(person: Person, *args: str) -> list[str]:
    found = person.json("list", *args)
    assert [t["number"] for t in found if t["unread"]] == [t["number"] for t in person.json("list", "is:unread", *args)]
    return [t["number"] for t in found if t["unread"]]


def refusing(person: Person, folder: Path, code: int = 67) -> None:
    """Let what ``person`` sends be refused for good (67: EX_NOUSER of sysexits.h)."""
    program = folder / "sendmail"
    program.write_text(f"#!/bin/sh\nexit {code}\n")
    program.chmod(0o755)
    assert person.desk is not None
    config = person.desk / "vrt" / "config.yaml"
    config.write_text(config.read_text() + f"delivery: {{kind: sendmail, command: [{program}]}}\n")


# --- news -------------------------------------------------------------------------------------------


def test_what_others_say_is_news_until_one_looks(alice: Person, colleague: Callable[..., Person]) -> None:
    a, b = alice.receive(mail("First", id="<a@example.com>"), mail("Second"))
    bob = colleague("bob", "info-en")
    assert unread(alice) == unread(bob) == [a, b] and row(alice, a)[2:4] == ["new", "+1"]
    alice.ok("show", a)
    assert unread(alice) == [b] and row(alice, a)[2:4] == ["new", "Jane"]
    # What one says oneself is none, nor what is done; what a colleague says is.
    alice.ok("note", a, "-m", "Mine.")
    alice.ok("priority", a, "4")
    assert unread(alice) == [b]
    fetch(bob, alice)
    bob.ok("note", b, "-m", "Bob's.")
    bob.ok("priority", a, "3")
    fetch(alice, bob)
    assert unread(alice) == [b] and row(alice, b)[3] == "+2"
    assert unread(bob) == [a]  # he has written in b, so he has seen what was there
    # A mail that I received myself is from somebody else.
    alice.receive(mail("Re: First", in_reply_to="<a@example.com>"))
    assert unread(alice) == [a, b] and row(alice, a)[3] == "+1"
    assert a in alice.ok("next").out
    assert unread(alice) == [b]
    # What one cannot read is no news, and what is closed neither.
    carol = colleague("carol", "permissions-en")
    assert unread(carol, "queue:info-en") == [] and len(carol.json("list", "queue:info-en")) == 2
    alice.ok("close", b, "-o", "spam")
    assert unread(alice) == [] and unread(alice, "state:any") == []


def test_what_was_seen_outlives_the_index(alice: Person) -> None:
    a, b = alice.receive(mail("First"), mail("Second"))
    alice.ok("show", a)
    alice.ok("index", "--rebuild")
    assert unread(alice) == [b]
    assert alice.desk is not None
    path = alice.desk / "vrt" / "index.db"
    path.write_bytes(b"damaged" * 9999)
    for side in ("-wal", "-shm"):
        path.with_name(path.name + side).unlink(missing_ok=True)
    assert unread(alice) == [a, b]  # what cannot be read is forgotten, and nothing else


def test_looking_waits_for_nobody_and_never_fails(alice: Person, tmp_path: Path) -> None:
    (n,) = alice.receive(mail("Busy"))
    alice.ok("list")
    holder = (
        "import sys, time\nfrom pathlib import Path\nfrom vrt.desk import Desk\n"
        "desk = Desk(Path(sys.argv[1]))\n"
        "with desk.index.writing():\n    desk.index.set_meta('x', 1)\n"
        "    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    argv = [sys.executable, "-c", holder, str(alice.desk)]
    with subprocess.Popen(argv, env=alice.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        start = time.monotonic()
        assert "Busy" in alice.ok("show", n).out
        assert time.monotonic() - start < 8  # SQLite would wait for ten seconds
        process.communicate("")
    assert unread(alice) == [n]
    alice.ok("show", n)
    assert unread(alice) == []


# --- marks ------------------------------------------------------------------------------------------


def test_drafts_and_what_was_not_delivered(alice: Person, tmp_path: Path) -> None:
    a, b, c = alice.receive(mail("Draft"), mail("Refused"), mail("Plain"))
    refusing(alice, tmp_path)
    alice.ok("draft", a, "-m", "To be finished.")
    alice.run("reply", b, "-m", "An answer.", "-y")
    out = alice.ok("list").out.splitlines()
    assert out[0].split() == ["NUMBER", "WAITS", "STATE", "OWNER", "DRAFT", "FROM", "SUBJECT"]
    assert [r.split()[0] for r in out[1:]] == [b, a, c]  # what did not arrive comes first
    assert "!1" in row(alice, b) and "!1" not in row(alice, a)
    assert row(alice, a)[3] == "alice" and "\x1b[1;31m" in vrt_on_terminal(alice, "list", "is:undelivered").out
    by = {t["number"]: t for t in alice.json("list")}
    assert [by[n]["draft"] for n in (a, b, c)] == [True, False, False]
    assert [by[n]["undelivered"] for n in (a, b, c)] == [0, 1, 0]
    assert [t["number"] for t in alice.json("list", "is:draft")] == [a]
    assert [t["number"] for t in alice.json("list", "is:undelivered")] == [b]
    status = next(q for q in alice.json("status")["queues"] if q["queue"] == "info-en")
    assert (status["drafts"], status["failed"], status["queued"], status["in_doubt"]) == (1, 1, 0, 0)
    head = next(r for r in alice.ok("status").out.splitlines() if "QUEUE" in r).split()
    assert head == ["QUEUE", "NEW", "OPEN", "PENDING", "MINE", "UNREAD", "DRAFTS", "FAILED", "WAITS"]
    # `next` gives it to whom it belongs, although a lock runs, unless that one put it off; closed or not.
    assert alice.json("next")["number"] == b
    alice.ok("pend", b, "--until", "1d")
    assert alice.json("next")["number"] == a
    alice.ok("close", b, "-o", "successful")
    assert alice.json("next")["number"] == b and alice.json("show", b)["state"] == "closed"
    alice.ok("outbox", "cancel", b)
    assert alice.json("next")["number"] == c


def test_who_is_away_and_what_has_to_do_with_each_other(alice: Person, colleague: Callable[..., Person]) -> None:
    a, b, c = alice.receive(mail("One"), mail("Two"), mail("Three"))
    colleague("bob", "info-en")
    alice.ok("agent", "away", "bob", "--until", "2d")
    alice.ok("assign", a, "bob", "--force")
    assert row(alice, a)[4:6] == ["bob*", "(away)"]
    assert row(Person(alice.home, alice.desk), a)[4:6] == ["bob*", "(away)"]
    after = alice.ok("list", env=later(alice, 4 * DAY)).out
    assert "bob" in after and "away" not in after
    alice.ok("link", a, b)
    assert sorted(t["number"] for t in alice.json("list", "is:linked")) == [a, b]
    assert {t["number"]: t["links"] for t in alice.json("list")} == {a: [b], b: [], c: []}


@pytest.fixture(scope="module")
def paused(tmp_path_factory: pytest.TempPathFactory) -> tuple[Person, list[str]]:
    """A desk with two tickets that wait for a time, one of which is over, one that I own, and one of nobody."""
    alice = founded(tmp_path_factory.mktemp("day"))
    numbers = alice.receive(mail("soon"), mail("later"), mail("mine"), mail("free"))
    alice.ok("pend", numbers[0], "--until", "60m")
    alice.ok("pend", numbers[1], "--until", "3d")
    alice.ok("take", numbers[2])
    alice.env |= later(alice, 2 * 3600)
    return alice, numbers


def test_what_was_put_off_and_is_due(paused: tuple[Person, list[str]]) -> None:
    alice, (soon, later_, mine, free) = paused
    assert row(alice, soon)[2] == "due" and row(alice, later_)[2:4] == ["pending", "3d"]
    assert [t["number"] for t in alice.json("list", "is:due")] == [soon]
    (queue,) = [q for q in alice.json("status")["queues"] if q["queue"] == "info-en"]
    assert (queue["due"], queue["pending"], queue["owned"], queue["new"], queue["unread"]) == (1, 2, 1, 1, 4)
    assert [t["number"] for t in alice.json("list", "--sort", "due")] == [soon, later_, mine, free]
    assert alice.json("list", "--sort", "mine")[0]["number"] == mine
    assert alice.run("list", "--sort", "nonsense").code == 2


def test_next_gives_back_first_what_i_put_off(alice: Person) -> None:
    _, b, c = alice.receive(mail("One"), mail("Two"), mail("Three"))
    alice.ok("priority", b, "5")
    alice.ok("take", c)
    alice.ok("pend", c, "--until", "60m")
    assert alice.json("next")["number"] == b
    soon = later(alice, 2 * 3600)
    assert alice.ok("next", "--json", env=soon).json["number"] == c  # although its lock still runs: it is mine
    assert alice.ok("show", c, "--json", env=soon).json["state"] == "pending"


# --- watching ---------------------------------------------------------------------------------------


class Watching:
    """A ``vrt list --watch`` on a terminal."""

    def __init__(self, person: Person, *args: str, rows: int = 24) -> None:
        import fcntl
        import pty
        import struct
        import termios

        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, 100, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "vrt", "-C", str(person.desk), "list", "--watch", *args],
            stdin=slave, stdout=slave, stderr=slave, env=person.env | {"TERM": "xterm"}, start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        self.out = ""

    def until(self, text: str) -> str:
        """Return what was written since the last call, as soon as it holds ``text``."""
        end = time.monotonic() + 30
        found = ""
        while text not in found:
            assert time.monotonic() < end, found
            if select.select([self.master], [], [], 0.2)[0]:
                try:
                    found += os.read(self.master, 65536).decode()
                except OSError:  # the other end is closed
                    assert text in found, found
        self.out += found
        return found

    def end(self, number: int) -> int:
        """Send a signal and return the exit code."""
        os.kill(self.process.pid, number)
        self.until("\x1b[?1049l")
        code = self.process.wait(20)
        os.close(self.master)
        return code


def test_watching_shows_what_changes(alice: Person, tmp_path: Path) -> None:
    (n,) = alice.receive(mail("The first"))
    watching = Watching(alice, "1", "queue:info-en")
    assert watching.until("The first").startswith("\x1b[?1049h\x1b[?25l")
    (m,) = alice.receive(mail("The second"))
    shown = watching.until("The second")
    assert "The first" in shown and shown.startswith("\x1b[H") and "2 tickets" in shown
    alice.ok("show", m)  # what I look at elsewhere is no news here either
    watching.until("+1")
    alice.ok("close", n, m, "-o", "spam")
    watching.until("nothing waits")
    assert watching.end(signal.SIGINT) == 0
    assert watching.out.endswith("\x1b[?25h\x1b[?1049l") and "Traceback" not in watching.out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_watching_leaves_the_screen_in_order(alice: Person, number: int) -> None:
    alice.receive(mail("The first"), evil_mail())
    watching = Watching(alice, rows=8)
    shown = watching.until("The first")
    assert "\x1b]" not in shown and "\x1b[45m" not in shown and shown.count("\n") <= 8
    assert watching.end(number) == 128 + number
    assert watching.out.endswith("\x1b[?25h\x1b[?1049l")


def test_watching_can_be_stopped_and_goes_on(alice: Person) -> None:
    alice.receive(mail("The first"))
    watching = Watching(alice, "1")
    watching.until("The first")
    os.kill(watching.process.pid, signal.SIGTSTP)  # Ctrl-Z
    watching.until("\x1b[?25h\x1b[?1049l")
    os.waitpid(watching.process.pid, os.WUNTRACED)
    os.kill(watching.process.pid, signal.SIGCONT)
    assert watching.until("The first").startswith("\x1b[?1049h\x1b[?25l")
    assert watching.end(signal.SIGINT) == 0


def test_watching_ends_in_order_when_the_desk_breaks(alice: Person) -> None:
    alice.receive(mail("The first"))
    watching = Watching(alice, "1")
    watching.until("The first")
    assert alice.desk is not None
    (alice.desk / "refs" / "heads" / "main").write_text("nonsense\n")
    assert "refs/heads/main is damaged" in watching.until("damaged")
    assert watching.process.wait(20) == 7
    assert "\x1b[?25h\x1b[?1049l" in watching.out


def test_watching_is_for_terminals(alice: Person) -> None:
    for args in (("--watch",), ("--watch", "5", "state:new"), ("--watch", "--json")):
        done = alice.run("list", *args)
        assert done.code == 2 and "--watch is for a terminal" in done.err
    assert vrt_on_terminal(alice, "list", "--watch", "0").code == 2
    assert "no field nonsense" in vrt_on_terminal(alice, "list", "--watch", "nonsense:1").out
