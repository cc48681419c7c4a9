"""Everything about one mail that needs no ledger: read, recognised, weighed by the rules. Runs in workers.

Knows of the desk only what ``Settings`` tells it. Never raises: what cannot be examined is kept with that defect.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

from vrt.mail import bounce, evidence, limits, loops, spam
from vrt.mail.bounce import Report
from vrt.mail.evidence import Evidence
from vrt.mail.parse import Mail, fields_of, parse
from vrt.mail.rules import Outcome
from vrt.mail.sources import Letter
from vrt.model import DeskConfig
from vrt.roster import Roster
from vrt.text import lower, mailbox

NOT_EXAMINED = "could not be examined"
_SECONDS = 2.0  # of processor time for all but the parsing, which has its own limit


class Settings(NamedTuple):
    """What a worker has to know of the desk. ``addresses``: {address in lower case: (queue, its language)}."""

    addresses: dict[str, tuple[str, str]]
    authserv: tuple[str, ...]
    spam_filter: tuple[str, ...]
    message_bytes: int
    rules: str  # YAML, empty for none
    dkim_keys: Path | None  # a file with public keys for checking signatures ourselves
    dkim_dns: bool  # ask the DNS for them

    def own(self, address: str) -> bool:
        """Say whether an address is one of the desk's queues, also with something after a ``+``."""
        return lower(address) in self.addresses or mailbox(address) in self.addresses


class Incoming(NamedTuple):
    """A mail and what is to be known of it. ``queue`` is the one that it is addressed to, an empty string for none."""

    mail: Mail
    kind: str  # mail, bounce, auto-reply, auto, list
    report: Report | None
    evidence: Evidence
    spam: bool
    queue: str
    rules: Outcome
    no_reply: str  # why it gets no automatic answer, empty if it may
    answer_to: str
    too_large: str = ""  # the defect of a mail that is too large to be taken apart


def settings(known: Roster, rules_text: str, dkim_keys: Path | None, dkim_dns: bool) -> Settings:
    """Return what a worker has to know of a desk."""
    desk: DeskConfig = known.desk
    addresses = {lower(a): (q.name, q.language) for q in known.queues.values() for a in q.addresses}
    return Settings(
        addresses, desk.authserv, desk.spam_filter, desk.limit("message_bytes"), rules_text, dkim_keys, dkim_dns
    )


def examine(job: tuple[Letter, Settings]) -> Incoming:
    """Return what there is to know of a letter."""
    letter, known = job
    mail = parse(letter.raw, known.message_bytes)
    try:
        with limits.cpu(_SECONDS):
            return _examined(letter, mail, known)
    except (Exception, limits.TookTooLong):  # a bug, but no mail is to be lost, nor answered
        mail = replace(mail, defects=(*mail.defects, NOT_EXAMINED))
        return Incoming(
            mail, "mail", None, Evidence("fail"), False, "", Outcome(), "no-sender", "", _size(letter, known)
        )


def _examined(letter: Letter, mail: Mail, known: Settings) -> Incoming:
    fields = fields_of(letter.raw)
    report = bounce.read(letter.raw, fields, mail)
    kind = loops.kind(fields, mail, report)
    proof = evidence.of(letter.raw, fields, mail, frozenset(known.authserv), _lookup(known), known.own)
    is_spam = spam.verdict(fields, known.spam_filter)
    queue, language = next((known.addresses[a] for a in mail.recipients if a in known.addresses), ("", ""))
    outcome = Outcome()
    if known.rules:
        size = letter.too_large or len(letter.raw)
        from vrt.mail import rulefile
        from vrt.mail.facts import facts

        outcome = rulefile.of_text(known.rules).apply(facts(mail, fields, size, queue, language, is_spam))
    answer_to = loops.answer_to(fields, mail, proof.verdict == "pass")
    no_reply = loops.no_reply(fields, mail, kind, known.own) or ("" if answer_to else "mismatch")
    if proof.verdict == "fail":  # the answer would go to whom somebody else pretends to be
        no_reply = no_reply or "forged"
    return Incoming(mail, kind, report, proof, is_spam, queue, outcome, no_reply, answer_to, _size(letter, known))


def _size(letter: Letter, known: Settings) -> str:
    """Return the defect of a mail that is beyond the desk's limit, an empty string for one that is not."""
    if letter.too_large:
        return f"{limits.larger_than(known.message_bytes)}: only its header was fetched"
    return limits.larger_than(known.message_bytes) if len(letter.raw) > known.message_bytes else ""


def _lookup(known: Settings) -> Callable[[str], bytes | None] | None:
    return keys(known.dkim_keys, known.dkim_dns) if known.dkim_keys or known.dkim_dns else None


@cache
def keys(path: Path | None, dns: bool) -> Callable[[str], bytes | None]:
    """Return where public keys of signatures are looked up; raises ``UsageError`` for a file that holds none."""
    from vrt.mail.dkimkeys import DnsKeys, FileKeys, FirstOf

    return FirstOf((*([FileKeys(path)] if path else []), *([DnsKeys()] if dns else []))).__call__
