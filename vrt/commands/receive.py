"""``vrt receive``."""

import itertools
import sys
from collections import Counter

import click

from vrt import output
from vrt.cli import App
from vrt.commands import common
from vrt.mail import intake, plan, sources
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
    noted with it. With - the exit code is 0 (durable) or 75 (try again), as mail servers want it.

    \b
    vrt receive inbox.mbox
    vrt receive ~/Maildir a.eml b.eml
    fetch-one | vrt receive -
    """
    found = sources.find(list(names))
    total = sources.count(found)
    mails = itertools.chain.from_iterable(sources.read(s, sys.stdin.buffer) for s in found)
    got = list[plan.Received]()
    counts: Counter[str] = Counter()
    queues: Counter[str] = Counter()
    with spread(sum(s.size for s in found) >= POOL_FROM) as work, output.progress("receiving", total) as show:
        for mail in intake.receive(app.desk, mails, work, show):
            counts[mail.outcome] += 1
            queues.update([mail.queue] if mail.queue else [])
            if app.json or verbose or total == 1:
                got.append(mail)
    # Nothing on stdin: what should have handed a mail over has most likely failed.
    App.durable = not (counts["empty"] and names == ("-",))
    if app.json:
        rows = [{**vars(r), "defects": list(r.defects)} for r in got]
        output.as_json({"counts": {name: counts[name] for name in OUTCOMES}, "mails": rows})
        return
    for mail in got:
        name = f"  {line(mail.label)}" if verbose else ""
        output.out(f"{_became(app, mail)}{name}")
    if total != 1:
        output.out(_sentence(counts, queues))


OUTCOMES = ("new", "follow-up", "unverified", "duplicate", "empty")


def _became(app: App, mail: plan.Received) -> str:
    """Return what became of one mail, in a sentence."""
    if mail.outcome == "empty":
        return "empty: nothing to receive"
    if mail.outcome == "duplicate":
        return f"here already: {mail.ticket}"
    # What is said of a mail on stdin a mail server writes into its log, where no subject belongs.
    ticket = app.desk.index.ticket(mail.ticket) if mail.label != "-" else None
    title = f"  {line(ticket.title)}" if ticket and ticket.title else ""
    return f"{mail.outcome} {mail.ticket} in {mail.queue}{title}"


def counted(counts: Counter[str]) -> str:
    """Say how many mails became what, leaving out what none became."""
    said = [
        output.plural(counts["new"], "new ticket", "new tickets"),
        output.plural(counts["follow-up"], "follow-up", "follow-ups"),
        f"{counts['unverified']:,} unverified",
        f"{counts['duplicate']:,} here already",
        f"{counts['empty']:,} empty",
    ]
    return ", ".join(text for text, name in zip(said, OUTCOMES, strict=True) if counts[name])


def _sentence(counts: Counter[str], queues: Counter[str]) -> str:
    where = f" ({', '.join(f'{q} {n:,}' for q, n in queues.most_common(6))})" if queues else ""
    said = counted(counts) or "nothing to receive"
    return f"{output.plural(counts.total(), 'mail', 'mails')}: {said}{where}"
