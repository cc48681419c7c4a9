"""``vrt agent dismiss`` and ``rekey``: keys that go out of use, and new ones."""

import sys
from typing import Any

import click

from vrt import members, output
from vrt.cli import App
from vrt.commands import common
from vrt.desk import Desk
from vrt.errors import UsageError
from vrt.roster import write
from vrt.storage.articles import load_yaml


@click.command()
@click.argument("handle", shell_complete=common.complete_agent)
@common.with_app
def dismiss(app: App, handle: str) -> None:
    """Lock an agent or a node out: for who leaves, and at once when a machine was stolen.

    The queues and the desk secret get new keys, and what is signed with the old ones counts no more. What they could
    read until now they keep: vrt access says what that is. "agent rekey" lets them in again, with new keys.

    \b
    vrt agent dismiss bob
    """
    card = members.dismiss(app.desk, handle)
    desk = app.desk
    owned, count = desk.find(f"owner:{handle}", limit=5, mine=False)
    said = [f"{handle} is dismissed; new keys for {', '.join(card.queues) or 'no queue'}"]
    said += [f"what {handle} could read until now stays readable to whoever has these keys: vrt access N"]
    tickets = output.plural(count, "open ticket", "open tickets")
    said += [f"{handle} owned {tickets}: vrt release --force --query owner:{handle}"] if owned else []
    said += _publish(desk)
    report(app, handle, "\n".join(said))


@click.command()
@click.argument("handle", shell_complete=common.complete_agent)
@click.option("--card", required=True, type=click.Path(exists=True, dir_okay=False), metavar="FILE",
              help='What "vrt identity" printed for them now.')  # fmt: skip
@click.option("--stolen", is_flag=True, help="Somebody else may have the old keys: what they open gets new keys too.")
@click.option("--recovery", is_flag=True, help="I am no admin any more, but have the recovery card; ask for its key.")
@common.with_app
def rekey(app: App, handle: str, card: str, stolen: bool, recovery: bool) -> None:
    """Give a card new keys: for a lost or stolen machine, for who comes back, or my own.

    A dismissed agent is a member again. Keys that I do not hold myself are given by the next member who syncs. With
    --recovery an admin who lost all keys gets in again, in a clone of the desk.

    \b
    vrt agent rekey bob --card bob-new.yaml
    vrt agent rekey bob --card bob-new.yaml --stolen
    vrt agent rekey alice --card alice-new.yaml --recovery
    """
    given = read_card(card)
    if recovery:
        app.desk = _rescued(app)
    itself = handle == app.desk.me.handle
    members.rekey(app.desk, handle, given, stolen)
    said = [f"{handle} has new keys" + ("; so have its queues and the desk secret" if stolen else "")]
    said += ["from now on only the new ones count here: set VRT_HOME, then vrt sync"] if itself else _publish(app.desk)
    report(app, handle, "\n".join(said))


def _publish(desk: Desk) -> list[str]:
    """Say that it counts only for those who have heard of it."""
    return ["publish it now: vrt sync"] if desk.remote and desk.roster.desk.sync != "auto" else []


def _rescued(app: App) -> Desk:
    """Return the desk as the recovery card sees it, whose key is asked for, or comes as one line on stdin."""
    if not sys.stdin.isatty():
        return members.rescued(app.path, sys.stdin.readline())
    for left in (2, 1, 0):
        try:
            return members.rescued(app.path, click.prompt("Key of the recovery card", hide_input=True, err=True))
        except UsageError as exc:
            if not left:
                raise
            output.warn(f"{exc.message}; {output.plural(left, 'more try', 'more tries')}")
    raise AssertionError


def read_card(card: str) -> dict[str, Any]:
    """Return the card in a file."""
    try:
        with open(card, "rb") as file:
            return load_yaml(file.read(), card)
    except OSError as exc:
        raise UsageError(f"{card}: {exc.strerror}") from None


def report(app: App, handle: str, text: str) -> None:
    """Say what became of a card."""
    if app.json:
        card = app.desk.roster.card(handle)
        output.as_json({"handle": handle, **write(card)})
    else:
        output.out(text)
