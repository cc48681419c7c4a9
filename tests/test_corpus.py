"""All of the corpus in one call: nothing refused, nothing lost, every original byte for byte.

The corpus is mail of many years and of the tests of other mail programs: broken, cut off, in every character set.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
from conftest import Done, Person, corpus, founded

from vrt import views
from vrt.desk import Desk


class Taken:
    """A desk with the whole corpus in it."""

    def __init__(self, folder: Path) -> None:
        root = corpus() / "mail"
        self.files = sorted(p for p in root.rglob("*") if p.is_file())
        self.alice = founded(folder)
        self.done: Done = self.alice.ok("receive", *map(str, self.files), "--json")
        self.rows: list[dict[str, Any]] = self.done.json["mails"]
        self.counts: dict[str, int] = self.done.json["counts"]


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> Taken:
    return Taken(tmp_path_factory.mktemp("corpus"))


@pytest.fixture
def desk(taken: Taken, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """The desk in this process, seen with alice's keys."""
    monkeypatch.setenv("VRT_HOME", taken.alice.env["VRT_HOME"])
    assert taken.alice.desk is not None
    return Desk(taken.alice.desk)


def test_each_file_is_accounted_for(taken: Taken) -> None:
    assert len(taken.files) == 869
    assert len(taken.rows) == len(taken.files)
    assert Counter(r["outcome"] for r in taken.rows) == {k: v for k, v in taken.counts.items() if v}
    assert taken.counts["new"] + taken.counts["follow-up"] + taken.counts["duplicate"] == 869
    assert [r["label"] for r in taken.rows] == [str(f) for f in taken.files]
    articles = int(taken.alice.git("rev-list", "--count", "main")) - 3
    assert articles == taken.counts["new"] + taken.counts["follow-up"]


def body_of(raw: bytes) -> bytes:
    """What follows the header, without what transport changes: line ends, and white space at the end of lines."""
    text = raw.replace(b"\r", b"")
    body = text[1:] if text.startswith(b"\n") else text.partition(b"\n\n")[2]
    return b"\n".join(row.rstrip(b" \t") for row in body.split(b"\n")).rstrip(b"\n")


def field(raw: bytes, name: bytes) -> bytes:
    """The first field of that name, unfolded, white space made single."""
    head = re.sub(rb"^>?From [^\n]*\n", b"", raw.replace(b"\r", b"").partition(b"\n\n")[0])
    match = re.search(rb"(?im)^" + name + rb"[ \t]*:(.*(?:\n[ \t].*)*)", head)
    return b" ".join(match[1].split()) if match else b""


def test_a_duplicate_is_the_same_mail(taken: Taken) -> None:
    """Compared here by header fields and bodies, not by digests: each duplicate has a twin that was taken in."""
    first: dict[str, list[bytes]] = defaultdict(list)
    for row, path in zip(taken.rows, taken.files, strict=True):
        if row["outcome"] != "duplicate":
            first[row["event"]].append(path.read_bytes())
    for row, path in zip(taken.rows, taken.files, strict=True):
        if row["outcome"] == "duplicate":
            (twin,), raw = first[row["event"]], path.read_bytes()
            assert body_of(raw) == body_of(twin), path
            for name in (b"from", b"date", b"subject", b"message-id"):
                assert field(raw, name) == field(twin, name), (path, name)


def test_equal_files_are_taken_in_once(taken: Taken) -> None:
    """The other way round: of byte-identical files one becomes an article."""
    kept: dict[bytes, list[str]] = defaultdict(list)
    for row, path in zip(taken.rows, taken.files, strict=True):
        if row["outcome"] != "duplicate":
            kept[path.read_bytes()].append(path.name)
    assert [names for names in kept.values() if len(names) > 1] == []


def test_each_original_is_byte_identical(taken: Taken, desk: Desk) -> None:
    by_digest = {hashlib.sha256(p.read_bytes()).hexdigest(): p for p in taken.files}
    seen = 0
    for n in {r["ticket"] for r in taken.rows}:
        for article in desk.index.articles(n):
            assert article.front is not None
            raw = desk.original(article)
            assert raw == by_digest[article.front["original_sha256"]].read_bytes()
            seen += 1
    assert seen == taken.counts["new"] + taken.counts["follow-up"]


def test_raw_writes_the_file(taken: Taken) -> None:
    """The command itself, on a few: with NUL bytes, without a line end, with CR LF."""
    chosen = {}
    for row, path in zip(taken.rows, taken.files, strict=True):
        raw = path.read_bytes()
        kind = (b"\0" in raw, raw.endswith(b"\n"), b"\r\n" in raw)
        if row["outcome"] == "new":
            chosen.setdefault(kind, (row, path))
    for row, path in chosen.values():
        assert taken.alice.ok("raw", row["ticket"], row["event"]).raw == path.read_bytes()


def test_git_and_vrt_find_all_in_order(taken: Taken) -> None:
    done = taken.alice.ok("verify", "--json").json
    assert done["breaches"] == []
    assert done["articles"] == taken.counts["new"] + taken.counts["follow-up"]
    assert taken.alice.git("fsck", "--strict", "--no-dangling") == b""


def test_each_ticket_can_be_shown(taken: Taken, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every ticket through the command, for people and as JSON, in this process; nothing of it drives a terminal."""
    import io
    import json
    from contextlib import redirect_stdout

    from vrt.cli import main

    for n in sorted({r["ticket"] for r in taken.rows}):
        for flags in (["--full"], ["--json"]):
            out = io.StringIO()
            with redirect_stdout(out), pytest.raises(SystemExit) as end:
                main(["-C", str(desk.path), "show", n, *flags])
            assert end.value.code == 0, n
            text = out.getvalue()
            assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text), n
            text.encode()  # no lone surrogates
            if flags == ["--json"]:
                assert json.loads(text)["number"] == n


def test_each_subject_can_be_searched(taken: Taken, desk: Desk) -> None:
    """A word of each subject finds its ticket."""
    from vrt import query
    from vrt.text import fold

    missed = []
    for n in sorted({r["ticket"] for r in taken.rows}):
        ticket = desk.index.ticket(n)
        assert ticket is not None
        words = re.findall(r"[^\W_]{4,}", fold(ticket.title or ""))
        if not words:
            continue
        assert query.parse(words[0])
        found, count = desk.find(words[0], limit=-1, mine=False)
        assert count == len(found)
        if n not in {t.number for t in found}:
            missed.append((n, words[0]))
    assert missed == []


def test_the_same_call_again_adds_nothing(taken: Taken) -> None:
    before = taken.alice.git("rev-parse", "main", "keys")
    again = taken.alice.ok("receive", *map(str, taken.files), "--json").json["counts"]
    assert again["new"] == again["follow-up"] == 0
    assert again["duplicate"] == 869
    assert taken.alice.git("rev-parse", "main", "keys") == before


def test_a_rebuilt_index_says_the_same(taken: Taken, desk: Desk) -> None:
    def everything(person: Person) -> list[Any]:
        found, _ = desk.find("state:any", limit=-1, mine=False)
        return [[views.ticket(t, desk.roster), *map(views.article, desk.index.articles(t.number))] for t in found]

    before = everything(taken.alice)
    desk.rebuild_index()
    assert everything(taken.alice) == before
