"""Text made from templates: the built-in ones, and those that a desk keeps on its ledger. The only user of jinja2.

A desk's template was written on somebody else's machine, so it is checked each time before it is used: it may say
text, ``{{ value }}`` and ``{% if %}``, and nothing that repeats, calls or looks inside. What stands in mail only ever
comes in as a value; it is never read as a template. Knows nothing of the ledger: it is given a function that reads.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jinja2 import FileSystemLoader, StrictUndefined, TemplateError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from vrt import ledger
from vrt.errors import NotAllowed, NotFound, UsageError, VrtError
from vrt.model import Address, Queue, Ticket
from vrt.text import unsafe

if TYPE_CHECKING:
    from vrt.desk import Desk

# What a template may name: all are text, and one that there is none of is empty.
VALUES = {
    "ticket": "the ticket's number: 2026112010000081",
    "hook": "the number as subjects carry it: [Ticket#2026112010000081]",
    "subject": "the ticket's subject, as the requester wrote it",
    "requester": "the requester's name, empty where the mail gave none",
    "address": "the requester's address",
    "agent": "the handle of the agent who writes",
    "signed": "the name that the mail appears under: the agent's handle or the queue's, as the queue says",
    "queue": "the queue's name: info-en",
    "desk": "the desk's name",
    "language": "the language that was asked for: de-at",
    "signature": "the queue's signature, empty where it has none",
    "date": "today in the desk's time zone: 2026-11-20",
}
FILTERS = {"capitalize": 0, "default": 2, "lower": 0, "trim": 0, "upper": 0}  # and how much may stand in brackets

LARGEST, LARGEST_RESULT = 64 << 10, 256 << 10  # bytes
MARKS, LONGEST_MARK, DEEPEST = 1000, 40, 10  # words and signs in tags: of a template, of one tag; brackets and ifs

LANGUAGE = r"[a-z]{2,3}(?:-[a-z0-9]{2,8})*"
_HINT = "a template is text, {{ value }} and {% if value %}; vrt template edit --help"

Read = Callable[[str], str | None]  # takes "de/salutation" or "de/permissions-de/salutation"


class Template(NamedTuple):
    """A template: for all queues where ``queue`` is empty; of the desk where ``own``, else built in."""

    name: str
    language: str
    queue: str
    own: bool
    text: str = ""

    def __str__(self) -> str:
        return f"{words(self.name, self.language, self.queue)} ({'of the desk' if self.own else 'built in'})"


# --- which there are ------------------------------------------------------------------------------


def folder() -> Path:
    """Return the folder of the templates: in the installed package, or at the top of a checkout."""
    here = Path(__file__).parent
    return next(p for p in (here / "templates", here.parent / "templates") if p.is_dir())


def words(name: str, language: str, queue: str = "") -> str:
    """Return how the ledger names a template: ``de/salutation``, ``de/permissions-de/salutation``.

    Raises ``UsageError`` where one of the three is no such name.
    """
    if not re.fullmatch(LANGUAGE, language):
        raise UsageError(f"{language!r} is no language", "write it as de, de-at or zh-hans")
    for word in (name, queue or name):
        if not re.fullmatch(ledger.NAME, word):
            raise UsageError(f"{word!r} is no name", "lower-case letters, digits and -, at most 40, a letter first")
    return "/".join(filter(None, (language, queue, name)))


def languages(language: str) -> list[str]:
    """Return the languages to look in for one (RFC 4647, 3.4), English at last: ``de-at``, ``de``, ``en``."""
    parts = language.lower().split("-")
    wider = ["-".join(parts[:n]) for n in range(len(parts), 0, -1)]
    return [*dict.fromkeys(tag for tag in (*wider, "en") if re.fullmatch(LANGUAGE, tag))]


def find(read: Read, name: str, language: str = "en", queue: str = "") -> Template:
    """Return the template that counts: the desk's for the queue, the desk's, the built-in one; then in wider languages.

    Raises ``UsageError`` for what is no name, ``NotFound``.
    """
    for tag in languages(language):
        for where in dict.fromkeys((queue, "")):
            own = read(words(name, tag, where))
            if own is not None:
                return Template(name, tag, where, True, own)
        if name in _built_in().get(tag, ()):
            return Template(name, tag, "", False, (folder() / tag / f"{name}.md.j2").read_text("utf-8"))
    raise NotFound(f"there is no template {name} in {' or '.join(languages(language))}", "vrt template list")


def every(own: Iterable[str]) -> list[Template]:
    """Return all templates without their texts, by name; ``own``: those of the desk, which stand for built-in ones."""
    found = {(name, tag, ""): False for tag, names in _built_in().items() for name in names}
    for path in own:
        language, *queue, name = path.split("/")
        found[name, language, "".join(queue)] = True
    return [Template(*key, of_desk) for key, of_desk in sorted(found.items())]


@cache
def _built_in() -> dict[str, set[str]]:
    """Return the names of the built-in templates for mail by language; ``note`` is for the editor."""
    found: dict[str, set[str]] = {}
    for path in folder().glob("*/*.md.j2"):
        found.setdefault(path.parent.name, set()).add(path.name.removesuffix(".md.j2"))
    return {language: names - {"note"} for language, names in found.items()}


# --- what a desk's template may say -----------------------------------------------------------------

_QUIET = ("data", "whitespace", "comment_begin", "comment", "comment_end")
_TAGS = ("variable_begin", "variable_end", "block_begin", "block_end")
_STATEMENTS = ("if", "elif", "else", "endif")
_SIGNS = ("|", "(", ")", "==", "!=", ",")
_PLAIN = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.If, nodes.And, nodes.Or, nodes.Not, nodes.Operand,
    nodes.Const,
)  # fmt: skip
_MOST: dict[tuple[type[nodes.Node], str], int] = {
    (nodes.Test, "defined"): 0, **{(nodes.Filter, name): most for name, most in FILTERS.items()},
}  # fmt: skip
_SPOKEN: dict[type[nodes.Node], str] = {
    nodes.Call: "a call", nodes.CondExpr: "if within {{ }}", nodes.Tuple: "a comma here",
}  # fmt: skip


def check(text: str) -> str:
    """Return ``text`` as it is recorded, with one line end at its end; raises ``UsageError`` if it is no template.

    Takes some milliseconds, whatever ``text`` is.
    """
    if len(text) > LARGEST or len(text.encode("utf-8", "replace")) > LARGEST:
        raise UsageError(f"a template has at most {LARGEST >> 10} kB")
    _check_characters(text, 1)
    try:
        _check_marks(text)  # first: what it lets through is too small and too flat to overwhelm the parser
        for node in _environment().parse(text).find_all(nodes.Node):
            _check_node(node)
    except TemplateError as exc:
        raise UsageError(f"line {getattr(exc, 'lineno', 1)}: {_sentence(exc)}", _HINT) from None
    return text.strip() + "\n"


def _check_characters(text: str, row: int) -> None:
    if hidden := unsafe().search(text):
        row += text.count("\n", 0, hidden.start())
        raise UsageError(f"line {row}: U+{ord(hidden.group()):04X} cannot be seen and has no place in a template")


def _check_marks(text: str) -> None:
    """Refuse by its words and signs what is no statement of ours, is no text or name, or is large or deep."""
    total = length = brackets = ifs = 0
    before = ""
    for row, kind, value in _environment().lex(text):
        if kind in _QUIET:
            continue
        total, length = total + 1, 0 if kind in _TAGS else length + 1
        if kind not in (*_TAGS, "name", "string") and (kind != "operator" or value not in _SIGNS):
            raise _misplaced(row, "{% raw %}" if kind.startswith("raw") else f"'{_short(value)}'")
        if before == "block_begin" and value not in _STATEMENTS:
            raise _misplaced(row, f"{{% {_short(value)} %}}")
        brackets += (value == "(") - (value == ")") if kind == "operator" else 0
        ifs += (value == "if") - (value == "endif") if before == "block_begin" else 0
        if total > MARKS or length > LONGEST_MARK or brackets > DEEPEST or ifs > DEEPEST:
            raise UsageError(f"line {row}: more is said in tags than a template may", "make it shorter and flatter")
        before = kind


def _check_node(node: nodes.Node) -> None:
    match node:
        case nodes.Name(name=name):
            if name not in VALUES:
                raise UsageError(f"line {node.lineno}: there is no value {_short(name)}", "one of " + ", ".join(VALUES))
        case nodes.Filter(name=name, args=args) | nodes.Test(name=name, args=args):
            most = _MOST.get((type(node), name))
            if most is None or len(args) > most:
                bar = "|" if isinstance(node, nodes.Filter) else "is "
                raise _misplaced(node.lineno, f"{bar}{name}{'(...)' if args else ''}")
        case nodes.Compare(ops=ops):
            if len(ops) > 1 or ops[0].op not in ("eq", "ne"):
                raise _misplaced(node.lineno, "a chain of comparisons" if len(ops) > 1 else f"'{ops[0].op}'")
        case nodes.Const(value=str(value)):
            _check_characters(value, node.lineno)  # '\u202e' is written with what can be seen
        case _ if not isinstance(node, _PLAIN):
            raise _misplaced(node.lineno, _SPOKEN.get(type(node), type(node).__name__.lower()))


def _misplaced(row: int, what: str) -> UsageError:
    return UsageError(f"line {row}: {what} has no place in a template", _HINT)


def _short(text: str, most: int = 40) -> str:
    return text if len(text) <= most else text[:most] + "…"


def _sentence(exc: TemplateError) -> str:
    said = (exc.message or "it cannot be read").rstrip(".")
    return _short(said[:1].lower() + said[1:], 200)


# --- filling in -------------------------------------------------------------------------------------


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    return ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(folder()), undefined=StrictUndefined, autoescape=False, trim_blocks=True,
        keep_trailing_newline=True,
    )  # fmt: skip


def render(name: str, language: str = "en", **values: Any) -> str:
    """Return the built-in template ``name`` with ``values``; raises ``NotFound``, or ``VrtError`` if one is missing."""
    from jinja2 import TemplateNotFound

    try:
        return _environment().get_template(f"{language}/{name}.md.j2").render(values)
    except TemplateNotFound:
        raise NotFound(f"no template {name} in {language}") from None
    except TemplateError as exc:
        raise VrtError(f"template {language}/{name}: {exc.message}") from exc


def fill(template: Template, values: Mapping[str, str]) -> str:
    """Return the text that ``template`` makes of ``values`` (those of ``VALUES`` that there are).

    Raises ``UsageError`` for a template of the desk that may not be used, a value that is not there, and a text of
    more than 256 kB.
    """
    try:
        if template.own:
            check(template.text)
        return "".join(_pieces(template.text, values))
    except UsageError as exc:
        raise UsageError(f"template {template}: {exc.message}", exc.hint) from None
    except TemplateError as exc:
        raise UsageError(f"template {template}: {_sentence(exc)}", f"there are {', '.join(sorted(values))}") from None


def _pieces(text: str, values: Mapping[str, str]) -> Iterator[str]:
    """Yield the text piece by piece: what grows too large stops while it grows."""
    size = 0
    for piece in _environment().from_string(text).generate(values):
        size += len(piece.encode("utf-8", "replace"))
        if size > LARGEST_RESULT:
            raise UsageError(f"the text would have more than {LARGEST_RESULT >> 10} kB")
        yield piece


def values(
    desk: Desk, ticket: Ticket, language: str, to: Address | None = None, signed: str | None = None
) -> dict[str, str]:
    """Return all of ``VALUES`` for a ticket.

    ``to`` is who is written to (default: whoever wrote the first mail), ``signed`` the name that the mail appears
    under (default: the agent's handle). Raises ``NotAllowed`` where no key at hand opens the ticket.
    """
    if ticket.title is None:
        desk.index.articles(ticket.number)  # says so where it is not in this clone
        raise NotAllowed(f"no key at hand opens {ticket.number}", "vrt agent list shows who is in its queue")
    agent = desk.me.handle
    who, name = to or _requester(desk, ticket), agent if signed is None else signed
    return table(desk, desk.roster.queue(ticket.queue), ticket.number, ticket.title, who, agent, name, language)


def table(
    desk: Desk, queue: Queue, number: str, subject: str, who: Address, agent: str, signed: str, language: str
) -> dict[str, str]:
    """Return all of ``VALUES``: of the ticket ``number``, for a mail to ``who`` that appears under ``signed``."""
    config = desk.roster.desk
    return {
        "ticket": number, "hook": f"[{config.hook}{number}]", "subject": subject, "requester": who.name,
        "address": who.address, "agent": agent, "signed": signed, "queue": queue.name, "desk": config.name,
        "language": language, "signature": queue.signature, "date": desk.day(),
    }  # fmt: skip


def _requester(desk: Desk, ticket: Ticket) -> Address:
    for article in desk.index.articles(ticket.number):
        for person in (article.front or {}).get("from") or []:
            return Address(str(person.get("name") or ""), str(person.get("address") or ""))
    return Address("", "")
