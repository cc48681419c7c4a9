"""Patterns: what a rule may ask of a text, and whether it is there.

Knows nothing of mails and of the form of the rules. Sole user of google-re2. However bad a pattern
and however hostile the text: RE2 takes time linear in the text, a large pattern sees it window by window, and
before each step the ``Clock`` ends the work on a mail that has had its share of the processor.

A pattern is written in one of four ways:

- ``word``: stands anywhere in the text;
- ``=word``: is all of the text;
- ``wo*d``: is all of the text, each ``*`` for anything or nothing;
- ``/regex/``, or with flags ``/regex/ims``: is found anywhere in the text (RE2's syntax).

The first three are compared without case, accents and the kind of white space, as ``vrt search`` does.
"""

from __future__ import annotations

import re
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from itertools import chain
from typing import Any, NamedTuple

from vrt.text import clip, fold

MAX_PATTERN = 1000  # characters
_MAX_PROGRAM = 4000  # instructions of RE2; one letter of any script (\pL) takes 1,200
_MAX_MEMORY = 1 << 19  # bytes of a compiled regex and of what it remembers of texts; at least 2,000 states
_STEPS = 40_000_000  # at most, between two looks at the clock: instructions times bytes; 0.2 seconds
_OVERLAP = 4096  # bytes that two windows share: a match that is longer may be missed by a very large pattern
_SEEN = 60  # terminal cells of what is shown of a text


class BadPattern(ValueError):
    """A pattern is in none of the forms. The text is one clause about it."""


class Spent(Exception):
    """The processor time for one mail is used up."""


class Clock:
    """Counts the processor time of this thread, so that a busy machine changes no result."""

    def __init__(self, seconds: float) -> None:
        self._end = time.thread_time() + seconds

    def check(self) -> None:
        """Raise ``Spent`` if the time is over."""
        if time.thread_time() > self._end:
            raise Spent


class Text:
    """One text to be looked at, in the two forms that patterns need, each made once and only if needed."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def plain(self) -> str:
        """The text as words are compared with it."""
        return plain(self.text)

    @cached_property
    def raw(self) -> bytes:
        """The text as a regex sees it: composed (NFC), in UTF-8."""
        if self.text.isascii():
            return self.text.encode()
        return _in_pieces(self.text, lambda piece: unicodedata.normalize("NFC", piece)).encode("utf-8", "replace")


# Invisible characters that part a word for a program and not for a reader.
_HIDDEN = re.compile("[\u00ad\u034f\u200b-\u200f\u2060\ufeff]+")


def plain(text: str) -> str:
    """Return ``text`` as it is compared: folded as for ``vrt search``, white space made single spaces."""
    if not text.isascii():
        text = _in_pieces(_HIDDEN.sub("", text), fold)
    return " ".join(text.lower().split())


def _in_pieces(text: str, change: Callable[[str], str]) -> str:
    """Return ``text`` with ``change``, a Unicode normalisation, done piece by piece.

    Python's takes time quadratic in a run of combining marks: minutes for a megabyte of them.
    """
    return "".join(change(text[i : i + 256]) for i in range(0, len(text), 256))


# --- regular expressions ------------------------------------------------------------------------


class Regex:
    """A regular expression of RE2 (https://github.com/google/re2/wiki/Syntax)."""

    def __init__(self, pattern: str, flags: str) -> None:
        """Compile; raises ``BadPattern``."""
        import re2  # type: ignore[import-untyped]

        options = re2.Options()
        options.max_mem = _MAX_MEMORY
        options.never_capture = True  # groups only group: three times faster
        options.log_errors = False
        try:
            self._regex: Any = re2.compile(f"(?{flags}){pattern}" if flags else pattern, options)
        except re2.error as exc:
            raise BadPattern(_complaint(exc)) from None
        size = int(self._regex.programsize)
        if size > _MAX_PROGRAM:
            raise BadPattern("is too large a pattern: use smaller {counts} or less of \\p")
        if self._regex.search(b"") is not None:
            raise BadPattern("fits an empty text, so it fits everything; to ask for nothing write no without quotes")
        self._window = max(4 * _OVERLAP, _STEPS // size)

    def search(self, raw: bytes, clock: Clock) -> str | None:
        """Return what the pattern finds first in a text in UTF-8, None if nothing; raises ``Spent``."""
        start = 0
        while True:
            clock.check()
            end = min(len(raw), start + self._window)
            if (match := self._regex.search(raw, start, end)) is not None:
                found: bytes = match.group()
                return found[:1000].decode("utf-8", "replace")
            if end == len(raw):
                return None
            start = end - _OVERLAP


def _complaint(exc: Exception) -> str:
    """Return RE2's message as a clause."""
    said = exc.args[0] if exc.args else b""
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    text = clip(text.replace("\n", " "), 100)
    if text.startswith(("invalid perl operator: (?", "invalid escape sequence: \\")):
        text += " (RE2 knows no look-around and no back-references)"
    return f"is no pattern: {text}"


# --- patterns -----------------------------------------------------------------------------------


class Form(NamedTuple):
    """A pattern by its form: ``word``, ``whole``, ``glob`` or ``regex``; its text; the flags of a regex."""

    kind: str
    text: str
    flags: str = ""


def form(source: str) -> Form:
    """Return in which form a pattern is written; raises ``BadPattern``."""
    if len(source) > MAX_PATTERN:
        raise BadPattern(f"is longer than {MAX_PATTERN:,} characters")
    if source.startswith("/"):
        inner, slash, flags = source[1:].rpartition("/")
        if not slash or not set(flags) <= set("ims") or len(set(flags)) < len(flags):
            raise BadPattern("begins with / and does not end with /, /i, /m or /s as a pattern does")
        return Form("regex", inner, flags)
    kind, text = ("whole", source[1:]) if source.startswith("=") else ("glob" if "*" in source else "word", source)
    if not plain(text).strip("*" if kind == "glob" else ""):
        raise BadPattern("has nothing to look for in it; write yes or no without quotes to ask if there is any")
    return Form(kind, text)


Glob = tuple[str, ...]  # the pieces between the stars, plain


def _glob(text: str) -> Glob:
    return tuple(piece.strip() for piece in plain(text).split("*"))


def _fits(glob: Glob, text: str) -> bool:
    """Say whether all of ``text`` is as ``glob`` says; in one pass over it."""
    first, *between, last = glob
    at, end = len(first), len(text) - len(last)
    if at > end or not text.startswith(first) or not text.endswith(last):
        return False
    for piece in between:
        found = text.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True


class Patterns:
    """Patterns for texts, of which one has to fit."""

    def __init__(self, forms: Iterable[Form]) -> None:
        """Make ready to look for ``forms``; raises ``BadPattern``."""
        forms = list(dict.fromkeys(forms))
        self.wholes = frozenset(plain(f.text) for f in forms if f.kind == "whole")
        words = [plain(f.text) for f in forms if f.kind == "word"]
        joined = {word for word in words if len(word.encode()) <= 200}
        self._lists = _joined(sorted(joined)) if len(joined) > 30 else []
        self._words = [word for word in words if not self._lists or word not in joined]
        self._globs = [_glob(f.text) for f in forms if f.kind == "glob"]
        self._regexes = [Regex(f.text, f.flags) for f in forms if f.kind == "regex"]
        self._scans = bool(words or self._globs or self._regexes)

    def __bool__(self) -> bool:
        return bool(self.wholes or self._scans)

    def find(self, text: Text, clock: Clock) -> str | None:
        """Return what is seen in ``text`` (clipped) if a pattern fits, else None; raises ``Spent``."""
        clock.check()
        if self.wholes and text.plain in self.wholes:
            return seen(text.text)
        return self._scan(text, clock) if self._scans else None

    def _scan(self, text: Text, clock: Clock) -> str | None:
        for regex in self._regexes:
            if (found := regex.search(text.raw, clock)) is not None:
                return seen(found)
        if not (self._words or self._lists or self._globs):
            return None
        looked, long = text.plain, len(text.plain) > 5000
        for word in chain(self._found(looked, clock), self._words):
            if long:
                clock.check()
            if (at := looked.find(word)) >= 0:
                return seen(looked[max(0, at - 20) : at + len(word) + 20])
        for i, glob in enumerate(self._globs):
            if long or i % 100 == 0:
                clock.check()
            if _fits(glob, looked):
                return seen(text.text)
        return None

    def _found(self, looked: str, clock: Clock) -> Iterator[str]:
        """Yield words that are in ``looked``."""
        raw = looked.encode("utf-8", "replace") if self._lists else b""
        for regex in self._lists:
            if (word := regex.search(raw, clock)) is not None:
                yield word


def _joined(words: Iterable[str]) -> list[Regex]:
    """Return regexes that find any of many words: one look for about two hundred of them."""
    import re2

    groups: list[list[str]] = [[]]
    room = _MAX_PROGRAM // 2  # bytes: each takes an instruction
    for word in words:
        if room < len(word.encode()):
            groups.append([])
            room = _MAX_PROGRAM // 2
        groups[-1].append(word)
        room -= len(word.encode())
    return [Regex("|".join(map(re2.escape, group)), "") for group in groups if group]


def seen(text: str) -> str:
    """Return the beginning of ``text``, on one line, for a person. It is foreign: escape it before it is shown."""
    return clip(" ".join(text[:300].split()), _SEEN)
