"""Many hands at one desk: agents with clones of their own who all work at once, while plugs are pulled.

Then it is counted: what a hand was told is done must be there, once, in every clone, or have been reported. Run as a
program it is the long form: ``python tests/many.py --hands 20 --acts 50``.
"""

from __future__ import annotations

import argparse
import json
import os
import pwd
import random
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conftest import ROOT, Person, mail
from hands import TOKEN

from vrt import fold, ledger
from vrt.model import Event

QUEUES = ("info-en", "permissions-en", "legal-en")
NODES = {"mx": "intake", "post": "mailer"}
SAID = tuple(name for name, row in ledger.ACTIONS.items() if row.files)


# --- a host ------------------------------------------------------------------------------------------------


@contextmanager
def sshd(folder: Path) -> Iterator[tuple[str, Path]]:
    """Run a real sshd on loopback for who calls this; yield the start of its URLs, and a folder for PATH with an ssh.

    That ssh is the real one with a configuration of its own, in place of the caller's.
    """
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    (folder / "user.pub").rename(folder / "authorized")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    user, known = pwd.getpwuid(os.getuid()).pw_name, folder / "known"
    known.write_text(f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}")
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n"
        f"StrictModes no\nUsePAM no\nPidFile none\nMaxStartups 200\nPasswordAuthentication no\n"
        f"UseDNS no\nPrintMotd no\nAllowUsers {user}\n"
    )
    (folder / "ssh_config").write_text(
        f"IdentityFile {folder}/user\nIdentitiesOnly yes\nIdentityAgent none\nUserKnownHostsFile {known}\n"
        "GlobalKnownHostsFile /dev/null\nKexAlgorithms curve25519-sha256\n"
    )
    (folder / "bin").mkdir()
    (folder / "bin/ssh").write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {folder}/ssh_config "$@"\n')
    (folder / "bin/ssh").chmod(0o755)
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    argv = ["/usr/sbin/sshd", "-D", "-e", "-f", str(folder / "sshd_config")]
    with (folder / "sshd.log").open("wb") as log, subprocess.Popen(argv, stderr=log) as server:
        try:
            for _ in range(100):
                with socket.socket() as there:
                    if there.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            yield f"ssh://{user}@127.0.0.1:{port}", folder / "bin"
        finally:
            server.terminate()


# --- hands ---------------------------------------------------------------------------------------------------


@dataclass
class Known:
    """An event that a hand was told, or could see, to be done."""

    action: str
    subject: str
    token: str


@dataclass
class Far:
    """A hand as seen from here, in a process that can be killed."""

    person: Person
    handle: str
    connection: socket.socket | None = None
    pid: int = 0
    busy: str = ""  # the order it works on
    since: float = 0.0
    kill_at: float = 0.0
    left: int = 0
    known: dict[str, Known] = field(default_factory=dict)
    mails: list[str] = field(default_factory=list)  # tokens of mails that were taken in
    killed: Counter[str] = field(default_factory=Counter)
    heard: bytes = b""


class Many:
    """A desk, its clones, and who works in them. ``tools`` is a folder for PATH, if there is one to be."""

    def __init__(self, folder: Path, agents: int, tools: Path | None = None, seed: int = 0) -> None:
        self.folder, self.random = folder, random.Random(seed)
        self.host = folder / "host.git"
        self.codes: Counter[str] = Counter()
        self.took: dict[str, list[float]] = defaultdict(list)
        self.wrong: list[str] = []
        self._tools = tools
        names = ["alice", "bob", *(f"agent-{i}" for i in range(1, agents - 1))][:agents]
        self.victims = names[2:][-2:] if agents > 3 else []
        self.hands = {h: Far(self._person(h), h) for h in (*names, *NODES)}

    def _person(self, handle: str) -> Person:
        person = Person(self.folder / f"home-{handle}", self.folder / f"desk-{handle}")
        if self._tools:
            person.env["PATH"] = f"{self._tools}:{person.env['PATH']}"
        return person

    @contextmanager
    def working(self) -> Iterator[Many]:
        """Have a mother of hands, and a desk with clones for all of them."""
        door = self.folder / "door"
        argv = [sys.executable, str(Path(__file__).with_name("hands.py")), str(door)]
        env = self.hands["alice"].person.env
        with subprocess.Popen(argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as mother:
            try:
                assert mother.stdout and mother.stdin and mother.stdout.readline() == b"ready\n"
                self.found()
                yield self
            finally:
                for far in self.hands.values():
                    self._hang_up(far)
                mother.terminate()

    def connect(self, url: str) -> None:
        """Let all clones have their remote there."""
        for far in self.hands.values():
            far.person.git("config", "remote.origin.url", url)

    # --- talking with hands -----------------------------------------------------------------------------

    def _call(self, far: Far) -> None:
        far.connection = socket.socket(socket.AF_UNIX)
        far.connection.connect(str(self.folder / "door"))
        hello = {"env": far.person.env, "handle": far.handle, "home": str(far.person.home),
                 "desk": str(far.person.desk), "victims": self.victims}  # fmt: skip
        far.connection.sendall(json.dumps(hello).encode() + b"\n")
        far.heard = b""
        far.pid = self._answer(far)["pid"]

    def _answer(self, far: Far) -> Any:
        assert far.connection
        while b"\n" not in far.heard:
            part = far.connection.recv(1 << 20)
            if not part:
                raise EOFError(far.handle)
            far.heard += part
        row, _, far.heard = far.heard.partition(b"\n")
        return json.loads(row)

    def _hang_up(self, far: Far) -> None:
        if far.connection:
            far.connection.close()
        far.connection = None

    def give(self, far: Far, do: str, **order: Any) -> None:
        """Give an order and do not wait."""
        if far.connection is None:
            self._call(far)
        assert far.connection
        far.busy, far.since, far.kill_at = (order.get("argv") or [do])[0], time.monotonic(), 0.0
        far.connection.sendall(json.dumps({"do": do, **order}).encode() + b"\n")

    def ask(self, handle: str, do: str, **order: Any) -> Any:
        """Give an order and wait for what becomes of it."""
        far = self.hands[handle]
        self.give(far, do, **order)
        done = self._answer(far)
        far.busy = ""
        if do != "command" and "Traceback" in done.get("err", ""):
            self.wrong.append(f"{handle}: {do}: {done['err'][-1500:]}")
            return defaultdict(dict)
        return done

    def vrt(self, handle: str, *argv: str, ok: tuple[int, ...] = (0,)) -> Any:
        """Let somebody run a command, which must end as expected."""
        done = self.ask(handle, "command", argv=argv)
        assert done["code"] in ok, f"{handle}: vrt {' '.join(argv)}: {done['code']}\n{done['out']}{done['err']}"
        return done

    # --- the desk -----------------------------------------------------------------------------------------

    def found(self) -> None:
        """Make the desk, publish it, and let everybody clone it."""
        subprocess.run(["git", "init", "-q", "--bare", str(self.host)], check=True)
        first = self.hands["alice"].person
        self.vrt("alice", "init", str(first.desk), "--name", "Many", "--domain", "example.org", "--agent", "alice")
        for queue in QUEUES:
            self.vrt("alice", "queue", "add", queue, "--address", f"{queue}@example.org")
        for i, (handle, far) in enumerate(self.hands.items()):
            if handle == "alice":
                continue
            card = far.person.home / "card.yaml"
            card.write_text(self.vrt(handle, "identity")["out"])
            role = NODES.get(handle, "admin" if handle == "bob" else "agent")
            queues = [] if handle in NODES else [q for n, q in enumerate(QUEUES) if n == 0 or i % 3 != n]
            words = ["--role", role, "--agreed", "2026-11-01", *(w for q in queues for w in ("--queue", q))]
            self.vrt("alice", "agent", "add", handle, "--card", str(card), *words)
        first.git("config", "remote.origin.url", str(self.host))
        self.vrt("alice", "sync")
        root = first.git("rev-list", "--max-parents=0", "main").decode().strip()
        for handle, far in self.hands.items():
            if handle != "alice":
                self.vrt(handle, "clone", str(self.host), str(far.person.desk), "--root", root)
            if handle in ("post", "bob"):
                box = {"kind": "maildir", "path": str(self.folder / f"box-{handle}")}
                with (self.folder / f"desk-{handle}/vrt/config.yaml").open("a") as file:
                    file.write(f"delivery: {json.dumps(box)}\n")
        letters = self.folder / "letters"
        letters.mkdir()
        for i in range(6):
            text = mail(f"Matter {i}", f"tok{i:012x}\n", to=f"{QUEUES[i % 3]}@example.org")
            (letters / f"{i}.eml").write_bytes(text)
        self.vrt("alice", "receive", str(letters))
        for handle in self.hands:
            self.vrt(handle, "sync")

    # --- work -----------------------------------------------------------------------------------------------

    def work(self, acts: int, *, kill: float = 0.1, sync: float = 0.25) -> None:
        """Let everybody do ``acts`` acts at once. ``kill``, ``sync``: how often an order is cut off, or is a sync."""
        for far in self.hands.values():
            far.left = acts
        while any(far.left > 0 or far.busy for far in self.hands.values()):
            for far in self.hands.values():
                if not far.busy and far.left > 0:
                    self._order(far, kill, sync)
            self._wait()

    def _order(self, far: Far, kill: float, sync: float) -> None:
        kind = "sync" if self.random.random() < sync else "act"
        far.left -= kind == "act"
        self.give(far, "command", argv=["sync"]) if kind == "sync" else self.give(far, "act")
        if self.random.random() < kill:
            usual = sorted(self.took[kind])[len(self.took[kind]) // 2] if self.took[kind] else 0.5
            far.kill_at = time.monotonic() + self.random.uniform(0, 1.5 * usual)

    def _wait(self) -> None:
        """Wait until something happens, or the time has come to pull a plug."""
        busy = [far for far in self.hands.values() if far.busy and far.connection]
        ends = [far.kill_at for far in busy if far.kill_at]
        pause = max(0.0, min(ends) - time.monotonic()) if ends else 5.0
        ready, _, _ = select.select([far.connection for far in busy if far.connection], [], [], pause)
        for far in busy:
            if far.connection in ready:
                self._finish(far)
            elif far.kill_at and far.kill_at <= time.monotonic():
                self._kill(far)

    def _kill(self, far: Far) -> None:
        """Pull the plug: of vrt alone, whose git may go on for a moment, or of both."""
        (os.kill if self.random.random() < 0.5 else os.killpg)(far.pid, signal.SIGKILL)
        far.killed[far.busy] += 1
        try:
            while True:
                self._take(far, self._answer(far))  # it was faster
        except (EOFError, ConnectionError):
            pass
        self._hang_up(far)
        far.busy, far.kill_at = "", 0.0

    def _finish(self, far: Far) -> None:
        kind = "sync" if far.busy == "sync" else "act"
        self._take(far, self._answer(far))
        self.took[kind].append(time.monotonic() - far.since)
        far.busy, far.kill_at = "", 0.0

    def _take(self, far: Far, done: dict[str, Any]) -> None:
        """Note what became of an order."""
        if done.get("argv"):
            self.codes[f"{done['argv'][0]} {done['code']}"] += 1
            if done["code"] in (3, 7, -1) or "Traceback" in done["err"]:
                self.wrong.append(f"{far.handle}: vrt {' '.join(done['argv'])}: {done['code']}\n{done['err'][-2500:]}")
        elif done.get("err"):
            self.wrong.append(f"{far.handle}: {done['err'][-2500:]}")
        far.mails += done.get("mail", [])
        for id_, action, subject, token in done.get("mine", ()):
            far.known[id_] = Known(action, subject, token)

    # --- the end --------------------------------------------------------------------------------------------

    def settle(self) -> int:
        """Let everybody sync until nobody has anything to give; return how many rounds that took."""
        for handle, far in self.hands.items():
            self._take(far, self.ask(handle, "mine"))
        last = ""
        for n in range(1, 9):
            quiet = True
            for handle, far in self.hands.items():
                done = self.ask(handle, "command", argv=["sync", "--json"])
                self._take(far, done)
                found = json.loads(done["out"]) if done["code"] == 0 else {"failed": 1}
                quiet = quiet and not any(found.values())
                last = f"{handle}: {found} {done['err'][-300:]}" if any(found.values()) else last
            if quiet:
                return n
        self.wrong.append(f"the clones do not come to rest: {last}")
        return n

    def events(self) -> list[Event]:
        """Return what is on the host's ledger, read by git and the form of its messages alone."""
        found = []
        log = self._git("log", "--reverse", "--format=%H %an %at%n%B%x00", "main").decode()
        for entry in log.split("\0")[:-1]:
            first, _, text = entry.lstrip("\n").partition("\n")
            commit, agent, date = first.split(" ")
            found.append(ledger.parse(text.rstrip("\n") + "\n", agent=agent, time=int(date), commit=commit))
        return found

    def check(self) -> dict[str, int]:
        """Count; what is wrong is in ``wrong`` then."""
        events = self.events()
        self._same(events)
        self._readable()
        return self._counted(events)

    def _same(self, events: list[Event]) -> None:
        heads = {h: far.person.git("rev-parse", "main", "keys") for h, far in self.hands.items()}
        heads["host"] = self._git("rev-parse", "main", "keys")
        if len(set(heads.values())) != 1:
            self.wrong.append(f"heads differ: {heads}")
        folded = {n: list(t) for n, t in fold.fold(events).items()}
        for handle, far in self.hands.items():
            done = self.ask(handle, "command", argv=["verify", "--full"])
            self._take(far, done)
            if done["code"]:
                self.wrong.append(f"{handle}: verify: {done['code']} {done['out'][-1500:]}{done['err'][-1500:]}")
            there = {t[0]: t for t in self.ask(handle, "tickets").get("tickets", ())}
            mine = json.loads(json.dumps(folded))
            unlike = [n for n in sorted(mine.keys() | there.keys()) if mine.get(n) != there.get(n)]
            if unlike:
                n = unlike[0]
                row = f"{n} is {there.get(n)}, and by the ledger {mine.get(n)}"
                self.wrong.append(f"{handle}: {len(unlike)} tickets are not what the ledger says: {row}")
            subprocess.run(["git", f"--git-dir={far.person.desk}", "fsck", "--strict"], check=True, capture_output=True)

    def _readable(self) -> None:
        """Everybody opens what is in their queues."""
        gone = self._gone()
        for handle in self.hands.keys() - gone - NODES.keys():
            found = self.ask(handle, "articles")
            for id_, ticket, queue, opens, _, _ in found["articles"]:
                if queue in found["queues"] and queue not in found["since"] and not opens:
                    self.wrong.append(f"{handle} does not open {id_} in {ticket}, in {queue}")

    def _gone(self) -> set[str]:
        cards = json.loads(self.vrt("alice", "agent", "list", "--json")["out"])
        return {c["handle"] for c in cards if c.get("dismissed")}

    def _counted(self, events: list[Event]) -> dict[str, int]:
        ids = Counter(e.id for e in events)
        self.wrong += [f"{i} is on the ledger {n} times" for i, n in ids.items() if n > 1]
        retried = Counter(e.trailers["About"] for e in events if e.action == "retry")
        times: dict[str, Counter[str]] = defaultdict(Counter)  # action -> token
        tokens: Counter[str] = Counter()
        messages: dict[str, str] = {}
        seen: set[str] = set()
        for handle in self.hands.keys() - NODES.keys():
            for id_, _, _, opens, token, message in self.ask(handle, "articles")["articles"]:
                if opens and id_ not in seen:
                    seen.add(id_)
                    times[id_.partition("-")[2].rpartition("-")[0]][token] += 1
                    tokens[token] += 1
                    if message:
                        messages[message] = id_
        for action in ("receive", "note", "new", "draft", "reply", "forward", "approve"):
            for token, n in times[action].items():
                if token and n > 1:
                    self.wrong.append(f"{token} is there {n} times by {action}")
        count = Counter(events=len(events), articles=len(seen))
        self._delivered(count, messages, retried)
        for far in self.hands.values():
            count["kills"] += far.killed.total()
            self._looked_for(far, ids, tokens, count)
        return dict(count)

    def _looked_for(self, far: Far, ids: Counter[str], tokens: Counter[str], count: Counter[str]) -> None:
        """Look for everything that a hand knew was done."""
        left = self.ask(far.handle, "kept")
        said = (far.person.home / "said").read_text("utf-8", "replace") if (far.person.home / "said").exists() else ""
        texts = "\n".join(left["kept"].values())
        for id_, what in far.known.items():
            count["acknowledged"] += 1
            if id_ in ids:
                continue
            told = f"{what.subject}: dropped" in said or f"{what.subject}: done again" in said
            if (what.action == "receive" and (not what.token or what.token in tokens or what.token in texts)) or (
                what.action == "auto-reply" and far.handle in NODES
            ):
                count["received again"] += 1
            elif what.action in SAID and what.action not in ("moved", "failed"):
                if id_ not in left["kept"] and not (what.token and what.token in texts) and not tokens[what.token]:
                    self.wrong.append(f"{far.handle}: LOST {id_} {what.token} told={told} kept={list(left['kept'])}")
                elif not told and not far.killed["sync"]:
                    self.wrong.append(f"{far.handle}: kept and not told: {id_}")
                count["kept" if told else "kept, untold"] += 1
            else:
                if not told and not far.killed.total():
                    self.wrong.append(f"{far.handle}: DROPPED UNTOLD {id_} {what.subject}")
                count["dropped" if told else "dropped, untold"] += 1
        if left["spool"] and far.handle not in self._gone():
            self.wrong.append(f"{far.handle}: still in the spool: {left['spool']}")
        for token in far.mails:
            count["mails"] += 1
            if not tokens[token] and token not in texts:
                self.wrong.append(f"{far.handle}: MAIL LOST {token}")

    def _delivered(self, count: Counter[str], messages: dict[str, str], retried: Counter[str]) -> None:
        """No message was handed over twice unasked."""
        sent = Counter[str]()
        for path in self.folder.glob("box-*/*/*"):
            if path.is_file() and path.parent.name in ("new", "cur"):
                head = path.read_bytes().partition(b"\n\n")[0].partition(b"\r\n\r\n")[0].decode("utf-8", "replace")
                row = next((r for r in head.splitlines() if r.lower().startswith("message-id:")), "")
                sent[row.partition(":")[2].strip(" <>")] += 1
        count["delivered"] = sent.total()
        for message, n in sent.items():
            if n > 1 + retried[messages.get(message, "")] and messages.get(message):
                self.wrong.append(f"{messages[message]} was delivered {n} times, retried {retried[messages[message]]}")

    # --- who leaves -------------------------------------------------------------------------------------------

    def dismiss(self, handle: str) -> int:
        """Dismiss somebody, let the others write, and return how many articles came; it is wrong if they open one."""
        self.vrt("alice", "agent", "dismiss", handle, ok=(0, 6))
        self.settle()
        before = {e.id for e in self.events()}
        for other in sorted(self.hands.keys() - NODES.keys() - self._gone())[:4]:
            mine = json.loads(self.vrt(other, "list", "state:any", "--json")["out"])
            open_ = [t["number"] for t in mine if t["title"] is not None and t["state"] != "merged"][:4]
            for n in open_:
                self.ask(other, "command", argv=["note", n, "-m", f"after {TOKEN.pattern[:3]}{os.urandom(6).hex()}"])
            self.ask(other, "command", argv=["route", *open_[:1], QUEUES[1], "--force"])
        feed = self.folder / "after.eml"
        feed.write_bytes(mail("After", f"tok{os.urandom(6).hex()}"))
        self.vrt("mx", "receive", str(feed))
        self.settle()
        new = {e.id for e in self.events() if ledger.ACTIONS[e.action].files} - before
        assert new
        found = [path for path in self._opened(self.hands[handle].person.home, new) if path.startswith("tickets/")]
        self.wrong += [f"{handle}, who was dismissed, opens {path}" for path in found]
        return len(new)

    def _opened(self, home: Path, events: set[str]) -> list[str]:
        """Return the files of the keyring, of queues and of ``events``, that open with any key ever had in ``home``."""
        from vrt.storage import crypt, keyring

        texts = "\n".join(path.read_text() for path in home.glob("keys*/identity.txt"))
        keys = [crypt.identity(row) for row in texts.split("\n") if row.startswith("AGE-SECRET-KEY-")]
        rows = [row.split() for row in self._git("ls-tree", "-r", "keys").decode().splitlines()]
        opened = []
        for kind in ("queues/", "tickets/"):  # in this order: who has a queue's key has what is sealed to that
            for _, _, blob, path in rows:
                wanted = kind == "queues/" or path.rpartition("/")[2].partition(".")[0] in events
                secret = (
                    keyring.open_identity(self._git("cat-file", "blob", blob), keys)
                    if path.startswith(kind) and wanted
                    else None
                )
                if secret:
                    opened.append(path)
                    keys += [crypt.identity(secret)] if kind == "queues/" else []
        return opened

    def _git(self, *args: str) -> bytes:
        return subprocess.run(["git", f"--git-dir={self.host}", *args], capture_output=True, check=True).stdout


def play(
    folder: Path, agents: int, acts: int, *, ssh: bool, seed: int, kill: float
) -> tuple[dict[str, Any], list[str]]:
    """Play it all; return figures, and what is wrong."""
    with ExitStack() as stack:
        prefix, tools = "", None
        if ssh:
            (folder / "ssh").mkdir()
            prefix, tools = stack.enter_context(sshd(folder / "ssh"))
        start = time.monotonic()
        many = stack.enter_context(Many(folder, agents, tools, seed).working())
        many.connect(f"{prefix}{many.host}")
        ready = time.monotonic()
        many.work(acts, kill=kill)
        worked = time.monotonic()
        many.connect(str(many.host))
        rounds = many.settle()
        sealed = many.dismiss(many.victims[-1]) if many.victims else 0
        figures: dict[str, Any] = {"written after a dismissal": sealed, **many.check()}
        times = {"set up": ready - start, "worked": worked - ready, "checked": time.monotonic() - worked}
        figures |= {"rounds": rounds, "codes": dict(sorted(many.codes.items()))}
        figures |= {f"{name}, seconds": round(took, 1) for name, took in times.items()}
        return figures, many.wrong


def main() -> None:
    """The long form, from the command line."""
    parser = argparse.ArgumentParser(description="Many hands at one desk, while plugs are pulled.")
    parser.add_argument("--hands", type=int, default=20)
    parser.add_argument("--acts", type=int, default=50)
    parser.add_argument("--kill", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--ssh", action="store_true", help="through a real sshd on loopback")
    parser.add_argument("--keep", type=Path, help="work in this folder, and leave it")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="many-") as made:
        folder = given.keep or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        print(
            f"seed {given.seed}, {given.hands} hands, {given.acts} acts each, {'ssh' if given.ssh else 'file'}",
            flush=True,
        )
        figures, wrong = play(folder, given.hands, given.acts, ssh=given.ssh, seed=given.seed, kill=given.kill)
    print(json.dumps(figures, indent=1))
    for row in wrong:
        print("WRONG", row)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", str(ROOT))
    main()
