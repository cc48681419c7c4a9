"""The rules as an admin writes them: a YAML document, read strictly, so that no rule says what nobody meant.

Takes the plain value that YAML gives (``of_text`` takes the text) and makes ``rules.Rules`` of it. Knows the form,
and nothing of how a mail is looked at. The form is told in ``rules.EXAMPLE``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from functools import lru_cache, partial
from typing import Any, TypeVar

from vrt import ledger
from vrt.mail import conditions, patterns
from vrt.mail.conditions import PEOPLE, Condition, Files, People, Presence, Size, Test
from vrt.mail.patterns import BadPattern, Form, Patterns
from vrt.mail.rules import Rule, Rules, Then
from vrt.text import clip

MAX_RULES = 500
MAX_WORDS = 10_000  # in one list
MAX_ALL_WORDS = 50_000
MAX_REGEXES = 500  # each may take half a megabyte
MAX_CONDITIONS = 50  # in one rule; fields of a header, groups of any, tags

# In the order in which they are looked at, the quick ones first.
FIELDS = ("spam", "size", "queue", "language", *PEOPLE, "subject", "attachment", "header", "body")

_NAME = re.compile(ledger.NAME)
_FIELD_NAME = re.compile(r"[!-9;-~]{1,200}")  # RFC 5322 section 3.6.8
_Patterns = TypeVar("_Patterns", Patterns, People, Files)


class BadRules(ValueError):
    """The rules are not in their form. The text is one sentence that names rule and field, and quotes the rules."""


def read(value: object) -> Rules:
    """Return the rules in what YAML gave; raises ``BadRules``. None, or a mapping without rules, is no rules."""
    return _Reader().rules({} if value is None else value)


@lru_cache(maxsize=4)
def of_text(text: str) -> Rules:
    """Return the rules in a YAML text, read once for each text; raises ``BadRules``, or ``VrtError`` for no YAML."""
    from vrt.storage import articles

    return read(articles.load_yaml(text, "the list of rules"))


@lru_cache(maxsize=4)
def rebuilt(source: str) -> Rules:
    """Return the rules of ``Rules.source`` in JSON, as they come out of a pickle; read once for each."""
    import json

    return read(json.loads(source))


def _known(where: str, value: object, what: str, keys: Collection[str]) -> dict[str, Any]:
    """Return ``value`` if it is a mapping with no other than these keys."""
    if not isinstance(value, dict):
        raise BadRules(f"{where} is no mapping of {what} to values")
    for key in value:
        if key not in keys:
            from difflib import get_close_matches

            near = get_close_matches(key[:100], keys, 1, 0.7) if isinstance(key, str) else []
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(keys)}"
            raise BadRules(f"{where} has an unknown {what.removesuffix('s')} {_quoted(key)}: {hint}")
    return value


def _quoted(value: object) -> str:
    """Return what an admin wrote, to be shown in a sentence."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str | float) or (isinstance(value, int) and abs(value) < 1 << 64):
        return clip(repr(value)[:200], 60)
    return f"a {type(value).__name__}"  # of a list that holds itself a hundredfold there is no end


class _Reader:
    """Reads one document and counts what must not be too many."""

    def __init__(self) -> None:
        self._words = self._regexes = 0
        self._queues: set[str] = set()  # that conditions name

    def rules(self, value: object) -> Rules:
        top = _known("the document", value, "settings", ("match", "rules"))
        if top.get("match", "first") not in ("first", "all"):
            raise BadRules(f"match is first or all, not {_quoted(top['match'])}")
        listed = top.get("rules", [])
        if not isinstance(listed, list):
            raise BadRules("rules is no list: begin each rule with - name: …")
        if len(listed) > MAX_RULES:
            raise BadRules(f"there are {len(listed):,} rules, more than {MAX_RULES}")
        first = top.get("match", "first") == "first"
        rules = [self._rule(number, item, first) for number, item in enumerate(listed, 1)]
        names = [rule.name for rule in rules]
        for name in names:
            if names.count(name) > 1:
                raise BadRules(f"two rules have the name {name}")
        return Rules(rules, self._queues, top)

    def _rule(self, number: int, value: object, first: bool) -> Rule:
        name = value.get("name") if isinstance(value, dict) else None
        where = f"rule {name}" if isinstance(name, str) and _NAME.fullmatch(name) else f"rule {number}"
        rule = _known(where, value, "settings", ("name", "if", "any", "unless", "then", "stop"))
        _word(where, "name", name)
        if not {"if", "any", "unless"} & set(rule):
            raise BadRules(f"{where} has no condition: write if: always for one that fires for every mail")
        always = rule.get("if") == "always"
        made = Rule(
            name=str(name),
            when=() if always or "if" not in rule else self._all(f"{where}, if", rule["if"]),
            either=self._groups(f"{where}, any", rule["any"]) if "any" in rule else (),
            unless=self._all(f"{where}, unless", rule["unless"]) if "unless" in rule else (),
            then=_then(where, rule.get("then")),
            stop=_yes(f"{where}, stop", rule.get("stop", False)) or first,
        )
        if len(made.when) + len(made.unless) + sum(map(len, made.either)) > MAX_CONDITIONS:
            raise BadRules(f"{where} has more than {MAX_CONDITIONS} conditions")
        return made

    def _all(self, where: str, value: object) -> tuple[Condition, ...]:
        """Return the conditions of one group, or of a list of them, the quick ones first."""
        found = [c for group in (value if isinstance(value, list) else [value]) for c in self._group(where, group)]
        if not found:
            raise BadRules(f"{where} is empty: write if: always for a rule that fires for every mail")
        return tuple(sorted(found, key=lambda c: FIELDS.index(c.field.split()[0])))

    def _groups(self, where: str, value: object) -> tuple[tuple[Condition, ...], ...]:
        if not isinstance(value, list) or not value:
            raise BadRules(f"{where} is no list of groups of conditions")
        return tuple(self._all(where, [group]) for group in value[: MAX_CONDITIONS + 1])

    def _group(self, where: str, value: object) -> list[Condition]:
        group = _known(where, value, "fields", FIELDS)
        if not group:
            raise BadRules(f"{where} has an empty group of conditions")
        out: list[Condition] = []
        for field, wanted in group.items():
            if field == "header":
                out += self._headers(f"{where}, header", wanted)
            else:
                test = self._test(f"{where}, {field}", field, wanted)
                out.append(Condition(field, _shortly(wanted), test))
        return out

    def _headers(self, where: str, value: object) -> list[Condition]:
        if not isinstance(value, dict) or not value:
            raise BadRules(f"{where} is no mapping of field names to values, such as {{list-id: yes}}")
        out: dict[str, Condition] = {}
        for name, wanted in value.items():
            if not isinstance(name, str) or not _FIELD_NAME.fullmatch(name):
                raise BadRules(f"{where}: {_quoted(name)} is no name of a header field; write it without the colon")
            field = f"header {name.lower()}"
            if field in out:
                raise BadRules(f"{where} has {name.lower()} twice")
            test = self._test(f"{where} {name.lower()}", field, wanted)
            out[field] = Condition(field, _shortly(wanted), test)
        return list(out.values())

    # --- one condition ---

    def _test(self, where: str, field: str, value: object) -> Test:
        if field == "language" and value is False:
            value = "no"  # Norwegian, which YAML takes for the opposite of yes
        if field == "spam":
            return Presence(field, _yes(where, value))
        if field == "size":
            return conditions.SizeTest(self._size(where, value))
        if isinstance(value, bool):
            return Presence(field, value)
        if field in PEOPLE:
            return conditions.PeopleTest(field, self._patterns(where, value, People))
        if field == "attachment":
            whole = isinstance(value, dict)
            return self._files(where, value) if whole else conditions.FileTest((self._patterns(where, value, Files),))
        exact = field in ("queue", "language")
        made = self._patterns(where, value, Patterns, exact)
        if field == "queue":
            self._queues |= made.wholes
        return conditions.TextTest(field, made)

    def _files(self, where: str, value: object) -> conditions.FileTest:
        wanted = _known(where, value, "settings", ("name", "type", "size"))
        if not wanted:
            raise BadRules(f"{where} is empty")
        files = []
        if "name" in wanted:
            files.append(self._patterns(f"{where} name", wanted["name"], partial(Files, types=False)))
        if "type" in wanted:
            files.append(self._patterns(f"{where} type", wanted["type"], partial(Files, names=False)))
        size = self._size(f"{where} size", wanted["size"]) if "size" in wanted else Size()
        return conditions.FileTest(tuple(files), size)

    def _size(self, where: str, value: object) -> Size:
        if not isinstance(value, str):
            raise BadRules(f"{where} is no size: write over 5M or under 10k")
        return _clause(where, value, lambda: conditions.size(value))

    def _patterns(
        self, where: str, value: object, make: Callable[[list[Form]], _Patterns], exact: bool = False
    ) -> _Patterns:
        """Return the patterns of one condition; ``exact``: a plain word is all of the text."""
        forms = [_clause(where, s, partial(_form, s, make, exact)) for s in self._sources(where, value)]
        self._regexes += sum(1 for f in forms if f.kind == "regex")
        if self._regexes > MAX_REGEXES:
            raise BadRules(f"{where}: there are more than {MAX_REGEXES} /patterns/ in all the rules")
        return make(forms)

    def _sources(self, where: str, value: object) -> list[str]:
        values = value if isinstance(value, list) else [value]
        if len(values) > MAX_WORDS:
            raise BadRules(f"{where}: the list has {len(values):,} words, more than {MAX_WORDS:,}")
        self._words += len(values)
        if self._words > MAX_ALL_WORDS:
            raise BadRules(f"{where}: there are more than {MAX_ALL_WORDS:,} words in all the rules")
        if not values:
            raise BadRules(f"{where} is an empty list")
        for item in values:
            if isinstance(item, bool):
                raise BadRules(f"{where}: {_quoted(item)} cannot be in a list; to look for the word, put it in quotes")
            if isinstance(item, int | float):
                raise BadRules(f'{where}: {_quoted(item)} is a number; put it in quotes: "{_quoted(item)}"')
            if item is None or item == "":
                raise BadRules(f"{where} is empty; to ask if there is nothing, write no without quotes")
            if not isinstance(item, str):
                raise BadRules(f"{where}: {_quoted(item)} is no text to look for")
            if not _is_unicode(item):
                raise BadRules(f"{where}: {_quoted(item)} holds half a character")
        return list(map(str, values))


def _form(source: str, make: Callable[[list[Form]], object], exact: bool) -> Form:
    """Return a pattern by its form, after trying whether it can be made; raises ``BadPattern``."""
    form = patterns.form(source)
    if exact and form.kind == "word":
        form = Form("whole", form.text)
    make([form])
    return form


def _is_unicode(text: str) -> bool:
    """Say whether ``text`` has no lone surrogates: YAML can escape one, and nothing can look for it."""
    return text.isascii() or text == text.encode("utf-8", "replace").decode()


_T = TypeVar("_T")


def _clause(where: str, source: str, make: Callable[[], _T]) -> _T:
    """Return what ``make`` makes of ``source``, its ``BadPattern`` as a ``BadRules``."""
    try:
        return make()
    except BadPattern as exc:
        raise BadRules(f"{where}: {_quoted(source)} {exc}") from None


def _shortly(value: object) -> str:
    """Return what was written for a field, clipped."""
    if isinstance(value, list):
        more = f", … ({len(value):,} in all)" if len(value) > 5 else ""
        return clip(", ".join(str(item)[:100] for item in value[:5]), 100) + more
    if isinstance(value, dict):
        return clip(", ".join(f"{key}: {_shortly(item)}" for key, item in list(value.items())[:5]), 100)
    return _quoted(value) if isinstance(value, bool) else clip(str(value)[:200], 100)


# --- what a rule does -----------------------------------------------------------------------------


def _then(where: str, value: object) -> Then:
    if value == "keep":
        return Then()
    if not value:
        raise BadRules(f"{where} does nothing: write then: with queue, priority, tags or junk, or then: keep")
    where += ", then"
    wanted = _known(where, value, "settings", ("queue", "priority", "tags", "junk"))
    if "queue" in wanted and wanted.get("junk"):
        raise BadRules(f"{where} names a queue and junk: a mail goes to one of them")
    priority = wanted.get("priority", 0)
    if "priority" in wanted and (type(priority) is not int or not 1 <= priority <= 5):
        raise BadRules(f"{where}, priority: {_quoted(priority)} is no number from 1 (very low) to 5 (very high)")
    tags = wanted.get("tags", [])
    tags = tags if isinstance(tags, list) else [tags]
    if len(tags) > MAX_CONDITIONS or ("tags" in wanted and not tags):
        raise BadRules(f"{where}, tags are none or more than {MAX_CONDITIONS}")
    return Then(
        queue=_word(where, "queue", wanted["queue"]) if "queue" in wanted else "",
        priority=priority,
        tags=tuple(dict.fromkeys(_word(where, "tags", tag) for tag in tags)),
        junk=_yes(f"{where}, junk", wanted["junk"]) if "junk" in wanted else None,
    )


def _word(where: str, field: str, value: object) -> str:
    if value is None:
        raise BadRules(f"{where} has no {field}")
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise BadRules(f"{where}, {field}: {_quoted(value)} is not made of lower-case letters, digits and dashes")
    return value


def _yes(where: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise BadRules(f"{where} is yes or no without quotes, not {_quoted(value)}")
    return value
