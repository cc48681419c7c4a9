"""Git objects made in memory are those that git itself would make."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import founded, mail
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vrt.storage import objects
from vrt.storage.git import Repository, create
from vrt.storage.objects import Pack, Tree

WHO = "alice <alice@example.org>"


def git(repository: Repository, *args: str, feed: bytes = b"") -> bytes:
    argv = ["git", f"--git-dir={repository.path}", *args]
    done = subprocess.run(argv, input=feed, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return create(tmp_path / "r")


def write(repository: Repository, pack: Pack) -> None:
    git(repository, "index-pack", "--stdin", "--strict", feed=b"".join(pack.stream()))


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 2047, 2048, 2049, 40_000, 70_000])
@pytest.mark.parametrize("level", [0, 1, 9])
def test_blobs_of_all_sizes(repository: Repository, size: int, level: int) -> None:
    """The pack's size header has 4, then 7 bits a byte: sizes around its steps."""
    data = os.urandom(size)
    pack = Pack()
    oid = pack.add("blob", data, level).hex()
    write(repository, pack)
    assert git(repository, "cat-file", "blob", oid) == data
    assert git(repository, "hash-object", "--stdin", feed=data).decode().strip() == oid


def test_an_object_is_packed_once(repository: Repository) -> None:
    pack = Pack()
    assert pack.add("blob", b"x") == pack.add("blob", b"x")
    assert len(pack) == 1
    write(repository, pack)


PATHS = st.lists(
    st.lists(st.sampled_from(["a", "a.b", "a-b", "ab", "a0", "b", "z", "é"]), min_size=1, max_size=3).map("/".join),
    min_size=1, max_size=12, unique=True,
)  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PATHS)
def test_trees_are_sorted_as_git_sorts(repository: Repository, paths: list[str]) -> None:
    """``a``, ``a.b`` and the folder ``a/``: git sorts a folder as if its name ended in a slash."""
    files = {p: p.encode() for p in paths if not any(q.startswith(p + "/") for q in paths)}
    pack, tree = Pack(), Tree(lambda oid: b"")
    for path, data in files.items():
        tree.put(path, pack.add("blob", data))
    oid = tree.write(pack).hex()
    write(repository, pack)
    env = {**os.environ, "GIT_INDEX_FILE": str(repository.path / "i")}
    rows = "".join(
        f"100644 {hashlib.sha1(b'blob %d' % len(d) + bytes(1) + d).hexdigest()}\t{p}\n" for p, d in files.items()
    )
    argv = ["git", f"--git-dir={repository.path}"]
    subprocess.run([*argv, "read-tree", "--empty"], env=env, check=True)
    subprocess.run([*argv, "update-index", "--add", "--index-info"], input=rows.encode(), env=env, check=True)
    assert (
        subprocess.run([*argv, "write-tree"], env=env, capture_output=True, check=True).stdout.decode().strip() == oid
    )


def test_a_tree_is_changed_where_it_is_changed(repository: Repository) -> None:
    """Only what a new file touches is read and written anew; the rest stays as it was."""
    pack, tree = Pack(), Tree(lambda oid: b"")
    for i in range(20):
        tree.put(f"f{i}/g/file", pack.add("blob", b"%d" % i))
    first = tree.write(pack)
    write(repository, pack)
    asked = []

    def read(oid: bytes) -> bytes:
        asked.append(oid)
        return git(repository, "cat-file", "tree", oid.hex())

    pack, tree = Pack(), Tree(read, first)
    tree.put("f3/g/new", pack.add("blob", b"new"))
    second = tree.write(pack)
    assert len(asked) == 3  # the root, f3, f3/g
    assert len(pack) == 4  # those three and the blob
    write(repository, pack)
    names = git(repository, "diff-tree", "-r", "--name-status", first.hex(), second.hex())
    assert names == b"A\tf3/g/new\n"
    assert tree.write(pack) == second


def test_a_signed_commit_is_read_back(repository: Repository) -> None:
    pack = Pack()
    tree = Tree(lambda oid: b"")
    tree.put("x", pack.add("blob", b"x"))
    armor = "-----BEGIN SSH SIGNATURE-----\nAAAA\nBBBB\n-----END SSH SIGNATURE-----\n"
    for parent in ("", "1" * 40):
        payload = objects.commit(tree.write(pack), parent, WHO, 1, 2, "note 1\n\ngpgsig x\n")
        assert objects.unsigned(objects.signed(payload, armor)) == (payload, armor)
        assert objects.unsigned(payload) == (payload, "")


def test_a_commit_is_what_git_makes(repository: Repository) -> None:
    pack, tree = Pack(), Tree(lambda oid: b"")
    tree.put("x", pack.add("blob", b"x"))
    oid = tree.write(pack)
    ours = pack.add("commit", objects.commit(oid, "", WHO, 1795170000, 1795170060, "note 1\n\nTicket: 1\n")).hex()
    write(repository, pack)
    env = {**os.environ}
    for w, t in (("AUTHOR", 1795170000), ("COMMITTER", 1795170060)):
        env |= {f"GIT_{w}_NAME": "alice", f"GIT_{w}_EMAIL": "alice@example.org", f"GIT_{w}_DATE": f"{t} +0000"}
    argv = ["git", f"--git-dir={repository.path}", "commit-tree", oid.hex()]
    done = subprocess.run(argv, input=b"note 1\n\nTicket: 1\n", env=env, capture_output=True, check=True)
    assert done.stdout.decode().strip() == ours


def test_a_signature_hides_nothing() -> None:
    """A second signature, or one that is cut off, stays in the payload, where the law sees a foreign header."""
    data = b"tree 1\ngpgsig A\n B\nauthor a\ngpgsig C\n D\n\nx"
    payload, armor = objects.unsigned(data)
    assert armor == "A\nB\n"
    assert payload == b"tree 1\nauthor a\ngpgsig C\n D\n\nx"


def test_nothing_of_the_caller_steers_git(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hooks, the user's configuration and GIT_ variables: none is heeded."""
    bait = tmp_path / "bait"
    hook = repository.path / "hooks" / "reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {bait}\n")
    hook.chmod(0o755)
    config = tmp_path / "gitconfig"
    config.write_text(
        f'[core]\n\thooksPath = {hook.parent}\n\tfsmonitor = "touch {bait}"\n[alias]\n\tlog = "!touch {bait}"\n'
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(tmp_path))
    fresh = Repository(repository.path)
    pack, tree = Pack(), Tree(lambda oid: b"")
    tree.put("x", pack.add("blob", b"x"))
    oid = pack.add("commit", objects.commit(tree.write(pack), "", WHO, 1, 1, "x\n")).hex()
    fresh.run("unpack-objects", "-q", feed=pack.stream())
    fresh.run("update-ref", "refs/heads/main", oid)
    assert fresh.ref("refs/heads/main") == oid
    assert not bait.exists()


def test_objects_and_refs_are_flushed(tmp_path: Path) -> None:
    """Reported is durable: what git writes for us it flushes, the pack before the refs, as strace sees it."""
    if not shutil.which("strace"):
        pytest.skip("strace is not here to see what is flushed")
    alice = founded(tmp_path)
    letter, trace = tmp_path / "a.eml", tmp_path / "trace"
    letter.write_bytes(mail("A letter"))
    argv = ["strace", "-f", "-y", "-e", "trace=fsync,fdatasync,rename,renameat2,link", "-o", str(trace), sys.executable]
    done = subprocess.run(
        [*argv, "-m", "vrt", "-C", str(alice.desk), "receive", str(letter)],
        env=alice.env,
        capture_output=True,
        check=False,
    )
    if b"ptrace" in done.stderr.lower():
        pytest.skip("strace may not trace here")
    assert done.returncode == 0, done.stderr
    rows = trace.read_text().splitlines()
    objects_flushed = [i for i, r in enumerate(rows) if "sync(" in r and "/objects/" in r]
    ref_flushed = [i for i, r in enumerate(rows) if "sync(" in r and "refs/heads/main.lock" in r]
    ref_moved = [i for i, r in enumerate(rows) if "rename" in r and "refs/heads/main.lock" in r]
    assert objects_flushed, "no object was flushed"
    assert ref_flushed, "the ref was not flushed"
    assert ref_moved, rows
    assert max(objects_flushed) < ref_flushed[0] < ref_moved[-1]
