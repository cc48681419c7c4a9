"""``access``: who could read a ticket, and through which key; held against what the keys of each really open."""

from __future__ import annotations

import shutil
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from conftest import Done, Person, copied, founded, mail
from test_cmd_desk import fetch, later

from vrt import access
from vrt.errors import UsageError

DAY = 86400


class Team:
    """Some people at one desk, one after the other: each in a copy of it, which takes over what the one before did."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.alice = founded(folder)
        self.people = {"alice": self.alice}
        self.began = datetime.now(timezone.utc)

    def admit(self, handle: str, role: str, *queues: str) -> None:
        """Admit somebody."""
        self.people[handle] = person = Person(self.folder / f"home-{handle}")
        card = self.folder / f"{handle}.yaml"
        card.write_text(person.ok("identity").out)
        flags = [f for q in queues for f in ("--queue", q)]
        self.alice.ok("agent", "add", handle, "--card", str(card), "--role", role, "--agreed", "2026-11-01", *flags)

    def look(self, handle: str) -> Person:
        """Return somebody at a copy of alice's desk."""
        person = self.people[handle]
        if person.desk:
            fetch(person, self.alice)
        else:
            assert self.alice.desk is not None
            person.desk = copied(self.alice.desk, self.folder / f"desk-{handle}", handle)
        return person

    def does(self, handle: str, *args: str, day: int = 0) -> Done:
        """Let somebody do something ``day`` days after the beginning."""
        person = self.people[handle] if handle == "alice" else self.look(handle)
        done = person.ok(*args, "--json", env=later(person, day * DAY))
        if handle != "alice":
            fetch(self.alice, person)
        return done

    def day(self, day: int) -> str:
        """Return the date ``day`` days after the beginning."""
        return (self.began + timedelta(days=day)).strftime("%Y-%m-%d")


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> tuple[Team, str, list[str]]:
    """A ticket that was received, noted by bob, noted after bob had left, routed and answered: a day for each."""
    team = Team(tmp_path_factory.mktemp("access"))
    team.admit("bob", "agent", "info-en")
    team.admit("carol", "agent", "permissions-en")
    team.admit("inbox", "intake")
    team.admit("post", "mailer")
    path = team.folder / "1.eml"
    path.write_bytes(mail())
    n = team.does("inbox", "receive", str(path), day=1).json["mails"][0]["ticket"]
    team.does("bob", "note", n, "-m", "I look into it.", day=2)
    team.does("alice", "agent", "queues", "bob", "-info-en", day=3)
    team.does("alice", "note", n, "-m", "Without bob.", day=4)
    team.does("alice", "route", n, "permissions-en", day=5)
    team.does("alice", "reply", n, "-m", "Yes.", day=6)
    return team, n, [a["id"] for a in team.alice.json("show", n)["articles"]]


@pytest.fixture
def again(story: tuple[Team, str, list[str]], tmp_path: Path) -> Person:
    """Alice at a copy of that desk of her own, to go on with."""
    person = Person(story[0].alice.home, tmp_path / "desk")
    assert story[0].alice.desk is not None and person.desk is not None
    shutil.copytree(story[0].alice.desk, person.desk)
    return person


def ways(found: dict[str, Any]) -> dict[str, dict[str, list[str]]]:
    """Return who reads through what which articles."""

    def name(way: dict[str, Any]) -> str:
        return f"{way['kind']} {way['queue']} {way['epoch']}" if way["queue"] else str(way["kind"])

    whose = {"stolen": "thief of "}
    return {
        whose.get(r["now"], "") + r["who"]: {name(w): w["ids"] for w in r["through"]} for r in found["readers"]
    }  # fmt: skip


def test_who_could_read_it_and_how(story: tuple[Team, str, list[str]]) -> None:
    team, n, ids = story
    came, bobs, hers, reply = ids
    found = team.alice.json("access", n)
    assert ways(found) == {
        "alice": {
            "author": [hers, reply], "queue info-en 1": [came, bobs], "queue info-en 2": [hers],
            "queue permissions-en 1": ids,
        },
        "carol": {"queue permissions-en 1": ids},
        "recovery": {
            "recovery info-en 1": [came, bobs], "recovery info-en 2": [hers], "recovery permissions-en 1": ids,
        },
        "bob": {"author": [bobs], "queue info-en 1": [came, bobs]},
        "inbox": {"intake": [came]},
        "post": {"sender": [reply]},
    }  # fmt: skip
    states = {r["who"]: (r["now"], r["articles"], (r["until"] or "")[:10]) for r in found["readers"]}
    assert states == {
        "alice": ("member", 4, ""), "carol": ("member", 4, ""), "recovery": ("member", 4, ""),
        "bob": ("left", 2, team.day(3)), "inbox": ("node", 1, ""), "post": ("node", 1, ""),
    }  # fmt: skip


def test_the_keys_of_each_open_what_it_says(story: tuple[Team, str, list[str]]) -> None:
    """And it says the same to all of them: what it needs is not secret."""
    team, n, _ = story
    found = team.alice.json("access", n)
    for handle in ("alice", "bob", "carol"):
        person = team.look(handle) if handle != "alice" else team.alice
        opened = {a["id"] for a in person.json("show", n)["articles"] if a["body"] is not None}
        said = ways(found)[handle]
        assert opened == {e for name, ids in said.items() if name.startswith("queue") for e in ids}, handle
        assert person.json("access", n) == found


def test_json_is_a_contract(story: tuple[Team, str, list[str]]) -> None:
    team, n, ids = story
    found = team.alice.json("access", n)
    assert list(found) == ["ticket", "at", "articles", "readers"]
    assert (found["ticket"], found["at"]) == (n, None)
    assert [a["id"] for a in found["articles"]] == ids
    assert {tuple(a) for a in found["articles"]} == {("id", "action", "agent", "time")}
    assert {tuple(r) for r in found["readers"]} == {
        ("who", "roles", "now", "until", "articles", "ids", "through")
    }  # fmt: skip
    through = [w for r in found["readers"] for w in r["through"]]
    assert {tuple(w) for w in through} == {("kind", "queue", "epoch", "since", "commit", "ids")}
    for way in through:  # each commit is there, and of the branch that it should be of
        branch = "main" if way["kind"] in ("author", "intake") else "keys"
        team.alice.git("merge-base", "--is-ancestor", way["commit"], branch)


def test_as_it_was_then(story: tuple[Team, str, list[str]]) -> None:
    team, n, ids = story
    a = team.alice
    seen = {}
    for day in (1, 2, 4, 5):
        found = a.json("access", n, "--at", team.day(day))
        assert found["at"].startswith(f"{team.day(day)}T23:59:59")
        seen[day] = {r["who"]: (r["now"], r["articles"]) for r in found["readers"]}
    assert set(seen[1]) == {"alice", "bob", "recovery", "inbox"}
    assert seen[2]["bob"] == ("member", 2)
    assert seen[4]["bob"] == ("left", 2)
    assert seen[4]["alice"] == ("member", 3) and "carol" not in seen[4]
    assert seen[5]["carol"] == ("member", 3) and "post" not in seen[5]
    carol = next(r for r in a.json("access", n)["readers"] if r["who"] == "carol")
    assert [w["since"][:10] for w in carol["through"]] == [team.day(5)]
    assert a.json("access", n, "--at", f"{team.day(4)}T23:59:59+00:00")["articles"][-1]["id"] == ids[2]
    assert a.json("access", n, "--at", "9999-01-01")["readers"] == a.json("access", n)["readers"]


def test_what_people_see(story: tuple[Team, str, list[str]]) -> None:
    team, n, (came, bobs, *_) = story
    rows = [row.split() for row in team.alice.ok("access", n).out.splitlines()]
    assert rows[0] == ["WHO", "ROLE", "ARTICLES", "SINCE", "THROUGH"]
    (bob,) = (" ".join(row) for row in rows if row[0] == "bob")
    assert f"agent (left {team.day(3)} " in bob and "2 of 4" in bob and bob.endswith("author; queue info-en epoch 1")
    (alice,) = (" ".join(row) for row in rows if row[0] == "alice")
    assert alice.endswith("author; queue info-en epochs 1-2; queue permissions-en epoch 1")
    assert [row[-1] for row in rows if row[0] in ("inbox", "post")] == ["received", "sender"]
    verbose = team.alice.ok("access", n, "-v").out.splitlines()
    mine = [row.split() for row in verbose if row.startswith(came[-8:])]
    assert {row[2]: row[3] for row in mine} == {
        "alice": team.day(1), "recovery": team.day(1), "bob": team.day(1), "inbox": team.day(1), "carol": team.day(5),
    }  # fmt: skip
    assert sum(row.startswith(bobs[-8:]) for row in verbose) == 4


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["4711"], 4), (["--at", "2026-11-20T10:00"], 2), (["--at", "1001-01-01"], 4),
        (["--at", "1970-01-01T00:00:00Z"], 4), (["--at", ""], 2),
    ],
)  # fmt: skip
def test_what_cannot_be_told(story: tuple[Team, str, list[str]], args: list[str], code: int) -> None:
    team, n, _ = story
    done = team.alice.run("access", *(args if args[0] == "4711" else [n, *args]))
    assert (done.code, done.out) == (code, "")
    assert "hint" in done.err


def test_a_day_ends_where_the_desk_is() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    assert access.when("2026-11-20", berlin) == access.when("2026-11-20T22:59:59Z", timezone.utc)
    assert access.when("2026-10-25", berlin) - access.when("2026-10-24", berlin) == 25 * 3600  # summer time ends
    for text in (
        "9999-12-31",
        "2026-11-20T10:00",
        "20261120",
        "yesterday",
        "2026-02-30",
        "",
        "2026-W01-1",
        "１２３４-01-01",
    ):
        with pytest.raises(UsageError):
            access.when(text, berlin)


SCRIPT = """
import sys
from pathlib import Path
from vrt import acts
from vrt.desk import Desk
from vrt.storage import crypt, keyring

desk = Desk(Path(sys.argv[1]))
n = sys.argv[2]
cards, queues, said = desk.roster.cards, desk.roster.queues, desk.index.articles(n)
with desk.recording() as (write, entries):
"""


def seal(person: Person, n: str, *lines: str) -> None:
    """Record keys in alice's name that no command would."""
    script = SCRIPT + "".join(f"    write.add_key(*keyring.{line})\n" for line in lines)
    argv = [sys.executable, "-c", script, str(person.desk), n]
    subprocess.run(argv, env=person.env, check=True)


def test_a_planted_key_opens_nothing(again: Person, story: tuple[Team, str, list[str]]) -> None:
    """To whom the ledger gave no right, or with an identity in it that opens nothing."""
    _, n, _ = story
    before = ways(again.json("access", n))
    new = "crypt.new_identity()[0]"
    seal(
        again, n,
        f"seal_queue('info-en', 2, {new}, 'bob', cards['bob'].recipient)",
        f"seal_queue('info-en', 1, {new}, 'carol', cards['carol'].recipient)",
        f"seal_article(n, said[3].event.id, {new}, 'junk', queues['junk'].recipient)",
        f"seal_article(n, said[0].event.id[:-1] + 'x', {new}, 'junk', queues['junk'].recipient)",
        "seal_article(n, said[3].event.id, said[3].key, 'junk', crypt.new_identity()[1])",
    )  # fmt: skip
    assert ways(again.json("access", n)) == before


def test_what_counts_is_the_epoch(again: Person, story: tuple[Team, str, list[str]]) -> None:
    """Sealed, after bob had left, to the key that he has: who holds that too, finds out."""
    _, n, ids = story
    seal(again, n, "seal_article(n, said[2].event.id, said[2].key, 'info-en', queues['info-en'].former[0])")
    found = ways(again.json("access", n))
    assert found["bob"]["queue info-en 1"] == ids[:3]


def test_what_is_merged_is_read_where_it_went(again: Person, story: tuple[Team, str, list[str]]) -> None:
    """And who comes back to a queue is a member again, of all epochs."""
    _, n, _ = story
    (m,) = again.receive(mail("The same, once more"))
    assert "carol" not in ways(again.json("access", m))
    again.ok("merge", m, n)
    again.ok("agent", "queues", "bob", "+info-en")
    found = ways(again.json("access", m))
    assert set(found["carol"]) == {"queue permissions-en 1"}
    assert set(found["bob"]) == {"queue info-en 2"}
    (bob,) = (r for r in again.json("access", n)["readers"] if r["who"] == "bob")
    assert (bob["now"], bob["articles"], bob["until"]) == ("member", 3, None)


def test_who_is_dismissed_keeps_what_it_had_and_gets_no_more(
    again: Person, story: tuple[Team, str, list[str]], tmp_path: Path
) -> None:
    team, n, ids = story
    carol = Person(team.people["carol"].home)
    again.ok("agent", "dismiss", "carol")
    again.ok("note", n, "-m", "Without carol.")
    found = again.json("access", n)
    last = found["articles"][-1]["id"]
    row = next(r for r in found["readers"] if r["who"] == "carol")
    assert (row["now"], row["articles"]) == ("dismissed", 4) and row["until"]
    assert ways(found)["carol"] == {"queue permissions-en 1": ids}
    assert ways(found)["alice"]["queue permissions-en 2"] == [last]
    assert again.desk is not None
    carol.desk = copied(again.desk, tmp_path / "desk-carol", "carol")
    assert [a["id"] for a in carol.json("show", n)["articles"] if a["body"] is not None] == ids
    assert "agent (dismissed 20" in again.ok("access", n).out


def test_stolen_keys_are_somebody_too(again: Person, tmp_path: Path) -> None:
    """They open what they opened, and what has come since is for the new ones."""
    again.ok("agent", "queues", "bob", "+info-en")
    (n,) = again.receive(mail("On the laptop"))
    card = tmp_path / "bob.yaml"
    card.write_text(Person(tmp_path / "home-bob").ok("identity").out)
    again.ok("agent", "rekey", "bob", "--card", str(card), "--stolen")
    again.ok("note", n, "-m", "On the new laptop.")
    found = again.json("access", n)
    old, new = (a["id"] for a in found["articles"])
    assert ways(found)["bob"] == {"queue info-en 2": [old], "queue info-en 3": [new]}
    assert ways(found)["thief of bob"] == {"queue info-en 2": [old]}
    assert "stolen keys (20" in again.ok("access", n).out


def test_who_comes_for_what_is_to_come(again: Person, tmp_path: Path) -> None:
    """An older key that is sealed to it all the same is planted."""
    (n,) = again.receive(mail("Before"))
    card = tmp_path / "dave.yaml"
    card.write_text(Person(tmp_path / "home-dave").ok("identity").out)
    how = ("--queue", "info-en", "--agreed", "2026-11-01", "--from-now")
    again.ok("agent", "add", "dave", "--card", str(card), *how)
    again.ok("note", n, "-m", "After.")
    seal(again, n, "seal_queue('info-en', 2, crypt.new_identity()[0], 'dave', cards['dave'].recipient)")
    found = again.json("access", n)
    assert ways(found)["dave"] == {"queue info-en 3": [found["articles"][-1]["id"]]}
