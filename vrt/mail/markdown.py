"""Markdown made HTML to send: nothing in it is fetched, styled or run.

Knows nothing of mails. Sole user of markdown-it-py, which is imported when it is first needed.
"""

from __future__ import annotations

import re
from functools import lru_cache
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import MutableMapping, Sequence

    from markdown_it import MarkdownIt
    from markdown_it.renderer import RendererHTML
    from markdown_it.rules_block import StateBlock
    from markdown_it.token import Token

_LINK = re.compile(r"(?:https?://|mailto:)[!-~]", re.IGNORECASE)  # the converter has encoded what is not ASCII
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,4}")
_MARKS = re.compile(r"(?:> ?)*")
_DEEPEST = 10  # quotations in quotations


def to_html(markdown: str, language: str = "") -> str:
    """Return ``markdown`` (CommonMark) as an HTML document, in ``language`` (a tag of RFC 5646; "" for unknown).

    HTML in it stays text; images are links; links lead to http, https and mailto only. What is quoted was written
    by others, and not always in Markdown: it is shown as it is, line by line, and none of its links hides where
    it leads. So is what stands under ``-- `` (RFC 3676 section 4.3), which would make a heading of the line before.
    """
    lang = f' lang="{language}"' if _LANGUAGE.fullmatch(language) else ""
    text, mark, signature = f"\n{markdown}".rpartition("\n-- \n")
    body = _converter().render(text if mark else markdown)
    if mark:
        body += "<p>-- <br>\n" + "<br>\n".join(escape(signature.strip("\n")).split("\n")) + "</p>\n"
    head = f'<!DOCTYPE html>\n<html{lang}>\n<head><meta charset="utf-8"></head>\n<body dir="auto">\n'
    return f"{head}{body}</body>\n</html>\n"


@lru_cache(maxsize=1)
def _converter() -> MarkdownIt:
    from markdown_it import MarkdownIt

    made = MarkdownIt("commonmark", {"html": False}).disable("image")
    made.validateLink = lambda url: _LINK.match(url) is not None  # type: ignore[method-assign]
    made.block.ruler.at("blockquote", _quotation, {"alt": ["paragraph", "reference", "blockquote", "list"]})
    made.add_render_rule("quotation", _quotation_html)
    made.add_render_rule("link_close", _link_html)
    return made


def _quotation(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Take the lines with ``>`` from ``start`` on, as markdown-it's own rule does, as one token with their text."""
    if state.is_code_block(start):
        return False
    last = start
    while last < end and state.sCount[last] >= state.blkIndent:
        if not state.src.startswith(">", state.bMarks[last] + state.tShift[last]):
            break
        last += 1
    if last == start:
        return False
    if not silent:
        token = state.push("quotation", "", 0)
        token.content = state.getLines(start, last, state.blkIndent, False)
        token.map = [start, last]
        state.line = last
    return True


def _quotation_html(
    renderer: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: MutableMapping[str, Any]
) -> str:
    out, depth = [], 0
    for line in (line.lstrip() for line in tokens[at].content.split("\n")):
        rest = _MARKS.sub("", line, count=1)
        deeper = min(line.count(">", 0, len(line) - len(rest)), _DEEPEST)
        out += ["<blockquote>\n" * (deeper - depth), "</blockquote>\n" * (depth - deeper), escape(rest), "<br>\n"]
        depth = deeper
    return "".join(out) + "</blockquote>\n" * depth


def _link_html(
    renderer: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: MutableMapping[str, Any]
) -> str:
    """End a link, and say where it leads unless it says so itself: its text may come from a stranger's name."""
    opened = next(i for i in range(at, -1, -1) if tokens[i].type == "link_open")
    url = str(tokens[opened].attrGet("href") or "")
    shown = "".join(t.content for t in tokens[opened:at])
    return "</a>" if shown in (url, url.removeprefix("mailto:")) else f"</a> ({escape(url)})"
