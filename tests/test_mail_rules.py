"""Intake rules: what each condition asks, what is refused, and that nothing stalls on them."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from test_mail_corpus import messages, needs_corpus

from vrt.errors import VrtError
from vrt.mail import header, parse, patterns, rulefile
from vrt.mail.facts import MAX_BODY, MAX_FIELDS, MAX_VALUE, Facts, facts
from vrt.mail.rulefile import BadRules, of_text, read
from vrt.mail.rules import EXAMPLE, Explained, Outcome, Rules
from vrt.model import Address, Attachment

JANE = Address("Jane Roe", "jane@mail.example.com")
PDF = Attachment("Invoice 7.pdf", "application/pdf", 3000, "")
PICTURE = Attachment("Brücke.JPG", "image/jpeg", 6 << 20, "")
MAIL = Facts(
    headers=(("x-priority", "1"), ("list-id", ""), ("received", "from a"), ("received", "from b.example")),
    from_=(JANE,),
    to=(Address("Legal", "legal@example.org"),),
    cc=(Address("", "boss@museum.example"),),
    reply_to=(Address("", "answers@elsewhere.example"),),
    recipients=(Address("Legal", "legal@example.org"), Address("", "box@desk.example")),
    subject="Re: Löschung – a Question",
    body="Dear team,\nthis is a cease\nand desist letter. ÜBER die Straße.",
    attachments=(PDF, PICTURE),
    size=7 << 20,
    queue="info-de",
    language="de",
    spam=False,
)


def rules(*listed: dict[str, Any], match: str = "first") -> Rules:
    """Return rules, each named and doing something unless it says what."""
    filled = [{"name": f"r{i}", "then": "keep"} | rule for i, rule in enumerate(listed)]
    return read({"match": match, "rules": filled})


def holds(condition: dict[str, Any], mail: Facts = MAIL) -> bool:
    """Say whether a condition holds, and that its opposite is held by ``unless``."""
    fired = bool(rules({"if": condition}).apply(mail).fired)
    if len(condition) == 1 and len(condition.get("header", "x")) == 1:
        assert bool(rules({"unless": condition}).apply(mail).fired) is not fired
    return fired


# --- each kind of condition ---

TRUE = [
    {"from": "jane@mail.example.com"},
    {"from": "JANE@Mail.Example.COM"},
    {"from": "@mail.example.com"},
    {"from": "@example.com"},
    {"from": "@.example.com"},
    {"from": "*@mail.example.com"},
    {"from": "*@*.example.com"},
    {"from": "jane"},
    {"from": "jane roe"},
    {"from": "=Jane Roe"},
    {"from": "J*Roe"},
    {"from": "/^jane@/"},
    {"from": "/R[ou]e$/"},
    {"from": ["x@example.net", "@example.com"]},
    {"from": True},
    {"to": "legal@example.org"},
    {"cc": "@museum.example"},
    {"reply_to": "*@elsewhere.example"},
    {"recipient": "box@desk.example"},
    {"recipient": "Legal"},
    {"subject": "question"},
    {"subject": "Loschung"},
    {"subject": "LÖSCHUNG"},
    {"subject": "=re: löschung – A question"},
    {"subject": "re:*"},
    {"subject": "*löschung*question"},
    {"subject": "/LÖSCHUNG/i"},
    {"subject": "/Löschung/"},
    {"subject": ["nothing", "/^Re/"]},
    {"subject": True},
    {"body": "cease and desist"},
    {"body": "über die strasse"},
    {"body": "/cease\\s+and/"},
    {"body": "/^this is/m"},
    {"body": "/dear.*letter/is"},
    {"body": "dear*strasse."},
    {"header": {"x-priority": "1"}},
    {"header": {"X-Priority": "=1"}},
    {"header": {"received": "b.example"}},
    {"header": {"list-id": True}},
    {"header": {"x-spam": False}},
    {"header": {"x-priority": "1", "received": "/^from a$/"}},
    {"attachment": "application/pdf"},
    {"attachment": "image/*"},
    {"attachment": "*.jpg"},
    {"attachment": "invoice"},
    {"attachment": "brucke"},
    {"attachment": "/\\.(exe|pdf)$/i"},
    {"attachment": {"type": "image/jpeg", "size": "over 5M"}},
    {"attachment": {"name": "invoice", "type": "*/pdf", "size": "<3k"}},
    {"attachment": True},
    {"size": "over 5M"},
    {"size": ">5M"},
    {"size": f">={7 << 20}"},
    {"size": "under 8 MB"},
    {"size": "<= 7M"},
    {"language": "de"},
    {"language": ["fr", "DE"]},
    {"queue": "info-de"},
    {"queue": "info-*"},
    {"queue": True},
    {"spam": False},
    {"from": "@example.com", "size": "over 1k", "spam": False, "body": "cease"},
]
FALSE = [
    {"from": "ane@mail.example.com"},
    {"from": "@ample.com"},
    {"from": "@ane.mail.example.com"},
    {"from": "*@example.com"},
    {"from": "=jane"},
    {"from": "jane*example"},
    {"from": "/^Jane roe/"},
    {"from": False},
    {"to": "box@desk.example"},
    {"cc": "legal@example.org"},
    {"reply_to": "jane"},
    {"subject": "answer"},
    {"subject": "=question"},
    {"subject": "question*"},
    {"subject": "*question*question"},
    {"subject": "/loschung/i"},
    {"subject": "/löschung/"},
    {"body": "ceaseand"},
    {"body": "/Dear.*letter/"},
    {"header": {"x-priority": "2"}},
    {"header": {"x-priority": "1", "received": "nowhere"}},
    {"header": {"list-id": "x"}},
    {"header": {"list-id": False}},
    {"attachment": "pdf/application"},
    {"attachment": "*.exe"},
    {"attachment": {"type": "application/pdf", "size": "over 5M"}},  # the large one is the picture
    {"attachment": False},
    {"size": "over 7M"},
    {"size": "under 7M"},
    {"language": "d"},
    {"language": "en"},
    {"queue": "info"},
    {"queue": False},
    {"spam": True},
    {"from": "@example.com", "spam": True},
]


@pytest.mark.parametrize("condition", TRUE, ids=str)
def test_it_holds(condition: dict[str, Any]) -> None:
    assert holds(condition)


@pytest.mark.parametrize("condition", FALSE, ids=str)
def test_it_does_not_hold(condition: dict[str, Any]) -> None:
    assert not holds(condition)


def test_nothing_there() -> None:
    for field in ("from", "to", "cc", "reply_to", "recipient", "subject", "body", "attachment", "queue"):
        assert holds({field: False}, Facts())
        assert not holds({field: True}, Facts())
        assert not holds({field: "x*"}, Facts())


def test_spam() -> None:
    assert holds({"spam": True}, MAIL._replace(spam=True))


def test_norwegian_is_a_language() -> None:
    assert holds(read_yaml_condition("language: no"), MAIL._replace(language="no"))
    assert not holds(read_yaml_condition("language: no"), MAIL._replace(language=""))


def read_yaml_condition(line: str) -> dict[str, Any]:
    from vrt.storage import articles

    return articles.load_yaml(line, "test")


# --- scripts and hiding ---


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("straße", "STRASSE"),
        ("strasse", "eine Straße"),
        ("istanbul", "İSTANBUL"),
        ("İstanbul", "istanbul"),
        ("δικηγόρος", "ΔΙΚΗΓΟΡΟΣ"),
        ("diffamation déposée", "DIFFAMATION DEPOSEE"),
        ("free picture", "ＦＲＥＥ　ｐｉｃｔｕｒｅ"),
        ("defamation", "def\u200bama\u00adtion"),
        ("版权所有", "图片的版权\n所有人"),
        ("手机", "iPhone手机壳"),
        ("*版权", "图片的版权"),
        ("=한국어", "한국어".encode().decode()),
        ("Кириллица", "кириллица"),
        ("cafe\u0301", "Café"),
    ],
)
def test_words_are_compared_without_case_and_accents(word: str, text: str) -> None:
    for field in ("subject", "body"):
        assert holds({field: word}, Facts()._replace(**{field: text}))
    assert holds({"header": {"x-a": word}}, Facts(headers=(("x-a", text),)))
    assert holds({"from": word}, Facts(from_=(Address(text, "a@b"),)))
    assert holds({"attachment": word}, Facts(attachments=(Attachment(text, "a/b", 1, ""),)))


def test_a_regex_sees_composed_letters() -> None:
    assert holds({"attachment": "/Brücke/"}, Facts(attachments=(Attachment("Bru\u0308cke.png", "a/b", 1, ""),)))


def test_domains_of_other_scripts() -> None:
    written = {"from": ["@bücher.example", "jo@bücher.example"]}
    for address in ("a@xn--bcher-kva.example", "a@shop.BÜCHER.example", "jo@bücher.example"):
        assert holds(written, Facts(from_=(Address("", address),)))
    assert not holds(written, Facts(from_=(Address("", "a@bucher.example"),)))
    assert holds({"from": "@xn--bcher-kva.example"}, Facts(from_=(Address("", "a@bücher.example"),)))
    assert holds({"from": "@xn--ł.example"}, Facts(from_=(Address("", "a@xn--ł.example"),)))  # no such name


@pytest.mark.parametrize("address", ["", "@", "nobody", "a@", "@example.com", "a@@b", "." * 300 + "@" + "." * 300])
def test_what_is_no_address(address: str) -> None:
    assert holds({"from": "@example.com"}, Facts(from_=(Address("", address),))) is (address == "@example.com")


# --- what the rules do ---


def test_what_a_rule_sets() -> None:
    then = {"queue": "legal-en", "priority": 5, "tags": ["urgent", "legal"]}
    found = rules({"if": "always", "then": then}).apply(MAIL)
    assert found == Outcome("legal-en", 5, ("urgent", "legal"), None, ("r0",), ())
    assert rules({"if": "always", "then": {"junk": True}}).apply(MAIL) == Outcome(junk=True, fired=("r0",))
    assert rules({"if": "always", "then": {"tags": "legal"}}).apply(MAIL).tags == ("legal",)
    assert rules().apply(MAIL) == Outcome()


def test_first_ends_at_the_first() -> None:
    asked = rules(
        {"if": {"subject": "nothing"}, "then": {"priority": 1}},
        {"if": {"subject": "question"}, "then": {"priority": 2}},
        {"if": "always", "then": {"priority": 3}},
    )
    assert asked.apply(MAIL) == Outcome(priority=2, fired=("r1",))


def test_all_goes_on_and_the_later_wins() -> None:
    asked = rules(
        {"if": "always", "then": {"queue": "a", "priority": 2, "tags": ["x", "y"]}},
        {"if": {"subject": "nothing"}, "then": {"queue": "never"}},
        {"if": "always", "then": {"queue": "b", "tags": ["z", "x"]}},
        match="all",
    )
    assert asked.apply(MAIL) == Outcome("b", 2, ("x", "y", "z"), None, ("r0", "r2"))


def test_stop_ends_it() -> None:
    asked = rules({"if": "always", "stop": True}, {"if": "always", "then": {"junk": True}}, match="all")
    assert asked.apply(MAIL) == Outcome(fired=("r0",))


@pytest.mark.parametrize(
    ("thens", "queue", "junk"),
    [
        ([{"queue": "a"}, {"junk": True}], "", True),
        ([{"junk": True}, {"queue": "a"}], "a", False),
        ([{"junk": True}, {"priority": 1}], "", True),
        ([{"junk": False}, {"queue": "a"}], "a", False),
        ([{"junk": True}, {"junk": False}], "", False),
        ([{"queue": "a"}, {"junk": False}], "a", False),
    ],
)
def test_queue_and_junk_exclude_each_other(thens: list[dict[str, Any]], queue: str, junk: bool) -> None:
    found = rules(*({"if": "always", "then": then} for then in thens), match="all").apply(MAIL)
    assert (found.queue, found.junk) == (queue, junk)


def test_any_and_unless_and_lists_of_groups() -> None:
    yes, no = {"spam": False}, {"spam": True}

    def fires(**rule: Any) -> bool:
        return bool(rules({k.rstrip("_"): v for k, v in rule.items()}).apply(MAIL).fired)

    assert fires(any=[no, yes])
    assert not fires(any=[no, {"spam": False, "size": "under 1k"}])
    assert fires(if_=[{"body": "cease"}, {"body": "desist"}])
    assert not fires(if_=[{"body": "cease"}, {"body": "nowhere"}])
    assert not fires(if_=yes, any=[no])
    assert not fires(unless={"spam": True, "body": "cease"})  # none may hold
    assert fires(unless=[{"spam": True}, {"body": "nowhere"}])
    assert fires(if_=yes, any=[yes], unless=no)
    assert not fires(if_=yes, any=[yes], unless=yes)


def test_words_that_the_rules_name() -> None:
    asked = rules(
        {"if": {"queue": ["info-de", "perm-*"]}, "then": {"queue": "legal-en", "tags": ["x", "y"]}},
        {"unless": {"queue": "=info-en"}, "then": {"tags": "z"}},
    )
    assert asked.words() == ({"info-de", "info-en", "legal-en"}, {"x", "y", "z"})


# --- what is refused ---


def rule(**more: Any) -> dict[str, Any]:
    return {"rules": [{"name": "n", "if": "always", "then": "keep"} | {k.rstrip("_"): v for k, v in more.items()}]}


def when(**condition: Any) -> dict[str, Any]:
    return rule(if_=condition)


RECURSIVE: list[Any] = []
RECURSIVE += [RECURSIVE] * 10

REFUSED = [
    (7, "the document is no mapping"),
    ([], "the document is no mapping"),
    ({"Rules": []}, "unknown setting 'Rules': did you mean rules?"),
    ({"match": "last"}, "match is first or all, not 'last'"),
    ({"rules": {}}, "rules is no list"),
    ({"rules": ["x"]}, "rule 1 is no mapping"),
    ({"rules": [{"if": "always", "then": "keep"}]}, "rule 1 has no name"),
    (rule(name="Legal Letters"), "rule 1, name: 'Legal Letters' is not made of lower-case letters"),
    (rule(name=7), "rule 1, name: 7 is not"),
    ({"rules": rule()["rules"] * 2}, "two rules have the name n"),
    (rule(untless={}), "rule n has an unknown setting 'untless': did you mean unless?"),
    (rule(on=1), "unknown setting 'on'"),
    ({True: 1}, "the document has an unknown setting yes: known are match, rules"),
    ({"rules": [{"name": "n", "then": "keep"}]}, "rule n has no condition: write if: always"),
    (rule(if_={}), "rule n, if has an empty group"),
    (rule(if_=[]), "rule n, if is empty"),
    (rule(if_=None), "rule n, if is no mapping"),
    (rule(if_="allways"), "rule n, if is no mapping"),
    (rule(unless={}), "rule n, unless has an empty group"),
    (rule(any={"spam": True}), "rule n, any is no list"),
    (rule(any=[]), "rule n, any is no list"),
    (rule(any=[{}]), "rule n, any has an empty group"),
    (rule(stop="true"), "rule n, stop is yes or no without quotes, not 'true'"),
    ({"rules": [{"name": "n", "if": "always"}]}, "rule n does nothing"),
    (rule(then={}), "rule n does nothing"),
    (rule(then="junk"), "rule n, then is no mapping"),
    (rule(then={"que": "x"}), "rule n, then has an unknown setting 'que': did you mean queue?"),
    (rule(then={"queue": "Legal"}), "rule n, then, queue: 'Legal' is not made of"),
    (rule(then={"queue": None}), "rule n, then has no queue"),
    (rule(then={"queue": "x", "junk": True}), "rule n, then names a queue and junk"),
    (rule(then={"priority": 6}), "rule n, then, priority: 6 is no number from 1"),
    (rule(then={"priority": 0}), "rule n, then, priority: 0 is no number from 1"),
    (rule(then={"priority": True}), "rule n, then, priority: yes is no number from 1"),
    (rule(then={"priority": "high"}), "priority: 'high' is no number"),
    (rule(then={"priority": 16**6000}), "priority: a int is no number"),
    (rule(then={"priority": RECURSIVE}), "priority: a list is no number"),
    (rule(then={"tags": []}), "rule n, then, tags are none"),
    (rule(then={"tags": ["ok", "not ok"]}), "rule n, then, tags: 'not ok' is not made of"),
    (rule(then={"junk": "yes"}), "rule n, then, junk is yes or no"),
    (when(sender="x"), "rule n, if has an unknown field 'sender': known are spam"),
    (when(**{"reply-to": "x"}), "unknown field 'reply-to': did you mean reply_to?"),
    (when(subject=None), "rule n, if, subject is empty"),
    (when(subject=""), "rule n, if, subject is empty"),
    (when(subject="  "), "subject: '  ' has nothing to look for"),
    (when(subject="\u200b"), "has nothing to look for"),
    (when(subject="**"), "subject: '**' has nothing to look for"),
    (when(subject="="), "has nothing to look for"),
    (when(subject=[]), "rule n, if, subject is an empty list"),
    (when(subject=["x", True]), "subject: yes cannot be in a list; to look for the word, put it in quotes"),
    (when(subject=["x", ["y"]]), "subject: a list is no text"),
    (when(subject=RECURSIVE), "subject: a list is no text"),
    (when(subject={"is": "x"}), "subject: a dict is no text"),
    (when(subject=5), 'subject: 5 is a number; put it in quotes: "5"'),
    (when(subject="x" * 1001), "is longer than 1,000 characters"),
    (when(subject="\ud800"), "holds half a character"),
    (when(subject="/a"), "begins with / and does not end"),
    (when(subject="/a/x"), "begins with / and does not end"),
    (when(subject="/a/ii"), "begins with / and does not end"),
    (when(subject="/(a/"), "rule n, if, subject: '/(a/' is no pattern: missing )"),
    (when(subject="/a(?=b)/"), "is no pattern: invalid perl operator: (?= (RE2 knows no look-around"),
    (when(subject=r"/(a)\1/"), "is no pattern: invalid escape sequence"),
    (when(subject="/a{1001}/"), "is no pattern: invalid repetition size"),
    (when(body=r"/\pL{20}/"), "is too large a pattern"),
    (when(body="/((a{100}){100}){10}/"), "pattern"),
    (when(subject="//"), "fits an empty text"),
    (when(subject="/free|/"), "fits an empty text, so it fits everything"),
    (when(**{"from": ["ok@example.org", "/(/"]}), "rule n, if, from: '/(/' is no pattern"),
    (when(**{"from": "Jane <jane@example.com>"}), "is a name and an address: write the address alone"),
    (when(spam="yes"), "rule n, if, spam is yes or no without quotes, not 'yes'"),
    (when(size="5M"), "rule n, if, size: '5M' is no size: write over 5M"),
    (when(size=5), "rule n, if, size is no size"),
    (when(size="over 5T"), "is no size"),
    (when(size="under 0"), "is a size that nothing has"),
    (when(header="x"), "rule n, if, header is no mapping"),
    (when(header={}), "rule n, if, header is no mapping"),
    (when(header={"x:": "y"}), "rule n, if, header: 'x:' is no name of a header field"),
    (when(header={"x y": "y"}), "is no name of a header field"),
    (when(header={1: "y"}), "header: 1 is no name of a header field"),
    (when(header={"X-A": "1", "x-a": "2"}), "header has x-a twice"),
    (when(header={"x-a": "/(/"}), "rule n, if, header x-a: '/(/' is no pattern"),
    (when(attachment={}), "rule n, if, attachment is empty"),
    (when(attachment={"kind": "x"}), "rule n, if, attachment has an unknown setting 'kind'"),
    (when(attachment={"size": "big"}), "rule n, if, attachment size: 'big' is no size"),
    (when(attachment={"type": "image"}), "rule n, if, attachment type: 'image' is no media type"),
    ({"rules": [{}] * 501}, "there are 501 rules, more than 500"),
    (when(subject=["x"] * 10_001), "the list has 10,001 words, more than 10,000"),
    (when(subject=[f"/x{i}/" for i in range(501)]), "there are more than 500 /patterns/"),
    (rule(if_=[when(body=["x"] * 9000)["rules"][0]["if"]] * 6), "there are more than 50,000 words"),
    (rule(if_=[{"body": "x"}] * 51), "rule n has more than 50 conditions"),
    (rule(any=[{"body": "x"}] * 1000), "rule n has more than 50 conditions"),
]


@pytest.mark.parametrize(("value", "sentence"), REFUSED, ids=[sentence for _, sentence in REFUSED])
def test_what_is_refused_and_why(value: Any, sentence: str) -> None:
    with pytest.raises(BadRules) as caught:
        read(value)
    text = str(caught.value)
    assert sentence in text
    assert "\n" not in text and len(text) < 250


def test_no_rules_are_rules() -> None:
    for value in (None, {}, {"match": "all"}, {"rules": []}):
        assert len(read(value)) == 0
        assert read(value).apply(MAIL) == Outcome()


yaml_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["always", "/a/"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["match", "rules", "name", "if", "any", "unless", "then", "queue", *rulefile.FIELDS])
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(yaml_like)
def test_anything_is_read_or_refused(value: Any) -> None:
    for document in (value, {"rules": [value]}, when(**{"from": value}), rule(if_=value), rule(then=value)):
        try:
            read(document).apply(MAIL)
        except BadRules as exc:
            assert "\n" not in str(exc)


# --- why ---


def test_explained() -> None:
    asked = rules(
        {"if": {"from": ["nobody@example.net", "@example.org"], "body": "desist"}, "then": {"junk": True}},
        {"any": [{"size": "over 1G"}, {"subject": "/Q\\w+/"}], "unless": {"header": {"x-priority": "2"}}},
        {"if": "always"},
    )
    one, two, three = asked.explain(MAIL)
    assert (one.name, one.fired, one.looked) == ("r0", False, True)
    assert one.conditions[0][:4] == ("if", "from", "nobody@example.net, @example.org", False)
    assert one.conditions[0].seen == "Jane Roe <jane@mail.example.com>"
    assert one.conditions[1][:4] == ("if", "body", "desist", True)
    assert "and desist letter" in one.conditions[1].seen
    assert two.fired and [c[:4] for c in two.conditions] == [
        ("any 1", "size", "over 1G", False),
        ("any 2", "subject", "/Q\\w+/", True),
        ("unless", "header x-priority", "2", False),
    ]
    assert [c.seen for c in two.conditions] == [f"{7 << 20:,} bytes", "Question", "1"]
    assert three == Explained("r2", False, False, (), three.then)


def test_what_is_seen_is_short_and_on_one_line() -> None:
    long = MAIL._replace(
        subject="x\ny" * 3000, body="z\n" * 9000, attachments=(PDF._replace(name="n\n" * 9000),), from_=(JANE,) * 900
    )
    for condition in TRUE + FALSE:
        for explained in rules({"if": condition}).explain(long):
            for held in explained.conditions:
                assert len(held.seen) <= 60 and "\n" not in held.seen
                assert len(held.wanted) <= 130


CONDITIONS = st.sampled_from(TRUE + FALSE)
THENS = st.sampled_from([{"queue": "a"}, {"junk": True}, {"junk": False}, {"priority": 4, "tags": ["x"]}, "keep"])
RULE = st.fixed_dictionaries(
    {"then": THENS},
    optional={
        "if": CONDITIONS | st.lists(CONDITIONS, min_size=1, max_size=2),
        "any": st.lists(CONDITIONS, min_size=1, max_size=3),
        "unless": CONDITIONS,
        "stop": st.booleans(),
    },
).filter(lambda r: set(r) & {"if", "any", "unless"})
WORDS = st.text(max_size=20) | st.sampled_from(["jane@example.com", "cease and desist", "legal@example.org", "\n", "ß"])
PEOPLE = st.lists(st.builds(Address, WORDS, WORDS), max_size=3).map(tuple)
FACTS = st.builds(
    Facts,
    headers=st.lists(st.tuples(st.sampled_from(["x-priority", "list-id", "received", "", "a b"]), WORDS)).map(tuple),
    from_=PEOPLE,
    to=PEOPLE,
    cc=PEOPLE,
    reply_to=PEOPLE,
    recipients=PEOPLE,
    subject=WORDS,
    body=st.text(),
    attachments=st.lists(st.builds(Attachment, WORDS, WORDS, st.integers(0), WORDS), max_size=3).map(tuple),
    size=st.integers(0),
    queue=WORDS,
    language=WORDS,
    spam=st.booleans(),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(RULE, max_size=5), st.sampled_from(["first", "all"]), FACTS | st.just(MAIL))
def test_any_rules_on_any_mail(listed: list[dict[str, Any]], match: str, mail: Facts) -> None:
    """Nothing raises, what is explained is what happens, and a copy of the rules in another process does the same."""
    asked = rules(*listed, match=match)
    found = asked.apply(mail)
    assert tuple(e.name for e in asked.explain(mail) if e.fired) == found.fired
    assert found.unfinished == ()
    assert pickle.loads(pickle.dumps(asked)).apply(pickle.loads(pickle.dumps(mail))) == found


def test_rules_are_read_once_for_each_text() -> None:
    asked = of_text("rules: [{name: n, if: {subject: /x/}, then: keep}]")
    assert of_text("rules: [{name: n, if: {subject: /x/}, then: keep}]") is asked
    packed = pickle.dumps(asked)
    copy = pickle.loads(packed)
    assert copy == asked and hash(copy) == hash(asked) and pickle.loads(packed) is copy
    assert copy != of_text("rules: [{name: n, if: {subject: /y/}, then: keep}]")


def test_text_that_is_no_yaml() -> None:
    with pytest.raises(VrtError, match="not valid YAML, line 1"):
        of_text("rules: [}\n")


def test_the_example_is_a_comment_and_valid_without_its_marks() -> None:
    assert all(line.startswith("#") for line in EXAMPLE.splitlines())
    assert max(map(len, EXAMPLE.splitlines())) <= 120
    assert len(of_text(EXAMPLE)) == 0
    asked = of_text(re.sub("(?m)^# ?(?!#)", "", EXAMPLE))
    assert [r.name for r in asked.rules] == ["friends", "banned", "legal-letters", "large-pictures", "what-nobody-owns"]
    assert asked.apply(Facts(from_=(Address("", "pest@example.net"),))).junk is True
    assert asked.apply(Facts(from_=(Address("", "jo@partner.example"),), spam=True)).junk is False
    letter = Facts(subject="A LAWSUIT", queue="info-en")
    assert asked.apply(letter) == Outcome("legal-en", 5, ("legal", "urgent"), None, ("legal-letters",))
    assert not asked.apply(letter._replace(headers=(("list-id", "<l.example>"),))).fired
    assert asked.apply(MAIL).fired == ("large-pictures",)
    assert asked.apply(Facts()).queue == "info-en"


# --- the facts of a mail ---


def facts_of(raw: bytes, **more: Any) -> Facts:
    return facts(parse.parse(raw), header.split(raw, set())[0], len(raw), **more)


def test_facts_of_a_mail() -> None:
    raw = (
        b"From: =?utf-8?Q?J=C3=B6rg?= <joerg@example.com>\r\nTo: Info Desk <info@desk.example>\r\n"
        b"Cc: second@desk.example\r\nReply-To: r@example.net\r\nDelivered-To: box@desk.example\r\n"
        b"Subject: =?iso-2022-jp?B?GyRCRnxLXBsoQg==?=\r\n =?utf-8?Q?_urgent?=\r\n"
        b"X-Note: =?utf-8?B?w5ZmZm51bmc=?= and\r\n more\r\nX-Raw: caf\xe9\r\nX-Utf: caf\xc3\xa9\r\n"
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nHello\r\n--b\r\n"
        b"Content-Type: application/pdf; name=a.pdf\r\n\r\n12345\r\n--b--\r\n"
    )
    found = facts_of(raw, queue="info-de", language="de", spam=True)
    assert dict(found.headers)["subject"] == found.subject == "日本 urgent"
    assert dict(found.headers)["x-note"] == "Öffnung and more"
    assert dict(found.headers)["x-raw"] == dict(found.headers)["x-utf"] == "café"
    assert found.from_ == (Address("Jörg", "joerg@example.com"),)
    assert found.recipients == (
        Address("Info Desk", "info@desk.example"),
        Address("", "second@desk.example"),
        Address("", "box@desk.example"),
    )
    assert (found.body, found.size, found.queue, found.language, found.spam) == (
        "Hello",
        len(raw),
        "info-de",
        "de",
        True,
    )
    assert [(a.name, a.type, a.size) for a in found.attachments] == [("a.pdf", "application/pdf", 5)]
    asked = rules(
        {
            "if": {
                "subject": "日本",
                "recipient": "box@desk.example",
                "header": {"X-NOTE": "offnung"},
                "body": "hello",
            },
            "then": {"junk": True},
        }
    )
    assert asked.apply(found).junk is True
    assert pickle.loads(pickle.dumps(found)) == found


@needs_corpus
def test_real_mails() -> None:
    asked = rules(*({"if": c} for c in TRUE + FALSE), match="all")
    fired: set[str] = set()
    for raw in messages().values():
        found = facts_of(raw)
        outcome = asked.apply(found)
        assert outcome.unfinished == ()
        assert all("\n" not in value and "\r" not in value for _, value in found.headers)
        fired |= set(outcome.fired)
    assert len(fired) > 15  # a condition in four asks for what a real mail has


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=60))))
def test_any_fields(fields: list[tuple[str, bytes]]) -> None:
    found = facts(parse.parse(b"x"), fields, 1)
    assert [name for name, _ in found.headers] == [name for name, _ in fields]
    for _, value in found.headers:
        value.encode()
        assert not set(value) & set("\r\n\0")


def test_facts_are_bounded() -> None:
    read_mail = parse.parse(b"From: a@b\nSubject: " + b"s" * 50_000 + b"\n\n" + b"b" * 2_000_000)
    found = facts(read_mail, [("x", "é".encode() * 100_000), ("x", b" e" + "é".encode() * 100_000)] * 2000, 1)
    assert len(found.headers) == MAX_FIELDS
    assert {value for _, value in found.headers} == {"é" * MAX_VALUE, "e" + "é" * (MAX_VALUE - 1)}
    assert (len(found.subject), len(found.body)) == (MAX_VALUE, MAX_BODY)


@pytest.mark.parametrize("name", ["__class__", "from_", "x\x1b[2J", "a" * 200, "", "constructor", "../x", "subject "])
def test_hostile_header_names(name: str) -> None:
    asked = rules({"if": {"header": {"x-wanted": True}}}, {"if": {"header": {"subject": True}}}, match="all")
    assert asked.apply(Facts(headers=((name, "value"),))).fired == ()


# --- nothing stalls ---


def seconds_of(work: Callable[[], object]) -> float:
    start = time.thread_time()
    work()
    return time.thread_time() - start


NESTED = ["/(a+)+$/", "/(a|aa)+$/", "/(a*)*b/", "/^(([a-z])+.)+[A-Z]([a-z])+$/", "/(.*a){20}x/", "/(a?){50}a{50}b/"]
HARD = ["/(?i)a[ab]{900}c/", "/[ab]*a[ab]{300}c/", r"/(\w|-|a)+\.([a-z]{100})q/"]
TEXTS = {
    "a": "a" * (1 << 20),
    "ab": "abaab" * 200_000,
    "marks": "a\u0301\u0323" * 300_000,
    "han": "自由时报你好世界\n" * 100_000,
    "words": "Lorem ipsum dolör sit amet, a consectetur adipiscing elit.\n" * 15_000,
}


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("kind", ["nested", "hard", "words", "globs"])
def test_two_hundred_rules_on_a_large_mail(kind: str, text: str) -> None:
    body = TEXTS[text]
    wanted: list[Any] = {
        "nested": (NESTED * 40)[:200],
        "hard": (HARD * 70)[:200],
        "words": [[f"{'a' * (i % 50)}b{i} {k}" for k in range(60)] for i in range(200)],
        "globs": [[f"*{'a*' * 50}{i}{k}*" for k in range(50)] for i in range(200)],
    }[kind]
    asked = rules(*({"if": {"body": w}} for w in wanted), match="all")
    mail = Facts(body=body, headers=(("x", body[:10_000]),) * 500, size=25 << 20)
    assert seconds_of(lambda: asked.apply(mail)) < 2


def test_nested_quantifiers_are_answered() -> None:
    """Not by giving up: the answer is right, and there is time left."""
    mail = Facts(body="a" * MAX_BODY)
    found = rules(*({"if": {"body": w}} for w in NESTED), match="all").apply(mail)
    assert found.fired == ("r0", "r1") and found.unfinished == ()


def test_what_takes_too_long_is_given_up_and_said() -> None:
    asked = rules(
        {"if": {"from": "jane@mail.example.com"}, "then": {"priority": 5}},
        *({"if": {"body": HARD[0]}, "then": {"junk": True}} for _ in range(60)),
        {"unless": {"body": HARD[0]}, "then": {"junk": True}},
        {"if": {"from": "jane@mail.example.com"}, "then": {"tags": "seen"}},
        match="all",
    )
    found = asked.apply(MAIL._replace(body="a" * (1 << 20)))
    assert found.junk is None and found.priority == 5 and found.tags == ("seen",)
    assert found.fired == ("r0", "r62") and "r61" in found.unfinished


def test_a_large_pattern_sees_a_text_in_windows() -> None:
    regex = patterns.Regex("needle|" + "|".join(f"x{i}(y{{200}})" for i in range(18)), "")
    raw = b"-" * 300_000
    for at in (0, 1, *range(4090, 100_000, 3991), 300_000):
        assert regex.search(raw[:at] + b"needle" + raw[at:], patterns.Clock(9)) == "needle"
    assert regex.search(raw, patterns.Clock(9)) is None
    anchored = patterns.Regex(r"\A-|\pL{3}\b", "")
    assert anchored.search(b"+" + raw, patterns.Clock(9)) is None


def test_many_words_are_found_as_one_is() -> None:
    many = [f"word{i} of ours" for i in range(9000)] + ["ﷺ" * 900, "x" * 1000, "Straße 9"]
    asked = rules({"if": {"body": many}})
    for text in ("a WORD8999\nof  ours.", "die STRASSE 9", "ﷺ" * 900, "X" * 1001):
        assert asked.apply(Facts(body=text)).fired == ("r0",)
    assert asked.apply(Facts(body="word of ours, word9000 of ours, strase 9, " + "x" * 999)).fired == ()


def test_a_ban_list_of_five_thousand() -> None:
    banned = [f"user{i}@host{i % 977}.example" for i in range(4000)] + [f"@bad{i}.example" for i in range(1000)]
    asked = rules({"if": {"from": banned}, "then": {"junk": True}})
    mails = [MAIL._replace(from_=(Address("Jane", f"user{i}@mail.host{i}.example"),)) for i in range(5000)]
    assert seconds_of(lambda: [asked.apply(mail) for mail in mails]) < 1  # 5,000 a second; it is thirty times that
    assert not any(asked.apply(mail).junk for mail in mails)
    for address in ("USER7@host7.example", "x@y.bad999.example"):
        assert asked.apply(Facts(from_=(Address("", address),))).junk is True


def test_a_hostile_header_is_read_quickly() -> None:
    mail = parse.parse(b"From: a@b\n\nx")
    unknown = "".join(f"=?x-{i}?Q?=E1=E2=D3=E4=C5=E6=E7=E8=E9?= " for i in range(300)).encode()
    for value in (
        unknown,
        bytes(range(0xC0, 0x100)) * 300,
        b"=?a?q?" * 5000,
        b"\n " * 5000,
        b"=?utf-8?B?" + b"4" * 9000,
    ):
        assert seconds_of(lambda value=value: facts(mail, [("x", value)] * 500, 1)) < 2  # type: ignore[misc]


def test_a_mail_to_thousands_is_looked_at_quickly() -> None:
    people = tuple(Address(f"Name {i} é", f"user{i}@{'é.' * 120}host{i}.example") for i in range(3000))
    mail = Facts(from_=people, to=people, cc=people, recipients=people)
    asked = rules(
        *({"if": {"to": ["*lottery*", "/casino$/i", "é x"]}} for _ in range(200)),
        {"any": [{field: ["@spam.example", "x@y.example"]} for field in ("from", "to", "cc", "recipient")]},
        match="all",
    )
    assert seconds_of(lambda: asked.apply(mail)) < 2


# --- layers ---


def test_reading_rules_loads_no_parser_and_applying_no_yaml() -> None:
    script = (
        "import sys; from vrt.mail import rulefile, rules\n"
        "rulefile.read({'rules': [{'name': 'n', 'if': {'from': 'a@b'}, 'then': 'keep'}]}).apply(rules.Facts())\n"
        "print([m for m in ('yaml', 'mailparser', 're2', 'email', 'click') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
