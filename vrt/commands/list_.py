"""``vrt list``."""

import click

from vrt import output, views
from vrt.cli import App
from vrt.commands import common
from vrt.desk import ORDER
from vrt.model import Ticket
from vrt.storage.search import COUNTED

SORTS = {
    "urgent": ORDER,
    "waiting": "waiting_since = 0, waiting_since, number",
    "newest": "created DESC, number DESC",
    "oldest": "created, number",
    "updated": "updated DESC, number DESC",
}


@click.command(cls=common.WordsCommand, context_settings=common.WORDS)
@click.argument("query", metavar="[QUERY]", nargs=-1, shell_complete=common.complete_query)
@click.option("--sort", type=click.Choice(list(SORTS)), default="urgent",
              help="Default: the most urgent first, among them the longest waiting.")  # fmt: skip
@click.option("-n", "--limit", type=click.IntRange(min=0), metavar="COUNT",
              help="At most so many, 0 for all; default: a hundred for people, all for --json.")  # fmt: skip
@common.with_app
def command(app: App, query: tuple[str, ...], sort: str, limit: int | None) -> None:
    """Show tickets: without a QUERY those in my queues that are not closed, the most
    urgent first, among them the longest waiting.

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
        over = "over " if total - len(found) >= COUNTED else ""
        output.tell(f"vrt: {over}{total - len(found):,} more: vrt list -n 0, or narrow the query")
    elif not found:
        output.tell("vrt: nothing waits in your queues" if not query else "vrt: no ticket is like that")


def show(app: App, found: list[Ticket]) -> None:
    """Print tickets as a table."""
    if not found:
        return
    now, roster = app.desk.now, app.desk.roster
    columns = {
        "NUMBER": [t.number for t in found],
        "WAITS": [output.ago(t.waiting_since, now) for t in found],
        "STATE": [_state(t) for t in found],
        "OWNER": [t.owner + ("*" if t.locked(now) else "") for t in found],
        "QUEUE": [t.queue for t in found],
        "FROM": [_name(t) for t in found],
        "SUBJECT": [_about(t) for t in found],
    }
    if not any(columns["OWNER"]):
        del columns["OWNER"]
    if len(set(columns["QUEUE"])) == 1:
        del columns["QUEUE"]
    rows = list(zip(*columns.values(), strict=True))

    def style(i: int) -> tuple[str, ...]:
        t = found[i]
        due = views.due(t, roster.queues.get(t.queue))
        return ("red",) if due and due < now else ("bold",) if t.state == "new" else ()

    output.page(output.table(list(columns), rows, style))


def _state(t: Ticket) -> str:
    """Return the state, the priority if it is not the usual one, and how much is unverified."""
    priority = f" p{t.priority}" if t.priority != 3 else ""
    return f"{t.state}{priority}{f' ?{len(t.unverified)}' if t.unverified else ''}"


def _name(t: Ticket) -> str:
    """Return the requester's name, or the address where there is none; both where the name could be taken for one."""
    name, mark, address = (t.requester or "-").rpartition(" <")
    if "@" in name:  # a name that looks like an address, perhaps somebody else's
        return t.requester or ""
    return name if mark else address


def _about(t: Ticket) -> str:
    title = "(sealed: no key)" if t.title is None else t.title or "(no subject)"
    return " ".join([*(f"+{tag}" for tag in t.tags), title])
