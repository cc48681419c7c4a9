"""``vrt agent``."""

import click

from vrt import members, output
from vrt.cli import App
from vrt.commands import common
from vrt.errors import UsageError
from vrt.model import ROLES
from vrt.roster import write
from vrt.storage.articles import load_yaml


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
    rows = [(c.handle, ", ".join(c.roles), c.agreed or "-", ", ".join(c.queues) or "-") for c in cards]
    output.page(output.table(("AGENT", "ROLES", "AGREED", "QUEUES"), rows))


@command.command()
@click.argument("handle")
@click.option("--card", required=True, type=click.Path(exists=True, dir_okay=False), metavar="FILE",
              help='What "vrt identity" printed for them.')  # fmt: skip
@click.option("--role", "roles", multiple=True, type=click.Choice([r for r in ROLES if r != "recovery"]),
              help="Default: agent; several times for several.")  # fmt: skip
@click.option("--queue", "queues", multiple=True, metavar="Q", shell_complete=common.complete_queue,
              help="A queue to read and work in; several times for several.")  # fmt: skip
@click.option("--agreed", metavar="DATE", help="When they signed the confidentiality agreement: YYYY-MM-DD.")
@common.with_app
def add(app: App, handle: str, card: str, roles: tuple[str, ...], queues: tuple[str, ...], agreed: str | None) -> None:
    """Admit an agent or a node, and seal to it the keys of its queues.

    \b
    vrt agent add bob --card bob.yaml --queue info-en --agreed 2026-11-02
    """
    if agreed:
        from datetime import date

        try:
            date.fromisoformat(agreed)
        except ValueError:
            raise UsageError(f"{agreed!r} is no date", "write it as 2026-11-02") from None
    try:
        with open(card, "rb") as file:
            given = load_yaml(file.read(), card)
    except OSError as exc:
        raise UsageError(f"{card}: {exc.strerror}") from None
    made = members.add_agent(app.desk, handle, given, roles or ("agent",), queues, agreed or "")
    _report(app, made.handle, f"{made.handle} is {', '.join(made.roles)} in {', '.join(made.queues) or 'no queue'}")


@command.command("queues", cls=common.WordsCommand, context_settings=common.WORDS)
@click.argument("handle", shell_complete=common.complete_agent)
@click.argument(
    "changes", metavar="[+Q|-Q]...", nargs=-1, type=click.UNPROCESSED, shell_complete=common.complete_signed_queue
)
@common.with_app
def queues_(app: App, handle: str, changes: tuple[str, ...]) -> None:
    """Put an agent into queues (+Q) and out of others (-Q); without changes, show them.

    A queue that somebody leaves gets a new key. What they could read until then they keep.

    \b
    vrt agent queues bob +permissions-en -info-en
    """
    if changes:
        add_to = [c.lstrip("+") for c in changes if not c.startswith("-")]
        members.set_queues(app.desk, handle, add_to, [c[1:] for c in changes if c.startswith("-")])
    card = app.desk.roster.card(handle)
    _report(app, handle, "\n".join(card.queues) or "in no queue")


def _report(app: App, handle: str, text: str) -> None:
    if app.json:
        card = app.desk.roster.card(handle)
        output.as_json({"handle": handle, **write(card)})
    else:
        output.out(text)
