"""A desk taken from a remote: what is believed and what refused, what an interrupted clone leaves, partial clones."""

from __future__ import annotations

import os
import pty
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Person, founded, mail

from vrt.storage import partial, remote
from vrt.storage.git import Repository

FAR = "2100-01-01"  # nothing is as new as that


def git(folder: Path, *args: str, feed: str = "") -> str:
    done = subprocess.run(["git", *args], cwd=folder, input=feed, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class Published:
    """A published desk: alice's, with bob in info-en, dora dismissed, and tickets that are closed but for one."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.host = folder, folder / "host.git"
        git(folder, "init", "-q", "--bare", str(self.host))
        self.alice = founded(folder)
        self.bob, self.dora = self._admit("bob"), self._admit("dora")
        self.alice.ok("agent", "dismiss", "dora")
        self.old, self.routed, self.open = self.alice.receive(
            mail("Old bridge", "the wooden one\n", files={"plan.txt": b"a plan"}),
            mail("Routed", "elsewhere\n"),
            mail("Open"),
        )
        self.alice.ok("note", self.old, "-m", "I know it")
        self.alice.ok("close", self.old, self.routed, "--outcome", "successful")
        self.alice.git("config", "remote.origin.url", str(self.host))
        self.alice.ok("sync")
        self.root = git(self.host, "rev-list", "--max-parents=0", "main")

    def _admit(self, name: str) -> Person:
        person, card = Person(self.folder / f"home-{name}"), self.folder / f"{name}.yaml"
        card.write_text(person.ok("identity").out)
        self.alice.ok(
            "agent", "add", name, "--card", str(card), "--role", "agent", "--queue", "info-en", "--agreed", "2026-11-01"
        )
        return person


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Published:
    return Published(tmp_path_factory.mktemp("published"))


@pytest.fixture
def there(made: Published, tmp_path: Path) -> Iterator[Published]:
    """The published desk, with a host that the test may change."""
    kept = made.folder / "kept.git"
    if not kept.exists():
        shutil.copytree(made.host, kept)
    yield made
    shutil.rmtree(made.host)
    shutil.copytree(kept, made.host)


def cloned(there: Published, person: Person, target: Path, *flags: str, url: str = "") -> Person:
    """Return ``person`` with a clone of the desk at ``target``."""
    out = Person(person.home)
    out.ok("clone", url or str(there.host), str(target), "--root", there.root, *flags)
    out.desk = target
    return out


def bodies(person: Person, ticket: str) -> list[str | None]:
    return [a["body"] for a in person.json("show", ticket)["articles"]]


# --- what is believed -----------------------------------------------------------------------------


def test_a_clone_works_and_knows_its_root(made: Published, tmp_path: Path) -> None:
    (tmp_path / "desk").mkdir()  # an empty folder is as good as none
    out = made.bob.json("clone", str(made.host), str(tmp_path / "desk"), "--root", made.root)
    assert out == {"desk": str(tmp_path / "desk"), "agent": "bob"}
    bob = Person(made.bob.home, tmp_path / "desk")
    assert bodies(bob, made.old) == ["the wooden one", "I know it"]
    assert f"root: {made.root}" in (tmp_path / "desk/vrt/config.yaml").read_text()
    assert (tmp_path / "desk/vrt").stat().st_mode & 0o777 == 0o700
    assert bob.ok("verify", "--full").out.endswith("all in order\n")
    assert bob.run("sync").code == 0


@pytest.mark.parametrize(("root", "code"), [("f" * 40, 7), ("3f1c", 2), ("--all", 2)])
def test_another_root_is_refused(made: Published, tmp_path: Path, root: str, code: int) -> None:
    done = made.bob.run("clone", str(made.host), str(tmp_path / "desk"), f"--root={root}")
    assert done.code == code and "Traceback" not in done.err
    assert not (tmp_path / "desk").exists()


def test_the_beginning_of_the_root_is_not_enough(made: Published, tmp_path: Path) -> None:
    assert made.bob.run("clone", str(made.host), str(tmp_path / "desk"), "--root", made.root[:12]).code == 2


def test_without_a_terminal_nobody_confirms_the_root(made: Published, tmp_path: Path) -> None:
    done = made.bob.run("clone", str(made.host), str(tmp_path / "desk"))
    assert done.code == 2 and f"--root {made.root}" in done.err and "founded by alice" in done.err
    assert not (tmp_path / "desk").exists()


@pytest.mark.parametrize(("answer", "code"), [(b"y\n", 0), (b"n\n", 5)])
def test_on_a_terminal_the_root_is_confirmed_once(made: Published, tmp_path: Path, answer: bytes, code: int) -> None:
    master, slave = pty.openpty()
    argv = [sys.executable, "-m", "vrt", "clone", str(made.host), str(tmp_path / "desk")]
    env = made.bob.env | {"TERM": "dumb"}
    with subprocess.Popen(argv, env=env, stdin=slave, stdout=slave, stderr=slave, start_new_session=True) as running:
        os.close(slave)
        os.write(master, answer)
        seen = b""
        while True:
            try:
                seen += os.read(master, 4096)
            except OSError:  # its end
                break
    os.close(master)
    assert running.returncode == code, seen
    assert made.root.encode() in seen
    assert (tmp_path / "desk").exists() == (code == 0)


# --- what is refused ------------------------------------------------------------------------------


def test_a_folder_with_something_in_it_stays_as_it_is(made: Published, tmp_path: Path) -> None:
    (tmp_path / "desk").mkdir()
    (tmp_path / "desk/mine").write_text("kept")
    (tmp_path / "file").write_text("kept")
    for name in ("desk", "file"):
        done = made.bob.run("clone", str(made.host), str(tmp_path / name), "--root", made.root)
        assert done.code == 2 and "is there already" in done.err
    assert (tmp_path / "desk/mine").read_text() == (tmp_path / "file").read_text() == "kept"


@pytest.mark.parametrize(
    ("url", "code", "text"),
    [
        ("ext::sh -c id", 2, "no ssh, https or file URL"),
        ("http://127.0.0.1/x", 2, "no ssh, https or file URL"),
        ("-oProxyCommand=id", 2, ""),
        ("https://me:secret@example.org/x", 2, "token"),
        ("./nothing", 75, "nothing"),
        ("file:///nothing/here", 75, "nothing"),
        ("ssh://127.0.0.1:1/x", 75, "127.0.0.1"),
    ],
)
def test_what_is_no_remote(made: Published, tmp_path: Path, url: str, code: int, text: str) -> None:
    done = made.bob.run("clone", url, str(tmp_path / "desk"), "--root", made.root)
    assert done.code == code and text in done.err and "Traceback" not in done.err
    assert not (tmp_path / "desk").exists()


@pytest.mark.parametrize("flags", [(), ("--since", "2026-01-01")])
def test_what_is_no_desk(there: Published, tmp_path: Path, flags: tuple[str, ...]) -> None:
    empty, half, other = tmp_path / "empty.git", tmp_path / "half.git", tmp_path / "other.git"
    for path in (empty, other):
        git(tmp_path, "init", "-q", "--bare", str(path))
    shutil.copytree(there.host, half)
    git(half, "update-ref", "-d", "refs/heads/keys")
    commit = git(
        other, "-c", "user.name=x", "-c", "user.email=x@x", "commit-tree", "-m", "x", git(other, "mktree", feed="")
    )
    git(other, "update-ref", "refs/heads/main", commit)
    git(other, "update-ref", "refs/heads/keys", commit)
    for path in (empty, half, other):
        done = there.bob.run("clone", str(path), str(tmp_path / "desk"), "--root", there.root, *flags)
        assert done.code == 7 and "Traceback" not in done.err, done.err
        assert not (tmp_path / "desk").exists()


def test_what_is_not_lawful_names_the_rule(there: Published, tmp_path: Path) -> None:
    tree = git(there.host, "rev-parse", "main^{tree}")
    forged = git(there.host, "-c", "user.name=x", "-c", "user.email=x@x", "commit-tree", "-p", "main", "-m", "x", tree)
    git(there.host, "update-ref", "refs/heads/main", forged)
    for flags in ((), ("--since", "2026-01-01")):
        done = there.bob.run("clone", str(there.host), str(tmp_path / "desk"), "--root", there.root, *flags)
        assert done.code == 7 and "breaks rule 4" in done.err and forged[:12] in done.err, done.err
        assert not (tmp_path / "desk").exists()


def test_a_card_is_needed(made: Published, tmp_path: Path) -> None:
    stranger = Person(tmp_path / "home-stranger")
    stranger.ok("identity")
    for person, text in ((stranger, "no card of this desk"), (made.dora, "dora was dismissed")):
        done = person.run("clone", str(made.host), str(tmp_path / "desk"), "--root", made.root)
        assert done.code == 5 and text in done.err
        assert not (tmp_path / "desk").exists()
    done = stranger.run("clone", str(made.host), str(tmp_path / "desk"), "--root", made.root, "--card", "nobody")
    assert done.code == 4 and not (tmp_path / "desk").exists()
    told = stranger.ok("clone", str(made.host), str(tmp_path / "desk"), "--root", made.root, "--card", "bob")
    assert "agent rekey bob" in told.err
    assert Person(stranger.home, tmp_path / "desk").run("list").code == 5


# --- interrupted ----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_clone_can_be_repeated(made: Published, tmp_path: Path, how: signal.Signals) -> None:
    target = tmp_path / "desk"
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the call and says nothing
        url = f"ssh://127.0.0.1:{silent.getsockname()[1]}/desk"
        argv = [sys.executable, "-m", "vrt", "clone", url, str(target), "--root", made.root]
        running = subprocess.Popen(argv, env=made.bob.env, stderr=subprocess.PIPE, start_new_session=True)
        call, _ = silent.accept()
        if how == signal.SIGKILL:
            again = made.bob.run("clone", str(made.host), str(target), "--root", made.root)
            assert again.code == 75 and "at work" in again.err
        os.killpg(running.pid, how)
        assert "Traceback" not in running.communicate()[1].decode()
        call.close()
    assert target.exists() == (how == signal.SIGKILL)
    assert bodies(cloned(made, made.bob, target), made.open)


# --- where from -----------------------------------------------------------------------------------


def test_from_a_file_url(made: Published, tmp_path: Path) -> None:
    bob = cloned(made, made.bob, tmp_path / "desk", url=f"file://{made.host}")
    assert bob.run("sync").code == 0


@pytest.mark.skipif(not Path("/usr/sbin/sshd").exists(), reason="there is no sshd")
@pytest.mark.slow
def test_through_ssh_as_far_as_the_host_allows(there: Published, tmp_path: Path) -> None:
    """An sshd that is not told to accept GIT_PROTOCOL speaks git's first protocol: objects by name must be allowed."""
    from many import sshd

    (tmp_path / "ssh").mkdir()
    with sshd(tmp_path / "ssh") as (prefix, tools):
        path = {"PATH": f"{tools}:{os.environ['PATH']}"}
        for name, settings, said in (
            ("asked", (), "gives no part of it"),
            ("half", ("uploadpack.allowFilter",), "gives no single articles"),
            ("part", ("uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"), ""),
        ):
            for setting in settings:
                git(there.host, "config", setting, "true")
            target = tmp_path / name
            done = there.bob.ok(
                "clone", f"{prefix}{there.host}", str(target), "--root", there.root, "--since", FAR, env=path
            )
            assert said in done.err and bool(said) == bool(done.err), done.err
            assert partial.is_partial(Repository(target)) == (name == "part")
            bob = Person(there.bob.home, target)
            assert "the wooden one" in bob.ok("show", there.old, env=path).out
            bob.ok("sync", env=path)


# --- in part --------------------------------------------------------------------------------------


@pytest.fixture
def lean(there: Published, tmp_path: Path) -> Person:
    """bob with a partial clone: what was closed is not in it."""
    bob = cloned(there, there.bob, tmp_path / "lean", "--since", FAR)
    assert partial.is_partial(Repository(tmp_path / "lean"))
    return bob


def absent(person: Person) -> int:
    return int(person.json("verify", "--full")["absent"])


def offline(person: Person, there: Published) -> None:
    person.git("config", "remote.origin.url", str(there.folder / "gone.git"))


def test_old_tickets_are_fetched_when_they_are_read(there: Published, lean: Person) -> None:
    titles = {t["number"]: t["title"] for t in lean.json("list", "state:any")}
    assert titles == {there.old: None, there.routed: None, there.open: "Open"}
    assert absent(lean) == 3
    done = lean.ok("search", "wooden")
    assert there.old not in done.out and "3 older articles" in done.err
    assert bodies(lean, there.old) == ["the wooden one", "I know it"]
    assert absent(lean) == 1
    assert there.old in lean.ok("search", "wooden").out  # the index has it now
    assert lean.json("list", "state:any subject:bridge")[0]["title"] == "Old bridge"
    offline(lean, there)
    assert bodies(lean, there.old) == ["the wooden one", "I know it"]
    lean.ok("index", "--rebuild")
    assert bodies(lean, there.old) == ["the wooden one", "I know it"]


def test_without_the_host_it_says_what_is_not_here(there: Published, lean: Person, tmp_path: Path) -> None:
    offline(lean, there)
    done = lean.ok("show", there.old)
    assert "are not in this clone" in done.err and done.out.count("(not here)") == 3
    assert done.err.count("\n") == 1 and "no key" not in done.out
    for args in (["raw", there.old], ["export", there.old, str(tmp_path / "out")], ["attachments", there.old],
                 ["route", there.old, "permissions-en"], ["reply", there.old, "-m", "x", "--yes"]):  # fmt: skip
        done = lean.run(*args)
        assert done.code in (2, 75) and "Traceback" not in done.err, (args, done)
    lean.ok("note", there.old, "-m", "written offline")
    lean.ok("reopen", there.old)
    assert lean.ok("verify", "--full").code == 0


@pytest.mark.parametrize("args", [("raw",), ("attachments",), ("export",), ("reply",)])
def test_what_needs_old_articles_fetches_them(there: Published, lean: Person, tmp_path: Path, args: tuple[str]) -> None:
    if args == ("raw",):
        assert b"the wooden one" in lean.ok("raw", there.old).raw
    elif args == ("attachments",):
        lean.ok("attachments", there.old, "--save", str(tmp_path / "files"))
        assert (tmp_path / "files/plan.txt").read_bytes() == b"a plan"
    elif args == ("export",):
        lean.ok("export", there.old, str(tmp_path / "out"))
        assert "the wooden one" in "".join(p.read_text() for p in (tmp_path / "out").rglob("*.md"))
    else:
        lean.ok("reopen", there.old)
        lean.ok("reply", there.old, "-m", "Thank you")
        sent = lean.json("show", there.old)["articles"][-1]
        assert sent["to"][0]["address"] == "jane@example.com" and "Old bridge" in sent["subject"]


def test_both_ways(there: Published, lean: Person, tmp_path: Path) -> None:
    """What is done in a partial clone on old and new tickets, the others have; what they do, it has."""
    alice = cloned(there, there.alice, tmp_path / "alice")
    alice.ok("note", there.old, "-m", "from alice")
    (new,) = alice.receive(mail("New", "brand new\n"))
    alice.ok("sync")
    lean.ok("note", there.old, "-m", "from bob")
    lean.ok("reopen", there.routed)
    lean.ok("route", there.routed, "permissions-en")
    for person in (lean, alice, lean):
        assert not person.ok("sync").err
    assert bodies(lean, new) == ["brand new"]
    assert bodies(lean, there.old) == ["the wooden one", "I know it", "from alice", "from bob"]
    assert bodies(alice, there.old) == bodies(lean, there.old)
    carol = Person(tmp_path / "home-carol")
    (tmp_path / "carol.yaml").write_text(carol.ok("identity").out)
    alice.ok("agent", "add", "carol", "--card", str(tmp_path / "carol.yaml"), "--role", "agent",
             "--queue", "permissions-en", "--agreed", "2026-11-01")  # fmt: skip
    alice.ok("sync")
    carol = cloned(there, carol, tmp_path / "carol")
    assert bodies(carol, there.routed) == ["elsewhere"]  # bob gave it to the queue
    for person in (alice, carol):
        assert person.ok("verify", "--full").out.endswith("all in order\n")
    assert lean.ok("verify", "--full").code == 0


def test_packing_anew_loses_nothing(there: Published, lean: Person, tmp_path: Path) -> None:
    """git takes what a promised commit refers to for promised, and leaves it out: no commit is marked so but those
    that came with the clone."""
    assert lean.desk
    alice, repository = cloned(there, there.alice, tmp_path / "alice"), Repository(lean.desk)
    lean.ok("note", there.open, "-m", "of my own")
    lean.ok("sync")
    alice.ok("sync")
    alice.ok("note", there.open, "-m", "on top of it")
    alice.ok("sync")
    lean.ok("sync")
    lean.ok("raw", there.old)
    marks = [p.name for p in (lean.desk / "objects/pack").glob("*.promisor")]
    count = git(lean.desk, "rev-list", "--count", "--all")
    for more in ((), ("--cruft-expiration=now",)):
        repository.run("repack", "-d", "-l", "-n", "-q", "-F", "--cruft", *more, options=partial.options(repository))
    assert marks and len(list((lean.desk / "objects/pack").glob("*.promisor"))) == 1
    offline(lean, there)
    assert git(lean.desk, "rev-list", "--count", "--all") == count
    assert bodies(lean, there.open)[1:] == ["of my own", "on top of it"]
    assert b"the wooden one" in lean.ok("raw", there.old).raw
    assert lean.ok("verify", "--full").code == 0


def test_a_fetch_that_was_killed_leaves_no_mark(there: Published, lean: Person) -> None:
    assert lean.desk
    repository = Repository(lean.desk)
    with pytest.raises(KeyError), partial.unpromised(repository):
        raise KeyError
    before = partial.options(repository)
    (lean.desk / "vrt/promised").write_text("\n".join(p.name for p in (lean.desk / "objects/pack").glob("*.promisor")))
    (lean.desk / "objects/pack/pack-0.promisor").touch()  # the fetch after which it was killed
    lean.ok("sync")
    assert partial.options(repository) == before
    assert not (lean.desk / "objects/pack/pack-0.promisor").exists() and not (lean.desk / "vrt/promised").exists()


def test_tickets_are_taken_by_their_last_event(there: Published) -> None:
    repository = Repository(there.alice.desk or there.folder)
    new, old = partial.articles(repository, repository.heads().main, "20000101T000000Z")
    assert (len(new), old) == (7, [])
    last = git(repository.path, "ls-tree", "-r", "--name-only", "main", "tickets").split("\n")
    stamp = max(p.rsplit("/")[-1][:16] for p in last)
    assert len(partial.articles(repository, repository.heads().main, stamp)[0]) <= 7
    assert partial.articles(repository, repository.heads().main, "21000101T000000Z")[0] == []
    assert remote.url(repository) == str(there.host)
