"""The hook of a host, and what every clone checks by itself: lawful pushes pass, forged ones are refused by name.

The forged histories are those of ``test_law``, made of real signed commits. Hosts are bare repositories that plain git
pushes to, over a path and through a real sshd.
"""

from __future__ import annotations

import io
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from pathlib import Path

import pytest
from conftest import ROOT, Person
from many import sshd
from test_law import FORGERIES, Case, Forger, Office, forger, linked, noise, office, place

from vrt import hook, law
from vrt.cli import main
from vrt.errors import Conflict, VrtError
from vrt.storage import facts, history
from vrt.storage.git import Heads, Repository

__all__ = ["forger", "office"]  # fixtures

KNOWN: dict[str, tuple[Case, int, str]] = {str(p.id): p.values for p in FORGERIES}

# Which of them hosts and clones are shown, by the rule that they break. A new one is added by its name.
SHOWN = [
    "unsigned", "signed-by-another-card", "signed-by-a-stranger", "author-is-a-stranger", "recovery-card-acts",
    "signature-of-another-commit", "message-changed-after-signing", "signed-for-another-namespace",
    "committer-is-another", "author-of-another-domain", "other-time-zone", "merge-with-its-own-past",
    "same-parent-twice", "published-before-its-parent", "article-changed", "article-removed", "whole-ticket-removed",
    "extra-file-at-the-top", "file-of-an-act-not-empty", "in-the-folder-of-another-ticket", "executable-file",
    "symbolic-link", "submodule", "desk-file-changed-by-a-ticket-event", "event-id-replayed",
    "event-id-replayed-on-another-ticket", "empty-folder-in-a-ticket", "trailer-that-the-action-may-not-carry",
    "trailer-twice", "free-text-after-the-trailers", "free-text-in-a-header", "number-of-another-card",
    "wrong-check-digit", "unknown-tag", "close-a-closed-ticket", "receive-a-ticket-that-is-there",
    "bytes-that-are-no-utf8", "id-of-another-time", "reviewer-writes-a-note", "intake-closes",
    "act-in-a-foreign-queue", "route-to-a-queue-that-does-not-take-it", "take-for-somebody-else",
    "act-after-leaving-the-queue", "assign-to-a-machine", "agent-makes-itself-admin", "agent-admits-a-friend",
    "agent-puts-itself-in-a-queue", "last-admin-goes", "signers-shrunk", "signers-extended-by-a-foreign-key",
    "recipient-swapped", "queue-epoch-set-back", "second-init", "desk-file-that-is-no-yaml",
    "desk-file-nested-too-deep", "two-cards-with-one-signing-key", "key-overwritten", "key-removed",
    "keyring-unsigned", "keyring-signed-by-another", "keyring-merge", "keyring-goes-back-in-the-ledger",
    "keyring-names-a-commit-that-is-not-on-the-ledger", "keyring-adds-nothing", "queue-key-to-somebody-outside",
    "desk-secret-by-intake", "article-key-by-somebody-outside-the-queue", "article-key-to-nobody",
]  # fmt: skip
PUSHED = [
    "unsigned",
    "merge-with-its-own-past",
    "article-changed",
    "number-of-another-card",
    "signers-shrunk",
    "key-overwritten",
]
SYNCED = [
    "signed-by-another-card", "published-before-its-parent", "whole-ticket-removed", "free-text-after-the-trailers",
    "act-in-a-foreign-queue", "agent-makes-itself-admin", "keyring-unsigned", "queue-key-to-somebody-outside",
]  # fmt: skip


def heads(desk: Path) -> Heads:
    return Repository(desk).heads()


def move(desk: Path, to: Heads) -> None:
    for name, head in to._asdict().items():
        (desk / "refs/heads" / name).write_text(head + "\n")


def lines(old: Heads, new: Heads) -> list[bytes]:
    """What git gives to the hook."""
    moves = [(o or "0" * 40, n, name) for name, o, n in zip(("main", "keys"), old, new, strict=True) if o != n]
    return [f"{o} {n} refs/heads/{name}\n".encode() for o, n, name in moves]


def receive(desk: Path, new: Heads, *, root: str = "", now: int = 0, told: list[str] | None = None) -> None:
    """Call the hook in this process, and move the branches as git would where it says nothing against that."""
    warn = (told if told is not None else []).append
    hook.receive(desk, hook.moves(lines(heads(desk), new)), root, now=now or int(time.time()), warn=warn)
    move(desk, new)


def lawful(f: Forger, new: Heads) -> Heads:
    """Return the heads before the commit that breaks the law: the last one that was forged."""
    bad = f.made[-1][0]
    return Heads(*(f.git("rev-parse", f"{head}^1") if head == bad else head for head in new))


def test_the_forged_histories_cover_every_rule() -> None:
    assert len(SHOWN) == len(set(SHOWN)) >= 60
    assert {KNOWN[name][1] for name in SHOWN} == {1, 2, 3, 4, 5, 6, 9}  # 7 and 8 have tests of their own below


@pytest.mark.parametrize("name", SHOWN)
def test_forged_history(name: str, office: Office, forger: Forger, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hook refuses it, and so does the check of every clone; both take the lawful part before it."""
    case, rule, who = KNOWN[name]
    monkeypatch.setattr(history, "AGE_HEAD", b"")  # what is forged is not always sealed, which has a rule of its own
    desk, before = forger.desk, heads(forger.desk)
    case(forger, office)
    forged = heads(desk)
    fair, said = lawful(forger, forged), f"commit {forger.made[-1][0]} by {who} breaks rule {rule}:"

    state = law.State()
    with pytest.raises(law.Unlawful) as refused:
        history.follow(Repository(desk), state, forged)
    assert refused.value.message.startswith(said)
    assert state.head == fair.main
    if fair.main == forged.main:
        assert state.key_head == fair.keys

    move(desk, before)
    receive(desk, fair)
    with pytest.raises(law.Unlawful) as refused_there:
        receive(desk, forged)
    assert refused_there.value.message == refused.value.message


# --- real pushes ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hooked(office: Office, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A host with the hook, which has the whole desk."""
    host = tmp_path_factory.mktemp("hooked") / "host.git"
    subprocess.run(["git", "init", "-q", "--bare", str(host)], check=True)
    office.alice.ok("hook", "install", str(host))
    done = push(office.alice.desk, host, "main", "keys")
    assert done.returncode == 0, done.stderr
    return host


@pytest.fixture
def host(hooked: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(hooked, tmp_path / "host.git", copy_function=linked))


def push(desk: Path | None, host: Path | str, *refs: str, path: str = "") -> subprocess.CompletedProcess[str]:
    """Push by plain git."""
    env = {"PATH": f"{path}:{os.environ['PATH']}".lstrip(":"), "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        ["git", f"--git-dir={desk}", "push", str(host), *refs], capture_output=True, text=True, check=False, env=env,
        errors="replace",
    )  # fmt: skip


def first(done: subprocess.CompletedProcess[str]) -> str:
    """The first line that a refused pusher is shown."""
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[0].strip()


@pytest.mark.parametrize("name", PUSHED)
def test_pushed(name: str, office: Office, forger: Forger, host: Path) -> None:
    case, rule, who = KNOWN[name]
    case(forger, office)
    fair = lawful(forger, heads(forger.desk))
    done = push(forger.desk, host, "--atomic", f"{fair.main}:refs/heads/main", f"{fair.keys}:refs/heads/keys")
    assert done.returncode == 0, done.stderr
    for flags in (["--atomic"], []):
        told = first(push(forger.desk, host, *flags, "+main", "+keys"))
        assert told.startswith(f"remote: vrt: error: commit {forger.made[-1][0]} by {who} breaks rule {rule}:")
    assert heads(host) == fair


@pytest.mark.parametrize("name", SYNCED)
def test_synced(name: str, office: Office, forger: Forger, tmp_path: Path) -> None:
    """From a host without a hook: the lawful part comes, the rest is refused by name, and work goes on."""
    case, rule, who = KNOWN[name]
    assert office.alice.desk is not None
    clone = Path(shutil.copytree(office.alice.desk, tmp_path / "clone", copy_function=linked))
    forger.said(office.n)
    case(forger, office)
    fair = lawful(forger, heads(forger.desk))
    alice = Person(office.alice.home, clone)
    alice.git("config", "remote.origin.url", str(forger.desk))
    done = alice.run("sync")
    assert done.code == 7, done.err
    assert f"commit {forger.made[-1][0]} by {who} breaks rule {rule}:" in done.err
    assert heads(clone).main == fair.main
    assert in_process(alice, "note", office.n, "-m", "we go on") == (0, "")
    assert Repository(clone).is_ancestor(fair.main, heads(clone).main)
    assert in_process(alice, "list")[0] == 0


def in_process(person: Person, *args: str) -> tuple[int, str]:
    err = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stderr(err):
        patch.setenv("VRT_HOME", person.env["VRT_HOME"])
        patch.setenv("XDG_RUNTIME_DIR", person.env["XDG_RUNTIME_DIR"])
        with pytest.raises(SystemExit) as end:
            main(["-C", str(person.desk), *args])
    return int(str(end.value.code)), err.getvalue()


def test_rule_7_the_dismissed(office: Office, forger: Forger, host: Path) -> None:
    """What a dismissed card adds is refused, also dated before; what it did before stands."""
    forger.said(office.n)
    alice = Person(office.alice.home, forger.desk)
    alice.ok("agent", "dismiss", "bob")
    assert push(forger.desk, host, "main", "keys").returncode == 0
    bad = forger.said(office.n, done=1_600_000_000)
    told = first(push(forger.desk, host, "main"))
    assert told.startswith(f"remote: vrt: error: commit {bad} by bob breaks rule 7:")
    state = law.State()
    with pytest.raises(law.Unlawful, match="breaks rule 7"):
        history.follow(Repository(forger.desk), state, heads(forger.desk))


def test_rule_8_only_forward(office: Office, forger: Forger, host: Path) -> None:
    kept = heads(host)
    assert "rule 8" in first(push(forger.desk, host, "+main~1:main"))
    assert "rule 9" in first(push(forger.desk, host, "+keys~1:keys"))
    for ref in (":main", ":keys"):  # git itself, or the hook
        assert push(forger.desk, host, ref).returncode == 1
    forger.move(forger.git("commit-tree", "-m", "another", "main^{tree}", env=WHO))
    assert "rule 8" in first(push(forger.desk, host, "+main"))
    KNOWN["keyring-made-anew"][0](forger, office)
    assert "rule 9" in first(push(forger.desk, host, "+keys"))
    assert heads(host) == kept


WHO = {f"GIT_{w}_{x}": "bob@example.org" for w in ("AUTHOR", "COMMITTER") for x in ("NAME", "EMAIL")}


@pytest.mark.parametrize(
    "ref", ["main:refs/heads/other", "main:refs/tags/v1", "main:refs/vrt/held/main", "main:refs/heads/maın"]
)
def test_other_refs_are_refused(ref: str, forger: Forger, host: Path) -> None:
    assert first(push(forger.desk, host, ref)).endswith("is no branch of a desk")


def test_deletes_are_refused_by_the_hook_too() -> None:
    for name in ("main", "keys"):
        with pytest.raises(VrtError, match="is not deleted"):
            hook.moves([f"{'1' * 40} {'0' * 40} refs/heads/{name}\n".encode()])


@pytest.mark.parametrize(
    "row", [b"", b"\n", b"refs/heads/main\n", b"\xff\xfe \x00 x\n", b"a b c d\n", b"x" * 10_000_000]
)
def test_lines_that_git_does_not_write(row: bytes) -> None:
    with pytest.raises(VrtError) as refused:
        hook.moves([row])
    assert len(refused.value.message) < 300


# --- the first push -------------------------------------------------------------------------------


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A new repository."""
    host = tmp_path / "host.git"
    subprocess.run(["git", "init", "-q", "--bare", str(host)], check=True)
    return host


def test_the_first_push_has_both_branches(office: Office, empty: Path) -> None:
    hook.install(empty)
    for one in ("main", "keys"):
        assert first(push(office.alice.desk, empty, one)) == "remote: vrt: error: a desk begins with both branches"
    assert push(office.alice.desk, empty, "main", "keys").returncode == 0
    assert heads(empty) == heads(office.alice.desk)  # type: ignore[arg-type]


def test_the_first_push_may_be_unlawful_in_the_middle(office: Office, forger: Forger, empty: Path) -> None:
    hook.install(empty)
    bad = forger.said(office.n, sign=False)
    forger.said(office.n, by="alice")
    assert f"commit {bad} by bob breaks rule 1" in first(push(forger.desk, empty, "main", "keys"))
    assert not any(heads(empty))


def test_the_root_may_be_fixed(office: Office, forger: Forger, empty: Path) -> None:
    root = forger.git("rev-list", "--max-parents=0", "main")
    hook.install(empty, forger.head())
    assert f"does not begin with {forger.head()}" in first(push(forger.desk, empty, "main", "keys"))
    hook.install(empty, root)
    assert push(forger.desk, empty, "main", "keys").returncode == 0
    assert hook.install(empty)[1:] == (root, len(forger.git("rev-list", "main").split()), "")
    with pytest.raises(VrtError, match=f"begins with {root}"):
        hook.install(empty, forger.head())


def test_one_branch_alone(office: Office, forger: Forger, host: Path) -> None:
    """Keys that go before their event, and events that need no key; but no key of an event that may never come."""
    forger.said(office.n)
    assert push(forger.desk, host, "main").returncode == 0
    forger.seal({f"{place(office.n)}/salt.info-en.HASH.age": noise()})
    assert push(forger.desk, host, "keys").returncode == 0
    forger.said(office.n)
    bad = forger.seal({f"{place(office.n)}/salt.info-en.HASH.age": noise()})
    assert f"commit {bad} by bob breaks rule 9: it does not follow the ledger" in first(push(forger.desk, host, "keys"))
    assert push(forger.desk, host, "main", "keys").returncode == 0


# --- what only a host refuses ---------------------------------------------------------------------


def test_what_is_not_sealed(office: Office, forger: Forger) -> None:
    before = heads(forger.desk)
    bad = forger.event("note", f"note {office.n}", office.n, files={".md.age": b"Dear Jane Roe\n"})
    after = heads(forger.desk)
    move(forger.desk, before)
    with pytest.raises(law.Unlawful, match=f"commit {bad} by bob breaks rule 3: .* is not sealed"):
        receive(forger.desk, after)


def test_a_clock_that_is_wrong(office: Office, forger: Forger) -> None:
    """Four minutes are forgiven, six are not; what the host has taken stays, whatever its clock says later."""
    before = heads(forger.desk)
    bad = forger.said(office.n)
    after, at = heads(forger.desk), forger.time()
    move(forger.desk, before)
    for behind in (360, 10 * 365 * 86400):
        with pytest.raises(
            law.Unlawful, match=f"commit {bad} by bob breaks rule 2: .* {behind} seconds ahead of this host"
        ):
            receive(forger.desk, after, now=at - behind)
    receive(forger.desk, after, now=at - 240)
    (forger.desk / "vrt" / facts.FILE).unlink()
    forger.said(office.n, by="alice", done=at, published=at)
    newer = heads(forger.desk)
    move(forger.desk, after)
    receive(forger.desk, newer, now=at - 240)


def test_a_newer_format(office: Office, forger: Forger, host: Path) -> None:
    forger.desk_event("desk-set", {}, {"desk.yaml": forger.yaml("desk.yaml", format=2)})
    done = push(forger.desk, host, "main")
    assert "this desk has format 2" in first(done)
    assert "hint: upgrade vrt on the host" in done.stderr.splitlines()[1]


# --- what is kept ---------------------------------------------------------------------------------


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note the ledger's commits that are checked from now on."""
    seen: list[str] = []
    check = law.check

    def noting(state: law.State, commit: law.Commit) -> object:
        seen.append(commit.id)
        return check(state, commit)

    monkeypatch.setattr(law, "check", noting)
    return seen


def test_a_push_costs_its_own_events(office: Office, forger: Forger, monkeypatch: pytest.MonkeyPatch) -> None:
    base = heads(forger.desk)
    one = forger.said(office.n)
    first_push = heads(forger.desk)
    two = forger.said(office.n)
    second = heads(forger.desk)
    move(forger.desk, base)
    seen = counted(monkeypatch)
    receive(forger.desk, first_push)
    assert len(seen) > 5
    del seen[:]
    receive(forger.desk, second)
    assert seen == [one, two]  # what was accepted is kept only once it has arrived
    del seen[:]
    receive(forger.desk, second)
    assert seen == [two]


def test_a_refused_push_is_not_kept(office: Office, forger: Forger, host: Path) -> None:
    good = forger.said(office.n)
    forger.said(office.n, sign=False)
    first(push(forger.desk, host, "main"))
    forger.move(good)
    assert push(forger.desk, host, "main").returncode == 0


def spoiled_page(path: Path) -> None:
    with path.open("r+b") as file:  # a page in the middle, so that it opens well
        file.seek(path.stat().st_size // 2)
        file.write(os.urandom(8192))


def other_version(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("UPDATE meta SET value = '99' WHERE name = 'version'")


def nonsense(path: Path) -> None:
    with sqlite3.connect(path) as db:
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            db.execute(f"UPDATE {name} SET value = '[[' WHERE name <> 'version'")


def elsewhere(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute(f"""UPDATE meta SET value = '"{"1" * 40}"' WHERE name LIKE '%head'""")


DAMAGE: dict[str, Callable[[Path], object]] = {
    "gone": Path.unlink, "empty": lambda p: p.write_bytes(b""), "rubbish": lambda p: p.write_bytes(os.urandom(9000)),
    "cut": lambda p: os.truncate(p, 5000), "page": spoiled_page, "version": other_version, "nonsense": nonsense,
    "heads": elsewhere,
}  # fmt: skip


@pytest.mark.parametrize("how", DAMAGE)
def test_facts_that_are_damaged(how: str, office: Office, forger: Forger) -> None:
    """They are a cache: what they say is not believed where it makes no sense, and they are made anew."""
    base, desk = heads(forger.desk), forger.desk
    forger.said(office.n)
    good = heads(desk)
    bad = forger.said(office.n, sign=False)
    forged = heads(desk)
    move(desk, base)
    receive(desk, good)
    DAMAGE[how](desk / "vrt" / facts.FILE)
    with pytest.raises(law.Unlawful, match=f"commit {bad} by bob breaks rule 1"):
        receive(desk, forged)
    told: list[str] = []
    forger.move(good.main)
    forger.said(office.n, by="alice")
    newer = heads(desk)
    move(desk, good)
    receive(desk, newer, told=told)
    assert told == []


def test_a_host_that_keeps_nothing(office: Office, forger: Forger, host: Path) -> None:
    """The folder cannot be made: every push is checked from the first event on, and the pusher is told so last."""
    shutil.rmtree(host / "vrt")
    (host / "vrt").write_text("in the way")
    good = forger.said(office.n)
    done = push(forger.desk, host, "main")
    assert done.returncode == 0
    assert done.stderr.count("warning:") == 1
    assert "was checked from the first event on" in done.stderr
    bad = forger.said(office.n, sign=False)
    done = push(forger.desk, host, "main")
    assert f"commit {bad} by bob breaks rule 1" in first(done)
    assert "was checked from the first event on" in done.stderr
    assert heads(host).main == good


def test_a_host_that_a_group_pushes_to(forger: Forger, office: Office, empty: Path) -> None:
    (empty / "objects").chmod(0o2775)
    hook.install(empty)
    assert push(forger.desk, empty, "main", "keys").returncode == 0
    assert (empty / "vrt").stat().st_mode & 0o7777 == 0o2775
    assert (empty / "vrt" / facts.FILE).stat().st_mode & 0o777 == 0o660


def test_a_host_that_was_unlawful_before_it_had_the_hook(office: Office, forger: Forger, empty: Path) -> None:
    """The breach is named, nothing can be put on top of it, and a push that takes it out is let through."""
    forger.said(office.n)
    fair = heads(forger.desk)
    bad = forger.said(office.n, sign=False)
    assert push(forger.desk, empty, "main", "keys").returncode == 0
    done = office.alice.run("--json", "hook", "install", str(empty))
    assert done.code == 7
    assert bad in done.err
    assert bad in done.json["breach"]
    forger.said(office.n)
    assert f"commit {bad} by bob breaks rule 1" in first(push(forger.desk, empty, "main"))
    forger.move(fair.main)
    forger.said(office.n)
    assert push(forger.desk, empty, "+main").returncode == 1  # git: the host's admin allows it for once
    subprocess.run(["git", f"--git-dir={empty}", "config", "receive.denyNonFastForwards", "false"], check=True)
    assert push(forger.desk, empty, "+main").returncode == 0
    assert heads(empty) == heads(forger.desk)


def test_a_host_that_was_set_back_by_hand(office: Office, forger: Forger) -> None:
    base, desk = heads(forger.desk), forger.desk
    forger.said(office.n)
    good = heads(desk)
    receive(desk, good)
    receive(desk, good)  # so that it is kept
    move(desk, base)
    forger.said(office.n, by="alice")
    other = heads(desk)
    move(desk, base)
    receive(desk, other)


# --- at once, and cut off -------------------------------------------------------------------------


def test_two_pushes_at_once(office: Office, forger: Forger, host: Path) -> None:
    """One has it, the other is told; neither is half there."""
    base, pushes = heads(forger.desk), []
    for _ in range(3):
        forger.move(base.main)
        forger.move(base.keys, "keys")
        forger.said(office.n)
        forger.seal({f"{place(office.n)}/salt.info-en.HASH.age": noise()})
        pushes.append(heads(forger.desk))
    git = ["git", f"--git-dir={forger.desk}", "push", "-q", "--atomic", str(host)]
    running = [
        subprocess.Popen(
            [*git, f"{p.main}:main", f"{p.keys}:keys"],
            stderr=subprocess.PIPE, text=True, env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
        )
        for p in pushes
    ]  # fmt: skip
    said = [process.communicate()[1] for process in running]
    won = [p for p, process in zip(pushes, running, strict=True) if process.returncode == 0]
    assert won == [heads(host)]
    assert not any("Traceback" in text or "bug in vrt" in text for text in said)
    state = law.State()
    history.follow(Repository(host), state, heads(host))


def test_somebody_was_faster(office: Office, forger: Forger) -> None:
    base = heads(forger.desk)
    forger.said(office.n)
    new = heads(forger.desk)
    stale = [row.replace(base.main.encode(), b"1" * 40) for row in lines(base, new)]
    move(forger.desk, base)
    with pytest.raises(Conflict, match="somebody else published first"):
        hook.receive(forger.desk, hook.moves(stale), now=int(time.time()), warn=print)


def test_a_hook_that_is_killed(office: Office, forger: Forger, host: Path) -> None:
    (host / "vrt" / facts.FILE).unlink()
    base = heads(host)
    forger.said(office.n)
    feed = b"".join(lines(base, heads(forger.desk)))
    for after in (0.1, 0.25, 0.4):
        argv = [sys.executable, "-m", "vrt", "-C", str(host), "hook", "pre-receive"]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, env=office.alice.env) as process:
            assert process.stdin is not None
            process.stdin.write(feed)
            process.stdin.close()
            time.sleep(after)
            process.send_signal(signal.SIGKILL)
    assert push(forger.desk, host, "main").returncode == 0


# --- bytes that are no history --------------------------------------------------------------------


def long_message(f: Forger, o: Office) -> None:
    f.commit("note\n\n" + "".join(f"A{i}: note\n" for i in range(700_000)), {})


def many_files(f: Forger, o: Office) -> None:
    blob = f.blob(noise())
    tree = f.git("mktree", feed="".join(f"100644 blob {blob}\t{i:06}.md.age\n" for i in range(20_000)).encode())
    f.commit(f"note {o.n}\n", {}, tree=f.git("mktree", feed=f"040000 tree {tree}\ttickets\n".encode()))


def long_names(f: Forger, o: Office) -> None:
    f.seal({"tickets/" + "n" * 200_000 + ".HASH.age": noise()})


def no_text(f: Forger, o: Office) -> None:
    f.commit(b"note \xff\xfe\x00\x1b[31m\n\n\x80: \x00\n", {}, author="\x1b]0;x\x07 <b\xe4@x>")


def deep_desk_file(f: Forger, o: Office) -> None:
    f.desk_event("agent-set", {"Agent": "mallory"}, {"agents/mallory.yaml": b"a: " + b"[" * 100_000}, by="mallory")


def large_desk_file(f: Forger, o: Office) -> None:
    text = b"".join(b"k%d: [a, b, c]\n" % i for i in range(300_000))
    f.desk_event("agent-set", {"Agent": "mallory"}, {"agents/mallory.yaml": text}, by="mallory")


def a_tag(f: Forger, o: Office) -> None:
    head = f.said(o.n)
    f.move(f.git("mktag", feed=f"object {head}\ntype commit\ntag x\ntagger a <b> 1 +0000\n\nx\n".encode()))


def a_blob(f: Forger, o: Office) -> None:
    f.move(f.blob(b"hello"))


def no_object(f: Forger, o: Office) -> None:
    f.move("1" * 40)


@pytest.mark.parametrize(
    "what",
    [long_message, many_files, long_names, no_text, deep_desk_file, large_desk_file, a_tag, a_blob, no_object],
)
def test_garbage(what: Case, office: Office, forger: Forger) -> None:
    """It is refused with a sentence: git's own checks, which stop most of it, are left out here."""
    before = heads(forger.desk)
    what(forger, office)
    after = heads(forger.desk)
    move(forger.desk, before)
    with pytest.raises(VrtError):
        receive(forger.desk, after)


# --- where the hook looks -------------------------------------------------------------------------


def test_only_the_quarantine_of_this_repository(host: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for given in ("", str(tmp_path), str(host), str(host / "objects"), str(host / "objects/../../objects/x"), "x"):
        monkeypatch.setenv("GIT_QUARANTINE_PATH", given)
        monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(tmp_path))
        monkeypatch.setenv("GIT_ALTERNATE_OBJECT_DIRECTORIES", str(tmp_path))
        assert hook.quarantine(host) == {}
    inside = str(host / "objects/tmp_objdir-incoming-abc")
    monkeypatch.setenv("GIT_QUARANTINE_PATH", inside)
    assert hook.quarantine(host) == {
        "GIT_QUARANTINE_PATH": inside, "GIT_OBJECT_DIRECTORY": inside,
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(host / "objects"),
    }  # fmt: skip


def test_no_other_command_sees_it(office: Office, tmp_path: Path) -> None:
    env = {name: str(tmp_path) for name in ("GIT_QUARANTINE_PATH", "GIT_OBJECT_DIRECTORY")}
    assert office.alice.run("list", env=env).code == 0
    assert office.alice.run("verify", env=env).code == 0


# --- putting it in place --------------------------------------------------------------------------


def test_install(office: Office, empty: Path) -> None:
    done = office.alice.ok("hook", "install", str(empty), "--json").json
    target = empty / "hooks/pre-receive"
    assert done == {"hook": str(target), "root": "", "events": 0, "breach": ""}
    assert os.access(target, os.X_OK)
    assert sys.executable in target.read_text()
    repository = Repository(empty)
    for name in ("receive.fsckObjects", "receive.denyDeletes", "receive.denyNonFastForwards"):
        assert repository.run("config", "--get", name) == b"true\n"
    office.alice.ok("hook", "install", str(empty))


def test_install_leaves_what_is_there(office: Office, empty: Path, tmp_path: Path) -> None:
    target = empty / "hooks/pre-receive"
    target.parent.mkdir(exist_ok=True)
    target.write_text("#!/bin/sh\nexit 0\n")
    done = office.alice.run("hook", "install", str(empty))
    assert done.code == 2
    assert "--forgejo" in done.err
    assert target.read_text() == "#!/bin/sh\nexit 0\n"
    office.alice.ok("hook", "install", str(empty), "--forgejo")
    assert os.access(empty / "hooks/pre-receive.d/vrt", os.X_OK)
    assert sorted(p.name for p in (empty / "hooks/pre-receive.d").iterdir()) == ["vrt"]
    for wrong in (tmp_path, tmp_path / "nothing", ROOT):
        assert office.alice.run("hook", "install", str(wrong)).code == 2
    assert office.alice.run("hook", "install", str(empty), "--root", "abc").code == 2


def test_the_hook_needs_no_key_and_no_home(office: Office, forger: Forger, host: Path) -> None:
    assert forger.said(office.n)
    done = push(forger.desk, host, "main")  # HOME=/nonexistent, nothing else
    assert done.returncode == 0
    assert "vrt" not in done.stderr
    assert sorted(p.name for p in (host / "vrt").iterdir() if "verified" not in p.name) == []


# --- through a real sshd --------------------------------------------------------------------------


@pytest.fixture
def ssh(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    if not Path("/usr/sbin/sshd").exists():
        pytest.skip("there is no sshd")
    folder = tmp_path / "ssh"
    folder.mkdir()
    with sshd(folder) as found:
        yield found


def test_through_ssh(office: Office, forger: Forger, empty: Path, ssh: tuple[str, Path], tmp_path: Path) -> None:
    """vrt's own sync and plain git: what the host says reaches who pushes."""
    prefix, tools = ssh
    hook.install(empty, "1" * 40)
    alice = Person(office.alice.home, forger.desk)
    alice.env["PATH"] = f"{tools}:{alice.env['PATH']}"
    alice.git("config", "remote.origin.url", f"{prefix}{empty}")
    done = alice.run("sync")
    assert done.code == 75
    assert f"the host refuses it: the ledger does not begin with {'1' * 40}" in done.err
    hook.install(empty)
    alice.ok("sync")
    assert heads(empty) == heads(forger.desk)
    bad = forger.said(office.n, sign=False)
    told = first(push(forger.desk, f"{prefix}{empty}", "main", path=str(tools)))
    assert told.startswith(f"remote: vrt: error: commit {bad} by bob breaks rule 1:")
