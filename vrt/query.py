"""The query language of ``list`` and ``search``: what a person types, as plain conditions. Pure.

Words and "phrases" look in subject, names, addresses, bodies and file names; ``field:value`` narrows, a
leading ``-`` excludes, commas part alternatives (``state:new,open``), a trailing ``*`` finds beginnings.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone, tzinfo
from typing import NamedTuple

from vrt import roster
from vrt.errors import UsageError

TEXT_FIELDS = ("subject", "from", "to", "body", "file")
STATES = ("new", "open", "pending", "closed", "merged", "any")
IS = (
    "current", "waiting", "mine", "free", "locked", "unread", "draft", "undelivered", "due", "linked", "unverified",
    "overdue", "sealed",
)  # fmt: skip
FIELDS = (*TEXT_FIELDS, "queue", "state", "owner", "tag", "outcome", "priority", "after", "before", "age", "is")

_TERM = re.compile(r'(-?)(?:([A-Za-z]+):)?(?:"([^"]*)"|(\S*))')


class Term(NamedTuple):
    """One condition. ``field`` is empty for plain words; ``values`` are alternatives; ``phrase``: was quoted."""

    field: str
    values: tuple[str, ...]
    exclude: bool = False
    phrase: bool = False


class Query(NamedTuple):
    """All conditions, joined by *and*."""

    terms: tuple[Term, ...] = ()

    def has(self, *fields: str) -> bool:
        """Say whether one of ``fields`` is asked about."""
        return any(t.field in fields for t in self.terms)

    @property
    def text(self) -> bool:
        """Whether the query looks into articles."""
        return self.has("", *TEXT_FIELDS)


def parse(text: str) -> Query:
    """Return the query in ``text``; raises ``UsageError`` that names what is wrong."""
    if not text.isascii() and text != text.encode("utf-8", "replace").decode():
        raise UsageError("the query is not UTF-8 text")
    if text.count('"') % 2:
        raise UsageError("a quotation mark is not closed", 'write a phrase as "free image"')
    terms = []
    for match in _TERM.finditer(text):
        minus, field, phrase, word = match.groups()
        if not match.group().strip():
            continue
        field = (field or "").lower()
        if field and field not in FIELDS:
            if word is not None and word.startswith("//"):  # https://… is a word
                field, word = "", f"{match.group(2)}:{word}"
            else:
                raise UsageError(f"no field {field}:", "fields: " + " ".join(f + ":" for f in FIELDS))
        if not (phrase or word):
            raise UsageError(f"{match.group().strip()!r} asks for nothing", "write a word or field:value")
        terms.append(_term(field, phrase, word or "", bool(minus)))
    return Query(tuple(terms))


def _term(field: str, phrase: str | None, word: str, exclude: bool) -> Term:
    if phrase is not None and (not field or field in TEXT_FIELDS):
        return Term(field, (phrase,), exclude, True)
    word = word if phrase is None else phrase
    values = tuple(v for v in word.split(",") if v) if field and field not in TEXT_FIELDS else (word,)
    if not values:
        raise UsageError(f"{field}:{word} asks for nothing", "write a word or field:value")
    known = {"state": STATES, "is": IS, "priority": tuple("12345")}.get(field)
    for value in values:
        if known and value.lower() not in known:
            raise UsageError(f"{field}:{value} is not known", f"{field}: takes " + " ".join(known))
    if known:
        values = tuple(v.lower() for v in values)
    return Term(field, values, exclude)


def moment(text: str, now: int, zone: tzinfo | None = None) -> int:
    """Return the epoch seconds that ``text`` names, seen from ``now``.

    ``2026-11-01`` (its midnight in ``zone``, default this machine's), ``2026-11``, ``2026-11-01T09:30``, ``today``,
    ``yesterday``, or a span back from now: ``2w``. Raises ``UsageError``.
    """
    today = datetime.fromtimestamp(now, zone).replace(hour=0, minute=0, second=0, microsecond=0)
    if text in ("today", "yesterday"):
        return int((today - timedelta(days=text == "yesterday")).timestamp())
    try:
        return now - roster.seconds(text)
    except ValueError:
        pass
    for form in ("%Y-%m-%d", "%Y-%m", "%Y", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"):
        try:
            found = datetime.strptime(text, form)
            return int(found.replace(tzinfo=timezone.utc if form.endswith("Z") else zone).timestamp())
        except (ValueError, OverflowError):
            continue
    raise UsageError(f"{text!r} is no date", "write 2026-11-01, 2026-11-01T09:30, today, or 2w for two weeks ago")


def later(text: str, now: int, zone: tzinfo | None = None) -> int:
    """Return the epoch seconds in the future that ``text`` names: a date, or a span from now (``3d``), ``tomorrow``."""
    try:
        found = now + roster.seconds(text)
    except ValueError as exc:
        if "longer" in str(exc):
            raise UsageError(str(exc)) from None
        try:
            found = moment("today", now, zone) + 86400 if text == "tomorrow" else moment(text, now, zone)
        except UsageError as exc:
            raise UsageError(exc.message, "write 3d, tomorrow, 2026-12-01 or 2026-12-01T09:30") from None
    if found <= now:
        raise UsageError(f"{text} is not in the future", "write 3d, tomorrow or 2026-12-01")
    return found
