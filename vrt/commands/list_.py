"""``vrt list``."""

import click

from vrt import output, views
from vrt.cli import App
from vrt.commands import common
from vrt.model import Ticket

SORTS = {
    "waiting": "waiting_since = 0, waiting_since, number",
    "newest": "created DESC, number DESC",
    "oldest": "created, number",
    "updated": "updated DESC, number DESC",
    "priority": "priority DESC, waiting_since = 0, waiting_since, number",
}


@click.command()
@click.argument("query", metavar="[QUERY]", nargs=-1, shell_complete=common.complete_query)
@click.option("--sort", type=click.Choice(list(SORTS)), default="waiting", help="Default: longest waiting first.")
@click.option("-n", "--limit", type=click.IntRange(min=0), metavar="COUNT",
              help="At most so many, 0 for all; default: a hundred for people, all for --json.")  # fmt: skip
@common.with_app
def command(app: App, query: tuple[str, ...], sort: str, limit: int | None) -> None:
    """Show tickets: without a QUERY those in my queues that are not closed, longest waiting first.

    QUERY narrows: state: queue: owner: tag: priority: outcome: after: before: age: is: and words, as in
    "vrt search". state:any shows all.

    \b
    vrt list
    vrt list queue:permissions-en is:overdue
    vrt list state:closed after:2w --json
    """
    if limit is None:
        limit = 0 if app.json else 100
    found, total = app.desk.find(" ".join(query), limit=limit or -1, mine=True, order=SORTS[sort])
    if app.json:
        output.as_json([views.ticket(t, app.desk.roster) for t in found])
        return
    show(app, found)
    if total > len(found):
        output.tell(f"vrt: {total - len(found):,} more: vrt list -n 0, or narrow the query")
    elif not found:
        output.tell("vrt: nothing waits in your queues" if not query else "vrt: no ticket is like that")


def show(app: App, found: list[Ticket]) -> None:
    """Print tickets as a table."""
    if not found:
        return
    now, roster = app.desk.now, app.desk.roster
    rows = []
    for t in found:
        who = t.owner + ("*" if t.locked(now) else "") if t.owner else "-"
        state = t.state if t.priority == 3 else f"{t.state} p{t.priority}"
        about = "(sealed: no key)" if t.title is None else t.title or "(no subject)"
        rows.append((t.number, output.ago(t.waiting_since, now), state, who, t.queue, t.requester or "-", about))

    def style(i: int) -> tuple[str, ...]:
        t = found[i]
        due = views.due(t, roster.queues.get(t.queue))
        return ("red",) if due and due < now else ("bold",) if t.state == "new" else ()

    output.page(output.table(("NUMBER", "WAITS", "STATE", "OWNER", "QUEUE", "FROM", "SUBJECT"), rows, style))
