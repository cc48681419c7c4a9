"""The law of what is done to tickets: rules 1 to 5, 7 and 8. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from vrt import dispatch, fold, ledger, number, paths, roster
from vrt.law.desk import check_desk, check_signer, may_change, renewed
from vrt.law.state import Breaks, Commit, State, Unlawful, Wrote
from vrt.law.ties import strays
from vrt.model import ADMIN, AGENT, INTAKE, MAILER, Card, Event, Queue, Ticket
from vrt.roster import Roster

EMPTY_BLOB = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
# Intake may put mail into any queue, and a mailer send from any: sealing needs no right.
_QUEUE_FREE = ("receive", "auto-reply", *dispatch.BY_SENDER)
_TO_OTHERS = ("reply", "forward", "redirect")  # what goes out without a second agent


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
    state.place += 1
    state.places[commit.id] = state.place
    state.wrote[event.id] = Wrote(event.agent, event.ticket, state.place)
    state.root = state.root or commit.id
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
    if before is None:
        state.homes[event.ticket] = (after.queue,)
    elif event.action == "merge":
        into = after.merged_into
        state.merged[into] = (*state.merged.get(into, ()), event.ticket)
        _spread(state, event.ticket, state.tickets[into].queue)
    elif event.action == "unmerge":
        state.merged[before.merged_into] = tuple(n for n in state.merged[before.merged_into] if n != event.ticket)
    elif event.action == "route":
        _spread(state, event.ticket, after.queue)


def _spread(state: State, ticket: str, queue: str) -> None:
    """Let the agents of ``queue`` read a ticket, what is merged into it, and what is merged into that."""
    todo = [ticket]
    for wanted in todo:  # it grows
        if queue not in state.homes[wanted]:
            state.homes[wanted] = (*state.homes[wanted], queue)
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
    before, old = state.roster, state.files
    if (event.action == "init") != (before is None):
        raise Unlawful(commit, 6, "a desk begins with init, once")
    if before is not None:  # what a stranger wrote is not even read: it may say "upgrade vrt"
        _may_change(before, commit, event)
    files = {**old, **commit.files}
    try:
        after = roster.read({p: v for p, v in files.items() if p != paths.SIGNERS})
    except roster.BadDeskFile as exc:
        raise Unlawful(commit, 6, str(exc)) from None
    card = _signer(before or after, commit)
    try:
        check_signer(card, event, before, after)
        check_desk(commit.changes, event, before, after, old.get(paths.SIGNERS, ""), files.get(paths.SIGNERS, ""))
    except Breaks as exc:
        raise Unlawful(commit, exc.rule, str(exc)) from None
    if event.id in state.wrote:
        raise Unlawful(commit, 3, "an event of this id is there already")
    recipients = _recipients(after) - (_recipients(before) if before else set())
    if again := sorted(r for r in recipients if r in state.used):
        raise Unlawful(commit, 6, f"the key {again[0][:20]}… was in use before")
    if "Keyring" in event.trailers:
        state.keyring_root = event.trailers["Keyring"]
    place = state.place + 1
    state.turn(place, commit.files, after)
    for recipient in recipients:
        state.used[recipient] = place
    known = before.cards if before else {}
    new = [h for h, c in after.cards.items() if h not in known or not c.same_keys(known[h])]
    state.keyed = {**state.keyed, **dict.fromkeys(new, (place, event.agent))}
    if set(new) & set(known) or (before and event.action == "agent-queues" and renewed(event, before, after)):
        state.locked = place


def _recipients(known: Roster) -> set[str]:
    return {c.recipient for c in known.cards.values()} | {q.recipient for q in known.queues.values()}


def _may_change(before: Roster, commit: Commit, event: Event) -> None:
    try:
        may_change(_signer(before, commit), event, commit.changes)
    except Breaks as exc:
        raise Unlawful(commit, exc.rule, str(exc)) from None
