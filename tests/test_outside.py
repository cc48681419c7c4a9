"""A desk read and audited without vrt: ``outside.sh`` does what docs/FORMAT.md says, with git, age and zcat."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import Person, founded, mail

SCRIPT = Path(__file__).parent / "outside.sh"
TOOLS = ("git", "ssh-keygen", "age", "zcat", "sha256sum")


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> tuple[Person, str, str, bytes]:
    """A desk with a routed ticket, a note, an answer, and an agent with an SSH key for everything."""
    missing = [t for t in TOOLS if not shutil.which(t)]
    if missing and os.environ.get("CI") != "true":
        pytest.skip(f"{missing[0]} is not installed")
    assert not missing
    folder = tmp_path_factory.mktemp("outside")
    alice = founded(folder)
    letter = mail("Übersetzung", "Grüße aus Köln.\n", id="<first@example.com>", files={"a.bin": bytes(range(256))})
    plain, routed = alice.receive(mail("Stays", "Only here.\n"), letter)
    alice.receive(mail("Re: Übersetzung", "More.\n", in_reply_to="<first@example.com>"))
    alice.ok("note", routed, "-m", "first look: fine")
    alice.ok("route", routed, "permissions-en")
    alice.ok("note", routed, "-m", "for permissions")
    alice.ok("close", plain, "--outcome", "successful")
    alice.ok("maintain")
    return alice, plain, routed, letter


def outside(
    person: Person, identity: Path, handle: str, *args: str, desk: Path | None = None
) -> tuple[int, bytes, str]:
    argv = ["sh", str(SCRIPT), str(desk or person.desk), str(identity), handle, *args]
    env = {"PATH": os.environ["PATH"], "HOME": str(person.home)}
    done = subprocess.run(argv, capture_output=True, check=False, env=env)
    return done.returncode, done.stdout, done.stderr.decode()


def identity(person: Person) -> Path:
    return Path(person.env["VRT_HOME"]) / "identity.txt"


def test_all_signatures_and_a_mail(office: tuple[Person, str, str, bytes]) -> None:
    alice, plain, _, _ = office
    code, out, err = outside(alice, identity(alice), "alice", plain)
    assert code == 0, err
    commits = len(alice.git("rev-list", "--all").split())
    assert out.startswith(
        f"{commits} signatures are good\n{plain} is in info-en\n--- article\n---\nticket: '{plain}'\n".encode()
    )
    assert b"\nOnly here.\n" in out


def test_a_routed_ticket_byte_for_byte(office: tuple[Person, str, str, bytes]) -> None:
    """Its articles are read with the key of the queue that it is in now, the mail as it came in."""
    alice, _, routed, letter = office
    code, out, err = outside(alice, identity(alice), "alice", routed)
    assert code == 0, err
    assert f"{routed} is in permissions-en".encode() in out
    assert "Grüße aus Köln.".encode() in out
    assert out.endswith(b"--- original\n" + letter)


def test_every_article_says_what_vrt_says(office: tuple[Person, str, str, bytes]) -> None:
    alice, _, routed, _ = office
    for article in alice.json("show", routed)["articles"]:
        code, out, err = outside(alice, identity(alice), "alice", routed, article["id"])
        assert code == 0, err
        body = out.partition(b"--- original")[0].partition(b"\n---\n\n")[2].decode().rstrip("\n")
        assert body == article["body"]


def test_front_matter_has_a_line_for_each_key(office: tuple[Person, str, str, bytes]) -> None:
    """What a person reads in ``git log -p`` and a script greps: a note like a mail."""
    alice, _, routed, _ = office
    for article in alice.json("show", routed)["articles"]:
        _, out, _ = outside(alice, identity(alice), "alice", routed, article["id"])
        assert f"\n---\nticket: '{routed}'\nevent: {article['id']}\n".encode() in out


def test_the_recovery_card_opens_everything(tmp_path: Path) -> None:
    """What ``init`` printed once reads every queue, those added later too."""
    if not shutil.which("age") and os.environ.get("CI") != "true":
        pytest.skip("age is not installed")
    person = Person(tmp_path / "home")
    said = person.ok("init", str(tmp_path / "desk"), "--name", "x", "--domain", "example.org", "--agent", "alice").out
    paper = tmp_path / "paper.txt"
    paper.write_text(next(w for w in said.split() if w.startswith("AGE-SECRET-KEY-1")) + "\n")
    person.desk = tmp_path / "desk"
    person.ok("queue", "add", "info-en", "--address", "info-en@example.org")
    n = person.receive(mail("For the future"))[0]
    code, out, err = outside(person, paper, "recovery", n)
    assert code == 0, err
    assert b"\nsubject: For the future\n" in out


def test_a_stranger_reads_nothing(office: tuple[Person, str, str, bytes], tmp_path: Path) -> None:
    alice, plain, _, _ = office
    bob = Person(tmp_path / "home-bob")
    bob.ok("identity")
    code, out, _ = outside(alice, identity(bob), "alice", plain)
    assert code == 1
    assert b"Only here" not in out


@pytest.mark.parametrize("branch", ["main", "keys"])
def test_a_forged_commit_is_seen(office: tuple[Person, str, str, bytes], branch: str, tmp_path: Path) -> None:
    """The script, too, can fail: an unsigned commit on either branch, and a signature over other words."""
    alice, plain, _, _ = office
    assert alice.desk is not None
    who = {
        f"GIT_{w}_{k}": v
        for w in ("AUTHOR", "COMMITTER")
        for k, v in (("NAME", "alice"), ("EMAIL", "alice@example.org"))
    }
    for kind in ("unsigned", "changed"):
        desk = tmp_path / kind
        shutil.copytree(alice.desk, desk)
        git = ["git", f"--git-dir={desk}"]
        if kind == "unsigned":
            argv = [*git, "commit-tree", "-p", branch, "-m", "x", f"{branch}^{{tree}}"]
            forged = subprocess.run(argv, env=alice.env | who, capture_output=True, check=True).stdout.decode().strip()
        else:
            data = subprocess.run([*git, "cat-file", "commit", branch], capture_output=True, check=True).stdout
            argv = [*git, "hash-object", "-t", "commit", "-w", "--stdin"]
            feed = (
                data.replace(b"successful", b"no-reply-needed")
                .replace(b"seal 1 ", b"seal 9 ")
                .replace(b"seal 2 ", b"seal 9 ")
            )
            assert feed != data
            forged = subprocess.run(argv, input=feed, capture_output=True, check=True).stdout.decode().strip()
        subprocess.run([*git, "update-ref", f"refs/heads/{branch}", forged], check=True)
        code, _, err = outside(alice, identity(alice), "alice", plain, desk=desk)
        assert code == 1
        assert forged in err
