"""Mail in: parsed, recognised, joined to its ticket, sealed, and recorded, a batch in one durable write.

Parsing and sealing run in worker processes when there is much of it; what needs the ledger runs here, under
the desk's lock.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from vrt import law, ledger, number
from vrt.desk import Desk
from vrt.errors import NotAllowed
from vrt.mail import follow
from vrt.mail.parse import Mail, parse
from vrt.model import Address, Event, Ticket
from vrt.storage import articles, crypt, keyring
from vrt.storage.index import Entry, Opened, advance
from vrt.storage.replay import words
from vrt.storage.writer import Write
from vrt.work import Map

BATCH = 1000  # mails in one write
BATCH_BYTES = 16 << 20


@dataclass(frozen=True)
class Received:
    """What became of one mail: ``new``, ``follow-up``, ``duplicate`` or ``empty``; its ticket and event."""

    label: str
    outcome: str
    ticket: str = ""
    event: str = ""
    queue: str = ""
    defects: tuple[str, ...] = ()


@dataclass(frozen=True)
class Planned:
    """A mail whose place is decided; what a worker needs to seal it."""

    label: str
    raw: bytes
    body: str
    front: dict[str, Any]
    event: Event
    queue: str
    recipient: str
    salt: bytes | None  # of a new ticket
    salt_to: tuple[tuple[str, str], ...]
    fresh: bool


@dataclass(frozen=True)
class Sealed:
    """A sealed mail: the files of the ledger, those of the keyring, its identity, and the words for the index."""

    md: bytes
    eml: bytes
    keys: list[tuple[str, bytes]]
    identity: str
    words: tuple[str, str, str, str, str]


def receive(
    desk: Desk, mails: Iterable[tuple[str, bytes]], spread: Map, show: Callable[[int], None]
) -> Iterator[Received]:
    """Take in ``mails`` (label, raw bytes) and yield what became of each, after it is durable.

    ``spread`` maps work over processes; ``show`` takes how many are done. Raises ``NotAllowed`` where the
    caller's card may not receive, ``TryAgain`` where the desk cannot be written now.
    """
    if not desk.me.has("admin", "agent", "intake"):
        raise NotAllowed(f"{desk.me.handle} may not receive mail", "it needs the role agent or intake")
    desk.signer  # noqa: B018 - it may ask for a passphrase, and nobody is to wait for that
    batches = _batches(mails)
    started: deque[tuple[Batch, Iterator[Mail]]] = deque()

    def start(batch: Batch | None) -> None:
        if batch:
            started.append((batch, spread(parse, [raw for _, raw in batch])))

    start(next(batches, None))
    start(next(batches, None))
    done = 0
    while started:
        batch, parsed = started.popleft()
        # Read now, for nobody is to wait for a slow disk under the lock; parsed behind what is to be sealed first.
        coming = next(batches, None)
        yield from _batch(desk, batch, list(parsed), spread, lambda coming=coming: start(coming))  # type: ignore[misc]
        done += len(batch)
        show(done)


Batch = list[tuple[str, bytes]]  # label, raw mail


def _batches(mails: Iterable[tuple[str, bytes]]) -> Iterator[Batch]:
    batch: Batch = []
    size = 0
    for label, raw in mails:
        batch.append((label, raw))
        size += len(raw)
        if len(batch) == BATCH or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _batch(desk: Desk, batch: Batch, parsed: list[Mail], spread: Map, go_on: Callable[[], None]) -> list[Received]:
    """Record one batch; ``go_on`` gives the workers what comes after its sealing."""
    with desk.writing() as lock:
        plan = Plan(desk)
        results = [plan.place(label, raw, mail) for (label, raw), mail in zip(batch, parsed, strict=True)]
        sealed = spread(seal, plan.planned)
        go_on()
        if not plan.planned:
            return results
        writer = desk.writer()
        try:
            entries = plan.write(writer, sealed)
            heads = writer.record(lock)
        finally:
            writer.close()
        desk.recorded(entries, heads)
    return results


class Plan:
    """Decides, mail by mail, what becomes of a batch."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._me = desk.me
        self._known = follow.Known(desk.index, desk.keyring)
        self._day = desk.today()
        self._counter = 0
        self._intake = tuple((c.handle, c.recipient) for c in desk.roster.with_role("intake"))
        self.planned: list[Planned] = []

    def place(self, label: str, raw: bytes, mail: Mail) -> Received:
        """Decide what becomes of one mail."""
        if not raw.strip():
            return Received(label, "empty")
        before, id_taken = follow.duplicate(self._known, mail)
        if before:
            return Received(label, "duplicate", before.ticket, before.id)
        defects = mail.defects + (("message id of another mail",) if id_taken else ())
        joined = follow.ticket_of(self._known, mail)
        event, salt, queue_name = self._event(mail, joined)
        queue = self._desk.roster.queue(queue_name)
        salt_to = ((queue.name, queue.recipient), *self._intake) if joined is None else ()
        front = _front(event, mail, raw, defects)
        before_it = self._known.ticket(event.ticket)
        law.check_event(self._desk.roster, self._me, before_it, event)  # never to fail, or never to be taken back
        ticket = ledger.apply(before_it, event)
        self._known.add(event, ticket, salt)
        self.planned.append(
            Planned(
                label,
                raw,
                mail.body.strip("\n"),
                front,
                event,
                queue.name,
                queue.recipient,
                salt,
                salt_to,
                joined is None,
            )
        )
        return Received(label, "follow-up" if joined else "new", event.ticket, event.id, queue.name, defects)

    def _event(self, mail: Mail, joined: follow.Joined | None) -> tuple[Event, bytes, str]:
        """Return the event of a mail, the ticket's salt, and the queue it is sealed to."""
        ring, facts = self._desk.keyring, {}
        if joined:
            wanted, salt = joined.ticket, joined.salt
            ticket = self._known.ticket(wanted)
            assert ticket is not None
            queue = ticket.queue
            facts["Follow-Up"] = joined.rule
        else:
            wanted, salt = self._number(), crypt.new_salt()
            queue = facts["Queue"] = self._queue(mail)
        if mail.message_id:
            facts["Message-Ref"] = ring.ref("message", keyring.message_value(mail.message_id))
        facts["Content-Ref"] = ring.ref("content", mail.content)
        senders = dict.fromkeys(a.address.lower() for a in (*mail.from_[:3], *mail.reply_to[:3]) if a.address)
        if senders:
            refs = dict.fromkeys(ring.ref("sender", keyring.sender_value(salt, a)) for a in senders)
            facts["Sender-Ref"] = " ".join(refs)
        return self._desk.event("receive", wanted, facts), salt, queue

    def _number(self) -> str:
        wanted = self._desk.mint(self._day, self._me, self._counter)
        self._counter = number.counter(wanted)
        return wanted

    def _queue(self, mail: Mail) -> str:
        for address in mail.recipients:
            if found := self._desk.roster.queue_of_address(address):
                return found.name
        return "postmaster"

    def write(self, writer: Write, sealed: Iterable[Sealed]) -> list[Entry]:
        """Add the planned events with their sealed files to ``writer``; return what the index takes in."""
        entries: list[Entry] = []
        tickets: dict[str, Ticket] = {}
        index, ring = self._desk.index, self._desk.keyring
        readable = {q.name for q in self._desk.roster.queues.values() if ring.holds(q)}
        for planned, done in zip(self.planned, sealed, strict=True):
            event = planned.event
            eml_path, md_path = ledger.paths(event)
            commit, blobs = writer.add(event, {eml_path: done.eml, md_path: done.md})
            for path, data in done.keys:
                writer.add_key(path, data)
            opened = None
            if planned.queue in readable:
                opened = Opened(done.identity, planned.front, planned.body, done.words)
            keep = planned.fresh and planned.salt and (opened or self._me.has("intake"))
            salts = (planned.salt,) if keep and planned.salt else ()
            recorded = event._replace(commit=commit)
            before = tickets.get(event.ticket) or index.ticket(event.ticket)
            tickets[event.ticket] = advance(before, recorded, opened)
            entries.append(Entry(recorded, tickets[event.ticket], blobs[md_path], blobs[eml_path], opened, salts))
        return entries


def _front(event: Event, mail: Mail, raw: bytes, defects: tuple[str, ...]) -> dict[str, Any]:
    """Return the front matter of a received article; what a mail does not have is left out."""
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
    if "Follow-Up" in event.trailers:
        front["follow_up"] = event.trailers["Follow-Up"]
    if mail.attachments:
        front["attachments"] = [a._asdict() for a in mail.attachments]
    front["original_sha256"] = hashlib.sha256(raw).hexdigest()
    if defects:
        front["defects"] = list(defects)
    return front


def _person(address: Address) -> dict[str, str]:
    return {"name": address.name, "address": address.address}


def seal(planned: Planned) -> Sealed:
    """Seal one mail to an identity of its own, and that to the ticket's queue; runs in a worker."""
    event = planned.event
    secret, recipient = crypt.new_identity()
    keys = [keyring.seal_article(event.ticket, event.id, secret, planned.queue, planned.recipient)]
    if planned.salt:
        keys += [keyring.seal_salt(event.ticket, planned.salt, to, key) for to, key in planned.salt_to]
    return Sealed(
        crypt.seal(articles.dump(planned.front, planned.body), recipient),
        crypt.seal(planned.raw, recipient),
        keys,
        secret,
        words(planned.front, planned.body),
    )
