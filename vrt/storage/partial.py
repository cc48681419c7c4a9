"""A repository without the older articles: which of its objects are not here, and how git is kept from minding.

git calls what may be missing promised: by the packs that a ``.promisor`` file lies beside (git help partial-clone). No
setting in the repository says so, and so no git that reads ever fetches by itself; those that must know are told on
their command line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from vrt import paths
from vrt.storage import local
from vrt.storage.git import Repository
from vrt.storage.reading import commits

if TYPE_CHECKING:
    from vrt.storage.index import Index

REMOTE = "vrt-promised"  # what git calls the remote where it is told that the remote has what is missing
_PROMISED = f"remote.{REMOTE}.promisor=true"
_BEFORE = "promised"  # a file in ``vrt/``, while branches are fetched: the marks that were there before
_DESK_FILES = (paths.DESK, paths.SIGNERS, "agents", "queues", "templates")


def is_partial(repository: Repository) -> bool:
    """Say whether older articles may be missing here."""
    return any(_marks(repository))


def _marks(repository: Repository) -> Iterator[Path]:
    return (repository.path / "objects/pack").glob("*.promisor")


def options(repository: Repository) -> list[str]:
    """Return the options for a git that walks all objects (fsck, repack), so that what is promised may be missing."""
    return ["-c", _PROMISED] if is_partial(repository) else []


def fetching(where: str) -> list[str]:
    """Return the options for a git that fetches from ``REMOTE`` what may refer to objects that are not here."""
    filtered = f"remote.{REMOTE}.partialclonefilter=blob:none"  # else git would write that into the settings
    return ["-c", f"remote.{REMOTE}.url={where}", "-c", _PROMISED, "-c", filtered]


def become_full(repository: Repository) -> None:
    """Say that nothing is missing here."""
    for path in list(_marks(repository)):
        path.unlink()


@contextmanager
def unpromised(repository: Repository) -> Iterator[None]:
    """Take away the marks of the packs that are fetched within.

    They refer to what was done here; git would call that promised too, and leave it out when it packs all anew.
    """
    settle(repository)
    names = {path.name for path in _marks(repository)}
    local.write_private(repository.path / local.FOLDER / _BEFORE, "\n".join(sorted(names)).encode())
    try:
        yield
    finally:
        _keep(repository, names)


def settle(repository: Repository) -> None:
    """Take away the marks that a fetch has left which was killed. Only under the lock of ``sync``."""
    before = repository.path / local.FOLDER / _BEFORE
    if before.exists():
        _keep(repository, set(before.read_text("ascii").split()))


def _keep(repository: Repository, names: set[str]) -> None:
    for path in [p for p in _marks(repository) if p.name not in names]:
        path.unlink(missing_ok=True)
    (repository.path / local.FOLDER / _BEFORE).unlink(missing_ok=True)


def missing(repository: Repository, ids: Iterable[str]) -> list[str]:
    """Return those of ``ids`` that are no object here, each once."""
    wanted = list(dict.fromkeys(ids))
    if not wanted:
        return []
    rows = repository.run("cat-file", "--batch-check", feed=["".join(f"{i}\n" for i in wanted).encode()]).decode()
    return [i for i, row in zip(wanted, rows.splitlines(), strict=True) if row.endswith(" missing")]


def desk_files(repository: Repository, head: str) -> list[str]:
    """Return the blobs of all desk files that the ledger ever had up to ``head``: the law needs them."""
    running = repository.start(
        "log", "--format=%x01%H", "--raw", "-z", "-r", "--root", "--no-abbrev", "--no-renames", "--full-history", "-m",
        "--no-textconv", head, "--", *_DESK_FILES,
    )  # fmt: skip
    found = [b for _, changes in commits(running.stdout) for status, _, b, _ in changes if status in "AM"]
    running.wait()
    return found


def articles(repository: Repository, head: str, since: str) -> tuple[list[str], list[str]]:
    """Return the blobs of the articles of all tickets, those first in which an event is dated ``since`` or later.

    ``since`` is as event ids begin: ``20261120T093205Z``. A ticket is taken as a whole: half of one is of no use.
    """
    tickets: dict[str, list[str]] = {}
    touched = set()
    for path, blob in repository.added("", head):
        folder, _, name = path.rpartition("/")
        if path.startswith("tickets/"):
            if name[:16] >= since:
                touched.add(folder)
            if name.endswith(".age"):
                tickets.setdefault(folder, []).append(blob)
    new = [b for folder, blobs in tickets.items() if folder in touched for b in blobs]
    return new, [b for folder, blobs in tickets.items() if folder not in touched for b in blobs]


_CLOSED = "FROM article a JOIN ticket t ON t.number = a.ticket WHERE a.key IS NULL AND a.seq > ?"


def unseen(repository: Repository, index: Index, queues: Sequence[str] | None = None, since: int = 0) -> int:
    """Return how many articles after the place ``since`` are not here, of tickets in ``queues`` (None: in any).

    Each is looked for, some 30,000 a second.
    """
    if not is_partial(repository):
        return 0
    among = "" if queues is None else f" AND t.queue IN ({', '.join('?' * len(queues))})"
    rows = index.sql(f"SELECT a.md {_CLOSED}{among}", (since, *(queues or ())))
    return len(missing(repository, (md.hex() for (md,) in rows)))


def unread(repository: Repository, index: Index, queues: Sequence[str]) -> int:
    """Return how many articles in ``queues`` are not open in a partial desk: nearly all for not being here."""
    if not is_partial(repository):
        return 0
    among = f" AND t.queue IN ({', '.join('?' * len(queues))})"
    return int(next(index.sql(f"SELECT count(*) {_CLOSED}{among}", (0, *queues)))[0])
