"""Many hands on one desk: who was first, what becomes of what others did meanwhile, and a host that lies."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from conftest import Person, copied, mail
from test_membership import Team, bodies


@pytest.fixture
def team(tmp_path: Path) -> Team:
    made = Team(tmp_path)
    made.admit("bob", "info-en")
    return made


def trail(person: Person, ticket: str) -> list[tuple[str, str]]:
    return [(e["action"], e["agent"]) for e in person.json("trail", ticket)]


def settled(team: Team, *people: Person) -> None:
    """Everybody has the same history, and it is lawful."""
    team.sync(*people, *people)
    heads = {person.git("for-each-ref", "refs/heads") for person in people}
    assert len(heads) == 1
    for person in people:
        person.ok("verify", "--full")


# --- conflicts in meaning --------------------------------------------------------------------------


def test_of_two_who_take_a_ticket_the_first_has_it(team: Team) -> None:
    alice, bob = team.alice, team.people["bob"]
    (n,) = alice.receive(mail())
    team.sync(alice, bob)
    alice.ok("take", n)
    alice.ok("sync")
    bob.ok("take", n)
    bob.ok("note", n, "-m", "what I think of it")
    done = bob.ok("sync")
    assert f"take {n}: dropped, for alice works on {n}" in done.err
    settled(team, bob, alice)
    assert trail(alice, n) == [("receive", "alice"), ("take", "alice"), ("note", "bob")]


def test_what_was_said_stays_where_a_ticket_was_closed(team: Team) -> None:
    alice, bob = team.alice, team.people["bob"]
    (n,) = alice.receive(mail())
    team.sync(alice, bob)
    alice.ok("close", n, "--outcome", "successful")
    alice.ok("sync")
    bob.ok("note", n, "-m", "said offline")
    bob.ok("priority", n, "5")
    bob.ok("close", n, "--outcome", "spam")
    done = bob.ok("sync")
    assert f"close {n} as spam: dropped, for" in done.err
    settled(team, bob, alice)
    assert bodies(alice, n)[-1] == "said offline"
    assert alice.json("show", n)["outcome"] == "successful"


def test_two_admins_change_the_same_file(team: Team) -> None:
    """What is not the same setting is both; of the same, the first published one holds, and the other is told."""
    alice, dora = team.alice, team.admit("dora", "info-en", role="admin")
    alice.ok("queue", "set", "info-en", "--language", "de")
    alice.ok("desk", "set", "--authserv", "mx.example.org")
    alice.ok("agent", "queues", "bob", "+permissions-en")
    alice.ok("sync")
    dora.ok("queue", "set", "info-en", "--send-delay", "5m")
    dora.ok("queue", "set", "info-en", "--language", "fr")
    dora.ok("desk", "set", "--authserv", "mx2.example.org", "--message-bytes", "10M")
    dora.ok("agent", "set", "bob", "--supervised")
    done = dora.ok("sync")
    assert "queue-set info-en: done again" in done.err and "desk-set: done again" in done.err
    assert "queue-set info-en: dropped, for others set language to de" in done.err
    settled(team, dora, alice)
    queue = alice.json("queue", "show", "info-en")
    assert (queue["language"], queue["send_delay"]) == ("de", "5m")
    desk = dora.json("desk", "show")
    assert set(desk["authserv"]) == {"mx.example.org", "mx2.example.org"}
    assert desk["limits"]["message_bytes"] == 10 << 20
    bob = next(c for c in alice.json("agent", "list") if c["handle"] == "bob")
    assert bob["supervised"] and bob["queues"] == ["info-en", "permissions-en"]


def test_two_admins_dismiss_admit_and_make_queues_at_once(team: Team) -> None:
    """Whoever was to be locked out is; keys that both made anew are made once more; nobody's words are lost."""
    alice, bob, dora = team.alice, team.people["bob"], team.admit("dora", "info-en", role="admin")
    carol = team.admit("carol", "info-en")
    (n,) = alice.receive(mail("Before"))
    team.sync(alice, bob, carol, dora)
    alice.ok("agent", "dismiss", "bob")
    _, erin = team.card("erin")
    alice.ok("agent", "add", "erin", "--card", str(erin), "--queue", "info-en", "--agreed", "2026-11-01")
    alice.ok("queue", "add", "press", "--address", "press@example.org")
    alice.ok("note", n, "-m", "alice, after bob")
    alice.ok("sync")
    dora.ok("agent", "dismiss", "carol")
    fred, card = team.card("fred")
    dora.ok("agent", "add", "fred", "--card", str(card), "--queue", "info-en", "--agreed", "2026-11-01")
    dora.ok("queue", "add", "legal", "--address", "legal@example.org")
    dora.ok("note", n, "-m", "dora, after carol")
    (legal,) = dora.receive(mail("A letter", "for legal\n", to="legal@example.org"))
    done = dora.ok("sync")
    assert "agent-dismiss carol: done again" in done.err and "agent-add fred: done again" in done.err
    alice.ok("note", n, "-m", "alice, after both")
    settled(team, alice, dora)
    team.clone(fred, "fred")
    for person in (alice, dora, fred):
        assert bodies(person, n)[1:] == ["alice, after bob", "dora, after carol", "alice, after both"]
    assert bodies(dora, legal) == ["for legal"]
    team.sync(bob, carol)
    assert bodies(bob, n)[1:] == [None] * 3 and bodies(carol, n)[2:] == [None] * 2
    ids = [c.get("system_id") for c in alice.json("agent", "list") if c.get("system_id")]
    assert len(set(ids)) == len(ids)
    assert {c["handle"] for c in alice.json("agent", "list") if c.get("dismissed")} == {"bob", "carol"}


def test_of_two_who_take_one_name_the_first_has_it(team: Team) -> None:
    """What the second did with hers is not done to the other's; a rekey does not undo a dismissal that came first."""
    alice, dora, bob = team.alice, team.admit("dora", "info-en", role="admin"), team.people["bob"]
    _, erin = team.card("erin")
    _, other = team.card("erin2")
    dora.ok("queue", "add", "press", "--address", "press@example.org")
    dora.ok("agent", "add", "erin", "--card", str(erin), "--agreed", "2026-11-01")
    dora.ok("agent", "dismiss", "bob")
    dora.ok("sync")
    alice.ok("queue", "add", "press", "--address", "press2@example.org")
    alice.ok("new", "--queue", "press", "--subject", "x", "-m", "for my queue alone")
    alice.ok("agent", "add", "erin", "--card", str(other), "--agreed", "2026-11-01")
    alice.ok("agent", "queues", "erin", "+info-en")
    _, again = team.card("bob2")
    alice.ok("agent", "rekey", "bob", "--card", str(again))
    done = alice.ok("sync")
    assert "for press is another now" in done.err and "for erin is another now" in done.err
    assert "bob was dismissed meanwhile" in done.err
    settled(team, alice, dora)
    cards = {c["handle"]: c for c in dora.json("agent", "list")}
    assert cards["erin"]["queues"] == [] and cards["bob"]["dismissed"] and not dora.json("list")
    assert bob.run("sync").code == 0


def test_one_card_in_two_clones(team: Team, tmp_path: Path) -> None:
    """A copied card gives the same number twice: the first published keeps it, what was said elsewhere is not lost."""
    bob = team.people["bob"]
    twin = Person(tmp_path / "home-bob", copied(bob.desk, tmp_path / "desk-twin", "bob"))
    twin.git("config", "remote.origin.url", str(team.host))
    twin.ok("sync")
    (first,) = bob.receive(mail("From here", "one\n"))
    bob.ok("sync")
    (second,) = twin.receive(mail("From there", "two\n"))
    assert first == second
    twin.ok("note", second, "-m", "about the second")
    done = twin.ok("sync")
    assert "on another machine" in done.err and "keys are in" in done.err
    team.sync(twin, bob, team.alice)
    tickets = team.alice.json("list", "state:any")
    assert {t["title"] for t in tickets} == {"From here", "From there"} and len({t["number"] for t in tickets}) == 2
    assert bodies(team.alice, first) == ["one"]
    assert list((twin.desk / "vrt/outbox").iterdir())  # the note, kept
    settled(team, twin, bob, team.alice)


# --- sync: auto ------------------------------------------------------------------------------------


def test_acts_publish_by_themselves_where_the_desk_says_so(team: Team) -> None:
    alice, bob = team.alice, team.people["bob"]
    alice.ok("desk", "set", "--sync", "auto")
    (n,) = alice.receive(mail())
    alice.ok("note", n, "-m", "published with this")
    team.sync(bob)
    assert bodies(bob, n)[-1] == "published with this"
    alice.ok("take", n)
    done = bob.run("take", n)  # looks first
    assert done.code == 6 and "alice works on" in done.err
    quiet = alice.ok("tag", n, "+urgent")
    assert "came" not in quiet.out + quiet.err


def test_work_goes_on_where_the_remote_is_away(team: Team) -> None:
    alice, bob = team.alice, team.people["bob"]
    alice.ok("desk", "set", "--sync", "auto")
    (n,) = alice.receive(mail())
    team.sync(alice, bob)
    hidden = team.host.rename(team.host.with_name("away.git"))
    done = bob.ok("take", n)
    assert len(done.err.splitlines()) == 2 and done.err.count("warning: not") == 2
    assert bob.ok("note", n, "-m", "offline").err.count("warning") == 1
    hidden.rename(team.host)
    settled(team, bob, alice)
    assert trail(alice, n)[-2:] == [("take", "bob"), ("note", "bob")]


# --- a host that lies --------------------------------------------------------------------------------


def on_host(team: Team, *args: str) -> str:
    done = subprocess.run(["git", f"--git-dir={team.host}", *args], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def rewound(team: Team) -> None:
    on_host(team, "update-ref", "refs/heads/main", on_host(team, "rev-parse", "main~2"))


def emptied(team: Team) -> None:
    for name in ("main", "keys"):
        on_host(team, "update-ref", "-d", f"refs/heads/{name}")


def withheld(team: Team) -> None:
    on_host(team, "update-ref", "-d", "refs/heads/keys")


def keys_rewound(team: Team) -> None:
    on_host(team, "update-ref", "refs/heads/keys", on_host(team, "rev-parse", "keys~1"))


@pytest.mark.parametrize("do", [rewound, emptied, withheld, pytest.param(keys_rewound, marks=pytest.mark.slow)])
def test_a_host_that_loses_what_it_had(team: Team, do: object) -> None:
    """It is refused, nothing here changes, work goes on, and whoever has more puts it back."""
    alice, bob = team.alice, team.people["bob"]
    (n,) = alice.receive(mail())
    alice.ok("note", n, "-m", "published")
    team.sync(alice, bob)
    before = on_host(team, "for-each-ref")
    do(team)  # type: ignore[operator]
    mine = bob.git("for-each-ref", "refs/heads")
    done = bob.run("sync")
    assert done.code == 7 and ("went back" in done.err or "no branch" in done.err) and "--restore" in done.err
    assert bob.git("for-each-ref", "refs/heads") == mine
    bob.ok("note", n, "-m", "meanwhile")
    assert bob.run("sync").code == 7
    bob.ok("sync", "--restore")
    assert before != on_host(team, "for-each-ref")
    settled(team, alice, bob)
    assert bodies(alice, n)[-2:] == ["published", "meanwhile"]


def test_another_desk_in_its_place(team: Team, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    Team(other)
    team.host.rename(tmp_path / "hidden.git")
    (other / "host.git").rename(team.host)
    bob = team.people["bob"]
    done = bob.run("sync")
    assert done.code == 7 and "from the first commit on" in done.err
    done = bob.run("sync", "--restore")
    assert done.code == 7 and f"root is {team.root[:16]}" in done.err
    fresh, _ = team.card("fresh")
    done = fresh.run("clone", str(team.host), str(tmp_path / "x"), "--root", team.root)
    assert done.code == 7 and not (tmp_path / "x").exists()


def forge(team: Team, by: Person, text: str = "hello") -> str:
    """Put an unlawful commit on the host, on top of what it has."""
    head = on_host(team, "rev-parse", "main")
    by.git("fetch", "-q", str(team.host), "main")
    tree = by.git("rev-parse", f"{head}^{{tree}}").decode().strip()
    names = ("-c", "user.name=bob", "-c", "user.email=bob@example.org")
    forged = by.git(*names, "commit-tree", "-p", head, "-m", text, tree).decode().strip()
    by.git("push", "-q", str(team.host), f"{forged}:refs/heads/main")
    return forged


def test_after_a_forgery_everybody_works_on_and_an_admin_mends_the_host(team: Team) -> None:
    alice, bob, carol = team.alice, team.people["bob"], team.admit("carol", "info-en")
    (n,) = alice.receive(mail())
    team.sync(alice, bob, carol)
    alice.ok("note", n, "-m", "lawful, before it")
    alice.ok("sync")
    forged = forge(team, bob)
    for person in (carol, bob):
        done = person.run("sync")
        assert done.code == 7 and f"commit {forged} by bob breaks rule" in done.err
        assert bodies(person, n)[-1] == "lawful, before it"  # the lawful part came
        person.ok("note", n, "-m", "work goes on")
        assert person.run("sync").code == 7 and person.run("sync", "--restore").code == 5
    assert alice.run("sync").code == 7
    done = alice.ok("sync", "--restore")
    assert f"commit {forged}" in done.err
    settled(team, alice, carol, bob)
    assert [b for b in bodies(alice, n) if b == "work goes on"] == ["work goes on"] * 2
    assert forged not in on_host(team, "rev-list", "main")


@pytest.mark.slow
def test_what_an_admin_did_not_have_comes_back_from_those_who_did_it(team: Team) -> None:
    """A restored host may lack events that the admin never saw: each puts their own back, on top."""
    alice, bob, carol = team.alice, team.people["bob"], team.admit("carol", "info-en")
    (n,) = alice.receive(mail())
    team.sync(alice, bob, carol)
    for person, text in ((bob, "bob's"), (carol, "carol's")):
        person.ok("note", n, "-m", text)
        person.ok("sync")
    bob.ok("sync")
    forge(team, bob)
    heads = alice.git("rev-parse", "main", "keys").decode().split()  # alice was on holiday
    for name, head in zip(("main", "keys"), heads, strict=True):
        on_host(team, "update-ref", f"refs/heads/{name}", head)
    alice.ok("note", n, "-m", "back")
    alice.ok("sync")
    for person in (bob, carol):
        done = person.run("sync")
        assert done.code == 7 and "is another after commit" in done.err
        done = person.ok("sync", "--restore")
        assert "of others are gone from the remote" in done.err
        assert person.git("for-each-ref", "refs/vrt/lost")
    settled(team, alice, bob, carol)
    assert bodies(alice, n)[1:] == ["back", "bob's", "carol's"]


def test_two_who_were_shown_different_histories_find_out_by_telephone(team: Team, tmp_path: Path) -> None:
    alice, bob = team.alice, team.people["bob"]
    (n,) = alice.receive(mail())
    team.sync(alice, bob)
    place = alice.json("status")["place"]
    other = tmp_path / "for-bob.git"
    subprocess.run(["git", "clone", "-q", "--bare", str(team.host), str(other)], check=True)
    bob.git("config", "remote.origin.url", str(other))
    alice.ok("note", n, "-m", "to the true one")
    bob.ok("note", n, "-m", "to the other one")
    team.sync(alice, bob)
    assert alice.ok("status", "--at", str(place)).out == bob.ok("status", "--at", str(place)).out
    assert alice.ok("status", "--at", str(place + 1)).out != bob.ok("status", "--at", str(place + 1)).out
    bob.git("config", "remote.origin.url", str(team.host))
    assert bob.run("sync").code == 7
    assert alice.run("status", "--at", str(place + 9)).code == 4
