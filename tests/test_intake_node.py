"""A machine that takes in mail and can read none of it: with its own keys, everything it has says nothing.

Two hundred mails go through it; then all that the machine holds is opened with the keys that it has, and searched.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from conftest import Person, mail
from test_cmd_desk import fetch
from test_follow_up import shown
from test_secrets import forms, found_in, inflated, new_word

from vrt.storage import crypt
from vrt.storage.database import Database
from vrt.storage.identity import Keys
from vrt.storage.local import Config

MAILS = 200
RULES = """\
match: all
rules:
- name: pressing
  if:
    header:
      X-Pressing: "yes"
  then:
    priority: 5
    tags: [urgent]
- name: permits
  if:
    header:
      X-Desk: permits
  then:
    queue: permissions-en
"""


@dataclass
class Letter:
    """One mail and the words that are in it alone: in its text, subject, addresses and a file's name."""

    i: int
    raw: bytes = b""
    words: dict[str, str] = field(default_factory=dict)


PLACES = ("body", "subject", "address", "reply", "file", "id", "name")


def letters(mark: str) -> list[Letter]:
    """Two hundred mails: every fourth answers the one before it, some are for rules to route, some are spam.

    Each has words of its own, which all begin with ``mark``: it is enough to look for that.
    """
    out: list[Letter] = []
    for i in range(MAILS):
        words = {name: f"{mark}{chr(97 + i % 26)}{chr(97 + i // 26)}{name}" for name in PLACES}
        headers: dict[str, Any] = {"reply_to": f"{words['reply']}@reply.example"}
        address = f"{words['address']}@{words['address']}.example"
        if i % 4 == 3:
            headers["in_reply_to"] = f"<{out[-1].words['id']}@mail.example>"
            words["address"] = out[-1].words["address"]
            address = f"{words['address']}@{words['address']}.example"
        if i % 5 == 1:
            headers["x_pressing"] = "yes"
        if i % 8 == 2:
            headers["x_desk"] = "permits"
        if i % 25 == 4:
            headers["x_spam_flag"] = "YES"
        raw = mail(
            f"About {words['subject']}", f"Dear team,\nit is {words['body']} ä.\n",
            sender=f"{words['name']} Roe <{address}>", id=f"<{words['id']}@mail.example>",
            files={f"{words['file']}.pdf": b"%PDF" + words["body"].encode()} if i % 2 else None, **headers,
        )  # fmt: skip
        out.append(Letter(i, raw, words))
    return out


@pytest.fixture
def node(alice: Person, colleague: Callable[..., Person], tmp_path: Path) -> Person:
    """An intake node with a copy of alice's desk, and a mailer; its temporary files go to a folder of its own."""
    alice.ok("desk", "set", "--spam-filter", "spamassassin")
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES)
    alice.ok("rules", "edit", "-F", str(rules))
    alice.ok("queue", "set", "info-en", "--auto-reply", "new")
    colleague("post", role="mailer")
    made = colleague("mx", role="intake")
    tmp = tmp_path / "mx-tmp"
    tmp.mkdir()
    made.env |= {name: str(tmp) for name in ("TMPDIR", "TMP", "TEMP")}
    return made


def receive(person: Person, sent: list[Letter], tmp_path: Path) -> list[dict[str, Any]]:
    """Receive from a Maildir outside the node, in two calls and one by one, as cron and a mail server would."""
    found: list[dict[str, Any]] = []
    for part, some in enumerate((sent[:120], sent[120:190])):
        box = tmp_path / f"mailbox-{part}"
        (box / "new").mkdir(parents=True)
        for letter in some:
            (box / "new" / f"{letter.i:04}").write_bytes(letter.raw)
        found += person.json("receive", str(box))["mails"]
    for letter in sent[190:]:
        found += person.json("receive", "-", feed=letter.raw)["mails"]
    assert len(found) == len(sent)
    return found


# --- what the node holds, and what its keys open ----------------------------------------------------


class Opened:
    """Everything that a node's files say to one who has its keys: as they are, inflated, decrypted, and so on."""

    def __init__(self, person: Person, folders: list[Path]) -> None:
        assert person.desk is not None
        self.desk, self.folders = person.desk, folders
        home = Path(person.env["VRT_HOME"])
        self.own = Keys(Config(identity=home / "identity.txt", signing_key=home / "signing")).identities()
        self.person = person
        self.pieces: list[tuple[str, bytes]] = []
        self.identities: dict[str, str] = {}  # secrets that were found, and where

    def read(self) -> None:
        """Collect all pieces; go on as long as what was opened holds another key."""
        sealed = []
        for name, data in self._everything():
            self.pieces.append((name, data))
            if data.startswith(b"age-encryption.org/v1"):
                sealed.append((name, data))
            if data[:2] == b"\x1f\x8b" or data[:1] == b"\x78":
                self.pieces.append((f"{name} inflated", inflated(data)))
        keys = list(self.own)
        while keys:
            left = []
            for name, data in sealed:
                try:
                    text = crypt.unseal(data, keys)
                except crypt.CannotOpen:
                    left.append((name, data))
                    continue
                self.pieces.append((f"{name} opened", text))
            sealed = left
            keys = list(self._new_identities())
        self.sealed = sealed

    def _everything(self) -> Iterator[tuple[str, bytes]]:
        git = self.person.git
        names = git("cat-file", "--batch-all-objects", "--batch-check=%(objectname)")
        data = git("cat-file", "--batch", feed=names)
        at = 0
        while at < len(data):
            end = data.index(b"\n", at)
            oid, kind, size = data[at:end].split()
            yield f"{kind.decode()} {oid.decode()}", data[end + 1 : end + 1 + int(size)]
            at = end + 2 + int(size)
        yield "refs and reflogs", git("log", "--all", "--reflog", "--format=%B%an%ae%D") + git("for-each-ref")
        for folder in self.folders:
            for path in folder.rglob("*"):
                yield f"the name {path}", str(path.relative_to(folder)).encode()
                if path.is_file() and "objects" not in path.parts:
                    yield str(path), path.read_bytes()
        yield from self._index()

    def _index(self) -> Iterator[tuple[str, bytes]]:
        """All that the encrypted index holds, table by table, opened with its key."""
        (key,) = [p for p in (self.desk / "vrt").glob("index.key*") if p.is_file()]
        secret = crypt.unseal(key.read_bytes(), self.own)
        database = Database(
            self.desk / "vrt" / "index.db", secret if len(secret) == 32 else bytes.fromhex(secret.decode())
        )
        tables = [str(t) for (t,) in database.sql("SELECT name FROM sqlite_master WHERE type = 'table'")]
        assert {"ticket", "event", "article", "salt", "meta"} <= set(tables)
        for table in tables:
            rows = list(database.sql(f'SELECT * FROM "{table}"'))
            for row in rows:
                for value in row:
                    data = value if isinstance(value, bytes) else str(value).encode()
                    yield f"index.db {table}", data
        database.close()

    def _new_identities(self) -> Iterator[crypt.Identity]:
        for name, data in self.pieces:
            for word in data.replace(b'"', b" ").replace(b"\\n", b" ").split():
                secret = word.decode("ascii", "replace")
                if secret.startswith("AGE-SECRET-KEY-1") and secret not in self.identities:
                    self.identities[secret] = name
                    try:
                        yield crypt.identity(secret)
                    except ValueError:
                        continue

    def finds(self, word: str) -> list[str]:
        """Return the names of the pieces that ``word`` is in, in whatever form."""
        wanted = forms(word)
        return [name for name, data in self.pieces if found_in(data, wanted)]

    def where(self, word: str) -> str:
        """Return the names of the pieces that ``word`` is in as it stands, a line each."""
        return "\n".join(name for name, data in self.pieces if word.encode() in data)


def folders(person: Person, tmp_path: Path) -> list[Path]:
    assert person.desk is not None
    return [person.desk, person.home, tmp_path / "mx-tmp", Path(f"/dev/shm/vrt-{os.getuid()}")]


def test_the_search_opens_what_keys_open(alice: Person, tmp_path: Path) -> None:
    """The test of the test: with the keys of a member all of it is found, body, subject, address and file."""
    mark = new_word()
    letter = letters(mark)[1]
    alice.receive(letter.raw)
    opened = Opened(alice, [p for p in folders(alice, tmp_path) if p.exists()])
    opened.read()
    for name, word in letter.words.items():
        places = opened.where(word)
        assert "index.db article" in places and "blob" in places and "opened" in places, name
    assert "index.db words" in opened.where(mark[8:])  # of its first letters, what the word before shares is left out
    assert len(opened.identities) > 5 and len(opened.sealed) < 10  # her own, the queues', the article's; not recovery


@pytest.mark.parametrize("published", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_an_intake_node_reads_nothing_and_loses_nothing(
    alice: Person, node: Person, tmp_path: Path, published: bool
) -> None:
    """With a remote to publish to, until when mail lies in its spool; and without one, where another desk fetches."""
    mark = new_word()
    sent = letters(mark)
    if not published:
        node.git("remote", "remove", "origin")
    found = receive(node, sent, tmp_path)
    numbered(node, found)
    shows_nothing(node, sent, found)
    if published:
        node.ok("sync")

    places = [p for p in folders(node, tmp_path) if p.exists()]
    opened = Opened(node, places)
    opened.read()
    assert opened.finds(mark) == []
    assert opened.identities.keys() == {
        s for s in opened.identities if s in (Path(node.env["VRT_HOME"]) / "identity.txt").read_text()
    }
    assert len(opened.sealed) > 2 * MAILS  # the articles are there, and stay closed

    if not published:
        fetch(alice, node)
    reads_all(alice, sent, found)
    assert alice.ok("verify").out.endswith("all in order\n")
    assert node.ok("verify").out.endswith("all in order\n")


def numbered(node: Person, found: list[dict[str, Any]]) -> None:
    """Numbers of the node's own, follow-ups in their tickets, rules and filter obeyed."""
    (card,) = [c for c in node.json("agent", "list") if c["handle"] == "mx"]
    for i, got in enumerate(found):
        assert got["ticket"][8:10] == str(card["system_id"])
        if i % 4 == 3 and found[i - 1]["queue"] == "junk":  # what the filter threw away takes nothing with it
            assert (got["outcome"], got["queue"]) == ("new", "info-en"), i
        elif i % 4 == 3:
            assert (got["outcome"], got["ticket"]) == ("follow-up", found[i - 1]["ticket"]), i
        else:
            queue = "permissions-en" if i % 8 == 2 else "junk" if i % 25 == 4 else "info-en"
            assert (got["outcome"], got["queue"]) == ("new", queue), i
    tickets = {t["number"]: t for t in node.json("list", "state:any", "--limit", "0")}
    for i, got in enumerate(found):
        if got["outcome"] == "new":
            t, pressing = tickets[got["ticket"]], i % 5 == 1
            assert (t["priority"], t["tags"]) == ((5, ["urgent"]) if pressing else (3, []))
            assert t["title"] is None and t["requester"] is None


def shows_nothing(node: Person, sent: list[Letter], found: list[dict[str, Any]]) -> None:
    """No command of the node's shows a word of it."""
    for letter, got in zip(sent[::40], found[::40], strict=True):
        now = node.json("show", got["ticket"])
        assert all(a["body"] is None and "subject" not in a and "from" not in a for a in now["articles"])
        done = node.run("raw", got["ticket"])
        assert done.code == 5 and not done.raw
        assert node.json("search", letter.words["body"]) == [] == node.json("search", f"from:{letter.words['address']}")
        out = node.ok("show", got["ticket"]).out + node.ok("trail", got["ticket"]).out
        out += (
            node.run("attachments", got["ticket"]).out + node.run("export", got["ticket"], str(node.home / "out")).out
        )
        assert not any(word in out for word in letter.words.values())
    name = node.git("ls-tree", "-r", "--name-only", "main").decode().split()[-1]
    blob = node.home / "blob.age"
    blob.write_bytes(node.git("cat-file", "blob", f"main:{name}"))
    assert name.endswith(".age") and node.ok("textconv", str(blob)).out.startswith("(sealed: no key)")


def reads_all(alice: Person, sent: list[Letter], found: list[dict[str, Any]]) -> None:
    """The admin has all two hundred, byte for byte, and the automatic replies that the node wrote."""
    everything = json.dumps([shown(alice, n) for n in sorted({m["ticket"] for m in found})], ensure_ascii=False)
    for letter in sent:
        for name in PLACES:
            assert letter.words[name] in everything or (name == "file" and letter.i % 2 == 0), (letter.i, name)
    for letter, got in zip(sent[::20], found[::20], strict=True):
        assert alice.ok("raw", got["ticket"], got["event"]).raw == letter.raw
    replies = [e for e in alice.json("trail", found[0]["ticket"]) if e["action"] == "auto-reply"]
    assert [(e["agent"], e["sender"]) for e in replies] == [("mx", "post")]
    assert sent[0].words["address"].encode() in alice.ok("raw", found[0]["ticket"], replies[0]["id"]).raw


def test_a_node_without_a_mailer_answers_nobody(alice: Person, colleague: Callable[..., Person]) -> None:
    """It may seal a reply, and has nobody to send it."""
    alice.ok("queue", "set", "info-en", "--auto-reply", "new")
    node = colleague("mx", role="intake")
    (got,) = node.json("receive", "-", feed=mail())["mails"]
    events = node.json("trail", got["ticket"])
    assert [e["action"] for e in events] == ["receive"] and events[0]["suppressed"] == "no-mailer"


def test_a_node_may_do_nothing_else(alice: Person, colleague: Callable[..., Person]) -> None:
    """With its key one can put mail into the desk, and neither take, close, note, route nor change a queue."""
    node = colleague("mx", role="intake")
    (n,) = node.receive(mail())
    head = node.git("rev-parse", "main", "keys")
    for args in (
        ("take", n), ("close", n, "-o", "spam"), ("note", n, "-m", "x"), ("route", n, "permissions-en"),
        ("new", "--queue", "info-en", "--subject", "x", "-m", "x"), ("queue", "set", "info-en", "--follow-up", "new"),
        ("rules", "edit", "-F", "-"), ("desk", "set", "--name", "x"), ("priority", n, "5"),
    ):  # fmt: skip
        done = node.run(*args, feed="rules: []\n")
        assert done.code in (4, 5), (args, done)
    assert node.git("rev-parse", "main", "keys") == head


def test_it_threads_what_others_began(alice: Person, colleague: Callable[..., Person], tmp_path: Path) -> None:
    """Tickets from before its admission and from after it, made by the agents: the node knows their parties."""
    (old,) = alice.receive(mail("Old", sender="old@example.com", id="<old@example.com>"))
    node = colleague("mx", role="intake")
    (new,) = alice.receive(mail("New", sender="new@example.com", id="<new@example.com>"))
    called = alice.ok("new", "--queue", "info-en", "--subject", "Call", "--from", "call@example.com", "-m", "x").out
    alice.ok("close", old, new, "-o", "successful")
    fetch(node, alice)
    mails = [
        mail("Re: Old", "1", sender="old@example.com", in_reply_to="<old@example.com>"),
        mail(f"[Ticket#{new}]", "2", sender="new@example.com"),
        mail("Re: Old", "3", sender="eve@evil.example", in_reply_to="<old@example.com>"),
        mail("New", sender="new@example.com", id="<new@example.com>"),
    ]
    folder = tmp_path / "after"
    folder.mkdir()
    for i, raw in enumerate(mails):
        (folder / f"{i}.eml").write_bytes(raw)
    found = node.json("receive", str(folder))["mails"]
    outcomes = [(m["outcome"], m["ticket"]) for m in found]
    assert outcomes == [("follow-up", old), ("follow-up", new), ("unverified", old), ("duplicate", new)]
    (number,) = [w for w in called.split() if w.isdigit() and len(w) >= 16]
    (got,) = node.json("receive", "-", feed=mail(f"[Ticket#{number}]", "4", sender="call@example.com"))["mails"]
    assert (got["outcome"], got["ticket"]) == ("follow-up", number)
    fetch(alice, node)
    assert alice.json("show", old)["state"] == "open" == alice.json("show", new)["state"]


def test_a_node_is_told_of_rules_that_it_cannot_read(alice: Person, colleague: Callable[..., Person]) -> None:
    """Rules of later are sealed to it as well; they name people, and lie nowhere in the clear."""
    node = colleague("mx", role="intake")
    word = new_word()
    rules = f"rules:\n- name: ban\n  if:\n    from: {word}@example.com\n  then:\n    junk: yes\n"
    alice.ok("rules", "edit", "-F", "-", feed=rules)
    fetch(node, alice)
    (got,) = node.json("receive", "-", feed=mail(sender=f"{word}@example.com"))["mails"]
    assert got["queue"] == "junk"
    assert node.desk is not None
    for path in (node.desk / "vrt").rglob("*"):
        assert not path.is_file() or not found_in(path.read_bytes(), forms(word)), path
