"""Everything checked: git's own consistency, the law on both branches, and every article against its place."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice

from vrt.desk import Desk
from vrt.errors import Breach, VrtError
from vrt.mail import ours
from vrt.storage import crypt, history, local, partial, remote
from vrt.storage.articles import load
from vrt.storage.facts import FILE, Facts
from vrt.storage.keyring import identity_of
from vrt.work import spread

POOL_FROM = 2000  # articles from which worker processes pay


@dataclass
class Report:
    """What was checked. ``breaches`` are sentences, each naming commit, rule and card, or an article."""

    since: int = 0  # the events that a call before had checked
    events: int = 0
    keys: int = 0
    articles: int = 0
    sealed: int = 0
    unreadable: int = 0  # of the sealed, those of tickets in the caller's own queues
    absent: int = 0  # not in this clone, which is a partial one
    breaches: list[str] = field(default_factory=list)


def verify(desk: Desk, *, articles: bool = True, full: bool = False) -> Report:
    """Check what is new since the last call, or with ``full`` the whole desk; never raises for a breach."""
    report = Report()
    new = full or not (desk.path / local.FOLDER / FILE).exists()
    with ThreadPoolExecutor(1) as beside:  # what was fetched since was looked at when it came
        options = partial.options(desk.repository)
        fsck = beside.submit(desk.repository.run, *_FSCK, options=options) if new else None
        try:
            check_law(desk, report, full=full)
            if articles:
                _articles(desk, report, full)
        except Breach as exc:
            report.breaches.append(exc.message)
        try:
            if fsck:
                fsck.result()
        except VrtError as exc:
            report.breaches.append(f"git fsck: {exc.message}")
    return report


_FSCK = ("fsck", "--full", "--strict", "--no-dangling", "--no-progress")


def check_law(desk: Desk, report: Report, *, full: bool = False) -> None:
    """Check both branches from where the last call left them, or from their roots; raises ``Breach``.

    What was found lawful is remembered as far as it is published: what is not may still be put on top of other events.
    """
    repository, heads = desk.repository, desk.repository.heads()
    facts = Facts(desk.path / local.FOLDER)
    try:
        if full:
            facts.forget()
        state = facts.state()
        report.since, key_head = state.place, state.key_head
        published = remote.seen(repository) if remote.url(repository) else heads
        with desk.progress("checking the ledger", None) as show:
            if published.main and published.keys and repository.is_ancestor(published.main, heads.main):
                history.follow(repository, state, published, show)
                history.check_root(desk.config.root, state.root)
                facts.save(state)
                state = facts.state()
            history.follow(repository, state, heads, show)
        history.check_root(desk.config.root, state.root)
    finally:
        report.events = state.place - report.since
        report.keys = sum(1 for _ in repository.added(key_head, heads.keys)) if heads.keys != key_head else 0
        facts.close()


Job = tuple[str, str, str | None, bytes, bytes]  # ticket, event id, identity, .md.age, .eml.age (may be empty)


def check_article(job: Job) -> str:
    """Return what is wrong with an article, or an empty string; runs in a worker."""
    ticket, event_id, secret, md, eml = job
    if not all(data.startswith(history.AGE_HEAD) for data in (md, eml) if data):
        return f"{event_id} in {ticket} is not sealed"
    if secret is None:
        return ""
    try:
        front, body = load(crypt.unseal(md, [identity_of(secret, "md")]))
    except (crypt.CannotOpen, ValueError):
        return f"{event_id} in {ticket} cannot be read"
    if (front.get("ticket"), front.get("event")) != (ticket, event_id):
        return f"{event_id} in {ticket} belongs elsewhere: it says {front.get('event')} in {front.get('ticket')}"
    if eml:
        try:
            raw = crypt.unseal(eml, [identity_of(secret, "eml")])
        except crypt.CannotOpen:
            return f"the original of {event_id} in {ticket} cannot be read"
        if hashlib.sha256(raw).hexdigest() != front.get("original_sha256"):
            return f"the original of {event_id} in {ticket} is not the one that the article names"
        action = str(front.get("action"))
        if action in _OURS and (what := ours.differs(raw, front, body, action == "auto-reply")):
            return f"the {what} of {event_id} in {ticket} is not what its article says"
    return ""


_OURS = ("draft", "reply", "forward", "approve", "auto-reply")  # what is composed here, and read in the article


def _redirected(desk: Desk, report: Report, since: int) -> None:
    """What was redirected is the mail as it came, to whom the article says."""
    query = "SELECT DISTINCT ticket FROM event WHERE action = 'redirect' AND seq > ?"
    tickets = [str(t) for (t,) in desk.index.sql(query, [since])]
    for ticket in tickets:
        said = {a.event.id: a for a in desk.index.articles(ticket, here=True) if a.key and a.front is not None}
        for a in [a for a in said.values() if a.event.action == "redirect"]:
            mail = said.get(a.event.trailers["About"])
            with suppress(VrtError):  # what cannot be opened is named elsewhere
                what = ours.redirected(desk.original(a), a.front or {}, desk.original(mail)) if mail else ""
                if what:
                    report.breaches.append(f"the {what} of {a.event.id} in {ticket} is not what its article says")


def _approved(desk: Desk, report: Report, since: int) -> None:
    """What was approved is what the draft said: to whom, about what, the text and the files."""
    query = (
        "SELECT e.id, d.id, a.front, a.body, b.front, b.body FROM event e JOIN article a ON a.seq = e.seq "
        "JOIN event d ON d.id = json_extract(e.trailers, '$.About') JOIN article b ON b.seq = d.seq "
        "WHERE e.action = 'approve' AND e.seq > ? AND a.front IS NOT NULL AND b.front IS NOT NULL"
    )
    same = ("to", "cc", "bcc", "subject", "attachments", "answers")
    for approve, draft, front, body, was, text in desk.index.sql(query, [since]):
        new, old = json.loads(front), json.loads(was)
        if body != text or any(new.get(n) != old.get(n) for n in same):
            report.breaches.append(f"{approve} is not what the draft {draft} said")


def _articles(desk: Desk, report: Report, full: bool) -> None:
    """Check every article that the keys at hand open; of the others only that they are sealed at all.

    Unless ``full``, those that a call before has checked are left out, if no key has opened more of them since.
    """
    index = desk.index
    place, opened = index.meta("checked") or (0, 0)
    since = place if not full and opened == index.opened(place) else 0
    query = "SELECT count(key), count(*) - count(key) FROM article WHERE seq > ?"
    count, report.sealed = next(index.sql(query, [since]))
    marks = ", ".join("?" * len(desk.me.queues))
    query = (
        f"SELECT count(*) FROM article a JOIN ticket t ON t.number = a.ticket WHERE key IS NULL AND queue IN ({marks})"
    )
    ((report.unreadable,),) = index.sql(query, desk.me.queues)
    report.unreadable -= partial.unseen(desk.repository, index, desk.me.queues)
    report.sealed -= partial.unseen(desk.repository, index, since=since)
    report.absent = partial.unseen(desk.repository, index)
    with spread(count >= POOL_FROM) as work, desk.progress("checking the articles", count) as show:
        jobs = _jobs(desk, since)
        while run := list(islice(jobs, 1024)):
            report.breaches += [wrong for wrong in work(check_article, run) if wrong]
            report.articles += sum(job[2] is not None for job in run)
            show(report.articles)
    _approved(desk, report, since)
    _redirected(desk, report, since)
    if not report.breaches:
        index.set_checked(index.last())


def _jobs(desk: Desk, since: int) -> Iterator[Job]:
    query = (
        "SELECT a.ticket, e.id, a.key, a.md, a.eml FROM article a JOIN event e ON e.seq = a.seq WHERE a.seq > ? "
        "ORDER BY a.seq"
    )
    lean = partial.is_partial(desk.repository)
    with desk.repository.reader() as reader:
        rows = desk.index.sql(query, [since])
        while some := list(islice(rows, 256)):
            names = [blob.hex() for row in some for blob in row[3:5] if blob]
            contents = iter(reader.many(names))
            for ticket, event_id, key, md, eml in some:
                data = [next(contents) if blob else b"" for blob in (md, eml)]
                if None in data and lean:
                    continue  # not in this clone
                if None in data:
                    raise Breach(f"the article {event_id} in {ticket} is missing from the desk")
                yield str(ticket), event_id, key, data[0] or b"", data[1] or b""
