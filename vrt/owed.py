"""What the ledger entitles members to and nobody has sealed to them yet: given by whoever holds it, at a sync.

An admin says on the ledger that bob is in a queue; whose keys open the queue's key adds the file that gives it to him.
So with a card that got new keys, a node that came, and an article that was written while its ticket went elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator

from vrt import acts, fold, law, number
from vrt.desk import Desk
from vrt.model import ADMIN, AGENT, INTAKE, Card
from vrt.roster import RULES_READERS
from vrt.storage import keyring
from vrt.storage.remembered import rules_set
from vrt.storage.writer import Write

File = tuple[str, bytes]


def seal(desk: Desk, state: law.State) -> int:
    """Seal what is owed and the caller holds, and record it; return how many files. Only within ``desk.writing()``.

    ``state`` is what both branches add up to, by the law.
    """
    if not desk.me.has(ADMIN, AGENT):
        return 0
    numbers, files, nodes, pins = (
        _touched(desk),
        list(_desk_keys(desk, state)),
        _new_nodes(desk, state),
        _pins(desk, state),
    )
    count = 0
    if numbers or files or nodes or pins:  # else no key is needed to sign with
        write = desk.writer()
        try:
            for path, data in [*files, *_salts(desk, state, write, nodes)]:
                write.add_key(path, data)
                count += 1
            count += sum(_articles(desk, state, write, n) for n in numbers)
            if not count and pins and (file := _anything(desk)):
                write.add_key(*file)
                count = 1
            if count:
                write.record(desk.lock)
        finally:
            write.close()
    if _looked(desk) != desk.index.last():
        with desk.index.writing():
            desk.index.set_meta("owed", desk.index.last())
    return count


def _looked(desk: Desk) -> int:
    """Return the place up to which the caller has looked for what is owed."""
    return int(desk.index.meta("owed") or 0)


def _has(state: law.State, card: Card, name: str) -> bool:
    """Say whether a file of that name (``desk/1.bob``) was sealed to the keys that ``card`` has now.

    What was sealed together with the event that gave it those keys names the place before that, and is of who did it.
    """
    given, (place, by) = state.sealed.get(name), state.keyed.get(card.handle, (0, ""))
    return given is not None and (given.place >= place or (given.place == place - 1 and by in given.by))


def _desk_keys(desk: Desk, state: law.State) -> Iterator[File]:
    roster, ring = desk.roster, desk.keyring
    for queue, held in ring.queues.items():
        if not (desk.me.has(ADMIN) or desk.me in roster.readers(queue)):
            continue  # left: what she still holds is hers to read, not to give
        for card in roster.readers(queue):
            for epoch, secret in held.items():
                if epoch >= card.since.get(queue, 1) and not _has(state, card, f"queues/{queue}/{epoch}.{card.handle}"):
                    yield keyring.seal_queue(queue, epoch, secret, card.handle, card.recipient)
    for card in roster.secret_holders():
        for epoch, secret_ in ring.secrets.items():
            if not _has(state, card, f"desk/{epoch}.{card.handle}"):
                yield keyring.seal_secret(secret_, epoch, card.handle, card.recipient)
    rules = rules_set(desk.index) if desk.me.has(ADMIN) else None
    if rules and desk.rules:
        for card in roster.with_roles(*RULES_READERS):
            if not _has(state, card, f"rules/{rules.id[-8:]}.{card.handle}"):
                yield keyring.seal_rules(rules.id[-8:], desk.rules, card.handle, card.recipient)


def _new_nodes(desk: Desk, state: law.State) -> list[Card]:
    """Return the intake nodes that came, or got new keys, since the caller looked last."""
    return [c for c in desk.roster.with_roles(INTAKE) if state.keyed.get(c.handle, (0, ""))[0] > _looked(desk)]


def _salts(desk: Desk, state: law.State, write: Write, nodes: list[Card]) -> Iterator[File]:
    """The salts at hand, for ``nodes``: they must know who is a party of the tickets that are there."""
    before = {c.handle: _keyring_before(desk, state, state.keyed[c.handle][0]) for c in nodes}
    with desk.repository.reader() as reader:
        for ticket, salt in list(desk.index.sql("SELECT ticket, salt FROM salt")) if nodes else ():
            folder = number.folder(str(ticket))
            names = write.key_names(folder)
            for card in nodes:
                new = set(names) - set(reader.folder(before[card.handle], folder))
                if not any(name.startswith(f"salt.{card.handle}.") for name in new):
                    yield keyring.seal_salt(str(ticket), bytes.fromhex(salt), card.handle, card.recipient)


def _keyring_before(desk: Desk, state: law.State, place: int) -> str:
    """Return the last commit of the keyring that was made before ``place`` was about to come."""
    named = "--format=%H %(trailers:key=Ledger,valueonly,separator=%x20)"
    for row in desk.repository.run("log", named, state.key_head, "--").decode("ascii", "replace").splitlines():
        commit, _, head = row.partition(" ")
        if state.places.get(head.strip(), 1) < place - 1:
            return commit
    return ""


def _touched(desk: Desk) -> list[str]:
    """Return the tickets that went elsewhere once, and of which the ledger says more since the caller looked last."""
    query = (
        "SELECT DISTINCT ticket FROM event WHERE seq > ? AND ticket IN "
        "(SELECT ticket FROM event WHERE action IN ('route', 'merge'))"
    )
    return [str(n) for (n,) in list(desk.index.sql(query, [_looked(desk)]))]


def _articles(desk: Desk, state: law.State, write: Write, ticket: str) -> int:
    """Give the articles of a ticket to the queue that it is in now, where they were written for another."""
    if not set(desk.me.queues) & set(state.homes.get(ticket, ())):
        return 0
    home = fold.home(ticket, desk.index.ticket)
    return acts.seal_missing(desk, write, ticket, desk.roster.queue(home.queue)) if home else 0


def _anything(desk: Desk) -> File | None:
    """Return a key that the caller holds, for the caller: what a commit of the keyring can always add."""
    ring, me = desk.keyring, desk.me
    for epoch, secret in ring.secrets.items():
        return keyring.seal_secret(secret, epoch, me.handle, me.recipient)
    for queue in me.queues:
        for epoch, identity in ring.queues.get(queue, {}).items():
            if epoch >= me.since.get(queue, 1):
                return keyring.seal_queue(queue, epoch, identity, me.handle, me.recipient)
    return None


def _pins(desk: Desk, state: law.State) -> bool:
    """Say whether the keyring has still to name a place after somebody was locked out.

    Until then the locked out could add files to the keyring that name a place at which they were members.
    """
    return state.key_place < state.locked
