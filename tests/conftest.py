"""Fixtures: a real desk in a temporary folder, real git, real keys. Nothing touches the caller's home."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
REAL_HOME = Path(os.path.expanduser("~"))


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str
    raw: bytes = b""

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Person:
    """Somebody at a shell: a home folder with keys, and the desk that commands work in."""

    def __init__(self, home: Path, desk: Path | None = None) -> None:
        self.home, self.desk = home, desk
        self.env = {
            "PATH": os.environ["PATH"], "HOME": str(home), "VRT_HOME": str(home / "keys"), "TZ": "UTC",
            "LC_ALL": "C.UTF-8", "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error::ResourceWarning",
            "XDG_RUNTIME_DIR": str(home / "run"),
        }  # fmt: skip
        (home / "run").mkdir(parents=True, exist_ok=True, mode=0o700)

    def run(
        self, *args: str, feed: bytes | str = b"", env: dict[str, str] | None = None, cwd: Path | None = None
    ) -> Done:
        """Run vrt as a process and return how it ended."""
        argv = [sys.executable, "-m", "vrt", *([] if self.desk is None else ["-C", str(self.desk)]), *args]
        done = subprocess.run(
            argv, input=feed.encode() if isinstance(feed, str) else feed, capture_output=True, check=False,
            env=self.env | (env or {}), cwd=cwd or self.home,
        )  # fmt: skip
        return Done(done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode(), done.stdout)

    def ok(self, *args: str, feed: bytes | str = b"", **more: Any) -> Done:
        """Run vrt, which must end well."""
        done = self.run(*args, feed=feed, **more)
        assert done.code == 0, f"vrt {' '.join(args)}: exit {done.code}\n{done.out}{done.err}"
        return done

    def json(self, *args: str, feed: bytes | str = b"") -> Any:
        """Run vrt with --json and return what it printed."""
        return self.ok(*args, "--json", feed=feed).json

    def receive(self, *mails: bytes) -> list[str]:
        """Receive mails and return the ticket of each."""
        folder = self.home / "mails"
        folder.mkdir(exist_ok=True)
        names = []
        for i, mail in enumerate(mails):
            path = folder / f"{len(list(folder.iterdir())):05d}-{i}.eml"
            path.write_bytes(mail)
            names.append(str(path))
        return [m["ticket"] for m in self.json("receive", *names)["mails"]]

    def git(self, *args: str, check: bool = True, feed: bytes = b"") -> bytes:
        """Run plain git in the desk and return its output."""
        done = subprocess.run(["git", *args], cwd=self.desk, capture_output=True, check=False, env=self.env, input=feed)
        assert not check or done.returncode == 0, done.stderr.decode()
        return done.stdout


def mail(
    subject: str = "A question", body: str = "Hello,\nplease help.\n", *, sender: str = "Jane Roe <jane@example.com>",
    to: str = "info-en@example.org", id: str | None = None, files: dict[str, bytes] | None = None, **headers: str,
) -> bytes:  # fmt: skip
    """Return a mail as bytes. Header names are given with underscores: ``in_reply_to="<x@y>"``."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, to, subject
    message["Date"] = "Fri, 20 Nov 2026 10:00:00 +0100"
    message["Message-ID"] = id or f"<{os.urandom(8).hex()}@example.com>"
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    message.set_content(body)
    for name, data in (files or {}).items():
        message.add_attachment(data, maintype="application", subtype="octet-stream", filename=name)
    return bytes(message)


@pytest.fixture
def alice(tmp_path: Path) -> Person:
    """The founder of a desk with the queues info-en and permissions-en."""
    return founded(tmp_path)


def founded(folder: Path, name: str = "alice") -> Person:
    """Found a desk in ``folder/desk`` and return its founder."""
    person = Person(folder / f"home-{name}")
    desk = folder / "desk"
    person.ok("init", str(desk), "--name", "Example VRT", "--domain", "example.org", "--agent", name)
    person.desk = desk
    person.ok("queue", "add", "info-en", "--address", "info-en@example.org")
    person.ok("queue", "add", "permissions-en", "--address", "permissions-en@example.org")
    return person


@pytest.fixture
def colleague(alice: Person, tmp_path: Path) -> Callable[..., Person]:
    """Admit another agent to alice's desk, working in a copy of it: ``colleague("bob", "info-en")``."""

    def admit(handle: str, *queues: str, role: str = "agent") -> Person:
        assert alice.desk is not None
        person = Person(tmp_path / f"home-{handle}")
        card = tmp_path / f"{handle}.yaml"
        card.write_text(person.ok("identity").out)
        flags = [f for q in queues for f in ("--queue", q)]
        alice.ok("agent", "add", handle, "--card", str(card), "--role", role, "--agreed", "2026-11-01", *flags)
        person.desk = copied(alice.desk, tmp_path / f"desk-{handle}", handle)
        return person

    return admit


def copied(desk: Path, target: Path, handle: str) -> Path:
    """Copy the two branches of a desk for another card, as a clone will."""
    subprocess.run(["git", "clone", "-q", "--bare", str(desk), str(target)], check=True, capture_output=True)
    (target / "vrt").mkdir(mode=0o700)
    (target / "vrt" / "config.yaml").write_text(f"card: {handle}\n")
    return target


@pytest.fixture(autouse=True)
def _guard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test may see the real home folder, keys, agent or configuration."""
    for name in ("SSH_AUTH_SOCK", "VRT_HOME", "VRT_DESK", "GIT_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    fake = tmp_path / "guarded-home"
    fake.mkdir()
    monkeypatch.setenv("HOME", str(fake))
    watched = [REAL_HOME / ".config" / "vrt", REAL_HOME / ".ssh"]
    before = [_state(p) for p in watched]
    yield
    assert [_state(p) for p in watched] == before, "a test touched the real home folder"


def _state(path: Path) -> list[tuple[str, int]]:
    return sorted((str(p), p.stat().st_mtime_ns) for p in path.rglob("*")) if path.exists() else []


def corpus() -> Path:
    """Return the folder of the mail corpus, or skip the test."""
    path = Path(os.environ.get("VRT_CORPUS", ROOT.parent / "shared" / "corpus"))
    if not (path / "mail").is_dir():
        pytest.skip("the mail corpus is not here (set VRT_CORPUS)")
    return path
