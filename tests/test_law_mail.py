"""The law of mail, structure, settings and rules: forged histories of real signed commits, each refused by name.

The forger is that of ``test_law``. Here work also a mailer and a second intake node, and unverified mail lies about.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Person, copied, founded, mail
from test_law import (
    REF,
    Case,
    Forger,
    Office,
    admit,
    forger,
    left,
    linked,
    new_queue,
    newcomer,
    noise,
    number,
    place,
    register,
    verified,
)

__all__ = ["forger"]  # a fixture

OTHER_REF = "1:BBBBBBBBBBBBBBBBBBBBBBBBBB"
NOWHERE = "20261120T093205Z-receive-00000000"
BORN = {"Queue": "info-en", "Content-Ref": REF}


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    """A desk in which ``n``, ``other`` and ``shut`` hold two unverified mails each; ``n`` has a merged ticket."""
    folder = tmp_path_factory.mktemp("office")
    alice = founded(folder)
    people = {"alice": alice}
    people["bob"] = admit(alice, folder, "bob", "info-en")
    people["carol"] = admit(alice, folder, "carol", "permissions-en")
    people["rita"] = admit(alice, folder, "rita", role="reviewer")
    people["inbox"] = admit(alice, folder, "inbox", role="intake")
    people["gate"] = admit(alice, folder, "gate", role="intake")
    people["postman"] = admit(alice, folder, "postman", role="mailer")
    people["mallory"] = Person(folder / "home-mallory")
    people["mallory"].ok("identity")
    made = Office(people)
    made.n, made.other, made.shut, merged = alice.receive(
        mail("About the bridge"), mail("May I?", to="permissions-en@example.org"), mail("Done soon"), mail("The same")
    )
    for wanted in (made.n, made.other, made.shut, merged):
        for text in ("one", "two"):
            to = "permissions-en@example.org" if wanted == made.other else "info-en@example.org"
            alice.receive(mail(f"Re: [Ticket#{wanted}]", text, sender="Eve <eve@example.net>", to=to))
    alice.ok("close", made.shut, "--outcome", "successful")
    alice.ok("merge", merged, made.n)
    return made


# --- what the forger says -------------------------------------------------------------------------


def events(f: Forger, ticket: str, action: str = "", branch: str = "main") -> list[dict[str, str]]:
    """The trailers of a ticket's events, in ledger order."""
    bodies = f.git("log", "--reverse", "--format=%b%x00", branch, "--", place(ticket)).split("\0")
    found = [dict(row.split(": ", 1) for row in body.strip().split("\n")) for body in bodies if body.strip()]
    return [e for e in found if e["Action"] == action or not action]


def event_of(f: Forger, commit: str) -> str:
    return f.git("log", "-1", "--format=%b", commit).partition("Event: ")[2].split()[0]


def doubtful(f: Forger, ticket: str) -> list[str]:
    """The ids of the mails that came to a ticket as unverified."""
    return [e["Event"] for e in events(f, ticket, "receive") if "Unverified" in e]


def merged(f: Forger, o: Office) -> str:
    return next(n for n in tickets(f) if events(f, n, "merge"))


def tickets(f: Forger) -> list[str]:
    names = f.git("ls-tree", "-rd", "--name-only", "main", "tickets/").split("\n")
    return [n.rpartition("/")[2] for n in names if n.count("/") == 5]


def accept(f: Forger, ticket: str, about: str, **more: Any) -> str:
    return f.event("accept", f"accept {ticket}", ticket, {"About": about}, **more)


def merge(f: Forger, ticket: str, into: str, **more: Any) -> str:
    return f.event("merge", f"merge {ticket} into {into}", ticket, {"Into": into}, **more)


def moved(f: Forger, ticket: str, source: str, about: str, queue: str = "info-en", **more: Any) -> str:
    """Say the mail ``about`` of the ticket ``source`` anew in ``ticket``."""
    was: dict[str, str] = next((e for e in events(f, source) if e["Event"] == about), {"Content-Ref": REF})
    refs = {name: was[name] for name in ("Message-Ref", "Content-Ref") if name in was} | more.pop("refs", {})
    facts = {"Queue": queue, "From": source, "About": about} | refs
    files = {".eml.age": noise(), ".md.age": noise()}
    return f.event("moved", f"moved {ticket} in {queue}", ticket, facts, files=files, **more)


def move(f: Forger, ticket: str, into: str, about: str, **more: Any) -> str:
    return f.event("move", f"move {ticket} into {into}", ticket, {"Into": into, "About": about}, **more)


def split(f: Forger, source: str, about: str, into: str = "", **more: Any) -> str:
    """Split an unverified mail off as it is done: both events. Return the new ticket."""
    into = into or number("11", 1)
    moved(f, into, source, about, **more)
    move(f, source, into, about)
    return into


def came(f: Forger, ticket: str, by: str = "inbox", **facts: str) -> str:
    """Let a follow-up come and return its event's id. Facts in the order of trailers, ``_`` for ``-``."""
    found = {"Follow-Up": "references"} | {name.replace("_", "-"): value for name, value in facts.items()}
    return event_of(f, f.receive(ticket, found | {"Content-Ref": REF}, by=by))


def answer(f: Forger, ticket: str, about: str, sender: str = "postman", by: str = "inbox", **more: Any) -> str:
    facts = {"About": about, "Message-Ref": OTHER_REF, "Sender": sender}
    files = {".eml.age": noise(), ".md.age": noise()}
    return f.event("auto-reply", f"auto-reply {ticket}", ticket, facts, files=files, by=by, **more)


def desk_set(f: Forger, by: str = "alice", also: dict[str, Any] | None = None, **changes: Any) -> str:
    files: dict[str, Any] = {"desk.yaml": f.yaml("desk.yaml", **changes)}
    return f.desk_event("desk-set", {}, files | (also or {}), by=by)


def own(f: Forger, handle: str, counter: int = 1) -> str:
    """A number that the card may mint."""
    return number(f.yaml_value(f"agents/{handle}.yaml", "system_id"), counter)


# --- what is lawful -------------------------------------------------------------------------------


def test_hand_made_events_are_lawful(office: Office, forger: Forger) -> None:
    """All that the forger says by default the law accepts, so a refusal below is for the one thing changed."""
    f, n = forger, office.n
    accept(f, n, doubtful(f, n)[0])
    into = split(f, n, doubtful(f, n)[1])
    split(f, merged(f, office), doubtful(f, merged(f, office))[0], number("11", 2))
    accept(f, merged(f, office), doubtful(f, merged(f, office))[1])
    split(f, office.shut, doubtful(f, office.shut)[0], number("11", 3))
    accept(f, office.shut, doubtful(f, office.shut)[1])
    merge(f, into, n)
    f.event("unmerge", f"unmerge {into}", into)
    merge(f, n, into)
    about = came(f, into)
    reply = answer(f, into, about)
    came(f, into, Follow_Up="report", About=event_of(f, reply), Kind="bounce", Report="failed")
    came(f, into, Follow_Up="ours", Kind="auto-reply")
    came(f, into, Unverified="stranger")
    came(f, into, Kind="list", Suppressed="list")
    about = event_of(f, f.receive(number("11", 4), BORN))
    answer(f, number("11", 4), about, sender="bob", by="bob")
    f.event("close", f"close {into} as spam", into, {"Outcome": "spam"})
    answer(f, into, came(f, into, Rejected="yes"))
    came(f, into, Kind="bounce", Report="delayed")
    linked_to = {"Queue": "junk", "Priority": "5", "Tag": "+legal", "Follow-Up": "subject", "Link": into}
    f.receive(own(f, "inbox"), linked_to | {"Content-Ref": REF}, by="inbox")
    desk_set(f, authserv=["mx.example.org"], limits={"auto_replies_a_day": 3})
    f.desk_event("rules-set", {"Rules": REF}, {})
    f.seal({f"rules/00000000.{to}.HASH.age": to.encode() for to in ("alice", "inbox", "recovery")}, by="alice")
    eml, salt = f"{place(into)}/{event_of(f, reply)}.postman.HASH.age", f"{place(own(f, 'inbox'))}/salt"
    f.seal({eml: b"a", f"{salt}.gate.HASH.age": b"b", f"{salt}.junk.HASH.age": b"c"}, by="inbox")
    done = verified(forger, office)
    assert done.code == 0, done.err


def test_what_a_stopped_write_leaves_is_lawful(office: Office, forger: Forger) -> None:
    """Keys are recorded before events: of a node that was never admitted, a mail that never came, a reply not sent."""
    f, n = forger, office.n
    f.seal(
        {"rules/00000000.newnode.HASH.age": b"a", "desk/1.newnode.HASH.age": b"b",
         f"{place(n)}/salt.newnode.HASH.age": b"c"},
        by="alice",
    )  # fmt: skip
    lost = NOWHERE.replace("receive", "auto-reply")
    f.seal({f"{place(n)}/{lost}.postman.HASH.age": b"d", f"{place(n)}/{lost}.info-en.HASH.age": b"e"}, by="inbox")
    f.seal({f"{place(own(f, 'inbox'))}/salt.junk.HASH.age": b"f"}, by="inbox")
    assert verified(f, office).code == 0
    f.desk_event("agent-add", {"Agent": "mallory"}, newcomer(f, "mallory", queues=["info-en"]))
    assert verified(f, office).code == 0


def test_nobody_makes_the_keys_of_others_unlawful(office: Office, forger: Forger) -> None:
    """A key of a reply that was never recorded lies there; carol records an event of that id on her own ticket."""
    f, id = forger, "20200913T122640Z-note-00000001"
    f.seal({f"{place(office.n)}/{id}.postman.HASH.age": b"a", f"{place(office.n)}/{id}.info-en.HASH.age": b"b"})
    f.said(office.other, by="carol", id=id, done=1_600_000_000)
    done = verified(f, office)
    assert done.code == 0, done.err


def test_an_admin_who_left_a_queue_admits_a_node(office: Office, tmp_path: Path) -> None:
    """The node gets the salts of all tickets that the admin knows, also where somebody else minted the number."""
    folder, (alice, bob) = tmp_path / "first", (office.alice, office.people["bob"])
    assert alice.desk is not None
    shutil.copytree(alice.desk, folder, copy_function=linked)
    (folder / "vrt" / "config.yaml").write_text("card: bob\n")
    Person(bob.home, folder).receive(mail("Minted by bob"))
    alice = Person(alice.home, copied(folder, tmp_path / "second", "alice"))
    alice.ok("agent", "queues", "alice", "-info-en")
    admit(alice, tmp_path, "late", role="intake")
    assert alice.json("verify")["breaches"] == []


def test_a_newer_format_is_no_breach_if_an_admin_says_so(office: Office, forger: Forger) -> None:
    desk_set(forger, format=99)
    done = verified(forger, office)
    assert (done.code, "upgrade vrt" in done.err) == (1, True)


# --- what is not ----------------------------------------------------------------------------------

FORGERIES, forgery = register()


# accept


@forgery(4)
def accept_what_is_verified(f: Forger, o: Office) -> None:
    accept(f, o.n, events(f, o.n)[0]["Event"])


@forgery(4)
def accept_twice(f: Forger, o: Office) -> None:
    about = doubtful(f, o.n)[0]
    accept(f, o.n, about)
    accept(f, o.n, about)


@forgery(4)
def accept_what_lies_in_another_ticket(f: Forger, o: Office) -> None:
    accept(f, o.n, doubtful(f, o.shut)[0])


@forgery(4)
def accept_what_is_not_there(f: Forger, o: Office) -> None:
    accept(f, o.n, NOWHERE)


@forgery(4)
def accept_what_was_split_off(f: Forger, o: Office) -> None:
    about = doubtful(f, o.n)[0]
    split(f, o.n, about)
    accept(f, o.n, about)


@forgery(4)
def accept_between_the_two_events_of_a_split(f: Forger, o: Office) -> None:
    """Its sender would be a party of both tickets."""
    about = doubtful(f, o.n)[0]
    moved(f, number("11", 1), o.n, about)
    accept(f, o.n, about)


@forgery(4)
def accept_without_saying_what(f: Forger, o: Office) -> None:
    f.event("accept", f"accept {o.n}", o.n)


@forgery(4)
def accept_with_free_text(f: Forger, o: Office) -> None:
    accept(f, o.n, doubtful(f, o.n)[0] + " from Jane Roe")


@forgery(5)
def accept_in_a_foreign_queue(f: Forger, o: Office) -> None:
    accept(f, o.other, doubtful(f, o.other)[0])


@forgery(5)
def accept_after_leaving_the_queue(f: Forger, o: Office) -> None:
    f.desk_event("agent-queues", {"Agent": "bob"}, left(f, "bob", "info-en"))
    accept(f, o.n, doubtful(f, o.n)[0])


@forgery(5, "inbox")
def accept_by_intake(f: Forger, o: Office) -> None:
    """The node that brings mail is not the one that believes it."""
    accept(f, o.n, doubtful(f, o.n)[0], by="inbox")


@forgery(5, "rita")
def accept_by_a_reviewer(f: Forger, o: Office) -> None:
    accept(f, o.n, doubtful(f, o.n)[0], by="rita")


# split: moved and move


@forgery(4)
def moved_what_is_verified(f: Forger, o: Office) -> None:
    moved(f, number("11", 1), o.n, events(f, o.n)[0]["Event"])


@forgery(4)
def moved_from_a_ticket_where_it_is_not(f: Forger, o: Office) -> None:
    moved(f, number("11", 1), o.n, doubtful(f, o.shut)[0])


@forgery(4)
def moved_from_a_ticket_that_is_not_there(f: Forger, o: Office) -> None:
    moved(f, number("11", 1), number("11", 2), doubtful(f, o.n)[0])


@forgery(4)
def moved_from_itself(f: Forger, o: Office) -> None:
    moved(f, number("11", 1), number("11", 1), doubtful(f, o.n)[0])


@forgery(5)
def moved_from_a_foreign_queue(f: Forger, o: Office) -> None:
    moved(f, number("11", 1), o.other, doubtful(f, o.other)[0])


@forgery(5, "carol")
def moved_out_by_an_agent_of_another_queue(f: Forger, o: Office) -> None:
    """Carol would read it in her own queue."""
    moved(f, own(f, "carol"), o.n, doubtful(f, o.n)[0], "permissions-en", by="carol")


@forgery(4)
def moved_under_the_number_of_another_card(f: Forger, o: Office) -> None:
    moved(f, number("10", 500), o.n, doubtful(f, o.n)[0])


@forgery(4)
def moved_into_a_ticket_that_is_there(f: Forger, o: Office) -> None:
    moved(f, o.shut, o.n, doubtful(f, o.n)[0])


@forgery(5)
def moved_to_a_queue_that_does_not_take_it(f: Forger, o: Office) -> None:
    path = "queues/permissions-en.yaml"
    f.desk_event("queue-set", {"Queue": "permissions-en"}, {path: f.yaml(path, move_from=["junk"])})
    moved(f, number("11", 1), o.n, doubtful(f, o.n)[0], "permissions-en")


@forgery(5)
def moved_to_a_queue_that_is_not_there(f: Forger, o: Office) -> None:
    moved(f, number("11", 1), o.n, doubtful(f, o.n)[0], "nowhere")


@forgery(4)
def moved_twice(f: Forger, o: Office) -> None:
    moved(f, number("11", 1), o.n, doubtful(f, o.n)[0])
    moved(f, number("11", 2), o.n, doubtful(f, o.n)[0])


@forgery(4)
def moved_with_the_id_of_another_mail(f: Forger, o: Office) -> None:
    """What answers that other mail would come to this ticket."""
    stolen = events(f, o.shut)[0]["Message-Ref"]
    moved(f, number("11", 1), o.n, doubtful(f, o.n)[0], refs={"Message-Ref": stolen})


@forgery(4)
def moved_as_another_mail(f: Forger, o: Office) -> None:
    moved(f, number("11", 1), o.n, doubtful(f, o.n)[0], refs={"Content-Ref": OTHER_REF})


@forgery(5, "inbox")
def moved_by_intake(f: Forger, o: Office) -> None:
    moved(f, own(f, "inbox"), o.n, doubtful(f, o.n)[0], by="inbox")


@forgery(3)
def moved_without_its_original(f: Forger, o: Office) -> None:
    about = doubtful(f, o.n)[0]
    facts = {"Queue": "info-en", "From": o.n, "About": about, "Content-Ref": events(f, o.n)[1]["Content-Ref"]}
    subject = f"moved {number('11', 1)} in info-en"
    f.event("moved", subject, number("11", 1), facts, files={".md.age": noise()})


@forgery(4)
def move_without_saying_it_anew(f: Forger, o: Office) -> None:
    """The mail would be nowhere but in a ticket that says it is gone."""
    move(f, o.n, o.shut, doubtful(f, o.n)[0])


@forgery(4)
def move_to_another_ticket_than_where_it_was_said(f: Forger, o: Office) -> None:
    moved(f, number("11", 1), o.n, doubtful(f, o.n)[0])
    move(f, o.n, o.shut, doubtful(f, o.n)[0])


@forgery(4)
def move_of_another_mail_than_was_said(f: Forger, o: Office) -> None:
    moved(f, number("11", 1), o.n, doubtful(f, o.n)[0])
    move(f, o.n, number("11", 1), doubtful(f, o.n)[1])


@forgery(4)
def move_what_is_verified(f: Forger, o: Office) -> None:
    move(f, o.n, o.shut, events(f, o.n)[0]["Event"])


@forgery(4)
def move_what_lies_in_another_ticket(f: Forger, o: Office) -> None:
    moved(f, number("11", 1), o.n, doubtful(f, o.n)[0])
    move(f, o.shut, number("11", 1), doubtful(f, o.n)[0])


@forgery(4)
def move_to_a_ticket_that_is_not_there(f: Forger, o: Office) -> None:
    move(f, o.n, number("11", 1), doubtful(f, o.n)[0])


@forgery(4)
def move_into_itself(f: Forger, o: Office) -> None:
    move(f, o.n, o.n, doubtful(f, o.n)[0])


@forgery(5)
def move_in_a_foreign_queue(f: Forger, o: Office) -> None:
    move(f, o.other, o.n, doubtful(f, o.other)[0])


@forgery(5)
def move_to_a_foreign_queue(f: Forger, o: Office) -> None:
    moved(f, number("11", 1), o.n, doubtful(f, o.n)[0], "permissions-en")
    move(f, o.n, number("11", 1), doubtful(f, o.n)[0])


@forgery(5, "inbox")
def move_by_intake(f: Forger, o: Office) -> None:
    moved(f, number("11", 1), o.n, doubtful(f, o.n)[0])
    move(f, o.n, number("11", 1), doubtful(f, o.n)[0], by="inbox")


# merge, unmerge


@forgery(4)
def merge_into_a_merged_ticket(f: Forger, o: Office) -> None:
    merge(f, o.shut, merged(f, o))


@forgery(4)
def merge_into_one_another(f: Forger, o: Office) -> None:
    """A ring has no end to follow."""
    merge(f, o.n, o.shut)
    merge(f, o.shut, o.n)


@forgery(4)
def merge_into_itself(f: Forger, o: Office) -> None:
    merge(f, o.n, o.n)


@forgery(4)
def merge_into_nothing(f: Forger, o: Office) -> None:
    merge(f, o.n, number("11", 9))


@forgery(4)
def merge_into_a_number_that_is_none(f: Forger, o: Office) -> None:
    merge(f, o.n, o.shut[:-1] + str((int(o.shut[-1]) + 1) % 10))


@forgery(4)
def merge_a_merged_ticket(f: Forger, o: Office) -> None:
    merge(f, merged(f, o), o.shut)


@forgery(5)
def merge_into_a_foreign_queue(f: Forger, o: Office) -> None:
    merge(f, o.n, o.other)


@forgery(5)
def merge_out_of_a_foreign_queue(f: Forger, o: Office) -> None:
    merge(f, o.other, o.n)


@forgery(5, "inbox")
def merge_by_intake(f: Forger, o: Office) -> None:
    merge(f, o.n, o.shut, by="inbox")


@forgery(4)
def unmerge_what_is_not_merged(f: Forger, o: Office) -> None:
    f.event("unmerge", f"unmerge {o.n}", o.n)


@forgery(4)
def unmerge_twice(f: Forger, o: Office) -> None:
    n = merged(f, o)
    f.event("unmerge", f"unmerge {n}", n)
    f.event("unmerge", f"unmerge {n}", n)


@forgery(5, "carol")
def unmerge_in_a_foreign_queue(f: Forger, o: Office) -> None:
    n = merged(f, o)
    f.event("unmerge", f"unmerge {n}", n, by="carol")


@forgery(4)
def note_on_a_merged_ticket(f: Forger, o: Office) -> None:
    f.said(merged(f, o))


@forgery(4)
def route_a_merged_ticket(f: Forger, o: Office) -> None:
    n = merged(f, o)
    f.event("route", f"route {n} to permissions-en", n, {"Queue": "permissions-en"})


@forgery(4, "inbox")
def mail_to_a_merged_ticket(f: Forger, o: Office) -> None:
    """It would lie where nobody looks."""
    came(f, merged(f, o))


@forgery(4, "inbox")
def automatic_reply_in_a_merged_ticket(f: Forger, o: Office) -> None:
    about = came(f, o.n)
    merge(f, o.n, o.shut)
    answer(f, o.n, about)


# automatic replies


@forgery(5, "inbox")
def reply_sent_by_an_agent_who_did_not_write_it(f: Forger, o: Office) -> None:
    """A node makes bob's machine send its words."""
    answer(f, o.n, came(f, o.n), sender="bob")


@forgery(5, "inbox")
def reply_sent_by_intake(f: Forger, o: Office) -> None:
    answer(f, o.n, came(f, o.n), sender="inbox")


@forgery(5, "inbox")
def reply_sent_by_nobody(f: Forger, o: Office) -> None:
    answer(f, o.n, came(f, o.n), sender="zoe")


@forgery(5)
def reply_of_an_agent_sent_by_another(f: Forger, o: Office) -> None:
    answer(f, o.n, came(f, o.n, by="bob"), sender="alice", by="bob")


@forgery(5, "rita")
def reply_by_a_reviewer(f: Forger, o: Office) -> None:
    answer(f, o.n, came(f, o.n), by="rita")


@forgery(5, "postman")
def reply_by_the_mailer(f: Forger, o: Office) -> None:
    """It sends what others wrote."""
    answer(f, o.n, came(f, o.n), by="postman")


@forgery(4, "inbox")
def reply_to_an_older_mail(f: Forger, o: Office) -> None:
    about = came(f, o.n)
    came(f, o.n)
    answer(f, o.n, about)


@forgery(4, "inbox")
def reply_twice(f: Forger, o: Office) -> None:
    about = came(f, o.n)
    answer(f, o.n, about)
    answer(f, o.n, about)


@forgery(4, "inbox")
def reply_to_a_reply(f: Forger, o: Office) -> None:
    """So one mail would be answered without end."""
    answer(f, o.n, event_of(f, answer(f, o.n, came(f, o.n))))


@forgery(4, "inbox")
def reply_to_an_unverified_mail(f: Forger, o: Office) -> None:
    answer(f, o.n, came(f, o.n, Unverified="stranger"))


@forgery(4, "inbox")
def reply_to_an_accepted_mail(f: Forger, o: Office) -> None:
    answer(f, o.n, event_of(f, accept(f, o.n, doubtful(f, o.n)[0])))


@forgery(4, "inbox")
def reply_to_a_bounce(f: Forger, o: Office) -> None:
    answer(f, o.n, came(f, o.n, Kind="bounce", Report="failed"))


@forgery(4, "inbox")
def reply_to_a_list(f: Forger, o: Office) -> None:
    answer(f, o.n, came(f, o.n, Kind="list"))


@forgery(4, "inbox")
def reply_that_was_suppressed(f: Forger, o: Office) -> None:
    answer(f, o.n, came(f, o.n, Suppressed="hourly"))


@forgery(4, "inbox")
def reply_to_a_note(f: Forger, o: Office) -> None:
    answer(f, o.n, event_of(f, f.said(o.n)))


@forgery(4, "gate")
def reply_to_what_another_node_received(f: Forger, o: Office) -> None:
    """A node that was broken into answers all mail that others took in."""
    answer(f, o.n, came(f, o.n, by="inbox"), by="gate")


@forgery(4, "inbox")
def reply_in_another_ticket(f: Forger, o: Office) -> None:
    answer(f, o.shut, came(f, o.n))


@forgery(4, "inbox")
def reply_that_begins_a_ticket(f: Forger, o: Office) -> None:
    answer(f, own(f, "inbox"), came(f, o.n))


# receive


def linked_birth(**changes: str) -> dict[str, str]:
    facts = {"Queue": "info-en", "Follow-Up": "subject", "Link": ""} | changes
    return facts | {"Content-Ref": REF}


@forgery(4, "inbox")
def link_to_nowhere(f: Forger, o: Office) -> None:
    f.receive(own(f, "inbox"), linked_birth(Link=number("11", 9)), by="inbox")


@forgery(4, "inbox")
def link_to_itself(f: Forger, o: Office) -> None:
    f.receive(own(f, "inbox"), linked_birth(Link=own(f, "inbox")), by="inbox")


@forgery(4, "inbox")
def link_without_a_rule(f: Forger, o: Office) -> None:
    facts = {"Queue": "info-en", "Link": o.shut, "Content-Ref": REF}
    f.receive(own(f, "inbox"), facts, by="inbox")


@forgery(4, "inbox")
def link_on_a_follow_up(f: Forger, o: Office) -> None:
    came(f, o.n, Link=o.shut)


@forgery(4, "inbox")
def unverified_on_a_new_ticket(f: Forger, o: Office) -> None:
    facts = {"Queue": "info-en", "Unverified": "stranger", "Content-Ref": REF}
    f.receive(own(f, "inbox"), facts, by="inbox")


@forgery(4, "inbox")
def unverified_for_another_reason(f: Forger, o: Office) -> None:
    came(f, o.n, Unverified="jane-doe")


@forgery(4, "inbox")
def unverified_although_proven(f: Forger, o: Office) -> None:
    came(f, o.n, Follow_Up="ours", Unverified="stranger")


@forgery(4, "inbox")
def rejected_and_unverified(f: Forger, o: Office) -> None:
    came(f, o.shut, Unverified="stranger", Rejected="yes")


@forgery(4, "inbox")
def rejected_from_an_open_ticket(f: Forger, o: Office) -> None:
    """The mail would lie there and nobody would be told that somebody waits."""
    came(f, o.n, Rejected="yes")


@forgery(4, "inbox")
def rejected_for_a_reason(f: Forger, o: Office) -> None:
    came(f, o.shut, Rejected="rude")


@forgery(4, "inbox")
def more_unverified_mails_than_a_ticket_takes(f: Forger, o: Office) -> None:
    for _ in range(49):
        came(f, o.n, Unverified="stranger")


@forgery(4, "inbox")
def suppressed_in_a_sentence(f: Forger, o: Office) -> None:
    came(f, o.n, Suppressed="Jane Roe asked us not to")


@forgery(4, "inbox")
def suppressed_and_nothing_more(f: Forger, o: Office) -> None:
    came(f, o.n, Suppressed="")


@forgery(4, "inbox")
def tag_on_a_follow_up(f: Forger, o: Office) -> None:
    facts = {"Tag": "+legal", "Follow-Up": "subject", "Content-Ref": REF}
    f.receive(o.n, facts, by="inbox")


@forgery(4, "inbox")
def priority_on_a_follow_up(f: Forger, o: Office) -> None:
    facts = {"Priority": "5", "Follow-Up": "subject", "Content-Ref": REF}
    f.receive(o.n, facts, by="inbox")


@forgery(4, "inbox")
def born_with_a_tag_that_the_desk_does_not_have(f: Forger, o: Office) -> None:
    facts = {"Queue": "info-en", "Tag": "+jane-doe", "Content-Ref": REF}
    f.receive(own(f, "inbox"), facts, by="inbox")


@forgery(4, "inbox")
def born_without_a_tag(f: Forger, o: Office) -> None:
    facts = {"Queue": "info-en", "Tag": "-legal", "Content-Ref": REF}
    f.receive(own(f, "inbox"), facts, by="inbox")


@forgery(4, "inbox")
def born_with_a_priority_beyond_all(f: Forger, o: Office) -> None:
    facts = {"Queue": "info-en", "Priority": "6", "Content-Ref": REF}
    f.receive(own(f, "inbox"), facts, by="inbox")


@forgery(4, "inbox")
def kind_that_is_none(f: Forger, o: Office) -> None:
    came(f, o.n, Kind="spam")


@forgery(4, "inbox")
def report_of_what_is_no_bounce(f: Forger, o: Office) -> None:
    came(f, o.n, Kind="list", Report="failed")


@forgery(4, "inbox")
def bounce_without_a_report(f: Forger, o: Office) -> None:
    came(f, o.n, Kind="bounce")


@forgery(4, "inbox")
def report_about_nothing(f: Forger, o: Office) -> None:
    came(f, o.n, Follow_Up="report", Kind="bounce", Report="failed")


@forgery(4, "inbox")
def report_about_a_message_that_is_not_there(f: Forger, o: Office) -> None:
    came(f, o.n, Follow_Up="report", About=NOWHERE, Kind="bounce", Report="failed")


@forgery(4, "inbox")
def report_about_a_message_of_others(f: Forger, o: Office) -> None:
    """We did not send it, so nothing of ours failed."""
    came(f, o.n, Follow_Up="report", About=events(f, o.n)[0]["Event"], Kind="bounce", Report="failed")


@forgery(4, "inbox")
def report_that_a_person_wrote(f: Forger, o: Office) -> None:
    """As a letter it would reopen the ticket, by a rule that asks for no party."""
    reply = event_of(f, answer(f, o.n, came(f, o.n)))
    came(f, o.n, Follow_Up="report", About=reply)


@forgery(4, "inbox")
def about_another_event_by_another_rule(f: Forger, o: Office) -> None:
    reply = event_of(f, answer(f, o.n, came(f, o.n)))
    came(f, o.n, Follow_Up="ours", About=reply)


@forgery(4, "inbox")
def sender_of_what_came_in(f: Forger, o: Office) -> None:
    came(f, o.n, Sender="postman")


@forgery(5, "postman")
def receive_by_the_mailer(f: Forger, o: Office) -> None:
    came(f, o.n, by="postman")


# settings and rules


@forgery(6)
def settings_by_an_agent(f: Forger, o: Office) -> None:
    desk_set(f, by="bob", authserv=["mx.mallory.example"])


@forgery(6, "inbox")
def settings_by_intake(f: Forger, o: Office) -> None:
    desk_set(f, by="inbox", limits={"message_bytes": 1})


@forgery(6, "alice")
def another_domain(f: Forger, o: Office) -> None:
    desk_set(f, domain="elsewhere.example")


@forgery(6, "alice")
def an_older_format(f: Forger, o: Office) -> None:
    desk_set(f, format=0)


@forgery(6)
def a_newer_format_by_an_agent(f: Forger, o: Office) -> None:
    """Bob must not make all others believe that they need another vrt."""
    desk_set(f, by="bob", format=99)


@forgery(1)
def a_newer_format_unsigned(f: Forger, o: Office) -> None:
    f.desk_event("desk-set", {}, {"desk.yaml": f.yaml("desk.yaml", format=99)}, by="bob", sign=False)


@forgery(6, "alice")
def another_check_of_the_secret(f: Forger, o: Office) -> None:
    """All nodes would take a secret of her own for the desk's."""
    desk_set(f, secret_check="0" * 32)


@forgery(6, "alice")
def another_epoch_of_the_secret(f: Forger, o: Office) -> None:
    desk_set(f, secret_epoch=2)


@forgery(6, "alice")
def settings_without_a_name(f: Forger, o: Office) -> None:
    desk_set(f, name=None)


@forgery(6, "alice")
def settings_and_a_queue(f: Forger, o: Office) -> None:
    path = "queues/junk.yaml"
    desk_set(f, authserv=["mx.example.org"], also={path: f.yaml(path, lock_timeout="1h")})


@forgery(6, "alice")
def settings_and_signers(f: Forger, o: Office) -> None:
    desk_set(f, authserv=["mx.example.org"], also={"allowed_signers": f.show("allowed_signers") + b"#\n"})


@forgery(6, "alice")
def settings_of_another_file(f: Forger, o: Office) -> None:
    path = "queues/junk.yaml"
    f.desk_event("desk-set", {}, {path: f.yaml(path, lock_timeout="1h")})


@forgery(6, "alice")
def settings_that_change_no_file(f: Forger, o: Office) -> None:
    f.desk_event("desk-set", {}, {})


@forgery(6, "alice")
def settings_that_change_nothing(f: Forger, o: Office) -> None:
    """A comment is free text that no command shows."""
    f.desk_event("desk-set", {}, {"desk.yaml": f.show("desk.yaml") + b"# Jane Roe complained\n"})


@forgery(6, "alice")
def queue_set_that_changes_nothing(f: Forger, o: Office) -> None:
    f.desk_event("queue-set", {"Queue": "junk"}, {"queues/junk.yaml": f.show("queues/junk.yaml") + b"# Jane Roe\n"})


@forgery(6, "alice")
def settings_removed(f: Forger, o: Office) -> None:
    f.desk_event("desk-set", {}, {"desk.yaml": None})


@forgery(6, "alice")
def limits_that_are_none(f: Forger, o: Office) -> None:
    desk_set(f, limits={"message_bytes": -1})


@forgery(6, "alice")
def limits_of_something_else(f: Forger, o: Office) -> None:
    desk_set(f, limits={"jane_roe": 1})


@forgery(6, "alice")
def filter_that_is_not_known(f: Forger, o: Office) -> None:
    desk_set(f, spam_filter=["mallory"])


@forgery(6, "alice")
def tags_that_are_sentences(f: Forger, o: Office) -> None:
    desk_set(f, tags=["Jane Roe complained"])


@forgery(6, "alice")
def queue_that_answers_what_is_nothing(f: Forger, o: Office) -> None:
    path = "queues/junk.yaml"
    f.desk_event("queue-set", {"Queue": "junk"}, {path: f.yaml(path, auto_reply=["always"])})


@forgery(6, "alice")
def queue_with_an_unknown_follow_up(f: Forger, o: Office) -> None:
    path = "queues/junk.yaml"
    f.desk_event("queue-set", {"Queue": "junk"}, {path: f.yaml(path, follow_up="new after 5000w")})


@forgery(6)
def rules_by_an_agent(f: Forger, o: Office) -> None:
    f.desk_event("rules-set", {"Rules": REF}, {}, by="bob")


@forgery(6, "inbox")
def rules_by_intake(f: Forger, o: Office) -> None:
    f.desk_event("rules-set", {"Rules": REF}, {}, by="inbox")


@forgery(6, "alice")
def rules_with_files(f: Forger, o: Office) -> None:
    f.desk_event("rules-set", {"Rules": REF}, {"rules.yaml": b"- ban jane@example.com\n"})


@forgery(6, "alice")
def rules_with_a_desk_file(f: Forger, o: Office) -> None:
    f.desk_event("rules-set", {"Rules": REF}, {"desk.yaml": f.yaml("desk.yaml", authserv=["mx.example.org"])})


@forgery(4, "alice")
def rules_that_are_not_named(f: Forger, o: Office) -> None:
    f.desk_event("rules-set", {}, {})


@forgery(4, "alice")
def rules_in_clear(f: Forger, o: Office) -> None:
    f.desk_event("rules-set", {"Rules": "from jane@example.com to junk"}, {})


# the keyring


@forgery(9)
def rules_sealed_by_an_agent(f: Forger, o: Office) -> None:
    f.seal({"rules/00000000.inbox.HASH.age": b"x"})


@forgery(9, "inbox")
def rules_sealed_by_intake(f: Forger, o: Office) -> None:
    f.seal({"rules/00000000.gate.HASH.age": b"x"}, by="inbox")


@forgery(9, "alice")
def rules_sealed_to_an_agent(f: Forger, o: Office) -> None:
    f.seal({"rules/00000000.bob.HASH.age": b"x"}, by="alice")


@forgery(9, "alice")
def rules_sealed_to_a_mailer(f: Forger, o: Office) -> None:
    f.seal({"rules/00000000.postman.HASH.age": b"x"}, by="alice")


@forgery(9, "alice")
def rules_under_another_name(f: Forger, o: Office) -> None:
    f.seal({"rules/jane-roe.inbox.HASH.age": b"x"}, by="alice")


@forgery(9, "alice")
def rules_not_named_by_their_hash(f: Forger, o: Office) -> None:
    f.seal({"rules/00000000.inbox.00000000.age": b"x"}, by="alice")


def replied(f: Forger, o: Office) -> str:
    """The path, without reader, of the keys of an outgoing mail of inbox's."""
    return f"{place(o.n)}/{event_of(f, answer(f, o.n, came(f, o.n)))}"


@forgery(9, "inbox")
def outgoing_mail_sealed_to_another_card_than_its_sender(f: Forger, o: Office) -> None:
    f.seal({f"{replied(f, o)}.alice.HASH.age": b"x"}, by="inbox")


@forgery(9, "gate")
def outgoing_mail_sealed_by_another_node(f: Forger, o: Office) -> None:
    f.seal({f"{replied(f, o)}.postman.HASH.age": b"x"}, by="gate")


@forgery(9, "inbox")
def incoming_mail_sealed_to_the_mailer(f: Forger, o: Office) -> None:
    f.seal({f"{place(o.n)}/{came(f, o.n)}.postman.HASH.age": b"x"}, by="inbox")


@forgery(9, "inbox")
def incoming_mail_sealed_to_a_person(f: Forger, o: Office) -> None:
    f.seal({f"{place(o.n)}/{came(f, o.n)}.bob.HASH.age": b"x"}, by="inbox")


@forgery(9, "inbox")
def mail_to_come_sealed_to_a_person(f: Forger, o: Office) -> None:
    """The event is not there, or not yet."""
    f.seal({f"{place(o.n)}/{NOWHERE}.bob.HASH.age": b"x"}, by="inbox")


@forgery(9)
def note_sealed_to_oneself(f: Forger, o: Office) -> None:
    """Whoever leaves the queue must not keep keys under a name of their own."""
    f.seal({f"{place(o.n)}/{event_of(f, f.said(o.n))}.bob.HASH.age": b"x"})


@forgery(9, "inbox")
def salt_sealed_to_a_person_by_intake(f: Forger, o: Office) -> None:
    f.receive(own(f, "inbox"), BORN, by="inbox")
    f.seal({f"{place(own(f, 'inbox'))}/salt.carol.HASH.age": b"x"}, by="inbox")


@forgery(9, "inbox")
def salt_of_a_ticket_that_another_minted(f: Forger, o: Office) -> None:
    f.seal({f"{place(o.n)}/salt.gate.HASH.age": b"x"}, by="inbox")


@forgery(9, "inbox")
def salt_under_a_number_that_another_may_mint(f: Forger, o: Office) -> None:
    """A salt takes its number: with the last of the day bob could make no ticket any more."""
    f.seal({f"{place(own(f, 'bob', 99_999))}/salt.info-en.HASH.age": b"x"}, by="inbox")


@forgery(9, "inbox")
def key_under_a_number_that_another_may_mint(f: Forger, o: Office) -> None:
    f.seal({f"{place(own(f, 'bob', 99_999))}/{NOWHERE}.info-en.HASH.age": b"x"}, by="inbox")


@forgery(9, "postman")
def salt_by_the_mailer(f: Forger, o: Office) -> None:
    f.seal({f"{place(o.n)}/salt.info-en.HASH.age": b"x"}, by="postman")


@forgery(9, "postman")
def key_of_an_event_to_come_by_the_mailer(f: Forger, o: Office) -> None:
    f.seal({f"{place(o.n)}/{NOWHERE}.info-en.HASH.age": b"x"}, by="postman")


@forgery(9, "inbox")
def key_of_its_own_event_under_another_ticket(f: Forger, o: Office) -> None:
    f.seal({f"{place(o.other)}/{came(f, o.n)}.permissions-en.HASH.age": b"x"}, by="inbox")


@forgery(9, "inbox")
def key_of_what_another_node_received(f: Forger, o: Office) -> None:
    f.seal({f"{place(o.n)}/{came(f, o.n, by='gate')}.junk.HASH.age": b"x"}, by="inbox")


@forgery(9, "postman")
def desk_secret_by_the_mailer(f: Forger, o: Office) -> None:
    f.seal({"desk/1.postman.HASH.age": b"x"}, by="postman")


@forgery(9)
def desk_secret_to_the_mailer(f: Forger, o: Office) -> None:
    f.seal({"desk/1.postman.HASH.age": b"x"})


@pytest.mark.parametrize(("case", "rule", "who"), FORGERIES)
def test_forged(case: Case, rule: int, who: str, forger: Forger, office: Office) -> None:
    case(forger, office)
    done = verified(forger, office)
    commit, _ = forger.made[-1]
    assert done.code == 7, f"exit {done.code}: {done.out}{done.err}"
    assert f"commit {commit} by {who} breaks rule {rule}:" in done.err
    assert done.err.count("\n") <= 3 and "Traceback" not in done.err


def test_new_actions_after_a_dismissal_do_not_count(office: Office, forger: Forger) -> None:
    """Rule 7. There is no dismissing yet, so the state is made by hand; each act alone would be lawful."""
    from vrt import law
    from vrt.storage import history
    from vrt.storage.git import Repository

    about, base = doubtful(forger, office.n)[0], forger.head()
    acts: list[Callable[[], str]] = [
        lambda: accept(forger, office.n, about),
        lambda: moved(forger, number("11", 1), office.n, about),
        lambda: merge(forger, office.n, office.shut),
        lambda: forger.receive(office.n, {"Follow-Up": "ours", "Content-Ref": REF}),
    ]
    repository = Repository(forger.desk)
    for act in acts:
        forger.move(base)
        last = act()
        state = law.State()
        for commit in history.commits(repository, "", base):
            law.check(state, commit)
        assert state.roster is not None
        gone = state.roster.cards["bob"]._replace(dismissed=True)
        state.turn(state.place, {}, state.roster._replace(cards={**state.roster.cards, "bob": gone}))
        (late,) = history.commits(repository, base, last)
        with pytest.raises(law.Unlawful) as refused:
            law.check(state, late)
        assert refused.value.rule == 7


def test_a_queue_made_later_does_not_open_what_was_before(office: Office, forger: Forger) -> None:
    """Keys of an article may go to any queue by a member of the one it lies in, and by nobody else."""
    f = forger
    queues = sorted([*f.yaml_value("agents/alice.yaml", "queues"), "info-de"])
    files = {"queues/info-de.yaml": new_queue(), "agents/alice.yaml": f.yaml("agents/alice.yaml", queues=queues)}
    f.desk_event("queue-add", {"Queue": "info-de"}, files)
    key = f"{place(office.n)}/{events(f, office.n)[0]['Event']}.info-de.HASH.age"
    f.seal({key: b"by a member"})
    assert verified(f, office).code == 0
    f.seal({key: b"by somebody else"}, by="carol")
    assert verified(f, office).code == 7
