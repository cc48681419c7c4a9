"""The only writer to the terminal: messages, tables, JSON, progress, pager.

How vrt speaks: results on stdout, everything else on stderr; ``vrt: error: …`` and ``vrt: hint: …`` in lower
case without a full stop; colours, pager and progress only where a person looks. Whatever came from outside
is made safe here.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from vrt.text import clip, line, pad, shown, unsafe, width

_COLOURS = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34", "cyan": "36"}


def is_terminal(stream: Any = None) -> bool:
    """Say whether a person looks at ``stream`` (default stdout)."""
    stream = stream or sys.stdout
    return bool(stream.isatty()) and os.environ.get("TERM") != "dumb"


def coloured(stream: Any = None) -> bool:
    """Say whether to colour: a terminal, and no ``NO_COLOR`` (https://no-color.org)."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR")


def paint(text: str, *styles: str, stream: Any = None) -> str:
    """Return ``text``, which must be safe already, in ``styles`` where colours are shown."""
    if not styles or not coloured(stream):
        return text
    return f"\x1b[{';'.join(_COLOURS[s] for s in styles)}m{text}\x1b[0m"


def columns() -> int:
    """Return the width of the terminal; 0 where stdout is none, and nothing is cut."""
    if not is_terminal():
        return 0
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns
    except OSError:
        return 80


# --- results ------------------------------------------------------------------------------------


def out(text: str = "") -> None:
    """Write a line of a result. ``text`` must be safe (``shown``, ``line``)."""
    sys.stdout.write(text + "\n")


def raw(data: bytes) -> None:
    """Write bytes as they are, for ``vrt raw`` into a file or a pipe."""
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def as_json(value: Any) -> None:
    """Write ``value`` as JSON; controls are escaped by JSON itself, so nothing drives a terminal."""
    text = json.dumps(value, indent=2 if is_terminal() else None, ensure_ascii=False)
    sys.stdout.write(unsafe().sub(_json_escape, text) + "\n")


def _json_escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"


def page(text: str) -> None:
    """Write ``text``, which must be safe, through ``$PAGER`` where a person looks and it does not fit the screen."""
    if not is_terminal() or _fits(text):
        sys.stdout.write(text)
        return
    import subprocess

    env = {**os.environ, "LESS": os.environ.get("LESS", "FRX")}
    pager = os.environ.get("PAGER", "less")
    if not pager or pager == "cat":
        sys.stdout.write(text)
        return
    try:
        process = subprocess.Popen(["sh", "-c", pager], stdin=subprocess.PIPE, env=env)
        process.communicate(text.encode())
    except (OSError, BrokenPipeError):
        return
    except KeyboardInterrupt:
        process.wait()
    if process.returncode == 127:
        sys.stdout.write(text)


def _fits(text: str) -> bool:
    try:
        return text.count("\n") < os.get_terminal_size(sys.stdout.fileno()).lines
    except OSError:
        return True


def wrap(text: str, room: int) -> list[str]:
    """Return lines of safe ``text`` broken between words where they do not fit ``room`` cells (0: never broken)."""
    rows = []
    for row in text.split("\n"):
        if not room or width(row) <= room:
            rows.append(row)
            continue
        mark = row[: len(row) - len(row.lstrip("> "))][: room // 2]
        now = ""
        for word in row[len(mark) :].split(" "):
            if now and width(mark + now) + 1 + width(word) > room:
                rows.append(mark + now)
                now = word
            else:
                now = f"{now} {word}" if now else word
        rows.append(mark + now)
    return rows


def plural(count: int, one: str, many: str) -> str:
    """Return a count with its noun: ``1 mail``, ``1,200 mails``."""
    return f"{count:,} {one if count == 1 else many}"


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], styles: Callable[[int], tuple[str, ...]] | None = None
) -> str:
    """Return rows of foreign or own text under ``head``, aligned; the last column takes the room that is left.

    On a terminal rows are cut to its width; elsewhere nothing is. ``styles(i)`` colours row ``i``.
    """
    safe = [[line(cell) for cell in row] for row in rows]
    widths = [max([width(h), *(width(row[i]) for row in safe)]) for i, h in enumerate(head)]
    room = columns()
    if room:
        left = room - sum(widths[:-2]) - 2 * (len(head) - 1)  # for the last two columns, which are cut
        widths[-2] = min(widths[-2], max(10, left - max(20, widths[-1]), left // 3))
        widths[-1] = max(10, left - widths[-2])
    out_rows = [paint("  ".join(pad(h, w) for h, w in zip(head, widths, strict=True)).rstrip(), "dim")]
    for i, row in enumerate(safe):
        cells = [pad(clip(c, w) if room else c, w) for c, w in zip(row, widths, strict=True)]
        out_rows.append(paint("  ".join(cells).rstrip(), *(styles(i) if styles else ())))
    return "\n".join(out_rows) + "\n"


# --- messages -----------------------------------------------------------------------------------


def _say(kind: str, text: str, style: str) -> None:
    sys.stdout.flush()
    label = paint(kind, style, stream=sys.stderr)
    sys.stderr.write(f"vrt: {label}{': ' if kind else ''}{line(text)}\n")


def error(text: str, hint: str | None = None) -> None:
    """Say what went wrong, and what helps."""
    _say("error", text, "red")
    if hint:
        _say("hint", hint, "cyan")


def warn(text: str) -> None:
    """Say what is worth knowing although the work was done."""
    _say("warning", text, "yellow")


def tell(text: str) -> None:
    """Say what was done, on stderr; not where a script runs it, unless it is the answer."""
    sys.stdout.flush()
    sys.stderr.write(shown(text) + "\n")


@contextmanager
def progress(label: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Yield a function that takes how many are done; shows a bar on a terminal once the work takes over a second."""
    if not is_terminal(sys.stderr):
        yield lambda done: None
        return
    start = last = time.monotonic()
    drawn = False

    def show(done: int) -> None:
        nonlocal last, drawn
        now = time.monotonic()
        if now - start < 1.0 or now - last < 0.1:
            return
        last, drawn = now, True
        rate = f"{done / (now - start):,.0f}/s"
        if total:
            filled = 24 * min(done, total) // total
            left = (total - done) * (now - start) / done if done else 0
            bar = "#" * filled + "." * (24 - filled)
            sys.stderr.write(f"\r\x1b[K{label} [{bar}] {done:,}/{total:,}  {rate}  {left:.0f}s left")
        else:
            sys.stderr.write(f"\r\x1b[K{label}: {done:,}  {rate}")
        sys.stderr.flush()

    try:
        yield show
    finally:
        if drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


# --- how people read times and sizes --------------------------------------------------------------


def ago(time: int, now: int) -> str:
    """Return how long ago epoch seconds are, in one unit: ``5m``, ``3h``, ``12d``; ``-`` for 0."""
    if not time:
        return "-"
    span = max(0, now - time)
    for unit, seconds in (("d", 86400), ("h", 3600), ("m", 60)):
        if span >= seconds:
            return f"{span // seconds}{unit}"
    return f"{span}s"


def clock(moment: int) -> str:
    """Return epoch seconds as people read them, in the local time zone: ``2026-11-20 09:32 CET``."""
    return time.strftime("%Y-%m-%d %H:%M %Z", time.localtime(moment))


def size(count: int) -> str:
    """Return a number of bytes as people read it: ``812 B``, ``1.4 MB``."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return ""
