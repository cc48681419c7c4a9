"""Which ticket a mail belongs to: by the ids it refers to, or the number in its subject.

Works on the ledger's keyed refs alone, so that a node which cannot read the mail can do it too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vrt import number
from vrt.mail.parse import Mail
from vrt.model import MERGED, Event, Ticket
from vrt.storage.index import Index
from vrt.storage.keyring import Keyring, message_value, sender_value

UNCLEAR = {"bad address", "more than one from header"}  # defects that leave open who wrote


@dataclass(frozen=True)
class Joined:
    """The ticket that a mail continues, and the rule that said so (the Follow-Up trailer)."""

    ticket: str
    rule: str


class Known:
    """What the index knows, and what this batch adds to it before it is recorded."""

    def __init__(self, index: Index, ring: Keyring) -> None:
        self._index, self.ring = index, ring
        self._refs: dict[tuple[str, str], list[Event]] = {}  # (trailer, ref) -> events of this batch
        self._tickets: dict[str, Ticket] = {}
        self._senders: dict[str, set[str]] = {}
        self._salts: dict[str, bytes] = {}

    def add(self, event: Event, ticket: Ticket, salt: bytes | None) -> None:
        """Know an event of this batch."""
        for name in ("Message-Ref", "Content-Ref"):
            if name in event.trailers:
                self._refs.setdefault((name, event.trailers[name]), []).append(event)
        self._tickets[ticket.number] = ticket
        if salt:
            self._salts[ticket.number] = salt
        self._senders.setdefault(ticket.number, set()).update(event.trailers.get("Sender-Ref", "").split())

    def with_ref(self, trailer: str, kind: str, value: bytes) -> list[Event]:
        """Return the events whose ``trailer`` is a ref of ``value``, newest first."""
        refs = self.ring.refs(kind, value)
        here = [e for ref in refs for e in self._refs.get((trailer, ref), [])]
        return here[::-1] + [self._index.event(seq) for seq in self._index.with_ref(trailer, refs)]

    def ticket(self, wanted: str) -> Ticket | None:
        """Return a ticket as this batch leaves it."""
        return self._tickets.get(wanted) or self._index.ticket(wanted)

    def salt(self, ticket: str) -> bytes | None:
        """Return a ticket's salt, if it is at hand."""
        return self._salts.get(ticket) or self._index.salt(ticket)

    def parties(self, ticket: str) -> set[str]:
        """Return the Sender-Refs of a ticket."""
        refs = set(self._senders.get(ticket, ()))
        for event in self._index.events(ticket):
            refs.update(event.trailers.get("Sender-Ref", "").split())
        return refs


def duplicate(known: Known, mail: Mail) -> tuple[Event | None, bool]:
    """Return the event that received this very mail before, if any, and whether its id belongs to another mail.

    The same mail: Message-Ref and Content-Ref are both known, of one event.
    """
    same = known.with_ref("Content-Ref", "content", mail.content)
    if not mail.message_id:
        return next((e for e in same if "Message-Ref" not in e.trailers), None), False
    named = known.with_ref("Message-Ref", "message", message_value(mail.message_id))
    ids = {e.id for e in same}
    return next((e for e in named if e.id in ids), None), bool(named)


def ticket_of(known: Known, mail: Mail) -> Joined | None:
    """Return the ticket that ``mail`` continues, or None: it begins a new one.

    Only a party of the ticket (somebody who wrote in before) continues it: numbers and ids can be seen by others.
    A sender field that names several people, or that had to be guessed, is nobody's.
    """
    if len(mail.from_) != 1 or not UNCLEAR.isdisjoint(mail.defects):
        return None
    is_party = _party_test(known, mail.from_[0].address)
    for id_ in [*mail.in_reply_to, *reversed(mail.references)]:
        found = known.with_ref("Message-Ref", "message", message_value(id_))
        if len(found) == 1 and is_party(found[0].ticket):  # an id of two different mails proves nothing
            return Joined(found[0].ticket, "references")
    for wanted in number.in_subject(mail.subject):
        if is_party(wanted):
            return Joined(wanted, "subject")
    return None


def _party_test(known: Known, address: str) -> Callable[[str], bool]:
    def test(wanted: str) -> bool:
        ticket, salt = known.ticket(wanted), known.salt(wanted)
        if not address or ticket is None or salt is None or ticket.state == MERGED:
            return False
        return not known.parties(wanted).isdisjoint(known.ring.refs("sender", sender_value(salt, address)))

    return test
