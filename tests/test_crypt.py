"""Sealed files, against other programs: what vrt seals ``age`` and ``zcat`` open, what they seal vrt opens."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import zlib
from pathlib import Path

import pyrage
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrt.errors import NotAllowed, UsageError
from vrt.storage import crypt
from vrt.storage.crypt import CannotOpen

VECTORS = Path(__file__).parent / "vectors"
needs_age = pytest.mark.skipif(
    not shutil.which("age") and os.environ.get("CI") != "true", reason="age is not installed"
)


@pytest.fixture
def key() -> tuple[str, str]:
    return crypt.new_identity()


@pytest.mark.parametrize("case", json.loads((VECTORS / "padme.json").read_text()), ids=lambda c: str(c["length"]))
def test_padme_vectors(case: dict[str, int]) -> None:
    assert crypt.padme(case["length"]) == case["padded"]


@given(st.integers(0, 1 << 40))
def test_padme_tells_little(size: int) -> None:
    padded = crypt.padme(size)
    assert size <= padded <= size * 1.12 + 1
    assert crypt.padme(padded) == padded


@pytest.mark.parametrize("size", [0, 1, 100, 4096, 100_000])
def test_what_is_sealed_is_opened(key: tuple[str, str], size: int) -> None:
    data = os.urandom(size)
    assert crypt.unseal(crypt.seal(data, key[1]), [crypt.identity(key[0])]) == data


def test_sizes_are_padded(key: tuple[str, str]) -> None:
    """Contents of neighbouring sizes are of one size inside; the gzip has no time and no name."""
    identity = [crypt.identity(key[0])]
    packed = [pyrage.decrypt(crypt.seal(os.urandom(n), key[1]), identity) for n in range(5000, 5040)]
    assert {len(p) for p in packed} == {5120}
    assert {p[:8] for p in packed} == {b"\x1f\x8b\x08\0\0\0\0\0"}


@needs_age
def test_age_and_zcat_open_it(key: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "key").write_text(key[0] + "\n")
    text = "Grüße\n".encode() * 99
    opened = subprocess.run(
        ["age", "-d", "-i", str(tmp_path / "key")], input=crypt.seal(text, key[1]), capture_output=True, check=True
    ).stdout
    assert subprocess.run(["zcat"], input=opened, capture_output=True, check=False).stdout == text


@needs_age
@pytest.mark.parametrize("kind", ["age", "ed25519", "rsa"])
def test_what_age_sealed_is_opened(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "key"
    if kind == "age":
        secret, recipient = crypt.new_identity()
        identity = crypt.identity(secret)
    else:
        bits = ["-b", "2048"] if kind == "rsa" else []
        subprocess.run(["ssh-keygen", "-q", "-t", kind, *bits, "-N", "", "-f", str(path)], check=True)
        recipient, identity = path.with_suffix(".pub").read_text(), crypt.ssh_identity(path.read_bytes())
    packed = gzip.compress(b"hello", mtime=0)
    sealed = subprocess.run(["age", "-r", recipient.strip()], input=packed + bytes(99), capture_output=True, check=True)
    assert crypt.unseal(sealed.stdout, [identity]) == b"hello"
    assert crypt.unseal(crypt.seal(b"there and back", recipient), [identity]) == b"there and back"


def test_a_changed_file_is_not_opened(key: tuple[str, str]) -> None:
    """One bit anywhere, a piece cut off, something added: nothing of it is released."""
    sealed, identity = crypt.seal(os.urandom(300), key[1]), [crypt.identity(key[0])]
    for at in range(0, len(sealed), 7):
        with pytest.raises(CannotOpen):
            crypt.unseal(sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :], identity)
    for other in (b"", sealed[:-1], sealed[: len(sealed) // 2], sealed + b"x", b"x" + sealed, os.urandom(500)):
        with pytest.raises(CannotOpen):
            crypt.unseal(other, identity)


def test_another_key_does_not_open(key: tuple[str, str]) -> None:
    sealed = crypt.seal(b"x", key[1])
    with pytest.raises(CannotOpen):
        crypt.unseal(sealed, [crypt.identity(crypt.new_identity()[0])])
    with pytest.raises(CannotOpen):
        crypt.unseal(sealed, [])


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"plain text",
        b"\x1f\x8b",
        gzip.compress(b"x", mtime=0)[:-4],
        gzip.compress(b"x", mtime=0) + b"hidden",
        zlib.compress(b"x"),
        gzip.compress(b"x", mtime=0) + gzip.compress(b"hidden", mtime=0),
    ],
)
def test_what_is_not_padded_gzip_is_not_opened(key: tuple[str, str], packed: bytes) -> None:
    """Nothing may hide behind what is shown: after the gzip there are zeros alone."""
    sealed = pyrage.encrypt(packed, [crypt.recipient(key[1])])
    with pytest.raises(CannotOpen):
        crypt.unseal(sealed, [crypt.identity(key[0])])


def test_a_bomb_does_not_burst(key: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crypt, "LIMIT", 1 << 20)
    sealed = crypt.seal(bytes(1 << 22), key[1])
    assert len(sealed) < 10_000
    with pytest.raises(CannotOpen):
        crypt.unseal(sealed, [crypt.identity(key[0])])


@pytest.mark.parametrize(
    "text", ["", "age1", "age1nonsense", "age1yubikey1qqqqqqqq", "ssh-dss AAAA", "rubbish", "ssh-ed25519", "-r"]
)
def test_no_recipients(text: str) -> None:
    with pytest.raises(UsageError):
        crypt.recipient(text)


@pytest.mark.parametrize("text", ["", "AGE-SECRET-KEY-1", "AGE-PLUGIN-YUBIKEY-1QQQQ", "rubbish"])
def test_no_identities(text: str) -> None:
    with pytest.raises(UsageError):
        crypt.identity(text)


def test_a_public_key_belongs_to_its_secret(key: tuple[str, str]) -> None:
    assert crypt.public(key[0]) == key[1]
    if shutil.which("age-keygen"):
        done = subprocess.run(["age-keygen", "-y"], input=key[0], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == key[1]


def test_a_passphrase_opens_an_ssh_key(tmp_path: Path) -> None:
    path = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "correct horse", "-f", str(path)], check=True)
    pem = crypt.open_ssh_key(path.read_bytes(), b"correct horse")
    sealed = crypt.seal(b"x", path.with_suffix(".pub").read_text())
    assert crypt.unseal(sealed, [crypt.ssh_identity(pem)]) == b"x"
    with pytest.raises(NotAllowed):
        crypt.open_ssh_key(path.read_bytes(), b"battery staple")


def test_hash8_is_that_of_sha256sum() -> None:
    data = os.urandom(99)
    done = subprocess.run(["sha256sum"], input=data, capture_output=True, check=True)
    assert crypt.hash8(data) == done.stdout[:8].decode()
