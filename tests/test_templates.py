"""Templates: what stands in mail stays literal, a hostile template is refused at once, the built-in ones are whole."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

from vrt import templates
from vrt.errors import NotFound, UsageError, VrtError
from vrt.templates import VALUES, Template, check, every, fill, find, words

FULL = {
    "ticket": "2026112010000081", "hook": "[Ticket#2026112010000081]", "subject": "A picture of the bridge",
    "requester": "Jane Roe", "address": "jane@example.com", "agent": "alice", "signed": "alice", "queue": "info-en",
    "desk": "Example VRT", "language": "en", "signature": "Example VRT\nhttps://example.org", "date": "2026-11-20",
}  # fmt: skip
LANGUAGES = ("de", "en", "es", "fr")
FOR_MAIL = (
    "closing", "fix-it-yourself", "permission-accepted", "permission-insufficient", "receipt", "salutation", "signature"
)  # fmt: skip


def nothing(path: str) -> None:
    """A desk without templates of its own."""


def own(text: str) -> Template:
    return Template("try", "en", "", True, text)


def reads(**texts: str) -> Callable[[str], str | None]:
    """A desk whose templates are ``texts``; their names are written with ``__`` for the slash."""
    kept = {name.replace("__", "/").replace("_", "-"): text for name, text in texts.items()}
    return kept.get


# --- what comes from mail stays as it is --------------------------------------------------------------

INJECTIONS = [
    "{{ 7*7 }}", "{{7*7}}", "{{- 7*7 -}}", "{{+ 7*7 +}}", "{{ subject }}", "{{ address }}", "{{ self }}",
    "{{ self.__init__.__globals__ }}", "{{ ''.__class__.__mro__[1].__subclasses__() }}", "{{ config }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}", "{{ lipsum.__globals__['os'] }}",
    "{{ joiner.__init__ }}", "{{ namespace.__init__ }}", "{{ range(10**9) }}", "{{ 'a' * 10**9 }}",
    "{{ request|attr('application') }}", "{{ ()|attr('__class__') }}", "{{ dict(a=1) }}", "{{ [].append(1) }}",
    "{% if true %}x{% endif %}", "{%- if true -%}x{%- endif -%}", "{%+ if true +%}x{% endif %}",
    "{% for i in range(9) %}{{ i }}{% endfor %}",
    "{% set x = 1 %}", "{% include '/etc/passwd' %}", "{% import 'os' as os %}", "{% extends 'note.md.j2' %}",
    "{% block x %}{% endblock %}", "{% macro m() %}{% endmacro %}", "{% raw %}", "{% endraw %}",
    "{% raw %}{{ 1 }}{% endraw %}", "{% call m() %}{% endcall %}", "{% filter upper %}x{% endfilter %}",
    "{% endif %}", "{% else %}", "{% elif x %}", "{% with %}{% endwith %}", "{% debug %}", "{% trans %}x{% endtrans %}",
    "{# a comment #}", "{#- a comment -#}", "{# open", "# for x in y", "## a line comment", "#! line statement",
    "{{", "}}", "{%", "%}", "{#", "#}", "{ { 7*7 } }", "{\u200b{ 7*7 }}", "\uff5b\uff5b 7*7 \uff5d\uff5d",
    "\u2774\u2774 7*7 \u2775\u2775", "{{ '\\u007b\\u007b' }}", "\\{{ 7*7 }}", "{{{{ 7*7 }}}}", "{{ {{ 7*7 }} }}",
    "${7*7}", "#{7*7}", "<%= 7*7 %>", "*{7*7}", "$(id)", "`id`", "%s%n%(x)s", "{0.__class__}", "{subject}",
    "&lt;b&gt;<b>&amp;", "a\n{% if true %}\nb", "{{ 7*7 }}\r\nBcc: x@example.com", "\x00{{ 7*7 }}",
]  # fmt: skip
# Half of a tag in one value, the other half in the one that stands right behind it.
HALVES = [
    ("{", "{ 7*7 }}"), ("{{", " 7*7 }}"), ("{{ 7*7 }", "}"), ("{%", " if true %}"), ("{", "% raw %}"), ("{#", "#}"),
    ("{{ subject", " }}"), ("{% raw %}", "{% endraw %}"), ("{{ '", "' }}"), ("{{ \"", "\"|upper }}"),
]  # fmt: skip


@pytest.mark.parametrize("text", INJECTIONS)
def test_a_value_is_never_read_as_a_template(text: str) -> None:
    values = dict.fromkeys(VALUES, text)
    made = fill(own("".join(f"<{{{{ {name} }}}}>\n" for name in VALUES)), values)
    assert made == f"<{text}>\n" * len(VALUES)
    assert fill(own("{% if subject == requester %}{{ subject|default('x', true) }}{% endif %}"), values) == text
    for language in LANGUAGES:
        assert text in fill(find(nothing, "salutation", language), values)
        assert fill(find(nothing, "signature", language), values).count(text) == 2


@pytest.mark.parametrize(("one", "other"), HALVES)
def test_values_are_not_read_together(one: str, other: str) -> None:
    values = FULL | {"requester": one, "subject": other}
    assert fill(own("{{ requester }}{{ subject }}"), values) == one + other
    assert fill(own("{ {{ requester }}{{ subject }} }"), values) == f"{{ {one}{other} }}"


def test_a_value_of_the_desk_file_is_not_read_either() -> None:
    made = templates.render("auto-new", "en", hook="{{ 7*7 }}", desk="{% raw %}", queue="q", signature="{{ desk }}")
    assert "{{ 7*7 }}" in made
    assert "message to {% raw %}." in made
    assert made.endswith("-- \n{{ desk }}\n")


# --- what a desk's template may say -------------------------------------------------------------------

GOOD = {
    "": "",
    "plain text, 100 % of it { } } # %": "plain text, 100 % of it { } } # %",
    "{{ agent }}, {{agent}}, {{- agent -}} .": "alice, alice,alice.",
    "{# said to the admins #}x": "x",
    "{% if requester %}Dear {{ requester }}{% else %}Hello{% endif %}": "Dear Jane Roe",
    "{% if not requester %}a{% elif queue == 'info-en' %}b{% else %}c{% endif %}": "b",
    "{% if queue != 'info-en' and agent or desk %}a{% endif %}": "a",
    "{% if agent is defined and (agent == 'alice') %}a{% endif %}": "a",
    "{% if agent is not defined %}a{% endif %}": "",
    "{{ agent|upper }} {{ agent|capitalize }} {{ desk|lower }} {{ ' x '|trim }}": "ALICE Alice example vrt x",
    "{{ signature|default(desk, true) }}": "Example VRT\nhttps://example.org",
    "--{{ ' ' }}\n{{ '{{' }}": "-- \n{{",
    "# for x in y\n## no comment\n": "# for x in y\n## no comment\n",
    "Grüße, 您好, שלום, नमस्ते, à bientôt\u00a0!": "Grüße, 您好, שלום, नमस्ते, à bientôt\u00a0!",
}


@pytest.mark.parametrize(("text", "made"), GOOD.items())
def test_what_a_template_may_say(text: str, made: str) -> None:
    check(text)
    assert fill(own(text), FULL) == made


DEEP = 5000
HOSTILE = {
    "{{ subject.__class__ }}": "'.'",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}": "'.'",
    "{{ subject['__class__'] }}": "'['",
    "{{ subject|attr('__class__') }}": "|attr(...)",
    "{{ subject|map('upper')|join }}": "|join",
    "{{ '%999999999d'|format(1) }}": "'1'",
    "{{ '%s'|format(subject) }}": "|format(...)",
    "{{ subject|replace('a', subject) }}": "|replace(...)",
    "{{ subject|center(subject) }}": "|center(...)",
    "{{ subject|indent(subject) }}": "|indent(...)",
    "{{ subject|upper('x') }}": "|upper(...)",
    "{{ subject|default('a', true, 'b') }}": "|default(...)",
    "{{ subject|default(x='a') }}": "'='",
    "{{ subject|default(**subject) }}": "'**'",
    "{{ 'a'*10**9 }}": "'*'",
    "{{ 9**9**9**9 }}": "'9'",
    "{{ subject ~ subject }}": "'~'",
    "{{ subject + subject }}": "'+'",
    "{{ subject if queue else desk }}": "if within {{ }}",
    "{{ subject, queue }}": "a comma here",
    "{% if 'a' in subject %}x{% endif %}": "'in'",
    "{% if subject == queue == desk %}x{% endif %}": "a chain of comparisons",
    "{% if subject is sameas(queue) %}x{% endif %}": "is sameas(...)",
    "{{ subject() }}": "a call",
    "{{ subject|default(queue)() }}": "a call",
    "{{ range(10**9) }}": "'10'",
    "{{ range(subject) }}": "a call",
    "{{ cycler }}": "there is no value cycler",
    "{{ joiner() }}": "a call",
    "{{ namespace }}": "there is no value namespace",
    "{{ lipsum }}": "there is no value lipsum",
    "{{ self }}": "there is no value self",
    "{{ loop }}": "there is no value loop",
    "{{ \uff53ubject }}": "there is no value \uff53ubject",  # Python takes the wide letter for the plain one
    "{{ subjekt }}": "there is no value subjekt",
    "{% for a in range(9) %}{% for b in range(9) %}x{% endfor %}{% endfor %}": "{% for %}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}": "{% macro %}",
    "{% set a = 'x' %}": "{% set %}",
    "{% include '/etc/passwd' %}": "{% include %}",
    "{% import 'note.md.j2' as n %}": "{% import %}",
    "{% from 'note.md.j2' import x %}": "{% from %}",
    "{% extends 'note.md.j2' %}": "{% extends %}",
    "{% block a %}{% endblock %}": "{% block %}",
    "{% call m() %}{% endcall %}": "{% call %}",
    "{% filter upper %}x{% endfilter %}": "{% filter %}",
    "{% with a = 'x' %}{% endwith %}": "{% with %}",
    "{% raw %}" + "{{ 7*7 }}" * 5000 + "{% endraw %}": "{% raw %}",
    "{{ " + "(" * DEEP + "subject" + ")" * DEEP + " }}": "more is said",
    "{{ " + "[" * DEEP + "]" * DEEP + " }}": "'['",
    "{% if subject %}" * DEEP: "at most 64 kB",
    "{% if subject %}" * 1000 + "{% endif %}" * 1000: "more is said",
    "{% if " + "not " * DEEP + "subject %}x{% endif %}": "more is said",
    "{% if subject" + " and subject" * DEEP + " %}x{% endif %}": "more is said",
    "{{ subject" + "|upper" * DEEP + " }}": "more is said",
    "{{ subject" + "|default(subject" * 300 + ")" * 300 + " }}": "more is said",
    "{% if subject %}" + "{% elif subject %}" * 3000 + "{% endif %}": "more is said",
    "{{ subject }}" * 4000: "more is said",
    "{{ " + "1" * 60_000 + " }}": "has no place",
    "{{ " + "1_" * 30_000 + " }}": "has no place",
    "{{ " + "a" * 60_000 + " }}": "there is no value",
    "{{ '" + "\\'" * 30_000: "unexpected char",
    "{%" + " " * 60_000: "tag name expected",
    "{{" * 30_000: "has no place",
    "{#" * 30_000: "missing end of comment",
    "x" * 10_000_000: "at most 64 kB",
    "é" * 40_000: "at most 64 kB",
    "a\n\x00": "line 2: U+0000",
    "a\n\n{{ '\\x00' }}": "line 3: U+0000",
    "abc\u202edef": "U+202E",
    "{{ '\\u202e' }}": "U+202E",
    "\x1b[2J": "U+001B",
    "\ud800": "U+D800",
    "{{ subject": "end of template",
    "{% if subject %}": "end of template",
    "{% endif %}": "unknown tag 'endif'",
    "{{ }}": "expected an expression",
}


@pytest.mark.parametrize(("text", "said"), HOSTILE.items(), ids=lambda value: repr(value[:40]))
def test_a_hostile_template_is_refused(text: str, said: str) -> None:
    start = time.monotonic()
    with pytest.raises(UsageError) as checked:
        check(text)
    with pytest.raises(UsageError) as filled:
        fill(own(text), FULL)
    assert time.monotonic() - start < 5  # a hundredth of it in fact, for all but the ten million letters
    assert said in checked.value.message
    assert filled.value.message == f"template en/try (of the desk): {checked.value.message}"
    assert len(checked.value.message) < 300
    assert checked.value.message.isprintable()


# As much of what takes long as is let through.
HEAVY = {
    "not": f"{{% if {'not ' * 38}subject %}}x{{% endif %}}" * 22,
    "or": f"{{% if subject{' or subject' * 19} %}}x{{% endif %}}" * 21,
    "filters": f"{{{{ subject{'|upper' * 19} }}}}" * 24,
    "elif": "{% if not subject %}" + "{% elif not subject %}" * 190 + "{% endif %}",
    "if": "{% if subject %}" * 10 + "x" + "{% endif %}" * 10,
    "brackets": "{{ " + "(" * 10 + "subject" + ")" * 10 + " }}",
    "comments": "{##}" * 16_000,
    "lines": "\n" * 65_000,
}


@pytest.mark.parametrize("text", HEAVY.values(), ids=HEAVY)
def test_the_heaviest_that_is_let_through_is_light(text: str) -> None:
    start = time.monotonic()
    assert len(fill(own(text), FULL | {"subject": "é" * 5000})) <= templates.LARGEST_RESULT
    assert time.monotonic() - start < 5


def test_a_text_stops_while_it_grows() -> None:
    with pytest.raises(UsageError, match="more than 256 kB"):
        fill(own("{{ subject }}" * 300), FULL | {"subject": "x" * 1_000_000})
    assert len(fill(own("{{ subject }}" * 2), FULL | {"subject": "x" * 100_000})) == 200_000
    with pytest.raises(UsageError, match="more than 256 kB"):  # bytes, not letters
        fill(own("{{ subject }}" * 2), FULL | {"subject": "字" * 50_000})


def test_a_value_that_is_not_there_is_named() -> None:
    with pytest.raises(UsageError, match="agent") as caught:
        fill(own("{{ desk }} {{ agent }}"), {"desk": "x", "queue": "y"})
    assert caught.value.hint == "there are desk, queue"
    with pytest.raises(UsageError) as caught:
        check("a\n{{ nobody }}")
    assert caught.value.message == "line 2: there is no value nobody"
    assert caught.value.hint is not None
    assert all(name in caught.value.hint for name in VALUES)


PIECES = [
    "{{", "}}", "{%", "%}", "{#", "#}", "-", "if", "elif", "else", "endif", "for", "in", "raw", "endraw", "set", "not",
    "and", "or", "is", "defined", "subject", "queue", "self", "true", "none", "upper", "default", "'a'", '"', "'", "\\",
    "|", "(", ")", ",", "==", "!=", "=", "<", ".", "[", "]", "*", "**", "+", "~", "1", "1.5", "\n", " ", "é", "\u202e",
    "{{ subject }}", "{% if subject %}", "{% endif %}", "{% else %}",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=30).map(" ".join) | st.text(max_size=60))
def test_whatever_is_written_is_filled_in_or_refused(text: str) -> None:
    try:
        check(text)
    except UsageError as exc:
        assert exc.message
        return
    made = fill(own(text), dict.fromkeys(VALUES, "7*7"))
    assert made == text or "{" in text
    assert "0x" not in made or "0x" in text  # nothing that Python would say of a thing of its own


# --- which one counts ---------------------------------------------------------------------------------


def test_the_order_of_looking() -> None:
    asked: list[str] = []
    with pytest.raises(NotFound, match="no template nowhere in de-at or de or en"):
        find(lambda path: asked.append(path), "nowhere", "de-AT", "permissions-de")
    assert asked == [
        "de-at/permissions-de/nowhere", "de-at/nowhere", "de/permissions-de/nowhere", "de/nowhere",
        "en/permissions-de/nowhere", "en/nowhere",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("texts", "language", "queue", "where"),
    [
        ({}, "de", "", "de/closing (built in)"),
        ({}, "de-at", "info-de", "de/closing (built in)"),
        ({}, "pt", "info-pt", "en/closing (built in)"),
        ({}, "", "", "en/closing (built in)"),
        ({}, "Deutsch!", "", "en/closing (built in)"),
        ({"de__closing": "x"}, "de-at", "info-de", "de/closing (of the desk)"),
        ({"de__closing": "x", "de__info_de__closing": "y"}, "de", "info-de", "de/info-de/closing (of the desk)"),
        ({"de__closing": "x", "de__info_de__closing": "y"}, "de", "info-en", "de/closing (of the desk)"),
        ({"de__info_de__closing": "y"}, "de", "", "de/closing (built in)"),
        ({"en__info_de__closing": "y"}, "de", "info-de", "de/closing (built in)"),
        ({"en__info_pt__closing": "y", "en__closing": "x"}, "pt", "info-pt", "en/info-pt/closing (of the desk)"),
        ({"de_at__closing": "x", "de__info_de__closing": "y"}, "de-at", "info-de", "de-at/closing (of the desk)"),
        ({"zh_hans__closing": "x"}, "zh-hans-cn", "", "zh-hans/closing (of the desk)"),
    ],
)
def test_which_template_counts(texts: dict[str, str], language: str, queue: str, where: str) -> None:
    assert str(find(reads(**texts), "closing", language, queue)) == where


def test_a_name_is_no_path() -> None:
    for name, language, queue in [
        ("../note", "en", ""), ("closing", "../de", ""), ("closing", "en", "../info"), ("Closing", "en", ""),
        ("closing", "en/x", ""), ("closing", "e", ""), ("closing\n", "en", ""), ("--remove", "en", ""), ("", "en", ""),
        ("closing.md.j2", "en", ""), ("a" * 41, "en", ""), ("closing", "en\n", ""),
    ]:  # fmt: skip
        with pytest.raises(UsageError):
            words(name, language, queue)
    with pytest.raises(UsageError):
        find(nothing, "../../note")
    assert words("closing", "zh-hans", "info-zh") == "zh-hans/info-zh/closing"


def test_all_templates_by_name() -> None:
    found = every(["de/closing", "de/info-de/closing", "pt/own-one"])
    assert [str(t) for t in found if t.name == "closing"] == [
        "de/closing (of the desk)", "de/info-de/closing (of the desk)", "en/closing (built in)",
        "es/closing (built in)", "fr/closing (built in)",
    ]  # fmt: skip
    assert [str(t) for t in found if t.language == "pt"] == ["pt/own-one (of the desk)"]
    assert not [t for t in found if t.name == "note"]  # for the editor; it repeats, and is none for mail
    with pytest.raises(NotFound):
        find(nothing, "note")


# --- the built-in ones --------------------------------------------------------------------------------

BUILT_IN = [(t.name, t.language) for t in every([])]


def test_there_are_all_in_each_language() -> None:
    autos = ("auto-follow-up", "auto-new", "auto-rejected")
    assert sorted(BUILT_IN) == sorted((name, language) for name in (*autos, *FOR_MAIL) for language in LANGUAGES)


@pytest.mark.parametrize(("name", "language"), BUILT_IN)
def test_a_built_in_template_is_whole(name: str, language: str) -> None:
    template = find(nothing, name, language)
    check(template.text)  # a desk may take it and change it
    assert template.text == (ROOT / "templates" / language / f"{name}.md.j2").read_text("utf-8")
    for values in (
        FULL, FULL | {"requester": "", "address": "", "subject": ""}, FULL | {"signature": "", "signed": "Example VRT"},
    ):  # fmt: skip
        made = fill(template, values)
        assert not {"{{", "}}", "{%", "%}", "{#"} & {made[i : i + 2] for i in range(len(made))}
        assert "None" not in made
        rows = made.split("\n")
        assert all(len(row) <= 72 for row in rows) or name not in FOR_MAIL
        assert [row for row in rows if row != row.rstrip()] in ([], ["-- "])  # RFC 3676, 4.3
        assert made.endswith("\n")
        assert made[0] != "\n"
        if name in FOR_MAIL:
            assert made[-2:] != "\n\n"
            assert "\n\n\n" not in made


def test_what_the_built_in_ones_say() -> None:
    def made(name: str, language: str, **values: str) -> str:
        return fill(find(nothing, name, language), FULL | values)

    assert [made("salutation", x) for x in LANGUAGES] == [
        "Guten Tag Jane Roe,\n", "Hello Jane Roe,\n", "Hola, Jane Roe:\n", "Bonjour Jane Roe,\n"
    ]  # fmt: skip
    assert [made("salutation", x, requester="") for x in LANGUAGES] == [
        "Guten Tag,\n", "Hello,\n", "Hola:\n", "Bonjour,\n"
    ]  # fmt: skip
    assert made("signature", "de") == "-- \nalice\nExample VRT\nhttps://example.org\n"
    assert made("signature", "de", signature="") == "-- \nalice\nExample VRT\n"
    assert made("signature", "de", signature="", signed="Example VRT") == "-- \nExample VRT\n"
    for language in LANGUAGES:
        assert FULL["hook"] in made("receipt", language)
        assert FULL["hook"] in made("permission-accepted", language)
        assert FULL["hook"] in made("permission-insufficient", language)
        assert "creativecommons.org/licenses/by-sa/4.0/" in made("permission-insufficient", language)
        assert made("permission-insufficient", language).count("**") == 8


def test_the_old_way_still_tells_what_is_missing() -> None:
    with pytest.raises(NotFound):
        templates.render("nowhere")
    with pytest.raises(VrtError, match="hook"):
        templates.render("auto-new", "en", desk="x")
