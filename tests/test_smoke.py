"""The main job in one breath, and what only shows in bulk."""

from __future__ import annotations

from conftest import Person, mail

from vrt.desk import Desk
from vrt.storage.identity import Keys
from vrt.storage.local import Config


def test_a_day(alice: Person) -> None:
    n = alice.receive(mail("Picture of the bridge"))[0]
    assert alice.json("list")[0]["number"] == n
    alice.ok("take", n)
    alice.ok("note", n, "-m", "checked the licence")
    alice.ok("close", n, "--outcome", "successful")
    assert alice.json("show", n)["outcome"] == "successful"
    assert alice.ok("verify").out.endswith("all in order\n")


def test_no_two_events_of_a_second_share_an_id(alice: Person) -> None:
    """Eight random digits repeat sooner or later: among 150,000 two do in nine of ten runs."""
    assert alice.desk is not None
    desk = Desk(alice.desk, clock=lambda: 1_800_000_000)
    desk.keys = Keys(Config(card="alice", identity=alice.home / "keys" / "identity.txt"))
    ids = [desk.event("take").id for _ in range(150_000)]
    assert len(set(ids)) == len(ids)
