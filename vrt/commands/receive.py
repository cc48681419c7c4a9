"""``vrt receive``."""

import itertools
import sys

import click

from vrt import output
from vrt.cli import App
from vrt.commands import common
from vrt.errors import TryAgain, VrtError
from vrt.mail import intake, sources
from vrt.text import line
from vrt.work import spread

POOL_FROM = 200_000  # bytes of mail from which worker processes pay


@click.command()
@click.argument("names", metavar="FILE|MBOX|MAILDIR|-", nargs=-1, required=True, type=click.Path())
@click.option("-v", "--verbose", is_flag=True, help="Say of each mail what became of it.")
@common.with_app
def command(app: App, names: tuple[str, ...], verbose: bool) -> None:
    """Take in mail: .eml files, mboxes, Maildirs, folders of .eml files, or one message on stdin (-).

    Each mail becomes a sealed article and a signed event. What is here already is not taken in again, so a call
    that was cut off can just be repeated. No mail is refused for being malformed; what is wrong with it is
    noted with it. With - alone the exit code is 0 (durable) or 75 (try again), as mail servers want it.

    \b
    vrt receive inbox.mbox
    vrt receive ~/Maildir a.eml b.eml
    fetch-one | vrt receive -
    """
    if list(names) == ["-"]:
        try:
            _receive(app, names, verbose)
        except VrtError as exc:
            raise TryAgain(exc.message, exc.hint) from exc
        except Exception as exc:  # whatever it is: the mail server keeps the mail and tries again
            raise TryAgain(f"{type(exc).__name__}: the mail was not taken in") from exc
    else:
        _receive(app, names, verbose)


def _receive(app: App, names: tuple[str, ...], verbose: bool) -> None:
    found = sources.find(list(names))
    total = sources.count(found)
    mails = itertools.chain.from_iterable(sources.read(s, sys.stdin.buffer) for s in found)
    results = []
    counts = {"new": 0, "follow-up": 0, "duplicate": 0, "empty": 0}
    with spread(sum(s.size for s in found) >= POOL_FROM) as work, output.progress("receiving", total) as show:
        for got in intake.receive(app.desk, mails, work, show):
            counts[got.outcome] += 1
            if app.json or verbose or len(found) == 1 == total:
                results.append(got)
    if app.json:
        rows = [{**vars(r), "defects": list(r.defects)} for r in results]
        output.as_json({"counts": counts, "mails": rows})
        return
    for r in results:
        place = f"{r.ticket} in {r.queue}" if r.queue else r.ticket or "nothing in it"
        output.out(f"{r.outcome} {place}" if len(results) == 1 else f"{r.outcome} {place}  {line(r.label)}")
    if len(results) != 1:
        output.out(_sentence(counts))


def _sentence(counts: dict[str, int]) -> str:
    texts = [
        (counts["new"], "new tickets"), (counts["follow-up"], "follow-ups"),
        (counts["duplicate"], "here already"), (counts["empty"], "empty"),
    ]  # fmt: skip
    said = [f"{n:,} {what}" for n, what in texts if n]
    return f"{sum(counts.values()):,} mails: {', '.join(said) or 'nothing to receive'}"
