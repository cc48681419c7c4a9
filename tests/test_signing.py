"""Signatures, against ssh-keygen and git: theirs are good here, ours are good there, and nothing else is."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from vrt.errors import NotAllowed, UsageError
from vrt.storage import signing

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "vectors" / "sshsig.json").read_text())
PAYLOAD = b"tree 1\nauthor a\n\nnote\n"


def keygen(path: Path, kind: str = "ed25519", *more: str) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", kind, *more, "-N", "", "-C", "x", "-f", str(path)], check=True)
    return path


def by_ssh_keygen(path: Path, payload: bytes = PAYLOAD, *more: str, namespace: str = "git") -> str:
    argv = ["ssh-keygen", "-Y", "sign", "-q", "-n", namespace, *more, "-f", str(path)]
    return subprocess.run(argv, input=payload, capture_output=True, check=True).stdout.decode()


def good_for_ssh_keygen(folder: Path, public: str, armor: str, payload: bytes = PAYLOAD) -> bool:
    (folder / "signers").write_text(f'alice@example.org namespaces="git" {public}\n')
    (folder / "sig").write_text(armor)
    argv = ["ssh-keygen", "-Y", "verify", "-f", str(folder / "signers"), "-I", "alice@example.org", "-n", "git"]
    argv += ["-s", str(folder / "sig")]
    return subprocess.run(argv, input=payload, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("case", VECTORS["good"], ids=lambda c: c["type"])
def test_signatures_of_ssh_keygen(case: dict[str, str]) -> None:
    payload = case["payload"].encode()
    assert signing.verify(payload, case["signature"]) == case["public"]
    assert signing.verify(payload + b" ", case["signature"]) is None


def test_a_signature_for_another_purpose_is_none() -> None:
    assert signing.verify(VECTORS["good"][0]["payload"].encode(), VECTORS["other_namespace"]) is None


def test_ours_is_the_one_of_ssh_keygen(tmp_path: Path) -> None:
    """ed25519 is deterministic: in this process and by ssh-keygen the same bytes come out, armor and all."""
    path = keygen(tmp_path / "k")
    ours = signing.signer(path, Path.read_bytes)
    for payload in (PAYLOAD, b"", b"\0" * 5000, "Grüße".encode()):
        assert ours.sign(payload) == by_ssh_keygen(path, payload)
    assert good_for_ssh_keygen(tmp_path, ours.public, ours.sign(PAYLOAD))
    assert not good_for_ssh_keygen(tmp_path, ours.public, ours.sign(PAYLOAD), b"other")


@pytest.mark.parametrize(("kind", "more"), [("rsa", ["-b", "2048"]), ("ecdsa", []), ("ed25519", [])])
@pytest.mark.parametrize("hashed", ["sha512", "sha256"])
def test_other_keys_and_hashes(kind: str, more: list[str], hashed: str, tmp_path: Path) -> None:
    path = keygen(tmp_path / "k", kind, *more)
    armor = by_ssh_keygen(path, PAYLOAD, "-O", f"hashalg={hashed}")
    assert signing.verify(PAYLOAD, armor) == signing.public_of(path)
    assert signing.verify(PAYLOAD + b"x", armor) is None
    ours = signing.signer(path, Path.read_bytes)
    assert signing.verify(PAYLOAD, ours.sign(PAYLOAD)) == ours.public


def test_a_made_key_is_one_that_openssh_reads(tmp_path: Path) -> None:
    path = tmp_path / "new" / "signing"
    signing.new_key(path, "alice")
    assert path.stat().st_mode & 0o777 == 0o600
    done = subprocess.run(["ssh-keygen", "-y", "-f", str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.split()[:2] == path.with_name("signing.pub").read_text().split()[:2]
    assert signing.verify(PAYLOAD, by_ssh_keygen(path)) == signing.public_of(path)


def armored(raw: bytes) -> str:
    text = base64.b64encode(raw).decode()
    rows = "".join(text[i : i + 70] + "\n" for i in range(0, len(text), 70))
    return f"-----BEGIN SSH SIGNATURE-----\n{rows}-----END SSH SIGNATURE-----\n"


def raw_of(armor: str) -> bytes:
    return base64.b64decode("".join(armor.split("\n")[1:-2]))


def test_no_bit_of_a_signature_may_change(tmp_path: Path) -> None:
    """Every byte of it, one at a time: the key, the namespace, the hash's name, the signature, all lengths."""
    path = keygen(tmp_path / "k")
    armor, public = by_ssh_keygen(path), signing.public_of(path)
    raw = raw_of(armor)
    assert signing.verify(PAYLOAD, armored(raw)) == public
    for at in range(len(raw)):
        assert signing.verify(PAYLOAD, armored(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])) is None, at
    for other in (raw[:-1], raw + b"\0", raw + raw, b"", raw[:50]):
        assert signing.verify(PAYLOAD, armored(other)) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda a: "", lambda a: "x" + a, lambda a: a + "x", lambda a: a.replace("SSH", "PGP"), lambda a: a[:100],
        lambda a: a.replace("\n", "\r\n"), lambda a: a.replace("\n", " \n"), lambda a: a.replace("A", "Ä"),
        lambda a: a.replace("-----BEGIN", "X: y\n-----BEGIN"), lambda a: a.rstrip("\n").rstrip("-"),
    ],
)  # fmt: skip
def test_rubbish_is_no_signature(change: Any) -> None:
    case = VECTORS["good"][0]
    assert signing.verify(case["payload"].encode(), change(case["signature"])) is None


def test_git_calls_ours_good(tmp_path: Path) -> None:
    from conftest import founded, mail

    alice = founded(tmp_path)
    alice.receive(mail("A letter"))
    assert set(alice.git("log", "--format=%G?", "main", "keys").decode().split()) == {"G"}
    assert b'Good "git" signature for alice@example.org' in alice.git("log", "-1", "--show-signature", "main")


def test_a_key_with_a_passphrase_needs_it(tmp_path: Path) -> None:
    path = tmp_path / "k"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", str(path)], check=True)
    with pytest.raises(NotAllowed):
        signing.signer(path).sign(PAYLOAD)  # nobody opens it, no agent holds it


def test_no_public_key(tmp_path: Path) -> None:
    for text in ("", "rubbish", "ssh-ed25519 not-base64!"):
        (tmp_path / "k.pub").write_text(text)
        with pytest.raises(UsageError):
            signing.public_of(tmp_path / "k")
    with pytest.raises(UsageError):
        signing.public_of(tmp_path / "missing")
