"""Nothing that somebody else wrote drives the terminal: every command, on a terminal and in a pipe.

The mail here carries in each of its fields what would colour, clear, reorder, retitle, link or write to the
clipboard. Colours of vrt's own stay, on a terminal only.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
import unicodedata
from base64 import b64encode
from collections.abc import Sequence
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import quote

import pytest
from conftest import Done, Person, founded

# Each is told by what vrt itself never writes: colour 45, a private mode, OSC 0, 8 and 52, C1 CSI and OSC, ….
ATTACKS = [
    "\x1b[45mred", "\x1b[2J", "\x1b[?1049h", "\x1b]0;title\x07", "\x1b]8;;http://evil.example\x1b\\link",
    "\x1b]52;c;cm0gLXJm\x07",
    "\x9b45m", "\x9d52;c;cm0=\x9c", "\x85", "\x07", "\x08\x08\x08", "\x7f", "\x0e", "\rover", "\u202egpj.exe",
    "\u2066x\u2069",
    "\u200f", "\u2028", "\ufeff", "\U000e0041", "\tb\nNumber: 1",
]  # fmt: skip
EVIL = "evil" + "".join(ATTACKS) + "live"

_OWN_COLOUR = re.compile("\x1b\\[(?:0|1|2|3[1-6])m")
_HIDDEN = set(
    "\u00ad\u061c\u180e\u200b\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"
)


def word(text: str) -> str:
    """Return ``text`` as an encoded word (RFC 2047)."""
    return f"=?utf-8?b?{b64encode(text.encode()).decode()}?="


def evil_mail(n: int = 1, to: str = "info-en@example.org") -> bytes:
    raw = EVIL.replace("\n", " ").replace("\r", " ").replace("\u2028", "")
    head = [
        f"From: {word(EVIL)} <evil{ATTACKS[0]}{ATTACKS[5]}@example.com>",
        f"To: {to}, {word(EVIL)} <a@example.org>, {raw} <b@example.org>",
        f"Cc: {word(EVIL)} <\u202ec@example.org>",
        f"Reply-To: {word(EVIL)} <d{ATTACKS[1]}@example.org>",
        f"Subject: {word(EVIL)} {raw}",
        "Date: Fri, 20 Nov 1998 10:00:00 +0100 (\x1b[45mred)",
        f"Message-ID: <{n}{raw}@example.com>",
        f"References: <{raw}1@example.com> <{raw}2@example.com>",
        f"In-Reply-To: <{raw}1@example.com>",
        "MIME-Version: 1.0",
        'Content-Type: multipart/mixed; boundary="b"',
    ]
    html = f"<p>evil &#27;[45m &#x9b;45m &#x202e; {EVIL}</p>"
    parts = [
        f"Content-Type: text/plain; charset=utf-8\n\n{EVIL}\n\n> {EVIL}\n> 2\n> 3\n> 4\n> 5\n",
        f"Content-Type: text/html; charset=utf-8\n\n{html}\n",
        f'Content-Type: application/{ATTACKS[0]}pdf; name="{word(EVIL)}"\nContent-Disposition: attachment\n\nx\n',
        f"Content-Type: application/x-y\nContent-Disposition: attachment; filename*=utf-8''{quote(EVIL)}\n\ny\n",
        f'Content-Type: application/octet-stream\nContent-Disposition: attachment; filename="{raw}.txt"\n\nz\n',
        f"Content-Type: message/rfc822\n\nSubject: {raw}\n\n{EVIL}\n",
    ]
    body = "".join(f"--b\n{part}\n" for part in parts) + "--b--\n"
    return ("\n".join(head) + "\n\n" + body).encode()


def html_mail() -> bytes:
    """Return a mail that has nothing but HTML."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "eve@example.com", "info-en@example.org", "evil page"
    message["Message-ID"] = "<html@example.com>"
    message.set_content(
        f"<p>evil {EVIL} &#27;[45m &#x9b;45m &#8238; <a href='\x1b]52;c;cm0=\x07'>live</a></p>", subtype="html"
    )
    return bytes(message)


def on_terminal(
    person: Person, argv: Sequence[str], env: dict[str, str] | None = None, typed: Sequence[tuple[str, str]] = (),
    rows: int = 60, columns: int = 160,
) -> Done:  # fmt: skip
    """Run a program of ``person`` with a terminal on stdin, stdout and stderr.

    ``typed``: pairs of what has to be on the screen ("" for nothing) and what is typed then.
    """
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    mode = termios.tcgetattr(slave)
    mode[1] &= ~termios.OPOST  # what is written arrives as it is
    mode[3] &= ~termios.ECHO
    termios.tcsetattr(slave, termios.TCSANOW, mode)
    full = {**person.env, "TERM": "xterm-256color", "PAGER": "cat", "GIT_PAGER": "cat"} | (env or {})
    process = subprocess.Popen(
        argv, stdin=slave, stdout=slave, stderr=slave, env=full, cwd=person.home, start_new_session=True
    )
    os.close(slave)
    out, todo, end = b"", list(typed), time.monotonic() + 60
    try:
        while time.monotonic() < end:
            while todo and todo[0][0].encode() in out:
                os.write(master, todo.pop(0)[1].encode())
            if select.select([master], [], [], 1)[0]:
                try:
                    out += os.read(master, 1 << 16)
                except OSError as exc:  # Linux says so when the other end is closed
                    assert exc.errno == errno.EIO
                    break
        else:
            process.kill()
            raise AssertionError(f"still running after a minute: {out!r}")
    finally:
        os.close(master)
        code = process.wait(20)
    return Done(code, out.decode("utf-8", "surrogateescape"), "", out)


def vrt_on_terminal(person: Person, *args: str, **more: object) -> Done:
    """Run vrt on a terminal."""
    return on_terminal(person, [sys.executable, "-m", "vrt", "-C", str(person.desk), *args], **more)  # type: ignore[arg-type]


def assert_harmless(text: str, colours: bool = False) -> None:
    """Fail where ``text`` holds a control other than newline and tab, or a hidden or bidi character."""
    plain = _OWN_COLOUR.sub("", text) if colours else text
    bad = [
        f"U+{ord(c):04X} after {plain[max(0, i - 30) : i]!r}"
        for i, c in enumerate(plain)
        if (unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t")
        or c in _HIDDEN
        or "\U000e0000" <= c <= "\U000e007f"
    ]
    assert not bad, bad[:5]


@pytest.fixture(scope="module")
def eve(tmp_path_factory: pytest.TempPathFactory) -> Person:
    """A desk with hostile mail. Tests here do not disturb each other: they only read, or make what they need."""
    person = founded(tmp_path_factory.mktemp("terminal"))
    (person.home / "mails").mkdir()
    (person.home / "mails" / "evil.eml").write_bytes(evil_mail())
    (person.home / "mails" / "html.eml").write_bytes(html_mail())
    person.ok("receive", str(person.home / "mails"))
    return person


@pytest.fixture(scope="module")
def evil(eve: Person) -> str:
    """The number of the hostile ticket."""
    return next(t["number"] for t in eve.json("list", "-n", "0") if t["title"] != "evil page")


READING = [
    ("list",), ("show", "N"), ("show", "--full", "N"), ("search", "evil"), ("search", "from:evil"), ("trail", "N"),
    ("attachments", "N"), ("status",), ("queue", "list"), ("agent", "list"), ("index",),
]  # fmt: skip
WORKING = [
    ("take", "N"), ("note", "N", "-m", EVIL), ("priority", "N", "4"), ("tag", "N", "+urgent"), ("assign", "N", "alice"),
    ("pend", "N", "--until", "3d"), ("release", "N"), ("route", "N", "permissions-en"), ("route", "N", "info-en"),
    ("close", "N", "--outcome", "spam"), ("reopen", "N"), ("next",), ("export", "N", "DIR"),
    ("attachments", "N", "--save", "DIR"),
    ("new", "-q", "info-en", "-s", EVIL.replace("\n", " "), "--from", f'"evil{ATTACKS[0]}\u202e\x9b2J" <eve@x.example>',
     "-m", EVIL),
]  # fmt: skip
SHOWS_IT = {"show", "search", "attachments", "next"}


@pytest.mark.parametrize("args", READING, ids=" ".join)
def test_reading(eve: Person, evil: str, args: tuple[str, ...]) -> None:
    args = tuple(evil if a == "N" else a for a in args)
    piped = eve.ok(*args)
    assert_harmless(piped.out + piped.err)
    seen = vrt_on_terminal(eve, *args)
    assert seen.code == 0
    assert_harmless(seen.out, colours=True)
    if args[0] in SHOWS_IT:
        assert "evil" in piped.out and "\\x1b" in piped.out and "live" in piped.out
        assert "evil" in seen.out and "\\x1b" in seen.out
    found = eve.ok(*args, "--json").out
    assert_harmless(found)
    if args[0] == "show":  # nothing is lost: JSON says what was written
        assert EVIL.replace("\t", " ").replace("\n", " ")[:20] in json.loads(found)["title"]


def test_every_field_of_a_mail_is_shown_safe(eve: Person, evil: str) -> None:
    shown = eve.ok("show", "--full", evil).out
    for label in ("From", "To:", "Cc:", "Reply-To:", "Date:", "[1]", "[2]", "[3]", "[4]"):
        assert label.lower() in shown.lower(), label
    page = next(t["number"] for t in eve.json("list") if t["title"] == "evil page")
    assert_harmless(eve.ok("show", page).out)
    assert "\\x1b[45m" in eve.ok("show", page).out


def test_working(eve: Person, tmp_path: Path) -> None:
    """What changes a ticket prints its subject: once in a pipe, once on a terminal, each on a ticket of its own."""
    files = [tmp_path / "7.eml", tmp_path / "8.eml"]
    for i, file in enumerate(files):
        file.write_bytes(evil_mail(i + 7))
    piped, seen = (m["ticket"] for m in eve.json("receive", *map(str, files))["mails"])
    for args in WORKING:
        a = [piped if w == "N" else str(tmp_path / "piped") if w == "DIR" else w for w in args]
        done = eve.ok(*a)
        assert_harmless(done.out + done.err)
        b = [seen if w == "N" else str(tmp_path / "seen") if w == "DIR" else w for w in args]
        done = vrt_on_terminal(eve, *b)
        assert done.code == 0, done.out
        assert_harmless(done.out, colours=True)
        if args[0] in ("take", "new", "next"):
            assert_harmless(eve.ok(*a, "--json").out)


def test_receiving_says_what_came_in_a_safe_way(eve: Person, tmp_path: Path) -> None:
    name = "x\x1b[45m\u202e\x9b2J.eml"
    for i in (1, 2):
        (tmp_path / f"{i}{name}").write_bytes(evil_mail(20 + i))
    (tmp_path / f"box{name}.mbox").write_bytes(b"From eve Fri Nov 20 10:00:00 2026\n" + evil_mail(23) + b"\n")
    files = [str(tmp_path / f"1{name}"), str(tmp_path / f"2{name}"), str(tmp_path / f"box{name}.mbox")]
    piped = eve.ok("receive", "-v", *files)
    assert_harmless(piped.out + piped.err)
    assert piped.out.count("x\\x1b[45m\\u202e\\x9b2J.eml") == 3
    seen = vrt_on_terminal(eve, "receive", "-v", *files)
    assert_harmless(seen.out, colours=True)
    assert seen.out.count("here already") == 4
    assert_harmless(eve.ok("receive", "--json", *files).out)


def test_raw_is_exact_in_a_pipe_and_safe_on_a_terminal(eve: Person, evil: str) -> None:
    assert eve.ok("raw", evil).raw == evil_mail()
    seen = vrt_on_terminal(eve, "raw", evil)
    assert seen.code == 0 and "\\x1b[2J" in seen.out
    assert_harmless(seen.out)


@pytest.mark.parametrize(
    "args", [("log", "-p", "main"), ("log", "-p", "-2", "keys"), ("show", "main:tickets")], ids=" ".join
)
def test_plain_git_shows_it_safe(eve: Person, args: tuple[str, ...]) -> None:
    out = eve.git(*args).decode()
    assert_harmless(out)
    seen = on_terminal(eve, ["git", "-C", str(eve.desk), "-c", "color.ui=never", *args])
    assert seen.code == 0
    assert_harmless(seen.out)
    assert ("\\x1b[2J" in out) == ("\\x1b[2J" in seen.out) == (args[-1] == "main")


ARGUMENTS = [
    (EVIL,), (f"--{EVIL}",), ("show", EVIL), ("show", "--" + EVIL, "N"), ("take", EVIL), ("list", f"queue:{EVIL}"),
    ("list", "--sort", EVIL), ("list", "-n", EVIL), ("search", f"evil:{EVIL}"), ("search", f"state:{EVIL}"),
    ("search", "\x1b\u202e"),
    ("search", f"after:{EVIL}"), ("search", f"age:{EVIL}"), ("close", "N", "--outcome", EVIL), ("close", "N", EVIL),
    ("tag", "N", f"+{EVIL}"), ("route", "N", EVIL), ("assign", "N", EVIL), ("priority", "N", EVIL),
    ("pend", "N", "--until", EVIL),
    ("receive", EVIL), ("export", "N", "/dev/null/" + EVIL), ("attachments", "N", "--save", "/dev/null/" + EVIL),
    ("raw", "N", EVIL), ("queue", EVIL), ("queue", "show", EVIL), ("queue", "add", EVIL),
    ("queue", "add", "q", "--address", EVIL),
    ("queue", "set", "info-en", "--lock-timeout", EVIL), ("agent", "queues", EVIL),
    ("agent", "queues", "alice", f"+{EVIL}"),
    ("agent", "add", EVIL, "--card", EVIL), ("new", "-q", EVIL, "-s", "s", "-m", "m"),
    ("new", "-q", "info-en", "-s", EVIL, "-m", "m"),
    ("new", "-q", "info-en", "-s", "s", "--from", EVIL, "-m", "m"), ("note", "N", "-F", EVIL),
    ("unlock", "--for", EVIL),
    ("completion", EVIL), ("identity", "--identity", EVIL),
    ("init", "/dev/null/" + EVIL, "--name", "n", "--domain", "d.example"),
    ("-C", EVIL, "status"), ("textconv", EVIL),
]  # fmt: skip


def test_errors_echo_arguments_in_a_safe_way(eve: Person, evil: str) -> None:
    for args in ARGUMENTS:
        done = eve.run(*(evil if a == "N" else a for a in args))
        assert done.code in (1, 2, 4), (args, done)
        assert_harmless(done.out + done.err)
        assert "Traceback" not in done.err and 1 <= len(done.err.splitlines()) <= 2, (args, done.err)
    for args in (("show", EVIL), ("list", "--sort", EVIL), (EVIL,)):
        assert_harmless(vrt_on_terminal(eve, *args).out, colours=True)


def test_paths_that_are_named_back_are_safe(eve: Person, evil: str, tmp_path: Path) -> None:
    """A folder's name may come from somebody else, too: from an archive that was unpacked."""
    folder = tmp_path / "x\x1b[45m\u202ey"
    folder.mkdir()
    bad = []
    for args in (
        ("export", evil, str(folder / "a")),
        ("attachments", evil, "--save", str(folder / "b")),
        ("init", str(folder / "c"), "--name", "n", "--domain", "example.org"),
        ("-C", str(folder / "c"), "status"),
        ("queue", "add", "odd", "--address", "a\x1b[45m@example.org"),
    ):
        done = eve.run(*args)
        if "\x1b" in done.out + done.err:
            bad.append(args[0])
    assert bad == []


def test_what_the_desk_itself_says(eve: Person, tmp_path: Path) -> None:
    """Queue settings and the desk's name are read by other agents than those who wrote them."""
    eve.ok("queue", "set", "permissions-en", "--language", "e\x1b[45mn", "--signature", EVIL)
    for args in (("queue", "list"), ("queue", "show", "permissions-en"), ("status",)):
        assert_harmless(eve.ok(*args).out)
        assert_harmless(eve.ok(*args, "--json").out)
        assert_harmless(vrt_on_terminal(eve, *args).out, colours=True)
    other = Person(tmp_path / "home", tmp_path / "desk")
    other.desk = None
    other.ok("init", str(tmp_path / "desk"), "--name", EVIL, "--domain", "example.org")
    other.desk = tmp_path / "desk"
    assert "evil\\x1b[45m" in other.ok("status").out
    assert_harmless(other.ok("status").out + other.ok("status", "--json").out)


def test_completion_offers_subjects_in_a_safe_way(eve: Person) -> None:
    for shell in ("bash", "zsh", "fish"):
        env = {
            "_VRT_COMPLETE": f"{shell}_complete",
            "COMP_WORDS": "vrt show ",
            "COMP_CWORD": "2",
            "VRT_DESK": str(eve.desk),
        }
        done = subprocess.run([sys.executable, "-m", "vrt"], env=eve.env | env, capture_output=True, check=True)
        assert b"2026" in done.stdout or b"20" in done.stdout
        assert_harmless(done.stdout.decode())


# --- colours and width ------------------------------------------------------------------------------


def test_colours_on_a_terminal_only_and_not_where_they_are_not_wanted(eve: Person, evil: str) -> None:
    assert "\x1b[" in vrt_on_terminal(eve, "show", evil).out
    assert "\x1b[" in vrt_on_terminal(eve, "show", "9999").out  # messages too
    for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        for args in (("show", evil), ("list",), ("show", "9999"), ("take", evil)):
            assert "\x1b" not in vrt_on_terminal(eve, *args, env=env).out, (args, env)
    assert "\x1b" in vrt_on_terminal(eve, "list", env={"NO_COLOR": ""}).out  # empty: not set (no-color.org)
    assert "\x1b" not in eve.ok("list", env={"TERM": "xterm", "COLORTERM": "truecolor"}).out


def test_a_table_fits_the_terminal_and_is_whole_in_a_pipe(eve: Person) -> None:
    subject = "A long subject about 著作権 " + "x" * 300
    eve.ok("new", "-q", "postmaster", "-s", subject, "-m", "m")
    seen = vrt_on_terminal(eve, "list", "queue:postmaster", columns=80)
    from vrt.text import width

    rows = _OWN_COLOUR.sub("", seen.out).splitlines()
    assert len(rows) >= 2 and all(width(row) <= 80 for row in rows)
    assert "…" in rows[-1]
    assert subject in eve.ok("list", "queue:postmaster").out


def test_the_pager_opens_where_the_text_does_not_fit(eve: Person, evil: str, tmp_path: Path) -> None:
    pager = tmp_path / "pager"
    pager.write_text(f"#!/bin/sh\ncat > {tmp_path}/paged\n")
    pager.chmod(0o755)
    env = {"PAGER": str(pager)}
    vrt_on_terminal(eve, "show", evil, env=env, rows=500)
    assert not (tmp_path / "paged").exists()
    done = vrt_on_terminal(eve, "show", evil, env=env, rows=5)
    assert done.code == 0 and "evil" in (tmp_path / "paged").read_text()
    assert "evil" not in done.out
    assert_harmless((tmp_path / "paged").read_text(), colours=True)
    # A pager that is not there, and one that is left early, are no reason to fail.
    assert "evil" in vrt_on_terminal(eve, "show", evil, env={"PAGER": "no-such-pager-here"}, rows=5).out
    assert vrt_on_terminal(eve, "show", "--full", evil, env={"PAGER": "true"}, rows=5).code == 0
    assert "evil" in eve.ok("show", evil, env={"PAGER": str(tmp_path / "none")}).out


def test_progress_only_on_a_terminal(eve: Person, tmp_path: Path) -> None:
    """A bar is drawn once the work takes longer than a second, and wiped at its end."""
    clock = tmp_path / "clock"
    clock.mkdir()
    # A clock that runs a thousand times as fast, so that the test need not wait.
    (clock / "sitecustomize.py").write_text(
        "import time\nreal = time.monotonic\ntime.monotonic = lambda: real() * 1000\n"
    )
    env = {"PYTHONPATH": f"{clock}:{eve.env['PYTHONPATH']}"}
    files = []
    for i in range(3):
        (tmp_path / f"{i}.eml").write_bytes(evil_mail(30 + i))
        files.append(str(tmp_path / f"{i}.eml"))
    seen = vrt_on_terminal(eve, "receive", *files, env=env)
    assert "receiving [####" in seen.out and "3/3" in seen.out
    after = seen.out.rpartition("\r\x1b[K")[2]
    assert "receiving" not in after and "3 new tickets" in after
    piped = eve.ok("receive", *files, env=env)
    assert piped.err == "" and "3 here already" in piped.out
