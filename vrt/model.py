"""The things vrt speaks of, as plain frozen values (named tuples: defined five times faster than dataclasses).

Times are whole seconds since the epoch, UTC, unless a name says otherwise. Knows nothing of
git, encryption or the command line.
"""

from __future__ import annotations

from typing import NamedTuple

# The states of a ticket (the fold in ``ledger`` moves between them).
NEW, OPEN, PENDING, CLOSED, MERGED = "new", "open", "pending", "closed", "merged"
UNCLOSED = (NEW, OPEN, PENDING)

POSTMASTER, JUNK = "postmaster", "junk"  # the queues that every desk has

# The roles of a card. People: admin, agent, reviewer. Machines: intake, mailer. Paper: recovery.
ADMIN, AGENT, REVIEWER, INTAKE, MAILER, RECOVERY = "admin", "agent", "reviewer", "intake", "mailer", "recovery"
ROLES = (ADMIN, AGENT, REVIEWER, INTAKE, MAILER, RECOVERY)


class Address(NamedTuple):
    """One mailbox of a header: a display name (may be empty) and an address (may be malformed)."""

    name: str
    address: str

    def __str__(self) -> str:
        if not self.name:
            return self.address
        return f"{self.name} <{self.address}>" if self.address else self.name


class Attachment(NamedTuple):
    """What a part of a mail that is no body is: its name as sent, media type, bytes and sha256 (hex)."""

    name: str
    type: str
    size: int
    sha256: str


class Card(NamedTuple):
    """``agents/<handle>.yaml``: a person's or a machine's public keys, roles and queues."""

    handle: str
    roles: tuple[str, ...]
    recipient: str  # age1… or ssh-…
    signing: str = ""  # "ssh-ed25519 AAAA…", empty for a recovery card
    queues: tuple[str, ...] = ()
    system_id: str = ""  # "10" … "99", then three digits; empty where it mints no numbers
    agreed: str = ""  # date of the confidentiality agreement, YYYY-MM-DD
    away: str = ""  # the last day of an absence, YYYY-MM-DD
    supervised: bool = False  # a second agent approves what the card writes
    dismissed: bool = False
    since: dict[str, int] = {}  # noqa: RUF012  queue -> the first of its epochs that the card may read; else all

    def has(self, *roles: str) -> bool:
        """Say whether the card has one of ``roles``."""
        return not self.dismissed and any(r in self.roles for r in roles)

    def same_keys(self, other: Card) -> bool:
        """Say whether two states of a card have the same keys in use."""
        mine, theirs = ((c.recipient, c.signing, c.dismissed) for c in (self, other))
        return mine == theirs


class Queue(NamedTuple):
    """``queues/<name>.yaml``: addresses, language, the public key and the policies of a queue."""

    name: str
    addresses: tuple[str, ...] = ()
    language: str = "en"
    recipient: str = ""  # age1…
    epoch: int = 1
    former: tuple[str, ...] = ()  # the recipients of the epochs before, oldest first
    lock_timeout: str = "24h"
    first_response: str = "7d"
    follow_up: str = "reopen"  # what a follow-up does to a closed ticket: reopen, new, reject, "new after 30d"
    auto_reply: tuple[str, ...] = ()  # what is answered by itself: new, follow-up, rejected
    move_from: tuple[str, ...] = ()  # queues whose agents may route into this one; empty: every agent
    signature: str = ""
    title: str = ""  # the name in From; empty: the desk's
    signed_by: str = "queue"  # who stands in From: queue, or agent (the handle and the queue)
    html: bool = False  # send HTML made from the Markdown beside it
    approval: bool = False  # a second agent approves every message
    send_delay: str = "0m"  # how long a message can be taken back

    def recipient_of(self, epoch: int) -> str:
        """Return the public key of an epoch, an empty string for one that the queue does not have."""
        known = (*self.former, self.recipient)
        return known[epoch - 1] if 1 <= epoch == min(epoch, len(known)) else ""

    def renewed(self, recipient: str) -> Queue:
        """Return the queue with a new key, of the next epoch."""
        return self._replace(recipient=recipient, epoch=self.epoch + 1, former=(*self.former, self.recipient))


class DeskConfig(NamedTuple):
    """``desk.yaml``: the words and limits that a desk agreed on."""

    format: int
    name: str
    domain: str
    timezone: str = "UTC"
    hook: str = "Ticket#"
    secret_epoch: int = 1
    secret_check: str = ""
    secret_former: tuple[str, ...] = ()  # the checks of the epochs before, oldest first
    outcomes: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    authserv: tuple[str, ...] = ()  # hosts whose Authentication-Results are believed (RFC 8601 authserv-ids)
    spam_filter: tuple[str, ...] = ()  # filters whose verdict sends to junk: spamassassin, rspamd
    limits: dict[str, int] = {}  # noqa: RUF012
    sync: str = "manual"  # whether acts publish by themselves: manual, auto

    def secret_checks(self) -> tuple[str, ...]:
        """Return the checks of the desk secrets of all epochs, oldest first."""
        return *self.secret_former, self.secret_check

    def renewed(self, check: str) -> DeskConfig:
        """Return the settings with a new desk secret, of the next epoch."""
        former = self.secret_checks()
        return self._replace(secret_check=check, secret_epoch=self.secret_epoch + 1, secret_former=former)

    def limit(self, name: str) -> int:
        """Return a limit of the desk, or its default."""
        return self.limits.get(name, LIMITS[name])


# What ``limits`` may hold, with the defaults: bytes of one message; automatic replies to one address in a day.
LIMITS = {"message_bytes": 25 << 20, "auto_replies_a_day": 40}


class Event(NamedTuple):
    """One signed commit on the ledger. ``trailers`` are its facts without Ticket, Action and Event."""

    id: str
    action: str
    agent: str  # handle of the card
    time: int  # when it was done (author date)
    ticket: str = ""  # empty for an event of the desk
    trailers: dict[str, str] = {}  # noqa: RUF012
    commit: str = ""  # hex, empty until it is written


class Ticket(NamedTuple):
    """A ticket's state: what its events add up to, and what its articles say (None where sealed)."""

    number: str
    queue: str
    state: str = NEW
    outcome: str = ""
    owner: str = ""
    lock: int = 0  # until when somebody works on it; 0: free
    priority: int = 3
    tags: tuple[str, ...] = ()
    created: int = 0
    updated: int = 0
    waiting_since: int = 0  # the oldest mail that nobody has answered; 0: none waits
    pending_until: int = 0
    articles: int = 0
    unverified: tuple[str, ...] = ()  # events of mails whose right to be here nobody has judged
    last_event: str = ""
    merged_into: str = ""
    links: tuple[str, ...] = ()  # other tickets that it was said to have to do with
    pending_outcome: str = ""  # as what it closes by itself at pending_until; empty: it only comes back
    draft: str = ""  # the event of a message that waits to be finished or approved
    draft_by: str = ""
    undelivered: tuple[str, ...] = ()  # events of messages that failed, or are being handed over
    title: str | None = None
    requester: str | None = None

    def locked(self, now: int) -> bool:
        """Say whether somebody works on the ticket at ``now``."""
        return bool(self.owner) and self.lock > now
