"""What was done here, put on top of what others published first: the same events, articles and dates, signed anew.

Until that is recorded the events hang on refs of this machine, so that a crash loses none. What was said is never
dropped: where it fits no more, its text is kept, sealed to the caller. What was done is dropped, with a sentence, where
the state it started from is gone.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import NamedTuple

from vrt import acts, changes, dispatch, entitled, fold, kept, law, ledger, letters, paths, redo
from vrt.desk import Desk
from vrt.errors import Conflict, VrtError
from vrt.kept import Kept
from vrt.model import Event, Ticket
from vrt.roster import Roster
from vrt.storage import crypt, keyring, remote
from vrt.storage.git import Heads
from vrt.storage.index import Article
from vrt.storage.remembered import rules_set
from vrt.storage.replay import open_article, parse, roster_at
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
    """Return what this card did here after ``base``, oldest first."""
    log = desk.repository.log(base.main, held.main)
    found = [Own(parse(logged), {path: blob for _, _, blob, path in logged.changes}) for logged in log]
    return [o for o in found if o.event.agent == desk.me.handle]


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
        rosters = roster_at(reader, base.main), roster_at(reader, held.main)
    mine = [o for o in own(desk, base, held) if not desk.index.has_event(o.event.id)]
    came = {parse(logged).id for logged in repository.log(base.main, now.main)}
    changed = {path for path, _ in repository.added(base.main, now.main)}
    with ExitStack() as stack:
        again = _Again(desk, stack, keys, state.ties, came)
        again.know(rosters, changed)
        again.run(mine, told)
        again.seal()
    remote.let_go(repository)
    return told


class _Again:
    """Events added anew, one after the other, each looked at in the light of what came before."""

    def __init__(self, desk: Desk, stack: ExitStack, keys: Keys, known: law.Ties, came: set[str]) -> None:
        self._desk, self._stack, self._keys, self._ties = desk, stack, keys, known
        self._came = came  # the events that others published, and what a call that was cut off put on top of them
        self._tickets: dict[str, Ticket] = {}
        self._events: dict[str, list[Event]] = {}
        self._added: set[str] = set()  # the ids of the events that were added
        self._gone: set[str] = set()  # queues and agents that were made here, while others took the name
        self._lost: set[str] = set()  # numbers that this card gave to another ticket on another machine
        self._reader = stack.enter_context(desk.repository.reader())
        self._begin()

    def know(self, rosters: tuple[Roster, Roster], changed: set[str]) -> None:
        """Know the rosters before and after what was done here, and the files that others ``changed`` meanwhile."""
        (self._base, self._held), self._changed = rosters, changed
        self._before = self._base  # what was done here made of it until now
        # What opens what was sealed here, also with keys that others made void.
        self._mine, me = self._desk.keyring.identities(), self._desk.keys.identities()
        for path, data in self._keys.files.items():
            key = paths.parse_key(path)
            if key and key.kind == "queues" and key.to == self._desk.me.handle:
                secret = keyring.open_identity(data, me)
                self._mine += [crypt.identity(secret)] if secret else []

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
                self._put(event, files, told)
            except VrtError as exc:
                if event.action in ("queue-add", "agent-add"):
                    self._gone |= {event.trailers.get("Queue", ""), event.trailers.get("Agent", "")} - {""}
                told.append(
                    f"{ledger.subject(event)}: dropped{self._keep(event, files, [*blobs.values()])}, for {exc.message}"
                )

    def _put(self, event: Event, files: dict[str, bytes], told: list[str]) -> None:
        if named := sorted(self._gone & {event.trailers.get(n, "") for n in ("Queue", "Agent", "Owner", "Sender")}):
            raise Conflict(f"{named[0]} is another now, made by somebody else")
        if not event.ticket:
            self._put_change(event, files, told)
            return
        before = self._ticket(event.ticket)
        if event.ticket in self._lost or (before and "Queue" in event.trailers and event.action != "route"):
            self._lost.add(event.ticket)
            raise Conflict("your card gave this number to another ticket, on another machine", "one card, one clone")
        self._check(event)
        self._add(event, files)
        self._seal_again(event, before)

    def _put_change(self, event: Event, files: dict[str, bytes], told: list[str]) -> None:
        """Put a change of the desk on top: as it was, or done again where others changed the same."""
        self._record()
        before, after = self._before, redo.after(self._before, files)
        self._before = after
        try:
            if self._changed & files.keys() or (event.action == "rules-set" and self._rules_came()):
                raise Conflict("others changed the same")
            changes.still_lawful(self._desk, event, redo.after(self._desk.roster, files), files)
        except Conflict:
            redo.redo(self._desk, event, before, after, files)
            self._desk.follow()
            told.append(f"{ledger.subject(event)}: done again, for others changed the desk first")
            self._begin()
            return
        self._write.add(event._replace(commit=""), files)
        self._added.add(event.id)
        self._record()

    def _rules_came(self) -> bool:
        found = rules_set(self._desk.index)
        return found is not None and found.id in self._came

    def _seal_again(self, event: Event, before: Ticket | None) -> None:
        """Give what was said here to whom its ticket went meanwhile, and what others said to whom it goes now."""
        desk, roster = self._desk, self._desk.roster
        home = self._ticket(self._home(event.ticket))
        if home is None:
            return
        if event.action in ("route", "merge") and before and before.queue != home.queue:
            acts.seal_to(desk, self._write, before, roster.queue(home.queue))
        elif ledger.ACTIONS[event.action].files:
            queue = roster.queue(home.queue)
            if queue.name not in (to for to, _ in self._keys.of(event.id)):
                self._reseal(event.ticket, event.id, [queue.name])

    def _reseal(self, ticket: str, event_id: str, to: list[str]) -> bool:
        """Give the identity of an article, as the keys at hand open it, to queues and cards as they are now."""
        known, roster = self._keys.of(event_id), self._desk.roster
        found = {s for _, data in known if (s := keyring.open_identity(data, self._mine))}
        for name in to:
            target = roster.queues.get(name) or roster.card(name)
            for secret in found:  # two lines: a card that sends gets the second
                given = secret if name in roster.queues else secret.split("\n")[-1]
                self._write.add_key(*keyring.seal_article(ticket, event_id, given, name, target.recipient))
        return bool(found)

    def seal(self) -> None:
        """Record the rest, with the keys of what was added."""
        for path, data in self._keys.files.items() if not self._desk.me.dismissed else ():
            key = paths.parse_key(path)
            if key is None or not self.entitled(path):
                continue
            if entitled.fresh(self._desk, self._base, self._held, key, data):
                self._write.add_key(path, data)
            elif key.to in self._desk.roster.queues and key.ticket:
                self._renew(key, data)
            elif key.kind == "article" and entitled.may_have(self._desk, key):
                self._reseal(key.ticket, key.name, [key.to])
        self._record()

    def _renew(self, key: paths.Key, data: bytes) -> None:
        """Give to a queue, by the key that it has now, what was sealed to an earlier one."""
        recipient = self._desk.roster.queue(key.to).recipient
        if key.kind == "article" and self._reseal(key.ticket, key.name, [key.to]):
            return
        if key.kind == "salt" and (salt := keyring.open_salt(data, self._mine)):
            self._write.add_key(*keyring.seal_salt(key.ticket, salt, key.to, recipient))
        elif key.name in self._added or key.kind == "salt":  # else ``route`` has given it
            again = keyring.seal_again(data, recipient)
            self._write.add_key(paths.key_path(key._replace(hash8=crypt.hash8(again))), again)

    def entitled(self, path: str) -> bool:
        """Say whether a key is published: of an article that was added, or for whom a ticket is in the end.

        What a ``route`` that was dropped had sealed to another queue must not get there.
        """
        key = paths.parse_key(path)
        if key is None or not key.ticket or key.name in self._added:
            return key is not None
        if key.kind == "article" and not self._desk.index.has_event(key.name):
            return False  # of what was dropped, or is received again
        ticket = self._ticket(key.ticket)
        queues = set()
        while ticket:
            queues.add(ticket.queue)
            ticket = self._ticket(ticket.merged_into) if ticket.merged_into else None
        born = any("Queue" in e.trailers and e.id in self._added for e in self._of(key.ticket)[:1])
        return key.to in queues or key.to in self._desk.roster.cards or (key.kind == "salt" and born)

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
        if why := law.strays(event, desk.me, self._ticket):
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
        secrets = [s for _, data in self._keys.of(event.id) if (s := keyring.open_identity(data, self._mine))]
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
