"""Decides, mail by mail, what becomes of a batch: its ticket, its queue, its event, and whether it is answered.

Runs under the desk's lock, on what the workers found out (``examine``); what it plans is sealed by them afterwards.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from vrt import law, ledger, number
from vrt.desk import Desk
from vrt.mail import autoreply, evidence, follow
from vrt.mail.examine import Incoming
from vrt.mail.sources import Letter
from vrt.model import CLOSED, Address, Event, Queue, Ticket
from vrt.roster import Roster, reopened_within
from vrt.storage import crypt, keyring, local

POSTMASTER, JUNK = "postmaster", "junk"
_UNANSWERED = ("bounce", "auto-reply")  # kinds that no policy for closed tickets applies to


@dataclass(frozen=True)
class Received:
    """What became of one mail: its ticket, its event and the queue it lies in.

    ``outcome``: ``new``, ``follow-up``, ``unverified``, ``duplicate`` or ``empty``.
    """

    label: str
    outcome: str
    ticket: str = ""
    event: str = ""
    queue: str = ""
    defects: tuple[str, ...] = ()


@dataclass(frozen=True)
class Planned:
    """A mail whose place is decided; what a worker needs to seal it."""

    raw: bytes
    body: str
    front: dict[str, Any]
    event: Event
    queue: str
    recipient: str
    salt: bytes | None = None  # of a new ticket
    salt_to: tuple[tuple[str, str], ...] = ()
    sender: tuple[str, str] | None = None  # of an outgoing mail: the card that sends it, and its recipient


class Plan:
    """What is to be recorded of a batch."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._known = follow.Known(desk.index, desk.keyring)
        self._day = desk.today()
        self._counter = 0
        self._intake = tuple((c.handle, c.recipient) for c in desk.roster.with_roles("intake"))
        path = desk.path / local.FOLDER / "answered"
        self._answered = autoreply.Answered(path, desk.keyring, desk.now, desk.roster.desk.limit("auto_replies_a_day"))
        self.planned: list[Planned] = []

    def place(self, letter: Letter, got: Incoming) -> Received:
        """Decide what becomes of one mail."""
        if not letter.raw.strip():
            return Received(letter.label, "empty")
        mail = got.mail
        joined = None
        if not got.too_large:
            joined = follow.ticket_of(self._known, mail, got.report, got.evidence.verdict)
        queue = destination(self._desk.roster, got)
        if joined and joined.unverified and queue.name == JUNK:
            joined = None  # spam that names a number is spam
        before, id_taken = self._before(got, joined, queue)
        if before:
            return Received(letter.label, "duplicate", before.ticket, before.id)
        defects = mail.defects + (("message id of another mail",) if id_taken else ())
        defects += (got.too_large,) if got.too_large else ()
        return self._take(letter, got, joined, queue, defects)

    def _before(self, got: Incoming, joined: follow.Joined | None, queue: Queue) -> tuple[Event | None, bool]:
        """Return the event that received this very mail before, if any, and whether its id is another mail's.

        What was sent in advance to be thrown away must not swallow the true mail: a copy that lies in junk or is
        unverified counts only if this one would end up there too.
        """
        events, id_taken = follow.duplicates(self._known, got.mail)
        for event in events:
            ticket = self._known.ticket(event.ticket)
            if ticket is None or not follow.same_sender(self._known, event, got.mail, got.evidence.verdict == "fail"):
                continue
            if event.id in ticket.unverified and not (joined and joined.unverified):
                continue
            if ticket.queue == JUNK and not joined and queue.name != JUNK:
                continue
            return event, False
        return None, id_taken or bool(events)

    # --- one event ----------------------------------------------------------------------------------

    def _take(
        self, letter: Letter, got: Incoming, joined: follow.Joined | None, queue: Queue, defects: tuple[str, ...]
    ) -> Received:
        facts = self._facts(got)
        ticket = self._known.ticket(joined.ticket) if joined else None
        fate = self._fate(got, joined, ticket)
        if joined:
            facts["Follow-Up"] = joined.rule
        if joined and fate == "linked":
            facts["Link"], queue = joined.ticket, self._desk.roster.queue(ticket.queue if ticket else queue.name)
        elif joined and ticket:
            queue = self._desk.roster.queue(ticket.queue)
            facts |= {"About": joined.about} if joined.about else {}
            facts |= {"Unverified": joined.unverified} if joined.unverified else {}
            facts |= {"Rejected": "yes"} if fate == "rejected" else {}
        if fate in ("new", "linked"):
            event, salts = self._birth(got, queue, facts)
        else:
            assert joined
            event, salts = self._desk.event("receive", joined.ticket, facts), joined.salts
        self._sign(got, event, salts, born=fate in ("new", "linked"))
        answers = self._answers(got, event, queue, fate)
        self._plan(letter, got, event, queue, salts[0] if fate in ("new", "linked") else None, defects)
        if answers:
            self._answer(got, event, queue, fate)
        outcome = {"linked": "new", "new": "new", "unverified": "unverified"}.get(fate, "follow-up")
        return Received(letter.label, outcome, event.ticket, event.id, queue.name, defects)

    def _fate(self, got: Incoming, joined: follow.Joined | None, ticket: Ticket | None) -> str:
        """Return what the mail is: new, linked (new, beside a closed ticket), follow-up, rejected or unverified."""
        if joined is None or ticket is None:
            return "new"
        if joined.unverified:
            return "unverified"
        if ticket.state != CLOSED or joined.about or got.kind in _UNANSWERED:
            return "follow-up"
        policy = self._desk.roster.queue(ticket.queue).follow_up
        if policy == "reject":
            return "rejected"
        within = reopened_within(policy)
        closed = next((e.time for e in reversed(self._desk.index.events(ticket.number)) if e.action == "close"), 0)
        return "follow-up" if within < 0 or closed + within > self._desk.now else "linked"

    def _facts(self, got: Incoming) -> dict[str, str]:
        ring, mail = self._desk.keyring, got.mail
        facts = {"Content-Ref": ring.ref("content", mail.content)}
        if mail.message_id:
            facts["Message-Ref"] = ring.ref("message", keyring.message_value(mail.message_id))
        if got.kind != "mail":
            facts["Kind"] = got.kind
        if got.kind == "bounce" and got.report:
            facts["Report"] = got.report.kind
        return facts

    def _birth(self, got: Incoming, queue: Queue, facts: dict[str, str]) -> tuple[Event, tuple[bytes, ...]]:
        """Return the event of a mail that begins a ticket, and the ticket's salt."""
        wanted = self._desk.mint(self._day, self._desk.me, self._counter)
        self._counter = number.counter(wanted)
        facts["Queue"] = queue.name
        if got.rules.priority:
            facts["Priority"] = str(got.rules.priority)
        if tags := [f"+{t}" for t in got.rules.tags if t in self._desk.roster.desk.tags]:
            facts["Tag"] = " ".join(tags)
        return self._desk.event("receive", wanted, facts), (crypt.new_salt(),)

    def _sign(self, got: Incoming, event: Event, salts: tuple[bytes, ...], *, born: bool) -> None:
        """Say whose mail it is: the Sender-Ref. A sender who is known to be forged begins no ticket as a party."""
        if born and got.evidence.verdict == "fail":
            return
        ring = self._desk.keyring
        refs = [ring.ref("sender", keyring.sender_value(s, a)) for a in follow.senders(got.mail) for s in salts]
        if refs:
            event.trailers["Sender-Ref"] = " ".join(dict.fromkeys(refs))

    def _plan(
        self, letter: Letter, got: Incoming, event: Event, queue: Queue, salt: bytes | None, defects: tuple[str, ...]
    ) -> None:
        salt_to = ((queue.name, queue.recipient), *self._intake) if salt else ()
        front = _front(event, got, letter.raw, defects)
        self._know(event, salt)
        body = got.mail.body.strip("\n")
        self.planned.append(Planned(letter.raw, body, front, event, queue.name, queue.recipient, salt, salt_to))

    def _know(self, event: Event, salt: bytes | None) -> None:
        before = self._known.ticket(event.ticket)
        law.check_event(self._desk.roster, self._desk.me, before, event)  # never to fail, or never to be taken back
        self._known.add(event, ledger.apply(before, event), salt)

    # --- automatic replies ----------------------------------------------------------------------------

    def _answers(self, got: Incoming, event: Event, queue: Queue, fate: str) -> bool:
        """Say whether the mail gets an automatic answer; why not goes to the trail, where the queue gives some."""
        if fate == "unverified" or _answered_as(fate) not in queue.auto_reply:
            return False
        if why := autoreply.suppressed(self._desk, got, queue, self._answered):
            event.trailers["Suppressed"] = why
        return not why

    def _answer(self, got: Incoming, event: Event, queue: Queue, fate: str) -> None:
        ticket = self._known.ticket(event.ticket)
        assert ticket is not None
        made = autoreply.answer(self._desk, got, queue, ticket, _answered_as(fate))
        ref = self._desk.keyring.ref("message", keyring.message_value(made.message_id))
        facts = {"About": event.id, "Message-Ref": ref, "Sender": made.sender.handle}
        reply = self._desk.event("auto-reply", event.ticket, facts)
        head = {"ticket": reply.ticket, "event": reply.id, "action": reply.action, "agent": reply.agent}
        front = {**head, "date": ledger.stamp(reply.time), **made.front, "about": event.id}
        front["original_sha256"] = hashlib.sha256(made.raw).hexdigest()
        self._know(reply, None)
        sender = (made.sender.handle, made.sender.recipient)
        self.planned.append(
            Planned(made.raw, made.body.strip(), front, reply, queue.name, queue.recipient, sender=sender)
        )
        self._answered.add(got.answer_to)

    def save(self) -> None:
        """Remember who is answered; before it is recorded."""
        self._answered.save()


def destination(known: Roster, got: Incoming) -> Queue:
    """Return where a mail goes if it begins a ticket: as the rules say, else the spam filter, else its address."""
    if got.too_large:
        return known.queue(POSTMASTER)
    for name in (JUNK if got.rules.junk else got.rules.queue, JUNK if got.spam else "", got.queue):
        if name in known.queues:
            return known.queue(name)
    return known.queue(POSTMASTER)


def _answered_as(fate: str) -> str:
    """Return what a queue calls it (``auto_reply``)."""
    return "new" if fate == "linked" else fate


def _front(event: Event, got: Incoming, raw: bytes, defects: tuple[str, ...]) -> dict[str, Any]:
    """Return the front matter of a received article; what a mail does not have is left out."""
    mail = got.mail
    front: dict[str, Any] = {"ticket": event.ticket, "event": event.id, "action": "receive"}
    for name, found in (("from", mail.from_), ("to", mail.to), ("cc", mail.cc), ("reply_to", mail.reply_to)):
        if found:
            front[name] = [_person(a) for a in found]
    if mail.date:
        front["date"] = mail.date.isoformat()
    front["received"] = ledger.stamp(event.time)
    front["subject"] = mail.subject
    if mail.message_id:
        front["message_id"] = mail.message_id
    for name, ids in (("in_reply_to", mail.in_reply_to), ("references", mail.references)):
        if ids:
            front[name] = list(ids)
    for name, trailer in (("follow_up", "Follow-Up"), ("unverified", "Unverified"), ("kind", "Kind")):
        if trailer in event.trailers:
            front[name] = event.trailers[trailer]
    if got.report:
        front["report"] = _report(got)
    if said := evidence.front(got.evidence):
        front["authentication"] = said
    if got.spam:
        front["spam"] = True
    if got.rules.fired and "Queue" in event.trailers:
        front["rules"] = list(got.rules.fired)
    if mail.attachments:
        front["attachments"] = [a._asdict() for a in mail.attachments]
    front["original_sha256"] = hashlib.sha256(raw).hexdigest()
    if defects:
        front["defects"] = list(defects)
    return front


def _report(got: Incoming) -> dict[str, Any]:
    assert got.report
    found = got.report._asdict() | {"recipients": list(got.report.recipients)}
    return {name: found[name] for name in ("kind", "recipients", "status", "reason") if found[name]}


def _person(address: Address) -> dict[str, str]:
    return {"name": address.name, "address": address.address}
