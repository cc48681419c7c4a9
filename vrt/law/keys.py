"""The law of the keyring: rule 9. Pure.

A commit of the keyring names the place in the ledger that its writer saw, and is judged by the roster of that place.
What was lawful stays so, however the ledger goes on.
"""

from __future__ import annotations

from vrt import number, paths
from vrt.law.state import Commit, Sealed, State, Unlawful
from vrt.model import ADMIN, AGENT, INTAKE, MAILER, RECOVERY, Card
from vrt.roster import RULES_READERS, Roster


def message(count: int, ledger_head: str) -> str:
    """Return the message of a keyring commit of ``count`` files, made when the ledger stood at ``ledger_head``."""
    return f"seal {count} keys\n" + (f"\nLedger: {ledger_head}\n" if ledger_head else "")


def check(state: State, commit: Commit) -> None:
    """Rule 9: take the next commit of the keyring into ``state``, which knows the whole ledger; raises ``Unlawful``."""
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
    place = state.places.get(head, 0) if head else 1
    if place < max(1, state.key_place):
        raise Unlawful(commit, 9, "it does not follow the ledger")
    handle, then = commit.author.partition(" ")[0], state.roster_at(place)
    card = then.cards.get(handle)
    if card is None or card.dismissed:
        raise Unlawful(commit, 9, f"{handle} was no member then")
    if commit.signer is None or commit.signer != card.signing:
        raise Unlawful(commit, 9, "it is not signed by a card")
    if commit.author != then.who(handle) or commit.committer != commit.author:
        raise Unlawful(commit, 9, "author and committer are not the card that signed")
    for change in commit.changes:
        _key_file(state, then, place, commit, card, *change[:3])
    for path in (change[2] for change in commit.changes):
        if not path.startswith("tickets/"):
            name = path.rsplit(".", 2)[0]
            last = state.sealed.get(name)
            by = (*last.by, handle) if last and last.place == place else (handle,)
            state.sealed[name] = Sealed(place, by)
    state.key_head, state.key_place, state.key_committed = commit.id, place, commit.committed


def _key_file(
    state: State, then: Roster, place: int, commit: Commit, card: Card, status: str, mode: str, path: str
) -> None:
    """Check one file against the roster ``then``, that of the ``place`` in the ledger which the commit names.

    What an admin seals of ``desk/`` and ``queues/`` is fair: admins admit members, and a stopped write of theirs
    leaves keys of what never came. Readers match what they open with the ledger, so a wrong key opens nothing.
    """
    key = paths.parse_key(path)
    if (status, mode) != ("A", "100644") or key is None:
        raise Unlawful(commit, 9, f"{path} has no place in the keyring, or is no addition")
    if commit.files.get(path) != key.hash8:
        raise Unlawful(commit, 9, f"{path} is not what its name says")
    if key.kind in ("article", "salt"):
        fair = _ticket_key(state, then, place, card, key)
    elif key.kind == "rules":
        to = then.cards.get(key.to)  # None: about to be admitted
        fair = card.has(ADMIN, RECOVERY) and (to is None or to.has(*RULES_READERS))
    elif card.has(ADMIN, RECOVERY):  # the recovery card lets an admin in again
        fair = True
    elif key.kind == "desk":
        holders = {c.handle for c in then.secret_holders()}
        fair = card.has(AGENT) and key.to in holders and key.epoch <= then.desk.secret_epoch
    else:
        queue = then.queues.get(key.name)
        readers = {c.handle for c in then.readers(key.name)}
        entitled = key.to in readers and key.epoch >= then.cards[key.to].since.get(key.name, 1)
        fair = queue is not None and key.epoch <= queue.epoch and card.handle in readers and entitled
    if not fair:
        raise Unlawful(commit, 9, f"{card.handle} may not seal {path}")


def _ticket_key(state: State, then: Roster, place: int, card: Card, key: paths.Key) -> bool:
    """Say whether ``card`` may give the key of an article, or a salt, to ``key.to``.

    To a queue, by its author or whom the ticket came to, be it within another that it was merged into; a salt to an
    intake node too, and the key of an outgoing mail to the card that sends it. What names an event that is not on the
    ledger, or a card that an admin did not admit in the end, was left by a writer that was stopped before it was
    recorded: it opens nothing. No file becomes unlawful by what somebody else records later.
    """
    minted = number.system_id(key.ticket) == card.system_id
    # What a server said of a message, a mailer tells its queue: the one article that it writes.
    tells = card.has(MAILER) and key.name[17:-9] == "failed" and key.to in then.queues
    if not (card.has(ADMIN, AGENT, INTAKE) or tells) or not (minted or key.ticket in state.tickets):
        return False  # under a number that is not taken only who may mint it; a salt takes it
    member = bool(set(card.queues) & set(state.homes.get(key.ticket, ())))
    to = then.cards.get(key.to)
    if key.kind == "salt":
        if key.to in then.queues:
            return minted or member
        if card.has(ADMIN):
            return to is None or to.has(INTAKE)
        return to is not None and to.has(INTAKE) and (minted or member)
    author, ticket, since = state.wrote.get(key.name, ("", "", 0))
    if since > place:  # not there yet at that time: what comes later makes no file unlawful
        author = ""
    if author and ticket != key.ticket:
        return False
    if key.to in then.queues:
        return author in ("", card.handle) or member
    if author:
        sent = state.ties.sent.get(key.name)
        return sent is not None and sent.sender == key.to and (author == card.handle or member)
    return to is not None and (to.has(MAILER) or to == card)
