"""What became of a message of ours, from being queued to being delivered or given up. Pure.

A message is the event with a ``Sender``. Its state is what the events about it add up to.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from vrt.model import Event

QUEUED, SENDING, SENT, FAILED, BOUNCED, CANCELLED, SETTLED = (
    "queued", "sending", "sent", "failed", "bounced", "cancelled", "settled",
)  # fmt: skip
OPEN = (QUEUED, SENDING, FAILED, BOUNCED)  # what somebody, or some machine, has still to do with

# Action -> state before -> state after. ``sending`` without an end is in doubt: nobody knows whether it was taken.
# That a message went out can be recorded also where somebody took it back at the same time; nothing else can: what
# was taken back must never be queued again. Nor does ``sent`` end a message that came back: that says more.
STEPS = {
    "sending": {QUEUED: SENDING},
    "sent": {SENDING: SENT, CANCELLED: SENT, SETTLED: SENT},
    "deferred": {SENDING: QUEUED},
    "failed": {QUEUED: FAILED, SENDING: FAILED},
    "retry": {SENDING: QUEUED, FAILED: QUEUED, BOUNCED: QUEUED},
    "cancel": {QUEUED: CANCELLED, SENDING: SETTLED, FAILED: SETTLED, BOUNCED: SETTLED},
}
BY_SENDER = ("sending", "sent", "deferred", "failed")  # done by the card that sends, and by no other


class Message(NamedTuple):
    """A message of ours: the event that queued it, its state, since when (epoch seconds), and the last event.

    ``doubtful``: a server may have taken it, in a try of which nobody knows the end.
    """

    queued: Event
    state: str
    since: int
    last: Event
    doubtful: bool = False


def automatic(event_id: str) -> bool:
    """Say whether an event is an automatic reply, by its id."""
    return event_id[17:-9] == "auto-reply"


def answers(event_id: str) -> bool:
    """Say whether an event, by its id, may be an answer to who waits; of an approved draft it does not say which."""
    return event_id[17:-9] in ("reply", "approve")


def is_about(event: Event) -> bool:
    """Say whether an event moves the state of a message."""
    return "Sender" in event.trailers or event.action in STEPS or event.trailers.get("Report") == "failed"


def after(state: str, event: Event) -> str:
    """Return the state of a message after an event about it; empty where the event does not go with ``state``."""
    if event.action == "receive":  # a report, whatever we thought of it before: somebody has to look
        return BOUNCED
    return STEPS[event.action].get(state, "")


def messages(events: Iterable[Event]) -> dict[str, Message]:
    """Return the messages of a ticket by their event ids, from its events in ledger order."""
    found: dict[str, Message] = {}
    for event in events:
        about = event.trailers.get("About", "")
        if "Sender" in event.trailers:
            found[event.id] = Message(event, QUEUED, event.time, event)
        elif about in found and is_about(event):
            before = found[about]
            state = after(before.state, event) or before.state
            doubtful = before.doubtful or (before.state == SENDING and event.action in ("retry", "cancel"))
            found[about] = Message(before.queued, state, event.time, event, doubtful)
    return found


def taken_back(events: Iterable[Event]) -> set[str]:
    """Return the messages of a ticket that nobody ever got, for they were taken back in time."""
    return {id_ for id_, m in messages(events).items() if m.state == CANCELLED and not m.doubtful}
