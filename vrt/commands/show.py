"""``vrt show``."""

from __future__ import annotations

import click

from vrt import ledger, output, views
from vrt.cli import App
from vrt.commands import common
from vrt.commands.said import article
from vrt.model import Event, Ticket
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
        if is_article:
            rows += article(said[event.id], full)
            rows += _doubt(t, event) if event.id in t.unverified else []
            rows += _gone(events, event) + _reported(events, event)
        else:
            rows.append(done(event))
        after_article = is_article
    output.page("\n".join(rows) + "\n")


def head(app: App, t: Ticket) -> list[str]:
    """Return the lines that say what state a ticket is in."""
    title = "(sealed: no key at hand opens this ticket)" if t.title is None else line(t.title) or "(no subject)"
    facts = [f"{t.state}{f' as {t.outcome}' if t.outcome else ''} in {t.queue}"]
    if t.merged_into:
        facts.append(f"merged into {t.merged_into}")
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
        facts.append(f"pending until {output.clock(t.pending_until)}")
    if t.priority != 3:
        facts.append(f"priority {t.priority}")
    if t.tags:
        facts.append(" ".join("+" + tag for tag in t.tags))
    return [output.paint(f"{app.desk.roster.desk.hook}{t.number}  {title}", "bold"), " · ".join(facts)]


def _doubt(t: Ticket, event: Event) -> list[str]:
    """Return what is in doubt about an unverified mail, and what can be done."""
    why = _DOUBTS.get(event.trailers.get("Unverified", ""), "")
    end = event.id[-8:]
    return [
        "",
        output.paint(f"   UNVERIFIED: {why}", "red"),
        output.paint(f"   vrt accept {t.number} {end}, or vrt split {t.number} {end}", "dim"),
    ]


def _gone(events: list[Event], event: Event) -> list[str]:
    """Return where an article went that was moved to another ticket."""
    goals = [e.trailers["Into"] for e in events if e.action == "move" and e.trailers["About"] == event.id]
    return [output.paint(f"   moved to {goal}", "yellow") for goal in goals]


def _reported(events: list[Event], event: Event) -> list[str]:
    """Return what reports say of the delivery of a message of ours."""
    about = [e for e in events if "Report" in e.trailers and e.trailers.get("About") == event.id]
    colours = {"failed": "red", "delayed": "yellow"}
    said = [(e.trailers["Report"], e.id[-8:]) for e in about]
    return [output.paint(f"   {kind.upper()}, says the report {end}", colours.get(kind, "dim")) for kind, end in said]


_DOUBTS = {
    "stranger": "the sender has had no part in this ticket, whatever the mail says",
    "failed": "a trusted check says that the sender is forged",
    "unclear": "who sent it is not clear",
}


def done(event: Event) -> str:
    """Return the line that shows an event in which nothing was said."""
    return output.paint(f"· {output.clock(event.time)}  {event.agent}: {what(event)}", "dim")


def what(event: Event) -> str:
    """Return what an event did, for people: its subject without the number, times as people read them."""
    text = ledger.subject(event).replace(f" {event.ticket}", "", 1)
    if "Until" in event.trailers:
        text = f"{event.action} until {output.clock(ledger.unstamp(event.trailers['Until']))}"
    facts = event.trailers
    said = [f" by {facts['Follow-Up']}"] if "Follow-Up" in facts else []
    said += [f" of {facts['About'][-8:]}"] if "About" in facts else []
    said += [f" beside {facts['Link']}"] if "Link" in facts else []
    said += [f" from {facts['From']}"] if "From" in facts else []
    notes = [facts[n] for n in ("Kind", "Report") if n in facts]
    notes += [f"unverified: {facts['Unverified']}"] if "Unverified" in facts else []
    notes += ["kept, not reopened"] if "Rejected" in facts else []
    notes += [f"no automatic reply: {facts['Suppressed']}"] if "Suppressed" in facts else []
    notes += ["forced"] if "Force" in facts else []
    return text + "".join(said) + (f" ({', '.join(notes)})" if notes else "")
