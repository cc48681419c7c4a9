"""Both branches as the law sees them: git commits turned into ``law.Commit`` values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vrt import law, paths
from vrt.errors import VrtError
from vrt.storage import objects, signing
from vrt.storage.articles import load_yaml
from vrt.storage.git import Repository
from vrt.storage.reading import Logged, Reader


def commits(repository: Repository, since: str, until: str) -> Iterator[law.Commit]:
    """Yield the commits after ``since`` (empty: from the root) up to ``until``, oldest first, signatures checked."""
    with repository.reader() as reader:
        for logged in repository.log(since, until):
            yield read(logged, reader)


def read(logged: Logged, reader: Reader) -> law.Commit:
    """Return a logged commit as the law sees it; what is wrong already here is its ``flaw``."""
    payload, armor = objects.unsigned(logged.data)
    head, _, message = payload.partition(b"\n\n")
    rows: dict[str, list[str]] = {}
    for row in head.decode("utf-8", "replace").split("\n"):
        name, _, value = row.partition(" ")
        rows.setdefault(name, []).append(value)
    author, authored, fair = _who(rows, "author")
    committer, committed, fair_too = _who(rows, "committer")
    files, readable = _desk_files(logged, reader)
    flaw = None
    if not (fair and fair_too):
        flaw = 1, "its author or committer is not in the form of an event"
    elif set(rows) - {"tree", "parent", "author", "committer"}:
        flaw = 4, "it has a header that no event has"
    elif not readable:
        flaw = 6, "a desk file cannot be read"
    return law.Commit(
        logged.id, tuple(rows.get("parent", ())), author, committer, authored, committed,
        message.decode("utf-8", "replace"), signing.verify(payload, armor) if armor else None,
        tuple((status, mode, path, blob) for status, mode, blob, path in logged.changes), files, flaw,
    )  # fmt: skip


def _desk_files(logged: Logged, reader: Reader) -> tuple[dict[str, Any], bool]:
    """Return the desk files that a commit adds or changes, and whether all could be read."""
    files: dict[str, Any] = {}
    for status, mode, blob, path in logged.changes:
        if paths.desk_file(path) and status in "AM" and mode == "100644":
            text = reader.read(blob)
            try:
                files[path] = text.decode() if paths.is_text(path) else load_yaml(text, path)
            except (UnicodeDecodeError, VrtError):
                return files, False
    return files, True


def _who(rows: dict[str, list[str]], name: str) -> tuple[str, int, bool]:
    """Return ``handle <mail>``, the time, and whether the row has the form of an event's."""
    found = rows.get(name, [""])
    parts = found[0].rsplit(" ", 2)
    if len(found) == 1 and len(parts) == 3 and parts[2] == "+0000" and parts[1].isascii() and parts[1].isdigit():
        return parts[0], int(parts[1]), True
    return parts[0], 0, False
