"""Mail in: every kind of source, what is known again, what belongs together, which queue."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import Person, founded, mail


@pytest.fixture(scope="module")
def alice(tmp_path_factory: pytest.TempPathFactory) -> Person:
    """The founder of a desk; each test here receives mail of its own."""
    return founded(tmp_path_factory.mktemp("receive"))


def take_in(person: Person, data: bytes) -> dict[str, Any]:
    """Receive one mail on stdin and return what became of it."""
    return person.ok("receive", "--json", "-", feed=data).json["mails"][0]  # type: ignore[no-any-return]


def mbox(*mails: bytes, line: bytes = b"From jane@example.com Fri Nov 20 10:00:00 2026\n") -> bytes:
    return b"".join(line + m + b"\n" for m in mails)


def test_a_file_is_a_ticket(alice: Person, tmp_path: Path) -> None:
    path = tmp_path / "a.eml"
    raw = mail("The bridge", "A picture of a bridge.")
    path.write_bytes(raw)
    done = alice.ok("receive", str(path))
    n = done.out.split()[1]
    assert done.out.startswith(f"new {n} in info-en") and len(done.out.splitlines()) == 1
    shown = alice.json("show", n)
    assert (shown["title"], shown["state"], shown["requester"]) == ("The bridge", "new", "Jane Roe <jane@example.com>")
    assert (
        shown["articles"][0]["body"] == "A picture of a bridge."
        and shown["articles"][0]["original_sha256"] == hashlib.sha256(raw).hexdigest()
    )
    assert alice.ok("raw", n).raw == raw
    assert path.read_bytes() == raw  # the source is left alone

    head = alice.git("rev-parse", "main", "keys")
    assert alice.ok("receive", str(path)).out == f"here already: {n}\n"
    assert alice.git("rev-parse", "main", "keys") == head  # nothing was recorded


def test_an_mbox_with_all_its_oddities(alice: Person, tmp_path: Path) -> None:
    mails = [
        mail("Box one", "From the museum: hello.\n\nFrom here on no separator.\n"),
        mail("Box two", "two"),
        mail("Box three", "no newline at the end").rstrip(b"\n"),
    ]
    quoted = [
        mails[0].replace(b"\nFrom the museum", b"\n>From the museum").replace(b"\nFrom here", b"\n>From here"),
        *mails[1:],
    ]
    path = tmp_path / "inbox.mbox"
    path.write_bytes(mbox(*quoted).rstrip(b"\n"))
    done = alice.ok("receive", "-v", str(path))
    assert done.out.splitlines()[-1].startswith("3 mails: 3 new tickets")
    assert [f"inbox.mbox:{i}" in row for i, row in enumerate(done.out.splitlines()[:3], 1)] == [True] * 3
    numbers = [row.split()[1] for row in done.out.splitlines()[:3]]
    assert [alice.ok("raw", n).raw for n in numbers] == mails  # without the quoting of the mbox
    assert alice.ok("receive", str(path)).out.startswith("3 mails: 3 here already")
    # By its content, not its name; and one mail saved with its envelope line.
    (tmp_path / "Inbox").write_bytes(mbox(*quoted))
    assert alice.json("receive", str(tmp_path / "Inbox"))["counts"]["duplicate"] == 3
    single = tmp_path / "single.eml"
    single.write_bytes(b"From jane@example.com Fri Nov 20 10:00:00 2026\n" + mail("Envelope", "x"))
    assert alice.json("receive", str(single))["mails"][0]["outcome"] == "new"


def test_a_maildir_and_a_folder(alice: Person, tmp_path: Path) -> None:
    box = tmp_path / "Maildir"
    for part in ("new", "cur", "tmp"):
        (box / part).mkdir(parents=True)
    (box / "new" / "1700000001.M1.host").write_bytes(mail("Maildir new"))
    (box / "cur" / "1700000002.M2.host:2,S").write_bytes(mail("Maildir seen"))
    (box / "tmp" / "1700000003.M3.host").write_bytes(mail("Maildir unfinished"))
    (box / "new" / ".hidden").write_bytes(b"no mail")
    found = alice.json("receive", str(box))
    assert found["counts"] == {"new": 2, "follow-up": 0, "unverified": 0, "duplicate": 0, "empty": 0}
    assert [alice.json("show", m["ticket"])["title"] for m in found["mails"]] == ["Maildir new", "Maildir seen"]
    assert (box / "new" / "1700000001.M1.host").exists()

    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    (folder / "b.eml").write_bytes(mail("Folder b"))
    (folder / "deep" / "a.eml").write_bytes(mail("Folder a"))
    (folder / "notes.txt").write_text("no mail")
    assert alice.json("receive", str(folder))["counts"]["new"] == 2
    assert alice.ok("receive", str(folder), str(box)).out.startswith("4 mails: 4 here already")


def test_standard_input_is_one_message(alice: Person) -> None:
    raw = mail("By the mail server", "x").replace(b"\n", b"\r\n")
    got = take_in(alice, raw)
    assert (got["outcome"], got["queue"], got["label"]) == ("new", "info-en", "-")
    assert alice.ok("raw", got["ticket"]).raw == raw
    assert alice.ok("receive", "-", feed=raw).out == f"here already: {got['ticket']}\n"
    for nothing in (b"", b"\n \n"):  # whoever should have handed a mail over has failed
        done = alice.run("receive", "-", feed=nothing)
        assert (done.code, done.out) == (75, "empty: nothing to receive\n")


def test_standard_input_answers_0_or_75(alice: Person, tmp_path: Path) -> None:
    """A mail server keeps the mail and tries again on 75; anything else would bounce it."""
    lost = Person(tmp_path / "home", tmp_path / "nowhere")
    for person, env in ((lost, {}), (alice, {"VRT_HOME": str(tmp_path / "no-keys")})):
        done = person.run("receive", "-", feed=mail(), env=env)
        assert done.code == 75 and done.err.startswith("vrt: error: ") and "Traceback" not in done.err
    # No disk to write to: nothing is said to be done.
    assert alice.desk is not None
    done = subprocess.run(
        ["sh", "-c", 'ulimit -f 0; exec "$@"', "sh", sys.executable, "-m", "vrt", "-C", alice.desk, "receive", "-"],
        input=mail("Too big for the disk"), capture_output=True, env=alice.env, check=False,
    )  # fmt: skip
    assert done.returncode == 75, done
    assert alice.json("search", '"too big for the disk"') == []
    assert alice.git("fsck", "--strict", "--no-dangling") == b""


def test_a_pipe_is_read_from_its_beginning(alice: Person, tmp_path: Path) -> None:
    """As `vrt receive <(zcat old.mbox.gz)` has it."""
    raw = mail("Through a pipe", "x" * 20_000)
    (tmp_path / "a.eml").write_bytes(raw)
    asked = f"{sys.executable} -m vrt -C {alice.desk} receive --json <(cat {tmp_path}/a.eml)"
    done = subprocess.run(["bash", "-c", asked], env=alice.env, capture_output=True, check=True, timeout=30)
    assert alice.ok("raw", json.loads(done.stdout)["mails"][0]["ticket"]).raw == raw


def test_the_same_id_with_other_content_is_kept(alice: Person) -> None:
    first = take_in(alice, mail("Loan", "first", id="<same@example.com>"))
    second = take_in(alice, mail("Loan", "second", id="<same@example.com>"))
    assert second["outcome"] == "new" and second["ticket"] != first["ticket"]
    assert second["defects"] == ["message id of another mail"] and first["defects"] == []
    assert "message id of another mail" in alice.ok("show", second["ticket"]).out
    assert alice.json("show", second["ticket"])["articles"][0]["body"] == "second"
    # An id that two mails carry says nothing about which ticket is meant.
    third = take_in(alice, mail("Re: Loan", "third", in_reply_to="<same@example.com>"))
    assert third["outcome"] == "new"
    # Both are known when they come again.
    for got, body in ((first, "first"), (second, "second")):
        again = take_in(alice, mail("Loan", body, id="<same@example.com>"))
        assert (again["outcome"], again["ticket"]) == ("duplicate", got["ticket"])


def test_the_same_mail_over_another_way_is_the_same(alice: Person) -> None:
    """Received lines, line ends and trailing white space differ between two copies of one mail."""
    raw = mail("Two ways", "text\n", id="<ways@example.com>")
    first = take_in(alice, raw)
    other = b"Received: from a by b; Fri, 20 Nov 2026 10:00:00 +0100\r\n" + raw.replace(b"\n", b"\r\n") + b"\r\n\r\n"
    assert take_in(alice, other)["outcome"] == "duplicate"
    # Without any Message-ID the content alone decides.
    bare = (
        b"From: jane@example.com\nTo: info-en@example.org\nSubject: bare\nDate: Fri, 20 Nov 2026 10:00:00 +0100\n\nx\n"
    )
    got = take_in(alice, bare)
    assert got["outcome"] == "new" and take_in(alice, bare)["outcome"] == "duplicate"
    assert take_in(alice, bare.replace(b"\n\nx", b"\n\ny"))["outcome"] == "new"
    assert first["ticket"] != got["ticket"]


def test_an_answer_of_the_requester_joins_by_its_references(alice: Person) -> None:
    first = take_in(alice, mail("Archive", "first", id="<f1@example.com>"))["ticket"]
    alice.ok("close", first, "--outcome", "successful")
    got = take_in(
        alice, mail("Something else now", "second", id="<f2@example.com>", references="<x@y> <f1@example.com>")
    )
    assert (got["outcome"], got["ticket"], got["queue"]) == ("follow-up", first, "info-en")
    shown = alice.json("show", first)
    assert shown["state"] == "open" and shown["outcome"] is None  # it is read again
    assert shown["title"] == "Archive" and shown["events"][-1]["follow-up"] == "references"
    # The chain goes on, from another address that she named, too; and by Re-To of an earlier mail.
    third = take_in(
        alice,
        mail("Re: Archive", "third", id="<f3@example.com>", in_reply_to="<f2@example.com>", reply_to="j@home.example"),
    )
    fourth = take_in(alice, mail("Re: Archive", "fourth", sender="j@home.example", in_reply_to="<f3@example.com>"))
    assert {third["ticket"], fourth["ticket"]} == {first}
    assert [a["body"] for a in alice.json("show", first)["articles"]] == ["first", "second", "third", "fourth"]


def test_an_answer_of_the_requester_joins_by_the_number(alice: Person) -> None:
    n = take_in(alice, mail("Loan of a plane"))["ticket"]
    by_number = take_in(alice, mail(f"AW: [Ticket#{n}] Loan of a plane", "second", sender="JANE@example.com"))
    assert (by_number["outcome"], by_number["ticket"]) == ("follow-up", n)
    assert alice.json("show", n)["events"][-1]["follow-up"] == "subject"
    wrong = n[:-1] + ("1" if n[-1] != "1" else "2")
    for subject in (f"[Ticket#{wrong}] x", f"{n} x", "[Ticket#2026010110000001] x"):
        assert take_in(alice, mail(subject))["outcome"] == "new"


def test_a_stranger_who_knows_number_and_ids_is_kept_apart(alice: Person) -> None:
    """Numbers are cited in public and ids can be read by everybody in Cc: knowing them proves nothing."""
    first = mail("Harassment", "private", id="<h1@example.com>", cc="eve@example.net")
    n = take_in(alice, first)["ticket"]
    alice.ok("close", n, "-o", "successful")
    refers = {"in_reply_to": "<h1@example.com>", "references": "<h1@example.com>"}
    for data in (
        mail(f"Re: [Ticket#{n}] Harassment", "me too", sender="Eve <eve@example.net>"),
        mail("Re: Harassment", "me too", sender="Eve <eve@example.net>", **refers),
        mail(f"Re: [Ticket#{n}]", "me too", sender='"jane@example.com" <eve@example.net>'),
    ):
        got = take_in(alice, data)
        assert (got["outcome"], got["ticket"]) == ("unverified", n)
    found = alice.json("show", n)
    assert (found["state"], found["unverified"], len(found["articles"])) == ("closed", 3, 4)
    assert [e.get("unverified") for e in found["events"] if e["action"] == "receive"] == [None, *["stranger"] * 3]


def test_a_whole_conversation_in_one_call_is_one_ticket(alice: Person, tmp_path: Path) -> None:
    path = tmp_path / "talk.mbox"
    path.write_bytes(mbox(
        mail("Talk", "1", id="<t1@example.com>"),
        mail("Re: Talk", "2", id="<t2@example.com>", in_reply_to="<t1@example.com>"),
        mail("Talk", "1", id="<t1@example.com>"),
        mail("Re: Talk", "3", references="<t1@example.com> <t2@example.com>"),
    ))  # fmt: skip
    done = alice.ok("receive", str(path))
    assert done.out.startswith("4 mails: 1 new ticket, 2 follow-ups, 1 here already")
    (t,) = alice.json("search", "subject:talk")
    assert t["articles"] == 3


@pytest.mark.parametrize(
    ("headers", "queue"),
    [
        ({"to": "info-en@example.org"}, "info-en"),
        ({"to": "Permissions <PERMISSIONS-EN@Example.ORG>"}, "permissions-en"),
        ({"to": "list@example.net", "cc": "x@example.net, permissions-en@example.org"}, "permissions-en"),
        ({"to": "undisclosed-recipients:;", "delivered_to": "info-en@example.org"}, "info-en"),
        ({"to": "info-en@example.org", "resent_to": "permissions-en@example.org"}, "permissions-en"),
        ({"to": "list@example.net", "x_original_to": "permissions-en@example.org"}, "permissions-en"),
        ({"to": "permissions-en@example.org, info-en@example.org"}, "permissions-en"),
        ({"to": "somebody@example.net"}, "postmaster"),
    ],
)
def test_the_queue_is_the_one_that_owns_an_address(alice: Person, headers: dict[str, str], queue: str) -> None:
    assert take_in(alice, mail("Queue", **headers))["queue"] == queue  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "raw",
    [
        b"x", b"\0\0\0", b"\xff\xfe\xfd", b"Subject: no end", b"no header at all\nonly text\n", b": : :\n\n",
        b"From: \xe9\xff <\n\n\xff\n",
        b"Content-Type: multipart/mixed\n\nno boundary", b"Content-Type: text/plain; charset=klingon\n\n\xe4\n",
        b"Content-Transfer-Encoding: base64\n\n!!!!", b"Date: 99 Foo 2026\nMessage-ID: <\n\n",
        b"From: a@b\n" * 600 + b"\n",
    ],
)  # fmt: skip
def test_no_mail_is_refused_for_being_malformed(alice: Person, raw: bytes) -> None:
    got = take_in(alice, raw)
    assert got["outcome"] == "new" and got["queue"] == "postmaster" and got["defects"]
    assert alice.ok("raw", got["ticket"]).raw == raw
    assert take_in(alice, raw)["outcome"] == "duplicate"


def test_one_call_is_one_durable_write_of_signed_events(alice: Person, tmp_path: Path) -> None:
    before = alice.git("rev-parse", "main").decode().strip()
    path = tmp_path / "many.mbox"
    path.write_bytes(mbox(*(mail(f"Many {i}") for i in range(20))))
    alice.ok("receive", str(path))
    log = alice.git("log", "--format=%G? %an %s", f"{before}..main").decode().splitlines()
    assert len(log) == 20 and all(row.startswith("G alice receive 20") and row.endswith(" in info-en") for row in log)
    assert alice.git("rev-list", "--count", "keys@{1}..keys") == b"1\n"  # all keys in one commit
    assert alice.git("fsck", "--strict", "--no-dangling") == b""
    assert alice.ok("verify").out.endswith("all in order\n")
