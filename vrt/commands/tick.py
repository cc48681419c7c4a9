"""``vrt tick``."""

import click

from vrt import output
from vrt import tick as time
from vrt.cli import App
from vrt.commands import common


@click.command()
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
@common.with_app
def command(app: App, dry_run: bool) -> None:
    """Do what is due in my queues; for cron, every few minutes, in as many clones as you like.

    Tickets that were put off with "pend --close" close, unless somebody wrote meanwhile, or something in them waits for
    a person. Tickets of agents who are away become free. Quiet where nothing is due.

    \b
    vrt tick
    """
    done = time.tick(app.desk, dry_run)
    if app.json:
        output.as_json({name: [t.number for t in tickets] for name, tickets in done._asdict().items()})
        return
    would = "would be " if dry_run else ""
    for t in done.closed:
        output.out(f"{t.number} {would}closed as {t.pending_outcome}")
    for t in done.freed:
        output.out(f"{t.number} {would}released: {t.owner} is away")
