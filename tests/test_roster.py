"""Desk files read and written: what is not in its form is refused with file and setting."""

from __future__ import annotations

from typing import Any

import pytest

from vrt import roster
from vrt.errors import NotFound, VrtError
from vrt.roster import BadDeskFile

DESK = {"format": 1, "name": "Example VRT", "domain": "example.org"}
AGE = "age1" + "q" * 58
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJHBbN/9hyT25jInT5NLguPsOaZZHM96SEEN7NM4O/Ii"
CARD = {
    "roles": ["agent"],
    "recipient": "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p",
    "signing": KEY,
}
QUEUE = {"addresses": ["info-en@example.org"], "recipient": CARD["recipient"]}


def read(**files: Any) -> roster.Roster:
    known = {"desk.yaml": DESK, "agents/alice.yaml": CARD, "queues/info-en.yaml": QUEUE}
    return roster.read(known | {k.replace("__", "/") + ".yaml": v for k, v in files.items()})


def test_what_is_written_is_read() -> None:
    known = read()
    for item in (known.desk, known.cards["alice"], known.queues["info-en"]):
        again = roster.write(item)
        reader = {"DeskConfig": roster.read_desk}.get(type(item).__name__)
        if reader:
            assert reader(again) == item
    assert roster.read_card("alice", roster.write(known.cards["alice"])) == known.cards["alice"]
    assert roster.read_queue("info-en", roster.write(known.queues["info-en"])) == known.queues["info-en"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"roles": []}, "roles"),
        ({"roles": ["king"]}, "roles"),
        ({"roles": "agent"}, "roles"),
        ({"roles": [1]}, "roles"),
        ({"queues": "info-en"}, "queues"),
        ({"hidden": "x"}, "hidden"),
        ({"system_id": "1"}, "system_id"),
        ({"system_id": "01"}, "system_id"),
        ({"system_id": 10}, "system_id"),
        ({"system_id": "1234"}, "system_id"),
        ({"system_id": "١٢"}, "system_id"),
        ({"signing": "nonsense"}, "signing"),
        ({"signing": KEY + "\nx y"}, "signing"),
        ({"signing": None}, "signing"),
        ({"agreed": 2026}, "agreed"),
        ({"dismissed": "no"}, "dismissed"),
        ({"recipient": 7}, "recipient"),
        ({"handle": "bob"}, "handle"),
    ],
)
def test_a_bad_card(change: dict[str, Any], says: str) -> None:
    with pytest.raises(BadDeskFile, match=says) as refused:
        read(agents__alice=CARD | change)
    assert "agents/alice.yaml" in str(refused.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"epoch": "1"}, "epoch"),
        ({"addresses": "x@y"}, "addresses"),
        ({"lock_timeout": "soon"}, "span"),
        ({"lock_timeout": 24}, "lock_timeout"),
        ({"first_response": "1y"}, "span"),
        ({"first_response": "1d\n"}, "span"),
        ({"move_from": [7]}, "move_from"),
        ({"hidden": 1}, "hidden"),
        ({"lock_timeout": "٢h"}, "span"),
    ],
)
def test_a_bad_queue(change: dict[str, Any], says: str) -> None:
    with pytest.raises(BadDeskFile, match=says):
        read(queues__info_en={}, **{"queues__info-en": QUEUE | change})


@pytest.mark.parametrize(
    "change", [{"format": "1"}, {"tags": ["two words"]}, {"outcomes": ["Ü"]}, {"name": None}, {"x": 1}]
)
def test_a_bad_desk(change: dict[str, Any]) -> None:
    with pytest.raises(BadDeskFile, match=r"desk\.yaml"):
        read(desk=DESK | change)


def test_a_missing_desk() -> None:
    with pytest.raises(BadDeskFile, match="missing"):
        roster.read({"agents/alice.yaml": CARD})


def test_a_newer_format_asks_for_an_upgrade() -> None:
    """Not a breach: whoever has an older vrt must not think that the desk is broken."""
    with pytest.raises(VrtError) as said:
        read(desk=DESK | {"format": 2, "unheard": "of"})
    assert not isinstance(said.value, BadDeskFile)
    assert "upgrade" in (said.value.hint or "")


def test_a_name_is_one_thing() -> None:
    with pytest.raises(BadDeskFile, match="both"):
        read(queues__alice=QUEUE)


def test_who_reads_what() -> None:
    known = read(
        agents__alice=CARD | {"roles": ["admin"], "queues": ["info-en"]},
        agents__bob=CARD | {"queues": ["info-en"]},
        agents__rita=CARD | {"roles": ["reviewer"], "queues": ["info-en"]},
        agents__inbox=CARD | {"roles": ["intake"]},
        agents__gone=CARD | {"queues": ["info-en"], "dismissed": True},
        agents__post=CARD | {"roles": ["mailer"]},
        agents__recovery={"roles": ["recovery"], "recipient": CARD["recipient"]},
    )
    assert sorted(c.handle for c in known.readers("info-en")) == ["alice", "bob", "recovery"]
    assert sorted(c.handle for c in known.secret_holders()) == ["alice", "bob", "inbox", "recovery"]
    assert [c.handle for c in known.with_roles("intake")] == ["inbox"]
    assert known.queue_of_address("INFO-EN@Example.org") == known.queues["info-en"]
    assert known.queue_of_address("other@example.org") is None
    for ask in (known.card, known.queue):
        with pytest.raises(NotFound):
            ask("nobody")


@pytest.mark.parametrize(
    ("span", "seconds"), [("30m", 1800), ("24h", 86400), ("7d", 604800), ("2w", 1209600), ("0h", 0)]
)
def test_spans(span: str, seconds: int) -> None:
    assert roster.seconds(span) == seconds


@pytest.mark.parametrize("span", ["", "h", "1", "1 h", "-1h", "1.5h", "1H", "9999999h", "²h"])
def test_no_spans(span: str) -> None:
    with pytest.raises(ValueError):
        roster.seconds(span)


def test_system_ids_are_never_given_twice() -> None:
    """Those of dismissed cards are taken too; after 99 come three digits."""
    cards = {f"agents/a{i}.yaml": CARD | {"system_id": str(i)} for i in range(10, 100)}
    cards["agents/a50.yaml"] = cards["agents/a50.yaml"] | {"dismissed": True}
    full = roster.read({"desk.yaml": DESK, **cards})
    assert roster.free_system_id(full) == "100"
    del cards["agents/a50.yaml"]
    assert roster.free_system_id(roster.read({"desk.yaml": DESK, **cards})) == "50"


@pytest.mark.parametrize("name", ["", "A", "1a", "-a", "a b", "a/b", "a.b", "ä", "a" * 41, "a\n", "..", "a\0"])
def test_bad_names(name: str) -> None:
    with pytest.raises(VrtError):
        roster.check_name(name, "a queue")
