"""``vrt outbox``."""

import click

from vrt import dispatch, outbox, output, post
from vrt.cli import App
from vrt.commands import common, posting
from vrt.commands.said import delivery, people
from vrt.storage.index import Article
from vrt.storage.outbox import Waiting, in_doubt, waiting
from vrt.text import line


@click.group(invoke_without_command=True)
@click.option("--all", "-a", "everyone", is_flag=True, help="Of all queues and senders, also those that are not mine.")
@common.with_app
def command(app: App, everyone: bool) -> None:
    """Show the messages that are not delivered: queued, in doubt, failed, bounced.

    \b
    vrt outbox
    vrt outbox retry 0081
    vrt outbox cancel 0081 5f3a91c2
    """
    if click.get_current_context().invoked_subcommand:
        return
    desk = app.desk
    mine = [w for w in waiting(desk.index) if everyone or _mine(app, w)]
    tries = post.Tries(desk)
    if app.json:
        output.as_json([_row(app, w, tries) for w in mine])
    elif mine:
        head = ("STATE", "TICKET", "EVENT", "SINCE", "BY", "SENDER", "TO", "WHY")
        cells = [_row(app, w, tries) for w in mine]
        rows = [
            (str(c["state"]), w.ticket, w.id[-8:], output.ago(w.since, desk.now), w.agent, w.sender,
             str(c["to"] or "(sealed)"), str(c["why"] or ""))
            for w, c in zip(mine, cells, strict=True)
        ]  # fmt: skip
        red = (dispatch.FAILED, dispatch.SENDING, dispatch.BOUNCED)
        output.page(output.table(head, rows, lambda i: ("red",) if mine[i].state in red else ()))
    else:
        output.tell("vrt: nothing waits to be delivered")


def _mine(app: App, message: Waiting) -> bool:
    """Say whether a message is mine to look after: of my queues, or for me to send."""
    ticket = app.desk.index.ticket(message.ticket)
    return message.sender == app.desk.me.handle or bool(ticket and ticket.queue in app.desk.me.queues)


def _row(app: App, message: Waiting, tries: post.Tries) -> dict[str, object]:
    from vrt.views import when

    said = {a.event.id: a for a in app.desk.index.articles(message.ticket, here=True)}
    about = said[message.id]
    reports = [a for a in said.values() if a.event.trailers.get("About") == message.id and a.front]
    state = message.state
    if state == dispatch.SENDING and in_doubt(app.desk.me.handle, app.desk.now, message.sender, message.since):
        state = "in doubt"
    return {
        "state": state, "ticket": message.ticket, "event": message.id, "since": when(message.since),
        "agent": message.agent, "sender": message.sender, "to": people(about.front, "to") if about.front else None,
        "next": when(tries.next(message.id)), "why": _why(reports[-1]) if reports else _waits(app, message, tries),
    }  # fmt: skip


def _waits(app: App, message: Waiting, tries: post.Tries) -> str | None:
    """Return what a queued message waits for, None where nobody tried it yet."""
    said = [e.trailers["Status"] for e in app.desk.index.events(message.ticket)
            if e.action == "deferred" and e.trailers["About"] == message.id]  # fmt: skip
    next_, free = tries.next(message.id), post.free_at(app.desk, message)
    if message.state == dispatch.QUEUED and free > app.desk.now:
        return f"goes out in {output.ago(app.desk.now, free)}"
    if message.state != dispatch.QUEUED or not (said or next_):
        return None
    why = f"put off ({said[-1]})" if said else "the server cannot be reached"
    return why + (f", again after {output.clock(next_)}" if next_ else "")


def _why(report: Article) -> str:
    """Return why a message was not delivered: the reason in a report, or what the server said."""
    found = (report.front or {}).get("report")
    return (delivery(found) if isinstance(found, dict) else line(report.body or ""))[:200]


@command.command()
@common.ticket
@click.argument("event", default="")
@common.with_app
def retry(app: App, ticket: str, event: str) -> None:
    """Send a message again that failed, bounced, or may not have been delivered.

    Of one in doubt the recipient may get two, and of one that came back all others get it again: only you can decide.
    """
    desk, number = app.desk, app.desk.resolve(ticket)
    states = (dispatch.FAILED, dispatch.BOUNCED, dispatch.SENDING)
    with posting.alone(app):  # what is being sent in this moment is in no doubt
        t, about = outbox.settle(desk, "retry", number, event, states)
    post.Tries(desk).forget(about)
    posting.try_now(app, t, about)


@command.command()
@common.ticket
@click.argument("event", default="")
@common.with_app
def cancel(app: App, ticket: str, event: str) -> None:
    """Do not send a message that is still queued; or be done with one that failed, bounced or is in doubt."""
    desk, number = app.desk, app.desk.resolve(ticket)
    with posting.alone(app):
        t, about = outbox.settle(desk, "cancel", number, event, dispatch.OPEN)
    post.Tries(desk).forget(about)
    announce(app, number, about)
    common.report(app, [t], lambda t: f"message {about[-8:]} is not sent again")


def announce(app: App, number: str, about: str) -> None:
    """Let the card that sends a message know that it is not to; raises ``Conflict`` where that was faster."""
    if not outbox.is_back(app.desk, number, about, post.publisher(app.desk, output.warn)):
        output.warn(f"{about[-8:]} is sent unless this gets out before: vrt sync")
