"""What was done here, put on top of what others published first: the same events, articles and dates, signed anew.

Until that is recorded the events hang on refs of this machine, so that a crash loses none. What was said is never
dropped: where it fits no more, its text is kept, sealed to the caller. What was done is dropped, with a sentence, where
the state it started from is gone.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import NamedTuple

from vrt import acts, changes, dispatch, fold, kept, law, ledger, letters, paths, ties
from vrt.desk import Desk
from vrt.errors import Conflict, VrtError
from vrt.kept import Kept
from vrt.model import Event, Ticket
from vrt.storage import crypt, keyring, remote
from vrt.storage.git import Heads
from vrt.storage.index import Article
from vrt.storage.replay import open_article, parse
from vrt.storage.spool import Spool

_LETTERS = ("reply", "forward", "draft", "approve")
_MAIL = ("receive", "moved", "accept")
_ANSWERS = ("reply", "approve", "close", "pend")
_ACTS = ("take", "assign", "release", "route", "pend", "close", "merge")  # what another's lock makes void


class Own(NamedTuple):
    """An event of ours that is not published, and the files that it adds."""

    event: Event
    blobs: dict[str, str]  # path -> id


class Keys:
    """Keyring files that are not published."""

    def __init__(self, files: dict[str, bytes]) -> None:
        """Know ``files`` (path to content)."""
        self.files = files
        self._of: dict[str, list[tuple[str, bytes]]] = {}
        for path, data in files.items():
            if key := paths.parse_key(path):
                self._of.setdefault(key.name, []).append((key.to, data))

    def of(self, event_id: str) -> list[tuple[str, bytes]]:
        """Return the files with the identity of an article, each with whom it is sealed to."""
        return self._of.get(event_id, [])


def own(desk: Desk, base: Heads, held: Heads) -> list[Own]:
    """Return what was done here after ``base``, oldest first."""
    log = desk.repository.log(base.main, held.main)
    return [Own(parse(logged), {path: blob for _, _, blob, path in logged.changes}) for logged in log]


def check_clash(desk: Desk, base: Heads, theirs: Heads, mine: list[Own]) -> None:
    """Raise ``Conflict`` where others changed the same file of the desk as was changed here."""
    changed = {path for path, _ in desk.repository.added(base.main, theirs.main)}
    for event, blobs in mine:
        if not event.ticket and (both := sorted(changed & blobs.keys())):
            raise Conflict(
                f"{both[0]} was changed here ({event.action}), and by others first",
                "an admin does it again in a fresh clone",
            )


def reapply(desk: Desk, state: law.State) -> list[str]:
    """Put what hangs on the refs of this machine on top of the ledger; only within ``desk.writing()``.

    ``state`` is what the ledger adds up to, by the law. Returns a sentence for each event that was dropped.
    """
    repository, now = desk.repository, desk.repository.heads()
    held = remote.held(repository)
    if not held.main:
        return []
    base = Heads(*(repository.common(a, b) for a, b in zip(now, held, strict=True)))
    told: list[str] = []
    with repository.reader() as reader:
        keys = Keys({path: reader.read(blob) for path, blob in repository.added(now.keys, held.keys)})
    mine = [o for o in own(desk, base, held) if not desk.index.has_event(o.event.id)]
    came = {parse(logged).id for logged in repository.log(base.main, now.main)}
    with ExitStack() as stack:
        again = _Again(desk, stack, keys, state.ties, came)
        again.run(mine, told)
        again.seal()
    remote.let_go(repository)
    return told


class _Again:
    """Events added anew, one after the other, each looked at in the light of what came before."""

    def __init__(self, desk: Desk, stack: ExitStack, keys: Keys, known: ties.Ties, came: set[str]) -> None:
        self._desk, self._stack, self._keys, self._ties = desk, stack, keys, known
        self._came = came  # the events that others published, and what a call that was cut off put on top of them
        self._tickets: dict[str, Ticket] = {}
        self._events: dict[str, list[Event]] = {}
        self._added: set[str] = set()  # the ids of the events that were added
        self._reader = stack.enter_context(desk.repository.reader())
        self._begin()

    def _begin(self) -> None:
        self._write = self._desk.writer()
        self._stack.callback(self._write.close)

    def _record(self) -> None:
        """Record what was added until now, so that the desk is as it says."""
        if not len(self._write.pack):
            return
        self._write.record(self._desk.lock)
        self._desk.follow()
        self._begin()

    def run(self, mine: list[Own], told: list[str]) -> None:
        """Add ``mine``, with a sentence in ``told`` for each that is dropped."""
        for event, blobs in mine:
            if self._desk.spools and event.action in ("receive", "auto-reply"):
                continue  # it lies in the spool, and is received again
            files = {path: self._reader.read(blob) for path, blob in blobs.items()}
            if event.action == "sent":
                self._begin_again(event)
            try:
                self._put(event, files)
            except VrtError as exc:
                told.append(
                    f"{ledger.subject(event)}: dropped{self._keep(event, files, [*blobs.values()])}, for {exc.message}"
                )

    def _put(self, event: Event, files: dict[str, bytes]) -> None:
        if event.ticket:
            self._check(event)
            before = self._ticket(event.ticket)
            self._add(event, files)
            self._seal_again(event, before)
            return
        self._record()
        changes.again(self._desk, event, files)
        self._write.add(event._replace(commit=""), files)
        self._added.add(event.id)
        self._record()

    def _seal_again(self, event: Event, before: Ticket | None) -> None:
        """Give what was said here to whom its ticket went meanwhile, and what others said to whom it goes now."""
        desk, roster = self._desk, self._desk.roster
        home = self._ticket(self._home(event.ticket))
        if home is None:
            return
        if event.action in ("route", "merge") and before and before.queue != home.queue:
            acts.seal_to(desk, self._write, before, roster.queue(home.queue))
        elif ledger.ACTIONS[event.action].files:
            queue, mine, known = roster.queue(home.queue), desk.keyring.identities(), self._keys.of(event.id)
            if queue.name in (to for to, _ in known):
                return
            for secret in {s for _, data in known if (s := keyring.open_identity(data, mine))}:
                self._write.add_key(*keyring.seal_article(event.ticket, event.id, secret, queue.name, queue.recipient))

    def seal(self) -> None:
        """Record the rest, with the keys of what was added."""
        for path, data in self._keys.files.items():
            if self.entitled(path):
                self._write.add_key(path, data)
        self._record()

    def entitled(self, path: str) -> bool:
        """Say whether a key is published: of an article that was added, or for whom a ticket is in the end.

        What a ``route`` that was dropped had sealed to another queue must not get there.
        """
        key = paths.parse_key(path)
        if key is None or not key.ticket or key.name in self._added:
            return key is not None
        ticket = self._ticket(key.ticket)
        queues = set()
        while ticket:
            queues.add(ticket.queue)
            ticket = self._ticket(ticket.merged_into) if ticket.merged_into else None
        born = any("Queue" in e.trailers and e.id in self._added for e in self._of(key.ticket)[:1])
        return key.to in queues or (key.kind == "salt" and born)

    def _add(self, event: Event, files: dict[str, bytes]) -> None:
        self._write.add(event._replace(commit=""), files)
        self._tickets[event.ticket] = fold.apply(self._ticket(event.ticket), event)
        self._of(event.ticket).append(event)
        self._ties.learn(event)
        self._added.add(event.id)

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
        if event.action in _ANSWERS and (wrote := self._wrote(event)):
            what = "a mail came in" if wrote.action in _MAIL else f"{wrote.agent} answered"
            raise Conflict(f"{what} meanwhile", f"vrt show {event.ticket}")
        if event.action in ("route", "merge") and any(a.key is None for a in desk.index.articles(event.ticket)):
            raise Conflict("no key at hand opens all that is there")
        if untrue := self._ties.belies(event):  # what it is about may have been dropped
            raise Conflict(untrue)

    def _wrote(self, event: Event) -> Event | None:
        """Return what was said in a ticket meanwhile, which whoever did ``event`` could not know.

        Nobody closes over a mail that they have not seen, and of two who answer one mail one is asked again.
        """
        said = _MAIL if event.action in ("close", "pend") else (*_MAIL, "reply", "approve")
        for other in self._of(event.ticket):
            facts = other.trailers
            quiet = facts.get("Kind") in ("bounce", "auto-reply") or "Unverified" in facts or "Rejected" in facts
            theirs = other.id in self._came and other.agent != event.agent
            if theirs and other.action in said and not quiet:
                return other
        return None

    def _of(self, number: str) -> list[Event]:
        """Return the events of a ticket, with those that were added here."""
        return self._events.setdefault(number, self._desk.index.events(number))

    def _keep(self, event: Event, files: dict[str, bytes], blobs: list[str]) -> str:
        """Keep the text of what was said, sealed to the caller; return what to say of that."""
        row = ledger.ACTIONS[event.action]
        mine = self._desk.keyring.identities()
        secrets = [s for _, data in self._keys.of(event.id) if (s := keyring.open_identity(data, mine))]
        if not event.ticket or not row.files or not secrets:
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
        eml_blob = blobs[0] if eml else ""
        article = Article(0, event, blobs[-1], eml_blob, opened.key, opened.front, opened.body)
        if event.action not in _LETTERS:
            kept.put(self._desk, event.id, Kept(opened.body))
            return f", its text kept in vrt/outbox/{event.id}.age (age -d -i KEY FILE | zcat)"
        letter = letters.again(self._desk, article)
        under = kept.name(letter.kind, self._home(event.ticket))
        goes_on = kept.get(self._desk, under) is None
        kept.put(self._desk, under if goes_on else event.id, Kept(kept.as_text(letter), letter.files))
        if goes_on:
            return f", its text kept (vrt {letter.kind} {self._home(event.ticket)} begins with it)"
        return f", its text kept in vrt/outbox/{event.id}.age (age -d -i KEY FILE | zcat)"

    def _home(self, number: str) -> str:
        """Return the ticket that a ticket is merged into, itself if it is not."""
        found = fold.home(number, self._ticket)
        return found.number if found else number
