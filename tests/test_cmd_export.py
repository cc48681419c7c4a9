"""Tickets as plain files: what is written, under which names, and what is refused."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import frontmatter
import pytest
from conftest import Person, founded, mail
from test_cmd_read import HOSTILE, hostile_mail


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> tuple[Person, str, bytes]:
    """A desk with a ticket: a mail with a file, an answer, a note."""
    alice = founded(tmp_path_factory.mktemp("export"))
    raw = mail("The bridge", "A picture.\n\n> quoted", id="<1@example.com>", files={"map.pdf": b"%PDF"})
    (n,) = alice.receive(raw)
    alice.ok("take", n)
    alice.ok("note", n, "-m", "Looks fine.")
    alice.receive(mail("Re: The bridge", "Thanks.", in_reply_to="<1@example.com>"))
    return alice, n, raw


def test_a_ticket_as_files(desk: tuple[Person, str, bytes], tmp_path: Path) -> None:
    alice, n, raw = desk
    folder = tmp_path / "new" / "case"
    done = alice.ok("export", n[-4:], str(folder))
    assert done.out == f"{folder}/{n}\n"
    assert "warning" in done.err and "plaintext" in done.err and str(folder) in done.err
    ticket = folder / n
    first, note, second = (a["id"] for a in alice.json("show", n)["articles"])
    assert {str(p.relative_to(ticket)) for p in ticket.rglob("*") if p.is_file()} == {
        "ticket.md", f"{first}.md", f"{first}.eml", f"{first}-files/map.pdf", f"{note}.md", f"{second}.md",
        f"{second}.eml",
    }  # fmt: skip
    assert (ticket / f"{first}.eml").read_bytes() == raw
    assert (ticket / f"{first}-files" / "map.pdf").read_bytes().strip() == b"%PDF"

    state = frontmatter.loads((ticket / "ticket.md").read_text())
    assert (state["number"], state["state"], state["owner"], state["title"]) == (n, "open", "alice", "The bridge")
    assert [row.split(": ")[1] for row in state.content.splitlines()][:3] == [
        f"receive {n} in info-en",
        f"take {n}",
        f"note {n}",
    ]
    article = frontmatter.loads((ticket / f"{first}.md").read_text())
    assert article.content == "A picture.\n\n> quoted" and article["subject"] == "The bridge"
    assert article["from"] == [{"name": "Jane Roe", "address": "jane@example.com"}]
    assert frontmatter.loads((ticket / f"{note}.md").read_text()).content == "Looks fine."

    # Private, although what is written is plaintext.
    for path in (ticket, *ticket.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_nothing_is_overwritten(desk: tuple[Person, str, bytes], tmp_path: Path) -> None:
    alice, n, _ = desk
    alice.ok("export", n, str(tmp_path))
    (tmp_path / n / "ticket.md").write_text("mine")
    done = alice.run("export", n, str(tmp_path))
    assert done.code == 2 and "is there already" in done.err and "nothing is overwritten" in done.err
    assert (tmp_path / n / "ticket.md").read_text() == "mine"
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / n).symlink_to(tmp_path / "elsewhere")
    (tmp_path / "dangling").mkdir()
    (tmp_path / "dangling" / n).symlink_to(tmp_path / "nowhere")
    assert alice.run("export", n, str(tmp_path / "links")).code == 2
    assert alice.run("export", n, str(tmp_path / "dangling")).code in (1, 2)
    assert list((tmp_path / "elsewhere").iterdir()) == [] and not (tmp_path / "nowhere").exists()


def test_several_tickets_and_none(desk: tuple[Person, str, bytes], tmp_path: Path) -> None:
    alice, n, _ = desk
    (m,) = alice.receive(mail("Another"))
    assert alice.ok("export", n, m, str(tmp_path)).out == f"{tmp_path}/{n}\n{tmp_path}/{m}\n"
    done = alice.run("export", str(tmp_path))
    assert done.code == 2 and "export takes tickets and a folder" in done.err
    assert alice.run("export", "9999", str(tmp_path)).code == 4
    (tmp_path / "file").write_text("")
    assert alice.run("export", n, str(tmp_path / "file")).code in (1, 2)


def test_hostile_names_stay_in_the_folder(desk: tuple[Person, str, bytes], tmp_path: Path) -> None:
    alice, _, _ = desk
    got = alice.ok("receive", "--json", "-", feed=hostile_mail()).json["mails"][0]
    alice.ok("export", got["ticket"], str(tmp_path / "deep" / "er"))
    files = tmp_path / "deep" / "er" / got["ticket"] / f"{got['event']}-files"
    assert {p.read_text().strip(): p.name for p in files.iterdir()} == {
        str(i): safe for i, safe in enumerate(HOSTILE.values())
    }
    outside = [
        p for p in tmp_path.rglob("*") if p.is_file() and tmp_path / "deep" / "er" / got["ticket"] not in p.parents
    ]
    assert outside == []


def test_what_is_sealed_is_not_exported(alice: Person, colleague: Callable[..., Person], tmp_path: Path) -> None:
    n, m = alice.receive(mail("Info"), mail("Permission", to="permissions-en@example.org"))
    bob = colleague("bob", "info-en")
    done = bob.run("export", m, str(tmp_path / "out"))
    assert done.code == 5 and "no key at hand opens" in done.err and not (tmp_path / "out").exists()
    bob.ok("export", n, str(tmp_path / "out"))
    assert "Permission" not in (tmp_path / "out" / n / "ticket.md").read_text()


def test_all_or_none_are_exported(alice: Person, colleague: Callable[..., Person], tmp_path: Path) -> None:
    """Or plaintext lies there that nobody was warned of."""
    n, m = alice.receive(mail("Info"), mail("Permission", to="permissions-en@example.org"))
    bob = colleague("bob", "info-en")
    done = bob.run("export", n, m, str(tmp_path / "out"))
    assert done.code == 5
    assert not (tmp_path / "out" / n).exists() or "plaintext" in done.err
