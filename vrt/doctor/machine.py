"""Checks of the machine: versions, disk, memory, clock, and who may read and write what."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import stat
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from importlib import metadata
from pathlib import Path

from vrt import __version__
from vrt.doctor.finding import Finding, Patient, bad, count, ok, span, warn
from vrt.errors import NotAllowed, VrtError
from vrt.storage import local
from vrt.storage.git import Repository

GIT = (2, 39)  # cruft packs, and what else is asked of it
_SKEW = 300  # seconds that the ledger may be ahead of this clock, as the law of the ledger has it
_SOUND_YEAR = 2020
_FULL, _SCARCE = 100_000_000, 1_000_000_000  # bytes
_FEW_FILES = 1000


def versions(patient: Patient) -> Iterator[Finding]:
    """What vrt runs on."""
    python = ".".join(map(str, sys.version_info[:3]))
    try:  # not in the desk, whose settings may keep vrt from running it
        git = Repository(patient.folder).run("version").decode("utf-8", "replace").strip().removeprefix("git version ")
    except Exception as exc:  # whatever keeps it from running
        what = exc.message if isinstance(exc, VrtError) else type(exc).__name__
        yield bad(f"git cannot be run: {what}", "install git 2.39 or newer")
        return
    known = re.match(r"(\d+)\.(\d+)", git)
    if known is None or (int(known[1]), int(known[2])) < GIT:
        yield bad(f"git {git} is too old", "install git 2.39 or newer")
    parts = [f"vrt {__version__}", f"Python {python}", f"git {git}"]
    for package in ("pyrage", "apsw-sqlite3mc"):
        try:
            parts.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:  # put there by other means than pip
            parts.append(package)
    yield ok(", ".join(parts))


def clock(patient: Patient) -> Iterator[Finding]:
    """The clock, against the calendar and the ledger."""
    now = patient.now
    if time.gmtime(now).tm_year < _SOUND_YEAR:
        yield bad(f"the clock says {time.strftime('%Y-%m-%d', time.gmtime(now))}", "set it: timedatectl set-ntp true")
    elif patient.newest > now + _SKEW:
        late = span(patient.newest - now)
        yield warn(f"the last event of the ledger is {late} ahead of this clock: one of the two is wrong",
                   "timedatectl status")  # fmt: skip
    else:
        yield ok("not behind the ledger")


def disk(patient: Patient) -> Iterator[Finding]:
    """Whether something can be written, and how much."""
    try:
        _try_to_write(patient.folder)
    except OSError as exc:
        yield bad(f"nothing can be written to {patient.folder}: {exc.strerror}", f"df -h {_quoted(patient.folder)}")
        return
    free, files = shutil.disk_usage(patient.path).free, os.statvfs(patient.path)
    if files.f_files and files.f_favail < _FEW_FILES:
        yield bad(f"the disk takes only {count(files.f_favail, 'more file', 'more files')}", "df -i; vrt maintain")
    elif free < _FULL:
        yield bad(f"{free / 1e6:,.0f} MB are free", "free some space")
    elif free < _SCARCE:
        yield warn(f"{free / 1e6:,.0f} MB are free", "free some space")
    else:
        yield ok(f"{free / 1e9:,.0f} GB are free")


def _try_to_write(folder: Path) -> None:
    import tempfile

    with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-") as file:
        file.write(bytes(4096))
        file.flush()
        os.fsync(file.fileno())


def memory(patient: Patient) -> Iterator[Finding]:
    """Where drafts and opened keys lie."""
    try:
        folder = local.memory_folder()
    except NotAllowed as exc:
        yield warn(exc.message, exc.hint or "")
        return
    kind, stale = _file_system(folder), list(_stale(folder, patient.now))
    for path in stale:
        yield warn(f"{path} should be gone", f"rm -r {_quoted(path)}", partial(_remove, path))
    if kind not in ("tmpfs", "ramfs", ""):
        yield warn(f"drafts and opened keys lie in {folder}, which is on a disk ({kind})",
                   "let XDG_RUNTIME_DIR name a folder on tmpfs")  # fmt: skip
    elif not stale:
        yield ok(f"drafts lie in {folder}")


def _stale(folder: Path, now: int) -> Iterator[Path]:
    """Yield keys that ``unlock`` kept and whose time is over, and drafts that no start of vrt removes."""
    for path in folder.glob("unlocked-*"):
        with suppress(OSError, ValueError), path.open("rb") as file:
            if int(file.readline()) < now:
                yield path
    for path in folder.glob("draft-*"):
        if not (path / "alive").exists() and path.stat().st_mtime < now - 60:
            yield path


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def _file_system(path: Path) -> str:
    """Return the type of the file system that ``path`` is on (proc(5), mountinfo); empty where nobody says."""
    best, kind = "", ""
    with suppress(OSError):
        for row in Path("/proc/self/mountinfo").read_text("utf-8", "replace").splitlines():
            before, _, after = row.partition(" - ")
            place = before.split(" ")[4]
            inside = place == "/" or path == Path(place) or Path(place) in path.parents
            if inside and len(place) >= len(best):
                best, kind = place, after.split(" ")[0]
    return kind


# --- permissions ------------------------------------------------------------------------------------------


def permissions(patient: Patient) -> Iterator[Finding]:
    """Who else may read or write what is the caller's alone."""
    keys = _keys(patient)
    private = [patient.folder, *sorted(patient.folder.rglob("*")), local.home(), *_below(local.home()), *keys]
    must = {patient.folder, local.home(), *keys}
    found = list(_private(dict.fromkeys(private), must))
    places = (patient.path, local.home(), *(key.parent for key in keys))
    found += _parents(dict.fromkeys(p for place in places for p in (place.absolute(), *place.absolute().parents)))
    if patient.path.is_dir():
        found += _parents(p for p in patient.path.iterdir() if p != patient.folder)
    yield from found or [ok("nobody else can read the keys or write to the desk")]


def _keys(patient: Patient) -> list[Path]:
    try:
        config = patient.desk.keys.config
    except (VrtError, OSError):  # said by another check
        config = local.Config()
    return [p for p in (config.identity_path, config.signing_path) if p.suffix != ".pub" and p.exists()]


def _below(folder: Path) -> list[Path]:
    return [p for p in sorted(folder.glob("*")) if p.suffix != ".pub"]


def _private(paths: Iterable[Path], must: set[Path]) -> Iterator[Finding]:
    """Look at what only the caller may read. What lies within a closed folder is less urgent than what ``must``."""
    for path in paths:
        try:
            found = path.lstat()
        except FileNotFoundError:
            continue
        name, wanted = _quoted(path), 0o700 if stat.S_ISDIR(found.st_mode) else 0o600
        if stat.S_ISLNK(found.st_mode):
            if path not in must:
                yield warn(f"{path} is a symbolic link", f"ls -l {name}")
        elif found.st_uid != os.getuid():
            yield bad(f"{path} belongs to another user", f"chown {os.getuid()} {name}")
        elif found.st_mode & 0o077:
            say = bad if path in must else warn
            mode = stat.S_IMODE(found.st_mode) & 0o700
            yield say(f"others have rights on {path}", f"chmod go= {name}", partial(path.chmod, mode))
        elif found.st_mode & wanted != wanted:
            mode = stat.S_IMODE(found.st_mode) | wanted
            yield bad(f"you yourself lack rights on {path}", f"chmod u+rwX {name}", partial(path.chmod, mode))


def _parents(paths: Iterable[Path]) -> Iterator[Finding]:
    """Look at what others must not write to: they could put something else in its place."""
    for path in paths:
        try:
            found = path.stat()
        except OSError:
            continue
        name = _quoted(path)
        if found.st_uid not in (0, os.getuid()):
            yield warn(f"{path} belongs to another user, who can change what is in it", f"ls -ld {name}")
        elif found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
            yield bad(f"everybody can write to {path}", f"chmod o-w {name}")
        elif found.st_mode & stat.S_IWGRP and found.st_gid not in (0, os.getgid()):
            yield warn(f"a group can write to {path}", f"chmod g-w {name}")


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
