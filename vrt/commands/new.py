"""``vrt new``."""

import click

from vrt import acts
from vrt.cli import App
from vrt.commands import common
from vrt.errors import UsageError


@click.command()
@click.option("--queue", "-q", required=True, metavar="Q", shell_complete=common.complete_queue, help="Its queue.")
@click.option("--subject", "-s", required=True, metavar="TEXT", help="What it is about, in a line.")
@click.option(
    "--from", "requester", metavar="ADDRESS", help='Who asked: jane@example.org or "Jane <jane@example.org>".'
)
@click.option("--take", is_flag=True, help="Take it at once.")
@common.message
@common.with_app
def command(
    app: App, queue: str, subject: str, requester: str | None, take: bool, message: str | None, file: str | None
) -> None:
    """Make a ticket by hand: a telephone call, a letter, a matter seen elsewhere.

    \b
    vrt new -q info-en -s "Call from the museum" --from "Jane Roe <jane@example.org>" -m "She asks …"
    """
    from email.utils import parseaddr

    if not subject.strip() or "\n" in subject:
        raise UsageError("the subject must be one line that says something")
    common.utf8(subject + (requester or ""), "the subject or address")
    person = parseaddr(requester) if requester else None
    if person and "@" not in person[1]:
        raise UsageError(f"{requester!r} is no mail address", 'write it as "Jane Roe <jane@example.org>"')
    target = app.desk.roster.queue(queue)
    body = common.text(message, file, what="ticket")
    made = acts.new(app.desk, target, subject.strip(), body, person, take)
    common.report(app, [made], lambda t: f"new in {t.queue}" + (f", taken by {t.owner}" if t.owner else ""))
