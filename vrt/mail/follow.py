"""Which ticket a mail belongs to: by the ids it refers to, or the number in its subject.

Works on the ledger's keyed refs alone, so that a node which cannot read the mail can do it too.
"""

from __future__ import annotations

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
    salt: bytes  # of the ticket: the one that proved the sender a party


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

    def salts(self, ticket: str) -> list[bytes]:
        """Return what may be a ticket's salt."""
        return [self._salts[ticket]] if ticket in self._salts else self._index.salts(ticket)

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
    address = mail.from_[0].address
    for id_ in [*mail.in_reply_to, *reversed(mail.references)]:
        found = known.with_ref("Message-Ref", "message", message_value(id_))
        if len(found) == 1 and (salt := _party(known, found[0].ticket, address)):  # an id of two mails proves nothing
            return Joined(found[0].ticket, "references", salt)
    for wanted in number.in_subject(mail.subject):
        if salt := _party(known, wanted, address):
            return Joined(wanted, "subject", salt)
    return None


def _party(known: Known, wanted: str, address: str) -> bytes | None:
    """Return the ticket's salt if ``address`` is a party of it, else None."""
    ticket = known.ticket(wanted)
    if not address or ticket is None or ticket.state == MERGED:
        return None
    parties = known.parties(wanted)
    for salt in known.salts(wanted):
        if not parties.isdisjoint(known.ring.refs("sender", sender_value(salt, address))):
            return salt
    return None
