"""What belongs to which ticket, and what the desk agreed on, from the command line as people use it."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from conftest import Done, Person, copied, founded, mail

from vrt.cli import main

EVE = "Eve <eve@example.net>"


class Near(Person):
    """Somebody whose commands run in this process: many starts of vrt would take most of the time."""

    def run(self, *args: str, feed: bytes | str = b"", **more: Any) -> Done:
        assert not more
        stdin, out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(3))
        stdin.buffer.write(feed.encode() if isinstance(feed, str) else feed)
        stdin.buffer.seek(0)
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            for name in ("VRT_HOME", "XDG_RUNTIME_DIR", "TZ"):
                patch.setenv(name, self.env[name])
            patch.setattr("sys.stdin", stdin)
            with pytest.raises(SystemExit) as end:
                main([*([] if self.desk is None else ["-C", str(self.desk)]), *args])
        raw, said = (stream.buffer.getvalue() for stream in (out, err))
        return Done(int(str(end.value.code or 0)), raw.decode("utf-8", "replace"), said.decode(), raw)


def near(person: Person) -> Near:
    return Near(person.home, person.desk)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Near:
    """The founder of a desk; each test here has tickets of its own."""
    return near(founded(tmp_path_factory.mktemp("structure")))


@pytest.fixture
def alice(alice: Person) -> Near:
    """The founder of a desk of this test's own."""
    return near(alice)


@pytest.fixture(autouse=True)
def _lawful(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test the desk is lawful, and an index made anew says the same."""
    people = [request.getfixturevalue(n) for n in ("desk", "alice") if n in request.fixturenames]
    yield
    for person in people:
        done = person.run("verify", "--json")
        assert done.json["breaches"] == [], done.err
        before = state(person)
        person.ok("index", "--rebuild")
        assert state(person) == before


def state(person: Person) -> list[Any]:
    rows = person.json("list", "state:any")
    return [rows, [person.json("trail", t["number"]) for t in rows[-3:]]]


def take_in(person: Person, data: bytes) -> dict[str, Any]:
    return person.ok("receive", "--json", "-", feed=data).json["mails"][0]  # type: ignore[no-any-return]


def arrived(person: Person, data: bytes) -> tuple[str, str]:
    """Receive a mail; return what became of it and its ticket."""
    got = take_in(person, data)
    return got["outcome"], got["ticket"]


def doubted(person: Person, *bodies: str, subject: str = "The bridge", **more: str) -> tuple[str, list[str]]:
    """Make a ticket of Jane's with unverified mails of Eve's; return its number and the ids of those."""
    n = take_in(person, mail(subject))["ticket"]
    again = [take_in(person, mail(f"Re: [Ticket#{n}] {subject}", b, sender=EVE, **more)) for b in bodies]
    assert [(m["outcome"], m["ticket"]) for m in again] == [("unverified", n)] * len(bodies)
    return n, [m["event"] for m in again]


def refused(person: Person, code: int, said: str, *args: str, hint: str = "", feed: str = "") -> Done:
    """Run a command that must end with ``code`` and record nothing."""
    heads = person.git("rev-parse", "main", "keys")
    done = person.run(*args, feed=feed)
    assert done.code == code, f"exit {done.code}: {done.out}{done.err}"
    assert done.err.startswith("vrt: error: ") and said in done.err, done.err
    assert hint in done.err.partition("vrt: hint: ")[2], done.err
    assert "Traceback" not in done.err and done.out == ""
    assert person.git("rev-parse", "main", "keys") == heads
    return done


def actions(person: Person, ticket: str) -> list[str]:
    return [e["action"] for e in person.json("trail", ticket)]


# --- accept ---------------------------------------------------------------------------------------


def test_accept(desk: Person) -> None:
    n, (eve,) = doubted(desk, "me too")
    desk.ok("close", n, "-o", "successful")
    assert n in [t["number"] for t in desk.json("list")]  # closed, but somebody has to look
    done = desk.ok("accept", n)
    assert done.out.startswith(f"{n} accepted, open in info-en")
    found = desk.json("show", n)
    assert (found["state"], found["outcome"], found["unverified"]) == ("open", None, 0)
    assert found["waiting_since"] and found["events"][-1]["about"] == eve
    # Eve takes part from now on, by the number and by the ids of others.
    assert arrived(desk, mail(f"[Ticket#{n}] and now?", sender=EVE)) == ("follow-up", n)
    assert arrived(desk, mail(f"[Ticket#{n}] I too", sender="Mallory <m@example.net>")) == ("unverified", n)


def test_accept_several_at_once(desk: Person) -> None:
    n, ids = doubted(desk, "one", "two", "three")
    before = int(desk.git("rev-list", "--count", "main"))
    done = desk.json("accept", n, ids[0][-8:], ids[2], ids[0])  # by an end of its id, a whole id, and once more
    assert [(t["number"], t["unverified"], t["state"]) for t in done] == [(n, 1, "new")]
    assert int(desk.git("rev-list", "--count", "main")) == before + 2
    assert [e["about"] for e in desk.json("trail", n)[-2:]] == [ids[0], ids[2]]
    assert desk.json("accept", n)[0]["unverified"] == 0  # the only one needs no name


def test_accept_goes_wrong(desk: Person) -> None:
    n, ids = doubted(desk, "one", "two")
    first = desk.json("show", n)["articles"][0]["id"]
    refused(desk, 2, "2 mails in", "accept", n, hint=ids[0][-8:])
    refused(desk, 4, "no unverified mail", "accept", n, "deadbeef", hint=f"vrt show {n}")
    refused(desk, 4, "no unverified mail", "accept", n, first, hint=f"vrt show {n}")  # it is not in doubt
    refused(desk, 4, "no unverified mail", "accept", n, "")
    refused(desk, 4, "no unverified mail", "accept", n, "../../etc")
    # Of several all or none.
    refused(desk, 4, "no unverified mail", "accept", n, ids[0], "deadbeef")
    assert desk.json("show", n)["unverified"] == 2
    refused(desk, 4, "no ticket", "accept", "9999")
    refused(desk, 2, "no ticket number", "accept", "x")
    assert desk.run("accept").code == 2
    other = take_in(desk, mail("Another"))["ticket"]
    refused(desk, 4, "nothing in", "accept", other, hint=f"vrt show {other}")
    refused(desk, 4, "no unverified mail", "accept", doubted(desk, "x")[0], ids[0])
    desk.ok("accept", n, ids[0])
    refused(desk, 4, "no unverified mail", "accept", n, ids[0])


def test_text_from_the_shell_is_shown_safely(desk: Person) -> None:
    n, _ = doubted(desk, "one")
    other, _ = doubted(desk, "one")
    for command, *last in (("accept",), ("split",), ("move", other)):
        done = refused(desk, 4, "ends in", command, n, "\x1b]0;owned\x07\u202e", *last)
        assert "\x1b" not in done.err and "\u202e" not in done.err


def test_accept_or_split_hinders_nobody_who_works_on_it(
    alice: Person, colleague: Callable[..., Person], tmp_path: Path
) -> None:
    n, ids = doubted(alice, "one", "two")
    alice.ok("take", n)
    bob = colleague("bob", "info-en")
    bob.ok("accept", n, ids[0])
    (new,) = bob.json("split", n)
    assert (bob.json("show", n)["owner"], new["owner"]) == ("alice", None)
    into = take_in(bob, mail("Another"))["ticket"]
    refused(bob, 6, "alice works on", "merge", n, into, hint="--force")
    (done,) = bob.json("merge", n, into, "--force")
    assert (done["state"], bob.json("trail", n)[-1]["force"]) == ("merged", "yes")
    assert bob.json("verify")["breaches"] == []


# --- split ----------------------------------------------------------------------------------------


def test_split(desk: Person) -> None:
    n = take_in(desk, mail("The bridge"))["ticket"]
    files = {"plan.bin": b"\0\1\2"}
    raw = mail(
        f"AW: [Ticket#{n}] A word", "quite another matter\n", sender=EVE, id="<s1@example.net>", files=files,
        reply_to="office@example.net",
    ).replace(b"\n", b"\r\n")  # fmt: skip
    assert arrived(desk, raw) == ("unverified", n)
    desk.ok("close", n, "-o", "successful")
    first = desk.json("show", n)
    done = desk.ok("split", n)
    new = done.out.split()[0]
    assert done.out.startswith(f"{new} new in info-en") and new != n
    found, old = desk.json("show", new), desk.json("show", n)
    assert (found["state"], found["requester"], found["articles"][0]["body"]) == (
        "new", "Eve <eve@example.net>", "quite another matter",
    )  # fmt: skip
    (article,) = found["articles"]
    assert article["moved_from"] == n and "unverified" not in article and "follow_up" not in article
    assert article["attachments"] == first["articles"][1]["attachments"]
    assert article["received"] == first["articles"][1]["received"]
    assert article["original_sha256"] == hashlib.sha256(raw).hexdigest()
    assert desk.ok("raw", new).raw == raw == desk.ok("raw", n, first["articles"][1]["id"]).raw
    # The old ticket keeps what came, and its state.
    assert (old["state"], old["unverified"], old["articles"]) == ("closed", 0, first["articles"])
    assert old["events"][-1]["into"] == new
    assert [t["number"] for t in desk.json("search", '"another matter"', f"state:{found['state']}")] == [new]
    # What answers the moved mail goes where it went, whoever of its two senders writes.
    for sender in (EVE, "office@example.net"):
        reply = mail("Re: A word", "more", sender=sender, in_reply_to="<s1@example.net>")
        assert arrived(desk, reply) == ("follow-up", new)
    reply = mail("Re: A word", "and I", references="<s1@example.net>", sender="Mallory <m@example.net>")
    assert arrived(desk, reply) == ("unverified", new)
    # By the number of the old ticket Eve is a stranger as before; its requester is not.
    assert arrived(desk, mail(f"[Ticket#{n}]", "again", sender=EVE)) == ("unverified", n)
    assert arrived(desk, mail(f"[Ticket#{n}]", "again")) == ("follow-up", n)
    assert arrived(desk, raw)[0] == "duplicate"


def test_split_several_at_once(desk: Person) -> None:
    n, ids = doubted(desk, "one", "two", "three")
    before = int(desk.git("rev-list", "--count", "keys"))
    done = desk.json("split", n, ids[2][-8:], ids[0][-8:])
    assert len({t["number"] for t in done}) == 2 and int(desk.git("rev-list", "--count", "keys")) == before + 1
    bodies = [desk.json("show", t["number"])["articles"][0]["body"] for t in done]
    assert bodies == ["three", "one"]  # in the order in which they were named
    assert actions(desk, n)[-2:] == ["move", "move"] and desk.json("show", n)["unverified"] == 1
    # Split off, accepted, and split off again: all is told by the trail.
    desk.ok("accept", n)
    refused(desk, 4, "nothing in", "split", n)


def test_split_goes_wrong(desk: Person) -> None:
    n, ids = doubted(desk, "one", "two")
    refused(desk, 2, "2 mails in", "split", n, hint=ids[1][-8:])
    refused(desk, 4, "no article", "split", n, "deadbeef", hint=f"vrt show {n}")
    refused(desk, 4, "no article", "split", n, ids[0], "deadbeef")
    refused(desk, 4, "no ticket", "split", "9999")
    desk.ok("split", n, ids[0])
    refused(desk, 6, "went to", "split", n, ids[0], hint="vrt show")
    refused(desk, 4, "no unverified mail", "accept", n, ids[0])


def test_whom_a_forged_mail_names_is_no_party_of_what_it_is_split_into(desk: Person) -> None:
    """As with a forged mail that begins a ticket: Jane did not write it, so what she writes is no answer to it."""
    desk.ok("desk", "set", "--authserv", "mx.example.org")
    n = take_in(desk, mail("The bridge"))["ticket"]
    results = "mx.example.org; dmarc=fail header.from=example.com"
    forged = mail(f"[Ticket#{n}] pay here", id="<f1@example.com>", authentication_results=results)
    assert arrived(desk, forged) == ("unverified", n)
    (new,) = desk.json("split", n)
    assert "sender-ref" not in desk.json("trail", new["number"])[0]
    assert arrived(desk, mail(f"[Ticket#{new['number']}] what is this?")) == ("unverified", new["number"])


def test_split_of_a_merged_ticket(desk: Person) -> None:
    n, ids = doubted(desk, "one", "two")
    into = take_in(desk, mail("Goal"))["ticket"]
    desk.ok("merge", n, into)
    assert n in [t["number"] for t in desk.json("list")]  # merged, but two mails are to be judged
    (new,) = desk.json("split", n, ids[0])
    assert (new["queue"], new["state"]) == ("info-en", "new")
    (kept,) = desk.json("accept", n)
    assert (kept["state"], kept["unverified"]) == ("merged", 0)
    # Whom one accepts there takes part in what it was merged into.
    assert arrived(desk, mail(f"[Ticket#{n}] I again", sender=EVE)) == ("follow-up", into)


# --- merge, unmerge -------------------------------------------------------------------------------


def test_merge(desk: Person) -> None:
    first, second, goal = desk.receive(
        mail("Lost key", id="<m1@example.com>"), mail("Lost key again", id="<m2@example.net>", sender=EVE),
        mail("Keys", id="<m3@example.org>", sender="Zoe <zoe@example.org>"),
    )  # fmt: skip
    desk.ok("take", first)
    done = desk.ok("merge", first, second, first, goal)
    assert [row.split()[:4] for row in done.out.splitlines()] == [[n, "merged", "into", goal] for n in (first, second)]
    for n in (first, second):
        found = desk.json("show", n)
        assert (found["state"], found["waiting_since"], found["lock"]) == ("merged", None, None)
        assert n not in [t["number"] for t in desk.json("list")]
        assert f"merged into {goal}" in desk.ok("show", n).out
    assert {t["number"] for t in desk.json("list", "state:merged")} >= {first, second}
    # By the number and by the ids of others, of all three who wrote, to any of the tickets.
    desk.ok("close", goal, "-o", "successful")
    assert arrived(desk, mail(f"Re: [Ticket#{first}] Lost key", "found")) == ("follow-up", goal)
    assert desk.json("show", goal)["state"] == "open"
    for data in (
        mail("Re: Lost key", "2", in_reply_to="<m1@example.com>"),
        mail("Re: Lost key again", "3", references="<m2@example.net>", sender=EVE),
        mail(f"[Ticket#{second}]", "4", sender=EVE),
        mail(f"[Ticket#{second}]", "5", sender="Zoe <zoe@example.org>"),
        mail("Re: Lost key", "6", in_reply_to="<m1@example.com>", sender="Zoe <zoe@example.org>"),
        mail("Re: Keys", "7", in_reply_to="<m3@example.org>", sender="Zoe <zoe@example.org>"),
        mail(f"[Ticket#{goal}]", "8"),
        mail(f"[Ticket#{goal}]", "9", sender=EVE),
    ):
        assert arrived(desk, data) == ("follow-up", goal), data
    stranger = mail(f"[Ticket#{first}]", "10", sender="Mallory <m@example.net>")
    assert arrived(desk, stranger) == ("unverified", goal)
    assert [desk.json("show", n)["articles"][-1]["id"] for n in (first, second)] == [
        desk.json("show", n)["articles"][0]["id"] for n in (first, second)
    ]


def test_merge_of_merged_tickets_is_followed_to_the_end(desk: Person) -> None:
    a, b, c = desk.receive(mail("A"), mail("B", sender=EVE), mail("C", sender="Zoe <zoe@example.org>"))
    desk.ok("merge", a, b)
    desk.ok("merge", b, c)
    assert arrived(desk, mail(f"[Ticket#{a}] on")) == ("follow-up", c)
    assert arrived(desk, mail(f"[Ticket#{a}] on", sender="Mallory <m@example.net>")) == ("unverified", c)
    (parted,) = desk.json("unmerge", b)
    assert (parted["state"], parted["waiting_since"] is None) == ("open", False)
    assert arrived(desk, mail(f"[Ticket#{a}] and on")) == ("follow-up", b)
    assert desk.ok("unmerge", a).out.startswith(f"{a} open in info-en")
    assert arrived(desk, mail(f"[Ticket#{a}] at home")) == ("follow-up", a)


def test_merge_goes_wrong(desk: Person) -> None:
    a, b, goal = desk.receive(mail("A"), mail("B"), mail("Goal"))
    refused(desk, 2, "takes tickets and the one", "merge", a, hint="vrt merge N... INTO")
    refused(desk, 2, "into itself", "merge", a, b, a, hint="vrt merge")
    refused(desk, 2, "into itself", "merge", goal, goal)
    refused(desk, 4, "no ticket", "merge", a, "9999")
    refused(desk, 4, "no ticket", "merge", "9999", goal)
    refused(desk, 6, "is new", "unmerge", a, hint="vrt show ")
    desk.ok("merge", a, goal)
    refused(desk, 6, f"merged into {goal} already", "merge", a, b, hint=f"vrt unmerge {a}")
    refused(desk, 6, f"merged into {goal} already", "merge", b, a, goal, hint=f"vrt unmerge {a}")  # all or none
    refused(desk, 6, f"{a} is merged into {goal}", "merge", b, a, hint=goal)
    refused(desk, 6, f"{a} is merged into {goal}", "merge", goal, a, hint=goal)  # no ring
    assert desk.json("show", b)["state"] == "new"
    for act in (
        ["take", a], ["note", a, "-m", "x"], ["close", a, "-o", "spam"], ["reopen", a], ["tag", a, "+legal"],
        ["route", a, "permissions-en"], ["priority", a, "1"], ["pend", a, "--until", "2w"],
    ):  # fmt: skip
        refused(desk, 6, "is merged", *act, hint="vrt show ")
    desk.ok("unmerge", a)
    refused(desk, 6, "is open", "unmerge", a)


def test_merge_of_closed_tickets(desk: Person) -> None:
    a, goal = desk.receive(mail("A"), mail("Goal", sender=EVE))
    desk.ok("close", a, "-o", "successful")
    (done,) = desk.json("merge", a, goal)
    assert (done["state"], done["outcome"]) == ("merged", "successful")
    assert arrived(desk, mail(f"[Ticket#{a}] but")) == ("follow-up", goal)
    (parted,) = desk.json("unmerge", a)  # as it was
    assert (parted["state"], parted["outcome"], parted["waiting_since"]) == ("closed", "successful", None)


# --- queues ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Alice in both queues, bob in info-en alone; a ticket in each, with an unverified mail."""
    folder = tmp_path_factory.mktemp("office")
    alice, bob = near(founded(folder)), Near(folder / "home-bob")
    (folder / "bob.yaml").write_text(bob.ok("identity").out)
    card = ["--card", str(folder / "bob.yaml"), "--role", "agent", "--agreed", "2026-11-01", "--queue", "info-en"]
    alice.ok("agent", "add", "bob", *card)
    here, _ = doubted(alice, "me too")
    there, _ = doubted(alice, "me too", subject="May I?", to="info-en@example.org")
    alice.ok("route", there, "permissions-en")
    assert alice.desk is not None
    bob.desk = copied(alice.desk, folder / "desk-bob", "bob")
    return {"alice": alice, "bob": bob, "here": here, "there": there}


def test_a_foreign_queue_is_left_alone(office: dict[str, Any]) -> None:
    bob, here, there = office["bob"], office["here"], office["there"]
    for act in (["accept", there], ["split", there], ["merge", there, here], ["merge", here, there]):
        refused(bob, 5, "bob is not in the queue permissions-en", *act, hint="vrt agent list")
    assert bob.json("verify")["breaches"] == []


def test_what_is_merged_into_another_queue_is_read_there(office: dict[str, Any], tmp_path: Path) -> None:
    """Who answers there has to read what was said here; bob reads the ticket that came from permissions-en."""
    alice = Near(office["alice"].home, tmp_path / "desk")
    shutil.copytree(office["alice"].desk, tmp_path / "desk")
    n = take_in(alice, mail("Loan of a plane", "the fee", to="permissions-en@example.org", sender=EVE))["ticket"]
    alice.ok("merge", n, office["here"])
    bob = Near(office["bob"].home, copied(tmp_path / "desk", tmp_path / "desk-bob", "bob"))
    assert bob.json("show", n)["articles"][0]["body"] == "the fee"
    refused(bob, 5, "bob is not in the queue permissions-en", "unmerge", n, hint="vrt agent list")
    assert arrived(bob, mail(f"[Ticket#{n}] well?", sender=EVE)) == ("follow-up", office["here"])
    for person in (alice, bob):
        assert person.json("verify")["breaches"] == []


def test_nodes_and_reviewers_change_no_structure(alice: Person, colleague: Callable[..., Person]) -> None:
    n, _ = doubted(alice, "me too")
    other = take_in(alice, mail("Another"))["ticket"]
    for handle, role in (("inbox", "intake"), ("rita", "reviewer")):
        person = colleague(handle, role=role)
        for act in (["accept", n], ["merge", n, other]):
            refused(person, 5, "needs one of the roles admin, agent", *act)
        refused(person, 5, "", "split", n)
        refused(person, 5, f"{handle} is no admin", "desk", "set", "--name", "Mine", hint="vrt agent list")


# --- the desk's settings --------------------------------------------------------------------------


def test_desk_show_and_set(alice: Person) -> None:
    shown = alice.json("desk", "show")
    assert (shown["name"], shown["authserv"], shown["spam_filter"]) == ("Example VRT", [], [])
    assert shown["limits"] == {"message_bytes": 25 << 20, "auto_replies_a_day": 40}
    done = alice.json(
        "desk", "set", "--authserv", "mx.example.org", "--authserv", "mx2.example.org", "--spam-filter", "rspamd",
        "--message-bytes", "10M", "--auto-replies-a-day", "0", "--name", "Räte & Co.",
    )  # fmt: skip
    assert done == alice.json("desk", "show")
    assert (done["authserv"], done["spam_filter"]) == (["mx.example.org", "mx2.example.org"], ["rspamd"])
    assert (done["limits"], done["name"]) == ({"message_bytes": 10 << 20, "auto_replies_a_day": 0}, "Räte & Co.")
    assert "name: Räte & Co." in alice.ok("desk", "show").out
    # One thing more changes only that; --none takes back.
    alice.ok("desk", "set", "--message-bytes", "500k", "--none", "authserv", "--none", "spam-filter")
    after = alice.json("desk", "show")
    assert (after["limits"]["message_bytes"], after["limits"]["auto_replies_a_day"]) == (500 << 10, 0)
    assert (after["authserv"], after["spam_filter"], after["name"]) == ([], [], "Räte & Co.")
    log = alice.git("log", "-1", "--format=%G? %an %s", "--name-only", "main").decode().split("\n")
    assert log == ["G alice desk-set", "", "desk.yaml", ""]


def test_settings_that_are_none(alice: Person) -> None:
    for args in (
        [], ["--name", "Example VRT"], ["--none", "authserv"], ["--message-bytes", "25M"], ["--message-bytes", "much"],
        ["--message-bytes", "-1"], ["--message-bytes", "3G"], ["--message-bytes", "1"], ["--message-bytes", "٣M"],
        ["--auto-replies-a-day", "-1"], ["--auto-replies-a-day", "x"], ["--spam-filter", "mallory"],
        ["--none", "name"], ["--name", "two\nlines"], ["--name", "\x1b[31mred"], ["--name", "x" * 500],
        ["--authserv", "mx example"], ["--authserv", "mx.example.org;"], ["--authserv", ""],
        ["--authserv", "mx\x1b[31m"], ["--name", " "], ["--name", ""],
    ):  # fmt: skip
        heads = alice.git("rev-parse", "main", "keys")
        done = alice.run("desk", "set", *args)
        assert done.code == 2 and "\x1b" not in done.err and "Traceback" not in done.err, (args, done)
        assert alice.git("rev-parse", "main", "keys") == heads


# --- the rules ------------------------------------------------------------------------------------

RULES = """\
rules:
  - name: lawyers
    if: {from: [lawyer@example.com]}
    then: {queue: permissions-en, priority: 5, tags: [legal]}
  - name: seo
    if: {subject: [first page of search]}
    then: {junk: yes}
"""


def test_rules(alice: Person, tmp_path: Path) -> None:
    assert "no intake rules" in alice.ok("rules", "show").err and alice.ok("rules", "show").out == ""
    (tmp_path / "rules.yaml").write_text(RULES)
    assert alice.ok("rules", "edit", "-F", str(tmp_path / "rules.yaml")).out == "2 rules from now on\n"
    assert alice.ok("rules", "show").out == RULES
    assert [r["name"] for r in alice.json("rules", "show")["rules"]] == ["lawyers", "seo"]
    lawyer = mail("A claim", sender="Lee <lawyer@example.com>")
    spam = mail("Be on the first page of search")
    for name, raw in (("a.eml", lawyer), ("b.eml", spam)):
        (tmp_path / name).write_bytes(raw)
    tried = alice.json("rules", "test", str(tmp_path / "a.eml"), str(tmp_path / "b.eml"))
    assert [(t["queue"], t["priority"], t["tags"]) for t in tried] == [
        ("permissions-en", 5, ["legal"]), ("junk", 3, []),
    ]  # fmt: skip
    assert [[r["fired"] for r in t["rules"]] for t in tried] == [[True, False], [False, True]]
    said = alice.ok("rules", "test", str(tmp_path / "a.eml")).out
    assert "lawyers: fires" in said and "goes to permissions-en, priority 5, +legal" in said
    assert alice.json("list", "state:any") == []  # trying takes nothing in
    found = [alice.json("show", n) for n in alice.receive(lawyer, spam)]
    assert [(t["queue"], t["priority"], t["tags"]) for t in found] == [
        ("permissions-en", 5, ["legal"]), ("junk", 3, []),
    ]  # fmt: skip
    # Others than the desk's are only tried.
    (tmp_path / "new.yaml").write_text("rules: [{name: all, if: always, then: {queue: junk}}]\n")
    tried = alice.json("rules", "test", "--rules", str(tmp_path / "new.yaml"), str(tmp_path / "a.eml"))
    assert tried[0]["queue"] == "junk" and alice.ok("rules", "show").out == RULES
    # Nothing of them can be read from the outside.
    stored = b"".join(alice.git("log", "-p", "--all", "--no-textconv", "--binary").splitlines())
    assert b"lawyer" not in stored and b"first page" not in stored


def test_rules_are_changed_and_taken_back(alice: Person) -> None:
    alice.ok("rules", "edit", "-F", "-", feed=RULES)
    alice.ok("rules", "edit", "-F", "-", feed="rules: [{name: all, if: always, then: {queue: junk}}]\n")
    assert arrived(alice, mail("x", sender="lawyer@example.com"))[0] == "new"
    assert alice.json("list", "queue:junk", "state:any")[0]["priority"] == 3
    assert alice.ok("rules", "edit", "-F", "-", feed="rules: []\n").out == "0 rules from now on\n"
    assert arrived(alice, mail("y", sender="lawyer@example.com"))[0] == "new"
    assert {t["queue"] for t in alice.json("list", "state:any", "subject:y")} == {"info-en"}
    alice.ok("rules", "edit", "-F", "-", feed=RULES)  # as they were once: a new event, new keys
    assert alice.ok("rules", "show").out == RULES
    assert len(alice.git("ls-tree", "--name-only", "keys:rules").split()) == 4 * 2  # to alice and the recovery card


def test_rules_go_wrong(alice: Person, tmp_path: Path) -> None:
    for code, said, text in (
        (2, "the list of rules is not", "- name: x\n"),
        (2, "the rules: ", "rules: [{name: x, if: always, then: {queu: junk}}]"),
        (4, "no queue named nowhere", "rules: [{name: x, if: always, then: {queue: nowhere}}]"),
        (4, "no tag jane-doe", "rules: [{name: x, if: always, then: {tags: [jane-doe]}}]"),
        (2, "empty", "\n"),
    ):
        refused(alice, code, said, "rules", "edit", "-F", "-", feed=text)
    for bad in ("a: [", "\t- x", "rules: &a [*a]", "\x1b[31m: 1"):
        done = alice.run("rules", "edit", "-F", "-", feed=bad)
        assert done.code == 2 and "Traceback" not in done.err and "\x1b" not in done.err, done.err
    alice.ok("rules", "edit", "-F", "-", feed=RULES)
    refused(alice, 2, "like that already", "rules", "edit", "-F", "-", feed=f"\n{RULES}\n", hint="vrt rules show")
    refused(alice, 2, "No such file", "rules", "test", str(tmp_path / "none.eml"))
    refused(alice, 2, "no terminal", "rules", "edit")


def test_rules_are_for_admins_and_intake(alice: Person, colleague: Callable[..., Person]) -> None:
    alice.ok("rules", "edit", "-F", "-", feed=RULES)
    bob, inbox = colleague("bob", "info-en"), colleague("inbox", role="intake")
    assert inbox.ok("rules", "show").out == RULES  # admitted later, and given them
    for args in (["rules", "show"], ["rules", "test", "x.eml"], ["rules", "edit", "-F", "-"]):
        refused(bob, 5, "", *args, feed=RULES, hint="vrt agent list")
    refused(inbox, 5, "inbox is no admin", "rules", "edit", "-F", "-", feed="rules: []\n")
    got = take_in(inbox, mail("A claim", sender="Lee <lawyer@example.com>"))
    assert got["queue"] == "permissions-en"
    assert inbox.json("show", got["ticket"])["articles"][0]["body"] is None  # it follows rules, and reads nothing
    # An agent who receives mail goes by addresses alone, and says so.
    done = bob.ok("receive", "-", feed=mail("A claim", sender="Lee <lawyer@example.com>", id="<l2@example.com>"))
    assert "in info-en" in done.out and "cannot read" in done.err


def test_json_of_a_split_is_the_tickets(desk: Person) -> None:
    """The keys are those of ``list --json``: a contract."""
    n, _ = doubted(desk, "one")
    for args in (["split", n], ["merge", n, take_in(desk, mail("Goal"))["ticket"]], ["unmerge", n]):
        (done,) = json.loads(desk.ok("--json", *args).out)
        assert set(done) == set(desk.json("list", "state:any")[0])
