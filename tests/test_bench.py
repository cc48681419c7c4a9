"""The benchmark's own parts: its mails are the same each time, and its results are a table. No time is asserted."""

from __future__ import annotations

import email
import importlib.util
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

BENCH = Path(__file__).parent.parent / "bench"


@pytest.fixture(scope="module")
def mails() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_mails", BENCH / "mails.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_same_seed_makes_the_same_mails(mails: ModuleType) -> None:
    first, again = list(mails.count(60)), list(mails.count(60))
    assert first == again
    assert first != list(mails.count(60, seed=2))


def test_mails_are_of_many_kinds(mails: ModuleType) -> None:
    made = list(mails.count(400))
    parsed = [email.message_from_bytes(m.raw) for m in made]
    kinds = Counter(part.get_content_type() for mail in parsed for part in mail.walk())
    assert kinds["text/html"] > 40 and kinds["multipart/mixed"] > 15
    assert len({part.get_content_charset() for mail in parsed for part in mail.walk()}) > 8
    assert 60 < sum(not m.fresh for m in made) < 140
    assert not any(mail.defects for mail in parsed)


def test_a_follow_up_refers_to_an_earlier_mail_of_the_same_sender(mails: ModuleType) -> None:
    senders: dict[str, str] = {}
    for made in mails.count(200):
        mail = email.message_from_bytes(made.raw)
        assert made.fresh == ("In-Reply-To" not in mail)
        if not made.fresh:
            assert senders[str(mail["In-Reply-To"])] == mail["From"]
        senders[str(mail["Message-ID"])] = str(mail["From"])


def test_tickets_are_counted_without_their_follow_ups(mails: ModuleType) -> None:
    assert sum(m.fresh for m in mails.tickets(50)) == 50


def test_an_mbox_holds_all_mails(mails: ModuleType, tmp_path: Path) -> None:
    from vrt.mail import sources

    path = tmp_path / "made.mbox"
    many, size, packed = mails.write_mbox(path, mails.count(30))
    with path.open("rb") as file:
        assert list(sources.split(file)) == [m.raw for m in mails.count(30)]
    assert (many, size) == (30, sum(len(m.raw) for m in mails.count(30))) and 0 < packed < size


def run(*args: str) -> str:
    return subprocess.run(
        [sys.executable, str(BENCH / "run.py"), *args], capture_output=True, text=True, check=True
    ).stdout


def test_the_results_are_a_table(tmp_path: Path) -> None:
    page = tmp_path / "RESULTS.md"
    out = run("--quick", "--runs", "1", "--only", "help", "--output", str(page))
    head, rule, *rows = [line.strip("|").split("|") for line in out.splitlines()]
    assert len(rows) == 1 and {len(head)} == {len(rule), *map(len, rows)}
    assert [cell.strip() for cell in head][:3] == ["work", "desk", "median"]
    assert out in page.read_text()


def test_what_people_wrote_below_the_results_stays(tmp_path: Path) -> None:
    page = tmp_path / "RESULTS.md"
    page.write_text("# Results\n\nold\n\n## What was done to get there\n\nImports were put off.\n")
    run("--quick", "--runs", "1", "--only", "help", "--output", str(page))
    assert "old" not in page.read_text()
    assert page.read_text().endswith("## What was done to get there\n\nImports were put off.\n")
