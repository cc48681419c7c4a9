"""``vrt access``."""

from collections.abc import Sequence

import click

from vrt import access, output, views
from vrt.cli import App
from vrt.commands import common


@click.command()
@common.ticket
@click.option("--at", metavar="DATE",
              help="As it was then: at the end of a day (YYYY-MM-DD), or at an ISO time with its zone.")  # fmt: skip
@click.option("-v", "--verbose", is_flag=True, help="Say it of each article.")
@common.with_app
def command(app: App, ticket: str, at: str | None, verbose: bool) -> None:
    """Show who could read a ticket, and through which key.

    Articles are sealed to the keys of queues; a queue gets a new one, the next epoch, when somebody leaves it. Who left
    or was dismissed keeps the keys it had: they open all that is sealed to their epochs, and nothing of later ones.
    "received" and "author" are who had the plaintext in hand; "sender" has the original alone, to hand it over. Which
    epoch an article is sealed to is tried with the keys at hand; of other queues it is what the branches say.

    A day of --at ends in the desk's time zone. It goes by the dates of the commits, which their writers claim; only the
    order of commits is sure. What --json has: ticket, at, articles (id, action, agent, time), readers (who, roles, now,
    until, articles, ids, through). "now" is member, left, dismissed, stolen or node; "through" has kind (queue,
    recovery, sender, grant, author, intake), queue, epoch, since, commit, ids.

    \b
    vrt access 0081
    vrt access 0081 --at 2026-11-20 -v
    """
    found = access.access(app.desk, ticket, at)
    if app.json:
        output.as_json(_mapping(found))
    elif verbose:
        _each(found)
    else:
        count = len(found.articles)
        rows = [
            (r.card.handle, _role(r), f"{len(r.ids)} of {count}", output.clock(r.since), _through(r.through))
            for r in found.readers
        ]
        output.page(output.table(("WHO", "ROLE", "ARTICLES", "SINCE", "THROUGH"), rows))


def _each(found: access.Access) -> None:
    rows = []
    for event in found.articles:
        for r in found.readers:
            ways = [way for way in r.through if event.id in way.articles]
            if ways:
                since = output.clock(min(way.articles[event.id] for way in ways))
                rows.append((event.id[-8:], event.action, r.card.handle, since, _through(ways)))
    output.page(output.table(("ARTICLE", "ACTION", "WHO", "SINCE", "THROUGH"), rows))


def _role(r: access.Reader) -> str:
    """Return the roles of a reader, and when it lost them; of a thief, when that was reported."""
    if r.now == access.STOLEN:
        return f"stolen keys ({output.clock(r.until)})"
    gone = f" ({r.now} {output.clock(r.until)})" if r.until else ""
    return ", ".join(r.card.roles) + gone


def _through(ways: Sequence[access.Through]) -> str:
    """Return ways as people read them: ``author; queue info-en epochs 1-2``."""
    said = [_WORDS[kind] for kind in _WORDS if any(way.kind == kind for way in ways)]
    for queue in dict.fromkeys(way.queue for way in ways if way.queue):
        epochs = sorted({way.epoch for way in ways if way.queue == queue})
        said.append(f"queue {queue} epoch{'s' * (len(epochs) > 1)} {_spans(epochs)}")
    return "; ".join(said)


_WORDS = {
    access.RECEIVED: "received", access.AUTHOR: "author", access.SENDER: "sender", access.GRANT: "grant",
}  # fmt: skip


def _spans(numbers: list[int]) -> str:
    """Return sorted numbers as ``1-3, 5``."""
    runs: list[list[int]] = []
    for n in numbers:
        if runs and runs[-1][-1] == n - 1:
            runs[-1].append(n)
        else:
            runs.append([n])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def _mapping(found: access.Access) -> dict[str, object]:
    events = [{"id": e.id, "action": e.action, "agent": e.agent, "time": views.when(e.time)} for e in found.articles]
    return {
        "ticket": found.ticket,
        "at": views.when(found.at),
        "articles": events,
        "readers": [_reader(r) for r in found.readers],
    }


def _reader(r: access.Reader) -> dict[str, object]:
    return {
        "who": r.card.handle, "roles": list(r.card.roles), "now": r.now, "until": views.when(r.until),
        "articles": len(r.ids), "ids": list(r.ids), "through": [_way(way) for way in r.through],
    }  # fmt: skip


def _way(way: access.Through) -> dict[str, object]:
    return {
        "kind": way.kind, "queue": way.queue or None, "epoch": way.epoch or None, "since": views.when(way.since),
        "commit": way.commit, "ids": list(way.articles),
    }  # fmt: skip
