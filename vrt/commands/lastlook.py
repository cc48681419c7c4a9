"""The last look at a message before it goes out."""

from __future__ import annotations

import sys

import click

from vrt import letters, output
from vrt.cli import App
from vrt.commands.said import people
from vrt.kept import FIELDS
from vrt.ledger import unstamp
from vrt.letters import Letter
from vrt.mail import quote
from vrt.model import Address, Ticket
from vrt.outgoing import Then
from vrt.storage.index import Article
from vrt.text import line


def look(app: App, ticket: Ticket, letter: Letter, then: Then | None) -> list[str]:
    """Return what somebody sees before a message goes out."""
    mail = letters.mail_of(app.desk, ticket, letter)
    by = letters.sender(app.desk, app.desk.roster.queue(ticket.queue), mail, letter.author)
    new = {p.address for p in letters.strangers(app.desk, ticket, letter)} if letter.kind == letters.REPLY else set()
    rows = [("From", line(str(by)))]
    for name in FIELDS[:3]:
        people = getattr(letter, name.lower())
        told = [line(str(p)) + (output.paint(" (new here)", "red") if p.address in new else "") for p in people]
        rows += [(name, ", ".join(told))] if told else []
    rows.append(("Subject", line(letter.subject)))
    words = sum(len(text.split()) for kind, text in quote.blocks(letter.body) if kind == "text")
    files = [f"{line(f.name)} ({output.size(len(f.data))})" for f in letter.files]
    rows.append(("Text", output.plural(words, "word", "words")))
    rows += [("Files", ", ".join(files))] if files else []
    if then:
        until = then.facts.get("Until")
        after = f"until {output.clock(unstamp(until))}" if until else f"as {then.facts['Outcome']}"
        rows.append(("Then", f"{then.action} {after}"))
    return [f"{output.paint(f'{name}:', 'dim')} {value}" for name, value in rows]


def redirected(mail: Article, to: tuple[Address, ...]) -> list[str]:
    """Return what somebody sees before a mail goes on as it came."""
    front = mail.front or {}
    rows = {"To": ", ".join(map(str, to)), "From": people(front, "from"), "Subject": str(front.get("subject") or "")}
    files = [str(f.get("name") or "(unnamed)") for f in front.get("attachments") or []]
    rows |= {"Files": ", ".join(files)} if files else {}
    return [f"{output.paint(f'{name}:', 'dim')} {line(value)}" for name, value in rows.items()]


def ask(app: App, ticket: Ticket, letter: Letter, then: Then | None, as_draft: bool, edits: bool = True) -> str:
    """Return what is said to the last look: ``y`` send, ``e`` edit again, ``d`` keep as a draft, ``q`` not at all."""
    for row in look(app, ticket, letter, then):
        sys.stderr.write(row + "\n")
    words = ["yes", *["edit"] * edits, *["draft"] * (not as_draft), "quit"]
    question = f"{'keep it as a draft' if as_draft else 'send it'}? {', '.join(words)}"

    def one(text: str) -> str:
        if text.strip().lower() in ("n", "no"):
            return "q"
        found = next((word for word in words if word.startswith(text.strip().lower())), "")
        if not found:
            raise click.BadParameter(f"say {', '.join(words[:-1])} or {words[-1]}")
        return found[0]

    return str(click.prompt(question, value_proc=one, default="y", err=True))
