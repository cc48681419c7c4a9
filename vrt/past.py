"""What both branches say of the past: who was a member when, and what the keyring gave to whom.

Told from the commits, with what the index knows of their order; nothing is opened.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

from vrt import paths, roster
from vrt.desk import Desk
from vrt.errors import Breach
from vrt.model import Card, Queue
from vrt.roster import Roster
from vrt.storage.articles import load_yaml
from vrt.storage.reading import Reader, commits

T = TypeVar("T")

_LEDGER = re.compile(rb"\n\nLedger: ([0-9a-f]{40})\n\Z")
_EVENT = re.compile(rb"^Event: ([0-9A-Za-z-]+)$", re.MULTILINE)
_COMMITTED = re.compile(rb"^committer .* ([0-9]{1,12}) \+0000$", re.MULTILINE)


class Stage(NamedTuple):
    """The roster from a ``place`` of the ledger on; ``time`` is that of the event, ``robbed`` whose keys it calls
    stolen.
    """

    place: int
    time: int
    roster: Roster
    robbed: str


class File(NamedTuple):
    """A file of the keyring. ``place`` is that in the ledger which its commit names; 0: none, as the root does."""

    key: paths.Key
    blob: str
    place: int
    time: int
    commit: str


class Past:
    """What both branches say of who was a member when, up to a commit of the ledger. Places count from 1."""

    def __init__(self, desk: Desk, objects: Reader, head: str) -> None:
        self.desk, self.objects = desk, objects
        self.last = self.place(head)
        self._cards: dict[str, Card] = {}  # by the id of their blob: most stay as they are from event to event
        self._queues: dict[str, Queue] = {}
        self.stages = list(self._read_stages())

    @property
    def roster(self) -> Roster:
        """The roster at the end."""
        return self.stages[-1].roster

    def place(self, commit: str) -> int:
        """Return the place of a commit of the ledger, 0 for what is none."""
        named = _EVENT.search(self.objects.find(commit) or b"")
        query = 'SELECT seq FROM event WHERE id = ? AND "commit" = ?'
        rows = self.desk.index.sql(query, (named.group(1).decode(), bytes.fromhex(commit))) if named else iter(())
        return int(next(rows, (0,))[0])

    def _read_stages(self) -> Iterator[Stage]:
        query = 'SELECT seq, time, "commit", trailers, action FROM event WHERE ticket = 0 AND seq <= ? ORDER BY seq'
        rows = [(*row[:3], json.loads(row[3]), row[4]) for row in self.desk.index.sql(query, (self.last,))]
        let_in = {facts["Agent"]: seq for seq, _, _, facts, action in rows if action == "agent-rekey"}
        for seq, time, commit, facts, action in rows:
            gone = "Stolen" in facts or (action == "agent-dismiss" and let_in.get(facts["Agent"], 0) > seq)
            cards = self._files(commit.hex(), "agents", roster.read_card, self._cards)
            queues = self._files(commit.hex(), "queues", roster.read_queue, self._queues)
            known = Roster(self.desk.roster.desk, cards, queues)
            yield Stage(seq, time, known, facts["Agent"] if gone else "")

    def _files(
        self, commit: str, folder: str, read: Callable[[str, Mapping[str, Any]], T], known: dict[str, T]
    ) -> dict[str, T]:
        out = {}
        for file, (_, blob) in self.objects.folder(commit, folder).items():
            name = file.removesuffix(".yaml")
            if blob not in known:
                known[blob] = read(name, load_yaml(self.objects.read(blob), f"{folder}/{file}"))
            out[name] = known[blob]
        return out

    def roster_at(self, place: int) -> Roster:
        """Return the roster after the event at ``place``."""
        return self.stages[max(0, bisect_right(self.stages, place, key=lambda s: s.place) - 1)].roster

    def could_read(self, handle: str, queue: str, epoch: int, place: int) -> bool:
        """Say whether the ledger let a card read an epoch of a queue at ``place`` or later; else a file is planted."""
        first = max(0, bisect_right(self.stages, place, key=lambda s: s.place) - 1)
        return any(_reads(s.roster, handle, queue, epoch) for s in self.stages[first:])

    def thefts(self, handle: str, place: int) -> list[int]:
        """Return the places after ``place`` at which the keys that a card had are called stolen."""
        return [s.place for s in self.stages if s.robbed == handle and s.place > place]

    def keys(self, head: str, folder: str) -> Iterator[File]:
        """Yield the files that the keyring got in ``folder``, oldest first."""
        if not head:
            return
        running = self.desk.repository.start(
            "log", "--reverse", "--format=%x01%H", "--raw", "-z", "-r", "--root", "--no-abbrev", "--no-renames",
            "--end-of-options", head, "--", folder,
        )  # fmt: skip
        found = list(commits(running.stdout))
        if running.wait():
            raise Breach(f"git cannot read the keyring up to {head[:12]}", "vrt verify")
        read = list(self.objects.many(commit for commit, _ in found))  # whole: a place is read in between
        for (commit, changes), data in zip(found, read, strict=True):
            named, dated = _LEDGER.search(data or b""), _COMMITTED.search(data or b"")
            place = self.place(named.group(1).decode()) if named else 0
            for _, _, blob, path in changes:
                if key := paths.parse_key(path):
                    yield File(key, blob, place, int(dated.group(1)) if dated else 0, commit)


def _reads(known: Roster, handle: str, queue: str, epoch: int) -> bool:
    card = known.cards.get(handle)
    if card is None or queue not in known.queues or known.queues[queue].epoch < epoch:
        return False
    return card in known.readers(queue) and card.since.get(queue, 1) <= epoch
