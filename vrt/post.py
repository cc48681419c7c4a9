"""The post: hands messages over that are queued for this card, and records what became of each.

One message at a time: what is about to happen is recorded (``sending``) and, where the desk has a remote, published,
before a server could take it; then what the server said. Between the two a crash leaves a message in doubt: it is shown
and asked about, and never sent again by itself. Which messages wait is on the ledger; how often one was tried, in a
file of this machine.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from vrt import acts, dispatch, number, outgoing, paths, structure
from vrt.desk import Desk
from vrt.errors import Conflict, NotAllowed, TryAgain, VrtError
from vrt.mail import compose, delivery
from vrt.mail.delivery import InDoubt, Result, Unreachable
from vrt.model import ADMIN, AGENT
from vrt.roster import seconds
from vrt.storage import crypt, keyring, local, lock, outbox
from vrt.storage.outbox import Waiting

HOUR = 3600
FIRST, LONGEST = 60, 4 * HOUR  # seconds until a message is tried again: doubled each time
ENOUGH = 3  # messages in a row that cannot even be offered: the others wait, for each may take its time
NOT_NOW, TOO_LATE = "4.0.0", "4.4.7"  # RFC 3463: persistent transient failure; delivery time expired


@dataclass(frozen=True)
class Posted:
    """What became of one message: ``sent``, ``failed``, ``deferred``, ``waiting`` or ``in doubt``, and why.

    ``why`` is foreign text. ``next``: when it is tried again (epoch seconds), 0 where it is not.
    """

    message: Waiting
    outcome: str
    why: str = ""
    next: int = 0


class Tries:
    """How often each message was tried in vain, and when it is tried next; a file of this machine."""

    def __init__(self, desk: Desk) -> None:
        self._path, self._now = desk.path / local.FOLDER / "tries", desk.now
        try:
            found = json.loads(self._path.read_text())
            self._known = {str(k): (int(n), int(t), int(first)) for k, (n, t, first) in found.items()}
        except (OSError, ValueError, TypeError, AttributeError, OverflowError):  # none, or damaged: try at once
            self._known = {}

    def next(self, event_id: str) -> int:
        """Return when a message may be tried (epoch seconds), 0 for at once; a clock once wrong is no matter."""
        return min(self._known.get(event_id, (0, 0, 0))[1], self._now + LONGEST)

    def first(self, event_id: str) -> int:
        """Return when a message was tried in vain first (epoch seconds); now, where it never was."""
        return min(self._known[event_id][2], self._now) if event_id in self._known else self._now

    def failed(self, event_id: str, now: int) -> int:
        """Remember a try in vain; return when the next is due."""
        count, first = self._known.get(event_id, (0, 0, now))[0], self.first(event_id)
        then = now + min(FIRST << min(count, 10), LONGEST)
        self._known[event_id] = count + 1, then, first
        self._save()
        return then

    def forget(self, *event_ids: str) -> None:
        """Forget messages that are done with, or to be tried at once."""
        if any(self._known.pop(event_id, None) for event_id in event_ids):
            self._save()

    def _save(self) -> None:
        local.write_private(self._path, json.dumps(self._known).encode())


def settings(desk: Desk) -> delivery.Delivery:
    """Return how this machine hands mail over (``delivery`` in config.yaml); raises ``VrtError``."""
    return delivery.read(desk.keys.config.delivery)


def queued(desk: Desk) -> list[Waiting]:
    """Return the messages that this card is to hand over."""
    return outbox.waiting(desk.index, "sender = ? AND state = ?", [desk.me.handle, dispatch.QUEUED])


def in_doubt(desk: Desk) -> list[Waiting]:
    """Return the messages of which nobody knows whether they were taken; only while nobody is sending."""
    return outbox.waiting(desk.index, "sender = ? AND state = ?", [desk.me.handle, dispatch.SENDING])


def free_at(desk: Desk, message: Waiting) -> int:
    """Return until when a message can be taken back (epoch seconds)."""
    ticket = desk.index.ticket(message.ticket)
    queue = desk.roster.queues.get(ticket.queue) if ticket else None
    delay = seconds(queue.send_delay) if queue and not dispatch.automatic(message.id) else 0
    return message.queued + delay if message.queued <= desk.now + HOUR else 0  # else its clock is far ahead


@contextmanager
def sending(desk: Desk, patience: float) -> Iterator[None]:
    """Be the only one who sends; raises ``TryAgain`` where another vrt does so for longer than ``patience`` seconds."""
    with ExitStack() as stack:
        try:
            stack.enter_context(lock.held(desk.path / local.FOLDER / "send.lock", lambda: None, patience))
        except TryAgain:
            raise TryAgain("another vrt is handing messages over", "vrt outbox, in a moment") from None
        yield


def send(desk: Desk, publish: Callable[[], bool], only: str = "", patience: float = 60.0) -> Iterator[Posted]:
    """Hand over what is due, or the one message ``only``, and yield what became of each.

    ``publish`` brings the desk and its remote together and says whether what is here is out (true without a remote).
    Raises ``VrtError`` where the settings are wrong, so that nothing can be sent.
    """
    with sending(desk, patience):
        before = {m.id for m in queued(desk)}
        published = publish()  # it also brings what others queued for this card
        desk.catch_up()
        if not only:
            yield from (Posted(m, "in doubt") for m in in_doubt(desk))
        out = [m for m in queued(desk) if m.id in before or m.agent != desk.me.handle]  # not what was written meanwhile
        due = [m for m in out if not only or m.id == only]
        if due:
            yield from _Round(desk, publish).run(due, bool(only), published)


class _Round:
    """One round of the post."""

    def __init__(self, desk: Desk, publish: Callable[[], bool]) -> None:
        self._desk, self._publish = desk, publish
        self._settings, self._tries = settings(desk), Tries(desk)
        self._unreachable = 0  # messages in a row that could not even be offered

    def run(self, due: list[Waiting], at_once: bool, published: bool) -> Iterator[Posted]:
        desk = self._desk
        ready = []
        for message in due:
            then = max(free_at(desk, message), 0 if at_once else self._tries.next(message.id))
            if then > desk.now:
                yield Posted(message, "waiting", next=then)
            else:
                ready.append(message)
        if not ready:
            return
        if not published:
            yield from (Posted(m, "waiting", "it is not published yet") for m in ready)
            return
        folder = desk.path / local.FOLDER / "maildir"
        with delivery.open(self._settings, helo=desk.roster.desk.domain, folder=folder) as transport:
            for message in ready:
                if self._unreachable < ENOUGH:
                    yield self._one(transport, message)
                else:
                    yield Posted(message, "waiting", "nothing that was tried before it could be handed over")
        self._publish()

    def _one(self, transport: delivery.Transport, message: Waiting) -> Posted:
        try:
            return self._hand_over(transport, message)
        except Conflict as exc:  # somebody took it back in the meantime
            return Posted(message, "waiting", exc.message)

    def _hand_over(self, transport: delivery.Transport, message: Waiting) -> Posted:
        desk = self._desk
        try:
            raw = original(desk, message)
            by, recipients = compose.envelope(raw)
        except (VrtError, ValueError) as exc:
            return self._failed(message, Result("failed", "5.6.0", f"vrt cannot read it: {exc}"))
        try:
            result = transport.send(message.id, by, recipients, compose.transmitted(raw), lambda: self._begin(message))
        except Unreachable as exc:
            self._unreachable += 1
            return self._later(message, exc.message)
        except InDoubt as exc:
            return Posted(message, "in doubt", exc.message)
        except VrtError:
            if self._begun(message):  # what it was to begin with failed, so that nobody has it
                record(desk, message, "deferred", {"Status": NOT_NOW})
            raise
        self._unreachable = 0
        if result.outcome == "failed":
            return self._failed(message, result)
        if result.outcome != "sent":
            return self._later(message, result.said, result.status)
        with suppress(Conflict):  # it has come back already, which says more
            if dispatch.messages(desk.index.events(message.ticket))[message.id].state == dispatch.QUEUED:
                record(desk, message, "sending", {})  # somebody let it be tried again meanwhile: it must not go twice
            record(desk, message, "sent", {})
        self._tries.forget(message.id)
        return Posted(message, "sent")

    def _begin(self, message: Waiting) -> None:
        """Record that a message is about to be handed over; raises ``Conflict`` where it is not to be any more."""
        record(self._desk, message, "sending", {})
        if self._desk.me.has(ADMIN, AGENT):
            return  # a person's own machine: what it records is enough
        if not self._publish():  # a mailer sends for others, who may take a message back
            raise Unreachable("what is done here cannot be published", "vrt sync")
        if not self._begun(message):
            raise Conflict(f"{message.id} was taken back", f"vrt show {message.ticket}")

    def _begun(self, message: Waiting) -> bool:
        found = outbox.waiting(self._desk.index, "id = ?", [message.id])
        return bool(found) and found[0].state == dispatch.SENDING

    def _later(self, message: Waiting, said: str, status: str = NOT_NOW) -> Posted:
        """Try again later; too often in vain, and it has failed."""
        if self._desk.now - self._since(message) > self._settings.give_up:
            return self._failed(message, Result("failed", TOO_LATE, f"tried for too long: {said}"))
        if self._begun(message):
            record(self._desk, message, "deferred", {"Status": status})
        return Posted(message, "deferred", said, self._tries.failed(message.id, self._desk.now))

    def _since(self, message: Waiting) -> int:
        """Return since when a message is tried in vain: by this machine's clock, and since somebody last let it."""
        events = self._desk.index.events(message.ticket)
        again = [e.time for e in events if e.action == "retry" and e.trailers["About"] == message.id]
        return max([self._tries.first(message.id), *(t for t in again if t <= self._desk.now)])

    def _failed(self, message: Waiting, result: Result) -> Posted:
        front: dict[str, Any] = {"about": message.id, "status": result.status}
        front |= {"recipient": result.recipient} if result.recipient else {}
        self._note(message, "failed", {"Status": result.status}, front, result.said)
        self._tries.forget(message.id)
        return Posted(message, "failed", result.said)

    def _note(
        self, message: Waiting, action: str, facts: dict[str, str], front: dict[str, Any] | None = None, body: str = ""
    ) -> None:
        """Record what a server said; where others were done with the message before, only say so."""
        try:
            record(self._desk, message, action, facts, front, body)
        except Conflict as exc:
            self._desk.warn(f"{message.ticket}: {action} is not recorded: {exc.message}")


def record(
    desk: Desk, message: Waiting, action: str, facts: dict[str, str], front: dict[str, Any] | None = None,
    body: str = "",
) -> None:  # fmt: skip
    """Record what became of a message; what was said of it, by a server, is sealed to the ticket's queue.

    Raises ``Conflict`` where that does not go with its state: somebody took it back, or settled it.
    """
    with desk.recording() as (write, entries):
        ticket = desk.known(message.ticket)
        facts = {"About": message.id} | facts
        if front is None:
            entries.append(outgoing.done(desk, write, ticket, action, facts))
        else:
            event = desk.event(action, ticket.number, facts)
            acts.check(desk, ticket, event)
            home = desk.roster.queue(structure.home(desk, ticket).queue)  # those who look after it now
            entries.append(acts.say(desk, write, ticket, event, front, body, also=home))


def original(desk: Desk, message: Waiting) -> bytes:
    """Return the bytes of a message; raises ``NotAllowed`` where no key at hand opens them.

    Who can read the ticket has the key of its article; a mailer has that of the message, sealed to its card.
    """
    article = next((a for a in desk.index.articles(message.ticket) if a.event.id == message.id), None)
    if article is None or not article.eml:
        raise NotAllowed(f"{message.id} has no message", f"vrt show {message.ticket}")
    if article.key is not None:
        try:
            return desk.original(article)
        except crypt.CannotOpen:
            raise NotAllowed(f"{message.id} is sealed to another key than it says", "vrt verify") from None
    folder, mine = number.folder(message.ticket), desk.keys.identities()
    with desk.repository.reader() as reader:
        sealed = reader.read(article.eml)
        for name, (_, blob) in reader.folder(desk.index.heads().keys, folder).items():
            key = paths.parse_key(f"{folder}/{name}")
            if key is None or (key.name, key.to) != (message.id, desk.me.handle):
                continue
            secret = keyring.open_identity(reader.read(blob), mine)
            try:
                if secret:
                    return crypt.unseal(sealed, [keyring.identity_of(secret, "eml")])
            except crypt.CannotOpen:
                continue
    raise NotAllowed(f"no key at hand opens {message.id}", "vrt status shows which keys are used")


def publisher(desk: Desk, tell: Callable[[str], None]) -> Callable[[], bool]:
    """Return what publishes: a sync where the desk has a remote; ``tell`` takes a sentence where that does not work."""
    from vrt.storage import remote

    if not remote.url(desk.repository):
        return lambda: True

    def publish() -> bool:
        from vrt.sync import sync

        try:
            sync(desk)
        except (TryAgain, Conflict) as exc:
            tell(f"not published: {exc.message}")
            return False
        return True

    return publish
