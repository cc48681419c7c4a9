"""What goes wrong is said in one line, mostly with a hint, and a code that a script can tell apart.

``vrt: error: …`` and ``vrt: hint: …``, in lower case, without a full stop; never a traceback.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path

import pytest
from conftest import Done, Person, founded, mail
from test_cmd_desk import later
from test_terminal import on_terminal

from vrt import number


def assert_said(done: Done, code: int, message: str, hint: str | None = "") -> None:
    """Fail unless a command ended with ``code`` and one error line, and a hint with ``hint`` in it (None: no hint)."""
    assert done.code == code, done
    assert "Traceback" not in done.err and done.out == "", done
    rows = done.err.splitlines()
    assert rows and rows[0].startswith("vrt: error: ") and message in rows[0], done
    assert not rows[0].endswith(".") and not re.match("[A-Z][a-z]", rows[0].removeprefix("vrt: error: ")), done
    if hint is None:
        assert len(rows) == 1, done
    else:
        assert len(rows) == 2 and rows[1].startswith("vrt: hint: ") and hint in rows[1] and not rows[1].endswith("."), (
            done
        )


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> tuple[Person, str]:
    """A desk with a few tickets. What fails changes nothing, so the tests share it."""
    alice = founded(tmp_path_factory.mktemp("errors"))
    n, m = alice.receive(mail("The bridge", files={"map.pdf": b"x"}), mail("Closed"))
    alice.ok("close", m, "--outcome", "spam")
    return alice, n


WRONG: list[tuple[Sequence[str], int, str, str | None]] = [
    # commands and options
    (("lst",), 2, "no command lst", "did you mean list"),
    (("frobnicate",), 2, "no command frobnicate", "vrt --help"),
    (("show",), 2, "missing argument 'N'", "vrt show --help"),
    (("show", "N", "--colour"), 2, "no such option '--colour'", "vrt show --help"),
    (("--frob", "list"), 2, "no such option '--frob'", "vrt --help"),
    (("queue", "frob"), 2, "frob", "vrt queue --help"),
    (("list", "--sort", "colour"), 2, "'colour' is not one of", "vrt list --help"),
    (("list", "-n", "many"), 2, "'many' is not a valid integer", "vrt list --help"),
    (("list", "-n", "-1"), 2, "-1 is not in the range", "vrt list --help"),
    (("close", "N"), 2, "closed as what?", "--outcome successful"),
    (("completion", "tcsh"), 2, "'tcsh' is not one of", "vrt completion --help"),
    # tickets
    (("show", "2026112010009999"), 4, "wrong check digit", "vrt list"),
    (("show", "2016042410005869"), 4, "no ticket 2016042410005869", "vrt list"),
    (("show", "9999"), 4, "no ticket ends in 9999", "vrt list"),
    (("show", "81"), 2, "81 is too short for a ticket number", "at least 4"),
    (("show", "bridge"), 2, "'bridge' is no ticket number", "at least 4"),
    (("show", "1" * 18), 2, "is no ticket number", "at least 4"),
    (("show", "٢٠٢٦١١٢٠١٠٠٠٠٠١٧"), 2, "is no ticket number", "at least 4"),
    (("raw", "N", "nothing"), 4, "no mail nothing in", "one of "),
    # words that the desk does not have
    (("close", "N", "-o", "done"), 4, "no outcome done", "successful"),
    (("tag", "N", "+hot"), 4, "no tag hot", "urgent"),
    (("route", "N", "nowhere"), 4, "no queue named nowhere", "vrt queue list"),
    (("assign", "N", "nobody"), 4, "no agent named nobody", "vrt agent list"),
    (("next", "-q", "nowhere"), 4, "no queue named nowhere", "vrt queue list"),
    (("new", "-q", "nowhere", "-s", "s", "-m", "m"), 4, "no queue named nowhere", "vrt queue list"),
    (("queue", "show", "nowhere"), 4, "no queue named nowhere", "vrt queue list"),
    (("agent", "queues", "nobody"), 4, "no agent named nobody", "vrt agent list"),
    (("list", "queue:nowhere"), 4, "no queue named nowhere", "vrt queue list"),
    (("priority", "N", "6"), 2, "6 is no priority", "from 1 to 5"),
    (("pend", "N", "--until", "soon"), 2, "'soon' is no date", "2026-12-01"),
    (("pend", "N", "--until", "2020-01-01"), 2, "2020-01-01 is not in the future", "tomorrow"),
    # queries
    (("search", "after:soon"), 2, "'soon' is no date", "2w"),
    (("search", "age:old"), 2, "age:old is not known", "age:>7d"),
    (("search", "sender:jane"), 2, "no field sender:", "from:"),
    (("search", "state:done"), 2, "state:done is not known", "pending"),
    (("list", "is:hot"), 2, "is:hot is not known", "overdue"),
    (("list", "priority:9"), 2, "priority:9 is not known", "1 2 3 4 5"),
    (("search", '"no end'), 2, "a quotation mark is not closed", '"free image"'),
    (("search", "..."), 2, "'...' has no letter or digit", "punctuation"),
    (("search", "from:"), 2, "'from:' asks for nothing", "field:value"),
    # text and files
    (("note", "N", "-m", " "), 2, "the note is empty: nothing was recorded", "-m TEXT"),
    (("note", "N"), 2, "there is no terminal for the editor", "-F FILE"),
    (("note", "N", "-F", "/nowhere"), 2, "/nowhere: No such file", None),
    (("receive", "/nowhere.eml"), 2, "/nowhere.eml: No such file", "mboxes, Maildirs"),
    (("receive",), 2, "missing argument", "vrt receive --help"),
    (("attachments", "N", "--save", "/dev/null/x"), 1, "/dev/null/x: ", "can be written"),
    (("export", "N", "/dev/null/x"), 1, "/dev/null/x", "can be written"),
    (("export", "N"), 2, "export takes tickets and a folder", "vrt export N... DIR"),
    (("unlock", "--for", "ever"), 2, "'ever' is no span of time", None),
    (("identity", "--identity", "/nowhere"), 2, "does not exist", "vrt identity --help"),
    # states
    (("reopen", "N"), 6, " is new", "vrt show "),
    (("route", "N", "info-en"), 6, "is in info-en already", "vrt show "),
]  # fmt: skip


def test_wrong_input_gets_a_line_a_hint_and_its_code(desk: tuple[Person, str]) -> None:
    alice, n = desk
    before = alice.git("rev-parse", "main", "keys")
    for args, code, message, hint in WRONG:
        assert_said(alice.run(*(n if a == "N" else a for a in args)), code, message, hint)
    assert alice.git("rev-parse", "main", "keys") == before
    assert not (Path(str(alice.desk)) / "vrt" / "vrt.log").exists()  # none of these was a bug


@pytest.mark.parametrize("args", [(), ("queue",), ("agent",)], ids=["vrt", "queue", "agent"])
def test_a_command_without_a_subcommand_shows_its_help(desk: tuple[Person, str], args: tuple[str, ...]) -> None:
    alice, _ = desk
    done = alice.run(*args)
    text = done.out + done.err
    assert "Usage: vrt" in text and "list" in text and len(text.splitlines()) > 5
    assert "vrt: error" not in text


def test_a_closed_ticket_says_by_whom_and_what_helps(desk: tuple[Person, str]) -> None:
    alice, _ = desk
    m = alice.json("list", "state:closed")[0]["number"]
    for args in (("close", m, "-o", "spam"), ("take", m)):
        assert_said(alice.run(*args), 6, f"{m} is closed", f"vrt reopen {m}")
    assert "(by alice, 20" in alice.run("take", m).err


def test_a_mistyped_number_is_answered_with_the_near_one(desk: tuple[Person, str]) -> None:
    alice, n = desk
    swapped = n[:-2] + n[-1] + n[-2]
    digit = n[:-1] + ("0" if n[-1] != "0" else "2")
    other = n[:-3] + str((int(n[-3]) + 1) % 10) + n[-2:]
    for typed in (swapped, digit, other):
        what = f"no ticket {typed}" if number.is_valid(typed) else f"{typed} has a wrong check digit"
        assert_said(alice.run("show", typed), 4, what, f"did you mean {n}?")
    assert not number.is_valid(digit)


def test_a_short_number_of_several_tickets(desk: tuple[Person, str], tmp_path: Path) -> None:
    """The tickets of two days may end alike: mine comes first, else the full number is asked for."""
    alice = Person(desk[0].home, tmp_path / "desk")
    shutil.copytree(str(desk[0].desk), str(alice.desk))
    first, n = date(int(desk[1][:4]), int(desk[1][4:6]), int(desk[1][6:8])), desk[1]
    days = next(d for d in range(1, 60) if number.make(f"{first + timedelta(d):%Y%m%d}", "10", 1)[-4:] == n[-4:])
    got = alice.ok("receive", "--json", "-", feed=mail(), env=later(alice, days * 86400)).json["mails"][0]["ticket"]
    assert got != n and got[-4:] == n[-4:]
    assert_said(alice.run("show", n[-4:]), 2, f"2 tickets end in {n[-4:]}", f"one of {n}, {got}")
    assert alice.json("show", got[4:])["number"] == got  # more digits tell them apart
    alice.ok("take", got)
    assert alice.json("show", got[-4:])["number"] == got
    alice.ok("take", n)
    assert_said(alice.run("show", n[-4:]), 2, f"2 tickets end in {n[-4:]}", "one of ")


# --- desks and keys -----------------------------------------------------------------------------------


def test_not_a_desk(desk: tuple[Person, str], tmp_path: Path) -> None:
    alice, n = desk
    lost = Person(alice.home)
    (tmp_path / "plain").mkdir()
    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path / "bare.git")], check=True)
    assert_said(lost.run("list", cwd=tmp_path), 2, "this folder is not in a desk", "-C DESK")
    for place in ("plain", "bare.git", "nowhere"):
        assert_said(lost.run("-C", str(tmp_path / place), "list"), 2, "is not a desk", "vrt init")
    assert_said(lost.run("list", env={"VRT_DESK": str(tmp_path)}), 2, "is not a desk", "vrt init")
    # Found from within, and by the variable; -C comes first.
    assert alice.desk is not None
    assert lost.run("list", cwd=alice.desk / "objects").code == 0
    assert lost.run("show", n, env={"VRT_DESK": str(alice.desk)}, cwd=tmp_path).code == 0
    assert lost.run("-C", str(alice.desk), "show", n, env={"VRT_DESK": str(tmp_path)}).code == 0


def test_no_key(desk: tuple[Person, str], tmp_path: Path) -> None:
    alice, n = desk
    nobody = {"VRT_HOME": str(tmp_path / "none")}
    for args in (("list",), ("show", n), ("note", n, "-m", "x"), ("status",)):
        assert_said(alice.run(*args, env=nobody), 5, f"no key at {tmp_path}/none", "vrt identity")
    # The keys of somebody else are not taken for hers.
    eve = Person(tmp_path / "eve", tmp_path / "desk")
    shutil.copytree(str(alice.desk), str(eve.desk))
    eve.ok("identity")
    for args in (("list",), ("show", n), ("take", n), ("note", n, "-m", "x")):
        assert_said(eve.run(*args), 5, "the key at hand is not that of alice", "VRT_HOME")


def test_a_card_without_rights(alice: Person, colleague: Callable[..., Person]) -> None:
    (n,) = alice.receive(mail())
    bob, carol = colleague("bob", "permissions-en"), colleague("carol", role="reviewer")
    for person in (bob, carol):
        for args in (
            ("take", n),
            ("note", n, "-m", "x"),
            ("close", n, "-o", "spam"),
            ("route", n, "permissions-en"),
            ("priority", n, "4"),
        ):
            done = person.run(*args)
            assert_said(done, 5, "", "vrt agent list")
    assert "bob is not in the queue info-en" in bob.run("take", n).err
    assert "needs one of the roles" in carol.run("take", n).err
    assert_said(carol.run("receive", str(alice.home / "mails")), 5, "carol may not receive mail", "agent or intake")


def test_a_key_that_others_can_read_is_not_used(desk: tuple[Person, str]) -> None:
    alice, n = desk
    for name in ("identity.txt", "signing"):
        key = Path(alice.env["VRT_HOME"]) / name
        key.chmod(0o644)
        try:
            assert_said(alice.run("note", n, "-m", "x"), 5, f"others can read {key}", f"chmod 600 {key}")
        finally:
            key.chmod(0o600)


def test_a_desk_of_a_newer_format(desk: tuple[Person, str], tmp_path: Path) -> None:
    """Upgrade vrt, rather than guess. The commit is made with plain git."""
    alice = Person(desk[0].home, tmp_path / "desk")
    shutil.copytree(str(desk[0].desk), str(alice.desk))
    text = alice.git("show", "main:desk.yaml").replace(b"format: 1", b"format: 2")
    assert b"format: 2" in text
    blob = alice.git("hash-object", "-w", "--stdin", feed=text).decode().strip()
    rows = alice.git("ls-tree", "main").decode().splitlines()
    tree = [re.sub("[0-9a-f]{40}", blob, row) if row.endswith("\tdesk.yaml") else row for row in rows]
    made = alice.git("mktree", feed="\n".join(tree).encode() + b"\n").decode().strip()
    who = ["-c", "user.name=alice", "-c", "user.email=alice@example.org"]
    head = alice.git(*who, "commit-tree", made, "-p", "main", "-m", "later").decode().strip()
    alice.git("update-ref", "refs/heads/main", head)
    for args in (("list",), ("receive", "-"), ("index", "--rebuild")):
        done = alice.run(*args, feed=mail())
        assert_said(done, 75 if "-" in args else 1, "this desk has format 2, this vrt knows 1", "upgrade vrt")
    done = alice.run("verify")
    assert done.code in (1, 7) and "Traceback" not in done.err and done.err.count("\n") <= 3


def test_a_desk_without_a_ledger(desk: tuple[Person, str], tmp_path: Path) -> None:
    alice = Person(desk[0].home, tmp_path / "desk")
    subprocess.run(["git", "init", "-q", "--bare", str(alice.desk)], check=True)
    assert alice.desk is not None
    (alice.desk / "vrt").mkdir()
    assert_said(alice.run("list"), 1, "this desk has no ledger", "remove ")


# --- files --------------------------------------------------------------------------------------------


def test_what_cannot_be_received(desk: tuple[Person, str], tmp_path: Path) -> None:
    alice, _ = desk
    (tmp_path / "none.mbox").write_bytes(mail("No separator line"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "good.eml").write_bytes(mail("Good"))
    (tmp_path / "folder.eml").mkdir()
    for name, message, hint in (
        ("none.mbox", "is no mbox: its first line is no 'From ' line", ".eml"),
        ("empty", "is no Maildir and holds no .eml files", "cur and new"),
        ("folder.eml", "is no Maildir and holds no .eml files", "cur and new"),
        ("missing.eml", "missing.eml: No such file", "mboxes, Maildirs"),
    ):
        before = alice.git("rev-parse", "main")
        assert_said(alice.run("receive", str(tmp_path / "good.eml"), str(tmp_path / name)), 2, message, hint)
        assert alice.git("rev-parse", "main") == before  # looked at before anything is recorded
    if os.getuid():
        (tmp_path / "good.eml").chmod(0)
        assert_said(alice.run("receive", str(tmp_path / "good.eml")), 2, "Permission denied", "mail files")


@pytest.mark.parametrize(
    "text", ["card: [", "just words", "card: alice\nunknown: 1\n", "card: alice\nidentity: /nowhere\n", "\0"]
)
def test_a_config_file_that_was_cut_or_mistyped(desk: tuple[Person, str], tmp_path: Path, text: str) -> None:
    alice = Person(desk[0].home, tmp_path / "desk")
    shutil.copytree(str(desk[0].desk), str(alice.desk))
    assert alice.desk is not None
    (alice.desk / "vrt" / "config.yaml").write_text(text)
    (alice.desk / "vrt" / "index.db").unlink()
    done = alice.run("list")
    assert done.code in (1, 2, 5) and done.err.startswith("vrt: error: ") and len(done.err.splitlines()) <= 2, done
    assert "config.yaml" in done.err or "/nowhere" in done.err


def test_an_empty_config_file_says_nothing(desk: tuple[Person, str]) -> None:
    """As a settings file with all lines commented out."""
    alice, _ = desk
    path = Path(alice.env["VRT_HOME"]) / "config.yaml"
    try:
        for text in ("", "# passphrase_command: pass show vrt\n"):
            path.write_text(text)
            assert alice.run("index", "--rebuild").code == 0
            assert alice.run("identity").code == 0
    finally:
        path.unlink()


# --- ends that are no errors ----------------------------------------------------------------------------


def test_head_has_seen_enough(desk: tuple[Person, str], tmp_path: Path) -> None:
    """`vrt … | head -1` is quiet, however much there was to say."""
    alice = Person(desk[0].home, tmp_path / "desk")
    shutil.copytree(str(desk[0].desk), str(alice.desk))
    n = alice.ok("receive", "--json", "-", feed=mail("Long", "line\n" * 200_000)).json["mails"][0]["ticket"]
    vrt = f"{sys.executable} -m vrt -C {alice.desk}"
    for command in (f"show {n}", f"raw {n}", f"show {n} --json", "list", "trail 0017"):
        script = f"set -o pipefail; {vrt} {command} | head -c 10 > /dev/null; echo ${{PIPESTATUS[0]}}"
        done = subprocess.run(["bash", "-c", script], env=alice.env, capture_output=True, text=True, check=False)
        assert done.stderr == "" and done.stdout in ("0\n", "1\n"), (command, done)
    # Output that goes nowhere is told: what was asked for was not delivered.
    if Path("/dev/full").exists():
        done = subprocess.run(
            ["bash", "-c", f"{vrt} raw {n} > /dev/full"], env=alice.env, capture_output=True, text=True, check=False
        )
        assert done.returncode in (1, 75) and done.stderr.startswith("vrt: error: ") and "Traceback" not in done.stderr


def test_having_seen_enough_is_no_failure(desk: tuple[Person, str], tmp_path: Path) -> None:
    alice = Person(desk[0].home, tmp_path / "desk")
    shutil.copytree(str(desk[0].desk), str(alice.desk))
    n = alice.ok("receive", "--json", "-", feed=mail("Long", "line\n" * 200_000)).json["mails"][0]["ticket"]
    script = f"{sys.executable} -m vrt -C {alice.desk} show {n} | head -c 10 > /dev/null; exit ${{PIPESTATUS[0]}}"
    assert subprocess.run(["bash", "-c", script], env=alice.env, check=False).returncode == 0


def test_a_closed_output_is_no_bug(desk: tuple[Person, str]) -> None:
    """As cron jobs and daemons start programs: `>&-`."""
    alice, n = desk
    for command in ("status", f"show {n}", f"priority {n} 3"):
        script = f"{sys.executable} -m vrt -C {alice.desk} {command} >&-"
        done = subprocess.run(["bash", "-c", script], env=alice.env, capture_output=True, text=True, check=False)
        assert "Traceback" not in done.stderr and "bug" not in done.stderr and done.returncode != 3, (command, done)


@pytest.mark.parametrize(
    "env",
    [
        {"LC_ALL": "C"},
        {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        {"PYTHONIOENCODING": "latin-1"},
    ],
    ids=["C", "POSIX", "latin-1"],
)
def test_a_terminal_of_another_charset_is_no_bug(desk: tuple[Person, str], env: dict[str, str]) -> None:
    alice, _ = desk
    (n,) = alice.receive(mail("著作権 für Łódź", "ünïcödé 著作権"))
    try:
        done = alice.run("show", n, env=env)
        assert done.code == 0 and f"Ticket#{n}" in done.out and "Traceback" not in done.err, done
        done = alice.run("show", "著作権", env=env)
        assert done.code == 2 and "bug" not in done.err, done
    finally:
        alice.ok("close", n, "-o", "spam")


def interrupted(alice: Person, box: Path, wait: float) -> Done:
    """Receive ``box`` and press Ctrl-C ``wait`` seconds after the work began."""
    argv = [sys.executable, "-m", "vrt", "-C", str(alice.desk), "receive", str(box)]
    process = subprocess.Popen(
        argv, env=alice.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while process.poll() is None and "spawn_main" not in _commands_of(process.pid):
        time.sleep(0.005)
    time.sleep(wait)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to vrt, its workers and its git alike
    out, err = process.communicate(timeout=60)
    return Done(process.returncode, out, err)


def _commands_of(parent: int) -> str:
    """Return the command lines of the children of a process."""
    text = ""
    with suppress(OSError):  # it may end while we look
        for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
            text += Path(f"/proc/{pid}/cmdline").read_text()
    return text


def big_box(folder: Path) -> Path:
    box = folder / "big.mbox"
    mails = (mail(f"Mail {i}", f"{i} " * 200) for i in range(1500))
    box.write_bytes(b"".join(b"From a@b Fri Nov 20 10:00:00 2026\n" + m + b"\n" for m in mails))
    return box


@pytest.mark.parametrize("wait", [0.3, 1.0])
def test_ctrl_c_in_a_long_receive_leaves_all_in_order(tmp_path: Path, wait: float) -> None:
    alice, box = founded(tmp_path), big_box(tmp_path)
    done = interrupted(alice, box, wait)
    if done.code == 0:
        pytest.skip("this machine was done before")
    assert done.code == 130 and done.out == "", done
    assert done.err.splitlines()[-1] == "vrt: interrupted; what was reported is recorded, nothing else"
    assert alice.git("fsck", "--strict", "--no-dangling") == b""
    # The same call again takes in what is missing, once.
    counts = alice.json("receive", str(box))["counts"]
    assert counts["new"] + counts["duplicate"] == 1500 and counts["follow-up"] == 0
    assert alice.json("index")["articles"] == 1500


def test_ctrl_c_while_the_workers_start_is_one_line(tmp_path: Path) -> None:
    alice, box = founded(tmp_path), big_box(tmp_path)
    said = {interrupted(alice, box, wait / 100).err.strip() for wait in range(1, 9)}
    assert said == {"vrt: interrupted; what was reported is recorded, nothing else"}


def test_ctrl_c_at_a_question(desk: tuple[Person, str], tmp_path: Path) -> None:
    alice, _ = desk
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", str(key)], check=True)
    asked = Person(tmp_path / "home")
    argv = [
        sys.executable,
        "-m",
        "vrt",
        "init",
        str(tmp_path / "new"),
        "--name",
        "n",
        "--domain",
        "example.org",
        "--signing-key",
        str(key),
    ]
    done = on_terminal(asked, argv, typed=[("Passphrase of", "\x04")])
    assert done.code == 130 and "interrupted" in done.out and "Traceback" not in done.out
    assert not (tmp_path / "new" / "HEAD").exists()
    assert alice.desk is not None


def test_a_bug_is_logged_without_what_was_worked_on(desk: tuple[Person, str], tmp_path: Path) -> None:
    """The log says where, not what: neither the arguments nor the text of the exception, which may quote mail."""
    alice = Person(desk[0].home, tmp_path / "desk")
    shutil.copytree(str(desk[0].desk), str(alice.desk))
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "sitecustomize.py").write_text(
        "import vrt.query\n\ndef parse(text):\n    raise RuntimeError(text)\n\nvrt.query.parse = parse\n"
    )
    done = alice.run("search", "cormorant", env={"PYTHONPATH": f"{broken}:{alice.env['PYTHONPATH']}"})
    assert alice.desk is not None
    log = alice.desk / "vrt" / "vrt.log"
    assert_said(done, 3, "this is a bug in vrt (RuntimeError)", str(log))
    text = log.read_text()
    assert "RuntimeError" in text and "sitecustomize.py:4 parse" in text and "cormorant" not in text
    assert log.stat().st_mode & 0o777 == 0o600
