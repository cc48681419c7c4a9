"""The law of the desk files, rule 6: who may change which of them, and what must be so afterwards. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from vrt import paths, roster
from vrt.law.state import Breaks
from vrt.model import ADMIN, AGENT, RECOVERY, Card, Event
from vrt.roster import Roster

Change = tuple[str, str, str, str]  # status, mode, path, blob, as git's raw diff has them

# What of a card an event may change.
_FREE = {
    "agent-queues": ("queues", "since"),
    "queue-add": ("queues",),
    "agent-set": ("away", "supervised"),
    "agent-dismiss": ("dismissed",),
    "agent-rekey": ("recipient", "signing", "dismissed"),
}


def check_desk(
    changes: Sequence[Change], event: Event, before: Roster | None, after: Roster, old: str, new: str
) -> None:
    """Rule 6: raise ``Breaks`` unless an event of the desk may make ``after`` of ``before`` (None: the first).

    ``changes`` are those of its commit; ``old`` and ``new`` are the text of ``allowed_signers``.
    """
    _only_its_own(changes, event, before, after)
    _queue_keys(event, before, after)
    _secret(event, before, after)
    if before == after and event.action not in ("rules-set", "template-set"):
        raise Breaks(6, f"{event.action} changes nothing")
    _cards(event, before, after, old)
    _desk_sense(before, after, old, new)


def locks_out(event: Event) -> bool:
    """Say whether an event takes the keys of a card out of use, so that what they open gets new keys."""
    return event.action == "agent-dismiss" or "Stolen" in event.trailers


def renewed(event: Event, before: Roster, after: Roster) -> set[str]:
    """Return the queues that get a new key, of the next epoch: whose members are fewer, or join from now on."""
    agent = event.trailers.get("Agent", "")
    new, old = after.cards.get(agent), before.cards.get(agent)
    if new is None:
        return set()
    if locks_out(event):
        return set(before.opens(new))
    had = set(old.queues) if old else set()
    return (had - set(new.queues)) | (set(new.since) - had)


def _renews_secret(event: Event, before: Roster) -> bool:
    return locks_out(event) and before.cards[event.trailers["Agent"]] in before.secret_holders()


def _expected(event: Event, before: Roster, after: Roster) -> set[tuple[str, str]]:
    """Return the (status, path) that an event of the desk changes, ``init`` excepted."""
    agent, queue = event.trailers.get("Agent", ""), event.trailers.get("Queue", "")
    if event.action.startswith("agent-"):
        if agent not in after.cards or (event.action == "agent-add") == (agent in before.cards):
            raise Breaks(6, f"{event.action} is not of the card {agent}")
        card, old = after.cards[agent], before.cards.get(agent)
        found = {("M" if old else "A", paths.card(agent))}
        found |= {("M", paths.queue(q)) for q in renewed(event, before, after)}
        if card.signing and (old is None or old.signing != card.signing):
            found.add(("M", paths.SIGNERS))
        return found | ({("M", paths.DESK)} if _renews_secret(event, before) else set())
    match event.action:
        case "queue-add":  # whoever makes a queue is its first member
            return {("A", paths.queue(queue)), ("M", paths.card(event.agent))}
        case "desk-set":
            return {("M", paths.DESK)}
        case "rules-set":  # the rules themselves lie sealed in the keyring
            return set()
    return {("M", paths.queue(queue))}


def _only_its_own(changes: Sequence[Change], event: Event, before: Roster | None, after: Roster) -> None:
    """Rule 6: an event of the desk changes the files that it is about, all of them and no other."""
    for _, mode, path, _ in changes:
        if mode != "100644" or not paths.desk_file(path):
            raise Breaks(6, f"{event.action} may not change {path}")
    changed = {(status, path) for status, _, path, _ in changes}
    if event.action == "template-set":
        expected = {("A" if "A" in {s for s, _ in changed} else "M", paths.template(event.trailers["Template"]))}
    else:
        expected = {("A", path) for _, path in changed} if before is None else _expected(event, before, after)
    if odd := sorted(path for _, path in changed ^ expected):
        raise Breaks(6, f"{event.action} may not change {odd[0]}, or should")


def _queue_keys(event: Event, before: Roster | None, after: Roster) -> None:
    """Rule 6: the key of a queue changes when ``renewed`` says so, to the next epoch, and never else."""
    wanted = renewed(event, before, after) if before else set()
    for name, old in before.queues.items() if before else ():
        new = after.queues[name]
        if name not in wanted and (old.recipient, old.epoch, old.former) != (new.recipient, new.epoch, new.former):
            raise Breaks(6, f"the key of the queue {name} may not change here")
        if name in wanted and (new.recipient == old.recipient or new != old.renewed(new.recipient)):
            raise Breaks(6, f"the queue {name} gets a new key, of the next epoch, and nothing else")


# Of desk.yaml: what they name is out in the world.
_FIXED = attrgetter("format", "domain", "secret_epoch", "secret_check", "secret_former")


def _secret(event: Event, before: Roster | None, after: Roster) -> None:
    """Rule 6: the desk secret changes when a card that holds it is locked out, to the next epoch, and never else."""
    if before is None:
        return
    if not _renews_secret(event, before):
        if _FIXED(before.desk) != _FIXED(after.desk):
            raise Breaks(6, f"{event.action} may not change format, domain and secret of the desk")
    elif after.desk.secret_check in before.desk.secret_checks() or after.desk != before.desk.renewed(
        after.desk.secret_check
    ):
        raise Breaks(6, "the desk gets a new secret, of the next epoch, and nothing else")


def _cards(event: Event, before: Roster | None, after: Roster, signers: str) -> None:
    """Rule 6: of a card only that changes which the event is about."""
    for handle, card in after.cards.items():
        was = before.cards.get(handle) if before else None
        _since(card, was, after)
        if missing := set(card.queues) - set(after.queues):
            raise Breaks(6, f"{handle} is in {sorted(missing)[0]}, which is no queue")
        if was is None or was == card:
            if card.dismissed and was is None:
                raise Breaks(6, f"{handle} was never a member")
            continue
        free = _FREE.get(event.action, ())
        if was._replace(**{name: getattr(card, name) for name in free}) != card:
            raise Breaks(6, f"of the card {handle} only {' and '.join(free) or 'nothing'} may change here")
        if was.dismissed and event.action != "agent-rekey":
            raise Breaks(6, f"{handle} was dismissed")
        if event.action == "queue-add" and set(card.queues) != {*was.queues, event.trailers["Queue"]}:
            raise Breaks(6, f"{event.action} may not change the queues of {handle} so")
        if event.action == "agent-dismiss" and not card.dismissed:
            raise Breaks(6, f"{handle} is not dismissed by that")
        if event.action == "agent-rekey":
            _rekeyed(was, card, "Stolen" in event.trailers, signers)


def _since(card: Card, was: Card | None, after: Roster) -> None:
    """From which epoch on a card may read a queue is said once, when it joins: from the one that then begins."""
    for queue, epoch in card.since.items():
        joined = was is None or queue not in was.queues
        if queue not in card.queues or (joined and (queue not in after.queues or after.queues[queue].epoch != epoch)):
            raise Breaks(6, f"{card.handle} joins {queue} with its next epoch, or with all")
        if not joined and was and was.since.get(queue) != epoch:
            raise Breaks(6, f"since when {card.handle} reads {queue} may not change")
    if was and any(q in was.since and q in card.queues and q not in card.since for q in was.queues):
        raise Breaks(6, f"since when {card.handle} reads may not change")


def _rekeyed(was: Card, card: Card, stolen: bool, signers: str) -> None:
    """What a card gets are new keys: never one that was in use before, and both where somebody else has the old."""
    if card.dismissed or not card.signing:
        raise Breaks(6, f"{card.handle} gets keys, and is a member then")
    if card.signing != was.signing and f" {card.signing}\n" in signers:
        raise Breaks(6, f"{card.handle} gets a signing key that was in use before")
    if (was.dismissed or stolen) and (card.signing == was.signing or card.recipient == was.recipient):
        raise Breaks(6, f"{card.handle} gets new keys, both")


def _desk_sense(before: Roster | None, after: Roster, old: str, new: str) -> None:
    """Rule 6: what must be so whatever an admin did."""
    if not after.with_roles(ADMIN):
        raise Breaks(6, "the last admin cannot go")
    known = before.cards if before else {}
    ids = [c.system_id for c in after.cards.values() if c.system_id]
    if len(set(ids)) != len(ids):
        raise Breaks(6, "two cards share a system id")
    keys = [c.signing for c in after.cards.values() if c.signing]
    recipients = [c.recipient for c in after.cards.values()] + [q.recipient for q in after.queues.values()]
    if len(set(keys)) != len(keys) or len(set(recipients)) != len(recipients):
        raise Breaks(6, "two cards or queues share a key")
    gave = {h: c.signing for h, c in known.items()}
    added = [c for h, c in after.cards.items() if c.signing and gave.get(h) != c.signing]
    if any(f" {c.signing}\n" in old for c in added):
        raise Breaks(6, "a signing key was in use before")
    if new != old + "".join(roster.signer_line(c, after.desk.domain) for c in added):
        raise Breaks(6, "allowed_signers does not grow as the cards say")


def may_change(card: Card, event: Event, changes: Sequence[Change]) -> None:
    """Rule 6: raise ``Breaks`` unless ``card`` may change desk files at all, by what its event says of itself.

    An admin may; a card its own keys, an agent its own absence; the recovery card the keys of an admin.
    """
    own = {paths.card(card.handle)} | ({paths.SIGNERS} if event.action == "agent-rekey" else set())
    itself = event.action == "agent-rekey" or (event.action == "agent-set" and card.has(AGENT))
    rescue = event.action == "agent-rekey" and card.has(RECOVERY)
    if not (card.has(ADMIN) or rescue or (itself and {c[2] for c in changes} <= own)):
        raise Breaks(6, f"{card.handle} is no admin")


def check_signer(card: Card, event: Event, before: Roster | None, after: Roster) -> None:
    """Rule 6: raise ``Breaks`` unless ``card`` may change the desk so (``may_change``, with what came of it known)."""
    if card.has(ADMIN) or before is None:
        return
    handle, agent = card.handle, event.trailers.get("Agent", "")
    if event.action == "agent-rekey" and card.has(RECOVERY) and agent in before.cards:
        if ADMIN not in before.cards[agent].roles:
            raise Breaks(6, f"{handle} gives new keys to admins alone")
        return
    if event.action == "agent-rekey" and agent == handle and "Stolen" not in event.trailers:
        return
    if event.action != "agent-set" or agent != handle or not card.has(AGENT):
        raise Breaks(6, f"{handle} is no admin")
    if before.cards[handle]._replace(away=after.cards[handle].away) != after.cards[handle]:
        raise Breaks(6, f"{handle} may change only its absence")
