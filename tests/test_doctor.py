"""``doctor`` on desks that are damaged in many ways, and ``maintain`` while others write, killed, and in vain."""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from conftest import Person, founded, mail

from vrt.doctor import examine
from vrt.doctor.finding import Patient

CHECKS = [
    "versions", "disk", "memory", "permissions", "git", "ledger", "clock", "keys", "index", "leftovers", "packs",
    "graph", "remote", "waiting",
]  # fmt: skip
LONG_AGO = time.time() - 90000


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    person = founded(tmp_path_factory.mktemp("doctor"))
    (person.home / "keys").chmod(0o700)
    person.receive(*(mail(f"Mail {i}") for i in range(3)))
    with TemporaryDirectory(dir="/dev/shm") as run:
        person.env["XDG_RUNTIME_DIR"] = run
        yield person


@pytest.fixture
def person(base: Person, tmp_path: Path) -> Person:
    """A copy of the desk and of its keys."""
    assert base.desk is not None
    made = Person(tmp_path / "home", tmp_path / "desk")
    made.env["XDG_RUNTIME_DIR"] = base.env["XDG_RUNTIME_DIR"]
    shutil.copytree(base.home / "keys", made.home / "keys")
    shutil.copytree(base.desk, tmp_path / "desk")
    made.git("config", "gpg.ssh.allowedSignersFile", str(made.desk / "vrt/allowed_signers"))  # type: ignore[operator]
    return made


def looked(person: Person, *args: str, code: int | None = None) -> dict[str, list[dict[str, Any]]]:
    """Run ``doctor``, which must look at everything and not break, and return what it found by check."""
    done = person.run("doctor", "--json", *args)
    assert done.err == ""
    assert done.code in ((0, 1) if code is None else (code,)), done.out
    assert done.code == any(row["state"] == "bad" for row in done.json)
    return by_check(done.json)


def by_check(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        assert set(row) == {"check", "state", "text", "hint"}
        assert row["state"] in ("ok", "warn", "bad")
        assert row["state"] == "ok" or row["hint"] or "not looked at" in row["text"], row
        assert "could not be looked at" not in row["text"], row
        found.setdefault(row["check"], []).append(row)
    assert list(found) == CHECKS
    return found


def wrong(found: dict[str, list[dict[str, Any]]]) -> set[str]:
    return {name for name, rows in found.items() if any(r["state"] != "ok" for r in rows)}


# --- doctor -----------------------------------------------------------------------------------------------


def test_a_sound_desk_is_found_sound(person: Person) -> None:
    assert wrong(looked(person, code=0)) == set()
    text = person.ok("doctor").out.splitlines()
    assert [row.split()[:2] for row in text] == [["ok", name] for name in CHECKS]


def test_it_changes_nothing_unless_asked(person: Person) -> None:
    def state() -> list[tuple[str, int, int]]:
        assert person.desk is not None
        found = [p for p in person.desk.rglob("*") if "index.db" not in p.name and p.is_file()]
        return sorted((str(p), p.stat().st_mode, p.stat().st_mtime_ns) for p in found)

    assert person.desk is not None
    (person.desk / "config").chmod(0o666)
    (person.desk / "vrt/config.yaml").chmod(0o644)
    before = state()
    assert wrong(looked(person, code=1)) == {"permissions"}
    assert state() == before


Damage = Callable[[Path], object]


def _write(name: str, data: bytes) -> Damage:
    def damage(desk: Path) -> None:
        (desk / name).parent.mkdir(parents=True, exist_ok=True)
        (desk / name).write_bytes(data)

    return damage


def _remove(name: str) -> Damage:
    def damage(desk: Path) -> None:
        path = desk / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return damage


def _lose_the_head(desk: Path) -> None:
    commit = (desk / "refs/heads/main").read_text().strip()
    (desk / "objects" / commit[:2] / commit[2:]).unlink()


@pytest.mark.parametrize(
    ("damage", "check", "state", "words"),
    [
        (_write("refs/heads/main", b"rubbish\n"), "ledger", "bad", "refs/heads/main is damaged"),
        (_write("refs/heads/main", b"\xff\xfe\0"), "ledger", "bad", "refs/heads/main is damaged"),
        (_remove("refs/heads/main"), "ledger", "bad", "there is no ledger"),
        (_remove("refs/heads/keys"), "ledger", "bad", "keyring is missing"),
        (_lose_the_head, "ledger", "bad", "is missing from the desk"),
        (_remove("objects"), "ledger", "bad", ""),
        (_write("HEAD", b"rubbish"), "ledger", "bad", ""),
        (_write("config", b"\0[rubbish"), "git", "bad", "line 1 of config"),
        (_write("config", b"[core]\n\tsshCommand = touch /tmp/x\n"), "git", "bad", "core.sshcommand"),
        (_remove("info/attributes"), "git", "warn", "info/attributes"),
        (_write("vrt/config.yaml", b"{ no: [yaml"), "keys", "bad", "config.yaml"),
        (_write("vrt/config.yaml", b"\0\xff"), "keys", "bad", ""),
        (_write("vrt/config.yaml", b"card: nobody\n"), "keys", "bad", "no card nobody"),
        (_write("vrt/config.yaml", b"card: alice\nidentity: /nowhere\n"), "keys", "bad", "no key at /nowhere"),
        (_write("vrt/index.db", os.urandom(8192)), "index", "warn", "made anew"),
        (_write("vrt/index.db", b"SQLite format 3\0" + bytes(4096)), "index", "bad", "not encrypted"),
        (_write("vrt/index.key.age", b"rubbish"), "index", "warn", "another key"),
        (_remove("vrt/index.key.age"), "index", "warn", "missing"),
        (_write("objects/info/commit-graph", b"rubbish"), "graph", "warn", "damaged"),
        (_write("vrt/outbox/2026112010000017.age", b"x"), "waiting", "warn", "2026112010000017"),
        (_write("vrt/maintained", b"5 5"), "packs", "warn", "days ago"),
        (_write("vrt/maintained", b"rubbish"), "packs", "ok", "never ran"),
    ],
)
def test_a_damaged_desk(
    person: Person, damage: Damage, check: str, state: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process: none of these may raise anything."""
    assert person.desk is not None
    for name, value in person.env.items():
        monkeypatch.setenv(name, value)
    damage(person.desk)
    for fix in (False, True):  # mending may not help, but does not break
        rows = [{n: v or None for n, v in f._asdict().items() if n != "mend"} for f in examine(person.desk, fix=fix)]
        found = by_check(rows)[check]
        assert fix or any(row["state"] == state and words in str(row["text"]) for row in found), found


def test_keys_that_are_missing_or_others(person: Person) -> None:
    keys = person.home / "keys"
    (keys / "identity.txt").rename(keys / "aside")
    assert "no key at" in looked(person, code=1)["keys"][0]["text"]
    stranger = Person(person.home / "stranger", person.desk)
    stranger.run("identity")
    found = looked(stranger, code=1)
    assert ["identity" in found["keys"][0]["text"], "signing" in found["keys"][1]["text"]] == [True, True]
    assert found["index"][0]["state"] == "warn"


def test_no_desk_at_all(tmp_path: Path) -> None:
    nobody = Person(tmp_path / "home", tmp_path / "nothing")
    done = nobody.run("doctor", "--json")
    assert (done.code, [(r["check"], r["state"]) for r in done.json]) == (1, [("desk", "bad")])


def test_permissions_are_seen_and_mended(person: Person) -> None:
    assert person.desk is not None
    for path, mode in (
        (person.desk / "vrt", 0o755), (person.desk / "vrt/config.yaml", 0o644), (person.desk / "vrt/index.db", 0o660),
        (person.home / "keys", 0o711), (person.home / "keys/identity.txt", 0o640), (person.desk / "vrt/lock", 0o200),
    ):  # fmt: skip
        path.chmod(mode)
    texts = " ".join(row["text"] for row in looked(person, code=1)["permissions"])
    for name in ("vrt ", "config.yaml", "index.db", "keys ", "identity.txt", "vrt/lock"):
        assert name.strip() in texts
    assert all(r["text"].startswith("mended") for r in looked(person, "--fix", code=0)["permissions"])
    assert wrong(looked(person, code=0)) == set()
    assert (person.home / "keys/identity.txt").stat().st_mode & 0o777 == 0o600
    person.desk.parent.chmod(0o777)
    assert "everybody can write" in looked(person, "--fix", code=1)["permissions"][0]["text"]


def test_leftovers_are_seen_and_mended(person: Person) -> None:
    assert person.desk is not None
    old = [
        "refs/heads/main.lock", "packed-refs.lock", "objects/info/commit-graph.lock", "objects/12/tmp_obj_abcdef",
        "objects/pack/tmp_pack_abcdef", "objects/pack/.tmp-7-pack-12.pack", f"objects/pack/pack-{'1' * 40}.pack",
        f"objects/pack/pack-{'2' * 40}.keep",
    ]  # fmt: skip
    young = ["objects/pack/tmp_pack_young", "objects/34/tmp_obj_young", f"objects/pack/pack-{'3' * 40}.pack"]
    by_hand = f"objects/pack/pack-{'4' * 40}.keep"
    for name in (*old, *young, by_hand):
        _write(name, b"by hand" if name == by_hand else b"vrt\n")(person.desk)
        if name not in young:
            os.utime(person.desk / name, (LONG_AGO, LONG_AGO))
    (run := Path(person.env["XDG_RUNTIME_DIR"]) / "vrt").mkdir(mode=0o700, exist_ok=True)
    (run / "unlocked-0123456789abcdef").write_bytes(b"1700000000\nsecret")
    assert wrong(looked(person, code=0)) == {"leftovers", "memory"}
    looked(person, "--fix", code=0)
    assert [n for n in old if (person.desk / n).exists()] == []
    assert [n for n in (*young, by_hand) if not (person.desk / n).exists()] == []
    assert list(run.glob("unlocked-*")) == []
    assert wrong(looked(person, code=0)) == set()


def test_settings_of_git_are_mended(person: Person) -> None:
    person.git("config", "gpg.ssh.allowedSignersFile", "/moved/away")
    person.git("config", "diff.vrt.textconv", "/no/python -m vrt textconv")
    person.git("config", "gc.auto", "6700")
    text = looked(person, code=0)["git"][0]["text"]
    for name in ("gc.auto", "gpg.ssh.allowedsignersfile", "diff.vrt.textconv"):
        assert name in text
    looked(person, "--fix", code=0)
    assert wrong(looked(person, code=0)) == set()
    assert person.git("log", "-1", "--format=%G?", "main") == b"G\n"


def test_the_clock(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    def clock(behind: float) -> tuple[str, str]:
        monkeypatch.setattr(Patient, "now", property(lambda patient: int(time.time() - behind)))
        assert person.desk is not None
        return next((f.state, f.text) for f in examine(person.desk) if f.check == "clock")

    assert clock(200)[0] == "ok"
    assert clock(7300) == (
        "warn",
        "the last event of the ledger is 2 hours ahead of this clock: one of the two is wrong",
    )
    assert clock(time.time() - 1000) == ("bad", "the clock says 1970-01-01")


def test_a_full_disk_and_one_that_cannot_be_written(person: Person, tmp_path: Path) -> None:
    place, desk = tmp_path / "small", person.desk
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", place], capture_output=True).returncode:
        pytest.skip("only root can mount a small file system")
    try:
        assert desk is not None
        shutil.copytree(desk, place / "desk")
        person.desk = place / "desk"
        assert "MB are free" in looked(person, code=1)["disk"][0]["text"]
        with (place / "filler").open("wb") as file, pytest.raises(OSError, match="No space"):
            while True:
                file.write(bytes(65536))
                file.flush()
        assert "No space left" in looked(person, code=1)["disk"][0]["text"]
        assert person.run("maintain").code == 75
        (place / "filler").unlink()
        subprocess.run(["mount", "-o", "remount,ro", place], check=True)
        assert "Read-only" in looked(person, "--fix", code=1)["disk"][0]["text"]
        assert person.run("maintain").code == 1
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def test_the_remote(person: Person, tmp_path: Path) -> None:
    far = tmp_path / "far"
    person.git("config", "remote.origin.url", str(far))
    assert "never reached" in looked(person, code=0)["remote"][0]["text"]
    assert looked(person, "--network", code=1)["remote"][0]["state"] == "bad"
    subprocess.run(["git", "init", "-q", "--bare", str(far)], check=True)
    person.ok("sync")
    assert [r["state"] for r in looked(person, "--network", code=0)["remote"]] == ["ok", "ok"]
    person.git("config", "remote.origin.url", "ext::sh -c true")
    assert looked(person, "--network", code=1)["remote"][0]["state"] == "bad"
    person.git("config", "remote.origin.url", "https://localhost:1/desk")
    person.ok("note", person.json("list")[0]["number"], "-m", "later")
    found = looked(person)["remote"]
    assert "1 event is not published" in found[0]["text"]


# --- maintain ---------------------------------------------------------------------------------------------


def sound(person: Person) -> None:
    done = subprocess.run(["git", f"--git-dir={person.desk}", "fsck", "--strict", "--no-dangling"], capture_output=True)
    assert (done.returncode, done.stdout) == (0, b""), done.stderr.decode()
    person.ok("verify")


def packs(person: Person) -> set[str]:
    assert person.desk is not None
    return {p.name for p in (person.desk / "objects/pack").glob("*.pack")}


def put(person: Person, data: bytes, age_days: int = 0) -> str:
    """Write a blob that nothing points to, ``age_days`` ago, and return its id."""
    oid = person.git("hash-object", "-w", "--stdin", feed=data).decode().strip()
    assert person.desk is not None
    when = time.time() - age_days * 86400
    os.utime(person.desk / "objects" / oid[:2] / oid[2:], (when, when))
    return oid


def is_there(person: Person, oid: str) -> bool:
    return person.git("cat-file", "-t", oid, check=False) == b"blob\n"


def test_a_nightly_run_packs_only_what_is_new(person: Person) -> None:
    person.ok("maintain")
    first = packs(person)
    assert len(first) == 1
    person.receive(mail("One more"))
    person.ok("maintain")
    assert first < packs(person) and len(packs(person)) == 2
    assert b"count: 0\n" in person.git("count-objects", "-v")
    person.receive(*(mail(f"Many {i}") for i in range(12)))
    person.ok("maintain")  # it has doubled
    assert len(packs(person)) == 1 and not packs(person) & first
    person.receive(mail("Another"))
    person.ok("maintain", "--full")
    assert len(packs(person)) == 1
    assert {b"BIDX", b"BDAT"} <= {(person.desk / "objects/info/commit-graph").read_bytes()[i : i + 4]  # type: ignore[operator]
                                  for i in range(8, 120, 12)}  # fmt: skip
    sound(person)


def test_what_nothing_points_to_goes_after_two_weeks(person: Person) -> None:
    old, young = put(person, b"old", 15), put(person, b"young", 13)
    person.ok("maintain", "--full")
    assert [is_there(person, o) for o in (old, young)] == [False, True]
    sound(person)


def test_a_writer_may_count_on_what_it_wrote(person: Person) -> None:
    """Objects that a writer has not yet pointed to: loose, in a kept pack, or found in a pack and not written again."""
    person.ok("maintain")
    fresh, again = put(person, b"fresh"), put(person, b"again", 100)
    person.ok("maintain")
    assert [is_there(person, o) for o in (fresh, again)] == [True, True]
    kept = person.git("pack-objects", "objects/pack/pack", feed=put(person, b"kept", 100).encode()).decode().strip()
    assert person.desk is not None
    (person.desk / f"objects/pack/pack-{kept}.keep").write_text("vrt\n")
    person.ok("maintain", "--full")
    assert f"pack-{kept}.pack" in packs(person)
    assert [is_there(person, o) for o in (fresh, again)] == [True, True]


def test_nothing_is_dropped_before_writers_came_to_an_end(person: Person) -> None:
    """A writer that found an old object here, and points to it only after ``maintain`` saw that nobody did."""
    assert person.desk is not None
    wanted, old = put(person, b"wanted", 100), put(person, b"old", 100)
    with locked(person.desk / "vrt/lock"):
        argv = [sys.executable, "-m", "vrt", "-C", str(person.desk), "maintain", "--full"]
        running = subprocess.Popen(argv, env=person.env)
        while not list((person.desk / "objects/pack").glob("*.mtimes")):
            assert running.poll() is None
            time.sleep(0.01)
        time.sleep(0.3)
        assert [is_there(person, o) for o in (wanted, old)] == [True, True]
        person.git("update-ref", "refs/vrt/test", wanted)
    assert running.wait(timeout=60) == 0
    assert [is_there(person, o) for o in (wanted, old)] == [True, False]


def test_the_reflog_is_not_kept_forever(person: Person) -> None:
    assert person.desk is not None
    log = person.desk / "logs/refs/heads/main"
    rows = log.read_text().splitlines()
    old, *rest = rows[0].rpartition(" +0000")[0].rpartition(" ")
    log.write_text("\n".join([f"{old} {int(time.time()) - 100 * 86400} +0000", *rows[1:]]) + "\n")
    assert rest
    person.ok("maintain")
    assert [row.strip() for row in log.read_text().splitlines()] == rows[1:]


def locked(path: Path) -> Any:
    file = path.open("w")
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def test_nobody_waits_for_the_other(person: Person) -> None:
    """``maintain`` runs through while somebody writes, and the other way round; two of its kind do not meet."""
    assert person.desk is not None
    with locked(person.desk / "vrt/lock"):
        person.ok("maintain", "--full")
    with locked(person.desk / "vrt/maintain.lock"):
        person.receive(mail("Meanwhile"))
        done = person.run("maintain")
    assert (done.code, "another vrt maintain" in done.err) == (75, True)
    assert (person.ok("maintain").out, wrong(looked(person))) == ("", set())


def test_no_writer_is_refused_beside_it(person: Person, tmp_path: Path) -> None:
    """Two writers, one of them with packs of its own, while everything is packed over and over: nothing is lost."""
    number = person.json("list")[0]["number"]
    script = tmp_path / "writer.py"
    script.write_text(
        textwrap.dedent("""
        import sys
        from vrt.cli import main
        for i in range(int(sys.argv[2])):
            try:
                main(["-C", sys.argv[1], *[arg.format(i) for arg in sys.argv[3:]]])
            except SystemExit as end:
                if end.code:
                    sys.exit(end.code)
        """)
    )
    boxes = tmp_path / "boxes"
    for i in range(4):
        (boxes / str(i) / "new").mkdir(parents=True)
        for j in range(12):
            (boxes / str(i) / "new" / str(j)).write_bytes(mail(f"Box {i} {j}"))
    argv, quiet = [sys.executable, str(script), str(person.desk)], {"env": person.env, "stdout": subprocess.DEVNULL}
    writers = [
        subprocess.Popen([*argv, "20", "note", number, "-m", "note {}"], **quiet),  # type: ignore[call-overload]
        subprocess.Popen([*argv, "4", "receive", f"{boxes}/{{}}"], **quiet),  # type: ignore[call-overload]
    ]
    runs = 0
    while any(w.poll() is None for w in writers):
        person.ok("maintain", *(["--full"] if runs % 2 else []))
        runs += 1
    assert [w.returncode for w in writers] == [0, 0] and runs
    notes = [a["body"] for a in person.json("show", number)["articles"][1:]]
    assert notes == [f"note {i}" for i in range(20)]
    assert len(person.json("list", "state:any", "--limit", "0")) == 3 + 48
    sound(person)


def test_killed_it_leaves_all_in_order(person: Person, tmp_path: Path) -> None:
    kills(person, 4)


@pytest.mark.slow
def test_killed_at_40_points_it_leaves_all_in_order(person: Person, tmp_path: Path) -> None:
    kills(person, 40)


def kills(person: Person, count: int) -> None:
    """Kill ``maintain`` with its gits at random points; alternately only vrt, so that git goes on alone."""
    assert person.desk is not None
    person.receive(*(mail(f"More {i}") for i in range(20)))
    shown, dice = person.json("list", "state:any", "--limit", "0"), random.Random()
    argv = [sys.executable, "-m", "vrt", "-C", str(person.desk), "maintain", "--full"]
    begin = time.monotonic()
    person.ok("maintain", "--full")
    taken = time.monotonic() - begin
    for i in range(count):
        put(person, b"litter %d" % i, 20)
        running = subprocess.Popen(argv, env=person.env, start_new_session=True, stderr=subprocess.DEVNULL)
        time.sleep(taken * (i + dice.random()) / count)
        os.killpg(running.pid, signal.SIGKILL) if i % 2 else running.kill()
        running.wait()
        assert person.json("list", "state:any", "--limit", "0") == shown
        person.ok("note", shown[0]["number"], "-m", f"on we go {i}")
        shown = person.json("list", "state:any", "--limit", "0")
    end = time.monotonic() + 30
    while (done := person.run("maintain")).code == 75 and time.monotonic() < end:  # a git that was left alone
        time.sleep(0.1)
    assert done.code == 0, done.err
    for path in (person.desk / "objects").rglob("*tmp*"):
        os.utime(path, (LONG_AGO, LONG_AGO))
    person.ok("maintain", "--full")
    assert wrong(looked(person, code=0)) == set()
    assert not list((person.desk / "objects").rglob("*tmp*"))
    sound(person)
