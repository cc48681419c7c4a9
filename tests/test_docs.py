"""The docs are true: generated parts fit the code, links lead somewhere, examples use what exists."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, Person

from vrt.commands import SECTIONS

PAGES = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")] + sorted(
    (ROOT / "docs").glob("*.md")
)
COMMANDS = {name for section in SECTIONS.values() for name in section}


def test_generated_parts_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "docs/generate.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        name, _, anchor = target.partition("#")
        if target.startswith("http"):
            continue
        found = (page.parent / name) if name else page
        assert found.exists(), f"{page.name}: {target}"
        if anchor:
            titles = re.findall(r"^#+ (.+)$", found.read_text("utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", t.lower()).replace(" ", "-") for t in titles}
            assert anchor in slugs, f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_examples_name_commands_that_exist(page: Path) -> None:
    for block in re.findall(r"^```(?:sh|)\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL):
        for command in re.findall(r"^(?:\$ )?vrt (?:-C \S+ )?([a-z]+)", block, re.MULTILINE):
            assert command in COMMANDS, f"{page.name}: vrt {command}"


def test_every_command_has_help_with_an_example() -> None:
    text = (ROOT / "docs/CLI.md").read_text("utf-8")
    for name in COMMANDS - {"queue", "agent", "textconv"}:
        page = text.split(f"### {name}\n", 1)[1].split("\n### ", 1)[0]
        examples = "".join(re.findall(r"```sh\n(.*?)```", page, re.DOTALL))
        assert f"vrt {name}" in examples, name


def test_the_changelog_names_every_command() -> None:
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert not {name for name in COMMANDS if f"`{name}`" not in text} - {"textconv"}


def test_the_manual_fits_a_real_desk(alice: Person) -> None:
    """FORMAT.md section 2: what an event's message looks like."""
    n = alice.json("new", "-q", "info-en", "-s", "A call", "-m", "She asks …")[0]["number"]
    message = alice.git("log", "-1", "--format=%B", "main").decode()
    subject, empty, *trailers = message.strip().split("\n")
    assert (subject, empty) == (f"new {n} in info-en", "")
    assert [row.partition(":")[0] for row in trailers] == ["Ticket", "Action", "Event", "Queue"]
