"""Both branches as the law sees them: git commits turned into ``law.Commit`` values, and held against it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

from vrt import law, paths
from vrt.errors import Breach, VrtError
from vrt.storage import crypt, objects, signing
from vrt.storage.articles import load_yaml
from vrt.storage.git import Heads, Repository
from vrt.storage.reading import Logged, Reader

AHEAD = 300  # seconds that a clock may be ahead of the host's
LARGEST = 1 << 18  # bytes of a desk file: to read one takes 3 s and 150 MB for each MB
AGE_HEAD = b"age-encryption.org/v1\n"


def follow(
    repository: Repository, state: law.State, to: Heads, show: Callable[[int], None] | None = None, *, host: int = 0
) -> None:
    """Take the commits of both branches up to ``to`` into ``state``, the ledger first.

    ``show`` is told how many events were taken. ``host`` is the clock (epoch seconds) of a host that checks what is
    pushed to it: no event may be more than five minutes ahead of that, and what was said must be sealed. Raises
    ``Breach``, for a commit that breaks a rule ``law.Unlawful``; ``state`` is then what was lawful before it.
    """
    if not to.main or not to.keys:
        raise Breach(f"the {'keyring' if to.main else 'ledger'} is missing")
    before, breach = (state.head, state.key_head), None
    first = state.place
    try:
        for commit in commits(repository, state.head, to.main, host) if state.head != to.main else ():
            law.check(state, commit)
            if show:
                show(state.place - first)
    except law.Unlawful as exc:
        breach = exc
    try:
        for commit in commits(repository, state.key_head, to.keys) if state.place and state.key_head != to.keys else ():
            law.check_key(state, commit)
    except law.Unlawful as exc:
        breach = breach or exc
    if (state.head, state.key_head) != to:
        _check_continues(repository, before, to)
    if breach:
        raise breach


def check_root(pinned: str, root: str) -> None:
    """Raise ``Breach`` unless the ledger begins with the commit that a clone took as its root (empty: any)."""
    if pinned and root != pinned:
        raise Breach(f"the ledger begins with {root[:16]}, but this desk's root is {pinned[:16]}", "ask an admin")


def _check_continues(repository: Repository, before: tuple[str, str], to: Heads) -> None:
    for name, old, new in zip(("ledger", "keyring"), before, to, strict=True):
        if old and not repository.is_ancestor(old, new):
            raise Breach(f"the {name} does not continue what it was at {old[:12]}: rule {8 if name == 'ledger' else 9}")


def commits(repository: Repository, since: str, until: str, host: int = 0) -> Iterator[law.Commit]:
    """Yield the commits after ``since`` (empty: from the root) up to ``until``, oldest first, signatures checked."""
    with repository.reader() as reader:
        log = repository.log(since, until)
        while some := list(islice(log, 64)):
            sealed = [b for logged in some for _, _, b, path in logged.changes if paths.parse_key(path)]
            hashes = {
                b: crypt.hash8(data) for b, data in zip(sealed, reader.many(sealed), strict=True) if data is not None
            }
            for logged in some:
                yield read(logged, reader, host, hashes)


def read(logged: Logged, reader: Reader, host: int = 0, hashes: Mapping[str, str] = {}) -> law.Commit:
    """Return a logged commit as the law sees it; what is wrong already here is its ``flaw``."""
    payload, armor = objects.unsigned(logged.data)
    head, _, message = payload.partition(b"\n\n")
    rows: dict[str, list[str]] = {}
    for row in head.decode("utf-8", "replace").split("\n"):
        name, _, value = row.partition(" ")
        rows.setdefault(name, []).append(value)
    author, authored, fair = _who(rows, "author")
    committer, committed, fair_too = _who(rows, "committer")
    files, readable = _files(logged, reader, hashes)
    flaw = None
    if not (fair and fair_too):
        flaw = 1, "its author or committer is not in the form of an event"
    elif set(rows) - {"tree", "parent", "author", "committer"}:
        flaw = 4, "it has a header that no event has"
    elif not readable:
        flaw = 6, "a desk file cannot be read"
    elif host:
        flaw = _not_for_a_host(logged, reader, committed - host)
    return law.Commit(
        logged.id, tuple(rows.get("parent", ())), author, committer, authored, committed,
        message.decode("utf-8", "replace"), signing.verify(payload, armor) if armor else None,
        tuple((status, mode, path, blob) for status, mode, blob, path in logged.changes), files, flaw,
    )  # fmt: skip


def _files(logged: Logged, reader: Reader, hashes: Mapping[str, str]) -> tuple[dict[str, Any], bool]:
    """Return what ``law.Commit.files`` holds of a commit, and whether all could be read."""
    files: dict[str, Any] = {}
    for status, mode, blob, path in logged.changes:
        if status not in "AM" or mode != "100644":
            continue
        if paths.desk_file(path):
            text = reader.read(blob)
            if not paths.is_text(path) and len(text) > LARGEST:
                return files, False
            try:
                files[path] = text.decode() if paths.is_text(path) else load_yaml(text, path)
            except (UnicodeDecodeError, VrtError):
                return files, False
        elif paths.parse_key(path):
            files[path] = hashes[blob] if blob in hashes else crypt.hash8(reader.read(blob))
    return files, True


def _not_for_a_host(logged: Logged, reader: Reader, ahead: int) -> tuple[int, str] | None:
    """Return what only a host refuses: it would have to keep it, whoever has a clock or a client that is wrong."""
    if ahead > AHEAD:
        return 2, f"its date is {ahead} seconds ahead of this host's clock"
    for status, _, blob, path in logged.changes:
        if status != "D" and path.endswith(".age") and not reader.begins(blob, AGE_HEAD):
            return 3, f"{path} is not sealed"
    return None


def _who(rows: dict[str, list[str]], name: str) -> tuple[str, int, bool]:
    """Return ``handle <mail>``, the time, and whether the row has the form of an event's."""
    found = rows.get(name, [""])
    parts = found[0].rsplit(" ", 2)
    if len(found) == 1 and len(parts) == 3 and parts[2] == "+0000" and parts[1].isascii() and parts[1].isdigit():
        return parts[0], int(parts[1]), True
    return parts[0], 0, False
