"""The caller's keys at hand: what opens and what signs, made on first need or taken from existing SSH keys."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from vrt.errors import NotAllowed, UsageError
from vrt.storage import crypt, local
from vrt.storage.local import Config

if TYPE_CHECKING:
    from vrt.storage.signing import Signer

_SSH = b"-----BEGIN OPENSSH PRIVATE KEY-----"

# Asks a person for a passphrase; the command line puts its prompt here. None: nobody is there.
ask_passphrase: Callable[[str], str] | None = None


class Keys:
    """The keys that ``config`` names."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._opened: dict[Path, bytes] = {}

    def make_missing(self) -> list[Path]:
        """Make the default identity and signing key where there are none; return what was made."""
        made = []
        if not self.config.identity and not self.config.identity_path.exists():
            secret, public = crypt.new_identity()
            text = f"# vrt identity: whoever has this file reads your mail\n# public key: {public}\n{secret}\n"
            local.write_private(self.config.identity_path, text.encode())
            made.append(self.config.identity_path)
        if not self.config.signing_key and not self.config.signing_path.exists():
            from vrt.storage import signing

            signing.new_key(self.config.signing_path, "vrt")
            made.append(self.config.signing_path)
        return made

    def identities(self) -> list[crypt.Identity]:
        """Return what opens files sealed to the caller; raises ``NotAllowed`` where there is no key."""
        data = _read(self.config.identity_path)
        if data.startswith(_SSH):
            return [crypt.ssh_identity(self.open_key(self.config.identity_path) or b"")]
        return [crypt.identity(row) for row in _secrets(data, self.config.identity_path)]

    def recipient(self) -> str:
        """Return the public key that others seal to."""
        path = self.config.identity_path
        data = _read(path)
        if data.startswith(_SSH):
            from vrt.storage import signing

            public = signing.public_of(path)
            crypt.recipient(public)
            return public
        return crypt.public(_secrets(data, path)[0])

    def signing_public(self) -> str:
        """Return the public key of the signing key, without opening it."""
        from vrt.storage import signing

        return signing.public_of(self.config.signing_path)

    def signer(self) -> Signer:
        """Return what signs; raises ``NotAllowed`` where there is no key."""
        from vrt.storage import signing

        if self.config.signing_path.suffix != ".pub":
            _read(self.config.signing_path)
        return signing.signer(self.config.signing_path, self.open_key)

    def open_key(self, path: Path) -> bytes | None:
        """Return the OpenSSH private key at ``path`` without a passphrase; asks for it where it has one."""
        if path not in self._opened:
            data = _read(path)
            if not data.startswith(_SSH):
                return None
            if _is_encrypted(data):
                data = _unlocked(path) or crypt.open_ssh_key(data, self._passphrase(path).encode())
            self._opened[path] = data
        return self._opened[path]

    def _passphrase(self, path: Path) -> str:
        if self.config.passphrase_command:
            import subprocess

            done = subprocess.run(
                ["sh", "-c", self.config.passphrase_command], stdout=subprocess.PIPE, text=True, check=False
            )
            if done.returncode:
                raise NotAllowed(f"passphrase_command failed with exit {done.returncode}")
            return done.stdout.rstrip("\n")
        if ask_passphrase is None:
            raise NotAllowed(f"{path} needs its passphrase", "vrt unlock, or set passphrase_command in config.yaml")
        return ask_passphrase(f"Passphrase of {path}")

    def unlock(self, seconds: int) -> list[Path]:
        """Keep the opened passphrase-protected keys in memory for ``seconds``; return their paths."""
        kept = []
        for path in {self.config.identity_path, self.config.signing_path}:
            if path.suffix != ".pub" and _is_encrypted(_read(path)):
                pem = self.open_key(path)
                expires = int(time.time()) + seconds
                local.write_private(_slot(path), b"%d\n%s" % (expires, pem))
                kept.append(path)
        return sorted(kept)


class PaperKeys(Keys):
    """The keys of the recovery card, whose secret (an age identity) somebody has typed in."""

    def __init__(self, secret: str) -> None:
        """Raises ``UsageError`` where ``secret`` is no age identity."""
        super().__init__(Config(card="recovery"))
        self._secret = secret.strip()
        try:
            crypt.identity(self._secret)
        except UsageError:
            raise UsageError(
                "that is not the key of a recovery card", "AGE-SECRET-KEY-1…, as init printed it"
            ) from None

    def identities(self) -> list[crypt.Identity]:
        """Return the age identity on the paper."""
        return [crypt.identity(self._secret)]

    def recipient(self) -> str:
        """Return its public key."""
        return crypt.public(self._secret)

    def signing_public(self) -> str:
        """Return the public key that it signs with."""
        return self.signer().public

    def signer(self) -> Signer:
        """Return what signs with the key that follows from it."""
        from vrt.storage import signing

        return signing.derived(self._secret)


def lock() -> int:
    """Forget every key that ``unlock`` keeps; return how many there were."""
    count = 0
    with suppress(NotAllowed):
        for path in local.memory_folder().glob("unlocked-*"):
            size = path.stat().st_size
            with path.open("r+b") as file:
                file.write(b"\0" * size)
            path.unlink()
            count += 1
    return count


def _slot(path: Path) -> Path:
    import hashlib

    name = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]
    return local.memory_folder() / f"unlocked-{name}"


def _unlocked(path: Path) -> bytes | None:
    with suppress(OSError, NotAllowed, ValueError):
        slot = _slot(path)
        expires, _, pem = slot.read_bytes().partition(b"\n")
        if int(expires) > time.time():
            return pem
        slot.unlink()
    return None


def _is_encrypted(pem: bytes) -> bool:
    """Say whether an OpenSSH private key has a passphrase: its cipher (PROTOCOL.key) is not ``none``."""
    import base64

    if not pem.startswith(_SSH):
        return False
    with suppress(ValueError):
        raw = base64.b64decode(b"".join(pem.split(b"\n")[1:3]) + b"==")
        return not raw.startswith(b"openssh-key-v1\0\0\0\0\x04none")
    return True


def _secrets(data: bytes, path: Path) -> list[str]:
    rows = [row.strip() for row in data.decode("utf-8", "replace").splitlines()]
    secrets = [row for row in rows if row.startswith("AGE-SECRET-KEY-1")]
    if not secrets:
        old = f"ssh-keygen -p -f {path} makes one of an older form" if b" PRIVATE KEY-----" in data else None
        raise UsageError(f"{path} is neither an age identity nor an OpenSSH private key", old)
    return secrets


def _read(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise NotAllowed(f"no key at {path}", "vrt identity makes one") from None
    except OSError as exc:
        raise NotAllowed(f"{path}: {os.strerror(exc.errno or 0)}") from exc
    if path.stat().st_mode & 0o077 and path.stat().st_uid == os.getuid():
        raise NotAllowed(f"others can read {path}", f"chmod 600 {path}")
    return data
