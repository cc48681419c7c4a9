"""Where a desk stands, in words that two people can compare by telephone.

A host can show one history to one agent and another to the next, or keep things back. Each event names the one before
it, so two clones that have the same word at the same place have the same history up to there.
"""

from __future__ import annotations

from typing import Any

from vrt.desk import Desk
from vrt.errors import NotFound
from vrt.headword import headword
from vrt.storage import remote


def standing(desk: Desk, place: int | None = None) -> dict[str, Any]:
    """Return where the ledger stands, or stood after the event at ``place``.

    ``place`` (events from 1), ``commit``, ``word``; the ``root`` and its ``root_word``; ``published``: the place that
    the remote had when it was seen last, None where it never was; ``unpublished``: how many events are only here.
    Raises ``NotFound`` where the ledger has no event at ``place``.
    """
    index, seen = desk.index, remote.seen(desk.repository).main
    last = index.last()
    if place is not None and not 1 <= place <= last:
        raise NotFound(f"the ledger has no event {place}, it stands at {last}", "vrt status")
    commit, root = index.event(place or last).commit, index.event(1).commit
    row = next(index.sql('SELECT seq FROM event WHERE "commit" = ?', [bytes.fromhex(seen)]), None) if seen else None
    return {
        "place": place or last, "commit": commit, "word": headword(commit), "root": root, "root_word": headword(root),
        "published": row and row[0], "unpublished": last - row[0] if row else (last if desk.remote else 0),
    }  # fmt: skip
