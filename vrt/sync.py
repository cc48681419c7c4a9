"""The desk brought together with its remote: what others published comes here, what was done here goes there.

What a remote serves is looked at before it is believed: it must continue what was seen before, and be lawful. Of what
is not, the lawful part before it is taken over, and work goes on from there.
"""

from __future__ import annotations

import random
import time
from contextlib import closing
from dataclasses import dataclass

from vrt import law, owed, paths, respool
from vrt.changes import write_signers
from vrt.desk import Desk
from vrt.errors import Breach, Conflict, NotAllowed, TryAgain, UsageError, VrtError
from vrt.model import ADMIN
from vrt.storage import history, local, lock, remote
from vrt.storage.facts import Facts
from vrt.storage.git import Heads
from vrt.storage.spool import Spool

TRIES = 30  # pushes that others may be faster with
RUN = 200  # events published at once, where others publish too
RESTORE = "an admin can put it right: vrt sync --restore"


@dataclass
class Synced:
    """What one sync did: events that came, events that went, mails of the spool received again, keys given to
    others.
    """

    came: int = 0
    went: int = 0
    again: int = 0
    sealed: int = 0


def sync(desk: Desk, *, restore: bool = False, limit: float | None = None, patience: float = 60.0) -> Synced:
    """Bring the desk and its remote together.

    ``restore`` mends a remote that is not a continuation of what it had, or not lawful: what it lost is put back, by
    an admin what is unlawful is taken out; where others have mended it, what this card did is put on top of that.
    ``limit`` is how many seconds the remote may take for an answer, ``patience`` how many another sync. Raises
    ``UsageError`` where there is no remote, ``TryAgain`` where it cannot be reached, ``Breach`` for a history that is
    not to be believed, ``Conflict`` where others published first and this card may not give way.
    """
    where = remote.url(desk.repository)
    if not where:
        raise UsageError("this desk has no remote", "git config remote.origin.url URL")
    folder = desk.path / local.FOLDER
    with (
        lock.held(folder / "sync.lock", lambda: remote.sweep(desk.repository), patience),
        closing(Facts(folder)) as facts,
    ):
        done = _Sync(desk, remote.Remote(desk.repository, where, limit), facts, restore).run()
        (folder / "away").unlink(missing_ok=True)
        return done


class _Sync:
    """One sync."""

    def __init__(self, desk: Desk, there: remote.Remote, facts: Facts, restore: bool) -> None:
        self._desk, self._repository = desk, desk.repository
        self._remote, self._facts, self._restore = there, facts, restore
        self._done = Synced()
        self._counted: dict[tuple[str, str], int] = {}
        self._over: Heads | None = None  # what the remote has, where that is to be overwritten

    def run(self) -> Synced:
        self._finish()
        most = RUN
        for attempt in range(TRIES):
            try:
                self._done.again += respool.receive_again(self._desk)
            except Breach:
                raise
            except VrtError:
                pass  # with what comes it may be possible
            theirs = self._remote.fetch()
            breach = self._take_over(theirs)
            if breach and self._remote.fetch() != theirs:
                continue  # while it was read others published: the two branches were not of one moment
            self._done.again += respool.receive_again(self._desk)
            if breach and not self._may_overwrite(breach, theirs):
                raise breach
            ours, state, waiting = self._to_publish(theirs, most)
            if ours != theirs and not self._publish(theirs, ours, attempt):
                most = max(1, most // 2)
                continue
            if breach:
                self._desk.warn(f"{breach.message}: taken out of the remote")
            if ours != theirs:
                remote.remember(self._repository, ours)
                self._done.went += self._count(theirs.main, ours.main)
            if state:
                self._facts.save(state)
                Spool(self._desk.path).drop(waiting)
                return self._done
        raise TryAgain("others kept publishing first", "vrt sync")

    def _finish(self) -> None:
        """Put on top what a call before, which was cut off, has left."""
        while (held := remote.held(self._repository)).main:
            heads = self._repository.heads()
            if heads.main == held.main:  # the ledger had not been moved yet, at most the keyring
                with self._desk.locked() as fd:
                    if heads != held:
                        self._repository.move(heads, held, fd)
                    remote.let_go(self._repository)
                return
            state = self._facts.state()
            history.follow(self._repository, state, heads)
            with self._desk.writing():
                if self._repository.heads() == heads:
                    self._put_on_top(state)

    # --- what comes -----------------------------------------------------------------------------

    def _take_over(self, theirs: Heads) -> Breach | None:
        """Make the desk continue what the remote has, as far as it is lawful; return what is not."""
        seen = remote.seen(self._repository)
        if theirs == Heads("", "") == seen:
            return None  # a new one
        self._over = None
        lost = remote.lost(self._repository, theirs)
        if lost and not self._restore:
            raise Breach(lost, "nothing was taken over; ask who changed it; vrt sync --restore puts back what is here")
        if lost and all(not new or self._has(new) for new in theirs):
            return None  # what it lacks is put back by pushing
        if lost and self._locked_out_is_lost(seen, theirs):
            if not self._desk.me.has(ADMIN):
                raise NotAllowed("what is gone from the remote had locked somebody out", "an admin: vrt sync --restore")
            self._over = theirs  # giving way would let them in again
            return None
        if not theirs.main or not theirs.keys:
            raise Breach(lost or "the remote lacks one of the two branches", RESTORE)
        if theirs == seen:
            return None  # nothing new
        lawful, state, breach = self._lawful(theirs)
        if lost and breach is None and not self._common(self._repository.heads(), theirs).main:
            raise Breach("the remote is another desk", "git config remote.origin.url")
        if lost and breach:  # others wrote it anew, and unlawfully
            lawful = seen
        if not all(map(self._has, lawful)):
            self._move(lawful, state, bool(lost))
        if lawful != seen:
            remote.remember(self._repository, lawful)
        return breach

    def _may_overwrite(self, breach: Breach, theirs: Heads) -> bool:
        """Say whether what breaks the law is to be taken out of the remote: only an admin does, who asked for it."""
        breach.hint = f"what is lawful before it was taken over; {RESTORE}"
        if not self._restore:
            return False
        if not self._desk.me.has(ADMIN):
            raise NotAllowed("only an admin overwrites what is there", "vrt agent list --role admin") from breach
        self._over = theirs
        return True

    def _locked_out_is_lost(self, seen: Heads, theirs: Heads) -> bool:
        """Say whether what the remote had, and has not any more, took somebody's keys out of use."""
        state = self._facts.state()
        base = self._repository.common(seen.main, theirs.main) if theirs.main else ""
        return bool(base) and state.locked > state.places.get(base, state.place)

    def _lawful(self, theirs: Heads) -> tuple[Heads, law.State, Breach | None]:
        """Return how far what the remote has is lawful, what it adds up to, and what breaks the law then."""
        state, breach = self._facts.towards(self._repository, theirs), None
        with self._desk.progress("checking the ledger", None) as show:
            try:
                history.follow(self._repository, state, theirs, show)
            except law.Unlawful as exc:
                breach = exc
        if not state.head or not state.key_head:
            raise breach or Breach("the remote is no desk", "git config remote.origin.url")
        history.check_root(self._desk.config.root, state.root)
        self._facts.save(state)
        return Heads(state.head, state.key_head), self._facts.state(), breach

    def _move(self, lawful: Heads, state: law.State, anew: bool) -> None:
        """Move the branches to what is lawful, and put what was done here on top of it."""
        desk, repository = self._desk, self._repository
        with desk.writing() as fd:
            ours = repository.heads()
            base = self._common(ours, lawful)
            if not base.main or not base.keys:
                raise Breach("the remote is another desk", "git config remote.origin.url")
            if base == lawful:
                return  # it came in the meantime
            if base != ours:
                self._may_give_up(base, ours)
            self._done.came += self._count(base.main, lawful.main)
            from vrt.reapply import own

            mine = {event.id for event, _ in own(desk, base, ours)} if base != ours else set()
            if base != ours:
                remote.hold(repository, ours)
                if anew:
                    self._keep_lost(base, ours, len(mine))
                desk.give_up(base)
            place = desk.index.last()
            repository.move(ours, lawful, fd)
            remote.remember(repository, lawful)
            desk.follow()
            self._look_for_myself(place, mine)
            self._put_on_top(state)
        desk.catch_up()
        with repository.reader() as reader:
            write_signers(repository, reader.read(f"{lawful.main}:{paths.SIGNERS}").decode())

    def _keep_lost(self, base: Heads, ours: Heads, mine: int) -> None:
        """Keep what others did and only this clone still has; they put it back themselves, each with their own key."""
        remote.keep_lost(self._repository, ours)
        if others := self._count(base.main, ours.main) - mine:
            lost = f"{others} events"
            self._desk.warn(f"{lost} of others are gone from the remote; each puts their own back: vrt sync --restore")

    def _look_for_myself(self, place: int, mine: set[str]) -> None:
        """Warn where events came that this card signed, and not here."""
        me = self._desk.me.handle
        query = "SELECT id FROM event WHERE seq > ? AND agent = ?"
        if place and any(id_ not in mine for (id_,) in self._desk.index.sql(query, [place, me])):
            self._desk.warn(
                f"events of {me} came that were not done here; if you did not do them elsewhere, your keys are in "
                f"other hands: git log --author={me} main, and tell an admin"
            )

    def _put_on_top(self, state: law.State) -> None:
        """Put what was done here on top of what was taken over; only within ``writing``."""
        from vrt.reapply import reapply

        for told in reapply(self._desk, state):
            self._desk.warn(told)
        self._desk.follow()

    def _may_give_up(self, base: Heads, ours: Heads) -> None:
        """Raise ``Conflict`` where an intake node did what it cannot do again: it reads nothing, and has only its
        spool.
        """
        if not self._desk.spools:
            return
        from vrt.reapply import own

        kept = set(Spool(self._desk.path).names())
        if any(event.action == "receive" and event.id not in kept for event, _ in own(self._desk, base, ours)):
            raise Conflict("others published first, and this node cannot receive again what it did", "ask an admin")

    def _has(self, commit: str) -> bool:
        heads = self._repository.heads()
        return commit in heads or any(self._repository.is_ancestor(commit, head) for head in heads)

    def _common(self, ours: Heads, theirs: Heads) -> Heads:
        return Heads(*(self._repository.common(a, b) for a, b in zip(ours, theirs, strict=True)))

    def _count(self, old: str, new: str) -> int:
        if (old, new) not in self._counted:
            span = f"{old}..{new}" if old else new
            self._counted[old, new] = int(self._repository.run("rev-list", "--count", span)) if old != new else 0
        return self._counted[old, new]

    # --- what goes ------------------------------------------------------------------------------

    def _to_publish(self, theirs: Heads, most: int) -> tuple[Heads, law.State | None, list[str]]:
        """Return the heads to push; if those are all, what they add up to; and what of the spool is done with then.

        What is published is held against the law first: nobody publishes a breach by mistake.
        """
        desk = self._desk
        state = self._facts.state()
        with desk.writing():
            ours = self._repository.heads()
            if ours != theirs or not state.head:
                try:
                    history.follow(self._repository, state, ours)
                except law.Unlawful as exc:
                    state = self._anew(ours, exc)
                    ours = self._repository.heads()
            self._done.sealed += owed.seal(desk, state)
            sealed = self._repository.heads()
            if sealed != ours:
                desk.follow()
                try:
                    history.follow(self._repository, state, sealed)
                except law.Unlawful as exc:  # it may not be given; better not at all than a clone that is stuck
                    desk.warn(f"{exc.message}; not published")
                    desk.give_up(ours)
                    self._repository.move(sealed, ours, desk.lock)
                    sealed = ours
            waiting = [name for name in Spool(desk.path).names() if desk.index.has_event(name)]
        if theirs.main and not self._over and self._count(theirs.main, sealed.main) > most:
            return self._first(theirs, sealed, most), None, waiting
        return sealed, state, waiting

    def _anew(self, ours: Heads, breach: law.Unlawful) -> law.State:
        """Do what was done here and not published once more, for it breaks the law; return what it adds up to then.

        It was lawful when it was done: since then the card may have got other keys, or rights.
        """
        seen = remote.seen(self._repository)
        if not seen.main or self._common(ours, seen) != seen:
            raise breach
        remote.hold(self._repository, ours)
        self._desk.give_up(seen)
        self._repository.move(ours, seen, self._desk.lock)
        self._desk.follow()
        self._put_on_top(self._facts.state())
        state = self._facts.state()
        history.follow(self._repository, state, self._repository.heads())
        return state

    def _first(self, theirs: Heads, ours: Heads, most: int) -> Heads:
        """Return the first ``most`` events of what is to go, and the keys that belong to them."""
        rows = self._repository.run("rev-list", "--reverse", f"{theirs.main}..{ours.main}").decode().split()
        later, keys = set(rows[most:]), theirs.keys
        log = self._repository.log(theirs.keys, ours.keys)
        for logged in log:
            named = logged.data.rpartition(b"\n\nLedger: ")[2].decode("ascii", "replace").strip()
            if named in later:
                break
            keys = logged.id
        return Heads(rows[most - 1], keys)

    def _publish(self, theirs: Heads, ours: Heads, attempt: int) -> bool:
        """Push; say whether the remote has it now, or others were faster."""
        try:
            self._remote.push(ours, self._over)
            return True
        except TryAgain as exc:
            if self._over:
                how = "it may allow it for once: git config receive.denyNonFastForwards false, and without the hook"
                raise VrtError(f"the host lets nobody overwrite: {exc.message}", how) from exc
            if self._remote.fetch() == theirs:
                raise  # nobody was faster: the remote does not take it
            if attempt == TRIES - 1:
                raise TryAgain("others kept publishing first", "vrt sync") from exc
            time.sleep(random.uniform(0, 2 / (attempt + 1)))  # whoever lost most waits least
            return False
