"""Intake rules: what they say about a new ticket's mail, and why.

Pure: takes the rules as ``rulefile.read`` made them and the ``Facts`` of a mail. Knows nothing of YAML, of where
the rules are kept, and of what becomes of the mail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from vrt.mail.conditions import Condition
from vrt.mail.facts import Facts, View
from vrt.mail.patterns import Clock, Spent

SECONDS = 1.0  # of the processor, for all rules on one mail; then those that need more do not fire
_SECONDS_TO_EXPLAIN = 20.0  # a person waits for it


class Then(NamedTuple):
    """What a rule does: "", 0, () and None leave a thing as it is. ``junk`` False: no junk whatever a filter says."""

    queue: str = ""
    priority: int = 0
    tags: tuple[str, ...] = ()
    junk: bool | None = None


class Rule(NamedTuple):
    """One rule: fires if all of ``when``, all of a group of ``either`` (if it has any) and none of ``unless`` hold."""

    name: str
    when: tuple[Condition, ...]
    either: tuple[tuple[Condition, ...], ...]
    unless: tuple[Condition, ...]
    then: Then
    stop: bool  # no later rule is looked at once it fired

    def fires(self, holds: Callable[[Condition], bool]) -> bool:
        """Say whether the rule fires, where ``holds`` says so of a condition; asks no more than it needs."""
        return (
            all(map(holds, self.when))
            and (not self.either or any(all(map(holds, group)) for group in self.either))
            and not any(map(holds, self.unless))
        )


class Outcome(NamedTuple):
    """What the rules say: as ``Then``; the names of the rules that fired, and of those given up for want of time."""

    queue: str = ""
    priority: int = 0
    tags: tuple[str, ...] = ()
    junk: bool | None = None
    fired: tuple[str, ...] = ()
    unfinished: tuple[str, ...] = ()


class Held(NamedTuple):
    """A condition looked at: ``group`` is ``if``, ``unless`` or ``any 1``; ``held`` None: given up for want of time.

    ``seen`` is the foreign text that made it hold, or what there was instead, clipped: escape it before it is shown.
    """

    group: str
    field: str
    wanted: str
    held: bool | None
    seen: str


class Explained(NamedTuple):
    """What became of one rule; ``looked`` is False, and there are no conditions, where an earlier rule ended it."""

    name: str
    fired: bool
    looked: bool
    conditions: tuple[Held, ...]
    then: Then


class Rules:
    """The rules of a desk, in their order. Unchangeable; equal if written alike; picklable: a worker reads them anew.

    ``source`` is the value that they were read from.
    """

    def __init__(self, rules: Iterable[Rule], queues: Iterable[str], source: Any) -> None:
        """Take ``rules`` as read; ``queues``: those that conditions name."""
        self.rules = tuple(rules)
        self.source = source
        self._queues = frozenset(queues)

    def __len__(self) -> int:
        return len(self.rules)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rules) and self.source == other.source

    def __hash__(self) -> int:
        return hash(tuple(rule.name for rule in self.rules))

    def __reduce__(self) -> tuple[Callable[[str], Rules], tuple[str]]:
        import json

        from vrt.mail.rulefile import rebuilt

        return rebuilt, (json.dumps(self.source),)

    def apply(self, facts: Facts) -> Outcome:
        """Return what the rules say about a mail. Never raises; ends after about ``SECONDS`` of processor time."""
        view, clock = View(facts), Clock(SECONDS)
        outcome = Outcome()
        for rule in self.rules:
            try:
                fired = rule.fires(lambda c: c.test.find(view, clock) is not None)
            except Spent:
                outcome = outcome._replace(unfinished=(*outcome.unfinished, rule.name))
                continue
            if fired:
                outcome = _after(outcome, rule)
                if rule.stop:
                    break
        return outcome

    def explain(self, facts: Facts) -> list[Explained]:
        """Return what ``apply`` does with a mail, rule by rule; every condition is looked at."""
        view, clock = View(facts), Clock(_SECONDS_TO_EXPLAIN)
        out: list[Explained] = []
        ended = False
        for rule in self.rules:
            if ended:
                out.append(Explained(rule.name, False, False, (), rule.then))
                continue
            held = _held(rule, view, clock)
            fired = _fired(rule, held)
            ended = fired and rule.stop
            out.append(Explained(rule.name, fired, True, tuple(held.values()), rule.then))
        return out

    def words(self) -> tuple[frozenset[str], frozenset[str]]:
        """Return the queues and the tags that the rules name, for the caller to check that there are such."""
        named = {rule.then.queue for rule in self.rules} - {""}
        return self._queues | named, frozenset(tag for rule in self.rules for tag in rule.then.tags)


def _after(outcome: Outcome, rule: Rule) -> Outcome:
    """Return ``outcome`` after ``rule`` fired: the later wins, tags add up; a queue takes a mail out of the junk."""
    then, junk = rule.then, outcome.junk
    if then.junk is not None:
        junk = then.junk
    elif then.queue and junk:
        junk = False
    return outcome._replace(
        queue="" if then.junk else then.queue or outcome.queue,
        priority=then.priority or outcome.priority,
        tags=tuple(dict.fromkeys((*outcome.tags, *then.tags))),
        junk=junk,
        fired=(*outcome.fired, rule.name),
    )


Key = tuple[str, int]  # a condition by its group and its place there


def _conditions(rule: Rule) -> dict[Key, Condition]:
    either = [(f"any {i}", group) for i, group in enumerate(rule.either, 1)]
    groups = [("if", rule.when), *either, ("unless", rule.unless)]
    return {(name, i): condition for name, group in groups for i, condition in enumerate(group)}


def _held(rule: Rule, view: View, clock: Clock) -> dict[Key, Held]:
    """Return what each condition of ``rule`` comes to."""
    out: dict[Key, Held] = {}
    for key, condition in _conditions(rule).items():
        held: bool | None
        try:
            hit = condition.test.find(view, clock)
            held, what = hit is not None, condition.test.shown(view) if hit is None else hit
        except Spent:
            held, what = None, ""
        out[key] = Held(key[0], condition.field, condition.wanted, held, what)
    return out


def _fired(rule: Rule, held: dict[Key, Held]) -> bool:
    """Say whether ``rule`` fires where its conditions came to ``held``."""
    answers = {id(c): held[key].held for key, c in _conditions(rule).items()}

    def holds(condition: Condition) -> bool:
        answer = answers[id(condition)]
        if answer is None:
            raise Spent
        return answer

    try:
        return rule.fires(holds)
    except Spent:
        return False


EXAMPLE = """\
## Intake rules: what becomes of the mail that opens a new ticket. They are kept sealed, so addresses may stand here.
## Take the "# " away from what you want to use, and try it with: vrt rules test FILE.eml
##
## The rules are looked at from the top. With "match: first" the first that fires is the last; with "match: all" all
## that fire count: of queue, junk and priority the later wins, tags add up, and "stop: yes" in a rule ends it there.
##
## if: all must hold. any: all of at least one group. unless: none may hold. A list in a field means one of these.
## A field that needs two things at once goes into two groups: if: [{body: court}, {body: lawyer}]
##
##   subject, body, header {name: ...}   word: stands in it; =word: is all of it; wo*d: the same, * for anything;
##                                       /regex/ or /regex/i: is found in it (i: any case, m: ^ and $ at each line)
##   from, to, cc, reply_to              jane@example.com; @example.com with all below it; *@example.com without;
##                                       any other word stands in the address or in the name
##   recipient                           as to, of whatever names a recipient: To, Cc, Resent-To, Delivered-To ...
##   attachment                          a word in the file name or a media type, or {name: ..., type: ..., size: ...}
##   size                                of the whole mail: over 5M, under 10k
##   queue, language                     of the queue that owns the address it was sent to
##   spam: yes                           a trusted filter says so
##
## Words are compared without case and accents; a regex is not. Without quotes, yes asks if there is anything in a
## field, and no if there is nothing. Put into quotes: numbers, "yes", "no", what begins with * @ & !, or holds # or :
#
# match: first
# rules:
#   - name: friends             # nobody here is caught by the rules below, nor by the spam filter
#     if:
#       from: ["@partner.example", jane@example.com]
#     then: {junk: no}
#
#   - name: banned
#     if:
#       from:
#         - "@spam.example"
#         - pest@example.net
#     then: {junk: yes}
#
#   - name: legal-letters
#     any:
#       - subject: /cease and desist|lawsuit/i
#       - {from: "*@lawfirm.example", attachment: application/pdf}
#       - {language: de, body: [Unterlassung, Abmahnung]}
#     unless:
#       header: {list-id: yes}
#     then: {queue: legal-en, priority: 5, tags: [legal, urgent]}
#
#   - name: large-pictures
#     if:
#       attachment: {type: image/*, size: over 5M}
#     then: {queue: permissions-en}
#
#   - name: what-nobody-owns
#     if:
#       queue: no
#     then: {queue: info-en, priority: 2}
"""
