"""Signatures: SSHSIG (OpenSSH's PROTOCOL.sshsig), namespace ``git``, as git makes and checks them.

An ed25519 or RSA key file signs in this process (0.03 ms); every other key, and keys held by ssh-agent or
hardware, through ``ssh-keygen -Y sign`` (6 ms). Checking likewise.
"""

from __future__ import annotations

import base64
import hashlib
import struct
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization as s
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.hashes import SHA256, SHA512

from vrt.errors import NotAllowed, UsageError

_MAGIC, _NAMESPACE, _HASH = b"SSHSIG", b"git", b"sha512"
_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----\n", "-----END SSH SIGNATURE-----\n"


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _strings(data: bytes) -> list[bytes]:
    """Part SSH wire data into its strings; raises ``ValueError`` where it is cut short."""
    out, at = [], 0
    while at < len(data):
        if at + 4 > len(data):
            raise ValueError("cut short")
        end = at + 4 + struct.unpack_from(">I", data, at)[0]
        if end > len(data):
            raise ValueError("cut short")
        out.append(data[at + 4 : end])
        at = end
    return out


def _to_sign(payload: bytes) -> bytes:
    return _MAGIC + _string(_NAMESPACE) + _string(b"") + _string(_HASH) + _string(hashlib.sha512(payload).digest())


class Signer:
    """Signs with one key. ``public`` is ``ssh-… AAAA…`` without a comment."""

    def __init__(
        self, public: str, key: Ed25519PrivateKey | RSAPrivateKey | None = None, path: Path | None = None
    ) -> None:
        self.public = public
        self._key = key
        self._path = path

    def sign(self, payload: bytes) -> str:
        """Return the armored signature of ``payload``; raises ``NotAllowed`` where ssh-keygen cannot sign."""
        if self._key is None:
            return self._by_ssh_keygen(payload)
        blob = base64.b64decode(self.public.split()[1])
        if isinstance(self._key, Ed25519PrivateKey):
            signature = _string(b"ssh-ed25519") + _string(self._key.sign(_to_sign(payload)))
        else:  # RFC 8332 section 3
            signature = _string(b"rsa-sha2-512") + _string(self._key.sign(_to_sign(payload), PKCS1v15(), SHA512()))
        raw = b"".join([_MAGIC, struct.pack(">I", 1), *map(_string, (blob, _NAMESPACE, b"", _HASH, signature))])
        text = base64.b64encode(raw).decode()
        return _BEGIN + "".join(text[i : i + 70] + "\n" for i in range(0, len(text), 70)) + _END

    def _by_ssh_keygen(self, payload: bytes) -> str:
        argv = ["ssh-keygen", "-Y", "sign", "-q", "-n", "git", "-f", str(self._path)]
        done = subprocess.run(argv, input=payload, capture_output=True, check=False)
        if done.returncode:
            raise NotAllowed(
                f"ssh-keygen cannot sign with {self._path}: {done.stderr.decode(errors='replace').strip()}",
                "is the key loaded in ssh-agent (ssh-add -l)?",
            )
        return done.stdout.decode()


def new_key(path: Path, comment: str) -> None:
    """Write a new ed25519 key to ``path`` (mode 0600) and ``path.pub``, in OpenSSH's format."""
    from vrt.storage.local import write_private

    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(s.Encoding.PEM, s.PrivateFormat.OpenSSH, s.NoEncryption())
    write_private(path, pem)
    public = key.public_key().public_bytes(s.Encoding.OpenSSH, s.PublicFormat.OpenSSH).decode()
    write_private(path.with_name(path.name + ".pub"), f"{public} {comment}\n".encode())


def derived(secret: str) -> Signer:
    """Return what signs with the ed25519 key that follows from a recovery card's age identity.

    Its seed is HKDF-SHA256 (RFC 5869) of the identity as text, without salt; what is on paper so opens and signs.
    """
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    seed = HKDF(SHA256(), 32, None, b"vrt recovery card: signing key").derive(secret.strip().encode())
    key = Ed25519PrivateKey.from_private_bytes(seed)
    return Signer(key.public_key().public_bytes(s.Encoding.OpenSSH, s.PublicFormat.OpenSSH).decode(), key)


def check_public(public: str) -> None:
    """Raise ``UsageError`` unless ``public`` is a whole SSH public key: its kind, and wire data that begins with it."""
    kind, _, blob = public.partition(" ")
    try:
        found = _strings(base64.b64decode(blob, validate=True))
        if found[0] != kind.encode() or len(found) < 2 or (kind == "ssh-ed25519" and len(found[1]) != 32):
            raise ValueError
    except (ValueError, IndexError) as exc:
        raise UsageError(f"not an SSH public key: {public[:40]}…", "ask for the output of: vrt identity") from exc


def public_of(path: Path) -> str:
    """Return the public key that belongs to the key file ``path`` (itself or its ``.pub``)."""
    source = path if path.suffix == ".pub" else path.with_name(path.name + ".pub")
    try:
        kind, blob, *_ = source.read_text().split()
        base64.b64decode(blob, validate=True)
    except (OSError, ValueError) as exc:
        raise UsageError(f"no SSH public key in {source}", f"ssh-keygen -y -f {path} > {source}") from exc
    return f"{kind} {blob}"


def signer(path: Path, open_key: object = None) -> Signer:
    """Return the signer of the key at ``path``.

    ``open_key(path)`` returns the private key without a passphrase, or None where ssh-agent or ssh-keygen
    must sign. A ``.pub`` path always goes to the agent.
    """
    public = public_of(path)
    if public.startswith(("ssh-ed25519 ", "ssh-rsa ")) and path.suffix != ".pub" and callable(open_key):
        pem = open_key(path)
        key = s.load_ssh_private_key(pem, None) if pem else None
        if isinstance(key, Ed25519PrivateKey | RSAPrivateKey):
            return Signer(public, key)
    return Signer(public, path=path)


@lru_cache(maxsize=1024)
def _ed25519(blob: bytes) -> Ed25519PublicKey:
    kind, raw = _strings(blob)
    if kind != b"ssh-ed25519":
        raise ValueError("not ed25519")
    return Ed25519PublicKey.from_public_bytes(raw)


@lru_cache(maxsize=1024)
def _rsa(blob: bytes) -> RSAPublicKey:
    kind, exponent, modulus = _strings(blob)
    if kind != b"ssh-rsa" or not _SHORTEST_RSA <= len(modulus) <= _LONGEST_RSA:
        raise ValueError("not RSA, or of no sound length")
    return RSAPublicNumbers(int.from_bytes(exponent, "big"), int.from_bytes(modulus, "big")).public_key()


# SHA-1 is not among them (RFC 8332; sshsig refuses it too). Bytes of a modulus: 2048 to 16384 bits.
_RSA_HASHES = {b"rsa-sha2-512": SHA512, b"rsa-sha2-256": SHA256}
_SHORTEST_RSA, _LONGEST_RSA = 256, 2049


def verify(payload: bytes, armor: str) -> str | None:
    """Return the public key (``ssh-… AAAA…``) that made this signature of ``payload``, or None where it is bad."""
    try:
        if not (armor.startswith(_BEGIN) and armor.endswith(_END)):
            return None
        raw = base64.b64decode(armor[len(_BEGIN) : -len(_END)].replace("\n", ""), validate=True)
        if raw[:10] != _MAGIC + struct.pack(">I", 1):
            return None
        blob, namespace, reserved, hashed, signature = _strings(raw[10:])
        kind = _strings(blob)[0].decode("ascii")
        public = f"{kind} {base64.b64encode(blob).decode()}"
        if namespace != _NAMESPACE:
            return None
        if kind not in ("ssh-ed25519", "ssh-rsa") or (hashed, reserved) != (_HASH, b""):
            return public if _verify_by_ssh_keygen(payload, armor, public) else None
        made_by, value = _strings(signature)
        if made_by == b"ssh-ed25519":
            _ed25519(blob).verify(value, _to_sign(payload))
        elif made_by in _RSA_HASHES:
            _rsa(blob).verify(value, _to_sign(payload), PKCS1v15(), _RSA_HASHES[made_by]())
        else:
            return None
    except (ValueError, InvalidSignature, IndexError):
        return None
    return public


def _verify_by_ssh_keygen(payload: bytes, armor: str, public: str) -> bool:
    with tempfile.TemporaryDirectory(prefix="vrt-") as folder:
        signers, signature = Path(folder, "signers"), Path(folder, "sig")
        signers.write_text(f'signer namespaces="git" {public}\n')
        signature.write_text(armor)
        argv = [
            "ssh-keygen",
            "-Y",
            "verify",
            "-q",
            "-n",
            "git",
            "-I",
            "signer",
            "-f",
            str(signers),
            "-s",
            str(signature),
        ]
        return subprocess.run(argv, input=payload, capture_output=True, check=False).returncode == 0
