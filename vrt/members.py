"""Who is a member, in which queues and with which keys. Each change is an event, signed by an admin or the card itself.

The ledger says what a member is entitled to; what the caller holds of that is sealed at once, the rest by whoever
holds it at their next sync (``owed``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from vrt import roster
from vrt.changes import Item, alone, in_turn, record
from vrt.desk import Desk
from vrt.errors import Conflict, NotAllowed, UsageError
from vrt.model import ADMIN, AGENT, INTAKE, MAILER, RECOVERY, Card
from vrt.roster import Roster
from vrt.storage import crypt, keyring, local
from vrt.storage.facts import Facts
from vrt.storage.identity import PaperKeys
from vrt.storage.remembered import rules_set
from vrt.storage.signing import check_public

File = tuple[str, bytes]


@alone
def add_agent(
    desk: Desk, /, handle: str, card: Mapping[str, Any], roles: Sequence[str], queues: Sequence[str], agreed: str,
    supervised: bool = False, from_now: bool = False,
) -> Card:  # fmt: skip
    """Admit an agent or a node with the card that it handed over, and give it the keys it is entitled to.

    ``from_now``: of its queues it reads what comes from now on, and nothing before.
    """
    roster.check_name(handle, "an agent")
    if handle in desk.roster.cards or handle in desk.roster.queues:
        raise Conflict(f"there is an agent or a queue named {handle} already", "vrt agent list")
    if not {INTAKE, MAILER} & set(roles) and not agreed:
        raise UsageError(
            f"when did {handle} sign the confidentiality agreement?", "give --agreed YYYY-MM-DD; no keys without it"
        )
    for queue in queues:
        desk.roster.queue(queue)
    recipient, signing = _public_keys(desk, card)
    number = roster.free_system_id(desk.roster) if {ADMIN, AGENT, INTAKE} & set(roles) else ""
    since = _from_now(desk, queues) if from_now else {}
    made = Card(handle, tuple(roles), recipient, signing, tuple(sorted(queues)), number, agreed, since=since)
    made = _checked(made._replace(supervised=supervised))
    known = _with(desk, made)
    items, keys = _renewed(desk, known, since)
    record(
        desk, "agent-add", {"Agent": handle}, [made, *items], [*keys, *_keys_of(desk, known, made)], _line(desk, made)
    )
    return made


@alone
def set_queues(desk: Desk, /, handle: str, add: Sequence[str], remove: Sequence[str], from_now: bool = False) -> Card:
    """Put an agent into queues and out of others, and return the card.

    A queue that the agent leaves gets a new key, a new epoch: what comes later is sealed to that. So does with
    ``from_now`` one that it joins, and it reads nothing from before.
    """
    old = desk.roster.card(handle)
    for queue in (*add, *remove):
        desk.roster.queue(queue)
    queues = tuple(sorted((set(old.queues) | set(add)) - set(remove)))
    if old.dismissed:
        raise Conflict(f"{handle} was dismissed", f"vrt agent rekey {handle} --card FILE")
    if queues == old.queues:
        raise UsageError(f"{handle} is in {', '.join(old.queues) or 'no queue'} already", "vrt agent list")
    joined = set(queues) - set(old.queues)
    since = {q: e for q, e in old.since.items() if q in queues} | (_from_now(desk, joined) if from_now else {})
    card = old._replace(queues=queues, since=since)
    known = _with(desk, card)
    left = sorted(set(old.queues) - set(queues))
    items, keys = _renewed(desk, known, [*left, *(joined if from_now else ())])
    keys += _queue_keys(desk, known, card, joined)
    record(desk, "agent-queues", {"Agent": handle}, [card, *items], keys)
    return card


@alone
def dismiss(desk: Desk, /, handle: str) -> Card:
    """Lock a card out: its queues and the desk secret get new keys, and what it signs from now on counts no more."""
    old = desk.roster.card(handle)
    if old.dismissed:
        raise Conflict(f"{handle} was dismissed already", "vrt agent list")
    if old.has(ADMIN) and len(desk.roster.with_roles(ADMIN)) == 1:
        raise Conflict(f"{handle} is the last admin", "vrt agent add HANDLE --role admin, or agent rekey --stolen")
    if old.has(RECOVERY):
        raise UsageError("the recovery card is not dismissed", "vrt agent rekey recovery --card FILE --stolen")
    card = old._replace(dismissed=True)
    items, keys = _locked_out(desk, old, card)
    record(desk, "agent-dismiss", {"Agent": handle}, [card, *items], keys)
    return card


@in_turn
def rekey(desk: Desk, /, handle: str, card: Mapping[str, Any], stolen: bool = False) -> Card:
    """Give a card new public keys, and to those what it is entitled to; a dismissed one is a member again.

    ``stolen``: somebody else may have the old ones, so all that they open gets new keys too. Raises ``NotAllowed``
    unless an admin does it, the card itself (not for stolen keys), or the recovery card for an admin.
    """
    old, me = desk.roster.card(handle), desk.me
    itself = handle == me.handle and not stolen
    if not (me.has(ADMIN) or itself or (me.has(RECOVERY) and ADMIN in old.roles)):
        raise NotAllowed(f"{me.handle} is no admin", "ask one: vrt agent list --role admin")
    recipient, signing = _public_keys(desk, card, old)
    if (stolen or old.dismissed) and (recipient == old.recipient or signing == old.signing):
        raise UsageError(f"one of these keys is the old one of {handle}", "both are to be new: vrt identity")
    made = _checked(old._replace(recipient=recipient, signing=signing, dismissed=False))
    if made == old:
        raise UsageError(f"these are the keys of {handle} already", "ask for the output of: vrt identity")
    items, keys = _locked_out(desk, old, made) if stolen else ([], [])
    keys += _keys_of(desk, _with(desk, made), made)
    facts = {"Agent": handle} | ({"Stolen": "yes"} if stolen else {})
    record(desk, "agent-rekey", facts, [made, *items], keys, _line(desk, made) if signing != old.signing else "")
    return made


@in_turn
def set_card(desk: Desk, /, handle: str, away: str | None = None, supervised: bool | None = None) -> Card:
    """Set until when (a day, empty: no more) an agent is away, or whether it is supervised; None leaves it as it is.

    Raises ``NotAllowed`` unless an admin does it, or an agent says it of its own absence; ``UsageError`` where the
    card is no agent's, or is like that already.
    """
    old, me = desk.roster.card(handle), desk.me
    if not me.has(ADMIN) and (handle != me.handle or supervised is not None):
        raise NotAllowed(f"{me.handle} is no admin", "ask one: vrt agent list --role admin")
    if not old.has(ADMIN, AGENT):
        raise UsageError(f"{handle} is no agent", "vrt agent list --role agent")
    card = old._replace(
        away=old.away if away is None else away, supervised=old.supervised if supervised is None else supervised
    )
    if card == old:
        raise UsageError(f"{handle} is {_how(old, away is not None)} already", "vrt agent list")
    record(desk, "agent-set", {"Agent": handle}, [card], [])
    return card


def _how(card: Card, absence: bool) -> str:
    if absence:
        return f"away until {card.away}" if card.away else "here"
    return "supervised" if card.supervised else "not supervised"


def rescued(path: Path, secret: str) -> Desk:
    """Return the desk in ``path`` as the recovery card sees it, whose ``secret`` somebody has at hand.

    Raises ``UsageError`` where that is no age identity, ``NotAllowed`` where it is not the desk's.
    """
    desk = Desk(path)
    desk.__dict__["keys"] = PaperKeys(secret)
    desk.rebuild_index()
    return desk


def _with(desk: Desk, card: Card) -> Roster:
    known = desk.roster
    return known._replace(cards={**known.cards, card.handle: card})


def _line(desk: Desk, card: Card) -> str:
    return roster.signer_line(card, desk.roster.desk.domain) if card.signing else ""


def _checked(card: Card) -> Card:
    try:
        return roster.read_card(card.handle, roster.write(card))
    except roster.BadDeskFile as exc:
        raise UsageError(str(exc)) from None


def _public_keys(desk: Desk, card: Mapping[str, Any], old: Card | None = None) -> tuple[str, str]:
    """Return recipient and signing key of a card that was handed over; raises where they cannot be used."""
    try:
        recipient, signing = str(card["recipient"]), str(card["signing"])
    except KeyError as exc:
        raise UsageError(f"the card lacks {exc.args[0]}", "ask for the output of: vrt identity") from None
    crypt.recipient(recipient)
    check_public(signing)
    with closing(Facts(desk.path / local.FOLDER)) as facts:
        used = recipient in facts.state().used
    if used and (old is None or recipient != old.recipient):
        raise Conflict("this recipient was in use before", "new keys: VRT_HOME=FOLDER vrt identity")
    others = [c for c in desk.roster.cards.values() if old is None or c.handle != old.handle]
    if recipient in (c.recipient for c in others):
        raise Conflict("a card with this recipient is in the desk already", "one card lives in one clone")
    if signing in (c.signing for c in others):
        raise Conflict("a card with this signing key is in the desk already", "one card lives in one clone")
    return recipient, signing


# --- keys -----------------------------------------------------------------------------------------


def _from_now(desk: Desk, queues: Iterable[str]) -> dict[str, int]:
    return {q: desk.roster.queue(q).epoch + 1 for q in sorted(queues)}


def _renewed(desk: Desk, known: Roster, queues: Iterable[str]) -> tuple[list[Item], list[File]]:
    """Return ``queues`` with new keys of the next epoch, and the files that give those to the readers in ``known``."""
    items: list[Item] = []
    keys: list[File] = []
    names = list(queues)
    if alone := [n for n in names if not any(c.has(ADMIN, AGENT) for c in known.readers(n))]:
        how = " ".join(f"+{n}" for n in alone)
        hint = f"vrt agent queues AGENT {how} first (--from-now where nobody else holds the keys)"
        raise Conflict(f"nobody else would be in {', '.join(alone)}", hint)
    for name in names:
        readers = known.readers(name)
        secret, public = crypt.new_identity()
        queue = desk.roster.queue(name).renewed(public)
        items.append(queue)
        keys += [keyring.seal_queue(name, queue.epoch, secret, c.handle, c.recipient) for c in readers]
    return items, keys


def _locked_out(desk: Desk, old: Card, card: Card) -> tuple[list[Item], list[File]]:
    """Return what gets new keys where those of ``old`` are not to be trusted any more, and the files that give them."""
    known = _with(desk, card)
    items, keys = _renewed(desk, known, desk.roster.opens(old))
    if old in desk.roster.secret_holders():
        secret = keyring.new_secret()
        config = known.desk.renewed(keyring.secret_check(secret))
        items.append(config)
        holders = known.secret_holders()
        keys += [keyring.seal_secret(secret, config.secret_epoch, c.handle, c.recipient) for c in holders]
    return items, keys


def _keys_of(desk: Desk, known: Roster, card: Card) -> list[File]:
    """Return the files that give a card all that it is entitled to, as far as the caller holds it."""
    to, ring, keys = (card.handle, card.recipient), desk.keyring, list[File]()
    if card in known.secret_holders():
        keys += [keyring.seal_secret(s, e, *to) for e, s in ring.secrets.items()]
    keys += _queue_keys(desk, known, card, ring.queues if card.has(RECOVERY) else card.queues)
    if desk.me.has(RECOVERY):
        return keys  # whoever is let in again gives the rest, at a sync
    if card.has(INTAKE):  # it must know who is a party of the tickets that are there
        salts = desk.index.sql("SELECT ticket, salt FROM salt")
        keys += [keyring.seal_salt(str(t), bytes.fromhex(s), *to) for t, s in salts]
    if card.has(*roster.RULES_READERS) and (rules := rules_set(desk.index)) and desk.rules:
        keys.append(keyring.seal_rules(rules.id[-8:], desk.rules, *to))
    waiting = "SELECT o.ticket, o.id, a.key FROM outbox o JOIN event e ON e.id = o.id JOIN article a ON a.seq = e.seq "
    for ticket, event, key in desk.index.sql(waiting + "WHERE o.sender = ?", [card.handle]):
        if key and len(both := key.split("\n")) == 2:
            keys.append(keyring.seal_article(str(ticket), event, both[1], *to))
    return keys


def _queue_keys(desk: Desk, known: Roster, card: Card, queues: Iterable[str]) -> list[File]:
    """Return the files that give ``card`` the identities of ``queues``, as far as the caller holds them."""
    out = []
    for queue in sorted(queues):
        if card in known.readers(queue):
            held, first = desk.keyring.queues.get(queue, {}), card.since.get(queue, 1)
            out += [keyring.seal_queue(queue, e, s, card.handle, card.recipient) for e, s in held.items() if e >= first]
    return out
