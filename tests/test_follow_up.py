"""Which ticket a mail joins, as its senders and their enemies see it: rules, parties, policies, and forged mail.

Every desk here believes the Authentication-Results of ``mx.example.org`` and the verdicts of SpamAssassin.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import Person, founded, mail
from test_cmd_desk import later

from vrt import number, views
from vrt.desk import Desk

WRONG = "mx.example.org; dmarc=fail header.from="
DAY = 86400


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Person:
    """The founder of a desk; each test here receives mail of its own."""
    return furnished(founded(tmp_path_factory.mktemp("follow-up")))


def furnished(person: Person) -> Person:
    """Give a desk a queue for each policy, ``auto-en`` that answers new tickets, and a mail server to believe."""
    person.ok("desk", "set", "--authserv", "mx.example.org", "--spam-filter", "spamassassin")
    for name, policy in (("reject-en", "reject"), ("fresh-en", "new"), ("week-en", "new after 7d")):
        person.ok("queue", "add", name, "--address", f"{name}@example.org", "--follow-up", policy)
    person.ok("queue", "add", "auto-en", "--address", "auto-en@example.org", "--auto-reply", "new")
    return person


def take_in(person: Person, *mails: bytes, env: dict[str, str] | None = None) -> list[dict[str, Any]]:
    """Receive mails in one call, and return what became of each."""
    folder = person.home / "take-in"
    folder.mkdir(exist_ok=True)
    names = []
    for raw in mails:
        names.append(str(folder / f"{len(list(folder.iterdir())):05}.eml"))
        (folder / names[-1]).write_bytes(raw)
    found = person.ok("receive", "--json", *names, env=env).json["mails"]
    assert len(found) == len(mails)
    return found  # type: ignore[no-any-return]


@contextmanager
def looking(person: Person) -> Iterator[Desk]:
    """Yield the desk as ``person`` sees it, in this process: dozens of starts of vrt would take most of the time."""
    assert person.desk is not None
    with pytest.MonkeyPatch.context() as patch:
        for name in ("VRT_HOME", "XDG_RUNTIME_DIR"):
            patch.setenv(name, person.env[name])
        yield Desk(person.desk)


def trail(person: Person, ticket: str) -> list[dict[str, Any]]:
    """Return what ``vrt trail --json`` shows."""
    with looking(person) as seen:
        return [views.event(e) for e in seen.index.events(ticket)]


def shown(person: Person, ticket: str) -> dict[str, Any]:
    """Return what ``vrt show --json`` shows."""
    with looking(person) as seen:
        events = [views.event(e) for e in seen.index.events(ticket)]
        articles = [views.article(a) for a in seen.index.articles(ticket)]
        return {**views.ticket(seen.ticket(ticket), seen.roster), "events": events, "articles": articles}


def original(person: Person, ticket: str, event_id: str) -> bytes:
    """Return what ``vrt raw`` writes."""
    with looking(person) as seen:
        (found,) = [a for a in seen.index.articles(ticket) if a.event.id == event_id]
        return seen.original(found)


def joined(got: dict[str, Any]) -> tuple[str, str]:
    return got["outcome"], got["ticket"]


def born(person: Person, *mails: bytes) -> list[str]:
    """Receive mails that begin a ticket each, and return those."""
    found = take_in(person, *mails)
    assert [m["outcome"] for m in found] == ["new"] * len(mails)
    return [m["ticket"] for m in found]


def event(person: Person, got: dict[str, Any]) -> dict[str, Any]:
    """Return the event that received a mail, as the trail has it."""
    (found,) = [e for e in trail(person, got["ticket"]) if e["id"] == got["event"]]
    return found


def article(person: Person, got: dict[str, Any]) -> dict[str, Any]:
    """Return the front matter of a received mail."""
    (found,) = [a for a in shown(person, got["ticket"])["articles"] if a["id"] == got["event"]]
    return found  # type: ignore[no-any-return]


def automatic(person: Person, ticket: str) -> list[dict[str, Any]]:
    return [e for e in trail(person, ticket) if e["action"] == "auto-reply"]


def our_id(person: Person, ticket: str) -> str:
    """Return the Message-ID of the last automatic reply in a ticket, in its angle brackets."""
    match = re.search(rb"(?m)^Message-ID: (<[0-9a-f]{32}@example\.org>)", reply_of(person, ticket))
    assert match
    return match[1].decode()


def reply_of(person: Person, ticket: str) -> bytes:
    return original(person, ticket, automatic(person, ticket)[-1]["id"])


def above(raw: bytes, *fields: str) -> bytes:
    """Put fields above the header of a mail, as hosts on the way do."""
    return "".join(f"{field}\n" for field in fields).encode() + raw


def without(raw: bytes, name: str) -> bytes:
    """Take a one-line field out of a mail."""
    out = re.sub(rb"(?mi)^%s: .*\n" % name.encode(), b"", raw, count=1)
    assert out != raw
    return out


def bounce(
    original: bytes, *, sender: str = "MAILER-DAEMON@mx.example.net", to: str = "info-en@example.org",
    subject: str = "Undelivered Mail Returned to Sender", action: str = "failed", status: str = "5.1.1", more: str = "",
) -> bytes:  # fmt: skip
    """Return a delivery report about the mail ``original`` (RFC 3464)."""
    head = (
        f"Return-Path: <>\r\nFrom: Mail Delivery System <{sender}>\r\nTo: {to}\r\nSubject: {subject}\r\n{more}"
        "Date: Fri, 20 Nov 2026 10:00:00 +0100\r\n"
        f"Message-ID: <{abs(hash((original, subject, action, more)))}@mx.example.net>\r\n"
        "Auto-Submitted: auto-replied\r\n"
        'MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary="=_b"\r\n\r\n'
        "--=_b\r\nContent-Type: text/plain\r\n\r\nThis is the mail system. Your message could not be delivered.\r\n"
        "--=_b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.net\r\n\r\n"
        f"Final-Recipient: rfc822; jane@example.com\r\nAction: {action}\r\nStatus: {status}\r\n"
        "Diagnostic-Code: smtp; 550 no such user here\r\n\r\n"
        "--=_b\r\nContent-Type: message/rfc822\r\n\r\n"
    )
    return head.encode() + original + b"\r\n--=_b--\r\n"


# --- the four rules ---------------------------------------------------------------------------------


def test_the_rules_in_their_order(desk: Person) -> None:
    """A mail that fits all four joins by the first; take that away, and it joins by the next."""
    reported, ours, other, named = born(
        desk,
        mail("Rule 1", sender="ann@one.example", to="auto-en@example.org"),
        mail("Rule 2", sender="ben@two.example", to="auto-en@example.org"),
        mail("Rule 3", id="<rule3@example.com>"),
        mail("Rule 4", id="<rule4@example.com>"),
    )
    subject, chain = f"Re: [Ticket#{named}] Rule 4", f"In-Reply-To: {our_id(desk, ours)}\r\n"
    dsn = bounce(
        reply_of(desk, reported), subject=subject, more=chain + "References: <rule3@example.com>\r\n"
    )  # fmt: skip
    answers = [
        mail(subject, "2", in_reply_to=our_id(desk, ours), references="<rule3@example.com>"),
        mail(subject, "3", in_reply_to="<rule3@example.com>", references="<rule3@example.com>"),
        mail(subject, "4", in_reply_to="<nobody-knows@example.com>"),
        mail("Re: Rule 4", "5", in_reply_to="<nobody-knows@example.com>"),
    ]
    found = take_in(desk, dsn, *answers)
    assert [joined(m) for m in found[:4]] == [("follow-up", n) for n in (reported, ours, other, named)]
    assert [event(desk, m)["follow-up"] for m in found[:4]] == ["report", "ours", "references", "subject"]
    assert [article(desk, m)["follow_up"] for m in found[:4]] == ["report", "ours", "references", "subject"]
    assert found[4]["outcome"] == "new" and "follow-up" not in event(desk, found[4])


def test_an_id_of_ours_is_proof_wherever_it_stands(desk: Person) -> None:
    """128 random bits are known to those alone who had our mail; whoever answers it, from whatever address, belongs."""
    theirs, ours = born(
        desk,
        mail("Theirs", id="<theirs@example.com>"),
        mail("Ours", sender="cleo@three.example", to="auto-en@example.org"),
    )
    id_ = our_id(desk, ours)
    refers: list[dict[str, Any]] = [
        {"references": f"{id_} <theirs@example.com>"},
        {"references": f"<theirs@example.com> {id_}"},
        {"in_reply_to": f"<theirs@example.com> {id_}"},
        {"in_reply_to": "<theirs@example.com>", "references": id_},
    ]
    for i, fields in enumerate(refers):
        (got,) = take_in(desk, mail("Re: x", str(i), sender="home@cleo.example", **fields))
        assert joined(got) == ("follow-up", ours) and event(desk, got)["follow-up"] == "ours"
    # From there on she is a party with that address, too.
    (got,) = take_in(desk, mail(f"[Ticket#{ours}]", sender="home@cleo.example"))
    assert joined(got) == ("follow-up", ours) and theirs != ours


def test_an_id_like_ours_is_no_proof(desk: Person) -> None:
    (ours,) = born(desk, mail("Like ours", sender="dan@example.net", to="auto-en@example.org"))
    id_ = our_id(desk, ours)[1:-1]
    local, _, domain = id_.partition("@")
    like = [
        id_.upper(), f"{local[:16]}@{domain}", f"{local}@evil.example", f"{local}{local}@{domain}", f"{id_}.",
        f"{int(local, 16)}@{domain}", f"{local[:-1]}@{domain}", f"%{local}@{domain}", local, f"{'0' * 32}@{domain}",
    ]  # fmt: skip
    mails = [mail("Re: Like ours", i, sender="eve@evil.example", in_reply_to=f"<{i}>") for i in like]
    assert [m["outcome"] for m in take_in(desk, *mails)] == ["new"] * len(like)


def test_of_several_references_the_nearest_counts(desk: Person) -> None:
    old, new = born(desk, mail("Old", "1", id="<near1@example.com>"), mail("New", "2", id="<near2@example.com>"))
    both = "<near1@example.com> <near2@example.com>"
    found = take_in(
        desk,
        mail("Re: 1", "1", references=both),
        mail("Re: 2", "2", references=both, in_reply_to="<near1@example.com>"),
        mail("Re: 3", "3", references="<near2@example.com> <unknown@example.com>"),
        mail(f"[Ticket#{old}] [Ticket#{new}]", "4"),
        mail(f"[Ticket#{new}] was [Ticket#{old}]", "5"),
    )
    assert [joined(m) for m in found] == [("follow-up", n) for n in (new, old, new, old, new)]


def test_what_is_proven_goes_before_what_is_not(desk: Person) -> None:
    """Jane answers a mail of another ticket, which she has no part in, with the number of hers."""
    (theirs,) = born(desk, mail("Not hers", sender="Kim <kim@example.net>", id="<nothers@example.net>"))
    (hers,) = born(desk, mail("Hers"))
    found = take_in(
        desk,
        mail(f"Re: [Ticket#{hers}]", "1", in_reply_to="<nothers@example.net>"),
        mail(f"Re: [Ticket#{theirs}] [Ticket#{hers}]", "2"),
    )
    assert [joined(m) for m in found] == [("follow-up", hers)] * 2
    assert shown(desk, theirs)["unverified"] == 0


# --- parties ----------------------------------------------------------------------------------------


def test_who_is_a_party(desk: Person) -> None:
    """From and Reply-To of the mails that joined; no Cc, no To, no display name, no envelope."""
    first = above(
        mail(
            "Parties", sender="Jane Roe <JANE@Example.com>", reply_to="Office <office@example.com>",
            cc="copy@example.net", to="info-en@example.org, other@example.net", sender_="x",
        ).replace(b"sender-: x", b"Sender: secretary@example.com"),
        "Return-Path: <path@example.com>",
    )  # fmt: skip
    (n,) = born(desk, first)
    strangers = [
        "copy@example.net", "other@example.net", "secretary@example.com", "path@example.com", "info-en@example.org",
        '"jane@example.com" <eve@evil.example>', "jane@example.com.evil.example", "jane+x@example.com",
        "xjane@example.com", "jane@mail.example.com", "<jane@example.com>@evil.example",
    ]  # fmt: skip
    parties = [
        "jane@example.com",
        "J <Jane@EXAMPLE.COM>",
        "office@example.com",
        '"eve@evil.example" <Office@example.com>',
    ]
    for people, outcome in ((strangers, "unverified"), (parties, "follow-up")):
        mails = [mail(f"[Ticket#{n}]", who, sender="PLACE@y.example") for who in people]
        found = take_in(desk, *(r.replace(b"PLACE@y.example", w.encode()) for r, w in zip(mails, people, strict=True)))
        assert [(who, joined(m)) for who, m in zip(people, found, strict=True)] == [(w, (outcome, n)) for w in people]


def test_other_letters_are_another_address(desk: Person) -> None:
    """Unicode has letters whose lower case is an ASCII letter: the Kelvin sign, for one, is no k."""
    (n,) = born(desk, mail("Kelvin", sender="kate@example.net"))
    for who in ("\u212aate@example.net", "k\u0430te@example.net", "\uff4bate@example.net", "ka\u200bte@example.net"):
        raw = mail(f"[Ticket#{n}]", ascii(who), sender="x@y.example").replace(b"x@y.example", who.encode())
        (got,) = take_in(desk, raw)
        assert got["outcome"] != "follow-up", ascii(who)


def test_a_stranger_becomes_a_party_by_being_accepted(desk: Person) -> None:
    (n,) = born(desk, mail("Accept", id="<accept@example.com>"))
    desk.ok("close", n, "-o", "successful")
    first = mail(
        f"[Ticket#{n}]", "me", sender="Lee <lee@example.net>", reply_to="lee2@example.net", id="<lee@example.net>"
    )
    (got,) = take_in(desk, first)
    # As long as it is in doubt, it makes nobody a party, not even of what is answered to it.
    again = take_in(
        desk, mail(f"[Ticket#{n}]", "again", sender="lee@example.net"),
        mail("Re:", "again 2", sender="lee2@example.net", in_reply_to="<lee@example.net>"),
    )  # fmt: skip
    assert [joined(m) for m in (got, *again)] == [("unverified", n)] * 3
    assert shown(desk, n)["state"] == "closed"
    desk.ok("accept", n, got["event"])
    now = shown(desk, n)
    assert (now["state"], now["unverified"]) == ("open", 2)
    more = take_in(
        desk, mail(f"[Ticket#{n}]", "now", sender="lee@example.net"),
        mail(f"[Ticket#{n}]", "now 2", sender="lee2@example.net"),
    )  # fmt: skip
    assert [joined(m) for m in more] == [("follow-up", n)] * 2


def test_what_is_split_off_is_followed_where_it_went(desk: Person) -> None:
    (n,) = born(desk, mail("Split"))
    (got,) = take_in(
        desk, mail(f"[Ticket#{n}]", "other matter", sender="Max <max@example.net>", id="<max@example.net>")
    )
    (new,) = [t["number"] for t in desk.json("split", n, got["event"])]
    (after,) = take_in(desk, mail("Re:", "more", sender="max@example.net", in_reply_to="<max@example.net>"))
    assert joined(after) == ("follow-up", new)
    (old,) = take_in(desk, mail(f"[Ticket#{n}]", "and here?", sender="max@example.net"))
    assert joined(old) == ("unverified", n)


# --- unverified -------------------------------------------------------------------------------------


@pytest.mark.parametrize("queue", ["info-en", "reject-en", "fresh-en", "week-en"])
def test_what_is_not_proven_changes_nothing(desk: Person, queue: str) -> None:
    """In whatever queue, whatever its policy: kept on the ticket, with the reason, and seen in the list."""
    to = f"{queue}@example.org"
    desk.ok("queue", "set", queue, "--auto-reply", "new", "--auto-reply", "follow-up", "--auto-reply", "rejected")
    (n,) = born(desk, mail("Doubt", sender="Nora <nora@example.net>", to=to, id=f"<nora.{queue}@example.net>"))
    desk.ok("close", n, "-o", "successful")
    before = trail(desk, n)
    refers: dict[str, Any] = {"to": to, "in_reply_to": f"<nora.{queue}@example.net>"}
    cases = {
        "stranger": mail("Re:", "1", sender="eve@evil.example", **refers),
        "failed": above(
            mail("Re:", "2", sender="nora@example.net", **refers), f"Authentication-Results: {WRONG}example.net"
        ),
        "unclear": mail("Re:", "3", sender="nora@example.net, eve@evil.example", **refers),
    }
    twice = above(mail("Re:", "4", sender="nora@example.net", **refers), "From: eve@evil.example")
    nobody = mail("Re:", "5", sender="x@y.example", **refers).replace(b"From: x@y.example\n", b"")
    broken = mail("Re:", "6", sender="x@y.example", **refers).replace(
        b"x@y.example", b"nora@example.net <eve@evil.example"
    )
    found = take_in(desk, *cases.values(), twice, nobody, broken)
    assert [joined(m) for m in found] == [("unverified", n)] * 6
    now = shown(desk, n)
    assert (now["state"], now["outcome"], now["unverified"]) == ("closed", "successful", 6)
    events = {e["id"]: e for e in now["events"]}
    for got, why in zip(found, (*cases, "unclear", "unclear", ""), strict=True):
        assert events[got["event"]]["unverified"] == article(desk, got)["unverified"]
        assert events[got["event"]]["unverified"] == why or not why
        assert events[got["event"]]["follow-up"] == "references" and "rejected" not in events[got["event"]]
    assert len(now["events"]) == len(before) + 6, "an automatic reply"
    assert n in [t["number"] for t in desk.json("list", f"queue:{queue}")]


def test_beyond_fifty_in_doubt_no_more_is_put_there_or_answered(desk: Person) -> None:
    """Who knows a public number can neither bury its ticket nor get an answer, however often he writes."""
    (n,) = born(desk, mail("Flood", sender="Olga <olga@example.net>", to="auto-en@example.org"))
    before = len(automatic(desk, n))
    flood = [
        mail(f"Re: [Ticket#{n}]", f"drop {i}", sender=f"eve{i}@evil.example", to="auto-en@example.org")
        for i in range(60)
    ]  # fmt: skip
    found = take_in(desk, *flood)
    assert "follow-up" not in [m["outcome"] for m in found]
    assert shown(desk, n)["unverified"] <= 50
    assert len(automatic(desk, n)) == before
    assert [m["ticket"] for m in found if m["ticket"] != n and automatic(desk, m["ticket"])] == []
    # The party's own mail comes in all the same.
    (got,) = take_in(desk, mail(f"Re: [Ticket#{n}]", "it is me", sender="olga@example.net", to="auto-en@example.org"))
    assert joined(got) == ("follow-up", n)


def test_what_claims_a_ticket_in_vain_is_not_answered_as_new(desk: Person) -> None:
    """A number or an id that is known, and proves nothing, gets no answer either where the mail begins a ticket."""
    (n,) = born(desk, mail("Vain", sender="olaf@example.net", to="auto-en@example.org", id="<vain@example.net>"))
    found = take_in(
        desk,
        mail("Vain", "replayed", sender="eve@evil.example", to="auto-en@example.org", id="<vain@example.net>"),
        mail(
            "Re: Vain",
            "of two",
            sender="mallory@evil.example",
            to="auto-en@example.org",
            references="<vain@example.net>",
        ),
        above(mail(f"[Ticket#{n}]", "x", sender="seo@evil.example", to="auto-en@example.org"), "X-Spam-Flag: YES"),
    )
    assert "follow-up" not in [m["outcome"] for m in found] and found[0]["ticket"] != n
    assert [m["outcome"] for m in found[1:] if m["ticket"] == n or automatic(desk, m["ticket"])] in ([], ["unverified"])
    assert len(automatic(desk, n)) == 1


def test_a_number_however_it_is_written_proves_nothing(desk: Person) -> None:
    (n,) = born(desk, mail("Written", sender="Pia <pia@example.net>"))
    packed = base64.b64encode(f"[Ticket#{n}]".encode()).decode()
    subjects = [
        f"=?utf-8?q?=5BTicket=23{n}=5D?=", f"=?utf-8?b?{packed}?=", f"Re: AW: FWD: [TICKET#{n}] x", f"Ticket # {n}",
        f"[Ticket#{n}][Ticket#{n}]", "x" * 200 + f" [Ticket#{n}]",
        f"=?utf-8?q?=5BTicket=23{n[:8]}?= =?utf-8?q?{n[8:]}?=",
    ]  # fmt: skip
    for sender, outcome in (("eve@evil.example", "unverified"), ("pia@example.net", "follow-up")):
        raw = [mail("SUBJECT", f"{sender} {i}", sender=sender) for i in range(len(subjects))]
        found = take_in(desk, *(r.replace(b"SUBJECT", s.encode()) for r, s in zip(raw, subjects, strict=True)))
        assert [joined(m) for m in found] == [(outcome, n)] * len(subjects)


def test_digits_of_other_scripts_are_no_number(desk: Person) -> None:
    (n,) = born(desk, mail("Scripts", sender="Quinn <quinn@example.net>"))
    subjects = [f"[Ticket#{n[:9]}\u200b{n[9:]}]", f"[Ticket#{n}{n[-1]}9]", f"[Ticket#{n[:-1]}]", f"[Ticket#{n[:-1]}x]"]
    for zero in "\uff10\u0660\u06f0\u0966\U0001d7ce\U0001d7f6":
        other = "".join(chr(ord(zero) + int(d)) for d in n)
        subjects += [f"[Ticket#{other}]", f"[Ticket#{n[:8]}{other[8:]}]", f"[Ticket#{n[:-1]}{other[-1]}]"]
    found = take_in(desk, *(mail(s, ascii(s), sender="eve@evil.example") for s in subjects))
    assert [m["outcome"] for m in found] == ["new"] * len(subjects)


# --- closed and merged tickets ----------------------------------------------------------------------


def closed(person: Person, queue: str, who: str) -> str:
    """Return a closed ticket of somebody in a queue."""
    (n,) = born(person, mail(f"Closed of {who}", sender=f"{who}@example.net", to=f"{queue}@example.org"))
    person.ok("close", n, "--outcome", "successful")
    return n


def test_reopen(desk: Person) -> None:
    n = closed(desk, "info-en", "rosa")
    (got,) = take_in(desk, mail(f"[Ticket#{n}]", sender="rosa@example.net"), env=later(desk, 3000 * DAY))
    now = shown(desk, n)
    assert joined(got) == ("follow-up", n)
    assert (now["state"], now["outcome"], bool(now["waiting_since"])) == ("open", None, True)


def test_new_beside_a_closed_ticket(desk: Person) -> None:
    n = closed(desk, "fresh-en", "sam")
    first = mail(f"[Ticket#{n}]", sender="sam@example.net", to="info-en@example.org", id="<sam1@example.net>")
    (got,) = take_in(desk, first)
    assert got["outcome"] == "new" and got["ticket"] != n and got["queue"] == "fresh-en"  # its ticket's, not To's
    facts = event(desk, got)
    assert (facts["link"], facts["follow-up"], facts["queue"]) == (n, "subject", "fresh-en")
    assert (shown(desk, n)["state"], shown(desk, got["ticket"])["state"]) == ("closed", "new")
    # The talk goes on there: by its ids, and its sender is a party of it.
    (more,) = take_in(desk, mail("Re:", "more", sender="sam@example.net", in_reply_to="<sam1@example.net>"))
    assert joined(more) == ("follow-up", got["ticket"])


def test_reject(desk: Person) -> None:
    desk.ok("queue", "set", "reject-en", "--auto-reply", "rejected")
    n = closed(desk, "reject-en", "tess")
    (got,) = take_in(desk, mail(f"[Ticket#{n}]", sender="tess@example.net", to="reject-en@example.org"))
    now = shown(desk, n)
    assert joined(got) == ("follow-up", n) and event(desk, got)["rejected"] == "yes"
    assert (now["state"], now["outcome"], now["waiting_since"]) == ("closed", "successful", None)
    desk.ok("reopen", n)  # while it is open, it is a ticket as any other
    (got,) = take_in(desk, mail(f"[Ticket#{n}]", "open now", sender="tess@example.net"))
    assert joined(got) == ("follow-up", n) and "rejected" not in event(desk, got)


def test_who_cannot_be_told_is_not_rejected(desk: Person) -> None:
    """A mail that neither its sender nor an agent hears of again would be lost: the ticket is open instead."""
    desk.ok("queue", "set", "reject-en", "--auto-reply", "none")
    n = closed(desk, "reject-en", "ulla")
    (got,) = take_in(desk, mail(f"[Ticket#{n}]", sender="ulla@example.net", to="reject-en@example.org"))
    assert joined(got) == ("follow-up", n) and "rejected" not in event(desk, got)
    assert shown(desk, n)["state"] == "open"
    desk.ok("queue", "set", "reject-en", "--auto-reply", "rejected")
    desk.ok("close", n, "-o", "successful")
    (got,) = take_in(desk, mail(f"[Ticket#{n}]", "from a list", sender="ulla@example.net", precedence="list"))
    assert "rejected" not in event(desk, got) and shown(desk, n)["state"] == "open"


def test_new_after_a_week(desk: Person) -> None:
    n = closed(desk, "week-en", "uma")
    (early,) = take_in(desk, mail(f"[Ticket#{n}]", "1", sender="uma@example.net"), env=later(desk, 7 * DAY - 600))
    assert joined(early) == ("follow-up", n) and shown(desk, n)["state"] == "open"
    desk.ok("close", n, "--outcome", "successful", env=later(desk, 8 * DAY))  # from here on the days count
    (early,) = take_in(desk, mail(f"[Ticket#{n}]", "2", sender="uma@example.net"), env=later(desk, 15 * DAY - 600))
    assert joined(early) == ("follow-up", n)
    desk.ok("close", n, "--outcome", "successful", env=later(desk, 15 * DAY))
    (late,) = take_in(desk, mail(f"[Ticket#{n}]", "3", sender="uma@example.net"), env=later(desk, 22 * DAY + 600))
    assert late["outcome"] == "new" and event(desk, late)["link"] == n
    assert shown(desk, n)["state"] == "closed"


def test_merged_tickets_are_followed(desk: Person) -> None:
    """By id, by number, over two mergers, with the policy of the ticket that they are in now."""
    a, b, c = born(
        desk,
        mail("Merged a", sender="vera@example.net", id="<merged-a@example.net>"),
        mail("Merged b", sender="walt@example.net", id="<merged-b@example.net>"),
        mail("Merged c", sender="xena@example.net", to="fresh-en@example.org"),
    )
    desk.ok("merge", a, b)
    desk.ok("merge", b, c)
    found = take_in(
        desk,
        mail("Re:", "1", sender="vera@example.net", in_reply_to="<merged-a@example.net>"),
        mail(f"[Ticket#{b}]", "2", sender="walt@example.net"),
        mail(f"[Ticket#{a}]", "3", sender="xena@example.net"),
        mail(f"[Ticket#{c}]", "4", sender="vera@example.net"),
        mail(f"[Ticket#{a}]", "5", sender="eve@evil.example", to="fresh-en@example.org"),
    )
    assert [joined(m) for m in found] == [*[("follow-up", c)] * 4, ("unverified", c)]
    assert [shown(desk, n)["state"] for n in (a, b)] == ["merged"] * 2
    desk.ok("close", c, "-o", "successful")
    (got,) = take_in(desk, mail(f"[Ticket#{a}]", "6", sender="vera@example.net"))
    assert got["outcome"] == "new" and event(desk, got)["link"] == c
    # Apart again, each has its own.
    desk.ok("unmerge", a)
    (got,) = take_in(desk, mail(f"[Ticket#{a}]", "7", sender="vera@example.net"))
    assert joined(got) == ("follow-up", a)


def test_a_party_of_what_was_merged_in_is_a_party(desk: Person) -> None:
    """She was told the number of the ticket that hers is in now, and writes a new mail with it."""
    a, b = born(desk, mail("Told a", sender="yan@example.net"), mail("Told b", sender="zoe@example.net"))
    desk.ok("merge", a, b)
    (got,) = take_in(desk, mail(f"[Ticket#{b}]", "1", sender="yan@example.net"))
    assert joined(got) == ("follow-up", b)


def test_a_replayed_id_parts_no_merged_tickets(desk: Person) -> None:
    """The same id in a ticket and in the one it is merged into still means one ticket."""
    a, b = born(
        desk, mail("Id a", sender="yve@example.net", id="<id-a@example.net>"), mail("Id b", sender="zac@example.net")
    )
    desk.ok("merge", a, b)
    found = take_in(
        desk,
        mail(f"[Ticket#{a}]", "1", sender="eve@evil.example", id="<id-a@example.net>"),
        mail("Re:", "2", sender="yve@example.net", in_reply_to="<id-a@example.net>"),
        mail("Re:", "3", sender="mallory@evil.example", in_reply_to="<id-a@example.net>"),
    )
    assert [joined(m) for m in found] == [("unverified", b), ("follow-up", b), ("unverified", b)]


# --- what no person wrote ---------------------------------------------------------------------------


@pytest.mark.parametrize(("action", "status"), [("failed", "5.1.1"), ("delayed", "4.4.1"), ("delivered", "2.1.5")])
def test_a_report_is_kept_with_the_reply_that_it_is_about(desk: Person, action: str, status: str) -> None:
    (n,) = born(desk, mail("Report", action, sender=f"{action}@example.net", to="auto-en@example.org"))
    desk.ok("close", n, "-o", "successful")
    raw, (reply,) = reply_of(desk, n), automatic(desk, n)
    for about in (raw, raw.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"):
        (got,) = take_in(desk, bounce(about, action=action, status=status, subject=f"Report {len(about)}"))
        facts = event(desk, got)
        assert joined(got) == ("follow-up", n)
        assert (facts["follow-up"], facts["about"], facts["kind"], facts["report"]) == (
            "report",
            reply["id"],
            "bounce",
            action,
        )
    now = shown(desk, n)
    assert (now["state"], now["waiting_since"], now["unverified"]) == ("closed", None, 0)
    assert desk.ok("show", n).out.count(f"   {action.upper()}, says the report ") == 2
    assert len(automatic(desk, n)) == 1


@pytest.mark.parametrize("queue", ["reject-en", "fresh-en"])
def test_a_report_stands_above_the_policy(desk: Person, queue: str) -> None:
    desk.ok("queue", "set", queue, "--auto-reply", "new", "--auto-reply", "rejected")
    (n,) = born(desk, mail("Policy", queue, sender=f"{queue}@example.net", to=f"{queue}@example.org"))
    desk.ok("close", n, "-o", "successful")
    (got,) = take_in(desk, bounce(reply_of(desk, n)))
    assert joined(got) == ("follow-up", n) and "rejected" not in event(desk, got)
    assert shown(desk, n)["state"] == "closed" and len(automatic(desk, n)) == 1


@pytest.mark.parametrize("header", ["", "Reply-To: eve@evil.example\r\n"])
def test_who_reports_is_no_party(desk: Person, header: str) -> None:
    """The address of a provider's mail system is known to everybody; it may not open its customers' tickets."""
    host = f"mx{len(header)}.example.net"
    (n,) = born(desk, mail("Daemon", host, sender=f"jane@{host}", to="auto-en@example.org"))
    (got,) = take_in(desk, bounce(reply_of(desk, n), sender=f"MAILER-DAEMON@{host}", more=header))
    assert joined(got) == ("follow-up", n)
    desk.ok("close", n, "-o", "successful")
    found = take_in(
        desk,
        mail(f"[Ticket#{n}]", "1", sender=f"Eve <MAILER-DAEMON@{host}>", to="auto-en@example.org"),
        mail(f"[Ticket#{n}]", "2", sender="eve@evil.example", to="auto-en@example.org"),
    )
    assert [joined(m) for m in found] == [("unverified", n)] * 2
    assert shown(desk, n)["state"] == "closed"


def test_a_report_about_mail_of_others_is_as_any_mail(desk: Person) -> None:
    """The id of the requester's own mail is known to everybody that she wrote to."""
    first = mail("Hers", sender="abe@example.net", id="<abe@example.net>")
    (n,) = born(desk, first)
    desk.ok("close", n, "-o", "successful")
    found = take_in(
        desk,
        bounce(first.replace(b"\n", b"\r\n")),
        bounce(mail("Guessed", id=f"<{'0' * 32}@example.org>"), subject=f"Undelivered: [Ticket#{n}]"),
        bounce(b"", subject=f"Undelivered: [Ticket#{n}] {n}"),
        bounce(b"", sender="abe@example.net", subject=f"Returned mail: [Ticket#{n}]"),
    )
    assert not any(m["outcome"] == "follow-up" for m in found[:3])
    assert shown(desk, n)["state"] == "closed"
    assert not any("about" in e for e in trail(desk, n) if e["action"] == "receive")


AWAY: list[dict[str, Any]] = [
    {"auto_submitted": "auto-replied"}, {"auto_submitted": "auto-replied (vacation)"}, {"x_autoreply": "yes"},
    {"precedence": "auto_reply"}, {"x_autorespond": "away"}, {"auto_submitted": "AUTO-REPLIED; owner-email=a@b"},
]  # fmt: skip


def test_out_of_office_reopens_nothing(desk: Person) -> None:
    """Not by the id of ours, not by the number, in no queue; and nobody waits for an answer."""
    numbers = range(len(AWAY))
    mine = born(desk, *(mail("Away", sender=f"a{i}@away.example", to="auto-en@example.org") for i in numbers))
    fresh = born(desk, *(mail("Away", sender=f"f{i}@away.example", to="fresh-en@example.org") for i in numbers))
    desk.ok("close", *mine, *fresh, "-o", "successful")

    def answers(part: str) -> list[bytes]:
        return [
            raw for i, fields in enumerate(AWAY) for raw in (
                mail("Re: x", part + "1", sender="x@office.example", in_reply_to=our_id(desk, mine[i]), **fields),
                mail(f"[Ticket#{fresh[i]}]", part + "2", sender=f"f{i}@away.example", **fields),
                mail(f"[Ticket#{fresh[i]}]", part + "3", sender="eve@x.example", to="fresh-en@example.org", **fields),
            )
        ]  # fmt: skip

    found = take_in(desk, *answers("closed"))
    outcomes = ("follow-up", "follow-up", "unverified")
    assert [joined(m) for m in found] == [
        (outcomes[k], (mine, fresh, fresh)[k][i]) for i in numbers for k in range(3)
    ]  # fmt: skip
    assert {event(desk, m)["kind"] for m in found} == {"auto-reply"}
    for ticket in (*mine, *fresh):
        now = shown(desk, ticket)
        assert (now["state"], now["waiting_since"]) == ("closed", None)
    # A pending ticket stays pending, too.
    desk.ok("reopen", *mine)
    desk.ok("pend", *mine, "--until", "3d")
    take_in(desk, *answers("pending"))
    assert {shown(desk, ticket)["state"] for ticket in mine} == {"pending"}


# --- nothing real is swallowed ----------------------------------------------------------------------


def test_an_id_registered_in_advance_keeps_nothing_out(desk: Person) -> None:
    """Eve knows the id that a mail will have, and sends another with it first."""
    (n,) = born(desk, mail("Id", sender="bea@example.net", id="<bea1@example.net>"))
    true = mail(
        "Re: Id", "the true one", sender="bea@example.net", id="<bea2@example.net>", in_reply_to="<bea1@example.net>"
    )
    forged = [
        mail("x", "1", sender="eve@evil.example", id="<bea2@example.net>"),
        mail("Re: Id", "2", sender="bea@example.net", id="<bea2@example.net>"),
        mail(f"[Ticket#{n}]", "3", sender="eve@evil.example", id="<bea2@example.net>"),
        above(mail("x", "4", sender="eve@evil.example", id="<bea2@example.net>"), "X-Spam-Flag: YES"),
    ]
    assert "follow-up" not in [m["outcome"] for m in take_in(desk, *forged)]
    (got,) = take_in(desk, true)
    assert joined(got) == ("follow-up", n) and got["defects"] == ["message id of another mail"]
    assert original(desk, n, got["event"]) == true
    (answer,) = take_in(desk, mail(f"[Ticket#{n}]", "next", sender="bea@example.net", in_reply_to="<bea2@example.net>"))
    assert joined(answer) == ("follow-up", n)


FAILED = f"Authentication-Results: {WRONG}example.net"
COPIES: dict[str, Callable[[bytes], bytes]] = {
    "another Reply-To": lambda raw: above(raw, "Reply-To: eve@evil.example"),
    "a second From": lambda raw: above(raw, "From: eve@evil.example"),
    "called spam": lambda raw: above(raw, "X-Spam-Flag: YES"),
    "called spam, alone": lambda raw: above(without(raw, "In-Reply-To"), "X-Spam-Flag: YES"),
    "alone": lambda raw: without(raw, "In-Reply-To"),
    "beside another": lambda raw: raw.replace(b"<here.", b"<there."),
    "of a forged sender": lambda raw: above(raw, FAILED),
    "of a forged sender, alone": lambda raw: above(without(raw, "In-Reply-To"), FAILED),
    "of a forged sender, elsewhere": lambda raw: above(raw.replace(b"<here.", b"<there."), FAILED),
    "as an automatic answer": lambda raw: above(raw, "Auto-Submitted: auto-replied"),
    "as a report": lambda raw: above(raw, "X-Failed-Recipients: a@b.example", "Return-Path: <>"),
    "in parts": lambda raw: raw.replace(b'text/plain; charset="utf-8"', b"multipart/mixed; boundary=x"),
    "in base64": lambda raw: raw.replace(b"Content-Transfer-Encoding: 7bit", b"Content-Transfer-Encoding: base64"),
    "as a picture": lambda raw: raw.replace(b"text/plain;", b"image/png;"),
    "without an id": lambda raw: without(raw, "Message-ID"),
}


def word_of(name: str) -> str:
    return "".join(filter(str.isalpha, name))


@pytest.fixture(scope="module")
def copied_in_advance(desk: Person) -> dict[str, tuple[str, dict[str, Any], bytes]]:
    """Of each kind of copy: the closed ticket that a mail belongs to, and what became of it after its copy came in."""
    words = [word_of(name) for name in COPIES]
    here = born(desk, *(mail("Here", w, sender="cy@example.net", id=f"<here.{w}@example.net>") for w in words))
    born(desk, *(mail("There", w, sender="cy@example.net", id=f"<there.{w}@example.net>") for w in words))
    desk.ok("close", *here, "-o", "successful")
    true = [
        mail("Re: Here", f"The true {w}.", sender="cy@example.net", in_reply_to=f"<here.{w}@example.net>")
        for w in words
    ]
    copies = [change(raw) for change, raw in zip(COPIES.values(), true, strict=True)]
    assert not set(copies) & set(true)
    take_in(desk, *copies)
    found = take_in(desk, *true)
    return {name: (n, got, raw) for name, n, got, raw in zip(COPIES, here, found, true, strict=True)}


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_in_advance_keeps_nothing_out(
    desk: Person, copied_in_advance: dict[str, tuple[str, dict[str, Any], bytes]], name: str
) -> None:
    """Eve had the mail in copy and sends it once more, changed a little, before it comes in: it still counts."""
    n, got, true = copied_in_advance[name]
    now = shown(desk, n)
    kept = [a for a in now["articles"] if a["body"] == f"The true {word_of(name)}." and "unverified" not in a]
    assert kept and "kind" not in kept[-1], f"swallowed: {got}"
    assert (now["state"], now["queue"]) == ("open", "info-en"), got
    assert take_in(desk, true)[0]["outcome"] == "duplicate"  # and it still comes in once


def test_a_copy_in_advance_of_a_new_mail(desk: Person) -> None:
    """The same for mail that begins a ticket: it is where it belongs, to be read and answered."""
    changes = {k: v for k, v in COPIES.items() if "alone" not in k and "elsewhere" not in k and k != "beside another"}
    words = ["New" + word_of(name) for name in changes]
    true = [mail(f"Subject {w}", f"The true {w}.", sender="cy@example.net") for w in words]
    take_in(desk, *(change(raw) for change, raw in zip(changes.values(), true, strict=True)))
    for got, word in zip(take_in(desk, *true), words, strict=True):
        now = shown(desk, got["ticket"])
        (first,) = [a for a in now["articles"] if a["id"] == got["event"]]
        assert (now["queue"], now["state"], first["body"]) == ("info-en", "new", f"The true {word}."), word
        assert not {"unverified", "kind", "reply_to"} & set(first), word


def test_junk_keeps_nothing_out(desk: Person) -> None:
    """An id that a mail will name, registered in junk under its sender's address; and ham that follows spam."""
    planted = above(mail("List", "x", sender="dee@example.net", id="<list@list.example>"), "X-Spam-Flag: YES")
    (junk,) = born(desk, planted)
    assert shown(desk, junk)["queue"] == "junk"
    found = take_in(
        desk,
        mail("Re: List", "Please help.", sender="dee@example.net", in_reply_to="<list@list.example>"),
        mail(f"[Ticket#{junk}]", "Please help, too.", sender="dee@example.net"),
    )
    assert [shown(desk, m["ticket"])["queue"] for m in found] == ["info-en"] * 2, "a real mail lies in junk"


# --- a thousand forgeries ---------------------------------------------------------------------------

VICTIMS = 24
FORGED = 1000


class Victim:
    """A party with a ticket, the mails that it will still send, and what its enemies know."""

    def __init__(self, i: int) -> None:
        self.who, self.queue = f"party{i}@victim{i}.example", ("info-en", "reject-en", "fresh-en", "week-en")[i % 4]
        self.to, self.first_id = f"{self.queue}@example.org", f"<first{i}@victim{i}.example>"
        self.ticket = self.home = self.ours = ""
        self.first = mail(f"Matter {i}", f"Private {i}", sender=f"Party <{self.who}>", to=self.to, id=self.first_id)

    def true(self) -> list[bytes]:
        """The mails that it will send: by the id of ours, of its own, the number; and one about another matter."""
        write: dict[str, Any] = {"sender": f"Party <{self.who}>", "to": self.to}
        ids = [f"<{k}.{self.who}>" for k in "1234"]
        return [
            mail("Re: your answer", f"true 1 {self.who}", id=ids[0], in_reply_to=self.ours, **write),
            mail("Re: my mail", f"true 2 {self.who}", id=ids[1], in_reply_to=self.first_id, **write),
            mail(f"Re: [Ticket#{self.ticket}]", f"true 3 {self.who}", id=ids[2], **write),
            mail("Another matter", f"true 4 {self.who}", id=ids[3], **write),
        ]


def forgeries(v: Victim, turn: int, true: list[bytes]) -> list[bytes]:
    """Return one mail of each kind against a victim; ``turn`` makes each batch another."""
    eve = {"sender": f"Eve <eve{turn}@evil.example>", "to": v.to}
    party, seq = {"sender": f"Party <{v.who}>", "to": v.to}, iter(range(1000))
    n, fail = v.ticket, f"Authentication-Results: {WRONG}{v.who.partition('@')[2]}"
    guess, wide = f"<{turn:032x}@example.org>", "".join(chr(0xFF10 + int(d)) for d in n)
    refers: dict[str, Any] = {"in_reply_to": v.first_id, "references": v.first_id}

    def text() -> str:
        return f"forged {turn} {next(seq)}"

    def said(subject: str, **more: Any) -> bytes:
        return mail("SUBJECT", text(), **{**eve, **more}).replace(b"SUBJECT", subject.encode())

    def of(who: str, raw: bytes) -> bytes:
        return re.sub(rb"(?m)^From: .*$", b"From: " + who.encode(), raw, count=1)

    by_name = said(f"Re: [Ticket#{n}]")
    return [
        said(f"[Ticket#{n}] please reopen"), said(f"AW: TICKET # {n}"), said(f"=?utf-8?q?=5BTicket=23{n}=5D?="),
        said(f"[Ticket#{wide}]"), said(f"[Ticket#{n[:8]}{wide[8:]}]"), said(f"[Ticket#{n[:9]}\u2060{n[9:]}]"),
        said(f"[Ticket#{n[:-1]}{int(number.check_digit(n[:-1])) - 1}]"),
        said("Re: Matter", **refers), said("Re: Matter", references=f"<x@y> {v.first_id}"),
        said("Re:", in_reply_to=guess), said(f"Re: [Ticket#{n}]", references=f"{guess} {v.first_id}"),
        said("Re:", in_reply_to=v.ours[:-1].upper() + ">"), said("Re:", in_reply_to=v.ours.replace("@", "x@")),
        said("replayed", id=v.first_id),
        said(f"[Ticket#{n}]", id=v.first_id, **refers, sender=f"mallory{turn}@evil.example"),
        above(said(f"[Ticket#{n}]", **party), fail), above(said("Re:", **party, **refers), fail),
        above(said(f"[Ticket#{n}]", **party), fail, fail.replace("fail", "pass")),
        above(said(f"[Ticket#{n}]", **party), fail.replace("dmarc", "dkim").replace("header.from", "header.d")),
        above(said(f"[Ticket#{n}]", **party), "From: eve@evil.example"), of(f"{v.who}, eve@evil.example", by_name),
        of(f'"{v.who}" <eve@evil.example>', said("Re:", **refers)),
        of(f"{v.who} <eve@evil.example>", said("Re:", **refers)),
        of(v.who.replace("party", "p\u0430rty"), said(f"[Ticket#{n}]")), of(f"x{v.who}", said("Re:", **refers)),
        of(f"{v.who}.evil.example", said("Re:", **refers)), of("", said(f"[Ticket#{n}]")),
        said(f"[Ticket#{n}]", reply_to=v.who), said(f"[Ticket#{n}]", cc=v.who).replace(b"Cc: ", b"Sender: "),
        bounce(b"", subject=f"Undelivered: [Ticket#{n}]", to=v.to, more=f"X-A: {text()}\r\n"),
        bounce(mail(id=guess), to=v.to, more=f"X-A: {text()}\r\n"), bounce(v.first, to=v.to, more=f"X-A: {text()}\r\n"),
        bounce(mail(id=guess), to=v.to, subject=f"[Ticket#{n}] failure", more=f"In-Reply-To: {v.first_id}\r\n"),
        said(f"Out of office: [Ticket#{n}]", auto_submitted="auto-replied", **refers),
        said(f"Re: [Ticket#{n}]", list_id="<all.evil.example>", precedence="list"),
        *(said(f"[Ticket#{n}]", id=f"<{k}.{v.who}>") for k in "1234"),
        *(above(raw, f"Reply-To: eve{turn}@evil.example", fail) for raw in true[1:]),
        *(above(raw, f"X-Turn: {turn}", fail) for raw in true[1:]),
        above(true[3], f"Reply-To: eve{turn}@evil.example"), above(true[3], "X-Spam-Flag: YES"),
        above(without(true[1], "In-Reply-To"), "X-Spam-Flag: YES"),
    ]  # fmt: skip


def test_a_thousand_forged_follow_ups(tmp_path: Path) -> None:
    """0 joined as verified, 0 reopened, 0 answered; and then 0 real mails swallowed."""
    desk = furnished(founded(tmp_path))
    for queue in ("info-en", "reject-en", "fresh-en", "week-en"):
        desk.ok("queue", "set", queue, "--auto-reply", "new")
    victims = [Victim(i) for i in range(VICTIMS)]
    for v, got in zip(victims, in_bulk(desk, [v.first for v in victims]), strict=True):
        v.ticket = v.home = got["ticket"]
        v.ours = our_id(desk, v.ticket)
    # From now on whatever continues a ticket is answered. Four are merged into others, and most are closed.
    for queue in ("info-en", "reject-en", "fresh-en", "week-en"):
        desk.ok("queue", "set", queue, "--auto-reply", "follow-up", "--auto-reply", "rejected")
    for v, goal in zip(victims[:4], victims[4:8], strict=True):
        desk.ok("merge", v.ticket, goal.ticket)
        v.home = goal.ticket
    desk.ok("close", *(v.ticket for v in victims[4:20]), "-o", "successful")
    before = {v.ticket: shown(desk, v.ticket) for v in victims}

    true = {v.who: v.true() for v in victims}
    rounds = (forgeries(v, i, true[v.who]) for i, v in enumerate(victims * 2))
    forged = [raw for batch in rounds for raw in batch][:FORGED]
    assert len(forged) == FORGED
    found = in_bulk(desk, forged)

    hit = [raw for m, raw in zip(found, forged, strict=True) if m["outcome"] == "follow-up" and m["ticket"] in before]
    assert hit == []
    for ticket, was in before.items():
        now = shown(desk, ticket)
        same = ("state", "outcome", "queue", "owner", "waiting_since", "title", "requester", "priority")
        assert [now[k] for k in same] == [was[k] for k in same]
        added = now["events"][len(was["events"]) :]
        assert {e["action"] for e in added} <= {"receive"} and all(e.get("unverified") for e in added)
        assert not any({"rejected", "about", "link"} & set(e) for e in added)
    answered = re.findall(r"Action: auto-reply\n.*\nAbout: (\S+)", desk.git("log", "--format=%B", "main").decode())
    assert len(answered) == VICTIMS and not set(answered) & {m["event"] for m in found}

    real = [raw for v in victims for raw in true[v.who]]
    came = in_bulk(desk, real)
    for i, (v, outcome) in enumerate((v, came[4 * j + k]) for j, v in enumerate(victims) for k in range(4)):
        came_in(desk, v, i % 4, outcome, before[v.home])
    assert desk.ok("verify").out.endswith("all in order\n")


def in_bulk(person: Person, mails: list[bytes]) -> list[dict[str, Any]]:
    """Receive a Maildir of mails, and return what became of each, in their order."""
    box = person.home / f"box-{len(list(person.home.iterdir()))}"
    (box / "new").mkdir(parents=True)
    for i, raw in enumerate(mails):
        (box / "new" / f"{i:05}").write_bytes(raw)
    found = person.json("receive", str(box))["mails"]
    assert len(found) == len(mails)
    return found  # type: ignore[no-any-return]


def came_in(desk: Person, v: Victim, k: int, got: dict[str, Any], was: dict[str, Any]) -> None:
    """The ``k``-th true mail of a victim is where its queue's policy puts it, verified, byte for byte."""
    assert got["outcome"] in ("new", "follow-up") and got["queue"] == v.queue, f"swallowed: {v.who} {k} {got}"
    facts = event(desk, got)
    assert "unverified" not in facts and facts.get("kind") is None
    assert original(desk, got["ticket"], got["event"]).endswith(f"true {k + 1} {v.who}\n".encode())
    if k == 3:
        assert got["outcome"] == "new" and "link" not in facts
    elif was["state"] == "closed" and v.queue == "fresh-en":
        assert facts.get("link") == v.home or got["outcome"] == "follow-up"
    else:
        assert got["ticket"] == v.home and facts["follow-up"] == ("ours", "references", "subject")[k]
        rejected = was["state"] == "closed" and v.queue == "reject-en"
        assert ("rejected" in facts) == rejected
        assert shown(desk, v.home)["state"] == ("closed" if rejected else "new" if was["state"] == "new" else "open")
