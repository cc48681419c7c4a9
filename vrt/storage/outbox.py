"""The messages of ours that are not done with, as the index knows them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from vrt.storage.index import Index

PATIENCE = 900  # seconds that handing over a message may take on another machine
_ORDER = "(SELECT seq FROM event e WHERE e.id = outbox.id)"  # the ledger's: of one second there may be two


class Waiting(NamedTuple):
    """A message of ours that is not done with: the event that queued it, who sends it, who wrote it, its state.

    ``queued`` and ``since`` (when it came into its state) are epoch seconds.
    """

    id: str
    ticket: str
    sender: str
    agent: str
    state: str
    queued: int
    since: int


def waiting(index: Index, where: str = "1", values: Iterable[Any] = ()) -> list[Waiting]:
    """Return the messages, oldest first, that a SQL condition on the table ``outbox`` selects."""
    query = f"SELECT id, ticket, sender, agent, state, queued, since FROM outbox WHERE {where} ORDER BY {_ORDER}"
    return [Waiting(id_, str(ticket), *rest) for id_, ticket, *rest in index.sql(query, values)]


def in_doubt(me: str, now: int, sender: str, since: int) -> bool:
    """Say whether a message that is being handed over since ``since`` is in doubt, as the card ``me`` sees it.

    Of another machine nobody knows whether it is still at it; after some minutes it is not. Times in epoch seconds.
    """
    return sender == me or since < now - PATIENCE
