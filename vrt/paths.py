"""Where things lie on the two branches. Pure; ``docs/FORMAT.md`` sections 2 and 5."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from vrt import ledger, number

DESK, SIGNERS = "desk.yaml", "allowed_signers"


def card(handle: str) -> str:
    """Return the ledger path of a card."""
    return f"agents/{handle}.yaml"


def queue(name: str) -> str:
    """Return the ledger path of a queue."""
    return f"queues/{name}.yaml"


def template(words: str) -> str:
    """Return the ledger path of a template, which a Template trailer names: ``de/closing``, ``de/info-de/closing``."""
    return f"templates/{words}.md.j2"


def desk_file(path: str) -> tuple[str, str] | None:
    """Return ``("agents" | "queues" | "templates" | "", name)`` of a desk file's path, or None if it is none."""
    if path in (DESK, SIGNERS):
        return "", path
    match = re.fullmatch(_DESK_FILE, path) or re.fullmatch(_TEMPLATE, path)
    return (match.group(1), match.group(2)) if match else None


def is_text(path: str) -> bool:
    """Say whether a desk file is text and no YAML."""
    return path == SIGNERS or path.startswith("templates/")


_DESK_FILE = rf"(agents|queues)/({ledger.NAME})\.yaml"
_TEMPLATE = rf"(templates)/({ledger.TRAILERS['Template']})\.md\.j2"


# --- the keyring ---------------------------------------------------------------------------------


class Key(NamedTuple):
    """What a keyring path says: ``kind`` is desk, queues, rules, article or salt; ``to`` a handle or a queue.

    ``name`` is the queue (kind queues), the event id (kind article) or that of the rules; ``hash8`` binds the content.
    """

    kind: str
    to: str
    hash8: str
    name: str = ""
    epoch: int = 0
    ticket: str = ""


def desk_secret(epoch: int, to: str, hash8: str) -> str:
    """Return where the desk secret of ``epoch`` lies for the card ``to``."""
    return f"desk/{epoch}.{to}.{hash8}.age"


def queue_identity(name: str, epoch: int, to: str, hash8: str) -> str:
    """Return where the identity of queue ``name`` lies for its member ``to``."""
    return f"queues/{name}/{epoch}.{to}.{hash8}.age"


def salt(ticket: str, to: str, hash8: str) -> str:
    """Return where a ticket's salt lies for ``to`` (a queue or a card)."""
    return f"{number.folder(ticket)}/salt.{to}.{hash8}.age"


def article_identity(ticket: str, event_id: str, to: str, hash8: str) -> str:
    """Return where an article's identity lies for ``to`` (a queue or a card)."""
    return f"{number.folder(ticket)}/{event_id}.{to}.{hash8}.age"


def rules(name: str, to: str, hash8: str) -> str:
    """Return where the intake rules ``name`` (8 hex digits of the event that set them) lie for the card ``to``."""
    return f"rules/{name}.{to}.{hash8}.age"


def key_path(key: Key) -> str:
    """Return where the identity of an article, or a salt, lies; the inverse of ``parse_key`` for what is of a
    ticket.
    """
    if key.kind == "salt":
        return salt(key.ticket, key.to, key.hash8)
    return article_identity(key.ticket, key.name, key.to, key.hash8)


_FOLDER = "tickets/[0-9]{4}/[0-9]{2}/[0-9]{2}/[0-9]{3}/[0-9]{16,17}"
_HASH = r"(?P<hash8>[0-9a-f]{8})\.age"
_KEYS = [
    ("desk", rf"desk/(?P<epoch>[1-9][0-9]*)\.(?P<to>{ledger.NAME})\.{_HASH}"),
    ("queues", rf"queues/(?P<name>{ledger.NAME})/(?P<epoch>[1-9][0-9]*)\.(?P<to>{ledger.NAME})\.{_HASH}"),
    ("rules", rf"rules/(?P<name>[0-9a-f]{{8}})\.(?P<to>{ledger.NAME})\.{_HASH}"),
    ("salt", rf"(?P<folder>{_FOLDER})/salt\.(?P<to>{ledger.NAME})\.{_HASH}"),
    ("article",
        rf"(?P<folder>{_FOLDER})/(?P<name>{ledger.EVENT_ID.pattern})\.(?P<to>{ledger.NAME})\.{_HASH}"),
]  # fmt: skip


@cache
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    return [(kind, re.compile(pattern)) for kind, pattern in _KEYS]


def parse_key(path: str) -> Key | None:
    """Return what a path of the keyring says, or None where it has no place there."""
    for kind, pattern in _patterns():
        if match := pattern.fullmatch(path):
            found = match.groupdict()
            ticket = found.get("folder", "").rpartition("/")[2]
            if ticket and (not number.is_valid(ticket) or number.folder(ticket) != found["folder"]):
                return None
            return Key(kind, found["to"], found["hash8"], found.get("name") or "", int(found.get("epoch") or 0), ticket)
    return None
