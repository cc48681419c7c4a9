"""The desk itself: making one, its queues and its agents. Each change is an event that an admin signs."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vrt import ledger, paths, roster
from vrt.changes import alone, in_turn, record, write_signers
from vrt.desk import Desk
from vrt.errors import Conflict, NotAllowed, UsageError
from vrt.mail import compose
from vrt.model import ADMIN, AGENT, INTAKE, JUNK, MAILER, POSTMASTER, RECOVERY, Card, DeskConfig, Event, Queue
from vrt.roster import Roster
from vrt.storage import articles, crypt, git, keyring, local
from vrt.storage.git import Heads, Repository
from vrt.storage.identity import Keys
from vrt.storage.remembered import rules_set
from vrt.storage.signing import Signer, check_public
from vrt.storage.writer import Write

_LONGEST_DELAY, _LONGEST_TITLE = 86400, 100


@dataclass(frozen=True)
class Founded:
    """A new desk: where it is, who founded it, and the secret of the recovery card, which is kept nowhere."""

    path: Path
    card: Card
    recovery: str
    made_keys: list[Path]


def found(path: Path, name: str, domain: str, handle: str, config: local.Config, now: int, timezone: str) -> Founded:
    """Make a desk in the new folder ``path`` with the caller as its first admin.

    Raises ``UsageError`` where something is there already or a name cannot be used.
    """
    roster.check_name(handle, "an agent")
    _check_domain(domain)
    _check_timezone(timezone)
    keys = Keys(config)
    made = keys.make_missing()
    secret, (recovery, recovery_public) = keyring.new_secret(), crypt.new_identity()
    queues, secrets = {}, {}
    for queue in (POSTMASTER, JUNK):
        secrets[queue], public = crypt.new_identity()
        queues[queue] = Queue(queue, (f"{queue}@{domain}",) if queue == POSTMASTER else (), recipient=public)
    config_ = DeskConfig(
        roster.FORMAT, name, domain, timezone, secret_check=keyring.secret_check(secret), outcomes=roster.OUTCOMES,
        tags=roster.TAGS, reasons=roster.REASONS,
    )  # fmt: skip
    me = Card(handle, (ADMIN, AGENT), keys.recipient(), keys.signing_public(), tuple(queues), "10")
    rescue = Card("recovery", (RECOVERY,), recovery_public)
    known = Roster(config_, {me.handle: me, rescue.handle: rescue}, queues)

    repository = git.create(path)
    try:
        _begin(repository, known, me, config._replace(card=handle), secret, secrets, keys.signer(), now)
    except BaseException:  # half a desk is none
        shutil.rmtree(repository.path)
        raise
    return Founded(repository.path, me, recovery, made)


def _begin(
    repository: Repository, known: Roster, me: Card, config: local.Config, secret: bytes, secrets: dict[str, str],
    signer: Signer, now: int,
) -> None:  # fmt: skip
    """Write the first commit of both branches."""
    folder = local.private_folder(repository.path / local.FOLDER)
    local.write_config(folder / "config.yaml", config)
    write = Write(repository, Heads("", ""), signer, known.who(me.handle), now)
    for card in known.secret_holders():
        write.add_key(*keyring.seal_secret(secret, 1, card.handle, card.recipient))
    for queue in known.queues:
        for card in known.readers(queue):
            write.add_key(*keyring.seal_queue(queue, 1, secrets[queue], card.handle, card.recipient))
    event_id = ledger.event_id(now, "init", os.urandom(4).hex())
    files = {p: articles.dump_yaml(v) for p, v in _files(known).items()}
    files[paths.SIGNERS] = roster.signer_line(me, known.desk.domain).encode()
    write.add(Event(event_id, "init", me.handle, now, trailers={"Keyring": write.seal_keys()}), files)
    set_up(repository, files[paths.SIGNERS].decode())
    with Desk(repository.path).locked() as fd:
        write.record(fd)
    write.close()


def _files(known: Roster) -> dict[str, dict[str, Any]]:
    files = {paths.DESK: roster.write(known.desk)}
    files |= {paths.card(h): roster.write(c) for h, c in known.cards.items()}
    return files | {paths.queue(n): roster.write(q) for n, q in known.queues.items()}


def set_up(repository: Repository, signers: str) -> None:
    """Set what plain git needs to read a desk well: whose signatures are good, and how to show sealed files."""
    vrt = shlex.join([sys.executable, "-P", "-m", "vrt", "textconv"])
    write_signers(repository, signers)
    for name, value in (
        ("gpg.ssh.allowedSignersFile", str(repository.path / local.FOLDER / "allowed_signers")),
        ("diff.vrt.textconv", vrt),
        ("diff.vrt.cachetextconv", "false"),
        ("diff.vrt-key.textconv", vrt + " --key"),
        ("gc.auto", "0"),
        ("core.fsync", "all"),
        ("core.logAllRefUpdates", "true"),
        ("repack.writeBitmaps", "false"),
    ):
        repository.run("config", name, value)
    # Keyring files first, the two kinds of article after: the last line that fits holds. No two ciphertexts are alike,
    # so git need not look for what they share.
    lines = ["*.age diff=vrt-key -delta", "*.md.age diff=vrt", "*.eml.age diff=vrt", ""]
    local.write_private(repository.path / "info" / "attributes", "\n".join(lines).encode())


@alone
def add_queue(desk: Desk, /, queue: Queue) -> Queue:
    """Make a queue with a key of its own; the caller becomes its first member. Returns it as recorded."""
    roster.check_name(queue.name, "a queue")
    if queue.name in desk.roster.queues or queue.name in desk.roster.cards:
        raise Conflict(f"there is a queue or an agent named {queue.name} already", "vrt queue list")
    secret, public = crypt.new_identity()
    queue = queue._replace(recipient=public, epoch=1)
    _check_queue(desk, queue)
    me = desk.me._replace(queues=tuple(sorted({*desk.me.queues, queue.name})))
    known = Roster(desk.roster.desk, {**desk.roster.cards, me.handle: me}, desk.roster.queues)
    keys = [keyring.seal_queue(queue.name, 1, secret, c.handle, c.recipient) for c in known.readers(queue.name)]
    record(desk, "queue-add", {"Queue": queue.name}, [queue, me], keys)
    return queue


@alone
def set_queue(desk: Desk, /, name: str, **values: Any) -> Queue:
    """Change settings of a queue and return it; raises ``UsageError`` where nothing would change."""
    old = desk.roster.queue(name)
    queue = old._replace(**values)
    if queue == old:
        raise UsageError(f"{name} is like that already", f"vrt queue show {name}")
    _check_queue(desk, queue)
    record(desk, "queue-set", {"Queue": name}, [queue], [])
    return queue


def _check_queue(desk: Desk, queue: Queue) -> None:
    try:
        roster.read_queue(queue.name, roster.write(queue))
    except roster.BadDeskFile as exc:
        raise UsageError(str(exc)) from None
    if roster.seconds(queue.send_delay) > _LONGEST_DELAY:
        raise UsageError(f"{queue.send_delay} is too long to hold a message back", "at most 1d; 0m sends at once")
    if len(queue.title) > _LONGEST_TITLE or not queue.title.isprintable():
        raise UsageError(f"the title of a queue is one line of at most {_LONGEST_TITLE} characters")
    for address in queue.addresses:
        try:
            sendable = compose.sendable(address)
        except ValueError as exc:
            raise UsageError(f"{address!r} is no mail address: {exc}", "write it as info-en@example.org") from None
        if sendable != address:
            raise UsageError(f"{address!r} is written {sendable} in mail", f"--address {sendable}")
        owner = desk.roster.queue_of_address(address)
        if owner and owner.name != queue.name:
            raise Conflict(f"{address} belongs to the queue {owner.name}", f"vrt queue show {owner.name}")
    for name in queue.move_from:
        desk.roster.queue(name)


@alone
def add_agent(
    desk: Desk, /, handle: str, card: dict[str, Any], roles: Sequence[str], queues: Sequence[str], agreed: str,
    supervised: bool = False,
) -> Card:  # fmt: skip
    """Admit an agent or a node with the card that it handed over, and give it the keys it is entitled to."""
    roster.check_name(handle, "an agent")
    if handle in desk.roster.cards or handle in desk.roster.queues:
        raise Conflict(f"there is an agent or a queue named {handle} already", "vrt agent list")
    if not {INTAKE, MAILER} & set(roles) and not agreed:
        raise UsageError(
            f"when did {handle} sign the confidentiality agreement?", "give --agreed YYYY-MM-DD; no keys without it"
        )
    for queue in queues:
        desk.roster.queue(queue)
    made = _admitted(desk, handle, card, roles, queues, agreed)._replace(supervised=supervised)
    known = Roster(desk.roster.desk, {**desk.roster.cards, handle: made}, desk.roster.queues)
    keys = []
    if made in known.secret_holders():
        keys += [keyring.seal_secret(s, e, handle, made.recipient) for e, s in desk.keyring.secrets.items()]
    keys += _queue_keys(desk, known, made, set(queues))
    if made.has(INTAKE):  # it must know who is a party of the tickets that are there
        salts = desk.index.sql("SELECT ticket, salt FROM salt")
        keys += [keyring.seal_salt(str(t), bytes.fromhex(s), handle, made.recipient) for t, s in salts]
    if made.has(*roster.RULES_READERS) and (rules := rules_set(desk.index)) and desk.rules:
        keys.append(keyring.seal_rules(rules.id[-8:], desk.rules, handle, made.recipient))
    line = roster.signer_line(made, desk.roster.desk.domain) if made.signing else ""
    record(desk, "agent-add", {"Agent": handle}, [made], keys, line)
    return made


def _admitted(
    desk: Desk, handle: str, card: dict[str, Any], roles: Sequence[str], queues: Sequence[str], agreed: str
) -> Card:
    try:
        recipient, signing = str(card["recipient"]), str(card["signing"])
    except KeyError as exc:
        raise UsageError(f"the card lacks {exc.args[0]}", "ask for the output of: vrt identity") from None
    crypt.recipient(recipient)
    check_public(signing)
    if recipient in (c.recipient for c in desk.roster.cards.values()):
        raise Conflict("a card with this recipient is in the desk already", "one card lives in one clone")
    if signing in (c.signing for c in desk.roster.cards.values()):
        raise Conflict("a card with this signing key is in the desk already", "one card lives in one clone")
    number = roster.free_system_id(desk.roster) if {ADMIN, AGENT, INTAKE} & set(roles) else ""
    made = Card(handle, tuple(roles), recipient, signing, tuple(sorted(queues)), number, agreed)
    try:
        return roster.read_card(handle, roster.write(made))
    except roster.BadDeskFile as exc:
        raise UsageError(str(exc)) from None


@alone
def set_queues(desk: Desk, /, handle: str, add: Sequence[str], remove: Sequence[str]) -> Card:
    """Put an agent into queues and out of others, and return the card.

    A queue that the agent leaves gets a new key, a new epoch: what comes later is sealed to that.
    """
    old = desk.roster.card(handle)
    for queue in (*add, *remove):
        desk.roster.queue(queue)
    card = old._replace(queues=tuple(sorted((set(old.queues) | set(add)) - set(remove))))
    if card.queues == old.queues:
        raise UsageError(f"{handle} is in {', '.join(old.queues) or 'no queue'} already", "vrt agent list")
    known = Roster(desk.roster.desk, {**desk.roster.cards, handle: card}, desk.roster.queues)
    keys = _queue_keys(desk, known, card, set(card.queues) - set(old.queues))
    renewed = []
    for name in sorted(set(old.queues) - set(card.queues)):
        secret, public = crypt.new_identity()
        left = desk.roster.queue(name)
        epoch = left.epoch + 1
        if not any(c.has(ADMIN, AGENT) for c in known.readers(name)):
            raise Conflict(f"{handle} is the last in {name}", f"vrt agent queues AGENT +{name} first")
        renewed.append(left._replace(recipient=public, epoch=epoch, former=(*left.former, left.recipient)))
        keys += [keyring.seal_queue(name, epoch, secret, c.handle, c.recipient) for c in known.readers(name)]
    record(desk, "agent-queues", {"Agent": handle}, [card, *renewed], keys)
    return card


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


def _queue_keys(desk: Desk, known: Roster, card: Card, queues: set[str]) -> list[tuple[str, bytes]]:
    """Return the keyring files that give ``card`` the identities of ``queues``, as far as the caller holds them."""
    out = []
    for queue in sorted(queues):
        if card not in known.readers(queue):
            continue
        held = desk.keyring.queues.get(queue, {})
        if not desk.keyring.holds(desk.roster.queue(queue)):
            raise NotAllowed(f"you do not hold the key of {queue}", f"ask a member of {queue} who is an admin")
        out += [keyring.seal_queue(queue, e, s, card.handle, card.recipient) for e, s in held.items()]
    return out


def _check_domain(domain: str) -> None:
    if (
        not domain.isascii()
        or any(c not in "abcdefghijklmnopqrstuvwxyz0123456789.-" for c in domain)
        or not domain.strip(".-")
    ):
        raise UsageError(f"{domain!r} is no domain", "write it as example.org (an IDN in its xn-- form)")


def _check_timezone(name: str) -> None:
    try:
        roster.zone(name)
    except ValueError:
        raise UsageError(f"{name!r} is no time zone of this machine", "write it as UTC or Europe/Berlin") from None
