"""Where the public keys of signatures come from (RFC 6376 section 3.6): a file of the node, or the DNS.

Sole user of dnspython. A lookup takes a name like ``sel._domainkey.example.org`` and returns its TXT record or
None; it can be pickled, for it travels to worker processes. Knows nothing of mail.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from vrt.errors import UsageError

Lookup = Callable[[str], bytes | None]


class FileKeys:
    """Keys from a file: one record a line (``sel._domainkey.example.org v=DKIM1; k=rsa; p=…``), ``#`` comments."""

    def __init__(self, path: Path) -> None:
        """Read ``path``; a missing file has no keys. Raises ``UsageError`` for a line that is no record."""
        self._records: dict[str, bytes] = {}
        try:
            lines = path.read_text("utf-8", "replace").splitlines()
        except FileNotFoundError:
            return
        for number, line in enumerate(lines, 1):
            name, record = [*line.split(None, 1), "", ""][:2]
            if not name or name.startswith("#"):
                continue
            if "._domainkey." not in name or "p=" not in record or not record.isascii():
                raise UsageError(
                    f"{path}, line {number}: not a DKIM key", "write: selector._domainkey.example.org v=DKIM1; p=…"
                )
            self._records[name.lower().rstrip(".")] = record.strip().replace('"', "").encode()

    def __call__(self, name: str) -> bytes | None:
        """Return the record of a name like ``sel._domainkey.example.org``, None if it is not at hand."""
        return self._records.get(name)


class DnsKeys:
    """Keys from the DNS. Whoever signs a mail learns when it was read: to be used only where that is wanted."""

    _KEPT, _MISSED, _REST = 3600.0, 300.0, 60.0  # seconds: a key, a miss, the pause after timeouts
    _TIMEOUTS = 3
    _SIZE = 1000

    def __init__(self, timeout: float = 3.0) -> None:
        """``timeout``: seconds for one lookup, all servers and tries together."""
        self.timeout = timeout
        self._cache: dict[str, tuple[float, bytes | None]] = {}
        self._late, self._resting = 0, 0.0

    def __reduce__(self) -> tuple[type[DnsKeys], tuple[float]]:
        return DnsKeys, (self.timeout,)

    def __call__(self, name: str) -> bytes | None:
        """Return the record of ``name``; None for every error.

        After three timeouts in a row nothing is asked for a minute.
        """
        now = time.monotonic()
        until, record = self._cache.get(name, (0.0, None))
        if now < until or now < self._resting:
            return record if now < until else None
        record = self._ask(name)
        if len(self._cache) >= self._SIZE:
            self._cache.clear()
        self._cache[name] = (now + (self._MISSED if record is None else self._KEPT), record)
        return record

    def _ask(self, name: str) -> bytes | None:
        import dns.exception
        import dns.resolver

        try:
            answer = dns.resolver.resolve(name + ".", "TXT", lifetime=self.timeout, search=False)
            self._late = 0
            records = [b"".join(found.strings) for found in answer]
        except dns.exception.Timeout:
            self._late += 1
            if self._late >= self._TIMEOUTS:
                self._late, self._resting = 0, time.monotonic() + self._REST
            return None
        except Exception:  # no such name, no server, a name too long
            self._late = 0
            return None
        keys = [record for record in records if record.startswith(b"v=DKIM1")] or records
        return keys[0] if len(keys) == 1 else None  # of two nobody says which (RFC 6376 section 3.6.2.2)


class FirstOf(NamedTuple):
    """Keys from the first of several places that has them."""

    lookups: tuple[Lookup, ...]

    def __call__(self, name: str) -> bytes | None:
        """Return the record of ``name``, None if no place has it."""
        found = (record for lookup in self.lookups if (record := lookup(name)) is not None)
        return next(found, None)
