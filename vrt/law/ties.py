"""What an event says of other tickets and of earlier events, and whether that is so: a part of the law. Pure.

``strays`` needs only the tickets; ``Ties`` remembers what later events may be about: of the mails those that are
unverified or not yet answered, and who sends which message.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from typing import NamedTuple

from vrt import dispatch
from vrt.model import MERGED, Card, Event, Ticket


def strays(event: Event, card: Card, ticket: Callable[[str], Ticket | None]) -> tuple[int, str] | None:
    """Say which rule an event breaks by the other ticket that it names, and why; None where all is well."""
    for name in ("Link", "From", "Into"):
        if name not in event.trailers:
            continue
        other = ticket(event.trailers[name])
        if other is None:
            return 4, f"there is no ticket {event.trailers[name]}"
        if name != "Link" and other.queue not in card.queues:
            return 5, f"{card.handle} is not in the queue {other.queue}"
        if event.action == "merge" and other.state == MERGED:
            return 4, f"{other.number} is merged itself"
    return None


class Sent(NamedTuple):
    """A message of ours: its ticket, the card that sends it, and what became of it, as ``dispatch`` has it."""

    ticket: str
    sender: str
    state: str


class Came(NamedTuple):
    """A mail: its ticket, its Message-Ref and Content-Ref, whether it may move on, and where it was said anew."""

    ticket: str
    refs: tuple[str | None, str | None]
    movable: bool
    into: str = ""


@dataclass
class Ties:
    """What the accepted events leave for others to be about, in tables as those of ``State``."""

    sent: MutableMapping[str, Sent] = field(default_factory=dict)  # by event id
    came: MutableMapping[str, Came] = field(default_factory=dict)  # by event id
    drafts: MutableMapping[str, str] = field(default_factory=dict)  # event id of a draft -> Kind
    reported: MutableMapping[str, bool] = field(default_factory=dict)  # "TICKET EVENT" that came back from another
    answerable: MutableMapping[str, str] = field(default_factory=dict)  # ticket whose last event may be -> who did it

    def belies(self, event: Event) -> str:
        """Say what an event claims of an earlier one that is not so (rule 4); empty where all is well.

        ``fold.check_start`` and ``strays`` have found it lawful.
        """
        about = event.trailers.get("About", "")
        mail = self.came.get(about)
        movable = mail if mail and mail.movable else None
        match event.action:
            case "receive" if about and about not in self.sent:
                return f"{about} is no message of ours"
            case "auto-reply" if self.answerable.get(event.ticket) != event.agent:
                return f"{about} is no mail of a person that {event.agent} received as proven"
            case "moved" if movable is None or movable.ticket != event.trailers["From"]:
                return f"{about} is no mail that can go from {event.trailers['From']}"
            case "moved" if movable and movable.refs != _refs(event):
                return f"{about} is another mail"
            case "moved" | "accept" if movable and movable.into:
                return f"{about} went to {movable.into} before"
            case "move" if movable is None or (movable.ticket, movable.into) != (event.ticket, event.trailers["Into"]):
                return f"{about} did not go to {event.trailers['Into']}"
            case "approve" if self.drafts[about] != event.trailers["Kind"]:
                return f"{about} is a draft of another kind"
            case "redirect" if mail is None or mail.ticket != event.ticket:
                return f"{about} is no mail of this ticket"
        return self._misstates(event, about) if event.action in dispatch.STEPS else ""

    def _misstates(self, event: Event, about: str) -> str:
        message = self.sent.get(about)
        if event.action == "cancel" and _reported(event) in self.reported:
            return ""
        if message is None or message.ticket != event.ticket:
            return f"{about} is no message of this ticket"
        if event.action in dispatch.BY_SENDER and message.sender != event.agent:
            return f"{about} is sent by {message.sender}"
        if not dispatch.after(message.state, event):
            return f"{event.action} does not go with a message that is {message.state}"
        return ""

    def learn(self, event: Event) -> None:
        """Remember an accepted event for those to come."""
        facts, about = event.trailers, event.trailers.get("About", "")
        message = self.sent.get(about)
        if "Sender" in facts:
            self.sent[event.id] = Sent(event.ticket, facts["Sender"], dispatch.QUEUED)
        elif dispatch.is_about(event) and message and message.ticket == event.ticket:
            self.sent[about] = message._replace(state=dispatch.after(message.state, event))
        elif event.action == "cancel":
            self.reported.pop(_reported(event), None)
        elif about and dispatch.is_about(event) and not dispatch.automatic(about):
            self.reported[_reported(event)] = True
        self.answerable.pop(event.ticket, None)
        match event.action:
            case "draft":
                self.drafts[event.id] = facts["Kind"]
            case "moved":
                self.came[about] = self.came[about]._replace(into=event.ticket)
            case "move":
                self.came[about] = self.came[about]._replace(movable=False)
        if event.action in ("receive", "moved"):
            self.came[event.id] = Came(event.ticket, _refs(event), "Queue" not in facts)
        if event.action == "receive" and not {"Kind", "Suppressed", "Unverified", "Internal"} & set(facts):
            self.answerable[event.ticket] = event.agent


def _refs(event: Event) -> tuple[str | None, str | None]:
    return event.trailers.get("Message-Ref"), event.trailers.get("Content-Ref")


def _reported(event: Event) -> str:
    return f"{event.ticket} {event.trailers['About']}"
