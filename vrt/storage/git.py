"""Git: the one place that runs it, and the only user of GitPython.

Every call has a fixed argv with ``--git-dir``; what comes from users or mail never stands in it. Hooks
are off, the user's and the system's git configuration is not read (it could name programs), and
``GIT_*`` variables are dropped. Reading a ref needs no process at all.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, NamedTuple

from vrt.errors import Breach, TryAgain, UsageError, VrtError
from vrt.storage.reading import Logged, Reader, commits

if TYPE_CHECKING:
    from git import Git

    from vrt.storage.objects import Pack

MAIN, KEYS = "refs/heads/main", "refs/heads/keys"
LOOSE_LIMIT = 100  # objects; more of them go into a pack of their own, as git's transfer.unpackLimit
_LOCKS = [f"{name}.lock" for name in (MAIN, KEYS, "HEAD", "packed-refs", "config")]
_HEX = re.compile(r"[0-9a-f]{40}")

# Read by nobody but us: no hooks, no background work, everything flushed before it is reported done.
_OPTIONS = [
    "-c", "core.hooksPath=/dev/null", "-c", "core.fsync=all", "-c", "core.fsyncMethod=fsync", "-c", "gc.auto=0",
    "-c", "maintenance.auto=false", "-c", "core.fsmonitor=false", "-c", "core.attributesFile=/dev/null",
    "-c", "protocol.ext.allow=never",
]  # fmt: skip


def clean_environment() -> None:
    """Drop git's variables from this process, so that no caller's ``GIT_DIR`` or ``GIT_CONFIG_*`` steers us."""
    for name in [n for n in os.environ if n.startswith("GIT_") and n not in ("GIT_EDITOR", "GIT_PAGER")]:
        del os.environ[name]


class Heads(NamedTuple):
    """Where both branches stand: commit ids in hex, empty where a branch is missing."""

    main: str
    keys: str


class Repository:
    """A bare repository on disk."""

    def __init__(self, path: Path) -> None:
        clean_environment()
        self.path = path.resolve()
        self._git: Git | None = None

    # --- refs -----------------------------------------------------------------------------------

    def heads(self) -> Heads:
        """Return both branch heads, read straight from the ref files."""
        return Heads(self.ref(MAIN), self.ref(KEYS))

    def ref(self, name: str) -> str:
        """Return the commit that ``name`` points to, or an empty string."""
        with suppress(FileNotFoundError, NotADirectoryError):
            value = (self.path / name).read_text("ascii", "replace").strip()
            if not _HEX.fullmatch(value):
                raise Breach(f"{name} is damaged", "vrt verify")
            return value
        with suppress(FileNotFoundError):
            for row in (self.path / "packed-refs").read_text("utf-8", "replace").splitlines():
                if row.endswith(" " + name) and _HEX.fullmatch(row[:40]):
                    return row[:40]
        return ""

    # --- running git ----------------------------------------------------------------------------

    def _runner(self) -> Git:
        if self._git is None:
            os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
            from git import Git

            self._git = Git(str(self.path))
        return self._git

    def _argv(self, args: Sequence[str], options: Sequence[str]) -> list[str]:
        return ["git", *_OPTIONS, *options, f"--git-dir={self.path}", *args]

    def start(self, *args: str, lock: int | None = None, options: Sequence[str] = ()) -> Running:
        """Start git; ``lock`` is the descriptor of the desk's lock, which a git that writes inherits."""
        from subprocess import PIPE

        env = {
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_TERMINAL_PROMPT": "0",
            "LC_ALL": "C.UTF-8",
        }
        env |= {"GIT_NO_REPLACE_OBJECTS": "1", "GIT_COMMITTER_NAME": "vrt", "GIT_COMMITTER_EMAIL": "vrt"}  # in reflogs
        fds = () if lock is None else (lock,)
        argv = self._argv(args, options)
        return Running(self._runner().execute(argv, istream=PIPE, as_process=True, env=env, pass_fds=fds))

    def run(
        self, *args: str, feed: Iterable[bytes] = (), lock: int | None = None, options: Sequence[str] = ()
    ) -> bytes:
        """Run git to its end with ``feed`` on its input and return its output; ``options`` are git's own.

        Raises ``VrtError`` with git's own words where it fails, ``TryAgain`` where the disk is full.
        """
        running = self.start(*args, lock=lock, options=options)
        giver = Thread(target=running.give, args=(feed,), daemon=True)
        giver.start()
        out: bytes = running.stdout.read()
        code = running.wait()
        giver.join()
        if code:
            _fail(args[0], code, running.errors)
        return out

    # --- reading --------------------------------------------------------------------------------

    def reader(self) -> Reader:
        """Return a reader of objects; use it in a ``with`` block."""
        return Reader(self)

    def log(self, since: str, until: str) -> Iterator[Logged]:
        """Yield the commits after ``since`` (empty: from the root) up to ``until``, oldest first."""
        span = f"{since}..{until}" if since else until
        running = self.start(
            "log", "--reverse", "--topo-order", "--format=%x01%H", "--raw", "-z", "-r", "-t", "--root", "--no-abbrev",
            "--no-renames", "--full-history", "-m", "--no-textconv", "--end-of-options", span, "--",
        )  # fmt: skip
        with self.reader() as reader:
            found = commits(running.stdout)
            while some := list(islice(found, 64)):
                for (oid, changes), data in zip(some, reader.many(oid for oid, _ in some), strict=True):
                    if data is None:
                        raise Breach(f"commit {oid} is missing from the desk", "vrt verify")
                    yield Logged(oid, data, changes)
        if running.wait():
            raise Breach(f"git cannot read the history up to {until[:12]}", "vrt verify")

    def added(self, since: str, until: str) -> Iterator[tuple[str, str]]:
        """Yield (path, blob id) of the files that ``until`` has and ``since`` (may be empty) had not."""
        if since:
            args = [
                "diff-tree",
                "-r",
                "-z",
                "--raw",
                "--no-abbrev",
                "--no-renames",
                "--diff-filter=AM",
                since,
                until,
                "--",
            ]
        else:
            args = ["ls-tree", "-r", "-z", until]
        rows = iter(self.run(*args).split(b"\0"))
        for row in rows:
            if row.startswith(b":"):
                yield next(rows).decode("utf-8", "replace"), row.split(b" ")[3].decode()
            elif row:
                facts, _, path = row.partition(b"\t")
                yield path.decode("utf-8", "replace"), facts.split(b" ")[2].decode()

    def is_ancestor(self, old: str, new: str) -> bool:
        """Say whether ``new`` continues ``old``."""
        running = self.start("merge-base", "--is-ancestor", old, new)
        return running.wait() == 0

    def common(self, one: str, other: str) -> str:
        """Return the last commit that two histories share, an empty string for none."""
        running = self.start("merge-base", one, other)
        found = running.stdout.read().decode().strip()
        return found if running.wait() == 0 else ""

    # --- writing --------------------------------------------------------------------------------

    def store(self, pack: Pack, lock: int) -> None:
        """Write the objects of ``pack`` durably. Nothing points to them yet."""
        if len(pack) < LOOSE_LIMIT:
            self.run("unpack-objects", "-q", feed=pack.stream(), lock=lock)
        else:
            self.run("index-pack", "--stdin", "--keep=vrt", feed=pack.stream(), lock=lock)

    def move(self, old: Heads, new: Heads, lock: int) -> None:
        """Move both branches from ``old`` to ``new`` in one transaction, the keyring first."""
        zero = "0" * 40
        moves = [(KEYS, old.keys, new.keys), (MAIN, old.main, new.main)]
        lines = ["start", *(f"update {r} {n} {o or zero}" for r, o, n in moves if n != o), "prepare", "commit"]
        feed = ["\n".join(lines).encode() + b"\n"]
        try:
            self.run("update-ref", "--stdin", feed=feed, lock=lock)
        except VrtError:
            if not self._has_old_lock():
                raise
            self.sweep()
            self.run("update-ref", "--stdin", feed=feed, lock=lock)
        if self.heads() != new:
            raise VrtError("git update-ref: the branches did not move", "nothing was recorded; try again")
        self._unkeep()

    def _has_old_lock(self) -> bool:
        """Say whether a ref is locked for over a minute: by a git that was killed, or a machine that went down."""
        for name in _LOCKS:
            with suppress(FileNotFoundError):
                if time.time() - (self.path / name).stat().st_mtime > 60:
                    return True
        return False

    def _unkeep(self) -> None:
        """Let our packs be repacked: what they hold is reached from a ref now, or never will be."""
        for path in (self.path / "objects/pack").glob("pack-*.keep"):
            if path.read_text("ascii", "replace").strip() == "vrt":
                path.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what a killed writer left: ref locks, half-written packs, keep marks. Only under the desk's lock."""
        for name in _LOCKS:
            (self.path / name).unlink(missing_ok=True)
        self._unkeep()
        for pattern in ("pack/tmp_*", "*/tmp_obj_*"):
            for path in (self.path / "objects").glob(pattern):
                path.unlink(missing_ok=True)


class Running:
    """A git that runs. What it says on stderr is collected, so that it never blocks on that."""

    def __init__(self, process: Any) -> None:
        self._keep = process  # GitPython ends the process when this goes
        self._process = process.proc
        self.stdin, self.stdout = self._process.stdin, self._process.stdout
        self._said: list[bytes] = []
        self._listener = Thread(target=lambda: self._said.append(self._process.stderr.read()), daemon=True)
        self._listener.start()

    def give(self, feed: Iterable[bytes]) -> None:
        """Write ``feed`` to its input and close that."""
        with suppress(BrokenPipeError):
            for chunk in feed:
                self.stdin.write(chunk)
        with suppress(BrokenPipeError):
            self.stdin.close()

    def wait(self) -> int:
        """Wait for its end and return its exit code."""
        code = int(self._process.wait())
        self._listener.join()
        return code

    @property
    def errors(self) -> bytes:
        """What it said on stderr; complete after ``wait``."""
        return b"".join(self._said)


def _fail(command: str, code: int, errors: bytes) -> None:
    text = errors.decode("utf-8", "replace").strip().splitlines()
    refused = next((row.strip() for row in text if "rejected]" in row), "")  # by a remote, with its reason
    said = refused or next(
        (row for row in text if row.startswith(("fatal:", "error:"))), text[-1] if text else f"exit {code}"
    )
    if "No space left" in "\n".join(text) or "Disk quota" in "\n".join(text):
        raise TryAgain(f"git {command}: the disk is full", "free some space; nothing was recorded")
    raise VrtError(f"git {command}: {said}")


def create(path: Path) -> Repository:
    """Make an empty bare repository at ``path`` and return it; raises ``UsageError`` if something is there."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UsageError(f"{path} is there already and not empty", "name a new folder")
    path.mkdir(parents=True, exist_ok=True)
    repository = Repository(path.resolve())
    repository.run(
        "init", "-q", "--bare", "--template=", "--initial-branch=main", "--object-format=sha1", str(repository.path)
    )
    return repository
