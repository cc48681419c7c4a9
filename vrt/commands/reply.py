"""``vrt reply``."""

import sys
from dataclasses import replace

import click

from vrt import acts, letters, output
from vrt.cli import App
from vrt.commands import common, writing
from vrt.commands.wanted import Options, options
from vrt.errors import UsageError
from vrt.ledger import stamp
from vrt.letters import Letter
from vrt.model import UNCLOSED, Ticket
from vrt.outgoing import Then


@click.command()
@common.ticket
@click.option("--all", "-a", "everybody", is_flag=True, help="To all who got the mail, ours and those asked left out.")
@click.option("--event", "-e", metavar="EVENT", default="", help="Answer this mail (the end of its id), not the last.")
@click.option("--close", metavar="W", shell_complete=common.complete_outcome, help="Close the ticket with it, as W.")
@click.option("--pend", metavar="T", help="Let the ticket wait until T (3d, 2026-12-01) with it.")
@options
@common.with_app
def command(
    app: App, ticket: str, everybody: bool, event: str, close: str | None, pend: str | None, wanted: Options
) -> None:
    """Answer a ticket by mail, from its queue's address.

    Without -m and -F your editor opens on a draft: to whom and about what, salutation, template, signature,
    and the mail quoted. Then a last look, and it is recorded, signed, and handed over. A ticket that changed
    since you saw it, or that somebody else works on, is not answered (exit 6) unless you --force it.

    \b
    vrt reply 0081
    vrt reply 0081 -t permission-accepted --close successful
    vrt reply 0081 -m "Thank you, it is corrected now." --close successful -y
    """
    if close and pend:
        raise UsageError("--close and --pend exclude each other")
    desk = app.desk
    t = _mine(app, desk.ticket(ticket), wanted)
    own_text = wanted.message is not None or wanted.file is not None
    if t.draft and not own_text and not event:
        letter = letters.continued(desk, t)
    else:
        letter = letters.reply(desk, t, event, everybody)
    letter = _without_strangers(app, t, writing.changed(app, t, letter, wanted), wanted)
    then = Then("close", {"Outcome": close}) if close else None
    then = Then("pend", {"Until": stamp(desk.later(pend))}) if pend else then
    writing.write(app, t, letter, wanted, then)


def _without_strangers(app: App, ticket: Ticket, letter: Letter, wanted: Options) -> Letter:
    """Return ``letter`` without those in Cc who were no part of the ticket, where nobody looks at it before it goes."""
    if wanted.cc or wanted.edits or (sys.stdin.isatty() and not wanted.yes):
        return letter
    new = [p for p in letters.strangers(app.desk, ticket, letter) if p in letter.cc]
    if new:
        told = ", ".join(p.address for p in new)
        output.warn(f"left out, for they had no part in the ticket: {told}; name them with --cc to write to them too")
    return replace(letter, cc=tuple(p for p in letter.cc if p not in new))


def _mine(app: App, ticket: Ticket, wanted: Options) -> Ticket:
    """Return the ticket, taken where somebody is about to write and nobody works on it: nobody is to answer twice.

    Raises ``Conflict`` where somebody else works on it, before anything is written in vain.
    """
    acts.check_lock(app.desk, "reply", ticket, wanted.force)
    writes = wanted.edits and sys.stdin.isatty() and not wanted.draft
    if not writes or ticket.state not in UNCLOSED or ticket.locked(app.desk.now):
        return ticket
    (taken,) = acts.act(app.desk, "take", [ticket.number], acts.owned_by(app.desk, app.desk.me.handle))
    return taken
