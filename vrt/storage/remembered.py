"""What the index remembers of both branches besides tickets: the roster and the opened keyring."""

from __future__ import annotations

from typing import Any

from vrt import paths, roster
from vrt.model import Event
from vrt.storage.index import Index
from vrt.storage.keyring import Keyring


def read_roster(index: Index) -> roster.Roster:
    """Return the roster that the index remembers."""
    return roster.read(index.meta("roster"))


def write_roster(known: roster.Roster) -> dict[str, Any]:
    """Return the roster as the index remembers it."""
    files = {paths.DESK: roster.write(known.desk)}
    files |= {paths.card(h): roster.write(c) for h, c in known.cards.items()}
    return files | {paths.queue(n): roster.write(q) for n, q in known.queues.items()}


def read_keyring(index: Index) -> Keyring:
    """Return the opened keyring that the index remembers."""
    found = index.meta("keyring") or {"queues": {}, "secrets": {}}
    queues = {q: {int(e): s for e, s in epochs.items()} for q, epochs in found["queues"].items()}
    return Keyring(queues, {int(e): bytes.fromhex(s) for e, s in found["secrets"].items()}, found.get("now", 1),
                   found.get("rules", {}))  # fmt: skip


def write_keyring(ring: Keyring) -> dict[str, Any]:
    """Return the opened keyring as the index remembers it."""
    return {
        "now": ring.now,
        "queues": ring.queues,
        "secrets": {e: s.hex() for e, s in ring.secrets.items()},
        "rules": ring.rules,
    }


def rules_set(index: Index) -> Event | None:
    """Return the event that set the intake rules last, None where the desk has none."""
    query = "SELECT seq FROM event WHERE ticket = 0 AND action = 'rules-set' ORDER BY seq DESC LIMIT 1"
    return next((index.event(seq) for (seq,) in list(index.sql(query))), None)
