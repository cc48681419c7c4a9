"""HTML of a mail made Markdown to read: no script, nothing that would be fetched, no text hidden.

Knows nothing of mails. Sole user of html-to-markdown, which is imported when it is first needed.
"""

from __future__ import annotations

import re
from functools import lru_cache
from html import unescape
from typing import Any

from vrt.mail import limits
from vrt.mail.charset import clean

# Where a link may lead; any other scheme (javascript:, data:, vbscript:, file: ...) leaves only the text.
_SCHEMES = {"http", "https", "mailto", "tel", "sms", "ftp", "geo", "xmpp", "sip", "matrix", "news"}
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):", re.IGNORECASE)
# What browsers drop from an address before they look at its scheme (https://url.spec.whatwg.org/#url-parsing).
_IGNORED = dict.fromkeys(range(0x21))


def to_markdown(html: str) -> tuple[str, list[str]]:
    """Return ``html`` as Markdown, and what was wrong (defects as in ``Mail.defects``). Never raises.

    Scripts, styles, comments and the head are left out. Text that the sender hid is shown. An
    image is its alternative text in brackets. A link to anything but a page, an address or a
    telephone number is its text. What the converter cannot take (more than 128 levels: by itself
    it returns an empty string beyond 1,024; or what would take it seconds) is returned as plain text.
    """
    html = clean(html)
    if len(html) > _SMALL:
        html = _DATA.sub("data:", html)  # the pictures in it
    converted = None if _is_too_much(html) else _converted(html)
    limits.look()
    if converted is not None and (converted.strip() or not html.strip()):
        return _tidy(converted), []
    text = to_text(html)
    if converted is not None and not text.strip():
        return "", []  # pictures only
    return _tidy(text), ["html read as plain text"]


def _tidy(text: str) -> str:
    return clean(text).replace("\r\n", "\n").replace("\r", "\n").strip("\n")


class _Visitor:
    """What the converter asks for each link and image. Answers are its ``VisitResult`` in short."""

    def visit_link(self, _context: Any, href: str, text: str, _title: str | None) -> Any:
        target = href.translate(_IGNORED)
        scheme = _SCHEME.match(target)
        if not scheme or scheme[1].lower() not in _SCHEMES:
            return {"custom": text}
        if text.strip() and text.strip() in (target, target.removeprefix("mailto:")):
            return {"custom": text}
        return "continue"

    def visit_image(self, _context: Any, _src: str, alt: str, _title: str | None) -> Any:
        return {"custom": f"[{alt.strip()}]" if alt.strip() else ""}

    def visit_iframe(self, _context: Any, _src: str) -> Any:
        return "skip"

    visit_audio = visit_video = visit_iframe


@lru_cache(maxsize=1)
def _converter() -> tuple[Any, Any]:
    """Return the converter and its options, loaded once."""
    import html_to_markdown

    options = html_to_markdown.ConversionOptions(
        extract_metadata=False,
        hidden_content="all",
        autolinks=False,  # they bypass visit_link
        include_blockquote_citations=False,
        strip_tags=["svg"],  # else a data: image
        compact_tables=True,  # padded columns make megabytes of one wide cell
        max_depth=_DEPTH,
    )
    return html_to_markdown.convert, options


_SMALL = 50_000  # characters that the converter reads in no time, whatever they are
_LONGEST = 1_000_000
_TAGS = 30_000
_ATTRIBUTES = 10_000  # of one tag
_DATA = re.compile(r"data:[a-z]{1,20}/[^\s\"'<>)]*+", re.IGNORECASE)
_BREAK = re.compile("<br", re.IGNORECASE)
_TAG_BEGINS = re.compile(r"<[a-zA-Z/]")
_BETWEEN = re.compile(r"[\s/\"']")
# A value with the end of a tag in it that is none.
_TAG_GOES_ON = re.compile(r"=\s*+(?:\"[^\">]*+>|'[^'>]*+>)")


def _is_too_much(html: str) -> bool:
    """Say whether the converter, which nobody can interrupt, might take seconds for ``html``.

    It takes up to 30 µs and 2 kB a tag, and quadratic time for the attributes of one tag and the
    line breaks in one link.
    """
    if len(html) <= _SMALL:
        return False
    breaks = len(_BREAK.findall(html))
    if len(html) > _LONGEST or html.count("<") > _TAGS or breaks * (len(html) + 8 * breaks) > 4_000_000_000:
        return True
    more = len(_TAG_GOES_ON.findall(html))
    most = 500
    for piece in html.split(">"):
        if len(piece) > 1000 and ((tag := _TAG_BEGINS.search(piece)) or more):
            most = max(most, len(_BETWEEN.findall(piece, tag.start() if tag else 0)))
    return most * (more + 1) > _ATTRIBUTES


# Each level of a quotation or list is written on each of its lines.
_DEPTH = 128
_TABLE = re.compile("<table", re.IGNORECASE)
_CELL = re.compile("<t[dh]", re.IGNORECASE)
_TABLE_TAG = re.compile(r"(</?)(?:table|tbody|thead|tfoot|tr|td|th|caption)(?=[\s/>])", re.IGNORECASE)
_QUOTE = re.compile("<blockquote", re.IGNORECASE)


def _tamed(html: str) -> str:
    """Return ``html`` with tables or quotations made plain blocks where they would take too long.

    The converter takes time exponential in the depth of tables in tables (2 s at 20 levels),
    fills all rows of a table up to the longest, and takes quadratic time on quotations in
    quotations. A mail with so many tables uses them for its layout, which reads better without.
    """
    tables = len(_TABLE.findall(html))
    if len(html) << min(tables, 30) > 1 << 21 or len(_CELL.findall(html)) > 600:
        html = _TABLE.sub("<div", _TABLE_TAG.sub(r"\1div", html))
    quotes = len(_QUOTE.findall(html))
    if quotes * (len(html) + quotes * (html.count("<") + html.count("\n"))) > 30_000_000:
        html = _QUOTE.sub("<div", html)
    return html


def _converted(html: str) -> str | None:
    """Return the converter's Markdown, None if it failed or gave up on a part."""
    try:
        convert, options = _converter()
        result = convert(_tamed(html), options, _Visitor())
    except Exception:
        return None
    except BaseException as error:  # a panic of the Rust side is no Exception
        if type(error).__name__ != "PanicException":
            raise
        return None
    if any("depth" in str(warning.kind) for warning in result.warnings):
        return None
    # A few levels of a list around many short lines are mostly indentation.
    return result.content if len(result.content) <= 4 * len(html) + 100_000 else None


# Elements whose content is no text for a reader, and those that begin a new line.
_DROPPED = {"script", "style"}
_LINES = re.compile(
    "address|article|aside|blockquote|br|caption|center|dd|details|div|dl|dt|fieldset|figcaption|figure|footer|form|"
    "h[1-6]|header|hr|li|main|nav|ol|option|p|pre|section|summary|table|t[dhr]|ul"
)
_TAG = re.compile(r"</?([a-z][^\s/>]{0,40})|<[!?/]", re.IGNORECASE)
_BREAKS = re.compile(r"\n{3,}")
_ENDLESS = re.compile(r"&#(?:[0-9]{10,}|[xX][0-9a-fA-F]{10,});?")  # int() refuses thousands of digits


def to_text(html: str) -> str:
    """Return the text of ``html`` without tags, in time linear in its length whatever it is.

    Not ``html.parser``: before the fixes of CVE-2025-6069 it takes quadratic time on
    unfinished tags.
    """
    out: list[str] = []
    missing: set[str] = set()  # what was looked for once and is nowhere further on
    at = 0
    while (tag := _TAG.search(html, at)) is not None:
        end = _tag_end(html, tag, missing)
        if end < 0:
            out.append(html[at : tag.end()])
            at = tag.end()
            continue
        out.append(html[at : tag.start()])
        name = (tag[1] or "").lower()
        if _LINES.fullmatch(name):
            out.append("\n")
        at = _content_end(html, name, end, missing) if name in _DROPPED and tag[0][1] != "/" else end
    out.append(html[at:])
    text = unescape(_ENDLESS.sub("\ufffd", "".join(out)))
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return _BREAKS.sub("\n\n", "\n".join(lines)).strip("\n")


def _tag_end(html: str, tag: re.Match[str], missing: set[str]) -> int:
    """Return where a tag or comment ends, -1 if it does not."""
    if html.startswith("<!--", tag.start()):
        return _after(html, "-->", tag.start() + 2, missing)
    return _after(html, ">", tag.end(), missing)


def _content_end(html: str, name: str, start: int, missing: set[str]) -> int:
    """Return where a dropped element ends, ``start`` if it is never closed."""
    if name in missing:
        return start
    close = _CLOSE[name].search(html, start)
    if close is None:
        missing.add(name)
        return start
    return max(start, _after(html, ">", close.end(), missing))


_CLOSE = {name: re.compile(f"</{name}\\b", re.IGNORECASE) for name in _DROPPED}


def _after(html: str, mark: str, start: int, missing: set[str]) -> int:
    if mark in missing:
        return -1
    at = html.find(mark, start)
    if at < 0:
        missing.add(mark)
        return -1
    return at + len(mark)
