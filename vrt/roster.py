"""The desk files at a commit: who is a member, which queues there are, what the desk agreed on.

Takes and gives plain mappings; that they are YAML in a git tree is the storage's business. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, timezone, tzinfo
from typing import Any, NamedTuple

from vrt import ledger, paths
from vrt.errors import NotFound, UsageError, VrtError
from vrt.model import LIMITS, RECOVERY, ROLES, Card, DeskConfig, Queue
from vrt.text import lower

FORMAT = 1
OUTCOMES = ("successful", "unsuccessful", "no-reply-needed", "spam", "duplicate")
TAGS = ("urgent", "legal", "press", "minor", "follow-up", "vandalism")
REASONS = ("privacy", "legal", "retention", "mistake")

_LISTS = {
    "roles", "queues", "addresses", "former", "move_from", "outcomes", "tags", "reasons", "auto_reply", "authserv",
    "spam_filter", "secret_former",
}  # fmt: skip
RULES_READERS = ("admin", "intake", "recovery")  # who holds the intake rules: they name people
ANSWERED = ("new", "follow-up", "rejected")  # what a queue may answer by itself
SIGNED_BY = ("queue", "agent")  # who stands in From
SPAM_FILTERS = ("spamassassin", "rspamd")
SYNCS = ("manual", "auto")  # whether acts publish by themselves
_NAME = re.compile(ledger.NAME)
_AGE = "age1[02-9ac-hj-np-z]{58}"  # bech32 of an X25519 key; never a plugin's
_RECIPIENT = re.compile(f"{_AGE}|ssh-(?:ed25519|rsa) [A-Za-z0-9+/]+=*")
_SPAN = re.compile(r"([0-9]{1,6})([mhdw])")
_LONGEST = 3653 * 86400
_MOST = 1 << 53  # what every reader of JSON takes for a whole number
_SECONDS = {"m": 60, "h": 3600, "d": 86400, "w": 604800}


class BadDeskFile(ValueError):
    """A desk file is not in its form. The text names file and field."""


def seconds(span: str) -> int:
    """Return the seconds in ``30m``, ``24h``, ``7d`` or ``2w``.

    Raises ``ValueError`` for anything else, and for more than ten years.
    """
    match = _SPAN.fullmatch(span)
    if not match:
        raise ValueError(f"{span!r} is no span of time: write 30m, 24h, 7d or 2w")
    found = int(match.group(1)) * _SECONDS[match.group(2)]
    if found > _LONGEST:
        raise ValueError(f"{span} is longer than ten years")
    return found


def reopened_within(follow_up: str) -> int:
    """Return for how many seconds after its closing a ticket takes a follow-up: 0 never, -1 always.

    ``follow_up`` is a queue's setting: ``reopen``, ``new``, ``reject`` or ``new after 30d``; raises ``ValueError``.
    """
    if follow_up.startswith("new after "):
        return seconds(follow_up.removeprefix("new after "))
    if follow_up not in ("reopen", "new", "reject"):
        raise ValueError(f"{follow_up!r} is no answer to a follow-up: reopen, new, reject, or 'new after 30d'")
    return 0 if follow_up == "new" else -1


def zone(name: str) -> tzinfo:
    """Return the IANA time zone ``name``; raises ``ValueError`` where this machine does not know it."""
    if name == "UTC":  # also on a machine without the time zone database
        return timezone.utc
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (KeyError, OSError) as exc:
        raise ValueError(f"unknown time zone {name}") from exc


class Roster(NamedTuple):
    """``desk.yaml``, the cards and the queues, by name."""

    desk: DeskConfig
    cards: Mapping[str, Card]
    queues: Mapping[str, Queue]

    def card(self, handle: str) -> Card:
        """Return the card of ``handle``; raises ``NotFound``."""
        if handle not in self.cards:
            raise NotFound(f"no agent named {handle}", "vrt agent list")
        return self.cards[handle]

    def queue(self, name: str) -> Queue:
        """Return the queue ``name``; raises ``NotFound``."""
        if name not in self.queues:
            raise NotFound(f"no queue named {name}", "vrt queue list")
        return self.queues[name]

    def readers(self, queue: str) -> list[Card]:
        """Return the cards that hold the identity of ``queue``: its members and the recovery card."""
        return [c for c in self.cards.values() if c.has("recovery") or (queue in c.queues and c.has("admin", "agent"))]

    def opens(self, card: Card) -> tuple[str, ...]:
        """Return the queues whose identity a card is sealed, as long as it is a member."""
        return tuple(self.queues) if RECOVERY in card.roles else card.queues

    def secret_holders(self) -> list[Card]:
        """Return the cards that hold the desk secret."""
        return [c for c in self.cards.values() if c.has("admin", "agent", "intake", "recovery")]

    def with_roles(self, *roles: str) -> list[Card]:
        """Return the cards that have one of ``roles``."""
        return [c for c in self.cards.values() if c.has(*roles)]

    def who(self, handle: str) -> str:
        """Return the git identity of a card: ``alice <alice@DOMAIN>``."""
        return f"{handle} <{handle}@{self.desk.domain}>"

    def queue_of_address(self, address: str) -> Queue | None:
        """Return the queue that owns a mail address (compared without case), or None."""
        wanted = lower(address)
        return next((q for q in self.queues.values() if wanted in map(lower, q.addresses)), None)


# The type of each setting: that of its default; those without one are named.
_WITHOUT_DEFAULT: dict[str, type] = {"handle": str, "name": str, "domain": str, "recipient": str, "format": int}
_TYPES: dict[type, dict[str, type]] = {
    kind: {n: type(kind._field_defaults.get(n, _WITHOUT_DEFAULT.get(n, tuple)())) for n in kind._fields}
    for kind in (Card, Queue, DeskConfig)
}


# --- files <-> values ----------------------------------------------------------------------------


def _read(kind: type[Any], path: str, value: Mapping[str, Any], **given: Any) -> Any:
    known = set(kind._fields) - set(given)
    if unknown := set(value) - known:
        raise BadDeskFile(f"{path}: unknown setting {sorted(unknown)[0]}")
    out = dict(given)
    for name, item in value.items():
        if name in _LISTS:
            if not isinstance(item, list) or not all(isinstance(i, str) for i in item):
                raise BadDeskFile(f"{path}: {name} is not a list of words")
            out[name] = tuple(item)
        else:
            out[name] = item
    try:
        made = kind(**out)
    except TypeError as exc:
        raise BadDeskFile(f"{path}: {exc}") from exc
    for name, wanted in _TYPES[kind].items():
        if not isinstance(getattr(made, name), wanted):
            raise BadDeskFile(f"{path}: {name} has the wrong type")
    return made


def read_desk(value: Mapping[str, Any]) -> DeskConfig:
    """Return ``desk.yaml``; raises ``BadDeskFile``, or ``VrtError`` where a newer vrt wrote it."""
    if isinstance(value.get("format"), int) and value["format"] > FORMAT:
        raise VrtError(
            f"this desk has format {value['format']}, this vrt knows {FORMAT}", "upgrade vrt: pip install -U vrt"
        )
    desk: DeskConfig = _read(DeskConfig, paths.DESK, value)
    for word in (*desk.outcomes, *desk.tags, *desk.reasons):
        _check_name(paths.DESK, word)
    for name, most in desk.limits.items():
        if name not in LIMITS or type(most) is not int or not 0 <= most < _MOST:
            raise BadDeskFile(f"{paths.DESK}: limits are {', '.join(LIMITS)}, whole numbers")
    if desk.secret_epoch != len(desk.secret_former) + 1:
        raise BadDeskFile(f"{paths.DESK}: secret_epoch and secret_former do not fit")
    if desk.sync not in SYNCS:
        raise BadDeskFile(f"{paths.DESK}: sync is of {', '.join(SYNCS)}")
    if not set(desk.spam_filter) <= set(SPAM_FILTERS):
        raise BadDeskFile(f"{paths.DESK}: spam_filter is of {', '.join(SPAM_FILTERS)}")
    return desk


def read_card(handle: str, value: Mapping[str, Any]) -> Card:
    """Return a card; raises ``BadDeskFile``."""
    card: Card = _read(Card, paths.card(handle), value, handle=handle)
    if not card.roles or not set(card.roles) <= set(ROLES):
        raise BadDeskFile(f"{paths.card(handle)}: roles are {', '.join(ROLES)}")
    if card.system_id and not re.fullmatch(r"[1-9][0-9]{1,2}", card.system_id):
        raise BadDeskFile(f"{paths.card(handle)}: system_id is two or three digits")
    if not _RECIPIENT.fullmatch(card.recipient):
        raise BadDeskFile(f"{paths.card(handle)}: recipient is no age or SSH public key")
    if not all(type(e) is int and 0 < e < _MOST and _NAME.fullmatch(str(q)) for q, e in card.since.items()):
        raise BadDeskFile(f"{paths.card(handle)}: since holds queues, each with an epoch")
    if card.away and not _is_day(card.away):
        raise BadDeskFile(f"{paths.card(handle)}: away is no date")
    if card.signing and not re.fullmatch(r"[a-z0-9@.-]+ [A-Za-z0-9+/=]+", card.signing):
        raise BadDeskFile(f"{paths.card(handle)}: signing is no SSH public key")
    return card


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def read_queue(name: str, value: Mapping[str, Any]) -> Queue:
    """Return a queue; raises ``BadDeskFile``."""
    queue: Queue = _read(Queue, paths.queue(name), value, name=name)
    if queue.epoch != len(queue.former) + 1:
        raise BadDeskFile(f"{paths.queue(name)}: epoch and former do not fit")
    if not re.fullmatch(_AGE, queue.recipient):
        raise BadDeskFile(f"{paths.queue(name)}: recipient is no age public key")
    if not set(queue.auto_reply) <= set(ANSWERED):
        raise BadDeskFile(f"{paths.queue(name)}: auto_reply is of {', '.join(ANSWERED)}")
    if queue.signed_by not in SIGNED_BY:
        raise BadDeskFile(f"{paths.queue(name)}: signed_by is of {', '.join(SIGNED_BY)}")
    try:
        seconds(queue.send_delay)
        seconds(queue.lock_timeout)
        seconds(queue.first_response)
        reopened_within(queue.follow_up)
    except ValueError as exc:
        raise BadDeskFile(f"{paths.queue(name)}: {exc}") from exc
    return queue


def read(files: Mapping[str, Mapping[str, Any]]) -> Roster:
    """Return the roster in ``{path: mapping}``; raises as the functions above."""
    if paths.DESK not in files:
        raise BadDeskFile("desk.yaml is missing")
    desk, cards, queues = read_desk(files[paths.DESK]), {}, {}
    for path, value in sorted(files.items()):
        kind, name = paths.desk_file(path) or ("", "")
        if kind == "agents":
            cards[name] = read_card(name, value)
        elif kind == "queues":
            queues[name] = read_queue(name, value)
    if both := set(cards) & set(queues):
        raise BadDeskFile(f"{sorted(both)[0]} is both a queue and an agent")
    return Roster(desk, cards, queues)


def write(item: Card | Queue | DeskConfig) -> dict[str, Any]:
    """Return the mapping that ``read_*`` reads: defaults left out, except what a person will want to see."""
    keep: dict[type, set[str]] = {
        Card: {"roles", "queues"},
        Queue: {"addresses", "language", "epoch"},
        DeskConfig: {"timezone", "hook"},
    }
    out: dict[str, Any] = {}
    for name, value in item._asdict().items():
        empty = value in ((), {}) or (name in item._field_defaults and value == item._field_defaults[name])
        if name in ("handle", "name") and not isinstance(item, DeskConfig):
            continue
        if name in keep[type(item)] or not empty:
            out[name] = list(value) if isinstance(value, tuple) else value
    return out


def signer_line(card: Card, domain: str) -> str:
    """Return the line of ``allowed_signers`` for a card (ssh-keygen(1), ALLOWED SIGNERS), with its newline."""
    return f'{card.handle}@{domain} namespaces="git" {card.signing}\n'


def free_system_id(roster: Roster) -> str:
    """Return the next system id that no card ever had: 10 to 99, then 100 to 999."""
    taken = {c.system_id for c in roster.cards.values()}
    for number in range(10, 1000):
        if str(number) not in taken:
            return str(number)
    raise VrtError("all 990 system ids of this desk are taken")


def check_name(name: str, what: str) -> None:
    """Raise ``VrtError`` unless ``name`` can be a queue or a handle."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be the name of {what}", "use lower-case letters, digits and dashes, a letter first"
        )


def _check_name(path: str, word: Any) -> None:
    if not isinstance(word, str) or not _NAME.fullmatch(word):
        raise BadDeskFile(f"{path}: {word!r} is not a plain lower-case word")
