"""Desks to measure on, built in this process with a clock that moves and kept for the next run.

A desk of N tickets has N tickets, their follow-ups, and days of 200 to 400 mails, as a real one. Two states
of each size: with everything open, as no team would leave it, and with all but some 3 % closed.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import mails

HANDLE = "bench"
RECIPE = "1"  # to be raised when desks are built in another way: those kept from before are made anew
KEEP_OPEN = 0.03
KEEP_AT_LEAST = 40  # tickets: even a small desk has some to work on
CLOSE_AT_ONCE = 1000


@dataclass(frozen=True)
class Place:
    """Where desks are built: below ``work``, with keys of their own that nobody else uses."""

    work: Path

    @property
    def environment(self) -> dict[str, str]:
        """The environment of every vrt that is measured: only our keys, no configuration of the caller's."""
        home = self.work / "home"
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        return kept | {
            "HOME": str(home), "VRT_HOME": str(home / "keys"), "XDG_RUNTIME_DIR": str(home / "run"), "TZ": "UTC",
            "LC_ALL": "C.UTF-8",
        }  # fmt: skip

    def prepare(self) -> None:
        """Make the folders, and let vrt in this process see our keys alone."""
        (self.work / "home" / "run").mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, value in self.environment.items():
            os.environ[name] = value
        time.tzset()


class Clock:
    """A clock that stands still until it is set, and never goes back."""

    def __init__(self, now: int) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def set(self, now: int) -> None:
        self.now = max(self.now, now)


def found(path: Path, now: int) -> None:
    """Make an empty desk with the queues that the made-up mail is sent to."""
    from vrt import founding, queues
    from vrt.desk import Desk
    from vrt.model import Queue
    from vrt.storage.local import Config

    founding.found(path, "Bench", mails.DOMAIN, HANDLE, Config(), now, "UTC")
    for name, address in mails.ADDRESSES.items():
        queues.add_queue(Desk(path, clock=Clock(now)), Queue(name, (address,)))


def build(path: Path, tickets: int) -> None:
    """Build a desk of ``tickets`` tickets, all of them open."""
    from vrt.desk import Desk
    from vrt.mail import intake
    from vrt.mail.sources import Letter
    from vrt.work import spread

    clock = Clock(mails.START)
    found(path, mails.START)
    desk = Desk(path, clock=clock)
    born, begun = 0, time.monotonic()
    with spread(True) as work:
        for day, made in groupby(mails.tickets(tickets), key=lambda m: m.time // 86400):
            clock.set((day + 1) * 86400 - 3 * 3600)
            for got in intake.receive(desk, (Letter(m.token, m.raw) for m in made), work, lambda done: None):
                assert got.outcome in ("new", "follow-up"), got
                born += got.outcome == "new"
            say(f"{path.name}: {born:,} of {tickets:,} tickets, {born / (time.monotonic() - begun):,.0f}/s")


def close_most(path: Path) -> None:
    """Close all tickets but the newest few, in large batches."""
    from vrt import acts
    from vrt.desk import Desk

    found, _ = Desk(path).find("state:any", limit=-1, mine=False, order="number")
    numbers = [t.number for t in found if t.state != "closed"]
    desk = Desk(path, clock=Clock(max(t.updated for t in found) + 3600))
    closing = numbers[: len(numbers) - max(KEEP_AT_LEAST, int(len(numbers) * KEEP_OPEN))]
    for at in range(0, len(closing), CLOSE_AT_ONCE):
        acts.act(desk, "close", closing[at : at + CLOSE_AT_ONCE], lambda ticket: {"Outcome": "successful"})
        say(f"{path.name}: {min(at + CLOSE_AT_ONCE, len(closing)):,} of {len(closing):,} closed")


def maintain(path: Path) -> None:
    """Repack, as a desk's cron does every night."""
    from vrt import upkeep
    from vrt.desk import Desk

    upkeep.maintain(Desk(path))


def ready(place: Place, tickets: int, *, all_open: bool = False) -> Path:
    """Return the desk of ``tickets`` tickets, built now or by an earlier run. Measure on a ``copy`` of it."""
    full, worked = place.work / f"desk-{tickets}-open", place.work / f"desk-{tickets}"
    if not _is_current(full):
        _remove(full)
        build(full, tickets)
        maintain(full)
        _mark(full)
    if all_open:
        return _indexed(full)
    if not _is_current(worked):
        _remove(worked)
        copy(full, worked)
        close_most(worked)
        maintain(worked)
        _mark(worked)
    return _indexed(worked)


def _indexed(path: Path) -> Path:
    """Bring the index of a kept desk up to this version of vrt."""
    from vrt.desk import Desk

    say(f"{path.name}: {Desk(path).find('', limit=0, mine=True)[1]:,} tickets open")
    return path


def copy(desk: Path, target: Path) -> Path:
    """Copy a desk; packs, which git never changes, are linked."""
    if target.exists():
        shutil.rmtree(target)

    def one(source: str, there: str) -> None:
        if f"{os.sep}pack{os.sep}" in source:
            os.link(source, there)
        else:
            shutil.copy2(source, there)

    shutil.copytree(desk, target, copy_function=one)
    return target


def open_tickets(desk: Path) -> list[str]:
    """Return the numbers of the tickets that can be worked on, longest waiting first."""
    from vrt.desk import Desk

    found, _ = Desk(desk).find("owner:none", limit=-1, mine=True)
    return [t.number for t in found]


def _is_current(desk: Path) -> bool:
    mark = desk.with_name(desk.name + ".built")
    return mark.exists() and mark.read_text() == RECIPE and desk.exists()


def _mark(desk: Path) -> None:
    desk.with_name(desk.name + ".built").write_text(RECIPE)


def _remove(desk: Path) -> None:
    desk.with_name(desk.name + ".built").unlink(missing_ok=True)
    if desk.exists():
        shutil.rmtree(desk)


def say(text: str) -> None:
    """Show progress on stderr: in place on a terminal, else a line every two seconds at most."""
    now = time.monotonic()
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
    elif now - _said[0] > 2:
        _said[0] = now
        sys.stderr.write(text + "\n")
    sys.stderr.flush()


_said: list[float] = [0.0]
