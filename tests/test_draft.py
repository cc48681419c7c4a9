"""Two agents on one desk: who collides is told, whose draft it is, who approves it; and forward, redirect, new."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from conftest import Person, copied, founded, mail
from test_cmd_work import editor
from test_reply import actions, message, text
from test_terminal import vrt_on_terminal

from vrt import number


class Two:
    """Alice, and bob who has a clone of her desk: it is his host, so what she does is published first."""

    def __init__(self, folder: Path) -> None:
        self.alice = founded(folder)
        self.alice.ok("queue", "add", "legal-en", "--address", "legal-en@example.org", "--approval")
        card, bob = folder / "bob.yaml", Person(folder / "home-bob")
        card.write_text(bob.ok("identity").out)
        self.alice.ok("agent", "add", "bob", "--card", str(card), "--role", "agent", "--agreed", "2026-11-01",
                      "--queue", "info-en", "--queue", "legal-en")  # fmt: skip
        assert self.alice.desk is not None
        bob.desk = copied(self.alice.desk, folder / "desk-bob", "bob")
        self.bob = bob

    def sync(self) -> None:
        """Bring both together."""
        self.bob.ok("sync")

    def receive(self, *mails: bytes) -> list[str]:
        """Receive mail, and let both know it."""
        found = self.alice.receive(*mails)
        self.sync()
        return found


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Two:
    """Two agents; each test here works on tickets of its own."""
    return Two(tmp_path_factory.mktemp("two"))


def file(person: Person, event: str) -> bytes:
    """Return a message as it was handed over."""
    return (person.desk / "vrt" / "maildir" / "new" / event).read_bytes()  # type: ignore[operator]


def ids(person: Person, ticket: str, action: str) -> list[str]:
    rows = person.git("ls-tree", "--name-only", f"main:{number.folder(ticket)}").decode().split()
    return [row.removesuffix(".md.age") for row in rows if f"-{action}-" in row and row.endswith(".md.age")]


# --- collision --------------------------------------------------------------------------------------


def test_a_ticket_that_changed_since_it_was_shown_is_not_answered(two: Two) -> None:
    (n,) = two.receive(mail("Stale"))
    two.bob.ok("show", n)
    two.alice.ok("note", n, "-m", "Do not answer: their lawyer writes to us.")
    two.sync()
    done = two.bob.run("reply", n, "-m", "Dear Jane …", "-y")
    assert done.code == 6 and f"{n} has changed since you saw it (alice: note)" in done.err
    assert f"vrt show {n}" in done.err and "--force" in done.err
    assert "reply" not in actions(two.bob, n)
    assert two.bob.run("forward", n, "x@example.net", "-m", "?").code == 6
    assert two.bob.run("redirect", n, "x@example.net").code == 6
    # Who looks again may go on, and what they did themselves is no news to them.
    two.bob.ok("show", n)
    two.bob.ok("note", n, "-m", "I see.")
    two.bob.ok("reply", n, "-m", "We shall hear from your lawyer.", "-y")
    assert "force" not in next(e for e in two.bob.json("trail", n) if e["action"] == "reply")
    two.sync()
    # Force is in the trail, for all to see.
    two.alice.ok("show", n)
    two.bob.ok("note", n, "-m", "Another.")
    two.sync()
    two.alice.ok("reply", n, "-m", "All the same.", "-y", "--force")
    assert two.alice.json("trail", n)[-3]["force"] == "yes" and "reply (forced)" in two.alice.ok("trail", n).out


def test_what_happens_while_somebody_writes(two: Two, tmp_path: Path) -> None:
    """The mail that came in meanwhile stops the reply; its text is kept, and goes on."""
    (n,) = two.receive(mail("Meanwhile", id="<meanwhile@example.com>"))
    more = tmp_path / "more.eml"
    more.write_bytes(mail("Re: Meanwhile", "Never mind!\n", in_reply_to="<meanwhile@example.com>"))
    script = (
        f'sed -i "/^Hello/a\\\\\\n\\nPlease tell us more." "$1"; [ -e {tmp_path}/once ] && exit; '
        f"touch {tmp_path}/once; {sys.executable} -m vrt -C {two.alice.desk} receive {more}"
    )
    env = editor(tmp_path, script) | {"NO_COLOR": "1"}
    done = vrt_on_terminal(two.alice, "reply", n, env=env, typed=[("quit", "y\n")])
    # Alice's own machine received it, so by its handle it is no act of another; but the mail is news to her.
    assert done.code == 6 and "has changed since you saw it" in done.out and "receive" in done.out, done
    assert f"what you wrote is kept: vrt reply {n} goes on with it" in done.out
    done = vrt_on_terminal(two.alice, "reply", n, env=env, typed=[("quit", "y\n")])
    assert done.code == 0 and "going on with what you wrote before" in done.out
    assert "Please tell us more." in text(message(two.alice, n))


def test_another_s_lock(two: Two, tmp_path: Path) -> None:
    (n,) = two.receive(mail("Locked"))
    two.bob.ok("take", n)
    two.sync()
    for args in (
        ("reply", n, "-m", "x", "-y"),
        ("forward", n, "x@example.net", "-m", "x"),
        ("redirect", n, "x@example.net"),
    ):
        done = two.alice.run(*args)
        assert done.code == 6 and f"bob works on {n} until " in done.err and "--force" in done.err, (args, done)
    # On a terminal it is said before anything is written in vain.
    done = vrt_on_terminal(two.alice, "reply", n, env=editor(tmp_path, f"touch {tmp_path}/edited"))
    assert done.code == 6 and not (tmp_path / "edited").exists()
    two.alice.ok("reply", n, "-m", "Urgent.", "-y", "--force")
    reply = next(e for e in two.alice.json("trail", n) if e["action"] == "reply")
    assert reply["force"] == "yes" and two.alice.json("show", n)["owner"] == "bob"
    two.sync()
    two.bob.ok("show", n)
    two.bob.ok("reply", n, "-m", "And this.", "-y")


def test_both_answer_at_once(two: Two, tmp_path: Path) -> None:
    """Each without the other's: the first that is published goes out, and the text of the second is not lost."""
    (n,) = two.receive(mail("At once"))
    two.alice.ok("reply", n, "-m", "From alice.", "-y")
    done = two.bob.run("reply", n, "-m", "From bob.", "-y")
    assert done.code == 6 and "alice answered meanwhile" in done.err and "its text is kept" in done.err
    for person in (two.alice, two.bob):
        assert actions(person, n) == ["receive", "take", "reply", "sending", "sent"]
    assert not [p for p in Path(f"{two.bob.desk}/vrt").glob("maildir/new/*") if n.encode() in p.read_bytes()]
    two.alice.ok("release", n)
    two.sync()
    two.bob.ok("show", n)
    env = editor(tmp_path, f'cp "$1" {tmp_path}/was') | {"NO_COLOR": "1"}
    done = vrt_on_terminal(two.bob, "reply", n, env=env, typed=[("quit", "y\n")])
    assert done.code == 0 and "From bob." in (tmp_path / "was").read_text(), done
    assert text(message(two.bob, n)).startswith("From bob.")
    assert two.bob.ok("verify").out.endswith("all in order\n")


# --- drafts -----------------------------------------------------------------------------------------


def test_a_draft_that_a_colleague_finishes(two: Two, tmp_path: Path) -> None:
    (n,) = two.receive(mail("To finish"))
    path = tmp_path / "plan.pdf"
    path.write_bytes(b"%PDF-1")
    two.bob.ok("draft", n, "-m", "Half of it.", "--cc", "Ann <ann@example.net>", "--attach", str(path))
    two.sync()
    t = two.alice.json("show", n)
    assert t["draft"] is True and t["waiting_since"] and "DRAFT" in two.alice.ok("list").out
    out = two.alice.ok("show", n).out
    assert f"DRAFT, not sent: vrt reply {n} goes on with it" in out and "Half of it." in out
    env = editor(tmp_path, 'cp "$1" ' + str(tmp_path / "was") + "; sed -i 's/Half of it/The whole/' \"$1\"")
    done = vrt_on_terminal(two.alice, "reply", n, env=env | {"NO_COLOR": "1"}, typed=[("quit", "y\n")])
    assert done.code == 0 and "going on with the draft by bob" in done.out
    assert "Cc: Ann <ann@example.net>" in (tmp_path / "was").read_text()
    sent = message(two.alice, n)
    assert text(sent).startswith("The whole.") and sent["Cc"] == "Ann <ann@example.net>"
    assert [p.get_filename() for p in sent.iter_attachments()] == ["plan.pdf"]
    assert sent["In-Reply-To"] and two.alice.json("show", n)["draft"] is False
    assert "draft" in actions(two.alice, n)  # the trail keeps what it was


def test_one_draft_at_a_time(two: Two) -> None:
    n, m = two.receive(mail("One draft"), mail("Forward as a draft"))
    two.bob.ok("draft", n, "-m", "First.")
    two.bob.ok("draft", n, "-m", "Second.")  # one's own is replaced by what continues it
    two.sync()
    done = two.alice.run("reply", n, "-m", "Mine.", "--draft")
    assert done.code == 6 and "has a draft by bob already" in done.err and f"vrt draft {n}" in done.err
    done = two.alice.run("draft", n, "-t", "closing")
    assert done.code == 2 and "has a draft" in done.err
    assert two.alice.run("draft", m, "--discard").code == 4
    assert "draft dropped" in two.alice.ok("draft", n, "--discard").out
    assert two.alice.json("show", n)["draft"] is False and two.alice.run("approve", n).code == 4
    # A draft of a forward stays one: it does not go to the requester.
    two.sync()
    two.bob.ok("forward", m, "lawyer@example.net", "-m", "Is this a threat?", "--draft")
    two.sync()
    two.alice.ok("approve", m, "-y")
    sent = message(two.alice, m)
    assert sent["To"] == "lawyer@example.net" and str(sent["Subject"]).startswith("Fwd: ")
    assert sent["In-Reply-To"] is None and two.alice.json("show", m)["waiting_since"]


def test_the_same_draft_edited_by_both(two: Two) -> None:
    """Each continues it without the other's: one of them is there, and no text is lost."""
    (n,) = two.receive(mail("Both edit"))
    two.bob.ok("draft", n, "-m", "Begun by bob.")
    two.sync()
    two.alice.ok("draft", n, "-m", "Edited by alice.")
    two.bob.ok("draft", n, "-m", "Edited by bob.")
    two.sync()
    (draft,) = {p.json("show", n)["articles"][-1]["body"].split("\n")[0] for p in (two.alice, two.bob)}
    assert draft == "Edited by alice."  # hers was published first
    assert two.bob.json("show", n)["draft"] is True and two.bob.ok("verify").out.endswith("all in order\n")
    kept = list((two.bob.desk / "vrt" / "outbox").glob("*"))  # type: ignore[operator]
    assert kept, "what bob wrote is gone"


# --- approval ---------------------------------------------------------------------------------------


def test_a_queue_in_which_a_second_agent_approves(two: Two, tmp_path: Path) -> None:
    (n,) = two.receive(mail("Sensitive", to="legal-en@example.org"))
    done = two.bob.ok("reply", n, "-m", "We deny everything.", "-y")
    assert f"{n} kept as a draft; a colleague lets it go: vrt approve {n}" in done.out
    assert actions(two.bob, n) == ["receive", "draft"]
    done = two.bob.run("approve", n, "-y")
    assert done.code == 6 and "you wrote the draft" in done.err
    assert two.bob.run("approve", n, "-y", "--force").code == 6  # nor by force
    assert two.bob.run("reply", n, "-m", "x", "--close", "successful", "-y").code == 2
    two.sync()
    # Alice changes a word: now she is its author, and bob approves.
    env = editor(tmp_path, "sed -i 's/deny/confirm/' \"$1\"") | {"NO_COLOR": "1"}
    done = vrt_on_terminal(two.alice, "draft", n, env=env, typed=[("quit", "y\n")])
    assert done.code == 0 and "keep it as a draft? yes, edit, quit" in done.out
    assert two.alice.run("approve", n, "-y").code == 6
    two.sync()
    # On a terminal it is shown first, and no is the default.
    done = vrt_on_terminal(two.bob, "approve", n, env={"NO_COLOR": "1"}, typed=[("approve it", "\n")])
    assert done.code == 1 and "We confirm everything." in done.out and "nothing was sent" in done.out
    assert "From: Example VRT <legal-en@example.org>" in done.out and "interrupted" not in done.out
    done = vrt_on_terminal(two.bob, "approve", n, env={"NO_COLOR": "1"}, typed=[("approve it", "y\n")])
    assert done.code == 0 and f"{n} sent to jane@example.com" in done.out
    assert text(message(two.bob, n)).startswith("We confirm everything.")
    assert "reply, approved by bob" in two.bob.ok("show", n).out
    assert two.bob.json("show", n)["waiting_since"] is None
    two.sync()
    assert two.alice.ok("verify").out.endswith("all in order\n")


def test_a_colleague_s_draft_is_looked_at_before_it_is_approved(two: Two) -> None:
    """Who saw the ticket before the draft was written does not let it go blindly."""
    (n,) = two.receive(mail("Blindly", to="legal-en@example.org"))
    two.alice.ok("show", n)
    two.bob.ok("reply", n, "-m", "A draft.", "-y")
    two.sync()
    done = two.alice.run("approve", n, "-y")
    assert done.code == 6 and "(bob: draft)" in done.err
    two.alice.ok("show", n)
    assert f"{n} sent to jane@example.com" in two.alice.ok("approve", n).out
    assert two.alice.run("approve", n).code == 4


def test_a_supervised_agent(two: Two) -> None:
    two.alice.ok("agent", "set", "bob", "--supervised")
    (n,) = two.receive(mail("Trainee"))
    done = two.bob.ok("reply", n, "-m", "My first answer.", "-y")
    assert f"vrt approve {n}" in done.out and actions(two.bob, n) == ["receive", "draft"]
    done = two.bob.ok("new", "-q", "info-en", "-s", "Hello", "--to", "joe@example.net", "-m", "First.", "-y")
    made = done.out.split()[0]
    two.sync()
    two.alice.ok("approve", n)
    two.alice.ok("approve", made)
    assert message(two.alice, made)["To"] == "joe@example.net"
    # What alice drafts is not bob's to let go.
    (m,) = two.receive(mail("Hers"))
    two.alice.ok("draft", m, "-m", "By alice.")
    two.sync()
    assert two.bob.run("approve", m, "-y").code in (5, 6)
    assert two.bob.run("redirect", m, "x@example.net").code in (5, 6)
    assert "reply" not in actions(two.bob, m) and "redirect" not in actions(two.bob, m)
    two.alice.ok("agent", "set", "bob", "--no-supervised")


# --- forward, redirect, new -------------------------------------------------------------------------


def test_the_answer_to_a_forward_stays_internal(two: Two, tmp_path: Path) -> None:
    alice = two.alice
    first = mail("Threat", "I shall sue you.\n", id="<threat@example.com>", files={"letter.pdf": b"%PDF-1"})
    (n,) = alice.receive(first)
    done = alice.ok("forward", n, "Lawyer <lawyer@law.example>", "--cc", "clerk@law.example", "-m", "Is this serious?")
    assert f"{n} sent to lawyer@law.example, clerk@law.example" in done.out
    sent = message(alice, n)
    assert (sent["To"], sent["Cc"]) == ("Lawyer <lawyer@law.example>", "clerk@law.example")
    assert sent["Subject"] == f"Fwd: [Ticket#{n}] Threat" and "jane" not in str(sent["To"])
    assert sent["References"] is None and sent["In-Reply-To"] is None
    assert [p.get_payload(decode=True) for p in sent.iter_attachments()] == [b"%PDF-1"]
    said = text(sent)
    assert said.startswith("Is this serious?\n\n-- \nExample VRT\n\n---------- Forwarded message")
    assert "From: Jane Roe <jane@example.com>\nDate: 2026-11-20 09:00 UTC\n" in said and "I shall sue you." in said
    assert alice.json("show", n)["waiting_since"], "she still waits"
    reply_id, secret = str(sent["Message-ID"]), "She has lost three such cases."
    alice.receive(
        mail("Re: Fwd: Threat", secret + "\n", sender="lawyer@law.example", in_reply_to=reply_id,
             cc="paralegal@law.example", files={"opinion.pdf": b"%PDF-2"}),
    )  # fmt: skip
    out = alice.ok("show", n).out
    assert "── INTERNAL mail from lawyer@law.example" in out and secret in out
    # Neither quoted nor addressed, also not by --all, nor named.
    for args in (("--quote",), ("--quote", "--all")):
        alice.ok("reply", n, "-m", f"Thank you, {len(args)}.", "-y", *args)
        sent = message(alice, n)
        assert sent["To"] == "Jane Roe <jane@example.com>" and sent["Cc"] is None, args
        assert "I shall sue you." in text(sent) and secret not in file(alice, ids(alice, n, "reply")[-1]).decode()
        assert reply_id not in str(sent["References"])
    answer = alice.json("show", n)["articles"][2]["id"]
    done = alice.run("reply", n, "-m", "x", "-y", "-e", answer[-8:])
    assert done.code == 2 and "internal" in done.err
    # Whoever answered is no party: what they write by the number alone is unverified.
    (joined,) = alice.receive(mail(f"[Ticket#{n}] More", "By the way …\n", sender="lawyer@law.example"))
    assert joined == n and alice.json("show", n)["unverified"] == 1
    # What came from outside can be forwarded again; what is internal cannot leave as a forward by accident.
    assert alice.run("forward", n, "x@example.net", "-m", "x", "-e", answer[-8:]).code == 2


def test_a_redirect_is_the_original(two: Two) -> None:
    alice = two.alice
    raw = mail("Not ours", "Grüße\n", id="<not-ours@example.com>", files={"a.bin": bytes(range(256))})
    (n,) = alice.receive(raw)
    done = alice.ok("redirect", n, "Right <right@example.net>")
    assert f"{n} sent to right@example.net" in done.out
    event = ids(alice, n, "redirect")[0]
    head, _, rest = file(alice, event).partition(b"From: Jane Roe")
    assert b"From: Jane Roe" + rest == raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    assert [row.split(b":")[0] for row in head.splitlines()] == [
        b"Resent-Date", b"Resent-From", b"Resent-To", b"Resent-Message-ID",
    ]  # fmt: skip
    assert b"Resent-From: Example VRT <info-en@example.org>" in head and b"right@example.net" in head
    t = alice.json("show", n)
    assert t["state"] == "new" and t["waiting_since"]  # whoever it was sent on to answers; the ticket is still ours
    out = alice.ok("show", n).out
    assert "── redirect by alice" in out and "right@example.net" in out
    none = alice.ok("new", "-q", "info-en", "-s", "Call", "-m", "x").out.split()[0]
    assert alice.run("redirect", none, "x@example.net").code == 4
    assert alice.run("forward", none, "x@example.net", "-m", "x").code == 2
    assert alice.run("redirect", n, "no-address").code == 2


def test_who_is_written_to_first_answers_verified(two: Two, tmp_path: Path) -> None:
    alice = two.alice
    path = tmp_path / "form.pdf"
    path.write_bytes(b"%PDF-1")
    args = (
        "new",
        "-q",
        "info-en",
        "-s",
        "Your picture",
        "--to",
        "Joe <joe@photo.example>",
        "-m",
        "May we use it?",
        "-y",
    )
    done = alice.ok(*args, "--attach", str(path))
    n = done.out.split()[0]
    assert done.out == f"{n} new in info-en, sent to joe@photo.example\n"
    sent = message(alice, n)
    assert sent["Subject"] == f"[Ticket#{n}] Your picture" and sent["To"] == "Joe <joe@photo.example>"
    assert [p.get_filename() for p in sent.iter_attachments()] == ["form.pdf"]
    t = alice.json("show", n)
    assert (t["title"], t["requester"], t["owner"], t["waiting_since"]) == (
        "Your picture", "Joe <joe@photo.example>", "alice", None,
    )  # fmt: skip
    assert [a["action"] for a in t["articles"]] == ["new", "reply"]
    (joined,) = alice.receive(
        mail("Re: Your picture", "Yes.\n", sender="joe@photo.example", in_reply_to=str(sent["Message-ID"]))
    )
    t = alice.json("show", n)
    assert joined == n and t["unverified"] == 0 and t["waiting_since"]
    # Also by the number alone, from the address that was written to; not from another.
    alice.receive(
        mail(f"Ticket#{n}", "And more.\n", sender="JOE@photo.example"), mail(f"Ticket#{n}", sender="x@x.example")
    )
    assert alice.json("show", n)["unverified"] == 1
    alice.ok("show", n)
    alice.ok("reply", n, "-m", "Thank you.", "-y")
    assert message(alice, n)["To"] == "JOE@photo.example"
    two.sync()
    assert two.bob.json("show", n)["title"] == "Your picture"


def test_new_in_the_editor(two: Two, tmp_path: Path) -> None:
    alice = two.alice
    env = editor(tmp_path, f'cp "$1" {tmp_path}/was; sed -i "s/^Hello.*/&\\n\\nMay we?/" "$1"') | {"NO_COLOR": "1"}
    args = ("new", "-q", "info-en", "-s", "A form", "--to", "joe@photo.example")
    done = vrt_on_terminal(alice, *args, env=env, typed=[("quit", "q\n")])
    assert done.code == 1 and alice.json("list", "A form") == []
    done = vrt_on_terminal(alice, *args, env=env, typed=[("quit", "y\n")])
    n = done.out.split(" new in info-en, sent to joe@photo.example")[0].split()[-1]
    assert done.code == 0 and "Hello,\n\n" in (tmp_path / "was").read_text(), done
    assert n.isdigit() and message(alice, n)["Subject"] == f"[Ticket#{n}] A form"
    for bad in (("-s", "two\nlines"), ("-s", " "), ()):
        assert alice.run("new", "-q", "info-en", "--to", "joe@photo.example", "-m", "x", *bad).code == 2
    assert (
        alice.run("new", "-q", "info-en", "-s", "x", "--to", "a@b.example", "--from", "c@d.example", "-m", "x").code
        == 2
    )
    assert alice.run("new", "-q", "nowhere", "-s", "x", "--to", "a@b.example", "-m", "x").code == 4
