"""The options of the commands that write mail."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from vrt.commands import common
from vrt.errors import UsageError
from vrt.mail import limits
from vrt.mail.compose import File


@dataclass(frozen=True)
class Options:
    """What somebody asked for; ``message`` and ``file`` as ``-m`` and ``-F`` gave them."""

    message: str | None = None
    file: str | None = None
    template: str = ""
    attach: tuple[str, ...] = ()
    to: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()
    subject: str | None = None
    quote: bool | None = None
    draft: bool = False
    yes: bool = False
    force: bool = False

    @property
    def says(self) -> bool:
        """Whether something is said of the message itself: who gets it, what it is about, what goes along."""
        return bool(self.to or self.cc or self.bcc or self.attach or self.template or self.subject is not None)

    @property
    def edits(self) -> bool:
        """Whether the text comes from an editor."""
        return self.message is None and self.file is None and (sys.stdin.isatty() or not self.template)


_OPTIONS = [
    click.option("-t", "--template", metavar="NAME", default="", shell_complete=common.complete_template,
                 help="Begin with this template: vrt template list."),
    click.option("-m", "--message", metavar="TEXT", help="The text itself; the signature is put below it."),
    click.option("-F", "--file", metavar="FILE", help="Take the text from FILE, - for stdin."),
    click.option("--attach", metavar="FILE", multiple=True, type=click.Path(dir_okay=False),
                 help="A file to send along; several times for several."),
    click.option("--to", metavar="ADDRESS", multiple=True, help="Write to these, and not to whom it would go to."),
    click.option("--cc", metavar="ADDRESS", multiple=True, help="Others who get it."),
    click.option("--bcc", metavar="ADDRESS", multiple=True, help="Others who get it, which nobody sees."),
    click.option("--subject", "-s", metavar="TEXT", help="Another subject; the ticket's number is put before it."),
    click.option("--quote/--no-quote", default=None, help="Quote the mail below (default: only in the editor)."),
    click.option("--draft", is_flag=True, help="Do not send it: somebody finishes or approves it."),
    click.option("-y", "--yes", is_flag=True, help="Send without a last look."),
]  # fmt: skip


def options(function: common.Command) -> common.Command:
    """Add the options of a command that writes mail; the command gets them as ``wanted``."""
    import functools

    @functools.wraps(function)
    def wrapper(*args: Any, **values: Any) -> Any:
        given = {name: values.pop(name) for name in Options.__dataclass_fields__ if name in values}
        return function(*args, wanted=Options(**given), **values)

    command: common.Command = wrapper
    for option in reversed(_OPTIONS):
        command = option(command)
    return common.force(command)


def attached(paths: tuple[str, ...]) -> tuple[File, ...]:
    """Return files to send along; raises ``UsageError`` for one that cannot be read."""
    import mimetypes

    found, room = [], limits.MAX_BYTES  # what comes in larger is not taken apart, here or elsewhere
    for path in paths:
        try:
            with open(path, "rb") as stream:
                data = stream.read(room + 1)
        except OSError as exc:
            raise UsageError(f"{path}: {exc.strerror}") from None
        room -= len(data)
        if room < 0:
            whole = path if len(paths) == 1 else "what is attached"
            raise UsageError(f"{whole} is {limits.larger_than(limits.MAX_BYTES)}", "put it elsewhere and send a link")
        found.append(File(Path(path).name, mimetypes.guess_type(path)[0] or "application/octet-stream", data))
    return tuple(found)
