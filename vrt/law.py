"""The law of the ledger: what makes a commit lawful. Pure.

The nine rules are those of ``docs/FORMAT.md`` section 7; the sixth, of the desk files, is in ``desklaw``, the ninth,
of the keyring, in ``keylaw``, and what one event says of another in ``ties``. ``State`` is what has been accepted so
far; ``check`` takes the next commit of the ledger into it, or raises ``Unlawful``.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vrt import dispatch, fold, ledger, number, paths, roster
from vrt.desklaw import Breaks, check_desk, check_signer, may_change
from vrt.errors import Breach
from vrt.model import ADMIN, AGENT, INTAKE, MAILER, Card, Event, Queue, Ticket
from vrt.roster import Roster
from vrt.ties import Ties, strays

EMPTY_BLOB = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
# Intake may put mail into any queue, and a mailer send from any: sealing needs no right.
_QUEUE_FREE = ("receive", "auto-reply", *dispatch.BY_SENDER)
_TO_OTHERS = ("reply", "forward", "redirect")  # what goes out without a second agent


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
    homes: dict[str, set[str]] = field(default_factory=dict)  # ticket -> queues, ever, also of what it is merged into
    merged: dict[str, set[str]] = field(default_factory=dict)  # ticket -> what is merged into it

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
    after = state.tickets[event.ticket] = fold.apply(ticket, event)
    _home(state, ticket, after, event)


def _home(state: State, before: Ticket | None, after: Ticket, event: Event) -> None:
    """Remember whose agents may read a ticket: of its queues, and of those that what it is merged into comes to."""
    state.homes.setdefault(event.ticket, set()).add(after.queue)
    if event.action == "merge":
        state.merged.setdefault(after.merged_into, set()).add(event.ticket)
        _spread(state, event.ticket, state.tickets[after.merged_into].queue)
    elif event.action == "unmerge" and before:
        state.merged[before.merged_into].discard(event.ticket)
    elif event.action == "route":
        _spread(state, event.ticket, after.queue)


def _spread(state: State, ticket: str, queue: str) -> None:
    """Let the agents of ``queue`` read a ticket, what is merged into it, and what is merged into that."""
    todo = [ticket]
    for wanted in todo:  # it grows
        state.homes[wanted].add(queue)
        todo += state.merged.get(wanted, ())


def check_event(known: Roster | None, card: Card, ticket: Ticket | None, event: Event) -> None:
    """Rules 4 and 5: raise ``Breaks`` unless ``card`` may do ``event`` on ``ticket`` (None: not there yet)."""
    assert known is not None
    row, facts = ledger.ACTIONS[event.action], event.trailers
    try:
        ledger.check_form(event)
        fold.check_start(ticket, event)
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
    if ticket and (whose := _whose(card, known.queues[ticket.queue], event.action)):
        raise Breaks(5, f"mail of {whose} goes out when a second agent approves it")
    if event.action == "approve" and card.supervised:
        raise Breaks(5, f"{card.handle} is supervised and approves nothing")
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


def _whose(card: Card, queue: Queue, action: str) -> str:
    """Return the card or the queue for whose sake ``action`` needs a second agent, an empty string if it needs none.

    An automatic reply is no way around: who can take in a mail by hand could answer it with any words.
    """
    if card.supervised and action in (*_TO_OTHERS, "auto-reply"):
        return card.handle
    alone = action in _TO_OTHERS or (action == "auto-reply" and not card.has(ADMIN, INTAKE))
    return queue.name if queue.approval and alone else ""


def _words(known: Roster, facts: Mapping[str, str]) -> None:
    if "Outcome" in facts and facts["Outcome"] not in known.desk.outcomes:
        raise Breaks(4, f"the desk has no outcome {facts['Outcome']}")
    unknown = [w for w in facts.get("Tag", "").split() if w[1:] not in known.desk.tags]
    if unknown:
        raise Breaks(4, f"the desk has no tag {unknown[0][1:]}")


# --- the desk ------------------------------------------------------------------------------------


def _desk_event(state: State, commit: Commit, event: Event) -> None:
    before = state.roster
    if (event.action == "init") != (before is None):
        raise Unlawful(commit, 6, "a desk begins with init, once")
    if before is not None:  # what a stranger wrote is not even read: it may say "upgrade vrt"
        _may_change(before, commit, event)
    files = {**state.files, **commit.files}
    try:
        after = roster.read({p: v for p, v in files.items() if p != paths.SIGNERS})
    except roster.BadDeskFile as exc:
        raise Unlawful(commit, 6, str(exc)) from None
    card = _signer(before or after, commit)
    old, new = (known.get(paths.SIGNERS, "") for known in (state.files, files))
    try:
        check_signer(card, event, before, after)
        check_desk(commit.changes, event, before, after, old, new)
    except Breaks as exc:
        raise Unlawful(commit, exc.rule, str(exc)) from None
    if event.id in state.wrote:
        raise Unlawful(commit, 3, "an event of this id is there already")
    if "Keyring" in event.trailers:
        state.keyring_root = event.trailers["Keyring"]
    _learn(state, files, after)


def _may_change(before: Roster, commit: Commit, event: Event) -> None:
    try:
        may_change(_signer(before, commit), event, commit.changes)
    except Breaks as exc:
        raise Unlawful(commit, exc.rule, str(exc)) from None


def _learn(state: State, files: dict[str, Any], after: Roster) -> None:
    state.files, state.roster = files, after
    place = len(state.position) + 1
    for handle, card in after.cards.items():
        state.admitted.setdefault(handle, place)
        if card.dismissed:
            state.dismissed.setdefault(handle, place)
    state.rosters.append((place, after))
