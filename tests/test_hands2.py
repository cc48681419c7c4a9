"""What colliding colleagues, and who makes them collide, must not bring about: a clone that is stuck, or a leak."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Person, mail
from test_hands import on_host
from test_law import Forger, noise, place
from test_membership import Team, bodies

LOSES_THE_PUSH = """
import sys
from pathlib import Path
from vrt import sync
from vrt.desk import Desk
from vrt.errors import TryAgain
from vrt.storage import remote
def push(self, heads, over=None): raise TryAgain("the network is gone")
remote.Remote.push = push
try: sync.sync(Desk(Path(sys.argv[1])))
except TryAgain: sys.exit(75)
"""


def without_network(person: Person) -> None:
    """Sync, and lose the network when it comes to the push."""
    argv = [sys.executable, "-c", LOSES_THE_PUSH, str(person.desk)]
    assert subprocess.run(argv, env=person.env, capture_output=True, cwd=person.home).returncode == 75


@pytest.fixture
def team(tmp_path: Path) -> Team:
    """With carol in info-en, and zed, an admin who is in no queue."""
    made = Team(tmp_path)
    made.admit("carol", "info-en")
    made.admit("zed", role="admin")
    made.sync(*made.people.values())
    return made


def joined_by(team: Team, name: str) -> tuple[Person, Path]:
    """Let zed admit bob to info-en, whose key he cannot give."""
    bob, card = team.card(name)
    team.people["zed"].ok("agent", "add", "bob", "--card", str(card), "--agreed", "2026-11-01", "--queue", "info-en")
    team.people["zed"].ok("sync")
    return bob, card


GONE = (
    ("agent", "dismiss", "bob"),
    ("agent", "queues", "bob", "-info-en", "+junk"),
    ("agent", "queues", "carol", "-info-en"),
)


@pytest.mark.parametrize("how", [GONE[0], *(pytest.param(g, marks=pytest.mark.slow) for g in GONE[1:])])
def test_keys_given_and_not_published_until_they_may_not_be_given_any_more(team: Team, how: tuple[str, ...]) -> None:
    carol = team.people["carol"]
    joined_by(team, "bob")
    without_network(carol)  # she gave bob the key of info-en, and nobody heard of it
    team.alice.ok("sync")
    team.alice.ok(*how)
    team.sync(team.alice, carol, carol)
    carol.ok("verify", "--full")


def test_a_number_given_offline_while_a_node_is_dismissed(team: Team) -> None:
    carol, gate = team.people["carol"], team.admit("gate", role="intake")
    team.sync(carol, gate)
    carol.ok("new", "--queue", "info-en", "--subject", "a call", "-m", "they rang")
    team.alice.ok("agent", "dismiss", "gate")
    team.sync(team.alice, carol, team.alice)
    assert [t["title"] for t in team.alice.json("list")] == ["a call"]


def test_what_goes_to_a_queue_offline_is_not_for_who_was_dismissed_from_it(team: Team) -> None:
    """The writer is not in that queue and cannot open what was sealed to it: it is sealed once more, to the new key."""
    carol, alice = team.people["carol"], team.alice
    bob, dan = team.admit("bob", "permissions-en"), team.admit("dan", "permissions-en")
    (n,) = alice.receive(mail("To route", "the secret\n"))
    team.sync(alice, carol, bob, dan)
    carol.ok("note", n, "-m", "written offline")
    carol.ok("route", n, "permissions-en")
    (m,) = carol.receive(mail("Foreign", "the mail\n", to="permissions-en@example.org"))
    carol.ok("new", "--queue", "permissions-en", "--subject", "A call", "-m", "they rang")
    alice.ok("agent", "dismiss", "bob")
    team.sync(alice, carol, alice, dan, bob)
    (k,) = [t["number"] for t in alice.json("list") if t["number"] not in (n, m)]
    for person in (alice, dan):
        assert [bodies(person, x) for x in (n, m, k)] == [
            ["the secret", "written offline"],
            ["the mail"],
            ["they rang"],
        ]
    assert [bodies(bob, x) for x in (n, m, k)] == [[None, None], [None], [None]]
    alice.ok("verify", "--full")


def test_keys_that_come_before_their_event_are_found_later(team: Team) -> None:
    """A host may serve the two branches of two moments."""
    carol, alice = team.people["carol"], team.alice
    team.admit("bob", "info-en")
    team.sync(carol)
    old = on_host(team, "rev-parse", "main")
    alice.ok("agent", "dismiss", "bob")
    (n,) = alice.receive(mail("Later", "later\n"))
    alice.ok("sync")
    new, keys = on_host(team, "rev-parse", "main"), on_host(team, "rev-parse", "keys")
    on_host(team, "update-ref", "refs/heads/main", old)
    on_host(team, "update-ref", "refs/heads/keys", on_host(team, "rev-list", "--reverse", f"{keys}", "--max-count=1"))
    carol.run("sync")
    on_host(team, "update-ref", "refs/heads/main", new)
    on_host(team, "update-ref", "refs/heads/keys", keys)
    team.sync(carol, carol)
    assert bodies(carol, n) == ["later"]


def test_a_key_of_an_event_to_come_makes_no_history_that_only_old_clones_accept(team: Team) -> None:
    carol, alice = team.people["carol"], team.alice
    n, m = alice.receive(mail("One"), mail("Two"))
    team.sync(alice, carol)
    assert carol.desk is not None
    forger = Forger(carol.desk, {"carol": carol.home / "keys"})
    event = (
        carol.git("log", "-1", "--format=%cd", "--date=format:%Y%m%dT%H%M%SZ", "main").decode().strip()
        + "-note-deadbeef"
    )
    forger.seal({f"{place(n)}/{event}.info-en.HASH.age": noise()}, by="carol")
    carol.git("push", "-q", str(team.host), "main", "keys")
    alice.ok("sync")
    forger.event("note", f"note {m}", m, files={".md.age": noise()}, id=event, by="carol")
    carol.git("push", "-q", str(team.host), "main", "keys")
    alice.ok("sync")
    assert "rule" not in alice.run("verify", "--full", "--ledger-only").err
    team.admit("bob", "info-en")


@pytest.mark.slow
def test_new_keys_right_after_the_first_were_served(team: Team) -> None:
    carol, zed, alice = team.people["carol"], team.people["zed"], team.alice
    (n,) = alice.receive(mail("x", "text\n"))
    team.sync(alice, carol)
    joined_by(team, "bob")
    carol.ok("sync")
    bob, card = team.card("bob2")
    zed.ok("sync")
    zed.ok("agent", "rekey", "bob", "--card", str(card))
    team.sync(zed, carol)
    team.clone(bob, "bob2")
    assert bodies(bob, n) == ["text"]


@pytest.mark.slow
def test_who_left_a_queue_gives_its_old_keys_to_nobody(team: Team) -> None:
    carol, alice = team.people["carol"], team.alice
    alice.ok("agent", "queues", "carol", "-info-en", "+junk")
    team.sync(alice, carol, team.people["zed"])
    bob, _ = joined_by(team, "bob")
    team.sync(carol, carol, alice)
    team.clone(bob, "bob")
    (n,) = alice.receive(mail("x", "text\n"))
    team.sync(alice, bob, carol)
    assert bodies(bob, n) == ["text"] and bodies(carol, n) == [None]


def test_keys_that_were_in_use_never_come_back(team: Team) -> None:
    bob = team.admit("bob", "info-en")
    _, new = team.card("bob2")
    team.alice.ok("agent", "rekey", "bob", "--card", str(new), "--stolen")
    old = (team.folder / "bob.yaml").read_text().splitlines()
    mixed = team.folder / "mixed.yaml"
    newest, _ = team.card("bob3")
    fresh = (team.folder / "bob3.yaml").read_text().splitlines()
    mixed.write_text("\n".join([next(r for r in old if "recipient" in r), next(r for r in fresh if "signing" in r)]))
    done = team.alice.run("agent", "rekey", "bob", "--card", str(mixed))
    assert done.code == 6 and "in use before" in done.err, (done, bob, newest)
    team.alice.ok("sync")


def test_a_dismissal_that_a_host_lost_is_given_up_by_nobody(team: Team) -> None:
    """Else the dismissed, who goes on there, would be a member again, and read what was written since."""
    carol, alice = team.people["carol"], team.alice
    mal = team.admit("mal", "info-en")
    (n,) = alice.receive(mail("x", "text\n"))
    team.sync(alice, carol, mal)
    before = on_host(team, "rev-parse", "main"), on_host(team, "rev-parse", "keys")
    alice.ok("agent", "dismiss", "mal")
    team.sync(alice, carol)
    carol.ok("note", n, "-m", "not for mal")
    for name, head in zip(("main", "keys"), before, strict=True):
        on_host(team, "update-ref", f"refs/heads/{name}", head)
    mal.ok("note", n, "-m", "I am back")
    mal.ok("sync")
    assert carol.run("sync").code == 7
    done = carol.run("sync", "--restore")
    assert done.code == 5 and "locked somebody out" in done.err
    alice.ok("sync", "--restore")
    team.sync(carol, alice)
    assert bodies(alice, n) == ["text", "not for mal"]
    assert mal.run("sync").code in (5, 7)
