"""Which ticket a mail belongs to, and whether it came before: by the ids it names, or the number in its subject.

Works on the ledger's keyed refs alone, so that a node which cannot read the mail can do it too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from vrt import dispatch, fold, ledger, number
from vrt.mail.bounce import Report
from vrt.mail.evidence import UNCLEAR
from vrt.mail.parse import Mail
from vrt.model import Event, Ticket
from vrt.storage.index import Index
from vrt.storage.keyring import Keyring, message_value, sender_value
from vrt.text import lower

_SALTS = 4  # of a ticket with planted ones beside the true one, how many are tried in a Sender-Ref
_HITS = 100  # ids and numbers of one mail that are known, of which the parties are looked at
_SAME_ID, _NEWEST = 16, 4  # messages with one id that are looked at: the oldest, and of the newest so many
_SENDERS = 3  # addresses of From, and of Reply-To, that count


@dataclass(frozen=True)
class Joined:
    """The ticket that a mail continues, by which rule (the Follow-Up trailer), and what is in doubt about it.

    ``salts``: of the ticket, what the sender's ref is made with. ``unverified``: why it is not proven that the
    sender belongs to the ticket, empty if it is. ``ticket`` is empty where the mail names several, and none is
    proven. ``about``: the event of the message that a delivery report is about. ``internal``: it answers what was
    forwarded to somebody, and is not for the requester.
    """

    ticket: str
    rule: str
    salts: tuple[bytes, ...]
    unverified: str = ""
    about: str = ""
    internal: bool = False


class Found(NamedTuple):
    """Where a ref stands: the places of events in the index, and events of this batch by their ids."""

    places: set[int]
    here: dict[str, Event]

    def __bool__(self) -> bool:
        return bool(self.places or self.here)

    def both(self, other: Found) -> Found:
        """Return where this and ``other`` stand in one event."""
        return Found(self.places & other.places, {i: e for i, e in self.here.items() if i in other.here})


class Known:
    """What the index knows, and what this batch adds to it before it is recorded."""

    def __init__(self, index: Index, ring: Keyring) -> None:
        self._index, self.ring = index, ring
        self._refs: dict[tuple[str, str], list[Event]] = {}  # (trailer, ref) -> events of this batch
        self._tickets: dict[str, Ticket] = {}
        self._parties: dict[str, set[str]] = {}  # of the tickets that were asked for
        self._salts: dict[str, bytes] = {}
        self._births: dict[str, str] = {}  # ticket -> queue

    def add(self, event: Event, ticket: Ticket, salt: bytes | None) -> None:
        """Know an event of this batch."""
        for name in ("Message-Ref", "Content-Ref"):
            if name in event.trailers:
                self._refs.setdefault((name, event.trailers[name]), []).append(event)
        self._tickets[ticket.number] = ticket
        if salt:
            self._salts[ticket.number] = salt
        if "Queue" in event.trailers:
            self._births[ticket.number] = event.trailers["Queue"]
            self._parties[ticket.number] = set()  # there is nothing of it to be read
        if "Unverified" not in event.trailers:
            self.parties(ticket.number).update(_senders(event))

    def found(self, trailer: str, kind: str, value: bytes) -> Found:
        """Return where ``trailer`` is a ref of ``value``, before this batch and in it."""
        refs = self.ring.refs(kind, value)
        here = {e.id: e for ref in refs for e in self._refs.get((trailer, ref), ())}
        return Found(set(self._index.with_ref(trailer, refs)), here)

    def events(self, found: Found) -> list[Event]:
        """Return the events of ``found``, oldest first; of very many some."""
        seqs = sorted(found.places)
        if len(seqs) > _SAME_ID:
            seqs = seqs[: _SAME_ID - _NEWEST] + seqs[-_NEWEST:]
        return [self._index.event(seq) for seq in seqs] + [*found.here.values()][: _SAME_ID - _NEWEST]

    def named(self, message_id: str) -> list[Event]:
        """Return the events of the messages with this id, oldest first, without those moved to another ticket."""
        found = self.events(self.found("Message-Ref", "message", message_value(message_id)))
        return [e for e in found if not self._moved(e)]

    def _moved(self, event: Event) -> bool:
        if event.action not in ("receive", "moved") or "Queue" in event.trailers:
            return False
        return event.id in fold.moved(self._index.events(event.ticket))

    def ticket(self, wanted: str) -> Ticket | None:
        """Return a ticket as this batch leaves it."""
        return self._tickets.get(wanted) or self._index.ticket(wanted)

    def home(self, wanted: str) -> Ticket | None:
        """Return the ticket that ``wanted`` is merged into, itself if it is not, None for none."""
        return fold.home(wanted, self.ticket)

    def merged_into(self, ticket: str) -> list[str]:
        """Return the tickets that were merged into a ticket, and those that were merged into them."""
        found = self._index.merged_into(ticket)
        for merged in found:  # it grows
            found += self._index.merged_into(merged)
        return found

    def born_in(self, ticket: str) -> str:
        """Return the queue that a ticket began in."""
        return self._births.get(ticket) or self._index.events(ticket)[0].trailers["Queue"]

    def redirected(self, ticket: str) -> bool:
        """Say whether a mail of a ticket went on to somebody else, who then knows the ids that it names."""
        return any(e.action == "redirect" for e in self._index.events(ticket))

    def salts(self, ticket: str) -> list[bytes]:
        """Return what may be a ticket's salt."""
        return [self._salts[ticket]] if ticket in self._salts else self._index.salts(ticket)

    def parties(self, ticket: str) -> set[str]:
        """Return the Sender-Refs of a ticket's parties: of mail that joined it as verified, or was accepted."""
        if ticket in self._parties:
            return self._parties[ticket]
        refs = self._parties[ticket] = set()
        doubtful: dict[str, Event] = {}
        events = self._index.events(ticket)
        gone = fold.moved(events).keys() | dispatch.taken_back(events)
        for event in events:
            if event.id in gone:
                continue
            if "Unverified" in event.trailers:
                doubtful[event.id] = event
            elif event.action == "accept":
                about = event.trailers["About"]
                refs |= _senders(doubtful[about]) if about in doubtful else set()
            else:
                refs |= _senders(event)
        return refs

    def is_party(self, ticket: str, address: str) -> bytes | None:
        """Return the ticket's salt if ``address`` is a party of it, else None."""
        parties = self.parties(ticket)
        for salt in self.salts(ticket):
            if not parties.isdisjoint(self.ring.refs("sender", sender_value(salt, address))):
                return salt
        return None


def _senders(event: Event) -> set[str]:
    return set(event.trailers.get("Sender-Ref", "").split())


def senders(mail: Mail) -> list[str]:
    """Return the addresses, in lower case, that make a party of who wrote ``mail``: From and Reply-To."""
    found = (*mail.from_[:_SENDERS], *mail.reply_to[:_SENDERS])
    return list(dict.fromkeys(lower(a.address) for a in found if a.address))


# --- the four rules -------------------------------------------------------------------------------


def ticket_of(known: Known, mail: Mail, report: Report | None, verdict: str) -> Joined | None:
    """Return the ticket that ``mail`` continues, or None: it begins a new one.

    A delivery report that names a message of ours, and an answer that does, are proven: those ids are random and known
    to nobody else, unless a mail that names them went on to somebody (``redirect``). What names somebody else's
    message, or a number, joins only if its sender is a party of the ticket and nothing trusted says that the sender is
    forged (``verdict``: pass, fail, none); else it is kept as unverified.
    """
    for id_ in report.message_ids if report else ():
        if (ours := _ours(known.named(id_))) and (home := known.home(ours.ticket)):
            return Joined(home.number, "report", _salts(known, home.number), about=ours.id)
    named: list[list[Event]] = []
    for id_ in dict.fromkeys([*mail.in_reply_to, *reversed(mail.references)]):
        named.append(known.named(id_))
        if (ours := _ours(named[-1])) and (home := known.home(ours.ticket)) and not known.redirected(ours.ticket):
            return Joined(home.number, "ours", _salts(known, home.number), internal=_forwarded(ours))
    return _claimed(known, mail, named, verdict)


def _ours(named: list[Event]) -> Event | None:
    """Return the event of the message that we sent with an id, or None."""
    return next((e for e in named if "Sender" in ledger.ACTIONS[e.action].must), None)


def _forwarded(ours: Event) -> bool:
    return ours.action == "forward" or ours.trailers.get("Kind") == "forward"


def _claimed(known: Known, mail: Mail, named: list[list[Event]], verdict: str) -> Joined | None:
    """Return what rules 3 and 4 say; the first hit that is proven comes before the first that is not."""
    clear = len(mail.from_) == 1 and mail.from_[0].address and UNCLEAR.isdisjoint(mail.defects)
    doubt = "unclear" if not clear else "failed" if verdict == "fail" else ""
    first: Joined | None = None
    claims = False
    for rule, numbers in islice(_hits(known, mail, named), _HITS):
        tickets = list(dict.fromkeys(home.number for t in numbers if (home := known.home(t))))
        proven = [] if doubt else [j for t in tickets if (j := _proven(known, t, rule, mail.from_[0].address))]
        if len(proven) == 1:
            return proven[0]
        claims = True
        if first is None and len(tickets) == 1:
            first = Joined(tickets[0], rule, _salts(known, tickets[0]), doubt or "stranger")
    return first or (Joined("", "", (), doubt or "stranger") if claims else None)


def _hits(known: Known, mail: Mail, named: list[list[Event]]) -> Iterator[tuple[str, list[str]]]:
    """Yield (rule, tickets) for each id and number that is known; for an id of several mails, all their tickets."""
    for events in named:
        if events:
            yield "references", [e.ticket for e in events]
    for wanted in dict.fromkeys(number.in_subject(mail.subject)):
        if known.ticket(wanted):
            yield "subject", [wanted]


def _proven(known: Known, ticket: str, rule: str, address: str) -> Joined | None:
    """Return the ticket, if the sender is a party of it or of what was merged into it."""
    if salt := known.is_party(ticket, address):
        return Joined(ticket, rule, (salt,))
    if any(known.is_party(merged, address) for merged in known.merged_into(ticket)):
        return Joined(ticket, rule, _salts(known, ticket))
    return None


def _salts(known: Known, ticket: str) -> tuple[bytes, ...]:
    return tuple(known.salts(ticket)[:_SALTS])


def claims(mail: Mail, domain: str) -> bool:
    """Say whether ``mail`` gives itself out for an answer to us: by an id at our domain, or a ticket in its subject."""
    ids = (*mail.in_reply_to, *mail.references)
    return any(lower(i).endswith(f"@{domain}") for i in ids) or number.hints(mail.subject)


# --- the same mail again --------------------------------------------------------------------------


def duplicates(known: Known, mail: Mail) -> tuple[list[Event], bool]:
    """Return the events that may have received this very mail before, and whether its id belongs to another mail.

    The same mail: Message-Ref and Content-Ref are both known, of one event.
    """
    content = known.found("Content-Ref", "content", mail.content)
    if not mail.message_id:
        return [e for e in known.events(content) if "Message-Ref" not in e.trailers], False
    message = known.found("Message-Ref", "message", message_value(mail.message_id))
    return known.events(message.both(content)), bool(message)
