"""Conditions: what a rule asks of one field of a mail, with what it saw.

Knows the view of a mail's facts and the patterns. Knows nothing of the form of the rules and of what they do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple, Protocol

from vrt.mail.facts import File, Person, View
from vrt.mail.patterns import BadPattern, Clock, Form, Patterns, seen

PEOPLE = ("from", "to", "cc", "reply_to", "recipient")


class Test(Protocol):
    """What a condition asks of a mail."""

    def find(self, view: View, clock: Clock) -> str | None:
        """Return what was seen (clipped, foreign text) if it holds, else None; raises ``Spent``."""

    def shown(self, view: View) -> str:
        """Return what there was to see, clipped."""


class Condition(NamedTuple):
    """One thing that has to hold (or not): the field, what was written for it (clipped), and the test."""

    field: str
    wanted: str
    test: Test


# --- addresses ----------------------------------------------------------------------------------


class People:
    """Patterns for mailboxes; each looks at the address, and if it is not plainly one, at the name, too.

    ``jane@example.com`` is that address, ``@example.com`` that domain with all below it, and ``*@example.com`` the
    domain alone: looked up, not searched, so that a list of thousands costs no more than one of them.
    """

    def __init__(self, forms: Iterable[Form]) -> None:
        """Make ready to look for ``forms``; raises ``BadPattern``."""
        self._addresses: set[str] = set()
        self._below: set[str] = set()
        self._domains: set[str] = set()
        others = []
        for wanted in forms:
            if wanted.kind != "regex" and "<" in wanted.text and "@" in wanted.text:
                raise BadPattern("is a name and an address: write the address alone")
            local, at, domain = wanted.text.strip().lower().rpartition("@")
            domain = domain.strip(".")
            simple = bool(at and domain) and not set(domain) & set("* ")
            if wanted.kind == "word" and simple and not local:
                self._below |= _spellings(domain)
            elif wanted.kind in ("word", "whole") and simple and " " not in local:
                self._addresses |= {f"{local}@{spelling}" for spelling in _spellings(domain)}
            elif wanted.kind == "glob" and simple and local == "*":
                self._domains |= _spellings(domain)
            else:
                others.append(wanted)
        self._others = Patterns(others)

    def find(self, person: Person, clock: Clock) -> str | None:
        """Return what is seen of ``person`` (clipped) if a pattern fits, else None; raises ``Spent``."""
        key = person.key
        if key in self._addresses or ("@" in key and self._in_domain(key.rpartition("@")[2])):
            return seen(str(person))
        if not self._others:
            return None
        return next((hit for text in person.texts if (hit := self._others.find(text, clock)) is not None), None)

    def _in_domain(self, domain: str) -> bool:
        domain = domain.rstrip(".")
        if domain in self._domains:
            return True
        labels = domain.split(".")[-20:] if self._below else []
        return any(".".join(labels[i:]) in self._below for i in range(len(labels)))


def _spellings(domain: str) -> set[str]:
    """Return a domain as it is written, as the DNS has it (RFC 3490) and as a reader sees it."""
    if domain.isascii() and "xn--" not in domain:
        return {domain}
    try:
        found = domain.encode("idna").decode()
        return {domain, found, found.encode().decode("idna")}
    except UnicodeError:
        return {domain}


# --- attachments and sizes ----------------------------------------------------------------------


class Files:
    """Patterns for attachments: the file name, or the media type; a word with a ``/`` is all of the type."""

    def __init__(self, forms: Iterable[Form], names: bool = True, types: bool = True) -> None:
        """Make ready to look for ``forms`` in names, types or both; raises ``BadPattern``."""
        forms = list(forms)
        if not names and any(f.kind in ("word", "whole") and "/" not in f.text for f in forms):
            raise BadPattern("is no media type: write application/pdf, or image/* for all of a kind")
        self._names = Patterns(forms if names else ())
        by_type = [Form("whole", f.text) if f.kind == "word" else f for f in forms]
        self._types = Patterns(by_type if types else ())

    def find(self, file: File, clock: Clock) -> str | None:
        """Return what is seen of ``file`` (clipped) if a pattern fits, else None; raises ``Spent``."""
        hit = self._types.find(file.type, clock) if self._types else None
        if hit is None and self._names:
            hit = self._names.find(file.name, clock)
        return hit


_SIZE = re.compile(r"(over|under|>=|<=|>|<) ?([0-9]{1,12}) ?([kKmMgG]?)[bB]?")
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}  # as in Sieve (RFC 5228 section 2.4.1)


class Size(NamedTuple):
    """A number of bytes from ``least`` to ``most``; None: without end."""

    least: int = 0
    most: int | None = None

    def holds(self, size: int) -> bool:
        """Say whether ``size`` (bytes) is one of these."""
        return size >= self.least and (self.most is None or size <= self.most)


def size(source: str) -> Size:
    """Return what ``over 5M``, ``under 10k`` or ``>5M`` asks for; raises ``BadPattern``."""
    match = _SIZE.fullmatch(source.strip()[:40])
    if match is None:
        raise BadPattern("is no size: write over 5M or under 10k")
    count = int(match[2]) * _UNITS[match[3].lower()]
    if match[1] in ("over", ">", ">="):
        return Size(least=count + (match[1] != ">="))
    if match[1] != "<=" and count == 0:
        raise BadPattern("is a size that nothing has")
    return Size(most=count - (match[1] != "<="))


# --- tests ---------------------------------------------------------------------


class TextTest(NamedTuple):
    """One of the texts of a field fits."""

    field: str
    patterns: Patterns

    def find(self, view: View, clock: Clock) -> str | None:
        """As ``Test.find``."""
        hits = (self.patterns.find(text, clock) for text in view.texts(self.field))
        return next((hit for hit in hits if hit is not None), None)

    def shown(self, view: View) -> str:
        """As ``Test.shown``."""
        return seen(" | ".join(text.text[:300] for text in view.texts(self.field)[:5]))


class PeopleTest(NamedTuple):
    """One of the mailboxes of a field fits."""

    field: str
    people: People

    def find(self, view: View, clock: Clock) -> str | None:
        """As ``Test.find``."""
        hits = (self.people.find(person, clock) for person in view.people(self.field))
        return next((hit for hit in hits if hit is not None), None)

    def shown(self, view: View) -> str:
        """As ``Test.shown``."""
        return seen(", ".join(str(person) for person in view.people(self.field)[:5]))


class FileTest(NamedTuple):
    """One attachment fits in all that is asked of it: name or type, name, type, size."""

    files: tuple[Files, ...] = ()
    size: Size = Size()

    def find(self, view: View, clock: Clock) -> str | None:
        """As ``Test.find``."""
        for file in view.files:
            clock.check()
            if self.size.holds(file.size) and all(f.find(file, clock) is not None for f in self.files):
                return seen(str(file))
        return None

    def shown(self, view: View) -> str:
        """As ``Test.shown``."""
        return seen(", ".join(map(str, view.files[:5])))


class SizeTest(NamedTuple):
    """The whole mail has a size."""

    size: Size

    def find(self, view: View, clock: Clock) -> str | None:
        """As ``Test.find``."""
        return self.shown(view) if self.size.holds(view.facts.size) else None

    def shown(self, view: View) -> str:
        """As ``Test.shown``."""
        return f"{view.facts.size:,} bytes"


class Presence(NamedTuple):
    """There is something in a field, or there is nothing; of ``spam``: it is, or it is not."""

    field: str
    wanted: bool

    def find(self, view: View, clock: Clock) -> str | None:
        """As ``Test.find``."""
        if self.field == "spam":
            there = view.facts.spam
        elif self.field in PEOPLE:
            there = bool(view.people(self.field))
        else:
            there = bool(view.files if self.field == "attachment" else view.texts(self.field))
        return self.shown(view) if there == self.wanted else None

    def shown(self, view: View) -> str:
        """As ``Test.shown``."""
        if self.field == "spam":
            return "spam" if view.facts.spam else ""
        if self.field in PEOPLE:
            return PeopleTest(self.field, People(())).shown(view)
        return FileTest().shown(view) if self.field == "attachment" else TextTest(self.field, Patterns(())).shown(view)
