"""The queues of a desk. Each change is an event that an admin signs."""

from __future__ import annotations

from typing import Any

from vrt import roster
from vrt.changes import alone, record
from vrt.desk import Desk
from vrt.errors import Conflict, UsageError
from vrt.mail import compose
from vrt.model import Queue
from vrt.roster import Roster
from vrt.storage import crypt, keyring

_LONGEST_DELAY, _LONGEST_TITLE = 86400, 100


@alone
def add_queue(desk: Desk, /, queue: Queue) -> Queue:
    """Make a queue with a key of its own; the caller becomes its first member. Returns it as recorded."""
    roster.check_name(queue.name, "a queue")
    if queue.name in desk.roster.queues or queue.name in desk.roster.cards:
        raise Conflict(f"there is a queue or an agent named {queue.name} already", "vrt queue list")
    secret, public = crypt.new_identity()
    queue = queue._replace(recipient=public, epoch=1)
    _check_queue(desk, queue)
    me = desk.me._replace(queues=tuple(sorted({*desk.me.queues, queue.name})))
    known = Roster(desk.roster.desk, {**desk.roster.cards, me.handle: me}, desk.roster.queues)
    keys = [keyring.seal_queue(queue.name, 1, secret, c.handle, c.recipient) for c in known.readers(queue.name)]
    record(desk, "queue-add", {"Queue": queue.name}, [queue, me], keys)
    return queue


@alone
def set_queue(desk: Desk, /, name: str, **values: Any) -> Queue:
    """Change settings of a queue and return it; raises ``UsageError`` where nothing would change."""
    old = desk.roster.queue(name)
    queue = old._replace(**values)
    if queue == old:
        raise UsageError(f"{name} is like that already", f"vrt queue show {name}")
    _check_queue(desk, queue)
    record(desk, "queue-set", {"Queue": name}, [queue], [])
    return queue


def _check_queue(desk: Desk, queue: Queue) -> None:
    try:
        roster.read_queue(queue.name, roster.write(queue))
    except roster.BadDeskFile as exc:
        raise UsageError(str(exc)) from None
    if roster.seconds(queue.send_delay) > _LONGEST_DELAY:
        raise UsageError(f"{queue.send_delay} is too long to hold a message back", "at most 1d; 0m sends at once")
    if len(queue.title) > _LONGEST_TITLE or not queue.title.isprintable():
        raise UsageError(f"the title of a queue is one line of at most {_LONGEST_TITLE} characters")
    for address in queue.addresses:
        try:
            sendable = compose.sendable(address)
        except ValueError as exc:
            raise UsageError(f"{address!r} is no mail address: {exc}", "write it as info-en@example.org") from None
        if sendable != address:
            raise UsageError(f"{address!r} is written {sendable} in mail", f"--address {sendable}")
        owner = desk.roster.queue_of_address(address)
        if owner and owner.name != queue.name:
            raise Conflict(f"{address} belongs to the queue {owner.name}", f"vrt queue show {owner.name}")
    for name in queue.move_from:
        desk.roster.queue(name)
