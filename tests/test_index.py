"""The index: a cache that follows the ledger, says the same however it was made, and shows nothing on disk."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Person, copied, founded, mail


def everything(person: Person) -> list[Any]:
    return [person.json("show", t["number"]) for t in person.json("list", "state:any", "--limit", "0")]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Person:
    """A desk with some of everything."""
    alice = founded(tmp_path_factory.mktemp("index"))
    numbers = alice.receive(*(mail(f"Matter {i}", id=f"<{i}@example.com>") for i in range(6)))
    alice.receive(
        mail("Re: Matter 0", in_reply_to="<0@example.com>"), mail("Elsewhere", to="permissions-en@example.org")
    )
    alice.ok("take", numbers[0])
    alice.ok("note", numbers[0], "-m", "Straße")
    alice.ok("route", numbers[1], "permissions-en")
    alice.ok("tag", numbers[2], "+urgent")
    alice.ok("pend", numbers[3], "--until", "2w")
    alice.ok("close", numbers[4], "--outcome", "spam")
    alice.ok("close", numbers[5], "--outcome", "spam")
    alice.ok("reopen", numbers[5])
    alice.ok("new", "--queue", "info-en", "--subject", "a call", "-m", "they rang")
    return alice


def test_however_it_was_made_it_says_the_same(desk: Person, tmp_path: Path) -> None:
    """Written act by act; rebuilt; in a clone: one and the same."""
    before = everything(desk)
    desk.ok("index", "--rebuild")
    assert everything(desk) == before
    assert desk.desk is not None
    clone = Person(desk.home, copied(desk.desk, tmp_path / "clone", "alice"))
    assert everything(clone) == before


@pytest.mark.parametrize("first", [("main",), ("keys",), ("main", "keys")], ids="-".join)
def test_branches_may_come_one_by_one(desk: Person, first: tuple[str, ...], tmp_path: Path) -> None:
    """One branch fetched and looked at, then the other: in the end all is as where it was written."""
    before, half = everything(desk), tmp_path / "half"
    subprocess.run(["git", "clone", "-q", "--bare", str(desk.desk), str(half)], check=True, capture_output=True)
    (half / "vrt").mkdir(mode=0o700)
    (half / "vrt" / "config.yaml").write_text("card: alice\n")
    person = Person(desk.home, half)
    heads = {b: person.git("rev-parse", b).decode().strip() for b in ("main", "keys")}
    person.git("update-ref", "refs/heads/main", "main~9")
    person.git("update-ref", "refs/heads/keys", person.git("rev-list", "--max-parents=0", "keys").decode().strip())
    person.ok("list")
    for branch in (*first, *heads):
        person.git("update-ref", f"refs/heads/{branch}", heads[branch])
        person.ok("list")
    assert everything(person) == before


@pytest.mark.parametrize("lost", ["index.db", "index.key.age", "both"])
def test_made_anew_when_missing(desk: Person, lost: str, tmp_path: Path) -> None:
    assert desk.desk is not None
    shutil.copytree(desk.desk, tmp_path / "desk")
    person = Person(desk.home, tmp_path / "desk")
    before = everything(person)
    for name in ("index.db", "index.key.age") if lost == "both" else (lost,):
        (tmp_path / "desk" / "vrt" / name).unlink()
    assert everything(person) == before


def test_of_another_version_it_is_made_anew(desk: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vrt.desk import Desk

    assert desk.desk is not None
    shutil.copytree(desk.desk, tmp_path / "desk")
    monkeypatch.setenv("VRT_HOME", desk.env["VRT_HOME"])
    opened = Desk(tmp_path / "desk")
    with opened.index.writing():
        opened.index.set_meta("version", 999_999)
    opened.index.close()
    person = Person(desk.home, tmp_path / "desk")
    done = person.ok("list")
    assert "Matter 0" in done.out
    assert "version" in done.err
    assert person.ok("list").err == ""


def test_another_card_may_take_the_folder_over(desk: Person, tmp_path: Path) -> None:
    """An index sealed to a key that is not at hand is made anew, with what the keys at hand open: nothing."""
    assert desk.desk is not None
    shutil.copytree(desk.desk, tmp_path / "desk")
    stranger = Person(tmp_path / "home-bob", tmp_path / "desk")
    stranger.ok("identity")
    stranger.run("list", "state:any")
    done = stranger.run("show", "0017")
    assert "Matter" not in done.out
    assert "Jane" not in done.out


def test_nothing_in_the_clear(desk: Person) -> None:
    assert desk.desk is not None
    for path in (desk.desk / "vrt").glob("index.db*"):
        data = path.read_bytes()
        assert not data.startswith(b"SQLite format 3")
        for word in (b"Matter", b"jane", b"Jane", b"info-en", b"CREATE TABLE", b"20261120"):
            assert word not in data, (path, word)
        assert path.stat().st_mode & 0o077 == 0
    with pytest.raises(sqlite3.DatabaseError):
        sqlite3.connect(desk.desk / "vrt" / "index.db").execute("SELECT * FROM sqlite_master").fetchall()


def test_pages_of_a_deleted_word_do_not_stay(desk: Person, tmp_path: Path) -> None:
    """Keys are new for each index: an old file of it does not open with the key of today."""
    assert desk.desk is not None
    shutil.copytree(desk.desk, tmp_path / "desk")
    person = Person(desk.home, tmp_path / "desk")
    vrt = tmp_path / "desk" / "vrt"
    person.ok("list")
    old = vrt / "index.db"
    kept = old.read_bytes()
    person.ok("index", "--rebuild")
    for path in vrt.glob("index.db*"):
        path.unlink()
    old.write_bytes(kept)
    assert "Matter 0" in person.ok("list").out  # made anew once more, not opened


def test_keys_that_come_later_open_what_was_sealed(alice: Person, colleague: Callable[..., Person]) -> None:
    """bob sees a ticket of a queue that he is not in as sealed, and reads it once he is."""
    n = alice.receive(mail("For permissions", to="permissions-en@example.org"))[0]
    bob = colleague("bob", "info-en")
    shown = bob.json("show", n)
    assert shown["title"] is None
    assert [a["body"] for a in shown["articles"]] == [None]
    assert bob.json("search", "permissions") == []
    alice.ok("agent", "queues", "bob", "+permissions-en")
    for branch in ("main", "keys"):
        bob.git("fetch", "-q", str(alice.desk), f"+refs/heads/{branch}:refs/heads/{branch}")
    assert bob.json("show", n)["title"] == "For permissions"
    assert [t["number"] for t in bob.json("search", "permissions")] == [n]


def test_a_routed_ticket_opens_for_its_new_queue(alice: Person, colleague: Callable[..., Person]) -> None:
    n = alice.receive(mail("Please route me", to="permissions-en@example.org"))[0]
    bob = colleague("bob", "info-en")
    assert bob.json("show", n)["title"] is None
    alice.ok("route", n, "info-en")
    for branch in ("main", "keys"):
        bob.git("fetch", "-q", str(alice.desk), f"+refs/heads/{branch}:refs/heads/{branch}")
    assert bob.json("show", n)["title"] == "Please route me"
    answer = mail("Re: Please route me", in_reply_to=bob.json("show", n)["articles"][0]["message_id"].join("<>"))
    assert bob.receive(answer) == [n]


def test_a_ledger_that_is_another_is_not_followed(desk: Person, tmp_path: Path) -> None:
    """A head that does not continue what was read before is refused, with a way out."""
    assert desk.desk is not None
    shutil.copytree(desk.desk, tmp_path / "desk")
    person = Person(desk.home, tmp_path / "desk")
    person.ok("list")
    person.git("update-ref", "refs/heads/main", "main~3")
    done = person.run("list")
    assert done.code != 0
    assert "does not continue" in done.err
    assert "index --rebuild" in done.err


def test_ten_read_while_one_writes(desk: Person, tmp_path: Path) -> None:
    assert desk.desk is not None
    shutil.copytree(desk.desk, tmp_path / "desk")
    person = Person(desk.home, tmp_path / "desk")
    argv = [sys.executable, "-m", "vrt", "-C", str(person.desk)]
    n = person.json("list")[0]["number"]
    running = [subprocess.Popen([*argv, "list"], env=person.env, stdout=subprocess.PIPE) for _ in range(5)]
    running += [
        subprocess.Popen([*argv, "note", n, "-m", f"{i}"], env=person.env, stdout=subprocess.PIPE) for i in range(3)
    ]
    running += [subprocess.Popen([*argv, "search", "matter"], env=person.env, stdout=subprocess.PIPE) for _ in range(5)]
    assert [(r.communicate(), r.returncode)[1] for r in running] == [0] * len(running)
