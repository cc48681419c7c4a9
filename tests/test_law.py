"""The law of the ledger: lawful histories pass; forged ones, made of real signed commits, are refused by name.

A forger here has everything that a member or a host has: git, keys of cards, and the right to write both branches.
Commits are built with git's plumbing and signed with ssh-keygen, so that vrt's own writer plays no part in it.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import shutil
import subprocess
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Done, Person, copied, founded, mail

from vrt.cli import main
from vrt.storage import crypt

Change = bytes | None | tuple[str, bytes | str]  # a file; gone; (mode, content or object id)


# --- the forger -----------------------------------------------------------------------------------


@dataclass
class Forger:
    """Writes commits of any kind into ``desk``. ``homes``: handle -> folder with ``signing``."""

    desk: Path
    homes: dict[str, Path]
    made: list[tuple[str, str]] = field(default_factory=list)  # (commit, author) in the order made
    times: dict[str, int] = field(default_factory=dict)  # commit -> committer date

    def git(self, *args: str, feed: bytes = b"", env: dict[str, str] | None = None) -> str:
        done = subprocess.run(
            ["git", f"--git-dir={self.desk}", *args], input=feed, capture_output=True, check=False,
            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **(env or {})},
        )  # fmt: skip
        assert done.returncode == 0, f"{args}: {done.stderr.decode()}"
        return done.stdout.decode("utf-8", "surrogateescape").strip()

    def head(self, branch: str = "main") -> str:
        return (self.desk / "refs/heads" / branch).read_text().strip()

    def move(self, commit: str, branch: str = "main") -> None:
        (self.desk / "refs/heads" / branch).write_text(commit + "\n")

    def show(self, path: str, branch: str = "main") -> bytes:
        done = subprocess.run(
            ["git", f"--git-dir={self.desk}", "cat-file", "blob", f"{branch}:{path}"], capture_output=True, check=True
        )
        return done.stdout

    def yaml(self, path: str, **changes: Any) -> bytes:
        """Return a desk file with some settings changed (None: left out)."""
        value = yaml.safe_load(self.show(path)) | changes
        return yaml.safe_dump({k: v for k, v in value.items() if v is not None}, sort_keys=False).encode()

    def yaml_value(self, path: str, name: str) -> Any:
        return yaml.safe_load(self.show(path))[name]

    def blob(self, data: bytes) -> str:
        return self.git("hash-object", "-w", "--stdin", feed=data)

    def tree(self, base: str, changes: dict[str, Change]) -> str:
        """Return a tree: that of commit ``base`` (may be empty) with ``changes``."""
        index = self.desk / "forged-index"
        env = {"GIT_INDEX_FILE": str(index)}
        self.git("read-tree", *([base] if base else ["--empty"]), env=env)
        rows = []
        for path, change in changes.items():
            if change is None:
                rows.append(f"0 {'0' * 40}\t{path}")
                continue
            mode, content = change if isinstance(change, tuple) else ("100644", change)
            rows.append(f"{mode} {content if isinstance(content, str) else self.blob(content)}\t{path}")
        self.git(
            "update-index", "--add", "--replace", "--index-info", feed="".join(r + "\n" for r in rows).encode(), env=env
        )
        tree = self.git("write-tree", "--missing-ok", env=env)
        index.unlink()
        return tree

    def empty_folder(self, tree: str, *names: str) -> str:
        """Return ``tree`` with an empty folder at the path ``names``: no diff shows it."""
        rows = self.git("ls-tree", tree).splitlines() if tree else []
        if len(names) > 1:
            below = next((r.split()[2].split("\t")[0] for r in rows if r.endswith("\t" + names[0])), "")
            child = self.empty_folder(below, *names[1:])
        else:
            child = self.git("mktree")
        rows = [r for r in rows if not r.endswith("\t" + names[0])]
        return self.git("mktree", feed=("\n".join([*rows, f"040000 tree {child}\t{names[0]}"]) + "\n").encode())

    def sign(self, payload: bytes, handle: str, namespace: str = "git") -> str:
        key = self.homes[handle] / "signing"
        argv = ["ssh-keygen", "-Y", "sign", "-q", "-n", namespace, "-f", str(key)]
        return subprocess.run(argv, input=payload, capture_output=True, check=True).stdout.decode()

    def commit(
        self, message: str | bytes, changes: dict[str, Change], *, by: str = "bob", signed_by: str | None = None,
        author: str | None = None, committer: str | None = None, done: int | None = None, published: int | None = None,
        zone: str = "+0000", parents: list[str] | None = None, header: str = "", namespace: str = "git",
        branch: str = "main", tree: str | None = None, sign: bool = True, spoil: str = "",
    ) -> str:  # fmt: skip
        """Add a commit to ``branch``. Any part may be other than it should be; ``spoil``: the message once signed."""
        head = self.head(branch)
        parents = [head] if parents is None else parents
        tree = tree or self.tree(parents[0] if parents else "", changes)
        author = author or f"{by} <{by}@example.org>"
        done = self.time() if done is None else done
        published = max(done, self.time()) if published is None else published
        rows = [f"tree {tree}", *(f"parent {p}" for p in parents), f"author {author} {done} {zone}"]
        rows.append(f"committer {committer or author} {published} {zone}")
        text = message if isinstance(message, bytes) else message.encode("utf-8", "surrogateescape")
        payload = ("\n".join(rows) + "\n" + header).encode() + b"\n" + text
        data = payload
        if sign:
            armor = self.sign(payload, signed_by or by, namespace).rstrip("\n").replace("\n", "\n ")
            at = payload.index(b"\n\n") + 1
            data = payload[:at] + f"gpgsig {armor}\n".encode() + (f"\n{spoil}".encode() if spoil else payload[at:])
        commit = self.git("hash-object", "-t", "commit", "-w", "--stdin", "--literally", feed=data)
        self.move(commit, branch)
        self.times[commit] = published
        self.made.append((commit, author.partition(" ")[0]))
        return commit

    def time(self, branch: str = "main") -> int:
        head = self.head(branch)
        if head not in self.times:
            self.times[head] = int(self.git("log", "-1", "--format=%ct", head))
        return self.times[head]

    # --- as vrt would write it, so that one thing can be changed -----------------------------------

    def event(
        self, action: str, subject: str, ticket: str = "", facts: dict[str, str] | None = None, *,
        files: dict[str, Change] | None = None, edit: Callable[[str], str | bytes] = lambda text: text, id: str = "",
        folder: str = "", **more: Any,
    ) -> str:  # fmt: skip
        """Add an event. ``subject`` is the first line; ``files`` those that it adds, by their endings."""
        done = more.setdefault("done", self.time())
        id = id or f"{datetime.fromtimestamp(done, timezone.utc):%Y%m%dT%H%M%SZ}-{action}-{os.urandom(4).hex()}"
        rows = ([f"Ticket: {ticket}"] if ticket else []) + [f"Action: {action}", f"Event: {id}"]
        rows += [f"{name}: {value}" for name, value in (facts or {}).items()]
        changes: dict[str, Change] = {}
        if ticket:
            given = {"": b""} if files is None else files
            changes = {f"{folder or place(ticket)}/{id}{ending}": data for ending, data in given.items()}
        changes |= more.pop("also", {})
        text = edit(f"{subject}\n\n" + "\n".join(rows) + "\n")
        return self.commit(text, changes, **more)

    def said(self, ticket: str, **more: Any) -> str:
        """Add a lawful note of bob (its content is noise)."""
        return self.event("note", f"note {ticket}", ticket, files={".md.age": noise()}, **more)

    def take(self, ticket: str, facts: dict[str, str] | None = None, **more: Any) -> str:
        owner = more.get("by", "bob")
        facts = {"Owner": owner, "Lock": "2030-01-01T00:00:00Z"} if facts is None else facts
        return self.event("take", f"take {ticket}", ticket, facts, **more)

    def receive(self, ticket: str, facts: dict[str, str] | None = None, queue: str = "info-en", **more: Any) -> str:
        facts = {"Queue": queue, "Content-Ref": REF} if facts is None else facts
        subject = f"receive {ticket}" + (f" in {facts['Queue']}" if "Queue" in facts else "")
        files = {".eml.age": noise(), ".md.age": noise()}
        return self.event("receive", subject, ticket, facts, **{"files": files, **more})

    def desk_event(self, action: str, facts: dict[str, str], also: dict[str, Change], **more: Any) -> str:
        subject = " ".join([action, *([facts[n] for n in ("Agent", "Queue") if n in facts][:1])])
        return self.event(action, subject, "", facts, also=also, **{"by": "alice", **more})

    def seal(self, files: dict[str, Change], *, ledger: str | None = None, message: str = "", **more: Any) -> str:
        """Add a commit to the keyring. A name with ``HASH`` in it gets the hash of its content."""
        named = {}
        for path, data in files.items():
            digest = hashlib.sha256(data).hexdigest()[:8] if isinstance(data, bytes) else ""
            named[path.replace("HASH", digest)] = data
        text = message or f"seal {len(named)} keys\n\nLedger: {ledger or self.head()}\n"
        return self.commit(text, named, branch="keys", **{"done": self.time(), **more})


REF = "1:AAAAAAAAAAAAAAAAAAAAAAAAAA"


def noise() -> bytes:
    """What looks sealed and opens for nobody."""
    return b"age-encryption.org/v1\n" + os.urandom(200)


def digit(digits: str) -> str:
    """The check digit by the words of docs/FORMAT.md 2.1."""
    c = 10 - sum(int(d) * w for d, w in zip(digits, [1, 2] * 10, strict=False)) % 10
    return str(1 if c == 10 else c)


def number(system_id: str, counter: int, day: str = "20261120") -> str:
    digits = f"{day}{system_id}{counter:05}"
    return digits + digit(digits)


def place(n: str) -> str:
    return f"tickets/{n[:4]}/{n[4:6]}/{n[6:8]}/{n[-6:-3]}/{n}"


def key_of(home: Path) -> str:
    return " ".join((home / "signing.pub").read_text().split()[:2])


# --- a desk to forge in ---------------------------------------------------------------------------


@dataclass
class Office:
    """A lawful desk and who works in it. ``n``: in info-en; ``other``: in permissions-en; ``shut``: closed."""

    people: dict[str, Person]
    n: str = ""
    other: str = ""
    shut: str = ""

    @property
    def alice(self) -> Person:
        return self.people["alice"]


def admit(admin: Person, folder: Path, handle: str, *queues: str, role: str = "agent") -> Person:
    """Admit somebody to the admin's desk; they work in the same folder of keys, not in a copy."""
    person = Person(folder / f"home-{handle}")
    card = folder / f"{handle}.yaml"
    card.write_text(person.ok("identity").out)
    flags = [f for q in queues for f in ("--queue", q)]
    admin.ok("agent", "add", handle, "--card", str(card), "--role", role, "--agreed", "2026-11-01", *flags)
    return person


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    folder = tmp_path_factory.mktemp("office")
    alice = founded(folder)
    people = {"alice": alice}
    people["bob"] = admit(alice, folder, "bob", "info-en")
    people["carol"] = admit(alice, folder, "carol", "permissions-en")
    people["rita"] = admit(alice, folder, "rita", role="reviewer")
    people["inbox"] = admit(alice, folder, "inbox", role="intake")
    people["mallory"] = Person(folder / "home-mallory")
    people["mallory"].ok("identity")
    made = Office(people)
    made.n, made.other, made.shut = alice.receive(
        mail("About the bridge"), mail("May I?", to="permissions-en@example.org"), mail("Done soon")
    )
    alice.ok("close", made.shut, "--outcome", "successful")
    alice.ok("note", made.n, "-m", "first look")
    return made


@pytest.fixture
def forger(office: Office, tmp_path: Path) -> Forger:
    """A forger in a copy of the desk."""
    desk = tmp_path / "desk"
    assert office.alice.desk is not None
    shutil.copytree(office.alice.desk, desk, copy_function=linked)
    return Forger(desk, {h: p.home / "keys" for h, p in office.people.items()})


def linked(source: str, target: str) -> None:
    """Copy a file; what never changes is linked, the index left to be made anew."""
    if "/objects/" in source:
        os.link(source, target)
    elif "index." not in source:
        shutil.copy(source, target)


def verified(forger: Forger, office: Office) -> Done:
    """Run ``vrt verify`` as alice in the forger's copy; in this process, since there are so many."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setenv("VRT_HOME", str(office.alice.home / "keys"))
        patch.setenv("XDG_RUNTIME_DIR", str(office.alice.home / "run"))
        with pytest.raises(SystemExit) as end:
            main(["-C", str(forger.desk), "verify"])
    return Done(int(str(end.value.code)), out.getvalue(), err.getvalue())


# --- what is lawful -------------------------------------------------------------------------------


def test_a_day_of_all_acts_is_lawful(office: Office, tmp_path: Path) -> None:
    assert office.alice.desk is not None
    desk = tmp_path / "desk"
    shutil.copytree(office.alice.desk, desk)
    alice = Person(office.alice.home, desk)
    alice.ok("take", office.n)
    alice.ok("priority", office.n, "1")
    alice.ok("tag", office.n, "+urgent", "+press")
    alice.ok("tag", office.n, "-press")
    alice.ok("pend", office.n, "--until", "2w")
    alice.ok("release", office.n)
    alice.ok("assign", office.n, "bob")
    alice.ok("close", office.n, "--outcome", "no-reply-needed", "--force")
    alice.ok("reopen", office.n)
    alice.ok("route", office.n, "permissions-en")
    alice.ok("next")
    alice.ok("new", "--queue", "info-en", "--subject", "a call", "-m", "they rang")
    alice.ok("queue", "set", "info-en", "--lock-timeout", "2h")
    alice.ok("agent", "queues", "bob", "+permissions-en")
    alice.ok("maintain")
    done = alice.ok("verify", "--json").json
    assert done["breaches"] == []
    assert done["events"] == len(alice.git("rev-list", "main").split())


def test_hand_made_events_are_lawful(office: Office, forger: Forger) -> None:
    """All that the forger writes by default the law accepts, so a refusal below is for the one thing changed."""
    f, n = forger, office.n
    f.said(n)
    f.take(n)
    f.event("priority", f"priority {n} 1", n, {"Priority": "1"})
    f.event("tag", f"tag {n} +urgent", n, {"Tag": "+urgent"})
    f.event("pend", f"pend {n} until 2030-01-01T00:00:00Z", n, {"Until": "2030-01-01T00:00:00Z"})
    f.event("release", f"release {n}", n)
    f.event("assign", f"assign {n} to alice", n, {"Owner": "alice", "Lock": "2030-01-01T00:00:00Z"})
    f.event("close", f"close {n} as spam", n, {"Outcome": "spam", "Force": "yes"})
    f.event("reopen", f"reopen {n}", n)
    f.event("route", f"route {n} to permissions-en", n, {"Queue": "permissions-en"})
    f.receive(n, {"Follow-Up": "references", "Content-Ref": REF}, by="inbox")
    f.receive(number(f.yaml_value("agents/inbox.yaml", "system_id"), 1), by="inbox", queue="postmaster")
    f.event(
        "new", f"new {number('11', 1)} in info-en", number("11", 1), {"Queue": "info-en"}, files={".md.age": noise()}
    )
    f.desk_event("queue-set", {"Queue": "junk"}, {"queues/junk.yaml": f.yaml("queues/junk.yaml", lock_timeout="1h")})
    f.desk_event(
        "agent-queues", {"Agent": "carol"},
        {"agents/carol.yaml": f.yaml("agents/carol.yaml", queues=["info-en", "permissions-en"])},
    )  # fmt: skip
    f.desk_event("agent-add", {"Agent": "mallory"}, newcomer(f, "mallory"))
    f.desk_event("queue-add", {"Queue": "info-de"}, added_queue(f))
    f.seal({f"{place(n)}/salt.info-en.HASH.age": b"a", "queues/info-en/1.carol.HASH.age": b"b"})
    done = verified(f, office)
    assert done.code == 0, done.err


def test_time_may_stand_still_and_authors_may_be_early(office: Office, forger: Forger) -> None:
    """Dates are claims: an event may have been done long before it was published."""
    forger.said(office.n, done=1_600_000_000, published=forger.time())
    assert verified(forger, office).code == 0


# --- what is not ----------------------------------------------------------------------------------


def newcomer(f: Forger, handle: str, *, roles: tuple[str, ...] = ("agent",), **changes: Any) -> dict[str, Change]:
    """The files with which an admin admits the holder of a home folder of that name."""
    recipient = (f.homes[handle] / "identity.txt").read_text().split("public key: ")[1].split()[0]
    signing = key_of(f.homes[handle])
    card = {"roles": list(roles), "recipient": recipient, "signing": signing, "queues": [], "system_id": "77"} | changes
    line = f'{handle}@example.org namespaces="git" {card.get("signing")}\n'
    return {
        f"agents/{handle}.yaml": yaml.safe_dump(card).encode(),
        "allowed_signers": f.show("allowed_signers") + line.encode(),
    }


def added_queue(f: Forger, **changes: Any) -> dict[str, Change]:
    """The files with which alice makes the queue info-de and enters it."""
    queues = sorted([*f.yaml_value("agents/alice.yaml", "queues"), "info-de"])
    return {
        "queues/info-de.yaml": new_queue(**changes),
        "agents/alice.yaml": f.yaml("agents/alice.yaml", queues=queues),
    }


def new_queue(**changes: Any) -> bytes:
    recipient = crypt.new_identity()[1]
    value = {"addresses": ["info-de@example.org"], "language": "de", "recipient": recipient, "epoch": 1}
    return yaml.safe_dump(value | changes).encode()


def left(f: Forger, handle: str, queue: str, **changes: Any) -> dict[str, Change]:
    """The files with which an admin takes an agent out of its only queue, which gets a new key."""
    _, recipient = crypt.new_identity()
    card, file = f"agents/{handle}.yaml", f"queues/{queue}.yaml"
    new = {"recipient": recipient, "epoch": 2, "former": [f.yaml_value(file, "recipient")]} | changes
    return {card: f.yaml(card, queues=[]), file: f.yaml(file, **new)}


Case = Callable[[Forger, Office], object]


def register() -> tuple[list[Any], Callable[..., Callable[[Case], Case]]]:
    """Return a list of forged histories, and the decorator that puts one into it.

    The last commit that a history makes breaks ``rule``, in the name of ``who``.
    """
    known: list[Any] = []

    def forgery(rule: int, who: str = "bob") -> Callable[[Case], Case]:
        def put(case: Case) -> Case:
            known.append(pytest.param(case, rule, who, id=case.__name__.replace("_", "-")))
            return case

        return put

    return known, forgery


FORGERIES, forgery = register()


# rule 1: who


@forgery(1)
def unsigned(f: Forger, o: Office) -> None:
    f.said(o.n, sign=False)


@forgery(1)
def signed_by_another_card(f: Forger, o: Office) -> None:
    f.said(o.n, signed_by="alice")


@forgery(1)
def signed_by_a_stranger(f: Forger, o: Office) -> None:
    f.said(o.n, signed_by="mallory")


@forgery(1, "mallory")
def author_is_a_stranger(f: Forger, o: Office) -> None:
    f.said(o.n, by="mallory")


@forgery(1, "recovery")
def recovery_card_acts(f: Forger, o: Office) -> None:
    f.said(o.n, by="recovery", signed_by="alice")


@forgery(1)
def signature_of_another_commit(f: Forger, o: Office) -> None:
    armor = f.git("cat-file", "commit", f.said(o.n)).partition("gpgsig ")[2].partition("-----END SSH SIGNATURE-----")[0]
    f.said(o.n, sign=False, header=f"gpgsig {armor}-----END SSH SIGNATURE-----\n")


@forgery(1)
def message_changed_after_signing(f: Forger, o: Office) -> None:
    text, _ = _priority(o.n)
    other = text.replace(f"{o.n} 1", f"{o.n} 5").replace("Priority: 1", "Priority: 5")
    f.commit(text, {f"{place(o.n)}/{_ID}": b""}, done=_DONE, spoil=other)


@forgery(1)
def signed_for_another_namespace(f: Forger, o: Office) -> None:
    f.said(o.n, namespace="file")


@forgery(1)
def signature_is_rubbish(f: Forger, o: Office) -> None:
    f.said(o.n, sign=False, header="gpgsig -----BEGIN SSH SIGNATURE-----\n AAAA\n -----END SSH SIGNATURE-----\n")


@forgery(1)
def signature_is_a_pgp_one(f: Forger, o: Office) -> None:
    f.said(o.n, sign=False, header="gpgsig -----BEGIN PGP SIGNATURE-----\n \n iQ==\n -----END PGP SIGNATURE-----\n")


@forgery(1)
def committer_is_another(f: Forger, o: Office) -> None:
    f.said(o.n, committer="alice <alice@example.org>")


@forgery(1)
def author_of_another_domain(f: Forger, o: Office) -> None:
    f.said(o.n, author="bob <bob@elsewhere.example>")


@forgery(1)
def author_with_another_address(f: Forger, o: Office) -> None:
    f.said(o.n, author="bob <alice@example.org>")


@forgery(1)
def author_with_a_full_name(f: Forger, o: Office) -> None:
    f.said(o.n, author="bob Smith <bob@example.org>")


@forgery(1)
def other_time_zone(f: Forger, o: Office) -> None:
    f.said(o.n, zone="+0100")


@forgery(4)
def extra_header(f: Forger, o: Office) -> None:
    f.said(o.n, header="encoding latin-1\n")


@forgery(4)
def free_text_in_a_header(f: Forger, o: Office) -> None:
    f.said(o.n, header="x-note jane@example.com complains\n")


@forgery(1, "mallory")
def admitted_only_afterwards(f: Forger, o: Office) -> None:
    """A newcomer's event stands before the event that admits her: it must be the one refused."""
    early = f.said(o.n, by="mallory")
    f.desk_event("agent-add", {"Agent": "mallory"}, newcomer(f, "mallory", queues=["info-en"]))
    f.made.append((early, "mallory"))


# rule 2: one line


@forgery(2, "")
def merge(f: Forger, o: Office) -> None:
    base = f.head()
    side = f.said(o.n)
    f.move(base)
    f.said(o.n)
    f.said(o.n, parents=[f.head(), side])


@forgery(2)
def merge_with_its_own_past(f: Forger, o: Office) -> None:
    f.said(o.n, parents=[f.head(), f.git("rev-parse", "main~2")])


@forgery(2)
def same_parent_twice(f: Forger, o: Office) -> None:
    f.said(o.n, parents=[f.head(), f.head()])


@forgery(2)
def published_before_its_parent(f: Forger, o: Office) -> None:
    f.said(o.n, published=f.time() - 1)


@forgery(2, "")
def two_roots(f: Forger, o: Office) -> None:
    root = f.git("rev-list", "--max-parents=0", "main")
    lone = f.commit("x\n", {}, by="alice", parents=[], tree=f.git("rev-parse", f"{root}^{{tree}}"))
    f.said(o.n, parents=[root, lone], by="alice")


# rule 3: only additions, in their place


@forgery(3)
def article_changed(f: Forger, o: Office) -> None:
    path = f.git("ls-tree", "-r", "--name-only", "main", place(o.n) + "/").splitlines()[1]
    f.take(o.n, also={path: b"something else"})


@forgery(3)
def article_removed(f: Forger, o: Office) -> None:
    path = f.git("ls-tree", "-r", "--name-only", "main", place(o.n) + "/").splitlines()[0]
    f.take(o.n, also={path: None})


@forgery(3)
def whole_ticket_removed(f: Forger, o: Office) -> None:
    paths = f.git("ls-tree", "-r", "--name-only", "main", place(o.other) + "/").splitlines()
    f.take(o.n, also=dict.fromkeys(paths))


@forgery(3)
def extra_file(f: Forger, o: Office) -> None:
    f.take(o.n, also={f"{place(o.n)}/readme": b"hello"})


@forgery(3)
def extra_file_at_the_top(f: Forger, o: Office) -> None:
    f.take(o.n, also={"jane-doe.txt": b"hello"})


@forgery(3)
def file_of_an_act_not_empty(f: Forger, o: Office) -> None:
    f.take(o.n, files={".md.age": os.urandom(100)})


@forgery(3)
def act_with_plain_text_in_its_file(f: Forger, o: Office) -> None:
    f.take(o.n, files={"": b"Jane Roe of Example Street wrote this\n"})


@forgery(3)
def mail_without_its_original(f: Forger, o: Office) -> None:
    f.receive(number("11", 1), files={".md.age": b"x"})


@forgery(3)
def note_with_an_original(f: Forger, o: Office) -> None:
    f.event("note", f"note {o.n}", o.n, files={".md.age": b"x", ".eml.age": b"y"})


@forgery(3)
def no_file_at_all(f: Forger, o: Office) -> None:
    f.take(o.n, files={})


@forgery(3)
def in_the_folder_of_another_ticket(f: Forger, o: Office) -> None:
    f.take(o.n, folder=place(o.other))


@forgery(3)
def in_another_bucket(f: Forger, o: Office) -> None:
    f.take(o.n, folder=place(o.n).replace("/000/", "/001/"))


@forgery(3)
def file_named_by_another_id(f: Forger, o: Office) -> None:
    f.event("release", f"release {o.n}", o.n, files={"x": b""})


@forgery(3)
def executable_file(f: Forger, o: Office) -> None:
    f.take(o.n, files={"": ("100755", b"")})


@forgery(3)
def symbolic_link(f: Forger, o: Office) -> None:
    f.take(o.n, files={"": ("120000", b"/etc/passwd")})


@forgery(3)
def submodule(f: Forger, o: Office) -> None:
    f.take(o.n, files={"": ("160000", f.head())})


@forgery(3)
def desk_file_changed_by_a_ticket_event(f: Forger, o: Office) -> None:
    f.take(o.n, also={"agents/bob.yaml": f.yaml("agents/bob.yaml", roles=["admin", "agent"])})


@forgery(3)
def event_id_replayed(f: Forger, o: Office) -> None:
    id = f.git("log", "-1", "--format=%s%n%b", f.said(o.n)).partition("Event: ")[2].split()[0]
    f.event("note", f"note {o.n}", o.n, id=id, files={".md.age": b"other"})


@forgery(3, "alice")
def event_id_replayed_on_another_ticket(f: Forger, o: Office) -> None:
    """The file is an addition there, but the id is taken."""
    commit = f.event("priority", f"priority {o.n} 1", o.n, {"Priority": "1"}, by="alice")
    id = f.git("log", "-1", "--format=%b", commit).partition("Event: ")[2].split()[0]
    f.event("priority", f"priority {o.other} 1", o.other, {"Priority": "1"}, id=id, by="alice")


@forgery(3)
def empty_folder_in_a_ticket(f: Forger, o: Office) -> None:
    tree = f.empty_folder(f.tree("main", {}), *place(o.n).split("/"), "jane-doe-complains")
    f.commit(*_priority(o.n), tree=f_with(f, tree, o.n), done=_DONE)


@forgery(3)
def empty_folder_among_the_cards(f: Forger, o: Office) -> None:
    tree = f.empty_folder(f.tree("main", {}), "agents", "zed.yaml")
    f.commit(*_priority(o.n), tree=f_with(f, tree, o.n), done=_DONE)


_DONE = 1_600_000_000
_ID = "20200913T122640Z-priority-00000001"


def _priority(n: str) -> tuple[str, dict[str, Change]]:
    return f"priority {n} 1\n\nTicket: {n}\nAction: priority\nEvent: {_ID}\nPriority: 1\n", {}


def f_with(f: Forger, tree: str, n: str) -> str:
    """``tree`` with the file of the event ``_ID`` put in by hand, since an index would lose empty folders."""

    def put(tree: str, names: list[str]) -> str:
        rows = f.git("ls-tree", tree).splitlines()
        if len(names) == 1:
            row = f"100644 blob {f.blob(b'')}\t{names[0]}"
        else:
            below = next(r.split("\t")[0].split()[2] for r in rows if r.endswith("\t" + names[0]))
            row = f"040000 tree {put(below, names[1:])}\t{names[0]}"
        rows = [r for r in rows if not r.endswith("\t" + names[0])]
        return f.git("mktree", feed=("\n".join([*rows, row]) + "\n").encode())

    return put(tree, [*place(n).split("/"), _ID])


# rule 4: the message


@forgery(4)
def trailer_that_the_action_may_not_carry(f: Forger, o: Office) -> None:
    f.event("note", f"note {o.n}", o.n, {"Owner": "bob"}, files={".md.age": b"x"})


@forgery(4)
def state_trailer(f: Forger, o: Office) -> None:
    f.event("release", f"release {o.n}", o.n, {"State": "closed"})


@forgery(4)
def trailer_missing(f: Forger, o: Office) -> None:
    f.take(o.n, {"Owner": "bob"})


@forgery(4)
def trailer_twice(f: Forger, o: Office) -> None:
    f.take(o.n, edit=lambda t: t + "Owner: alice\n")


@forgery(4)
def trailer_malformed(f: Forger, o: Office) -> None:
    f.event("priority", f"priority {o.n} 9", o.n, {"Priority": "9"})


@forgery(4)
def trailers_in_another_order(f: Forger, o: Office) -> None:
    f.take(o.n, {"Lock": "2030-01-01T00:00:00Z", "Owner": "bob"})


@forgery(4)
def trailer_in_lower_case(f: Forger, o: Office) -> None:
    f.event("priority", f"priority {o.n} 1", o.n, {"priority": "1"})


@forgery(4)
def impossible_time(f: Forger, o: Office) -> None:
    f.take(o.n, {"Owner": "bob", "Lock": "2030-02-30T00:00:00Z"})


@forgery(4)
def other_digits_in_a_time(f: Forger, o: Office) -> None:
    """Arabic-Indic digits: ``\\d`` would take them, and two readers may differ."""
    f.take(o.n, {"Owner": "bob", "Lock": "٢٠٣٠-01-01T00:00:00Z"})


@forgery(4)
def other_digits_in_the_number(f: Forger, o: Office) -> None:
    wide = o.n[:-1] + chr(ord("０") + int(o.n[-1]))
    f.event("release", f"release {wide}", wide, folder=place(o.n))


@forgery(4)
def free_text_after_the_trailers(f: Forger, o: Office) -> None:
    f.said(o.n, edit=lambda t: t + "\nThe lady from Example Street called again.\n")


@forgery(4)
def free_text_before_the_trailers(f: Forger, o: Office) -> None:
    f.said(o.n, edit=lambda t: t.replace("\n\n", "\n\nThe lady called again.\n\n", 1))


@forgery(4)
def free_text_in_the_subject(f: Forger, o: Office) -> None:
    f.said(o.n, edit=lambda t: t.replace("\n", " about Jane\n", 1))


@forgery(4)
def subject_of_another_act(f: Forger, o: Office) -> None:
    f.event("close", f"note {o.n}", o.n, {"Outcome": "spam"})


@forgery(4)
def subject_of_another_ticket(f: Forger, o: Office) -> None:
    f.event("close", f"close {o.other} as spam", o.n, {"Outcome": "spam"})


@forgery(4)
def carriage_returns(f: Forger, o: Office) -> None:
    f.said(o.n, edit=lambda t: t.replace("\n", "\r\n"))


@forgery(4)
def no_newline_at_the_end(f: Forger, o: Office) -> None:
    f.said(o.n, edit=lambda t: t.rstrip("\n"))


@forgery(4)
def blank_line_at_the_end(f: Forger, o: Office) -> None:
    f.said(o.n, edit=lambda t: t + "\n")


@forgery(4)
def spaces_at_the_end(f: Forger, o: Office) -> None:
    f.event("priority", f"priority {o.n} 1", o.n, {"Priority": "1 "})


@forgery(4)
def bytes_that_are_no_utf8(f: Forger, o: Office) -> None:
    f.said(o.n, edit=lambda t: t.encode().replace(b"note", b"n\xffte", 1))


@forgery(4)
def empty_message(f: Forger, o: Office) -> None:
    f.said(o.n, edit=lambda t: "")


@forgery(4)
def unknown_action(f: Forger, o: Office) -> None:
    f.event("purge", f"purge {o.n}", o.n)


@forgery(4)
def id_of_another_action(f: Forger, o: Office) -> None:
    f.event("release", f"release {o.n}", o.n, id=f"{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}-take-00000000")


@forgery(4)
def id_of_another_time(f: Forger, o: Office) -> None:
    f.event("release", f"release {o.n}", o.n, id="20200101T000000Z-release-00000000")


@forgery(4)
def id_with_upper_case_hex(f: Forger, o: Office) -> None:
    at = f.time()
    id = f"{datetime.fromtimestamp(at, timezone.utc):%Y%m%dT%H%M%SZ}-release-0000000A"
    f.event("release", f"release {o.n}", o.n, id=id, done=at)


@forgery(4)
def author_date_beyond_all_calendars(f: Forger, o: Office) -> None:
    f.event("release", f"release {o.n}", o.n, id="20200101T000000Z-release-00000000", done=10**14)


@forgery(4)
def wrong_check_digit(f: Forger, o: Office) -> None:
    n = number("11", 1)
    f.receive(n[:-1] + str((int(n[-1]) + 1) % 10))


@forgery(4)
def number_of_another_card(f: Forger, o: Office) -> None:
    f.receive(number("10", 500))


@forgery(4)
def number_too_short(f: Forger, o: Office) -> None:
    digits = "202611201"
    f.receive(digits + digit(digits))


@forgery(4)
def number_of_an_impossible_day(f: Forger, o: Office) -> None:
    f.receive(number("11", 1, "20269999"))


@forgery(4)
def unknown_outcome(f: Forger, o: Office) -> None:
    f.event("close", f"close {o.n} as hopeless", o.n, {"Outcome": "hopeless"})


@forgery(4)
def unknown_tag(f: Forger, o: Office) -> None:
    f.event("tag", f"tag {o.n} +jane-doe", o.n, {"Tag": "+jane-doe"})


@forgery(4)
def close_a_closed_ticket(f: Forger, o: Office) -> None:
    f.event("close", f"close {o.shut} as spam", o.shut, {"Outcome": "spam"})


@forgery(4)
def reopen_an_open_ticket(f: Forger, o: Office) -> None:
    f.event("reopen", f"reopen {o.n}", o.n)


@forgery(4)
def note_on_a_ticket_that_is_not_there(f: Forger, o: Office) -> None:
    f.said(number("11", 7))


@forgery(4)
def receive_a_ticket_that_is_there(f: Forger, o: Office) -> None:
    f.receive(o.n)


@forgery(4)
def new_over_a_ticket_that_is_there(f: Forger, o: Office) -> None:
    f.event("new", f"new {o.n} in info-en", o.n, {"Queue": "info-en"}, files={".md.age": b"x"})


@forgery(4)
def receive_with_queue_and_follow_up(f: Forger, o: Office) -> None:
    f.receive(o.n, {"Queue": "info-en", "Follow-Up": "references", "Content-Ref": REF})


@forgery(4)
def receive_with_neither(f: Forger, o: Office) -> None:
    f.receive(o.n, {"Content-Ref": REF})


@forgery(4)
def follow_up_to_nothing(f: Forger, o: Office) -> None:
    f.receive(number("11", 7), {"Follow-Up": "references", "Content-Ref": REF})


@forgery(4, "alice")
def ticket_in_an_event_of_the_desk(f: Forger, o: Office) -> None:
    f.event("queue-set", f"queue-set {o.n}", o.n, {"Queue": "junk"}, by="alice")


# rule 5: rights


@forgery(5, "rita")
def reviewer_writes_a_note(f: Forger, o: Office) -> None:
    f.said(o.n, by="rita")


@forgery(5, "inbox")
def intake_closes(f: Forger, o: Office) -> None:
    f.event("close", f"close {o.n} as spam", o.n, {"Outcome": "spam"}, by="inbox")


@forgery(5, "inbox")
def intake_writes_a_note(f: Forger, o: Office) -> None:
    f.said(o.n, by="inbox")


@forgery(5)
def act_in_a_foreign_queue(f: Forger, o: Office) -> None:
    f.event("close", f"close {o.other} as spam", o.other, {"Outcome": "spam"})


@forgery(5)
def route_out_of_a_foreign_queue(f: Forger, o: Office) -> None:
    f.event("route", f"route {o.other} to info-en", o.other, {"Queue": "info-en"})


@forgery(5)
def act_after_routing_it_away(f: Forger, o: Office) -> None:
    f.event("route", f"route {o.n} to permissions-en", o.n, {"Queue": "permissions-en"})
    f.said(o.n)


@forgery(5)
def route_to_a_queue_that_does_not_take_it(f: Forger, o: Office) -> None:
    f.desk_event(
        "queue-set", {"Queue": "permissions-en"},
        {"queues/permissions-en.yaml": f.yaml("queues/permissions-en.yaml", move_from=["junk"])},
    )  # fmt: skip
    f.event("route", f"route {o.n} to permissions-en", o.n, {"Queue": "permissions-en"})


@forgery(5)
def unknown_queue(f: Forger, o: Office) -> None:
    f.event("route", f"route {o.n} to nowhere", o.n, {"Queue": "nowhere"})


@forgery(5)
def take_for_somebody_else(f: Forger, o: Office) -> None:
    f.take(o.n, {"Owner": "alice", "Lock": "2030-01-01T00:00:00Z"})


@forgery(5)
def new_for_somebody_else(f: Forger, o: Office) -> None:
    n = number("11", 3)
    facts = {"Queue": "info-en", "Owner": "alice", "Lock": "2030-01-01T00:00:00Z"}
    f.event("new", f"new {n} in info-en", n, facts, files={".md.age": b"x"})


@forgery(5)
def assign_to_nobody(f: Forger, o: Office) -> None:
    f.event("assign", f"assign {o.n} to zoe", o.n, {"Owner": "zoe", "Lock": "2030-01-01T00:00:00Z"})


@forgery(5)
def assign_to_somebody_outside_the_queue(f: Forger, o: Office) -> None:
    f.event("assign", f"assign {o.n} to carol", o.n, {"Owner": "carol", "Lock": "2030-01-01T00:00:00Z"})


@forgery(5)
def assign_to_a_machine(f: Forger, o: Office) -> None:
    f.event("assign", f"assign {o.n} to inbox", o.n, {"Owner": "inbox", "Lock": "2030-01-01T00:00:00Z"})


@forgery(5)
def act_after_leaving_the_queue(f: Forger, o: Office) -> None:
    f.desk_event("agent-queues", {"Agent": "bob"}, left(f, "bob", "info-en"))
    f.said(o.n)


# rule 6: desk files


@forgery(6, "alice")
def leaver_whose_queue_keeps_its_key(f: Forger, o: Office) -> None:
    f.desk_event("agent-queues", {"Agent": "bob"}, {"agents/bob.yaml": f.yaml("agents/bob.yaml", queues=[])})


@forgery(6, "alice")
def leaver_whose_queue_stays_in_its_epoch(f: Forger, o: Office) -> None:
    f.desk_event("agent-queues", {"Agent": "bob"}, left(f, "bob", "info-en", epoch=1))


@forgery(6, "alice")
def leaver_whose_queue_changes_its_addresses(f: Forger, o: Office) -> None:
    f.desk_event("agent-queues", {"Agent": "bob"}, left(f, "bob", "info-en", addresses=["bob@example.org"]))


@forgery(6)
def desk_file_changed_by_an_agent(f: Forger, o: Office) -> None:
    f.desk_event(
        "queue-set", {"Queue": "info-en"},
        {"queues/info-en.yaml": f.yaml("queues/info-en.yaml", addresses=["bob@example.org"])}, by="bob",
    )  # fmt: skip


@forgery(6)
def agent_admits_a_friend(f: Forger, o: Office) -> None:
    f.desk_event("agent-add", {"Agent": "mallory"}, newcomer(f, "mallory"), by="bob")


@forgery(6)
def agent_makes_itself_admin(f: Forger, o: Office) -> None:
    """By an event whose tree already says so: rights are those at the parent."""
    f.desk_event(
        "agent-queues", {"Agent": "bob"}, {"agents/bob.yaml": f.yaml("agents/bob.yaml", roles=["admin", "agent"])},
        by="bob",
    )  # fmt: skip


@forgery(6)
def agent_puts_itself_in_a_queue(f: Forger, o: Office) -> None:
    f.desk_event(
        "agent-queues", {"Agent": "bob"}, {"agents/bob.yaml": f.yaml("agents/bob.yaml", queues=["permissions-en"])},
        by="bob",
    )  # fmt: skip


@forgery(6, "alice")
def last_admin_goes(f: Forger, o: Office) -> None:
    f.desk_event(
        "agent-queues", {"Agent": "alice"}, {"agents/alice.yaml": f.yaml("agents/alice.yaml", roles=["agent"])}
    )


@forgery(6, "alice")
def last_admin_dismissed(f: Forger, o: Office) -> None:
    f.desk_event("agent-queues", {"Agent": "alice"}, {"agents/alice.yaml": f.yaml("agents/alice.yaml", dismissed=True)})


@forgery(6, "alice")
def role_given_by_a_queue_event(f: Forger, o: Office) -> None:
    f.desk_event(
        "agent-queues", {"Agent": "bob"}, {"agents/bob.yaml": f.yaml("agents/bob.yaml", roles=["admin", "agent"])}
    )


@forgery(6, "alice")
def dismissed_by_a_queue_event(f: Forger, o: Office) -> None:
    f.desk_event("agent-queues", {"Agent": "bob"}, {"agents/bob.yaml": f.yaml("agents/bob.yaml", dismissed=True)})


@forgery(6, "alice")
def agreement_backdated_by_a_queue_event(f: Forger, o: Office) -> None:
    f.desk_event("agent-queues", {"Agent": "bob"}, {"agents/bob.yaml": f.yaml("agents/bob.yaml", agreed="2020-01-01")})


@forgery(6, "alice")
def signers_shrunk(f: Forger, o: Office) -> None:
    kept = b"".join(r for r in f.show("allowed_signers").splitlines(keepends=True) if not r.startswith(b"bob@"))
    f.desk_event("agent-add", {"Agent": "mallory"}, newcomer(f, "mallory") | {"allowed_signers": kept})


@forgery(6, "alice")
def signers_removed(f: Forger, o: Office) -> None:
    f.desk_event("agent-add", {"Agent": "mallory"}, newcomer(f, "mallory") | {"allowed_signers": None})


@forgery(6, "alice")
def signers_extended_by_a_foreign_key(f: Forger, o: Office) -> None:
    line = f'bob@example.org namespaces="git" {key_of(f.homes["mallory"])}\n'.encode()
    f.desk_event("agent-add", {"Agent": "bob"}, {"allowed_signers": f.show("allowed_signers") + line})


@forgery(6, "alice")
def signers_not_extended(f: Forger, o: Office) -> None:
    changes = newcomer(f, "mallory")
    del changes["allowed_signers"]
    f.desk_event("agent-add", {"Agent": "mallory"}, changes)


@forgery(6, "alice")
def signers_extended_by_a_certificate_authority(f: Forger, o: Office) -> None:
    changes = newcomer(f, "mallory")
    line = f'* cert-authority namespaces="git" {key_of(f.homes["mallory"])}\n'.encode()
    f.desk_event("agent-add", {"Agent": "mallory"}, changes | {"allowed_signers": f.show("allowed_signers") + line})


@forgery(6, "alice")
def signing_key_swapped(f: Forger, o: Office) -> None:
    key = key_of(f.homes["mallory"])
    line = f'bob@example.org namespaces="git" {key}\n'.encode()
    f.desk_event(
        "agent-queues", {"Agent": "bob"},
        {"agents/bob.yaml": f.yaml("agents/bob.yaml", signing=key),
         "allowed_signers": f.show("allowed_signers") + line},
    )  # fmt: skip


@forgery(6, "alice")
def recipient_swapped(f: Forger, o: Office) -> None:
    recipient = yaml.safe_load(f.show("agents/carol.yaml"))["recipient"]
    f.desk_event(
        "agent-queues", {"Agent": "bob"}, {"agents/bob.yaml": f.yaml("agents/bob.yaml", recipient=recipient)}
    )  # fmt: skip


@forgery(6, "alice")
def queue_recipient_swapped(f: Forger, o: Office) -> None:
    """All mail to come would be sealed to one admin alone, and the members would not know."""
    recipient = yaml.safe_load(f.show("agents/alice.yaml"))["recipient"]
    f.desk_event(
        "queue-set", {"Queue": "info-en"}, {"queues/info-en.yaml": f.yaml("queues/info-en.yaml", recipient=recipient)}
    )


@forgery(6, "alice")
def queue_epoch_set_back(f: Forger, o: Office) -> None:
    f.desk_event("queue-set", {"Queue": "info-en"}, {"queues/info-en.yaml": f.yaml("queues/info-en.yaml", epoch=0)})


@forgery(6, "alice")
def second_init(f: Forger, o: Office) -> None:
    f.desk_event("init", {"Keyring": f.head("keys")}, {})


@forgery(6, "alice")
def desk_settings_changed(f: Forger, o: Office) -> None:
    f.desk_event("agent-add", {"Agent": "bob"}, {"desk.yaml": f.yaml("desk.yaml", domain="elsewhere.example")})


@forgery(6, "alice")
def two_cards_with_one_signing_key(f: Forger, o: Office) -> None:
    f.desk_event("agent-add", {"Agent": "mallory"}, newcomer(f, "mallory", signing=key_of(f.homes["bob"])))


@forgery(6, "alice")
def two_cards_with_one_recipient(f: Forger, o: Office) -> None:
    recipient = yaml.safe_load(f.show("agents/bob.yaml"))["recipient"]
    f.desk_event("agent-add", {"Agent": "mallory"}, newcomer(f, "mallory", recipient=recipient))


@forgery(6, "alice")
def two_cards_with_one_system_id(f: Forger, o: Office) -> None:
    f.desk_event("agent-add", {"Agent": "mallory"}, newcomer(f, "mallory", system_id="11"))


@forgery(6, "alice")
def system_id_changed(f: Forger, o: Office) -> None:
    f.desk_event("agent-queues", {"Agent": "bob"}, {"agents/bob.yaml": f.yaml("agents/bob.yaml", system_id="99")})


@forgery(6, "alice")
def queue_named_like_an_agent(f: Forger, o: Office) -> None:
    f.desk_event("queue-add", {"Queue": "bob"}, {"queues/bob.yaml": new_queue()})


@forgery(6, "alice")
def agent_named_like_a_queue(f: Forger, o: Office) -> None:
    changes = newcomer(f, "mallory")
    card = changes.pop("agents/mallory.yaml")
    line = f'junk@example.org namespaces="git" {key_of(f.homes["mallory"])}\n'.encode()
    changes = {"agents/junk.yaml": card, "allowed_signers": f.show("allowed_signers") + line}
    f.desk_event("agent-add", {"Agent": "junk"}, changes)


@forgery(6, "alice")
def card_removed(f: Forger, o: Office) -> None:
    f.desk_event("agent-queues", {"Agent": "bob"}, {"agents/bob.yaml": None})


@forgery(6, "alice")
def queue_removed(f: Forger, o: Office) -> None:
    f.desk_event("queue-set", {"Queue": "junk"}, {"queues/junk.yaml": None})


@forgery(6, "alice")
def other_card_than_the_event_says(f: Forger, o: Office) -> None:
    f.desk_event("agent-queues", {"Agent": "bob"}, {"agents/carol.yaml": f.yaml("agents/carol.yaml", queues=[])})


@forgery(6, "alice")
def other_card_changed_by_a_new_queue(f: Forger, o: Office) -> None:
    """Carol loses all her queues in an event that names neither her nor them."""
    f.desk_event(
        "queue-add", {"Queue": "info-de"},
        added_queue(f) | {"agents/carol.yaml": f.yaml("agents/carol.yaml", queues=[])},
    )  # fmt: skip


@forgery(6, "alice")
def agent_add_that_adds_nobody(f: Forger, o: Office) -> None:
    f.desk_event("agent-add", {"Agent": "zoe"}, {})


@forgery(6, "alice")
def queue_set_that_sets_nothing(f: Forger, o: Office) -> None:
    f.desk_event("queue-set", {"Queue": "nowhere"}, {})


@forgery(6, "alice")
def unknown_setting(f: Forger, o: Office) -> None:
    f.desk_event("queue-set", {"Queue": "junk"}, {"queues/junk.yaml": f.yaml("queues/junk.yaml", hidden="x")})


@forgery(6, "alice")
def setting_of_the_wrong_type(f: Forger, o: Office) -> None:
    f.desk_event("queue-set", {"Queue": "junk"}, {"queues/junk.yaml": f.yaml("queues/junk.yaml", addresses="x@y")})


@forgery(6, "alice")
def desk_file_that_is_no_yaml(f: Forger, o: Office) -> None:
    f.desk_event("queue-set", {"Queue": "junk"}, {"queues/junk.yaml": b"a: [\n"})


@forgery(6)
def desk_file_with_an_impossible_date(f: Forger, o: Office) -> None:
    f.desk_event("agent-queues", {"Agent": "bob"}, {"agents/bob.yaml": b"agreed: 2026-99-99\n"}, by="bob")


@forgery(6)
def desk_file_nested_too_deep(f: Forger, o: Office) -> None:
    f.desk_event("agent-queues", {"Agent": "bob"}, {"agents/bob.yaml": b"a: " + b"[" * 20_000}, by="bob")


@forgery(6, "alice")
def desk_file_elsewhere(f: Forger, o: Office) -> None:
    f.desk_event("queue-set", {"Queue": "junk"}, {"queues/sub/junk.yaml": b"a: b\n"})


@forgery(6, "alice")
def desk_file_executable(f: Forger, o: Office) -> None:
    path = "queues/junk.yaml"
    f.desk_event("queue-set", {"Queue": "junk"}, {path: ("100755", f.yaml(path, lock_timeout="1h"))})


@forgery(6, "alice")
def desk_file_is_a_link(f: Forger, o: Office) -> None:
    f.desk_event("queue-set", {"Queue": "junk"}, {"queues/junk.yaml": ("120000", b"info-en.yaml")})


@forgery(6, "alice")
def article_added_by_a_desk_event(f: Forger, o: Office) -> None:
    path = "queues/junk.yaml"
    f.desk_event("queue-set", {"Queue": "junk"}, {path: f.yaml(path, lock_timeout="1h"), f"{place(o.n)}/x": b""})


@forgery(6, "alice")
def card_in_a_queue_that_is_not_there(f: Forger, o: Office) -> None:
    f.desk_event("agent-queues", {"Agent": "bob"}, {"agents/bob.yaml": f.yaml("agents/bob.yaml", queues=["nowhere"])})


@forgery(6, "alice")
def recipient_that_is_no_key(f: Forger, o: Office) -> None:
    f.desk_event("queue-add", {"Queue": "info-de"}, added_queue(f, recipient="age1nonsense"))


@forgery(6, "alice")
def recipient_of_a_plugin(f: Forger, o: Office) -> None:
    plugin = "age1yubikey1qwt50d05nh5vutpdzmlg5wn80xq5negm4uj9ghv0snvdd3yysf5yw3rhl3t"
    f.desk_event("agent-add", {"Agent": "mallory"}, newcomer(f, "mallory", recipient=plugin))


# rule 9: the keyring


def _some_key(f: Forger) -> str:
    return f.git("ls-tree", "-r", "--name-only", "keys", "tickets/").splitlines()[0]


@forgery(9, "alice")
def key_overwritten(f: Forger, o: Office) -> None:
    f.seal({_some_key(f): b"other"}, by="alice")


@forgery(9, "alice")
def key_removed(f: Forger, o: Office) -> None:
    f.seal({_some_key(f): None}, by="alice")


@forgery(9)
def key_in_a_foreign_place(f: Forger, o: Office) -> None:
    f.seal({"notes/readme.txt": b"x"})


@forgery(9)
def key_under_a_number_that_is_none(f: Forger, o: Office) -> None:
    n = o.n[:-1] + str((int(o.n[-1]) + 1) % 10)
    f.seal({f"{place(n)}/salt.info-en.HASH.age": b"x"})


@forgery(9)
def key_in_another_bucket(f: Forger, o: Office) -> None:
    f.seal({f"{place(o.n).replace('/000/', '/001/')}/salt.info-en.HASH.age": b"x"})


@forgery(9)
def key_executable(f: Forger, o: Office) -> None:
    f.seal({f"{place(o.n)}/salt.info-en.00000000.age": ("100755", b"x")})


@forgery(9)
def key_not_named_by_its_hash(f: Forger, o: Office) -> None:
    f.seal({f"{place(o.n)}/salt.info-en.00000000.age": b"x"})


@forgery(9)
def keyring_unsigned(f: Forger, o: Office) -> None:
    f.seal({f"{place(o.n)}/salt.info-en.HASH.age": b"x"}, sign=False)


@forgery(9)
def keyring_signed_by_another(f: Forger, o: Office) -> None:
    f.seal({f"{place(o.n)}/salt.info-en.HASH.age": b"x"}, signed_by="carol")


@forgery(9, "mallory")
def keyring_by_a_stranger(f: Forger, o: Office) -> None:
    f.seal({f"{place(o.n)}/salt.info-en.HASH.age": b"x"}, by="mallory")


@forgery(9)
def keyring_committer_is_another(f: Forger, o: Office) -> None:
    f.seal({f"{place(o.n)}/salt.info-en.HASH.age": b"x"}, committer="alice <alice@example.org>")


@forgery(9)
def keyring_merge(f: Forger, o: Office) -> None:
    f.seal({f"{place(o.n)}/salt.info-en.HASH.age": b"x"}, parents=[f.head("keys"), f.git("rev-parse", "keys~1")])


@forgery(9, "alice")
def keyring_made_anew(f: Forger, o: Office) -> None:
    """Re-rooted without an event that says so: what it once held would be gone."""
    f.seal({}, parents=[], tree=f.git("rev-parse", "keys^{tree}"), by="alice",
           message=f"seal {len(f.git('ls-tree', '-r', 'keys').splitlines())} keys\n")  # fmt: skip


@forgery(9)
def keyring_free_text(f: Forger, o: Office) -> None:
    f.seal({f"{place(o.n)}/salt.info-en.HASH.age": b"x"}, message=f"seal Jane\n\nLedger: {f.head()}\n")


@forgery(9)
def keyring_wrong_count(f: Forger, o: Office) -> None:
    f.seal({f"{place(o.n)}/salt.info-en.HASH.age": b"x"}, message=f"seal 2 keys\n\nLedger: {f.head()}\n")


@forgery(9)
def keyring_without_its_place_in_the_ledger(f: Forger, o: Office) -> None:
    f.seal({f"{place(o.n)}/salt.info-en.HASH.age": b"x"}, message="seal 1 keys\n")


@forgery(9)
def keyring_goes_back_in_the_ledger(f: Forger, o: Office) -> None:
    f.seal({f"{place(o.n)}/salt.info-en.HASH.age": b"x"})
    f.seal({f"{place(o.n)}/salt.info-en.HASH.age": b"y"}, ledger=f.git("rev-parse", "main~1"))


@forgery(9)
def keyring_names_a_commit_that_is_not_on_the_ledger(f: Forger, o: Office) -> None:
    f.seal({f"{place(o.n)}/salt.info-en.HASH.age": b"x"}, ledger=f.head("keys"))


@forgery(9, "mallory")
def keyring_by_a_card_before_it_was_admitted(f: Forger, o: Office) -> None:
    before = f.head()
    f.desk_event("agent-add", {"Agent": "mallory"}, newcomer(f, "mallory", queues=["info-en"]))
    f.seal({f"{place(o.n)}/salt.info-en.HASH.age": b"x"}, by="mallory", ledger=before)


@forgery(9)
def keyring_published_before_its_parent(f: Forger, o: Office) -> None:
    f.seal({f"{place(o.n)}/salt.info-en.HASH.age": b"x"}, done=f.time("keys") - 10, published=f.time("keys") - 10)


@forgery(9)
def keyring_adds_nothing(f: Forger, o: Office) -> None:
    f.seal({})


@forgery(9)
def queue_key_to_somebody_outside(f: Forger, o: Office) -> None:
    """A member gives the queue's key to one who was never in it."""
    f.seal({"queues/info-en/1.carol.HASH.age": b"x"})


@forgery(9)
def queue_key_to_a_reviewer(f: Forger, o: Office) -> None:
    f.seal({"queues/info-en/1.rita.HASH.age": b"x"})


@forgery(9, "carol")
def queue_key_by_somebody_outside(f: Forger, o: Office) -> None:
    f.seal({"queues/info-en/1.bob.HASH.age": b"x"}, by="carol")


@forgery(9, "inbox")
def queue_key_by_intake(f: Forger, o: Office) -> None:
    f.seal({"queues/info-en/1.bob.HASH.age": b"x"}, by="inbox")


@forgery(9, "inbox")
def desk_secret_by_intake(f: Forger, o: Office) -> None:
    f.seal({"desk/1.bob.HASH.age": b"x"}, by="inbox")


@forgery(9)
def desk_secret_to_a_reviewer(f: Forger, o: Office) -> None:
    f.seal({"desk/1.rita.HASH.age": b"x"})


@forgery(9, "rita")
def article_key_by_a_reviewer(f: Forger, o: Office) -> None:
    f.seal({f"{place(o.n)}/salt.info-en.HASH.age": b"x"}, by="rita")


@forgery(9, "carol")
def article_key_by_somebody_outside_the_queue(f: Forger, o: Office) -> None:
    id = f.git("ls-tree", "--name-only", f"main:{place(o.n)}").splitlines()[0].removesuffix(".eml.age")
    f.seal({f"{place(o.n)}/{id}.carol.HASH.age": b"x"}, by="carol")


@forgery(9, "inbox")
def article_key_by_intake_under_a_ticket_that_it_did_not_receive(f: Forger, o: Office) -> None:
    id = f.git("ls-tree", "--name-only", f"main:{place(o.n)}").splitlines()[0].removesuffix(".eml.age")
    f.seal({f"{place(o.n)}/{id}.info-en.HASH.age": b"x"}, by="inbox")


@forgery(9)
def article_key_to_a_reviewer_without_a_grant(f: Forger, o: Office) -> None:
    id = f.git("ls-tree", "--name-only", f"main:{place(o.n)}").splitlines()[0].removesuffix(".eml.age")
    f.seal({f"{place(o.n)}/{id}.rita.HASH.age": b"x"})


@forgery(9)
def article_key_to_nobody(f: Forger, o: Office) -> None:
    id = f.git("ls-tree", "--name-only", f"main:{place(o.n)}").splitlines()[0].removesuffix(".eml.age")
    f.seal({f"{place(o.n)}/{id}.jane-doe-lives-in-example-street.HASH.age": b"x"})


@pytest.mark.parametrize(("case", "rule", "who"), FORGERIES)
def test_forged(case: Case, rule: int, who: str, forger: Forger, office: Office) -> None:
    case(forger, office)
    done = verified(forger, office)
    commit, _ = forger.made[-1]
    assert done.code == 7, f"exit {done.code}: {done.out}{done.err}"
    if who:
        assert f"commit {commit} by {who} breaks rule {rule}:" in done.err
    else:  # of two branches of a history git may show either first
        assert f"breaks rule {rule}:" in done.err
    assert done.err.count("\n") <= 3
    assert "Traceback" not in done.err


def test_a_branch_that_is_gone(office: Office, forger: Forger) -> None:
    for branch in ("keys", "main"):
        forger.git("update-ref", "-d", f"refs/heads/{branch}")
        done = verified(forger, office)
        assert done.code == 7, done.err


def test_a_damaged_object(office: Office, forger: Forger) -> None:
    """A blob that is not what its name says, as a bad disk or host leaves it."""
    blob = forger.git("rev-parse", f"main:{place(office.n)}").strip()
    path = forger.desk / "objects" / blob[:2] / blob[2:]
    if not path.exists():
        pytest.skip("the object lies in a pack")
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[:-3])
    assert verified(forger, office).code == 7


def test_the_lawful_part_of_a_forged_history_is_counted(office: Office, forger: Forger) -> None:
    before = len(forger.git("rev-list", "main").splitlines())
    forger.said(office.n, sign=False)
    alice = Person(office.alice.home, forger.desk)
    done = alice.run("verify", "--json")
    assert done.code == 7
    assert done.json["events"] == before


def test_a_dismissed_card_acts_before_but_not_after(office: Office, forger: Forger) -> None:
    """Rule 7 asks where in the ledger, never when. There is no dismissing yet, so the state is made by hand."""
    from vrt import law
    from vrt.storage import history
    from vrt.storage.git import Repository

    forger.said(office.n)
    forger.said(office.n, done=1_600_000_000)
    repository, state = Repository(forger.desk), law.State()
    *before, last = history.commits(repository, "", repository.heads().main)
    for commit in before:
        law.check(state, commit)
    assert state.roster is not None
    gone = state.roster.cards["bob"]._replace(dismissed=True)
    state.turn(state.place, {}, state.roster._replace(cards={**state.roster.cards, "bob": gone}))
    with pytest.raises(law.Unlawful) as refused:
        law.check(state, last)
    assert (refused.value.rule, refused.value.commit) == (7, last.id)


def test_dismissal_does_not_make_the_past_unlawful(office: Office) -> None:
    """There is no dismissing yet, so the state is made by hand: what bob was sealed while a member stays lawful."""
    from vrt import law, roster
    from vrt.storage import history
    from vrt.storage.git import Repository

    assert office.alice.desk is not None
    repository = Repository(office.alice.desk)
    heads, state = repository.heads(), law.State()
    for commit in history.commits(repository, "", heads.main):
        law.check(state, commit)
    files = {p: v for p, v in state.files.items() if p != "allowed_signers"}
    state.place += 1
    after = roster.read(files | {"agents/bob.yaml": files["agents/bob.yaml"] | {"dismissed": True}})
    state.turn(state.place, {}, after)
    for commit in history.commits(repository, "", heads.keys):
        law.check_key(state, commit)


# --- what the law cannot see: sealed files that are not what they should be -------------------------


def read_as(office: Office, forger: Forger, handle: str) -> Person:
    """Somebody's own clone of the forged desk, nothing read yet."""
    clone = forger.desk.parent / f"clone-{handle}"
    copied(forger.desk, clone, handle)
    return Person(office.people[handle].home, clone)


def age(data: bytes, recipient: str) -> bytes:
    """Seal as docs/FORMAT.md 3 says, with the age program."""
    packed = subprocess.run(["gzip", "-n"], input=data, capture_output=True, check=True).stdout
    return subprocess.run(["age", "-r", recipient], input=packed, capture_output=True, check=True).stdout


def unage(data: bytes, secret: str, folder: Path) -> bytes:
    key = folder / "secret.txt"
    key.write_text(secret)
    opened = subprocess.run(["age", "-d", "-i", str(key)], input=data, capture_output=True, check=True).stdout
    return subprocess.run(["gzip", "-dcq"], input=opened, capture_output=True, check=False).stdout


def recipient_of(f: Forger, path: str) -> str:
    return str(yaml.safe_load(f.show(path))["recipient"])


def new_key(folder: Path) -> tuple[str, str]:
    text = subprocess.run(["age-keygen"], capture_output=True, text=True, check=True).stdout
    return text.split("public key: ")[1].split()[0], next(r for r in text.splitlines() if r.startswith("AGE-SECRET"))


needs_age = pytest.mark.skipif(not shutil.which("age") and not os.environ.get("CI"), reason="age is not installed")


def queue_secret(f: Forger, office: Office, queue: str, folder: Path) -> str:
    """Open a queue's identity with alice's key, by age."""
    (path,) = [
        p for p in f.git("ls-tree", "-r", "--name-only", "keys", f"queues/{queue}/").splitlines() if ".alice." in p
    ]
    mine = (office.alice.home / "keys" / "identity.txt").read_text()
    return unage(f.show(path, "keys"), mine, folder).decode().strip()


def article_secret(f: Forger, office: Office, ticket: str, queue: str, id: str, folder: Path) -> str:
    names = f.git("ls-tree", "-r", "--name-only", "keys", place(ticket) + "/").splitlines()
    (path,) = [p for p in names if f"/{id}.{queue}." in p]
    return unage(f.show(path, "keys"), queue_secret(f, office, queue, folder), folder).decode().strip()


def first_id(f: Forger, ticket: str) -> str:
    return f.git("ls-tree", "--name-only", f"main:{place(ticket)}").splitlines()[0].split(".")[0]


@needs_age
def test_article_of_one_ticket_under_another(office: Office, forger: Forger, tmp_path: Path) -> None:
    """Somebody shows permissions' mail as a note in info-en: the file opens, but belongs elsewhere."""
    f = forger
    id = first_id(f, office.other)
    secret = article_secret(f, office, office.other, "permissions-en", id, tmp_path)
    cipher = f.show(f"{place(office.other)}/{id}.md.age")
    planted = f.event("note", f"note {office.n}", office.n, files={".md.age": cipher})
    planted_id = f.git("log", "-1", "--format=%b", planted).partition("Event: ")[2].split()[0]
    key = age(secret.encode() + b"\n", recipient_of(f, "queues/info-en.yaml"))
    f.seal({f"{place(office.n)}/{planted_id}.info-en.HASH.age": key})
    done = verified(f, office)
    assert done.code == 7
    assert planted_id in done.err
    assert "belongs elsewhere" in done.err
    bob = read_as(office, f, "bob")
    shown = bob.json("show", office.n)
    assert [a["body"] for a in shown["articles"] if a["id"] == planted_id] == [None]
    assert "May I?" not in bob.ok("show", office.n, "--full").out


@needs_age
def test_swapped_original(office: Office, forger: Forger, tmp_path: Path) -> None:
    """The original is not the one that the article names, though both open with the article's key."""
    f, n = forger, number("11", 1)
    public, secret = new_key(tmp_path)
    id = "20200913T122640Z-receive-0000000a"
    front = f"---\nticket: '{n}'\nevent: {id}\naction: receive\nsubject: x\noriginal_sha256: {'0' * 64}\n---\n\nx\n"
    files = {".md.age": age(front.encode(), public), ".eml.age": age(b"From: a@b\n\nother\n", public)}
    f.receive(n, id=id, done=_DONE, files=files)
    f.seal({f"{place(n)}/{id}.info-en.HASH.age": age(secret.encode() + b"\n", recipient_of(f, "queues/info-en.yaml"))})
    done = verified(f, office)
    assert done.code == 7
    assert id in done.err
    assert "original" in done.err


@needs_age
def test_article_that_is_no_article(office: Office, forger: Forger, tmp_path: Path) -> None:
    """Front matter that is rubbish, a list, or has times and tags that YAML makes odd things of: never a crash."""
    f = forger
    texts = [
        b"no front matter", b"---\n- a\n- b\n---\n\nx\n", b"---\na: 2026-99-99\n---\n\nx\n", b"\xff\xfe", b"",
        b"---\n" + b"[" * 5000 + b"\n---\n\nx\n", b"---\nticket: !!python/object/apply:os.system [id]\n---\n\nx\n",
    ]  # fmt: skip
    for text in texts:
        public, secret = new_key(tmp_path)
        commit = f.event("note", f"note {office.n}", office.n, files={".md.age": age(text, public)})
        id = f.git("log", "-1", "--format=%b", commit).partition("Event: ")[2].split()[0]
        key = age(secret.encode() + b"\n", recipient_of(f, "queues/info-en.yaml"))
        f.seal({f"{place(office.n)}/{id}.info-en.HASH.age": key})
    bob = read_as(office, f, "bob")
    assert len(bob.json("show", office.n)["articles"]) == 2 + len(texts)
    done = verified(f, office)
    assert done.code == 7
    assert "Traceback" not in done.err


PLANTED = {
    "no-hex": b"z" * 64 + b"\n", "wrong-secret": b"00" * 32 + b"\n", "short": b"00\n", "empty": b"", "no-gzip": None,
}  # fmt: skip


@needs_age
@pytest.mark.parametrize("epoch", ["1", "2", "99999999999999999999"])
@pytest.mark.parametrize("what", PLANTED)
def test_planted_desk_secret_is_passed_over(what: str, epoch: str, office: Office, forger: Forger) -> None:
    """Any agent may write desk/ for any other; what is not the desk's secret must not change what the other does."""
    f, content = forger, PLANTED[what]
    to = recipient_of(f, "agents/alice.yaml")
    data = age(content, to) if content is not None else os.urandom(99)
    f.seal({f"desk/{epoch}.alice.HASH.age": data})
    alice = read_as(office, f, "alice")
    n = alice.receive(mail("After the plant"))[0]
    refs = alice.git("log", "-1", "--format=%(trailers:key=Message-Ref,valueonly)", "main", "--", place(n)).decode()
    assert refs.startswith("1:"), refs


@needs_age
@pytest.mark.parametrize("epoch", ["1", "2"])
@pytest.mark.parametrize("what", ["no-key", "wrong-key", "empty", "no-gzip"])
def test_planted_queue_identity_is_passed_over(
    what: str, epoch: str, office: Office, forger: Forger, tmp_path: Path
) -> None:
    """A member plants what is not the queue's identity for another member, who must go on reading all the same."""
    f, to = forger, recipient_of(forger, "agents/alice.yaml")
    content = {"no-key": b"nonsense\n", "wrong-key": new_key(tmp_path)[1].encode() + b"\n", "empty": b""}.get(what)
    data = age(content, to) if content is not None else os.urandom(99)
    f.seal({f"queues/info-en/{epoch}.alice.HASH.age": data})
    alice = read_as(office, f, "alice")
    assert alice.json("show", office.n)["title"] == "About the bridge"
    n = alice.receive(mail("After the plant"))[0]
    assert alice.json("show", n)["title"] == "After the plant"


@needs_age
def test_planted_salt_is_passed_over(office: Office, forger: Forger) -> None:
    """A wrong salt for the ticket, by one who may write there: the requester's answer must still join the ticket."""
    f = forger
    id = f"<{os.urandom(8).hex()}@example.com>"
    before = read_as(office, f, "alice")
    n = before.receive(mail("First letter", id=id, sender="Eve <eve@example.com>"))[0]
    for branch in ("main", "keys"):
        f.git("fetch", "-q", str(before.desk), f"+refs/heads/{branch}:refs/heads/{branch}")
    made: dict[str, bytes] = {}  # names sort by their hash: one that comes before the right one, one after
    while not made or min(made) > "2" or max(made) < "d":
        data = age(b"00" * 16 + b"\n", recipient_of(f, "queues/info-en.yaml"))
        made[hashlib.sha256(data).hexdigest()[:8]] = data
    f.seal({f"{place(n)}/salt.info-en.{name}.age": data for name, data in made.items()})
    shutil.rmtree(before.desk or "")
    alice = read_as(office, f, "alice")
    assert alice.receive(mail("Re: First letter", sender="Eve <eve@example.com>", in_reply_to=id)) == [n]


@needs_age
def test_planted_article_key_is_passed_over(office: Office, forger: Forger, tmp_path: Path) -> None:
    """Many wrong keys for one article: the right one is found among them, and verify says all is in order."""
    f = forger
    id, to = first_id(f, office.n), recipient_of(f, "queues/info-en.yaml")
    wrong = [new_key(tmp_path)[1].encode() + b"\n", b"nonsense\n", b"", b"\xff" * 40, b"AGE-SECRET-KEY-1\n"]
    f.seal({f"{place(office.n)}/{id}.info-en.{hashlib.sha256(d).hexdigest()[:8]}.age": d
            for d in [age(w, to) for w in wrong] + [os.urandom(60)]})  # fmt: skip
    bob = read_as(office, f, "bob")
    assert bob.json("show", office.n)["title"] == "About the bridge"
    assert verified(f, office).code == 0


def test_base64_of_a_key_cannot_be_written_another_way(office: Office, forger: Forger) -> None:
    """The same key with other padding bits is the same key: two cards must not share it under two spellings."""
    kind, blob = key_of(forger.homes["bob"]).split()
    raw = base64.b64decode(blob)
    spelled = base64.b64encode(raw + b"\0").decode() if len(raw) % 3 == 0 else blob[:-1] + chr(ord(blob[-1]) ^ 1)
    forger.desk_event("agent-add", {"Agent": "mallory"}, newcomer(forger, "mallory", signing=f"{kind} {spelled}"))
    forger.said(office.n, by="mallory", signed_by="bob")
    assert verified(forger, office).code == 7
