"""A machine that sends what agents queued for it and can read nothing else; and agents and machines all at once.

Everybody has a clone, and there is a host between them. The server is a real one on loopback and counts what it took.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Person, mail
from smtpserver import SmtpServer
from test_intake_node import Opened
from test_post import MAX, Clerk, Office, away, killed, to
from test_post import kept as held_by
from test_secrets import found_in, new_word

from vrt.desk import Desk
from vrt.storage import crypt

BOTH = ("info-en", "permissions-en")
RULES = "match: first\nrules:\n- name: x\n  if:\n    from: {}@example.com\n  then:\n    queue: permissions-en\n"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Office:
    """Alice and bob, a mailer, and an intake node."""
    return Office(
        tmp_path_factory.mktemp("mailer"), ("bob", "agent", BOTH), ("post", "mailer", ()), ("mx", "intake", ())
    )


@pytest.fixture
def office(base: Office, tmp_path: Path, server: SmtpServer) -> Office:
    made = base.copy(tmp_path)
    made["post"].sends_by(server)
    return made


@pytest.fixture
def server() -> Iterator[SmtpServer]:
    with SmtpServer() as made:
        yield made


def asked(office: Office, subject: str = "Help") -> tuple[str, str]:
    """Return the ticket of a mail that bob has answered, and the message that waits for the mailer."""
    (n,) = office["alice"].receive(mail(subject))
    office.sync("alice", "bob")
    said = office["bob"].reply(n)
    assert said["delivery"] == "queued" and "post" in said["note"]
    return n, said["event"]


# --- what it reads ------------------------------------------------------------------------------------


def test_it_opens_what_it_sends_and_nothing_else(office: Office, server: SmtpServer, tmp_path: Path) -> None:
    """All that its machine holds, opened with the keys that it has and searched; with an agent's keys all is found."""
    alice, bob, post = (office[h] for h in ("alice", "bob", "post"))
    secret = {name: new_word() for name in ("mail", "subject", "note", "own", "draft", "rule", "requester")}
    plain = {name: new_word() for name in ("reply", "approved")}
    alice.ok("rules", "edit", "-F", "-", feed=RULES.format(secret["rule"]))
    n, other = alice.receive(
        mail(
            f"About {secret['subject']}", f"Dear team, {secret['mail']}.", sender=f"{secret['requester']}@example.com"
        ),
        mail("Simple", sender=MAX),
    )
    office.sync("alice", "bob")
    bob.ok("note", n, "-m", f"He said {secret['note']}.")
    bob.ok("reply", n, "-m", f"A draft: {secret['draft']}.", "-y", "--draft")
    bob.ok("reply", other, "-m", f"Dear Max, {plain['reply']}.", "-y", "--subject", "Yes")
    bob.ok("note", other, "-m", f"Yet {secret['note']}.")
    bob.ok("reply", other, "-m", f"Soon: {plain['approved']}.", "-y", "--subject", "Well", "--draft")
    office.sync("bob", "alice")
    alice.ok("approve", other, "-y")
    alice.delivers(kind="maildir", path=str(tmp_path / "own-mail"))
    alice.ok("reply", other, "-m", f"By my own server: {secret['own']}.", "-y", "--force")
    office.sync()
    assert len(list((tmp_path / "own-mail" / "new").iterdir())) == 1

    tmp = tmp_path / "post-tmp"
    tmp.mkdir()
    machine = Person(post.home, post.desk)
    machine.env |= {name: str(tmp) for name in ("TMPDIR", "TMP", "TEMP")}
    assert machine.ok("send", "-v").out == "2 messages sent\n"
    assert Counter(map(to, server.accepted)) == {MAX: 2}
    assert all(sum(w in a.data.decode() for a in server.accepted) == 1 for w in plain.values())
    nothing_shown(machine, n, other, list(secret.values()))

    opened = Opened(post, [post.local.parent, post.home, tmp, Path(f"/dev/shm/vrt-{os.getuid()}")])
    opened.read()
    for word in secret.values():
        assert opened.finds(word) == []
    for word in plain.values():
        assert [name.startswith("blob") and name.endswith("opened") for name in opened.finds(word)] == [True]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VRT_HOME", alice.env["VRT_HOME"])
        ring = Desk(alice.local.parent).keyring
    desk_secrets = [
        shape for value in ring.secrets.values() for shape in (value, value.hex().encode(), b64encode(value))
    ]
    assert desk_secrets and not any(found_in(data, {"": s}) for _, data in opened.pieces for s in desk_secrets)
    assert len(opened.sealed) > 20

    reader = Opened(alice, [alice.local.parent, alice.home])
    reader.read()
    assert all(reader.where(word) for word in (*secret.values(), *plain.values()))
    assert any(found_in(data, {"": s}) for _, data in reader.pieces for s in desk_secrets)


def nothing_shown(machine: Person, n: str, other: str, words: list[str]) -> None:
    """No command of the mailer's says more than that there are tickets."""
    out = ""
    for args in (("list", "state:any"), ("show", n), ("show", other), ("trail", n), ("outbox", "--all"), ("raw", n),
                 ("raw", other), ("rules", "show"), ("search", words[0]), ("status",)):  # fmt: skip
        done = machine.run(*args)
        assert done.code in (0, 4, 5) and "Traceback" not in done.err
        out += done.out
    assert not any(word in out for word in words)
    for args in (("note", n, "-m", "x"), ("take", n), ("reply", n, "-m", "x", "-y"), ("outbox", "cancel", n),
                 ("close", n, "-o", "spam"), ("undo",)):  # fmt: skip
        assert machine.run(*args).code in (4, 5), args


@pytest.mark.parametrize("sender", ["bob", "post"])
def test_a_message_that_no_key_opens_stops_no_other(office: Office, server: SmtpServer, sender: str) -> None:
    """Whoever seals one to another key than it says must not keep the post from all that comes after."""
    bob, post = office["bob"], office["post"]
    if sender == "bob":
        bob.sends_by(server)
    n, other = office["alice"].receive(mail("Wrong"), mail("Right", sender=MAX))
    office.sync("alice", "bob")
    made = crypt.new_identity
    wrong = iter([made(), (made()[0], made()[1])])  # of the article, then of the message
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crypt, "new_identity", lambda: next(wrong, None) or made())
        bob.reply(n)
    bob.reply(other)
    office.sync("bob")
    post.run("send")
    assert [to(a) for a in server.accepted] == [MAX]
    office.sync("bob")
    (message,) = bob.outbox()
    assert (message["state"], message["ticket"]) == ("failed", n) and "vrt cannot read it" in message["why"]
    office.sync()
    assert bob.json("trail", n)[-1]["status"] == "5.6.0"


# --- taken back ---------------------------------------------------------------------------------------


def test_taken_back_while_it_is_queued(office: Office, server: SmtpServer) -> None:
    """The undo goes to the host at once: what is said to be taken back is."""
    bob, post = office["bob"], office["post"]
    n, _ = asked(office)
    office.sync("bob")
    assert "message taken back" in bob.ok("undo").out
    assert post.run("send").code == 0 and server.accepted == [] and server.connections == 0
    assert bob.actions(n)[-2:] == ["reply", "cancel"]
    office.agrees()


def test_taken_back_where_the_host_is_away(office: Office, server: SmtpServer) -> None:
    """Then nobody can promise, and vrt says so; if the mailer was faster the trail says that it was sent."""
    bob, post = office["bob"], office["post"]
    n, _ = asked(office)
    office.sync("bob")
    with away(bob):
        assert "is sent unless this gets out before" in bob.ok("undo").err
    assert post.ok("send", "-v").out == "1 message sent\n"
    done = bob.ok("sync")
    assert "cancel" in done.err and "dropped" in done.err and "is sent" in done.err
    assert bob.actions(n)[-3:] == ["reply", "sending", "sent"] and len(server.accepted) == 1
    assert bob.run("undo").code == 4
    office.agrees()


def while_sending(post: Clerk, server: SmtpServer, step: str, act: Callable[[], None]) -> str:
    """Let the mailer send, and do something when it comes to a step; return what it printed."""
    usual = {"RCPT": b"250 2.1.5 ok", ".": b"250 2.0.0 taken"}[step]

    def hook(server: SmtpServer, row: bytes) -> bytes:
        act()
        return usual

    server.script[step] = [hook]
    argv = [sys.executable, "-m", "vrt", "-C", str(post.desk), "send", "-v"]
    done = subprocess.run(argv, env=post.env, capture_output=True, check=False, timeout=120)
    assert b"Traceback" not in done.stderr
    server.settle()
    return (done.stdout + done.stderr).decode()


def test_cancelled_between_its_fetch_and_its_push(office: Office, server: SmtpServer) -> None:
    """Bob was first: the mailer finds that out when it publishes that it begins, and does not send."""
    bob, post = office["bob"], office["post"]
    n, _ = asked(office)
    office.sync("bob")
    while_sending(post, server, "RCPT", lambda: bob.ok("outbox", "cancel", n) and None)
    assert server.accepted == []
    assert post.ok("send", "-v").out == ""
    office.agrees()
    assert bob.actions(n)[-2:] == ["reply", "cancel"] and bob.outbox("--all") == []


def test_cancelled_when_it_had_begun(office: Office, server: SmtpServer) -> None:
    """Whoever knows is refused; whoever did not is told; the trail says that it was sent."""
    alice, bob, post = (office[h] for h in ("alice", "bob", "post"))
    n, event = asked(office)
    office.sync("bob", "alice")
    said: list[tuple[int, str]] = []

    def cancel() -> None:
        office.sync("alice")
        for person in (alice, bob):
            for action in ("retry", "cancel"):
                done = person.run("outbox", action, n, event)
                said.append((done.code, done.err))

    assert "1 message sent" in while_sending(post, server, ".", cancel)
    assert [code for code, _ in said] == [6, 6, 6, 6]
    assert "post is handing" in said[0][1] and "had begun to hand it over" in said[3][1]
    office.agrees()
    assert bob.actions(n)[-4:] == ["reply", "sending", "cancel", "sent"] and len(server.accepted) == 1
    assert "sent" in bob.ok("show", n).out and bob.json("list")[0]["undelivered"] == 0


@pytest.mark.parametrize("synced", [False, True])
def test_tried_again_by_another_while_the_mailer_knows_better(office: Office, server: SmtpServer, synced: bool) -> None:
    """A server that thinks for long, and a person who takes the mailer for dead: it was sent, and is not sent twice."""
    bob, post = office["bob"], office["post"]
    n, event = asked(office)
    office.sync("bob")

    def retry() -> None:
        office.sync("bob")
        bob.at = int(time.time()) + 3600
        assert bob.state(event) == "in doubt" and bob.json("outbox", "retry", n)["delivery"] == "queued"
        office.sync("bob")
        if synced:
            office.sync("post")

    while_sending(post, server, ".", retry)
    bob.at = 0
    assert post.ok("send", "-v").out == "" and len(server.accepted) == 1
    office.agrees()
    assert bob.actions(n)[-5:] == ["reply", "sending", "retry", "sending", "sent"] and bob.outbox() == []


# --- killed -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "taken"),
    [("desk.recorded", 0), ("remote.push", 0), ("sync._count", 0), ("smtp.wait", 1), ("desk.recorded:2", 1)],
)  # fmt: skip
def test_killed_with_a_remote(office: Office, server: SmtpServer, at: str, taken: int) -> None:
    """Sent once, or in doubt for all to see, until a person decides; the message of another ticket goes out."""
    bob, post = office["bob"], office["post"]
    n, event = asked(office)
    office.sync("bob", "post")
    killed(post, at, "send")
    server.settle()
    assert len(server.accepted) == taken
    asked(office, "Another")
    office.sync("bob")
    codes = [post.run("send").code for _ in range(2)]
    office.sync("bob")
    if bob.outbox():
        assert bob.state(event) == "sending" and codes == [1, 1] and len(server.accepted) == 1 + taken
        bob.at = int(time.time()) + 1000  # for some minutes nobody but the mailer can know
        assert bob.state(event) == "in doubt"
        assert bob.json("list")[0]["undelivered"] == 1 and "IN DOUBT" in bob.ok("show", n).out
        bob.ok("outbox", "retry", n)
        bob.at = 0
        office.sync("bob")
        assert post.ok("send", "-v").out == "1 message sent\n"
        assert len(server.accepted) == 2 + taken
    else:
        assert codes == [0, 0] and len(server.accepted) == 2
    office.agrees()
    assert bob.outbox("--all") == [] and bob.actions(n).count("sent") == 1


# --- all at once --------------------------------------------------------------------------------------


def test_two_agents_a_mailer_and_an_intake_node(office: Office, server: SmtpServer) -> None:
    """Each acts between the others' syncs: no mail, note or reply is lost, none is sent twice, all have the same."""
    dice = random.Random(7)
    office["alice"].ok("queue", "set", "info-en", "--auto-reply", "new")
    office.sync()
    came, notes, replies = 0, set[str](), set[str]()
    for i in range(24):
        actor = ("alice", "bob", "mx", "alice", "bob", "post")[i % 6]
        person, word = office[actor], f"word{i}x"
        tickets = [t["number"] for t in person.json("list", "state:any")]
        if actor == "mx":
            person.ok("receive", "-", feed=mail(word, sender=f"{word}@example.com", id=f"<{word}@example.com>"))
            came += 1
        elif actor == "post":
            person.run("send")
        elif tickets:
            n = dice.choice(tickets)
            person.ok("note", n, "-m", word)
            notes.add(word)
            done = person.run("reply", n, "-m", f"reply {word}", "-y", "--force")
            assert (done.code, "its text kept" in done.err) in ((0, False), (6, True)), done
            if not done.code:
                replies.add(word)
            person.run(*dice.choice([("close", n, "-o", "spam"), ("take", n), ("reopen", n), ("priority", n, "4")]))
        if dice.random() < 0.5:
            office.sync(actor)
    office.agrees()
    assert office["post"].run("send").code == 0
    office.agrees()
    for person in (office["alice"], office["bob"]):
        assert person.outbox("--all") == []
    tickets = [office["bob"].json("show", t["number"]) for t in office["bob"].json("list", "state:any")]
    said = [a for t in tickets for a in t["articles"]]
    assert sorted(a["body"] for a in said if a["action"] == "note") == sorted(notes)
    assert Counter(a["action"] for a in said)["receive"] == came == 4
    by_text = Counter(w for a in server.accepted for w in replies if f"reply {w}".encode() in a.data)
    kept = {
        w
        for w in replies
        for person in ("alice", "bob")
        for text in held_by(office[person]).values()
        if f"reply {w}" in text
    }
    assert by_text == Counter(replies - kept) and len(replies - kept) > 4
    automatic = [a for a in server.accepted if b"Auto-Submitted: auto-replied" in a.data]
    assert len(automatic) == len({to(a) for a in automatic}) == Counter(a["action"] for a in said)["auto-reply"]
    assert len(server.accepted) == len(replies - kept) + len(automatic)
