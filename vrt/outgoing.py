"""Messages of ours recorded: replies, forwards, drafts and their approval, and what becomes of a message.

A message is recorded before anybody sends it: its article, and the exact bytes that the card named in ``Sender`` hands
over later (``post``). Under one hold of the lock it is seen whether the ticket is still what the writer saw.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from vrt import acts, dispatch, letters
from vrt.desk import Desk
from vrt.errors import Conflict, NotFound, UsageError
from vrt.letters import Letter
from vrt.mail import autoreply, compose, fields, ours
from vrt.mail.charset import clean
from vrt.mail.compose import Outgoing
from vrt.model import MERGED, UNCLOSED, Address, Event, Ticket
from vrt.storage import keyring
from vrt.storage.index import Entry
from vrt.storage.writer import Write
from vrt.text import filename

Facts = dict[str, str]
_MOST_FILES = 100  # of one message: a draft of more would not be read whole again


@dataclass(frozen=True)
class Recorded:
    """What was recorded: the ticket as it is then, and the event of the message (a draft where one was demanded)."""

    ticket: Ticket
    event: Event

    @property
    def is_draft(self) -> bool:
        """Whether it waits for somebody before it goes out."""
        return self.event.action == "draft"


@dataclass(frozen=True)
class Then:
    """What follows on a message in the same write: ``close`` or ``pend``, with its trailers."""

    action: str
    facts: Facts


def must_be_approved(desk: Desk, ticket: Ticket) -> bool:
    """Say whether a second agent has to approve what the caller writes in a ticket."""
    return desk.me.supervised or desk.roster.queue(ticket.queue).approval


def record(
    desk: Desk, wanted: str, letter: Letter, *, seen: str, then: Then | None = None, force: bool = False,
    draft: bool = False,
) -> Recorded:  # fmt: skip
    """Record a message in the ticket ``wanted`` (a full number), or, where it must be approved, as a draft.

    ``seen`` is the last event of the ticket that the writer knew. Raises ``Conflict`` where somebody wrote or acted
    since, or works on it (``force`` goes on, and the event says so), ``UsageError`` where nobody would get it.
    """
    letter = replace(letter, body=_text(letter.body))
    with desk.recording() as (write, entries):
        ticket = desk.known(wanted)
        check_seen(desk, ticket, seen, force)
        if draft or must_be_approved(desk, ticket):
            entries.append(_draft(desk, write, ticket, letter))
        else:
            facts = acts.check_lock(desk, letter.kind, ticket, force) | (
                {"About": letter.draft} if letter.draft else {}
            )
            if not force:
                _check_repeated(desk, ticket, letter)
            if force and _news(desk, ticket, seen):
                facts["Force"] = "yes"
            if _takes(desk, ticket, letter):
                entries.append(done(desk, write, ticket, "take", acts.owned_by(desk, desk.me.handle)(ticket)))
                ticket = acts.after(entries)
            entries.append(_message(desk, write, ticket, letter, letter.kind, facts))
            if then:
                entries.append(_then(desk, write, acts.after(entries), then))
        event = next(e.event for e in entries if e.event.action in ("draft", letter.kind))
    return Recorded(acts.after(entries), event)


def _text(body: str) -> str:
    """Return a text as it can be sent: the article is to say what goes out."""
    return clean(body).replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff")


def begin(desk: Desk, about: Ticket, letter: Letter, draft: bool) -> Recorded:
    """Write to somebody first: record a ticket, whose requester they are, and the message in it.

    ``about`` is what the ticket was thought to become: the number, which another may have got in the meantime, its
    queue and title. Where it must be approved, the message is a draft.
    """
    with desk.recording() as (write, entries):
        first, queue = next(iter(letter.everybody), None), desk.roster.queue(about.queue)
        entries.append(acts.begin(desk, write, queue, about.title or "", "", first, take=True))
        ticket = acts.after(entries)
        body = _text(letter.body).replace(about.number, ticket.number)
        letter = replace(letter, subject=letters.with_hook(desk, ticket, letter.subject), body=body)
        if draft or must_be_approved(desk, ticket):
            entries.append(_draft(desk, write, ticket, letter))
        else:
            salt = entries[-1].salts
            entries.append(_message(desk, write, ticket, letter, letters.REPLY, {}, salt))
    return Recorded(acts.after(entries), entries[-1].event)


def redirect(desk: Desk, wanted: str, end: str, to: tuple[Address, ...], *, seen: str, force: bool = False) -> Recorded:
    """Send a mail on as it came, to somebody else whose matter it is (RFC 5322 section 3.6.6)."""
    with desk.recording() as (write, entries):
        ticket = desk.known(wanted)
        check_seen(desk, ticket, seen, force)
        mail = letters.answered(desk, ticket, end)
        if mail is None:
            raise UsageError(f"nothing came in that could be redirected in {wanted}", f"vrt show {wanted}")
        by = letters.sender(desk, desk.roster.queue(ticket.queue), mail)
        message_id = compose.new_message_id(desk.roster.desk.domain)
        raw = compose.redirect(desk.original(mail), by, to, message_id, desk.now)
        subject = str((mail.front or {}).get("subject") or "")
        letter = Letter("redirect", to, subject, answers=mail.event.id)
        facts = acts.check_lock(desk, "redirect", ticket, force) | {"About": mail.event.id}
        facts |= {"Message-Ref": desk.keyring.ref("message", keyring.message_value(message_id))}
        front = front_of(by, letter, message_id, "", (), raw)
        entries.append(send(desk, write, ticket, "redirect", facts, front, "", raw))
    return Recorded(acts.after(entries), entries[-1].event)


def _check_repeated(desk: Desk, ticket: Ticket, letter: Letter) -> None:
    """A message equal to the caller's last in a ticket was most likely recorded by a call that was cut off."""
    messages = dispatch.messages(desk.index.events(ticket.number))
    mine = [a for a in desk.index.articles(ticket.number)
            if a.event.agent == desk.me.handle and a.event.action == letter.kind]  # fmt: skip
    if not mine or messages[mine[-1].event.id].state in (dispatch.CANCELLED, dispatch.SETTLED):
        return
    to = [p.address for name in ("to", "cc", "bcc") for p in letters.people(mine[-1].front, name)]
    if mine[-1].body == letter.body.strip() and to == [p.address for p in letter.everybody]:
        raise Conflict(
            f"your last message in {ticket.number} says the same: {mine[-1].event.id}",
            f"vrt show {ticket.number}, or --force sends it once more",
        )


def _takes(desk: Desk, ticket: Ticket, letter: Letter) -> bool:
    """Say whether whoever replies becomes the owner: of what nobody works on."""
    return letter.kind == letters.REPLY and ticket.state in UNCLOSED and not ticket.locked(desk.now)


def _then(desk: Desk, write: Write, ticket: Ticket, then: Then) -> Entry:
    acts.check_state(desk, then.action, ticket)
    return done(desk, write, ticket, then.action, then.facts)


def _news(desk: Desk, ticket: Ticket, seen: str) -> list[Event]:
    """Return what others did in a ticket after the event ``seen``; mail is others' whoever received it."""
    events = desk.index.events(ticket.number)
    known = next((i for i, e in enumerate(events) if e.id == seen), len(events))
    return [
        e
        for e in events[known + 1 :]
        if (e.agent != desk.me.handle and e.action not in dispatch.BY_SENDER) or e.action == "receive"
    ]


def check_seen(desk: Desk, ticket: Ticket, seen: str, force: bool) -> None:
    """Raise ``Conflict`` where a ticket is no more what the writer saw."""
    if ticket.state == MERGED:
        raise Conflict(f"{ticket.number} is merged into {ticket.merged_into}", f"vrt reply {ticket.merged_into}")
    if (news := _news(desk, ticket, seen)) and not force:
        said = ", ".join(f"{e.agent}: {e.action}" for e in news[-3:])
        raise Conflict(
            f"{ticket.number} has changed since you saw it ({said})", f"vrt show {ticket.number}, or --force"
        )


# --- what is recorded -----------------------------------------------------------------------------------


def done(desk: Desk, write: Write, ticket: Ticket, action: str, facts: Facts) -> Entry:
    """Add the event of an act in which nothing is said."""
    event = desk.event(action, ticket.number, facts)
    acts.check(desk, ticket, event)
    return acts.add(write, ticket, event)


def _draft(desk: Desk, write: Write, ticket: Ticket, letter: Letter) -> Entry:
    if ticket.draft and letter.draft != ticket.draft:
        raise Conflict(
            f"{ticket.number} has a draft by {ticket.draft_by} already",
            f"vrt draft {ticket.number} continues it, vrt draft {ticket.number} --discard drops it",
        )
    facts = {"Kind": letter.kind} | ({"About": letter.draft} if letter.draft else {})
    event = desk.event("draft", ticket.number, facts)
    acts.check(desk, ticket, event)
    message_id = compose.new_message_id(desk.roster.desk.domain)
    raw, front = written(desk, ticket, letter, message_id)
    del front["message_id"]  # it gets one when it goes out
    return acts.say(desk, write, ticket, event, {"kind": letter.kind} | front, letter.body, original=raw)


def _message(
    desk: Desk, write: Write, ticket: Ticket, letter: Letter, action: str, facts: Facts, salts: tuple[bytes, ...] = ()
) -> Entry:
    if not letter.everybody:
        raise UsageError("there is nobody to write to", "name somebody with --to")
    message_id = compose.new_message_id(desk.roster.desk.domain)
    raw, front = written(desk, ticket, letter, message_id)
    facts = facts | _refs(desk, letter, message_id, salts or desk.index.salts(ticket.number))
    return send(desk, write, ticket, action, facts, front, letter.body, raw)


def send(
    desk: Desk, write: Write, ticket: Ticket, action: str, facts: Facts, front: dict[str, Any], body: str, raw: bytes
) -> Entry:
    """Add the event of a message that goes out: ``raw``, which its Sender gets the key of."""
    by = autoreply.sends(desk)
    if by is None:
        raise NotFound("no card of this desk sends mail for you", "vrt agent list --role mailer")
    event = desk.event(action, ticket.number, facts | {"Sender": by.handle})
    acts.check(desk, ticket, event)
    return acts.say(desk, write, ticket, event, front, body, original=raw, sender=by)


def _refs(desk: Desk, letter: Letter, message_id: str, salts: Sequence[bytes]) -> Facts:
    """Return the refs of a message: its id, and those who become parties by it, which nobody does by a forward."""
    facts = {"Message-Ref": desk.keyring.ref("message", keyring.message_value(message_id))}
    if letter.kind == letters.REPLY and salts:
        got = [
            desk.keyring.ref("sender", keyring.sender_value(s, p.address))
            for p in (*letter.to, *letter.cc)
            for s in salts
        ]
        facts["Sender-Ref"] = " ".join(dict.fromkeys(got))
    return facts


def written(desk: Desk, ticket: Ticket, letter: Letter, message_id: str) -> tuple[bytes, dict[str, Any]]:
    """Return a message as it goes out, and the front matter of its article."""
    queue = desk.roster.queue(ticket.queue)
    mail = letters.mail_of(desk, ticket, letter)
    by, (in_reply_to, refers) = letters.sender(desk, queue, mail, letter.author), letters.ids(desk, ticket, letter)
    if len(letter.files) > _MOST_FILES:
        raise UsageError(f"{len(letter.files)} files are too many for one message", "put them into one archive")
    # What is forwarded stands there as it came: nobody wrote it as Markdown.
    out = Outgoing(
        by, letter.to, letter.subject, letter.body.strip("\n") + "\n", message_id, desk.now, cc=letter.cc,
        bcc=letter.bcc, html=queue.html and letter.kind == letters.REPLY, language=queue.language, files=letter.files,
        in_reply_to=in_reply_to, refers=refers,
    )  # fmt: skip
    try:
        raw = compose.build(out)
    except ValueError as exc:
        raise UsageError(str(exc), "name somebody with --to") from None
    front = front_of(by, letter, message_id, in_reply_to, refers, raw)
    if letter.everybody and (what := ours.differs(raw, front, letter.body.strip())):  # never what verify would refuse
        raise UsageError(f"the {what} of this message cannot be sent as it is", "write it in plain text")
    return raw, front


def front_of(
    by: Address, letter: Letter, message_id: str, in_reply_to: str, refers: tuple[str, ...], raw: bytes
) -> dict[str, Any]:
    """Return the front matter of a message of ours; what it does not have is left out."""
    front: dict[str, Any] = {"from": [by._asdict()]}
    front |= {n: [p._asdict() for p in getattr(letter, n)] for n in ("to", "cc", "bcc") if getattr(letter, n)}
    front |= {"subject": fields.clean(letter.subject), "message_id": message_id}
    front |= {"in_reply_to": [in_reply_to]} if in_reply_to else {}
    front |= {"references": list(refers)} if refers else {}
    front |= {"answers": letter.answers} if letter.answers else {}
    if letter.files:
        front["attachments"] = [
            {
                "name": filename(f.name),
                "type": f.type,
                "size": len(f.data),
                "sha256": hashlib.sha256(f.data).hexdigest(),
            }
            for f in letter.files
        ]
    front["original_sha256"] = hashlib.sha256(raw).hexdigest()
    return front


# --- drafts ---------------------------------------------------------------------------------------------


def approve(desk: Desk, wanted: str, *, seen: str, then: Then | None = None, force: bool = False) -> Recorded:
    """Let the draft of a ticket go out as its author left it; raises ``Conflict`` where the caller is that author."""
    with desk.recording() as (write, entries):
        ticket = desk.known(wanted)
        letter = replace(letters.continued(desk, ticket), author=ticket.draft_by)
        if ticket.draft_by == desk.me.handle:
            raise Conflict(f"you wrote the draft of {wanted} yourself: somebody else approves it", f"vrt show {wanted}")
        check_seen(desk, ticket, seen, force)
        facts = acts.check_lock(desk, "approve", ticket, force) if ticket.owner != ticket.draft_by else {}
        facts |= {"About": ticket.draft, "Kind": letter.kind}
        entries.append(_message(desk, write, ticket, letter, "approve", facts))
        event = entries[-1].event
        if then:
            entries.append(_then(desk, write, acts.after(entries), then))
    return Recorded(acts.after(entries), event)


def discard(desk: Desk, number: str) -> Ticket:
    """Drop the draft of a ticket."""
    with desk.recording() as (write, entries):
        ticket = desk.known(number)
        entries.append(done(desk, write, ticket, "discard", {"About": ticket.draft}))
    return acts.after(entries)
