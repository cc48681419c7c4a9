"""Mail that goes to another ticket, links, and what merging and routing let others read; and what is forged of it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from conftest import Person, copied, founded, mail
from test_follow_up import looking
from test_law import REF, Case, Forger, Office, admit, forger, noise, number, place, register, verified
from test_law_mail import accept, answer, came, doubtful, event_of, events, merge, merged, move
from test_structure import EVE, Near, actions, arrived, doubted, near, refused, take_in

from vrt import acts, law, ledger, structure
from vrt.desk import Desk
from vrt.law.events import EMPTY_BLOB
from vrt.model import ADMIN, AGENT, Card, DeskConfig, Event, Queue, Ticket
from vrt.roster import Roster
from vrt.storage.index import Article, Entry, advance

__all__ = ["forger"]  # a fixture

ZOE = "Zoe <zoe@example.org>"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Near:
    """The founder of a desk; each test here has tickets of its own."""
    return near(founded(tmp_path_factory.mktemp("structure2")))


@pytest.fixture(autouse=True)
def _lawful(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test the desk is lawful, and an index made anew says the same."""
    yield
    if "desk" not in request.fixturenames:
        return
    person = request.getfixturevalue("desk")
    assert person.run("verify", "--json").json["breaches"] == []
    with looking(person) as seen:
        before = whole(seen)
        seen.rebuild_index()
        assert whole(seen) == before


def whole(seen: Desk) -> list[Any]:
    tickets = seen.index.tickets("1", [])
    return [(t, seen.index.events(t.number), seen.index.articles(t.number)) for t in tickets]


def ticket(person: Person, wanted: str) -> Ticket:
    with looking(person) as seen:
        return seen.ticket(wanted)


def said(person: Person, wanted: str) -> list[Article]:
    with looking(person) as seen:
        return seen.index.articles(wanted)


def record(person: Person, action: str, wanted: str, facts: dict[str, str], original: bytes = b"") -> str:
    """Record an event as another program may, by the law alone; return its id."""
    with looking(person) as seen, seen.recording() as (write, entries):
        before = seen.index.ticket(wanted)
        event = seen.event(action, wanted, facts)
        acts.check(seen, before, event)
        if ledger.ACTIONS[action].files:
            front = {"subject": "x"} | ({"original_sha256": hashlib.sha256(original).hexdigest()} if original else {})
            entries.append(acts.say(seen, write, before, event, front, "words", None, original))
        else:
            commit, _ = write.add(event, dict.fromkeys(ledger.paths(event), b""))
            event = event._replace(commit=commit)
            entries.append(Entry(event, advance(before, event, None)))
    return event.id


def follow_up(person: Person, wanted: str, body: str = "more", **more: Any) -> str:
    """Receive a proven follow-up and return its event."""
    got = take_in(person, mail(f"Re: [Ticket#{wanted}]", body, **more))
    assert (got["outcome"], got["ticket"]) == ("follow-up", wanted)
    return str(got["event"])


# --- move -----------------------------------------------------------------------------------------


def test_move(desk: Near) -> None:
    """Jane wrote about her second matter under the number of the first."""
    n, m = desk.receive(mail("The bridge"), mail("Opening hours", sender=ZOE))
    desk.ok("close", m, "-o", "successful")
    raw = mail(f"Re: [Ticket#{n}] hours", "on Sunday?\n", id="<h1@example.com>", files={"plan.bin": b"\0\1"})
    raw = raw.replace(b"\n", b"\r\n")
    got = take_in(desk, raw)
    assert (got["outcome"], got["ticket"]) == ("follow-up", n)
    before = desk.json("show", n)
    done = desk.ok("move", n, got["event"][-8:], m)
    assert done.out.startswith(f"{m} has it now, open in info-en"), done.out
    there, here = desk.json("show", m), desk.json("show", n)
    article = there["articles"][-1]
    assert (there["outcome"], there["waiting_since"] is None, article["body"]) == (None, False, "on Sunday?")
    assert (article["moved_from"], "follow_up" in article) == (n, False)
    assert article["attachments"] == before["articles"][-1]["attachments"]
    assert desk.ok("raw", m, article["id"]).raw == raw == desk.ok("raw", n, got["event"]).raw
    assert here["articles"] == before["articles"]  # it was said there, and that stays
    assert [here["events"][-1][name] for name in ("action", "into", "about")] == ["move", m, got["event"]]
    assert f"moved to {m}" in desk.ok("show", n).out
    # What answers it goes where it went; Jane takes part there by it, and here by her first mail.
    assert arrived(desk, mail("Re: hours", "well?", in_reply_to="<h1@example.com>", sender=ZOE)) == ("follow-up", m)
    assert arrived(desk, mail(f"[Ticket#{m}]", "I am Jane")) == ("follow-up", m)
    assert arrived(desk, mail(f"[Ticket#{n}]", "still I")) == ("follow-up", n)
    assert arrived(desk, raw)[0] == "duplicate"


def test_whose_mail_went_takes_part_no_more(desk: Near) -> None:
    """Eve's mail was accepted on the wrong ticket; a second one was not even that."""
    n, (first, second) = doubted(desk, "about the loan", "and its fee")
    m = take_in(desk, mail("A loan", sender=ZOE))["ticket"]
    desk.ok("accept", n, first)
    follow_up(desk, n, "by Eve", sender=EVE)
    third = said(desk, n)[-1].event.id
    desk.ok("move", n, first, second, third, m)
    assert [a.body for a in said(desk, m)][1:] == ["about the loan", "and its fee", "by Eve"]
    assert (actions(desk, n)[-3:], ticket(desk, n).unverified) == (["move"] * 3, ())
    assert arrived(desk, mail(f"[Ticket#{m}]", "here?", sender=EVE)) == ("follow-up", m)
    assert arrived(desk, mail(f"[Ticket#{n}]", "or here?", sender=EVE)) == ("unverified", n)


def test_whom_a_forged_mail_names_takes_part_only_once_it_is_accepted(desk: Near) -> None:
    desk.ok("desk", "set", "--authserv", "mx.example.org")
    n, m = desk.receive(mail("The bridge"), mail("Goal", sender=ZOE))
    for body in ("one", "two"):
        results = "mx.example.org; dmarc=fail header.from=example.com"
        assert arrived(desk, mail(f"[Ticket#{n}]", body, authentication_results=results)) == ("unverified", n)
    one, two = ticket(desk, n).unverified
    desk.ok("move", n, one, m)
    assert "Sender-Ref" not in said(desk, m)[-1].event.trailers
    assert arrived(desk, mail(f"[Ticket#{m}]", "who is that?")) == ("unverified", m)
    moved = said(desk, m)[1].event.id
    o = take_in(desk, mail("Further", sender=ZOE))["ticket"]
    desk.ok("move", m, moved, o)  # and so it is wherever it goes
    assert "Sender-Ref" not in said(desk, o)[-1].event.trailers
    desk.ok("accept", n, two)
    desk.ok("move", n, two, o)
    assert "Sender-Ref" in said(desk, o)[-1].event.trailers
    desk.ok("desk", "set", "--none", "authserv")


def test_who_sends_a_report_is_no_party_of_what_it_is_split_into(desk: Near) -> None:
    n = take_in(desk, mail("The bridge"))["ticket"]
    report = (
        b"From: MAILER-DAEMON@example.net\nTo: info-en@example.org\nSubject: failed [Ticket#%s]\n"
        b"Message-ID: <b1@example.net>\nMIME-Version: 1.0\n"
        b'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\n\n'
        b"--b\nContent-Type: text/plain\n\nnot delivered\n--b\nContent-Type: message/delivery-status\n\n"
        b"Reporting-MTA: dns; mx.example.net\n\nFinal-Recipient: rfc822; x@example.net\nAction: failed\n"
        b"Status: 5.1.1\n\n--b--\n"
    ) % n.encode()
    assert arrived(desk, report) == ("unverified", n)
    (new,) = desk.json("split", n)
    assert "sender-ref" not in desk.json("trail", new["number"])[0]


def test_move_to_and_fro(desk: Near) -> None:
    n, m = desk.receive(mail("A", id="<a1@example.com>"), mail("B", sender=ZOE))
    first = follow_up(desk, n, id="<a2@example.com>")
    desk.ok("move", n, first, m)
    second = said(desk, m)[-1].event.id
    desk.ok("move", m, second, n)
    assert [e["action"] for e in desk.json("trail", n)] == ["receive", "receive", "move", "moved"]
    assert arrived(desk, mail("Re: A", in_reply_to="<a2@example.com>")) == ("follow-up", n)
    assert arrived(desk, mail(f"[Ticket#{m}]", "is this mine?")) == ("unverified", m)
    refused(desk, 6, f"went to {m} before", "move", n, first, m, hint=f"vrt show {m}")
    refused(desk, 6, f"went to {n} before", "split", m, second, hint=f"vrt show {n}")


def test_move_into_a_merged_ticket(desk: Near) -> None:
    n, m, goal = desk.receive(mail("A"), mail("B", sender=ZOE), mail("C", sender=EVE))
    desk.ok("merge", m, goal)
    desk.ok("close", goal, "-o", "successful")
    one = follow_up(desk, n)
    done = desk.ok("move", n, one, m)
    assert done.out.startswith(f"{goal} has it now, open in info-en, which {m} is merged into")
    # And out of a merged ticket: it is the source that keeps its state.
    two = follow_up(desk, n, "again")
    other = take_in(desk, mail("D"))["ticket"]
    desk.ok("merge", n, other)
    desk.ok("move", n, two, goal)
    assert (ticket(desk, n).state, said(desk, goal)[-1].body) == ("merged", "again")
    refused(desk, 2, "already", "move", goal, said(desk, goal)[-1].event.id, m)


def test_move_goes_wrong(desk: Near) -> None:
    n, m = desk.receive(mail("A"), mail("B", sender=ZOE))
    desk.ok("note", n, "-m", "a thought")
    first, note = (a.event.id for a in said(desk, n))
    good = follow_up(desk, n)
    refused(desk, 2, "was written here (note)", "move", n, note, m)
    refused(desk, 2, f"{n} began with", "move", n, first, m, hint=f"vrt merge {n}")
    refused(desk, 2, f"{n} began with", "split", n, first)
    refused(desk, 2, "already", "move", n, good, n)
    refused(desk, 2, "was written here (note)", "move", n, good, note, m)  # all or none
    for name in ("deadbeef", "", "../..", f"{good} ", said(desk, m)[0].event.id):
        refused(desk, 4, "no article in", "move", n, name, m)
    refused(desk, 4, "no ticket", "move", n, good, "9999")
    refused(desk, 4, "no ticket", "move", "9999", good, m)
    assert desk.run("move", n, m).code == 2


def test_split_of_a_verified_mail(desk: Near) -> None:
    n = take_in(desk, mail("The bridge"))["ticket"]
    id = follow_up(desk, n, "another matter", id="<v1@example.com>")
    (new,) = desk.json("split", n, id)
    assert (new["state"], new["requester"]) == ("new", "Jane Roe <jane@example.com>")
    assert [a.body for a in said(desk, new["number"])] == ["another matter"]
    assert arrived(desk, mail("Re: it", in_reply_to="<v1@example.com>")) == ("follow-up", new["number"])
    assert arrived(desk, mail(f"[Ticket#{n}]", "the bridge again")) == ("follow-up", n)


def test_the_answer_of_who_was_only_asked_stays_internal(desk: Near) -> None:
    n, m = desk.receive(mail("The bridge"), mail("Goal", sender=ZOE))
    raw = mail("Re: legal?", "do not pay", sender=EVE)
    facts = {"Follow-Up": "ours", "Content-Ref": REF, "Internal": "yes"}
    id = record(desk, "receive", n, facts, raw)
    refused(desk, 2, "stays internal", "move", n, id, m, hint=f"vrt split {n} {id[-8:]}")


def test_what_another_program_left_half_moved(desk: Near) -> None:
    """The law lets it be: the mail is in both tickets, and nobody loses it. Here it can only be finished."""
    n, (id,) = doubted(desk, "one")
    m = take_in(desk, mail("Goal", sender=ZOE))["ticket"]
    was = said(desk, n)[-1].event.trailers
    refs = {name: was[name] for name in ("Message-Ref", "Content-Ref")}
    with looking(desk) as seen:
        original = seen.original(seen.index.articles(n)[-1])
    record(desk, "moved", m, {"From": n, "About": id} | refs, original)
    assert "words" in desk.ok("show", m).out and "UNVERIFIED" in desk.ok("show", n).out
    hint = f"vrt move {n} {id[-8:]} {m}"
    for act in (["accept", n], ["split", n], ["move", n, id, take_in(desk, mail("Else"))["ticket"]]):
        refused(desk, 6, f"went to {m} before", *act, hint=hint)
    articles = len(said(desk, m))
    desk.ok(*hint.split()[1:])
    assert (len(said(desk, m)), actions(desk, n)[-1], ticket(desk, n).unverified) == (articles, "move", ())


# --- link -----------------------------------------------------------------------------------------


def test_link(desk: Near) -> None:
    a, b, c = desk.receive(mail("A"), mail("B"), mail("C"))
    assert desk.ok("link", a, b).out.startswith(f"{a} linked with {b}")
    desk.ok("link", c, a)
    desk.ok("close", b, "-o", "successful")
    with looking(desk) as seen:
        found = [[(t.number, t.title, t.state) for t in seen.index.linked(seen.ticket(n))] for n in (a, b, c)]
    assert found == [[(b, "B", "closed"), (c, "C", "new")], [(a, "A", "new")], [(a, "A", "new")]]
    for one, two in ((a, b), (b, a), (a, c)):  # whichever of the two says so
        refused(desk, 6, "linked already", "link", one, two, hint=f"vrt show {one}")
    assert (ticket(desk, a).state, ticket(desk, b).state) == ("new", "closed")
    refused(desk, 6, "not linked", "link", b, c, "--remove")
    refused(desk, 2, "with itself", "link", a, a)
    refused(desk, 4, "no ticket", "link", a, "9999")
    assert desk.ok("link", a, c, "--remove").out.startswith(f"{a} no longer linked with {c}")
    assert (actions(desk, c)[-1], ticket(desk, c).links, ticket(desk, a).links) == ("unlink", (), (b,))
    refused(desk, 6, "not linked", "link", a, c, "--remove")
    desk.ok("merge", c, a)
    refused(desk, 6, "merged", "link", c, b)
    desk.ok("link", b, c)  # one may say so of what is merged


# --- merge ----------------------------------------------------------------------------------------


def test_who_waits_is_not_forgotten_in_a_closed_ticket(desk: Near) -> None:
    a, b, shut, late = desk.receive(mail("A"), mail("B"), mail("Shut"), mail("Late"))
    desk.ok("close", shut, "-o", "successful")
    done = desk.ok("merge", a, b, shut)
    assert [r.split("  ")[0] for r in done.out.splitlines()] == [
        f"{a} merged into {shut}", f"{b} merged into {shut}", f"{shut} open again: somebody waits there",
    ]  # fmt: skip
    assert (actions(desk, shut)[-1], ticket(desk, shut).state, ticket(desk, shut).outcome) == ("reopen", "open", "")
    assert ticket(desk, shut).waiting_since
    # Whom nobody keeps waiting opens nothing; and what is put off is said.
    desk.ok("close", shut, "-o", "successful")
    desk.ok("unmerge", a)
    desk.ok("close", a, "-o", "successful")
    desk.ok("merge", a, shut)
    assert (actions(desk, shut)[-1], ticket(desk, shut).state) == ("close", "closed")
    desk.ok("pend", late, "--until", "2w")
    desk.ok("unmerge", b)
    assert "is pending until" in desk.ok("merge", b, late).err


def test_merge_of_a_ticket_with_a_draft(desk: Near) -> None:
    n, m = desk.receive(mail("A"), mail("B"))
    draft = record(desk, "draft", n, {"Kind": "reply"}, b"From: x\nSubject: x\n\nwords\n")
    refused(desk, 6, "it has a draft of alice", "merge", n, m, hint=f"vrt show {n}")
    desk.ok("merge", m, n)  # into it: nothing is in the way
    record(desk, "discard", n, {"About": draft})
    other = take_in(desk, mail("C"))["ticket"]
    desk.ok("merge", n, other)


def test_merge_of_a_ticket_with_a_message_on_its_way(desk: Near) -> None:
    """It goes on its way, and what becomes of it is said where it was written; those who wait see it in the list."""
    n, m = desk.receive(mail("A"), mail("B"))
    with looking(desk) as seen:
        ref = seen.keyring.ref("message", b"o1@example.org")
    raw = b"From: info-en@example.org\nSubject: x\nMessage-ID: <o1@example.org>\n\nwords\n"
    reply = record(desk, "reply", n, {"Message-Ref": ref, "Sender": "alice"}, raw)
    record(desk, "sending", n, {"About": reply})
    desk.ok("merge", n, m)
    assert ticket(desk, n).undelivered == (reply,) and n in [t["number"] for t in desk.json("list")]
    record(desk, "sent", n, {"About": reply})
    assert (ticket(desk, n).undelivered, ticket(desk, n).state) == ((), "merged")
    assert arrived(desk, mail("Re: A", "thanks", in_reply_to="<o1@example.org>", sender=EVE)) == ("follow-up", m)


def test_unmerge_gives_back_the_state_before_unless_somebody_wrote(desk: Near) -> None:
    goal = take_in(desk, mail("Goal"))["ticket"]
    n, _ = doubted(desk, "one")
    desk.ok("close", n, "-o", "successful")
    desk.ok("merge", n, goal)
    desk.ok("unmerge", n)
    assert (ticket(desk, n).state, ticket(desk, n).outcome, ticket(desk, n).waiting_since) == (
        "closed",
        "successful",
        0,
    )
    desk.ok("merge", n, goal)
    desk.ok("accept", n)
    desk.ok("unmerge", n)
    assert (ticket(desk, n).state, ticket(desk, n).outcome) == ("open", "")


# --- who reads what -------------------------------------------------------------------------------


def read(person: Person, wanted: str) -> list[tuple[str | None, bytes | None]]:
    """What somebody reads of a ticket: each body, and the original of a mail."""
    with looking(person) as seen:
        return [
            (a.body, seen.original(a) if a.key and a.eml else None) for a in seen.index.articles(wanted)
        ]  # fmt: skip


def test_who_gets_a_ticket_reads_what_was_merged_into_it(tmp_path: Path) -> None:
    """Three tickets of three queues become one, which goes on to a fourth queue and a fifth."""
    alice = near(founded(tmp_path))
    assert alice.desk is not None
    alice.ok("queue", "add", "legal", "--address", "legal@example.org")
    people = {"bob": "info-en", "carol": "legal", "dave": "junk"}
    seats = {handle: admit(alice, tmp_path, handle, queue) for handle, queue in people.items()} | {"alice": alice}

    def seated(handle: str, at: Person = alice) -> Near:
        """Somebody at a copy of a desk as it is now."""
        assert at.desk is not None
        return Near(seats[handle].home, copied(at.desk, tmp_path / f"{handle}-{os.urandom(4).hex()}", handle))

    raws = {
        "a": mail("A", "the fee", to="permissions-en@example.org", files={"plan.bin": b"\0\1"}),
        "b": mail("B", "the loan", to="postmaster@example.org"), "g": mail("G", "the whole"),
    }  # fmt: skip
    a, b, g = alice.receive(*raws.values())
    alice.ok("note", b, "-m", "she rang")
    alice.ok("merge", b, a)
    alice.ok("merge", a, g)  # bob reads all three, in which only one was ever in his queue
    story: dict[str, list[tuple[str | None, bytes | None]]] = {
        a: [("the fee", raws["a"])],
        b: [("the loan", raws["b"]), ("she rang", None)],
        g: [("the whole", raws["g"])],
    }

    def reads(person: Person) -> dict[str, list[tuple[str | None, bytes | None]]]:
        found = person.json("verify")
        assert (found["breaches"], found["unreadable"]) == ([], 0)
        return {n: read(person, n) for n in (a, b, g)}

    nothing: Any = {n: [(None, None)] * len(rows) for n, rows in story.items()}
    assert reads(seated("bob")) == story and reads(seated("carol")) == nothing
    bob = seated("bob")
    bob.ok("route", g, "legal")  # who is in no other queue gives all of it
    carol = seated("carol", bob)
    assert reads(carol) == reads(bob) == story and reads(seated("dave", bob)) == nothing
    assert "plan.bin" in carol.ok("attachments", a).out and carol.ok("raw", a).raw == raws["a"]
    refused(seated("dave", bob), 5, "no key at hand", "raw", a)
    carol.ok("route", g, "junk")  # and who was never in a queue of theirs passes them on
    assert reads(seated("dave", carol)) == story
    again, keys = seated("alice", carol), carol.git("rev-parse", "keys")
    again.ok("route", g, "legal")  # where everything is sealed already
    assert again.git("rev-parse", "keys") == keys and again.json("verify")["breaches"] == []


def test_what_is_merged_into_a_ticket_of_another_queue_takes_its_own_along(desk: Near) -> None:
    """A later merge seals what was merged before, too."""
    a, b = desk.receive(mail("A", "first"), mail("B", "second"))
    g = take_in(desk, mail("G", "third", to="permissions-en@example.org"))["ticket"]
    desk.ok("merge", a, b)
    desk.ok("merge", b, g)
    folder = desk.git("ls-tree", "--name-only", f"keys:{place(a)}").decode().split()
    assert sorted(n.split(".")[1] for n in folder if n.split(".")[0] != "salt") == ["info-en", "permissions-en"]
    assert any(n.startswith("salt.permissions-en.") for n in folder)


def test_an_article_that_nobody_at_hand_can_give_on_hinders_no_routing(tmp_path: Path) -> None:
    """A mailer said in a merged ticket that a message failed: for the queue of that ticket."""
    alice = near(founded(tmp_path))
    bob = near(admit(alice, tmp_path, "bob", "info-en"))
    a, g = alice.receive(mail("A", to="permissions-en@example.org"), mail("G"))
    reply = record(alice, "reply", a, {"Message-Ref": REF, "Sender": "alice"}, b"From: x\nSubject: x\n\nwords\n")
    alice.ok("merge", a, g)
    failed = record(alice, "failed", a, {"About": reply})
    assert alice.desk is not None
    bob.desk = copied(alice.desk, tmp_path / "desk-bob", "bob")
    done = bob.ok("route", g, "junk")
    assert f"no key at hand opens {failed}" in done.err and a in done.err
    assert bob.json("verify")["breaches"] == []
    refused(bob, 5, "bob is not in the queue junk", "route", g, "info-en")


def test_structure_in_a_foreign_queue(tmp_path: Path) -> None:
    alice = near(founded(tmp_path))
    bob = near(admit(alice, tmp_path, "bob", "info-en"))
    here, (id,) = doubted(alice, "me too")
    there = take_in(alice, mail("May I?"))["ticket"]
    follow_up(alice, there)
    alice.ok("route", there, "permissions-en")
    its = said(alice, there)[-1].event.id
    assert alice.desk is not None
    bob.desk = copied(alice.desk, tmp_path / "desk-bob", "bob")
    for act in (["move", here, id, there], ["move", there, its, here], ["split", there, its], ["link", there, here]):
        refused(bob, 5, "bob is not in the queue permissions-en", *act, hint="vrt agent list")
    bob.ok("link", here, there)  # it says something of his own ticket
    with looking(bob) as seen:
        (found,) = seen.index.linked(seen.ticket(here))
        assert (found.number, found.title, found.state) == (there, "May I?", "new")
    with looking(alice) as seen:
        structure.link(seen, there, here)
    bob.desk = copied(alice.desk, tmp_path / "desk-bob2", "bob")
    refused(bob, 5, "bob is not in the queue permissions-en", "link", here, there, "--remove")


# --- the law --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    """A desk in which ``n`` holds an unverified mail and a merged ticket, which holds one, too."""
    folder = tmp_path_factory.mktemp("office")
    alice = near(founded(folder))
    made = Office({"alice": alice})
    for handle, role, *queues in (
        ("bob", "agent", "info-en"), ("carol", "agent", "permissions-en"), ("inbox", "intake"), ("postman", "mailer"),
    ):  # fmt: skip
        made.people[handle] = admit(alice, folder, handle, *queues, role=role)
    given = (mail("The bridge"), mail("May I?", to="permissions-en@example.org"), mail("Done soon"), mail("The same"))
    made.n, made.other, made.shut, merged = alice.receive(*given)
    for wanted in (made.n, merged):
        assert arrived(alice, mail(f"Re: [Ticket#{wanted}]", "one", sender=EVE)) == ("unverified", wanted)
    alice.ok("close", made.shut, "--outcome", "successful")
    alice.ok("merge", merged, made.n)
    return made


FORGERIES, forgery = register()


def joined(f: Forger, into: str, source: str, about: str, by: str = "bob", **refs: str) -> str:
    """Say the mail ``about`` of ``source`` anew in ``into``, which is there already."""
    was = next((e for e in events(f, source) if e["Event"] == about), {})
    facts = {"From": source, "About": about, "Content-Ref": REF}
    facts |= {n: was[n] for n in ("Message-Ref", "Content-Ref") if n in was}
    facts |= {n.replace("_", "-"): v for n, v in refs.items()}
    order = {n: facts[n] for n in ledger.TRAILERS if n in facts}
    return f.event("moved", f"moved {into}", into, order, files={".eml.age": noise(), ".md.age": noise()}, by=by)


def link(f: Forger, one: str, two: str, action: str = "link", **more: Any) -> str:
    return f.event(action, f"{action} {one} and {two}", one, {"Link": two}, **more)


def began(f: Forger, wanted: str) -> str:
    return events(f, wanted)[0]["Event"]


def draft(f: Forger, wanted: str) -> str:
    return f.event(
        "draft", f"draft {wanted}", wanted, {"Kind": "reply"}, files={".eml.age": noise(), ".md.age": noise()}
    )


def unmerge(f: Forger, wanted: str) -> str:
    return f.event("unmerge", f"unmerge {wanted}", wanted)


def route(f: Forger, wanted: str, queue: str) -> str:
    return f.event("route", f"route {wanted} to {queue}", wanted, {"Queue": queue})


def test_hand_made_structure_is_lawful(office: Office, forger: Forger) -> None:
    """All that the forger says by default the law accepts, so a refusal below is for the one thing changed."""
    f, n, shut = forger, office.n, office.shut
    proven = came(f, n)
    again = event_of(f, joined(f, shut, n, proven))  # to a closed ticket, and on from there
    move(f, n, shut, proven)
    joined(f, n, shut, again)
    move(f, shut, n, again)
    joined(f, shut, merged(f, office), doubtful(f, merged(f, office))[0])  # out of a merged one
    move(f, merged(f, office), shut, doubtful(f, merged(f, office))[0])
    link(f, n, shut)
    link(f, shut, office.other)  # also to what one cannot read
    link(f, n, shut, "unlink")
    draft(f, shut)
    merge(f, n, shut)
    assert verified(f, office).code == 0, verified(f, office).err


def test_mail_said_anew_but_not_gone_is_in_both_tickets(office: Office, forger: Forger) -> None:
    f, about = forger, doubtful(forger, office.n)[0]
    copy = event_of(f, joined(f, office.shut, office.n, about))
    assert verified(f, office).code == 0
    seen = Person(office.alice.home, f.desk)
    assert ticket(seen, office.n).unverified[0] == about
    assert said(seen, office.shut)[-1].event.id == copy and ticket(seen, office.shut).state == "open"


def test_keys_of_a_merged_ticket_follow_what_it_is_merged_into(office: Office, forger: Forger) -> None:
    """Carol, of permissions-en, may give on what came to her queue within another ticket."""
    f, a = forger, merged(forger, office)
    route(f, office.n, "permissions-en")
    f.seal({f"{place(a)}/{began(f, a)}.junk.HASH.age": b"x", f"{place(a)}/salt.junk.HASH.age": b"y"}, by="carol")
    assert verified(f, office).code == 0, verified(f, office).err


@forgery(4)
def moved_from_another_ticket_than_it_says(f: Forger, o: Office) -> None:
    joined(f, o.shut, o.n, doubtful(f, merged(f, o))[0])


@forgery(4)
def moved_what_never_came(f: Forger, o: Office) -> None:
    joined(f, o.shut, o.n, "20261120T093205Z-receive-00000000")


@forgery(4)
def moved_with_other_content(f: Forger, o: Office) -> None:
    joined(f, o.shut, o.n, came(f, o.n), Content_Ref="1:BBBBBBBBBBBBBBBBBBBBBBBBBB")


@forgery(4)
def moved_with_the_id_of_another_mail(f: Forger, o: Office) -> None:
    joined(f, o.shut, o.n, came(f, o.n), Message_Ref=events(f, o.shut)[0]["Message-Ref"])


@forgery(4)
def moved_twice(f: Forger, o: Office) -> None:
    about = came(f, o.n)
    joined(f, o.shut, o.n, about)
    joined(f, o.shut, o.n, about)


@forgery(4)
def moved_after_it_went(f: Forger, o: Office) -> None:
    about = came(f, o.n)
    joined(f, o.shut, o.n, about)
    move(f, o.n, o.shut, about)
    joined(f, o.shut, o.n, about)


@forgery(4)
def moved_what_a_ticket_began_with(f: Forger, o: Office) -> None:
    joined(f, o.shut, o.n, began(f, o.n))


@forgery(4)
def moved_a_note(f: Forger, o: Office) -> None:
    joined(f, o.shut, o.n, event_of(f, f.said(o.n)))


@forgery(4)
def moved_a_message_of_ours(f: Forger, o: Office) -> None:
    joined(f, o.shut, o.n, event_of(f, answer(f, o.n, came(f, o.n))))


@forgery(4)
def moved_into_a_merged_ticket(f: Forger, o: Office) -> None:
    joined(f, merged(f, o), o.n, came(f, o.n))


@forgery(4)
def moved_into_its_own_ticket(f: Forger, o: Office) -> None:
    joined(f, o.n, o.n, came(f, o.n))


@forgery(4)
def moved_into_a_ticket_that_is_not_there(f: Forger, o: Office) -> None:
    joined(f, number("11", 1), o.n, came(f, o.n))


@forgery(5)
def moved_into_a_foreign_queue(f: Forger, o: Office) -> None:
    joined(f, o.other, o.n, came(f, o.n))


@forgery(5)
def moved_out_of_a_foreign_queue(f: Forger, o: Office) -> None:
    """Bob would read it in his own."""
    joined(f, o.n, o.other, came(f, o.other))


@forgery(5, "inbox")
def moved_by_a_node(f: Forger, o: Office) -> None:
    joined(f, o.shut, o.n, came(f, o.n), by="inbox")


@forgery(4)
def move_of_proven_mail_that_was_not_said_anew(f: Forger, o: Office) -> None:
    move(f, o.n, o.shut, came(f, o.n))


@forgery(4)
def move_elsewhere_than_it_was_said(f: Forger, o: Office) -> None:
    about = came(f, o.n)
    joined(f, o.shut, o.n, about)
    move(f, o.n, merged(f, o), about)


@forgery(4)
def move_twice(f: Forger, o: Office) -> None:
    about = came(f, o.n)
    joined(f, o.shut, o.n, about)
    move(f, o.n, o.shut, about)
    move(f, o.n, o.shut, about)


@forgery(4)
def accept_of_what_is_said_in_another_ticket(f: Forger, o: Office) -> None:
    """Its sender would be a party of both."""
    about = doubtful(f, o.n)[0]
    joined(f, o.shut, o.n, about)
    accept(f, o.n, about)


@forgery(4)
def link_to_nothing(f: Forger, o: Office) -> None:
    link(f, o.n, number("11", 9))


@forgery(4)
def link_to_itself(f: Forger, o: Office) -> None:
    link(f, o.n, o.n)


@forgery(4)
def link_twice(f: Forger, o: Office) -> None:
    link(f, o.n, o.shut)
    link(f, o.n, o.shut)


@forgery(4)
def unlink_what_is_not_linked(f: Forger, o: Office) -> None:
    link(f, o.shut, o.n)
    link(f, o.n, o.shut, "unlink")


@forgery(4)
def link_of_a_merged_ticket(f: Forger, o: Office) -> None:
    link(f, merged(f, o), o.shut)


@forgery(5)
def link_in_a_foreign_queue(f: Forger, o: Office) -> None:
    link(f, o.other, o.n)


@forgery(5, "inbox")
def link_by_a_node(f: Forger, o: Office) -> None:
    link(f, o.n, o.shut, by="inbox")


@forgery(4)
def merge_of_a_ticket_with_a_draft(f: Forger, o: Office) -> None:
    draft(f, o.n)
    merge(f, o.n, o.shut)


@forgery(9, "carol")
def key_of_a_merged_ticket_that_never_came_to_her_queue(f: Forger, o: Office) -> None:
    a = merged(f, o)
    f.seal({f"{place(a)}/{began(f, a)}.permissions-en.HASH.age": b"x"}, by="carol")


@forgery(9, "carol")
def salt_of_a_merged_ticket_that_never_came_to_her_queue(f: Forger, o: Office) -> None:
    f.seal({f"{place(merged(f, o))}/salt.permissions-en.HASH.age": b"x"}, by="carol")


@forgery(9, "carol")
def key_of_what_was_parted_before_the_rest_came_to_her_queue(f: Forger, o: Office) -> None:
    a = merged(f, o)
    unmerge(f, a)
    route(f, o.n, "permissions-en")
    f.seal({f"{place(a)}/{began(f, a)}.permissions-en.HASH.age": b"x"}, by="carol")


@forgery(9, "carol")
def key_of_what_was_merged_when_the_rest_had_left_her_queue(f: Forger, o: Office) -> None:
    a = merged(f, o)
    unmerge(f, a)
    route(f, o.n, "permissions-en")
    f.event("route", f"route {o.n} to info-en", o.n, {"Queue": "info-en"}, by="carol")
    merge(f, a, o.n)
    f.seal({f"{place(a)}/{began(f, a)}.permissions-en.HASH.age": b"x"}, by="carol")


@pytest.mark.parametrize(("case", "rule", "who"), FORGERIES)
def test_forged(case: Case, rule: int, who: str, forger: Forger, office: Office) -> None:
    case(forger, office)
    done = verified(forger, office)
    commit, _ = forger.made[-1]
    assert done.code == 7, f"exit {done.code}: {done.out}{done.err}"
    assert f"commit {commit} by {who} breaks rule {rule}:" in done.err


def test_a_long_chain_of_merges_is_no_end_of_the_law() -> None:
    """Everybody's verify has to bear what one agent does: 1,500 tickets, each merged into the next."""
    card = Card("bob", (ADMIN, AGENT), "age1bob", "ssh-ed25519 bob", ("info-en", "junk"), "11")
    queues = {name: Queue(name, recipient=f"age1{name}") for name in ("info-en", "junk")}
    state = law.State()
    state.turn(0, {}, Roster(DeskConfig(1, "x", "example.org"), {"bob": card}, queues))
    numbers = [number("11", i) for i in range(1, 1501)]
    who = "bob <bob@example.org>"

    def done(action: str, wanted: str, facts: dict[str, str], blob: str = "x") -> None:
        event = Event(ledger.event_id(1_800_000_000, action, f"{state.place:08x}"), action, "bob",
                      1_800_000_000, wanted, facts)  # fmt: skip
        changes = tuple(("A", "100644", path, blob) for path in ledger.paths(event))
        parents, text = (state.head,) if state.head else (), ledger.message(event)
        law.check(state, law.Commit(event.id, parents, who, who, event.time, event.time, text, card.signing, changes))

    for wanted in numbers:
        done("receive", wanted, {"Queue": "info-en", "Content-Ref": REF})
    for one, two in pairwise(numbers):
        done("merge", one, {"Into": two}, EMPTY_BLOB)
    done("route", numbers[-1], {"Queue": "junk"}, EMPTY_BLOB)
    assert all(set(state.homes[n]) == {"info-en", "junk"} for n in numbers)
    done("unmerge", numbers[700], {}, EMPTY_BLOB)
    done("route", numbers[-1], {"Queue": "info-en"}, EMPTY_BLOB)
    assert not state.merged[numbers[701]]
