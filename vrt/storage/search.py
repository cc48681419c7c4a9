"""Queries carried out on the index: conditions of ``vrt.query`` as SQL and full-text expressions."""

from __future__ import annotations

from typing import Any, NamedTuple

from vrt import query, roster
from vrt.errors import UsageError
from vrt.model import Ticket
from vrt.query import Query, Term
from vrt.storage import seen
from vrt.storage.index import Index
from vrt.text import fold

COUNTED = 10_000  # tickets beyond those shown that are counted

_COLUMNS = {"subject": "subject", "from": "sender", "to": "recipients", "body": "body", "file": "names"}
_OPEN = "state IN ('new', 'open', 'pending')"
# What others say that they have to do with.
_LINKED = "SELECT value FROM ticket t, json_each('[' || replace(t.links, ' ', ',') || ']') WHERE t.links <> ''"
_PLAIN = {"queue": "queue", "outcome": "outcome"}


class Setting(NamedTuple):
    """Who asks and when: handle, queues, first response of each queue in seconds, epoch seconds."""

    me: str
    queues: tuple[str, ...]
    response: dict[str, int]
    now: int


class _Where(NamedTuple):
    sql: str
    values: list[Any]


def find(
    index: Index, wanted: Query, setting: Setting, *, order: str | None, limit: int = -1
) -> tuple[list[Ticket], int]:
    """Return the tickets that ``wanted`` asks for, at most ``limit`` (-1: all) of them, and how many there are in all.

    No more than ``limit`` + ``COUNTED`` are counted.

    ``order`` is SQL for tickets. None: the newest matching article first; then no more than ``limit`` + 1 are counted.
    """
    where = _where(wanted, setting)
    sql, values = where.sql, where.values
    if wanted.text:
        match, found_values = _match(wanted, setting)
        if order is None:
            return _newest(index, match, found_values, where, limit)
        sql, values = f"{sql} AND number IN ({match})", [*values, *found_values]
    found = index.tickets(sql, values, order or "updated DESC, number DESC", limit)
    return found, len(found) if limit < 0 or len(found) < limit else index.count_tickets(sql, values, limit + COUNTED)


def _newest(index: Index, match: str, values: list[Any], where: _Where, limit: int) -> tuple[list[Ticket], int]:
    found: list[Ticket] = []
    seen: set[int] = set()
    place = "words.rowid" if "MATCH" in match else "a.seq"  # the full-text table has its rows in this order already
    for (number,) in index.sql(f"{match} ORDER BY {place} DESC", values):
        if number in seen:
            continue
        seen.add(number)
        found += index.tickets(f"number = ? AND {where.sql}", [number, *where.values])
        if 0 <= limit < len(found):
            break
    return found[:limit] if limit >= 0 else found, len(found)


def _match(wanted: Query, setting: Setting) -> tuple[str, list[Any]]:
    """Return SQL, with its values, for the tickets with an article that has all words."""
    match = expression([t for t in wanted.terms if not t.exclude])
    sql = "SELECT a.ticket FROM words JOIN article a ON a.seq = words.rowid WHERE words MATCH ?"
    values: list[Any] = [match]
    if not match:  # only exclusions
        sql, values = "SELECT a.ticket FROM article a WHERE 1", []
    for term in wanted.terms:
        if term.field in ("after", "before") and not term.exclude:
            test, value = _time_test(term, setting)
            sql, values = f"{sql} AND {test}", [*values, value]
    return sql, values


def expression(terms: list[Term]) -> str:
    """Return the FTS5 expression of the text conditions in ``terms``, empty where there are none."""
    parts = []
    for term in terms:
        if term.field and term.field not in _COLUMNS:
            continue
        text = term.values[0]
        star = text.endswith("*") and not term.phrase
        folded = " ".join(fold(text.rstrip("*") if star else text).replace('"', " ").split())
        if not any(c.isalnum() for c in folded):
            raise UsageError(f"{text!r} has no letter or digit to search for", "words are found, punctuation is not")
        column = f"{_COLUMNS[term.field]} : " if term.field else ""
        parts.append(f'{column}"{folded}"{"*" if star else ""}')
    return " AND ".join(parts)


def _where(wanted: Query, setting: Setting) -> _Where:
    parts: list[str] = ["1"]
    values: list[Any] = []
    for term in wanted.terms:
        one = _condition(term, setting, wanted.text)
        if one is None:
            continue
        parts.append(f"NOT ({one.sql})" if term.exclude else f"({one.sql})")
        values += one.values
    return _Where(" AND ".join(parts), values)


def _condition(term: Term, setting: Setting, has_text: bool) -> _Where | None:
    match term.field:
        case "" | "subject" | "from" | "to" | "body" | "file":
            if not term.exclude:
                return None  # in the full-text expression
            match_ = expression([term])
            sql = "number IN (SELECT a.ticket FROM words JOIN article a ON a.seq = words.rowid WHERE words MATCH ?)"
            return _Where(sql, [match_])
        case "queue" | "outcome":
            return _any(f"{_PLAIN[term.field]} = ?", term.values)
        case "state":
            if "any" in term.values:
                return _Where("1", [])
            return _any("state = ?", term.values)
        case "owner":
            return _any("owner = ?", [{"me": setting.me, "none": ""}.get(v, v) for v in term.values])
        case "priority":
            return _any("priority = ?", [int(v) for v in term.values])
        case "tag":
            return _any(
                "(' ' || tags || ' ') LIKE ?", [f"% {v.replace('%', '').replace('_', '')} %" for v in term.values]
            )
        case "after" | "before":
            if has_text and not term.exclude:
                return None  # asked of the article that has the words
            test, value = _time_test(term, setting)
            return _Where(f"number IN (SELECT a.ticket FROM article a WHERE {test})", [value])
        case "age":
            return _age(term.values[0], setting.now)
    ones = [_is(v, setting) for v in term.values]
    return _Where(" OR ".join(f"({o.sql})" for o in ones), [v for o in ones for v in o.values])


def _any(sql: str, values: Any) -> _Where:
    return _Where(" OR ".join([sql] * len(values)), list(values))


def _time_test(term: Term, setting: Setting) -> tuple[str, int]:
    when = query.moment(term.values[0], setting.now)
    return ("a.time >= ?" if term.field == "after" else "a.time < ?"), when


def _age(value: str, now: int) -> _Where:
    sign, span = (value[0], value[1:]) if value[:1] in "<>" else (">", value)
    try:
        then = now - roster.seconds(span)
    except ValueError:
        raise UsageError(f"age:{value} is not known", "write age:>7d or age:<2h") from None
    return _Where("created <= ?" if sign == ">" else "created > ?", [then])


def _is(value: str, setting: Setting) -> _Where:
    match value:
        case "current":
            return _Where("current", [])
        case "waiting":
            return _Where(f"waiting_since > 0 AND {_OPEN}", [])
        case "mine":
            return _Where("owner = ?", [setting.me])
        case "locked":
            return _Where(f"owner <> '' AND lock > ? AND {_OPEN}", [setting.now])
        case "free":
            return _Where(f"(owner = '' OR lock <= ?) AND {_OPEN}", [setting.now])
        case "unverified":
            return _Where("unverified <> ''", [])
        case "sealed":
            return _Where("title IS NULL", [])
        case "unread":
            return _Where(f"current AND {seen.UNREAD}", [setting.me, setting.me])
        case "draft" | "undelivered":
            return _Where(f"{value} <> ''", [])
        case "due":
            return _Where("pending_until > 0 AND pending_until <= ? AND state = 'pending'", [setting.now])
        case "linked":
            return _Where(f"links <> '' OR number IN ({_LINKED})", [])
    late = [(q, setting.now - s) for q, s in setting.response.items()]  # overdue
    tests = " OR ".join("(queue = ? AND waiting_since < ?)" for _ in late) or "0"
    return _Where(f"waiting_since > 0 AND {_OPEN} AND ({tests})", [v for pair in late for v in pair])
