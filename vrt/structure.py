"""What belongs to which ticket: mail accepted, split off or moved; tickets linked, merged and parted again."""

from __future__ import annotations

from collections.abc import Sequence

from vrt import acts, fold, law, ledger, number
from vrt.desk import Desk
from vrt.errors import Conflict, NotAllowed, NotFound, UsageError
from vrt.model import CLOSED, MERGED, PENDING, Event, Ticket
from vrt.storage import crypt
from vrt.storage.index import Article, Entry
from vrt.storage.writer import Write

_SALTS = 4  # of a ticket with planted ones beside the true one, how many a Sender-Ref is made with

# --- mail that joined the wrong ticket, or may have -----------------------------------------------


def unverified(ticket: Ticket, wanted: Sequence[str]) -> list[str]:
    """Return the ids of the unverified mails of a ticket that ``wanted`` names by the ends of their ids.

    None wanted: the only one. Raises ``NotFound`` where there is none, ``UsageError`` where it is not clear which.
    """
    if not ticket.unverified:
        raise NotFound(f"nothing in {ticket.number} is unverified", f"vrt show {ticket.number}")
    if not wanted and len(ticket.unverified) > 1:
        ends = " ".join(e[-8:] for e in ticket.unverified[:9])
        raise UsageError(f"{len(ticket.unverified)} mails in {ticket.number} are unverified", f"name one: {ends}")
    found = [_named(ticket, n, ticket.unverified, "unverified mail") for n in wanted or ticket.unverified]
    return list(dict.fromkeys(found))


def _named(ticket: Ticket, name: str, ids: Sequence[str], what: str) -> str:
    """Return the one of ``ids`` that ends in ``name``; raises ``NotFound``."""
    fits = [e for e in ids if name and e.endswith(name)]
    if len(fits) != 1:
        raise NotFound(
            f"{'more than one' if fits else 'no'} {what} in {ticket.number} ends in {name}", f"vrt show {ticket.number}"
        )
    return fits[0]


def accept(desk: Desk, name: str, wanted: Sequence[str]) -> Ticket:
    """Take unverified mails as what they claim to be; their senders are parties of the ticket from now on."""
    number_ = desk.resolve(name)
    with desk.recording() as (write, entries):
        ticket = desk.known(number_)
        said = {a.event.id: a.event for a in desk.index.articles(number_, here=True)}
        for event_id in unverified(ticket, wanted):
            _half_moved(desk, ticket, said[event_id])
            event = desk.event("accept", number_, {"About": event_id})
            acts.check(desk, ticket, event)
            entries.append(acts.add(write, ticket, event))
            ticket = acts.after(entries)
    return ticket


def split(desk: Desk, name: str, wanted: Sequence[str]) -> list[Ticket]:
    """Give mails of a ticket (none named: the one unverified) tickets of their own in its queue; return those."""
    number_ = desk.resolve(name)
    with desk.recording() as (write, entries):
        source, counter, new = desk.known(number_), 0, list[Ticket]()
        for article in _mails(desk, source, wanted or unverified(source, ())):
            _half_moved(desk, source, article.event)
            goal = desk.mint(desk.today(), desk.me, counter)
            counter = number.counter(goal)
            entries.append(_say_anew(desk, write, source, article, goal, None))
            new.append(acts.after(entries))
            entries.append(_take_away(desk, write, source, article.event, goal))
            source = acts.after(entries)
    return new


def move(desk: Desk, name: str, wanted: Sequence[str], into: str) -> Ticket:
    """Say mails of a ticket anew in another, or in what that is merged into; return that other as it is then.

    It waits as after any mail, and who sent them takes part there. Raises ``UsageError`` for what is no mail that
    could go, ``Conflict`` for what went before.
    """
    number_ = desk.resolve(name)
    with desk.recording() as (write, entries):
        source, goal = desk.known(number_), home(desk, desk.known(desk.resolve(into)))
        if goal.number == number_:
            raise UsageError(f"it is in {number_} already", "vrt move N EVENT... M")
        for article in _mails(desk, source, wanted):
            if "Internal" in article.event.trailers:  # there it would be like any mail, and be quoted
                what = f"{article.event.id[-8:]} answers what was forwarded from {number_}: it stays internal to it"
                raise UsageError(what, f"vrt split {number_} {article.event.id[-8:]}")
            there = _half_moved(desk, source, article.event, goal.number)
            if not there:
                entries.append(_say_anew(desk, write, source, article, goal.number, goal))
                goal = acts.after(entries)
            entries.append(_take_away(desk, write, source, article.event, there or goal.number))
            source = acts.after(entries)
    return goal


def home(desk: Desk, ticket: Ticket) -> Ticket:
    """Return what a ticket is merged into in the end, itself if it is not merged."""
    found = fold.home(ticket.number, desk.index.ticket)
    assert found is not None
    return found


def _mails(desk: Desk, ticket: Ticket, wanted: Sequence[str]) -> list[Article]:
    """Return the mails that joined a ticket and that ``wanted`` names by the ends of their ids."""
    said = {a.event.id: a for a in desk.index.articles(ticket.number)}
    found = [said[e] for e in dict.fromkeys(_named(ticket, name, list(said), "article") for name in wanted)]
    for event in (a.event for a in found):
        if event.action not in ("receive", "moved"):
            raise UsageError(f"{event.id[-8:]} was written here ({event.action}): only mail that came in can go")
        if "Queue" in event.trailers:
            hint = f"vrt merge {ticket.number} N, or vrt link"
            raise UsageError(f"{ticket.number} began with {event.id[-8:]}: it cannot go", hint)
    return found


def _half_moved(desk: Desk, ticket: Ticket, event: Event, goal: str = "") -> str:
    """Return where a mail of ``ticket`` was said anew that is still in it, be it that another program left it at that.

    Raises ``Conflict`` where that did not come to ``goal``, or where the mail is gone: it goes once.
    """
    places = desk.index.with_ref("Content-Ref", [event.trailers["Content-Ref"]])
    same = (desk.index.event(seq) for seq in places)
    there = next((e.ticket for e in same if e.action == "moved" and e.trailers["About"] == event.id), "")
    gone = bool(there) and event.id in fold.moved(desk.index.events(ticket.number))
    if there and (gone or home(desk, desk.known(there)).number != goal):
        end = event.id[-8:]
        hint = f"vrt show {there}" if gone else f"vrt move {ticket.number} {end} {there}"
        raise Conflict(f"{end} went to {there} before", hint)
    return there


def _say_anew(desk: Desk, write: Write, source: Ticket, article: Article, wanted: str, goal: Ticket | None) -> Entry:
    """Say a mail of ``source`` anew in the ticket ``wanted``; ``goal`` is its state, None where it begins with that."""
    from vrt.mail.follow import senders
    from vrt.mail.parse import parse

    if article.front is None:
        raise NotAllowed(f"no key at hand opens {article.event.id}", "vrt agent list shows who is in its queue")
    original, salt = desk.original(article), None if goal else crypt.new_salt()
    facts = {"From": source.number, "About": article.event.id}
    facts |= {n: v for n, v in article.event.trailers.items() if n in ("Message-Ref", "Content-Ref")}
    if _makes_party(source, article.event):
        salts = [salt] if salt else desk.index.salts(wanted)[:_SALTS]
        refs = desk.keyring.sender_refs(salts, senders(parse(original)))
        facts |= {"Sender-Ref": refs} if refs else {}
    if salt:
        facts["Queue"] = source.queue
    moved = desk.event("moved", wanted, facts)
    _check(desk, goal, moved)
    if salt:
        for path, data in acts.salt_files(desk, wanted, desk.roster.queue(source.queue), salt):
            write.add_key(path, data)
    drop = ("ticket", "event", "action", "follow_up", "unverified", "internal")
    front = {n: v for n, v in article.front.items() if n not in drop} | {"moved_from": source.number}
    return acts.say(desk, write, goal, moved, front, article.body or "", salt, original)


def _makes_party(ticket: Ticket, mail: Event) -> bool:
    """Say whether who sent a mail takes part where it is said anew: no report's sender, nor whom a forged one names."""
    if mail.action == "moved":
        return "Sender-Ref" in mail.trailers
    forged = mail.trailers.get("Unverified") == "failed" and mail.id in ticket.unverified  # accepted it is not
    return not forged and mail.trailers.get("Kind") != "bounce"


def _take_away(desk: Desk, write: Write, source: Ticket, mail: Event, into: str) -> Entry:
    """Say in the old ticket of a mail that it went."""
    gone = desk.event("move", source.number, {"Into": into, "About": mail.id})
    acts.check(desk, source, gone)
    return acts.add(write, source, gone)


# --- tickets that have to do with each other ------------------------------------------------------


def link(desk: Desk, name: str, other: str, remove: bool = False) -> Ticket:
    """Say that two tickets have to do with each other, or ``remove`` what says so; return the first.

    Raises ``Conflict`` where it is said, or not said, already: by whichever of the two.
    """
    one, two = desk.resolve(name), desk.resolve(other)
    if one == two:
        raise UsageError(f"{one} cannot be linked with itself", "vrt link N M")
    with desk.recording() as (write, entries):
        first, second = desk.known(one), desk.known(two)
        said = [(t, n) for t, n in ((first, two), (second, one)) if n in t.links]
        if bool(said) != remove:
            how = "not linked" if remove else "linked already"
            raise Conflict(f"{one} and {two} are {how}", f"vrt show {one}")
        for ticket, to in said if remove else [(first, two)]:
            event = desk.event("unlink" if remove else "link", ticket.number, {"Link": to})
            _check(desk, ticket, event)
            entries.append(acts.add(write, ticket, event))
    return desk.known(one)


def merge(desk: Desk, names: Sequence[str], into: str, force: bool) -> list[Ticket]:
    """Make tickets part of another: what follows up to them goes there. Return them; all or none.

    A closed ticket is opened again where one that waits is merged into it: then it is returned as well.
    """
    numbers = list(dict.fromkeys(desk.resolve(n) for n in names))
    with desk.recording() as (write, entries):
        goal, tickets = desk.known(desk.resolve(into)), [desk.known(n) for n in numbers]
        if goal.number in numbers:
            raise UsageError(f"{goal.number} cannot be merged into itself", "vrt merge N... INTO")
        if goal.state == MERGED:
            raise Conflict(f"{goal.number} is merged into {goal.merged_into} itself", f"merge into {goal.merged_into}")
        entries += [_merge(desk, write, ticket, goal, force) for ticket in tickets]
        if any(t.waiting_since for t in tickets):
            entries += _wake(desk, write, goal)
    return [e.ticket for e in entries if e.ticket]


def _merge(desk: Desk, write: Write, ticket: Ticket, goal: Ticket, force: bool) -> Entry:
    if ticket.state == MERGED:
        what = f"{ticket.number} is merged into {ticket.merged_into} already"
        raise Conflict(what, f"vrt unmerge {ticket.number}")
    facts = {"Into": goal.number} | acts.check_lock(desk, "merge", ticket, force)
    event = desk.event("merge", ticket.number, facts)
    _check(desk, ticket, event)
    acts.seal_to(desk, write, ticket, desk.roster.queue(goal.queue))  # who answers there has to read what was said here
    return acts.add(write, ticket, event)


def _wake(desk: Desk, write: Write, goal: Ticket) -> list[Entry]:
    """Let nobody who waits be forgotten in a ticket that is closed, or put off."""
    if goal.state == PENDING:
        desk.warn(f"{goal.number} is pending until {ledger.stamp(goal.pending_until)}, and somebody waits now")
    if goal.state != CLOSED:
        return []
    event = desk.event("reopen", goal.number)
    acts.check(desk, goal, event)
    return [acts.add(write, goal, event)]


# --- one event ------------------------------------------------------------------------------------


def _check(desk: Desk, ticket: Ticket | None, event: Event) -> None:
    """Raise as ``acts.check``, also for the other ticket that the event names."""
    acts.check(desk, ticket, event)
    if why := law.strays(event, desk.me, desk.index.ticket):
        rule, text = why
        raise (NotAllowed if rule == 5 else Conflict)(text, "vrt agent list shows roles and queues")
