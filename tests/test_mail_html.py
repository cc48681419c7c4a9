"""HTML made Markdown: readable, with nothing to fetch and nothing hidden."""

from __future__ import annotations

import pytest

from vrt.mail.html import to_markdown, to_text


@pytest.mark.parametrize(
    ("html", "markdown"),
    [
        ("<p>One</p><p>Two <b>bold</b> <i>it</i></p>", "One\n\nTwo **bold** *it*"),
        ("<ul><li>a<li>b</ul>", "- a\n- b"),
        ('<a href="https://example.org/x">site</a>', "[site](https://example.org/x)"),
        ('<a href="https://example.org/">https://example.org/</a>', "https://example.org/"),
        ('<a href="mailto:jo@example.org">jo@example.org</a>', "jo@example.org"),
        ('<a href="javascript:alert(1)">click</a>', "click"),
        ('<a href=" JaVa&#115;cript:alert(1)">click</a>', "click"),
        ('<a href="java\nscript:alert(1)">click</a>', "click"),
        ('<a href="data:text/html,x">click</a>', "click"),
        ('<a href="vbscript:x">click</a>', "click"),
        ('<a href="file:///etc/passwd">click</a>', "click"),
        ('<h2><a href="javascript:x">head</a></h2>', "## head"),
        ('Hi<img src="https://t.example/1.gif" width=1 height=1>', "Hi"),
        ('<img src="cid:a" alt="Logo">', "[Logo]"),
        ('<img src="https://e.example/a.png" alt="Chart"> x', "[Chart] x"),
        ('<img src="data:image/png;base64,AAAA">', ""),
        ("<head><title>T</title><style>a{}</style></head><body>Hi<script>alert(1)</script><!-- no --></body>", "Hi"),
        ('Hi<div style="display:none">hidden</div><div hidden>too</div>', "Hi\n\nhidden\n\ntoo"),
        ('<iframe src="https://e.example"></iframe><video src="https://e.example/v"></video>Hi', "Hi"),
        ("<svg><text>drawn</text></svg>", "drawn"),
        ('<blockquote cite="https://e.example">said</blockquote>', "> said"),
        ("<table><tr><th>a<th>b<tr><td>1<td>2</table>", "| a | b |\n| --- | --- |\n| 1 | 2 |"),
        ("a &lt;b&gt; &amp; &euro;", "a <b> & €"),
        ("&#0;x", "\ufffdx"),
        ("", ""),
        (" \n ", ""),
    ],
)
def test_markdown(html: str, markdown: str) -> None:
    assert to_markdown(html) == (markdown, [])


def test_line_breaks() -> None:
    assert [line.rstrip() for line in to_markdown("one<br>two<br/>three")[0].split("\n")] == ["one", "two", "three"]


def test_layout_of_many_tables_becomes_plain_blocks() -> None:
    html = "<table><tr><th>" * 30 + '<a href="https://example.org">x</a>' + "</th></tr></table>" * 30
    assert to_markdown(html) == ("[x](https://example.org)", [])


@pytest.mark.parametrize("depth", [2_000, 50_000])
def test_too_deep_for_the_converter(depth: int) -> None:
    markdown, defects = to_markdown("<div>" * depth + "first<p>second &amp; third" + "</div>" * depth)
    assert markdown.split() == ["first", "second", "&", "third"]
    assert defects == ["html read as plain text"]


def test_plain_text_of_any_html() -> None:
    html = "<head><style>a{}</style></head><p>One <b>two</b><br>three</p><script>x</script><!-- c --><td>four</td>&lt;"
    assert to_text(html).split() == ["One", "two", "three", "four", "<"]
    assert to_text("a < b and <unfinished") == "a < b and <unfinished"
    assert to_text("x <!-- never closed") == "x <!-- never closed"
    assert to_text("<script>never closed") == "never closed"


@pytest.mark.parametrize(
    "html",
    [
        "<" * 1_000_000,
        "<a " * 300_000,
        "<!--" * 250_000,
        "</" * 500_000,
        "<script>" * 100_000,
        "<script>" + "</script" * 100_000,
        "<a href='" * 100_000,
        "<![CDATA[" * 100_000,
        "&" * 1_000_000,
        "<b><i>x</b></i>" * 50_000,
        "<blockquote>" * 126 + "x<br>" * 200_000,
        "<ul><li>" * 60 + "x<p>" * 100_000,
        "<pre>" * 1000 + "x",
        "<table><tr>" + "<td>a" * 20_000 + "<tr><td>b" * 3_000,
        "<table><tr><td>a<td>b<tr><td>c" * 12 + "x<br>" * 10_000,
        "<table><tr><td colspan=1000000>a",
        "<p>a" * 200_000,
        "<x" + "\ud800" + ">",
    ],
)
def test_bombs(html: str) -> None:
    markdown, _ = to_markdown(html)
    markdown.encode()
    assert len(markdown) <= 5 * len(html) + 100_000
