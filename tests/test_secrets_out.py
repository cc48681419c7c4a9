"""What was said in confidence leaves in no message: 500 replies and forwards, from tickets put together at random.

Everything carries a token of its own: each mail, note, draft, file and address. Of these a message may hold those of
the mail that it answers or forwards, and no other's; and that those are found shows that the others would be.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from email import message_from_bytes, policy
from typing import Any

import pytest
from conftest import Person, founded, mail

from vrt import acts, letters, outgoing, structure
from vrt.desk import Desk
from vrt.errors import UsageError
from vrt.letters import FORWARD, REPLY, Letter
from vrt.model import MERGED, Address, Ticket
from vrt.storage.index import Article

TICKETS, MESSAGES = 30, 500
TOKEN = re.compile("q7[0-9]{6}z")
QUEUES = {"info-en": "info-en@example.org", "hilfe-de": "hilfe@example.org", "press-en": "press@example.org"}
TEMPLATES = ("", "", "closing", "receipt", "permission-insufficient", "fix-it-yourself")


class Planter:
    """Plants tokens: each is there once."""

    def __init__(self, seed: int) -> None:
        self.random, self._count = random.Random(seed), 0

    def token(self) -> str:
        self._count += 1
        return f"q7{self._count:06d}z"

    def mail(self, ticket: int, queue: str, **head: str) -> bytes:
        """Return a mail in which everything is marked: subject, text, names, ids, a Cc, a file."""
        sender = head.pop("sender", f"Jane {self.token()} <jane{ticket % 10}@example.com>")
        files = {f"{self.token()}.txt": self.token().encode()} if self.random.random() < 0.4 else None
        if self.random.random() < 0.5:
            head["cc"] = f"{self.token()} <{self.token()}@example.net>, asked{ticket}@law.example"
        body = f"Dear team,\n\n{self.token()} is what I want to say, and {self.token()}.\n\n-- \n{self.token()}\n"
        subject = f"{head.pop('hook', '')} {self.token()}".strip()
        return mail(
            subject, body, sender=sender, to=QUEUES[queue], id=f"<{self.token()}@x.example>", files=files, **head
        )


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Person:
    person = founded(tmp_path_factory.mktemp("secrets"))
    person.ok("queue", "add", "hilfe-de", "--address", QUEUES["hilfe-de"], "--language", "de", "--signed-by", "agent")
    person.ok("queue", "add", "press-en", "--address", QUEUES["press-en"], "--html")
    return person


@pytest.fixture(scope="module")
def desk(person: Person) -> Iterator[Desk]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("VRT_HOME", "XDG_RUNTIME_DIR"):
            patch.setenv(name, person.env[name])
        assert person.desk is not None
        filled(person, desk := Desk(person.desk))
        yield desk


def filled(person: Person, desk: Desk) -> None:
    """Fill a desk with tickets, and with all that may be said in one."""
    plant = Planter(4)
    pick, queues = plant.random, list(QUEUES)
    where = [pick.choice(queues) for _ in range(TICKETS)]
    numbers = person.receive(*[plant.mail(i, queue) for i, queue in enumerate(where)])
    desk.catch_up()
    more = []
    for i, (number, queue) in enumerate(zip(numbers, where, strict=True)):
        if pick.random() < 0.7:
            acts.act(desk, "note", [number], body=f"In confidence: {plant.token()}")
        if pick.random() < 0.6:
            asked = (Address(plant.token(), f"asked{i}@law.example"), Address("", f"{plant.token()}@law.example"))
            about = desk.ticket(number)
            letter = replace(letters.forward(desk, about, asked), body=f"{plant.token()}, you know him.\n")
            event = outgoing.record(desk, number, letter, seen=about.last_event).event
            named = next(a for a in desk.index.articles(number) if a.event.id == event.id).front or {}
            theirs = f"{plant.token()} <asked{i}@law.example>"
            more.append(plant.mail(i, queue, sender=theirs, in_reply_to=f"<{named['message_id']}>"))
        if pick.random() < 0.5:
            more.append(plant.mail(i, queue, hook=f"[Ticket#{number}]"))  # she herself writes again
        if pick.random() < 0.5:
            more.append(plant.mail(i, queue, hook=f"[Ticket#{number}]", sender=f"{plant.token()} <eve@example.net>"))
        if pick.random() < 0.3:
            kind = {"hook": f"[Ticket#{number}]", "auto_submitted": "auto-replied"}
            more.append(plant.mail(i, queue, **kind))
    person.receive(*more)
    desk.catch_up()
    for number in numbers:
        ticket = desk.ticket(number)
        if pick.random() < 0.4:
            draft = replace(letters.reply(desk, ticket), body=f"{plant.token()}, perhaps.\n", to=())
            outgoing.record(desk, number, draft, seen=ticket.last_event, draft=True)
        facts = {e.id: e.trailers for e in desk.index.events(number)}
        joined = [i for i, t in facts.items() if "Follow-Up" in t and "Internal" not in t]
        if joined and pick.random() < 0.3:
            structure.move(desk, number, [pick.choice(joined)], pick.choice([n for n in numbers if n != number]))
        if pick.random() < 0.3:
            acts.act(desk, "note", [number], body=f"And this: {plant.token()}")
    for number in pick.sample(numbers, 6):
        goal = next(n for n in numbers if n != number and desk.ticket(n).state != MERGED)
        if desk.ticket(number).state != MERGED and not desk.ticket(number).draft:
            structure.merge(desk, [number], goal, True)


def tokens(raw: bytes) -> set[str]:
    """Return the tokens in a message: as it is sent, and decoded, in every field and part of it."""
    found = set(TOKEN.findall(raw.decode("utf-8", "replace")))
    whole = message_from_bytes(raw, policy=policy.default)
    for part in whole.walk():
        found.update(TOKEN.findall("\n".join(f"{name}: {value}" for name, value in part.items())))
        if not part.is_multipart():
            found.update(TOKEN.findall(part.get_payload(decode=True).decode("utf-8", "replace")))  # type: ignore[union-attr]
    return found


def said_openly(desk: Desk, ticket: Ticket, article: Article) -> bool:
    """Say whether a mail may be quoted, told from the trail alone."""
    facts = article.event.trailers
    if any(e.action == "move" and e.trailers["About"] == article.event.id for e in desk.index.events(ticket.number)):
        return False
    return article.event.action in ("receive", "moved") and not {"Internal"} & set(facts) and (
        article.event.id not in ticket.unverified
    )  # fmt: skip


def composed(desk: Desk, pick: random.Random, ticket: Ticket) -> tuple[Letter, bytes] | None:
    """Return a message as somebody may begin it, and as it would go out; None for a mail that is refused."""
    articles = desk.index.articles(ticket.number)
    named = pick.choice(articles) if pick.random() < 0.5 else None
    end = named.event.id[-8:] if named else ""
    try:
        if pick.random() < 0.6:
            letter = letters.reply(desk, ticket, end, pick.random() < 0.5)
        else:
            letter = letters.forward(desk, ticket, (Address("", "other@law.example"),), end)
    except UsageError:
        assert named is None or not said_openly(desk, ticket, named), "a mail that may be quoted was refused"
        return None
    assert named is None or said_openly(desk, ticket, named), "what was said in confidence can be quoted"
    text = pick.choice([None, "Thank you.\n"])
    quote = pick.random() < 0.8
    body = letters.body(desk, ticket, letter, text, pick.choice(TEMPLATES), quote)
    letter = replace(letter, body=body, to=letter.to or (Address("", "somebody@example.com"),))
    return letter, outgoing.written(desk, ticket, letter, "new@example.org")[0]


def test_nothing_said_in_confidence_goes_out(desk: Desk) -> None:
    tickets = [t for t in desk.index.tickets("1", []) if t.state != MERGED]
    pick, seen, found_in_quotes, refused = random.Random(5), Counter[str](), 0, 0
    while seen.total() < MESSAGES:
        ticket = pick.choice(tickets)
        made = composed(desk, pick, ticket)
        if made is None:
            refused += 1
            continue
        letter, raw = made
        seen[letter.kind] += 1
        source = letters.mail_of(desk, ticket, letter)
        allowed = tokens(desk.original(source)) if source else set()
        found = tokens(raw)
        assert found <= allowed, (ticket.number, letter.kind, source and source.event.id, found - allowed)
        asked = {a.event.id: a.front or {} for a in desk.index.articles(ticket.number) if a.event.action == FORWARD}
        only_asked = {p["address"] for front in asked.values() for p in front["to"]}
        assert letter.kind == FORWARD or not only_asked & {p.address for p in letter.everybody}, ticket.number
        text = set(TOKEN.findall(letter.body))
        if source and text & set(TOKEN.findall(source.body or "")):
            found_in_quotes += 1
            assert set(TOKEN.findall(source.body or "")) <= found, "what is quoted is found"
    assert min(seen[REPLY], seen[FORWARD]) > 100 and found_in_quotes > 250 and refused > 20, (seen, found_in_quotes)


def test_the_desk_holds_what_must_not_go_out(desk: Desk) -> None:
    """What is looked for is there, or the test above would say nothing."""
    planted = Counter[str]()
    for ticket in desk.index.tickets("1", []):
        for article in desk.index.articles(ticket.number):
            if TOKEN.search(article.body or ""):
                planted[kind_of(ticket, article)] += 1
        planted["merged"] += ticket.state == MERGED
    for kind in ("note", "draft", "forward", "internal", "unverified", "moved", "open", "merged", "auto-reply"):
        assert planted[kind] >= 3, planted


def kind_of(ticket: Ticket, article: Article) -> str:
    facts: dict[str, Any] = dict(article.event.trailers)
    if "Internal" in facts:
        return "internal"
    if article.event.id in ticket.unverified:
        return "unverified"
    if article.event.action == "receive":
        return str(facts.get("Kind", "open"))
    return article.event.action
