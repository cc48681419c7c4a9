"""``vrt reply``: what the editor begins with, who gets it, the last look, and what stops it."""

from __future__ import annotations

import sys
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest
from conftest import Done, Person, founded, mail
from test_cmd_work import editor, head
from test_terminal import on_terminal, vrt_on_terminal

from vrt import number

ANSWER = "/^Hello/a\\\n\\\nThank you, it is corrected now."  # for sed: what somebody writes below the salutation
LAST_LOOK = "quit"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Person:
    """A desk with queues of several kinds; each test here works on tickets of its own."""
    person = founded(tmp_path_factory.mktemp("reply"))
    person.ok(
        "queue",
        "add",
        "hilfe-de",
        "--address",
        "hilfe@example.org",
        "--address",
        "frage@example.org",
        "--language",
        "de-AT",
        "--signature",
        "Beispiel-VRT\nhttps://example.org",
        "--title",
        "Beispiel",
    )
    person.ok("queue", "add", "press-en", "--address", "press@example.org", "--html", "--signed-by", "agent")
    person.ok("queue", "add", "archive-en")
    return person


def message(person: Person, ticket: str) -> EmailMessage:
    """Return the last message of ours in a ticket, as it was handed over."""
    assert person.desk is not None
    sent = sorted((person.desk / "vrt" / "maildir" / "new").iterdir(), key=lambda path: -path.stat().st_mtime_ns)
    found = [message_from_bytes(p.read_bytes(), policy=policy.default) for p in sent if "-redirect-" not in p.name]
    return next(m for m in found if ticket in m["Subject"])


def text(found: EmailMessage) -> str:
    """Return the plain text of a message."""
    part = found.get_body(("plain",))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def edit(person: Person, folder: Path, script: str, *args: str, typed: str = "", code: int = 0) -> Done:
    """Run vrt on a terminal with an editor that runs sed; ``typed`` is what is typed to each last look, in turn."""
    env = editor(folder, f'cp "$1" {folder}/was; sed -i \'{script}\' "$1"')
    looks = [(LAST_LOOK, f"{key}\n") for key in typed]
    done = vrt_on_terminal(person, *args, env=env | {"NO_COLOR": "1"}, typed=looks)
    assert done.code == code, (args, done)
    return done


def actions(person: Person, ticket: str) -> list[str]:
    """Return what was done in a ticket, as plain git tells it."""
    rows = person.git("log", "--reverse", "--format=%s", "main", "--", number.folder(ticket)).decode().splitlines()
    return [row.split()[0] for row in rows]


# --- what it begins with ----------------------------------------------------------------------------


def test_the_editor_begins_with_a_whole_letter(desk: Person, tmp_path: Path) -> None:
    (n,) = desk.receive(mail("Our bridge", "It was built in 1911.\n\nJane\n", id="<bridge@example.com>"))
    done = edit(desk, tmp_path, ANSWER, "reply", n, typed="y")
    was = (tmp_path / "was").read_text()
    assert was.startswith(
        f"To: Jane Roe <jane@example.com>\nCc:\nBcc:\nSubject: Re: [Ticket#{n}] Our bridge\n\nHello Jane Roe,\n"
    )
    assert "\n-- \nExample VRT\n\nOn 2026-11-20 09:00 UTC, Jane Roe wrote:\n> It was built in 1911.\n>\n> Jane\n" in was
    assert f"{n}  Our bridge\n" in was.split("# ---")[1]
    for row in ("From: Example VRT <info-en@example.org>", "To: Jane Roe <jane@example.com>", "Text: 9 words"):
        assert row in done.out
    assert f"{n} sent to jane@example.com" in done.out
    sent = message(desk, n)
    assert (sent["From"], sent["To"]) == ("Example VRT <info-en@example.org>", "Jane Roe <jane@example.com>")
    assert sent["Subject"] == f"Re: [Ticket#{n}] Our bridge"
    assert sent["In-Reply-To"] == "<bridge@example.com>" and sent["References"] == "<bridge@example.com>"
    assert text(sent).startswith("Hello Jane Roe,\n\nThank you, it is corrected now.\n")
    assert "what stands below" not in text(sent) and "Cc" not in sent and "Bcc" not in sent
    assert actions(desk, n) == ["receive", "take", "reply", "sending", "sent"]
    t = desk.json("show", n)
    assert (t["state"], t["owner"], t["waiting_since"]) == ("open", "alice", None)


def test_who_gets_it_is_changed_in_the_editor(desk: Person, tmp_path: Path) -> None:
    (n,) = desk.receive(mail("Whom"))
    script = (
        's/^To: .*/To: "Roe, Jane" <jane@example.com>, joe@example.com/; s/^Cc:.*/Cc: Prüfer <p@example.net>/; '
        f"s/^Bcc:.*/Bcc: files@example.org/; s/^Subject: .*/Subject: Your bridge/; {ANSWER}"
    )
    done = edit(desk, tmp_path, script, "reply", n, typed="y")
    assert "joe@example.com (new here)" in done.out and "files@example.org (new here)" in done.out
    assert "jane@example.com> (new here)" not in done.out
    sent = message(desk, n)
    assert [(a.display_name, a.addr_spec) for a in sent["To"].addresses] == [
        ("Roe, Jane", "jane@example.com"), ("", "joe@example.com"),
    ]  # fmt: skip
    assert sent["Cc"] == "Prüfer <p@example.net>" and sent["Bcc"] is None
    assert sent["Subject"] == f"[Ticket#{n}] Your bridge"  # the number stays whatever the subject becomes
    said = desk.json("show", n)["articles"][-1]
    assert [a["address"] for a in said["bcc"]] == ["files@example.org"]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("s/^To: .*/To: jane@/", "jane@"),
        ("s/^Cc:/Copy:/", "'Copy:' is none of To, Cc, Bcc, Subject"),
        ("s/^To: .*/To:/", "there is nobody to write to"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_comes_back_into_the_editor(desk: Person, tmp_path: Path, script: str, said: str) -> None:
    (n,) = desk.receive(mail("Mended"))
    once = (
        f'[ -e {tmp_path}/once ] && cp {tmp_path}/good "$1" || {{ cp "$1" {tmp_path}/good; sed -i \'{script}\' "$1"; }}'
    )
    again = f"; touch {tmp_path}/once; sed -i '{ANSWER}' \"$1\""
    env = editor(tmp_path, once + again) | {"NO_COLOR": "1"}
    done = vrt_on_terminal(desk, "reply", n, env=env, typed=[("edit again?", "y\n"), (LAST_LOOK, "y\n")])
    assert done.code == 0 and said in done.out and "sent to jane@example.com" in done.out, done
    (tmp_path / "once").unlink()
    done = vrt_on_terminal(desk, "reply", n, env=env, typed=[("edit again?", "n\n")])
    assert done.code == 2 and f"what you wrote is kept: vrt reply {n} goes on with it" in done.out, done
    assert actions(desk, n).count("reply") == 1


def test_nothing_written_is_nothing_sent(desk: Person, tmp_path: Path) -> None:
    (n,) = desk.receive(mail("Nothing"))
    desk.ok("take", n)
    before = head(desk)
    assert "nothing was written" in edit(desk, tmp_path, "", "reply", n, code=2).out
    assert "the message is empty" in edit(desk, tmp_path, "5,$d", "reply", n, code=2).out
    env = editor(tmp_path, ': > "$1"', "wiped")
    assert "the message is empty" in vrt_on_terminal(desk, "reply", n, env=env | {"NO_COLOR": "1"}).out
    for args, said in (
        (("-m", " \n"), "the message is empty"), (("-F", "-"), "the message is empty"),
        (("-F", "/nowhere"), "No such file"), (("-m", "x", "-F", "-"), "exclude each other"),
        ((), "there is no terminal for the editor"), (("-m", b"\xff".decode(errors="surrogateescape")), "not UTF-8"),
        (("-m", "x", "--close", "spam", "--pend", "3d"), "exclude each other"),
    ):  # fmt: skip
        done = desk.run("reply", n, *args)
        assert done.code == 2 and said in done.err, (args, done)
    assert desk.run("reply", n, "-m", "x", "-t", "no-such").code == 4
    assert desk.run("reply", n, "-m", "x", "--close", "no-such", "-y").code == 4
    assert desk.run("reply", n, "-m", "x", "--pend", "yesterday", "-y").code == 2
    assert head(desk) == before
    assert not (desk.desk / "vrt" / "outbox" / f"{n}.age").exists()  # type: ignore[operator]


# --- the last look ----------------------------------------------------------------------------------


def test_the_last_look(desk: Person, tmp_path: Path) -> None:
    """Edit again, keep as a draft, quit: and what was written is there the next time."""
    (n,) = desk.receive(mail("Looked at"))
    done = edit(desk, tmp_path, ANSWER, "reply", n, typed="eq", code=1)
    assert done.out.count("corrected now") == 0 and done.out.count("Text: ") == 2
    assert "nothing was sent" in done.out and "interrupted" not in done.out
    assert actions(desk, n) == ["receive", "take"]  # who begins to write has it
    assert f"what you wrote is kept: vrt reply {n} goes on with it" in done.out
    done = edit(desk, tmp_path, "", "reply", n, typed="d")
    assert "going on with what you wrote before" in done.out
    assert f"{n} kept as a draft; vrt reply {n} goes on with it" in done.out
    # The draft is gone on with as it was left; what is typed may be a word.
    env = editor(tmp_path, f'cp "$1" {tmp_path}/was')
    done = vrt_on_terminal(
        desk, "reply", n, "--close", "successful", env=env | {"NO_COLOR": "1"}, typed=[(LAST_LOOK, "Yes\n")]
    )
    assert done.code == 0 and "corrected now" in (tmp_path / "was").read_text()
    assert "Then: close as successful" in done.out and f"{n} sent to jane@example.com, closed as successful" in done.out
    assert actions(desk, n) == ["receive", "take", "draft", "reply", "close", "sending", "sent"]
    assert desk.json("show", n)["draft"] is False


def test_the_last_look_without_an_editor(desk: Person, tmp_path: Path) -> None:
    (n,) = desk.receive(mail("Short"))
    (tmp_path / "plan.pdf").write_bytes(b"%PDF-" + bytes(1500))
    args = ("reply", n, "-m", "One two three.", "--attach", str(tmp_path / "plan.pdf"))
    done = vrt_on_terminal(desk, *args, env={"NO_COLOR": "1"}, typed=[(LAST_LOOK, "q\n")])
    assert done.code == 1 and "Text: 3 words" in done.out and "Files: plan.pdf (1.5 kB)" in done.out
    assert actions(desk, n) == ["receive"]
    done = vrt_on_terminal(desk, *args, env={"NO_COLOR": "1"}, typed=[(LAST_LOOK, "d\n")])
    assert done.code == 0 and actions(desk, n)[-1] == "draft"
    assert [a["name"] for a in desk.json("show", n)["articles"][-1]["attachments"]] == ["plan.pdf"]


@pytest.mark.parametrize("where", ["editor", "look"])
def test_ctrl_c_keeps_what_was_written(desk: Person, tmp_path: Path, where: str) -> None:
    """A real Ctrl-C, which the terminal gives to all who work at it; what an editor makes of it is its business."""
    (n,) = desk.receive(mail(f"Interrupted at {where}", "SECRET of the mail\n"))
    tells = "echo NOW > /dev/tty; sleep 1" if where == "editor" else "(sleep 1; echo NOW > /dev/tty) &"
    env = editor(tmp_path, f"trap '' INT; sed -i '{ANSWER}' \"$1\"; {tells}") | {"NO_COLOR": "1"}
    argv = ["setsid", "-c", "-w", sys.executable, "-m", "vrt", "-C", str(desk.desk), "reply", n]
    typed = [("NOW", "\x03"), *([("send it?", "\x03")] if where == "editor" else [])]
    done = on_terminal(desk, argv, env=env, typed=typed)
    assert done.code == 130, done
    assert f"what you wrote is kept: vrt reply {n} goes on with it" in done.out
    assert actions(desk, n) == ["receive", "take"]
    kept = desk.desk / "vrt" / "outbox" / f"{n}.age"  # type: ignore[operator]
    assert b"corrected" not in kept.read_bytes() and kept.stat().st_mode & 0o777 == 0o600
    assert not list(Path(desk.env["XDG_RUNTIME_DIR"], "vrt").iterdir())
    # A forward of the same ticket is another message: it does not begin with the reply.
    edit(desk, tmp_path, "1s/.*/&/", "forward", n, "legal@example.org", code=2)
    assert "legal@example.org" in (tmp_path / "was").read_text() and "corrected" not in (tmp_path / "was").read_text()
    done = edit(desk, tmp_path, "s/it is corrected/it is mended/", "reply", n, typed="y")
    assert "going on with what you wrote before" in done.out
    assert "Thank you, it is mended now." in text(message(desk, n))
    assert not kept.exists()


def test_an_editor_that_fails(desk: Person, tmp_path: Path) -> None:
    (n,) = desk.receive(mail("Broken"))
    done = vrt_on_terminal(desk, "reply", n, env=editor(tmp_path, "exit 3"))
    assert done.code == 1 and "nothing was recorded" in done.out and "Traceback" not in done.out
    assert actions(desk, n) == ["receive", "take"]


# --- to whom ----------------------------------------------------------------------------------------


def test_a_cc_that_a_stranger_added_is_never_taken_over_silently(desk: Person, tmp_path: Path) -> None:
    to, cc = "info-en@example.org, Ann <ann@example.net>", "Press <press@example.org>, eve@example.net"
    (n,) = desk.receive(mail("To all", to=to, cc=cc))
    desk.ok("reply", n, "-m", "To her alone.", "-y")
    assert message(desk, n)["Cc"] is None
    done = desk.ok("reply", n, "--all", "-m", "Without strangers.", "-y")
    assert "left out, for they had no part in the ticket: ann@example.net, eve@example.net" in done.err
    assert message(desk, n)["Cc"] is None
    # Somebody who looks sees that they are new, and none of our own addresses is among them.
    done = edit(desk, tmp_path, ANSWER, "reply", n, "--all", typed="y")
    assert "Cc: Ann <ann@example.net> (new here), eve@example.net (new here)" in done.out
    assert [a.addr_spec for a in message(desk, n)["Cc"].addresses] == ["ann@example.net", "eve@example.net"]
    # By that they are parties, and need no second look; a name is enough too.
    done = desk.ok("reply", n, "--all", "-m", "To all.", "-y")
    assert done.err == "" and "ann@example.net" in str(message(desk, n)["Cc"])
    desk.ok("reply", n, "-m", "To one more.", "--cc", "New <new@example.net>", "--bcc", "b@example.net", "-y")
    assert message(desk, n)["Cc"] == "New <new@example.net>" and message(desk, n)["Bcc"] is None


def test_reply_to_and_other_recipients(desk: Person) -> None:
    n, own = desk.receive(
        mail("Elsewhere", reply_to="Office <office@example.com>"), mail("Ours", reply_to="info-en@example.org")
    )
    desk.ok("reply", n, "-m", "There.", "-y")
    assert message(desk, n)["To"] == "Office <office@example.com>"
    desk.ok("reply", n, "-m", "To somebody else.", "--to", "Joe <joe@example.net>", "-s", "Another matter", "-y")
    sent = message(desk, n)
    assert (sent["To"], sent["Subject"]) == ("Joe <joe@example.net>", f"[Ticket#{n}] Another matter")
    desk.ok("reply", own, "-m", "Not to ourselves.", "-y")
    assert message(desk, own)["To"] == "Jane Roe <jane@example.com>"
    for bad in ("jane", "a@b@c.example", "-oQ/tmp@example.com", "a@example.com\nBcc: x@example.com"):
        assert desk.run("reply", n, "-m", "x", "--to", bad, "-y").code == 2, bad


def test_nobody_to_write_to(desk: Person) -> None:
    (n,) = desk.receive(mail("From nobody", sender="MAILER <>").replace(b"From: MAILER <>", b"From: nobody"))
    call = desk.ok("new", "-q", "info-en", "-s", "Call", "-m", "Somebody asked.").out.split()[0]
    named = desk.ok("new", "-q", "info-en", "-s", "Call", "--from", "Joe <joe@example.net>", "-m", "x").out.split()[0]
    for of in (n, call):
        done = desk.run("reply", of, "-m", "Hello?", "-y")
        assert done.code == 2 and "there is nobody to write to" in done.err and "--to" in done.err
        assert "reply" not in actions(desk, of)
    desk.ok("reply", call, "-m", "Now.", "--to", "found@example.net", "-y")
    desk.ok("reply", named, "-m", "As you asked by telephone.", "-y")
    sent = message(desk, named)
    assert (sent["To"], sent["Subject"]) == ("Joe <joe@example.net>", f"[Ticket#{named}] Call")
    assert sent["In-Reply-To"] is None and sent["References"] is None
    # The next one continues the thread of our own message.
    desk.ok("reply", named, "-m", "One thing more.", "-y")
    assert message(desk, named)["In-Reply-To"] == sent["Message-ID"]


def test_whom_the_mail_was_sent_to_answers(desk: Person, tmp_path: Path) -> None:
    """A queue with several addresses; and what the last look says is what goes out."""
    first, second = desk.receive(mail("A", to="hilfe@example.org"), mail("B", to="Frage@Example.org"))
    done = edit(desk, tmp_path, "s/^Guten Tag.*/&\\\n\\\nDanke./", "reply", second, typed="y")
    assert "From: Beispiel <frage@example.org>" in done.out
    assert message(desk, second)["From"] == "Beispiel <frage@example.org>"
    was = (tmp_path / "was").read_text()
    assert "\n-- \nBeispiel\nBeispiel-VRT\nhttps://example.org\n\nAm " in was and "schrieb Jane Roe:" in was
    desk.ok("reply", first, "-m", "Danke.", "-y")
    assert message(desk, first)["From"] == "Beispiel <hilfe@example.org>"
    desk.ok("route", first, "archive-en", "--force")
    done = desk.run("reply", first, "-m", "From where?", "-y")
    assert done.code == 2 and "archive-en has no address to write from" in done.err


# --- what it says -----------------------------------------------------------------------------------


def test_template_language_and_queue(desk: Person) -> None:
    n, m = desk.receive(mail("Foto", to="hilfe@example.org"), mail("Photo"))
    for of, words in (
        (n, ("Guten Tag Jane Roe,", "Mit freundlichen Grüßen")),
        (m, ("Hello Jane Roe,", "Kind regards")),
    ):
        desk.ok("reply", of, "-t", "closing", "-y")  # no terminal, no text: the template is the text
        assert all(w in text(message(desk, of)) for w in words), text(message(desk, of))
        assert "> " not in text(message(desk, of))
    desk.ok("reply", m, "-t", "receipt", "-m", "And by the way.", "-y")
    said = text(message(desk, m))
    assert said.startswith("Hello Jane Roe,\n\nAnd by the way.\n\nThank you") and f"[Ticket#{m}]" in said
    desk.ok("template", "edit", "closing", "-l", "de", "-q", "hilfe-de", "-F", "-", feed="Ade, {{ agent }}.\n")
    desk.ok("reply", n, "-t", "closing", "-y")
    assert "Ade, alice." in text(message(desk, n))


def test_text_from_a_file_and_quote(desk: Person, tmp_path: Path) -> None:
    (n,) = desk.receive(mail("Quoted", "What they said.\n"))
    path = tmp_path / "answer.md"
    path.write_bytes(b"\xef\xbb\xbfFrom a file.\r\n\r\n**Second** line: \xc3\xa4\xe2\x82\xac\r\n")
    desk.ok("reply", n, "-F", str(path), "-y")
    assert text(message(desk, n)) == "From a file.\n\n**Second** line: ä€\n\n-- \nExample VRT\n"
    desk.ok("reply", n, "-F", "-", "--quote", "-y", feed="From stdin.\n")
    assert text(message(desk, n)).endswith("Jane Roe wrote:\n> What they said.\n")
    path.write_bytes(b"caf\xe9\n")
    assert "is not UTF-8" in desk.run("reply", n, "-F", str(path), "-y").err


def test_a_queue_that_writes_html_under_the_agent_s_handle(desk: Person) -> None:
    (n,) = desk.receive(mail("Press", to="press@example.org"))
    desk.ok("reply", n, "-m", "**Yes**, see <https://example.org/>.", "-y")
    sent = message(desk, n)
    assert sent["From"] == '"alice (Example VRT)" <press@example.org>'
    assert sent.get_content_type() == "multipart/alternative"
    html = sent.get_body(("html",))
    assert html is not None and "<strong>Yes</strong>" in html.get_content()
    assert "**Yes**" in text(sent) and "-- \nalice (Example VRT)" in text(sent)


def test_files_go_along(desk: Person, tmp_path: Path) -> None:
    (n,) = desk.receive(mail("Files"))
    odd = {"plan ö.pdf": b"%PDF-1", "-rf; $(x) \"q\" ' .txt": "ä\n".encode(), "no-type": bytes(range(256)),
           "mail.eml": b"From: x\n\ny\n"}  # fmt: skip
    for name, data in odd.items():
        (tmp_path / name).write_bytes(data)
    desk.ok("reply", n, "-m", "Here.", "-y", *[a for name in odd for a in ("--attach", str(tmp_path / name))])
    sent = list(message(desk, n).iter_attachments())
    assert [p.get_filename() for p in sent] == ["plan ö.pdf", "rf; $(x) _q_ '.txt", "no-type", "mail.eml"]
    assert [p.get_payload(decode=True) for p in sent] == [*odd.values()]
    assert [a["size"] for a in desk.json("show", n)["articles"][-1]["attachments"]] == [6, 3, 256, 11]
    before = head(desk)
    (tmp_path / "large").write_bytes(b"")
    with open(tmp_path / "large", "r+b") as file:
        file.truncate(26 << 20)
    for name, said in (("gone.pdf", "No such file"), ("", "is a directory"), ("large", "larger than")):
        done = desk.run("reply", n, "-m", "x", "-y", "--attach", str(tmp_path / name))
        assert done.code == 2 and said in done.err, (name, done)
    assert head(desk) == before


# --- in which state, and which mail -----------------------------------------------------------------


def test_close_and_pend_with_it(desk: Person) -> None:
    a, b, c = desk.receive(mail("Close"), mail("Pend"), mail("Closed"))
    assert (
        f"{a} sent to jane@example.com, closed as successful"
        in desk.ok("reply", a, "-m", "Done.", "--close", "successful", "-y").out
    )
    assert f"{b} sent to jane@example.com, pending until " in desk.ok("reply", b, "-m", "?", "--pend", "3d", "-y").out
    ta, tb = desk.json("show", a), desk.json("show", b)
    assert (ta["state"], ta["outcome"], tb["state"]) == ("closed", "successful", "pending") and tb["pending_until"]
    assert "waits" not in desk.ok("show", b).out.splitlines()[1]
    # What is closed stays so: a last word opens nothing; and cannot be closed twice.
    desk.ok("close", c, "-o", "no-reply-needed")
    desk.ok("reply", c, "-m", "One thing after all.", "-y")
    assert desk.json("show", c)["state"] == "closed" and "take" not in actions(desk, c)
    done = desk.run("reply", c, "-m", "Again.", "--close", "successful", "-y")
    assert done.code == 6 and "is closed already" in done.err and actions(desk, c).count("reply") == 1


def test_a_draft_closes_nothing(desk: Person) -> None:
    (n,) = desk.receive(mail("Draft"))
    done = desk.run("reply", n, "-m", "Perhaps.", "--draft", "--close", "successful", "-y")
    assert done.code == 2 and "a draft does not close the ticket" in done.err
    done = desk.ok("reply", n, "-m", "Perhaps.", "--draft")
    assert f"{n} kept as a draft; vrt reply {n} goes on with it" in done.out
    t = desk.json("show", n)
    assert (t["state"], t["draft"], t["owner"]) == ("new", True, None) and t["waiting_since"]


def test_merged(desk: Person) -> None:
    a, b = desk.receive(mail("Merged a"), mail("Merged b"))
    desk.ok("merge", a, b)
    done = desk.run("reply", a, "-m", "x", "-y")
    assert done.code == 6 and f"{a} is merged into {b}" in done.err and f"vrt reply {b}" in done.err
    assert desk.run("forward", a, "x@example.net", "-m", "x").code == 6


def test_which_mail_is_answered(desk: Person, tmp_path: Path) -> None:
    """The last that a person wrote, or the one that is named; what is no proven mail is refused."""
    (n,) = desk.receive(mail("Which", "First of all.\n", id="<which1@example.com>"))
    desk.receive(
        mail("Re: Which", "Second.\n", id="<which2@example.com>", in_reply_to="<which1@example.com>"),
        mail("Out of office", "Third.\n", in_reply_to="<which1@example.com>", auto_submitted="auto-replied"),
        mail(f"[Ticket#{n}] me too", "Fourth.\n", sender="eve@example.net"),
    )
    desk.ok("note", n, "-m", "A note.")
    articles = desk.json("show", n)["articles"]
    assert [a["body"] for a in articles] == ["First of all.", "Second.", "Third.", "Fourth.", "A note."]
    ends = [a["id"][-8:] for a in articles]
    desk.ok("reply", n, "-m", "x", "--quote", "-y")
    assert "> Second." in text(message(desk, n)) and message(desk, n)["In-Reply-To"] == "<which2@example.com>"
    desk.ok("reply", n, "-m", "x", "--quote", "-y", "-e", ends[0])
    assert "> First of all." in text(message(desk, n)) and message(desk, n)["In-Reply-To"] == "<which1@example.com>"
    edit(desk, tmp_path, ANSWER, "reply", n, "--event", ends[2], typed="y")
    assert "> Third." in text(message(desk, n))
    before = head(desk)
    for end, code, said in (
        (ends[3], 2, "is unverified"), (ends[4], 2, "is no mail that came in"), ("ffff", 4, "no article of"),
        (ends[0][-3:], 4, "no article of"),
    ):  # fmt: skip
        done = desk.run("reply", n, "-m", "x", "-y", "-e", end)
        assert done.code == code and said in done.err, (end, done)
    assert head(desk) == before
    # Eve's mail names her in no way: she gets nothing.
    assert "eve" not in str(message(desk, n))


def test_an_unverified_mail_alone_is_answered_once_it_is_accepted(desk: Person) -> None:
    (n,) = desk.receive(mail("Accepted"))
    desk.receive(mail(f"[Ticket#{n}] From my other address", "Mine too.\n", sender="Jane <jr@example.net>"))
    desk.ok("accept", n)
    desk.ok("reply", n, "-m", "Thanks.", "--quote", "-y")
    assert message(desk, n)["To"] == "Jane <jr@example.net>" and "> Mine too." in text(message(desk, n))


# --- json and exit codes ----------------------------------------------------------------------------


def test_json(desk: Person) -> None:
    (n,) = desk.receive(mail("Machine"))
    done = desk.json("reply", n, "-m", "By a script.", "-y")
    assert (done["number"], done["delivery"], done["note"], done["state"]) == (n, "sent", None, "open")
    assert done["event"] == next(e["id"] for e in desk.json("trail", n) if e["action"] == "reply")
    assert desk.json("reply", n, "-m", "x", "--draft")["delivery"] == "draft"
    done = desk.json("forward", n, "legal@example.org", "-m", "Please look.")
    assert done["delivery"] == "sent" and "-forward-" in done["event"]
    assert desk.json("redirect", n, "legal@example.org")["delivery"] == "sent"
    made = desk.json("new", "-q", "info-en", "-s", "First", "--to", "joe@example.net", "-m", "Hello.", "-y")
    assert made["delivery"] == "sent" and made["requester"] == "joe@example.net"
    refused = desk.run("reply", "9999", "-m", "x", "--json")
    assert refused.code == 4 and refused.out == "" and "vrt: error: " in refused.err


def test_mail_in_other_charsets(desk: Person) -> None:
    raw = (
        b"From: =?iso-2022-jp?b?GyRCOzNFRBsoQg==?= <y@example.jp>\r\nTo: info-en@example.org\r\n"
        b"Subject: =?koi8-r?b?8NLJ18XU?=\r\nMessage-ID: <cs@example.jp>\r\nDate: Fri, 20 Nov 2026 10:00:00 +0900\r\n"
        b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=windows-1251\r\n"
        b"Content-Transfer-Encoding: 8bit\r\n\r\n"
        b"\xcf\xf0\xe8\xe2\xe5\xf2\r\n"
    )
    (n,) = desk.receive(raw)
    desk.ok("reply", n, "-m", "ありがとう。", "--quote", "-y")
    sent = message(desk, n)
    assert sent["To"] == "山田 <y@example.jp>" and sent["Subject"] == f"Re: [Ticket#{n}] Привет"
    assert "ありがとう。" in text(sent) and "山田 wrote:\n> Привет" in text(sent)


def test_a_sealed_ticket_is_not_answered(desk: Person, tmp_path: Path) -> None:
    assert desk.desk is not None
    (n,) = desk.receive(mail("Sealed"))
    stranger = Person(tmp_path / "home-x", desk.desk)
    stranger.ok("identity")
    done = stranger.run("reply", n, "-m", "x", "-y")
    assert done.code == 5 and "Traceback" not in done.err
