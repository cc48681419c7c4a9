"""What git prints, read: objects through ``cat-file --batch``, commits and their changes from ``log --raw``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from vrt.errors import Breach

if TYPE_CHECKING:
    from vrt.storage.git import Repository
    from vrt.storage.running import Running

_FOLDER, _NONE = "040000", "000000"  # modes


class Logged(NamedTuple):
    """A commit and what it changed: ``changes`` are (status, new mode, new blob id, path)."""

    id: str
    data: bytes
    changes: list[tuple[str, str, str, str]]


class Reader:
    """Reads objects through one ``git cat-file --batch``."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._process: Running | None = None

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.stdin.close()
            self._process.stdout.close()
            self._process.wait()
            self._process = None

    def find(self, name: str) -> bytes | None:
        """Return the object ``name`` (an id, or ``commit:path``), or None where there is none."""
        return next(self.many([name]))

    def _ask(self, names: list[str]) -> None:
        if self._process is None:
            self._process = self._repository.start("cat-file", "--batch")
        process = self._process
        assert not any("\n" in name for name in names)
        process.stdin.write("".join(name + "\n" for name in names).encode())
        process.stdin.flush()

    def _answer(self, name: str) -> bytes | None:
        assert self._process is not None
        head = self._process.stdout.readline().split()
        if len(head) != 3 or not head[2].isdigit():
            return None
        size = int(head[2])
        data: bytes = self._process.stdout.read(size + 1)
        if len(data) != size + 1:
            raise Breach(f"git cannot read object {name}", "vrt verify")
        return data[:-1]

    def read(self, name: str) -> bytes:
        """Return the object ``name``, fetched if the desk is a partial one; raises ``Breach`` where it is missing."""
        data = self.find(name)
        if data is None and len(name) == 40:
            data = self._fetched(name)
        if data is None:
            raise Breach(f"object {name} is missing from the desk", "vrt verify")
        return data

    def _fetched(self, name: str) -> bytes | None:
        from vrt.storage import partial, remote

        if not partial.is_partial(self._repository):
            return None
        remote.bring(self._repository, [name])
        return self.find(name)

    def begins(self, name: str, with_: bytes) -> bool:
        """Say whether the object ``name`` begins so; of what is large no more is held in memory than that."""
        self._ask([name])
        assert self._process is not None
        head = self._process.stdout.readline().split()
        if len(head) != 3 or not head[2].isdigit():
            return False
        rest = int(head[2]) + 1
        found = self._process.stdout.read(min(rest, len(with_)))
        rest -= len(found)
        while rest and (chunk := self._process.stdout.read(min(rest, 1 << 16))):
            rest -= len(chunk)
        return bool(found == with_)

    def many(self, names: Iterable[str]) -> Iterator[bytes | None]:
        """Yield the objects of ``names`` in order (None: missing), asked for in windows that fit a pipe."""
        todo = iter(names)
        while window := list(islice(todo, 64)):
            self._ask(window)
            yield from map(self._answer, window)

    def folder(self, commit: str, path: str) -> dict[str, tuple[str, str]]:
        """Return ``{name: (mode, hex id)}`` of a folder at a commit; empty where there is none."""
        from vrt.storage.objects import entries

        data = self.find(f"{commit}:{path}") if commit else None
        return entries(data) if data is not None else {}


def commits(stream: Any) -> Iterator[tuple[str, list[tuple[str, str, str, str]]]]:
    """Part the output of ``git log --format=%x01%H --raw -z`` into commits and their changes."""
    oid, changes, status = "", [], None  # type: ignore[var-annotated]
    for field in _fields(stream):
        if status is not None:
            changes.append((status[4][:1], status[1], status[3], field.decode("utf-8", "surrogateescape")))
            status = None
        elif field.lstrip(b"\n").startswith(b"\x01"):
            if oid:
                yield oid, _files(changes)
            oid, changes = field.lstrip(b"\n")[1:41].decode(), []
        elif field.lstrip(b"\n").startswith(b":"):
            status = field.lstrip(b"\n")[1:].decode().split(" ")
    if oid:
        yield oid, _files(changes)


def _files(changes: list[tuple[str, str, str, str]]) -> list[tuple[str, str, str, str]]:
    """Leave out the folders on the way to a file; a folder that stays holds none, and no event has such."""
    on_the_way = {path[:i] for _, mode, _, path in changes if mode != _FOLDER for i, c in enumerate(path) if c == "/"}
    return [change for change in changes if change[1] not in (_FOLDER, _NONE) or change[3] not in on_the_way]


def _fields(stream: Any) -> Iterator[bytes]:
    rest = b""
    while chunk := stream.read1(1 << 16):
        *full, rest = (rest + chunk).split(b"\0")
        yield from full
    if rest:
        yield rest
