"""The law of the keyring: rule 9. Pure.

``check`` takes the next commit of the keyring into a ``law.State`` that knows the whole ledger, or raises
``law.Unlawful``.
"""

from __future__ import annotations

from vrt import number, paths
from vrt.law import Commit, State, Unlawful
from vrt.model import ADMIN, AGENT, INTAKE, RECOVERY, Card


def message(count: int, ledger_head: str) -> str:
    """Return the message of a keyring commit of ``count`` files, made when the ledger stood at ``ledger_head``."""
    return f"seal {count} keys\n" + (f"\nLedger: {ledger_head}\n" if ledger_head else "")


def check(state: State, commit: Commit) -> None:
    """Rule 9: take the next commit of the keyring into ``state``, which knows the whole ledger; raises ``Unlawful``."""
    known = state.roster
    assert known is not None
    if commit.flaw:
        raise Unlawful(commit, 9, commit.flaw[1])
    if commit.parents != ((state.key_head,) if state.key_head else ()):
        raise Unlawful(commit, 9, "the keyring is not one straight line")
    if not state.key_head and commit.id != state.keyring_root:
        raise Unlawful(commit, 9, "its root is not the one that the ledger names")
    head = commit.message.partition("\n\nLedger: ")[2].rstrip("\n")
    if commit.committed < state.key_committed or commit.authored != commit.committed:
        raise Unlawful(commit, 9, "its date is before its parent's, or it has two")
    if not commit.changes:
        raise Unlawful(commit, 9, "it adds nothing")
    if commit.message != message(len(commit.changes), head) or bool(head) != bool(state.key_head):
        raise Unlawful(commit, 9, "the message is not in the form of a keyring commit")
    place = state.position.get(head, 0) if head else 1
    if place < max(1, state.key_position):
        raise Unlawful(commit, 9, "it does not follow the ledger")
    handle = commit.author.partition(" ")[0]
    card = known.cards.get(handle)
    if card is None or commit.signer is None or commit.signer != card.signing:
        raise Unlawful(commit, 9, "it is not signed by a card")
    if commit.author != known.who(handle) or commit.committer != commit.author:
        raise Unlawful(commit, 9, "author and committer are not the card that signed")
    if place < state.admitted[handle] or state.dismissed.get(handle, place + 1) <= place:
        raise Unlawful(commit, 9, f"{handle} was no member then")
    for change in commit.changes:
        _key_file(state, commit, card, *change[:3])
    state.key_head, state.key_position, state.key_committed = commit.id, place, commit.committed


def _key_file(state: State, commit: Commit, card: Card, status: str, mode: str, path: str) -> None:
    assert state.roster is not None
    key = paths.parse_key(path)
    if (status, mode) != ("A", "100644") or key is None:
        raise Unlawful(commit, 9, f"{path} has no place in the keyring, or is no addition")
    to = state.roster.cards.get(key.to)
    queue = state.roster.queues.get(key.name)
    if key.epoch > (state.roster.desk.secret_epoch if key.kind == "desk" else queue.epoch if queue else 0):
        raise Unlawful(commit, 9, f"{path} is of an epoch that the ledger does not know")
    team = any(role in card.roles for role in (ADMIN, AGENT))
    if key.kind == "desk":
        fair = key.to in state.holders and team
    elif key.kind == "queues":
        member = bool(to and RECOVERY in to.roles) or (key.to, key.name) in state.rights
        fair = member and ((card.handle, key.name) in state.rights or ADMIN in card.roles)
    else:
        fair = _ticket_key(state, card, key)
    if not fair:
        raise Unlawful(commit, 9, f"{card.handle} may not seal {path}")


def _ticket_key(state: State, card: Card, key: paths.Key) -> bool:
    """Say whether ``card`` may give the key of an article, or a salt, to ``key.to``.

    To a queue only, a salt to an intake node too. What names an event that is not on the ledger was left by a
    writer that was stopped before it was recorded: it opens nothing.
    """
    assert state.roster is not None
    to = state.roster.cards.get(key.to)
    if key.to not in state.roster.queues and not (key.kind == "salt" and to and INTAKE in to.roles):
        return False
    if key.kind == "article" and key.name in state.wrote and state.wrote[key.name] == card.handle:
        return True
    if key.ticket not in state.tickets or (key.kind == "article" and key.name not in state.wrote):
        return any(role in card.roles for role in (ADMIN, AGENT, INTAKE))
    minted = key.kind == "salt" and number.system_id(key.ticket) == card.system_id
    return minted or any((card.handle, queue) in state.rights for queue in state.homes.get(key.ticket, ()))
