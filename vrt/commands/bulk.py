"""The tickets that a command works on: named one by one (``N...``), or found by a query (``--query``)."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import click

from vrt import acts, output
from vrt.acts import Facts
from vrt.cli import App
from vrt.commands import common
from vrt.errors import UsageError, VrtError
from vrt.model import Ticket

Text = Callable[[list[Ticket]], str]
ASK_FROM = 21  # tickets that a query found, from which a person is asked


class Chosen(NamedTuple):
    """Which tickets, as given on the command line; ``names`` may end in words of the command's own."""

    names: tuple[str, ...]
    query: str | None
    dry_run: bool
    yes: bool

    def last(self, what: str, usage: str) -> tuple[Chosen, str]:
        """Part off the last word, ``what``; raises ``UsageError`` where that leaves no ticket."""
        *tickets, word = self.names or ("",)
        if not word or (not tickets and self.query is None):
            raise UsageError(f"this takes tickets and {what}", usage)
        return self._replace(names=tuple(tickets)), word


def tickets(
    metavar: str = "N...", complete: Callable[..., list[Any]] = common.complete_ticket, **more: Any
) -> Callable[[common.Command], common.Command]:
    """Add ``N...``, ``--query``, ``--dry-run`` and ``--yes`` to a command, which gets a ``chosen``."""

    def decorate(function: common.Command) -> common.Command:
        @functools.wraps(function)
        def wrapper(*args: Any, **rest: Any) -> Any:
            return function(*args, chosen=Chosen(*(rest.pop(name) for name in Chosen._fields)), **rest)

        for option in (
            click.option("-y", "--yes", is_flag=True, help=f"Do not ask, however many (from {ASK_FROM}) were found."),
            click.option("--dry-run", is_flag=True, help="Only show which tickets; nothing is recorded."),
            click.option("--query", metavar="QUERY", shell_complete=common.complete_query,
                         help='Instead of N...: the tickets that "vrt list QUERY" shows, all of them.'),
            click.argument("names", metavar=metavar, nargs=-1, shell_complete=complete, **more),
        ):  # fmt: skip
            wrapper = option(wrapper)
        return wrapper

    return decorate


def act(
    app: App, action: str, chosen: Chosen, verb: Callable[[Ticket], str],
    facts: Callable[[Ticket], Facts] = lambda ticket: {}, *, force: bool = False, text: Text | None = None,
) -> None:  # fmt: skip
    """Do ``action`` to the chosen tickets and say so: one event each, one write, all or none.

    ``text`` asks for what is to be said, once it is known in which tickets.
    """
    more: dict[str, Any] = {"dry": chosen.dry_run, "force": force}
    if chosen.query is None:
        if not chosen.names:
            raise UsageError(f"{action} which tickets?", f"vrt {action} N..., or --query QUERY")
        if text:
            more["body"] = text([app.desk.ticket(n) for n in chosen.names])
        done = acts.act(app.desk, action, chosen.names, facts, **more)
    else:
        done = _found(app, action, chosen, facts, text, more)
    if chosen.dry_run:
        _show(app, action, done)
    elif done or app.json:
        common.report(app, done, verb)


def _found(
    app: App, action: str, chosen: Chosen, facts: Callable[[Ticket], Facts], text: Text | None, more: dict[str, Any]
) -> list[Ticket]:
    """Do ``action`` to what a query finds."""
    from vrt import bulk

    query = chosen.query or ""
    if chosen.names:
        raise UsageError("name the tickets or give a query, not both", "put the whole query in quotes")
    found = bulk.find(app.desk, query, action, facts)
    if found.others:
        left = output.plural(len(found.others), "ticket", "tickets")
        output.tell(f"vrt: {left} passed over, as there is nothing to {action}")
    if not found.fit:
        output.tell("vrt: no ticket is like that")
        return []
    if not chosen.dry_run and not chosen.yes and len(found.fit) >= ASK_FROM:
        _ask(f"{action} {len(found.fit):,} tickets")
    if text:
        more["body"] = text(found.fit)
    return bulk.act(app.desk, action, query, found.fit, facts, **more)


def _ask(what: str) -> None:
    """Raise ``VrtError`` unless somebody says yes."""
    if not sys.stdin.isatty():
        raise UsageError(f"to {what} needs a yes", "-y, or --dry-run to see which")
    if not click.confirm(f"{what}?", err=True):
        raise VrtError("nothing was recorded", "--dry-run shows which tickets")


def _show(app: App, action: str, done: list[Ticket]) -> None:
    """Show the tickets that would be touched, as they are."""
    from vrt.commands import list_

    index = app.desk.index
    list_.result(app, [now for t in done if (now := index.ticket(t.number))])
    output.tell(f"vrt: a dry run of {action} on {output.plural(len(done), 'ticket', 'tickets')}: nothing was recorded")
