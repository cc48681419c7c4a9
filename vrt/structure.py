"""What belongs to which ticket: unverified mail accepted or split off, tickets merged and parted again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vrt import acts, ledger, number, ties
from vrt.desk import Desk
from vrt.errors import Conflict, NotAllowed, NotFound, UsageError
from vrt.model import MERGED, Event, Ticket
from vrt.storage import crypt, keyring
from vrt.storage.index import Article, Entry, advance
from vrt.storage.writer import Write
from vrt.text import lower


def unverified(desk: Desk, ticket: Ticket, wanted: Sequence[str]) -> list[str]:
    """Return the ids of the unverified mails of a ticket that ``wanted`` names by the ends of their ids.

    None wanted: the only one. Raises ``NotFound`` where there is none, ``UsageError`` where it is not clear which.
    """
    if not ticket.unverified:
        raise NotFound(f"nothing in {ticket.number} is unverified", f"vrt show {ticket.number}")
    if not wanted and len(ticket.unverified) > 1:
        ends = " ".join(e[-8:] for e in ticket.unverified[:9])
        raise UsageError(f"{len(ticket.unverified)} mails in {ticket.number} are unverified", f"name one: {ends}")
    found = []
    for name in wanted or [ticket.unverified[0]]:
        fits = [e for e in ticket.unverified if name and e.endswith(name)]
        if len(fits) != 1:
            raise NotFound(
                f"{'nothing' if not fits else 'more than one mail'} unverified in {ticket.number} ends in {name}",
                f"vrt show {ticket.number}",
            )
        found.append(fits[0])
    return list(dict.fromkeys(found))


def accept(desk: Desk, name: str, wanted: Sequence[str]) -> Ticket:
    """Take unverified mails as what they claim to be; their senders are parties of the ticket from now on."""
    number_ = desk.resolve(name)
    with desk.recording() as (write, entries):
        ticket = desk.index.ticket(number_)
        assert ticket is not None
        for event_id in unverified(desk, ticket, wanted):
            event = desk.event("accept", number_, {"About": event_id})
            acts.check(desk, ticket, event)
            entries.append(_done(write, ticket, event))
            ticket = entries[-1].ticket
            assert ticket is not None
    return ticket


def _done(write: Write, ticket: Ticket, event: Event) -> Entry:
    """Add the event of an act in which nothing is said."""
    commit, _ = write.add(event, dict.fromkeys(ledger.paths(event), b""))
    done = event._replace(commit=commit)
    return Entry(done, advance(ticket, done, None))


def split(desk: Desk, name: str, wanted: Sequence[str]) -> list[Ticket]:
    """Give unverified mails tickets of their own, in the same queue, and return those."""
    number_ = desk.resolve(name)
    with desk.recording() as (write, entries):
        source = desk.index.ticket(number_)
        assert source is not None
        said, counter = {a.event.id: a for a in desk.index.articles(number_)}, 0
        for event_id in unverified(desk, source, wanted):
            new = desk.mint(desk.today(), desk.me, counter)
            counter = number.counter(new)
            entries += _split_off(desk, write, source, said[event_id], new)
            source = entries[-1].ticket
            assert source is not None
    return [e.ticket for e in entries[::2] if e.ticket]


def _split_off(desk: Desk, write: Write, source: Ticket, article: Article, wanted: str) -> list[Entry]:
    """Say an article anew as the first of the ticket ``wanted``, and in its old ticket that it went there."""
    if article.front is None:
        raise NotAllowed(f"no key at hand opens {article.event.id}", "vrt agent list shows who is in its queue")
    queue, salt = desk.roster.queue(source.queue), crypt.new_salt()
    facts = {"Queue": queue.name, "From": source.number, "About": article.event.id}
    facts |= {n: v for n, v in article.event.trailers.items() if n in ("Message-Ref", "Content-Ref")}
    forged = article.event.trailers["Unverified"] == "failed"  # whom it names is no party of it
    if refs := "" if forged else _sender_refs(desk, article.front, salt):
        facts["Sender-Ref"] = refs
    moved = desk.event("moved", wanted, facts)
    _check(desk, None, moved)
    drop = ("ticket", "event", "action", "follow_up", "unverified")
    front = {n: v for n, v in article.front.items() if n not in drop} | {"moved_from": source.number}
    for path, data in acts.salt_files(desk, wanted, queue, salt):
        write.add_key(path, data)
    first = acts.say(desk, write, None, moved, front, article.body or "", salt, desk.original(article))
    gone = desk.event("move", source.number, {"Into": wanted, "About": article.event.id})
    acts.check(desk, source, gone)
    return [first, _done(write, source, gone)]


def _sender_refs(desk: Desk, front: dict[str, Any], salt: bytes) -> str:
    found = [*(front.get("from") or [])[:3], *(front.get("reply_to") or [])[:3]]
    addresses = dict.fromkeys(lower(str(a["address"])) for a in found if a.get("address"))
    return " ".join(desk.keyring.ref("sender", keyring.sender_value(salt, a)) for a in addresses)


def _check(desk: Desk, ticket: Ticket | None, event: Event) -> None:
    """Raise as ``acts.check``, also for the other ticket that the event names."""
    acts.check(desk, ticket, event)
    if why := ties.strays(event, desk.me, desk.index.ticket):
        rule, text = why
        raise (NotAllowed if rule == 5 else Conflict)(text, "vrt agent list shows roles and queues")


def merge(desk: Desk, names: Sequence[str], into: str, force: bool) -> list[Ticket]:
    """Make tickets part of another: what follows up to them goes there. Return them; all or none."""
    numbers = list(dict.fromkeys(desk.resolve(n) for n in names))
    with desk.recording() as (write, entries):
        goal = desk.index.ticket(desk.resolve(into))
        assert goal is not None
        if goal.number in numbers:
            raise UsageError(f"{goal.number} cannot be merged into itself", "vrt merge N... INTO")
        if goal.state == MERGED:
            raise Conflict(f"{goal.number} is merged into {goal.merged_into} itself", f"merge into {goal.merged_into}")
        entries += [_merge(desk, write, n, goal, force) for n in numbers]
    return [e.ticket for e in entries if e.ticket]


def _merge(desk: Desk, write: Write, wanted: str, goal: Ticket, force: bool) -> Entry:
    ticket = desk.index.ticket(wanted)
    assert ticket is not None
    if ticket.state == MERGED:
        raise Conflict(f"{wanted} is merged into {ticket.merged_into} already", f"vrt unmerge {wanted}")
    facts = {"Into": goal.number} | acts.check_lock(desk, "merge", ticket, force)
    event = desk.event("merge", wanted, facts)
    _check(desk, ticket, event)
    if ticket.queue != goal.queue:  # who answers there has to read what was said here
        acts.seal_to(desk, write, ticket, desk.roster.queue(goal.queue))
    return _done(write, ticket, event)
