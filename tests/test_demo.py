"""The demo, played as ``make demo`` plays it: with a bare environment, in a folder of its own, twice at once."""

from __future__ import annotations

import email.policy
import json
import os
import re
import subprocess
import sys
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

DEMO = ROOT / "demo"
MAILS = sorted((DEMO / "mails").glob("*.eml*"))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder to play in."""
    folder = tmp_path / "a place"
    folder.mkdir()
    return folder


def bare(path: str = "") -> dict[str, str]:
    """Return an environment of an empty home (the guard's) and the search path, as ``env -i`` would give."""
    return {"HOME": os.environ["HOME"], "PATH": path or os.environ["PATH"]}


def start(folder: Path, *args: str, path: str = "") -> subprocess.Popen[str]:
    """Start the demo in ``folder``."""
    argv = [sys.executable, str(DEMO / "play.py"), *args]
    pipe = subprocess.PIPE
    return subprocess.Popen(argv, cwd=folder, env=bare(path), stdout=pipe, stderr=pipe, encoding="utf-8")


def end(play: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Return how it ended: exit code, stdout, stderr."""
    out, err = play.communicate(timeout=120)
    return play.returncode, out, err


class Played:
    """A played demo, entered as it says itself at the end."""

    def __init__(self, out: str) -> None:
        self.out = out
        self.enter = "\n".join(re.findall(r"(?m)^(?:cd|export) .*$", out))
        self.number = {t["requester"].split("<")[1][:-1]: t["number"] for t in self.vrt("list", "state:any")}

    def sh(self, command: str) -> str:
        """Run a shell command there, which must end well."""
        argv = ["sh", "-e", "-c", f"{self.enter}\n{command}"]
        done = subprocess.run(argv, capture_output=True, env=bare(), encoding="utf-8")
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def vrt(self, *args: str) -> Any:
        return json.loads(self.sh(f"vrt {' '.join(args)} --json"))

    def show(self, address: str) -> Any:
        return self.vrt("show", self.number[address])


def test_the_demo_plays_and_plays_again_beside_it(place: Path) -> None:
    plays = [start(place), start(place)]
    ended = [end(p) for p in plays]
    for code, out, err in ended:
        assert code == 0, out + err
        assert "error" not in err and "warning" not in err and "\x1b" not in out
        the_desk_is_in_order(Played(out))
    the_story_is_true(Played(ended[1][1]))
    assert sorted(p.name for p in place.iterdir()) == ["demo-desk", "demo-desk-2"]
    assert sum("is there already and stays as it is" in out for _, out, _ in ended) == 1
    assert not list(Path(os.environ["HOME"]).iterdir()), "the demo touched the home folder"


def the_story_is_true(played: Played) -> None:
    assert len(played.number) == 12 and "13 mails: 12 new tickets, 1 follow-up" in played.out

    complaint = played.show("harriet@example.com")
    assert [e.get("follow-up") for e in complaint["events"] if e["action"] == "receive"] == [None, "references"]
    assert (complaint["state"], complaint["owner"], complaint["tags"]) == ("closed", "alice", ["legal"])
    assert (complaint["outcome"], complaint["waiting_since"], complaint["undelivered"]) == ("successful", None, 0)
    assert "lines quoted: --full shows them]" in played.out and "> your article on" not in played.out

    permission = played.show("joerg@example.net")
    assert [e.get("follow-up") for e in permission["events"] if e["action"] == "receive"] == [None, "subject"]
    assert [e["action"] for e in permission["events"]] == ["receive", "take", "note", "pend", "receive", "close"]
    assert permission["outcome"] == "successful"
    assert [f["name"] for f in permission["articles"][0]["attachments"]] == ["Alte Brücke.jpg", "Freigabeerklärung.pdf"]

    harassment = played.show("camille@example.com")
    assert (harassment["queue"], harassment["owner"]) == ("oversight", "bea")
    minor = played.show("owen@example.com")
    assert (minor["queue"], minor["priority"], minor["tags"]) == ("oversight", 5, ["minor", "urgent"])
    russian = played.show("lev@example.net")
    assert [e.get("queue") for e in russian["events"]] == ["postmaster", "permissions-de"]
    closed = {t["number"]: t["outcome"] for t in played.vrt("list", "state:closed")}
    assert closed == {
        played.number["offer@example.net"]: "spam", played.number["notaire@example.com"]: "spam",
        played.number["ottilie@example.com"]: "no-reply-needed", permission["number"]: "successful",
        complaint["number"]: "successful",
    }  # fmt: skip

    found = [t["number"] for t in played.vrt("search", "著作権")]
    assert found == [played.number["kirishima@example.com"]]
    assert all(re.search(rf"(?m)^{n}\b", played.out) for n in played.number.values())


def the_desk_is_in_order(played: Played) -> None:
    before = played.sh("git -C desk rev-parse main keys")
    assert played.vrt("receive", "mails")["counts"]["duplicate"] == 14 and "14 mails: 14 here already" in played.out
    assert played.sh("git -C desk rev-parse main keys") == before
    assert played.sh("vrt verify").endswith("all in order\n")
    assert set(played.sh("git -C desk log --format=%G? main keys").split()) == {"G"}
    played.sh("git -C desk fsck --strict")
    # The finale is the whole trail of the harassment report, each event signed.
    _, finale = played.out.split("$ git -C desk log")
    events = played.show("camille@example.com")["events"]
    assert re.findall(r"(?m)^commit (\w+)$", finale) == [e["commit"] for e in reversed(events)]
    assert finale.count('Good "git" signature for alice@example.org') == len(events)
    assert "Bonjour" in played.sh("git -C desk log -p main")


def test_it_stops_where_a_command_fails(place: Path, tmp_path: Path) -> None:
    tools = tmp_path / "tools"  # a machine without git
    tools.mkdir()
    (tools / "sh").symlink_to("/bin/sh")
    code, out, err = end(start(place, path=str(tools)))
    assert code == 1 and err.rstrip().split("\n")[-1].startswith("demo: stopped: ")
    assert "$ vrt init" in out and "$ vrt queue" not in out
    assert "vrt: error: " in err


@pytest.mark.parametrize("args", [["--help"], ["one", "two"], [""]])
def test_wrong_use_makes_nothing(place: Path, args: list[str]) -> None:
    assert end(start(place, *args)) == (2, "", "usage: python demo/play.py [DIR]\n")
    assert not list(place.iterdir())


@pytest.mark.parametrize("path", MAILS, ids=lambda p: p.name)
def test_a_mail_of_the_demo_is_sound_and_of_nobody(path: Path) -> None:
    raw = path.read_bytes()
    mail = message_from_bytes(raw, policy=email.policy.default)
    text = "\n".join(f"{name}: {value}" for name, value in mail.items())
    for part in mail.walk():
        assert not part.defects and not any(value.defects for value in part.values())
        if part.get_content_maintype() == "text":
            text += part.get_content()
    hosts = re.findall(r"(?:@|https?://)([\w.-]+\.[a-z]+)", text)
    assert hosts and all(re.fullmatch(r"(.+\.)?example\.(com|net|org)", host) for host in hosts)
    assert all(line.isascii() and len(line) <= 998 for line in raw.decode("latin-1").splitlines())
