"""Changes of the desk itself: desk files and keys, checked against the law, and recorded as an admin's event."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from vrt import paths, roster
from vrt.desk import Desk
from vrt.errors import Conflict, NotAllowed
from vrt.law import Breaks
from vrt.law import desk as desklaw
from vrt.model import ADMIN, Card, DeskConfig, Event, Queue
from vrt.roster import Roster
from vrt.storage import articles, local
from vrt.storage.git import Repository

P = ParamSpec("P")
T = TypeVar("T")
Item = Card | Queue | DeskConfig


def in_turn(change: Callable[Concatenate[Desk, P], T]) -> Callable[Concatenate[Desk, P], T]:
    """Let a change of the desk look at the roster and record under one hold of the lock: two people take turns."""

    @wraps(change)
    def wrapper(desk: Desk, /, *args: P.args, **values: P.kwargs) -> T:
        desk.signer  # noqa: B018 - it may ask for a passphrase, and nobody is to wait for that
        with desk.writing():
            done = change(desk, *args, **values)
        desk.catch_up()
        return done

    return wrapper


def alone(change: Callable[Concatenate[Desk, P], T]) -> Callable[Concatenate[Desk, P], T]:
    """Let an admin, and nobody else, change the desk ``in_turn``."""

    @wraps(change)
    def wrapper(desk: Desk, /, *args: P.args, **values: P.kwargs) -> T:
        if not desk.me.has(ADMIN):
            raise NotAllowed(f"{desk.me.handle} is no admin", "ask one: vrt agent list --role admin")
        return change(desk, *args, **values)

    return in_turn(wrapper)


def record(
    desk: Desk, action: str, trailers: dict[str, str], items: Sequence[Item], keys: Sequence[tuple[str, bytes]],
    signers: str = "", event: Event | None = None, texts: Mapping[str, str] | None = None,
) -> None:  # fmt: skip
    """Record an event of the desk: the desk files of ``items``, ``keys``, and lines added to allowed_signers.

    ``event`` is given where its id had to be known before; ``texts`` are files (path to content) that are no YAML.
    """
    before = desk.roster
    cards = {i.handle: i for i in items if isinstance(i, Card)}
    queues = {i.name: i for i in items if isinstance(i, Queue)}
    config = next((i for i in items if isinstance(i, DeskConfig)), before.desk)
    after = Roster(config, {**before.cards, **cards}, {**before.queues, **queues})
    event = event or desk.event(action, trailers=trailers)
    files = {_path(i): articles.dump_yaml(roster.write(i)) for i in items}
    files |= {path: text.encode() for path, text in (texts or {}).items()}
    write = desk.writer()
    try:
        with desk.repository.reader() as reader:
            old = reader.read(f"{write.main}:{paths.SIGNERS}").decode()
        if signers:
            files[paths.SIGNERS] = (old + signers).encode()
        check_lawful(before, after, event, files, old, old + signers)
        for path, data in keys:
            write.add_key(path, data)
        write.add(event, files)
        write.record(desk.lock)
    finally:
        write.close()
    if signers:
        write_signers(desk.repository, old + signers)


def _path(item: Item) -> str:
    if isinstance(item, DeskConfig):
        return paths.DESK
    return paths.card(item.handle) if isinstance(item, Card) else paths.queue(item.name)


def still_lawful(desk: Desk, event: Event, after: Roster, files: dict[str, bytes]) -> None:
    """Raise ``Conflict`` where ``event``, which changed the desk by ``files`` before, may not make ``after`` of it
    now.
    """
    with desk.repository.reader() as reader:
        old = reader.read(f"{desk.repository.heads().main}:{paths.SIGNERS}").decode()
    new = files[paths.SIGNERS].decode() if paths.SIGNERS in files else old
    check_lawful(desk.roster, after, event, files, old, new)


def check_lawful(before: Roster, after: Roster, event: Event, files: dict[str, bytes], old: str, new: str) -> None:
    """Raise ``Conflict`` where the law would refuse the event: it could never be taken back."""
    known: list[Item] = [before.desk, *before.cards.values(), *before.queues.values()]
    there = {_path(item) for item in known} | {paths.SIGNERS}
    changes = [("M" if path in there else "A", "100644", path, "") for path in files]
    try:
        desklaw.check_signer(before.cards[event.agent], event, before, after)
        desklaw.check_desk(changes, event, before, after, old, new)
    except Breaks as exc:
        raise Conflict(str(exc), "vrt agent list, vrt queue list") from None


def write_signers(repository: Repository, signers: str) -> None:
    """Write the file that git checks signatures against."""
    local.write_private(repository.path / local.FOLDER / "allowed_signers", signers.encode())
