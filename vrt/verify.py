"""Everything checked: git's own consistency, the law on both branches, and every article against its place."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice

from vrt import keylaw, law, paths
from vrt.desk import Desk
from vrt.errors import Breach, VrtError
from vrt.mail import ours
from vrt.storage import crypt, history
from vrt.storage.articles import load
from vrt.storage.git import Heads
from vrt.storage.keyring import identity_of
from vrt.work import spread

POOL_FROM = 2000  # articles from which worker processes pay


@dataclass
class Report:
    """What was checked. ``breaches`` are sentences, each naming commit, rule and card, or an article."""

    events: int = 0
    keys: int = 0
    articles: int = 0
    sealed: int = 0
    unreadable: int = 0  # of the sealed, those of tickets in the caller's own queues
    breaches: list[str] = field(default_factory=list)


def verify(desk: Desk, *, articles: bool = True) -> Report:
    """Check the whole desk and return what was found; never raises for a breach."""
    report = Report()
    with ThreadPoolExecutor(1) as beside:
        fsck = beside.submit(desk.repository.run, "fsck", "--strict", "--no-dangling", "--no-progress")
        try:
            check_law(desk, desk.repository.heads(), report)
            if articles:
                _articles(desk, report)
                _approved(desk, report)
                _redirected(desk, report)
        except Breach as exc:
            report.breaches.append(exc.message)
        try:
            fsck.result()
        except VrtError as exc:
            report.breaches.append(f"git fsck: {exc.message}")
    return report


def check_law(desk: Desk, heads: Heads, report: Report) -> law.State:
    """Check both branches up to ``heads`` from their roots; raises ``Breach``. Counts go to ``report``."""
    state = law.State()
    if not heads.main:
        raise Breach("the ledger is missing")
    with desk.progress("checking the ledger", None) as show:
        for commit in history.commits(desk.repository, "", heads.main):
            law.check(state, commit)
            report.events += 1
            show(report.events)
    if not heads.keys:
        raise Breach("the keyring is missing")
    for commit in history.commits(desk.repository, "", heads.keys):
        keylaw.check(state, commit)
        report.keys += len(commit.changes)
    _names(desk, heads.keys)
    return state


def _names(desk: Desk, head: str) -> None:
    """Every file of the keyring has its own hash in its name."""
    files = list(desk.repository.added("", head))
    with desk.repository.reader() as reader:
        for (path, _), data in zip(files, reader.many(blob for _, blob in files), strict=True):
            key = paths.parse_key(path)
            if data is None or key is None or crypt.hash8(data) != key.hash8:
                out = desk.repository.run("log", "--format=%H by %an", "-1", head, "--", path).decode().strip()
                raise Breach(f"commit {out} breaks rule 9: {path} is not what its name says")


AGE_HEAD = b"age-encryption.org/v1\n"

Job = tuple[str, str, str | None, bytes, bytes]  # ticket, event id, identity, .md.age, .eml.age (may be empty)


def check_article(job: Job) -> str:
    """Return what is wrong with an article, or an empty string; runs in a worker."""
    ticket, event_id, secret, md, eml = job
    if not all(data.startswith(AGE_HEAD) for data in (md, eml) if data):
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


def _redirected(desk: Desk, report: Report) -> None:
    """What was redirected is the mail as it came, to whom the article says."""
    tickets = [str(t) for (t,) in desk.index.sql("SELECT DISTINCT ticket FROM event WHERE action = 'redirect'")]
    for ticket in tickets:
        said = {a.event.id: a for a in desk.index.articles(ticket) if a.key and a.front is not None}
        for a in [a for a in said.values() if a.event.action == "redirect"]:
            mail = said.get(a.event.trailers["About"])
            with suppress(VrtError):  # what cannot be opened is named elsewhere
                what = ours.redirected(desk.original(a), a.front or {}, desk.original(mail)) if mail else ""
                if what:
                    report.breaches.append(f"the {what} of {a.event.id} in {ticket} is not what its article says")


def _approved(desk: Desk, report: Report) -> None:
    """What was approved is what the draft said: to whom, about what, the text and the files."""
    query = (
        "SELECT e.id, d.id, a.front, a.body, b.front, b.body FROM event e JOIN article a ON a.seq = e.seq "
        "JOIN event d ON d.id = json_extract(e.trailers, '$.About') JOIN article b ON b.seq = d.seq "
        "WHERE e.action = 'approve' AND a.front IS NOT NULL AND b.front IS NOT NULL"
    )
    same = ("to", "cc", "bcc", "subject", "attachments", "answers")
    for approve, draft, front, body, was, text in desk.index.sql(query):
        new, old = json.loads(front), json.loads(was)
        if body != text or any(new.get(n) != old.get(n) for n in same):
            report.breaches.append(f"{approve} is not what the draft {draft} said")


def _articles(desk: Desk, report: Report) -> None:
    """Check every article that the keys at hand open; of the others only that they are sealed at all."""
    count, report.sealed = next(desk.index.sql("SELECT count(key), count(*) - count(key) FROM article"))
    marks = ", ".join("?" * len(desk.me.queues))
    query = (
        f"SELECT count(*) FROM article a JOIN ticket t ON t.number = a.ticket WHERE key IS NULL AND queue IN ({marks})"
    )
    ((report.unreadable,),) = desk.index.sql(query, desk.me.queues)
    with spread(count >= POOL_FROM) as work, desk.progress("checking the articles", count) as show:
        jobs = _jobs(desk)
        while run := list(islice(jobs, 1024)):
            report.breaches += [wrong for wrong in work(check_article, run) if wrong]
            report.articles += sum(job[2] is not None for job in run)
            show(report.articles)


def _jobs(desk: Desk) -> Iterator[Job]:
    query = "SELECT a.ticket, e.id, a.key, a.md, a.eml FROM article a JOIN event e ON e.seq = a.seq ORDER BY a.seq"
    with desk.repository.reader() as reader:
        rows = desk.index.sql(query)
        while some := list(islice(rows, 256)):
            names = [blob.hex() for row in some for blob in row[3:5] if blob]
            contents = iter(reader.many(names))
            for ticket, event_id, key, md, eml in some:
                data = [next(contents) if blob else b"" for blob in (md, eml)]
                if None in data:
                    raise Breach(f"the article {event_id} in {ticket} is missing from the desk")
                yield str(ticket), event_id, key, data[0] or b"", data[1] or b""
