"""A Maildir on this machine as a box (https://cr.yp.to/proto/maildir.html, subfolders as Maildir++ has them).

It knows the file system, and nothing of the desk.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vrt.errors import VrtError
from vrt.mail.accounts import Account, After
from vrt.mail.box import BYTES, HEADER, MAILS, Item, Look, Memory, Still, header, trouble
from vrt.mail.sources import Letter


class MaildirBox(Still):
    """A Maildir. Messages are named by what stands before the flags of their file names."""

    def __init__(self, account: Account, limit: int, memory: Memory) -> None:
        self._account, self._limit, self._memory = account, limit, memory
        self._path = Path(account.path)
        if not all((self._path / part).is_dir() for part in ("new", "cur")):
            raise VrtError(
                f"{self._path} is no Maildir", "it has the folders new, cur and tmp; is this the right user?"
            )

    def look(self) -> Look:
        """Count without fetching."""
        return Look(sum(1 for _ in self._files()), len(self._waiting()))

    def _files(self) -> Iterator[tuple[str, str]]:
        """Yield the part (``new``, ``cur``) and name of every message."""
        for part in ("new", "cur"):
            with _named(self._path / part):
                names = sorted(entry.name for entry in (self._path / part).iterdir())
            yield from ((part, name) for name in names if not name.startswith("."))

    def _waiting(self) -> list[tuple[str, str]]:
        unwanted = set("TS") if self._account.after.what == "seen" else set("T")
        return [
            (part, name)
            for part, name in self._files()
            if not (part == "cur" and unwanted & set(_flags(name))) and not self._memory.done(_base(name))
        ]

    def chunks(self) -> Iterator[list[Item]]:
        """Yield what is to be received."""
        items: list[Item] = []
        size = 0
        for part, name in self._waiting():
            letter = self._read(part, name)
            if letter is None:
                continue
            if items and (len(items) == MAILS or size + len(letter.raw) > BYTES):
                yield items
                items, size = [], 0
            items.append(Item(letter, _base(name)))
            size += len(letter.raw)
        if items:
            yield items

    def _read(self, part: str, name: str) -> Letter | None:
        """Return a message; None where it is gone meanwhile. What is no plain file is passed over."""
        label = f"{self._account.name}:{_base(name)}"
        try:
            fd = os.open(self._path / part / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(fd, "rb") as file:
                found = os.fstat(fd)
                if not stat.S_ISREG(found.st_mode):
                    self._memory.skip(_base(name), f"something in {self._path} is no plain file")
                    return None
                if found.st_size > self._limit:
                    return Letter(label, header(file.read(HEADER)), found.st_size)
                return Letter(label, file.read(self._limit))
        except FileNotFoundError:
            return None
        except OSError as exc:
            self._memory.skip(_base(name), f"a message in {self._path}: {exc.strerror}")
            return None

    def touch(self, items: list[Item]) -> None:
        """Flag, move or delete messages that are durable."""
        for item in items:
            self._treat(str(item.key), self._account.too_large if item.letter.too_large else self._account.after)

    def _treat(self, base: str, after: After) -> None:
        if after.what == "leave":
            self._memory.left.add(base)
            return
        now = self._find(base)
        if now is None:  # somebody else took it away
            return
        with _named(now), suppress(FileNotFoundError):
            if after.what == "delete":
                now.unlink()
                return
            folder = self._path if after.what == "seen" else self._folder(after.folder)
            flags = "".join(sorted({*_flags(now.name), "S"}))
            target = folder / "cur" / f"{base}:2,{flags}"
            now.rename(_free(target))

    def _find(self, base: str) -> Path | None:
        """Return the file of a message, whatever flags it has got meanwhile."""
        for part, name in self._files():
            if _base(name) == base:
                return self._path / part / name
        return None

    def _folder(self, name: str) -> Path:
        """Return the Maildir to move to, made if it is missing: a path, or the name of a Maildir++ subfolder."""
        path = Path(name).expanduser()
        if not path.is_absolute():
            if "/" in name or name.startswith("."):
                raise VrtError(
                    f"account {self._account.name}: {name} is no name of a folder", "Done, Done.2026 or a path"
                )
            path = self._path / f".{name}"
        for part in ("tmp", "new", "cur"):
            (path / part).mkdir(mode=0o700, parents=True, exist_ok=True)
        return path


def _free(target: Path) -> Path:
    """Return ``target``, or a name like it that no message of the folder has: two Maildirs may have been mixed."""
    base, _, flags = target.name.partition(":")
    taken = {_base(entry.name) for entry in target.parent.iterdir()} if target.exists() else set()
    names = (f"{base}.{n}" if n else base for n in range(len(taken) + 2))
    return target.with_name(f"{next(n for n in names if n not in taken)}:{flags}")


def _base(name: str) -> str:
    return name.partition(":")[0]


def _flags(name: str) -> str:
    return name.partition(":2,")[2]


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turn a failure of the file system into an error that names the place."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as exc:
        raise trouble(exc, path) from exc
