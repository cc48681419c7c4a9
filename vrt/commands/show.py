"""``vrt show``."""

from __future__ import annotations

from typing import Any

import click

from vrt import ledger, output, views
from vrt.cli import App
from vrt.commands import common
from vrt.mail import quote
from vrt.model import Event, Ticket
from vrt.storage.index import Article
from vrt.text import line, shown

FOLD_FROM = 4  # lines of a quotation from which it is folded


@click.command()
@common.ticket
@click.option("--full", is_flag=True, help="Do not fold quotations and signatures.")
@common.with_app
def command(app: App, ticket: str, full: bool) -> None:
    """Show a ticket: its state, and everything said and done in order.

    Quotations and signatures are folded, never removed; --full shows them.

    \b
    vrt show 0081
    """
    show(app, app.desk.ticket(ticket), full)


def show(app: App, t: Ticket, full: bool = False) -> None:
    """Print a ticket as a whole."""
    index = app.desk.index
    events, articles = index.events(t.number), index.articles(t.number)
    if app.json:
        whole = views.ticket(t, app.desk.roster)
        output.as_json(
            whole | {"events": [views.event(e) for e in events], "articles": [views.article(a) for a in articles]}
        )
        return
    said = {a.event.id: a for a in articles}
    rows = [*head(app, t)]
    after_article = True
    for event in events:
        is_article = event.id in said
        if after_article and not is_article:
            rows.append("")
        rows += _article(said[event.id], full) if is_article else [done(event)]
        after_article = is_article
    output.page("\n".join(rows) + "\n")


def head(app: App, t: Ticket) -> list[str]:
    """Return the lines that say what state a ticket is in."""
    title = "(sealed: no key at hand opens this ticket)" if t.title is None else line(t.title) or "(no subject)"
    facts = [f"{t.state}{f' as {t.outcome}' if t.outcome else ''} in {t.queue}"]
    if t.waiting_since:
        facts.append(f"waits {output.ago(t.waiting_since, app.desk.now)}")
        due = views.due(t, app.desk.roster.queues.get(t.queue))
        if due and due < app.desk.now:
            facts.append(output.paint("overdue", "red"))
    if t.owner:
        locked = f", locked until {output.clock(t.lock)}" if t.locked(app.desk.now) else ""
        facts.append(f"owner {t.owner}{locked}")
    if t.pending_until:
        facts.append(f"pending until {output.clock(t.pending_until)}")
    if t.priority != 3:
        facts.append(f"priority {t.priority}")
    if t.tags:
        facts.append(" ".join("+" + tag for tag in t.tags))
    return [output.paint(f"{app.desk.roster.desk.hook}{t.number}  {title}", "bold"), " · ".join(facts)]


def done(event: Event) -> str:
    """Return the line that shows an event in which nothing was said."""
    return output.paint(f"· {output.clock(event.time)}  {event.agent}: {what(event)}", "dim")


def what(event: Event) -> str:
    """Return what an event did, for people: its subject without the number, times as people read them."""
    text = ledger.subject(event).replace(f" {event.ticket}", "", 1)
    if "Until" in event.trailers:
        text = f"{event.action} until {output.clock(ledger.unstamp(event.trailers['Until']))}"
    rule = f" by {event.trailers['Follow-Up']}" if "Follow-Up" in event.trailers else ""
    return text + rule + (" (forced)" if "Force" in event.trailers else "")


def people(front: dict[str, Any], name: str) -> str:
    """Return the addresses in a field of an article's front matter, safe, on one line."""
    found = [a for a in front.get(name) or [] if isinstance(a, dict)]
    texts = []
    for a in found:
        who, address = str(a.get("name") or ""), str(a.get("address") or "")
        texts.append(f"{who} <{address}>" if who and address else who or address)
    return line(", ".join(texts))


def _article(article: Article, full: bool) -> list[str]:
    event, front = article.event, article.front
    when = output.clock(event.time)
    if front is None:
        return ["", output.paint(f"── {event.action} · {when} · (sealed: no key)", "cyan")]
    label = "mail" if event.action == "receive" else event.action
    by = people(front, "from") or f"nobody named (received by {event.agent})"
    rows = [
        "",
        output.paint(
            f"── {label} from {by} · {when}" if label == "mail" else f"── {label} by {event.agent} · {when}", "cyan"
        ),
    ]
    if label != "mail" and people(front, "from"):
        rows.append(f"   From: {people(front, 'from')}")
    for name, title in (("to", "To"), ("cc", "Cc"), ("reply_to", "Reply-To")):
        if people(front, name):
            rows.append(output.paint(f"   {title}: {people(front, name)}", "dim"))
    if (
        front.get("date")
        and label == "mail"
        and _epoch(str(front["date"]))
        and abs(_epoch(str(front["date"])) - event.time) > 86400
    ):
        rows.append(output.paint(f"   Date: {output.clock(int(_epoch(str(front['date']))))}", "dim"))
    if front.get("subject") and "Follow-Up" in event.trailers:
        rows.append(output.paint(f"   Subject: {line(str(front['subject']))}", "dim"))
    rows += ["", *_body(article.body or "", full)]
    for i, file in enumerate(front.get("attachments") or [], 1):
        name = line(str(file.get("name") or "(unnamed)"))
        rows.append(
            output.paint(
                f"   [{i}] {name}  {line(str(file.get('type')))}, {output.size(int(file.get('size') or 0))}", "yellow"
            )
        )
    if front.get("defects"):
        rows.append(output.paint(f"   Defects: {line(', '.join(map(str, front['defects'])))}", "dim"))
    return rows


def _epoch(iso: str) -> float:
    from datetime import datetime

    try:
        return datetime.fromisoformat(iso).timestamp()
    except (ValueError, OverflowError):
        return 0


def _body(body: str, full: bool) -> list[str]:
    rows = []
    for kind, text in quote.blocks(body):
        lines = output.wrap(shown(text).rstrip("\n"), min(output.columns(), 100))
        if kind != "text" and not full and len(lines) >= FOLD_FROM:
            what = "of signature" if kind == "signature" else "quoted"
            rows.append(output.paint(f"[{len(lines)} lines {what}: --full shows them]", "dim"))
        else:
            rows += [output.paint(row, "dim") if kind != "text" else row for row in lines]
    return [row.rstrip() for row in rows] or [""]
