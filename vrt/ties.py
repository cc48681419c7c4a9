"""What an event says of other tickets and of earlier events, and whether that is so: a part of the law. Pure.

``strays`` needs only the tickets; ``Ties`` remembers what later events may be about: of the mails those that are
unverified or not yet answered, and who sends which message.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from vrt.model import MERGED, Card, Event, Ticket


def strays(event: Event, card: Card, ticket: Callable[[str], Ticket | None]) -> tuple[int, str] | None:
    """Say which rule an event breaks by the other ticket that it names, and why; None where all is well."""
    for name in ("Link", "From", "Into"):
        if name not in event.trailers:
            continue
        other = ticket(event.trailers[name])
        if other is None:
            return 4, f"there is no ticket {event.trailers[name]}"
        if name == "From" and event.trailers["About"] not in other.unverified:
            return 4, f"{event.trailers['About']} is nothing unverified of {other.number}"
        if name != "Link" and other.queue not in card.queues:
            return 5, f"{card.handle} is not in the queue {other.queue}"
        if event.action == "merge" and other.state == MERGED:
            return 4, f"{other.number} is merged itself"
    return None


class Doubtful(NamedTuple):
    """An unverified mail: its Message-Ref and Content-Ref, and the ticket in which it was said anew, if any."""

    refs: tuple[str | None, str | None]
    into: str = ""


@dataclass
class Ties:
    """What the accepted events leave for others to be about."""

    senders: dict[str, str] = field(default_factory=dict)  # event id of an outgoing mail -> card that sends it
    _doubtful: dict[str, Doubtful] = field(default_factory=dict)  # event id of an unverified mail
    _answerable: dict[str, str] = field(default_factory=dict)  # ticket whose last event may be answered -> who did it

    def belies(self, event: Event) -> str:
        """Say what an event claims of an earlier one that is not so (rule 4); empty where all is well.

        ``ledger.check_start`` and ``strays`` have found it lawful: what it is about is there.
        """
        about = event.trailers.get("About", "")
        match event.action:
            case "receive" if about and about not in self.senders:
                return f"{about} is no message of ours"
            case "auto-reply" if self._answerable.get(event.ticket) != event.agent:
                return f"{about} is no mail of a person that {event.agent} received as proven"
            case "moved" if self._doubtful[about].refs != _refs(event):
                return f"{about} is another mail"
            case "moved" | "accept" if self._doubtful[about].into:
                return f"{about} went to {self._doubtful[about].into} before"
            case "move" if self._doubtful[about].into != event.trailers["Into"]:
                return f"{about} did not go to {event.trailers['Into']}"
        return ""

    def learn(self, event: Event) -> None:
        """Remember an accepted event for those to come."""
        facts = event.trailers
        if "Sender" in facts:
            self.senders[event.id] = facts["Sender"]
        self._answerable.pop(event.ticket, None)
        match event.action:
            case "receive" if "Unverified" in facts:
                self._doubtful[event.id] = Doubtful(_refs(event))
            case "receive" if not {"Kind", "Suppressed"} & set(facts):
                self._answerable[event.ticket] = event.agent
            case "moved":
                self._doubtful[facts["About"]] = Doubtful(_refs(event), event.ticket)
            case "accept" | "move":
                del self._doubtful[facts["About"]]


def _refs(event: Event) -> tuple[str | None, str | None]:
    return event.trailers.get("Message-Ref"), event.trailers.get("Content-Ref")
