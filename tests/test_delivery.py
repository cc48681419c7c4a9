"""Handing over a message: to a Maildir, to a program, and to mail servers that do as they like."""

from __future__ import annotations

import os
import resource
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dovecot import certificate
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from smtpserver import DRIP, DROP, FLOOD, SILENCE, SmtpServer

from vrt.errors import TryAgain, VrtError
from vrt.mail import delivery, smtp, transport, wire
from vrt.mail.delivery import Delivery, InDoubt, Result, Unreachable

NAME = "20261120T101540Z-reply-0b77de14"
MAIL = b"From: info-en@example.org\r\nTo: jane@example.com\r\nSubject: Yes\r\n\r\nHello,\r\n.\r\n..\r\n.x\r\n"
US, JANE, JOE = "info-en@example.org", "jane@example.com", "joe@example.com"


class Commit:
    """Counts how often it was asked to commit, and may do something then."""

    def __init__(self, act: Callable[[], Any] = lambda: None) -> None:
        self.count, self._act = 0, act

    def __call__(self) -> None:
        self.count += 1
        self._act()


def stop() -> None:
    raise VrtError("the ledger is full")


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, Delivery()),
        ({"kind": "maildir", "path": "/var/mail/out"}, Delivery(path=Path("/var/mail/out"))),
        ({"kind": "sendmail"}, Delivery("sendmail")),
        (
            {"kind": "sendmail", "command": "/usr/bin/msmtp -C '/etc/my rc'", "give_up": "12h"},
            Delivery("sendmail", command=("/usr/bin/msmtp", "-C", "/etc/my rc"), give_up=12 * 3600),
        ),
        ({"kind": "sendmail", "command": ["/bin/x", "a b"]}, Delivery("sendmail", command=("/bin/x", "a b"))),
        ({"kind": "smtp", "host": "mail.example.net"}, Delivery("smtp", host="mail.example.net", port=587)),
        (
            {"kind": "smtp", "host": "m.example", "tls": "implicit", "user": "me", "password_command": "pass show m"},
            Delivery("smtp", host="m.example", port=465, tls="implicit", user="me", password_command="pass show m"),
        ),
        ({"kind": "smtp", "host": "localhost", "tls": "none"}, Delivery("smtp", host="localhost", port=25, tls="none")),
        (
            {"kind": "smtp", "host": "::1", "port": 2525, "user": 7, "token_command": "t", "ca_file": "/ca.pem"},
            Delivery("smtp", host="::1", port=2525, user="7", token_command="t", ca_file="/ca.pem"),
        ),
    ],
)
def test_settings(values: dict[str, Any], expected: Delivery) -> None:
    assert delivery.read(values) == expected


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([], "no settings"),
        ({"kind": "uucp"}, "kind is 'uucp'"),
        ({"kind": ["smtp"]}, "kind is ["),
        ({"kind": "maildir", "host": "m.example"}, "unknown setting host"),
        ({"kind": "smtp", "host": "m.example", "password": "x"}, "does not belong into a file"),
        ({"path": "out"}, "path is not absolute"),
        ({"path": "~nobody-of-that-name/out"}, "path is not absolute"),
        ({"path": "/a\nb"}, "path is not a line of text"),
        ({"give_up": "soon"}, "no span of time"),
        ({"give_up": "0d"}, "give_up is nothing"),
        ({"kind": "sendmail", "command": "msmtp"}, "command is not absolute"),
        ({"kind": "sendmail", "command": []}, "command is empty"),
        ({"kind": "sendmail", "command": "/bin/x 'y"}, "cannot be split"),
        ({"kind": "sendmail", "command": ["/bin/x", {"y": 1}]}, "command is not a line"),
        ({"kind": "smtp"}, "has no host"),
        ({"kind": "smtp", "host": "a b"}, "not the name of a server"),
        ({"kind": "smtp", "host": "m.example", "port": 70000}, "port is a number"),
        ({"kind": "smtp", "host": "m.example", "tls": "maybe"}, "tls is 'maybe'"),
        ({"kind": "smtp", "host": "m.example", "tls": "none"}, "in the clear"),
        ({"kind": "smtp", "host": "m.example", "user": "me"}, "needs either"),
        ({"kind": "smtp", "host": "m.example", "user": "a", "password_command": "b", "token_command": "c"}, "either"),
        ({"kind": "smtp", "host": "m.example", "password_command": "x"}, "has no user"),
        ({"kind": "smtp", "host": "m.example", "ca_file": "ca.pem"}, "ca_file is not absolute"),
    ],
)
def test_bad_settings(values: Any, words: str) -> None:
    with pytest.raises(VrtError) as caught:
        delivery.read(values)
    assert words in caught.value.message and caught.value.message.startswith("delivery: ")


# --- Maildir ----------------------------------------------------------------------------------------


def into(folder: Path, commit: Callable[[], None], data: bytes = MAIL) -> Result:
    with delivery.open(Delivery(), "example.org", folder) as out:
        return out.send(NAME, US, (JANE,), data, commit)


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_a_maildir_gets_a_message_once(tmp_path: Path) -> None:
    folder = tmp_path / "maildir"
    commit = Commit(lambda: seen.extend(files(folder)))
    seen: list[str] = []
    assert into(folder, commit) == Result("sent", "2.0.0")
    assert files(folder) == [f"new/{NAME}"] and (folder / "new" / NAME).read_bytes() == MAIL
    assert [n.split("/")[0] for n in seen] == ["tmp"], "it was to be seen before the commit"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert into(folder, commit, b"another\r\n").outcome == "sent"
    (folder / "new" / NAME).rename(folder / "cur" / f"{NAME}:2,RS")
    assert into(folder, commit).outcome == "sent"
    assert files(folder) == [f"cur/{NAME}:2,RS"] and commit.count == 3


def test_what_was_not_committed_is_in_no_maildir(tmp_path: Path) -> None:
    with pytest.raises(VrtError, match="the ledger is full"):
        into(tmp_path / "maildir", stop)
    assert files(tmp_path / "maildir") == []


def test_a_maildir_on_a_disk_that_is_not_there(tmp_path: Path) -> None:
    commit = Commit()
    with pytest.raises(Unreachable, match="No such file"):
        into(tmp_path / "usb" / "maildir", commit)
    assert commit.count == 0


def test_a_full_disk_leaves_nothing_in_a_maildir(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(Unreachable, match="File too large"):
            into(tmp_path / "maildir", Commit(), b"word\r\n" * 10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert files(tmp_path / "maildir") == []


def test_a_maildir_that_breaks_after_the_commit_can_be_tried_again(tmp_path: Path) -> None:
    folder = tmp_path / "maildir"
    result = into(folder, Commit(lambda: (folder / "new").rmdir()))
    assert (result.outcome, result.status) == ("deferred", "4.3.0") and files(folder) == []
    assert into(folder, Commit()).outcome == "sent"


def test_a_name_that_is_a_path_is_no_name(tmp_path: Path) -> None:
    with delivery.open(Delivery(), "example.org", tmp_path / "m") as out, pytest.raises(ValueError, match="event id"):
        out.send("../x", US, (JANE,), MAIL, Commit())


# --- a program ----------------------------------------------------------------------------------------


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Any, Commit]]:
    """Returns what sending by a shell script gives: the result or what was raised, and the commits."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    (tmp_path / "run").mkdir()
    path = tmp_path / "sendmail"

    def run(script: str, recipients: tuple[str, ...] = (JANE,), envelope: str = US, data: bytes = MAIL) -> Any:
        path.write_text(f"#!/bin/sh\ncd '{tmp_path}'\n{script}\n")
        path.chmod(0o755)
        commit = Commit(lambda: (tmp_path / "committed").touch())
        with delivery.open(Delivery("sendmail", command=(str(path), "-O", "x y")), "", tmp_path) as out:
            try:
                return out.send(NAME, envelope, recipients, data, commit), commit
            except VrtError as exc:
                return exc, commit

    return run


def test_a_program_gets_message_and_recipients(program: Any, tmp_path: Path) -> None:
    script = 'test -e committed && test -f /dev/stdin && printf "%s\\n" "$@" >argv && cat >message && echo queued >&2'
    result, commit = program(script, (JANE, "a'`touch`$x|y@example.com"))
    assert result == Result("sent", "2.0.0", "queued") and commit.count == 1
    argv = (tmp_path / "argv").read_text().splitlines()
    assert argv == ["-O", "x y", "-i", "-f", US, "--", JANE, "a'`touch`$x|y@example.com"]
    assert (tmp_path / "message").read_bytes() == MAIL.replace(b"\r\n", b"\n")
    assert list((tmp_path / "run").rglob("*")) == [tmp_path / "run" / "vrt"], "it left something in memory"
    program(script, envelope="")
    assert (tmp_path / "argv").read_text().splitlines()[2:5] == ["-i", "-f", "<>"]


@pytest.mark.parametrize(
    ("script", "outcome", "status", "recipient"),
    [
        ("exit 0", "sent", "2.0.0", ""),
        ("echo >&2 no such user; exit 67", "failed", "5.1.1", JANE),
        ("exit 68", "failed", "5.1.2", JANE),
        ("exit 65", "failed", "5.6.0", JANE),
        ("exit 69", "failed", "5.0.0", JANE),
        ("exit 75", "deferred", "4.3.0", ""),
        ("exit 71", "deferred", "4.3.0", ""),
        ("exit 77", "deferred", "4.3.0", ""),
        ("exit 78", "deferred", "4.3.0", ""),
        ("exit 64", "deferred", "4.3.0", ""),
        ("exit 1", "deferred", "4.3.0", ""),
        ("head -c 3000000 /dev/zero; exit 75", "deferred", "4.3.0", ""),
        ("sleep 20 & exit 0", "sent", "2.0.0", ""),
        ("exec >&- 2>&-; sleep 0.1; exit 75", "deferred", "4.3.0", ""),
    ],
)
def test_what_a_program_ends_with(program: Any, script: str, outcome: str, status: str, recipient: str) -> None:
    begun = time.monotonic()
    result, commit = program(script)
    assert result[:2] == (outcome, status) and result.recipient == recipient and commit.count == 1
    assert 0 < len(result.said) <= 500 and time.monotonic() - begun < 15


@pytest.mark.parametrize("script", ["kill -9 $$", "kill -15 $$", "sh -c 'kill -9 $$'; exit $?", "sleep 30"])
def test_a_program_that_is_killed_leaves_doubt(program: Any, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "LIMIT", 0.3 if "sleep" in script else 60)
    problem, commit = program(script)
    assert isinstance(problem, InDoubt) and commit.count == 1
    assert ("signal" in problem.message) == ("kill" in script)


def test_a_program_that_is_too_slow_is_ended_with_its_children(
    program: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "LIMIT", 0.5)
    begun = time.monotonic()
    program("sleep 60 & echo $! >child; wait")
    assert time.monotonic() - begun < 30
    child = int((tmp_path / "child").read_text())
    end = time.monotonic() + 10
    while Path(f"/proc/{child}").exists() and "Z" not in Path(f"/proc/{child}/stat").read_text().split()[2]:
        assert time.monotonic() < end, "the child lives"
        time.sleep(0.02)


@pytest.mark.parametrize("what", ["missing", "a folder", "not executable"])
def test_a_program_that_cannot_run(tmp_path: Path, what: str) -> None:
    path = tmp_path / "program"
    if what == "a folder":
        path.mkdir()
    if what == "not executable":
        path.write_text("#!/bin/sh\n")
    commit = Commit()
    with delivery.open(Delivery("sendmail", command=(str(path),)), "", tmp_path) as out, pytest.raises(Unreachable):
        out.send(NAME, US, (JANE,), MAIL, commit)
    assert commit.count == 0


def test_a_program_that_does_not_start_after_all(program: Any, tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("#!/no/such/interpreter\n")
    path.chmod(0o755)
    commit = Commit()
    with delivery.open(Delivery("sendmail", command=(str(path),)), "", tmp_path) as out:
        assert out.send(NAME, US, (JANE,), MAIL, commit)[:2] == ("deferred", "4.3.0")
    assert commit.count == 1


HOSTILE = [
    "", "jane", "-oQ/tmp@example.com", "a b@example.com", "a,b@example.com", "a@example.com\r\nRCPT TO:<b@example.com>",
    "a@example.com>", "<a@example.com", "a@b@example.com", '"a b"@example.com', "a@example.com\0", "a(b)@example.com",
    "a@exam\u2028ple.com", "a@\udc80example.com", "\u202ea@example.com", "a" * 65 + "@example.com", "a@" + "b" * 254,
    "ä" * 60 + "@" + "ö" * 80 + ".example", "a;b@example.com", "a:b@example.com", "|prog", "a\\@example.com",
]  # fmt: skip


@pytest.mark.parametrize("address", HOSTILE)
def test_hostile_addresses_reach_no_program_and_no_server(program: Any, tmp_path: Path, address: str) -> None:
    result, commit = program("touch ran", (JANE, address))
    assert result[:2] == ("failed", "5.1.3") and result.recipient == address and commit.count == 0
    result, commit = program("touch ran", (JANE,), address)
    assert (result[:2] == ("failed", "5.1.7") and commit.count == 0) or not address
    assert (tmp_path / "ran").exists() == (not address)
    with SmtpServer() as server:
        assert hand_to(server, (JANE, address))[0].status == "5.1.3"
        assert server.connections == 0


# --- a server -----------------------------------------------------------------------------------------


def at(server: SmtpServer, **more: Any) -> Delivery:
    values = {"kind": "smtp", "host": "localhost", "port": server.port, "tls": server.tls, **more}
    return delivery.read(values)


def hand_to(
    server: SmtpServer, recipients: tuple[str, ...] = (JANE,), data: bytes = MAIL, commit: Commit | None = None,
    envelope: str = US, **more: Any,
) -> tuple[Any, Commit]:  # fmt: skip
    """Return the result or what was raised, and the commits."""
    commit = commit or Commit()
    with delivery.open(at(server, **more), "example.org", Path("/nowhere")) as out:
        try:
            return out.send(NAME, envelope, recipients, data, commit), commit
        except VrtError as exc:
            return exc, commit


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets us be as patient with servers as a test is; other tests are not hurried, the machine may be slow."""

    def patience(seconds: float) -> None:
        monkeypatch.setattr(wire, "SILENCE", seconds)
        monkeypatch.setattr(wire, "RATE", 10_000_000)
        monkeypatch.setattr(smtp, "PATIENCE", seconds)

    return patience


def test_a_server_takes_a_message() -> None:
    with SmtpServer(offers=("SIZE 1000000", "8BITMIME", "PIPELINING", "HELP")) as server:
        result, commit = hand_to(server, (JANE, JOE))
        server.settle()
        assert result == Result("sent", "2.0.0", "250 2.0.0 taken") and commit.count == 1
        assert server.accepted == [(US, (JANE, JOE), MAIL, f"SIZE={len(MAIL)}")]
        assert server.said[0] == b"EHLO example.org" and server.said[-1] == b"QUIT" and server.unfinished == []


BEFORE = ("greeting", "EHLO", "MAIL", "RCPT", "DATA")
WAYS: dict[str, bytes] = {
    "4": b"451-4.3.0 not\r\n451 4.3.0 now", "5": b"550 5.7.1 never", "421": b"421 4.3.2 closing" + DROP, "drop": DROP,
    "silence": SILENCE, "drip": DRIP, "flood": FLOOD, "long": b"2" * 10_000_000, "garbage": b"\xff\xfe\x00 hello",
    "two codes": b"250-a\r\n251 b", "other": b"300 what", "login": b"530 5.7.0 who are you?" + DROP,
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("step", [*BEFORE, "."])
def test_whatever_a_server_answers(step: str, way: str, hurry: Callable[[float], None]) -> None:
    """At each step each kind of answer: never taken and not known, never committed where nothing was at stake."""
    if way in ("silence", "drip"):
        hurry(1 if step == "." else 0.2)
    with SmtpServer(**{step: WAYS[way]}) as server:
        result, commit = hand_to(server)
        after = step == "."
        assert commit.count == after
        assert len(server.accepted) == (after and way not in ("4", "5", "421", "login"))
        if way == "login" and step in ("MAIL", "RCPT", "DATA"):
            assert isinstance(result, VrtError) and not isinstance(result, TryAgain) and "wants a login" in str(result)
        elif way in ("4", "5", "login") and step not in ("greeting", "EHLO"):
            outcome = "deferred" if way == "4" else "failed"
            status = {"4": "4.3.0", "5": "5.7.1", "login": "5.7.0"}[way]
            assert result[:2] == (outcome, status) and result.recipient == (JANE if step == "RCPT" else "")
            assert result.said == WAYS[way].removesuffix(DROP).decode().replace("\r\n451", "").replace("1-4", "1 4")
        elif after and way == "421":
            assert result[:2] == ("deferred", "4.3.2")
        else:
            assert isinstance(result, InDoubt if after else Unreachable)
            assert "\x00" not in result.message and len(result.message) < 400


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        (b"550 no", "5.0.0", "550 no"),
        (b"550", "5.0.0", "550"),
        (b"550 4.2.2 the wrong class", "5.0.0", "550 4.2.2 the wrong class"),
        (b"550 5.1.1000 no code", "5.0.0", "550 5.1.1000 no code"),
        (b"550 5.1.1.7 no code", "5.0.0", "550 5.1.1.7 no code"),
        (b"552 5.3.4 too big", "5.3.4", "552 5.3.4 too big"),
        (b"450-4.2.1 a\r\n450 4.2.1 \x1b[31mb\xff", "4.2.1", "450 4.2.1 a 4.2.1 \x1b[31mb\ufffd"),
        (b"550 5.1.1 " + b"x" * 2000, "5.1.1", "550 5.1.1 " + "x" * 490),
    ],
)
def test_what_a_refusal_says(answer: bytes, status: str, said: str) -> None:
    with SmtpServer(RCPT=answer) as server:
        assert hand_to(server)[0][1:] == (status, said, JANE)


@pytest.mark.parametrize(
    ("answers", "outcome", "recipient", "asked"),
    [
        ([b"250 ok", b"550 5.1.1 no"], "failed", JOE, 2),
        ([b"450 4.2.1 later", b"550 5.1.1 no"], "failed", JOE, 2),
        ([b"550 5.1.1 no", b"450 4.2.1 later"], "failed", JANE, 1),
        ([b"450 4.2.1 later", b"250 ok"], "deferred", JANE, 2),
        ([b"251 will forward", b"250 ok"], "sent", "", 2),
    ],
)
def test_all_recipients_or_none(answers: list[bytes], outcome: str, recipient: str, asked: int) -> None:
    with SmtpServer(RCPT=list(answers)) as server:
        with delivery.open(at(server), "example.org", Path()) as out:
            result = out.send(NAME, US, (JANE, JOE), MAIL, Commit())
            assert (result.outcome, result.recipient) == (outcome, recipient)
            assert sum(row.startswith(b"RCPT") for row in server.said) == asked
            assert len(server.accepted) == (outcome == "sent")
            server.script.clear()
            assert out.send(NAME, US, (JANE,), MAIL, Commit()).outcome == "sent", "the session is of no more use"
        assert server.connections == 1


def test_a_refusal_stands_where_the_server_hangs_up_after_it() -> None:
    for answers in ({"RCPT": b"550 5.7.1 go away" + DROP}, {"RCPT": b"550 5.7.1 go away", "RSET": b"421 bye" + DROP}):
        with SmtpServer(**answers) as server:
            result, commit = hand_to(server)
            assert (result.outcome, result.status, commit.count, server.connections) == ("failed", "5.7.1", 0, 1)


def test_a_server_that_does_not_forget_a_refused_message_is_called_again() -> None:
    with SmtpServer(RCPT=[b"550 5.7.1 no"], RSET=b"500 5.5.1 what?") as server:
        with delivery.open(at(server), "example.org", Path()) as out:
            assert out.send(NAME, US, (JANE,), MAIL, Commit()).outcome == "failed"
            assert out.send(NAME, US, (JOE,), MAIL, Commit()).outcome == "sent"
        assert server.connections == 2 and [m.recipients for m in server.accepted] == [(JOE,)]


def test_one_connection_for_many_messages_and_a_new_one_where_it_was_dropped() -> None:
    with SmtpServer() as server, delivery.open(at(server), "example.org", Path()) as out:
        for i in range(3):
            assert out.send(NAME, US, (JANE,), b"%d\r\n" % i, Commit()).outcome == "sent"
        assert server.connections == 1
        server.hang_up()
        assert out.send(NAME, US, (JANE,), b"3\r\n", Commit()).outcome == "sent"
        server.script["MAIL"] = [b"421 4.4.2 you were away too long" + DROP]
        assert out.send(NAME, US, (JANE,), b"4\r\n", Commit()).outcome == "sent"
        assert server.connections == 3
        server.script["MAIL"] = b"421 4.7.0 too many" + DROP
        commit = Commit()
        with pytest.raises(Unreachable, match="too many"):
            out.send(NAME, US, (JANE,), b"5\r\n", commit)
        assert server.connections == 4 and commit.count == 0
        del server.script["MAIL"]
        server.script["."] = [DROP]
        with pytest.raises(InDoubt, match="did not say whether it took the message"):
            out.send(NAME, US, (JANE,), b"6\r\n", Commit())
        assert out.send(NAME, US, (JANE,), b"7\r\n", Commit()).outcome == "sent"
        assert [m.data for m in server.accepted] == [b"%d\r\n" % i for i in (0, 1, 2, 3, 4, 6, 7)]


def test_no_commit_no_message() -> None:
    with SmtpServer() as server:
        with pytest.raises(KeyboardInterrupt):
            hand_to(server, commit=Commit(lambda: (_ for _ in ()).throw(KeyboardInterrupt)))
        problem, _ = hand_to(server, commit=Commit(stop))
        server.settle()
        assert problem.message == "the ledger is full" and server.accepted == []
        assert server.unfinished == [b"", b""] and server.connections == 2


def test_a_connection_that_breaks_in_the_middle_of_a_message_leaves_no_doubt() -> None:
    with SmtpServer(DATA=[b"354 go on" + DROP]) as server:
        result, commit = hand_to(server, data=b"word\r\n" * 4_000_000)
        assert result[:2] == ("deferred", "4.4.2") and commit.count == 1 and server.accepted == []


def test_a_server_may_think_about_a_message_for_long(
    hurry: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def think(server: SmtpServer, row: bytes) -> bytes:
        time.sleep(1.2)
        return b"250 2.0.0 taken"

    hurry(0.8)
    monkeypatch.setattr(smtp, "PATIENCE", 20)
    with SmtpServer(**{".": think}) as server:
        assert hand_to(server)[0].outcome == "sent"


def test_an_answer_before_its_message_is_not_believed() -> None:
    for step, answer in (
        ("DATA", b"354 go on\r\n250 2.0.0 taken"),
        ("MAIL", b"250 ok\r\n250 ok\r\n354 go on"),
        ("MAIL", b"250 ok\r\n250 ok\r\n354 go on\r\n250 ok"),
    ):
        with SmtpServer(**{step: answer}) as server:
            result, commit = hand_to(server)
            assert isinstance(result, Unreachable) and commit.count == 0 and server.accepted == []


@pytest.mark.parametrize(
    ("offers", "data", "recipient", "envelope", "status", "options"),
    [
        ((), MAIL, JANE, "", "2.0.0", ""),
        (("SIZE",), MAIL, JANE, US, "2.0.0", f"SIZE={len(MAIL)}"),
        (("SIZE 0",), MAIL, JANE, US, "2.0.0", f"SIZE={len(MAIL)}"),
        (("SIZE 10",), MAIL, JANE, US, "5.3.4", ""),
        (("size 10",), MAIL, JANE, US, "5.3.4", ""),
        (("SIZE " + "9" * 5000,), MAIL, JANE, US, "2.0.0", f"SIZE={len(MAIL)}"),
        ((), "ä\r\n".encode(), JANE, US, "5.6.3", ""),
        (("8BITMIME",), "ä\r\n".encode(), JANE, US, "2.0.0", "BODY=8BITMIME"),
        (("8BITMIME",), MAIL, JANE, US, "2.0.0", ""),
        ((), MAIL, "jürgen@example.com", US, "5.6.7", ""),
        ((), MAIL, JANE, "jürgen@example.com", "5.6.7", ""),
        (("8BITMIME", "SMTPUTF8"), MAIL, "jürgen@bücher.example", US, "2.0.0", "SMTPUTF8"),
        (("8BITMIME",), b"a\nb\r\n", JANE, US, "5.6.0", ""),
        (("8BITMIME",), b"a\r\n.\rb\r\n", JANE, US, "5.6.0", ""),
        (("8BITMIME",), b"a\r\n\n.\r\nMAIL FROM:<x@example.com>\r\n", JANE, US, "5.6.0", ""),
    ],
)
def test_what_a_server_can_take(
    offers: tuple[str, ...], data: bytes, recipient: str, envelope: str, status: str, options: str
) -> None:
    with SmtpServer(offers=offers) as server:
        result, commit = hand_to(server, (recipient,), data, envelope=envelope)
        assert result.status == status and (result.outcome == "sent") == (status == "2.0.0") == bool(commit.count)
        taken = [(envelope, (recipient,), data, options)] if commit.count else []
        assert server.accepted == taken and (taken or not any(r.startswith(b"MAIL") for r in server.said))


@pytest.fixture(scope="module")
def patient() -> Any:
    with SmtpServer(offers=("8BITMIME",)) as server, delivery.open(at(server), "example.org", Path()) as out:
        yield server, out


@given(st.lists(st.sampled_from([b".", b"..", b"\r\n", b".\r\n", b"\r\n.\r\n", b"x", b"\0", b"\xff", b"QUIT"])))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_message_arrives_as_it_is(patient: Any, parts: list[bytes]) -> None:
    server, out = patient
    data = b"".join(parts)
    server.accepted.clear()
    assert out.send(NAME, US, (JANE,), data, Commit()).outcome == "sent"
    assert [m.data for m in server.accepted] == [data if data.endswith(b"\r\n") else data + b"\r\n"]


def test_the_name_of_the_desk_is_the_name_that_is_said() -> None:
    with SmtpServer() as server:
        with delivery.open(at(server), "bücher.example", Path()) as out:
            out.send(NAME, US, (JANE,), MAIL, Commit())
        assert server.said[0] == b"EHLO xn--bcher-kva.example"
        for name in ("", "example.org\r\nVRFY x", "a b", "-" * 70):
            with pytest.raises(VrtError, match="cannot be greeted"):
                delivery.open(at(server), name, Path())


def test_nobody_answers() -> None:
    with SmtpServer() as server:
        settings = at(server)
    commit = Commit()
    with delivery.open(settings, "example.org", Path()) as out, pytest.raises(Unreachable, match="cannot reach"):
        out.send(NAME, US, (JANE,), MAIL, commit)
    assert commit.count == 0


# --- TLS and logins -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("trusted"), "localhost")


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
def test_a_large_message_over_tls(trusted: Path, tls: str) -> None:
    data = b"".join(b".%d\r\n" % i for i in range(400_000))
    with SmtpServer(tls, trusted, ("SIZE 99999999",)) as server:
        assert hand_to(server, data=data, ca_file=str(trusted))[0].outcome == "sent"
        assert server.accepted[0].data == data


@pytest.mark.parametrize("way", ["drop", "silence", "drip", "flood", "long", "garbage"])
@pytest.mark.parametrize("step", ["STARTTLS", "RCPT", "."])
def test_over_tls_too_a_server_may_answer_what_it_likes(
    trusted: Path, step: str, way: str, hurry: Callable[[float], None]
) -> None:
    if way in ("silence", "drip"):
        hurry(1 if step == "." else 0.2)
    with SmtpServer("starttls", trusted, **{step: WAYS[way]}) as server:
        result, commit = hand_to(server, ca_file=str(trusted))
        assert isinstance(result, InDoubt if step == "." else Unreachable) and commit.count == (step == ".")


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
def test_a_certificate_that_is_not_trusted(trusted: Path, tmp_path: Path, tls: str) -> None:
    other = certificate(tmp_path, "mail.example.net")
    for shown, known in ((trusted, None), (other, other), (trusted, other)):
        with SmtpServer(tls, shown, ("AUTH PLAIN",)) as server:
            more = {"ca_file": str(known)} if known else {}
            result, commit = hand_to(server, user="me", password_command="echo topsecret", **more)
            assert isinstance(result, Unreachable) and "cannot be trusted" in result.message and result.hint
            assert server.accepted == [] and commit.count == 0 and not any(b"AUTH" in r for r in server.said)


@pytest.mark.parametrize(
    "script",
    [
        {"EHLO": b"250-mail.example.net\r\n250 AUTH PLAIN"},
        {"STARTTLS": b"454 4.7.0 not now"},
        {"STARTTLS": b"502 5.5.1 what?"},
    ],
)
def test_without_starttls_nothing_is_sent(trusted: Path, script: dict[str, bytes]) -> None:
    with SmtpServer("starttls", trusted, **script) as server:  # type: ignore[arg-type]
        result, _ = hand_to(server, ca_file=str(trusted), user="me", password_command="echo topsecret")
        assert isinstance(result, Unreachable) and "offers no STARTTLS" in result.message
        assert {row.split(b" ")[0] for row in server.said} <= {b"EHLO", b"STARTTLS"}


def test_what_is_said_in_the_clear_is_forgotten(trusted: Path) -> None:
    """Somebody between adds answers to what comes before TLS (CVE-2011-0411)."""
    injected = b"220 go\r\n250-evil\r\n250-SIZE 1\r\n250 AUTH XOAUTH2"
    first = b"250-mail\r\n250-STARTTLS\r\n250 SIZE 1"
    with SmtpServer("starttls", trusted, STARTTLS=injected, EHLO=[first]) as server:
        assert hand_to(server, ca_file=str(trusted))[0].outcome == "sent"
        assert server.said.count(b"EHLO example.org") == 2


@pytest.mark.parametrize(
    ("offer", "command", "way"),
    [
        ("AUTH LOGIN PLAIN", "password", b"AUTH PLAIN"),
        ("AUTH LOGIN", "password", b"AUTH LOGIN"),
        ("AUTH=LOGIN", "password", b"AUTH LOGIN"),
        ("auth plain", "password", b"AUTH PLAIN"),
        ("AUTH PLAIN XOAUTH2", "token", b"AUTH XOAUTH2"),
        ("AUTH XOAUTH2 OAUTHBEARER", "token", b"AUTH OAUTHBEARER"),
    ],
)
@pytest.mark.parametrize("secret", ["topsecret", "pässwörd", "x" * 5000])
def test_logins(trusted: Path, offer: str, command: str, way: bytes, secret: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{secret}\nand more\n")
    settings = {"user": "me", f"{command}_command": f"cat {tmp_path}/secret", "ca_file": str(trusted)}
    with SmtpServer("starttls", trusted, (offer,), secret=secret) as server:
        assert hand_to(server, **settings)[0].outcome == "sent" and way in server.said
        server.secret = "another"
        problem, commit = hand_to(server, **settings)
        assert type(problem) is not Unreachable and not isinstance(problem, TryAgain) and commit.count == 0
        assert "refused the login: 535 5.7.8 no" in problem.message and "(secret)" in problem.message
        assert secret not in problem.message and len(server.accepted) == 1


@pytest.mark.parametrize(
    ("more", "script", "kind", "words"),
    [
        ({"password_command": "exit 3"}, {}, Unreachable, "password_command failed with exit 3"),
        ({"password_command": "echo topsecret"}, {"login": b"454 4.7.0 later"}, Unreachable, "454 4.7.0 later"),
        ({"password_command": "echo topsecret"}, {"login": b"421 4.7.0 bye"}, Unreachable, "421 4.7.0 bye"),
        ({"password_command": "echo topsecret"}, {"AUTH": b"504 5.5.4 what?"}, VrtError, "504 5.5.4 what?"),
        ({"password_command": "echo topsecret"}, {"AUTH": b"235 2.0.0 sure"}, None, ""),
        ({"token_command": "echo topsecret"}, {}, VrtError, "offers no login by OAUTHBEARER or XOAUTH2"),
    ],
)
def test_logins_that_fail(more: dict[str, str], script: dict[str, Any], kind: Any, words: str) -> None:
    with SmtpServer(offers=("AUTH PLAIN",), **script) as server:
        result, commit = hand_to(server, user="me", **more)
        if kind is None:
            assert result.outcome == "sent"
            return
        assert isinstance(result, kind) and words in result.message and commit.count == 0
        assert isinstance(result, TryAgain) == (kind is Unreachable)


def test_a_server_that_repeats_the_password_later() -> None:
    with SmtpServer(offers=("AUTH PLAIN",), RCPT=b"550 5.7.1 topsecret is a bad password") as server:
        result, _ = hand_to(server, user="me", password_command="echo topsecret")
        assert result.said == "550 5.7.1 (secret) is a bad password"


def test_the_code_of_a_user_in_a_token_login() -> None:
    """RFC 7628: a comma in the name would end the header of the message."""
    session = smtp._Session.__new__(smtp._Session)
    session._settings = Delivery("smtp", user="a,b=c", host="h", port=1)
    assert session._answers("OAUTHBEARER", "t") == ("n,a=a=2Cb=3Dc,\1host=h\1port=1\1auth=Bearer t\1\1",)


def test_nothing_of_this_machine_is_told() -> None:
    with SmtpServer() as server:
        hand_to(server)
        said = b"\n".join(server.said)
        assert os.uname().nodename.encode() not in said and b"localhost" not in said and b"127.0.0.1" not in said
