"""What a review of mail in found, kept from coming back."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from conftest import Person, mail
from test_sync_intake import pair, spool, titles

__all__ = ["pair"]


def accounts(person: Person, text: str) -> None:
    assert person.desk
    config = person.desk / "vrt" / "config.yaml"
    config.write_text(config.read_text().split("accounts:")[0] + "accounts:\n" + text)


def maildir(path: Path, *mails: bytes) -> Path:
    for part in ("new", "cur", "tmp"):
        (path / part).mkdir(parents=True, exist_ok=True)
    for i, raw in enumerate(mails):
        (path / "new" / str(1000 + i)).write_bytes(raw)
    return path


def test_two_maildirs_mixed_stop_nothing(alice: Person, tmp_path: Path) -> None:
    """A message of the same name in the folder that it moves to: it gets another name, and the rest goes on."""
    box = maildir(tmp_path / "box", *(mail(f"Mail {i}") for i in range(3)))
    maildir(box / ".Done")
    (box / ".Done" / "cur" / "1001:2,S").write_bytes(mail("Another"))
    accounts(alice, f"  box: {{type: maildir, path: {box}, after: 'move:Done'}}\n")
    alice.ok("fetch")
    assert titles(alice) == ["Mail 0", "Mail 1", "Mail 2"]
    assert sorted(p.name for p in (box / ".Done" / "cur").iterdir()) == [
        "1000:2,S",
        "1001.1:2,S",
        "1001:2,S",
        "1002:2,S",
    ]
    assert list((box / "new").iterdir()) == []
    alice.ok("fetch")


def test_a_file_that_is_no_mbox_is_no_empty_one(alice: Person, tmp_path: Path) -> None:
    path = tmp_path / "mail"
    path.write_bytes(mail("No mbox"))
    accounts(alice, f"  old: {{type: mbox, path: {path}}}\n")
    done = alice.run("fetch")
    assert done.code == 1 and "is no mbox" in done.err
    path.write_bytes(b"")
    assert alice.run("fetch").code == 0
    path.write_bytes(b"From a@b Fri Nov 20 10:00:00 2026\n" + mail("An mbox"))
    alice.ok("fetch")
    assert titles(alice) == ["An mbox"]


def test_too_large_without_a_header_is_a_ticket_all_the_same(alice: Person, tmp_path: Path) -> None:
    alice.ok("desk", "set", "--message-bytes", "10K")
    box = maildir(tmp_path / "box", b"\n\n" + b"x" * 20_000, mail("Large", "y\n" * 10_000))
    accounts(alice, f"  box: {{type: maildir, path: {box}, too_large: 'move:Large'}}\n")
    done = alice.run("fetch")
    assert done.err.count("too large") == 2
    found = alice.json("list", "queue:postmaster")
    assert sorted(t["title"] for t in found) == ["", "Large"]
    alice.ok("fetch")
    assert len(alice.json("list", "queue:postmaster")) == 2


def test_what_an_agent_put_into_junk_stays_there(alice: Person) -> None:
    raw = mail("Nuisance")
    (n,) = alice.receive(raw)
    alice.ok("route", n, "junk")
    done = alice.ok("receive", "-", feed=raw)
    assert done.out == f"here already: {n}\n"


def test_a_folder_named_receive_makes_no_mail_server(alice: Person, tmp_path: Path) -> None:
    (n,) = alice.receive(mail("A question"))
    assert alice.desk
    (tmp_path / "receive").symlink_to(alice.desk)
    other = Person(alice.home, None)
    done = other.run("-C", "receive", "note", n, "-F", "-", feed="Noted.", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")


def test_our_own_address_with_something_after_a_plus_is_ours(alice: Person) -> None:
    alice.ok("queue", "set", "info-en", "--auto-reply", "new")
    (n,) = alice.receive(mail("Loop", sender="info-en+x@example.org"))
    assert alice.json("trail", n)[0]["suppressed"] == "own-address"


def test_mail_received_before_there_was_a_remote_is_not_given_up(pair: tuple[Person, Person, Path]) -> None:
    alice, mx, host = pair
    mx.git("config", "--unset", "remote.origin.url")
    mx.ok("receive", "-", feed=mail("Before"))
    assert spool(mx) == []
    mx.git("config", "remote.origin.url", str(host))
    alice.receive(mail("From alice"))
    alice.ok("sync")
    done = mx.run("sync")
    assert done.code == 6 and "published first" in done.err
    assert len(mx.json("list", "state:any")) == 1


def test_many_syncs_and_receives_at_once(pair: tuple[Person, Person, Path], tmp_path: Path) -> None:
    """Two nodes that receive and publish without pause: each gives way to the other, and nothing is lost or doubled."""
    alice, mx, host = pair
    other, card = Person(tmp_path / "home-mx2"), tmp_path / "mx2.yaml"
    card.write_text(other.ok("identity").out)
    alice.ok("agent", "add", "mx2", "--card", str(card), "--role", "intake")
    alice.ok("sync")
    other.desk = tmp_path / "node2"
    subprocess.run(["git", "clone", "-q", "--bare", str(host), str(other.desk)], check=True)
    (other.desk / "vrt").mkdir(mode=0o700)
    (other.desk / "vrt" / "config.yaml").write_text("card: mx2\n")

    def start(node: Person, *args: str, feed: bytes = b"") -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-m", "vrt", "-C", str(node.desk), *args]
        process = subprocess.Popen(argv, env=node.env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        assert process.stdin
        process.stdin.write(feed)
        process.stdin.close()
        return process

    acknowledged = []
    for i in range(4):
        running = [
            (n, start(node, "receive", "-", feed=mail(n))) for node in (mx, other) for n in (f"{node.home.name} {i}",)
        ]
        running += [("", start(node, "sync")) for node in (mx, other)]
        for name, process in running:
            assert process.wait() in (0, 75)
            acknowledged += [name] if name and not process.returncode else []
    for node in (mx, other):
        node.ok("sync")
    alice.ok("sync")
    assert titles(alice) == sorted(acknowledged) and len(acknowledged) >= 4
    assert spool(mx) == [] == spool(other) and alice.json("verify")["breaches"] == []


def test_naming_a_ticket_sends_no_mail_to_other_readers(alice: Person) -> None:
    """Neither into junk, where the id was registered in advance, nor to a queue that it was not written to."""
    alice.ok("desk", "set", "--spam-filter", "rspamd")
    alice.receive(mail("Pills", sender="eve@evil.example", id="<public@list.example>", x_spam="Yes"))
    alice.receive(mail("Known", to="permissions-en@example.org", id="<known@example.com>"))
    for i, id_ in enumerate(("<public@list.example>", "<known@example.com>")):
        raw = mail(f"True {i}", sender="carol@example.net", in_reply_to=id_)
        (n,) = alice.receive(raw)
        found = alice.json("show", n)
        assert (found["title"], found["queue"], found["unverified"]) == (f"True {i}", "info-en", 0)
        assert alice.receive(raw) == [n]


def test_beyond_the_limit_of_unverified_mails_none_comes_twice(alice: Person, tmp_path: Path) -> None:
    alice.receive(mail("Known", id="<known@example.com>"))
    refers = {"in_reply_to": "<known@example.com>", "sender": "eve@evil.example"}
    box = maildir(tmp_path / "box", *(mail(f"Re: {i}", **refers) for i in range(60)))
    assert alice.json("receive", str(box))["counts"] == {
        "new": 10, "follow-up": 0, "unverified": 50, "duplicate": 0, "empty": 0,
    }  # fmt: skip
    assert alice.json("receive", str(box))["counts"]["duplicate"] == 60


def test_an_agent_of_another_queue_takes_nothing_in_twice(alice: Person, colleague: Callable[..., Person]) -> None:
    """Without the ticket's salt nobody can be proven a party; the same mail is the same all the same."""
    alice.receive(mail("Known", id="<known@example.com>"))
    bob = colleague("bob", "permissions-en")
    raw = mail("Re: Known", sender="jane@example.com", in_reply_to="<known@example.com>")
    assert bob.receive(raw) == bob.receive(raw)
    assert len(bob.json("list", "state:any queue:info-en")) == 1
