"""Mail handed to a real Postfix with TLS and a login, and read back from a real Dovecot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import mail
from submission import FULL, LARGEST, MISSING, Submission, sendmail, submission

from vrt.errors import TryAgain, VrtError
from vrt.mail import delivery
from vrt.mail.delivery import Result, Unreachable

NAME = "20261120T101540Z-reply-0b77de14"
US = "info-en@example.org"
MAIL = mail("Yes", "Hello,\n.\n.. dots\nbye\n", sender=US, to="jane@example.com").replace(b"\n", b"\r\n")


@pytest.fixture(scope="module")
def servers() -> Iterator[Submission]:
    with submission() as running:
        yield running


def hand_over(values: dict[str, Any], to: tuple[str, ...], data: bytes = MAIL, envelope: str = US) -> tuple[Any, int]:
    """Return the result or what was raised, and how often it was committed."""
    commits: list[int] = []
    with delivery.open(delivery.read(values), "example.org", Path("/nowhere")) as out:
        try:
            return out.send(NAME, envelope, to, data, lambda: commits.append(1)), len(commits)
        except VrtError as exc:
            return exc, len(commits)


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_a_message_arrives(servers: Submission, tls: str) -> None:
    to = (f"jane-{tls}@example.com", f"joe-{tls}@example.net")
    port = servers.implicit if tls == "implicit" else servers.port
    result, commits = hand_over(servers.delivery(tls=tls, port=port), to)
    assert (result.outcome, result.status, commits) == ("sent", "2.0.0", 1) and "queued as" in result.said
    for name in to:
        (raw,) = servers.inbox(name)
        assert raw.endswith(MAIL), "not byte for byte"
        added = raw.removesuffix(MAIL).decode()
        assert f"Return-Path: <{US}>" in added and "from example.org" in added and "ESMTPSA" in added


def test_many_messages_in_one_connection(servers: Submission) -> None:
    with delivery.open(delivery.read(servers.delivery()), "example.org", Path()) as out:
        for i in range(20):
            data = MAIL + b"%d\r\n" % i
            assert out.send(NAME, US, ("many@example.com",), data, lambda: None).outcome == "sent"
    assert sorted(int(raw.split()[-1]) for raw in servers.inbox("many@example.com", 20)) == list(range(20))
    connects = [row for row in servers.postfix.log.splitlines() if "]: connect from" in row]
    assert len(connects) < 20


@pytest.mark.parametrize(
    ("to", "outcome", "status", "refused"),
    [
        (("good@example.com", MISSING), "failed", "5.1.1", MISSING),
        (("good@example.com", FULL), "deferred", "4.2.2", FULL),
        ((FULL, MISSING, "good@example.com"), "failed", "5.1.1", MISSING),
        (("good@elsewhere.example",), "failed", "5.1.1", "good@elsewhere.example"),
    ],
)
def test_a_real_server_refuses(
    servers: Submission, to: tuple[str, ...], outcome: str, status: str, refused: str
) -> None:
    result, commits = hand_over(servers.delivery(), to)
    assert (result.outcome, result.status, result.recipient) == (outcome, status, refused)
    assert commits == (outcome == "sent") and not servers.dovecot.folder("good@example.com").exists()


def test_a_message_too_large_for_a_real_server(servers: Submission) -> None:
    result, commits = hand_over(servers.delivery(), ("jane@example.com",), MAIL + b"word\r\n" * (LARGEST // 6))
    assert result[:2] == ("failed", "5.3.4") and commits == 0


def test_eight_bits_arrive_as_they_are(servers: Submission) -> None:
    data = MAIL + "Grüße\r\n".encode() + b"\xff\x80\r\n"
    assert hand_over(servers.delivery(), ("eight@example.com",), data)[0].outcome == "sent"
    assert servers.inbox("eight@example.com")[0].endswith(data)


@pytest.mark.parametrize("more", [{"password_command": "echo wrong"}, {"user": "", "password_command": ""}])
def test_without_the_right_login_nothing_is_handed_over(servers: Submission, more: dict[str, str]) -> None:
    values = {k: v for k, v in servers.delivery(**more).items() if v}
    result, commits = hand_over(values, ("jane@example.com",))
    if more["password_command"]:
        assert isinstance(result, VrtError) and not isinstance(result, TryAgain) and "535 5.7.8" in result.message
    else:
        assert result.outcome == "failed" and result.status.startswith("5.7")
    assert commits == 0


def test_a_real_server_that_is_not_trusted(servers: Submission) -> None:
    for more in ({"ca_file": ""}, {"host": "127.0.0.1"}):
        values = {k: v for k, v in servers.delivery(**more).items() if v}
        result, commits = hand_over(values, ("jane@example.com",))
        assert isinstance(result, Unreachable) and "cannot be trusted" in result.message and commits == 0


def test_the_sendmail_of_postfix(servers: Submission) -> None:
    values = {"kind": "sendmail", "command": sendmail(servers.postfix.folder)}
    to = ("via@example.com", "via@example.net")
    assert hand_over(values, to) == (Result("sent", "2.0.0", "exit 0"), 1)
    for name in to:
        assert servers.inbox(name)[0].endswith(MAIL)
    assert hand_over(values, ("bounces@example.com",), envelope="")[0].outcome == "sent"
    assert servers.inbox("bounces@example.com")[0].startswith(b"Return-Path: <MAILER-DAEMON>\r\n")


def test_an_answer_from_outside_is_fetched_from_the_mailbox(servers: Submission) -> None:
    servers.write(MAIL, "jane@example.com", US)
    assert servers.inbox(US)[0].endswith(MAIL)
