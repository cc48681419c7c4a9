"""The query language: what is typed, as conditions; dates; and that no query whatever breaks the search."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from conftest import founded, mail
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vrt import query
from vrt.desk import Desk
from vrt.errors import NotFound, UsageError
from vrt.query import Term
from vrt.storage.search import expression

NOW = int(datetime(2026, 11, 20, 15, 30, tzinfo=timezone.utc).timestamp())
DAY = 86400


@pytest.mark.parametrize(
    ("typed", "terms"),
    [
        ("", []),
        ("   ", []),
        ("museum photo", [Term("", ("museum",)), Term("", ("photo",))]),
        ('"free licence"', [Term("", ("free licence",), phrase=True)]),
        ("-spam", [Term("", ("spam",), exclude=True)]),
        ('-"two words"', [Term("", ("two words",), exclude=True, phrase=True)]),
        ("licen*", [Term("", ("licen*",))]),
        ("from:jane", [Term("from", ("jane",))]),
        ('from:"Jane Roe"', [Term("from", ("Jane Roe",), phrase=True)]),
        ("FROM:Jane", [Term("from", ("Jane",))]),
        ("-state:closed", [Term("state", ("closed",), exclude=True)]),
        ("state:new,open", [Term("state", ("new", "open"))]),
        ("State:NEW", [Term("state", ("new",))]),
        ("is:mine is:locked", [Term("is", ("mine",)), Term("is", ("locked",))]),
        ("priority:4,5", [Term("priority", ("4", "5"))]),
        ("queue:info-en tag:urgent,press", [Term("queue", ("info-en",)), Term("tag", ("urgent", "press"))]),
        ("subject:a,b", [Term("subject", ("a,b",))]),  # text is no list
        ("after:2w before:2026-11-01", [Term("after", ("2w",)), Term("before", ("2026-11-01",))]),
        ("https://example.org/a?b=c", [Term("", ("https://example.org/a?b=c",))]),
        ("10:30", [Term("", ("10:30",))]),
        ("著作権", [Term("", ("著作権",))]),
    ],
)
def test_what_is_typed(typed: str, terms: list[Term]) -> None:
    assert list(query.parse(typed).terms) == terms


@pytest.mark.parametrize(
    ("typed", "message", "hint"),
    [
        ('"no end', "a quotation mark is not closed", "free image"),
        ("sender:jane", "no field sender:", "from:"),
        ("Re: bridge", "no field re:", "subject:"),
        ("state:done", "state:done is not known", "pending"),
        ("is:hot", "is:hot is not known", "overdue"),
        ("priority:9", "priority:9 is not known", "1 2 3 4 5"),
        ("queue:", "'queue:' asks for nothing", "field:value"),
        ("-", "'-' asks for nothing", "word"),
        ('""', "asks for nothing", "word"),
        ("state:,", "asks for nothing", ""),
        ("-queue:,", "asks for nothing", ""),
    ],
)
def test_what_cannot_be_understood_is_named(typed: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        query.parse(typed)
    assert message in caught.value.message and hint in (caught.value.hint or "")


def test_which_queries_look_into_articles() -> None:
    assert query.parse("museum").text and query.parse("body:museum").text and query.parse("file:pdf").text
    assert not query.parse("state:new after:2w owner:me").text
    assert query.parse("state:any x").has("state") and not query.parse("x").has("state", "is")


@given(st.one_of(st.text(), st.text(alphabet='ab:"-*, \tstate', max_size=30)))
def test_parsing_gives_terms_or_a_usage_error(typed: str) -> None:
    try:
        found = query.parse(typed)
    except UsageError as exc:
        assert exc.hint
        return
    assert all(t.field in ("", *query.FIELDS) for t in found.terms)


# --- moments --------------------------------------------------------------------------------------


def at(*when: int, zone: str = "UTC") -> int:
    return int(datetime(*when, tzinfo=ZoneInfo(zone)).timestamp())  # type: ignore[arg-type, misc]


@pytest.mark.parametrize(
    ("typed", "moment"),
    [
        ("2026-11-01", at(2026, 11, 1)),
        ("2026-11", at(2026, 11, 1)),
        ("2026", at(2026, 1, 1)),
        ("2026-11-01T09:30", at(2026, 11, 1, 9, 30)),
        ("2026-11-01T09:30:15", at(2026, 11, 1, 9, 30, 15)),
        ("2026-11-01T09:30:15Z", at(2026, 11, 1, 9, 30, 15)),
        ("today", at(2026, 11, 20)),
        ("yesterday", at(2026, 11, 19)),
        ("2w", NOW - 14 * DAY),
        ("3d", NOW - 3 * DAY),
        ("24h", NOW - DAY),
        ("90m", NOW - 5400),
    ],
)
def test_moments(typed: str, moment: int) -> None:
    assert query.moment(typed, NOW) == moment


def test_a_date_is_the_caller_s_midnight() -> None:
    tokyo = ZoneInfo("Asia/Tokyo")
    assert query.moment("2026-11-01", NOW, tokyo) == at(2026, 11, 1, zone="Asia/Tokyo")
    assert query.moment("today", NOW, tokyo) == at(2026, 11, 21, zone="Asia/Tokyo")  # 00:30 there
    # Summer time holds for the date that is asked for, not for today.
    assert query.moment("2026-07-01", NOW, ZoneInfo("Europe/Berlin")) == at(2026, 7, 1, zone="Europe/Berlin")
    assert query.moment("2026-11-01T09:30:15Z", NOW, tokyo) == at(2026, 11, 1, 9, 30, 15)


@pytest.mark.parametrize(
    "typed", ["soon", "2026-13-01", "2026-02-30", "01.11.2026", "2", "w", "-2w", "2 w", "", "2026-11-01 "]
)
def test_what_is_no_date(typed: str) -> None:
    with pytest.raises(UsageError, match="is no date"):
        query.moment(typed, NOW)


@pytest.mark.parametrize(
    ("typed", "moment"),
    [("3d", NOW + 3 * DAY), ("2w", NOW + 14 * DAY), ("tomorrow", at(2026, 11, 21)), ("2026-12-01", at(2026, 12, 1))],
)
def test_moments_to_come(typed: str, moment: int) -> None:
    assert query.later(typed, NOW) == moment


@pytest.mark.parametrize("typed", ["2026-11-20", "today", "yesterday", "0d", "2020"])
def test_what_is_not_to_come(typed: str) -> None:
    with pytest.raises(UsageError, match="is not in the future"):
        query.later(typed, NOW)


@pytest.mark.parametrize("typed", ["99999999999w", "500000w"])
def test_a_moment_beyond_all_dates_is_refused(typed: str) -> None:
    with pytest.raises(UsageError):
        datetime.fromtimestamp(query.later(typed, NOW), timezone.utc)


@given(st.dates(datetime(1971, 1, 1).date(), datetime(9998, 1, 1).date()), st.integers(-23, 23))
def test_dates_are_read_in_the_zone_they_are_written_in(day: object, hours: int) -> None:
    zone = timezone(timedelta(hours=hours))
    found = datetime.fromtimestamp(query.moment(f"{day}", NOW, zone), zone)
    assert (str(found.date()), found.hour, found.minute) == (str(day), 0, 0)


# --- as a full-text expression --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "written"),
    [
        ("Museum", '"museum"'),
        ("museum photo", '"museum" AND "photo"'),
        ('"Free Licence"', '"free licence"'),
        ("licen*", '"licen"*'),
        ('"licen*"', '"licen*"'),  # quoted, a star is only a sign
        ("from:jane@example.org", 'sender : "jane@example.org"'),
        ("著作権", '"著 作 権"'),
        ("NEAR", '"near"'),
        ("a) OR (b", '"a)" AND "or" AND "(b"'),
    ],
)
def test_words_are_quoted_for_the_full_text_search(typed: str, written: str) -> None:
    assert expression(list(query.parse(typed).terms)) == written


@pytest.mark.parametrize("typed", ["...", "*", "from:?", '"—"'])
def test_signs_alone_cannot_be_searched(typed: str) -> None:
    with pytest.raises(UsageError, match="no letter or digit"):
        expression(list(query.parse(typed).terms))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A desk with a mail in it, opened in this process with its founder's keys."""
    alice = founded(tmp_path_factory.mktemp("query"))
    alice.receive(mail("The bridge", "A picture of a bridge."))
    before = dict(os.environ)
    os.environ["VRT_HOME"] = alice.env["VRT_HOME"]
    assert alice.desk is not None
    desk = Desk(alice.desk)
    assert desk.find("bridge", limit=-1, mine=False)[1] == 1  # it is open from here on
    os.environ.clear()
    os.environ.update(before)
    return desk


_typed = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
_values = st.one_of(
    st.text(_typed, max_size=8),
    st.sampled_from([",", ",,", "*", "2w", "0d", "me", "none", "any", "2026-11-01", "'", "%"]),
)
_terms = st.builds(
    lambda minus, field, value, quoted: f"{minus}{field}" + (f'"{value}"' if quoted else value),
    st.sampled_from(["", "-"]), st.sampled_from(["", *(f"{f}:" for f in query.FIELDS)]), _values, st.booleans(),
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.lists(_terms, max_size=4).map(" ".join))
@example("queue:,")
@example("bridge OR AND NOT NEAR(x) ^ { }")
@example('bridge "\' ; DROP TABLE ticket"')
@example("-bridge")
@example("tag:% owner:'")
@example("\U0010ffff 𞤀")
def test_no_query_breaks_the_search(desk: Desk, typed: str) -> None:
    for mine in (True, False):
        try:
            found, total = desk.find(typed, limit=5, mine=mine)
        except (UsageError, NotFound):
            continue
        assert len(found) == min(total, 5) <= 1


@pytest.mark.parametrize("typed", ["a\udcff", "owner:\udcff", "-a\udcff", "tag:\udcff"])
def test_bytes_that_are_no_text_find_nothing_or_are_refused(desk: Desk, typed: str) -> None:
    """An argument that is not UTF-8 reaches Python with lone surrogates in it."""
    try:
        assert desk.find(typed, limit=5, mine=False)[0] == []
    except (UsageError, NotFound):
        pass


@pytest.mark.parametrize("typed", ["state:,", "is:,", "queue:,", "after:,", "tag:,", "age:,"])
def test_a_list_of_nothing_is_a_usage_error(desk: Desk, typed: str) -> None:
    with pytest.raises(UsageError):
        desk.find(typed, limit=5, mine=False)


@pytest.mark.parametrize(
    "typed", ["after:99999999999w", "before:9999999999999999w", "age:>99999999999999w", "age:99999999999999w"]
)
def test_a_span_beyond_all_dates_is_a_usage_error(desk: Desk, typed: str) -> None:
    with pytest.raises(UsageError):
        desk.find(typed, limit=5, mine=False)


@given(st.text(_typed, max_size=30).filter(lambda t: any(c.isalnum() for c in t)))
@settings(max_examples=60, deadline=None)
def test_a_phrase_of_any_text_is_a_query(desk: Desk, typed: str) -> None:
    """Whatever stands in a mail can be pasted between quotation marks."""
    quoted = '"' + typed.replace('"', " ") + '"'
    try:
        desk.find(quoted, limit=5, mine=False)
    except UsageError as exc:
        assert "no letter or digit" in exc.message or "asks for nothing" in exc.message
