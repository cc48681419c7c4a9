"""Mail through a real Postfix, procmail and fetchmail into a desk whose disk fills up, whose keys are away ..."""

from __future__ import annotations

import os
import shutil
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import Person, founded, mail
from postfix import command, disk, hand_over, needed, public_folder, running


@pytest.fixture
def place() -> Iterator[Path]:
    needed("postfix", "mount", "unshare", root=True)
    with public_folder() as folder:
        yield folder


def moved_in(place: Path, tmp_path: Path, desk: Path) -> Person:
    """A desk at ``desk`` and its keys, all of the user that Postfix runs vrt as."""
    alice = founded(tmp_path)
    assert alice.desk is not None
    shutil.copytree(alice.desk, desk)
    shutil.copytree(alice.home, place / "home")
    hand_over(desk, place / "home")
    return Person(place / "home", desk)


def fill(folder: Path) -> None:
    """Leave not a byte on the disk."""
    with (folder / "ballast").open("ab", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                pass


def titles(alice: Person) -> list[str]:
    return sorted(t["title"] for t in alice.json("list", "state:any", "--limit", "0"))


def while_the_disk_fills(place: Path, tmp_path: Path, count: int, times: int) -> None:
    with disk(place / "disk", "48m") as small:
        alice = moved_in(place, tmp_path, small / "desk")
        with running(place / "postfix", command(alice)) as postfix:

            def send(i: int) -> None:
                postfix.send(mail(f"Matter {i}", f"letter {i}\n" * 20, id=f"<m{i}@example.com>"))

            with ThreadPoolExecutor(4) as senders:
                sent = []
                for i in range(count):
                    sent.append(senders.submit(send, i))
                    if i % (count // times) == count // times // 2:
                        before = len(postfix.results("deferred"))
                        fill(small)
                        end = time.monotonic() + 60
                        while len(postfix.results("deferred")) < before + 3 and time.monotonic() < end:
                            time.sleep(0.1)
                        (small / "ballast").unlink()
                for done in sent:
                    done.result()
            postfix.drain(300)
            assert len(postfix.results("deferred")) >= 3 * times  # the disk was full indeed
            assert postfix.results("bounced") == [] and "bounced" not in postfix.log
            assert "Matter" not in postfix.log and "letter" not in postfix.log
            delivered = postfix.results("sent")
            assert len(delivered) == len(set(delivered)) == count
        assert titles(alice) == sorted(f"Matter {i}" for i in range(count))
        alice.ok("verify")
        assert alice.git(f"--git-dir={alice.desk}", "fsck", "--strict", "--no-dangling") == b""


def test_postfix_while_the_disk_fills(place: Path, tmp_path: Path) -> None:
    """40 mails, the disk full twice: all in, none bounced, none lost, none doubled."""
    while_the_disk_fills(place, tmp_path, 40, 2)


@pytest.mark.slow
def test_postfix_while_the_disk_fills_200(place: Path, tmp_path: Path) -> None:
    while_the_disk_fills(place, tmp_path, 200, 6)


def test_postfix_keeps_what_vrt_cannot_take(place: Path, tmp_path: Path) -> None:
    """Keys away, a desk that is gone, vrt itself gone: deferred, and delivered when it is back."""
    alice = moved_in(place, tmp_path, place / "desk")
    keys, desk = place / "home" / "keys", place / "desk"
    program = place / "vrt"
    program.write_text(f"#!/bin/sh\nexec {command(alice)}\n")
    program.chmod(0o755)
    with running(place / "postfix", str(program), "-o soft_bounce=yes") as postfix:
        for i, path in enumerate((keys, desk, program)):
            path.rename(place / "aside")
            postfix.send(mail(f"Without {path.name}"), "info-en@example.org", "permissions-en@example.org")
            end = time.monotonic() + 30
            while not postfix.results("deferred")[2 * i :]:
                assert time.monotonic() < end, postfix.log
                time.sleep(0.1)
            (place / "aside").rename(path)
            postfix.drain(60)
        assert "bounced" not in postfix.log.replace("SOFTBOUNCE", "")
    assert titles(alice) == ["Without desk", "Without keys", "Without vrt"]


# --- procmail and fetchmail -----------------------------------------------------------------------


def test_procmail(tmp_path: Path) -> None:
    """The recipe of docs/ADMIN.md: 75 from vrt is 75 from procmail, and the mail stays with the server."""
    needed("procmail")
    alice = founded(tmp_path)
    recipe = tmp_path / "rc"
    names = ("VRT_HOME", "PYTHONPATH", "XDG_RUNTIME_DIR")
    settings = "".join(f"{name}={alice.env[name]}\n" for name in names)
    recipe.write_text(
        f"{settings}PATH={alice.env['PATH']}\nDEFAULT=/dev/null\n"
        f":0 w\n| {sys.executable} -m vrt -C {alice.desk} receive -\n"
        ":0 e\n{\n  EXITCODE=75\n  HOST\n}\n"
    )
    recipe.chmod(0o600)

    def deliver(raw: bytes) -> int:
        return subprocess.run(["procmail", "-m", recipe], input=raw, env=alice.env, check=False).returncode

    raw = mail("By procmail")
    assert deliver(raw) == 0
    assert titles(alice) == ["By procmail"]
    keys = alice.home / "keys"
    keys.rename(tmp_path / "aside")
    raw = mail("By procmail, later")
    assert deliver(raw) == 75
    (tmp_path / "aside").rename(keys)
    assert deliver(raw) == 0
    assert titles(alice) == ["By procmail", "By procmail, later"]


class Pop3(socketserver.StreamRequestHandler):
    """Enough of RFC 1939 for fetchmail; the server's ``mails`` are what it has."""

    def handle(self) -> None:
        mails: dict[int, bytes] = self.server.mails  # type: ignore[attr-defined]
        gone: list[int] = []
        self.wfile.write(b"+OK\r\n")
        for row in self.rfile:
            name, *rest = row.decode("ascii", "replace").split()
            number = int(rest[0]) if rest and rest[0].isdigit() else 0
            if name == "STAT":
                self.wfile.write(b"+OK %d %d\r\n" % (len(mails), sum(map(len, mails.values()))))
            elif name in ("LIST", "UIDL") and not number:
                rows = [b"%d %d\r\n" % (n, len(m) if name == "LIST" else n) for n, m in mails.items()]
                self.wfile.write(b"+OK\r\n" + b"".join(rows) + b".\r\n")
            elif name in ("RETR", "TOP"):
                self.wfile.write(b"+OK\r\n" + mails[number].replace(b"\n", b"\r\n") + b".\r\n")
            elif name in ("USER", "PASS", "DELE", "QUIT", "LIST", "UIDL", "NOOP"):
                gone += [number] if name == "DELE" else []
                self.wfile.write(b"+OK %d %d\r\n" % (number, len(mails.get(number, b""))))
            else:
                self.wfile.write(b"-ERR\r\n")
            if name == "QUIT":
                for n in gone:
                    del mails[n]
                return


def test_fetchmail(tmp_path: Path) -> None:
    """The lines of docs/ADMIN.md: what vrt could not take in stays on the server."""
    needed("fetchmail")
    alice = founded(tmp_path)
    mails = {1: mail("By fetchmail 1"), 2: mail("By fetchmail 2")}
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Pop3) as server:
        server.mails = mails  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        config = tmp_path / "fetchmailrc"
        vrt = f"{sys.executable} -m vrt -C {alice.desk} receive -"
        config.write_text(
            f"poll 127.0.0.1 service {server.server_address[1]} protocol pop3 timeout 20\n"
            f'  user u password p is {os.environ.get("USER", "root")} here sslproto ""\n  no rewrite no mimedecode\n'
            f'  mda "{vrt}"\n'
        )
        config.chmod(0o600)

        def fetch() -> None:
            argv = [
                "fetchmail",
                "-f",
                str(config),
                "--nosyslog",
                "--pidfile",
                str(tmp_path / "pid"),
                "-i",
                str(tmp_path / "ids"),
            ]
            subprocess.run(argv, env=alice.env, check=False, capture_output=True, timeout=60)

        keys = alice.home / "keys"
        keys.rename(tmp_path / "aside")
        fetch()
        assert len(mails) == 2
        (tmp_path / "aside").rename(keys)
        fetch()
        server.shutdown()
    assert mails == {}
    assert titles(alice) == ["By fetchmail 1", "By fetchmail 2"]
