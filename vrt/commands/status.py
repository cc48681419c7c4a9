"""``vrt status``."""

import click

from vrt import output, upkeep, views
from vrt.absence import absent
from vrt.cli import App
from vrt.commands import common
from vrt.text import line

_ALWAYS = ("new", "open", "pending", "owned", "unread")
_COLUMNS = {
    "new": "NEW", "open": "OPEN", "pending": "PENDING", "owned": "MINE", "unread": "UNREAD", "due": "DUE",
    "drafts": "DRAFTS", "unverified": "UNVERIFIED", "queued": "QUEUED", "in_doubt": "IN DOUBT", "failed": "FAILED",
}  # fmt: skip


@click.command()
@common.with_app
def command(app: App) -> None:
    """Show the desk, who I am in it, and what waits in each queue.

    \b
    vrt status
    """
    desk = app.desk
    me, roster, heads = desk.me, desk.roster, desk.repository.heads()
    counts = upkeep.counts(desk)
    if app.json:
        queues = [
            {"queue": q, "mine": q in me.queues, **row, "oldest": views.when(row["oldest"])}
            for q, row in counts.items()
        ]
        output.as_json({
            "desk": roster.desk.name, "path": str(desk.path), "domain": roster.desk.domain, "agent": me.handle,
            "roles": list(me.roles), "queues": queues, "main": heads.main, "keys": heads.keys,
            "identity": str(desk.keys.config.identity_path), "signing_key": str(desk.keys.config.signing_path),
        })  # fmt: skip
        return
    output.out(f"{output.paint(line(roster.desk.name), 'bold')}  {line(str(desk.path))}")
    output.out(f"you are {me.handle} ({', '.join(me.roles)}); the ledger stands at {heads.main[:12]}")
    if until := absent(desk).get(me.handle):
        output.out(output.paint(f"you are away until {until}: vrt agent away --back ends it", "yellow"))
    config = desk.keys.config
    output.out(output.paint(line(f"you read with {config.identity_path} and sign with {config.signing_path}"), "dim"))
    shown = [n for n in _COLUMNS if n in _ALWAYS or any(row[n] for row in counts.values())]
    rows = [
        (
            ("* " if q in me.queues else "  ") + q,
            *(str(row[n] or "-") for n in shown),
            output.ago(row["oldest"], desk.now),
        )
        for q, row in counts.items()
    ]
    output.out()
    output.out(output.table(("  QUEUE", *(_COLUMNS[n] for n in shown), "WAITS"), rows).rstrip("\n"))
