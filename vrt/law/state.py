"""What the law has accepted so far. Pure."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from vrt import paths, roster
from vrt.errors import Breach
from vrt.law.ties import Ties
from vrt.model import Ticket
from vrt.roster import Roster


class Breaks(ValueError):
    """An event would break ``rule``. The text says why."""

    def __init__(self, rule: int, why: str) -> None:
        super().__init__(why)
        self.rule = rule


@dataclass(frozen=True)
class Commit:
    """A commit as the law sees it.

    ``signer`` is the key that made its good signature, None without one. ``changes`` are (status, mode, path, blob id)
    as git's raw diff has them. ``files`` holds what must be looked into: of the ledger the desk files that the commit
    adds or changes (mappings by path, text of ``allowed_signers`` and templates); of the keyring the first 8 hex digits
    of each file's SHA-256. ``flaw`` is the rule that already its reading found broken, and why.
    """

    id: str
    parents: tuple[str, ...]
    author: str
    committer: str
    authored: int
    committed: int
    message: str
    signer: str | None
    changes: tuple[tuple[str, str, str, str], ...]
    files: Mapping[str, Any] = field(default_factory=dict)
    flaw: tuple[int, str] | None = None


class Unlawful(Breach):
    """A commit breaks a rule. Its message names commit, rule and card."""

    def __init__(self, commit: Commit, rule: int, why: str) -> None:
        who = commit.author.partition(" ")[0] or "nobody"
        super().__init__(f"commit {commit.id} by {who} breaks rule {rule}: {why}")
        self.commit, self.rule, self.why = commit.id, rule, why


class Wrote(NamedTuple):
    """An event of the ledger: who did it, its ticket (empty for one of the desk), its place."""

    agent: str
    ticket: str
    place: int


class Sealed(NamedTuple):
    """Where in the ledger a key was given to a card last, and by whom."""

    place: int
    by: tuple[str, ...]


@dataclass
class State:
    """What the accepted commits add up to.

    The tables are plain dicts, or what looks like one and lies in a file (``vrt.storage.facts``): their values are
    never changed in place. A place counts the events of the ledger from 1.
    """

    root: str = ""
    head: str = ""
    committed: int = 0
    place: int = 0
    keyring_root: str = ""
    key_head: str = ""
    key_place: int = 0  # the place in the ledger that the keyring's last commit names
    key_committed: int = 0
    keyed: Mapping[str, tuple[int, str]] = field(default_factory=dict)  # handle -> where it got its keys, and by whom
    locked: int = 0  # the last place at which keys went out of use
    places: MutableMapping[str, int] = field(default_factory=dict)  # ledger commit -> place
    wrote: MutableMapping[str, Wrote] = field(default_factory=dict)  # by event id
    tickets: MutableMapping[str, Ticket] = field(default_factory=dict)
    # Whose agents may read a ticket: queues, ever, also of what it is merged into; and what is merged into it.
    homes: MutableMapping[str, tuple[str, ...]] = field(default_factory=dict)
    merged: MutableMapping[str, tuple[str, ...]] = field(default_factory=dict)
    desk: MutableMapping[int, Mapping[str, Any]] = field(default_factory=dict)  # place -> the desk files changed there
    used: MutableMapping[str, int] = field(default_factory=dict)  # recipient -> place where it came into use
    sealed: MutableMapping[str, Sealed] = field(default_factory=dict)  # by "desk/1.bob", "queues/q/1.bob" ...
    ties: Ties = field(default_factory=Ties)

    def __post_init__(self) -> None:
        self._turns = sorted(self.desk)
        self._rosters: dict[int, Roster] = {}

    @property
    def roster(self) -> Roster | None:
        """The roster at the head; None before the first event."""
        return self.roster_at(self.place) if self._turns else None

    @property
    def files(self) -> dict[str, Any]:
        """The desk files at the head, by path."""
        return self._files_at(self.place)

    def roster_at(self, place: int) -> Roster:
        """Return the roster as it was after the event at ``place``."""
        turn = self._turns[bisect_right(self._turns, place) - 1]
        if turn not in self._rosters:
            if len(self._rosters) > 64:
                self._rosters.clear()
            files = self._files_at(turn)
            self._rosters[turn] = roster.read({p: v for p, v in files.items() if p != paths.SIGNERS})
        return self._rosters[turn]

    def _files_at(self, place: int) -> dict[str, Any]:
        files: dict[str, Any] = {}
        for turn in self._turns[: bisect_right(self._turns, place)]:
            files |= self.desk[turn]
        return files

    def turn(self, place: int, files: Mapping[str, Any], after: Roster) -> None:
        """Take in that the event at ``place`` changed desk files, and what the roster is from there on."""
        self.desk[place] = {p: v for p, v in files.items() if not p.startswith("templates/")}
        insort(self._turns, place)
        self._rosters[place] = after


Get = Callable[[str], Ticket | None]
