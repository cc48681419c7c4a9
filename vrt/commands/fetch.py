"""``vrt fetch``."""

import re
import sys
from contextlib import nullcontext
from typing import Any

import click

from vrt import output
from vrt.cli import App
from vrt.commands import common
from vrt.commands.receive import OUTCOMES, counted
from vrt.errors import TryAgain, VrtError
from vrt.text import line


class Seconds(click.ParamType[int]):
    """A short span of time: 30s, 5m, 1h."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the seconds."""
        found = re.fullmatch(r"([0-9]{1,5})([smh])", str(value))
        if not found or int(found.group(1)) == 0:
            self.fail(f"{value!r} is no span of time: write 30s, 5m or 1h", param, ctx)
        return int(found.group(1)) * {"s": 1, "m": 60, "h": 3600}[found.group(2)]


@click.command()
@click.argument("names", metavar="[ACCOUNT]...", nargs=-1)
@click.option("--check", is_flag=True, help="Log in, count, and fetch nothing.")
@click.option("--loop", is_flag=True, help="Go on until SIGTERM or Ctrl-C: a service.")
@click.option("--every", type=Seconds(), default="60s", help="With --loop, how often to look without IDLE (60s).")
@click.option("--wait", is_flag=True, help="Wait for another fetch of the account, rather than leave it to that.")
@click.option("-v", "--verbose", is_flag=True, help="Say what came in, also where nobody looks.")
@common.with_app
def command(app: App, names: tuple[str, ...], check: bool, loop: bool, every: int, wait: bool, verbose: bool) -> int:
    """Take in mail from the accounts in vrt/config.yaml of the desk: IMAP, POP3, Maildirs, mboxes.

    Without an ACCOUNT from all. A message is marked, moved or deleted on its server only after it is durable here;
    what was cut off comes again with the next call and is not taken in twice. Made for cron: silent when all went
    well, a line for each problem, and exit 75 for what may pass by itself, 1 for what will not.

    \b
    vrt fetch
    vrt fetch info --check
    vrt fetch --loop
    """
    from vrt.mail import watch
    from vrt.mail.fetch import Session

    report = _Report(app, verbose or output.is_terminal(sys.stderr))
    with watch.until_told() if loop else nullcontext(None) as stop:
        accounts = _accounts(app, names, report)
        if not accounts:
            return report.end()
        app.desk.signer  # noqa: B018 - it may ask for a passphrase, before any server is left waiting
        sessions = [Session(app.desk, account, lambda: _publish(app), stop) for account in accounts]
        if check:
            for session in sessions:
                report.look(session)
            return report.end()
        if stop:
            watch.run(sessions, every, stop, report.outcome)
            return 0
        for session in sessions:
            with output.progress(f"fetching {session.account.name}", None) as show:
                outcome = session.round(show, wait)
            session.close()
            report.outcome(outcome)
    return report.end()


def _accounts(app: App, names: tuple[str, ...], report: "_Report") -> list[Any]:
    """Return the accounts that are asked for and in order; the others are reported."""
    from vrt.mail.accounts import choose, read
    from vrt.storage.local import read_config

    known = read_config(app.path).accounts
    found = []
    for name in choose(known, names):
        try:
            found.append(read(name, known[name]))
        except VrtError as exc:
            report.problem(name, exc)
    return found


def _publish(app: App) -> None:
    """Bring the desk to its remote, for accounts whose messages stay on the server until then."""
    from vrt.sync import sync

    sync(app.desk)


class _Report:
    """What is said of each account, and how the command ends."""

    def __init__(self, app: App, chatty: bool) -> None:
        self._app, self._chatty = app, chatty
        self._rows: dict[str, dict[str, Any]] = {}
        self._codes = {0}
        self._said: dict[str, str] = {}

    def problem(self, name: str, exc: VrtError) -> None:
        """Say what went wrong with an account, once as long as it stays the same."""
        text = exc.message if exc.message.startswith(f"account {name}:") else f"account {name}: {exc.message}"
        if self._said.get(name) != text:
            output.error(text, exc.hint if self._chatty else None)
        self._said[name] = text
        self._codes.add(TryAgain.code if isinstance(exc, TryAgain) else 1)
        self._rows.setdefault(name, {})["problem"] = line(text)

    def outcome(self, outcome: Any) -> None:
        """Say what a round brought."""
        name, counts = outcome.account, outcome.counts
        self._rows[name] = {
            "counts": {kind: counts[kind] for kind in OUTCOMES},
            "too_large": len(outcome.too_large), "busy": outcome.busy, "problem": None,
        }  # fmt: skip
        for note in [n for n in outcome.notes if self._said.get(f"{name} {n}") != n]:
            self._said[f"{name} {note}"] = note
            output.warn(f"account {name}: {note}")
        for ticket, size in outcome.too_large:
            output.warn(f"account {name}: a message of {output.size(size)} is too large: its header is {ticket}")
        if outcome.problem:
            self.problem(name, outcome.problem)
        elif self._said.pop(name, "") and self._chatty:
            output.tell(f"{name}: works again")
        if self._chatty and not self._app.json and (counts or not outcome.problem):
            output.tell(f"{name}: {'another fetch is at work' if outcome.busy else counted(counts) or 'nothing new'}")

    def look(self, session: Any) -> None:
        """Say what is there."""
        name = session.account.name
        try:
            found = session.look()
        except VrtError as exc:
            self.problem(name, exc)
            return
        self._rows[name] = {**found._asdict(), "problem": None}
        if not self._app.json:
            kind, place = session.account.type, line(session.account.place)
            output.out(f"{name}: {kind} {place}: {found.messages:,} there, {found.waiting:,} to fetch")

    def end(self) -> int:
        """Print what is to be printed last, and return the exit code."""
        if self._app.json:
            output.as_json({"accounts": self._rows})
        return 1 if 1 in self._codes else max(self._codes)
