"""Both branches as the law sees them: git commits turned into ``law.Commit`` values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vrt import law, paths
from vrt.errors import Breach, VrtError
from vrt.storage import objects, signing
from vrt.storage.articles import load_yaml
from vrt.storage.git import Logged, Reader, Repository


def commits(repository: Repository, since: str, until: str) -> Iterator[law.Commit]:
    """Yield the commits after ``since`` (empty: from the root) up to ``until``, oldest first, signatures checked.

    Raises ``Breach`` for an object that is no commit of the form vrt writes.
    """
    with repository.reader() as reader:
        for logged in repository.log(since, until):
            yield read(logged, reader)


def read(logged: Logged, reader: Reader) -> law.Commit:
    """Return a logged commit as the law sees it; raises ``Breach``."""
    payload, armor = objects.unsigned(logged.data)
    head, _, message = payload.partition(b"\n\n")
    rows: dict[str, list[str]] = {}
    for row in head.decode("utf-8", "replace").split("\n"):
        name, _, value = row.partition(" ")
        rows.setdefault(name, []).append(value)
    if set(rows) - {"tree", "parent", "author", "committer"}:
        raise Breach(f"commit {logged.id} has a header that no event has")
    author, authored = _who(rows, "author", logged.id)
    committer, committed = _who(rows, "committer", logged.id)
    files: dict[str, Any] = {}
    for status, _, blob, path in logged.changes:
        if paths.desk_file(path) and status in "AM":
            text = reader.read(blob)
            try:
                files[path] = text.decode() if path == paths.SIGNERS else load_yaml(text, path)
            except (UnicodeDecodeError, VrtError) as exc:
                raise Breach(f"commit {logged.id} breaks rule 6: {path} cannot be read") from exc
    return law.Commit(
        logged.id, tuple(rows.get("parent", ())), author, committer, authored, committed,
        message.decode("utf-8", "replace"), signing.verify(payload, armor) if armor else None,
        tuple((status, mode, path) for status, mode, _, path in logged.changes), files,
    )  # fmt: skip


def _who(rows: dict[str, list[str]], name: str, commit: str) -> tuple[str, int]:
    try:
        (row,) = rows[name]
        who, time, zone = row.rsplit(" ", 2)
        if zone != "+0000":
            raise ValueError
        return who, int(time)
    except (KeyError, ValueError):
        raise Breach(f"commit {commit} breaks rule 1: its {name} is not in the form of an event") from None
