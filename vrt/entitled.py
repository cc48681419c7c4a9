"""Whether a keyring file that was made here, and not published, is still for whom it names: others published first."""

from __future__ import annotations

from vrt import paths
from vrt.desk import Desk
from vrt.model import ADMIN, AGENT, INTAKE, MAILER
from vrt.roster import RULES_READERS, Roster
from vrt.storage import crypt, keyring


def fresh(desk: Desk, base: Roster, held: Roster, key: paths.Key, data: bytes) -> bool:
    """Say whether a key is sealed to whom it is for as the ledger has it now, and is that of an epoch it knows.

    ``base`` and ``held`` are the rosters before and after what was done here.
    """
    now = desk.roster
    queue = now.queues.get(key.to)
    if key.ticket and queue and desk.keyring.holds(queue):
        mine = [crypt.identity(desk.keyring.queues[queue.name][queue.epoch])]
        return bool((keyring.open_identity if key.kind == "article" else keyring.open_salt)(data, mine))
    if key.ticket and queue:
        return key.to in base.queues and base.queues[key.to].recipient == queue.recipient
    if key.to not in held.cards or not may_have(desk, key):
        return False
    if now.cards[key.to].recipient != held.cards[key.to].recipient:
        return False  # whoever holds it gives it to the new one: ``owed``
    if key.kind == "queues":
        there = now.queues.get(key.name), held.queues.get(key.name)
        return all(there) and len({q.recipient_of(key.epoch) for q in there if q}) == 1
    if key.kind == "desk":
        return now.desk.secret_checks()[key.epoch - 1 :][:1] == held.desk.secret_checks()[key.epoch - 1 :][:1]
    return True


def may_have(desk: Desk, key: paths.Key) -> bool:
    """Say whether a card is entitled to a key now, and the caller's may give it."""
    now, me = desk.roster, desk.me
    card = now.cards.get(key.to)
    if card is None:
        return False
    match key.kind:
        case "salt":
            return card.has(INTAKE)
        case "article":
            return card.has(MAILER, ADMIN, AGENT)
        case "desk":
            return card in now.secret_holders() and me.has(ADMIN, AGENT)
        case "queues":
            since = key.epoch >= card.since.get(key.name, 1)
            return card in now.readers(key.name) and since and (me.has(ADMIN) or me in now.readers(key.name))
    return card.has(*RULES_READERS) and me.has(ADMIN)
