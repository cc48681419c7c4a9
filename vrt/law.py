"""The law of the ledger: what makes a commit lawful. Pure.

The nine rules are those of ``docs/FORMAT.md`` section 7; the ninth, of the keyring, is in ``keylaw``, and what one
event says of another in ``ties``. ``State`` is what has been accepted so far; ``check`` takes the next commit of the
ledger into it, or raises ``Unlawful``.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from vrt import ledger, number, paths, roster
from vrt.errors import Breach
from vrt.model import ADMIN, AGENT, MAILER, Card, Event, Ticket
from vrt.roster import Roster
from vrt.ties import Ties, strays

EMPTY_BLOB = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
_QUEUE_FREE = ("receive", "auto-reply")  # intake may put mail into any queue: sealing needs no right


@dataclass(frozen=True)
class Commit:
    """A commit as the law sees it.

    ``signer`` is the key that made its good signature, None without one. ``changes`` are (status, mode, path, blob id)
    as git's raw diff has them. ``files`` holds the desk files it adds or changes: mappings by path, and
    the text of ``allowed_signers``. ``flaw`` is the rule that already its reading found broken, and why.
    """

    id: str
    parents: tuple[str, ...]
    author: str
    committer: str
    authored: int
    committed: int
    message: str
    signer: str | None
    changes: tuple[tuple[str, str, str, str], ...]
    files: Mapping[str, Any] = field(default_factory=dict)
    flaw: tuple[int, str] | None = None


class Unlawful(Breach):
    """A commit breaks a rule. Its message names commit, rule and card."""

    def __init__(self, commit: Commit, rule: int, why: str) -> None:
        who = commit.author.partition(" ")[0] or "nobody"
        super().__init__(f"commit {commit.id} by {who} breaks rule {rule}: {why}")
        self.commit, self.rule, self.why = commit.id, rule, why


@dataclass
class State:
    """What the accepted commits add up to, and what the keyring's rule needs to know of them."""

    head: str = ""
    committed: int = 0
    files: dict[str, Any] = field(default_factory=dict)
    roster: Roster | None = None
    tickets: dict[str, Ticket] = field(default_factory=dict)
    keyring_root: str = ""
    key_head: str = ""
    key_position: int = 0
    key_committed: int = 0
    position: dict[str, int] = field(default_factory=dict)  # ledger commit -> place
    wrote: dict[str, tuple[str, str, int]] = field(default_factory=dict)  # event id -> handle, ticket, place
    ties: Ties = field(default_factory=Ties)
    admitted: dict[str, int] = field(default_factory=dict)  # handle -> place in the ledger
    dismissed: dict[str, int] = field(default_factory=dict)
    rosters: list[tuple[int, Roster]] = field(default_factory=list)  # the roster from each place on
    homes: dict[str, set[str]] = field(default_factory=dict)  # ticket -> queues, ever

    def roster_at(self, place: int) -> Roster:
        """Return the roster as it was after the event at ``place``."""
        return self.rosters[bisect_right(self.rosters, place, key=lambda entry: entry[0]) - 1][1]


# --- the ledger ----------------------------------------------------------------------------------


def check(state: State, commit: Commit) -> Event:
    """Take the next commit of the ledger into ``state`` and return its event; raises ``Unlawful``."""
    if commit.flaw:
        raise Unlawful(commit, *commit.flaw)
    _line(state.head, state.committed, commit)
    try:
        event = ledger.parse(commit.message, agent=commit.author.partition(" ")[0], time=commit.authored)
    except ledger.BadEvent as exc:
        raise Unlawful(commit, 4, str(exc)) from None
    if event.ticket:
        card = _signer(state.roster, commit)
        _ticket_event(state, commit, event, card)
    else:
        _desk_event(state, commit, event)
    place = state.position[commit.id] = len(state.position) + 1
    state.wrote[event.id] = event.agent, event.ticket, place
    state.head, state.committed = commit.id, commit.committed
    return event


def _line(head: str, committed: int, commit: Commit) -> None:
    if commit.parents != ((head,) if head else ()):
        raise Unlawful(commit, 2, "the history is not one straight line")
    if commit.committed < committed:
        raise Unlawful(commit, 2, "its date is before its parent's")


def _signer(known: Roster | None, commit: Commit) -> Card:
    """Rules 1 and 7: return the card that signed, as it stood at the parent."""
    handle = commit.author.partition(" ")[0]
    card = known.cards.get(handle) if known else None
    if known is None or card is None:
        raise Unlawful(commit, 1, f"there is no card {handle}")
    if card.dismissed:
        raise Unlawful(commit, 7, f"{handle} was dismissed before")
    if commit.signer is None:
        raise Unlawful(commit, 1, "it has no good signature")
    if commit.signer != card.signing:
        raise Unlawful(commit, 1, f"it is not signed by the key of {handle}")
    if commit.author != known.who(handle) or commit.committer != commit.author:
        raise Unlawful(commit, 1, "author and committer are not the card that signed")
    return card


def _ticket_event(state: State, commit: Commit, event: Event, card: Card) -> None:
    if {change[:3] for change in commit.changes} != {("A", "100644", p) for p in ledger.paths(event)}:
        raise Unlawful(commit, 3, "it does not add just the files of its event")
    if not ledger.ACTIONS[event.action].files and commit.changes[0][3] != EMPTY_BLOB:
        raise Unlawful(commit, 3, "the file of an act is not empty")
    if event.id in state.wrote:
        raise Unlawful(commit, 3, "an event of this id is there already")
    ticket = state.tickets.get(event.ticket)
    try:
        check_event(state.roster, card, ticket, event)
    except Breaks as exc:
        raise Unlawful(commit, exc.rule, str(exc)) from None
    if found := strays(event, card, state.tickets.get):
        raise Unlawful(commit, *found)
    if why := state.ties.belies(event):
        raise Unlawful(commit, 4, why)
    state.ties.learn(event)
    after = state.tickets[event.ticket] = ledger.apply(ticket, event)
    state.homes.setdefault(event.ticket, set()).add(after.queue)


class Breaks(ValueError):
    """An event would break ``rule``. The text says why."""

    def __init__(self, rule: int, why: str) -> None:
        super().__init__(why)
        self.rule = rule


def check_event(known: Roster | None, card: Card, ticket: Ticket | None, event: Event) -> None:
    """Rules 4 and 5: raise ``Breaks`` unless ``card`` may do ``event`` on ``ticket`` (None: not there yet)."""
    assert known is not None
    row, facts = ledger.ACTIONS[event.action], event.trailers
    try:
        ledger.check_form(event)
        ledger.check_start(ticket, event)
    except ledger.BadEvent as exc:
        raise Breaks(4, str(exc)) from None
    if ticket is None and number.system_id(event.ticket) != card.system_id:
        raise Breaks(4, f"the number is not of the system id of {card.handle}")
    if not card.has(*row.roles):
        raise Breaks(5, f"{event.action} needs one of the roles {', '.join(row.roles)}")
    if ticket and event.action not in _QUEUE_FREE and ticket.queue not in card.queues:
        raise Breaks(5, f"{card.handle} is not in the queue {ticket.queue}")
    if "Queue" in facts:
        target = known.queues.get(facts["Queue"])
        if target is None:
            raise Breaks(5, f"there is no queue {facts['Queue']}")
        source = {ticket.queue} if ticket else set(card.queues)
        free = not target.move_from or event.action in _QUEUE_FREE or target.name in card.queues
        if not free and not source & set(target.move_from):
            raise Breaks(5, f"{target.name} takes tickets only from {', '.join(target.move_from)}")
    if "Owner" in facts:
        owner = known.cards.get(facts["Owner"])
        if event.action != "assign" and facts["Owner"] != card.handle:
            raise Breaks(5, f"{event.action} makes only its own agent the owner")
        if event.action == "assign" and (
            ticket is None or owner is None or not owner.has(ADMIN, AGENT) or ticket.queue not in owner.queues
        ):
            raise Breaks(5, f"{facts['Owner']} is no agent of the ticket's queue")
    if "Sender" in facts:
        sender = known.cards.get(facts["Sender"])
        if sender is None or not (sender.has(MAILER) or (sender == card and card.has(ADMIN, AGENT))):
            raise Breaks(5, f"{facts['Sender']} sends no mail of {card.handle}")
    _words(known, facts)


def _words(known: Roster, facts: Mapping[str, str]) -> None:
    if "Outcome" in facts and facts["Outcome"] not in known.desk.outcomes:
        raise Breaks(4, f"the desk has no outcome {facts['Outcome']}")
    unknown = [w for w in facts.get("Tag", "").split() if w[1:] not in known.desk.tags]
    if unknown:
        raise Breaks(4, f"the desk has no tag {unknown[0][1:]}")


# --- desk files ----------------------------------------------------------------------------------


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


def _desk_event(state: State, commit: Commit, event: Event) -> None:
    before = state.roster
    if (event.action == "init") != (before is None):
        raise Unlawful(commit, 6, "a desk begins with init, once")
    if before is not None:  # what a stranger wrote is not even read: it may say "upgrade vrt"
        _admin(before, commit)
    files = {**state.files, **commit.files}
    try:
        after = roster.read({p: v for p, v in files.items() if p != paths.SIGNERS})
    except roster.BadDeskFile as exc:
        raise Unlawful(commit, 6, str(exc)) from None
    if before is None:
        _admin(after, commit)
    check_desk(commit, event, before, after, state.files.get(paths.SIGNERS, ""), files.get(paths.SIGNERS, ""))
    if event.id in state.wrote:
        raise Unlawful(commit, 3, "an event of this id is there already")
    if "Keyring" in event.trailers:
        state.keyring_root = event.trailers["Keyring"]
    _learn(state, files, after)


def _admin(known: Roster, commit: Commit) -> None:
    card = _signer(known, commit)
    if not card.has(ADMIN):
        raise Unlawful(commit, 6, f"{card.handle} is no admin")


def check_desk(commit: Commit, event: Event, before: Roster | None, after: Roster, old: str, new: str) -> None:
    """Rule 6: raise ``Unlawful`` unless an event of the desk may make ``after`` of ``before`` (None: the first).

    ``old`` and ``new`` are the text of ``allowed_signers``.
    """
    _only_its_own(commit, event, before, after)
    _queue_keys(commit, event, before, after)
    if before and _FIXED(before.desk) != _FIXED(after.desk):
        raise Unlawful(commit, 6, f"{event.action} may not change format, domain and secret of the desk")
    if before == after and event.action != "rules-set":
        raise Unlawful(commit, 6, f"{event.action} changes nothing")
    _desk_sense(commit, event, before, after, old, new)


def _only_its_own(commit: Commit, event: Event, before: Roster | None, after: Roster) -> None:
    """Rule 6: an event of the desk changes the files that it is about, all of them and no other."""
    for _, mode, path, _ in commit.changes:
        if mode != "100644" or not paths.desk_file(path):
            raise Unlawful(commit, 6, f"{event.action} may not change {path}")
    changed = {(status, path) for status, _, path, _ in commit.changes}
    expected = {("A", path) for _, path in changed} if before is None else _expected(event, before, after)
    if odd := sorted(path for _, path in changed ^ expected):
        raise Unlawful(commit, 6, f"{event.action} may not change {odd[0]}, or should")


def _queue_keys(commit: Commit, event: Event, before: Roster | None, after: Roster) -> None:
    """Rule 6: the key of a queue changes when a member leaves it, to the next epoch, and never else."""
    left = _left(before, after, event.trailers.get("Agent", "")) if before else set()
    for name, old in before.queues.items() if before else ():
        new = after.queues[name]
        if name not in left and (old.recipient, old.epoch, old.former) != (new.recipient, new.epoch, new.former):
            raise Unlawful(commit, 6, f"the key of the queue {name} may not change here")
        renewed = old._replace(recipient=new.recipient, epoch=old.epoch + 1, former=(*old.former, old.recipient))
        if name in left and (new.recipient == old.recipient or new != renewed):
            raise Unlawful(commit, 6, f"the queue {name} gets a new key, of the next epoch, and nothing else")


def _desk_sense(commit: Commit, event: Event, before: Roster | None, after: Roster, old: str, new: str) -> None:
    """Rule 6: what must be so whatever an admin did."""
    if not after.with_roles(ADMIN):
        raise Unlawful(commit, 6, "the last admin cannot go")
    known = before.cards if before else {}
    for handle, card in after.cards.items():
        was = known.get(handle)
        if was and was._replace(queues=card.queues) != card:
            raise Unlawful(commit, 6, f"of the card {handle} only the queues may change here")
        if was and event.action != "agent-queues" and card.queues != was.queues:
            joined = {*was.queues, event.trailers.get("Queue", "")}
            if event.action != "queue-add" or handle != event.agent or set(card.queues) != joined:
                raise Unlawful(commit, 6, f"{event.action} may not change the queues of {handle} so")
        if missing := set(card.queues) - set(after.queues):
            raise Unlawful(commit, 6, f"{handle} is in {sorted(missing)[0]}, which is no queue")
    ids = [c.system_id for c in after.cards.values() if c.system_id]
    if len(set(ids)) != len(ids):
        raise Unlawful(commit, 6, "two cards share a system id")
    keys = [c.signing for c in after.cards.values() if c.signing]
    recipients = [c.recipient for c in after.cards.values()] + [q.recipient for q in after.queues.values()]
    if len(set(keys)) != len(keys) or len(set(recipients)) != len(recipients):
        raise Unlawful(commit, 6, "two cards or queues share a key")
    added = [roster.signer_line(c, after.desk.domain) for h, c in after.cards.items() if h not in known and c.signing]
    if new != old + "".join(added):
        raise Unlawful(commit, 6, "allowed_signers does not grow as the cards say")


def _learn(state: State, files: dict[str, Any], after: Roster) -> None:
    state.files, state.roster = files, after
    place = len(state.position) + 1
    for handle, card in after.cards.items():
        state.admitted.setdefault(handle, place)
        if card.dismissed:
            state.dismissed.setdefault(handle, place)
    state.rosters.append((place, after))
