"""Plain git in a desk, and what keeps a desk in order: textconv, verify, index, maintain."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Person, founded, mail
from test_cmd_desk import fetch
from test_terminal import vrt_on_terminal


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> tuple[Person, str]:
    """A desk with a ticket: a mail and a note."""
    alice = founded(tmp_path_factory.mktemp("git"))
    (n,) = alice.receive(mail("The bridge", "A picture of the Brücke.\n"))
    alice.ok("note", n, "-m", "Looks fine.")
    return alice, n


def test_git_shows_markdown_to_key_holders(desk: tuple[Person, str]) -> None:
    alice, n = desk
    out = alice.git("log", "-p", "-2", "main").decode()
    for text in (
        "+subject: The bridge",
        "+A picture of the Brücke.",
        "+Looks fine.",
        "+Subject: The bridge",
        f"    note {n}",
    ):
        assert text in out, text
    assert "Binary files" not in out and "age-encryption.org" not in out
    folder = f"tickets/{n[:4]}/{n[4:6]}/{n[6:8]}/000/{n}"
    assert "+Looks fine." in alice.git("log", "-p", "--", folder).decode()
    assert "+A picture of the Brücke." in alice.git("diff", "main~2", "main").decode()
    assert "+Looks fine." in alice.git("show", "main").decode()
    # The keyring says what it is, and shows no key.
    keys = alice.git("log", "-p", "keys").decode()
    assert "(a key, sealed)" in keys and "AGE-SECRET-KEY" not in keys and "Binary files" not in keys


def test_git_says_sealed_to_others(desk: tuple[Person, str], tmp_path: Path) -> None:
    """Without keys, with keys of somebody else, with a key that is broken: git goes on."""
    alice, _ = desk
    stranger = Person(tmp_path / "stranger")
    stranger.ok("identity")
    broken = Person(tmp_path / "broken")
    (broken.home / "keys").mkdir()
    (broken.home / "keys" / "identity.txt").write_text("nonsense")
    (broken.home / "keys" / "config.yaml").write_text(": : :\n")
    for i, person in enumerate((Person(tmp_path / "nobody"), broken, stranger)):
        person.desk = tmp_path / f"desk-{i}"
        shutil.copytree(str(alice.desk), person.desk)
        for args in (("log", "-p", "main"), ("diff", "main~2", "main"), ("show", "main")):
            out = person.git(*args).decode()
            assert "(sealed: no key)" in out and "bridge" not in out and "Looks fine" not in out


def test_git_shows_what_a_colleague_may_read(alice: Person, colleague: Callable[..., Person]) -> None:
    alice.receive(mail("For info"), mail("For permissions", to="permissions-en@example.org"))
    bob = colleague("bob", "info-en")
    from vrt.founding import set_up
    from vrt.storage.git import Repository

    assert bob.desk is not None
    set_up(Repository(bob.desk), bob.git("show", "main:allowed_signers").decode())  # as a clone will
    out = bob.git("log", "-p", "main", "--", "tickets").decode()
    assert "+subject: For info" in out and "For permissions" not in out and "(sealed: no key)" in out
    fetch(bob, alice)


def test_textconv_by_hand(desk: tuple[Person, str], tmp_path: Path) -> None:
    alice, _ = desk
    (path, *_) = [
        p for p in alice.git("ls-tree", "-r", "--name-only", "main").decode().split() if p.endswith(".eml.age")
    ]
    sealed = tmp_path / "a.age"
    sealed.write_bytes(alice.git("cat-file", "blob", f"main:{path}"))
    assert "Subject: The bridge" in alice.ok("textconv", str(sealed)).out
    for data in (b"", b"no age file", sealed.read_bytes()[:-10]):
        sealed.write_bytes(data)
        assert alice.ok("textconv", str(sealed)).out == "(sealed: no key)\n"


def test_git_asks_the_desk_that_it_shows(desk: tuple[Person, str], tmp_path: Path) -> None:
    """VRT_DESK may name another one."""
    alice, _ = desk
    other = Person(tmp_path / "home")
    other.ok("init", str(tmp_path / "other"), "--name", "Other", "--domain", "example.net", "--agent", "alice")
    done = subprocess.run(
        ["git", "log", "-p", "-1", "main"], cwd=alice.desk, env=alice.env | {"VRT_DESK": str(tmp_path / "other")},
        capture_output=True, check=True, text=True,
    )  # fmt: skip
    assert "Looks fine." in done.stdout


# --- verify -----------------------------------------------------------------------------------------


def test_verify_counts_what_it_checked(desk: tuple[Person, str]) -> None:
    alice, _ = desk
    report = alice.json("verify")
    assert report["breaches"] == [] and (report["articles"], report["sealed"]) == (2, 0)
    assert report["events"] == int(alice.git("rev-list", "--count", "main"))
    assert report["keys"] == len(alice.git("ls-tree", "-r", "keys").splitlines())
    again = alice.json("verify")
    assert (again["since"], again["events"], again["articles"]) == (report["events"], 0, 0)
    assert "2 articles" in alice.ok("verify", "--full").out
    assert alice.json("verify", "--ledger-only")["articles"] == 0


def test_a_forged_commit_is_named(alice: Person) -> None:
    """An act that nobody signed: exit 7, the commit, the rule; reading what is lawful goes on elsewhere."""
    (n,) = alice.receive(mail())
    good = alice.git("rev-parse", "main").decode().strip()
    message = alice.git("log", "-1", "--format=%B", good)
    tree = alice.git("rev-parse", "main^{tree}").decode().strip()
    forged = alice.git(
        "-c", "user.name=alice", "-c", "user.email=alice@example.org", "commit-tree", tree, "-p", good, "-F", "-",
        feed=message
    ).decode().strip()  # fmt: skip
    alice.git("update-ref", "refs/heads/main", forged)
    done = alice.run("verify")
    assert done.code == 7 and forged in done.err and "rule" in done.err and "Traceback" not in done.err
    report = alice.run("verify", "--json")
    assert report.code == 7 and len(report.json["breaches"]) == 1 and forged in report.json["breaches"][0]
    alice.git("update-ref", "refs/heads/main", good)
    alice.ok("index", "--rebuild")
    assert alice.ok("verify").out.endswith("all in order\n") and alice.json("show", n)["number"] == n


# --- the index --------------------------------------------------------------------------------------


def test_the_index_is_made_anew_when_it_is_gone_or_spoiled(desk: tuple[Person, str]) -> None:
    """It is a cache: whatever happens to it, the answers are the same."""
    alice, n = desk
    assert alice.desk is not None
    index, key = alice.desk / "vrt" / "index.db", alice.desk / "vrt" / "index.key.age"
    before = alice.json("show", n)
    whole = index.read_bytes()
    stranger = Person(alice.home.parent / "stranger")
    stranger.ok("identity")

    def spoil(how: str) -> None:
        for side in alice.desk.glob("vrt/index.db-*"):  # type: ignore[union-attr]
            side.unlink()
        if how == "gone":
            index.unlink()
        elif how == "no key":
            key.unlink()
        elif how == "empty":
            index.write_bytes(b"")
        elif how == "cut short":
            index.write_bytes(index.read_bytes()[: len(whole) // 2])
        elif how == "plain text":
            index.write_text("this is no database, but long enough to look like one" * 200)
        elif how == "key of another":
            key.write_bytes(b"age-encryption.org/v1\n")

    for how in ("gone", "no key", "empty", "cut short", "plain text", "key of another"):
        spoil(how)
        done = alice.ok("show", n, "--json")
        assert done.json == before, how
        assert len(done.err.splitlines()) <= 1 and "Traceback" not in done.err
        if how == "plain text":
            assert "the index is damaged: making it anew" in done.err
    assert index.stat().st_mode & 0o777 == 0o600


def test_a_spoiled_page_is_healed(desk: tuple[Person, str]) -> None:
    """Not at its beginning, but where a query comes across it."""
    alice, n = desk
    assert alice.desk is not None
    index = alice.desk / "vrt" / "index.db"
    before = alice.json("show", n)
    alice.ok("index", "--rebuild")
    for side in alice.desk.glob("vrt/index.db-*"):
        side.unlink()
    data = bytearray(index.read_bytes())
    for page in range(2, len(data) // 4096):
        data[page * 4096 + 100 : page * 4096 + 200] = bytes(100)
    index.write_bytes(data)
    done = alice.ok("show", n, "--json")
    assert done.json == before and "the index is damaged: making it anew" in done.err
    assert alice.json("search", "picture")[0]["number"] == n


def test_an_index_of_another_version_is_made_anew(desk: tuple[Person, str]) -> None:
    alice, n = desk
    before = alice.json("show", n)
    assert alice.desk is not None
    script = (
        "import os, sys\nfrom pathlib import Path\nfrom vrt.desk import Desk\n"
        "desk = Desk(Path(sys.argv[1]))\nwith desk.index.writing():\n    desk.index.set_meta('version', 9999)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(alice.desk)], env=alice.env, check=True)
    done = alice.ok("show", n, "--json")
    assert done.json == before and "the index is of another version: making it anew" in done.err
    assert alice.ok("show", n, "--json").err == ""


def test_the_index_holds_nothing_in_the_clear(desk: tuple[Person, str]) -> None:
    alice, n = desk
    assert alice.desk is not None and alice.ok("index").out.startswith("1 ticket")
    for path in (alice.desk / "vrt").iterdir():
        if path.is_file():
            data = path.read_bytes()
            assert b"bridge" not in data.lower(), path
            if path.name != "verified.db":  # which holds what is in the clear on the ledger too
                assert b"SQLite format" not in data and n.encode() not in data, path


def test_the_index_follows_what_others_recorded(alice: Person, colleague: Callable[..., Person]) -> None:
    (n,) = alice.receive(mail("Before"))
    bob = colleague("bob", "info-en")
    assert len(bob.json("list")) == 1
    (m,) = alice.receive(mail("After"))
    alice.ok("close", n, "-o", "spam")
    fetch(bob, alice)
    assert [t["number"] for t in bob.json("list")] == [m]
    # A ledger that does not go on where it was is not followed silently.
    bob.git("update-ref", "refs/heads/main", bob.git("rev-parse", "main~1").decode().strip())
    done = bob.run("list")
    assert done.code != 0 and "does not continue" in done.err and "hint" in done.err
    bob.ok("index", "--rebuild")
    assert {t["number"] for t in bob.json("list")} == {n, m}


# --- maintain ---------------------------------------------------------------------------------------


def test_maintain_repacks_and_changes_nothing(alice: Person) -> None:
    numbers = alice.receive(*(mail(f"Mail {i}") for i in range(5)))
    for n in numbers:
        alice.ok("take", n)
    head, shown = alice.git("rev-parse", "main", "keys"), [alice.json("show", n) for n in numbers]
    done = alice.ok("maintain")
    assert (done.out, done.err) == ("", "")  # for cron: silent where all is well
    count = dict(row.split(": ") for row in alice.git("count-objects", "-v").decode().splitlines())
    assert (count["count"], count["packs"]) == ("0", "1")
    assert alice.git("rev-parse", "main", "keys") == head
    assert [alice.json("show", n) for n in numbers] == shown
    assert alice.git("fsck", "--strict", "--no-dangling") == b"" and alice.ok("verify").out.endswith("all in order\n")
    sizes = alice.json("maintain")
    assert sizes["after"] < sizes["before"] * 1.1  # there was nothing left to do
    assert " before, " in vrt_on_terminal(alice, "maintain").out
    alice.ok("note", numbers[0], "-m", "Work goes on.")
