"""Search: words in every language, phrases, fields, dates."""

from __future__ import annotations

import time

import pytest
from conftest import Person, founded, mail
from test_cmd_desk import later

DAY = 86400
MAILS = {
    "bridge": mail(
        "Die Brücke über den Fluß", "A picture of a bridge; the free licence is CC BY-SA 4.0.",
        sender="Zoë Müller <zoe@museum.example>",
        files={"Bruecke-2026.JPG": b"x"}, cc="Archiv <archiv@example.net>",
    ),
    "harassment": mail(
        "Harassment", "Please let a woman answer me.\nI am not free today; no licence.", sender="anna@example.com"
    ),
    "japanese": mail(
        "著作権について", "写真の著作権はわたしにあります。東京都の橋です。", sender="田中 <tanaka@example.jp>"
    ),
    "chinese": mail("关于图片许可", "我是作者，我同意自由许可。ｗｉｋｉ", sender="王 <wang@example.cn>"),
    "russian": mail(
        "Ёлка", "Фотография моста через реку", sender="Иван <ivan@example.ru>", to="permissions-en@example.org"
    ),
    "spam": mail("Cheap LOANS!!!", "visit https://spam.example/buy?x=1 now", sender="spam@spam.example"),
}  # fmt: skip


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> tuple[Person, dict[str, str]]:
    """A desk with mail in five languages, received a week apart, the last today."""
    alice = founded(tmp_path_factory.mktemp("search"))
    names = {}
    for weeks, (name, raw) in enumerate(MAILS.items()):
        env = later(alice, weeks * 7 * DAY)
        names[alice.ok("receive", "--json", "-", feed=raw, env=env).json["mails"][0]["ticket"]] = name
    now = later(alice, 5 * 7 * DAY + 60)
    number = {v: k for k, v in names.items()}
    alice.ok("note", number["bridge"], "-m", "Asked the photographer about the resolution.", env=now)
    alice.ok("close", number["spam"], "-o", "spam", env=now)
    alice.ok("tag", number["bridge"], "+press", "+urgent", env=now)
    alice.ok("priority", number["harassment"], "5", env=now)
    alice.ok("take", number["harassment"], env=now)
    alice.env |= now
    return alice, names


def found(desk: tuple[Person, dict[str, str]], *query: str) -> list[str]:
    alice, names = desk
    return [names[t["number"]] for t in alice.ok("--json", "search", *query).json]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        # words: all of them, in one article; case and accents do not matter
        (["bridge"], ["bridge"]), (["BRIDGE"], ["bridge"]), (["brücke"], ["bridge"]), (["brucke"], ["bridge"]),
        (["BRÜCKE", "fluss"], ["bridge"]), (["елка"], ["russian"]), (["ФОТОГРАФИЯ"], ["russian"]),
        (["muller"], ["bridge"]),
        (["free", "licence"], ["harassment", "bridge"]), (["bridge", "woman"], []), (["bridges"], []),
        (["photographer"], ["bridge"]), (["photographer", "picture"], []),  # the one in a note, the other in the mail
        # phrases
        (['"free licence"'], ["bridge"]), (["free licence"], ["bridge"]), (['"licence free"'], []),
        (['"by sa 4"'], ["bridge"]),
        # beginnings
        (["photo*"], ["bridge"]), (["licen*"], ["harassment", "bridge"]), (["zzz*"], []),
        # without
        (["licence", "-today"], ["bridge"]), (["licence", '-"today; "'], ["bridge"]),
        # scripts without spaces
        (["著作権"], ["japanese"]), (["東京"], ["japanese"]), (["権著"], []), (["许可"], ["chinese"]),
        (["自由许可"], ["chinese"]),
        (["wiki"], ["chinese"]), (["橋"], ["japanese"]), (["田中"], ["japanese"]), (["わたし"], ["japanese"]),
        (["著作権", "-許可"], ["japanese"]),
        # addresses and links
        (["zoe@museum.example"], ["bridge"]), (["https://spam.example/buy?x=1"], ["spam"]),
        (["museum.example"], ["bridge"]),
        # where
        (["subject:brücke"], ["bridge"]), (["subject:picture"], []), (["body:picture"], ["bridge"]),
        (["from:müller"], ["bridge"]),
        (["from:anna"], ["harassment"]), (['from:"Zoë Müller"'], ["bridge"]), (["to:archiv"], ["bridge"]),
        (["to:permissions-en"], ["russian"]),
        (["from:archiv"], []), (["file:bruecke*"], ["bridge"]), (["file:jpg"], ["bridge"]), (["body:bruecke*"], []),
        (["-to:archiv", "licence"], ["harassment"]),
        # what is so
        (["queue:permissions-en"], ["russian"]),
        (["queue:info-en,permissions-en", "state:new", "фотография"], ["russian"]),
        (["state:closed"], ["spam"]), (["loans", "-state:closed"], []), (["loans"], ["spam"]),
        (["outcome:spam"], ["spam"]),
        (["tag:press"], ["bridge"]), (["tag:press,urgent"], ["bridge"]), (["tag:urgent", "tag:press"], ["bridge"]),
        (["priority:5"], ["harassment"]), (["owner:me"], ["harassment"]), (["owner:alice", "woman"], ["harassment"]),
        (["is:mine"], ["harassment"]), (["is:locked"], ["harassment"]), (["is:sealed"], []),
        (["-age:<8d", "tag:press"], ["bridge"]),
        # when: of the article that has the words
        (["after:8d"], ["bridge", "spam", "russian"]), (["after:8d", "-state:closed", "-tag:press"], ["russian"]),
        (["bridge", "after:2w"], []), (["photographer", "after:2w"], ["bridge"]), (["bridge", "before:2w"], ["bridge"]),
        (["after:10w", "before:4w"], ["harassment", "bridge"]), (["age:<8d"], ["spam", "russian"]),
        (["age:>5w"], ["bridge"]),
        (["licence", "age:>5w"], ["bridge"]), (["age:4w"], ["bridge", "harassment"]),
    ],
    ids=lambda v: " ".join(v) or "none",
)  # fmt: skip
def test_search(desk: tuple[Person, dict[str, str]], query: list[str], names: list[str]) -> None:
    hits = found(desk, *query)
    assert sorted(hits) == sorted(names)


def test_the_newest_match_comes_first(desk: tuple[Person, dict[str, str]]) -> None:
    assert found(desk, "licence") == ["harassment", "bridge"]
    assert found(desk, "-n", "1", "licence") == ["harassment"]
    assert found(desk, "state:new")[0] == "bridge"  # it was changed last


def test_dates(desk: tuple[Person, dict[str, str]]) -> None:
    alice, _ = desk
    today = time.time() + 5 * 7 * DAY
    day = time.strftime("%Y-%m-%d", time.gmtime(today - 10 * DAY))
    assert sorted(found(desk, f"after:{day}")) == ["bridge", "russian", "spam"]
    assert sorted(found(desk, f"before:{day}")) == ["bridge", "chinese", "harassment", "japanese"]
    assert sorted(found(desk, f"-after:{day}")) == ["chinese", "harassment", "japanese"]
    assert sorted(found(desk, "after:2000", "before:2100", "licence")) == ["bridge", "harassment"]
    assert alice.run("search", "after:2026-13-01").code == 2


def test_what_search_says(desk: tuple[Person, dict[str, str]]) -> None:
    alice, _ = desk
    done = alice.ok("search", "-n", "1", "licence")
    assert len(done.out.splitlines()) == 2 and "there are more: vrt search -n 0" in done.err
    done = alice.ok("search", "nowhere")
    assert done.out == "" and "no ticket is like that" in done.err
    assert "著作権について" in alice.ok("search", "著作権").out
    assert alice.run("search").code == 2


@pytest.mark.parametrize(
    ("query", "names"),
    [
        (["licence", "-woman"], ["bridge"]),
        (["licence", '-"free licence"'], ["harassment"]),
        (["-licence", "-spam"], ["chinese", "japanese", "russian"]),
        (["-from:anna", "licence"], ["bridge"]),
        (["-is:current"], ["spam"]),
        (["-now", "licence"], ["bridge", "harassment"]),
        (["licence", "-open1"], ["bridge", "harassment"]),
    ],
    ids=" ".join,
)
def test_any_word_can_be_excluded(desk: tuple[Person, dict[str, str]], query: list[str], names: list[str]) -> None:
    """An n in it is not the option -n."""
    assert sorted(found(desk, *query)) == names


def test_the_index_made_anew_answers_the_same(desk: tuple[Person, dict[str, str]]) -> None:
    alice, _ = desk
    queries = (
        ["licence"],
        ["著作権"],
        ["photo*"],
        ["tag:press"],
        ["state:new"],
        ["file:jpg"],
        ["owner:me"],
        ["after:8d"],
    )
    before = [alice.json("search", *q) for q in queries], alice.json("list", "state:any"), alice.json("index")
    done = alice.ok("index", "--rebuild")
    assert done.out.startswith("6 tickets, ") and done.err == ""
    after = [alice.json("search", *q) for q in queries], alice.json("list", "state:any"), alice.json("index")
    assert after[:2] == before[:2]
    assert {k: v for k, v in after[2].items() if k != "bytes"} == {k: v for k, v in before[2].items() if k != "bytes"}
