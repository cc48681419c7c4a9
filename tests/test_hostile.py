"""Hostile remotes and repositories: whatever they name, no program of theirs runs, and nothing they say is believed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import Done, Person, founded, mail

from vrt import cli
from vrt.errors import TryAgain, UsageError
from vrt.storage import remote, surroundings
from vrt.storage.git import Repository

HOOKS = ("pre-receive", "update", "post-receive", "post-update", "reference-transaction", "pre-push", "pre-auto-gc",
         "proc-receive", "post-checkout", "push-to-checkout")  # fmt: skip
READS = (("status",), ("list", "state:any"), ("verify",), ("sync",), ("maintain",))


class Scene:
    """Alice's desk and its host, a program of the attacker's, and the canary that it leaves when it runs."""

    def __init__(self, folder: Path, alice: Person, ticket: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.ticket, self._capsys = folder, ticket, capsys
        self.canary, self.host, self.desk = folder / "canary", folder / "host.git", folder / "desk"
        self.person = Person(folder / "home", self.desk)
        assert alice.desk is not None
        for old, new in (
            (alice.home, self.person.home),
            (alice.desk, self.desk),
            (alice.desk.parent / "host.git", self.host),
        ):
            shutil.copytree(old, new, dirs_exist_ok=True)
        self.bin = folder / "bin"
        self.program = self.put(self.bin / "evil")
        self.remote(str(self.host))

    def put(self, path: Path, then: str = "exit 1") -> Path:
        """Make ``path`` a program that leaves the canary."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'#!/bin/sh\necho "$0 $*" >> {self.canary}\n{then}\n')
        path.chmod(0o755)
        return path

    def remote(self, url: str) -> None:
        (self.desk / "config").write_text((self.desk / "config").read_text().split("[remote")[0])
        self.set(self.desk, "remote.origin.url", value=url)

    def set(self, folder: Path, *names: str, value: object = None) -> None:
        """Set each of ``names`` in the settings of the repository ``folder``, to the attacker's program."""
        for name in names:
            argv = ["git", "config", "-f", str(folder / "config"), name, str(value or self.program)]
            subprocess.run(argv, check=True)

    def vrt(self, *args: str) -> Done:
        """Run vrt in this process."""
        with pytest.raises(SystemExit) as exit_:
            cli.main(["-C", str(self.desk), *args])
        out, err = self._capsys.readouterr()
        return Done(int(exit_.value.code or 0), out, err)

    def work(self) -> list[Done]:
        """Run all that reads or brings together, write a note, and look with plain git."""
        done = [
            self.vrt(*args) for args in (*READS, ("show", self.ticket), ("note", self.ticket, "-m", "seen"), ("sync",))
        ]
        if all(one.code == 0 for one in done):
            assert b"+subject: A question" in self.person.git("log", "-p", "main")
        self.silent()
        return done

    def silent(self) -> None:
        """Nothing of the attacker's has run, and no call ended in a bug."""
        assert not self.canary.exists(), self.canary.read_text()
        assert not list(self.folder.rglob("vrt.log"))

    def heads(self) -> bytes:
        return self.person.git("for-each-ref", "refs/heads")


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> tuple[Person, str]:
    folder = tmp_path_factory.mktemp("office")
    alice = founded(folder)
    (ticket,) = alice.receive(mail("A question"))
    subprocess.run(["git", "init", "-q", "--bare", str(folder / "host.git")], check=True)
    alice.git("config", "remote.origin.url", str(folder / "host.git"))
    alice.ok("sync")
    return alice, ticket


@pytest.fixture
def scene(
    office: tuple[Person, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Scene:
    made = Scene(tmp_path, *office, capsys)
    for name, value in made.person.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(made.person.home)
    return made


# --- the desk's folder ---------------------------------------------------------------------------

_PROGRAMS = """
core.sshCommand core.gitProxy core.fsmonitor core.pager core.editor core.askPass core.hooksPath core.attributesFile
core.alternateRefsCommand core.worktree diff.external diff.age.command diff.age.textconv filter.x.clean filter.x.process
merge.x.driver gpg.program gpg.ssh.program gpg.ssh.defaultKeyCommand credential.helper uploadpack.packObjectsHook
remote.origin.uploadpack remote.origin.receivepack remote.origin.vcs remote.origin.proxy url.ext::x.insteadOf
include.path includeIf.gitdir:/.path trace2.eventTarget alias.log protocol.ext.allow http.proxy http.sslVerify
gc.recentObjectsHook extensions.worktreeConfig sequence.editor pager.log interactive.diffFilter receive.procReceiveRefs
fetch.fsckObjects submodule.x.update difftool.x.cmd browser.x.cmd sendemail.smtpServer uploadpack.hookx safe.directory
"""
PROGRAMS = _PROGRAMS.split()


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bare") / "x.git"
    subprocess.run(["git", "init", "-q", "--bare", str(path)], check=True)
    return path


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_setting_that_may_name_a_program_is_refused(bare: Path, name: str) -> None:
    """No git is started, and the setting is named; one that only a later git has is refused too."""
    config = bare / "config"
    before = config.read_bytes()
    subprocess.run(["git", "config", "-f", str(config), name, "/bin/false"], check=True)
    argv = ["git", "config", "-f", str(config), "--list", "--name-only"]
    found = subprocess.run(argv, capture_output=True, check=True).stdout.decode().splitlines()[-1]
    repository = Repository(bare)
    with pytest.raises(UsageError) as said:
        repository.run("rev-parse", "--git-dir")
    assert f"this desk hold {found}," in said.value.message
    config.write_bytes(before)
    repository.run("rev-parse", "--git-dir")  # what was mended is seen


def test_all_of_them_at_once_and_whatever_is_done(scene: Scene) -> None:
    scene.set(scene.desk, *PROGRAMS)
    (scene.desk / "info" / "attributes").write_text("* filter=x diff=age merge=x\n")
    done = scene.work()
    assert {one.code for one in done} <= {0, 2} and done[-1].code == 2


_OVERRIDDEN = """
core.sshCommand core.fsmonitor core.pager core.editor core.askPass diff.external diff.age.textconv filter.x.clean
gpg.program uploadpack.packObjectsHook credential.helper
"""


def test_with_the_check_taken_out_most_of_them_are_still_overridden(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two walls: what vrt tells git outdoes what the folder says, wherever git can be told."""
    monkeypatch.setattr("vrt.storage.git.check", lambda path: None)
    scene.set(scene.desk, *_OVERRIDDEN.split())
    scene.set(scene.desk, "core.hooksPath", value=scene.bin)
    for hook in HOOKS:
        scene.put(scene.bin / hook)
    assert {done.code for done in scene.work()} == {0}


ODD = (
    "[core]\n\tbare = true\n[Core]PAGER=x\n",
    "[core] bare = true\n[diff.vrt]\n\tcommand = x\n",
    '[remote "a\\"b.url"]\n\tvcs = x\n',
    '[remote "a b"] # ]\n\tvcs\n',
    "[core]\n\tbare = true \\\n\tpager = x\n",
    '[core]\n\tlogallrefupdates = "a \\\n[core]\nb"\n\tpager = x\n',
    "[core]\r\n\tpager = x\r\n",
    "\ufeff[core]\n\tpager = x\n",
    "[core]; [user]\n\tpager = x ; name = y\n",
    "[core][alias] log = !x\n",
    "[core]\n\tbare = true # \\\n\tpager = x\n",
    "[core] [gc]\n\n;[user]\n#[user]\n\trecentObjectsHook\n",
    "[core]\n\tbare = tr\vue\n\tpager =\n",
    '[core ""]\n[include]\npath=x\n[core]\n\tpager=x',
)  # fmt: skip


@pytest.mark.parametrize("text", ODD)
def test_the_settings_are_read_as_git_reads_them(tmp_path: Path, text: str) -> None:
    """What git would find in an oddly written file is found, or its line refused."""
    (tmp_path / "config").write_text(text, newline="")
    argv = ["git", "config", "-f", str(tmp_path / "config"), "--list", "--name-only", "-z"]
    done = subprocess.run(argv, capture_output=True, check=False, env={"PATH": os.environ["PATH"]})
    assert done.returncode in (0, 128)
    theirs = set(filter(None, done.stdout.decode().split("\0")))
    ours = set(surroundings.settings(text if text[0] != "\ufeff" else "\xef\xbb\xbf" + text[1:]))
    assert theirs <= ours or any(name.startswith("line ") for name in ours)
    assert surroundings.unexpected(tmp_path)


_COMMON = """
user.name gc.autoDetach branch.main.remote receive.denyNonFastForwards gitolite-options.x http.receivepack
uploadpack.allowFilter core.sharedRepository
"""


def test_what_people_and_hosts_set_is_no_obstacle(scene: Scene) -> None:
    """The settings of init, clone, gitolite and plain use: none is in the way."""
    for folder in (scene.desk, scene.host):
        scene.set(folder, *_COMMON.split(), value="true")
        scene.set(folder, "remote.origin.fetch", value="+refs/heads/*:refs/heads/*")
    assert {done.code for done in scene.work()} == {0}


@pytest.mark.parametrize("name", ["commondir", "config.worktree", "remotes/x", "branches/x"])
def test_a_file_that_leads_git_elsewhere_is_refused(scene: Scene, name: str) -> None:
    other = scene.folder / "other.git"
    subprocess.run(["git", "init", "-q", "--bare", str(other)], check=True)
    scene.set(other, "core.fsmonitor")
    path = scene.desk / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(str(other) + "\n")
    done = scene.vrt("sync")
    assert done.code == 2 and name.split("/")[0] in done.err
    scene.silent()


def test_hooks_grafts_replacements_and_alternates_of_the_folder(scene: Scene) -> None:
    """Hooks do not run; a history that looks another way by a replacement or a graft is seen as it is."""
    for hook in HOOKS:
        scene.put(scene.desk / "hooks" / hook)
    git = scene.person.git
    empty = git("mktree").decode().strip()
    forged = git("-c", "user.name=x", "-c", "user.email=x", "commit-tree", "-m", "x", empty).decode().strip()
    main = git("rev-parse", "main").decode().strip()
    (scene.desk / "info" / "grafts").write_text(f"{main}\n")
    (scene.desk / "refs" / "replace").mkdir(parents=True)
    (scene.desk / "refs" / "replace" / main).write_text(forged + "\n")
    (scene.desk / "objects" / "info" / "alternates").write_text(f"{scene.host}/objects\n")
    assert {done.code for done in scene.work()} == {0}
    assert scene.vrt("verify", "--full" if "--full" in scene.vrt("verify", "--help").out else "--json").code == 0


def test_a_branch_that_is_a_link_or_garbage_is_damage(scene: Scene) -> None:
    (scene.desk / "packed-refs").unlink(missing_ok=True)
    ref = scene.desk / "refs" / "heads" / "main"
    ref.unlink(missing_ok=True)
    for target in (scene.program, Path("/dev/null"), scene.desk / "HEAD"):
        ref.symlink_to(target)
        assert scene.vrt("sync").code == scene.vrt("list").code == 7
        ref.unlink()
    scene.silent()


# --- the environment -----------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["", "ssh://x.invalid/desk.git"])
def test_variables_of_the_caller(scene: Scene, url: str) -> None:
    """Every variable by which git would run a program, write a file, or look elsewhere, in a process of its own."""
    if url:
        scene.remote(url)
    names = ("SSH", "SSH_COMMAND", "PROXY_COMMAND", "EXTERNAL_DIFF", "ASKPASS", "EDITOR", "PAGER", "SEQUENCE_EDITOR",
             "PYTHON_GIT_EXECUTABLE", "ALTERNATE_REFS_COMMAND")  # fmt: skip
    env = {f"GIT_{name}": str(scene.program) for name in names} | {"SSH_ASKPASS": str(scene.program), "DISPLAY": ":0"}
    env["SSH_ASKPASS_REQUIRE"] = "force"
    env |= {f"GIT_{n}": str(scene.canary) for n in ("TRACE", "TRACE2", "TRACE2_EVENT", "TRACE_SETUP", "TRACE_PACKET")}
    configured = {"core.sshCommand": scene.program, "core.hooksPath": scene.bin, "core.fsmonitor": scene.program}
    for i, (name, value) in enumerate(configured.items()):
        env |= {f"GIT_CONFIG_KEY_{i}": name, f"GIT_CONFIG_VALUE_{i}": str(value)}
    env["GIT_CONFIG_COUNT"] = str(len(configured))
    env["GIT_CONFIG_PARAMETERS"] = f"'core.sshCommand={scene.program}'"
    (scene.folder / "gitconfig").write_text(f"[core]\n\tsshCommand = {scene.program}\n\tfsmonitor = {scene.program}\n")
    env |= {f"GIT_CONFIG_{n}": str(scene.folder / "gitconfig") for n in ("GLOBAL", "SYSTEM")}
    scene.put(scene.bin / "pre-push"), scene.put(scene.folder / "exec" / "git-upload-pack")
    env |= {"GIT_EXEC_PATH": str(scene.folder / "exec"), "GIT_TEMPLATE_DIR": str(scene.folder), "GIT_DIR": "/nowhere"}
    env |= {
        "GIT_OBJECT_DIRECTORY": "/nowhere",
        "GIT_NAMESPACE": "x",
        "GIT_ALLOW_PROTOCOL": "ext",
        "GIT_PYTHON_TRACE": "1",
    }
    assert scene.person.run("note", scene.ticket, "-m", "x", env=env).code == 0
    assert scene.person.run("sync", env=env).code == (75 if url else 0)
    scene.silent()


@pytest.mark.parametrize("path", [".", "", "bin", "../cwd"])
def test_programs_in_the_current_folder(scene: Scene, path: str) -> None:
    """A PATH that leads into the current folder, as ``.``, as an empty entry or by a relative name."""
    here = scene.folder / "cwd"
    for folder in (here, here / "bin", scene.desk, scene.desk / "bin"):  # git works in the desk's folder
        for name in ("git", "ssh", "git-upload-pack", "sh", "age", "ssh-keygen", "less"):
            scene.put(folder / name)
    env = {"PATH": os.pathsep.join([path, os.environ["PATH"], path])}
    assert scene.person.run("sync", env=env, cwd=here).code == 0
    scene.remote("ssh://x.invalid/desk.git")
    assert scene.person.run("sync", env=env, cwd=here).code == 75
    scene.silent()


def test_without_any_folder_left_in_path_git_is_found(scene: Scene) -> None:
    scene.put(scene.person.home / "git")
    assert scene.person.run("verify", env={"PATH": "."}).code == 0
    scene.silent()


def test_the_configuration_of_the_caller_is_not_read(scene: Scene) -> None:
    """It may name programs that are right for other repositories."""
    text = f"[core]\n\tfsmonitor = {scene.program}\n\thooksPath = {scene.bin}\n\tsshCommand = {scene.program}\n"
    text += f'[url "ext::{scene.program} "]\n\tinsteadOf = {scene.folder}\n[protocol "ext"]\n\tallow = always\n'
    for hook in HOOKS:
        scene.put(scene.bin / hook)
    for path in (".gitconfig", ".config/git/config"):
        (scene.person.home / path).parent.mkdir(parents=True, exist_ok=True)
        (scene.person.home / path).write_text(text)
    assert {done.code for done in scene.work()} == {0}


# --- where the remote is -------------------------------------------------------------------------

_URLS = """
ext::PROGRAM fd::0 transport::PROGRAM --upload-pack=PROGRAM -oProxyCommand=PROGRAM ssh://-oProxyCommand=PROGRAM/x
ssh://x@-oProxyCommand=PROGRAM/x -oProxyCommand=PROGRAM@x:y x@-oProxyCommand=PROGRAM:y x:-oProxyCommand=PROGRAM
ssh://x$(PROGRAM)/y ssh://x`PROGRAM`/y x;PROGRAM:y ssh://x:22;PROGRAM/y ssh://x:-oProxyCommand=PROGRAM/y git://x/y
http://x/y ftp://x/y https://x%0a/y ssh://x%1b[2J/y file://x/PROGRAM file:///x%0a/y ssh:// https://-x/y
https://user:token@x.invalid/y git+ssh://x/y x::y rsync://x/y
"""


def test_an_address_that_is_more_than_one(scene: Scene) -> None:
    """Helpers, options and words for a shell, on the command line of git, of ssh, or in a ProxyCommand with %h."""
    for url in _URLS.split():
        scene.remote(url.replace("PROGRAM", str(scene.program)))
        done = scene.vrt("sync")
        assert done.code == 2 and "\x1b" not in done.err and "token@" not in done.err, url
        scene.silent()


_GOOD = """
ssh://git@h.example/~x/y.git ssh://h:2222/y git@h.example:team/y.git h:y [::1]:y ssh://[::1]:22/y https://h.example/a/b.git
https://alice@h/y file:///srv/git/y.git ../y.git ./y
"""


@pytest.mark.parametrize("url", [*_GOOD.split(), "/srv/a b/y.git"])
def test_an_address_that_is_one(url: str) -> None:
    assert remote.checked(url) == url


# --- what is there: a repository on this machine -------------------------------------------------


def test_hooks_of_a_remote_on_this_machine(scene: Scene) -> None:
    """They would run as the caller; they are for a server. What is published arrives all the same."""
    for hook in HOOKS:
        scene.put(scene.host / "hooks" / hook)
    assert {done.code for done in scene.work()} == {0}
    argv = ["git", f"--git-dir={scene.host}", "for-each-ref", "refs/heads"]
    assert subprocess.run(argv, capture_output=True, check=True).stdout == scene.heads()


_THERE = """
core.alternateRefsCommand uploadpack.packObjectsHook include.path core.hooksPath receive.procReceiveRefs
gc.recentObjectsHook core.fsmonitor filter.x.smudge
"""


def test_settings_of_a_remote_on_this_machine(scene: Scene) -> None:
    (scene.host / "objects" / "info" / "alternates").write_text(f"{scene.desk}/objects\n")
    assert scene.vrt("note", scene.ticket, "-m", "x").code == 0
    before = (scene.host / "config").read_bytes()
    for i, name in enumerate(_THERE.split()):
        (scene.host / "config").write_bytes(before)
        scene.set(scene.host, name)
        scene.remote(f"file://{scene.host}" if i % 2 else str(scene.host))
        done = scene.vrt("sync")
        assert done.code == 2 and f"the remote hold {name.lower()}" in done.err
    scene.silent()


def test_a_remote_with_a_working_tree(scene: Scene) -> None:
    """A push could check files out there, through filters; and its settings lie in another place."""
    tree = scene.folder / "tree"
    subprocess.run(["git", "init", "-q", str(tree)], check=True)
    for name, value in (("receive.denyCurrentBranch", "updateInstead"), ("filter.x.smudge", scene.program)):
        subprocess.run(["git", "-C", tree, "config", name, str(value)], check=True)
    (tree / "HEAD").write_text("ref: refs/heads/main\n")
    scene.remote(str(tree))
    assert scene.vrt("sync").code == 2
    shutil.rmtree(tree / ".git")
    (tree / ".git").write_text(f"gitdir: {scene.host}\n")
    assert scene.vrt("sync").code == 2
    scene.silent()


# --- what it serves ------------------------------------------------------------------------------


def blob(scene: Scene, data: bytes) -> bytes:
    return bytes.fromhex(scene.person.git("hash-object", "-w", "--stdin", feed=data).decode())


def tree(scene: Scene, *entries: tuple[str, str, bytes]) -> bytes:
    """Write a tree as the bytes say, which ``git mktree`` would refuse."""
    data = b"".join(mode.encode() + b" " + name.encode() + b"\0" + oid for mode, name, oid in entries)
    oid = scene.person.git("hash-object", "-w", "-t", "tree", "--literally", "--stdin", feed=data).decode()
    return bytes.fromhex(oid)


def script(scene: Scene) -> bytes:
    return blob(scene, scene.program.read_bytes())


def folder(scene: Scene) -> bytes:
    """Write what could pass for a ``.git``."""
    config = blob(scene, f"[core]\n\tfsmonitor = {scene.program}\n\tbare = false\n".encode())
    hooks = tree(scene, ("100755", "pre-push", script(scene)))
    return tree(scene, ("100644", "config", config), ("40000", "hooks", hooks))


def submodule(scene: Scene) -> bytes:
    text = f'[submodule "x"]\n\tpath = x\n\turl = ext::{scene.program}\n\tupdate = !{scene.program}\n'
    commit = bytes.fromhex(scene.person.git("rev-parse", "main").decode())
    return tree(scene, ("100644", ".gitmodules", blob(scene, text.encode())), ("160000", "x", commit))


KINDS: dict[str, Callable[[Scene], bytes]] = {
    "submodule": submodule,
    "attributes": lambda s: tree(s, ("100644", ".gitattributes", blob(s, b"* diff=x filter=x textconv=x\n"))),
    "link": lambda s: tree(s, ("120000", "tickets", blob(s, b"/etc/passwd"))),
    "linked modules": lambda s: tree(s, ("120000", ".gitmodules", blob(s, b"/etc/passwd"))),
    "program": lambda s: tree(s, ("100755", "tickets", script(s))),
    "git folder": lambda s: tree(s, ("40000", ".git", folder(s))),
    "GIT folder": lambda s: tree(s, ("40000", ".GIT", folder(s))),
    "above": lambda s: tree(s, ("40000", "..", folder(s))),
    "slash": lambda s: tree(s, ("100644", "hooks/pre-push", script(s))),
    "odd mode": lambda s: tree(s, ("106755", "x", script(s))),
    "twice": lambda s: tree(s, ("100644", "x", script(s)), ("100644", "x", blob(s, b"x"))),
    "option": lambda s: tree(s, ("100644", "--upload-pack=" + s.program.name, script(s))),
    "escape": lambda s: tree(s, ("100644", "\x1b]0;x\x07", script(s))),
}


@pytest.mark.parametrize("kind", KINDS)
def test_trees_that_a_host_could_put_on_top(scene: Scene, kind: str) -> None:
    """Refused by git's own check or by the law; the branches stay, and plain git reads the desk as before."""
    before, git = scene.heads(), scene.person.git
    oid = KINDS[kind](scene).hex()
    who = ("-c", "user.name=x", "-c", "user.email=x")
    commit = git(*who, "commit-tree", "-p", "main", "-m", "x", oid).decode().strip()
    shutil.copytree(scene.desk / "objects", scene.host / "objects", dirs_exist_ok=True)
    (scene.host / "refs" / "heads" / "main").write_text(commit + "\n")
    done = scene.vrt("sync")
    assert done.code in (7, 75) and "\x1b" not in done.err + done.out
    assert scene.heads() == before
    assert b"+subject: A question" in git("log", "-p", "main")
    scene.silent()


def test_refs_that_nobody_asked_for(scene: Scene) -> None:
    """Tags, replacements, refs of our own, names like options, a HEAD elsewhere: none of them comes here."""
    assert scene.vrt("sync").code == 0
    main = scene.person.git("rev-parse", "main").decode().strip()
    names = ["refs/tags/v1", f"refs/replace/{main}", "refs/vrt/held/main", "refs/vrt/incoming/main", "refs/heads/-x",
             "refs/heads/$(id)", "refs/heads/main.d/x", "refs/notes/commits"]  # fmt: skip
    rows = "".join(f"{main} {name}\n" for name in sorted(names))
    packed = scene.host / "packed-refs"
    packed.write_text((packed.read_text() if packed.exists() else "") + rows)
    (scene.host / "HEAD").write_text("ref: refs/heads/$(id)\n")
    before = scene.person.git("for-each-ref")
    assert scene.vrt("sync").code == 0
    assert scene.person.git("for-each-ref") == before
    scene.silent()


# --- what it says --------------------------------------------------------------------------------


@pytest.fixture
def ssh(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Stand in for ssh with a host that behaves as a piece of Python says."""

    def install(behaviour: str) -> None:
        script = scene.bin / "ssh"
        script.write_text(f"#!{sys.executable}\nimport os, sys\nput = sys.stdout.buffer.write\n{behaviour}\n")
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{scene.bin}:{os.environ['PATH']}")
        scene.remote("ssh://git@host.example/desk.git")

    return install


LINE = "lambda text: put(b'%04x' % (len(text) + 4) + text)"


@pytest.mark.parametrize(
    "behaviour",
    [
        f"({LINE})(b'ERR \\x1b]0;owned\\x07\\x1b[2J\\xc2\\x9b31m\\xe2\\x80\\xae' + b'x' * 900)",
        "sys.stderr.write('\\x1b]0;owned\\x07\\x1b[2J\\x9b31m\\u202e'); sys.exit(255)",
        "put(b'\\xff' * 70000)",
        f"({LINE})(b'0' * 40 + b' refs/heads/main\\0' + b'\\x1b[2J' * 90)",
    ],
)
def test_words_for_the_terminal_are_escaped(scene: Scene, ssh: Callable[[str], None], behaviour: str) -> None:
    ssh(behaviour)
    done = scene.vrt("sync")
    assert done.code == 75
    assert not set(done.err + done.out) & set("\x1b\x07\x9b\u202e\r")
    assert max(map(len, done.err.splitlines())) < 800


def test_a_host_that_talks_without_end(scene: Scene, ssh: Callable[[str], None]) -> None:
    ssh("while True: os.write(2, b'hello there\\n' * 5000)")
    done = scene.vrt("sync")
    assert done.code == 75 and "talks without end" in done.err


def test_a_pack_without_end(scene: Scene, ssh: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is cut off before the disk is full, and nothing of it stays."""
    room = 300_000
    monkeypatch.setattr("vrt.storage.remote.shutil.disk_usage", lambda path: SimpleNamespace(free=2 * room))
    tip = "c" * 40
    ssh(f"""
import hashlib, zlib
line = {LINE}
for i, name in enumerate(("keys", "main")):
    line(b"{tip} refs/heads/" + name.encode() + (b"\\0side-band-64k ofs-delta" if not i else b"") + b"\\n")
put(b"0000"); sys.stdout.flush()
while b"done" not in sys.stdin.buffer.read1(65536): pass
line(b"NAK\\n")
data = b"PACK" + (2).to_bytes(4, "big") + (1 << 20).to_bytes(4, "big")
while True:
    line(b"\\x01" + data)
    data = bytes([0xb0 | 0, 125]) + zlib.compress(os.urandom(2000), 0)
""")
    done = scene.vrt("sync")
    assert done.code == 75 and "half of the free disk" in done.err
    assert not list((scene.desk / "objects").rglob("tmp_*"))


def test_what_ssh_is_told(scene: Scene, ssh: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent stays here, nobody is asked where nobody can be, and a host that is away does not hold us long."""
    said = scene.folder / "said"
    ssh(f"""
print(sys.argv[1:], dict(os.environ), file=open({str(said)!r}, 'a'))
sys.exit('Permission denied (publickey).')
""")
    monkeypatch.setenv("SSH_AUTH_SOCK", "/agent")
    done = scene.vrt("sync")
    assert done.code == 75 and "Permission denied (publickey)" in done.err
    words = said.read_text()
    assert words.count("\n") == len(words.splitlines()) <= 2  # a fetch, and another look; it is not tried out before
    assert "'SSH_ASKPASS_REQUIRE': 'never'" in words and "'SSH_AUTH_SOCK': '/agent'" in words
    for option in ("ForwardAgent=no", "ClearAllForwardings=yes", "BatchMode=yes", "ConnectTimeout=15"):
        assert f"'-o{option}'" in words
    assert words.index("git@host.example") > words.index("-oBatchMode") and "git-upload-pack '/desk.git'" in words


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, dict[str, str], list[tuple[str, str]]]]:
    """A web server: its address, the headers it answers with (``302 Found`` ...), what it was asked for and by whom."""
    asked: list[tuple[str, str]] = []
    answer: dict[str, str] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers.get("Authorization", "")))
            self.send_response(302 if "Location" in answer else 401)
            for name, value in answer.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setattr(surroundings, "_PROTOCOLS", "http")  # else it would have to show a certificate
    yield f"http://127.0.0.1:{server.server_port}", answer, asked
    server.shutdown()
    server.server_close()


Web = tuple[str, dict[str, str], list[tuple[str, str]]]


def test_a_redirection_is_not_followed(bare: Path, web: Web) -> None:
    """Neither to another host nor to another protocol: only what the address names is asked."""
    address, answer, asked = web
    answer["Location"] = f"{address}/elsewhere/info/refs?service=git-upload-pack"
    with pytest.raises(TryAgain, match="unable to access"):
        fetch(bare, f"{address}/desk.git")
    assert [path.partition("?")[0] for path, _ in asked] == ["/desk.git/info/refs"]


def test_a_password_is_asked_of_nobody(scene: Scene, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """No program of anybody's asks for it; what ``~/.netrc`` says is used."""
    address, answer, asked = web
    answer["WWW-Authenticate"] = 'Basic realm="\x1b[2J"'
    for name in ("GIT_ASKPASS", "SSH_ASKPASS"):
        monkeypatch.setenv(name, str(scene.program))
    with pytest.raises(TryAgain, match="could not read Username"):
        fetch(scene.desk, f"{address}/desk.git")
    netrc = scene.person.home / ".netrc"
    netrc.write_text("machine 127.0.0.1 login alice password token\n")
    netrc.chmod(0o600)
    with pytest.raises(TryAgain):
        fetch(scene.desk, f"{address}/desk.git")
    assert ("Basic " + b64encode(b"alice:token").decode()) in [who for _, who in asked]
    scene.silent()


def fetch(desk: Path, url: str) -> None:
    remote.Remote(Repository(desk), url).fetch()


def test_plain_http_is_not_spoken(bare: Path) -> None:
    with pytest.raises(TryAgain, match="not allowed"):
        fetch(bare, "http://127.0.0.1:9/desk.git")
