"""What was done here, put on top of what others published first: the same events, articles and dates, signed anew.

Until that is recorded the events hang on refs of this machine, so that a crash loses none. What was said is never
dropped: where it fits no more, its text is kept, sealed to the caller. What was done is dropped, with a sentence, where
the state it started from is gone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from vrt import acts, dispatch, fold, ledger, paths, ties
from vrt.desk import Desk
from vrt.errors import Conflict, VrtError
from vrt.model import Event, Ticket
from vrt.storage import crypt, keyring, remote
from vrt.storage.git import Heads
from vrt.storage.reading import Reader
from vrt.storage.replay import open_article, parse
from vrt.storage.spool import Spool
from vrt.storage.writer import Write
from vrt.text import line

_LETTERS = ("reply", "forward", "draft", "approve")
_ACTS = ("take", "assign", "release", "route", "pend", "close", "merge")  # what another's lock makes void


class Own(NamedTuple):
    """An event of ours that is not published: with the files that it adds."""

    event: Event
    files: dict[str, bytes]


class Keys(NamedTuple):
    """Keyring files that are not published: by path."""

    files: dict[str, bytes]

    def of(self, event_id: str) -> Iterator[bytes]:
        """Yield the files with the identity of an article."""
        for path, data in self.files.items():
            if (key := paths.parse_key(path)) and key.name == event_id:
                yield data


def own(desk: Desk, base: Heads, held: Heads, reader: Reader) -> list[Own]:
    """Return what was done here after ``base``, oldest first; raises ``Conflict`` for a change of the desk itself."""
    found = []
    for logged in desk.repository.log(base.main, held.main):
        event = parse(logged)
        if not event.ticket:
            raise Conflict(
                f"{event.agent} changed the desk here ({event.action}), and others published first",
                "an admin does it again in a fresh clone",
            )
        found.append(Own(event, {path: reader.read(blob) for _, _, blob, path in logged.changes}))
    return found


def reapply(desk: Desk) -> list[str]:
    """Put what hangs on the refs of this machine on top of the ledger; only within ``desk.writing()``.

    Returns a sentence for each event that was dropped.
    """
    repository, now = desk.repository, desk.repository.heads()
    held = remote.held(repository)
    if not held.main:
        return []
    base = Heads(*(repository.common(a, b) for a, b in zip(now, held, strict=True)))
    told: list[str] = []
    with repository.reader() as reader:
        mine = [o for o in own(desk, base, held, reader) if not desk.index.has_event(o.event.id)]
        keys = Keys({path: reader.read(blob) for path, blob in repository.added(now.keys, held.keys)})
    if mine:
        write = desk.writer()
        try:
            dropped = _Again(desk, write, keys).run(mine, told)
            for path, data in keys.files.items():
                key = paths.parse_key(path)
                if key and key.name not in dropped:
                    write.add_key(path, data)
            if len(dropped) < len(mine):
                write.record(desk.lock)
        finally:
            write.close()
    remote.let_go(repository)
    return told


class _Again:
    """Events added anew, one after the other, each looked at in the light of what came before."""

    def __init__(self, desk: Desk, write: Write, keys: Keys) -> None:
        self._desk, self._write, self._keys = desk, write, keys
        self._tickets: dict[str, Ticket] = {}
        self._events: dict[str, list[Event]] = {}

    def run(self, mine: list[Own], told: list[str]) -> set[str]:
        """Add ``mine``; return the ids of those that were dropped, with a sentence for each in ``told``."""
        dropped = set()
        for event, files in mine:
            if self._desk.spools and event.action in ("receive", "auto-reply"):
                dropped.add(event.id)  # it lies in the spool, and is received again
                continue
            if event.action == "sent":
                self._begin_again(event)
            try:
                self._check(event)
            except VrtError as exc:
                dropped.add(event.id)
                kept = self._keep(event, files)
                told.append(f"{ledger.subject(event)}: dropped{kept}, for {exc.message}")
                continue
            self._add(event, files)
        return dropped

    def _add(self, event: Event, files: dict[str, bytes]) -> None:
        self._write.add(event._replace(commit=""), files)
        self._tickets[event.ticket] = fold.apply(self._ticket(event.ticket), event)
        self._of(event.ticket).append(event)

    def _begin_again(self, event: Event) -> None:
        """Let ``event`` say that a message was sent, though somebody let it be tried again: it must not go twice."""
        about = event.trailers["About"]
        message = dispatch.messages(self._of(event.ticket)).get(about)
        if message and message.state == dispatch.QUEUED:
            begun = self._desk.event("sending", event.ticket, {"About": about})
            self._add(begun, dict.fromkeys(ledger.paths(begun), b""))

    def _ticket(self, number: str) -> Ticket | None:
        return self._tickets.get(number) or self._desk.index.ticket(number)

    def _check(self, event: Event) -> None:
        """Raise ``VrtError`` where an event does not go with what is there now."""
        desk, ticket = self._desk, self._ticket(event.ticket)
        if ticket and event.action in _ACTS and "Force" not in event.trailers:
            acts.check_lock(desk, event.action, ticket, False)
        acts.check(desk, ticket, event, self._of(event.ticket))
        if why := ties.strays(event, desk.me, self._ticket):
            raise Conflict(why[1])
        if event.action in ("moved", "move"):
            self._check_moved(event)

    def _check_moved(self, event: Event) -> None:
        """A mail goes to one other ticket: the ``moved`` there comes first, then the ``move`` here."""
        facts = event.trailers
        source = facts.get("From", event.ticket)
        if any(e.action == "move" and e.trailers["About"] == facts["About"] for e in self._of(source)):
            raise Conflict(f"{facts['About']} went to another ticket before")
        if event.action == "move" and not any(
            e.action == "moved" and e.trailers["About"] == facts["About"] for e in self._of(facts["Into"])
        ):
            raise Conflict(f"{facts['About']} did not go to {facts['Into']}")

    def _of(self, number: str) -> list[Event]:
        """Return the events of a ticket, with those that were added here."""
        return self._events.setdefault(number, self._desk.index.events(number))

    def _keep(self, event: Event, files: dict[str, bytes]) -> str:
        """Keep the text of what was said, sealed to the caller; return what to say of that."""
        row = ledger.ACTIONS[event.action]
        mine = self._desk.keyring.identities()
        secrets = [s for data in self._keys.of(event.id) if (s := keyring.open_identity(data, mine))]
        if not row.files or not secrets:
            return ""
        *eml, md = files.values()
        me = self._desk.me.recipient
        if event.action == "receive" and eml:  # it is received again
            raw = crypt.unseal(eml[0], [keyring.identity_of(secrets[0], "eml")])
            Spool(self._desk.path).put(event.id, event.id, raw, me)
            Spool(self._desk.path).flush()
            return " and received again"
        opened = open_article(event.ticket, event.id, md, secrets)
        if opened is None or opened.front is None:
            return ""
        spool, name = Spool(self._desk.path, "outbox"), self._name(event, opened.front)
        goes_on = name and name not in spool.names()
        head = _fields(opened.front) if event.action in _LETTERS else ""
        spool.put(name if goes_on else event.id, "", (head + opened.body).encode(), me)
        spool.flush()
        kind, _, number = name.rpartition("-")
        return f", its text kept (vrt {kind or 'reply'} {number} begins with it)" if goes_on else (
            f", its text kept in vrt/outbox/{event.id}.age (age -d -i KEY FILE | zcat)"
        )  # fmt: skip

    def _name(self, event: Event, front: dict[str, Any]) -> str:
        """Return what the text of a message is kept under: its ticket, or what that is merged into; "" for others.

        A note must never be what a letter begins with.
        """
        ticket = self._ticket(event.ticket)
        while ticket and ticket.merged_into:
            ticket = self._ticket(ticket.merged_into)
        kind = front.get("kind") or event.trailers.get("Kind") or event.action
        if ticket is None or event.action not in _LETTERS:
            return ""
        return f"forward-{ticket.number}" if kind == "forward" else ticket.number


def _fields(front: dict[str, Any]) -> str:
    """Return the fields above a text, as ``vrt reply`` shows them in the editor."""
    rows = [
        f"{name.capitalize()}: {', '.join(str(a['address']) for a in front.get(name, ()))}"
        for name in ("to", "cc", "bcc")
    ]
    return "\n".join([*rows, f"Subject: {line(str(front.get('subject') or ''))}", "", ""])
