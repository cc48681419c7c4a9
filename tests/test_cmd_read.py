"""Reading: list, show, raw, trail, attachments and the files saved from them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Person, founded, mail
from test_cmd_desk import fetch, later

DAY = 86400


# --- list -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Person, dict[str, str]]:
    """A desk in the middle of its day: tickets by name, received on four days."""
    alice = founded(tmp_path_factory.mktemp("list"))
    names = {}
    for days, name, to in (
        (0, "old", "info-en"), (1, "permission", "permissions-en"), (2, "urgent", "info-en"), (2, "mine", "info-en"),
        (3, "done", "info-en"), (3, "waits", "info-en"), (3, "news", "info-en"),
    ):  # fmt: skip
        got = alice.ok(
            "receive", "--json", "-", feed=mail(name, to=f"{to}@example.org"), env=later(alice, days * DAY)
        ).json
        names[name] = got["mails"][0]["ticket"]
    now = later(alice, 4 * DAY)
    alice.ok("priority", names["urgent"], "5", env=now)
    alice.ok("take", names["mine"], env=now)
    alice.ok("close", names["done"], "-o", "successful", env=now)
    alice.ok("pend", names["waits"], "--until", "3d", env=now)
    alice.env |= now
    return alice, {n: name for name, n in names.items()}


def listed(busy: tuple[Person, dict[str, str]], *args: str) -> list[str]:
    alice, names = busy
    return [names[t["number"]] for t in alice.ok("--json", "list", *args).json]


def test_list_shows_what_is_not_closed_the_most_urgent_first(busy: tuple[Person, dict[str, str]]) -> None:
    assert listed(busy) == ["urgent", "old", "permission", "mine", "waits", "news"]  # and the longest waiting
    assert listed(busy, "state:any")[-1] == "done"
    assert listed(busy, "state:closed") == ["done"]
    alice, names = busy
    out = alice.ok("list").out.splitlines()
    assert out[0].split() == ["NUMBER", "WAITS", "STATE", "OWNER", "QUEUE", "FROM", "SUBJECT"]
    number = {v: k for k, v in names.items()}
    assert out[2].split() == [number["old"], "4d", "new", "+1", "info-en", "Jane", "Roe", "old"]
    assert out[1].split()[:6] == [number["urgent"], "2d", "new", "p5", "+1", "info-en"]
    assert out[4].split()[:5] == [number["mine"], "2d", "open", "+1", "alice*"]  # the star: locked
    assert out[5].split()[:6] == [number["waits"], "1d", "pending", "3d", "+1", "info-en"]
    assert "info-en" not in alice.ok("list", "queue:info-en").out  # what is the same everywhere is left out


@pytest.mark.parametrize(
    ("args", "names"),
    [
        (["--sort", "newest"], ["news", "waits", "mine", "urgent", "permission", "old"]),
        (["--sort", "oldest"], ["old", "permission", "urgent", "mine", "waits", "news"]),
        (["--sort", "waiting"], ["old", "permission", "urgent", "mine", "waits", "news"]),
        (["-n", "2"], ["urgent", "old"]),
        (["-n", "0", "state:any"], ["urgent", "old", "permission", "mine", "waits", "news", "done"]),
        (["queue:permissions-en"], ["permission"]),
        (["state:new"], ["urgent", "old", "permission", "news"]),
        (["state:open,pending"], ["mine", "waits"]),
        (["owner:me"], ["mine"]),
        (["owner:alice", "state:any"], ["mine"]),
        (["owner:none", "state:new", "queue:info-en"], ["urgent", "old", "news"]),
        (["is:mine"], ["mine"]),
        (["is:locked"], ["mine"]),
        (["is:free"], ["urgent", "old", "permission", "waits", "news"]),
        (["is:waiting"], ["urgent", "old", "permission", "mine", "waits", "news"]),
        (["is:overdue"], []),
        (["priority:4,5"], ["urgent"]),
        (["age:>3d"], ["old", "permission"]),
        (["age:<30h"], ["waits", "news"]),
        (["outcome:successful", "state:any"], ["done"]),
        (["after:36h"], ["waits", "news"]),
        (["--", "-queue:info-en"], ["permission"]),
        (["urgent"], ["urgent"]),
        (["subject:done"], []),  # closed: not in the default view
        (["subject:done", "state:any"], ["done"]),
    ],
    ids=" ".join,
)
def test_list_sorts_and_queries(busy: tuple[Person, dict[str, str]], args: list[str], names: list[str]) -> None:
    assert listed(busy, *args) == names


def test_list_says_what_it_leaves_out(busy: tuple[Person, dict[str, str]]) -> None:
    alice, _ = busy
    done = alice.ok("list", "-n", "2")
    assert len(done.out.splitlines()) == 3 and "4 more" in done.err
    done = alice.ok("list", "state:closed", "owner:me")
    assert done.out == "" and "no ticket is like that" in done.err
    assert alice.json("list", "is:overdue") == []
    env = later(alice, 20 * DAY)
    assert len(alice.ok("list", "--json", "is:overdue", env={"PYTHONPATH": env["PYTHONPATH"]}).json) == 6


def test_list_sorts_what_a_word_finds(busy: tuple[Person, dict[str, str]]) -> None:
    assert listed(busy, "from:jane", "--sort", "oldest") == ["old", "permission", "urgent", "mine", "waits", "news"]
    assert listed(busy, "from:jane")[0] == "urgent"


def test_list_takes_exclusions_as_search_does(busy: tuple[Person, dict[str, str]]) -> None:
    assert listed(busy, "-queue:info-en") == ["permission"]


def test_nothing_waits(alice: Person) -> None:
    done = alice.ok("list")
    assert done.out == "" and done.err == "vrt: nothing waits in your queues\n"
    assert alice.json("list") == []


# --- show -----------------------------------------------------------------------------------------

ANSWER = """Thank you, that helps.

> On Friday you wrote:
> one
> two
> three
> four

Yours, Jane
-- \nJane Roe
Museum of Bridges
Long Street 1
jane@example.com
"""


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> tuple[Person, str]:
    """A desk with one ticket that has a little of everything."""
    alice = founded(tmp_path_factory.mktemp("show"))
    n = alice.receive(
        mail("The bridge", ANSWER, id="<1@example.com>", cc="Max <max@example.com>", files={"map.pdf": b"x" * 1500})
    )[0]
    alice.ok("take", n)
    alice.ok("tag", n, "+press")
    alice.ok("note", n, "-m", "Looks fine.\n\n> quoted\n> in a\n> note\n> of mine")
    alice.receive(mail("Re: The bridge", "One more thing.", in_reply_to="<1@example.com>"))
    return alice, n


def test_show_tells_a_ticket_s_story_in_order(story: tuple[Person, str]) -> None:
    alice, n = story
    out = alice.ok("show", n).out
    head = out.splitlines()
    assert head[0] == f"Ticket#{n}  The bridge"
    assert re.match(
        r"open in info-en · waits \d+[sm] · owner alice, locked until \d{4}-\d\d-\d\d \d\d:\d\d UTC · \+press", head[1]
    )
    order = ["mail from Jane Roe <jane@example.com>", "To: info-en@example.org", "Cc: Max <max@example.com>",
             "Thank you, that helps.",
             "[1] map.pdf  application/octet-stream, 1.5 kB", "alice: take", "alice: tag +press", "note by alice",
             "Looks fine.",
             "One more thing."]  # fmt: skip
    places = [out.index(text) for text in order]
    assert places == sorted(places)
    # The same ticket by its last digits, with # or as the subject has it.
    for name in (n[-4:], f"#{n}", f"[Ticket#{n}]", f"ticket:{n}"):
        assert alice.ok("show", name).out.splitlines()[2:] == head[2:]


def test_quotations_are_folded_and_never_gone(story: tuple[Person, str]) -> None:
    alice, n = story
    out, full = alice.ok("show", n).out, alice.ok("show", n, "--full").out
    assert "quoted: --full shows them]" in out and "of signature: --full shows them]" in out
    assert "> three" not in out and "Museum of Bridges" not in out and "Yours, Jane" in out
    assert "> three" in full and "Museum of Bridges" in full and "--full shows" not in full
    assert alice.json("show", n)["articles"][0]["body"] == ANSWER.rstrip("\n")  # whole, always


def test_a_date_that_the_mail_claims_is_shown_where_it_is_odd(story: tuple[Person, str]) -> None:
    alice, _ = story
    (n,) = alice.receive(mail("Old letter").replace(b"20 Nov 2026", b"20 Nov 1999"))
    assert "Date: 1999-11-20" in alice.ok("show", n).out


def test_show_to_those_without_the_key(alice: Person, colleague: Callable[..., Person]) -> None:
    (n,) = alice.receive(mail("The bridge", "secret words"))
    alice.ok("note", n, "-m", "more secrets")
    alice.ok("priority", n, "4")
    bob = colleague("bob", "permissions-en")
    out = bob.ok("show", n).out
    assert "secret" not in out and "bridge" not in out and out.count("sealed: no key") >= 2
    assert "priority 4" in out and "alice: priority 4" in out
    assert bob.ok("list").out == ""  # what is not in my queues is not mine to see to
    assert "(sealed: no key)" in bob.ok("list", "queue:info-en").out
    assert bob.ok("trail", n).out == alice.ok("trail", n).out
    assert bob.run("raw", n).code == 5 and bob.run("export", n, "x").code == 5
    fetch(bob, alice)


# --- raw ------------------------------------------------------------------------------------------


def test_raw_is_the_mail_byte_for_byte(story: tuple[Person, str]) -> None:
    alice, _ = story
    for raw in (
        mail("Umlauts", "äöü 著作権\n"),
        mail("CRLF").replace(b"\n", b"\r\n"),
        mail("Eight bits").replace(b"please", b"pl\xe9ase \x00\xff\x1b[45m"),
        mail("No end").rstrip(b"\n"),
        mail("Blank ends") + b"\n\n \n",
        b"\xef\xbb\xbf" + mail("With a mark"),
    ):
        n = alice.ok("receive", "--json", "-", feed=raw).json["mails"][0]["ticket"]
        assert alice.ok("raw", n).raw == raw
        assert alice.json("show", n)["articles"][0]["original_sha256"] == hashlib.sha256(raw).hexdigest()


def test_raw_of_one_mail_among_several(story: tuple[Person, str]) -> None:
    alice, n = story
    first, second = (e["id"] for e in alice.json("trail", n) if e["action"] == "receive")
    assert b"Subject: The bridge" in alice.ok("raw", n).raw == alice.ok("raw", n, first).raw
    assert b"Subject: Re: The bridge" in alice.ok("raw", n, second).raw == alice.ok("raw", n, second[-8:]).raw
    assert alice.run("raw", n, first[:8]).code == 2  # both begin so
    assert alice.run("raw", n, "nothing").code == 4
    note = next(e["id"] for e in alice.json("trail", n) if e["action"] == "note")
    assert alice.run("raw", n, note).code == 4
    (made,) = alice.json("new", "-q", "info-en", "-s", "By hand", "-m", "x")
    done = alice.run("raw", made["number"])
    assert done.code == 4 and "has no mail" in done.err


# --- trail ----------------------------------------------------------------------------------------


def test_the_trail_is_what_git_says(story: tuple[Person, str]) -> None:
    alice, n = story
    rows = alice.ok("trail", n).out.splitlines()
    assert rows[0].split() == ["COMMIT", "TIME", "AGENT", "EVENT"]
    folder = f"tickets/{n[:4]}/{n[4:6]}/{n[6:8]}/000/{n}"
    log = alice.git("log", "--reverse", "--format=%h %G? %an %s", "--abbrev=12", "--", folder).decode().splitlines()
    assert [r.split()[0] for r in rows[1:]] == [row.split()[0] for row in log]
    assert all(row.split()[1:3] == ["G", "alice"] for row in log)
    assert [row.split(" ", 3)[3] for row in log][:3] == [f"receive {n} in info-en", f"take {n}", f"tag {n} +press"]
    assert [r.split("alice")[1].split()[0] for r in rows[1:]] == ["receive", "take", "tag", "note", "receive"]
    assert "by references" in rows[-1]


# --- attachments ----------------------------------------------------------------------------------


def test_attachments_are_listed_and_saved(story: tuple[Person, str], tmp_path: Path) -> None:
    alice, n = story
    rows = alice.ok("attachments", n).out.splitlines()
    assert rows[0].split() == ["SIZE", "CAME", "TYPE", "NAME"]
    assert re.fullmatch(r"1\.5 kB  \d{8}T\d{6}Z  application/octet-stream  map\.pdf", rows[1])
    (file,) = alice.json("attachments", n)
    folder = tmp_path / "files"
    done = alice.ok("attachments", n, "--save", str(folder))
    assert done.out == f"{folder}/map.pdf\n" and "plaintext" in done.err and "1 file" in done.err
    saved = folder / "map.pdf"
    assert (
        hashlib.sha256(saved.read_bytes()).hexdigest() == file["sha256"]
        and len(saved.read_bytes()) == file["size"] == 1500
    )
    assert saved.stat().st_mode & 0o777 == 0o600 and folder.stat().st_mode & 0o777 == 0o700
    alice.ok("attachments", n, "--save", str(folder))  # again: beside it, never over it
    assert sorted(p.name for p in folder.iterdir()) == ["map-2.pdf", "map.pdf"]
    (none,) = alice.receive(mail("No files"))
    done = alice.ok("attachments", none)
    assert done.out == "" and "no files" in done.err


HOSTILE = {
    "../../escape.txt": "escape.txt",
    "/etc/cron.d/job": "job",
    "..\\..\\windows.ini": "windows.ini",
    "..": "part-4",
    ".bashrc": "bashrc",
    "-rf": "rf",
    "CON": "_CON",
    "nul.txt": "_nul.txt",
    "same.txt": "same.txt",
    "Same.TXT": "Same-2.TXT",
    "a\x1b[45mb\u202e.txt": "a[45mb.txt",
    "ü" * 200 + ".pdf": "ü" * 88 + ".pdf",
    "with space.txt ": "with space.txt",
}


def hostile_mail() -> bytes:
    from base64 import b64encode

    parts = []
    for i, name in enumerate(HOSTILE):
        word = f"=?utf-8?b?{b64encode(name.encode()).decode()}?="
        parts.append(
            f'--b\nContent-Type: application/octet-stream; name="{word}"\n'
            f'Content-Disposition: attachment; filename="{word}"\n\n{i}\n'
        )
    head = "From: eve@example.com\nTo: info-en@example.org\nSubject: Files\nMIME-Version: 1.0\n"
    return (head + 'Content-Type: multipart/mixed; boundary="b"\n\n' + "".join(parts) + "--b--\n").encode()


def test_hostile_names_stay_in_the_folder(story: tuple[Person, str], tmp_path: Path) -> None:
    alice, _ = story
    n = alice.ok("receive", "--json", "-", feed=hostile_mail()).json["mails"][0]["ticket"]
    folder = tmp_path / "deep" / "er"
    alice.ok("attachments", n, "--save", str(folder))
    found = {p.read_text().strip(): p.name for p in folder.iterdir()}
    assert found == {str(i): safe for i, safe in enumerate(HOSTILE.values())}
    assert [p for p in tmp_path.rglob("*") if p.is_file() and p.parent != folder] == []

    # A link that lies in wait is not written through.
    other = tmp_path / "other"
    other.mkdir()
    target = tmp_path / "target"
    target.write_text("mine")
    (other / "escape.txt").symlink_to(target)
    alice.ok("attachments", n, "--save", str(other))
    assert target.read_text() == "mine" and (other / "escape-2.txt").read_text().strip() == "0"
    assert alice.run("attachments", n, "--save", str(target)).code == 2  # a file is no folder
    assert alice.run("attachments", n, "--save", str(target / "below")).code == 1
