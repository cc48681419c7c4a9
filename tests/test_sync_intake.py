"""An intake node and its remote: published, raced, cut off, and a remote that is not to be believed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import Person, founded, mail


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Person, Person, Path]:
    """Alice's desk, an intake node's clone of it, and the host between them."""
    alice, mx, host = founded(tmp_path), Person(tmp_path / "home-mx"), tmp_path / "host.git"
    card = tmp_path / "mx.yaml"
    card.write_text(mx.ok("identity").out)
    alice.ok("agent", "add", "mx", "--card", str(card), "--role", "intake")
    subprocess.run(["git", "init", "-q", "--bare", str(host)], check=True)
    alice.git("config", "remote.origin.url", str(host))
    alice.ok("sync")
    mx.desk = tmp_path / "node"
    subprocess.run(["git", "clone", "-q", "--bare", str(host), str(mx.desk)], check=True)
    (mx.desk / "vrt").mkdir(mode=0o700)
    (mx.desk / "vrt" / "config.yaml").write_text("card: mx\n")
    return alice, mx, host


def spool(person: Person) -> list[Path]:
    assert person.desk is not None
    return sorted((person.desk / "vrt" / "spool").glob("*"))


def titles(person: Person) -> list[str | None]:
    return sorted(t["title"] for t in person.json("list", "state:any"))


def test_what_is_received_lies_in_the_spool_until_it_is_published(pair: tuple[Person, Person, Path]) -> None:
    alice, mx, _ = pair
    secret = "the marmoset in the wardrobe"
    mx.ok("receive", "-", feed=mail("A question", secret))
    (kept,) = spool(mx)
    assert secret.encode() not in kept.read_bytes() and oct(kept.stat().st_mode & 0o777) == "0o600"
    assert mx.json("sync") == {"came": 0, "went": 1, "again": 0, "sealed": 0}
    assert spool(mx) == []
    assert alice.json("sync") == {"came": 1, "went": 0, "again": 0, "sealed": 0}
    (found,) = alice.json("list")
    assert secret in alice.json("show", found["number"])["articles"][0]["body"]
    assert alice.json("verify")["breaches"] == []


def test_a_node_gives_way_and_receives_again(pair: tuple[Person, Person, Path]) -> None:
    """A follow-up that the node took for a new mail joins its ticket once the node knows of that."""
    alice, mx, _ = pair
    alice.receive(mail("Talk", "1", id="<t1@example.com>"))
    mx.ok("receive", "-", feed=mail("Re: Talk", "2", id="<t2@example.com>", in_reply_to="<t1@example.com>"))
    (wrong,) = mx.json("list")
    alice.ok("sync")
    assert mx.json("sync") == {"came": 1, "went": 1, "again": 1, "sealed": 0}
    assert spool(mx) == []
    alice.ok("sync")
    (talk,) = alice.json("list")
    assert (talk["title"], talk["articles"]) == ("Talk", 2)
    assert [t["number"] for t in mx.json("list", "state:any")] == [talk["number"]] != [wrong["number"]]
    before = mx.json("list", "state:any")
    mx.ok("index", "--rebuild")
    assert mx.json("list", "state:any") == before
    for person in (alice, mx):
        assert person.json("verify")["breaches"] == []


def test_an_automatic_reply_survives_that_its_mail_is_received_again(pair: tuple[Person, Person, Path]) -> None:
    alice, mx, _ = pair
    card = alice.home / "post.yaml"
    card.write_text(Person(alice.home / "post").ok("identity").out)
    alice.ok("agent", "add", "post", "--card", str(card), "--role", "mailer")
    alice.ok("queue", "set", "info-en", "--auto-reply", "new")
    alice.ok("sync")
    mx.ok("sync")
    mx.ok("receive", "-", feed=mail("Help"))
    alice.receive(mail("Other", sender="Max <max@example.com>", to="permissions-en@example.org"))
    alice.ok("sync")
    assert mx.json("sync")["again"] == 1
    alice.ok("sync")
    (n,) = [t["number"] for t in alice.json("list") if t["title"] == "Help"]
    assert [e["action"] for e in alice.json("trail", n)] == ["receive", "auto-reply"]


@pytest.mark.parametrize("delay", [0.25, 0.35, 0.45, 0.6, 0.8])
def test_a_sync_killed_at_any_moment_loses_and_doubles_nothing(pair: tuple[Person, Person, Path], delay: float) -> None:
    alice, mx, _ = pair
    mx.ok("receive", "-", feed=mail("From the node"))
    alice.receive(mail("From alice"))
    alice.ok("sync")
    argv = [sys.executable, "-m", "vrt", "-C", str(mx.desk), "sync"]
    process = subprocess.Popen(argv, env=mx.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(delay)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    mx.ok("sync")
    alice.ok("sync")
    assert titles(alice) == ["From alice", "From the node"]
    assert spool(mx) == [] and alice.json("verify")["breaches"] == [] == mx.json("verify")["breaches"]


def test_what_a_person_did_is_put_on_top(pair: tuple[Person, Person, Path]) -> None:
    """Of two who published something nobody loses anything: the same events, on top of what came first."""
    alice, mx, _ = pair
    alice.receive(mail("From alice"))
    (before,) = alice.json("list")
    mx.ok("receive", "-", feed=mail("From the node"))
    mx.ok("sync")
    assert alice.json("sync") == {"came": 1, "went": 1, "again": 0, "sealed": 0}
    assert titles(alice) == ["From alice", "From the node"]
    assert next(t for t in alice.json("list") if t["title"] == "From alice") == before
    assert alice.json("verify")["breaches"] == []


def set_host(alice: Person, host: Path, *args: str) -> None:
    subprocess.run(["git", f"--git-dir={host}", *args], check=True, env=alice.env, capture_output=True)


def test_a_remote_that_goes_back_is_refused(pair: tuple[Person, Person, Path]) -> None:
    alice, mx, host = pair
    old = alice.git("rev-parse", "main").decode().strip()
    alice.receive(mail("One"))
    alice.ok("sync")
    mx.ok("sync")
    before = mx.git("for-each-ref", "refs/heads")
    set_host(alice, host, "update-ref", "refs/heads/main", old)
    done = mx.run("sync")
    assert done.code == 7 and "went back" in done.err
    set_host(alice, host, "update-ref", "-d", "refs/heads/keys")
    assert mx.run("sync").code == 7
    assert mx.git("for-each-ref", "refs/heads") == before


def test_an_unlawful_history_is_refused(pair: tuple[Person, Person, Path], tmp_path: Path) -> None:
    alice, mx, host = pair
    mx.ok("sync")
    before = mx.git("for-each-ref", "refs/heads")
    tree = alice.git("rev-parse", "main^{tree}").decode().strip()
    forged = subprocess.run(
        ["git", f"--git-dir={host}", "-c", "user.name=alice", "-c", "user.email=alice@example.org",
         "commit-tree", tree, "-p", "main", "-m", "close everything"],
        check=True, env=alice.env, capture_output=True,
    ).stdout.decode().strip()  # fmt: skip
    set_host(alice, host, "update-ref", "refs/heads/main", forged)
    done = mx.run("sync")
    assert done.code == 7 and forged in done.err and "rule" in done.err
    mx.ok("receive", "-", feed=mail("Work goes on"))
    assert mx.git("for-each-ref", "refs/heads") != before and len(spool(mx)) == 1


def test_another_desk_is_refused(pair: tuple[Person, Person, Path], tmp_path: Path) -> None:
    _, mx, _ = pair
    (tmp_path / "other").mkdir()
    other = founded(tmp_path / "other", "zoe")
    mx.git("config", "remote.origin.url", str(other.desk))
    done = mx.run("sync")
    assert done.code == 7 and "another desk" in done.err


@pytest.mark.parametrize(
    "url", ["ext::sh -c touch% PWNED", "-oProxyCommand=x", "fd::17", "git://h/x", "--upload-pack=x", "http://h/x"]
)
def test_a_remote_that_could_run_programs_is_no_remote(pair: tuple[Person, Person, Path], url: str) -> None:
    _, mx, _ = pair
    mx.git("config", "remote.origin.url", url)
    done = mx.run("sync")
    assert done.code == 2 and "URL" in done.err


def test_a_remote_that_is_away_is_for_later(pair: tuple[Person, Person, Path]) -> None:
    _, mx, host = pair
    host.rename(host.with_suffix(".gone"))
    done = mx.run("sync")
    assert done.code == 75 and "remote" in done.err
    mx.ok("receive", "-", feed=mail("Meanwhile"))
    host.with_suffix(".gone").rename(host)
    assert mx.json("sync")["went"] == 1


def test_a_desk_without_a_remote_says_so(alice: Person) -> None:
    done = alice.run("sync")
    assert done.code == 2 and "no remote" in done.err
