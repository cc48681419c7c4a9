"""``vrt status``."""

from contextlib import suppress

import click

from vrt import output, upkeep, views
from vrt.absence import absent
from vrt.cli import App
from vrt.commands import common
from vrt.desk import Desk
from vrt.errors import VrtError
from vrt.model import Card
from vrt.standing import standing
from vrt.text import line

_ALWAYS = ("new", "open", "pending", "owned", "unread")
_COLUMNS = {
    "new": "NEW", "open": "OPEN", "pending": "PENDING", "owned": "MINE", "unread": "UNREAD", "due": "DUE",
    "drafts": "DRAFTS", "unverified": "UNVERIFIED", "queued": "QUEUED", "in_doubt": "IN DOUBT", "failed": "FAILED",
}  # fmt: skip


@click.command()
@click.option("--at", metavar="PLACE", type=int, help="Show only the head word of the ledger after that many events.")
@common.with_app
def command(app: App, at: int | None) -> None:
    """Show the desk, who I am in it, and what waits in each queue.

    The head word (three words of five letters) stands for all that happened up to a place. Two agents who read each
    other the same word at the same place have been shown the same history, whatever the host would like.

    \b
    vrt status
    vrt status --at 1200
    """
    desk = app.desk
    place = standing(desk, at)
    if at is not None:
        output.as_json(place) if app.json else output.out(f"event {place['place']:,}: {place['word']}")
        return
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
            **{n: place[n] for n in ("place", "word", "root", "published", "unpublished")},
            "identity": str(desk.keys.config.identity_path), "signing_key": str(desk.keys.config.signing_path),
        })  # fmt: skip
        return
    output.out(f"{output.paint(line(roster.desk.name), 'bold')}  {line(str(desk.path))}")
    output.out(
        f"you are {me.handle} ({', '.join(me.roles)}); the ledger stands at event {place['place']:,}, {place['word']}"
    )
    if me.dismissed:
        output.out(output.paint(f"{me.handle} was dismissed: nothing that is done here counts any more", "red"))
    elif not _mine(app.desk, me):
        text = f"the card {me.handle} has other keys than those at hand: nothing that is done here counts"
        output.out(output.paint(text, "red"))
    if place["unpublished"]:
        what = output.plural(place["unpublished"], "event is", "events are")
        output.out(output.paint(f"{what} not published: vrt sync", "yellow"))
    if until := absent(desk).get(me.handle):
        output.out(output.paint(f"you are away until {until}: vrt agent away --back ends it", "yellow"))
    config = desk.keys.config
    output.out(output.paint(line(f"you read with {config.identity_path} and sign with {config.signing_path}"), "dim"))
    output.out(output.paint(f"the desk's root is {place['root']} ({place['root_word']})", "dim"))
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


def _mine(desk: Desk, me: Card) -> bool:
    """Say whether the keys at hand are those of the card, as far as that can be seen."""
    with suppress(VrtError):
        return desk.keys.signing_public() == me.signing
    return True
