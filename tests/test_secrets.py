"""Nothing of a mail is ever on disk in the clear: a random word, planted in every place of 300 mails, is nowhere.

Looked through: every git object unpacked, refs, reflogs, the names of all files, the whole ``vrt/`` folder with the
write-ahead log, the runtime and the temporary folder; the word in several spellings and encodings.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import pty
import quopri
import secrets
import shutil
import signal
import string
import subprocess
import sys
import time
import zipfile
import zlib
from email.header import Header
from pathlib import Path

import pytest
from conftest import Person, founded

MAILS = 300


def new_word() -> str:
    return "".join(secrets.choice(string.ascii_lowercase) for _ in range(20))


def forms(word: str) -> dict[str, bytes]:
    """The word as it could lie around: spellings, encodings, and base64 at each of its three alignments."""
    plain = word.encode()
    found = {
        "plain": plain, "upper": plain.upper(), "title": plain.title(), "utf-16": word.encode("utf-16-le"),
        "reversed": plain[::-1], "hex": plain.hex().encode(),
        "quoted": b"".join(b"=%02X" % c for c in plain), "percent": b"".join(b"%%%02x" % c for c in plain),
    }  # fmt: skip
    for spelled in (plain, plain.upper(), word.encode("utf-16-le")):
        for shift in range(3):
            text = base64.b64encode(b"x" * shift + spelled + b"x" * (-(shift + len(spelled)) % 3))
            found[f"base64 {len(found)}"] = text[4 if shift else 0 : -4]
    return found


def found_in(data: bytes, wanted: dict[str, bytes]) -> list[str]:
    return [name for name, form in wanted.items() if form in data]


def letters(word: str) -> list[bytes]:
    """Mails that carry the word in every field, each in several ways."""
    shape = io.BytesIO()
    with zipfile.ZipFile(shape, "w", zipfile.ZIP_STORED) as packed:
        packed.writestr(f"{word}.txt", word)
    files = [word.encode(), shape.getvalue(), gzip.compress(word.encode() * 9), word.encode("utf-16-le")]
    bodies = [
        ("text/plain; charset=utf-8", "8bit", f"Dear team, {word}.\n".encode()),
        ("text/plain; charset=utf-8", "base64", base64.encodebytes(f"body {word} ä".encode())),
        ("text/plain; charset=latin-1", "quoted-printable", quopri.encodestring(f"body {word} ä".encode("latin-1"))),
        ("text/html; charset=utf-8", "8bit", f"<p title='{word}'><b>{word}</b> <a href='https://{word}.example/'>x</a>".encode()),
        ("text/plain; charset=utf-16", "base64", base64.encodebytes(word.encode("utf-16"))),
    ]  # fmt: skip
    subjects = [
        f"About {word}", Header(f"Über {word}", "utf-8").encode(), f"=?latin-1?q?caf=E9_{word}?=",
        f"Re: {word.upper()}",
    ]  # fmt: skip
    out = []
    for i in range(MAILS):
        kind, coding, body = bodies[i % len(bodies)]
        head = [
            f"Return-Path: <{word}@return.example>",
            f"Received: from {word}.example (10.0.0.1) by mx; Fri, 20 Nov 2026 10:00:00 +0000",
            f'From: "{word} {i}" <{word}.{i}@{word}.example>',
            "To: info-en@example.org" + (f", Other {word} <{word}@other.example>" if i % 2 else ""),
            f"Cc: {word.upper()} <cc.{word}@example.net>",
            f"Reply-To: {word} <reply-{word}@example.net>",
            f"Subject: {subjects[i % len(subjects)]} {i}",
            "Date: Fri, 20 Nov 2026 10:00:00 +0100",
            f"Message-ID: <{word}.{i}@{word}.example>",
            f"In-Reply-To: <{word}.{i - 1 if i % 7 == 0 else 'x'}@{word}.example>",
            f"References: <root.{word}@{word}.example> <{word}.{i - 1 if i % 7 == 0 else 'y'}@{word}.example>",
            f"X-{word}: {word}",
            f"List-Id: <{word}.lists.example>",
            "MIME-Version: 1.0",
            f'Content-Type: multipart/mixed; boundary="{word}-b"',
        ]
        name = f'"{word}.bin"' if i % 3 else f"*=utf-8''{word}%C3%A4.bin"
        attached = [
            f"--{word}-b", f"Content-Type: {kind}", f"Content-Transfer-Encoding: {coding}", "",
        ]  # fmt: skip
        tail = [
            f"--{word}-b", f"Content-Type: application/x-{word}", "Content-Transfer-Encoding: base64",
            f"Content-Disposition: attachment; filename{'' if name[0] == '*' else '='}{name}", "",
            base64.encodebytes(files[i % len(files)]).decode(), f"--{word}-b--", "",
        ]  # fmt: skip
        out.append("\r\n".join([*head, "", *attached, ""]).encode() + body + b"\r\n" + "\r\n".join(tail).encode())
    return out


class Watched:
    """A person whose desk, runtime folder and temporary folder are looked through."""

    def __init__(self, folder: Path) -> None:
        self.alice = founded(folder)
        self.tmp = folder / "tmp"
        self.tmp.mkdir()
        self.run = Path(self.alice.env["XDG_RUNTIME_DIR"])
        self.alice.env |= {"TMPDIR": str(self.tmp), "TMP": str(self.tmp), "TEMP": str(self.tmp)}

    @property
    def desk(self) -> Path:
        assert self.alice.desk is not None
        return self.alice.desk

    def finds(self, word: str) -> list[str]:
        """Every place in which the word is, in whatever form."""
        wanted = forms(word)
        out = [f"object {oid}: {hit}" for oid, data in self.objects() for hit in found_in(data, wanted)]
        out += [f"refs: {hit}" for hit in found_in(self.alice.git("for-each-ref"), wanted)]
        keys = Path(self.alice.env["VRT_HOME"])
        for root in (self.desk, self.tmp, self.run, keys):
            for path in root.rglob("*"):
                out += [f"the name {path}: {hit}" for hit in found_in(os.fsencode(path.relative_to(root)), wanted)]
                if path.is_file() and "objects" not in path.parts:
                    data = path.read_bytes()
                    out += [f"{path}: {hit}" for hit in found_in(data, wanted)]
                    out += [f"{path} inflated: {hit}" for hit in found_in(inflated(data), wanted)]
        return out

    def objects(self) -> list[tuple[str, bytes]]:
        """All objects of the repository, reachable or not, unpacked; and what is left of half-written ones."""
        names = self.alice.git("cat-file", "--batch-all-objects", "--batch-check=%(objectname)")
        data = self.alice.git("cat-file", "--batch", feed=names)
        out, at = [], 0
        while at < len(data):
            end = data.index(b"\n", at)
            oid, _, size = data[at:end].split()
            out.append((oid.decode(), data[end + 1 : end + 1 + int(size)]))
            at = end + 2 + int(size)
        for path in (self.desk / "objects").rglob("tmp_*"):
            out.append((path.name, path.read_bytes() + inflated(path.read_bytes())))
        return out


def inflated(data: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=47).decompress(data, 1 << 24)
    except zlib.error:
        return b""


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    """The test of the test: put in the clear, the word is found in every kind of place."""
    watched, word = Watched(tmp_path), new_word()
    watched.alice.git("hash-object", "-w", "--stdin", feed=f"x {word}".encode())
    watched.alice.git("update-ref", f"refs/heads/{word}", "main")
    (watched.desk / "vrt" / "x").write_bytes(gzip.compress(word.upper().encode()))
    (watched.tmp / word).write_text("x")
    (watched.run / "x").write_bytes(base64.b64encode(f"12{word}".encode()))
    found = "\n".join(watched.finds(word))
    for place in ("object ", "refs: ", "/vrt/x inflated: upper", f"the name {watched.tmp}", "/run/x: base64"):
        assert place in found, found


def test_a_secret_word_is_nowhere(tmp_path: Path) -> None:
    watched, word = Watched(tmp_path), new_word()
    alice = watched.alice
    box = tmp_path / "box"
    (box / "new").mkdir(parents=True)
    for i, letter in enumerate(letters(word)):
        (box / "new" / f"{i:03}").write_bytes(letter)
    counts = alice.json("receive", str(box))["counts"]
    assert counts["new"] + counts["follow-up"] + counts["unverified"] == MAILS, counts
    alice.ok("receive", "-", feed=letters(word)[0].replace(b".0@", b".stdin@"))
    mbox = tmp_path / "box.mbox"
    mbox.write_bytes(
        b"From x@y Fri Nov 20 10:00:00 2026\n" + letters(word)[1].replace(b"\r\n", b"\n").replace(b".1@", b".m@")
    )
    alice.ok("receive", str(mbox))

    numbers = [t["number"] for t in alice.json("list", "state:any", "--limit", "0")]
    n, m = numbers[0], numbers[1]
    note = tmp_path / "note.md"
    note.write_text(f"They called again: {word}")
    alice.ok("note", n, "-m", f"seen {word}")
    alice.ok("note", n, "-F", str(note))
    alice.ok("note", n, "-F", "-", feed=f"from stdin {word}")
    alice.ok("new", "--queue", "info-en", "--subject", f"call of {word}", "--from", f"{word} <{word}@call.example>",
             "-m", f"said {word}")  # fmt: skip
    alice.ok("take", n)
    alice.ok("route", n, "permissions-en")
    alice.ok("close", m, "--outcome", "spam")
    assert word in alice.ok("show", n, "--full").out
    assert len(alice.json("search", word, "--limit", "0")) > 200
    alice.ok("search", f"subject:{word}")
    alice.ok("search", f"from:{word}")
    alice.ok("list", "state:any")
    alice.ok("trail", n)
    alice.ok("raw", n)
    alice.ok("export", n, str(tmp_path / "exported"))
    assert word in (tmp_path / "exported" / n / "ticket.md").read_text()
    alice.ok("attachments", m, "--save", str(tmp_path / "saved"))
    alice.git("log", "-p", "--textconv", "main", "--", f"tickets/{n[:4]}/{n[4:6]}/{n[6:8]}/{n[-6:-3]}/{n}")
    alice.run("show", f"{word}")
    alice.run("list", f"queue:{word}")
    alice.run("receive", str(tmp_path / f"{word}.eml"))
    alice.run("note", n, "-F", str(tmp_path / f"{word}.txt"))
    alice.ok("verify")
    alice.ok("index", "--rebuild")
    alice.ok("maintain")
    assert watched.finds(word) == []


def test_a_bug_writes_no_mail_into_the_log(tmp_path: Path) -> None:
    """Whatever goes wrong inside, the log names places in the code and nothing that was worked on."""
    watched, word = Watched(tmp_path), new_word()
    script = (
        "import sys, vrt.mail.plan as plan\n"
        "def broken(event, got, *rest): raise KeyError(got.mail.subject)\n"
        "plan._front = broken\n"
        "from vrt.cli import main\n"
        "main(sys.argv[1:])\n"
    )
    letter = tmp_path / f"{word}.eml"
    letter.write_bytes(letters(word)[0])
    argv = [sys.executable, "-c", script, "-C", str(watched.desk), "receive", str(letter)]
    done = subprocess.run(argv, env=watched.alice.env, capture_output=True, check=False)
    assert done.returncode == 3, done.stderr
    assert word.encode() not in done.stderr
    logs = list(tmp_path.rglob("vrt.log"))
    assert len(logs) == 1
    assert "plan.py" in logs[0].read_text()
    assert watched.finds(word) == []


def test_killed_in_the_middle_of_a_receive(tmp_path: Path) -> None:
    watched, word = Watched(tmp_path), new_word()
    box = tmp_path / "box"
    (box / "new").mkdir(parents=True)
    for i, letter in enumerate(letters(word)):
        (box / "new" / f"{i:03}").write_bytes(letter)
    for after in (0.3, 0.6, 0.9, 1.2):
        argv = [sys.executable, "-m", "vrt", "-C", str(watched.desk), "receive", str(box)]
        running = subprocess.Popen(
            argv, env=watched.alice.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        time.sleep(after)
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        assert watched.finds(word) == []


EDITOR = """#!/bin/sh
printf '%s\\n' "$WORD" > "$1"
: > "$MARK"
exec sleep 60
"""


def test_killed_in_the_editor(tmp_path: Path) -> None:
    """The draft lies in memory only; what a kill leaves of it there is gone after the next start of vrt."""
    watched, word = Watched(tmp_path), new_word()
    alice = watched.alice
    n = alice.receive(b"From: a@b.example\nTo: info-en@example.org\nSubject: x\n\ny\n")[0]
    editor = tmp_path / "editor"
    editor.write_text(EDITOR)
    editor.chmod(0o755)
    mark = tmp_path / "mark"
    env = alice.env | {"EDITOR": str(editor), "WORD": word, "MARK": str(mark), "TERM": "xterm"}
    env.pop("VISUAL", None)
    leader, follower = pty.openpty()
    argv = [sys.executable, "-m", "vrt", "-C", str(watched.desk), "note", n]
    running = subprocess.Popen(argv, env=env, stdin=follower, stdout=follower, stderr=follower, start_new_session=True)
    end = time.monotonic() + 20
    while not mark.exists() and time.monotonic() < end:
        time.sleep(0.05)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    os.close(leader)
    os.close(follower)
    assert mark.exists(), "the editor did not start"
    drafts = [p for p in watched.run.rglob("*") if p.is_file() and word.encode() in p.read_bytes()]
    assert all(p.stat().st_mode & 0o777 == 0o600 and p.parent.stat().st_mode & 0o777 == 0o700 for p in drafts)
    for path in drafts:  # nothing but the draft in memory
        assert watched.run / "vrt" in path.parents
    alice.ok("list")
    assert watched.finds(word) == []


def test_files_are_private(tmp_path: Path) -> None:
    """Keys and everything in vrt/ are for the caller alone, whatever the umask."""
    watched = Watched(tmp_path)
    old = os.umask(0)
    try:
        watched.alice.receive(b"From: a@b.example\nTo: info-en@example.org\nSubject: x\n\ny\n")
        shutil.rmtree(watched.desk / "vrt" / "nothing", ignore_errors=True)
        person = Person(tmp_path / "home-bob")
        person.ok("identity")
    finally:
        os.umask(old)
    for root in (watched.desk / "vrt", Path(watched.alice.env["VRT_HOME"]), Path(person.env["VRT_HOME"])):
        assert root.stat().st_mode & 0o777 == 0o700, root
        for path in root.rglob("*"):
            assert path.stat().st_mode & 0o077 == 0, path


def test_the_ledger_says_only_what_it_may(tmp_path: Path) -> None:
    """Messages, authors, paths and desk files hold no address but those of queues and cards."""
    watched = Watched(tmp_path)
    alice = watched.alice
    alice.receive(*letters(new_word())[:5])
    text = alice.git("log", "--format=%an %ae %cn %ce%n%B", "--all").decode()
    words = {w.strip("<>,;\"'") for w in text.split() if "@" in w}
    assert words == {"alice@example.org"}
    assert json.loads(json.dumps(sorted(words))) == ["alice@example.org"]


@pytest.mark.parametrize("kind", ["plain", "base64 at 1", "utf-16"])
def test_forms_hit(kind: str) -> None:
    word = new_word()
    data = {
        "plain": word.encode(), "base64 at 1": base64.b64encode(b"a" + word.encode() + b"tail"),
        "utf-16": word.encode("utf-16"),
    }[kind]  # fmt: skip
    assert found_in(data, forms(word))
    assert not found_in(os.urandom(4096), forms(word))
