"""``--json``: a contract. The exact keys, their types, and null where the keys at hand do not open."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Person, copied, founded, mail

TICKET = {
    "number", "title", "queue", "state", "outcome", "owner", "lock", "priority", "tags", "requester", "created",
    "updated",
    "waiting_since", "due", "pending_until", "articles", "unverified", "undelivered", "draft", "links", "unread",
}  # fmt: skip
EVENT = {"id", "commit", "action", "agent", "time"}
MAIL = {
    "id", "ticket", "event", "action", "from", "to", "date", "received", "subject", "message_id", "original_sha256",
    "body",
}  # fmt: skip
NOTE = {"id", "ticket", "event", "action", "agent", "date", "body"}
TIMES = ("created", "updated", "waiting_since", "due", "pending_until", "lock", "time", "date", "received")

# ISO 8601 with a zone (RFC 3339).
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def assert_times(found: Any) -> None:
    """Fail where a time anywhere in ``found`` is not ISO 8601 with its zone."""
    if isinstance(found, list):
        for item in found:
            assert_times(item)
    elif isinstance(found, dict):
        for name, value in found.items():
            if name in TIMES and value is not None:
                assert _TIME.fullmatch(value), (name, value)
            assert_times(value)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> tuple[Person, str]:
    """A desk with a ticket in which much was said and done."""
    alice = founded(tmp_path_factory.mktemp("json"))
    files = {"bridge.jpg": b"\xff\xd8\xff"}
    n, _ = alice.receive(
        mail(
            "The bridge",
            "First.\n",
            id="<one@example.com>",
            files=files,
            cc="Max <max@example.com>",
            reply_to="jane@example.net",
        ),
        mail(
            "Re: The bridge",
            "Second.\n",
            id="<two@example.com>",
            in_reply_to="<one@example.com>",
            references="<one@example.com>",
        ),
    )
    alice.ok("take", n)
    alice.ok("tag", n, "+urgent", "+press")
    alice.ok("note", n, "-m", "Checked.")
    alice.ok("priority", n, "4")
    alice.ok("pend", n, "--until", "3d")
    return alice, n


def test_list(desk: tuple[Person, str]) -> None:
    alice, n = desk
    (found,) = alice.json("list")
    assert set(found) == TICKET
    assert_times(found)
    fixed = {k: v for k, v in found.items() if k not in TIMES}
    assert fixed == {
        "number": n, "title": "The bridge", "queue": "info-en", "state": "pending", "outcome": None, "owner": "alice",
        "priority": 4,
        "tags": ["press", "urgent"], "requester": "Jane Roe <jane@example.com>", "articles": 3, "unverified": 0,
        "undelivered": 0, "draft": False, "links": [], "unread": False,
    }  # fmt: skip
    assert all(found[name] for name in ("created", "updated", "waiting_since", "due", "pending_until", "lock"))
    assert alice.json("search", "bridge") == [found]
    assert alice.ok("--json", "list").json == [found]  # before the command, too
    assert alice.json("list", "state:closed") == []
    (n2,) = alice.receive(mail("Another"))
    other = next(t for t in alice.json("list") if t["number"] == n2)
    absent = {"outcome", "owner", "lock", "pending_until"}
    assert {name for name, value in other.items() if value is None} == absent and other["tags"] == []
    alice.ok("close", n2, "--outcome", "spam")


def test_show(desk: tuple[Person, str]) -> None:
    alice, n = desk
    found = alice.json("show", n)
    assert set(found) == TICKET | {"events", "articles"}
    assert_times(found)
    whole = alice.json("list", "owner:me")[0]
    assert found["articles"] != whole["articles"] == len(found["articles"])  # `list` counts them, `show` has them
    assert all(found[name] == whole[name] for name in TICKET - {"articles"})
    assert [e["action"] for e in found["events"]] == ["receive", "receive", "take", "tag", "note", "priority", "pend"]
    assert found["events"] == alice.json("trail", n)

    first, second, note = found["articles"]
    assert set(first) == MAIL | {"cc", "reply_to", "attachments", "authentication"}
    assert set(second) == MAIL | {"in_reply_to", "references", "follow_up"}
    assert set(note) == NOTE
    assert first["from"] == [{"name": "Jane Roe", "address": "jane@example.com"}]
    assert first["cc"] == [{"name": "Max", "address": "max@example.com"}]
    assert first["reply_to"] == [{"name": "", "address": "jane@example.net"}]
    assert (first["message_id"], first["subject"], first["body"]) == ("one@example.com", "The bridge", "First.")
    assert first["date"] == "2026-11-20T09:00:00+00:00"
    (file,) = first["attachments"]
    assert set(file) == {"name", "type", "size", "sha256"}
    assert (file["name"], file["type"], file["size"]) == ("bridge.jpg", "application/octet-stream", 3)
    assert (second["in_reply_to"], second["references"], second["follow_up"]) == (
        ["one@example.com"],
        ["one@example.com"],
        "references",
    )
    assert (note["body"], note["agent"], note["action"]) == ("Checked.", "alice", "note")
    for article, event in zip((first, second, note), (found["events"][i] for i in (0, 1, 4)), strict=True):
        assert article["id"] == article["event"] == event["id"] and article["ticket"] == n


def test_trail(desk: tuple[Person, str]) -> None:
    """An event has its trailers, in lower case, and nothing else."""
    alice, n = desk
    trail = alice.json("trail", n)
    more = [set(e) - EVENT for e in trail]
    assert all(set(e) >= EVENT for e in trail)
    assert more == [
        {"queue", "message-ref", "content-ref", "sender-ref"},
        {"follow-up", "message-ref", "content-ref", "sender-ref"},
        {"owner", "lock"}, {"tag"}, set(), {"priority"}, {"until"},
    ]  # fmt: skip
    assert [e["commit"] for e in trail] == alice.git(
        "log", "--format=%H", "--reverse", "--", "tickets"
    ).decode().split()[: len(trail)]
    assert {e["agent"] for e in trail} == {"alice"}
    assert trail[2]["owner"] == "alice" and trail[3]["tag"] == "+urgent +press" and trail[5]["priority"] == "4"


def test_commands_that_act_give_the_tickets_as_they_are_then(desk: tuple[Person, str]) -> None:
    alice, _ = desk
    a, b = alice.receive(mail("One"), mail("Two"))
    done = alice.json("close", b, a, "--outcome", "spam")
    assert [(t["number"], t["state"], t["outcome"]) for t in done] == [(b, "closed", "spam"), (a, "closed", "spam")]
    assert all(set(t) == TICKET for t in done)
    assert done[1] == alice.json("search", "subject:one")[0]
    (made,) = alice.json("new", "-q", "info-en", "-s", "By telephone", "-m", "She called.", "--take")
    assert set(made) == TICKET and (made["state"], made["owner"], made["requester"]) == ("open", "alice", "")
    alice.ok("close", made["number"], "--outcome", "successful")
    alice.ok("reopen", a)
    taken = alice.json("next")
    assert set(taken) == TICKET | {"events", "articles"} and taken["number"] == a and taken["owner"] == "alice"
    alice.ok("close", a, "--outcome", "spam")
    assert alice.json("next") is None


def test_the_other_reading_commands(desk: tuple[Person, str], tmp_path: Path) -> None:
    alice, n = desk
    (file,) = alice.json("attachments", n)
    assert set(file) == {"event", "name", "type", "size", "sha256"}
    status = alice.json("status")
    assert set(status) == {
        "desk",
        "path",
        "domain",
        "agent",
        "roles",
        "queues",
        "main",
        "keys",
        "place",
        "word",
        "root",
        "published",
        "unpublished",
        "identity",
        "signing_key",
    }
    assert set(status["queues"][0]) == {
        "queue", "mine", "owned", "new", "open", "pending", "due", "unread", "drafts", "unverified", "queued",
        "in_doubt", "failed", "oldest",
    }  # fmt: skip
    assert alice.json("tick") == {"closed": [], "freed": []}
    counts = alice.json("index")
    assert set(counts) == {"tickets", "events", "articles", "sealed", "bytes"}
    assert set(alice.json("verify")) == {
        "since", "events", "keys", "articles", "sealed", "absent", "unreadable", "breaches",
    }  # fmt: skip
    assert set(alice.json("maintain")) == {"before", "after"}
    queue = next(q for q in alice.json("queue", "list") if q["name"] == "info-en")
    assert set(queue) == {"name", "addresses", "language", "recipient", "epoch"}
    (me,) = alice.json("agent", "list", "--role", "admin")
    assert set(me) == {"handle", "roles", "recipient", "signing", "queues", "system_id"}
    assert set(alice.json("identity")) == {"recipient", "signing"}
    path = tmp_path / "a.eml"
    path.write_bytes(mail("Here"))
    got = alice.json("receive", str(path))
    assert set(got) == {"counts", "mails"} and got["counts"] == {
        "new": 1,
        "follow-up": 0,
        "unverified": 0,
        "duplicate": 0,
        "empty": 0,
    }
    assert set(got["mails"][0]) == {"label", "outcome", "ticket", "event", "queue", "defects"}
    assert alice.json("export", n, str(tmp_path / "out")) == [str(tmp_path / "out" / n)]
    assert alice.json("attachments", n, "--save", str(tmp_path / "files")) == [str(tmp_path / "files" / "bridge.jpg")]
    alice.ok("close", got["mails"][0]["ticket"], "--outcome", "spam")


def test_every_time_is_iso_8601(desk: tuple[Person, str]) -> None:
    """Since when the oldest ticket of a queue waits is a time like any other."""
    alice, _ = desk
    queue = next(q for q in alice.json("status")["queues"] if q["queue"] == "info-en")
    assert _TIME.fullmatch(str(queue["oldest"]))
    empty = next(q for q in alice.json("status")["queues"] if q["queue"] == "junk")
    assert empty["oldest"] is None


def test_what_does_not_open_is_null(alice: Person, colleague: Callable[..., Person]) -> None:
    """Bob is in another queue: he sees numbers, times and who did what, and nothing of what was said."""
    (n,) = alice.receive(mail("The bridge", files={"a.txt": b"a"}))
    alice.ok("note", n, "-m", "Between us.")
    bob = colleague("bob", "permissions-en")
    found = bob.json("show", n)
    assert set(found) == TICKET | {"events", "articles"}
    assert (found["title"], found["requester"]) == (None, None)
    assert (found["state"], found["queue"], found["owner"]) == ("new", "info-en", None)
    assert found["events"] == alice.json("show", n)["events"]
    received, noted = found["articles"]
    assert received["body"] is None and noted["body"] is None
    for article, event in zip((received, noted), found["events"], strict=True):
        assert article == {
            "id": event["id"],
            "ticket": n,
            "event": event["id"],
            "action": event["action"],
            "body": None,
        }
    (row,) = bob.json("list", "queue:info-en")
    assert row["title"] is None and row["requester"] is None and row["number"] == n and row["articles"] == 2
    assert bob.json("attachments", n) == [] and bob.json("search", "bridge") == []
    assert bob.json("search", "is:sealed")[0]["number"] == n
    assert bob.json("index")["sealed"] == 2 and bob.json("verify")["sealed"] == 2
    assert alice.desk is not None  # a clone without any card of its own says so instead
    eve = Person(alice.home.parent / "home-eve", copied(alice.desk, alice.home.parent / "desk-eve", "eve"))
    eve.ok("identity")
    assert eve.run("list", "--json").code == 5
