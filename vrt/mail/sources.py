"""Where mail comes from: single messages, mboxes, Maildirs, folders of ``.eml`` files. Bytes stay as they are."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from vrt.errors import TryAgain, UsageError

# An mbox's separator line (RFC 4155): "From ", an address, a date with a time and, somewhere, a year.
SEPARATOR = re.compile(rb"From \S.{0,300}\d\d:\d\d.{0,40}\d{4}|From \S+ *\r?\n")
_MOST_STDIN = 200 << 20  # bytes; a pipe without end would fill the memory
QUOTED = re.compile(rb"^>(>*From )", re.MULTILINE)


class Letter(NamedTuple):
    """One message to take in: what to call it, its bytes, and, where only its header was fetched, its true size."""

    label: str
    raw: bytes
    too_large: int = 0  # bytes of the whole, of which ``raw`` is the header alone; 0: ``raw`` is the whole


@dataclass(frozen=True)
class Source:
    """One thing to receive: what to call it, and how many bytes it holds (None: unknown)."""

    name: str
    path: Path | None  # None: standard input
    kind: str  # "message", "mbox", or "stream": what it is shows when it is read
    size: int


def find(names: list[str]) -> list[Source]:
    """Return the sources that ``names`` name: files, mboxes, Maildirs, folders, ``-`` for standard input.

    Raises ``UsageError`` for what cannot be read, and for an mbox that is none.
    """
    return [source for name in names for source in _find(name)]


def _find(name: str) -> list[Source]:
    if name == "-":
        return [Source("-", None, "message", 0)]
    path = Path(name)
    if path.is_dir():
        return _folder(path)
    try:
        if path.exists() and not path.is_file():  # a pipe can be read only once
            return [Source(name, path, "stream", 0)]
        with path.open("rb") as file:
            first = file.read(400)
        size = path.stat().st_size
    except OSError as exc:
        raise UsageError(f"{name}: {exc.strerror}", "name mail files, mboxes, Maildirs, or - for stdin") from None
    is_mbox = bool(SEPARATOR.match(first))
    if path.suffix.lower() in (".mbox", ".mbx") and first and not is_mbox:
        raise UsageError(f"{name} is no mbox: its first line is no 'From ' line", "a single message is named .eml")
    # A single mail saved with its envelope line is still one mail.
    return [Source(name, path, "mbox" if is_mbox and path.suffix.lower() != ".eml" else "message", size)]


def _folder(path: Path) -> list[Source]:
    """A Maildir (https://cr.yp.to/proto/maildir.html), else every ``.eml`` file below the folder."""
    try:
        if (path / "cur").is_dir() or (path / "new").is_dir():
            files = [f for part in ("new", "cur") if (path / part).is_dir() for f in sorted((path / part).iterdir())]
            files = [f for f in files if f.is_file() and not f.name.startswith(".")]
        else:
            files = sorted(f for f in path.rglob("*.eml") if f.is_file())
            if not files:
                raise UsageError(
                    f"{path} is no Maildir and holds no .eml files", "a Maildir has the folders cur and new"
                )
        return [Source(str(f), f, "message", f.stat().st_size) for f in files]
    except OSError as exc:
        raise UsageError(f"{exc.filename or path}: {exc.strerror}") from None


def read(source: Source, stdin: BinaryIO) -> Iterator[Letter]:
    """Yield the messages of a source."""
    if source.path is None:
        raw = stdin.read(_MOST_STDIN + 1)
        if len(raw) > _MOST_STDIN:
            raise TryAgain(
                f"the message on stdin is larger than {_MOST_STDIN >> 20} MiB", "limit it in the mail server"
            )
        yield Letter(source.name, raw)
    elif source.kind == "message":
        yield Letter(source.name, source.path.read_bytes())
    elif source.kind == "stream":
        data = source.path.read_bytes()
        found = list(split(io.BytesIO(data))) if SEPARATOR.match(data) else [data]
        yield from (Letter(f"{source.name}:{i}", message) for i, message in enumerate(found, 1))
    else:
        with source.path.open("rb") as file:
            for i, message in enumerate(split(file), 1):
                yield Letter(f"{source.name}:{i}", message)


def split(file: BinaryIO) -> Iterator[bytes]:
    """Yield the messages of an mbox, without separator lines and with ``>From`` unquoted (the mboxrd rule).

    A separator counts at the start of the file and after an empty line only.
    """
    lines: list[bytes] = []
    blank, begun = True, False
    for row in file:
        if blank and row.startswith(b"From ") and SEPARATOR.match(row):
            if begun:
                yield _message(lines)
            lines, begun = [], True
        else:
            lines.append(row)
        blank = row in (b"\n", b"\r\n")
    if begun:
        yield _message(lines)


def _message(lines: list[bytes]) -> bytes:
    """Join the lines of one message; the empty line before the next separator belongs to the mbox."""
    if lines and lines[-1] in (b"\n", b"\r\n"):
        lines.pop()
    return QUOTED.sub(rb"\1", b"".join(lines))


def count(sources: list[Source]) -> int | None:
    """Return how many messages there are, where that is known without reading them all."""
    return None if any(s.kind != "message" for s in sources) else len(sources)
