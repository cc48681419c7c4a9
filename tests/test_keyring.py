"""The keyring: refs that others can compute from docs/FORMAT.md, and files that must be what the ledger says."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from conftest import founded, mail

from vrt import paths, roster
from vrt.errors import NotAllowed
from vrt.mail.parse import content_digest
from vrt.storage import crypt, keyring
from vrt.storage.keyring import Keyring

VECTORS = Path(__file__).parent / "vectors"
REFS: dict[str, Any] = json.loads((VECTORS / "refs.json").read_text())


# --- refs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", REFS["refs"], ids=lambda c: f"{c['kind']}-{c['of']}")
def test_refs(case: dict[str, str]) -> None:
    ring = Keyring(secrets={1: bytes.fromhex(REFS["secret_hex"])})
    assert ring.ref(case["kind"], bytes.fromhex(case["value_hex"]), 1) == case["ref"]


def test_values_of_refs() -> None:
    by_kind = {(c["kind"], c["of"]): bytes.fromhex(c["value_hex"]) for c in REFS["refs"]}
    salt = bytes.fromhex(REFS["salt_hex"])
    for (kind, text), value in by_kind.items():
        if kind == "message":
            assert keyring.message_value(text) == value
        if kind == "sender":
            assert keyring.sender_value(salt, text) == value


def test_secret_check() -> None:
    assert keyring.secret_check(bytes.fromhex(REFS["secret_hex"])) == REFS["secret_check"]


def test_kinds_and_epochs_do_not_meet() -> None:
    """One value under another kind or secret is another ref; and an empty kind cannot be faked by a zero byte."""
    ring = Keyring(secrets={1: b"a" * 32, 2: b"b" * 32})
    refs = {ring.ref(kind, b"x", epoch) for kind in ("message", "content", "sender") for epoch in (1, 2)}
    assert len(refs) == 6
    assert ring.ref("a", b"b\0c", 1) == ring.ref("a\0b", b"c", 1), "kinds are fixed words, so this is no danger"
    assert set(ring.refs("message", b"x")) == {ring.ref("message", b"x", 1), ring.ref("message", b"x", 2)}


def test_without_a_secret_there_are_no_refs() -> None:
    with pytest.raises(NotAllowed):
        Keyring().epoch()


@pytest.mark.parametrize("case", json.loads((VECTORS / "content.json").read_text()), ids=lambda c: c["name"])
def test_content_digest(case: dict[str, str]) -> None:
    """The digest of a mail is the sha256 of the bytes that docs/FORMAT.md 6 names, put together by hand."""
    assert hashlib.sha256(base64.b64decode(case["hashed_base64"])).hexdigest() == case["digest"]
    assert content_digest(base64.b64decode(case["mail_base64"])).hex() == case["digest"]


# --- paths ----------------------------------------------------------------------------------------

N, FOLDER = "2026112010000017", "tickets/2026/11/20/000/2026112010000017"
EVENT = "20261120T093205Z-receive-5f3a91c2"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (paths.desk_secret(1, "alice", "0" * 8), "desk"),
        (paths.queue_identity("info-en", 2, "bob", "0" * 8), "queues"),
        (paths.salt(N, "info-en", "0" * 8), "salt"),
        (paths.article_identity(N, EVENT, "info-en", "0" * 8), "article"),
    ],
)
def test_paths_are_read_as_they_are_written(path: str, kind: str) -> None:
    key = paths.parse_key(path)
    assert key is not None
    assert (key.kind, key.hash8) == (kind, "0" * 8)


def test_a_double_slash_has_no_place() -> None:
    assert paths.parse_key(f"{FOLDER}//salt.info-en.00000000.age") is None


@pytest.mark.parametrize(
    "path",
    [
        "",
        "desk",
        "desk/alice.00000000.age",
        "desk/0.alice.00000000.age",
        "desk/01.alice.00000000.age",
        "desk/1.Alice.00000000.age",
        "desk/1.alice.0000000.age",
        "desk/1.alice.0000000G.age",
        "desk/1.alice.00000000.age\n",
        "desk/١.alice.00000000.age",
        "desk/../desk/1.alice.00000000.age",
        "/desk/1.alice.00000000.age",
        "queues/1.alice.00000000.age",
        "queues/a/b/1.alice.00000000.age",
        "rules/x",
        f"{FOLDER}/salt.00000000.age",
        f"{FOLDER[:-1]}8/salt.info-en.00000000.age",
        f"{FOLDER.replace('/000/', '/001/')}/salt.info-en.00000000.age",
        f"{FOLDER}/{EVENT}.00000000.age",
        f"{FOLDER}/{EVENT}.info-en.00000000.md.age",
        f"{FOLDER}/x.info-en.00000000.age",
        f"tickets/{N}/salt.info-en.00000000.age",
    ],
)
def test_other_paths_have_no_place(path: str) -> None:
    assert paths.parse_key(path) is None


# --- learning -------------------------------------------------------------------------------------


class Holder:
    """A card with a desk around it; what is planted is sealed to it."""

    def __init__(self) -> None:
        self.secret, self.recipient = crypt.new_identity()
        self.desk_secret, self.old_desk_secret = os.urandom(32), os.urandom(32)
        self.queue_secret, queue_recipient = crypt.new_identity()
        self.old_queue_secret, before = crypt.new_identity()
        self.roster = roster.read(
            {
                "desk.yaml": {
                    "format": 1,
                    "name": "x",
                    "domain": "example.org",
                    "secret_epoch": 2,
                    "secret_check": keyring.secret_check(self.desk_secret),
                    "secret_former": [keyring.secret_check(self.old_desk_secret)],
                },
                "agents/alice.yaml": {"roles": ["agent"], "recipient": self.recipient, "queues": ["info-en"]},
                "queues/info-en.yaml": {"recipient": queue_recipient, "epoch": 2, "former": [before]},
            }
        )
        self.ring = Keyring(now=2)

    def learns(self, path: str, data: bytes) -> bool:
        key = paths.parse_key(path)
        assert key is not None
        return self.ring.learn(key, data, "alice", [crypt.identity(self.secret)], self.roster)


@pytest.fixture
def holder() -> Holder:
    return Holder()


def test_what_is_right_is_learnt(holder: Holder) -> None:
    assert holder.learns(*keyring.seal_secret(holder.desk_secret, 2, "alice", holder.recipient))
    assert holder.learns(*keyring.seal_queue("info-en", 2, holder.queue_secret, "alice", holder.recipient))
    assert holder.ring.secrets == {2: holder.desk_secret}
    assert holder.ring.queues == {"info-en": {2: holder.queue_secret}}
    assert holder.ring.epoch() == 2


@pytest.mark.parametrize("epoch", [2, 3, 10**9])
@pytest.mark.parametrize("content", [b"", b"00\n", b"z" * 64 + b"\n", b"00" * 32 + b"\n", b"\xff" * 65, b"0" * 10_000])
def test_a_wrong_desk_secret_is_passed_over(holder: Holder, epoch: int, content: bytes) -> None:
    data = crypt.seal(content, holder.recipient)
    assert not holder.learns(paths.desk_secret(epoch, "alice", crypt.hash8(data)), data)
    assert holder.ring.secrets == {}


@pytest.mark.parametrize("content", [b"", b"00\n", b"z" * 64 + b"\n", b"\xff" * 65])
def test_a_desk_secret_of_an_old_epoch_is_at_least_one(holder: Holder, content: bytes) -> None:
    data = crypt.seal(content, holder.recipient)
    assert not holder.learns(paths.desk_secret(1, "alice", crypt.hash8(data)), data)


@pytest.mark.parametrize("epoch", [1, 2, 3])
@pytest.mark.parametrize("content", [b"", b"nonsense", b"\xff\xfe", b"AGE-SECRET-KEY-1QQQQ\n"])
def test_a_queue_identity_that_is_none_is_passed_over(holder: Holder, epoch: int, content: bytes) -> None:
    data = crypt.seal(content, holder.recipient)
    assert not holder.learns(paths.queue_identity("info-en", epoch, "alice", crypt.hash8(data)), data)
    assert holder.ring.identities() == []


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_another_queue_identity_is_passed_over(holder: Holder, epoch: int) -> None:
    assert not holder.learns(*keyring.seal_queue("info-en", epoch, crypt.new_identity()[0], "alice", holder.recipient))
    assert holder.ring.queues == {}


def test_what_is_planted_first_does_not_keep_out_what_is_right(holder: Holder) -> None:
    holder.learns(*keyring.seal_queue("info-en", 2, crypt.new_identity()[0], "alice", holder.recipient))
    holder.learns(*keyring.seal_secret(os.urandom(32), 2, "alice", holder.recipient))
    test_what_is_right_is_learnt(holder)


def test_an_old_epoch_is_known_by_its_own_key(holder: Holder) -> None:
    """Also where what was planted comes first, as in a clone that reads the keyring by name."""
    holder.learns(*keyring.seal_queue("info-en", 1, crypt.new_identity()[0], "alice", holder.recipient))
    assert holder.learns(*keyring.seal_queue("info-en", 1, holder.old_queue_secret, "alice", holder.recipient))
    assert holder.ring.queues == {"info-en": {1: holder.old_queue_secret}}


def test_what_is_planted_later_does_not_take_its_place(holder: Holder) -> None:
    test_what_is_right_is_learnt(holder)
    for epoch in (2, 3):
        holder.learns(*keyring.seal_queue("info-en", epoch, crypt.new_identity()[0], "alice", holder.recipient))
        holder.learns(*keyring.seal_secret(os.urandom(32), epoch, "alice", holder.recipient))
    assert holder.ring.secrets[2] == holder.desk_secret
    assert holder.ring.queues["info-en"][2] == holder.queue_secret
    assert holder.ring.epoch() == 2


def test_files_of_others_and_misnamed_ones_are_not_opened(holder: Holder) -> None:
    path, data = keyring.seal_secret(holder.desk_secret, 2, "bob", holder.recipient)
    assert not holder.learns(path, data)
    path, data = keyring.seal_secret(holder.desk_secret, 2, "alice", holder.recipient)
    assert not holder.learns(path.replace(crypt.hash8(data), "00000000"), data)
    path, data = keyring.seal_secret(holder.desk_secret, 2, "alice", crypt.new_identity()[1])
    assert not holder.learns(path, data)
    path, data = keyring.seal_queue("nowhere", 2, holder.queue_secret, "alice", holder.recipient)
    assert not holder.learns(path, data)


@pytest.mark.parametrize("content", [b"", b"xyz", b"\xff", b"00"])
def test_salts_and_identities_that_are_none(holder: Holder, content: bytes) -> None:
    mine = [crypt.identity(holder.secret)]
    assert keyring.open_identity(crypt.seal(content, holder.recipient), mine) is None
    assert keyring.open_identity(os.urandom(200), mine) is None
    assert keyring.open_salt(os.urandom(200), mine) is None
    if content != b"00":
        assert not keyring.open_salt(crypt.seal(content, holder.recipient), mine)


# --- on a real desk -------------------------------------------------------------------------------


def test_two_tickets_of_one_person_cannot_be_linked(tmp_path: Path) -> None:
    """The same sender has another Sender-Ref in every ticket; the same mail at another desk other refs at all."""
    letters = [mail(f"Letter {i}", id=f"<{i}@example.com>") for i in range(2)]
    refs = []
    for name in ("one", "two"):
        alice = founded(tmp_path / name)
        alice.receive(*letters)
        text = alice.git("log", "--format=%B", "main").decode()
        refs += [row.split(": ", 1)[1] for row in text.splitlines() if "-Ref: " in row]
    assert len(refs) == 12
    assert len(set(refs)) == 12
