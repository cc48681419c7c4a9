"""What an answer takes over from the mail that it answers: the subject, the text quoted, the mail passed on.

Pure work on text, none of which is interpreted; the marks are those that ``vrt.mail.quote`` knows again.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping

from vrt import text
from vrt.mail import fields

_COLUMNS = 72
_MOST_LINES, _MOST = 3000, 300_000  # lines, characters that are quoted
_DEEPEST = 20  # quotations in quotations that are told apart
_MOST_SUBJECT = 250
_CUT = "[…]"

# What mail programs put before a subject: reply and forward in the languages of Europe, in Chinese, our own Auto.
_PREFIX = (
    r"(?:auto|re|r[ée]f|aw|antw|sv|vs|rv|odp|vá|ynt|yan|απ|ответ|fwd?|wg|wtr|tr|vl|vb|enc|doorst|回复|回覆|答复|转发|轉寄)"
    r"\s{0,3}(?:\[\d{1,3}\]|\(\d{1,3}\)|\^\d{1,3})?\s{0,3}[:：]"
)

_WROTE = {
    "en": "On {when}, {who} wrote:", "de": "Am {when} schrieb {who}:",
    "fr": "Le {when}, {who} a écrit :", "es": "El {when}, {who} escribió:",
}  # fmt: skip
_PASSED_ON = {
    "en": ("Forwarded message", "From", "Date", "To", "Cc", "Subject"),
    "de": ("Weitergeleitete Nachricht", "Von", "Datum", "An", "Cc", "Betreff"),
    "fr": ("Message transféré", "De", "Date", "À", "Cc", "Objet"),
    "es": ("Mensaje reenviado", "De", "Fecha", "Para", "Cc", "Asunto"),
}


def _main(language: str) -> str:
    found = language.lower().partition("-")[0]
    return found if found in _WROTE else "en"


def reply_subject(subject: str, hook: str, prefix: str = "Re") -> str:
    """Return the subject of an answer: ``Re: [Ticket#2026112010000081] A picture``.

    ``hook``: the ticket's, with its brackets; ``prefix``: may be empty. What programs and this desk put before a
    subject goes: ``Re:``, ``AW: [Ticket#…] Fwd:``. One line of at most 250 characters.
    """
    word = re.escape(hook.strip("[]").rstrip("0123456789"))
    before = rf"\A(?:(?:{_PREFIX}|\[{word}\s?\d{{8,20}}\]:?)\s{{0,9}})++"
    rest = re.sub(before, "", fields.clean(subject), flags=re.IGNORECASE).replace(hook, "")
    return text.clip(fields.clean(f"{prefix}{':' * bool(prefix)} {hook} {rest}"), _MOST_SUBJECT)


# --- quoting ------------------------------------------------------------------------------------------


def quoted(body: str, who: str, when: str, language: str) -> str:
    """Return ``body`` with ``> `` before its lines, and a line before them that says who wrote it and when.

    ``who`` and ``when`` are shown as they are given. Lines are wrapped at 72 columns, links are not; what was quoted
    already gets one mark more. Of a very long text the beginning is quoted. Ends with a line end.
    """
    said = _WROTE[_main(language)].format(when=fields.clean(when, 80), who=fields.clean(who, fields.MOST_NAME))
    lines = [*_wrapped(said, _COLUMNS)]
    body = body.strip("\r\n")
    for number, line in enumerate(_marked(body[:_MOST])):
        if number == _MOST_LINES:
            break
        lines.append(line)
    else:
        if len(body) <= _MOST:
            return "\n".join(lines) + "\n"
    return "\n".join([*lines, f"> {_CUT}"]) + "\n"


_MARKS = re.compile(r"(?:> ?)+")


def _marked(body: str) -> Iterator[str]:
    for line in _lines(body):
        marks = _MARKS.match(line)
        depth = min(marks[0].count(">"), _DEEPEST) if marks else 0
        rest = line[marks.end() :] if marks else line
        for piece in _wrapped(rest, _COLUMNS - depth - 2):
            yield ">" * (depth + 1) + (f" {piece}" if piece else "")


def _lines(body: str) -> list[str]:
    """Return the lines, also of what only some programs show as two: no line of a quotation is to look unquoted."""
    return [line.rstrip() for line in body.strip("\r\n").splitlines()]


def _wrapped(line: str, columns: int) -> Iterator[str]:
    """Yield ``line`` in pieces of at most ``columns`` terminal cells; what has no place to break is longer."""
    if len(line) <= columns // 2 or text.width(line) <= columns:
        yield line
        return
    out, used = "", 0
    for space, piece in _breakable(line, columns):
        cells = text.width(piece)
        if out and used + len(space) + cells > columns:
            yield out
            out, used, space = "", 0, ""
        out, used = out + space + piece, used + len(space) + cells
    yield out


def _breakable(line: str, columns: int) -> Iterator[tuple[str, str]]:
    """Yield what is not to be broken, each with the spaces before it.

    Those are words, but for long ones of a script written without spaces; a link is one whatever it holds.
    """
    for space, word in re.findall(r"([ \t]*)([^ \t]+)", line):
        if word.isascii() or "://" in word or text.width(word) <= columns:
            yield space, word
            continue
        start = 0
        for at in range(1, len(word)):
            if not _joined(word[at - 1], word[at]):
                yield (space if start == 0 else ""), word[start:at]
                start = at
        yield (space if start == 0 else ""), word[start:]


def _joined(before: str, c: str) -> bool:
    return (
        (before.isascii() and c.isascii()) or before == "\u200d" or unicodedata.category(c) in ("Mn", "Mc", "Me", "Cf")
    )


def forwarded(front: Mapping[str, object], body: str, language: str) -> str:
    """Return a mail as it is passed on: a line that says so, its From, Date, To, Cc and Subject, and its text.

    ``front`` is the front matter of its article, where any of them may lack; the date is its own, else that of its
    receipt. The text is that of ``body``, nothing added to its lines. Ends with a line end.
    """
    title, *names = _PASSED_ON[_main(language)]
    date = front.get("date") or front.get("received") or ""
    values = (
        _people(front.get("from")),
        date,
        _people(front.get("to")),
        _people(front.get("cc")),
        front.get("subject"),
    )
    rows = [f"{name}: {fields.clean(str(value))}" for name, value in zip(names, values, strict=True) if value]
    return "\n".join([f"---------- {title} ----------", *rows, "", *_lines(body)]) + "\n"


def _people(value: object) -> str:
    """Return the addresses of a field of a front matter, as people read them."""
    found = [a for a in value if isinstance(a, Mapping)] if isinstance(value, list | tuple) else []
    both = [(str(a.get("name") or ""), str(a.get("address") or "")) for a in found]
    return ", ".join(f"{name} <{address}>" if name else address for name, address in both)
