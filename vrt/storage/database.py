"""An encrypted SQLite file. The only user of apsw.

SQLite3 Multiple Ciphers encrypts and authenticates every page (ChaCha20-Poly1305, raw key), those of the write-ahead
log included; what a query sorts stays in memory. Knows nothing of what the tables mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from vrt.errors import TryAgain


class Unusable(Exception):
    """The file is missing, damaged, of another key or of another version: make it anew."""


class CannotWrite(TryAgain):
    """The file is in order, but cannot be written or read now."""


_SETTINGS = """
PRAGMA temp_store = MEMORY; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -32000
"""
_PASSING = (apsw.FullError, apsw.LockedError, apsw.IOError, apsw.ReadOnlyError, apsw.BusyError, apsw.CantOpenError)
_SUFFIXES = ("", "-wal", "-shm", "-journal")


@contextmanager
def _errors() -> Iterator[None]:
    """Turn SQLite's errors into ours. A mistake in a query stays what it is, a bug."""
    try:
        yield
    except _PASSING as exc:
        raise CannotWrite(f"the index cannot be used now: {exc}", "is the disk full? it heals by itself") from exc
    except (apsw.CorruptError, apsw.NotADBError, apsw.SchemaChangeError) as exc:
        raise Unusable("damaged") from exc


class Database:
    """An open file."""

    def __init__(self, path: Path, key: bytes | None) -> None:
        """Open or make the file at ``path`` with a 32-byte key (None: in the clear); raises ``Unusable``,
        ``CannotWrite``.
        """
        with _errors():
            self._db = apsw.Connection(str(path))
            self._db.set_busy_timeout(10_000)
            if key is not None:
                self._db.pragma("key", "raw:" + key.hex())
            self._db.execute(_SETTINGS)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One transaction: all or nothing."""
        with _errors(), self._db:
            yield

    def sql(self, query: str, values: Iterable[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query."""
        with _errors():
            yield from self._db.execute(query, tuple(values))

    def one(self, query: str, *values: Any) -> tuple[Any, ...] | None:
        """Return the first row of a query, or None."""
        return next(self.sql(query, values), None)

    def run(self, query: str, *values: Any) -> int:
        """Carry out a statement and return the rowid of what it inserted last."""
        with _errors():
            self._db.execute(query, values)
            return self._db.last_insert_rowid()

    def many(self, query: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Carry out a statement for each of ``rows``."""
        with _errors():
            self._db.executemany(query, rows)


def remove(path: Path) -> None:
    """Remove a database and its side files."""
    import shutil

    for suffix in _SUFFIXES:
        found = path.with_name(path.name + suffix)
        if found.is_dir():
            shutil.rmtree(found)
        found.unlink(missing_ok=True)
