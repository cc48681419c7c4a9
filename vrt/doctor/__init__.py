"""What may be wrong with a desk and its machine: each thing looked at on its own, whatever else is damaged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import vrt.doctor.machine as machine
import vrt.doctor.repository as repository
import vrt.doctor.work as work
from vrt.doctor.finding import BAD, OK, WARN, Check, Finding, Patient
from vrt.errors import VrtError

CHECKS: dict[str, Check] = {
    "versions": machine.versions,
    "disk": machine.disk,
    "memory": machine.memory,
    "permissions": machine.permissions,
    "git": repository.settings,
    "ledger": repository.ledger,
    "clock": machine.clock,
    "keys": work.keys,
    "index": work.index,
    "leftovers": repository.left_over,
    "packs": repository.packs,
    "graph": repository.graph,
    "remote": work.remote,
    "waiting": work.waiting,
}


def examine(path: Path, *, network: bool = False, fix: bool = False) -> Iterator[Finding]:
    """Yield what is found in the desk at ``path``, at least one finding of each check; never raises.

    ``network``: ask the remote, too. ``fix``: mend what is safe to mend.
    """
    said = set[str]()
    try:
        patient = Patient(path, network)
    except Exception as exc:
        yield _failed(exc)._replace(check="desk")
        return
    for name, check in CHECKS.items():
        found = _look(patient, check, said)
        if fix and any(f.mend for f in found):
            done = [_mended(f) for f in found if f.mend]
            patient = Patient(path, network)
            found = done + [f for f in _look(patient, check, said) if f.state != OK]
        said |= {f.text for f in found}
        yield from (f._replace(check=name) for f in found)


def _look(patient: Patient, check: Check, said: set[str]) -> list[Finding]:
    found: list[Finding] = []
    try:
        found.extend(check(patient))
    except Exception as exc:  # what is damaged may break anything, and the other checks go on
        broken = _failed(exc)
        if broken.text in said:  # what an earlier check has found to be wrong
            broken = Finding(WARN, f"not looked at: {broken.text}")
        found.append(broken)
    return found


def _mended(found: Finding) -> Finding:
    assert found.mend is not None
    try:
        found.mend()
    except Exception as exc:
        return Finding(found.state, f"not mended: {_failed(exc).text}", found.hint)
    return Finding(OK, f"mended: {found.text}")


def _failed(exc: Exception) -> Finding:
    if isinstance(exc, VrtError):
        return Finding(BAD, exc.message, exc.hint or "vrt verify")
    if isinstance(exc, OSError):
        where = f"{exc.filename}: " if exc.filename else ""
        return Finding(BAD, f"{where}{exc.strerror or type(exc).__name__}", "see to it, and call vrt doctor again")
    return Finding(BAD, f"this could not be looked at ({type(exc).__name__})", "vrt verify")
