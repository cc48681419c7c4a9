"""One act on all tickets that a query finds: exactly what ``vrt list`` shows, all or none, one write."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Person, founded, mail
from test_cmd_desk import fetch, later
from test_cmd_work import editor, head
from test_completion import complete
from test_terminal import vrt_on_terminal

DAY = 86400


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Person:
    """The founder of a desk; each test here works on tickets of its own."""
    return founded(tmp_path_factory.mktemp("bulk"))


def ageless(table: str) -> str:
    """Return a table of ``vrt list`` without how long each ticket waits."""
    return re.sub(r" [0-9]+[smh] ", " ", table)


def listed(person: Person, *args: str) -> list[str]:
    return [t["number"] for t in person.json("list", *args)]


def test_a_dry_run_shows_what_would_be_done_and_does_nothing(desk: Person) -> None:
    a, b, _ = desk.receive(mail("Dry a", "alpha"), mail("Dry b", "alpha"), mail("Dry c", "beta"))
    before = head(desk)
    for args in (
        ("close", "-o", "spam"), ("take",), ("priority", "5"), ("tag", "+press"), ("pend", "--until", "2d"),
        ("route", "junk"), ("assign", "alice"), ("note", "-m", "Checked."),
    ):  # fmt: skip
        done = desk.ok(*args, "--query", "alpha", "--dry-run")
        assert ageless(done.out) == ageless(desk.ok("list", "alpha").out), args  # the same table
        assert f"a dry run of {args[0]} on 2 tickets: nothing was recorded" in done.err
    assert desk.json("take", "--query", "alpha", "--dry-run") == desk.json("list", "alpha")
    assert desk.ok("take", a, "--dry-run").out.count("\n") == 2  # with numbers, too
    assert head(desk) == before
    # It says what would stop it.
    assert desk.run("close", "--query", "alpha", "-o", "nonsense", "--dry-run").code == 4
    assert desk.run("reopen", b, "--dry-run").code == 6
    assert head(desk) == before


def test_each_command_takes_a_query(desk: Person, tmp_path: Path) -> None:
    a, b, c = desk.receive(mail("Each a", "gamma"), mail("Each b", "gamma"), mail("Each c", "delta"))

    def both(*args: str) -> None:
        done = desk.ok(*args)
        assert [r.split()[0] for r in done.out.splitlines()] == [a, b], (args, done)

    both("take", "--query", "gamma")
    both("release", "--query", "gamma", "-y")
    both("assign", "--query", "gamma", "alice")
    both("priority", "--query", "gamma", "4")
    both("tag", "--query", "gamma", "+press", "-urgent")
    both("pend", "--query", "gamma", "--until", "2d")
    both("note", "--query", "gamma", "-m", "To both.")
    both("route", "--query", "gamma", "permissions-en")
    both("close", "-o", "spam", "--query", "gamma queue:permissions-en")
    log = desk.git("log", "-2", "--format=%s").decode().splitlines()
    assert sorted(log) == [f"close {a} as spam", f"close {b} as spam"]
    assert desk.git("reflog", "main", "-1").count(b"\n") == 1
    both("reopen", "--query", "gamma state:closed")
    assert [e["action"] for e in desk.json("trail", c)] == ["receive"]
    env = editor(tmp_path, f'cp "$1" {tmp_path}/seen; echo "By hand." > "$1"')
    assert vrt_on_terminal(desk, "note", "--query", "gamma", env=env).code == 0
    assert a in (tmp_path / "seen").read_text() and b in (tmp_path / "seen").read_text()
    assert desk.json("show", b)["articles"][-1]["body"] == "By hand."


def test_a_query_looks_where_list_looks(alice: Person, colleague: Callable[..., Person]) -> None:
    """What is closed, or in a queue of others, is touched only where the query says so, as in ``vrt list``."""
    a, b, c = alice.receive(mail("One"), mail("Two"), mail("Three", to="permissions-en@example.org"))
    alice.ok("close", a, "-o", "spam")
    bob = colleague("bob", "info-en")
    assert listed(bob, "from:jane") == [b]
    bob.ok("priority", "--query", "from:jane", "5")
    assert [bob.json("show", n)["priority"] for n in (a, b, c)] == [3, 5, 3]
    bob.ok("priority", "--query", "from:jane state:any", "4")
    assert [bob.json("show", n)["priority"] for n in (a, b)] == [4, 4]
    before = head(bob)
    assert bob.run("priority", "--query", "queue:permissions-en state:any", "1").code == 5  # he has no right there
    assert head(bob) == before


def test_what_an_action_has_nothing_to_do_with_is_passed_over(desk: Person) -> None:
    a, b, c = desk.receive(mail("Pass a", "epsilon"), mail("Pass b", "epsilon"), mail("Pass c", "epsilon"))
    desk.ok("close", a, "-o", "successful")
    desk.ok("take", b)
    done = desk.ok("release", "--query", "epsilon state:any")
    assert done.out.split()[0] == b and "2 tickets passed over, as there is nothing to release" in done.err
    desk.ok("route", c, "permissions-en")
    done = desk.ok("route", "--query", "epsilon", "permissions-en")
    assert [r.split()[0] for r in done.out.splitlines()] == [b] and "1 ticket passed over" in done.err
    done = desk.ok("close", "--query", "epsilon state:any", "-o", "spam")
    assert len(done.out.splitlines()) == 2 and desk.json("show", a)["outcome"] == "successful"
    done = desk.ok("close", "--query", "epsilon state:any", "-o", "spam")
    assert done.out == "" and "no ticket is like that" in done.err
    assert desk.ok("close", "--query", "epsilon", "-o", "spam", "--json").json == []


def test_all_or_none(alice: Person, colleague: Callable[..., Person]) -> None:
    a, b = alice.receive(mail("One"), mail("Two"))
    bob = colleague("bob", "info-en")
    bob.ok("take", b)
    fetch(alice, bob)
    before = head(alice)
    done = alice.run("close", "--query", "from:jane", "-o", "spam")
    assert done.code == 6 and f"bob works on {b}" in done.err and head(alice) == before
    alice.ok("close", "--query", "from:jane", "-o", "spam", "--force")
    assert [alice.json("trail", n)[-1].get("force") for n in (a, b)] == [None, "yes"]


def test_wrong_usage(desk: Person) -> None:
    (n,) = desk.receive(mail("Wrong"))
    before = head(desk)
    for args, message in (
        (("take", n, "--query", "zeta"), "name the tickets or give a query, not both"),
        (("take",), "take which tickets?"),
        (("take", "--dry-run"), "take which tickets?"),
        (("take", "--query", " "), "the query asks for nothing"),
        (("take", "--query", "nonsense:1"), "no field nonsense:"),
        (("priority", "--query", "zeta"), "this takes tickets and a priority"),
        (("priority", n, "5", "--query", "zeta"), "not both"),
        (("assign", "--query", "zeta"), "this takes tickets and an agent"),
        (("route", "--query", "zeta", "is:free", "junk"), "not both"),  # a query not put in quotes
        (("tag", "--query", "zeta"), "no tag given"),
        (("tag", "--query", "zeta", n, "+press"), "not both"),
    ):
        done = desk.run(*args)
        assert done.code == 2 and message in done.err, (args, done)
    assert desk.run("tag", "--query", "zeta", "is:free", "+press").code in (0, 4)  # "is:free" is no tag
    assert desk.run("take", "--query", "queue:nowhere").code == 4
    assert head(desk) == before


def test_many_are_asked_for_and_looked_at_again_under_the_lock(alice: Person, tmp_path: Path) -> None:
    """While a person writes, a colleague works on: what changed is not touched, and neither is what came."""
    box = tmp_path / "many.mbox"
    box.write_bytes(b"".join(b"From a Fri Nov 20 10:00:00 2026\n" + mail(f"Many {i}") + b"\n" for i in range(22)))
    numbers = [m["ticket"] for m in alice.json("receive", str(box))["mails"]]
    before = head(alice)
    for answer, code in (("n", 1), ("\x03", 1)):
        done = vrt_on_terminal(alice, "close", "--query", "many", "-o", "spam", typed=[("22 tickets?", f"{answer}\n")])
        assert done.code == code and head(alice) == before, done
    late = tmp_path / "late.eml"
    late.write_bytes(mail("Many late"))
    vrt = f"{sys.executable} -m vrt -C {alice.desk}"
    script = f"{vrt} close {numbers[3]} -o successful >/dev/null\n{vrt} receive {late} >/dev/null"
    env = editor(tmp_path, script + '\necho "All." > "$1"')
    done = vrt_on_terminal(alice, "note", "--query", "many state:new", env=env, typed=[("22 tickets?", "y\n")])
    assert done.code == 0, done.out
    noted = [n for n in listed(alice, "state:any", "many") if alice.json("show", n)["events"][-1]["action"] == "note"]
    assert sorted(noted) == sorted(set(numbers) - {numbers[3]})
    # -y does not ask, nor does anybody where nobody can answer.
    assert "?" not in vrt_on_terminal(alice, "priority", "--query", "many", "4", "-y").out
    assert len(alice.ok("close", "--query", "many", "-o", "spam", "-y").out.splitlines()) == 22


def test_by_age(alice: Person) -> None:
    old = alice.receive(mail("Old spam"))
    alice.ok("route", *old, "junk")
    env = later(alice, 8 * DAY)
    (young,) = (m["ticket"] for m in alice.ok("receive", "--json", "-", feed=mail("Young"), env=env).json["mails"])
    alice.ok("route", young, "junk", env=env)
    done = alice.ok("close", "--query", "queue:junk age:>7d", "-o", "spam", env=env)
    assert [r.split()[0] for r in done.out.splitlines()] == old
    assert alice.json("show", young)["state"] == "new"


def test_a_query_is_completed(desk: Person, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "vrt"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m vrt "$@"\n')
    program.chmod(0o755)
    person = Person(desk.home, desk.desk)
    person.env = desk.env | {"PATH": f"{program.parent}:{desk.env['PATH']}", "VRT_DESK": str(desk.desk)}
    assert complete(person, "vrt close --query st") == ["state:"]
    assert complete(person, "vrt close --query is:unr") == ["is:unread"]
    assert complete(person, "vrt take --query 'queue:junk owner:m", env={"COMP_CWORD": "3"}) == ["queue:junk owner:me"]
