"""The field Authentication-Results (RFC 8601), in which a receiving host writes what it found out about a mail.

Reads one field into values; whom to believe is decided elsewhere. Pure, linear, raises on no input.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

NAME = "authentication-results"
MAX_LENGTH = 10_000  # bytes of a field that are read
MAX_RESULTS = 100

# The words that a result may be (RFC 8601 section 2.7, and bestguesspass of Microsoft). No other text leaves here.
_WORDS = frozenset({"pass", "fail", "softfail", "neutral", "none", "policy", "temperror", "permerror", "bestguesspass"})
_ALSO = {"hardfail": "fail", "discard": "fail", "error": "temperror", "temperr": "temperror", "permerr": "permerror"}
UNKNOWN = "unknown"
_WORST_FIRST = ("fail", "softfail", "policy", "permerror", "temperror", UNKNOWN, "neutral", "none", "bestguesspass")


class Result(NamedTuple):
    """What one method found: its name (``dmarc``), the word, and properties (``header.from``) in lower case.

    ``sound``: all of it was as the standard writes it, and of version 1. The values of properties are foreign text.
    """

    method: str
    word: str
    properties: tuple[tuple[str, str], ...]
    sound: bool

    def values(self, name: str) -> set[str]:
        """Return the values that a property is given, in lower case."""
        return {value.lower() for key, value in self.properties if key == name}


class Field(NamedTuple):
    """One field: the host that wrote it (authserv-id, in lower case, "" if it names none) and its results.

    ``whole`` is False if the field broke off (a quote or comment never closed, too long): what stands before
    the break is here, and whoever caused it may have hidden something behind it; or if it is of another kind.
    """

    host: str
    results: tuple[Result, ...]
    whole: bool

    def of(self, method: str) -> list[Result]:
        """Return the results of one method."""
        return [result for result in self.results if result.method == method]


def worst(words: list[str]) -> str:
    """Return the word that says least good of a sender; "" if there is none."""
    return next((word for word in _WORST_FIRST if word in words), "pass" if words else "")


_Token = tuple[str, str]  # kind: "gap", "word", "quoted" or the character itself; text

_TOKEN = re.compile(
    r'(?P<gap>[ \t\r\n]+)|(?P<quoted>"(?:[^"\\]|\\.)*")|(?P<word>[^\s()";=\\]+)|(?P<mark>[(;=])', re.DOTALL
)
_COMMENT = re.compile(r"[^()\\]+|\\.|[()]", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def read(value: bytes) -> Field | None:
    """Return what the raw value of a field says; None if not even who wrote it can be told."""
    text = value[:MAX_LENGTH].decode("utf-8", "replace")
    segments, whole = _segments(text)
    first = [token for token in segments[0] if token[0] != "gap"]
    if not first or first[0][0] not in ("word", "quoted"):
        return None
    if first[1:2] == [("=", "=")]:  # Microsoft 365 names no host
        host, bodies = "", segments
    elif first[1:] in ([], [("word", "1")]) and (whole or len(segments) > 1):
        host, bodies = first[0][1].lower(), segments[1:]
    else:  # another version, which is not to be read (section 2.2), or no such field: yet this host wrote it
        return Field(first[0][1].lower(), (), False)
    found = (result for body in bodies[:MAX_RESULTS] if (result := _result(body)))
    return Field(host, tuple(found), whole and len(value) <= MAX_LENGTH and len(bodies) <= MAX_RESULTS)


def _segments(text: str) -> tuple[list[list[_Token]], bool]:
    """Return the tokens between the semicolons, comments as gaps; and whether it could be read to its end."""
    segments: list[list[_Token]] = [[]]
    if control := _CONTROL.search(text):
        text = text[: control.start()]
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            return segments, False
        at, kind, found = match.end(), str(match.lastgroup), match[0]
        if found == "(":
            at = _behind_comment(text, at)
            if at < 0:
                return segments, False
            kind = "gap"
        elif kind == "quoted":
            found = _ESCAPED.sub(r"\1", found[1:-1])
        elif kind == "mark":
            kind = found
        if kind == ";":
            segments.append([])
        else:
            segments[-1].append((kind, found))
    return segments, control is None


def _behind_comment(text: str, at: int) -> int:
    """Return where the comment ends whose text begins at ``at``, comments in it and all; -1 if it does not."""
    depth = 1
    for match in _COMMENT.finditer(text, at):
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        if not depth:
            return match.end()
    return -1


_METHOD = re.compile(r"([a-z0-9][a-z0-9-]{0,40})(?:/([0-9]{1,9}))?")


def _result(tokens: list[_Token]) -> Result | None:
    """Return what stands between two semicolons as a result; None if it is nothing of the kind, or ``none``."""
    pairs = list(_pairs(tokens))
    if not pairs or not pairs[0][0]:
        return None
    method = _METHOD.fullmatch(pairs[0][0].lower())
    if method is None:
        return None
    word = pairs[0][1].lower()
    word = word if word in _WORDS else _ALSO.get(word, UNKNOWN)
    plain = ("quoted", pairs[0][1]) not in tokens  # the result is a keyword, never in quotes
    sound = plain and method[2] in (None, "1") and all(name for name, _ in pairs)
    return Result(method[1], word, tuple((name.lower(), value) for name, value in pairs[1:] if name), sound)


def _pairs(tokens: list[_Token]) -> Iterator[tuple[str, str]]:
    """Yield the names and values of ``name=value``; ("", "") for what is no such pair."""
    name, gap, at = "", False, 0
    while at < len(tokens):
        kind, text = tokens[at]
        at += 1
        if kind == "gap":
            gap = True
            continue
        if kind == "=" and name:
            value, at = _value(tokens, at)
            yield name, value
            name = ""
        elif kind == "word" and (not name or not gap or name[-1] in "./" or text[0] in "./"):
            name += text  # gaps are allowed around the dot of a property and the slash of a version
        else:
            yield "", ""
            name = text if kind == "word" else ""
        gap = False
    if name:
        yield "", ""


def _value(tokens: list[_Token], at: int) -> tuple[str, int]:
    """Return the value that begins at ``at`` and where it ends; a gap may stand before it, none in it."""
    start = at
    while at < len(tokens) and tokens[at][0] == "gap":
        at += 1
    end = at
    while end < len(tokens) and tokens[end][0] != "gap":
        end += 1
    if at > start and any(kind == "=" for kind, _ in tokens[at:end]):
        return "", start  # "smtp.mailfrom= header.from=example.org": empty, and the next pair
    return "".join(text for _, text in tokens[at:end]), end
