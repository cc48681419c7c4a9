"""Tickets written out as plain files, for those who want files. Everything here is plaintext."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from vrt import ledger, views
from vrt.desk import Desk
from vrt.errors import NotAllowed, UsageError, VrtError
from vrt.storage import articles
from vrt.storage.index import Article
from vrt.text import filename


def check(desk: Desk, numbers: list[str], folder: Path) -> None:
    """Raise ``NotAllowed`` if an article is sealed to the caller, ``UsageError`` if a ticket's folder is there."""
    for number in numbers:
        if sealed := [a for a in desk.index.articles(number) if a.front is None]:
            raise NotAllowed(f"no key at hand opens {sealed[0].event.id}", "vrt agent list shows who is in its queue")
        if (folder / number).exists():
            raise UsageError(f"{folder / number} is there already", "name another folder; nothing is overwritten")


def ticket(desk: Desk, number: str, folder: Path) -> Path:
    """Write ticket ``number`` into a new folder below ``folder`` and return that; ``check`` comes first."""
    t = desk.known(number)
    said = desk.index.articles(number)
    target = folder / number
    _folder(target)
    state = views.ticket(t, desk.roster)
    events = [f"- {ledger.stamp(e.time)} {e.agent}: {ledger.subject(e)}" for e in desk.index.events(number)]
    _write(target / "ticket.md", articles.dump(state, "\n".join(events)))
    for a in said:
        _write(target / f"{a.event.id}.md", articles.dump(a.front or {}, a.body or ""))
        if a.eml:
            _write(target / f"{a.event.id}.eml", desk.original(a))
            _files(desk, a, target / f"{a.event.id}-files")
    return target


def attachments(desk: Desk, number: str, folder: Path) -> list[Path]:
    """Write the attachments of all mails of a ticket into ``folder`` and return their paths."""
    written: list[Path] = []
    for a in desk.index.articles(number):
        if a.eml:
            written += _files(desk, a, folder)
    return written


def _files(desk: Desk, article: Article, folder: Path) -> list[Path]:
    from vrt.mail import parse

    listed = (article.front or {"attachments": [{}]}).get("attachments")
    found = parse.attachments(desk.original(article)) if listed else []
    if found:
        _folder(folder)
    written = []
    for i, (about, data) in enumerate(found, 1):
        path = _free(folder, filename(about.name, f"part-{i}{_ENDINGS.get(about.type, '')}"))
        _write(path, data)
        written.append(path)
    return written


_ENDINGS = {"application/pdf": ".pdf", "text/calendar": ".ics", "message/rfc822": ".eml", "image/png": ".png",
            "image/jpeg": ".jpg", "text/plain": ".txt", "text/html": ".html"}  # fmt: skip


def _folder(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise VrtError(f"{path}: {exc.strerror}", "name a folder that can be written") from exc


def _free(folder: Path, name: str) -> Path:
    """Return a path in ``folder`` that does not exist, compared without case as some systems do."""
    taken = {p.name.casefold() for p in folder.iterdir()}
    stem, dot, end = name.rpartition(".") if "." in name else (name, "", "")
    n = 1
    while name.casefold() in taken:
        n += 1
        name = f"{stem}-{n}{dot}{end}"
    return folder / name


def _write(path: Path, data: Any) -> None:
    """Write a new file, mode 0600; never through a link, never over another."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
    except OSError as exc:
        raise VrtError(f"{path}: {exc.strerror}") from exc
