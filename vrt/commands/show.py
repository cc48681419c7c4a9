"""``vrt show``."""

from __future__ import annotations

import click

from vrt import dispatch, output, views
from vrt.cli import App
from vrt.commands import common
from vrt.commands.happened import done, is_past, marks
from vrt.commands.said import article
from vrt.errors import TryAgain
from vrt.model import Ticket
from vrt.storage import seen
from vrt.text import line


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
    events, sealed = index.events(t.number), "sealed: no key"
    try:
        articles = index.articles(t.number)
    except TryAgain as exc:
        output.warn(exc.message)
        articles, sealed = index.articles(t.number, here=True), "not here"
    if app.json:
        whole = views.tickets(app.desk, [t])[0]
        output.as_json(
            whole | {"events": [views.event(e) for e in events], "articles": [views.article(a) for a in articles]}
        )
        return
    said = {a.event.id: a for a in articles}
    messages = dispatch.messages(events)
    rows = [*head(app, t, sealed)]
    after_article = True
    for event in events:
        is_article = event.id in said and (full or not is_past(event, t))
        if event.action in ("sending", "sent"):
            continue  # said at the message
        if after_article and not is_article:
            rows.append("")
        if is_article:
            rows += article(said[event.id], full, sealed)
            rows += marks(app.desk, t, event, events, messages)
        else:
            rows.append(done(event))
        after_article = is_article
    output.page("\n".join(rows) + "\n")
    seen.look(index, t)


def head(app: App, t: Ticket, sealed: str) -> list[str]:
    """Return the lines that say what state a ticket is in; ``sealed`` stands for a title that is not open."""
    title = f"({sealed})" if t.title is None else line(t.title) or "(no subject)"
    facts = [f"{t.state}{f' as {t.outcome}' if t.outcome else ''} in {t.queue}"]
    if t.merged_into:
        facts.append(f"merged into {t.merged_into}")
    if t.undelivered:
        facts.append(output.paint(f"{len(t.undelivered)} undelivered", "red"))
    if t.unverified:
        facts.append(output.paint(f"{len(t.unverified)} unverified", "yellow"))
    if t.waiting_since:
        facts.append(f"waits {output.ago(t.waiting_since, app.desk.now)}")
        due = views.due(t, app.desk.roster.queues.get(t.queue))
        if due and due < app.desk.now:
            facts.append(output.paint("overdue", "red"))
    if t.owner:
        locked = f", locked until {output.clock(t.lock)}" if t.locked(app.desk.now) else ""
        facts.append(f"owner {t.owner}{locked}")
    if t.pending_until:
        then = f", then closed as {t.pending_outcome}" if t.pending_outcome else ""
        facts.append(f"pending until {output.clock(t.pending_until)}{then}")
    if t.priority != 3:
        facts.append(f"priority {t.priority}")
    if t.tags:
        facts.append(" ".join("+" + tag for tag in t.tags))
    rows = [output.paint(f"{app.desk.roster.desk.hook}{t.number}  {title}", "bold"), " · ".join(facts)]
    for number in app.desk.index.merged_into(t.number):
        merged = app.desk.index.ticket(number)
        title = line(merged.title or "") if merged else ""
        rows.append(output.paint(f"merged into it: {title}  vrt show {number}", "yellow"))
    for other in app.desk.index.linked(t):
        rows.append(output.paint(f"see also {other.number} ({other.state})  {line(other.title or '')}".rstrip(), "dim"))
    return rows
