"""Members come, go, lose keys and come back: what the ledger entitles them to they can open, and nothing else."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Person, founded, mail

Admit = Callable[..., Person]


class Team:
    """A desk that is published in a bare repository, and people who each have a clone of it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.host = folder, folder / "host.git"
        subprocess.run(["git", "init", "-q", "--bare", str(self.host)], check=True)
        self.alice = founded(folder)
        self.alice.git("config", "remote.origin.url", str(self.host))
        self.alice.ok("sync")
        self.root = self.alice.git("rev-list", "--max-parents=0", "main").decode().strip()
        self.people = {"alice": self.alice}

    def card(self, name: str) -> tuple[Person, Path]:
        """Return somebody with new keys, and their card."""
        person, path = Person(self.folder / f"home-{name}"), self.folder / f"{name}.yaml"
        path.write_text(person.ok("identity").out)
        return person, path

    def admit(
        self, handle: str, *queues: str, role: str = "agent", by: Person | None = None, flags: tuple[str, ...] = ()
    ) -> Person:
        person, path = self.card(handle)
        names = [f for q in queues for f in ("--queue", q)]
        admin = by or self.alice
        admin.ok("agent", "add", handle, "--card", str(path), "--role", role, "--agreed", "2026-11-01", *names, *flags)
        assert not admin.ok("sync").err
        return self.clone(person, handle)

    def clone(self, person: Person, name: str) -> Person:
        person.desk = None
        person.ok("clone", str(self.host), str(self.folder / f"desk-{name}"), "--root", self.root)
        person.desk = self.folder / f"desk-{name}"
        self.people[name] = person
        return person

    def sync(self, *people: Person) -> None:
        for person in people:
            person.ok("sync")


@pytest.fixture
def team(tmp_path: Path) -> Team:
    return Team(tmp_path)


def bodies(person: Person, ticket: str) -> list[str | None]:
    return [a["body"] for a in person.json("show", ticket)["articles"]]


def test_a_fresh_agent_is_admitted_clones_and_works(team: Team) -> None:
    (n,) = team.alice.receive(mail("Old", "from before\n"))
    bob = team.admit("bob", "info-en")
    assert bodies(bob, n) == ["from before"]
    bob.ok("note", n, "-m", "I am new here")
    team.sync(bob, team.alice)
    assert bodies(team.alice, n)[-1] == "I am new here"
    for person in (bob, team.alice):
        assert person.ok("verify", "--full").out.endswith("all in order\n")


def test_who_is_dismissed_opens_nothing_that_comes_later(team: Team) -> None:
    """Whoever has the machine also gets every later copy of the repository; its keys open none of what came since."""
    bob = team.admit("bob", "info-en")
    carol = team.admit("carol", "info-en")
    first = mail("Open", "one\n", id="<first@example.com>")
    old, kept = team.alice.receive(first, mail("Written offline", "two\n"))
    team.sync(team.alice, bob, carol)
    carol.ok("note", kept, "-m", "written before she knew")  # sealed to the key that bob has
    told = team.alice.ok("agent", "dismiss", "bob").out
    assert "new keys for info-en" in told and "vrt access" in told
    team.sync(team.alice, carol)
    team.alice.ok("note", old, "-m", "after")
    more = [mail(f"More {i}", f"more {i}\n", in_reply_to="<first@example.com>") for i in range(100)]
    new = team.alice.receive(*more, *(mail(f"New {i}") for i in range(100)))
    assert new[:100] == [old] * 100 and len(set(new[100:])) == 100
    team.sync(team.alice, carol, bob)
    assert bodies(carol, kept)[-1] == "written before she knew" == bodies(team.alice, kept)[-1]
    assert bodies(bob, old) == ["one", *[None] * 101] and bodies(bob, kept) == ["two", None]
    sealed = [t for t in bob.json("list", "state:any") if t["title"] is None]
    assert len(sealed) == 100 and bodies(bob, new[-1]) == [None]
    assert bob.json("index")["sealed"] == 202  # 200 mails, and two notes
    assert bob.run("note", old, "-m", "still here?").code == 5
    assert {r["who"] for r in team.alice.json("access", new[-1])["readers"]} == {"alice", "carol", "recovery"}
    for person in (carol, team.alice):
        person.ok("verify", "--full")
    # Nor can the keys of the dismissed publish: git lets them, the law does not.
    tree = bob.git("rev-parse", "main^{tree}").decode().strip()
    bob.git("config", "user.name", "bob")
    bob.git("config", "user.email", "bob@example.org")
    bob.git("config", "gpg.format", "ssh")
    bob.git("config", "user.signingKey", str(bob.home / "keys/signing"))
    forged = bob.git("commit-tree", "-S", "-p", "main", "-m", "hello", tree).decode().strip()
    bob.git("push", "-q", str(team.host), f"{forged}:refs/heads/main")
    done = carol.run("sync")
    assert done.code == 7 and f"commit {forged} by bob breaks rule" in done.err


def test_the_keyring_moves_on_with_a_dismissal(team: Team) -> None:
    """Else the dismissed could still add files to it, naming a place in the ledger at which they were members."""
    bob = team.admit("bob", "info-en")
    team.alice.ok("agent", "dismiss", "bob")
    team.sync(team.alice)
    last = team.alice.git("log", "-1", "--format=%B", "keys").decode()
    assert f"Ledger: {team.alice.git('rev-parse', 'main').decode().strip()}" in last
    assert bob.run("sync").code == 0


def test_a_lost_key_is_replaced(team: Team) -> None:
    bob, carol = team.admit("bob", "info-en"), team.admit("carol", "permissions-en")
    (n,) = team.alice.receive(mail("For info", "text\n"))
    team.sync(team.alice, bob)
    again, card = team.card("bob2")
    assert carol.run("agent", "rekey", "bob", "--card", str(card)).code == 5
    assert team.alice.run("agent", "rekey", "bob", "--card", str(team.folder / "bob.yaml")).code == 2
    team.alice.ok("agent", "rekey", "bob", "--card", str(card))
    team.sync(team.alice)
    team.clone(again, "bob2")
    assert bodies(again, n) == ["text"]
    again.ok("note", n, "-m", "with my new key")
    team.sync(again, team.alice)
    assert bodies(team.alice, n)[-1] == "with my new key"
    bob.run("sync")  # the old machine, found again: it is no member's
    assert bob.run("note", n, "-m", "hello").code == 5
    team.alice.ok("verify", "--full")


def test_a_card_renews_its_own_keys(team: Team) -> None:
    bob = team.admit("bob", "info-en")
    (n,) = team.alice.receive(mail("For info", "text\n"))
    team.sync(team.alice, bob)
    again, card = team.card("bob2")
    assert bob.run("agent", "rekey", "bob", "--card", str(card), "--stolen").code == 5
    bob.ok("agent", "rekey", "bob", "--card", str(card))
    again.desk = bob.desk
    assert bodies(again, n) == ["text"]
    again.ok("note", n, "-m", "signed with the new one")
    team.sync(again, team.alice)
    assert team.alice.ok("verify", "--full").code == 0


def test_stolen_keys_open_nothing_that_comes_later(team: Team) -> None:
    bob = team.admit("bob", "info-en")
    again, card = team.card("bob2")
    done = team.alice.ok("agent", "rekey", "bob", "--card", str(card), "--stolen")
    assert "desk secret" in done.out
    (n,) = team.alice.receive(mail("Later", "text\n"))
    team.sync(team.alice)
    bob.ok("sync")  # the thief, who has a machine and the right to fetch
    done = bob.run("note", n, "-m", "x")
    assert done.code == 5 and "is not the one of the card bob" in done.err
    team.clone(again, "bob2")
    assert bodies(again, n) == ["text"] and bodies(bob, n) == [None]
    facts = team.alice.git("log", "-1", "--format=%B", "--grep=agent-rekey", "main").decode()
    assert "Stolen: yes" in facts and "Agent: bob" in facts


def test_the_dismissed_come_back_with_new_keys(team: Team) -> None:
    team.admit("bob", "info-en")
    team.alice.ok("agent", "dismiss", "bob")
    assert team.alice.run("agent", "dismiss", "bob").code == 6
    assert team.alice.run("agent", "queues", "bob", "+permissions-en").code == 6
    assert team.alice.run("agent", "rekey", "bob", "--card", str(team.folder / "bob.yaml")).code == 2
    (n,) = team.alice.receive(mail("Meanwhile", "text\n"))
    again, card = team.card("bob2")
    team.alice.ok("agent", "rekey", "bob", "--card", str(card))
    team.sync(team.alice)
    team.clone(again, "bob2")
    assert bodies(again, n) == ["text"]
    again.ok("take", n)


def test_from_now_on(team: Team) -> None:
    old, still = team.alice.receive(mail("Old", "old\n"), mail("Still open", "first\n"))
    bob = team.admit("bob", "info-en", flags=("--from-now",))
    team.alice.ok("note", still, "-m", "second")
    (new,) = team.alice.receive(mail("New", "new\n"))
    team.sync(team.alice, bob)
    assert [bodies(bob, n) for n in (old, still, new)] == [[None], [None, "second"], ["new"]]
    carol = team.admit("carol", "info-en")  # another who joins later, and may read all
    assert [bodies(carol, n) for n in (old, still, new)] == [["old"], ["first", "second"], ["new"]]
    team.alice.ok("agent", "queues", "bob", "+permissions-en", "--from-now")
    team.sync(team.alice, carol, bob, carol)
    assert [bodies(bob, n) for n in (old, still)] == [[None], [None, "second"]]  # nobody gives more at a sync
    for person in (bob, carol, team.alice):
        person.ok("verify", "--full")


def test_what_an_admin_does_not_hold_a_member_gives_at_the_next_sync(team: Team) -> None:
    carol = team.admit("carol", "permissions-en")
    (n,) = team.alice.receive(mail("May I?", "text\n", to="permissions-en@example.org"))
    dora = team.admit("dora", "info-en", role="admin")  # an admin who is not in permissions-en
    bob = team.admit("bob", "permissions-en", by=dora)
    team.sync(bob)
    assert bodies(bob, n) == [None]
    done = carol.ok("sync")
    assert "given to others" in done.out
    team.sync(bob, carol, team.alice)
    assert bodies(bob, n) == ["text"]
    assert carol.ok("sync").out == ""  # once
    inbox = team.admit("inbox", role="intake", by=dora)
    team.sync(carol, team.alice, inbox)
    (reply,) = inbox.receive(
        mail("Re: May I?", "more\n", to="permissions-en@example.org", in_reply_to="<x@example.com>")
    )
    assert reply
    team.alice.ok("verify", "--full")


def test_the_last_member_and_the_last_admin_stay(team: Team) -> None:
    dora = team.admit("dora", role="admin")
    team.sync(dora)
    assert team.alice.run("agent", "dismiss", "recovery").code == 2
    done = dora.run("agent", "dismiss", "alice")
    assert done.code == 6 and "nobody else would be in" in done.err and "--from-now" in done.err
    for queue in ("info-en", "junk", "permissions-en", "postmaster"):
        dora.ok("agent", "queues", "dora", f"+{queue}", "--from-now")
    dora.ok("agent", "dismiss", "alice")
    assert dora.run("agent", "dismiss", "dora").code == 6
    (n,) = dora.receive(mail("After", "text\n"))
    team.sync(dora, team.alice)
    assert bodies(dora, n) == ["text"] and bodies(team.alice, n) == [None]


def test_the_recovery_card_lets_an_admin_in_again(tmp_path: Path) -> None:
    alice = Person(tmp_path / "home-alice")
    made = alice.json("init", str(tmp_path / "desk"), "--name", "X", "--domain", "example.org", "--agent", "alice")
    alice.desk = tmp_path / "desk"
    alice.ok("queue", "add", "info-en", "--address", "info-en@example.org")
    (n,) = alice.receive(mail("Before", "text\n"))
    lost = Person(tmp_path / "home-new")
    (tmp_path / "new.yaml").write_text(lost.ok("identity").out)
    root = alice.git("rev-list", "--max-parents=0", "main").decode().strip()
    lost.ok("clone", str(alice.desk), str(tmp_path / "again"), "--root", root, "--card", "alice")
    lost.desk = tmp_path / "again"
    assert lost.run("list").code == 5
    rekey = ("agent", "rekey", "alice", "--card", str(tmp_path / "new.yaml"), "--recovery", "--stolen")
    wrong = json.loads(alice.ok("identity", "--json").out)["recipient"]
    assert lost.run(*rekey, feed=wrong + "\n").code == 2
    assert lost.run(*rekey, feed="AGE-SECRET-KEY-1" + "Q" * 58 + "\n").code in (2, 5)
    lost.ok(*rekey, feed=made["recovery"] + "\n")
    assert bodies(lost, n) == ["text"]
    (later,) = lost.receive(mail("After", "later\n"))
    lost.ok("sync")
    lost.ok("verify", "--full")
    assert alice.run("index", "--rebuild").code == 5
    assert bodies(alice, later) == [None]
    shutil.rmtree(tmp_path / "again")
