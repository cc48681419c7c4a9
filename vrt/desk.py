"""The one door to a desk: find it, read it, and record events in it.

Commands and mail go through here; below it lie storage, keys and index. It knows nothing of the
command line.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from vrt import ledger, number
from vrt.errors import NotAllowed, NotFound, TryAgain, UsageError
from vrt.model import ADMIN, AGENT, INTAKE, Card, Event, Ticket
from vrt.roster import Roster, zone
from vrt.storage import crypt, local, lock
from vrt.storage.cache import Cache, Progress
from vrt.storage.database import CannotWrite, Unusable
from vrt.storage.git import Heads, Repository
from vrt.storage.identity import Keys
from vrt.storage.index import Article, Entry, Index
from vrt.storage.keyring import Keyring, identity_of

if TYPE_CHECKING:
    from vrt import query
    from vrt.storage.signing import Signer
    from vrt.storage.writer import Write

# What could not be delivered first, then the most urgent, among them the longest waiting; what waits for nobody last.
ORDER = "undelivered = '', priority DESC, waiting_since = 0, waiting_since, number"


class Desk:
    """A desk on this machine, seen with the caller's keys."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time, progress: Progress | None = None) -> None:
        """Look at the desk in ``path``. ``clock`` gives epoch seconds; ``warn`` may be replaced by the caller."""
        local.sweep_drafts()
        self.path = path
        self.repository = Repository(path)
        self.clock = clock
        self.progress: Progress = progress or (lambda label, total: nullcontext(lambda done: None))
        self.warn: Callable[[str], None] = lambda text: None
        self._seen = Heads("", "")  # where the index stood when roster, keyring and card were read
        self._held = False
        self.lock = -1  # the lock's descriptor, within ``writing``
        self._given: tuple[int, set[str]] = (0, set())  # the second, and the event ids given in it
        self._cache = Cache(self.repository, lambda: self.keys, lambda *a: self.progress(*a), lambda t: self.warn(t))

    @property
    def now(self) -> int:
        """The clock, in whole epoch seconds."""
        return int(self.clock())

    # --- keys -----------------------------------------------------------------------------------

    @cached_property
    def keys(self) -> Keys:
        """The caller's keys, as ``config.yaml`` names them."""
        return Keys(self.config)

    @cached_property
    def config(self) -> local.Config:
        """The settings of this clone."""
        return local.read_config(self.path)

    @property
    def index(self) -> Index:
        """The index, brought up to both heads."""
        if self._held:  # nobody else moves the heads, so the index need not look again
            return self._cache.index
        self._cache.bring_up(self.locked)
        self._look_again()
        return self._cache.index

    def catch_up(self) -> None:
        """Read what was recorded outside ``recorded``, so that roster and cards are those of the head."""
        assert self.index

    def rebuild_index(self) -> None:
        """Throw the index away and make it anew."""
        with self.locked():
            self._cache.rebuild("missing")
        self._look_again()

    def _look_again(self) -> None:
        """Forget roster, keyring and card where the index has moved on, be it by another vrt: they share it."""
        heads = self._cache.index.heads()
        if heads != self._seen:
            self._seen = heads
            for name in ("roster", "keyring", "me", "signer"):
                self.__dict__.pop(name, None)

    # --- who and what ----------------------------------------------------------------------------

    @cached_property
    def roster(self) -> Roster:
        """The members and queues at the ledger's head."""
        from vrt.storage.remembered import read_roster

        return read_roster(self.index)

    @cached_property
    def keyring(self) -> Keyring:
        """The queue identities and desk secrets that the caller holds."""
        from vrt.storage.remembered import read_keyring

        return read_keyring(self.index)

    @property
    def rules(self) -> str | None:
        """The intake rules (YAML): empty where the desk has none, None where the caller's card may not read them."""
        from vrt.storage.remembered import rules_set

        event = rules_set(self.index)
        return self.keyring.rules.get(event.trailers["Rules"]) if event else ""

    @cached_property
    def me(self) -> Card:
        """The caller's card; raises ``NotAllowed`` where this clone has none."""
        handle = self.index.meta("card")
        if not handle or handle not in self.roster.cards:
            raise NotAllowed("this clone has no card in the desk", "vrt identity, and hand the card to an admin")
        return self.roster.cards[handle]

    @cached_property
    def spools(self) -> bool:
        """Say whether what is received is kept in the spool until it is published: on an intake node with a remote."""
        return self.me.has(INTAKE) and not self.me.has(ADMIN, AGENT) and bool(self.remote)

    @cached_property
    def remote(self) -> str:
        """Where the desk is published, an empty string where it is not; raises ``UsageError`` for a strange place."""
        from vrt.storage.remote import url

        return url(self.repository)

    @cached_property
    def signer(self) -> Signer:
        """What signs in the caller's name; raises ``NotAllowed`` where the key at hand is not the card's."""
        found, me = self.keys.signer(), self.me
        if found.public != me.signing:
            raise NotAllowed(
                f"the signing key at hand is not the one of the card {me.handle}",
                f"{me.handle} may have got new keys; vrt status shows which are used",
            )
        return found

    # --- reading ------------------------------------------------------------------------------------

    def resolve(self, text: str) -> str:
        """Return the full number of the ticket that ``text`` names (``number.parse``).

        Raises ``UsageError`` for what is no number or ambiguous, ``NotFound`` for no such ticket.
        """
        digits = number.parse(text)
        if digits is None:
            short = text.isdigit() and len(text) < 4
            what = f"{text} is too short for a ticket number" if short else f"{text!r} is no ticket number"
            raise UsageError(what, "give the number or its last digits, at least 4")
        if len(digits) >= 16:
            return self._resolve_full(digits)
        found = self.index.ending_in(digits)
        if len(found) > 1:
            mine = [
                n for n in found if (t := self.index.ticket(n)) and t.owner == self.me.handle and t.state != "closed"
            ]
            found = mine if len(mine) == 1 else found
        if not found:
            raise NotFound(f"no ticket ends in {digits}", "vrt list shows the open ones")
        if len(found) > 1:
            raise UsageError(f"{len(found)} tickets end in {digits}", "one of " + ", ".join(sorted(found)[-5:]))
        return found[0]

    def _resolve_full(self, digits: str) -> str:
        if number.is_valid(digits) and self.index.ticket(digits):
            return digits
        near = [n for n in number.neighbours(digits) if self.index.ticket(n)]
        hint = "did you mean " + " or ".join(near[:5]) + "?" if near else "vrt list shows the open ones"
        if not number.is_valid(digits):
            raise NotFound(f"{digits} has a wrong check digit", hint)
        raise NotFound(f"no ticket {digits}", hint)

    def ticket(self, text: str) -> Ticket:
        """Return the ticket that ``text`` names; raises as ``resolve``."""
        number = self.resolve(text)
        if self.known(number).title is None:
            with suppress(TryAgain):  # it may be one that is not in this clone yet
                self.index.articles(number)
        return self.known(number)

    def known(self, number: str) -> Ticket:
        """Return the ticket of a full number that is there: ``resolve`` said so, or the ledger names it."""
        found = self.index.ticket(number)
        assert found is not None
        return found

    def find(self, text: str, *, limit: int, mine: bool, order: str | None = ORDER) -> tuple[list[Ticket], int]:
        """Return at most ``limit`` (-1: all) of the tickets that the query ``text`` asks for, and how many there are.

        ``order`` is SQL, None for the newest match first. ``mine``: unless the query says otherwise, only what is not
        closed or holds something unverified, in the caller's queues. Raises ``UsageError`` for a query that cannot
        be understood, ``NotFound`` for a queue, agent, tag or outcome in it that does not exist.
        """
        from vrt import query, roster
        from vrt.storage import search

        wanted, index = query.parse(text), self.index
        me = self.me
        terms = list(wanted.terms)
        if mine and not wanted.has("state", "is"):
            terms.append(query.Term("is", ("current",)))
        if mine and not wanted.has("queue") and me.queues:
            terms.append(query.Term("queue", me.queues))
        self._check_words(terms)
        response = {q.name: roster.seconds(q.first_response) for q in self.roster.queues.values()}
        setting = search.Setting(me.handle, me.queues, response, self.now)
        return search.find(index, query.Query(tuple(terms)), setting, order=order, limit=limit)

    def _check_words(self, terms: list[query.Term]) -> None:
        """Raise ``NotFound`` for a queue, agent, tag or outcome that does not exist: most likely mistyped."""
        desk = self.roster.desk
        known = {"tag": desk.tags, "outcome": desk.outcomes}
        for field, value in ((t.field, v) for t in terms for v in t.values):
            if field == "queue":
                self.roster.queue(value)
            elif field == "owner" and value not in ("me", "none"):
                self.roster.card(value)
            elif value not in known.get(field, (value,)):
                raise NotFound(f"this desk has no {field} {value}", "one of " + ", ".join(known[field]))

    def later(self, text: str) -> int:
        """Return the future moment (epoch seconds) that ``text`` names; raises ``UsageError``."""
        from vrt import query

        return query.later(text, self.now)

    def original(self, article: Article) -> bytes:
        """Return the untouched original of an article, byte for byte; raises ``NotAllowed`` or ``NotFound``."""
        if not article.eml:
            hint = f"vrt show {article.event.ticket}"
            raise NotFound(f"{article.event.id} has no original: it was written here", hint)
        if article.key is None:
            raise NotAllowed(f"no key at hand opens {article.event.id}", "vrt agent list shows who is in its queue")
        with self.repository.reader() as reader:
            try:
                return crypt.unseal(reader.read(article.eml), [identity_of(article.key, "eml")])
            except crypt.CannotOpen:
                raise NotAllowed(f"the original of {article.event.id} does not open", "vrt verify") from None

    # --- writing ------------------------------------------------------------------------------------

    @contextmanager
    def locked(self) -> Iterator[int]:
        """Hold the desk's lock, whatever the index knows; yields the lock's descriptor."""
        with lock.held(self.path / local.FOLDER / "lock", self.repository.sweep) as fd:
            yield fd

    @contextmanager
    def writing(self) -> Iterator[int]:
        """Hold the desk's lock with the index at the heads; yields the lock's descriptor."""
        self.catch_up()
        with self.locked() as fd:
            self.follow()
            self._held, self.lock = True, fd
            try:
                yield fd
            finally:
                self._held, self.lock = False, -1

    def follow(self) -> None:
        """Read what was recorded without ``recorded``; only within ``writing``."""
        self._cache.follow()
        self._look_again()

    def give_up(self, to: Heads) -> None:
        """Take the index back to ``to``, an earlier place; only within ``writing``, before the branches move."""
        from vrt.storage.replay import roster_at
        from vrt.storage.rewind import rewind

        with self.repository.reader() as reader:
            rewind(self._cache.index, to, roster_at(reader, to.main))

    def writer(self) -> Write:
        """Return what records events in the caller's name; only within ``writing``."""
        from vrt.storage.writer import Write

        return Write(self.repository, self.repository.heads(), self.signer, self.roster.who(self.me.handle), self.now)

    def recorded(self, entries: list[Entry], heads: Heads) -> None:
        """Take what was just recorded into the index. A failure is a warning: the index heals itself."""
        index = self._cache.index
        try:
            with index.writing():
                index.add(entries)
                index.set_heads(heads)
        except (Unusable, CannotWrite) as exc:
            self.warn(f"recorded, but the index could not take it in ({exc}); it will catch up by itself")

    @contextmanager
    def recording(self) -> Iterator[tuple[Write, list[Entry]]]:
        """Yield what records events, and a list for what the index takes in of them; recorded at the end, at once."""
        self.signer  # noqa: B018 - it may ask for a passphrase, and nobody is to wait for that
        with self.writing() as fd:
            write, entries = self.writer(), list[Entry]()
            try:
                yield write, entries
                heads = write.record(fd)
            finally:
                write.close()
            self.recorded(entries, heads)

    def mint(self, day: str, card: Card, taken: int) -> str:
        """Return the next free number of ``day`` after counter ``taken``; raises ``TryAgain`` on a full day."""
        counter = max(taken, self.index.last_counter(day, card.system_id)) + 1
        if counter > number.LAST_COUNTER:
            raise TryAgain(f"all {number.LAST_COUNTER} numbers of {day} are taken", "try again tomorrow")
        if not card.system_id:
            raise NotAllowed(f"the card {card.handle} mints no ticket numbers")
        return number.make(day, card.system_id, counter)

    def today(self) -> str:
        """Return the desk's date as ticket numbers begin with: YYYYMMDD in its time zone."""
        return datetime.fromtimestamp(self.now, zone(self.roster.desk.timezone)).strftime("%Y%m%d")

    def day(self) -> str:
        """Return the desk's date as people write it: YYYY-MM-DD in its time zone."""
        day = self.today()
        return f"{day[:4]}-{day[4:6]}-{day[6:]}"

    def event(self, action: str, ticket: str = "", trailers: dict[str, str] | None = None) -> Event:
        """Return an event that the caller does now; its id and its time are of one look at the clock.

        In a large intake two of the random parts are the same sooner or later, so each is looked up.
        """
        now = self.now
        if self._given[0] != now:
            self._given = (now, set())
        while True:
            event_id = ledger.event_id(now, action, os.urandom(4).hex())
            if event_id not in self._given[1] and not self.index.has_event(event_id):
                break
        self._given[1].add(event_id)
        return Event(event_id, action, self.me.handle, now, ticket, trailers or {})
