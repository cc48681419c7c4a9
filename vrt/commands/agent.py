"""``vrt agent``."""

import click

from vrt import absence, members, output, tick
from vrt.cli import App
from vrt.commands import common, rekeying
from vrt.commands.rekeying import read_card
from vrt.errors import UsageError
from vrt.model import ROLES, Card
from vrt.roster import write

_from_now = click.option("--from-now", is_flag=True, help="Nothing from before: the queues get new keys now.")


@click.group()
def command() -> None:
    """List and admit agents, reviewers and nodes.

    \b
    vrt agent add bob --card bob.yaml --role agent --queue info-en --agreed 2026-11-02
    """


@command.command("list")
@click.option("--role", type=click.Choice(ROLES), help="Only those with this role.")
@common.with_app
def list_(app: App, role: str | None) -> None:
    """Show all cards: handle, roles, queues."""
    cards = [c for c in app.desk.roster.cards.values() if role is None or role in c.roles]
    if app.json:
        output.as_json([{"handle": c.handle, **write(c)} for c in cards])
        return
    away = absence.absent(app.desk)
    rows = [(c.handle, _roles(c), away.get(c.handle, ""), c.agreed or "-", ", ".join(c.queues) or "-") for c in cards]
    columns = [i for i in range(5) if i != 2 or away]
    head = ("AGENT", "ROLES", "AWAY UNTIL", "AGREED", "QUEUES")
    output.page(output.table([head[i] for i in columns], [[row[i] for i in columns] for row in rows]))


def _roles(card: Card) -> str:
    if card.dismissed:
        return "dismissed"
    return ", ".join(card.roles) + (" (supervised)" if card.supervised else "")


@command.command()
@click.argument("handle")
@click.option("--card", required=True, type=click.Path(exists=True, dir_okay=False), metavar="FILE",
              help='What "vrt identity" printed for them.')  # fmt: skip
@click.option("--role", "roles", multiple=True, type=click.Choice([r for r in ROLES if r != "recovery"]),
              help="Default: agent; several times for several.")  # fmt: skip
@click.option("--queue", "queues", multiple=True, metavar="Q", shell_complete=common.complete_queue,
              help="A queue to read and work in; several times for several.")  # fmt: skip
@click.option("--agreed", metavar="DATE", help="When they signed the confidentiality agreement: YYYY-MM-DD.")
@click.option("--supervised", is_flag=True, help="A second agent approves what they write; for trainees.")
@_from_now
@common.with_app
def add(
    app: App, handle: str, card: str, roles: tuple[str, ...], queues: tuple[str, ...], agreed: str | None,
    supervised: bool, from_now: bool,
) -> None:  # fmt: skip
    """Admit an agent or a node. It can read everything in its queues, also from before, unless --from-now.

    Keys that I do not hold myself are given by the next member of the queue who syncs.

    \b
    vrt agent add bob --card bob.yaml --queue info-en --agreed 2026-11-02
    """
    if agreed:
        from datetime import date

        try:
            date.fromisoformat(agreed)
        except ValueError:
            raise UsageError(f"{agreed!r} is no date", "write it as 2026-11-02") from None
    given = read_card(card)
    made = members.add_agent(app.desk, handle, given, roles or ("agent",), queues, agreed or "", supervised, from_now)
    rekeying.report(
        app, made.handle, f"{made.handle} is {', '.join(made.roles)} in {', '.join(made.queues) or 'no queue'}"
    )


@command.command("queues", cls=common.WordsCommand, context_settings=common.WORDS)
@click.argument("handle", shell_complete=common.complete_agent)
@click.argument(
    "changes", metavar="[+Q|-Q]...", nargs=-1, type=click.UNPROCESSED, shell_complete=common.complete_signed_queue
)
@_from_now
@common.with_app
def queues_(app: App, handle: str, changes: tuple[str, ...], from_now: bool) -> None:
    """Put an agent into queues (+Q) and out of others (-Q); without changes, show them.

    A queue that somebody leaves gets a new key. What they could read until then they keep. Who joins one can read
    everything in it, unless --from-now.

    \b
    vrt agent queues bob +permissions-en -info-en
    """
    if changes:
        add_to = [c.lstrip("+") for c in changes if not c.startswith("-")]
        members.set_queues(app.desk, handle, add_to, [c[1:] for c in changes if c.startswith("-")], from_now)
    card = app.desk.roster.card(handle)
    rekeying.report(app, handle, "\n".join(card.queues) or "in no queue")


@command.command("set")
@click.argument("handle", shell_complete=common.complete_agent)
@click.option("--supervised/--no-supervised", required=True, help="Whether a second agent approves what they write.")
@common.with_app
def set_(app: App, handle: str, supervised: bool) -> None:
    """Say whether an agent is supervised: what it writes then goes out when a second agent has approved it.

    \b
    vrt agent set bob --no-supervised
    """
    made = members.set_card(app.desk, handle, supervised=supervised)
    rekeying.report(app, handle, f"{handle} is {'supervised' if made.supervised else 'not supervised'} from now on")


@command.command()
@click.argument("handle", metavar="[HANDLE]", required=False, shell_complete=common.complete_agent)
@click.option("--until", metavar="DATE", help="The last day of it: 2026-12-01, tomorrow, or a span from now: 2w.")
@click.option("--back", is_flag=True, help="They are here again.")
@common.with_app
def away(app: App, handle: str | None, until: str | None, back: bool) -> None:
    """Say that I am away (an admin: that HANDLE is), which gives back my tickets, and that I get none meanwhile.

    \b
    vrt agent away --until 2026-12-24
    vrt agent away --back
    """
    if (until is None) == (not back):
        raise UsageError("until when, or back?", "vrt agent away --until DATE, or --back")
    desk = app.desk
    who = handle or desk.me.handle
    members.set_card(desk, who, away=absence.last_day(desk, until) if until else "")
    freed = tick.free(desk, [who]) if until else []
    said = [f"{t.number} released" for t in freed]
    rekeying.report(
        app, who, "\n".join([f"{who} is {f'away until {desk.roster.card(who).away}' if until else 'back'}", *said])
    )


command.add_command(rekeying.dismiss)
command.add_command(rekeying.rekey)
