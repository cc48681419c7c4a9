"""A message of ours before it goes out: to whom, about what, and the text that it begins with.

What is quoted is mail that came in, and of that only what was not said in confidence: no note, no draft, no answer to a
forward, and nothing of another ticket. Knows the desk, records nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from vrt import dispatch, fold, ledger
from vrt.desk import Desk
from vrt.errors import NotAllowed, NotFound, UsageError
from vrt.mail import citing, compose
from vrt.mail.compose import File
from vrt.model import Address, Queue, Ticket
from vrt.storage.index import Article
from vrt.text import lower

REPLY, FORWARD = "reply", "forward"
_MAIL = ("receive", "moved")
_MOST = 5  # addresses of a Reply-To that are answered unless somebody says so


@dataclass(frozen=True)
class Letter:
    """A message that is being written. ``kind``: reply or forward; ``body``: Markdown.

    ``answers`` is the event of the mail that it answers or forwards, ``draft`` that of the draft that it continues;
    ``author`` is the handle of whoever wrote it, where that is not the caller.
    """

    kind: str
    to: tuple[Address, ...]
    subject: str
    body: str = ""
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()
    files: tuple[File, ...] = ()
    answers: str = ""
    draft: str = ""
    author: str = ""

    @property
    def everybody(self) -> tuple[Address, ...]:
        """All who get it."""
        return (*self.to, *self.cc, *self.bcc)


# --- which mail, and who took part ------------------------------------------------------------------


def _gone(desk: Desk, ticket: Ticket) -> dict[str, str]:
    """Return the mails of a ticket that went to another, and to which."""
    return fold.moved(desk.index.events(ticket.number))


def _mails(desk: Desk, ticket: Ticket) -> list[Article]:
    """Return the mails of a ticket that are still there, oldest first."""
    gone = _gone(desk, ticket)
    return [a for a in desk.index.articles(ticket.number) if a.event.action in _MAIL and a.event.id not in gone]


def _open(ticket: Ticket, article: Article) -> bool:
    """Say whether what a mail says is the requester's to read: proven, and no answer to a forward."""
    return article.event.id not in ticket.unverified and "Internal" not in article.event.trailers


def named(desk: Desk, ticket: Ticket, end: str) -> Article:
    """Return the article whose event id ends in ``end``; raises ``NotFound``."""
    found = [a for a in desk.index.articles(ticket.number) if a.event.id.endswith(end)] if len(end) >= 4 else []
    if len(found) != 1:
        raise NotFound(f"no article of {ticket.number} ends in {end}", f"vrt show {ticket.number}")
    if found[0].front is None:
        raise NotAllowed(f"no key at hand opens {found[0].event.id}", "vrt agent list shows who is in its queue")
    return found[0]


def answered(desk: Desk, ticket: Ticket, end: str = "") -> Article | None:
    """Return the mail that a reply answers: the one named by the ``end`` of its id, else the last that a person wrote.

    None where nobody wrote: an agent began the ticket. Raises ``UsageError`` for what is not to be quoted.
    """
    if end:
        article = named(desk, ticket, end)
        if article.event.action not in _MAIL:
            raise UsageError(f"{article.event.id} is no mail that came in: it is never quoted", "name a mail")
        if goal := _gone(desk, ticket).get(article.event.id):
            raise UsageError(f"{article.event.id} went to {goal}", f"vrt show {goal}")
        if not _open(ticket, article):
            why = "unverified" if article.event.id in ticket.unverified else "an answer to a forward, and internal"
            raise UsageError(f"{article.event.id} is {why}", f"vrt show {ticket.number}")
        return article
    mails = [a for a in _mails(desk, ticket) if a.front is not None and _open(ticket, a)]
    people = [a for a in mails if a.event.trailers.get("Kind") in (None, "list")]
    others = [a for a in mails if a.event.trailers.get("Kind") != "bounce"]  # whose sender is no person
    return next(iter([*reversed(people), *reversed(others)]), None)


def mail_of(desk: Desk, ticket: Ticket, letter: Letter) -> Article | None:
    """Return the mail that a message answers or forwards."""
    return next((a for a in desk.index.articles(ticket.number) if a.event.id == letter.answers), None)


def people(front: dict[str, Any] | None, *names: str) -> list[Address]:
    """Return the addresses in fields of an article's front matter."""
    found = [a for n in names for a in (front or {}).get(n) or [] if isinstance(a, dict) and a.get("address")]
    return [Address(str(a.get("name") or ""), str(a["address"])) for a in found]


def _unique(found: Iterable[Address], but: Iterable[str] = ()) -> tuple[Address, ...]:
    """Return the addresses that mail can be sent to, each once, without those in ``but`` (lower case)."""
    seen = set(but)
    kept = []
    for person in found:
        try:
            address = compose.sendable(person.address)
        except ValueError:
            continue
        if lower(address) not in seen:
            seen.add(lower(address))
            kept.append(Address(person.name, address))
    return tuple(kept)


def _own(desk: Desk) -> set[str]:
    return {lower(a) for q in desk.roster.queues.values() for a in q.addresses}


def third_parties(desk: Desk, ticket: Ticket) -> set[str]:
    """Return the addresses, in lower case, that were only asked: who got a forward, and who answered one."""
    found: set[str] = set()
    for a in desk.index.articles(ticket.number):
        facts = a.event.trailers
        if a.event.action in (FORWARD, "redirect") or (a.event.action == "approve" and facts["Kind"] == FORWARD):
            found |= {lower(p.address) for p in people(a.front, "to", "cc", "bcc")}
        elif "Internal" in facts:
            found |= {lower(p.address) for p in people(a.front, "from", "reply_to")}
    return found


def known(desk: Desk, ticket: Ticket) -> set[str]:
    """Return the addresses, in lower case, of the parties: who wrote, as far as it is proven, and whom we wrote to."""
    taken_back = dispatch.taken_back(desk.index.events(ticket.number))
    found: set[str] = set()
    for a in desk.index.articles(ticket.number):
        kind = a.event.trailers.get("Kind")
        if a.event.id in taken_back:
            continue
        if a.event.action == "new":
            found |= {lower(p.address) for p in people(a.front, "from")}
        elif a.event.action == REPLY or (a.event.action == "approve" and kind == REPLY):
            found |= {lower(p.address) for p in people(a.front, "to", "cc")}
        elif a.event.action in _MAIL and _open(ticket, a) and kind != "bounce":
            found |= {lower(p.address) for p in people(a.front, "from")}  # Reply-To may name anybody
    return found


def strangers(desk: Desk, ticket: Ticket, letter: Letter) -> list[Address]:
    """Return who gets a message although they had no part in the ticket until now."""
    before = known(desk, ticket)
    return [p for p in letter.everybody if lower(p.address) not in before]


# --- how a message begins -----------------------------------------------------------------------------


def reply(desk: Desk, ticket: Ticket, end: str = "", everybody: bool = False) -> Letter:
    """Return a reply to the last mail of a ticket, or to the one named by ``end``; without text.

    With ``everybody`` its To and Cc are taken over, without our own addresses and those who were only asked. Raises
    ``UsageError`` where there is nobody to write to.
    """
    _readable(desk, ticket)
    mail = answered(desk, ticket, end)
    first = next((a for a in desk.index.articles(ticket.number) if a.event.action == "new"), None)
    own = _own(desk)
    source = mail or first
    to = _unique(people(source.front if source else None, "reply_to"), own)
    if len(to) > _MOST:
        raise UsageError(f"the mail wants its answer to go to {len(to)} addresses", "name some with --to")
    to = to or _unique(people(source.front if source else None, "from"), own)
    cc: tuple[Address, ...] = ()
    if everybody and mail:
        but = {lower(p.address) for p in to} | own | third_parties(desk, ticket)
        cc = _unique(people(mail.front, "to", "cc"), but)
    return Letter(REPLY, to, subject(desk, ticket, mail), cc=cc, answers=mail.event.id if mail else "")


def forward(desk: Desk, ticket: Ticket, to: tuple[Address, ...], end: str = "") -> Letter:
    """Return a forward of the last mail, or of the one named by ``end``, with its files; without text."""
    _readable(desk, ticket)
    mail = answered(desk, ticket, end)
    if mail is None:
        raise UsageError(f"nothing came in that could be forwarded in {ticket.number}", f"vrt show {ticket.number}")
    return Letter(FORWARD, to, subject(desk, ticket, mail, "Fwd"), files=files(desk, mail), answers=mail.event.id)


def continued(desk: Desk, ticket: Ticket) -> Letter:
    """Return the message that waits in a ticket as a draft; raises ``NotFound``, ``NotAllowed``."""
    if not ticket.draft:
        raise NotFound(f"{ticket.number} has no draft", f"vrt reply {ticket.number} --draft")
    return again(desk, named(desk, ticket, ticket.draft), ticket.draft)


def again(desk: Desk, article: Article, draft: str = "") -> Letter:
    """Return a draft, or a message that was taken back, as what it was when it was written."""
    front = article.front or {}
    kind = article.event.trailers.get("Kind") or article.event.action  # the event's word, not the article's
    return Letter(
        kind if kind == FORWARD else REPLY, tuple(people(front, "to")), str(front.get("subject") or ""),
        article.body or "", tuple(people(front, "cc")), tuple(people(front, "bcc")), files(desk, article),
        str(front.get("answers") or ""), draft,
    )  # fmt: skip


def _readable(desk: Desk, ticket: Ticket) -> None:
    if ticket.title is None:
        desk.index.articles(ticket.number)  # says so where it is not in this clone
        raise NotAllowed(f"no key at hand opens {ticket.number}", "vrt agent list shows who is in its queue")


def subject(desk: Desk, ticket: Ticket, mail: Article | None, prefix: str = "Re") -> str:
    """Return the subject of a message: the mail's, or the ticket's, behind the hook."""
    text = str((mail.front or {}).get("subject") or "") if mail else ticket.title or ""
    return citing.reply_subject(text, hook(desk, ticket), prefix if mail else "")


def with_hook(desk: Desk, ticket: Ticket, text: str) -> str:
    """Return a subject of one's own behind the hook."""
    return citing.reply_subject(text, hook(desk, ticket), "")


def hook(desk: Desk, ticket: Ticket) -> str:
    """Return the ticket's number as subjects carry it: ``[Ticket#2026112010000081]``."""
    return f"[{desk.roster.desk.hook}{ticket.number}]"


def files(desk: Desk, article: Article) -> tuple[File, ...]:
    """Return the attachments of an article that has an original."""
    from vrt.mail import parse

    if not article.eml or not (article.front or {}).get("attachments"):
        return ()
    return tuple(File(f.name, f.type, data) for f, data in parse.attachments(desk.original(article)))


# --- who writes -----------------------------------------------------------------------------------------


def sender(desk: Desk, queue: Queue, mail: Article | None, author: str = "") -> Address:
    """Return From: the queue's address that was written to, under the name that the queue says.

    Raises ``UsageError`` where the queue has no address.
    """
    if not queue.addresses:
        raise UsageError(f"{queue.name} has no address to write from", f"vrt queue set {queue.name} --address A")
    asked = {lower(p.address) for p in people(mail.front if mail else None, "to", "cc")}
    address = next((a for a in queue.addresses if lower(a) in asked), queue.addresses[0])
    return Address(signed(desk, queue, author), address)


def signed(desk: Desk, queue: Queue, author: str = "") -> str:
    """Return the name that mail of a queue appears under; ``author``: a handle, else the caller's."""
    title = queue.title or desk.roster.desk.name
    return f"{author or desk.me.handle} ({title})" if queue.signed_by == "agent" else title


def ids(desk: Desk, ticket: Ticket, letter: Letter) -> tuple[str, tuple[str, ...]]:
    """Return In-Reply-To and References of a message (RFC 5322 section 3.6.4).

    A forward names no id of the requester's: whoever gets it is to answer us.
    """
    if letter.kind == FORWARD:
        return "", ()
    said = desk.index.articles(ticket.number)
    mail = next((a for a in said if a.event.id == letter.answers and a.front), None)
    if mail and (mail.event.action not in _MAIL or not _open(ticket, mail)):  # the word of a colleague's draft
        mail = None
    ours = [a for a in said if a.event.action in ("reply", "approve") and a.event.trailers.get("Kind") != FORWARD]
    source = mail or next((a for a in reversed(ours) if a.front), None)
    if source is None or source.front is None:
        return "", ()
    message_id = str(source.front.get("message_id") or "")
    before = tuple(map(str, source.front.get("references") or source.front.get("in_reply_to") or ()))
    return message_id, compose.references(message_id, before)


# --- what it says -------------------------------------------------------------------------------------


def body(desk: Desk, ticket: Ticket, letter: Letter, text: str | None, template: str = "", quote: bool = True) -> str:
    """Return the text that a message begins with, or is.

    ``text`` alone stands for itself, above the queue's signature; else salutation, ``text``, ``template``, signature.
    Below, with ``quote``, the mail that is answered or forwarded. Raises ``NotFound`` for no such template.
    """
    queue = desk.roster.queue(ticket.queue)
    said = [text.strip("\n")] if text is not None else []
    said += [filled(desk, ticket, letter, template)] if template else []
    if text is None or template:
        said = [filled(desk, ticket, letter, "salutation"), *(said or [""])]
    said.append(filled(desk, ticket, letter, "signature"))
    mail = mail_of(desk, ticket, letter)
    if mail and quote:
        said.append(_quotation(letter, mail, queue))
    return "\n\n".join(said).strip("\n") + "\n"


def _quotation(letter: Letter, mail: Article, queue: Queue) -> str:
    front = mail.front or {}
    when = _when(str(front.get("date") or ""), mail.event.time)
    if letter.kind == FORWARD:
        return citing.forwarded(front | {"date": when}, mail.body or "", queue.language)
    who = next((p.name or p.address for p in people(front, "from")), "")
    return citing.quoted(mail.body or "", who, when, queue.language)


def _when(date: str, received: int) -> str:
    """Return when a mail was written, in UTC; when it came, where it does not say."""
    try:
        return ledger.for_people(int(datetime.fromisoformat(date).astimezone(timezone.utc).timestamp()))
    except (ValueError, OverflowError):
        return ledger.for_people(received)


def filled(desk: Desk, ticket: Ticket, letter: Letter, name: str) -> str:
    """Return a template filled in for a message: the desk's or a built-in one, in the queue's language."""
    from vrt import settings, templates  # jinja2 takes its time to load

    queue = desk.roster.queue(ticket.queue)
    found = templates.find(lambda words: settings.template(desk, words), name, queue.language, queue.name)
    values = templates.values(desk, ticket, queue.language, next(iter(letter.to), None), signed(desk, queue))
    return templates.fill(found, values).strip("\n")
