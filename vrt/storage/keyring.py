"""The keyring opened: the queue identities, desk secrets, salts and article identities that the caller holds.

Recipients always come from the signed ledger (the roster); what is opened here must match them, so
that nobody who can write to the keyring can have us seal to a key of theirs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field

from vrt import paths
from vrt.errors import NotAllowed, UsageError
from vrt.model import Queue
from vrt.roster import Roster
from vrt.storage import crypt
from vrt.text import lower

SECRET_SIZE = 32  # bytes
LAYERS = 16  # a file may be sealed once more to each key that its queue got before it was published


@dataclass
class Keyring:
    """``queues``: {queue: {epoch: identity}}; ``secrets``: {epoch: desk secret}. Newest epoch last."""

    queues: dict[str, dict[int, str]] = field(default_factory=dict)
    secrets: dict[int, bytes] = field(default_factory=dict)
    now: int = 1  # the epoch of the desk secret that the ledger names
    rules: dict[str, str] = field(default_factory=dict)  # what may be the intake rules (YAML), by their Rules trailer

    def keep_true(self, known: Roster) -> None:
        """Forget what does not match the ledger any more: keys of an epoch that was given up before it was
        published.
        """
        checks = dict(enumerate(known.desk.secret_checks(), 1))
        self.secrets = {e: s for e, s in self.secrets.items() if secret_check(s) == checks.get(e)}
        for name, held in self.queues.items():
            queue = known.queues.get(name)
            self.queues[name] = {e: s for e, s in held.items() if queue and crypt.public(s) == queue.recipient_of(e)}

    def identities(self, to: Iterable[str] = ()) -> list[crypt.Identity]:
        """Return the queue identities that open what is sealed to the queues ``to`` (none: to any)."""
        names = [name for name in (to or self.queues) if name in self.queues]
        return [
            crypt.identity(secret) for name in names for _, secret in sorted(self.queues[name].items(), reverse=True)
        ]

    def holds(self, queue: Queue) -> bool:
        """Say whether the caller holds the key that mail to ``queue`` is sealed to now."""
        return queue.epoch in self.queues.get(queue.name, {})

    def secret_lists(self) -> dict[str, list[str]]:
        """Return the identities at hand by queue, newest first, as they can be handed to a worker."""
        return {q: [s for _, s in sorted(epochs.items(), reverse=True)] for q, epochs in self.queues.items()}

    def learn(self, key: paths.Key, data: bytes, me: str, mine: list[crypt.Identity], roster: Roster) -> bool:
        """Open a file of ``desk/``, ``queues/`` or ``rules/`` that is sealed to ``me``; say whether it may open more.

        A file that does not open, or does not match the ledger, is passed over: anyone may have put it there.
        """
        if key.to != me or crypt.hash8(data) != key.hash8:
            return False
        try:
            text = crypt.unseal(data, mine).decode().strip()
            match key.kind:
                case "desk":
                    return self._learn_secret(key, text, roster)
                case "queues":
                    return self._learn_queue(key, text, roster)
            return self._learn_rules(text)
        except (crypt.CannotOpen, ValueError, UsageError):
            return False

    def _learn_secret(self, key: paths.Key, text: str, roster: Roster) -> bool:
        secret, desk = bytes.fromhex(text), roster.desk
        if len(secret) != SECRET_SIZE or key.epoch in self.secrets:
            return False
        if secret_check(secret) != dict(enumerate(desk.secret_checks(), 1)).get(key.epoch):
            return False
        self.secrets[key.epoch] = secret
        return True

    def _learn_rules(self, text: str) -> bool:
        self.rules |= dict.fromkeys(self.refs("rules", text.encode()), text)
        return False  # they open no article

    def _learn_queue(self, key: paths.Key, text: str, roster: Roster) -> bool:
        queue = roster.queues.get(key.name)
        if queue is None or crypt.public(text) != queue.recipient_of(key.epoch):
            return False
        if key.epoch in self.queues.get(key.name, {}):
            return False
        self.queues.setdefault(key.name, {})[key.epoch] = text
        return True

    # --- what must be compared without being known -------------------------------------------------

    def epoch(self) -> int:
        """Return the epoch of the desk secret that holds now; raises ``NotAllowed`` where that is not at hand."""
        if self.now not in self.secrets:
            raise NotAllowed("this card does not hold the desk secret", "ask an admin: vrt agent list")
        return self.now

    def ref(self, kind: str, value: bytes, epoch: int | None = None) -> str:
        """Return ``EPOCH:BASE32``: 128 bits of HMAC-SHA256 of ``kind``, a zero byte and ``value``."""
        import base64
        import hmac

        epoch = epoch or self.epoch()
        digest = hmac.digest(self.secrets[epoch], kind.encode() + b"\0" + value, "sha256")[:16]
        return f"{epoch}:{base64.b32encode(digest).decode().rstrip('=')}"

    def refs(self, kind: str, value: bytes) -> list[str]:
        """Return the refs of ``value`` under every epoch at hand, newest first."""
        return [self.ref(kind, value, epoch) for epoch in sorted(self.secrets, reverse=True)]

    def sender_refs(self, salts: Iterable[bytes], addresses: Iterable[str]) -> str:
        """Return a Sender-Ref trailer: the refs of ``addresses`` under all that may be the ticket's salt."""
        salts = tuple(salts)
        refs = [self.ref("sender", sender_value(salt, address)) for address in addresses for salt in salts]
        return " ".join(dict.fromkeys(refs))


def new_secret() -> bytes:
    """Return a new desk secret: 32 random bytes."""
    return os.urandom(SECRET_SIZE)


def secret_check(secret: bytes) -> str:
    """Return what ``desk.yaml`` says of the desk secret, so that a planted one is known: 16 bytes of HMAC, hex."""
    import hmac

    return hmac.digest(secret, b"vrt desk secret", "sha256").hex()[:32]


def message_value(message_id: str) -> bytes:
    """Return what a Message-Ref is made of."""
    return message_id.encode("utf-8", "surrogateescape")


def sender_value(salt: bytes, address: str) -> bytes:
    """Return what a Sender-Ref is made of: the ticket's salt (hex), a zero byte, the address in lower case."""
    return salt.hex().encode() + b"\0" + lower(address).encode("utf-8", "surrogateescape")


def seal_secret(secret: bytes, epoch: int, to: str, recipient: str) -> tuple[str, bytes]:
    """Return path and content of the file that gives the desk secret to a card."""
    data = crypt.seal(secret.hex().encode() + b"\n", recipient)
    return paths.desk_secret(epoch, to, crypt.hash8(data)), data


def seal_queue(queue: str, epoch: int, secret: str, to: str, recipient: str) -> tuple[str, bytes]:
    """Return path and content of the file that gives a queue's identity to a member."""
    data = crypt.seal(secret.encode() + b"\n", recipient)
    return paths.queue_identity(queue, epoch, to, crypt.hash8(data)), data


def seal_rules(name: str, text: str, to: str, recipient: str) -> tuple[str, bytes]:
    """Return path and content of the file that gives the intake rules to a card."""
    data = crypt.seal(text.strip().encode() + b"\n", recipient)
    return paths.rules(name, to, crypt.hash8(data)), data


def seal_salt(ticket: str, salt: bytes, to: str, recipient: str) -> tuple[str, bytes]:
    """Return path and content of the file that gives a ticket's salt to a queue or a card."""
    data = crypt.seal(salt.hex().encode() + b"\n", recipient)
    return paths.salt(ticket, to, crypt.hash8(data)), data


def seal_article(ticket: str, event_id: str, secret: str, to: str, recipient: str) -> tuple[str, bytes]:
    """Return path and content of the file that gives an article's identity to a queue or a card.

    ``secret`` is one line, or two for an outgoing mail: the identity of the ``.md``, and that of the ``.eml``.
    """
    data = crypt.seal(secret.encode() + b"\n", recipient)
    return paths.article_identity(ticket, event_id, to, crypt.hash8(data)), data


def seal_again(data: bytes, recipient: str) -> bytes:
    """Return a keyring file, which is sealed to an earlier key of a queue and cannot be opened here, sealed once more.

    Whoever holds both keys of the queue opens it; who holds the earlier one alone, for they are not in it any more,
    does not.
    """
    return crypt.seal(data, recipient)


def _unsealed(data: bytes, identities: list[crypt.Identity]) -> bytes:
    for _ in range(LAYERS):
        data = crypt.unseal(data, identities)
        if not data.startswith(b"age-encryption.org/v1\n"):
            break
    return data


def open_salt(data: bytes, identities: list[crypt.Identity]) -> bytes | None:
    """Return the salt in a keyring file, or None."""
    try:
        return bytes.fromhex(_unsealed(data, identities).decode("ascii").strip())
    except (crypt.CannotOpen, ValueError):
        return None


def open_identity(data: bytes, identities: list[crypt.Identity]) -> str | None:
    """Return the article identity in a keyring file (two lines for an outgoing mail), or None."""
    try:
        text = _unsealed(data, identities).decode("ascii").strip()
        for secret in text.split("\n", 2):
            crypt.identity(secret)
    except (crypt.CannotOpen, ValueError, UsageError):
        return None
    return text


def identity_of(secret: str, ending: str) -> crypt.Identity:
    """Return the identity that opens an article's ``md`` or ``eml``: in an outgoing mail each has its own."""
    lines = secret.split("\n")
    return crypt.identity(lines[-1] if ending == "eml" else lines[0])
