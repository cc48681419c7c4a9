"""Three days of two agents, as they see them: ``transcripts/session.txt`` is the script, and what it shows.

A line ``alice$ vrt …`` is a command that is run on a terminal. The lines below it say what is typed (``|`` into the
editor, ``<`` at a question) and then what is seen. Who has no desk writes mail: ``jane$ mail`` and ``jane$ answer``.
The clock stands still while a command runs and goes on five minutes after it; ``... 2 days later`` turns it further.
Ids, which are random, stand there as others, always the same ones, and are typed as they stand there.

``VRT_WRITE_TRANSCRIPTS=1 python -m pytest tests/test_session.py`` writes what is seen into the file.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
import shlex
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from email import message_from_bytes, policy
from email.utils import format_datetime
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import Person, copied, mail
from test_terminal import on_terminal

SCRIPTS = Path(__file__).parent / "transcripts"
START = datetime(2026, 11, 20, 8, 0, tzinfo=timezone.utc)
STEP = 300
SPANS = {"hour": 3600, "day": 86400, "week": 604800}
PEOPLE = {
    "jane": "Jane Roe <jane@example.com>",
    "joe": "Joe Bloggs <joe@example.net>",
    "lena": "Lena Weber <lena@example.de>",
    "museum": "City Museum <office@museum.example>",
    "lawyer": "Ann Law <ann@law.example>",
    "eve": "Eve <eve@example.net>",
    "spammer": "SEO Experts <offer@spam.example>",
}
CLOCK = "import os, time\nnow = float(os.environ['VRT_TEST_NOW'])\ntime.time = lambda: now\n"
HEADWORD = re.compile(r"\b[b-z][aiou][b-z][aiou][b-z](?:-[b-z][aiou][b-z][aiou][b-z]){2}\b")
RANDOM = re.compile(r"\b(?:[0-9a-f]{40}|[0-9a-f]{32}|[0-9a-f]{12}|[0-9a-f]{8})\b")


class Step(NamedTuple):
    """A command, what is typed to it, and what is seen of it."""

    who: str
    command: str
    text: tuple[str, ...]
    keys: tuple[str, ...]
    seen: tuple[str, ...]


def steps(lines: list[str]) -> Iterator[str | Step]:
    """Yield the steps of a transcript, and the lines between them: comments, empty lines and those of the clock."""
    at = 0
    while at < len(lines):
        found = re.fullmatch(r"([a-z]+)\$ (.+)", lines[at])
        if not found:
            yield lines[at]
            at += 1
            continue
        rest = list(takewhile(lambda row: not re.match(r"[a-z]+\$ |# |\.\.\. ", row), lines[at + 1 :]))
        while rest and not rest[-1]:
            rest.pop()
        text = [row[2:] for row in rest if row == "|" or row.startswith("| ")]
        keys = [row[2:] for row in rest if row.startswith("< ")]
        seen = [row for row in rest if not re.match(r"\|( |$)|< ", row)]
        yield Step(found[1], found[2], tuple(text), tuple(keys), tuple(seen))
        at += 1 + len(rest)


class Stage:
    """Two agents at their terminals, and the people who write to them."""

    def __init__(self, folder: Path) -> None:
        self.now = START.timestamp()
        self._ids: dict[str, str] = {}
        self._letters = 0
        self.folder = folder
        (folder / "clock").mkdir()
        (folder / "clock" / "sitecustomize.py").write_text(CLOCK)
        self.inbox = folder / "inbox"
        self.inbox.mkdir()
        self._editor = folder / "editor"
        self.agents = {name: self._agent(name) for name in ("alice", "bob")}
        self._found()

    def _agent(self, name: str) -> Person:
        person = Person(self.folder / name)
        person.env["PYTHONPATH"] = f"{self.folder / 'clock'}:{person.env['PYTHONPATH']}"
        person.env |= {"NO_COLOR": "1", "EDITOR": str(self._editor), "VRT_TEST_NOW": str(self.now)}
        (person.home / "inbox").symlink_to(self.inbox)
        return person

    def _found(self) -> None:
        alice, bob = self.agents.values()
        alice.desk, card = self.folder / "desk", self.folder / "bob.yaml"
        folder, alice.desk = alice.desk, None
        alice.ok("init", str(folder), "--name", "Example VRT", "--domain", "example.org", "--agent", "alice")
        alice.desk = folder
        alice.ok("queue", "add", "info-en", "--address", "info-en@example.org", "--send-delay", "0m")
        alice.ok("queue", "add", "press-en", "--address", "press@example.org", "--approval", "--signed-by", "agent")
        alice.ok("queue", "add", "hilfe-de", "--address", "hilfe@example.org", "--language", "de",
                 "--send-delay", "10m", "--signature", "https://example.org", "--title", "Beispiel-VRT")  # fmt: skip
        card.write_text(bob.ok("identity").out)
        queues = [word for name in ("info-en", "press-en", "junk", "postmaster") for word in ("--queue", name)]
        alice.ok("agent", "add", "bob", "--card", str(card), "--role", "agent", "--agreed", "2026-11-01", *queues)
        bob.desk = copied(folder, self.folder / "desk-bob", "bob")

    # --- what happens ---

    def play(self, step: Step) -> list[str]:
        """Do a step and return the lines that are seen."""
        if step.who in PEOPLE:
            self._letter(step.who, *shlex.split(step.command))
            seen = []
        else:
            seen = self._run(self.agents[step.who], step)
        self.now += STEP
        return seen

    def turn(self, row: str) -> None:
        """Turn the clock on: ``... 2 days later``."""
        count, unit = row.split()[1:3]
        self.now += int(count) * SPANS[unit.rstrip("s")]

    def _run(self, agent: Person, step: Step) -> list[str]:
        agent.env["VRT_TEST_NOW"] = str(self.now)
        self._write_editor(step.text)
        argv = shlex.split(self._typed(step.command))
        assert argv[0] == "vrt", step.command
        questions = [("]: ", f"{key}\n") for key in step.keys]
        done = on_terminal(
            agent,
            [sys.executable, "-m", *argv],
            env={"VRT_DESK": str(agent.desk)},
            typed=questions,
            rows=500,
            columns=110,
        )
        if argv[1] == "receive":
            for path in self.inbox.iterdir():
                path.unlink()
        # What is typed is not echoed: it is put behind the question that it answers.
        asked = re.split(r"(\[(?:y|y/N|Y/n)\]: )", self._shown(done.out))
        for i, key in zip(range(1, len(asked), 2), step.keys, strict=False):
            asked[i] += f"{key}\n"
        rows = [row.rstrip() for row in "".join(asked).rstrip().splitlines()]
        return [*rows, f"(exit {done.code})"] if done.code else rows

    def _write_editor(self, text: tuple[str, ...]) -> None:
        """An editor that writes ``text`` below the salutation, or at the top; ``?`` shows what it begins with."""
        said = [row for row in text if row != "?"]
        body = self.folder / "typed"
        body.write_text("\n".join(said) + "\n")
        show = 'sed "s/^/    /" "$1"; ' if "?" in text else ""
        write = f'''at=$(grep -n -m1 -E "^(Hello|Guten Tag)" "$1" | cut -d: -f1)
[ -n "$at" ] || at=$(($(grep -n -m1 "^$" "$1" | cut -d: -f1) + 1))
sed -i -e "${{at}}r {body}" -e "${{at}}G" "$1"'''
        self._editor.write_text(f"#!/bin/sh\n{show}{write if said else ''}\nexit 0\n")
        self._editor.chmod(0o755)

    def _letter(self, who: str, kind: str, *words: str) -> None:
        """Put a mail of somebody into the inbox: a new one, or an answer to the last that they got from us."""
        self._letters += 1
        head = {"sender": PEOPLE[who], "id": f"<{self._letters}@{who}.example>"}
        if kind == "mail":
            to, subject, body = words
        else:
            last = self._last_to(PEOPLE[who])
            to, subject, (body,) = str(last["From"]), f"Re: {last['Subject'].removeprefix('Re: ')}", words
            head["in_reply_to"] = str(last["Message-ID"])
        raw = mail(subject, body.replace("\\n", "\n") + "\n", to=to, **head)  # type: ignore[arg-type]
        day = format_datetime(datetime.fromtimestamp(self.now, timezone.utc))
        raw = re.sub(rb"(?m)^Date: .*$", b"Date: " + day.encode(), raw)
        (self.inbox / f"{self._letters:02}-{who}.eml").write_bytes(raw)

    def _last_to(self, person: str) -> dict[str, str]:
        found = [p for a in self.agents.values() for p in (a.desk / "vrt" / "maildir" / "new").glob("*")]  # type: ignore[operator]
        messages = [
            message_from_bytes(p.read_bytes(), policy=policy.default) for p in sorted(found, key=lambda p: p.name)
        ]
        address = person.split("<")[1].rstrip(">")
        return dict([m for m in messages if address in str(m["To"])][-1].items())

    # --- ids ---

    def _shown(self, out: str) -> str:
        def fixed(found: re.Match[str]) -> str:
            other = hashlib.sha256(str(len(self._ids)).encode()).hexdigest()
            return self._ids.setdefault(found[0], other[: len(found[0])])

        return HEADWORD.sub("lusab-babad-gutih", RANDOM.sub(fixed, out.replace(str(self.folder), "/srv")))

    def _typed(self, command: str) -> str:
        real = {shown: id_ for id_, shown in self._ids.items()}
        return RANDOM.sub(lambda m: real.get(m[0], m[0]), command)


def played(lines: list[str], folder: Path) -> list[str]:
    """Return a transcript as it is when its commands are run now."""
    stage, out = Stage(folder), list[str]()
    for step in steps(lines):
        if isinstance(step, str):
            if step.startswith("... "):
                stage.turn(step)
            out.append(step)
            continue
        out.append(f"{step.who}$ {step.command}")
        out += [f"| {row}".rstrip() for row in step.text] + [f"< {key}" for key in step.keys] + stage.play(step)
    return out


@pytest.mark.parametrize("name", ["session"])
def test_a_session_is_seen_as_it_is_written_down(name: str, tmp_path: Path) -> None:
    path = SCRIPTS / f"{name}.txt"
    before = path.read_text("utf-8").splitlines()
    now = played(before, tmp_path)
    if os.environ.get("VRT_WRITE_TRANSCRIPTS"):
        path.write_text("\n".join(now) + "\n", "utf-8")
        return
    changed = list(difflib.unified_diff(before, now, "as written down", "as seen now", lineterm="", n=2))
    assert not changed, "\n".join(["", *changed])
