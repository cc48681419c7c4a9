"""What becomes of a message of ours: the steps, and that law, fold and index add up the same events to the same."""

from __future__ import annotations

from itertools import count, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrt import dispatch, fold
from vrt.dispatch import BOUNCED, CANCELLED, FAILED, QUEUED, SENDING, SENT, SETTLED
from vrt.law import Ties
from vrt.model import Event, Ticket

STATES = (QUEUED, SENDING, SENT, FAILED, BOUNCED, CANCELLED, SETTLED)
REPORT = {"Follow-Up": "report", "Kind": "bounce"}


def message(action: str = "reply", ticket: str = "1", number: int = 0) -> Event:
    id_ = f"20261120T102000Z-{action}-{number:08x}"
    facts = {"Sender": "postman"} | ({"Kind": "reply"} if action == "approve" else {})
    return Event(id_, action, "bob", 0, ticket, facts)


def after(about: Event, action: str, agent: str = "postman", ticket: str = "", time: int = 0) -> Event:
    """An event about a message; ``report`` is a delivery report that says it failed."""
    facts = {"About": about.id} | (REPORT | {"Report": "failed"} if action == "report" else {})
    id_ = f"20261120T102000Z-{action}-{next(NUMBERS):08x}"
    return Event(id_, "receive" if action == "report" else action, agent, time, ticket or about.ticket, facts)


NUMBERS = count(100)

# What each event makes of a message in each state; what is not here is refused.
WANTED = {
    ("sending", QUEUED): SENDING,
    ("sent", SENDING): SENT,
    ("sent", CANCELLED): SENT,
    ("sent", SETTLED): SENT,
    ("deferred", SENDING): QUEUED,
    ("failed", QUEUED): FAILED,
    ("failed", SENDING): FAILED,
    ("retry", SENDING): QUEUED,
    ("retry", FAILED): QUEUED,
    ("retry", BOUNCED): QUEUED,
    ("cancel", QUEUED): CANCELLED,
    ("cancel", SENDING): SETTLED,
    ("cancel", FAILED): SETTLED,
    ("cancel", BOUNCED): SETTLED,
    **{("report", state): BOUNCED for state in STATES},
}


@pytest.mark.parametrize(("action", "state"), [*product([*dispatch.STEPS, "report"], STATES)])
def test_steps(action: str, state: str) -> None:
    assert dispatch.after(state, after(message(), action)) == WANTED.get((action, state), "")


def test_what_was_taken_back_is_queued_again_by_people_alone() -> None:
    """A server that defers it, or a report, must not undo what somebody did."""
    machines = [*dispatch.BY_SENDER, "report"]
    reached, new = set(), {CANCELLED, SETTLED}
    while new:
        reached |= new
        new = {WANTED[a, s] for a, s in product(machines, reached) if (a, s) in WANTED} - reached
    assert not reached & {QUEUED, SENDING}


def test_the_state_of_each_message_of_a_ticket() -> None:
    first, second = message(number=1), message("approve", number=2)
    events = [
        Event("20261120T101900Z-receive-00000000", "receive", "inbox", 0, "1", {"Queue": "info-en"}),
        first,
        after(first, "sending", time=1),
        second,
        after(second, "cancel", "bob", time=2),
        after(first, "sent", time=3),
        Event("20261120T102000Z-note-00000000", "note", "bob", 4, "1"),
        Event("x", "receive", "inbox", 5, "1", REPORT | {"About": first.id, "Report": "delayed"}),
    ]
    found = dispatch.messages(events)
    assert found == {
        first.id: dispatch.Message(first, SENT, 3, events[5]),
        second.id: dispatch.Message(second, CANCELLED, 2, events[4]),
    }
    last = after(first, "report", "inbox", time=6)
    assert dispatch.messages([*events, last])[first.id] == dispatch.Message(first, BOUNCED, 6, last)
    assert dispatch.messages(events[2:3]) == {}, "an event about what is not here"


@pytest.mark.parametrize(
    ("action", "automatic", "answers"),
    [("auto-reply", True, False), ("reply", False, True), ("approve", False, True), ("forward", False, False),
     ("redirect", False, False)],
)  # fmt: skip
def test_an_event_id_says_what_it_is(action: str, automatic: bool, answers: bool) -> None:
    id_ = message(action).id
    assert (dispatch.automatic(id_), dispatch.answers(id_)) == (automatic, answers)


# --- law, fold and index: one truth -------------------------------------------------------------------

MESSAGES = [
    message("reply", "1", 1),
    message("approve", "1", 2),
    message("auto-reply", "1", 3),
    message("forward", "2", 4),
]
PEOPLE = ("retry", "cancel")
IN_TROUBLE = (SENDING, FAILED, BOUNCED)
ACTS = st.tuples(
    st.sampled_from([*dispatch.STEPS, "report"]), st.sampled_from(MESSAGES), st.sampled_from(["", "", "", "1", "2"])
)


def lawful(ties: Ties, tickets: dict[str, Ticket], event: Event) -> bool:
    """Take an event in where the law of ties lets it, as ``law.check`` does."""
    if ties.belies(event):
        return False
    ties.learn(event)
    tickets[event.ticket] = fold.apply(tickets[event.ticket], event)
    return True


@given(st.lists(ACTS, max_size=40))
def test_law_fold_and_index_agree(acts: list[tuple[str, Event, str]]) -> None:
    """Whatever happens, in the message's ticket or in another (it was merged since): who adds it up gets the same.

    What is shown as undelivered is just what is in trouble, and somebody can always do something about it.
    """
    ties, tickets = Ties(), {n: Ticket(n, "info-en", articles=1) for n in ("1", "2")}
    events: list[Event] = []
    for queued in MESSAGES:
        ties.drafts[""] = "reply"  # of the draft that was approved
        queued = queued._replace(trailers=queued.trailers | ({"About": ""} if queued.action == "approve" else {}))
        ties.learn(queued)
        events.append(queued)
    for action, about, elsewhere in acts:
        done = after(about, action, "bob" if action in PEOPLE else "postman", elsewhere)
        if lawful(ties, tickets, done):
            events.append(done)
        else:
            assert action != "report", "a report that came is never refused: intake cannot know"
    strange = {n: [e for e in tickets[n].undelivered if ties.sent[e].ticket != n] for n in tickets}
    for number, ticket in tickets.items():
        states = {id_: m.state for id_, m in dispatch.messages(e for e in events if e.ticket == number).items()}
        assert states == {id_: ties.sent[id_].state for id_ in states}
        trouble = [id_ for id_, state in states.items() if state in IN_TROUBLE and not dispatch.automatic(id_)]
        assert sorted(ticket.undelivered) == sorted(trouble + strange[number])
        for id_ in ticket.undelivered:
            assert lawful(ties, tickets, Event("x", "cancel", "bob", 0, number, {"About": id_}))
        assert tickets[number].undelivered == ()


def test_only_the_sender_says_what_it_did() -> None:
    for action in dispatch.BY_SENDER:
        ties = Ties()
        ties.learn(message())
        if action not in ("sending", "failed"):
            ties.learn(after(message(), "sending"))
        assert ties.belies(after(message(), action, "alice")) == f"{message().id} is sent by postman"
        assert ties.belies(after(message(), action)) == ""
