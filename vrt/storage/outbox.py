"""The messages of ours that are not done with, as the index knows them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from vrt.storage.index import Index


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
    query = f"SELECT id, ticket, sender, agent, state, queued, since FROM outbox WHERE {where} ORDER BY queued, id"
    return [Waiting(id_, str(ticket), *rest) for id_, ticket, *rest in index.sql(query, values)]
