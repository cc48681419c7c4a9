"""Events as commit messages and as changes of a ticket, against the vectors in ``tests/vectors``."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrt import dispatch, fold, ledger, number
from vrt.ledger import ACTIONS, BadEvent
from vrt.model import CLOSED, Event, Ticket

VECTORS = Path(__file__).parent / "vectors"


def vector(name: str) -> Any:
    return json.loads((VECTORS / name).read_text())


def event(value: dict[str, Any]) -> Event:
    return Event(**value)


# --- messages -------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", vector("messages.json"), ids=lambda c: c["message"].split("\n")[0])
def test_message_byte_for_byte(case: dict[str, Any]) -> None:
    e = event(case["event"])
    assert ledger.message(e) == case["message"]
    assert ledger.parse(case["message"], agent=e.agent, time=e.time) == e


def test_every_action_has_a_vector() -> None:
    assert {c["event"]["action"] for c in vector("messages.json")} == set(ACTIONS)


TAKE = next(c for c in vector("messages.json") if c["event"]["action"] == "take")


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t + "\n",
        lambda t: t[:-1],
        lambda t: t.replace("\n\n", "\n", 1),
        lambda t: t.replace("Owner", "owner"),
        lambda t: t.replace("Owner: ", "Owner:"),
        lambda t: t.replace("Owner: alice\n", ""),
        lambda t: t + "Force: no\n",
        lambda t: t + "State: open\n",
        lambda t: t + "Owner: alice\n",
        lambda t: t.replace("take ", "Take ", 1),
        lambda t: t.replace("2026112010000017", "2026112010000018"),
        lambda t: t.replace("Z\n", "Z \n"),
        lambda t: t.replace("2026-11-21", "2026-02-30"),
        lambda t: t.replace("2026-11-21", "２026-11-21"),
        lambda t: t.replace("Action: take", "Action: release"),
        lambda t: t.replace("alice", "Alice"),
        lambda t: t.replace("alice", "a" * 41),
        lambda t: t.replace("\n", "\r\n"),
        lambda t: "",
        lambda t: "\n\n\n",
        lambda t: t.replace("Ticket: ", "Ticket:  "),
        lambda t: "\ufeff" + t,
        lambda t: t.replace("alice\n", "alice\u2028\n"),
    ],
)
def test_any_other_message_is_refused(change: Any) -> None:
    """One change to a good message: never taken as some event, never another exception."""
    with pytest.raises(BadEvent):
        ledger.parse(change(TAKE["message"]), agent="alice", time=TAKE["event"]["time"])


@pytest.mark.parametrize("time", [-1, 2**31, 10**12, 10**14, 10**30])
def test_times_out_of_any_calendar(time: int) -> None:
    with pytest.raises(BadEvent):
        ledger.parse(TAKE["message"], agent="alice", time=time)


@given(st.text(alphabet=string.ascii_letters + string.digits + " :-+\n\r\t٣", max_size=200))
def test_rubbish_is_refused(text: str) -> None:
    with pytest.raises(BadEvent):
        ledger.parse(text, agent="alice", time=1795170000)


@given(st.integers(0, 253402300799))
def test_times_come_back(time: int) -> None:
    assert ledger.unstamp(ledger.stamp(time)) == time
    assert ledger.EVENT_ID.fullmatch(ledger.event_id(time, "take", "0123abcd"))


def test_paths_are_where_the_format_says() -> None:
    folder = "tickets/2026/11/20/000/2026112010000017"
    id = "20261120T093205Z-receive-5f3a91c2"
    received, taken = (Event(id, action, "alice", 0, "2026112010000017") for action in ("receive", "take"))
    assert ledger.paths(received) == [f"{folder}/{id}.eml.age", f"{folder}/{id}.md.age"]
    assert ledger.paths(taken) == [f"{folder}/{id}"]


# --- the fold -------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", vector("fold.json"), ids=lambda c: c["name"])
def test_fold(case: dict[str, Any]) -> None:
    """The state after each event, not only after the last."""
    events = [event(e) for e in case["events"]]
    for i, wanted in enumerate(case["states"], 1):
        ticket = fold.fold(events[:i])["2026112010000017"]
        got = {name: getattr(ticket, name) for name in wanted}
        got |= {name: list(got[name]) for name in ("tags", "unverified", "links", "undelivered") if name in got}
        assert got == wanted, f"after {events[i - 1].action}"
        assert ticket.last_event == events[i - 1].id


def test_tickets_do_not_touch_each_other() -> None:
    given = vector("fold.json")[1]["events"]
    events = [event(e) for e in given]
    both = fold.fold([event(given[0] | {"ticket": "2026112010000025"}), *events])
    assert both["2026112010000025"].state == "new"
    assert both["2026112010000017"] == fold.fold(events)["2026112010000017"]


@pytest.mark.parametrize("action", [a for a, row in ACTIONS.items() if row.starts])
@pytest.mark.parametrize("state", ["", "new", "open", "pending", "closed", "merged"])
def test_start_is_as_the_table_says(action: str, state: str) -> None:
    facts = {"Queue": "info-en"} if action == "new" or (action in ("receive", "moved") and not state) else {}
    if "About" in ACTIONS[action].must or action == "draft":
        facts["About"] = "some-event"
    facts |= {"link": {"Link": "2026112010000025"}, "unlink": {"Link": "2026112010000081"}}.get(action, {})
    ticket: Ticket | None = Ticket(
        "2026112010000017", "info-en", state=state, unverified=("some-event",), last_event="some-event",
        draft="" if action == "merge" else "some-event", draft_by="bob", links=("2026112010000081",),
    )  # fmt: skip
    if not state:
        ticket = None
    e = Event("x", action, "alice", 0, "2026112010000017", facts)
    if state in ACTIONS[action].starts:
        fold.check_start(ticket, e)
    else:
        with pytest.raises(BadEvent):
            fold.check_start(ticket, e)


def test_closed_is_final_but_for_answers() -> None:
    may = {a for a, row in ACTIONS.items() if CLOSED in row.starts}
    said = {"receive", "auto-reply", "note", "moved", "draft", "reply", "forward", "approve", "redirect", "failed"}
    done = {"route", "priority", "tag", "reopen", "accept", "move", "merge", "link", "unlink", "discard"}
    assert may == said | done | set(dispatch.STEPS)


UNVERIFIED = Ticket("2026112010000017", "info-en", unverified=("one", "two"), last_event="two")


@pytest.mark.parametrize(("action", "about"), [("accept", "three"), ("auto-reply", "one")])
def test_what_an_event_is_about_must_be_there(action: str, about: str) -> None:
    with pytest.raises(BadEvent):
        fold.check_start(UNVERIFIED, Event("x", action, "alice", 0, UNVERIFIED.number, {"About": about}))


DRAFTED = Ticket("2026112010000017", "info-en", draft="new", draft_by="bob")
FREE = DRAFTED._replace(draft="", draft_by="")


@pytest.mark.parametrize(
    ("ticket", "action", "agent", "about", "lawful"),
    [
        (FREE, "draft", "bob", "", True),
        (FREE, "draft", "bob", "old", False),
        (DRAFTED, "draft", "bob", "new", True),
        (DRAFTED, "draft", "alice", "new", True),
        (DRAFTED, "draft", "alice", "", False),
        (DRAFTED, "draft", "alice", "old", False),
        (DRAFTED, "approve", "alice", "new", True),
        (DRAFTED, "approve", "bob", "new", False),
        (DRAFTED, "approve", "alice", "old", False),
        (FREE, "approve", "alice", "new", False),
        (DRAFTED, "reply", "bob", "new", True),
        (DRAFTED, "reply", "bob", "", True),
        (DRAFTED, "reply", "bob", "old", False),
        (DRAFTED, "forward", "bob", "old", False),
        (FREE, "reply", "bob", "new", False),
        (DRAFTED, "discard", "alice", "new", True),
        (DRAFTED, "discard", "alice", "old", False),
        (FREE, "discard", "alice", "new", False),
    ],
)
def test_a_ticket_has_one_draft_and_others_approve_it(
    ticket: Ticket, action: str, agent: str, about: str, lawful: bool
) -> None:
    e = Event("x", action, agent, 0, ticket.number, {"About": about} if about else {})
    if lawful:
        fold.check_start(ticket, e)
    else:
        with pytest.raises(BadEvent):
            fold.check_start(ticket, e)


@pytest.mark.parametrize(("action", "to"), [("link", "2026112010000081"), ("unlink", "2026112010000025")])
def test_a_link_is_made_once_and_parted_once(action: str, to: str) -> None:
    linked = Ticket("2026112010000017", "info-en", links=("2026112010000081",))
    with pytest.raises(BadEvent):
        fold.check_start(linked, Event("x", action, "alice", 0, linked.number, {"Link": to}))


def test_what_has_a_draft_is_not_merged() -> None:
    merge = Event("x", "merge", "bob", 0, DRAFTED.number, {"Into": "2026112010000081"})
    fold.check_start(FREE, merge)
    with pytest.raises(BadEvent):
        fold.check_start(DRAFTED, merge)


@pytest.mark.parametrize("action", ["receive", "moved"])
@pytest.mark.parametrize("born", [False, True])
def test_what_begins_a_ticket_names_its_queue_and_nothing_else_does(action: str, born: bool) -> None:
    facts = {} if born else {"Queue": "info-en"}
    with pytest.raises(BadEvent):
        fold.check_start(None if born else FREE, Event("x", action, "alice", 0, FREE.number, facts))


def test_a_ticket_takes_so_many_unverified_mails_and_no_more() -> None:
    follow_up = Event("x", "receive", "eve", 0, UNVERIFIED.number, {"Follow-Up": "subject", "Unverified": "stranger"})
    full = UNVERIFIED._replace(unverified=tuple(str(i) for i in range(ledger.UNVERIFIED_MOST)))
    fold.check_start(full._replace(unverified=full.unverified[1:]), follow_up)
    with pytest.raises(BadEvent):
        fold.check_start(full, follow_up)


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"Queue": "info-en", "Follow-Up": "subject"},
        {"Queue": "info-en", "Link": "2026112010000081"},
        {"Follow-Up": "subject", "Link": "2026112010000081"},
        {"Queue": "info-en", "Follow-Up": "subject", "Link": "2026112010000017"},
        {"Queue": "info-en", "Follow-Up": "subject", "Link": "2026112010000082"},
        {"Queue": "info-en", "Unverified": "stranger"},
        {"Queue": "info-en", "Rejected": "yes"},
        {"Follow-Up": "subject", "Priority": "5"},
        {"Follow-Up": "subject", "Tag": "+legal"},
        {"Queue": "info-en", "Tag": "-legal"},
        {"Queue": "info-en", "Tag": "+legal -urgent"},
        {"Queue": "info-en", "Kind": "bounce"},
        {"Queue": "info-en", "Report": "failed"},
        {"Queue": "info-en", "Kind": "list", "Report": "failed"},
        {"Follow-Up": "report", "Kind": "bounce", "Report": "failed"},
        {"Follow-Up": "subject", "About": "20261120T102000Z-receive-00000000"},
        {"Queue": "info-en", "Kind": "reply"},
        {"Follow-Up": "ours", "Kind": "forward"},
        {"Queue": "info-en", "Internal": "yes"},
        {"Follow-Up": "references", "Internal": "yes"},
        {"Follow-Up": "subject", "Unverified": "stranger", "Internal": "yes"},
        {"Follow-Up": "ours", "Internal": "no"},
        {"Follow-Up": "ours", "Sender": "alice"},
    ],
)
def test_received_mail_says_nothing_that_does_not_go_together(facts: dict[str, str]) -> None:
    id_ = "20261120T102000Z-receive-00000000"
    given = {"Content-Ref": "1:" + "A" * 26, **facts}
    with pytest.raises(BadEvent):
        ledger.check_form(Event(id_, "receive", "alice", 1795170000, "2026112010000017", given))


SENT = {"Message-Ref": "1:" + "A" * 26, "Sender": "alice"}
ABOUT = {"About": "20261120T102000Z-draft-00000000"}


@pytest.mark.parametrize(
    ("action", "facts"),
    [
        ("draft", {}),
        ("draft", {"Kind": "redirect"}),
        ("draft", {"Kind": "bounce"}),
        ("draft", {"Kind": "reply", "Sender": "alice"}),
        ("reply", {"Sender": "alice"}),
        ("reply", {"Message-Ref": SENT["Message-Ref"]}),
        ("reply", SENT | {"Kind": "reply"}),
        ("reply", SENT | {"About": "a draft"}),
        ("reply", SENT | {"Sender": "alice, bob"}),
        ("forward", SENT | {"Sender-Ref": "1:" + "A" * 26}),
        ("redirect", SENT),
        ("redirect", SENT | ABOUT | {"Sender-Ref": "1:" + "A" * 26}),
        ("approve", SENT | {"Kind": "reply"}),
        ("approve", SENT | ABOUT),
        ("approve", SENT | ABOUT | {"Kind": "list"}),
        ("approve", SENT | ABOUT | {"Kind": "forward", "Sender-Ref": "1:" + "A" * 26}),
        ("failed", {"Status": "5.1.1"}),
        ("failed", ABOUT | {"Status": "3.1.1"}),
        ("failed", ABOUT | {"Status": "550 no such user"}),
        ("sending", {}),
        ("sent", ABOUT | {"Status": "2.0.0"}),
        ("deferred", {"Status": "4.7.1"}),
        ("retry", {}),
        ("cancel", ABOUT | {"Force": "yes"}),
        ("discard", {}),
        ("link", {}),
        ("link", {"Link": "2026112010000017"}),
        ("unlink", {"Link": "2026112010000018"}),
        ("pend", {"Until": "2026-11-21T10:00:00Z", "Outcome": "Gone for good"}),
        ("moved", {"From": "2026112010000017", "Content-Ref": SENT["Message-Ref"]} | ABOUT),
    ],
)
def test_what_goes_out_says_nothing_else(action: str, facts: dict[str, str]) -> None:
    with pytest.raises(BadEvent):
        ledger.check_form(Event(f"20261120T102000Z-{action}-00000000", action, "alice", 1795170000,
                                "2026112010000017", facts))  # fmt: skip


@pytest.mark.parametrize(
    "name",
    ["closing", "de", "/closing", "de/", "de//closing", "DE/closing", "de/Closing", "de/../closing", "deut/closing",
     "de/info-de/closing/more", "de/closing.md", "de/clo sing", "de/closing\n", "de-/closing", "de/-closing"],
)  # fmt: skip
def test_a_template_has_a_plain_name(name: str) -> None:
    e = Event("20261120T102000Z-template-set-00000000", "template-set", "alice", 1795170000, "", {"Template": name})
    with pytest.raises(BadEvent):
        ledger.check_form(e)


def test_trailers_of_the_table_are_known() -> None:
    for row in ACTIONS.values():
        assert {*row.must, *row.may} <= set(ledger.TRAILERS)
        assert not {*row.must} & {*row.may}


# --- numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", vector("numbers.json")["made"], ids=lambda c: c["number"])
def test_number_vectors(case: dict[str, Any]) -> None:
    assert number.make(case["day"], case["system_id"], case["counter"]) == case["number"]
    assert number.folder(case["number"]) == case["folder"]
    assert number.system_id(case["number"]) == case["system_id"]
    assert number.counter(case["number"]) == case["counter"]


def test_public_numbers_are_valid() -> None:
    assert all(map(number.is_valid, vector("numbers.json")["valid"]))
    assert not any(map(number.is_valid, vector("numbers.json")["invalid"]))
