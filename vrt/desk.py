"""The one door to a desk: find it, read it, and record events in it.

Commands and mail go through here; below it lie storage, keys and index. It knows nothing of the
command line.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from functools import cached_property
from pathlib import Path

from vrt import ledger, number
from vrt.errors import NotAllowed, NotFound, TryAgain, UsageError, VrtError
from vrt.model import Card, Event, Ticket
from vrt.roster import Roster, zone
from vrt.storage import crypt, local, lock
from vrt.storage.database import CannotWrite, Unusable
from vrt.storage.git import Heads, Repository
from vrt.storage.identity import Keys
from vrt.storage.index import Article, Entry, Index
from vrt.storage.keyring import Keyring
from vrt.storage.local import Config

# Shows how far a long work is: given its name and its size (None: unknown), yields a function that takes
# how many are done.
Progress = Callable[[str, int | None], AbstractContextManager[Callable[[int], None]]]

# The most urgent first, among them the longest waiting; what waits for nobody last.
ORDER = "priority DESC, waiting_since = 0, waiting_since, number"


def find(given: str | None = None) -> Path:
    """Return the folder of the desk: ``given``, else ``$VRT_DESK``, else the current folder or one above it.

    Raises ``UsageError`` where there is none.
    """
    start = given or os.environ.get("VRT_DESK")
    if start:
        path = Path(start).resolve()
        if not is_desk(path):
            raise UsageError(f"{start} is not a desk", "vrt init DIR --name NAME --domain DOMAIN makes one")
        return path
    here = Path.cwd()
    for path in (here, *here.parents):
        if is_desk(path):
            return path
    raise UsageError("this folder is not in a desk", "go to one, use -C DESK, or set VRT_DESK")


def is_desk(path: Path) -> bool:
    """Say whether ``path`` is the folder of a desk."""
    return (path / "HEAD").is_file() and (path / local.FOLDER).is_dir()


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
        self._index: Index | None = None
        self._held = False  # the lock: nobody else moves the heads, so the index need not look again

    @property
    def now(self) -> int:
        """The clock, in whole epoch seconds."""
        return int(self.clock())

    # --- keys -----------------------------------------------------------------------------------

    @cached_property
    def keys(self) -> Keys:
        """The caller's keys, as ``config.yaml`` names them."""
        return Keys(local.read_config(self.path))

    @property
    def index(self) -> Index:
        """The index, brought up to both heads."""
        if self._held and self._index is not None:
            return self._index
        heads = self.repository.heads()
        if self._index is None:
            try:
                self._index = Index(self._index_path, self._index_key())
            except Unusable:
                self._open_or_rebuild()
        assert self._index is not None
        if self._index.heads() != heads:
            with self.locked():
                self._follow()
        return self._index

    def catch_up(self) -> None:
        """Read what was recorded outside ``recorded``, so that roster and cards are those of the head."""
        assert self.index

    @property
    def _index_path(self) -> Path:
        return self.path / local.FOLDER / "index.db"

    def _index_key(self) -> bytes:
        """Return the key of the index; raises ``Unusable`` where there is none that the caller's identity opens."""
        try:
            sealed = (self.path / local.FOLDER / "index.key.age").read_bytes()
        except FileNotFoundError:
            raise Unusable("missing") from None
        # The default identity first: most people have no other, and it spares reading config.yaml.
        for keys in (Keys(Config()), None):
            if keys and not keys.config.identity_path.exists():
                continue
            try:
                return crypt.unseal(sealed, (keys or self.keys).identities())
            except crypt.CannotOpen:
                continue
        raise Unusable("sealed to another key")

    def _open_or_rebuild(self) -> None:
        with self.locked():
            try:  # another vrt may have made it while we waited for the lock
                self._index = Index(self._index_path, self._index_key())
            except Unusable as exc:
                self._rebuild(str(exc))

    def _rebuild(self, why: str) -> None:
        """Make the index anew; under the lock."""
        if self._index:
            self._index.close()
        heads = self.repository.heads()
        if not heads.main:
            raise VrtError(
                "this desk has no ledger: its making was interrupted", f"remove {self.path} and make it anew"
            )
        self._check_card(heads.main)
        key = os.urandom(32)
        sealed = crypt.seal(key, self.keys.recipient())
        local.write_private(self.path / local.FOLDER / "index.key.age", sealed)
        self._index = Index.create(self._index_path, key)
        if why != "missing":
            self.warn(f"the index is {why}: making it anew")
        self._follow()

    def _check_card(self, head: str) -> None:
        """Raise ``NotAllowed`` unless the key at hand is that of this clone's card: the index is made for no other."""
        from vrt.storage.replay import roster_at

        with self.repository.reader() as reader:
            known = roster_at(reader, head)
        card = known.cards.get(self.keys.config.card)
        if card is None:
            raise NotAllowed("this clone has no card in the desk", "vrt identity, and hand the card to an admin")
        if card.recipient != self.keys.recipient():
            raise NotAllowed(
                f"the key at hand is not that of {card.handle}, whose desk this is",
                "set VRT_HOME, or identity in vrt/config.yaml",
            )

    def _follow(self) -> None:
        """Read what is new on both branches into the index; under the lock."""
        from vrt.storage.replay import Replay

        assert self._index is not None
        old, new = self._index.heads(), self.repository.heads()
        if old == new:
            return
        if old.main and not self.repository.is_ancestor(old.main, new.main):
            raise VrtError(
                f"the ledger does not continue what was read before (it was at {old.main[:12]})",
                "vrt index --rebuild, if you know why",
            )
        replay = Replay(self._index, self.repository, self.keys.config.card, self.keys.identities())
        with self.progress("reading the ledger", None) as show:
            try:
                replay.run(new, show)
            except Unusable as exc:
                raise VrtError(f"the index is {exc}", "vrt index --rebuild") from exc
        for name in ("roster", "keyring", "me"):
            self.__dict__.pop(name, None)

    def rebuild_index(self) -> None:
        """Throw the index away and make it anew."""
        with self.locked():
            self._rebuild("missing")

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

    @cached_property
    def me(self) -> Card:
        """The caller's card; raises ``NotAllowed`` where this clone has none."""
        handle = self.index.meta("card")
        if not handle or handle not in self.roster.cards:
            raise NotAllowed("this clone has no card in the desk", "vrt identity, and hand the card to an admin")
        return self.roster.cards[handle]

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
        found = self.index.ticket(self.resolve(text))
        assert found is not None
        return found

    def find(self, text: str, *, limit: int, mine: bool, order: str = ORDER) -> tuple[list[Ticket], int]:
        """Return at most ``limit`` (-1: all) of the tickets that the query ``text`` asks for, and how many there are.

        ``mine``: unless the query says otherwise, only what is not closed or holds something unverified, in the
        caller's queues. Raises ``UsageError`` for a query that cannot be understood.
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
        for name in {v for t in terms if t.field == "queue" for v in t.values}:
            self.roster.queue(name)
        response = {q.name: roster.seconds(q.first_response) for q in self.roster.queues.values()}
        setting = search.Setting(me.handle, me.queues, response, self.now)
        return search.find(index, query.Query(tuple(terms)), setting, order=order, limit=limit)

    def later(self, text: str) -> int:
        """Return the future moment (epoch seconds) that ``text`` names; raises ``UsageError``."""
        from vrt import query

        return query.later(text, self.now)

    def original(self, article: Article) -> bytes:
        """Return the untouched original of an article, byte for byte; raises ``NotAllowed`` or ``NotFound``."""
        if not article.eml:
            raise NotFound(
                f"{article.event.id} has no original: it was written here", f"vrt show {article.event.ticket}"
            )
        if article.key is None:
            raise NotAllowed(f"no key at hand opens {article.event.id}", "vrt agent list shows who is in its queue")
        with self.repository.reader() as reader:
            return crypt.unseal(reader.read(article.eml), [crypt.identity(article.key)])

    # --- writing ------------------------------------------------------------------------------------

    @contextmanager
    def locked(self) -> Iterator[int]:
        """Hold the desk's lock, whatever the index knows; yields the lock's descriptor."""
        with lock.held(self.path / local.FOLDER / "lock", self.repository.sweep) as fd:
            yield fd

    @contextmanager
    def writing(self) -> Iterator[int]:
        """Hold the desk's lock with the index at the heads; yields the lock's descriptor."""
        index = self.index
        with self.locked() as fd:
            if index.heads() != self.repository.heads():
                self._follow()
            self._held = True
            try:
                yield fd
            finally:
                self._held = False

    def recorded(self, entries: list[Entry], heads: Heads) -> None:
        """Take what was just recorded into the index. A failure is a warning: the index heals itself."""
        assert self._index is not None
        try:
            with self._index.writing():
                self._index.add(entries)
                self._index.set_heads(heads)
        except (Unusable, CannotWrite) as exc:
            self.warn(f"recorded, but the index could not take it in ({exc}); it will catch up by itself")

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

    def event(self, action: str, ticket: str = "", trailers: dict[str, str] | None = None) -> Event:
        """Return an event that the caller does now; its id and its time are of one look at the clock."""
        now = self.now
        return Event(
            ledger.event_id(now, action, os.urandom(4).hex()), action, self.me.handle, now, ticket, trailers or {}
        )
