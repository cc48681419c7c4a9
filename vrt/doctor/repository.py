"""Checks of the repository: the two branches, git's settings, what killed programs left, and how well it is packed."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

from vrt import paths, upkeep
from vrt.doctor.finding import Finding, Patient, bad, count, ok, span, warn
from vrt.errors import VrtError
from vrt.storage import leftovers, remote, surroundings
from vrt.storage.git import KEYS, MAIN
from vrt.storage.local import FOLDER

_LOOSE, _PACKS, _LARGE = 10_000, 50, 10_000
_RARELY = 14 * 86400  # seconds without ``maintain``
_SHOWN = 3

# What ``founding.set_up`` sets.
_SET = {"gc.auto": "0", "core.fsync": "all", "core.logallrefupdates": "true", "repack.writebitmaps": "false",
        "diff.vrt.cachetextconv": "false"}  # fmt: skip
_TEXTCONV = ("diff.vrt.textconv", "diff.vrt-key.textconv")
_SIGNERS = "gpg.ssh.allowedsignersfile"


def ledger(patient: Patient) -> Iterator[Finding]:
    """The two branches: there, and their last commits readable. What is in them, ``vrt verify`` checks."""
    heads = patient.desk.repository.heads()
    assert patient.head
    if not heads.keys:
        yield bad(f"the keyring is missing: there is no branch {KEYS}", "vrt sync; or take a backup")
        return
    with patient.desk.repository.reader() as reader:
        for head in heads:
            reader.read(head)
            reader.read(f"{head}^{{tree}}")
    if (patient.path / "HEAD").read_text("utf-8", "replace").strip() != f"ref: {MAIN}":
        mend = ("symbolic-ref", "HEAD", MAIN)
        yield warn("HEAD names another branch than main", "git " + " ".join(mend), lambda: patient.git(*mend))
    yield ok(f"the ledger stands at {heads.main[:12]}, the keyring at {heads.keys[:12]}")


def settings(patient: Patient) -> Iterator[Finding]:
    """The settings of git in the desk: none that may run a program, and those that it should have."""
    for name in surroundings.unexpected(patient.path)[1:]:
        yield bad(f"git's settings of this desk hold {name}, too", f"take it out of {patient.path}")
    surroundings.check(patient.path)
    rows = (row.partition("\n") for row in patient.git("config", "--local", "--list", "-z").split("\0") if row)
    have = {name: value for name, _, value in rows}

    def mend() -> None:
        from vrt.founding import set_up

        signers = patient.desk.repository.run("cat-file", "blob", f"{patient.head}:{paths.SIGNERS}")
        set_up(patient.desk.repository, signers.decode())

    wrong = [name for name, value in _SET.items() if have.get(name) != value]
    if have.get(_SIGNERS) != str(patient.desk.repository.path / FOLDER / "allowed_signers"):
        wrong.append(_SIGNERS)
    wrong += [name for name in _TEXTCONV if not _runs(have.get(name, ""))]
    wrong += [] if _attributes(patient.path) else ["info/attributes"]
    if wrong:
        yield warn(f"not as vrt sets it: {_some(wrong)}", "vrt doctor --fix", mend)
    else:
        yield ok("git is set as vrt needs it")


def _runs(command: str) -> bool:
    """Say whether a textconv is vrt's, and its program is there."""
    try:
        program, *words = shlex.split(command)
    except ValueError:
        return False
    return "textconv" in words and shutil.which(program) is not None


def _attributes(path: Path) -> bool:
    try:
        return "*.md.age diff=vrt" in (path / "info/attributes").read_text("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return False


def left_over(patient: Patient) -> Iterator[Finding]:
    """What killed programs left in the repository, and in memory."""
    found = list(leftovers.leftovers(patient.path))
    if found:
        names = _some([os.path.relpath(p, patient.path) for p in found])
        yield warn(f"left by killed programs: {names}", "vrt doctor --fix", lambda: upkeep.tidy(patient.desk))
    if remote.held(patient.desk.repository).main:
        yield warn("a sync was cut off: what was done here waits to be put on top of what others did", "vrt sync")
    elif not found:
        yield ok("killed programs left nothing")


def packs(patient: Patient) -> Iterator[Finding]:
    """Whether ``maintain`` is due, and whether it ever runs."""
    have, last = upkeep.packed(patient.desk), upkeep.last_maintained(patient.path)
    loose, many = have["count"], have["packs"]
    text = f"{count(loose, 'loose object', 'loose objects')}, {count(many, 'pack', 'packs')}"
    since = patient.now - last.time
    if loose > _LOOSE or many > _PACKS:
        yield warn(f"{text}: the desk is slower and larger than it need be", "vrt maintain")
    elif not last.time and loose + have["in-pack"] > _LARGE:
        yield warn(f"{text}; maintain never ran", "put it into cron: vrt -C DESK maintain")
    elif last.time and since > _RARELY:
        yield warn(f"{text}; maintain ran {span(since)} ago: is it in cron?", "vrt maintain")
    else:
        yield ok(f"{text}; maintain {f'ran {span(since)} ago' if last.time else 'never ran'}")


def graph(patient: Patient) -> Iterator[Finding]:
    """The commit-graph with changed paths (gitformat-commit-graph(5)): ``git log -- FOLDER`` is slow without it."""
    path = patient.path / "objects/info/commit-graph"

    def mend() -> None:
        path.unlink(missing_ok=True)
        upkeep.write_graph(patient.desk)

    try:
        with path.open("rb") as file:
            head = file.read(8 + 12 * 32)
    except FileNotFoundError:
        try:
            large = sum(upkeep.packed(patient.desk)[n] for n in ("count", "in-pack")) > _LARGE
        except VrtError:
            large = True
        if large:
            yield warn("there is no commit-graph: git log on a folder is slow", "vrt maintain", mend)
        else:
            yield ok("none yet: the desk is small")
        return
    chunks = {head[i : i + 4] for i in range(8, 8 + 12 * head[6], 12)} if len(head) > 8 else set()
    if head[:4] != b"CGPH":
        yield warn("the commit-graph is damaged", "vrt maintain", mend)
    elif not {b"BIDX", b"BDAT"} <= chunks:
        yield warn("the commit-graph lacks changed paths: git log on a folder is slow", "vrt maintain", mend)
    else:
        yield ok("the commit-graph is there, with changed paths")


def _some(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more:,} more" if more > 0 else "")
