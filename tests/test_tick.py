"""What time does: tickets that close by themselves, agents who are away; and what an admin sets for both."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from conftest import Person, mail
from test_cmd_desk import fetch, later
from test_cmd_work import head
from test_day import refusing

HOUR, DAY = 3600, 86400


def in_python(person: Person, call: str) -> None:
    """Do in ``person``'s name what no command does."""
    script = (
        "import sys\nfrom pathlib import Path\nfrom vrt import members, settings\nfrom vrt.desk import Desk\n"
        f"desk = Desk(Path(sys.argv[1]))\n{call}\n"
    )
    subprocess.run([sys.executable, "-c", script, str(person.desk)], env=person.env, check=True)


# --- closing by itself --------------------------------------------------------------------------------


def test_what_was_to_close_by_now_closes(alice: Person) -> None:
    a, b, c = alice.receive(mail("One"), mail("Two"), mail("Three"))
    done = alice.ok("pend", a, b, "--until", "2d", "--close", "no-reply-needed")
    assert done.out.splitlines()[0].split("  ")[0].endswith(", then closed as no-reply-needed")
    alice.ok("pend", c, "--until", "1d")  # only a reminder
    before = head(alice)
    done = alice.ok("tick")
    assert (done.out, done.err) == ("", "") and head(alice) == before
    soon = later(alice, 3 * DAY)
    done = alice.ok("tick", "--dry-run", env=soon)
    assert done.out.splitlines() == [f"{n} would be closed as no-reply-needed" for n in (a, b)]
    assert alice.ok("tick", "--dry-run", "--json", env=soon).json == {"closed": [a, b], "freed": []}
    assert head(alice) == before
    assert alice.ok("tick", env=soon).out.splitlines() == [f"{n} closed as no-reply-needed" for n in (a, b)]
    t = alice.json("show", a)
    assert (t["state"], t["outcome"], t["events"][-1]["agent"]) == ("closed", "no-reply-needed", "alice")
    assert alice.json("show", c)["state"] == "pending"
    assert alice.ok("tick", "--json", env=soon).json == {"closed": [], "freed": []}
    assert alice.ok("verify").out.endswith("all in order\n")
    for args, code in (
        (("pend", c, "--until", "2d", "--close", "nonsense"), 4),
        (("pend", c, "--until", "2d", "--close"), 2),
    ):
        assert alice.run(*args).code == code


def test_what_waits_for_a_person_does_not_close(alice: Person, tmp_path: Path) -> None:
    """Somebody wrote, or may have written; a colleague writes; the last message did not arrive; put off again."""
    wrote, doubt, draft, bounced, again, opened = alice.receive(
        *(mail(f"T{i}", id=f"<{i}@example.com>") for i in range(6))
    )
    refusing(alice, tmp_path)
    alice.run("reply", bounced, "-m", "An answer.", "-y")
    for n in (wrote, doubt, draft, bounced, again, opened):
        alice.ok("pend", n, "--until", "2d", "--close", "successful")
    alice.receive(mail("Re: T0", in_reply_to="<0@example.com>"))
    alice.receive(mail(f"Re: [Ticket#{doubt}]", sender="eve@example.net"))
    alice.ok("draft", draft, "-m", "I am not done.")
    alice.ok("pend", again, "--until", "2d")
    alice.ok("close", opened, "-o", "spam")
    alice.ok("reopen", opened)
    assert alice.ok("tick", env=later(alice, 3 * DAY)).out == ""
    states = {n: alice.json("show", n)["state"] for n in (wrote, doubt, draft, bounced, again, opened)}
    assert states == {wrote: "open", doubt: "pending", draft: "pending", bounced: "pending", again: "pending",
                      opened: "open"}  # fmt: skip


def test_many_clones_may_tick(alice: Person, colleague: Callable[..., Person]) -> None:
    """Each in its own queues, and what another has done is done."""
    a, b = alice.receive(mail("Mine"), mail("Ours", to="permissions-en@example.org"))
    bob, carol = colleague("bob", "permissions-en"), colleague("carol", "permissions-en")
    fetch(bob, alice)
    bob.ok("take", b)  # its lock runs longer than the ticket waits, which does not save it
    bob.ok("pend", b, "--until", "60m", "--close", "successful")
    fetch(alice, bob), fetch(carol, bob)
    alice.ok("pend", a, "--until", "60m", "--close", "successful")
    fetch(carol, alice)
    soon = later(carol, 2 * HOUR)
    assert carol.ok("tick", env=soon).out == f"{b} closed as successful\n"
    assert carol.json("trail", b)[-1]["force"] == "yes"
    fetch(alice, carol)
    assert alice.ok("tick", env=later(alice, 2 * HOUR)).out == f"{a} closed as successful\n"
    assert alice.ok("verify").out.endswith("all in order\n")


def test_an_outcome_that_the_desk_has_no_more_does_not_stop_the_others(alice: Person) -> None:
    a, b = alice.receive(mail("One"), mail("Two"))
    alice.ok("pend", a, "--until", "2d", "--close", "duplicate")
    alice.ok("pend", b, "--until", "2d", "--close", "spam")
    in_python(alice, "settings.set_desk(desk, outcomes=('successful', 'spam'))")
    assert alice.ok("tick", env=later(alice, 3 * DAY)).out == f"{b} closed as spam\n"


def test_machines_do_not_tick(alice: Person, colleague: Callable[..., Person]) -> None:
    node = colleague("mx1", role="intake")
    assert node.run("tick").code == 5


# --- away ---------------------------------------------------------------------------------------------


def test_who_goes_away_leaves_nothing_behind(alice: Person, colleague: Callable[..., Person]) -> None:
    a, b, c = alice.receive(mail("One"), mail("Two"), mail("Three"))
    bob = colleague("bob", "info-en")
    bob.ok("take", a, b)
    bob.ok("pend", b, "--until", "5d")
    done = bob.ok("agent", "away", "--until", "3d")
    assert "bob is away until 20" in done.out and f"{a} released\n{b} released\n" in done.out
    assert [(bob.json("show", n)["owner"], bob.json("show", n)["state"]) for n in (a, b)] == [
        (None, "open"), (None, "pending"),
    ]  # fmt: skip
    assert bob.json("trail", a)[-1].get("force") is None
    fetch(alice, bob)
    assert "AWAY UNTIL" in alice.ok("agent", "list").out
    (card,) = [x for x in alice.json("agent", "list") if x["handle"] == "bob"]
    assert card["away"] > "2026" and "supervised" not in card
    # Who is away is given nothing, unless by force; that stays.
    done = alice.run("assign", c, "bob")
    assert done.code == 6 and f"bob is away until {card['away']}" in done.err
    alice.ok("assign", c, "bob", "--force")
    assert alice.ok("tick").out == "" and alice.json("show", c)["owner"] == "bob"
    # Through the last day, and no longer; or until he is back.
    last = later(alice, 2 * DAY)
    assert alice.run("assign", a, "bob", env=last).code == 6
    assert alice.run("assign", a, "bob", env=later(alice, 4 * DAY)).code == 0
    fetch(bob, alice)
    assert bob.ok("agent", "away", "--back").out == "bob is back\n"
    fetch(alice, bob)
    alice.ok("assign", b, "bob")
    assert "AWAY" not in alice.ok("agent", "list").out
    assert alice.ok("verify").out.endswith("all in order\n")


def test_an_admin_frees_the_tickets_of_others(alice: Person, colleague: Callable[..., Person]) -> None:
    a, p = alice.receive(mail("One"), mail("Two", to="permissions-en@example.org"))
    bob = colleague("bob", "info-en", "permissions-en")
    bob.ok("take", a, p)
    fetch(alice, bob)
    alice.ok("agent", "queues", "alice", "-permissions-en")
    done = alice.ok("agent", "away", "bob", "--until", "2w")
    assert f"{a} released" in done.out and p not in done.out  # not her queue
    assert alice.json("trail", a)[-1]["force"] == "yes"
    fetch(bob, alice)
    assert bob.ok("tick").out == f"{p} released: bob is away\n"
    fetch(alice, bob)
    assert alice.ok("verify").out.endswith("all in order\n")


def test_an_absence_that_begins_with_a_killed_vrt_is_completed_by_tick(alice: Person) -> None:
    """What was not released when the absence was said is released later: the desk knows who had it before."""
    (n,) = alice.receive(mail("One"))
    alice.ok("take", n)
    in_python(alice, "members.set_card(desk, 'alice', away='2999-12-31')")
    assert alice.ok("tick", "--dry-run").out == f"{n} would be released: alice is away\n"
    assert alice.ok("tick").out == f"{n} released: alice is away\n"
    assert alice.ok("tick").out == ""


def test_whose_absence_it_is(alice: Person, colleague: Callable[..., Person]) -> None:
    bob = colleague("bob", "info-en")
    colleague("mx1", role="intake")
    fetch(bob, alice)
    before = head(bob)
    for args, code, message in (
        (("away", "alice", "--until", "2w"), 5, "bob is no admin"),
        (("set", "bob", "--supervised"), 5, "bob is no admin"),
        (("away", "nobody", "--until", "2w"), 4, "no agent named nobody"),
        (("away",), 2, "until when, or back?"),
        (("away", "--until", "2w", "--back"), 2, "until when, or back?"),
        (("away", "--until", "2020-01-01"), 2, "is over"),
        (("away", "--until", "sometime"), 2, "is no date"),
        (("away", "--back"), 2, "bob is here already"),
    ):
        done = bob.run("agent", *args)
        assert done.code == code and message in done.err, (args, done)
    assert head(bob) == before
    done = alice.run("agent", "away", "mx1", "--until", "2w")
    assert done.code == 2 and "mx1 is no agent" in done.err
    bob.ok("agent", "away", "--until", "2030-06-01")
    assert "away until 2030-06-01 already" in bob.run("agent", "away", "--until", "2030-06-01").err


@pytest.mark.parametrize(("zone", "over"), [("Pacific/Kiritimati", True), ("Pacific/Pago_Pago", False)])
def test_a_day_is_one_of_the_desk_s_time_zone(tmp_path: Path, zone: str, over: bool) -> None:
    """Midnight of the last day in UTC: over where the day began 14 hours before, not where it begins 11 hours later."""
    person = Person(tmp_path / "home")
    person.ok("init", str(tmp_path / "desk"), "--name", "X", "--domain", "example.org", "--agent", "alice",
              "--timezone", zone)  # fmt: skip
    person.desk = tmp_path / "desk"
    now = datetime.now(timezone.utc)
    day = (now + timedelta(days=3)).date()
    person.ok("agent", "away", "--until", day.isoformat())
    midnight = datetime(day.year, day.month, day.day, 23, 30, tzinfo=timezone.utc)
    env = later(person, int((midnight - now).total_seconds()))
    assert ("AWAY" not in person.ok("agent", "list", env=env).out) == over


# --- what an admin sets -------------------------------------------------------------------------------


def test_supervision(alice: Person, tmp_path: Path) -> None:
    trainee = Person(tmp_path / "home-carol")
    card = tmp_path / "carol.yaml"
    card.write_text(trainee.ok("identity").out)
    flags = ("--agreed", "2026-11-01", "--queue", "info-en")
    alice.ok("agent", "add", "carol", "--card", str(card), *flags, "--supervised")
    assert "agent (supervised)" in alice.ok("agent", "list").out
    assert alice.ok("agent", "set", "carol", "--no-supervised").out == "carol is not supervised from now on\n"
    assert "supervised" not in alice.ok("agent", "list").out
    assert alice.run("agent", "set", "carol", "--no-supervised").code == 2
    assert alice.json("agent", "set", "carol", "--supervised")["supervised"] is True
    assert alice.run("agent", "set", "carol").code == 2
    assert alice.ok("verify").out.endswith("all in order\n")


def test_what_a_queue_says_of_its_mail(alice: Person) -> None:
    flags = ("--title", "Info team", "--signed-by", "agent", "--html", "--approval", "--send-delay", "10m")
    alice.ok("queue", "set", "info-en", *flags)
    queue = alice.json("queue", "show", "info-en")
    named = ("title", "signed_by", "html", "approval", "send_delay")
    assert [queue[n] for n in named] == ["Info team", "agent", True, True, "10m"]
    alice.ok("queue", "set", "info-en", "--no-html", "--no-approval", "--send-delay", "0m", "--signed-by", "queue")
    queue = alice.json("queue", "show", "info-en")
    assert [queue[n] for n in named] == ["Info team", "queue", False, False, "0m"]
    assert alice.json("queue", "add", "new-en", "--approval", "--send-delay", "1d")["approval"] is True
    before = head(alice)
    for args in (
        ("--send-delay", "25h"), ("--send-delay", "2d"), ("--send-delay", "soon"), ("--title", "a\nb"),
        ("--title", "x\u202ey"), ("--title", "x" * 101), ("--signed-by", "nobody"), ("--no-html",),
    ):  # fmt: skip
        assert alice.run("queue", "set", "info-en", *args).code == 2, args
    assert head(alice) == before
