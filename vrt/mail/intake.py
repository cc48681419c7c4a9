"""Mail in: read, recognised, joined to its ticket, sealed, and recorded, a batch in one durable write.

Reading and sealing run in worker processes when there is much of it; what needs the ledger runs here, under
the desk's lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from vrt import ledger
from vrt.desk import Desk
from vrt.errors import NotAllowed
from vrt.mail.examine import Incoming, Settings, examine, keys, settings
from vrt.mail.plan import Plan, Planned, Received
from vrt.mail.sources import Letter
from vrt.model import INTAKE, Ticket
from vrt.storage import articles, crypt, keyring
from vrt.storage.index import Entry, Opened, advance
from vrt.storage.replay import words
from vrt.storage.spool import Spool
from vrt.storage.writer import Write
from vrt.work import Map

BATCH = 1000  # mails in one write
BATCH_BYTES = 16 << 20

Batch = list[Letter]


@dataclass(frozen=True)
class Sealed:
    """A sealed mail: the files of the ledger, those of the keyring, its identity, and the words for the index."""

    md: bytes
    eml: bytes
    keys: list[tuple[str, bytes]]
    identity: str
    words: tuple[str, str, str, str, str]


def receive(desk: Desk, mails: Iterable[Letter], spread: Map, show: Callable[[int], None]) -> Iterator[Received]:
    """Take in ``mails`` and yield what became of each, after it is durable.

    ``spread`` maps work over processes; ``show`` takes how many are done. Raises ``NotAllowed`` where the
    caller's card may not receive, ``TryAgain`` where the desk cannot be written now.
    """
    if not desk.me.has("admin", "agent", "intake"):
        raise NotAllowed(f"{desk.me.handle} may not receive mail", "it needs the role agent or intake")
    desk.signer  # noqa: B018 - it may ask for a passphrase, and nobody is to wait for that
    known = _settings(desk)
    batches = _batches(mails)
    started: deque[tuple[Batch, Iterator[Incoming]]] = deque()

    def start(batch: Batch | None) -> None:
        if batch:
            started.append((batch, spread(examine, [(letter, known) for letter in batch])))

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


def _settings(desk: Desk) -> Settings:
    text = desk.rules
    if text is None:
        desk.warn("this desk has intake rules that this card cannot read: mail goes by its address alone")
    config = desk.keys.config
    if config.dkim_keys:
        keys(config.dkim_keys, config.dkim_dns)  # a file that cannot be read is to be known now
    return settings(desk.roster, text or "", config.dkim_keys, config.dkim_dns)


def _batches(mails: Iterable[Letter]) -> Iterator[Batch]:
    batch: Batch = []
    size = 0
    for letter in mails:
        batch.append(letter)
        size += len(letter.raw)
        if len(batch) == BATCH or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _batch(desk: Desk, batch: Batch, found: list[Incoming], spread: Map, go_on: Callable[[], None]) -> list[Received]:
    """Record one batch; ``go_on`` gives the workers what comes after its sealing."""
    with desk.writing() as lock:
        plan = Plan(desk)
        results = [plan.place(letter, got) for letter, got in zip(batch, found, strict=True)]
        sealed = spread(seal, plan.planned)
        go_on()
        if not plan.planned:
            return results
        plan.save()
        if desk.spools:
            _keep(desk, batch, results)
        writer = desk.writer()
        try:
            entries = _write(desk, writer, plan.planned, sealed)
            heads = writer.record(lock)
        finally:
            writer.close()
        desk.recorded(entries, heads)
    return results


def _keep(desk: Desk, batch: Batch, results: list[Received]) -> None:
    """Keep what is recorded, but not published yet, in the spool."""
    spool = Spool(desk.path)
    for letter, got in zip(batch, results, strict=True):
        if got.event and got.outcome != "duplicate":
            spool.put(got.event, letter.label, letter.raw, desk.me.recipient)
    spool.flush()


def _write(desk: Desk, writer: Write, planned: list[Planned], sealed: Iterable[Sealed]) -> list[Entry]:
    """Add the planned events with their sealed files to ``writer``; return what the index takes in."""
    entries: list[Entry] = []
    tickets: dict[str, Ticket] = {}
    index, ring = desk.index, desk.keyring
    readable = {q.name for q in desk.roster.queues.values() if ring.holds(q)}
    for plan, done in zip(planned, sealed, strict=True):
        event = plan.event
        eml_path, md_path = ledger.paths(event)
        commit, blobs = writer.add(event, {eml_path: done.eml, md_path: done.md})
        for path, data in done.keys:
            writer.add_key(path, data)
        opened = Opened(done.identity, plan.front, plan.body, done.words) if plan.queue in readable else None
        salts = (plan.salt,) if plan.salt and (opened or desk.me.has(INTAKE)) else ()
        recorded = event._replace(commit=commit)
        before = tickets.get(event.ticket) or index.ticket(event.ticket)
        tickets[event.ticket] = advance(before, recorded, opened)
        entries.append(Entry(recorded, tickets[event.ticket], blobs[md_path], blobs[eml_path], opened, salts))
    return entries


def seal(planned: Planned) -> Sealed:
    """Seal one mail to an identity of its own, and that to the ticket's queue; runs in a worker.

    The original of an outgoing mail has another one, which the card that sends it gets too: it can read nothing else.
    """
    event = planned.event
    secret, recipient = crypt.new_identity()
    eml_recipient, keys = recipient, []
    if planned.sender:
        eml_secret, eml_recipient = crypt.new_identity()
        keys.append(keyring.seal_article(event.ticket, event.id, eml_secret, *planned.sender))
        secret = f"{secret}\n{eml_secret}"
    keys.append(keyring.seal_article(event.ticket, event.id, secret, planned.queue, planned.recipient))
    if planned.salt:
        keys += [keyring.seal_salt(event.ticket, planned.salt, to, key) for to, key in planned.salt_to]
    return Sealed(
        crypt.seal(articles.dump(planned.front, planned.body), recipient),
        crypt.seal(planned.raw, eml_recipient),
        keys,
        secret,
        words(planned.front, planned.body),
    )
