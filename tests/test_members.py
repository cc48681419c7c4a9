"""Membership on one machine: two admins at once, who comes, who goes, who comes back, and what is planted for them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Person, copied, mail


def at_once(person: Person, *calls: list[str]) -> list[int]:
    """Run calls of vrt at the same time and return their exit codes."""
    argv = [sys.executable, "-m", "vrt", "-C", str(person.desk)]
    running = [
        subprocess.Popen(
            [*argv, *call], env=person.env, cwd=person.home, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        for call in calls
    ]
    return [process.wait() for process in running if process.communicate()]


def card_of(folder: Path, name: str) -> str:
    """Make somebody's keys and return the path of the card that they hand over."""
    path = folder / f"{name}.yaml"
    path.write_text(Person(folder / f"home-of-{name}").ok("identity").out)
    return str(path)


def test_admins_at_once_take_turns(alice: Person, tmp_path: Path) -> None:
    """Each change is made up from the desk as it is when it is recorded."""
    adds = [
        ["agent", "add", n, "--card", card_of(tmp_path, n), "--queue", "info-en", "--agreed", "2026-11-01"]
        for n in ("bob", "carol", "dave")
    ]
    queues = [["queue", "add", f"q{i}"] for i in range(3)]
    assert at_once(alice, *adds, *queues, ["queue", "set", "info-en", "--lock-timeout", "4h"]) == [0] * 7
    alice.ok("verify")
    cards = {c["handle"]: c for c in alice.json("agent", "list")}
    assert len({c["system_id"] for h, c in cards.items() if h != "recovery"}) == 4
    assert set(cards["alice"]["queues"]) >= {"q0", "q1", "q2"}


def test_nobody_leaves_twice_at_once(alice: Person, colleague: Callable[..., Person]) -> None:
    colleague("bob", "info-en")
    codes = at_once(alice, *[["agent", "queues", "bob", "-info-en"]] * 3)
    assert sorted(codes) == [0, 2, 2]
    alice.ok("verify")


@pytest.mark.parametrize(
    ("field", "value"),
    [("recipient", None), ("signing", None), ("signing", "ssh-ed25519 AAAA"), ("recipient", "age1nonsense")],
)
def test_a_card_that_would_break_the_desk_is_refused(
    alice: Person, tmp_path: Path, field: str, value: str | None
) -> None:
    """Another's key under a new name, or what is no key: the ledger could never be mended."""
    import yaml

    hers = next(c for c in alice.json("agent", "list") if c["handle"] == "alice")
    path = tmp_path / "eve.yaml"
    card = yaml.safe_load(Path(card_of(tmp_path, "eve")).read_text())
    path.write_text(yaml.safe_dump(card | {field: value or hers[field]}))
    done = alice.run("agent", "add", "eve", "--card", str(path), "--agreed", "2026-11-01")
    assert done.code in (2, 6), done.err
    alice.ok("verify")


def test_who_leaves_and_comes_back_reads_all(alice: Person, colleague: Callable[..., Person], tmp_path: Path) -> None:
    bob = colleague("bob", "info-en")
    assert bob.desk is not None and alice.desk is not None
    (before,) = alice.receive(mail("While he was in"))
    alice.ok("agent", "queues", "bob", "-info-en")
    (meanwhile,) = alice.receive(mail("While he was out"))
    alice.ok("route", before, "permissions-en")
    alice.ok("route", before, "info-en")
    bob.desk = copied(alice.desk, tmp_path / "desk-bob-out", "bob")
    assert bob.json("show", meanwhile)["title"] is None
    alice.ok("agent", "queues", "bob", "+info-en")
    (after,) = alice.receive(mail("When he was back"))
    bob.desk = copied(alice.desk, tmp_path / "desk-bob-back", "bob")
    for person in (alice, bob):
        person.ok("index", "--rebuild")
        titles = [person.json("show", n)["title"] for n in (before, meanwhile, after)]
        assert titles == ["While he was in", "While he was out", "When he was back"]
        assert person.ok("verify").err == ""


def test_the_last_one_stays(alice: Person) -> None:
    done = alice.run("agent", "queues", "alice", "-info-en")
    assert done.code == 6
    assert "nobody else would be in info-en" in done.err


def test_who_left_a_queue_admits_others_whom_a_member_gives_the_key(
    alice: Person, colleague: Callable[..., Person], tmp_path: Path
) -> None:
    """The newcomer is a member at once; the key comes with the next sync of somebody who holds it."""
    bob = colleague("bob", "info-en")
    alice.ok("agent", "queues", "alice", "-info-en")
    card = card_of(tmp_path, "carol")
    alice.ok("agent", "add", "carol", "--card", card, "--queue", "info-en", "--agreed", "2026-11-01")
    alice.ok("verify")
    assert bob.desk is not None and alice.desk is not None
    sealed = "ls-tree", "--name-only", "keys:queues/info-en"
    assert [n[0] for n in alice.git(*sealed).decode().split() if ".carol." in n] == ["1"]  # what she still holds
    bob.git("config", "remote.origin.url", str(alice.desk))
    bob.ok("sync")
    names = [n for n in alice.git(*sealed).decode().split() if ".carol." in n]
    assert sorted(n[0] for n in names) == ["1", "2"]


def test_who_left_a_queue_does_not_keep_what_it_receives(alice: Person, colleague: Callable[..., Person]) -> None:
    """Not even in the index of its own machine."""
    colleague("bob", "info-en")
    alice.ok("agent", "queues", "alice", "-info-en")
    (n,) = alice.receive(mail("For info"))
    assert alice.json("show", n)["title"] is None
