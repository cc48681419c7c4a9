"""What a check of the doctor finds, and what it looks at: a desk, of which every part may be damaged.

So nothing is opened before it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from vrt.desk import Desk
from vrt.errors import VrtError
from vrt.model import Card
from vrt.storage import crypt, local
from vrt.storage.database import Unusable
from vrt.storage.git import MAIN
from vrt.storage.index import Index

OK, WARN, BAD = "ok", "warn", "bad"


class Finding(NamedTuple):
    """One sentence of a check; ``hint`` is the command that mends it, ``mend`` does so where that is safe."""

    state: str
    text: str
    hint: str = ""
    mend: Callable[[], object] | None = None
    check: str = ""


Check = Callable[["Patient"], Iterator[Finding]]


class Patient:
    """A desk that may be damaged, and the machine that it is on."""

    def __init__(self, path: Path, network: bool) -> None:
        """``network``: whether the remote may be asked."""
        self.path, self.network = path, network
        self.folder = path / local.FOLDER
        self.desk = Desk(path)

    @property
    def now(self) -> int:
        """The clock of this machine, in epoch seconds."""
        return self.desk.now

    def git(self, *args: str) -> str:
        """Run git in the desk and return what it prints; raises ``VrtError``."""
        return self.desk.repository.run(*args).decode("utf-8", "replace")

    @cached_property
    def head(self) -> str:
        """The commit that the ledger stands at; raises ``VrtError`` where there is none or the ref is damaged."""
        found = self.desk.repository.heads().main
        if not found:
            raise VrtError(f"there is no ledger: {MAIN} is missing", "vrt clone the desk's remote, or take a backup")
        return found

    @cached_property
    def newest(self) -> int:
        """The date of the ledger's last event, in epoch seconds."""
        return int(self.git("log", "-1", "--format=%ct", self.head, "--"))

    @cached_property
    def card(self) -> Card | None:
        """The card of this clone, as the ledger has it; None where it has none."""
        from vrt.storage.replay import roster_at

        with self.desk.repository.reader() as reader:
            return roster_at(reader, self.head).cards.get(self.desk.keys.config.card)

    @cached_property
    def index(self) -> Index:
        """The index as it is; raises ``Unusable``, ``VrtError`` where the key is not at hand."""
        try:
            sealed = (self.folder / "index.key.age").read_bytes()
        except FileNotFoundError:
            raise Unusable("missing") from None
        try:
            key = crypt.unseal(sealed, self.desk.keys.identities())
        except crypt.CannotOpen:
            raise Unusable("sealed to another key") from None
        return Index(self.folder / "index.db", key)


def ok(text: str) -> Finding:
    """Say what is in order."""
    return Finding(OK, text)


def warn(text: str, hint: str, mend: Callable[[], object] | None = None) -> Finding:
    """Say what somebody should see to."""
    return Finding(WARN, text, hint, mend)


def bad(text: str, hint: str, mend: Callable[[], object] | None = None) -> Finding:
    """Say what keeps the desk from working, or from being safe."""
    return Finding(BAD, text, hint, mend)


def span(seconds: float) -> str:
    """Return a span of time as people say it: ``5 minutes``, ``3 days``."""
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {unit}{'s' * (count > 1)}"
    return "less than a minute"


def count(number: int, one: str, many: str) -> str:
    """Return a count with its noun."""
    return f"{number:,} {one if number == 1 else many}"
