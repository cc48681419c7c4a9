"""Decides, mail by mail, what becomes of a batch: its ticket, its queue, its event, and whether it is answered.

Runs under the desk's lock, on what the workers found out (``examine``); what it plans is sealed by them afterwards.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from vrt import fold, law, ledger, number
from vrt.desk import Desk
from vrt.mail import autoreply, evidence, follow
from vrt.mail.examine import Incoming
from vrt.mail.sources import Letter
from vrt.model import ADMIN, CLOSED, INTAKE, JUNK, POSTMASTER, Address, Event, Queue
from vrt.roster import Roster, reopened_within
from vrt.storage import crypt, keyring, local

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


@dataclass(frozen=True)
class Fate:
    """Where a mail belongs: its ``outcome`` (new, linked, follow-up, rejected, unverified) and the queue it is in then.

    ``linked``: a new ticket beside the one that it follows up. ``doubted``: it claims to follow one up, in vain.
    """

    outcome: str
    queue: Queue
    joined: follow.Joined | None = None
    doubted: bool = False

    @property
    def born(self) -> bool:
        """Whether it begins a ticket."""
        return self.outcome in ("new", "linked")

    @property
    def answered_as(self) -> str:
        """What a queue calls the automatic answer to it (``auto_reply``)."""
        return "new" if self.born else self.outcome


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
        if not letter.raw.strip() and not letter.too_large:
            return Received(letter.label, "empty")
        fate = self._fate(got)
        before, id_taken = self._before(got, fate)
        if before:
            return Received(letter.label, "duplicate", before.ticket, before.id)
        defects = got.mail.defects + (("message id of another mail",) if id_taken else ())
        defects += (got.too_large,) if got.too_large and got.too_large not in defects else ()
        return self._take(letter, got, fate, defects)

    def _fate(self, got: Incoming) -> Fate:
        """Decide where a mail belongs."""
        queue, joined = destination(self._desk.roster, got), None
        if not got.too_large:
            joined = follow.ticket_of(self._known, got.mail, got.report, got.evidence.verdict)
        ticket = self._known.ticket(joined.ticket) if joined and joined.ticket else None
        if joined is None or ticket is None:
            claims = joined is not None or follow.claims(got.mail, self._desk.roster.desk.domain)
            return Fate("new", queue, doubted=claims)
        there = self._desk.roster.queue(ticket.queue)
        if joined.unverified:
            elsewhere = there.name != queue.name and (got.queue or JUNK in (there.name, queue.name))
            if elsewhere or len(ticket.unverified) >= ledger.UNVERIFIED_MOST:
                return Fate("new", queue, doubted=True)  # where its readers are those that it was written to
            return Fate("unverified", there, joined)
        if there.name == JUNK != queue.name and self._known.born_in(ticket.number) == JUNK and not joined.about:
            return Fate("linked", queue, joined)  # a filter put that there, not a person
        if ticket.state != CLOSED or joined.about or got.kind in _UNANSWERED:
            return Fate("follow-up", there, joined)
        if there.follow_up == "reject" and self._told(got, there):
            return Fate("rejected", there, joined)
        within = reopened_within(there.follow_up)
        closed = next((e.time for e in reversed(self._desk.index.events(ticket.number)) if e.action == "close"), 0)
        return Fate("follow-up" if within < 0 or closed + within > self._desk.now else "linked", there, joined)

    def _told(self, got: Incoming, queue: Queue) -> bool:
        """Say whether a sender whose mail is rejected is told so; what neither they nor an agent sees would be lost."""
        return "rejected" in queue.auto_reply and not autoreply.suppressed(self._desk, got, queue)

    def _before(self, got: Incoming, fate: Fate) -> tuple[Event | None, bool]:
        """Return the event that received this very mail before, if any, and whether its id is another mail's.

        What was sent in advance to be thrown away must not swallow the true mail: a copy that was taken for another
        kind of mail, for forged or for unverified, or that lies in junk, counts only if this one would be too.
        """
        events, id_taken = follow.duplicates(self._known, got.mail)
        for event in events:
            ticket = self._known.ticket(event.ticket)
            if ticket is None or (event.action == "receive" and event.trailers.get("Kind", "mail") != got.kind):
                continue
            if event.id in ticket.unverified and fate.outcome != "unverified" and not fate.doubted:
                continue
            if ticket.queue == JUNK != fate.queue.name and self._known.born_in(ticket.number) == JUNK:
                continue
            if "Sender-Ref" not in event.trailers and self._signed(got, fate):
                continue
            return event, False
        return None, id_taken or bool(events)

    # --- one event ----------------------------------------------------------------------------------

    def _take(self, letter: Letter, got: Incoming, fate: Fate, defects: tuple[str, ...]) -> Received:
        facts, joined = self._facts(got), fate.joined
        if joined:
            facts["Follow-Up"] = joined.rule
        if joined and fate.born:
            facts["Link"] = joined.ticket
        elif joined:
            facts |= {"About": joined.about} if joined.about else {}
            facts |= {"Unverified": joined.unverified} if joined.unverified else {}
            facts |= {"Rejected": "yes"} if fate.outcome == "rejected" else {}
            facts |= {"Internal": "yes"} if joined.internal else {}
        salt = crypt.new_salt() if fate.born else None
        wanted = joined.ticket if joined and not fate.born else self._birth(got, fate.queue, facts)
        if refs := self._refs(got, (salt,) if salt else joined.salts if joined else ()):
            facts |= {"Sender-Ref": refs} if self._signed(got, fate) else {}
        answers = self._answers(got, facts, wanted, fate)
        event = self._desk.event("receive", wanted, facts)
        self._plan(letter, got, event, fate.queue, salt, defects)
        if answers:
            self._answer(got, event, fate)
        outcome = "new" if fate.born else fate.outcome if fate.outcome == "unverified" else "follow-up"
        return Received(letter.label, outcome, event.ticket, event.id, fate.queue.name, defects)

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

    def _birth(self, got: Incoming, queue: Queue, facts: dict[str, str]) -> str:
        """Say in ``facts`` what a new ticket begins with, and return its number."""
        wanted = self._desk.mint(self._day, self._desk.me, self._counter)
        self._counter = number.counter(wanted)
        facts["Queue"] = queue.name
        if got.rules.priority:
            facts["Priority"] = str(got.rules.priority)
        if tags := [f"+{t}" for t in got.rules.tags if t in self._desk.roster.desk.tags]:
            facts["Tag"] = " ".join(tags)
        return wanted

    def _signed(self, got: Incoming, fate: Fate) -> bool:
        """Say whether a mail makes its sender a party: no report, nor one that is known to be forged, does."""
        forged = fate.born and got.evidence.verdict == "fail"
        salted = fate.born or bool(fate.joined and fate.joined.salts)
        internal = not fate.born and bool(fate.joined and fate.joined.internal)  # nor does one who was only asked
        return got.kind != "bounce" and not forged and not internal and salted and bool(follow.senders(got.mail))

    def _refs(self, got: Incoming, salts: tuple[bytes, ...]) -> str:
        return self._desk.keyring.sender_refs(salts, follow.senders(got.mail))

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
        self._known.add(event, fold.apply(before, event), salt)

    # --- automatic replies ----------------------------------------------------------------------------

    def _answers(self, got: Incoming, facts: dict[str, str], ticket: str, fate: Fate) -> bool:
        """Say whether the mail gets an automatic answer; why not goes to the trail, where the queue gives some."""
        if fate.outcome == "unverified" or fate.answered_as not in fate.queue.auto_reply:
            return False
        mail = _ref(facts)
        why = "unverified" if fate.doubted else "internal" if "Internal" in facts else ""
        why = why or ("approval" if self._approved(fate.queue) else autoreply.suppressed(self._desk, got, fate.queue))
        why = why or self._answered.refuses(got.answer_to, ticket, mail)
        if why:
            facts["Suppressed"] = why
        return not why

    def _approved(self, queue: Queue) -> bool:
        """Say whether a person of a queue whose mail must be approved receives by hand: nothing is answered then."""
        me = self._desk.me
        return me.supervised or (queue.approval and not me.has(ADMIN, INTAKE))

    def _answer(self, got: Incoming, event: Event, fate: Fate) -> None:
        made = autoreply.answer(self._desk, got, fate.queue, event.ticket, fate.answered_as)
        ref = self._desk.keyring.ref("message", keyring.message_value(made.message_id))
        facts = {"About": event.id, "Message-Ref": ref, "Sender": made.sender.handle}
        reply = self._desk.event("auto-reply", event.ticket, facts)
        head = {"ticket": reply.ticket, "event": reply.id, "action": reply.action, "agent": reply.agent}
        front = {**head, "date": ledger.stamp(reply.time), **made.front, "about": event.id}
        front["original_sha256"] = hashlib.sha256(made.raw).hexdigest()
        self._know(reply, None)
        sender, queue = (made.sender.handle, made.sender.recipient), fate.queue
        self.planned.append(
            Planned(made.raw, made.body.strip(), front, reply, queue.name, queue.recipient, sender=sender)
        )
        self._answered.add(got.answer_to, event.ticket, _ref(event.trailers))

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


def _ref(facts: dict[str, str]) -> str:
    """Return what tells one mail from all others: who repeats only the words of another repeats no mail."""
    return f"{facts.get('Message-Ref', '')} {facts['Content-Ref']}"


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
    for name, trailer in (
        ("follow_up", "Follow-Up"),
        ("unverified", "Unverified"),
        ("kind", "Kind"),
        ("internal", "Internal"),
    ):
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
