"""Git: the one place that runs it, and the only user of GitPython.

Every call has a fixed argv with ``--git-dir``; what comes from users or mail never stands in it. Hooks
are off, the user's and the system's git configuration is not read (it could name programs), the
repository's own only where it is harmless, and ``GIT_*`` variables are dropped (``surroundings``).
Reading a ref needs no process at all.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from itertools import islice
from pathlib import Path
from threading import Thread, Timer
from typing import TYPE_CHECKING, NamedTuple

from vrt.errors import Breach, UsageError, VrtError
from vrt.storage import leftovers
from vrt.storage.reading import Logged, Reader, commits
from vrt.storage.running import Running
from vrt.storage.surroundings import check, clean_environment, environment

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
    "-c", "http.followRedirects=false",
]  # fmt: skip


class Heads(NamedTuple):
    """Where both branches stand: commit ids in hex, empty where a branch is missing."""

    main: str
    keys: str


class Repository:
    """A bare repository on disk."""

    def __init__(self, path: Path, push: Mapping[str, str] | None = None) -> None:
        """``push``: in the hook of a host, the variables that lead git to what is being pushed. Its settings are not
        looked at then: they are the host's own, and git runs with them already.
        """
        clean_environment()
        self.path = path.resolve()
        self._push = push
        self._git: Git | None = None
        self._checked: tuple[int, ...] = ()

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
        return [_program(), *_OPTIONS, *options, f"--git-dir={self.path}", *args]

    def _check(self) -> None:
        """Hold the repository's settings to what is harmless, again where they changed."""
        if self._push is not None:
            return
        try:
            found = (self.path / "config").stat()
            state: tuple[int, ...] = (found.st_mtime_ns, found.st_ino, found.st_size)
        except FileNotFoundError:
            state = (0,)
        if state != self._checked:
            check(self.path)
            self._checked = state

    def start(self, *args: str, lock: int | None = None, options: Sequence[str] = ()) -> Running:
        """Start git; ``lock`` is the descriptor of the desk's lock, which a git that writes inherits.

        Raises ``UsageError`` where the repository's own settings could make it run a program.
        """
        from subprocess import PIPE

        self._check()
        fds = () if lock is None else (lock,)
        argv = self._argv(args, options)
        env = {**environment(), **(self._push or {})}
        return Running(self._runner().execute(argv, istream=PIPE, as_process=True, env=env, pass_fds=fds))

    def run(
        self, *args: str, feed: Iterable[bytes] = (), lock: int | None = None, options: Sequence[str] = (),
        limit: float | None = None, largest: int = 0,
    ) -> bytes:  # fmt: skip
        """Run git to its end with ``feed`` on its input and return its output; ``options`` are git's own.

        No file that it writes grows beyond ``largest`` bytes (0: as it likes). Raises ``VrtError`` with git's own words
        where it fails, ``TryAgain`` where the disk is full or ``limit`` seconds did not suffice.
        """
        running = self.start(*args, lock=lock, options=options)
        if largest:
            running.bound(largest)
        timer = Timer(limit, running.end, [f"no answer within {limit:g} seconds"]) if limit else None
        if timer:
            timer.start()
        giver = Thread(target=running.give, args=(feed,), daemon=True)
        giver.start()
        out: bytes = running.stdout.read()
        code = running.wait()
        giver.join()
        if timer:
            timer.cancel()
        if code or running.ended:
            raise running.failure(args[0], code)
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
        if old == new:
            return True
        running = self.start("merge-base", "--is-ancestor", old, new)
        return running.wait() == 0

    def common(self, one: str, other: str) -> str:
        """Return the last commit that two histories share, an empty string for none."""
        if one == other:
            return one
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
        """Remove what a killed writer left: ref locks, keep marks, old half-written packs; under the desk's lock."""
        for name in _LOCKS:
            (self.path / name).unlink(missing_ok=True)
        self._unkeep()
        leftovers.remove(self.path)


@cache
def _program() -> str:
    """Return the path of git, which is looked for in absolute folders only."""
    import shutil

    clean_environment()
    found = shutil.which("git")
    if found is None:
        raise VrtError("git is not installed", "install git 2.39 or newer")
    return found


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
