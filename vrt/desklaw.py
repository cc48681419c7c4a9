"""The law of the desk files, rule 6: who may change which of them, and what must be so afterwards. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from vrt import paths, roster
from vrt.model import ADMIN, AGENT, Card, Event
from vrt.roster import Roster


class Breaks(ValueError):
    """An event would break ``rule``. The text says why."""

    def __init__(self, rule: int, why: str) -> None:
        super().__init__(why)
        self.rule = rule


Change = tuple[str, str, str, str]  # status, mode, path, blob, as git's raw diff has them


def _left(before: Roster, after: Roster, agent: str) -> set[str]:
    """Return the queues that ``agent`` is in no more: each gets a new key."""
    old, new = before.cards.get(agent), after.cards.get(agent)
    return set(old.queues) - set(new.queues) if old and new else set()


def _expected(event: Event, before: Roster, after: Roster) -> set[tuple[str, str]]:
    """Return the (status, path) that an event of the desk changes, ``init`` excepted."""
    agent, queue = event.trailers.get("Agent", ""), event.trailers.get("Queue", "")
    signs = agent in after.cards and bool(after.cards[agent].signing)
    match event.action:
        case "agent-add":
            return {("A", paths.card(agent))} | ({("M", paths.SIGNERS)} if signs else set())
        case "agent-set":
            return {("M", paths.card(agent))}
        case "agent-queues":
            return {("M", paths.card(agent))} | {("M", paths.queue(q)) for q in _left(before, after, agent)}
        case "queue-add":  # whoever makes a queue is its first member
            return {("A", paths.queue(queue)), ("M", paths.card(event.agent))}
        case "desk-set":
            return {("M", paths.DESK)}
        case "rules-set":  # the rules themselves lie sealed in the keyring
            return set()
    return {("M", paths.queue(queue))}


# Of desk.yaml: what they name is out in the world.
_FIXED = attrgetter("format", "domain", "secret_epoch", "secret_check")


def check_desk(
    changes: Sequence[Change], event: Event, before: Roster | None, after: Roster, old: str, new: str
) -> None:
    """Rule 6: raise ``Breaks`` unless an event of the desk may make ``after`` of ``before`` (None: the first).

    ``changes`` are those of its commit; ``old`` and ``new`` are the text of ``allowed_signers``.
    """
    _only_its_own(changes, event, before, after)
    _queue_keys(event, before, after)
    if before and _FIXED(before.desk) != _FIXED(after.desk):
        raise Breaks(6, f"{event.action} may not change format, domain and secret of the desk")
    if before == after and event.action not in ("rules-set", "template-set"):
        raise Breaks(6, f"{event.action} changes nothing")
    _desk_sense(event, before, after, old, new)


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
    """Rule 6: the key of a queue changes when a member leaves it, to the next epoch, and never else."""
    left = _left(before, after, event.trailers.get("Agent", "")) if before else set()
    for name, old in before.queues.items() if before else ():
        new = after.queues[name]
        if name not in left and (old.recipient, old.epoch, old.former) != (new.recipient, new.epoch, new.former):
            raise Breaks(6, f"the key of the queue {name} may not change here")
        renewed = old._replace(recipient=new.recipient, epoch=old.epoch + 1, former=(*old.former, old.recipient))
        if name in left and (new.recipient == old.recipient or new != renewed):
            raise Breaks(6, f"the queue {name} gets a new key, of the next epoch, and nothing else")


def _desk_sense(event: Event, before: Roster | None, after: Roster, old: str, new: str) -> None:
    """Rule 6: what must be so whatever an admin did."""
    if not after.with_roles(ADMIN):
        raise Breaks(6, "the last admin cannot go")
    known = before.cards if before else {}
    for handle, card in after.cards.items():
        was = known.get(handle)
        free, like = "the queues", was and was._replace(queues=card.queues)
        if like and event.action == "agent-set" and handle == event.trailers["Agent"]:
            free, like = "away and supervised", like._replace(away=card.away, supervised=card.supervised)
        if was and like != card:
            raise Breaks(6, f"of the card {handle} only {free} may change here")
        if was and event.action != "agent-queues" and card.queues != was.queues:
            joined = {*was.queues, event.trailers.get("Queue", "")}
            if event.action != "queue-add" or handle != event.agent or set(card.queues) != joined:
                raise Breaks(6, f"{event.action} may not change the queues of {handle} so")
        if missing := set(card.queues) - set(after.queues):
            raise Breaks(6, f"{handle} is in {sorted(missing)[0]}, which is no queue")
    ids = [c.system_id for c in after.cards.values() if c.system_id]
    if len(set(ids)) != len(ids):
        raise Breaks(6, "two cards share a system id")
    keys = [c.signing for c in after.cards.values() if c.signing]
    recipients = [c.recipient for c in after.cards.values()] + [q.recipient for q in after.queues.values()]
    if len(set(keys)) != len(keys) or len(set(recipients)) != len(recipients):
        raise Breaks(6, "two cards or queues share a key")
    added = [roster.signer_line(c, after.desk.domain) for h, c in after.cards.items() if h not in known and c.signing]
    if new != old + "".join(added):
        raise Breaks(6, "allowed_signers does not grow as the cards say")


def may_change(card: Card, event: Event, changes: Sequence[Change]) -> None:
    """Rule 6: raise ``Breaks`` unless ``card`` may change desk files at all: an admin, or an agent its own card."""
    own = event.action == "agent-set" and card.has(AGENT) and [c[2] for c in changes] == [paths.card(card.handle)]
    if not (card.has(ADMIN) or own):
        raise Breaks(6, f"{card.handle} is no admin")


def check_signer(card: Card, event: Event, before: Roster | None, after: Roster) -> None:
    """Rule 6: raise ``Breaks`` unless ``card`` may change the desk: an admin, or whose own absence it is."""
    if card.has(ADMIN):
        return
    handle = card.handle
    if event.action != "agent-set" or event.trailers["Agent"] != handle or not card.has(AGENT) or before is None:
        raise Breaks(6, f"{handle} is no admin")
    if before.cards[handle]._replace(away=after.cards[handle].away) != after.cards[handle]:
        raise Breaks(6, f"{handle} may change only its absence")
