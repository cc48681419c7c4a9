"""``vrt list``."""

from __future__ import annotations

import click

from vrt import absence, output, views
from vrt.cli import App
from vrt.commands import common
from vrt.desk import ORDER
from vrt.errors import UsageError
from vrt.model import PENDING, Ticket
from vrt.storage import partial, seen
from vrt.storage.search import COUNTED

SORTS = {
    "urgent": ORDER,
    "waiting": "waiting_since = 0, waiting_since, number",
    "mine": f"owner <> '{{me}}', {ORDER}",
    "due": "pending_until = 0, pending_until, number",
    "newest": "created DESC, number DESC",
    "oldest": "created, number",
    "updated": "updated DESC, number DESC",
}


@click.command(cls=common.WordsCommand, context_settings=common.WORDS)
@click.argument("query", metavar="[QUERY]", nargs=-1, shell_complete=common.complete_query)
@click.option("--sort", type=click.Choice(list(SORTS)), default="urgent",
              help="Default: what was not delivered, then the most urgent, among them the longest waiting. "
                   "mine: what I own first. due: what is pending, by its time.")  # fmt: skip
@click.option("-n", "--limit", type=click.IntRange(min=0), metavar="COUNT",
              help="At most so many, 0 for all; default: a hundred for people, all for --json.")  # fmt: skip
@click.option("--watch", type=click.IntRange(min=1), is_flag=False, flag_value=2, metavar="[SECONDS]",
              help="Stay, and draw anew when the desk changes, looking every SECONDS (2); Ctrl-C ends it.")  # fmt: skip
@common.with_app
def command(app: App, query: tuple[str, ...], sort: str, limit: int | None, watch: int | None) -> None:
    """Show tickets: without a QUERY those in my queues that are not closed, the most
    urgent first, among them the longest waiting.

    QUERY narrows: state: queue: owner: tag: priority: outcome: after: before: age: is: and words, as in
    "vrt search". state:any shows all.

    Beside the state stand +2 (new since I looked), !1 (not delivered) and ?1 (unverified); a star after the owner
    means locked.

    \b
    vrt list
    vrt list queue:permissions-en is:overdue
    vrt list is:unread --watch
    vrt list state:closed after:2w --json
    """
    text, order = " ".join(query), SORTS[sort].format(me=app.desk.me.handle)
    if watch is not None:
        from vrt.commands import watching

        if app.json or not output.is_terminal():
            raise UsageError("--watch is for a terminal", "vrt list")
        watching.watch(app, text, order, watch, limit)
        return
    if limit is None:
        limit = 0 if app.json else 100
    found, total = app.desk.find(text, limit=limit or -1, mine=True, order=order)
    result(app, found)
    if app.json:
        return
    if total > len(found):
        output.tell(f"vrt: {more(total - len(found))}: vrt list -n 0, or narrow the query")
    elif not found:
        output.tell("vrt: nothing waits in your queues" if not query else "vrt: no ticket is like that")


def more(count: int) -> str:
    """Return how many tickets there are beyond those shown."""
    return f"{'over ' if count >= COUNTED else ''}{count:,} more"


def result(app: App, found: list[Ticket]) -> None:
    """Print tickets: as a table, or as JSON."""
    if app.json:
        output.as_json(views.tickets(app.desk, found))
    elif found:
        output.page(table(app, found))


def table(app: App, found: list[Ticket]) -> str:
    """Return tickets as a table."""
    desk = app.desk
    now, roster, away = desk.now, desk.roster, absence.absent(desk)
    news = seen.news(desk.index, desk.me.handle, (t.number for t in found))
    sealed = "not in this clone, or sealed" if partial.is_partial(desk.repository) else "sealed: no key"
    columns = {
        "NUMBER": [t.number for t in found],
        "WAITS": [output.ago(t.waiting_since, now) for t in found],
        "STATE": [_state(t, now, news.get(t.number, 0)) for t in found],
        "OWNER": [
            t.owner + ("*" if t.locked(now) else "") + (" (away)" if t.owner in away else "") for t in found
        ],
        "DRAFT": [t.draft_by for t in found],
        "QUEUE": [t.queue for t in found],
        "FROM": [_name(t) for t in found],
        "SUBJECT": [_about(t, sealed) for t in found],
    }  # fmt: skip
    for name in ("OWNER", "DRAFT"):
        if not any(columns[name]):
            del columns[name]
    if len(set(columns["QUEUE"])) == 1:
        del columns["QUEUE"]

    def style(i: int) -> tuple[str, ...]:
        t = found[i]
        due = views.due(t, roster.queues.get(t.queue))
        bold = ("bold",) if t.number in news else ()
        return (*bold, "red") if t.undelivered or (due and due < now) else bold

    return output.table(list(columns), list(zip(*columns.values(), strict=True)), style)


def _state(t: Ticket, now: int, news: int) -> str:
    """Return the state, for how long it is pending, the priority if it is not the usual one, and the marks."""
    state = t.state
    if t.state == PENDING:
        state = f"pending {_ahead(t.pending_until - now)}" if t.pending_until > now else "due"
    marks = [f"p{t.priority}"] if t.priority != 3 else []
    counts = (("!", len(t.undelivered)), ("?", len(t.unverified)), ("+", news))
    return " ".join([state, *marks, *(f"{mark}{count}" for mark, count in counts if count)])


def _ahead(span: int) -> str:
    """Return seconds as the nearest number of days, hours or minutes."""
    unit, name = next(((u, n) for u, n in ((86400, "d"), (3600, "h")) if span >= u), (60, "m"))
    return f"{round(span / unit)}{name}"


def _name(t: Ticket) -> str:
    """Return the requester's name, or the address where there is none; both where the name could be taken for one."""
    name, mark, address = (t.requester or "-").rpartition(" <")
    if "@" in name:  # a name that looks like an address, perhaps somebody else's
        return t.requester or ""
    return name if mark else address


def _about(t: Ticket, sealed: str) -> str:
    title = f"({sealed})" if t.title is None else t.title or "(no subject)"
    return " ".join([*(f"+{tag}" for tag in t.tags), title])
