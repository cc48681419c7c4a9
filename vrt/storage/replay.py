"""The index brought up to the heads: reads what is new on both branches, opens what the keys at hand open.

One way for one new event and for a rebuild of everything; opening and folding text for many articles
runs in worker processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from vrt import ledger, number, paths, roster
from vrt.errors import Breach
from vrt.model import Event, Ticket
from vrt.storage import crypt, keyring
from vrt.storage.articles import load, load_yaml
from vrt.storage.git import Heads, Repository
from vrt.storage.index import Entry, Index, Opened, advance
from vrt.storage.keyring import Keyring
from vrt.storage.reading import Logged, Reader
from vrt.storage.remembered import read_keyring, read_roster, write_keyring, write_roster
from vrt.text import fold
from vrt.work import ahead, spread

BATCH = 512  # events a transaction
POOL_FROM = 256  # tickets with keys to open, from which worker processes pay

Progress = Callable[[int], None]  # called with how many events were read


def words(front: dict[str, Any], body: str) -> tuple[str, str, str, str, str]:
    """Return the folded words of an article, by the columns of the full-text table."""

    def people(*names: str) -> str:
        found = [a for n in names for a in front.get(n) or [] if isinstance(a, dict)]
        return fold(" ".join(f"{a.get('name') or ''} {a.get('address') or ''}" for a in found))

    names = " ".join(str(a.get("name") or "") for a in front.get("attachments") or [] if isinstance(a, dict))
    return (
        fold(str(front.get("subject") or "")),
        people("from", "reply_to"),
        people("to", "cc"),
        fold(body),
        fold(names),
    )


def open_article(ticket: str, event_id: str, md: bytes, candidates: list[str]) -> Opened | None:
    """Return the article if one of the identities ``candidates`` opens it, else None.

    age binds neither ticket nor event to the file, so the front matter repeats them: of a file that
    belongs elsewhere only the identity is kept, nothing is shown, and ``verify`` names it.
    """
    for secret in candidates:
        try:
            front, body = load(crypt.unseal(md, [keyring.identity_of(secret, "md")]))
        except (crypt.CannotOpen, ValueError):
            continue
        if (front.get("ticket"), front.get("event")) != (ticket, event_id):
            return Opened(secret, None, "", ("",) * 5)
        return Opened(secret, front, body, words(front, body))
    return None


class Job(NamedTuple):
    """An article to open, and what may open it; ``md`` is empty where there is nothing to open, only salts."""

    ticket: str
    event_id: str
    md: bytes
    keys: list[tuple[str, bytes]]  # keyring files with its identity, each with the queue that it is sealed to
    salts: list[tuple[str, bytes]]  # keyring files with the ticket's salt, likewise
    queues: dict[str, list[str]]  # the identities of queues at hand


def open_job(job: Job) -> tuple[Opened | None, list[bytes]]:
    """Open one article and its ticket's salts; runs in a worker. What does not open is passed over."""

    def holding(queue: str) -> list[crypt.Identity]:
        return [crypt.identity(secret) for secret in job.queues.get(queue, ())]

    salts = [salt for queue, data in job.salts if (salt := keyring.open_salt(data, holding(queue)))]
    found = [secret for queue, data in job.keys if (secret := keyring.open_identity(data, holding(queue)))]
    return open_article(job.ticket, job.event_id, job.md, found), salts


Read = tuple[Logged, Event]
Sealed = dict[str, dict[str, list[tuple[str, str]]]]  # ticket -> event id or "salt" -> (queue, blob of the keyring)


class Replay:
    """Brings ``index`` from the heads it has read to the heads of ``repository``."""

    def __init__(self, index: Index, repository: Repository, me: str, mine: list[crypt.Identity]) -> None:
        self._index, self._repository = index, repository
        self._me, self._mine = me, mine
        self._sealed: Sealed = {}
        self._own: list[tuple[paths.Key, str]] = []  # files of tickets that are sealed to the card itself
        self._ours: set[str] = set()  # the names that our keys are sealed under
        self._old_keys = self._keys_head = ""
        self._numbers: set[str] = set()  # taken, whether or not their event was recorded

    def run(self, to: Heads, progress: Progress | None = None) -> None:
        """Read everything new up to ``to``; raises ``Breach`` for a ledger that cannot be read."""
        old = self._index.heads()
        self._old_keys, self._keys_head = old.keys, to.keys
        with self._repository.reader() as reader:
            roster_now = roster_at(reader, to.main) if old.main != to.main else read_roster(self._index)
            ring = read_keyring(self._index)
            ring.now = roster_now.desk.secret_epoch
            if old.main != to.main:
                ring.keep_true(roster_now)
            self._ours = {self._me, *ring.queues}
            news = self._read_keys(reader, old.keys, to.keys, ring, roster_now)
            news |= self._look_again(reader, to.keys, ring, roster_now)
            with self._index.writing():
                self._index.set_meta("roster", write_roster(roster_now))
                self._index.set_meta("keyring", write_keyring(ring))
                self._index.set_meta("card", self._me)
            self._read_events(reader, old, to, ring, progress)
            with self._index.writing():
                self._open_later(reader, ring, None if news else self._sealed)
                self._index.set_heads(to)

    def _read_keys(self, reader: Reader, old: str, new: str, ring: Keyring, known: roster.Roster) -> bool:
        """Learn what is new in the keyring; say whether that may open older articles."""
        news = False
        if old == new:
            return False
        later = []
        for path, blob in self._repository.added(old, new):
            key = paths.parse_key(path)
            if key is None:
                continue  # unlawful, but no reason to stop reading: verify names it
            if key.kind in ("desk", "queues", "rules"):
                if key.to == self._me:
                    news |= ring.learn(key, reader.read(blob), self._me, self._mine, known)
            else:
                later.append((key, blob))
        self._ours = {self._me, *ring.queues}
        for key, blob in later:
            self._know(key, blob)
        self._numbers = {key.ticket for key, _ in later if key.kind == "salt"}
        return news

    def _look_again(self, reader: Reader, head: str, ring: Keyring, known: roster.Roster) -> bool:
        """Look for keys that came before the ledger knew of them, and were passed over; say whether some were found."""
        me = known.cards.get(self._me)
        if me is None:
            return False
        lacking = [f"queues/{n}" for n, q in known.queues.items() if me in known.readers(n) and not ring.holds(q)]
        if me in known.secret_holders() and known.desk.secret_epoch not in ring.secrets:
            lacking.append("desk")
        news = False
        for folder in lacking:
            for name, (_, blob) in reader.folder(head, folder).items():
                key = paths.parse_key(f"{folder}/{name}")
                if key and key.to == self._me:
                    news |= ring.learn(key, reader.read(blob), self._me, self._mine, known)
        self._ours = {self._me, *ring.queues}
        return news

    def _read_events(self, reader: Reader, old: Heads, to: Heads, ring: Keyring, progress: Progress | None) -> None:
        if old.main == to.main:
            return
        log = self._repository.log(old.main, to.main)
        batches = iter(lambda: [(logged, parse(logged)) for logged in islice(log, BATCH)], [])
        done = 0
        with spread(len(self._sealed) >= POOL_FROM) as work:
            for batch, results in ahead(
                batches, lambda batch: work(open_job, self._jobs(reader, batch, ring.secret_lists()))
            ):
                self._take(batch, results)
                done += len(batch)
                if progress:
                    progress(done)

    def _jobs(self, reader: Reader, batch: list[Read], queues: dict[str, list[str]]) -> list[Job]:
        """Return a job for each commit of a run, with everything it needs read at once."""
        wanted = []
        for logged, event in batch:
            md = _blobs(logged).get("md", "")
            ticket, event_id = "", ""
            if md:
                ticket, event_id = event.ticket, event.id
                if self._old_keys and event_id not in self._sealed.get(ticket, {}):
                    self._look_up(reader, ticket)
            known = self._sealed.get(ticket, {})
            wanted.append((ticket, event_id, md, known.pop(event_id, []), known.pop("salt", [])))
        names = (
            n for _, _, md, keys, salts in wanted for n in (*([md] if keys else []), *(b for _, b in (*keys, *salts)))
        )
        data = reader.many(names)
        out = []
        for ticket, event_id, _, keys, salts in wanted:
            text = next(data) if keys else None
            out.append(Job(ticket, event_id, text or b"", _read(data, keys), _read(data, salts), queues))
        return out

    def _look_up(self, reader: Reader, ticket: str) -> None:
        """Know the keys of a ticket that came before its events, when the keyring was read last."""
        folder = number.folder(ticket)
        for name, (_, blob) in reader.folder(self._keys_head, folder).items():
            self._know(paths.parse_key(f"{folder}/{name}"), blob)

    def _know(self, key: paths.Key | None, blob: str) -> None:
        """Remember a keyring file of a ticket that is sealed to us."""
        if key and key.ticket and key.to == self._me:
            self._own.append((key, blob))
        elif key and key.ticket and key.to in self._ours:
            name = key.name if key.kind == "article" else "salt"
            blobs = self._sealed.setdefault(key.ticket, {}).setdefault(name, [])
            if (key.to, blob) not in blobs:
                blobs.append((key.to, blob))

    def _take(self, batch: list[Read], results: Iterator[tuple[Opened | None, list[bytes]]]) -> None:
        """Take in a run of commits in one transaction."""
        entries: list[Entry] = []
        tickets: dict[str, Ticket] = {}
        for (logged, event), (opened, salts) in zip(batch, results, strict=True):
            ticket = None
            if event.ticket:
                before = tickets.get(event.ticket) or self._index.ticket(event.ticket)
                ticket = tickets[event.ticket] = advance(before, event, opened)
            blobs = _blobs(logged)
            entries.append(Entry(event, ticket, blobs.get("md", ""), blobs.get("eml", ""), opened, tuple(salts)))
        with self._index.writing():
            self._index.add(entries)
            self._index.set_heads(Heads(batch[-1][0].id, self._index.heads().keys))

    def _open_later(self, reader: Reader, ring: Keyring, only: Sealed | None) -> None:
        """Open salts and articles whose keys came after them, and know the numbers that were taken."""
        if only is None:
            self._seek_all(reader, ring)
        for ticket in self._numbers:
            self._index.count(ticket)
        for key, blob in self._own:
            if key.kind == "salt" and (salt := keyring.open_salt(reader.read(blob), self._mine)):
                self._index.put_salt(key.ticket, salt)
        waiting = {ticket for ticket, names in self._sealed.items() if names}
        places = {event_id: (seq, md) for seq, _, event_id, md in self._index.sealed(waiting)}
        for ticket in waiting:
            salts = [(to, reader.read(blob)) for to, blob in self._sealed[ticket].pop("salt", [])]
            for event_id, blobs in [*self._sealed[ticket].items(), ("", [])]:
                seq, md = places.get(event_id, (0, ""))
                text = reader.find(md) if md else None  # of a partial desk it may not be here
                keys = [(to, reader.read(blob)) for to, blob in blobs] if text else []
                job = Job(ticket, event_id, text or b"", keys, salts, ring.secret_lists())
                opened, found = open_job(job)
                if opened:
                    self._index.open_article(seq, opened)
                for salt in found:
                    self._index.put_salt(ticket, salt)
                salts = []

    def _seek_all(self, reader: Reader, ring: Keyring) -> None:
        """A queue's identity is new: look again at every key of the articles still sealed."""
        head = self._repository.heads().keys
        closed = {ticket for _, ticket, _, _ in self._index.sealed()}
        for path, blob in self._repository.added("", head) if closed else ():
            key = paths.parse_key(path)
            if key and key.ticket in closed:
                self._know(key, blob)


def parse(logged: Logged) -> Event:
    """Return the event that a commit of the ledger states; raises ``Breach``."""
    head, _, message = logged.data.partition(b"\n\n")
    author = next(row for row in head.decode("utf-8", "replace").split("\n") if row.startswith("author "))
    who, time, _ = author.removeprefix("author ").rsplit(" ", 2)
    try:
        return ledger.parse(
            message.decode("utf-8", "replace"), agent=who.partition(" ")[0], time=int(time), commit=logged.id
        )
    except ledger.BadEvent as exc:
        raise Breach(f"commit {logged.id} breaks rule 4: {exc}", "vrt verify") from exc


def _read(data: Iterator[bytes | None], files: list[tuple[str, str]]) -> list[tuple[str, bytes]]:
    """Return the contents of keyring files, the next in ``data``, each with its queue."""
    return [(to, content) for to, _ in files if (content := next(data))]


def _blobs(logged: Logged) -> dict[str, str]:
    """Return the blobs of an article by kind: md, eml."""
    return {p.rsplit(".", 2)[1]: blob for _, _, blob, p in logged.changes if p.endswith((".md.age", ".eml.age"))}


def roster_at(reader: Reader, head: str) -> roster.Roster:
    """Return the roster at a commit of the ledger; raises ``Breach`` where its files are none."""
    found = [paths.DESK]
    for folder in ("agents", "queues"):
        found += [f"{folder}/{name}" for name, (mode, _) in reader.folder(head, folder).items() if mode == "100644"]
    try:
        return roster.read({path: load_yaml(reader.read(f"{head}:{path}"), path) for path in found})
    except roster.BadDeskFile as exc:
        raise Breach(str(exc), "vrt verify") from exc
