"""The index: an encrypted SQLite file with everything that reading needs.

A cache: it says up to which heads it has read, follows them (``replay``), and is made anew when it is missing,
damaged or of another version. Its key lies sealed to the caller's identity.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

from vrt import dispatch, fold, number
from vrt.model import Event, Ticket
from vrt.storage.database import Database, Unusable, remove
from vrt.storage.git import Heads
from vrt.storage.schema import SCHEMA, VERSION

_TICKET = Ticket._fields
_TICKET_SQL = ", ".join(_TICKET)
# What compares as a message: a ref of one kind must not be taken for a ref of another.
_REF_TRAILERS = {"Message-Ref": "m", "Content-Ref": "c"}


class Opened(NamedTuple):
    """What the caller's keys opened of an article: its identity, front matter, body, and the folded words."""

    key: str
    front: dict[str, Any] | None  # None: it belongs elsewhere, and is not to be shown
    body: str
    words: tuple[str, str, str, str, str]  # subject, sender, recipients, body, attachment names


class Entry(NamedTuple):
    """One event as the index takes it in. ``md`` and ``eml`` are blob ids (hex, empty where there is none)."""

    event: Event
    ticket: Ticket | None
    md: str = ""
    eml: str = ""
    opened: Opened | None = None
    salts: tuple[bytes, ...] = ()


class Article(NamedTuple):
    """An article as the index holds it; ``front`` and ``body`` are None where no key at hand opens it."""

    seq: int
    event: Event
    md: str
    eml: str
    key: str | None
    front: dict[str, Any] | None
    body: str | None


class Index:
    """The index of one desk, opened. ``fill`` gets articles that are not in this clone, and says whether it did."""

    fill: Callable[[list[Article]], bool] = staticmethod(lambda said: False)

    def __init__(self, path: Path, key: bytes) -> None:
        """Open the index at ``path`` with its 32-byte key; raises ``Unusable``."""
        if not path.is_file():
            raise Unusable("missing")
        self._db = Database(path, key)
        if self._db.one("SELECT 1 FROM sqlite_master WHERE name = 'meta'") is None or self.meta("version") != VERSION:
            self.close()
            raise Unusable("of another version")

    @classmethod
    def create(cls, path: Path, key: bytes) -> Index:
        """Make an empty index at ``path`` in place of what may be there."""
        remove(path)
        self = cls.__new__(cls)
        self._db = Database(path, key)
        with self.writing():
            self._db.run(SCHEMA)
            self.set_meta("version", VERSION)
        path.chmod(0o600)
        return self

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def writing(self) -> AbstractContextManager[None]:
        """One transaction: all or nothing."""
        return self._db.writing()

    def sql(self, query: str, values: Iterable[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query that reads."""
        return self._db.sql(query, values)

    # --- what it has read ---------------------------------------------------------------------------

    def meta(self, name: str) -> Any:
        """Return a remembered value, or None."""
        row = self._db.one("SELECT value FROM meta WHERE name = ?", name)
        return json.loads(row[0]) if row else None

    def set_meta(self, name: str, value: Any) -> None:
        """Remember a value."""
        self._db.run("INSERT OR REPLACE INTO meta VALUES (?, ?)", name, json.dumps(value))

    def heads(self) -> Heads:
        """Return the heads up to which the index has read both branches."""
        return Heads(*(self.meta("heads") or ("", "")))

    def set_heads(self, heads: Heads) -> None:
        """Say up to which heads the index has read."""
        self.set_meta("heads", [heads.main, heads.keys])

    def opened(self, place: int) -> int:
        """Return how many articles up to the event at ``place`` the keys at hand have opened."""
        return int(next(self.sql("SELECT count(key) FROM article WHERE seq <= ?", [place]))[0])

    def last(self) -> int:
        """Return the place of the last event, 0 where there is none."""
        return int(next(self.sql("SELECT coalesce(max(seq), 0) FROM event"))[0])

    def set_checked(self, place: int) -> None:
        """Remember that the articles up to ``place`` that are open now were found in order."""
        self.set_meta("checked", [place, self.opened(place)])

    # --- writing ------------------------------------------------------------------------------------

    def add(self, entries: Iterable[Entry]) -> None:
        """Take in events in ledger order; the last state of each ticket is the one that stays."""
        given = list(entries)
        tickets: dict[str, Ticket] = {}
        refs: list[tuple[str, int]] = []
        for entry in given:
            seq = self._add_event(entry.event)
            refs += [(_REF_TRAILERS[n] + v, seq) for n, v in entry.event.trailers.items() if n in _REF_TRAILERS]
            if entry.ticket is None:
                continue
            tickets[entry.event.ticket] = entry.ticket
            if entry.md:
                self._add_article(seq, entry)
            for salt in entry.salts:
                self.put_salt(entry.event.ticket, salt)
            if _is_birth(entry.event):
                self.count(entry.event.ticket)
        self._db.many("INSERT INTO ref VALUES (?, ?)", sorted(refs))  # sorted: they lie by value
        self._put_tickets(tickets.values())
        for touched in dict.fromkeys(e.event.ticket for e in given if dispatch.is_about(e.event)):
            self._put_messages(touched)

    def _put_messages(self, number: str) -> None:
        """Know which messages of a ticket are still to be delivered, or to be looked after."""
        self._db.run("DELETE FROM outbox WHERE ticket = ?", int(number))
        for m in dispatch.messages(self.events(number)).values():
            lost = m.state in (dispatch.FAILED, dispatch.BOUNCED) and dispatch.automatic(m.queued.id)
            if m.state in dispatch.OPEN and not lost:  # nobody looks after an automatic reply that went nowhere
                row = m.queued.id, int(number), m.queued.trailers["Sender"], m.queued.agent, m.state, m.queued.time
                self._db.run("INSERT INTO outbox VALUES (?, ?, ?, ?, ?, ?, ?)", *row, m.since)

    def _put_tickets(self, tickets: Iterable[Ticket]) -> None:
        self._db.many(
            f"INSERT OR REPLACE INTO ticket ({_TICKET_SQL}) VALUES ({', '.join('?' * len(_TICKET))})",
            [_ticket_row(t) for t in tickets],
        )

    def _add_event(self, event: Event) -> int:
        return self._db.run(
            'INSERT INTO event (id, ticket, action, agent, time, "commit", trailers) VALUES (?, ?, ?, ?, ?, ?, ?)',
            event.id, int(event.ticket or 0), event.action, event.agent, event.time, bytes.fromhex(event.commit),
            json.dumps(event.trailers),
        )  # fmt: skip

    def _add_article(self, seq: int, entry: Entry) -> None:
        self._db.run(
            "INSERT INTO article VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            seq, int(entry.event.ticket), entry.event.time, bytes.fromhex(entry.md),
            bytes.fromhex(entry.eml) if entry.eml else None, *_row(entry.opened),
        )  # fmt: skip
        self._add_words(seq, entry.opened)

    def _add_words(self, seq: int, opened: Opened | None) -> None:
        if opened and opened.front is not None:
            self._db.run(
                "INSERT INTO words (rowid, subject, sender, recipients, body, names) VALUES (?, ?, ?, ?, ?, ?)",
                seq, *opened.words,
            )  # fmt: skip

    def forget_after(self, place: int) -> None:
        """Forget every event after ``place``, and what was said in it; the tickets are put right by the caller."""
        for table, column in (("words", "rowid"), ("article", "seq"), ("ref", "seq"), ("event", "seq")):
            self._db.run(f"DELETE FROM {table} WHERE {column} > ?", place)

    def put_ticket(self, number: str, ticket: Ticket | None) -> None:
        """Set a ticket's state; None: there is no such ticket any more."""
        self._db.run("DELETE FROM ticket WHERE number = ?", int(number))
        if ticket:
            self._put_tickets([ticket])
        self._put_messages(number)

    def open_article(self, seq: int, opened: Opened) -> None:
        """Fill in an article whose key came later."""
        self._db.run("UPDATE article SET key = ?, front = ?, body = ? WHERE seq = ?", *_row(opened), seq)
        self._add_words(seq, opened)
        event = self.event(seq)
        if _is_birth(event) and opened.front is not None:
            line = fold.headline(opened.front)
            self._db.run(
                "UPDATE ticket SET title = ?, requester = ? WHERE number = ?",
                line["title"], line["requester"], int(event.ticket),
            )  # fmt: skip

    def put_salt(self, ticket: str, salt: bytes) -> None:
        """Remember a ticket's salt, beside what else may have been planted as such."""
        self._db.run("INSERT OR IGNORE INTO salt VALUES (?, ?)", int(ticket), salt.hex())

    def count(self, ticket: str) -> None:
        """Remember that a number is taken, by a ticket or by keys that a stopped writer left."""
        self._db.run(
            "INSERT INTO counter VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET last = max(last, ?2)",
            ticket[:8] + number.system_id(ticket), number.counter(ticket),
        )  # fmt: skip

    # --- reading ------------------------------------------------------------------------------------

    def last_counter(self, day: str, system_id: str) -> int:
        """Return the highest counter taken on ``day`` (YYYYMMDD) under ``system_id``, 0 for none."""
        row = self._db.one("SELECT last FROM counter WHERE name = ?", day + system_id)
        return row[0] if row else 0

    def ticket(self, wanted: str) -> Ticket | None:
        """Return the ticket of a full number, or None."""
        return next(iter(self.tickets("number = ?", [int(wanted)])), None)

    def tickets(self, where: str, values: list[Any], order: str = "number", limit: int = -1) -> list[Ticket]:
        """Return the tickets that a SQL condition selects."""
        rows = self.sql(f"SELECT {_TICKET_SQL} FROM ticket WHERE {where} ORDER BY {order} LIMIT {limit:d}", values)
        return [_ticket(row) for row in rows]

    def count_tickets(self, where: str, values: list[Any], most: int) -> int:
        """Return how many tickets a SQL condition selects, counting no further than ``most``."""
        query = f"SELECT count(*) FROM (SELECT 1 FROM ticket WHERE {where} LIMIT {most:d})"
        return int(next(self.sql(query, values))[0])

    def ending_in(self, digits: str) -> list[str]:
        """Return the numbers that end in ``digits`` (at least four)."""
        query = "SELECT number FROM ticket WHERE number % 10000 = ?"
        return [str(n) for (n,) in self.sql(query, [int(digits[-4:])]) if str(n).endswith(digits)]

    def merged_into(self, ticket: str) -> list[str]:
        """Return the tickets that were merged into a ticket."""
        query = "SELECT number FROM ticket WHERE merged_into = ? AND merged_into <> ''"
        return [str(n) for (n,) in self.sql(query, [ticket])]

    def linked(self, ticket: Ticket) -> list[Ticket]:
        """Return the tickets that a ticket is linked with, whichever of the two says so."""
        where = "number IN (SELECT value FROM json_each(?)) OR (links <> '' AND (' ' || links || ' ') LIKE ?)"
        return self.tickets(where, [json.dumps([int(n) for n in ticket.links]), f"% {ticket.number} %"])

    def salts(self, ticket: str) -> list[bytes]:
        """Return what may be a ticket's salt: one, or none at hand, or more where some were planted."""
        return [bytes.fromhex(s) for (s,) in self.sql("SELECT salt FROM salt WHERE ticket = ? LIMIT 16", [int(ticket)])]

    def event(self, seq: int) -> Event:
        """Return the event at place ``seq``."""
        return next(self._events("seq = ?", seq))

    def events(self, ticket: str) -> list[Event]:
        """Return the events of a ticket, in ledger order."""
        return list(self._events("ticket = ?", int(ticket)))

    def has_event(self, event_id: str) -> bool:
        """Say whether an event of this id is on the ledger."""
        return next(self._events("id = ?", event_id), None) is not None

    def _events(self, where: str, value: Any) -> Iterator[Event]:
        query = f'SELECT id, action, agent, time, ticket, trailers, "commit" FROM event WHERE {where} ORDER BY seq'
        for id_, action, agent, time, ticket, trailers, commit in self.sql(query, [value]):
            yield Event(id_, action, agent, time, str(ticket or ""), json.loads(trailers), commit.hex())

    def with_ref(self, trailer: str, refs: Iterable[str]) -> list[int]:
        """Return the places of the events that carry one of ``refs`` in ``trailer``, newest first."""
        found: list[int] = []
        for value in refs:
            query = "SELECT seq FROM ref WHERE value = ?"
            found += [s for (s,) in self.sql(query, [_REF_TRAILERS[trailer] + value])]
        return sorted(found, reverse=True)

    def articles(self, ticket: str, here: bool = False) -> list[Article]:
        """Return the articles of a ticket, oldest first; what is not in this clone is fetched, unless ``here``.

        Raises ``TryAgain`` where that is not to be had.
        """
        found = self._articles("ticket = ?", int(ticket))
        return self._articles("ticket = ?", int(ticket)) if not here and self.fill(found) else found

    def article_of_blob(self, blob: str) -> Article | None:
        """Return the article whose ``.md.age`` or ``.eml.age`` is the blob, or None."""
        value = bytes.fromhex(blob)
        found = self._articles("md = ?", value) or self._articles("eml = ?", value)
        return found[0] if found else None

    def sealed(self, tickets: Iterable[str] | None = None) -> list[tuple[int, str, str, str]]:
        """Return (place, ticket, event id, md blob) of the articles not opened yet, of some tickets or of all."""
        query = "SELECT a.seq, a.ticket, e.id, a.md FROM article a JOIN event e ON e.seq = a.seq WHERE a.key IS NULL"
        if tickets is None:
            rows = list(self.sql(query + " ORDER BY a.seq"))
        else:
            rows = [r for t in tickets for r in self.sql(query + " AND a.ticket = ? ORDER BY a.seq", (int(t),))]
        return [(seq, str(ticket), id_, md.hex()) for seq, ticket, id_, md in rows]

    def _articles(self, where: str, value: Any) -> list[Article]:
        query = f"SELECT seq, md, eml, key, front, body FROM article WHERE {where} ORDER BY seq"
        return [self._article(*row) for row in list(self.sql(query, (value,)))]

    def _article(self, seq: int, md: bytes, eml: bytes | None, key: str, front: str | None, body: str) -> Article:
        opened = json.loads(front) if front else None
        return Article(seq, self.event(seq), md.hex(), eml.hex() if eml else "", key, opened, body)


def advance(ticket: Ticket | None, event: Event, opened: Opened | None) -> Ticket:
    """Return ``ticket`` after ``event``, with title and requester where this is its first article."""
    after = fold.apply(ticket, event)
    line = fold.headline(opened.front) if opened and opened.front else {}
    return after._replace(title=line["title"], requester=line["requester"]) if line and _is_birth(event) else after


def _row(opened: Opened | None) -> tuple[str | None, str | None, str | None]:
    """Return what the article table holds of an opened article: key, front matter, body."""
    if opened is None or opened.front is None:
        return opened.key if opened else None, None, None
    return opened.key, json.dumps(opened.front, ensure_ascii=False), opened.body


def _is_birth(event: Event) -> bool:
    return event.action in ("receive", "new", "moved") and "Queue" in event.trailers


def _ticket_row(ticket: Ticket) -> tuple[Any, ...]:
    values = ticket._asdict() | {"number": int(ticket.number)}
    return tuple(" ".join(v) if isinstance(v, tuple) else v for v in values.values())


def _ticket(row: tuple[Any, ...]) -> Ticket:
    values = dict(zip(_TICKET, row, strict=True))
    values["number"] = str(values["number"])
    for name in ("tags", "unverified", "links", "undelivered"):
        values[name] = tuple(values[name].split())
    return Ticket(**values)
