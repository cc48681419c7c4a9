"""Who could read a ticket, and through which key: told from both branches, as they are or as they were.

What counts is which epoch of a queue's key an article is sealed to, and who was given that epoch: a card that left, or
was dismissed, opens with the keys it had whatever is sealed to them, be it published later. The epoch is the one that
the ledger had at the place which the keyring commit names; where the caller holds the queue's keys they are tried, so
that a writer who sealed to an older one is found out. No secret is shown. It knows nothing of the command line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, tzinfo
from typing import NamedTuple

from vrt import number, roster
from vrt.desk import Desk
from vrt.errors import NotFound, UsageError
from vrt.model import INTAKE, MAILER, RECOVERY, Card, Event
from vrt.past import File, Past
from vrt.storage import crypt, keyring
from vrt.storage.git import Heads
from vrt.storage.index import Article

_Whose = tuple[str, int]  # a handle, and 0; or the place in the ledger where the keys that it had are called stolen

QUEUE, RECOVERED, SENDER, GRANT, AUTHOR, RECEIVED = "queue", "recovery", "sender", "grant", "author", "intake"
MEMBER, LEFT, DISMISSED, STOLEN, NODE = "member", "left", "dismissed", "stolen", "node"


class Through(NamedTuple):
    """A way by which somebody could read articles.

    ``kind``: ``queue`` and ``recovery`` (holds the key ``epoch`` of ``queue``), ``sender`` (the original alone, to hand
    it over), ``grant``, ``author`` (wrote it), ``intake`` (received it, and saw it once). ``commit`` gave it: of the
    keyring the queue's key or, by sender and grant, the first article's; else the first event's own. ``articles`` are
    event ids in ledger order, each with since when, epoch seconds.
    """

    kind: str
    queue: str
    epoch: int
    commit: str
    articles: Mapping[str, int]

    @property
    def since(self) -> int:
        """Since when it has opened something, epoch seconds."""
        return min(self.articles.values())


class Reader(NamedTuple):
    """Somebody who could read.

    ``now``: member, left, dismissed, node; or stolen, which is not the card, but whoever has the keys that it had.
    ``until`` is when it left or that was reported, epoch seconds; else 0.
    """

    card: Card
    now: str
    until: int
    ids: tuple[str, ...]
    through: tuple[Through, ...]

    @property
    def since(self) -> int:
        """Since when it could read the first article, epoch seconds."""
        return min(way.since for way in self.through)


class Access(NamedTuple):
    """Who could read a ticket's ``articles``; ``at`` is the moment asked for (epoch seconds), 0 for now."""

    ticket: str
    at: int
    articles: tuple[Event, ...]
    readers: tuple[Reader, ...]


def access(desk: Desk, name: str, at: str | None = None) -> Access:
    """Return who could read the ticket that ``name`` names, at the end of the day or at the moment ``at``.

    ``at`` is ``YYYY-MM-DD`` in the desk's time zone, or an ISO 8601 time with its zone; it goes by the dates of the
    commits, which their writers claim. Raises as ``Desk.resolve``, ``UsageError`` for what is no date, ``NotFound``
    for a time when the ticket was not there.
    """
    ticket, index = desk.resolve(name), desk.index
    moment = 0 if at is None else when(at, roster.zone(desk.roster.desk.timezone))
    heads = index.heads() if at is None else _heads_at(desk, moment)
    with desk.repository.reader() as objects:
        past = Past(desk, objects, heads.main) if heads.main else None
        said = [a for a in index.articles(ticket) if past and a.seq <= past.last]
        if past is None or not said:
            raise NotFound(f"{ticket} was not there {at}", f"vrt trail {ticket}")
        ways = _Ways(past, said)
        ways.take(heads.keys, number.folder(ticket))
    return Access(ticket, moment, tuple(a.event for a in said), tuple(ways.readers()))


def when(text: str, zone: tzinfo) -> int:
    """Return the epoch seconds of the last second of the day ``text`` in ``zone``, or of the moment; ``UsageError``."""
    try:
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            day = datetime.fromisoformat(text) + timedelta(days=1)
            return int(day.replace(tzinfo=zone).timestamp()) - 1
        moment = datetime.fromisoformat(text)
        if moment.tzinfo:
            return int(moment.timestamp())
    except (ValueError, OverflowError):
        pass
    raise UsageError(f"{text!r} is no day and no time with its zone", "write 2026-11-20, or 2026-11-20T09:30+01:00")


def _heads_at(desk: Desk, moment: int) -> Heads:
    """Return where both branches stood at ``moment`` by the dates of their commits, which never go back."""
    if moment < 0:
        return Heads("", "")
    run = desk.repository.run
    found = (
        run("rev-list", "-1", f"--min-age={moment}", "--end-of-options", head, "--") for head in desk.index.heads()
    )
    return Heads(*(oid.decode().strip() for oid in found))


# --- the ways to a ticket ---------------------------------------------------------------------------


class _Ways:
    """Collects by which way each card could read which of the articles ``said``."""

    def __init__(self, past: Past, said: list[Article]) -> None:
        self._past, self._said = past, {a.event.id: a for a in said}
        # (whose, kind, queue, epoch) -> (since, commit, article)
        self._ways: dict[tuple[_Whose, str, str, int], list[tuple[int, str, str]]] = {}

    def _add(self, whose: _Whose, kind: str, since: int, commit: str, event_id: str, queue: str = "", epoch: int = 0
    ) -> None:  # fmt: skip
        self._ways.setdefault((whose, kind, queue, epoch), []).append((since, commit, event_id))

    def _hands(self, handle: str, place: int) -> list[_Whose]:
        """Return in whose hands comes what was sealed to a card at ``place``: its own, and those of thieves later."""
        return [(handle, 0), *((handle, theft) for theft in self._past.thefts(handle, place))]

    def take(self, head: str, folder: str) -> None:
        """Take in who wrote or received the articles, and whom their keys in the keyring's ``folder`` are sealed to."""
        past, sealed = self._past, []
        for event in (a.event for a in self._said.values()):
            kind = RECEIVED if event.action == "receive" else AUTHOR
            self._add((event.agent, 0), kind, event.time, event.commit, event.id)
        for file in past.keys(head, folder):
            article = self._said.get(file.key.name)
            if article is None:
                continue  # a salt, or left by a writer that was stopped before its event was recorded
            if file.key.to in past.roster.queues:
                sealed.append((file, self._epoch(file, article)))
            elif file.key.to in past.roster.cards:
                kind = SENDER if article.event.trailers.get("Sender") == file.key.to else GRANT
                for whose in self._hands(file.key.to, file.place):
                    self._add(whose, kind, file.time, file.commit, article.event.id)
        holders = self._holders(head, {(file.key.to, epoch) for file, epoch in sealed})
        for file, epoch in sealed:
            queue = file.key.to
            for whose, (since, commit) in holders.get((queue, epoch), {}).items():
                kind = RECOVERED if RECOVERY in past.roster.cards[whose[0]].roles else QUEUE
                self._add(whose, kind, max(since, file.time), commit, file.key.name, queue, epoch)

    def _epoch(self, file: File, article: Article) -> int:
        """Return the epoch of its queue that a file is sealed to, 0 where it opens nothing."""
        queue = file.key.to
        then = self._past.roster_at(file.place or self._past.last).queues.get(queue)
        epochs = range(then.epoch if then else 0, 0, -1)
        held = self._past.desk.keyring.queues.get(queue, {})
        data = self._past.objects.read(file.blob) if held else b""
        for epoch in epochs:
            if epoch in held and (secret := keyring.open_identity(data, [crypt.identity(held[epoch])])):
                return epoch if secret == article.key else 0
        return next((epoch for epoch in epochs if epoch not in held), 0)

    def _holders(self, head: str, wanted: set[tuple[str, int]]) -> dict[tuple[str, int], dict[_Whose, tuple[int, str]]]:
        """Return for each epoch of a queue in whose hands its key came: since when, and by which commit."""
        found: dict[tuple[str, int], dict[_Whose, tuple[int, str]]] = {}
        for key, _, place, time, commit in self._past.keys(head, "queues") if wanted else ():
            if (key.name, key.epoch) in wanted and self._past.could_read(key.to, key.name, key.epoch, place):
                for whose in self._hands(key.to, place):
                    # The new keys get the new epoch by a commit that may name the place right before the theft.
                    then = self._past.roster_at(whose[1] - 1 if whose[1] else self._past.last).queues.get(key.name)
                    if then and key.epoch <= then.epoch:
                        found.setdefault((key.name, key.epoch), {}).setdefault(whose, (time, commit))
        return found

    def readers(self) -> Iterator[Reader]:
        """Yield who could read, those who still read what comes first."""
        by_whose: dict[_Whose, list[Through]] = {}
        for (whose, kind, queue, epoch), found in sorted(self._ways.items()):
            sinces: dict[str, int] = {}
            for since, _, event_id in sorted(found):
                sinces.setdefault(event_id, since)
            ordered = {e: sinces[e] for e in self._said if e in sinces}
            by_whose.setdefault(whose, []).append(Through(kind, queue, epoch, min(found)[1], ordered))
        made = [self._reader(*whose, ways) for whose, ways in by_whose.items()]
        yield from sorted(made, key=lambda r: (_ORDER.index(r.now), r.card.handle, r.until))

    def _reader(self, handle: str, theft: int, ways: list[Through]) -> Reader:
        card, stages = self._past.roster.cards[handle], self._past.stages
        ids = tuple(e for e in self._said if any(e in way.articles for way in ways))
        if theft:
            return Reader(card, STOLEN, next(s.time for s in stages if s.place == theft), ids, tuple(ways))
        queues, until = {way.queue for way in ways if way.queue}, 0
        for stage in reversed(stages):
            then = stage.roster.cards.get(handle)
            here = then and not then.dismissed
            if here and (not queues or any(then in stage.roster.readers(queue) for queue in queues)):
                break
            until = stage.time
        now = LEFT if until else MEMBER
        if card.dismissed or set(card.roles) <= {INTAKE, MAILER}:
            now = DISMISSED if card.dismissed else NODE
        return Reader(card, now, until, ids, tuple(ways))


_ORDER = (MEMBER, LEFT, DISMISSED, STOLEN, NODE)
