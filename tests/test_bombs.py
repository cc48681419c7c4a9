"""Mails made to stall, to fill the memory, or to confuse: each is taken in whole, and the next mail too.

Every bomb goes through ``vrt receive -``, ``raw`` and ``show`` as processes of their own, with the processor
time and the memory of each measured.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest
from bombs import BOMBS, Bomb, multipart, text
from conftest import Person, founded, mail

from vrt.mail import header, limits, parts
from vrt.mail.parse import READ_AS_TEXT, TOOK_TOO_LONG, parse

SECONDS = 6.0
KIB = 512 * 1024

# A process of its own: the peak of a child that is started with vfork(2) would count the memory of this one.
MEASURE = """
import json, os, resource, sys
pid = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
json.dump([code, used.ru_utime + used.ru_stime, used.ru_maxrss], open(sys.argv[1], "w"))
"""


class Run(NamedTuple):
    """How a command ended, and what it and its children took: seconds of processor time, KiB at its peak."""

    out: Path
    err: str
    code: int
    seconds: float
    peak: int

    def check(self) -> None:
        assert self.code == 0, self.err
        assert self.seconds <= SECONDS
        assert self.peak <= KIB
        assert "Traceback" not in self.err


def run(person: Person, folder: Path, feed: Path, *args: str) -> Run:
    """Run vrt with ``feed`` on standard input, measured."""
    out, used = folder / "out", folder / "used"
    argv = [sys.executable, "-I", "-S", "-c", MEASURE, str(used), sys.executable, "-m", "vrt", "-C", str(person.desk)]
    with feed.open("rb") as stdin, out.open("wb") as stdout:
        done = subprocess.run(
            [*argv, *args], stdin=stdin, stdout=stdout, stderr=subprocess.PIPE, env=person.env, check=True
        )
    return Run(out, done.stderr.decode(), *json.loads(used.read_text()))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Person:
    return founded(tmp_path_factory.mktemp("base"))


@pytest.fixture
def alice(base: Person, tmp_path: Path) -> Iterator[Person]:
    """The founder of a desk; all that a test leaves, which may be much, is removed."""
    assert base.desk is not None
    shutil.copytree(base.desk, tmp_path / "desk")
    person = Person(base.home, tmp_path / "desk")
    yield person
    shutil.rmtree(tmp_path / "desk")
    for path in tmp_path.iterdir():
        if path.is_file():
            path.unlink()


def explode(alice: Person, bomb: Bomb, folder: Path) -> list[Run]:
    """Take in ``bomb`` and a mail after it; return what each command took."""
    feed, empty, ordinary = folder / "bomb.eml", folder / "empty", folder / "next.eml"
    raw = bomb.make()
    feed.write_bytes(raw)
    empty.touch()
    ordinary.write_bytes(mail("An ordinary matter"))

    received = run(alice, folder, feed, "receive", "--json", "-")
    received.check()
    (got,) = json.loads(received.out.read_bytes())["mails"]
    assert got["outcome"] == "new" and got["queue"] == bomb.queue
    assert bomb.defects <= set(got["defects"])
    original = run(alice, folder, empty, "raw", got["ticket"])
    original.check()
    assert original.out.read_bytes() == raw
    shown = run(alice, folder, empty, "show", got["ticket"])
    shown.check()
    assert got["ticket"].encode() in shown.out.read_bytes()
    following = run(alice, folder, ordinary, "receive", "--json", "-")
    following.check()
    (got,) = json.loads(following.out.read_bytes())["mails"]
    assert (got["outcome"], got["queue"], got["defects"]) == ("new", "info-en", [])
    return [received, original, shown, following]


assert len(BOMBS) >= 60


# Every sixth; all of them are in the long form.
@pytest.mark.parametrize("name", list(BOMBS)[::6])
def test_bomb(alice: Person, tmp_path: Path, name: str) -> None:
    explode(alice, BOMBS[name], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(BOMBS))
def test_every_bomb(alice: Person, tmp_path: Path, name: str) -> None:
    explode(alice, BOMBS[name], tmp_path)


# --- the limits -----------------------------------------------------------------------------------


def endless() -> bytes:
    """Return a mail that takes too long to read whatever the machine: the limit is set to next to nothing."""
    return multipart("endless", (b"--b\nContent-Type: text/html\n\n" + b"<p>a <b>b</b>" * 5_000 + b"\n") * 50)


def test_too_long_is_read_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """The header is read all the same, and what stood around is as it was."""
    monkeypatch.setattr(limits, "SECONDS", 0.2)
    handler, timer = signal.getsignal(signal.SIGPROF), signal.getitimer(signal.ITIMER_PROF)
    begin = time.process_time()
    found = parse(endless())
    assert time.process_time() - begin < 2
    assert TOOK_TOO_LONG in found.defects and READ_AS_TEXT not in found.defects
    assert (found.subject, found.from_[0].address) == ("bomb endless", "jo@example.com")
    assert found.body.startswith("--b\nContent-Type: text/html")
    assert (signal.getsignal(signal.SIGPROF), signal.getitimer(signal.ITIMER_PROF)) == (handler, timer)


def test_nothing_is_limited_outside_of_the_main_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SECONDS", 0.001)
    with ThreadPoolExecutor(1) as pool:
        assert TOOK_TOO_LONG not in pool.submit(parse, endless()).result().defects


def test_a_limit_leaves_the_timer_of_others_alone() -> None:
    """Also one that a library swallows is noticed; a sooner end around it stays; the timer runs on afterwards."""
    rung: list[int] = []
    before = signal.signal(signal.SIGPROF, lambda *_: rung.append(1))
    try:
        signal.setitimer(signal.ITIMER_PROF, 0.1)
        with limits.cpu(5):
            spin(0.3)
        assert rung == [1]
        signal.setitimer(signal.ITIMER_PROF, 0.5)
        with pytest.raises(limits.TookTooLong), limits.cpu(0.05):
            spin(1)
        assert rung == [1] and 0 < signal.getitimer(signal.ITIMER_PROF)[0] < 0.5
        spin(0.6)
        assert rung == [1, 1]
        with pytest.raises(limits.TookTooLong), limits.cpu(0.05):
            with suppress(BaseException):
                spin(0.2)
            limits.look()
        limits.look()  # nothing runs
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def spin(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_of_a_mail_that_is_too_large_only_the_header_is_read() -> None:
    raw = text("large", b"x\n" * 100_000)
    assert parse(raw, len(raw)).body
    found = parse(raw, len(raw) - 1)
    assert found.body == "" and found.subject == "bomb large" and found.recipients == ("info-en@example.org",)
    assert found.defects == (limits.larger_than(len(raw) - 1),)
    assert found.content == parse(raw).content
    assert limits.larger_than(limits.MAX_BYTES) == "larger than 25 MiB"


@pytest.mark.parametrize("error", [MemoryError, RecursionError, ValueError])
def test_a_failure_is_no_loss(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    def fail(*_: object) -> None:
        raise error

    raw = text("failing", b"what it says\n")
    monkeypatch.setattr(parts, "read", fail)
    found = parse(raw)
    assert (found.subject, found.body, found.defects) == ("bomb failing", "what it says", (READ_AS_TEXT,))
    monkeypatch.setattr(header, "split", fail)
    found = parse(raw)
    assert found.body.endswith("what it says") and found.body.startswith("From: Jo")
    assert found.defects == (READ_AS_TEXT,)


def test_the_text_is_cut_between_lines_and_characters() -> None:
    for label, one in (
        ("utf-8", "ä"),
        ("utf-8", "漢字 𝒳"),
        ("utf-16-le", "ä"),
        ("gb18030", "漢字\n"),
        ("koi8-r", "Привет"),
    ):
        found = parse(text("cut", (one * 1_500_000).encode(label), label.encode()))
        assert found.defects == (limits.CUT_OFF,)
        assert set(found.body) <= set(one) and len(found.body) > 450_000
