"""The ledger: what an event is, and how a commit message states it. Pure.

``ACTIONS`` is the one table: who may do what from which state, which trailers the event carries
and which files it adds. The law checks against it and ``fold`` moves the state;
``docs/FORMAT.md`` shows the same table to people.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import NamedTuple

from vrt import number
from vrt.model import ADMIN, AGENT, CLOSED, INTAKE, MAILER, MERGED, ROLES, UNCLOSED, Event

UNBORN = ""  # the "state" of a ticket that does not exist yet
ANY = (*UNCLOSED, CLOSED)
ALL = (*ANY, MERGED)
_TEAM, _SENDERS = (ADMIN, AGENT), (ADMIN, AGENT, MAILER)

NAME = r"[a-z][a-z0-9-]{0,39}"  # queues, handles and the words of desk.yaml
_TIME = "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"
_REF = "[1-9][0-9]{0,5}:[A-Z2-7]{26}"
_NUMBER = "[0-9]{16,17}"
EVENT_ID = re.compile("([0-9]{8}T[0-9]{6}Z)-([a-z]+(?:-[a-z]+)*)-([0-9a-f]{8})")

TRAILERS: dict[str, str] = {
    "Queue": NAME,
    "Agent": NAME,
    "Owner": NAME,
    "Lock": _TIME,
    "Until": _TIME,
    "Priority": "[1-5]",
    "Outcome": NAME,
    "Tag": rf"[+-]{NAME}(?: [+-]{NAME})*",
    "Follow-Up": "report|ours|references|subject",
    "Link": _NUMBER,
    "From": _NUMBER,
    "Into": _NUMBER,
    "About": EVENT_ID.pattern,
    "Kind": "bounce|auto-reply|auto|list|reply|forward",
    "Report": "failed|delayed|delivered",
    "Unverified": "stranger|failed|unclear",
    "Rejected": "yes",
    "Internal": "yes",
    "Suppressed": NAME,
    "Message-Ref": _REF,
    "Content-Ref": _REF,
    "Sender-Ref": f"{_REF}(?: {_REF})*",
    "Sender": NAME,
    "Status": r"[245]\.[0-9]{1,3}\.[0-9]{1,3}",
    "Template": rf"[a-z]{{2,3}}(?:-[a-z0-9]{{2,8}})*(?:/{NAME})?/{NAME}",
    "Force": "yes",
    "Stolen": "yes",
    "Rules": _REF,
    "Keyring": "[0-9a-f]{40}",
}
UNVERIFIED_MOST = 50  # on one ticket; beyond it a mail of this kind begins a ticket of its own


class Action(NamedTuple):
    """A row of the table. ``files``: endings of the files added; none means one empty file."""

    roles: tuple[str, ...]
    starts: tuple[str, ...] = ()  # states of the ticket it may start from; none: an event of the desk
    must: tuple[str, ...] = ()
    may: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


ACTIONS: dict[str, Action] = {
    # said
    "receive": Action((ADMIN, AGENT, INTAKE), (UNBORN, *ANY), ("Content-Ref",),
                      ("Queue", "Priority", "Tag", "Follow-Up", "Link", "About", "Kind", "Report", "Unverified",
                       "Rejected", "Suppressed", "Internal", "Message-Ref", "Sender-Ref"), (".eml.age", ".md.age")),
    "auto-reply": Action((ADMIN, AGENT, INTAKE), ANY, ("About", "Message-Ref", "Sender"), (), (".eml.age", ".md.age")),
    "moved": Action(_TEAM, (UNBORN, *ANY), ("From", "About", "Content-Ref"), ("Queue", "Message-Ref", "Sender-Ref"),
                    (".eml.age", ".md.age")),
    "new": Action(_TEAM, (UNBORN,), ("Queue",), ("Owner", "Lock", "Sender-Ref"), (".md.age",)),
    "note": Action(_TEAM, ANY, files=(".md.age",)),
    "draft": Action(_TEAM, ANY, ("Kind",), ("About",), (".eml.age", ".md.age")),
    "reply": Action(_TEAM, ANY, ("Message-Ref", "Sender"), ("About", "Sender-Ref", "Force"), (".eml.age", ".md.age")),
    "forward": Action(_TEAM, ANY, ("Message-Ref", "Sender"), ("About", "Force"), (".eml.age", ".md.age")),
    "approve": Action(_TEAM, ANY, ("About", "Kind", "Message-Ref", "Sender"), ("Sender-Ref", "Force"),
                      (".eml.age", ".md.age")),
    "redirect": Action(_TEAM, ANY, ("About", "Message-Ref", "Sender"), ("Force",), (".eml.age", ".md.age")),
    "failed": Action(_SENDERS, ALL, ("About",), ("Status",), (".md.age",)),
    # done
    "take": Action(_TEAM, UNCLOSED, ("Owner", "Lock"), ("Force",)),
    "release": Action(_TEAM, UNCLOSED, may=("Force",)),
    "assign": Action(_TEAM, UNCLOSED, ("Owner", "Lock"), ("Force",)),
    "route": Action(_TEAM, ANY, ("Queue",), ("Force",)),
    "priority": Action(_TEAM, ANY, ("Priority",)),
    "tag": Action(_TEAM, ANY, ("Tag",)),
    "pend": Action(_TEAM, UNCLOSED, ("Until",), ("Outcome", "Force")),
    "close": Action(_TEAM, UNCLOSED, ("Outcome",), ("Force",)),
    "reopen": Action(_TEAM, (CLOSED,)),
    "accept": Action(_TEAM, ALL, ("About",)),
    "move": Action(_TEAM, ALL, ("Into", "About")),
    "merge": Action(_TEAM, ANY, ("Into",), ("Force",)),
    "unmerge": Action(_TEAM, (MERGED,)),
    "link": Action(_TEAM, ANY, ("Link",)),
    "unlink": Action(_TEAM, ANY, ("Link",)),
    "discard": Action(_TEAM, ANY, ("About",)),
    # what becomes of a message of ours
    "sending": Action(_SENDERS, ALL, ("About",)),
    "sent": Action(_SENDERS, ALL, ("About",)),
    "deferred": Action(_SENDERS, ALL, ("About",), ("Status",)),
    "retry": Action(_TEAM, ALL, ("About",)),
    "cancel": Action(_TEAM, ALL, ("About",)),
    # the desk
    "init": Action((ADMIN,), must=("Keyring",)),
    "agent-add": Action((ADMIN,), must=("Agent",)),
    "agent-queues": Action((ADMIN,), must=("Agent",)),
    "agent-dismiss": Action((ADMIN,), must=("Agent",)),
    "agent-rekey": Action(ROLES, must=("Agent",), may=("Stolen",)),
    "agent-set": Action(_TEAM, must=("Agent",)),
    "queue-add": Action((ADMIN,), must=("Queue",)),
    "queue-set": Action((ADMIN,), must=("Queue",)),
    "desk-set": Action((ADMIN,)),
    "rules-set": Action((ADMIN,), must=("Rules",)),
    "template-set": Action((ADMIN,), must=("Template",)),
}  # fmt: skip


_LAST_TIME = 253_402_300_799  # 9999-12-31T23:59:59Z


class BadEvent(ValueError):
    """A commit message or an event is not what the table allows. The text says why."""


# --- times and ids -------------------------------------------------------------------------------


def stamp(time: int) -> str:
    """Return ``time`` (epoch seconds) as trailers carry it: ``2026-11-20T09:32:05Z``."""
    return datetime.fromtimestamp(time, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def for_people(time: int) -> str:
    """Return ``time`` (epoch seconds) as a sentence has it: ``2026-11-20 09:32 UTC``."""
    return datetime.fromtimestamp(time, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def unstamp(text: str) -> int:
    """Return the epoch seconds of ``2026-11-20T09:32:05Z``; raises ``BadEvent`` for an impossible date."""
    try:
        return int(datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc).timestamp())
    except (ValueError, OverflowError):
        raise BadEvent(f"impossible time {text}") from None


def event_id(time: int, action: str, random: str) -> str:
    """Return the id of an event done at ``time``; ``random`` is 8 hex digits."""
    return f"{datetime.fromtimestamp(time, timezone.utc):%Y%m%dT%H%M%SZ}-{action}-{random}"


def paths(event: Event) -> list[str]:
    """Return the paths that ``event`` adds to the ledger: what was said, or one empty file."""
    base = f"{number.folder(event.ticket)}/{event.id}"
    return [base + ending for ending in ACTIONS[event.action].files or ("",)]


# --- event <-> commit message --------------------------------------------------------------------


def subject(event: Event) -> str:
    """Return the first line of the commit message: the event for people."""
    t, facts = event.ticket, event.trailers
    match event.action:
        case "receive" | "new" | "moved" if "Queue" in facts:
            return f"{event.action} {t} in {facts['Queue']}"
        case "assign":
            return f"assign {t} to {facts['Owner']}"
        case "route":
            return f"route {t} to {facts['Queue']}"
        case "priority":
            return f"priority {t} {facts['Priority']}"
        case "tag":
            return f"tag {t} {facts['Tag']}"
        case "pend":
            return f"pend {t} until {facts['Until']}"
        case "close":
            return f"close {t} as {facts['Outcome']}"
        case "merge" | "move":
            return f"{event.action} {t} into {facts['Into']}"
        case "link" | "unlink":
            return f"{event.action} {t} and {facts['Link']}"
    about = t or facts.get("Agent") or facts.get("Queue") or facts.get("Template") or ""
    return f"{event.action} {about}".rstrip()


def message(event: Event) -> str:
    """Return the commit message of ``event``: subject, blank line, trailers in the table's order."""
    row = ACTIONS[event.action]
    lines = [f"Ticket: {event.ticket}"] if event.ticket else []
    lines += [f"Action: {event.action}", f"Event: {event.id}"]
    lines += [f"{name}: {event.trailers[name]}" for name in TRAILERS if name in event.trailers]
    unknown = set(event.trailers) - set(row.must) - set(row.may)
    if unknown or not set(row.must) <= set(event.trailers):
        raise BadEvent(f"{event.action} carries {sorted(event.trailers)}")
    return f"{subject(event)}\n\n" + "\n".join(lines) + "\n"


def parse(text: str, *, agent: str, time: int, commit: str = "") -> Event:
    """Return the event that a commit message states; the inverse of ``message``.

    ``agent`` and ``time`` are the commit's author (a handle) and author date. Raises ``BadEvent``
    where the message is not, byte for byte, what ``message`` writes for that event.
    """
    facts: dict[str, str] = {}
    for row in text.split("\n")[2:-1]:
        name, sep, value = row.partition(": ")
        if not sep or name in facts:
            raise BadEvent("a line that is no trailer, or a trailer twice")
        facts[name] = value
    ticket, action, event_name = facts.pop("Ticket", ""), facts.pop("Action", ""), facts.pop("Event", "")
    if action not in ACTIONS:
        raise BadEvent("unknown action")
    event = Event(event_name, action, agent, time, ticket, facts, commit)
    check_form(event)
    if message(event) != text:
        raise BadEvent("the message is not in the form of its event")
    return event


def check_form(event: Event) -> None:
    """Raise ``BadEvent`` unless id, number and trailers have the form that the table demands."""
    row = ACTIONS[event.action]
    match = EVENT_ID.fullmatch(event.id)
    if not 0 <= event.time <= _LAST_TIME:
        raise BadEvent("a time beyond all calendars")
    if not match or match.group(2) != event.action:
        raise BadEvent("the event id does not name its action")
    if event.id != event_id(event.time, event.action, match.group(3)):
        raise BadEvent("the event id does not name its time")
    if bool(event.ticket) != bool(row.starts):
        raise BadEvent(f"{event.action} {'needs' if row.starts else 'has no'} ticket")
    if event.ticket and not number.is_valid(event.ticket):
        raise BadEvent("wrong check digit")
    for name, value in event.trailers.items():
        if name not in row.must and name not in row.may:
            raise BadEvent(f"{event.action} may not carry {name}")
        if not re.fullmatch(TRAILERS[name], value, re.ASCII):
            raise BadEvent(f"{name} is malformed")
        if name in ("Lock", "Until"):
            unstamp(value)
    if missing := [name for name in row.must if name not in event.trailers]:
        raise BadEvent(f"{event.action} lacks {missing[0]}")
    for name in ("Link", "From", "Into"):
        if name in event.trailers and (
            not number.is_valid(event.trailers[name]) or event.trailers[name] == event.ticket
        ):
            raise BadEvent(f"{name} names no other ticket")
    if event.action == "receive":
        _check_received(event.trailers)
    elif event.trailers.get("Kind", "reply") not in ("reply", "forward"):
        raise BadEvent(f"{event.action} is no {event.trailers['Kind']}")
    elif event.trailers.get("Kind") == "forward" and "Sender-Ref" in event.trailers:
        raise BadEvent("a forward makes nobody a party")


_PROOF = ("report", "ours")  # ids of ours are random: who names one has had the message


def _check_received(facts: dict[str, str]) -> None:
    """A mail begins a ticket (Queue), which may be linked to one that it follows up, or joins one."""
    new, joins = "Queue" in facts, "Follow-Up" in facts
    if (new, joins, "Link" in facts) not in ((True, False, False), (False, True, False), (True, True, True)):
        raise BadEvent("receive carries Queue (a new ticket), Follow-Up, or both with Link")
    if facts.get("Kind") in ("reply", "forward"):
        raise BadEvent("what came in is no message of ours")
    only_there = {"Unverified", "Rejected", "Internal"} if new else {"Priority", "Tag"}
    if odd := sorted(only_there & set(facts)):
        raise BadEvent(f"{odd[0]} does not go with a {'new ticket' if new else 'follow-up'}")
    if ("Report" in facts) != (facts.get("Kind") == "bounce") or ("About" in facts) != (
        facts.get("Follow-Up") == "report"
    ):
        raise BadEvent("a delivery report, and nothing else, has Report; About if it joins by it")
    if facts.get("Follow-Up") == "report" and facts.get("Kind") != "bounce":
        raise BadEvent("only a delivery report joins as one")
    if "Unverified" in facts and (facts["Follow-Up"] in _PROOF or "Rejected" in facts):
        raise BadEvent("what is proven, or rejected, is not unverified")
    if "Internal" in facts and facts["Follow-Up"] != "ours":
        raise BadEvent("only what answers a message of ours is internal")
    if any(word[0] != "+" for word in facts.get("Tag", "+").split(" ")):
        raise BadEvent("a new ticket has no tag to lose")
