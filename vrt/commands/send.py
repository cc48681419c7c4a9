"""``vrt send``."""

import click

from vrt import output, post
from vrt.cli import App
from vrt.commands import common
from vrt.post import Posted
from vrt.text import line

_CODES = {"deferred": 75, "failed": 1, "in doubt": 1}


@click.command()
@click.option("-v", "--verbose", is_flag=True, help="Say also how many were sent.")
@common.with_app
def command(app: App, verbose: bool) -> int:
    """Hand over the messages that wait for me, for cron; on a mailer node, those that agents queued for it.

    What a server does not take now is tried again later and later; what it never takes is shown in list and show, as is
    what may or may not have been taken when a machine stopped: that is never sent again by itself. Quiet where nothing
    went wrong. Exit 75 where something waits for a server, 1 where somebody has to look: vrt outbox.

    \b
    vrt send
    */5 * * * * vrt -C /srv/desk send
    """
    done: list[Posted] = []
    with output.progress("sending", None) as show:
        for one in post.send(app.desk, post.publisher(app.desk, output.warn)):
            done.append(one)
            show(len(done))
    if app.json:
        output.as_json([_row(one) for one in done])
    for one in done:
        if one.outcome in _CODES:
            output.warn(_said(one))
    sent = sum(one.outcome == "sent" for one in done)
    if sent and not app.json and (verbose or output.is_terminal()):
        output.out(f"{output.plural(sent, 'message', 'messages')} sent")
    codes = {_CODES.get(one.outcome, 75 if one.why else 0) for one in done}
    return 1 if 1 in codes else 75 if 75 in codes else 0


def _said(one: Posted) -> str:
    what = {
        "deferred": "is tried again after " + output.clock(one.next), "failed": "could not be delivered",
        "in doubt": f"may or may not have been delivered: vrt outbox retry {one.message.ticket}, or cancel",
    }[one.outcome]  # fmt: skip
    return f"{one.message.ticket} {one.message.id[-8:]} {what}{f': {line(one.why)}' if one.why else ''}"


def _row(one: Posted) -> dict[str, object]:
    from vrt.views import when

    return {"ticket": one.message.ticket, "event": one.message.id, "outcome": one.outcome, "why": one.why or None,
            "next": when(one.next)}  # fmt: skip
