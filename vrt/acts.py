"""What agents do to tickets: events checked against the law, sealed, and recorded in one durable write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from vrt import dispatch, law, ledger, number, paths
from vrt.desk import ORDER, Desk
from vrt.errors import Conflict, NotAllowed, NotFound, UsageError
from vrt.law import Breaks
from vrt.model import CLOSED, JUNK, MERGED, NEW, OPEN, PENDING, Address, Card, Event, Queue, Ticket
from vrt.roster import seconds
from vrt.storage import articles, crypt, keyring
from vrt.storage.index import Entry, Opened, advance
from vrt.storage.replay import words
from vrt.storage.writer import Write

Facts = dict[str, str]
# What somebody else's lock does not hinder: it changes nothing that its holder works on.
_HARMLESS = ("note", "priority", "tag", "reopen", "accept", "move")


class _NothingRecorded(Exception):
    """Leaves ``Desk.recording`` before anything is recorded."""


def act(
    desk: Desk,
    action: str,
    tickets: Sequence[str] | Callable[[], list[str]],
    facts: Callable[[Ticket], Facts] = lambda ticket: {},
    *,
    body: str | None = None,
    force: bool = False,
    dry: bool = False,
) -> list[Ticket]:
    """Do ``action`` to each of ``tickets`` (as people name them), all or none, and return them as they are then.

    ``tickets`` may be what says their numbers under the lock. ``facts`` gives an event's trailers; ``body`` is what was
    said, for a note; ``dry`` records nothing. Raises ``Conflict`` where a ticket is in no state for it or locked by
    another (``force`` goes on, and the event says so), ``NotAllowed`` where the card has no right, ``NotFound`` and
    ``UsageError`` as ``Desk.resolve``.
    """
    named = [] if callable(tickets) else list(dict.fromkeys(desk.resolve(t) for t in tickets))
    done: list[Entry] = []
    with suppress(_NothingRecorded), desk.recording() as (write, entries):
        numbers = tickets() if callable(tickets) else named
        with desk.progress(action, len(numbers)) as show:
            for number_ in numbers:
                done.append(_one(desk, write, action, number_, facts, body, force))
                show(len(done))
        if dry or not done:
            raise _NothingRecorded
        entries += done
    return [e.ticket for e in done if e.ticket]


def _one(
    desk: Desk, writer: Write, action: str, wanted: str, facts: Callable[[Ticket], Facts], body: str | None, force: bool
) -> Entry:
    ticket = desk.known(wanted)
    check_state(desk, action, ticket)
    if action == "release" and not ticket.owner:
        raise Conflict(f"nobody owns {ticket.number}", f"vrt show {ticket.number}")
    trailers = facts(ticket)
    if action not in _HARMLESS:
        trailers |= check_lock(desk, action, ticket, force)
    event = desk.event(action, wanted, trailers)
    check(desk, ticket, event)
    if body is not None:
        _check_repeated(desk, wanted, body)
        return say(desk, writer, ticket, event, {}, body)
    if action == "route":
        if trailers["Queue"] == ticket.queue:
            raise Conflict(f"{wanted} is in {ticket.queue} already", f"vrt show {wanted}")
        seal_to(desk, writer, ticket, desk.roster.queue(trailers["Queue"]))
    return add(writer, ticket, event)


def add(writer: Write, ticket: Ticket, event: Event) -> Entry:
    """Add the event of an act in which nothing is said; it has been checked."""
    commit, _ = writer.add(event, dict.fromkeys(ledger.paths(event), b""))
    done = event._replace(commit=commit)
    return Entry(done, advance(ticket, done, None))


def after(entries: Sequence[Entry]) -> Ticket:
    """Return the ticket as the last of ``entries`` leaves it."""
    ticket = entries[-1].ticket
    assert ticket is not None
    return ticket


def check_state(desk: Desk, action: str, ticket: Ticket) -> None:
    """Raise ``Conflict`` where ``action`` does not start from the state of a ticket."""
    if ticket.state in ledger.ACTIONS[action].starts:
        return
    last = next((e for e in reversed(desk.index.events(ticket.number)) if e.action in ("close", "reopen")), None)
    when = f" (by {last.agent}, {ledger.for_people(last.time)})" if last else ""
    if ticket.state == MERGED:
        raise Conflict(f"{ticket.number} is merged into {ticket.merged_into}", f"vrt show {ticket.merged_into}")
    hint = f"vrt reopen {ticket.number}" if ticket.state == CLOSED else f"vrt show {ticket.number}"
    raise Conflict(f"{ticket.number} is {ticket.state}{' already' if action == 'close' else ''}{when}", hint)


def check_lock(desk: Desk, action: str, ticket: Ticket, force: bool) -> Facts:
    """Raise ``Conflict`` where somebody else works on a ticket; with ``force`` return the trailer that says so."""
    if not ticket.locked(desk.now) or ticket.owner == desk.me.handle:
        return {}
    if force:
        return {"Force": "yes"}
    raise Conflict(
        f"{ticket.owner} works on {ticket.number} until {ledger.for_people(ticket.lock)}",
        f"vrt note {ticket.number}, or --force, which the trail will show",
    )


def check(desk: Desk, ticket: Ticket | None, event: Event, before: Sequence[Event] | None = None) -> None:
    """Raise ``NotAllowed``, ``NotFound`` or ``Conflict`` unless the law lets the caller do ``event``.

    ``before`` are the events of the ticket, where the index does not know them all yet.
    """
    facts, desk_config = event.trailers, desk.roster.desk
    if desk.me.dismissed:
        raise NotAllowed(f"{desk.me.handle} was dismissed", "ask an admin: vrt agent rekey lets a card in again")
    if "Queue" in facts:
        desk.roster.queue(facts["Queue"])
    if "Owner" in facts:
        desk.roster.card(facts["Owner"])
    if "Outcome" in facts and facts["Outcome"] not in desk_config.outcomes:
        raise NotFound(f"this desk has no outcome {facts['Outcome']}", "one of " + ", ".join(desk_config.outcomes))
    for word in facts.get("Tag", "").split():
        if word[1:] not in desk_config.tags:
            raise NotFound(f"this desk has no tag {word[1:]}", "one of " + ", ".join(desk_config.tags))
    if ticket and event.action in dispatch.STEPS:
        _check_message(ticket, event, desk.index.events(ticket.number) if before is None else before)
    try:
        law.check_event(desk.roster, desk.me, ticket, event)
    except Breaks as exc:
        if exc.rule == 5:
            raise NotAllowed(str(exc), "vrt agent list shows roles and queues") from None
        raise Conflict(str(exc), f"vrt show {event.ticket}") from None


def _check_message(ticket: Ticket, event: Event, before: Sequence[Event]) -> None:
    """Raise ``Conflict`` where what an event says of a message does not go with what became of it until now."""
    about = event.trailers["About"]
    message = dispatch.messages(before).get(about)
    if message is None and event.action == "cancel" and about in ticket.undelivered:
        return  # of a ticket that this one was merged from, or the other way round
    if message is None or not dispatch.after(message.state, event):
        state = message.state if message else "not there"
        raise Conflict(f"{about} is {state}", f"vrt show {ticket.number}")


def _check_repeated(desk: Desk, ticket: str, body: str) -> None:
    """A note equal to the caller's last on this ticket was most likely recorded by a call that was cut off."""
    mine = [
        a
        for a in desk.index.articles(ticket, here=True)
        if a.event.agent == desk.me.handle and a.event.action == "note"
    ]
    if mine and mine[-1].body == body.strip():
        raise Conflict(f"your last note on {ticket} says the same: {mine[-1].event.id}", f"vrt show {ticket}")


# --- saying ---------------------------------------------------------------------------------------


def say(
    desk: Desk, writer: Write, ticket: Ticket | None, event: Event, front: dict[str, Any], body: str,
    salt: bytes | None = None, original: bytes = b"", sender: Card | None = None, also: Queue | None = None,
) -> Entry:  # fmt: skip
    """Seal an article to the ticket's queue and add its event.

    ``front`` adds to the front matter; ``original`` is the mail that it tells of, where there is one. ``sender`` is the
    card that sends it: the original gets a key of its own, which that card gets too, and can read nothing else with.
    ``also`` is another queue that is to read it.
    """
    queue = desk.roster.queue(ticket.queue if ticket else event.trailers["Queue"])
    head = {"ticket": event.ticket, "event": event.id, "action": event.action, "agent": event.agent}
    full = head | {"date": ledger.stamp(event.time)} | front
    secret, recipient = crypt.new_identity()
    *eml_path, md_path = ledger.paths(event)
    sealed = {md_path: crypt.seal(articles.dump(full, body.strip()), recipient)}
    if sender:
        eml_secret, recipient = crypt.new_identity()
        writer.add_key(*keyring.seal_article(event.ticket, event.id, eml_secret, sender.handle, sender.recipient))
        secret = f"{secret}\n{eml_secret}"
    sealed |= {p: crypt.seal(original, recipient) for p in eml_path}
    commit, blobs = writer.add(event, sealed)
    md, *eml = blobs.values()
    for to in dict.fromkeys([queue, also or queue]):
        writer.add_key(*keyring.seal_article(event.ticket, event.id, secret, to.name, to.recipient))
    opened = Opened(secret, full, body.strip(), words(full, body)) if desk.keyring.holds(queue) else None
    done = event._replace(commit=commit)
    return Entry(
        done, advance(ticket, done, opened), md, "".join(eml), opened, salts=(salt,) if salt and opened else ()
    )


def new(desk: Desk, queue: Queue, subject: str, body: str, requester: Address | None, take: bool) -> Ticket:
    """Make a ticket by hand (a call, a letter) and return it."""
    with desk.recording() as (write, entries):
        entries.append(begin(desk, write, queue, subject, body, requester, take))
    return after(entries)


def begin(
    desk: Desk, write: Write, queue: Queue, subject: str, body: str, requester: Address | None, take: bool
) -> Entry:
    """Add the event of a ticket made by hand."""
    wanted = desk.mint(desk.today(), desk.me, 0)
    salt = crypt.new_salt()
    facts = {"Queue": queue.name}
    front: dict[str, Any] = {"subject": subject}
    if requester:
        front["from"] = [requester._asdict()]
        facts["Sender-Ref"] = desk.keyring.ref("sender", keyring.sender_value(salt, requester.address))
    if take:
        facts |= {"Owner": desk.me.handle, "Lock": lock_until(desk, queue)}
    event = desk.event("new", wanted, facts)
    check(desk, None, event)
    for path, data in salt_files(desk, wanted, queue, salt):
        write.add_key(path, data)
    return say(desk, write, None, event, front, body, salt)


def salt_files(desk: Desk, ticket: str, queue: Queue, salt: bytes) -> list[tuple[str, bytes]]:
    """Return the keyring files that give a ticket's salt to its queue and to the intake nodes."""
    to = [(queue.name, queue.recipient)] + [(c.handle, c.recipient) for c in desk.roster.with_roles("intake")]
    return [keyring.seal_salt(ticket, salt, name, recipient) for name, recipient in to]


def seal_to(desk: Desk, writer: Write, ticket: Ticket, queue: Queue) -> None:
    """Give another queue the identities of all articles of a ticket, and its salt; so with what was merged into it.

    Raises ``NotAllowed`` where an article of the ticket cannot be given. One of a merged ticket is only warned of: a
    mailer may have recorded there since that a message failed, for the queue that the merged ticket is in.
    """
    numbers = [ticket.number]
    for wanted in numbers:  # it grows
        numbers += desk.index.merged_into(wanted)
        one = desk.index.ticket(wanted)
        if one is None or one.queue == queue.name:
            continue
        for event_id in _seal_one(desk, writer, wanted, queue)[1]:
            what = f"no key at hand opens {event_id}, so {queue.name} could not read it"
            if wanted == ticket.number:
                raise NotAllowed(what, f"ask somebody in {ticket.queue} to do it")
            desk.warn(f"{what}; it is in {wanted}, which was merged")


def seal_missing(desk: Desk, writer: Write, wanted: str, queue: Queue) -> int:
    """Give ``queue`` what it lacks of a ticket and the keys at hand open; return how many keys that were."""
    return _seal_one(desk, writer, wanted, queue, here=True)[0]


def _seal_one(desk: Desk, writer: Write, wanted: str, queue: Queue, here: bool = False) -> tuple[int, list[str]]:
    """Give what ``seal_to`` gives of one ticket; return how much, and the articles that no key at hand opens.

    ``here``: what is not in this clone is left to others, not fetched.
    """
    folder, sealed, count = number.folder(wanted), [], 0
    have = [(key, f"{folder}/{n}") for n in writer.key_names(folder) if (key := paths.parse_key(f"{folder}/{n}"))]
    there = [(key, path) for key, path in have if key.to == queue.name]
    mine = desk.keyring.identities([queue.name])
    for article in desk.index.articles(wanted, here):
        if article.key is None:
            sealed.append(article.event.id)
            continue
        files = [writer.key_file(path) for key, path in there if key.name == article.event.id]
        if any(not mine or keyring.open_identity(data, mine) == article.key for data in files):
            continue  # sealed to it when the ticket was there before; what does not open may have been planted
        writer.add_key(*keyring.seal_article(wanted, article.event.id, article.key, queue.name, queue.recipient))
        count += 1
    for salt in desk.index.salts(wanted) if not any(key.kind == "salt" for key, _ in there) else []:
        writer.add_key(*keyring.seal_salt(wanted, salt, queue.name, queue.recipient))
        count += 1
    return count, sealed


# --- trailers -------------------------------------------------------------------------------------


def lock_until(desk: Desk, queue: Queue) -> str:
    """Return until when a ticket of ``queue`` that is taken now stays locked, as a trailer."""
    return ledger.stamp(desk.now + seconds(queue.lock_timeout))


def owned_by(desk: Desk, handle: str) -> Callable[[Ticket], Facts]:
    """Return the trailers that make ``handle`` the owner."""
    return lambda t: {"Owner": handle, "Lock": lock_until(desk, desk.roster.queue(t.queue))}


def retagged(words_given: Sequence[str]) -> str:
    """Return the Tag trailer for ``+x -y`` (a bare word counts as ``+``); raises ``UsageError``."""
    signed = [w if w[:1] in "+-" else f"+{w}" for w in words_given]
    if not signed:
        raise UsageError("no tag given", "vrt tag N +urgent -press")
    return " ".join(dict.fromkeys(signed))


def waiting(desk: Desk, queue: str | None = None) -> Ticket | None:
    """Return what to work on next in ``queue``, or in the caller's queues but ``junk``; None where nothing waits.

    What could not be delivered comes first, unless it is another's; then what the caller put off until now. Then, of
    the tickets that nobody works on: the most urgent, among them the one that waits longest. Those that are closed or
    merged, but hold something unverified, come last.
    """
    names = [queue] if queue else [q for q in desk.me.queues if q != JUNK]
    now, me, mine = desk.now, desk.me.handle, f"queue IN ({', '.join('?' * len(names))})"
    free = (
        f"(owner = '' OR lock <= ?) AND "
        f"(state IN ('{NEW}', '{OPEN}') OR (state = '{PENDING}' AND pending_until <= ?) OR unverified <> '')"
    )
    stuck = f"undelivered <> '' AND owner IN ('', ?) AND NOT (state = '{PENDING}' AND pending_until > ?)"
    where = f"current AND {mine} AND (({free}) OR ({stuck}))"
    found = desk.index.tickets(where, [*names, now, now, me, now], ORDER, 1)
    if not (found and found[0].undelivered):
        due = f"state = '{PENDING}' AND pending_until > 0 AND pending_until <= ? AND owner = ? AND {mine}"
        found = desk.index.tickets(due, [now, me, *names], "pending_until", 1) or found
    return found[0] if found else None
