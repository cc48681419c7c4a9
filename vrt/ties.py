"""What an event says of other tickets and of earlier events, and whether that is so: a part of the law. Pure.

``strays`` needs only the tickets; ``Ties`` remembers what later events may be about: of the mails those that are
unverified or not yet answered, and who sends which message.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

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


@dataclass
class Mail:
    """A mail that joined a ticket: its Message-Ref and Content-Ref, and the ticket in which it was said anew."""

    ticket: str
    refs: tuple[str | None, str | None]
    into: str = ""


@dataclass
class Ties:
    """What the accepted events leave for others to be about."""

    senders: dict[str, str] = field(default_factory=dict)  # event id of an outgoing mail -> card that sends it
    _homes: dict[str, str] = field(default_factory=dict)  # event id of an outgoing mail -> its ticket
    _states: dict[str, str] = field(default_factory=dict)  # ... -> what became of it, as ``dispatch`` has it
    _reported: set[tuple[str, str]] = field(default_factory=set)  # ticket, and what came back to it from another
    _kinds: dict[str, str] = field(default_factory=dict)  # event id of a draft -> Kind
    _came: dict[str, str] = field(default_factory=dict)  # event id of a mail -> its ticket
    _mails: dict[str, Mail] = field(default_factory=dict)  # event id of a mail that joined a ticket: it may move on
    _answerable: dict[str, str] = field(default_factory=dict)  # ticket whose last event may be answered -> who did it

    def belies(self, event: Event) -> str:
        """Say what an event claims of an earlier one that is not so (rule 4); empty where all is well.

        ``fold.check_start`` and ``strays`` have found it lawful.
        """
        about = event.trailers.get("About", "")
        mail = self._mails.get(about)
        match event.action:
            case "receive" if about and about not in self.senders:
                return f"{about} is no message of ours"
            case "auto-reply" if self._answerable.get(event.ticket) != event.agent:
                return f"{about} is no mail of a person that {event.agent} received as proven"
            case "moved" if mail is None or mail.ticket != event.trailers["From"]:
                return f"{about} is no mail that can go from {event.trailers['From']}"
            case "moved" if mail and mail.refs != _refs(event):
                return f"{about} is another mail"
            case "moved" | "accept" if mail and mail.into:
                return f"{about} went to {mail.into} before"
            case "move" if mail is None or (mail.ticket, mail.into) != (event.ticket, event.trailers["Into"]):
                return f"{about} did not go to {event.trailers['Into']}"
            case "approve" if self._kinds[about] != event.trailers["Kind"]:
                return f"{about} is a draft of another kind"
            case "redirect" if self._came.get(about) != event.ticket:
                return f"{about} is no mail of this ticket"
        return self._misstates(event, about) if event.action in dispatch.STEPS else ""

    def _misstates(self, event: Event, about: str) -> str:
        if event.action == "cancel" and (event.ticket, about) in self._reported:
            return ""
        if self._homes.get(about) != event.ticket:
            return f"{about} is no message of this ticket"
        if event.action in dispatch.BY_SENDER and self.senders[about] != event.agent:
            return f"{about} is sent by {self.senders[about]}"
        if not dispatch.after(self._states[about], event):
            return f"{event.action} does not go with a message that is {self._states[about]}"
        return ""

    def learn(self, event: Event) -> None:
        """Remember an accepted event for those to come."""
        facts, about = event.trailers, event.trailers.get("About", "")
        if "Sender" in facts:
            self.senders[event.id], self._homes[event.id] = facts["Sender"], event.ticket
            self._states[event.id] = dispatch.QUEUED
        elif dispatch.is_about(event) and self._homes.get(about) == event.ticket:
            self._states[about] = dispatch.after(self._states[about], event)
        elif event.action == "cancel":
            self._reported.discard((event.ticket, about))
        elif dispatch.is_about(event) and not dispatch.automatic(about):
            self._reported.add((event.ticket, about))
        self._answerable.pop(event.ticket, None)
        match event.action:
            case "draft":
                self._kinds[event.id] = facts["Kind"]
            case "moved":
                self._mails[about].into = event.ticket
            case "move":
                del self._mails[about]
        if event.action in ("receive", "moved"):
            self._came[event.id] = event.ticket
        if event.action in ("receive", "moved") and "Queue" not in facts:
            self._mails[event.id] = Mail(event.ticket, _refs(event))
        if event.action == "receive" and not {"Kind", "Suppressed", "Unverified", "Internal"} & set(facts):
            self._answerable[event.ticket] = event.agent


def _refs(event: Event) -> tuple[str | None, str | None]:
    return event.trailers.get("Message-Ref"), event.trailers.get("Content-Ref")
