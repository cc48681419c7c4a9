"""``vrt template``: what there is, which one counts, how an admin changes one, and what it says in a ticket."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Done, Person, copied, founded, mail
from test_terminal import vrt_on_terminal

SENDER = "{{ address }} {% if x %} <jane@example.com>"


@pytest.fixture(scope="module")
def alice(tmp_path_factory: pytest.TempPathFactory) -> Person:
    """A desk with a German queue. Each test sets templates of a name of its own."""
    person = founded(tmp_path_factory.mktemp("template"))
    person.ok("queue", "add", "permissions-de", "--address", "permissions-de@example.org", "--language", "de-AT",
              "--signature", "Example VRT\nhttps://example.org")  # fmt: skip
    return person


@pytest.fixture(scope="module")
def ticket(alice: Person) -> str:
    """A ticket in permissions-de, whose requester writes in templates."""
    head = {"sender": "x@example.com", "to": "permissions-de@example.org"}
    raw = mail("{{ 7*7 }} {% raw %} {#", "{{ signature }}", **head).replace(b"x@example.com", SENDER.encode(), 1)
    return alice.receive(raw)[0]


def refused(person: Person, code: int, said: str, *args: str, hint: str = "", feed: str = "") -> Done:
    """Run ``vrt template``, which must end with ``code`` and record nothing."""
    heads = person.git("rev-parse", "main", "keys")
    done = person.run("template", *args, feed=feed)
    assert done.code == code, f"exit {done.code}: {done.out}{done.err}"
    assert said in done.err
    assert hint in done.err.partition("vrt: hint: ")[2], done.err
    assert done.out == ""
    assert "Traceback" not in done.err
    assert person.git("rev-parse", "main", "keys") == heads
    return done


def test_which_there_are(alice: Person) -> None:
    rows = alice.ok("template", "list").out.splitlines()
    assert rows[0].split() == ["TEMPLATE", "LANGUAGE", "QUEUE", "FROM"]
    assert [row.split() for row in rows if row.startswith("closing ")][:2] == [
        ["closing", "de", "-", "built", "in"], ["closing", "en", "-", "built", "in"]
    ]  # fmt: skip
    assert not [row for row in rows if row.startswith("note ")]
    assert {t["language"] for t in alice.json("template", "list", "-l", "fr")} == {"fr"}
    refused(alice, 4, "no queue", "list", "-q", "nowhere")


def test_a_template_of_the_desk(alice: Person) -> None:
    def of(*more: str) -> list[tuple[str, str | None, str]]:
        found = alice.json("template", "list", *more)
        return [(t["language"], t["queue"], t["from"]) for t in found if t["name"] == "receipt"]

    built_in = [(x, None, "built-in") for x in ("de", "en", "es", "fr")]
    assert of() == built_in
    assert alice.ok("template", "edit", "receipt", "-l", "DE", "-m", "Für alle: {{ hook }}").out == (
        "template de/receipt set\n"
    )
    made = alice.ok(
        "template", "edit", "receipt", "-l", "de", "-q", "permissions-de", "-F", "-", feed="Hier: {{ date }}"
    )
    assert made.out == "template de/permissions-de/receipt set\n"
    assert of("-l", "de") == [("de", None, "desk"), ("de", "permissions-de", "desk")]
    assert of("-l", "de", "-q", "info-en") == [("de", None, "desk")]

    # What holds is on the ledger, as a file of the desk in an event that an admin signed.
    assert alice.git("show", "main:templates/de/permissions-de/receipt.md.j2") == b"Hier: {{ date }}\n"
    said = alice.git("log", "-1", "--format=%B", "main").decode()
    assert "Action: template-set\n" in said
    assert "Template: de/permissions-de/receipt\n" in said
    alice.ok("verify")

    shown = alice.ok("template", "show", "receipt", "-l", "de-at", "-q", "permissions-de")
    assert (shown.out, shown.err) == ("Hier: {{ date }}\n", "vrt: template de/permissions-de/receipt (of the desk)\n")
    assert alice.ok("template", "show", "receipt", "-q", "permissions-de").out == "Hier: {{ date }}\n"  # its language
    assert alice.ok("template", "show", "receipt", "-l", "de", "-q", "info-en").out == "Für alle: {{ hook }}\n"
    assert alice.json("template", "show", "receipt", "-l", "de") == {
        "name": "receipt", "language": "de", "queue": None, "from": "desk", "text": "Für alle: {{ hook }}\n"
    }  # fmt: skip
    assert alice.ok("template", "show", "receipt", "-l", "pt").err == "vrt: template en/receipt (built in)\n"

    dropped = alice.json("template", "edit", "receipt", "-l", "de", "--remove")
    assert [(t["queue"], t["from"]) for t in dropped] == [(None, "built-in"), ("permissions-de", "desk")]
    assert "(built in)" in alice.ok("template", "show", "receipt", "-l", "de").err
    assert alice.ok("template", "edit", "receipt", "-l", "de", "-q", "permissions-de", "--remove").out == (
        "template de/permissions-de/receipt removed\n"
    )
    assert of() == built_in
    alice.ok("verify")


def test_try_one_on_a_ticket(alice: Person, ticket: str) -> None:
    heads = alice.git("rev-parse", "main", "keys")
    tried = alice.ok("template", "try", "salutation", ticket[-4:])
    assert (tried.out, tried.err) == (
        "Guten Tag {{ address }} {% if x %},\n",
        "vrt: template de/salutation (built in)\n",
    )
    assert alice.ok("template", "try", "salutation", ticket, "-l", "es").out == "Hola, {{ address }} {% if x %}:\n"
    signed = alice.json("template", "try", "signature", ticket)
    assert (signed["from"], signed["text"]) == ("built-in", "-- \nalice\nExample VRT\nhttps://example.org\n")
    assert alice.git("rev-parse", "main", "keys") == heads

    every = "ticket hook subject requester address agent signed queue desk language"
    text = "\n".join(f"{{{{ {name} }}}}" for name in every.split())
    alice.ok("template", "edit", "all-values", "-l", "de", "-m", text)
    assert alice.ok("template", "try", "all-values", ticket).out.splitlines() == [
        ticket, f"[Ticket#{ticket}]", "{{ 7*7 }} {% raw %} {#", "{{ address }} {% if x %}", "jane@example.com",
        "alice", "alice", "permissions-de", "Example VRT", "de-AT",
    ]  # fmt: skip
    number = alice.json("new", "--queue", "permissions-de", "--subject", "A call", "-m", "Nobody called.")[0]["number"]
    assert alice.ok("template", "try", "salutation", number).out == "Guten Tag,\n"
    alice.ok("template", "edit", "the-day", "-l", "en", "-m", "{{ date }}")
    assert re.fullmatch(r"20[0-9]{2}-[01][0-9]-[0-3][0-9]\n", alice.ok("template", "try", "the-day", ticket).out)


def test_what_is_refused(alice: Person, ticket: str) -> None:
    edit = ("edit", "closing", "-l", "de")
    refused(alice, 2, "line 2: {% for %} has no place in a template", *edit, "-F", "-", feed="a\n{% for x in y %}",
            hint="a template is text")  # fmt: skip
    refused(alice, 2, "there is no value requestor", *edit, "-m", "{{ requestor }}", hint="ticket, hook, subject")
    refused(alice, 2, "U+202E cannot be seen", *edit, "-m", "a\u202eb")
    refused(alice, 2, "at most 64 kB", *edit, "-F", "-", feed="x" * 10_000_000)
    refused(alice, 2, "the template is empty", *edit, "-m", " ")
    refused(alice, 2, "--remove takes no text", *edit, "--remove", "-m", "x")
    refused(alice, 2, "-l", "edit", "closing", "-m", "x")
    refused(alice, 2, "'deutsch' is no language", "edit", "closing", "-l", "Deutsch", "-m", "x", hint="de-at")
    refused(alice, 2, "'../note' is no name", "edit", "../note", "-l", "de", "-m", "x")
    refused(alice, 4, "no queue", *edit, "-q", "nowhere", "-m", "x")
    refused(alice, 4, "no template de/closing of its own", *edit, "--remove", hint="vrt template list")
    refused(alice, 4, "no template nowhere in de-at or de or en", "show", "nowhere", "-l", "de-at")
    refused(alice, 4, "no template note", "show", "note")
    refused(alice, 4, "no template nowhere", "try", "nowhere", ticket)
    refused(alice, 4, "no ticket", "try", "closing", "2008012110017088")
    refused(alice, 2, "there is no terminal", *edit, hint="-F FILE")


def test_only_admins_change_templates(alice: Person, tmp_path: Path) -> None:
    bob = Person(tmp_path / "bob")
    (tmp_path / "card").write_text(bob.ok("identity").out)
    alice.ok("agent", "add", "bob", "--card", str(tmp_path / "card"), "--role", "agent", "--agreed", "2026-11-01")
    alice.ok("template", "edit", "for-bob", "-l", "en", "-m", "Hello from {{ desk }}")
    assert alice.desk is not None
    bob.desk = copied(alice.desk, tmp_path / "desk", "bob")
    refused(bob, 5, "only admins change templates", "edit", "for-bob", "-l", "en", "-m", "x", hint="--role admin")
    refused(bob, 5, "only admins change templates", "edit", "for-bob", "-l", "en", "--remove")
    assert bob.ok("template", "show", "for-bob").out == "Hello from {{ desk }}\n"


def test_what_another_client_wrote_is_checked_before_it_is_used(alice: Person, ticket: str) -> None:
    """A changed client of an admin records what vrt would refuse; whoever uses it is told, and nothing is run."""
    evil = "{% for a in 'xxxxxxxxxx' %}{{ a.__class__.__mro__ }}{% endfor %}"
    script = (
        "from pathlib import Path\nfrom vrt import settings, templates\nfrom vrt.desk import Desk\n"
        "templates.check = lambda text: text\n"
        f"settings.set_template(Desk(Path({str(alice.desk)!r})), 'de/evil', {evil!r})\n"
    )
    subprocess.run([sys.executable, "-c", script], env=alice.env, check=True, cwd=alice.home)
    refused(alice, 2, "template de/evil (of the desk): line 1: {% for %} has no place", "try", "evil", ticket)
    assert alice.ok("template", "show", "evil", "-l", "de").out == evil + "\n"


# --- in the editor ------------------------------------------------------------------------------------


def editor(folder: Path, *texts: str) -> dict[str, str]:
    """An editor that keeps what it was given in ``seen<n>`` and writes the texts, one at each call; then nothing."""
    for i, text in enumerate(texts):
        (folder / f"text{i}").write_text(text)
    path = folder / "editor"
    path.write_text(
        f'#!/bin/sh\ncd "{folder}"\nn=$(ls seen* 2>/dev/null | wc -l)\ncp "$1" seen$n\n'
        'test -f text$n && cp text$n "$1"\nexit 0\n'
    )
    path.chmod(0o755)
    return {"EDITOR": str(path)}


def test_in_the_editor(alice: Person, tmp_path: Path) -> None:
    env = editor(tmp_path, "Servus, {{ requestor }}\n", "Servus, {{ requester }}\n")
    done = vrt_on_terminal(alice, "template", "edit", "salutation", "-l", "de-at", env=env)
    assert (done.code, done.out.splitlines()[-1]) == (0, "template de-at/salutation set")
    first, second = (tmp_path / "seen0").read_text(), (tmp_path / "seen1").read_text()
    assert first.startswith("Guten Tag{% if requester %}")  # what counts now
    assert "# {{ requester }}  the requester's name" in first
    assert second.startswith("Servus, {{ requestor }}\n")  # what was refused is not lost
    assert "# line 1: there is no value requestor\n" in second
    assert alice.ok("template", "show", "salutation", "-l", "de-at").out == "Servus, {{ requester }}\n"


def test_giving_up_in_the_editor(alice: Person, tmp_path: Path) -> None:
    heads = alice.git("rev-parse", "main", "keys")
    for number, (texts, said) in enumerate([
        ((), "as it was: nothing was recorded"), (("\n",), "nothing was recorded"), (("{{ x }}\n",), "no value x"),
    ]):  # fmt: skip
        folder = tmp_path / str(number)
        folder.mkdir()
        done = vrt_on_terminal(alice, "template", "edit", "signature", "-l", "fr", env=editor(folder, *texts))
        assert done.code == 2
        assert said in done.out
    assert len(list((tmp_path / "2").glob("seen*"))) == 2
    assert alice.git("rev-parse", "main", "keys") == heads


def test_completion(alice: Person) -> None:
    def offered(*words: str) -> list[str]:
        asked = {"_VRT_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
        asked["VRT_DESK"] = str(alice.desk)
        done = Person(alice.home).run(env=asked)
        return [row.partition(",")[2] for row in done.out.splitlines()]

    alice.ok("template", "edit", "of-the-desk", "-l", "pt", "-m", "x")
    assert offered("vrt", "template", "sh") == ["show"]
    assert offered("vrt", "template", "show", "perm") == ["permission-accepted", "permission-insufficient"]
    assert offered("vrt", "template", "try", "of-") == ["of-the-desk"]
    assert set(offered("vrt", "template", "list", "-l", "")) >= {"de", "en", "es", "fr", "pt"}
    assert offered("vrt", "template", "edit", "closing", "-q", "per") == ["permissions-de", "permissions-en"]
