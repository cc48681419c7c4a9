"""A hand at a desk: a process that does, order by order, what an agent or a node does; it can be killed at any time.

Started as a program it is the mother of hands: it has read vrt once, and makes a process for each who calls at its
socket. An order is a line of JSON, and so is what became of it.
"""

from __future__ import annotations

import io
import json
import os
import random
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any

from conftest import mail

from vrt import kept, ledger
from vrt.cli import App, main
from vrt.desk import Desk
from vrt.model import ADMIN, INTAKE, MAILER, Ticket
from vrt.storage.crypt import CannotOpen
from vrt.storage.identity import Keys
from vrt.storage.local import Config
from vrt.storage.spool import Spool

TOKEN = re.compile("tok[0-9a-f]{12}")
JANE, EVE, MAX = "Jane Roe <jane@example.com>", "Eve <eve@example.net>", "Max <max@example.com>"
Argv = tuple[str, ...]
_RECEIVE: Argv = ("receive", "-", "--json")


def token() -> str:
    return f"tok{os.urandom(6).hex()}"


def report(about: str) -> bytes:
    """Return a delivery report (RFC 3464) that says a message of ours failed."""
    rows = [
        "From: MAILER-DAEMON@mx.example.com", "To: info-en@example.org", "Subject: Undelivered",
        f"Message-ID: <{os.urandom(6).hex()}@mx>", "Date: Fri, 20 Nov 2026 10:00:00 +0000",
        "Auto-Submitted: auto-replied", "MIME-Version: 1.0",
        "Content-Type: multipart/report; report-type=delivery-status; boundary=b", "",
        "--b", "Content-Type: text/plain", "", f"failed {token()}", "",
        "--b", "Content-Type: message/delivery-status", "", "Reporting-MTA: dns; mx", "",
        "Final-Recipient: rfc822; jane@example.com", "Action: failed", "Status: 5.1.1", "",
        "--b", "Content-Type: message/rfc822-headers", "", f"Message-ID: <{about}>", "From: info-en@example.org", "",
        "--b--", "",
    ]  # fmt: skip
    return "\r\n".join(rows).encode()


def run(desk: Path, *args: str, feed: bytes = b"", errors: Path | None = None) -> tuple[int, str, str]:
    """Run a command of vrt in this process; return its code, output and messages. ``errors`` gets those at once."""
    stdin, out = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    stdin.buffer.write(feed)
    stdin.buffer.seek(0)
    err = io.TextIOWrapper(open(errors or os.devnull, "ab+", 0), "utf-8", write_through=True)  # noqa: SIM115
    start, before, code = err.buffer.seek(0, 2), sys.stdin, -1
    sys.stdin, App.durable = stdin, False  # as in a new process
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main(["-C", str(desk), *args])
    except SystemExit as end:
        code = int(str(end.code or 0))
    finally:
        sys.stdin = before
    err.buffer.seek(start)
    said = err.buffer.read().decode("utf-8", "replace")
    err.close()
    return code, out.buffer.getvalue().decode("utf-8", "replace"), said


class Hand:
    """Somebody at a desk: ``home`` with their keys, and what they can do."""

    def __init__(self, handle: str, home: Path, desk: Path, victims: list[str]) -> None:
        self.handle, self.home, self.path, self.victims = handle, home, desk, victims
        self.errors, self.log, self.pending = home / "said", home / "log", home / "pending.eml"
        self.random = random.Random()
        self._choose_keys()

    def _choose_keys(self) -> None:
        """Use the keys that the ledger here says are mine; an admin may have changed them."""
        argv = ["git", f"--git-dir={self.path}", "show", f"main:agents/{self.handle}.yaml"]
        card = subprocess.run(argv, capture_output=True, check=False).stdout.decode()
        for folder in sorted(self.home.glob("keys*")):
            if (folder / "signing.pub").exists() and (folder / "signing.pub").read_text().split()[1] in card:
                os.environ["VRT_HOME"] = str(folder)

    def look(self) -> Desk:
        desk = Desk(self.path)
        desk.catch_up()
        return desk

    # --- what it is ordered -----------------------------------------------------------------------

    def act(self, order: dict[str, Any]) -> dict[str, Any]:
        """Do something, or ``what`` is ordered.

        A mail that was being received when the plug was pulled is given again, as a mail server does.
        """
        self._choose_keys()
        if "seed" in order:
            self.random.seed(order["seed"])
        if self.pending.exists():
            argv, feed = _RECEIVE, self.pending.read_bytes()
        else:
            argv, feed = self._chosen(order.get("what", ""))
        if not argv:
            return {"argv": []}
        if argv[0] == "receive":
            part = self.pending.with_suffix(".part")
            part.write_bytes(feed)
            part.replace(self.pending)
        done = self.command({"argv": argv}, feed)
        if argv[0] == "receive" and done["code"] == 0:
            done["mail"] = TOKEN.findall(feed.decode())[:1]
        if done["code"] != 75:
            self.pending.unlink(missing_ok=True)
        return done | self.mine({})

    def command(self, order: dict[str, Any], feed: bytes = b"") -> dict[str, Any]:
        """Run a command."""
        self._choose_keys()
        with self.log.open("a") as file:
            file.write(" ".join(order["argv"]) + "\n")
        code, out, err = run(self.path, *order["argv"], feed=feed, errors=self.errors)
        log = self.path / "vrt" / "vrt.log"
        more = log.read_text()[-1500:] if code == 3 and log.exists() else ""
        return {"argv": order["argv"], "code": code, "out": out, "err": err + more}

    def mine(self, _: dict[str, Any]) -> dict[str, Any]:
        """Return what I did, as the ledger here has it: event id, action, subject, the token in its text."""
        self._choose_keys()
        query = (
            "SELECT e.id, e.action, e.ticket, e.trailers, a.body FROM event e LEFT JOIN article a ON a.seq = e.seq "
            "WHERE e.agent = ?"
        )
        try:
            rows = list(self.look().index.sql(query, [self.handle]))
        except Exception as exc:
            return {"mine": [], "blind": repr(exc)}
        return {"mine": [(i, a, _subject(i, a, self.handle, t, x), _first(b)) for i, a, t, x, b in rows]}

    def tickets(self, _: dict[str, Any]) -> dict[str, Any]:
        """Return every ticket as the index has it, without what articles say."""
        found = self.look().index.tickets("1", [], "number", -1)
        return {"tickets": [t._replace(title=None, requester=None) for t in found]}

    def articles(self, _: dict[str, Any]) -> dict[str, Any]:
        """Return every article: event id, home queue, whether it opens, its token, the Message-ID of ours."""
        desk = self.look()
        rows = []
        for t in desk.index.tickets("1", [], "number", -1):
            home = t
            while home.merged_into:
                home = desk.known(home.merged_into)
            for a in desk.index.articles(t.number):
                ours = (a.front or {}).get("message_id") if a.event.action not in ("receive", "moved") else None
                rows.append((a.event.id, t.number, home.queue, a.front is not None, _first(a.body), ours))
        since = desk.roster.cards[self.handle].since if self.handle in desk.roster.cards else {}
        return {"articles": rows, "queues": desk.roster.cards[self.handle].queues, "since": since}

    def kept(self, _: dict[str, Any]) -> dict[str, Any]:
        """Return the texts that are kept here: by name, with all the keys that I ever had."""
        texts: dict[str, str] = {}
        for folder in sorted(self.home.glob("keys*")):
            keys, desk = Keys(Config(identity=folder / "identity.txt", signing_key=folder / "signing")), Desk(self.path)
            desk.__dict__["keys"] = keys
            for name in Spool(self.path, "outbox").names():
                with suppress(CannotOpen):  # it is sealed to others of my keys
                    texts |= {name: k.text} if (k := kept.get(desk, name)) else {}
            for name in Spool(self.path).names():
                with suppress(CannotOpen):
                    texts[name] = Spool(self.path).read(name, keys.identities())[1].decode("utf-8", "replace")
        return {"kept": texts, "spool": Spool(self.path).names()}

    # --- what comes to mind -------------------------------------------------------------------------

    def _chosen(self, what: str) -> tuple[Argv, bytes]:
        desk, r = self.look(), self.random
        if not what:
            what = (
                "administer" if desk.me.has(ADMIN) and r.random() < 0.25 else "receive" if r.random() < 0.12 else "work"
            )
        if desk.me.has(MAILER):
            return ("send",), b""
        if what == "receive" or desk.me.has(INTAKE):
            return self._received(desk)
        if what == "administer" and desk.me.has(ADMIN):
            return self._administered(desk), b""
        return self._worked(desk, what), b""

    def _received(self, desk: Desk) -> tuple[Argv, bytes]:
        r, index = self.random, desk.index
        numbers = [t.number for t in index.tickets("1", [], "updated DESC", 12)]
        ours = [i for i in self._ours(desk) if i]
        to = f"{r.choice(('info-en', 'permissions-en', 'legal-en'))}@example.org"
        kinds = [
            "new",
            "new",
            *(["follow", "follow", "stranger"] if numbers else []),
            *(["answer", "report"] * bool(ours)),
        ]
        text, kind = f"{token()}\n", r.choice(kinds)
        if kind == "report":
            return _RECEIVE, report(r.choice(ours))
        if kind == "answer":
            feed = mail("Re: it", text, sender=JANE, to=to, in_reply_to=f"<{r.choice(ours)}>")
        elif kind == "new":
            feed = mail(f"Matter {os.urandom(2).hex()}", text, sender=r.choice((JANE, MAX)), to=to)
        else:
            sender = EVE if kind == "stranger" else r.choice((JANE, MAX))
            feed = mail(f"Re: [Ticket#{r.choice(numbers)}] it", text, sender=sender, to=to)
        return _RECEIVE, feed

    def _ours(self, desk: Desk) -> list[str]:
        query = (
            "SELECT json_extract(front, '$.message_id') FROM article a JOIN event e ON e.seq = a.seq WHERE e.action "
        )
        return [i for (i,) in desk.index.sql(query + "IN ('reply', 'forward', 'approve') AND front IS NOT NULL")]

    def _administered(self, desk: Desk) -> Argv:
        r, queues = self.random, ("info-en", "permissions-en", "legal-en")
        queue, known = r.choice(queues), desk.roster.cards
        agents = [h for h, c in known.items() if c.roles == ("agent",) and not c.dismissed]
        gone = [h for h in self.victims if h in known and known[h].dismissed]
        here = [h for h in self.victims if h in known and not known[h].dismissed]
        sign = r.choice("+-")
        acts: list[Argv] = [
            ("queue", "set", queue, "--lock-timeout", f"{r.randint(1, 40)}h"),
            ("queue", "set", queue, "--signature", f"Team {r.randint(1, 99)}"),
            ("queue", "set", queue, "--auto-reply", r.choice(("new", "none"))),
            ("queue", "set", queue, "--follow-up", r.choice(("reopen", "new", "reject"))),
            ("queue", "add", f"q-{os.urandom(3).hex()}", "--address", f"{os.urandom(4).hex()}@example.org"),
            ("desk", "set", "--auto-replies-a-day", str(r.randint(10, 90))),
            ("template", "edit", "closing", "-l", "en", "-m", f"Bye {r.randint(1, 99)}"),
        ]
        acts += [("agent", "queues", h, f"{sign}{queue}") for h in r.sample(agents, min(3, len(agents)))]
        acts += [("agent", "set", h, r.choice(("--supervised", "--no-supervised"))) for h in agents[:1]]
        acts += [("agent", "dismiss", h) for h in here]
        acts += [("agent", "rekey", h, "--card", "", *r.choice(((), ("--stolen",)))) for h in (*gone, *gone, *here)]
        argv = r.choice(acts)
        if argv[:2] == ("agent", "rekey"):
            argv = (*argv[:4], self._new_keys(argv[2]), *argv[5:])
        return argv

    def _new_keys(self, handle: str) -> str:
        """Make new keys for somebody, in their home, and return the file with the card."""
        folder = self.home.parent / f"home-{handle}" / f"keys-{os.urandom(4).hex()}"
        mine, os.environ["VRT_HOME"] = os.environ["VRT_HOME"], str(folder)
        try:
            card = run(self.path, "identity")[1]
        finally:
            os.environ["VRT_HOME"] = mine
        (folder / "card.yaml").write_text(card)
        return str(folder / "card.yaml")

    def _worked(self, desk: Desk, what: str) -> Argv:
        r, me = self.random, desk.me
        mine = [
            t for t in desk.index.tickets("1", [], "updated DESC", 40) if t.queue in me.queues and t.title is not None
        ]
        if not mine:
            return ()
        mine = mine[: r.choice((3, 8, 40))]

        def some(wanted: Callable[[Ticket], object] = lambda t: True) -> Ticket:
            found = [t for t in mine if wanted(t)]
            return r.choice(found) if found and r.random() < 0.9 else r.choice(mine)

        def event(of: Iterable[tuple[str, str]]) -> Argv:
            found = list(of)
            return r.choice(found) if found else (t.number, "zzzzzzzz")

        said = {x.number: desk.index.articles(x.number) for x in mine[:8]}
        came = [
            (n, a.event.id[-8:]) for n, rows in said.items() for a in rows if a.event.action in ("receive", "moved")
        ]
        joined = [
            (n, a.event.id[-8:]) for n, rows in said.items() for a in rows[1:] if a.event.action in ("receive", "moved")
        ]
        doubted = [(x.number, e[-8:]) for x in mine for e in x.unverified]
        open_ = [(str(n), e[-8:]) for n, e in desk.index.sql("SELECT ticket, id FROM outbox")]
        t, other, text = some(), some(), f"{token()} ."
        closed = some(lambda x: x.state == "closed").number
        n, force = t.number, r.choice(((), ("--force",), ("--force",)))
        queue, colleague = r.choice(("info-en", "permissions-en", "legal-en")), r.choice(list(desk.roster.cards))
        ends = r.choice(((), (), ("--close", "successful"), ("--pend", "1h"), ("--draft",)))
        acts: dict[str, Callable[[], Argv]] = {
            "note": lambda: ("note", n, "-m", text),
            "reply": lambda: ("reply", n, "-m", text, "-y", *force, *ends),
            "reply2": lambda: ("reply", n, "-m", text, "-y", *force),
            "forward": lambda: ("forward", n, "legal@else.org", "-m", text, "-y", *force),
            "redirect": lambda: (lambda e: ("redirect", e[0], "legal@else.org", "-e", e[1], "-y", *force))(event(came)),
            "draft": lambda: ("draft", n, "-m", text, "-y"),
            "discard": lambda: ("draft", some(lambda x: x.draft).number, "--discard"),
            "approve": lambda: ("approve", some(lambda x: x.draft and x.draft_by != me.handle).number, "-y", *force),
            "undo": lambda: ("undo",),
            "retry": lambda: ("outbox", "retry", *event(open_)),
            "cancel": lambda: ("outbox", "cancel", *event(open_)),
            "take": lambda: ("take", n, *force),
            "next": lambda: ("next",),
            "release": lambda: ("release", n, *force),
            "assign": lambda: ("assign", n, colleague, *force),
            "route": lambda: ("route", n, queue, *force),
            "route2": lambda: ("route", n, queue, "--force"),
            "priority": lambda: ("priority", n, str(r.randint(1, 5))),
            "tag": lambda: ("tag", n, r.choice(("+urgent", "-urgent"))),
            "close": lambda: ("close", n, "--outcome", "successful", *force),
            "reopen": lambda: ("reopen", closed),
            "pend": lambda: ("pend", n, "--until", "1h", *force),
            "merge": lambda: ("merge", n, other.number, *force),
            "unmerge": lambda: ("unmerge", some(lambda x: x.state == "merged").number),
            "split": lambda: ("split", *event(joined)),
            "move": lambda: ("move", *event(joined), other.number),
            "accept": lambda: ("accept", *event(doubted)),
            "link": lambda: ("link", n, other.number, *r.choice(((), ("--remove",)))),
            "new": lambda: (
                "new",
                "-q",
                r.choice(me.queues),
                "--to",
                "jane@example.com",
                "-s",
                "First",
                "-m",
                text,
                "-y",
            ),
            "new2": lambda: ("new", "-q", r.choice(me.queues), "--from", JANE, "-s", "Call", "-m", text, "-y"),
            "send": lambda: ("send",),
            "tick": lambda: ("tick",),
            "away": lambda: ("agent", "away", *r.choice((("--back",), ("--until", "2w")))),
        }
        if what in acts:
            return acts[what]()
        return acts[r.choice([*acts, "note", "reply", "merge", "unmerge", "split", "move", "accept"])]()


def _first(body: str | None) -> str:
    found = TOKEN.search(body or "")
    return found[0] if found else ""


def _subject(id_: str, action: str, agent: str, ticket: int, trailers: str) -> str:
    from vrt.model import Event

    return ledger.subject(Event(id_, action, agent, 0, str(ticket or ""), json.loads(trailers)))


# --- processes ------------------------------------------------------------------------------------------


def serve(connection: socket.socket) -> None:
    """Be a hand until the caller goes."""
    os.setsid()
    stream = connection.makefile("rwb")
    hello = json.loads(stream.readline())
    os.environ.clear()
    os.environ.update(hello["env"])
    hand = Hand(hello["handle"], Path(hello["home"]), Path(hello["desk"]), hello["victims"])
    stream.write(json.dumps({"pid": os.getpid()}).encode() + b"\n")
    stream.flush()
    for row in stream:
        order = json.loads(row)
        try:
            done = getattr(hand, order.pop("do"))(order)
        except Exception:
            import traceback

            done = {"argv": [], "code": 3, "out": "", "err": traceback.format_exc()}
        stream.write(json.dumps(done).encode() + b"\n")
        stream.flush()


def mother(path: str) -> None:
    """Make a hand for each who calls at the socket ``path``, until standard input ends."""
    import pkgutil
    from importlib import import_module

    import vrt.commands

    for module in pkgutil.iter_modules(vrt.commands.__path__):
        import_module(f"vrt.commands.{module.name}")
    for name in ("git", "mailparser", "jinja2", "html_to_markdown", "frontmatter", "smtplib", "vrt.sync", "vrt.post",
                 "vrt.mail.intake", "vrt.storage.replay"):  # fmt: skip
        import_module(name)
    door = socket.socket(socket.AF_UNIX)
    door.bind(path)
    door.listen(64)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("ready", flush=True)
    while True:
        ready, _, _ = select.select([door, sys.stdin], [], [])
        if sys.stdin in ready:
            return
        connection, _ = door.accept()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            door.close()
            try:
                serve(connection)
            finally:
                os._exit(0)
        connection.close()


if __name__ == "__main__":
    mother(sys.argv[1])
