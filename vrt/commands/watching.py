"""``vrt list --watch``: the list on a screen of its own, drawn anew when something changes."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from vrt import output
from vrt.cli import App
from vrt.commands import list_
from vrt.errors import TryAgain
from vrt.text import clip, line

# xterm's control sequences: the alternate screen and back (1049), the cursor hidden and shown (25).
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_HOME, _END_OF_LINE, _REST = "\x1b[H", "\x1b[K", "\x1b[J"


def watch(app: App, query: str, order: str, seconds: int, limit: int | None) -> None:
    """Show what ``query`` finds until Ctrl-C; look every ``seconds`` whether the desk has changed."""
    desk = app.desk
    desk.find(query, limit=1, mine=True, order=order)  # a query that is none, or keys that do not open, are said here
    said: list[str] = []
    desk.warn = said.append
    drawn: list[object] = []
    try:
        with _screen(drawn.clear):
            while True:
                try:
                    if drawn != (now := [_state(app)]):
                        _draw(_page(app, query, order, limit, said))
                        drawn[:] = now
                        said.clear()
                except TryAgain as exc:  # somebody writes for long: it passes
                    said.append(exc.message)
                time.sleep(seconds)
    except KeyboardInterrupt:
        return


def _state(app: App) -> object:
    """Return what the picture depends on: both heads, what I have looked at elsewhere, the minute, the screen."""
    index = app.desk.index
    return app.desk.repository.heads(), list(index.sql("PRAGMA data_version")), app.desk.now // 60, _size()


def _size() -> os.terminal_size:
    try:
        return os.get_terminal_size(sys.stdout.fileno())
    except OSError:
        return os.terminal_size((80, 24))


def _page(app: App, query: str, order: str, limit: int | None, said: list[str]) -> list[str]:
    """Return the lines of the screen: what is watched, and as many tickets as there is room for."""
    size = _size()
    room = max(1, size.lines - 3)  # without two lines of head, and the head of the table
    found, total = app.desk.find(query, limit=min(room, limit or room), mine=True, order=order)
    rows = list_.table(app, found).splitlines() if found else ["nothing waits"]
    facts = [f"vrt list {line(query)}".rstrip(), output.plural(total, "ticket", "tickets"), output.clock(app.desk.now)]
    head = clip(" · ".join([*facts, *map(line, said[-1:])]), size.columns)
    return [output.paint(head, "dim"), "", *rows][: size.lines]


def _draw(rows: list[str]) -> None:
    """Write ``rows`` over what stands on the screen, without clearing it first, which would flicker."""
    _write(_HOME + "\n".join(row + _END_OF_LINE for row in rows) + _REST)


def _write(text: str) -> None:
    """Write to the terminal at once. Not through ``sys.stdout``: a signal may come in the middle of a write of its."""
    rest = text.encode(sys.stdout.encoding, "replace")
    while rest:
        rest = rest[os.write(sys.stdout.fileno(), rest) :]


@contextmanager
def _screen(again: Callable[[], None]) -> Iterator[None]:
    """Work on a screen of its own and leave the terminal as it was: at the end, on an error, when stopped or ended.

    ``again`` is called when the screen is an empty one again.
    """

    def end(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    def pause(number: int, frame: FrameType | None) -> None:
        _write(_LEAVE)
        os.kill(os.getpid(), signal.SIGSTOP)
        _write(_ENTER)
        again()

    handlers = {signal.SIGTERM: end, signal.SIGHUP: end, signal.SIGTSTP: pause}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        _write(_ENTER)
        yield
    finally:
        _write(_LEAVE)
        for number, handler in before.items():
            signal.signal(number, handler)
