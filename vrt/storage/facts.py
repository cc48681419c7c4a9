"""What the law has accepted, kept in a file: so that checking what is new costs what is new, not the history.

It holds facts of the ledger, which the host has anyway, and needs no key: agents, intake nodes and the hook of a host
keep the same file, ``vrt/verified.db``. A cache: without it everything is checked from the root.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic, TypeVar

from vrt import law
from vrt.law.state import Sealed, Wrote
from vrt.law.ties import Came, Sent
from vrt.model import Ticket
from vrt.storage import local
from vrt.storage.database import CannotWrite, Database, Unusable, remove
from vrt.storage.git import Heads, Repository

VERSION = 3
FILE = "verified.db"

K = TypeVar("K", str, int)
V = TypeVar("V")


def _ticket(value: Any) -> Ticket:
    return Ticket._make(tuple(v) if isinstance(v, list) else v for v in value)


def _came(value: Any) -> Came:
    ticket, refs, movable, into = value
    return Came(ticket, tuple(refs), movable, into)


def _sealed(value: Any) -> Sealed:
    return Sealed(value[0], tuple(value[1]))


def _same(value: Any) -> Any:
    return value


# The tables of ``law.State`` and of its ``ties``: name -> how a value is made of its JSON.
_STATE: dict[str, Callable[[Any], Any]] = {
    "places": _same, "wrote": lambda v: Wrote(*v), "tickets": _ticket, "homes": tuple, "merged": tuple, "desk": _same,
    "used": _same, "sealed": _sealed,
}  # fmt: skip
_TIES: dict[str, Callable[[Any], Any]] = {
    "sent": lambda v: Sent(*v), "came": _came, "drafts": _same, "reported": _same, "answerable": _same,
}  # fmt: skip
_SCALARS = (
    "root", "head", "committed", "place", "keyring_root", "key_head", "key_place", "key_committed", "keyed",
    "locked",
)  # fmt: skip
_GONE: Any = object()


class Table(MutableMapping[K, V], Generic[K, V]):
    """A table in the file, that looks like a dict. What is set stays in memory until ``write``."""

    def __init__(self, db: Database, name: str, made_of: Callable[[Any], V]) -> None:
        self._db, self._name, self._made_of = db, name, made_of
        self._known: dict[K, Any] = {}
        self._changed: set[K] = set()

    def __getitem__(self, key: K) -> V:
        if key not in self._known:
            row = self._db.one(f"SELECT value FROM {self._name} WHERE name = ?", key)
            self._known[key] = self._made_of(json.loads(row[0])) if row else _GONE
        found = self._known[key]
        if found is _GONE:
            raise KeyError(key)
        return found  # type: ignore[no-any-return]

    def __setitem__(self, key: K, value: V) -> None:
        self._known[key] = value
        self._changed.add(key)

    def __delitem__(self, key: K) -> None:
        self[key]
        self._known[key] = _GONE
        self._changed.add(key)

    def __iter__(self) -> Iterator[K]:
        there = {name for (name,) in self._db.sql(f"SELECT name FROM {self._name}")}
        yield from (there - {k for k, v in self._known.items() if v is _GONE}) | {
            k for k, v in self._known.items() if v is not _GONE
        }

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def write(self) -> None:
        """Write what changed; within a transaction."""
        gone = [(key,) for key in self._changed if self._known[key] is _GONE]
        there = [(k, json.dumps(self._known[k])) for k in self._changed if self._known[k] is not _GONE]
        self._db.many(f"DELETE FROM {self._name} WHERE name = ?", gone)
        self._db.many(f"INSERT OR REPLACE INTO {self._name} VALUES (?, ?)", there)
        self._changed.clear()


class Facts:
    """The file, opened; made anew where it is damaged or of another version."""

    def __init__(self, folder: Path) -> None:
        """Open or make ``verified.db`` in ``folder`` (that is made too, 0700)."""
        self._path = local.private_folder(folder) / FILE
        self._reading = False
        try:
            self._open()
        except Unusable:
            remove(self._path)
            self._open()

    def _open(self) -> None:
        self._db = Database(self._path, None)
        if self._meta("version") != VERSION:
            self.close()
            remove(self._path)
            self._db = Database(self._path, None)
            self._path.chmod(0o600)
            with self._db.writing():
                self._db.run("CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID")
                for name in (*_STATE, *_TIES):
                    self._db.run(f"CREATE TABLE {name} (name PRIMARY KEY, value TEXT) WITHOUT ROWID")
                self._put("version", VERSION)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _meta(self, name: str) -> Any:
        if self._db.one("SELECT 1 FROM sqlite_master WHERE name = 'meta'") is None:
            return None
        row = self._db.one("SELECT value FROM meta WHERE name = ?", name)
        return json.loads(row[0]) if row else None

    def _put(self, name: str, value: Any) -> None:
        self._db.run("INSERT OR REPLACE INTO meta VALUES (?, ?)", name, json.dumps(value))

    def state(self) -> law.State:
        """Return what has been accepted, as it was saved last; what a state took in since and was not saved is left."""
        self._end()
        self._db.run("BEGIN")  # one view of the file, whatever another vrt saves meanwhile
        self._reading = True
        scalars = {name: value for name in _SCALARS if (value := self._meta(name)) is not None}
        ties = law.Ties(**{name: Table(self._db, name, made_of) for name, made_of in _TIES.items()})
        tables: dict[str, Any] = {name: Table(self._db, name, made_of) for name, made_of in _STATE.items()}
        return law.State(**scalars, **tables, ties=ties)

    def towards(self, repository: Repository, to: Heads) -> law.State:
        """Return what has been accepted on the way to ``to``; nothing, where that does not continue what was
        accepted.
        """
        state = self.state()
        old = (state.head, to.main), (state.key_head, to.keys)
        if not all(not a or repository.is_ancestor(a, b) for a, b in old):
            self.forget()  # the remote was mended, say
            state = self.state()
        return state

    def save(self, state: law.State) -> None:
        """Keep what the last ``state()`` took in. Another vrt that saved meanwhile has it in its own way."""
        try:
            for name in (*_STATE, *_TIES):
                getattr(state if name in _STATE else state.ties, name).write()
            for name in _SCALARS:
                self._put(name, getattr(state, name))
            self._db.run("COMMIT")
            self._reading = False
        except CannotWrite:
            self._end()

    def forget(self) -> None:
        """Throw away all that was accepted, so that it is checked from the root again."""
        self._end()
        with self._db.writing():
            for name in (*_STATE, *_TIES):
                self._db.run(f"DELETE FROM {name}")
            self._db.run("DELETE FROM meta WHERE name <> 'version'")

    def _end(self) -> None:
        if self._reading:
            self._reading = False
            with suppress(CannotWrite):
                self._db.run("ROLLBACK")
