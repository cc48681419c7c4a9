"""What speaks for and against the sender of a mail, whose ``From:`` is only a claim.

Three sources: the results that a trusted host wrote into the header, signatures checked by ourselves, and what the
header shows of itself. Pure but for the lookup of keys that the caller gives; never raises. What follows
from a verdict is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from vrt import text
from vrt.mail import authres, lookalike

if TYPE_CHECKING:
    from vrt.mail.parse import Mail

PASS, FAIL, NONE = "pass", "fail", "none"
HERE = "here"
UNNAMED = "-"  # among the trusted hosts: a field that names no host, as Microsoft 365 writes them
UNREAD = "the evidence could not be read"

_MAX_FIELDS = 20  # of Authentication-Results: hosts on the way are fewer
UNCLEAR = {"bad address", "more than one from header"}  # defects that leave open who wrote


class Evidence(NamedTuple):
    """What is known of a mail's sender.

    ``verdict``: ``pass``, ``fail`` or ``none``; ``dmarc``, ``spf``, ``dkim``: words of RFC 8601 section 2.7, ""
    where nothing is known, ``dkim`` only of signatures that speak for the sender's domain; ``by``: the trusted host
    that says so (authserv-id), ``here``, or both; ``notes``: phrases for agents, without text of the mail.
    """

    verdict: str = NONE
    dmarc: str = ""
    spf: str = ""
    dkim: str = ""
    by: str = ""
    notes: tuple[str, ...] = ()


def of(
    raw: bytes,
    fields: Sequence[tuple[str, bytes]],
    mail: Mail,
    trusted: frozenset[str],
    lookup: Callable[[str], bytes | None] | None,
    own: Callable[[str], bool],
) -> Evidence:
    """Return what is known of the sender of ``mail``. Never raises.

    ``raw``: the mail as it came; ``fields``: its header as ``header.split`` gives it; ``trusted``: the authserv-ids
    (RFC 8601 section 2.5, in any case) of hosts that remove such fields from the mail they take in; ``lookup``:
    a name like ``sel._domainkey.example.org`` to its TXT record, None without keys; ``own``: whether an address or
    a display name, in lower case, is the desk's.

    The verdict, the first that applies:
    1. ``fail`` if a trusted host says ``dmarc=fail``, of whatever domain;
    2. ``pass`` if all that it says of DMARC is ``pass`` for the sender's domain;
    3. what it says of DKIM signatures that speak for that domain: ``pass`` if one is good, ``fail`` if all are broken;
    4. the same of signatures checked here;
    5. ``none``: also where the mail does not have one clear sender, for whom nothing can speak.

    Should the reading fail, which would be a bug, the verdict is ``fail``: nobody is to get around the rest by it.
    """
    try:
        return _of(raw, fields, mail, trusted, lookup, own)
    except Exception:
        return Evidence(FAIL, notes=(UNREAD,))


def _of(
    raw: bytes,
    fields: Sequence[tuple[str, bytes]],
    mail: Mail,
    trusted: frozenset[str],
    lookup: Callable[[str], bytes | None] | None,
    own: Callable[[str], bool],
) -> Evidence:
    names = [name for name, _ in fields]
    sender = ""
    if len(mail.from_) == 1 and UNCLEAR.isdisjoint(mail.defects):
        sender = lookalike.domain(mail.from_[0].address)
    found = Evidence()
    if trusted and authres.NAME in names:
        found = _told(fields, sender, trusted)
    if found.verdict == NONE and lookup and sender and "dkim-signature" in names:
        found = _checked(found, raw, fields, sender, lookup)
    notes = lookalike.notes(fields, mail.from_, mail.reply_to, own)
    if found.verdict == PASS and lookalike.ADDRESS_OWN in notes:
        notes.remove(lookalike.ADDRESS_OWN)  # it is one of ours
    return found._replace(notes=(*found.notes, *notes))


def _told(fields: Sequence[tuple[str, bytes]], sender: str, trusted: frozenset[str]) -> Evidence:
    """Return what the topmost field of a trusted host says; those below it may be the sender's own.

    Some hosts write a field for each method. So where the topmost says nothing of DMARC, a ``fail`` in those of the
    same host directly under it counts, but no ``pass``: to claim the worse of oneself gains nothing.
    """
    hosts = {host.lower() for host in trusted}
    top: authres.Field | None = None
    dmarc, seen = "", 0
    for name, value in fields:
        if name != authres.NAME:
            if top:
                break
            continue
        field = authres.read(value) if seen < _MAX_FIELDS else None
        seen += 1
        if top is None:
            if field and (field.host or UNNAMED) in hosts:
                top, dmarc = field, _dmarc(field, sender)
        elif field is None or field.host != top.host or dmarc:
            break
        elif _dmarc(field, sender) == FAIL:
            dmarc = FAIL
    if top is None:
        return Evidence()
    spf = authres.worst([_word(top, result) for result in top.of("spf")])
    dkim = _dkim(top, sender)
    decisive = dmarc if dmarc in (PASS, FAIL) else dkim
    verdict = decisive if decisive in (PASS, FAIL) else NONE
    return Evidence(verdict, dmarc, spf, dkim, top.host or UNNAMED)


def _word(field: authres.Field, result: authres.Result, about_sender: bool = True) -> str:
    """Return the word of a result; ``none`` for a ``pass`` that is not said in good order, or not of the sender."""
    good = result.sound and field.whole and about_sender
    return NONE if result.word == PASS and not good else result.word


def _dmarc(field: authres.Field, sender: str) -> str:
    """Return the worst that a field says of DMARC; a ``pass`` for another domain than the sender's is ``none``."""
    words = []
    for result in field.of("dmarc"):
        domains = {_domain(value) for value in result.values("header.from")}
        words.append(_word(field, result, bool(sender) and domains == {sender}))
    return authres.worst(words)


def _dkim(field: authres.Field, sender: str) -> str:
    """Return what a field says of signatures that speak for the sender: ``pass`` if one is good, else the worst."""
    words = []
    for result in field.of("dkim"):
        domains = {_domain(value) for value in result.values("header.d") or result.values("header.i")}
        if len(domains) == 1 and aligned(domains.pop(), sender):
            words.append(_word(field, result))
    if PASS in words:
        return PASS
    return FAIL if words and set(words) == {FAIL} else authres.worst([word for word in words if word != FAIL])


def _domain(value: str) -> str:
    return lookalike.domain("@" + value.rpartition("@")[2])


def aligned(signer: str, sender: str) -> bool:
    """Return whether a signature of the domain ``signer`` speaks for the domain ``sender``.

    It does if it is the same or a parent of it with at least two labels. DMARC (RFC 7489 section 3.1.1) also takes
    subdomains and siblings, for which a list of public suffixes is needed: without one, whoever may have a name
    below ``dyndns.example`` would speak for all of it. (A signer ``co.uk`` would need a key in the zone ``co.uk``.)
    """
    return "." in signer.strip(".") and (sender == signer or sender.endswith("." + signer))


def _checked(
    told: Evidence,
    raw: bytes,
    fields: Sequence[tuple[str, bytes]],
    sender: str,
    lookup: Callable[[str], bytes | None],
) -> Evidence:
    """Add to what a host told what our own check of the signatures finds."""
    from vrt.mail import dkim

    found = dkim.check(raw, fields, lambda signer: aligned(signer, sender), lookup)
    if found.word in ("", "temperror"):  # nothing was checked
        return told
    verdict = found.word if found.word in (PASS, FAIL) else NONE
    by = f"{told.by}, {HERE}" if told.by else HERE
    return told._replace(verdict=verdict, dkim=found.word, by=by, notes=found.notes)


def front(evidence: Evidence) -> dict[str, Any]:
    """Return what goes into an article's front matter as ``authentication``: what is known; {} for nothing."""
    known: dict[str, Any] = {name: value for name, value in evidence._asdict().items() if value}
    if evidence.verdict == NONE:
        del known["verdict"]
    if evidence.notes:
        known["notes"] = list(evidence.notes)
    return known


def lines(value: object) -> list[str]:
    """Return short lines to show for what ``front`` gave, whatever it has become since: it comes from a file."""
    if not isinstance(value, Mapping):
        return []
    words = [f"{name} {found}" for name in ("dmarc", "spf", "dkim") if (found := _shown(value.get(name)))]
    by = _shown(value.get("by"))
    out = [", ".join(words) + (f" ({by})" if by else "")] if words else []
    notes = value.get("notes")
    return out + [note for item in (notes if isinstance(notes, list | tuple) else ())[:20] if (note := _shown(item))]


def _shown(value: object) -> str:
    return text.clip(text.line(value), 100) if isinstance(value, str) else ""
