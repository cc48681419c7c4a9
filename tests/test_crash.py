"""Killed at any moment, out of space, many at once: what was reported is there, nothing is doubled, no hand needed."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import Person, copied, founded, mail

MAILS = 300


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Maildir of 300 mails, some of them answers to others; 200 kB and more, so that workers are used."""
    folder = tmp_path_factory.mktemp("box")
    (folder / "new").mkdir()
    for i in range(MAILS):
        answer = {"in_reply_to": f"<m{i - 1}@example.com>"} if i % 10 == 9 else {}
        text = mail(
            f"Matter {i}",
            f"Dear team,\n\nthis is letter {i}.\n" + f"line {i}\n" * 100,
            id=f"<m{i}@example.com>",
            **answer,
        )
        (folder / "new" / f"{i:04}").write_bytes(text)
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Person:
    return founded(tmp_path_factory.mktemp("base"))


def copy(base: Person, folder: Path) -> Person:
    """The same desk and keys in a folder of its own."""
    assert base.desk is not None
    shutil.copytree(base.desk, folder / "desk")
    person = Person(base.home, folder / "desk")
    person.env = base.env | {"XDG_RUNTIME_DIR": str(folder / "run"), "TMPDIR": str(folder / "tmp")}
    for name in ("run", "tmp"):
        (folder / name).mkdir(mode=0o700)
    return person


def start(person: Person, *args: str) -> subprocess.Popen[bytes]:
    """Start vrt in a process group of its own."""
    argv = [sys.executable, "-m", "vrt", "-C", str(person.desk), *args]
    return subprocess.Popen(
        argv, env=person.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip


def sound(person: Person) -> None:
    """Git and vrt both find everything in order."""
    done = subprocess.run(
        ["git", f"--git-dir={person.desk}", "fsck", "--strict", "--no-dangling"], capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, b""), done.stderr.decode()
    person.ok("verify")


def subjects(person: Person) -> list[str]:
    """The subject of every received article, over all tickets."""
    out = []
    for t in person.json("list", "state:any", "--limit", "0"):
        out += (
            [a["subject"] for a in person.json("show", t["number"])["articles"]] if t["articles"] > 1 else [t["title"]]
        )
    return sorted(out)


def expected() -> list[str]:
    return sorted(f"Matter {i}" for i in range(MAILS))


# --- killed ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def duration(base: Person, box: Path, tmp_path_factory: pytest.TempPathFactory) -> float:
    """How long the 300 mails take here when nobody interferes, in seconds."""
    person = copy(base, tmp_path_factory.mktemp("timed"))
    begin = time.monotonic()
    person.ok("receive", str(box))
    taken = time.monotonic() - begin
    assert subjects(person) == expected()
    sound(person)
    return taken


def killed_and_repeated(base: Person, box: Path, folder: Path, after: float, whole_group: bool) -> str:
    """Kill a receive ``after`` seconds, repeat it, and check; return how far it had come."""
    person = copy(base, folder)
    running = start(person, "receive", str(box))
    time.sleep(after)
    at = running.poll()
    if whole_group:
        os.killpg(running.pid, signal.SIGKILL)
    else:
        running.kill()
    out, _ = running.communicate()
    before = person.git("rev-list", "--count", "main").decode().strip()
    if b"mails" in out:  # it reported: all must be there before anything is repeated
        assert int(before) == 3 + MAILS
    counts = person.json("receive", str(box))["counts"]
    assert counts["new"] + counts["follow-up"] + counts["duplicate"] == MAILS
    assert counts["duplicate"] == int(before) - 3
    events = person.git("log", "--format=%(trailers:key=Content-Ref,valueonly)", "main").decode().split()
    assert len(events) == len(set(events)) == MAILS
    sound(person)
    return f"{before} events, exit {at}"


def test_killed_at_random_points(base: Person, box: Path, duration: float, tmp_path: Path) -> None:
    """12 kills spread over the real duration, each at a random moment of its share."""
    kill_spread(base, box, duration, tmp_path, 12)


@pytest.mark.slow
def test_killed_at_40_random_points(base: Person, box: Path, duration: float, tmp_path: Path) -> None:
    kill_spread(base, box, duration, tmp_path, 40)


def kill_spread(base: Person, box: Path, duration: float, folder: Path, count: int) -> None:
    dice = random.Random()
    moments = [duration * 1.02 * (i + dice.random()) / count for i in range(count)]
    for i, after in enumerate(moments):
        place = folder / str(i)
        place.mkdir()
        try:
            killed_and_repeated(base, box, place, after, whole_group=bool(i % 2))
        except AssertionError as exc:
            raise AssertionError(f"killed after {after:.3f} of {duration:.3f} s: {exc}") from exc
        shutil.rmtree(place)


SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

/* Writes into files whose path holds $FAIL_PATH fail with errno $FAIL_ERRNO from the $FAIL_AFTER-th on; with
   $FAIL_ERRNO 0 the process is killed there instead. A counter per process. */
static int hit(int fd) {
  static int seen;
  const char *part = getenv("FAIL_PATH");
  char link[64], path[4096];
  if (!part || !*part) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(link, path, sizeof path - 1);
  if (n < 0) return 0;
  path[n] = 0;
  if (!strstr(path, part)) return 0;
  if (seen++ < atoi(getenv("FAIL_AFTER") ? getenv("FAIL_AFTER") : "0")) return 0;
  errno = atoi(getenv("FAIL_ERRNO"));
  if (!errno) raise(SIGKILL);
  return 1;
}
#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
ssize_t write(int fd, const void *b, size_t n) { REAL(write); return hit(fd) ? -1 : real(fd, b, n); }
ssize_t pwrite(int fd, const void *b, size_t n, off_t o) { REAL(pwrite); return hit(fd) ? -1 : real(fd, b, n, o); }
ssize_t pwrite64(int fd, const void *b, size_t n, off64_t o) {
  REAL(pwrite64);
  return hit(fd) ? -1 : real(fd, b, n, o);
}
ssize_t writev(int fd, const struct iovec *v, int c) { REAL(writev); return hit(fd) ? -1 : real(fd, v, c); }
int fsync(int fd) { REAL(fsync); return hit(fd) ? -1 : real(fd); }
int fdatasync(int fd) { REAL(fdatasync); return hit(fd) ? -1 : real(fd); }
"""


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that makes chosen writes fail, compiled here."""
    if not shutil.which("gcc"):
        pytest.skip("gcc is not here to build the library that makes writes fail")
    folder = tmp_path_factory.mktemp("shim")
    (folder / "shim.c").write_text(SHIM)
    argv = ["gcc", "-shared", "-fPIC", "-O1", "-w", "-o", str(folder / "shim.so"), str(folder / "shim.c"), "-ldl"]
    done = subprocess.run(argv, capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"gcc cannot build the library that makes writes fail: {done.stderr.decode()[:200]}")
    return folder / "shim.so"


ENOSPC, EIO = 28, 5


def failing(shim: Path, part: str, errno: int, after: int = 0) -> dict[str, str]:
    return {"LD_PRELOAD": str(shim), "FAIL_PATH": part, "FAIL_ERRNO": str(errno), "FAIL_AFTER": str(after)}


@pytest.mark.parametrize(
    "part",
    [
        "objects/",
        "refs/heads/keys",
        "refs/heads/main",
        "logs/",
        "vrt/index.db",
        "vrt/lock",
    ],
)  # fmt: skip
def test_killed_in_a_write(part: str, base: Person, shim: Path, tmp_path: Path) -> None:
    """Whoever first writes there, git or vrt, is killed in that very write. The same call again sets all right."""
    person = copy(base, tmp_path)
    letters = [tmp_path / f"{i}.eml" for i in range(3)]
    for i, path in enumerate(letters):
        path.write_bytes(mail(f"Letter {i}", id=f"<k{i}@example.com>"))
    names = [str(p) for p in letters]
    done = person.run("receive", *names, env=failing(shim, part, 0))
    reported = done.code == 0
    counts = person.json("receive", *names)["counts"]
    assert counts["new"] + counts["duplicate"] == 3
    assert counts["duplicate"] == 3 or not reported
    assert [t["title"] for t in person.json("list")] == ["Letter 0", "Letter 1", "Letter 2"]
    person.ok("note", person.json("list")[0]["number"], "-m", "on we go")
    sound(person)


# --- no room, bad disk ------------------------------------------------------------------------------


@pytest.mark.parametrize("errno", [ENOSPC, EIO], ids=["no-space", "io-error"])
@pytest.mark.parametrize("part", ["objects/", "refs/heads/keys", "refs/heads/main", "vrt/lock"])
def test_write_fails(part: str, errno: int, base: Person, shim: Path, tmp_path: Path) -> None:
    """Nothing is reported done that is not; afterwards everything goes on."""
    person = copy(base, tmp_path)
    letter = tmp_path / "a.eml"
    letter.write_bytes(mail("A letter", id="<a@example.com>"))
    before = person.git("rev-parse", "main", "keys")
    for args, feed in ((["receive", str(letter)], b""), (["receive", "-"], letter.read_bytes())):
        done = person.run(*args, feed=feed, env=failing(shim, part, errno))
        assert done.code in ((75,) if args[1] == "-" else (1, 75)), (done.code, done.err)
        assert "new 20" not in done.out
        assert "Traceback" not in done.err
        assert person.git("rev-parse", "main", "keys") == before
    assert person.json("receive", str(letter))["counts"] == {
        "new": 1,
        "follow-up": 0,
        "unverified": 0,
        "duplicate": 0,
        "empty": 0,
    }
    sound(person)


def test_disk_full_in_the_middle_of_many(base: Person, box: Path, tmp_path: Path) -> None:
    """A real file system that fills up while 300 mails come in; with more room the same call goes on."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root can mount a small file system")
    try:
        person = copy(base, place)
        done = person.run("receive", str(box))
        assert done.code == 75, (done.code, done.err)
        assert "full" in done.err or "space" in done.err
        assert "mails" not in done.out
        said = person.run("note", "0017", "-m", "x")
        assert said.code != 0
        subprocess.run(["mount", "-o", "remount,size=64m", str(place)], check=True)
        counts = person.json("receive", str(box))["counts"]
        assert counts["new"] + counts["follow-up"] + counts["duplicate"] == MAILS
        sound(person)
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.parametrize("errno", [ENOSPC, EIO], ids=["no-space", "io-error"])
def test_index_cannot_be_written(errno: int, base: Person, shim: Path, tmp_path: Path) -> None:
    """The act is recorded and said to be; the index is a cache and heals itself."""
    person = copy(base, tmp_path)
    n = person.receive(mail("A letter"))[0]
    done = person.run("take", n, env=failing(shim, "index.db-wal", errno))
    assert done.code == 0, done.err
    assert "vrt: warning: recorded, but the index" in done.err
    assert person.json("show", n)["owner"] == "alice"
    sound(person)


@pytest.mark.parametrize("errno", [ENOSPC, EIO], ids=["no-space", "io-error"])
def test_index_cannot_even_be_opened(errno: int, base: Person, shim: Path, tmp_path: Path) -> None:
    """Where nothing can be looked up nothing is recorded, and vrt says to try again."""
    person = copy(base, tmp_path)
    n = person.receive(mail("A letter"))[0]
    done = person.run("take", n, env=failing(shim, "index.db", errno))
    assert (done.code, done.out) == (75, ""), done.err
    assert person.json("show", n)["owner"] is None
    person.ok("take", n)
    sound(person)


def test_index_is_a_folder(base: Person, tmp_path: Path) -> None:
    person = copy(base, tmp_path)
    n = person.receive(mail("A letter"))[0]
    assert person.desk is not None
    for path in person.desk.glob("vrt/index.db*"):
        path.unlink()
    (person.desk / "vrt" / "index.db").mkdir()
    person.ok("take", n)
    assert person.json("show", n)["owner"] == "alice"


def test_index_of_rubbish(base: Person, tmp_path: Path) -> None:
    person = copy(base, tmp_path)
    n = person.receive(mail("A letter"))[0]
    assert person.desk is not None
    index = person.desk / "vrt" / "index.db"
    for rubbish in (b"", os.urandom(8192), index.read_bytes()[:-4096], index.read_bytes()[:5000]):
        index.write_bytes(rubbish)
        assert person.json("show", n)["title"] == "A letter"
    (person.desk / "vrt" / "index.key.age").write_bytes(b"rubbish")
    assert person.json("show", n)["title"] == "A letter"
    (person.desk / "vrt" / "index.key.age").unlink()
    assert person.json("show", n)["title"] == "A letter"


def test_killed_while_the_index_is_made(base: Person, box: Path, tmp_path: Path) -> None:
    person = copy(base, tmp_path)
    person.ok("receive", str(box))
    begin = time.monotonic()
    person.ok("index", "--rebuild")
    taken = time.monotonic() - begin
    for share in (0.4, 0.8):
        running = start(person, "index", "--rebuild")
        time.sleep(taken * share)
        os.killpg(running.pid, signal.SIGKILL)
        running.communicate()
        assert len(person.json("list", "state:any", "--limit", "0")) == MAILS * 9 // 10
    assert subjects(person) == expected()


# --- what the dead leave ------------------------------------------------------------------------------


def test_leavings_of_a_killed_writer(base: Person, tmp_path: Path) -> None:
    """Ref locks, half-written objects and packs, keep marks, and the mark in the lock that says somebody died."""
    person = copy(base, tmp_path)
    desk = person.desk
    assert desk is not None
    left = [
        "refs/heads/main.lock", "refs/heads/keys.lock", "HEAD.lock", "packed-refs.lock", "config.lock",
        "objects/12/tmp_obj_abcdef", "objects/pack/tmp_pack_abcdef", "objects/pack/tmp_idx_abcdef",
    ]  # fmt: skip
    for name in left:
        (desk / name).parent.mkdir(parents=True, exist_ok=True)
        (desk / name).write_bytes(b"half")
        if "tmp_" in name:  # so old that no git writes them any more
            os.utime(desk / name, (1_700_000_000, 1_700_000_000))
    keep = desk / "objects/pack" / f"pack-{'0' * 40}.keep"
    keep.write_text("vrt\n")
    other = desk / "objects/pack" / f"pack-{'1' * 40}.keep"
    other.write_text("kept by hand\n")
    (desk / "vrt/lock").write_bytes(b"1")
    person.receive(mail("On we go"))
    assert [n for n in left if (desk / n).exists()] == []
    assert not keep.exists()
    assert other.exists(), "a mark that is not ours stays"
    other.unlink()
    sound(person)


def test_ref_lock_left_without_a_mark(base: Person, tmp_path: Path) -> None:
    """A lock of a ref that a crash of the machine left, when the mark in our own lock did not reach the disk."""
    person = copy(base, tmp_path)
    assert person.desk is not None
    lock = person.desk / "refs/heads/main.lock"
    lock.write_bytes(b"")
    old = time.time() - 3600
    os.utime(lock, (old, old))
    person.receive(mail("On we go"))
    sound(person)


def test_keys_moved_but_the_ledger_not(base: Person, tmp_path: Path) -> None:
    """A write stopped between the two refs: keys of events that never came are lawful, their numbers not used again."""
    person = copy(base, tmp_path)
    before = person.git("rev-parse", "main").decode().strip()
    lost = person.receive(mail("Never recorded", id="<lost@example.com>"))[0]
    person.git("update-ref", "refs/heads/main", before)
    for path in (person.desk or Path()).glob("vrt/index*"):
        path.unlink()
    person.ok("verify")
    again = person.receive(mail("Never recorded", id="<lost@example.com>"))[0]
    assert again != lost
    assert person.json("show", again)["title"] == "Never recorded"
    assert [t["number"] for t in person.json("list")] == [again]
    person.ok("note", again, "-m", "x")
    sound(person)


def test_keys_moved_and_the_index_knows_only_the_old_heads(base: Person, tmp_path: Path) -> None:
    """The same, with an index that was up to date before the write was stopped."""
    person = copy(base, tmp_path)
    person.receive(mail("First"))
    assert person.desk is not None
    kept = tmp_path / "kept"
    shutil.copytree(person.desk / "vrt", kept)
    before = person.git("rev-parse", "main").decode().strip()
    lost = person.receive(mail("Never recorded"))[0]
    person.git("update-ref", "refs/heads/main", before)
    shutil.rmtree(person.desk / "vrt")
    shutil.copytree(kept, person.desk / "vrt")
    again = person.receive(mail("Another"))[0]
    assert again != lost
    sound(person)


# --- many at once ---------------------------------------------------------------------------------


def test_eight_write_at_once(base: Person, tmp_path: Path) -> None:
    """8 processes, 25 events each, on one desk: 200 events."""
    person = copy(base, tmp_path)
    numbers = person.receive(*(mail(f"Ticket {i}") for i in range(8)))
    script = tmp_path / "many.py"
    script.write_text(
        textwrap.dedent("""
        import sys
        from vrt.cli import main
        for i in range(25):
            try:
                main(["-C", sys.argv[1], "note", sys.argv[2], "-m", f"note {i}"])
            except SystemExit as end:
                if end.code:
                    sys.exit(end.code)
        """)
    )
    before = int(person.git("rev-list", "--count", "main"))
    argv = [sys.executable, str(script), str(person.desk)]
    running = [subprocess.Popen([*argv, n], env=person.env, stdout=subprocess.DEVNULL) for n in numbers]
    assert [r.wait(timeout=300) for r in running] == [0] * 8
    assert int(person.git("rev-list", "--count", "main")) - before == 200
    assert person.git("rev-list", "--merges", "main") == b""
    for n in numbers:
        bodies = [a["body"] for a in person.json("show", n)["articles"][1:]]
        assert bodies == [f"note {i}" for i in range(25)]
    sound(person)


def test_two_receive_the_same_box_at_once(base: Person, box: Path, tmp_path: Path) -> None:
    person = copy(base, tmp_path)
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: person.json("receive", str(box)), range(2)))
    assert sum(d["counts"]["new"] + d["counts"]["follow-up"] for d in done) == MAILS
    assert sum(d["counts"]["duplicate"] for d in done) == MAILS
    sound(person)


def test_of_two_who_take_one_wins(base: Person, tmp_path: Path) -> None:
    person = copy(base, tmp_path)
    bob = Person(tmp_path / "home-bob")
    card = tmp_path / "bob.yaml"
    card.write_text(bob.ok("identity").out)
    person.ok(
        "agent", "add", "bob", "--card", str(card), "--role", "agent", "--agreed", "2026-11-01", "--queue", "info-en"
    )
    n = person.receive(mail("One ticket"))[0]
    assert person.desk is not None
    bob.desk = copied(person.desk, tmp_path / "desk-bob", "bob")
    shutil.rmtree(bob.desk / "objects")
    (bob.desk / "objects").symlink_to(person.desk / "objects")  # one desk, two cards
    shutil.rmtree(bob.desk / "refs")
    (bob.desk / "refs").symlink_to(person.desk / "refs")
    (bob.desk / "packed-refs").unlink(missing_ok=True)
    with ThreadPoolExecutor(2) as pool:
        codes = sorted(d.code for d in pool.map(lambda p: p.run("take", n), (person, bob)))
    assert codes[0] == 0
    owners = [e["owner"] for e in person.json("show", n)["events"] if e["action"] == "take"]
    assert len(owners) == codes.count(0)
    sound(person)


def test_an_interrupted_reader_harms_nothing(base: Person, tmp_path: Path) -> None:
    """Ctrl-C in the middle of a receive: exit 130, and the desk as sound as before."""
    person = copy(base, tmp_path)
    letter = tmp_path / "a.eml"
    letter.write_bytes(mail("A letter"))
    for after in (0.05, 0.1, 0.15, 0.2):
        running = start(person, "receive", str(letter))
        time.sleep(after)
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=30)
    assert len(person.json("list")) in (0, 1)
    person.ok("receive", str(letter))
    assert [t["title"] for t in person.json("list")] == ["A letter"]
    sound(person)
