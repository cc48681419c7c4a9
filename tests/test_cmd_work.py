"""Working on tickets: take, release, assign, next, route, note, priority, tag, pend, close, reopen, new."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from conftest import Person, founded, mail
from test_cmd_desk import fetch, later
from test_terminal import vrt_on_terminal


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Person:
    """The founder of a desk; each test here works on tickets of its own."""
    return founded(tmp_path_factory.mktemp("work"))


def head(person: Person) -> bytes:
    return person.git("rev-parse", "main", "keys")


# --- whose it is ------------------------------------------------------------------------------------


def test_take_and_release(desk: Person) -> None:
    a, b = desk.receive(mail("Take a"), mail("Take b"))
    done = desk.ok("take", a, b[-4:], a)  # named twice is taken once
    rows = done.out.splitlines()
    assert (
        len(rows) == 2
        and rows[0].startswith(f"{a} taken by alice until ")
        and rows[1].startswith(f"{b} taken by alice")
    )
    for n in (a, b):
        t = desk.json("show", n)
        assert (t["state"], t["owner"]) == ("open", "alice")
        until = datetime.fromisoformat(t["lock"]) - datetime.fromisoformat(t["updated"])
        assert until == timedelta(hours=24)  # the queue's lock_timeout
    first = desk.json("show", a)["lock"]
    assert desk.ok("take", a, "--json", env=later(desk, 600)).json[0]["lock"] > first  # again: the lock lasts longer

    assert desk.ok("release", a, b).out.splitlines()[0].startswith(f"{a} released")
    t = desk.json("show", a)
    assert (t["state"], t["owner"], t["lock"]) == ("open", None, None)


def test_several_tickets_are_all_or_nothing(desk: Person) -> None:
    a, b, c = desk.receive(mail("Some a"), mail("Some b"), mail("Some c"))
    desk.ok("close", c, "--outcome", "spam")
    before = head(desk)
    for args, code in (
        (("take", a, b, c), 6), (("close", a, c, b, "--outcome", "spam"), 6), (("reopen", c, a), 6),
        (("pend", a, c, "--until", "3d"), 6),
        (("take", a, "9999"), 4), (("priority", a, "9999", "4"), 4), (("tag", a, b, "+nonsense"), 4),
        (("route", a, b, "info-en"), 6),
        (("assign", a, c, "alice"), 6),
    ):  # fmt: skip
        done = desk.run(*args)
        assert done.code == code and done.out == "", (args, done)
        assert head(desk) == before, args
    # One write, one event each, in the order they were named.
    desk.ok("priority", b, a, "4")
    log = desk.git("log", "-2", "--format=%s").decode().splitlines()
    assert log == [f"priority {a} 4", f"priority {b} 4"]
    assert desk.git("reflog", "main", "-1").count(b"\n") == 1 and head(desk) != before


def test_another_s_lock_stops_until_it_is_over_or_forced(alice: Person, colleague: Callable[..., Person]) -> None:
    alice.ok("queue", "set", "info-en", "--lock-timeout", "2h")
    n, m = alice.receive(mail("Mine or yours"), mail("Second"))
    bob = colleague("bob", "info-en")
    bob.ok("take", n, m)
    fetch(alice, bob)
    for args in (("take", n), ("release", n), ("assign", n, "alice"), ("close", n, "-o", "spam"),
                 ("pend", n, "--until", "1d"),
                 ("route", n, "permissions-en")):  # fmt: skip
        done = alice.run(*args)
        assert done.code == 6 and f"bob works on {n} until " in done.err and "--force" in done.err, (args, done)
    assert [e["action"] for e in alice.json("trail", n)] == ["receive", "take"]
    # What hinders nobody is not hindered.
    alice.ok("note", n, "-m", "By the way …")
    alice.ok("priority", n, "4")
    alice.ok("tag", n, "+press")
    assert alice.json("show", n)["owner"] == "bob"
    # Force is written down, for all to see.
    alice.ok("take", n, "--force")
    trail = alice.json("trail", n)
    assert trail[-1]["force"] == "yes" and trail[-1]["owner"] == "alice"
    assert "take (forced)" in alice.ok("trail", n).out and "take (forced)" in alice.ok("show", n).out
    assert b"\nForce: yes\n" in alice.git("log", "-1", "--format=%B")
    # After the queue's time the lock is over, and nothing needs forcing.
    after = later(alice, 2 * 3600 + 60)
    assert alice.run("take", m, env=later(alice, 3600)).code == 6
    alice.ok("take", m, env=after)
    assert "force" not in alice.json("trail", m)[-1]
    assert alice.ok("verify").out.endswith("all in order\n")
    # Own locks need no force, and --force where none is held leaves no mark.
    alice.ok("close", n, "-o", "successful", "--force")
    assert "force" not in alice.json("trail", n)[-1]


def test_assign(alice: Person, colleague: Callable[..., Person]) -> None:
    a, b = alice.receive(mail("One"), mail("Two"))
    bob = colleague("bob", "info-en")
    colleague("carol", "permissions-en")
    done = alice.ok("assign", a, b, "bob")
    assert f"{a} assigned to bob until" in done.out
    fetch(bob, alice)
    assert [t["number"] for t in bob.json("list", "owner:me")] == [a, b]
    assert bob.json("show", a)["state"] == "open"
    for handle, code in (("carol", 5), ("recovery", 5), ("nobody", 4)):  # not in the queue, no agent, no such
        assert alice.run("assign", a, handle, "--force").code == code
    assert alice.run("assign", "bob").code == 2
    assert bob.run("assign", a, "alice").code == 0


def test_next_takes_what_waits_longest(alice: Person, colleague: Callable[..., Person]) -> None:
    spam, a, p, b = alice.receive(
        mail("Spam"), mail("First"), mail("Permission", to="permissions-en@example.org"), mail("Second")
    )
    alice.ok("route", spam, "junk")
    bob = colleague("bob", "info-en")
    done = alice.ok("next")
    assert done.out.startswith(f"Ticket#{a}  First\n") and "owner alice" in done.out
    assert alice.json("next")["number"] == p
    assert alice.json("next", "-q", "info-en")["number"] == b
    done = alice.ok("next")
    assert done.out == "" and "nothing waits in your queues" in done.err  # junk waits for nobody, mine are mine
    assert alice.json("next", "-q", "junk")["number"] == spam
    # Pending until yesterday is due again; what bob holds is passed over until his lock is over.
    alice.ok("release", a, b)
    alice.ok("pend", a, "--until", "1d")
    alice.ok("close", b, "-o", "spam")
    assert alice.json("next") is None
    assert alice.ok("next", "--json", env=later(alice, 90_000)).json["number"] == a
    assert alice.run("next", "-q", "nowhere").code == 4
    assert bob.run("next", "-q", "permissions-en").code == 5


def test_route_lets_the_new_queue_read_and_nobody_else(alice: Person, colleague: Callable[..., Person]) -> None:
    n, m = alice.receive(mail("The bridge", "A picture.", id="<1@example.com>"), mail("Other"))
    alice.ok("take", n)
    alice.ok("note", n, "-m", "For permissions.")
    bob, carol = colleague("bob", "permissions-en"), colleague("carol", "junk")
    assert bob.json("show", n)["title"] is None
    done = alice.ok("route", n, "permissions-en")
    assert done.out.startswith(f"{n} routed to permissions-en")
    t = alice.json("show", n)
    assert (t["queue"], t["owner"], t["lock"]) == ("permissions-en", None, None)
    fetch(bob, alice), fetch(carol, alice)
    assert [a["body"] for a in bob.json("show", n)["articles"]] == ["A picture.", "For permissions."]
    assert bob.json("search", "picture")[0]["number"] == n
    assert [a["body"] for a in carol.json("show", n)["articles"]] == [None, None]
    assert bob.json("show", m)["title"] is None
    # He works on it there, and an answer of the requester comes to him.
    bob.ok("take", n)
    fetch(alice, bob)
    (again,) = alice.receive(mail("Re: The bridge", "More.", in_reply_to="<1@example.com>"))
    fetch(bob, alice)
    assert again == n and bob.json("show", n)["articles"][-1]["body"] == "More."
    # Back and forth: nothing is sealed twice. There already, unknown, not mine: refused.
    keys = len(alice.git("ls-tree", "-r", "keys").splitlines())
    alice.ok("route", n, "info-en", "--force")
    assert len(alice.git("ls-tree", "-r", "keys").splitlines()) == keys + 1  # the last mail was never sealed to info-en
    assert alice.run("route", n, "info-en").code == 6
    assert alice.run("route", n, "nowhere").code == 4 and alice.run("route", n).code == 2
    fetch(bob, alice)
    assert bob.run("route", m, "permissions-en").code == 5  # not his queue
    assert all(p.ok("verify").out.endswith("all in order\n") for p in (alice, bob))


# --- what is said -----------------------------------------------------------------------------------


def test_notes_from_the_command_line_a_file_and_a_pipe(desk: Person, tmp_path: Path) -> None:
    n, m = desk.receive(mail("Notes"), mail("More notes"))
    path = tmp_path / "call.txt"
    path.write_bytes("\ufeffCalled the museum.\r\nÄ second line.\r\n".encode())
    desk.ok("note", n, "-m", "  From the line. \n")
    desk.ok("note", n, "-F", str(path))
    desk.ok("note", n, "-F", "-", feed="From a pipe.\n\n\n")
    done = desk.ok("note", n, m, "-m", "On both.\n\n---\n\nwith: front matter\n---")
    assert [row.split()[:2] for row in done.out.splitlines()] == [[n, "noted"], [m, "noted"]]
    bodies = [a["body"] for a in desk.json("show", n)["articles"]][1:]
    assert bodies == [
        "From the line.",
        "Called the museum.\nÄ second line.",
        "From a pipe.",
        "On both.\n\n---\n\nwith: front matter\n---",
    ]
    assert desk.json("show", m)["articles"][-1]["body"] == bodies[-1]
    assert desk.json("show", n)["state"] == "new"  # a note moves nothing
    desk.ok("index", "--rebuild")
    assert [a["body"] for a in desk.json("show", n)["articles"]][1:] == bodies


def test_the_same_note_twice_is_refused_with_the_first_one_s_id(desk: Person) -> None:
    (n,) = desk.receive(mail("Twice"))
    first = desk.json("note", n, "-m", "Checked.")[0]
    before = head(desk)
    event = desk.json("show", n)["articles"][-1]["id"]
    for text in ("Checked.", " Checked.\n"):
        done = desk.run("note", n, "-m", text)
        assert done.code == 6 and event in done.err
    assert head(desk) == before and first["articles"] == 2
    desk.ok("note", n, "-m", "Something else.")
    desk.ok("note", n, "-m", "Checked.")  # no longer the last


def test_an_empty_note_is_none(desk: Person, tmp_path: Path) -> None:
    (n,) = desk.receive(mail("Empty"))
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "latin").write_bytes(b"caf\xe9")
    before = head(desk)
    for args, message in (
        (("-m", " \n\t"), "the note is empty: nothing was recorded"),
        (("-F", str(tmp_path / "empty")), "the note is empty"),
        (("-F", "-"), "the note is empty"),
        (("-F", str(tmp_path / "latin")), "is not UTF-8 text"),
        (("-F", str(tmp_path / "none")), "No such file"),
        (("-F", str(tmp_path)), "Is a directory"),
        (("-m", "a", "-F", "b"), "exclude each other"),
        ((), "there is no terminal for the editor"),
    ):
        done = desk.run("note", n, *args)
        assert done.code == 2 and message in done.err, (args, done)
    assert head(desk) == before


def editor(folder: Path, script: str, name: str = "editor") -> dict[str, str]:
    """Return the environment with an editor that does what ``script`` says to the file "$1"."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return {"EDITOR": str(path)}


def test_notes_from_an_editor(desk: Person, tmp_path: Path) -> None:
    (n,) = desk.receive(mail("Editor"))
    seen = tmp_path / "seen"
    write = f'cp "$1" {seen}; stat -c "%a %n" "$1" > {seen}.mode; (echo "From the editor."; cat {seen}) > "$1"'
    done = vrt_on_terminal(desk, "note", n, env=editor(tmp_path, write))
    assert done.code == 0 and "noted" in done.out
    note = desk.json("show", n)["articles"][-1]
    assert note["body"] == "From the editor."  # what stands below the line is left out
    assert "what stands below this line is not recorded" in seen.read_text()
    mode, path = (tmp_path / "seen.mode").read_text().split()
    assert (
        mode == "600"
        and path.startswith(desk.env["XDG_RUNTIME_DIR"])
        and path.endswith(".md")
        and not os.path.exists(path)
    )
    assert list(Path(desk.env["XDG_RUNTIME_DIR"], "vrt").iterdir()) == []

    before = head(desk)
    for env, code, message in (
        (editor(tmp_path, "true", "idle"), 2, "the note is empty: nothing was recorded"),
        (
            editor(tmp_path, 'echo half > "$1"; exit 1', "broken"),
            1,
            "the editor ended with exit 1: nothing was recorded",
        ),
        ({"EDITOR": "no-such-editor"}, 1, "nothing was recorded"),
    ):
        done = vrt_on_terminal(desk, "note", n, env=env)
        assert done.code == code and message in done.out, (env, done)
        assert list(Path(desk.env["XDG_RUNTIME_DIR"], "vrt").iterdir()) == []
    assert head(desk) == before
    # VISUAL comes first, and an editor may have arguments.
    env = editor(tmp_path, '[ "$1" = --wait ] && echo "By VISUAL." > "$2"', "visual")
    assert vrt_on_terminal(desk, "note", n, env={"VISUAL": env["EDITOR"] + " --wait", "EDITOR": "false"}).code == 0
    assert desk.json("show", n)["articles"][-1]["body"] == "By VISUAL."


def test_a_ticket_by_hand(desk: Person, tmp_path: Path) -> None:
    done = desk.ok(
        "new",
        "-q",
        "permissions-en",
        "-s",
        " Call from the museum ",
        "--from",
        "Jane Roe <jane@example.org>",
        "-m",
        "She asks.",
    )
    n = done.out.split()[0]
    assert done.out.startswith(f"{n} new in permissions-en")
    t = desk.json("show", n)
    assert (t["title"], t["requester"], t["state"], t["owner"]) == (
        "Call from the museum",
        "Jane Roe <jane@example.org>",
        "new",
        None,
    )
    assert (
        t["articles"][0]["body"] == "She asks."
        and t["articles"][0]["agent"] == "alice"
        and t["events"][0]["action"] == "new"
    )
    # She is a party of it: an answer with the number joins.
    assert desk.receive(mail(f"[Ticket#{n}] more", sender="jane@example.org"))[0] == n
    # With the editor, taken at once, from nobody named.
    env = editor(tmp_path, 'echo "Seen on the web." > "$1"')
    assert vrt_on_terminal(desk, "new", "-q", "info-en", "-s", "Seen", "--take", env=env).code == 0
    (t,) = desk.json("search", "subject:seen")
    assert (t["state"], t["owner"], t["requester"]) == ("open", "alice", "") and t["lock"]
    before = head(desk)
    for args, code in (
        (("-q", "nowhere", "-s", "x", "-m", "y"), 4), (("-q", "info-en", "-s", " ", "-m", "y"), 2),
        (("-q", "info-en", "-s", "a\nb", "-m", "y"), 2), (("-q", "info-en", "-s", "x", "-m", " "), 2),
        (("-q", "info-en", "-s", "x", "-m", "y", "--from", "Jane"), 2), (("-s", "x", "-m", "y"), 2),
    ):  # fmt: skip
        assert desk.run("new", *args).code == code, args
    assert head(desk) == before


# --- states -----------------------------------------------------------------------------------------


def test_close_and_reopen(desk: Person) -> None:
    n, m = desk.receive(mail("Close one"), mail("Close two"))
    desk.ok("take", n)
    done = desk.ok("close", n, m, "-o", "no-reply-needed")
    assert [row.split("  ")[0] for row in done.out.splitlines()] == [
        f"{n} closed as no-reply-needed",
        f"{m} closed as no-reply-needed",
    ]
    t = desk.json("show", n)
    assert (t["state"], t["outcome"], t["lock"], t["waiting_since"], t["owner"]) == (
        "closed",
        "no-reply-needed",
        None,
        None,
        "alice",
    )
    assert t["number"] not in [x["number"] for x in desk.json("list")]
    for args in (
        ("close", n, "-o", "spam"),
        ("take", n),
        ("assign", n, "alice"),
        ("pend", n, "--until", "1d"),
        ("release", n),
    ):
        done = desk.run(*args)
        assert done.code == 6 and f"{n} is closed" in done.err and f"vrt reopen {n}" in done.err, (args, done)
    assert "already (by alice, 20" in desk.run("close", n, "-o", "spam").err
    desk.ok("note", n, "-m", "Afterthought.")  # a note, a tag, a priority may follow
    desk.ok("tag", n, "+minor")
    desk.ok("priority", n, "1")
    desk.ok("route", m, "permissions-en")
    assert desk.ok("reopen", n).out.startswith(f"{n} open again")
    t = desk.json("show", n)
    assert (t["state"], t["outcome"]) == ("open", None) and t["waiting_since"]
    assert desk.run("reopen", n).code == 6
    for args, code in (((n, "-o", "nonsense"), 4), ((n,), 2), (("-o", "spam"), 2)):
        assert desk.run("close", *args).code == code
    assert "successful" in desk.run("close", n, "-o", "nonsense").err  # the words that there are


def test_priority_and_tags(desk: Person) -> None:
    (n,) = desk.receive(mail("Words"))
    assert desk.ok("priority", n, "5").out.startswith(f"{n} has priority 5")
    assert desk.ok("tag", n, "+urgent", "press", "+press").out.startswith(f"{n} is tagged press urgent")
    assert desk.ok("tag", n[-4:], "-urgent", "+legal").out.startswith(f"{n} is tagged legal press")
    t = desk.json("show", n)
    assert (t["priority"], t["tags"], t["state"]) == (5, ["legal", "press"], "new")
    assert "priority 5" in desk.ok("show", n).out and "+legal +press" in desk.ok("show", n).out
    for args, code, message in (
        (("priority", n, "6"), 2, "6 is no priority"), (("priority", n, "high"), 2, "high is no priority"),
        (("tag", n), 2, "no tag given"),
        (("tag", "+urgent"), 2, "tag takes tickets and tags"), (("tag", n, "+nonsense"), 4, "no tag nonsense"),
        (("tag", n, "-nonsense"), 4, "no tag nonsense"), (("tag", n, "+"), 4, "no tag"),
    ):  # fmt: skip
        done = desk.run(*args)
        assert done.code == code and message in done.err, (args, done)
    assert "press" in desk.run("tag", n, "+nonsense").err


def test_pend(desk: Person) -> None:
    (n,) = desk.receive(mail("Later"))
    done = desk.ok("pend", n, "--until", "2w")
    t = desk.json("show", n)
    assert t["state"] == "pending" and f"{n} pending until {t['pending_until'][:10]}" in done.out
    waits = datetime.fromisoformat(t["pending_until"]) - datetime.fromisoformat(t["updated"])
    assert abs(waits - timedelta(weeks=2)) < timedelta(seconds=5)  # two looks at the clock
    desk.ok("pend", n, "--until", "2030-01-31")
    assert desk.json("show", n)["pending_until"] == "2030-01-31T00:00:00+00:00"
    tomorrow = datetime.now(timezone.utc).date() + timedelta(days=1)
    desk.ok("pend", n, "--until", "tomorrow")
    assert desk.json("show", n)["pending_until"][:10] in (str(tomorrow), str(tomorrow + timedelta(days=1)))
    for until, message in (
        ("2020-01-01", "is not in the future"),
        ("yesterday", "is not in the future"),
        ("soon", "is no date"),
    ):
        done = desk.run("pend", n, "--until", until)
        assert done.code == 2 and message in done.err
    assert desk.run("pend", n).code == 2
    # An answer wakes it.
    desk.ok("close", n, "-o", "successful")
    n = desk.receive(mail("Awake", id="<wake@example.com>"))[0]
    desk.ok("pend", n, "--until", "3d")
    desk.receive(mail("Re: Awake", in_reply_to="<wake@example.com>"))
    t = desk.json("show", n)
    assert (t["state"], t["pending_until"]) == ("open", None)


def test_a_date_beyond_all_calendars_is_refused(desk: Person) -> None:
    (n,) = desk.receive(mail("Far away"))
    assert desk.run("pend", n, "--until", "500000w").code == 2
    assert desk.run("queue", "set", "junk", "--lock-timeout", "999999w").code == 2


def test_a_priority_without_a_ticket_is_named_rightly(desk: Person) -> None:
    done = desk.run("priority", "5")
    assert done.code == 2 and "5 is no priority" not in done.err
