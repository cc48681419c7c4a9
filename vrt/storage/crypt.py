"""Encryption: age files of padded gzip (https://age-encryption.org/v1). The only user of pyrage.

Every sealed file is ``age(pad(gzip(content)))``: gzip with mtime 0, filled up with zero bytes to a
Padmé length (Nikitin et al., "Reducing Metadata Leakage from Encrypted Files", 2019) so that sizes
tell little; ``age -d -i KEY FILE | zcat`` opens it, gzip ignores trailing zeros.
"""

from __future__ import annotations

import os
import zlib
from functools import lru_cache
from typing import Any

import pyrage

from vrt.errors import NotAllowed, UsageError

LIMIT = 512 * 1024 * 1024  # bytes that a sealed file may unpack to

Identity = Any  # pyrage.x25519.Identity or pyrage.ssh.Identity


class CannotOpen(Exception):
    """None of the identities opens the file, or it is damaged."""


def padme(size: int) -> int:
    """Return the Padmé length of ``size`` bytes: at most 12 % more, O(log log) bits of leakage."""
    if size < 2:
        return size
    exponent = size.bit_length() - 1
    mask = (1 << exponent - exponent.bit_length()) - 1
    return size + mask & ~mask


def new_identity() -> tuple[str, str]:
    """Return a new X25519 identity and its recipient: ``AGE-SECRET-KEY-1…``, ``age1…``."""
    identity = pyrage.x25519.Identity.generate()
    return str(identity), str(identity.to_public())


@lru_cache(maxsize=4096)
def recipient(text: str) -> Any:
    """Return the recipient ``age1…`` or ``ssh-ed25519 …``/``ssh-rsa …``; raises ``UsageError``. Never a plugin."""
    try:
        if text.startswith("age1"):
            return pyrage.x25519.Recipient.from_str(text)
        return pyrage.ssh.Recipient.from_str(" ".join(text.split()[:2]))
    except pyrage.RecipientError as exc:
        raise UsageError(f"not an age or SSH public key: {text[:40]}…") from exc


@lru_cache(maxsize=4096)
def identity(text: str) -> Identity:
    """Return the X25519 identity ``AGE-SECRET-KEY-1…``; raises ``UsageError``."""
    try:
        return pyrage.x25519.Identity.from_str(text.strip())
    except pyrage.IdentityError as exc:
        raise UsageError("not an age identity") from exc


def ssh_identity(pem: bytes) -> Identity:
    """Return the identity in an unencrypted OpenSSH private key; raises ``UsageError``."""
    try:
        return pyrage.ssh.Identity.from_buffer(pem)
    except pyrage.IdentityError as exc:
        raise UsageError("this SSH key cannot decrypt", "use an ed25519 or RSA key, or an age identity") from exc


def public(secret: str) -> str:
    """Return the recipient of an X25519 identity."""
    return str(identity(secret).to_public())


def seal(content: bytes, *recipients: str) -> bytes:
    """Return ``content`` sealed to ``recipients``."""
    import gzip

    packed = gzip.compress(content, 6, mtime=0)
    packed += bytes(padme(len(packed)) - len(packed))
    sealed: bytes = pyrage.encrypt(packed, [recipient(r) for r in recipients])
    return sealed


def unseal(data: bytes, identities: list[Identity]) -> bytes:
    """Return the content of a sealed file; raises ``CannotOpen``."""
    if not identities:
        raise CannotOpen
    try:
        packed = pyrage.decrypt(data, identities)
    except pyrage.DecryptError as exc:
        raise CannotOpen from exc
    stream = zlib.decompressobj(wbits=31)
    try:
        content = stream.decompress(packed, LIMIT)
    except zlib.error as exc:
        raise CannotOpen from exc
    if not stream.eof or stream.unused_data.strip(b"\0"):
        raise CannotOpen
    return content


def hash8(data: bytes) -> str:
    """Return the first 8 hex digits of sha256: the part of a keyring file's name that stops squatting."""
    from hashlib import sha256

    return sha256(data).hexdigest()[:8]


def open_ssh_key(pem: bytes, passphrase: bytes) -> bytes:
    """Return an OpenSSH private key without its passphrase, in memory; raises ``NotAllowed`` if it is wrong."""
    from cryptography.hazmat.primitives import serialization as s

    try:
        key = s.load_ssh_private_key(pem, passphrase)
    except ValueError as exc:
        raise NotAllowed("the passphrase does not open this key") from exc
    return key.private_bytes(s.Encoding.PEM, s.PrivateFormat.OpenSSH, s.NoEncryption())


def new_salt() -> bytes:
    """Return a new salt of a ticket: 16 random bytes."""
    return os.urandom(16)
