"""Whole processes measured: wall time, processor time, memory of all their descendants; runs interleaved."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Run:
    """A run of a process and all it started: seconds, seconds of processor time, MiB at the peak (0: not watched)."""

    wall: float
    cpu: float
    peak: float = 0.0


class Failed(Exception):
    """What was to be measured did not work."""


def run(
    argv: Sequence[str], env: Mapping[str, str], *, feed: bytes | Path | None = None, cwd: Path | None = None,
    watch: bool = False,
) -> Run:  # fmt: skip
    """Run a program to its end; its output is thrown away. ``watch`` its memory. Raises ``Failed``."""
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
        if isinstance(feed, bytes):
            given.write(feed)
            given.seek(0)
        source = feed.open("rb") if isinstance(feed, Path) else given
        with source:
            begun = time.perf_counter()
            process = subprocess.Popen(argv, env=env, cwd=cwd, stdin=source, stdout=subprocess.DEVNULL, stderr=said)
            watcher = _Watcher(process.pid) if watch else None
            _, status, used = os.wait4(process.pid, 0)
            wall = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise Failed(f"{' '.join(argv[:6])} … exit {process.returncode}\n{said.read().decode('utf-8', 'replace')}")
    return Run(wall, used.ru_utime + used.ru_stime, watcher.stop() if watcher else 0.0)


class _Watcher:
    """Adds up, 20 times a second, the resident memory of a process and its descendants.

    Pages that several of them share are counted for each, so the sum is an upper bound.
    """

    def __init__(self, pid: int) -> None:
        self._pid, self._peak, self._over = pid, 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            self._peak = max(self._peak, _resident(self._pid))

    def stop(self) -> float:
        self._over.set()
        self._thread.join()
        return self._peak / 2**20


def _resident(pid: int) -> int:
    """Return the bytes of resident memory of ``pid`` and its descendants (proc(5), statm)."""
    total, todo = 0, [pid]
    while todo:
        one = todo.pop()
        try:
            total += int(Path(f"/proc/{one}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            for task in Path(f"/proc/{one}/task").iterdir():
                todo += map(int, (task / "children").read_text().split())
        except (OSError, ValueError, IndexError):
            continue
    return total


Case = Callable[[], Run]


def compare(
    cases: Mapping[str, Case], runs: int, say: Callable[[str], None], *, warm: bool = True
) -> dict[str, list[Run]]:
    """Run every case once to warm up, then ``runs`` rounds of all of them in turn: A B C, A B C …"""
    found: dict[str, list[Run]] = {name: [] for name in cases}
    for number in range(0 if warm else 1, runs + 1):
        for name, case in cases.items():
            say(f"round {number} of {runs}: {name}")
            done = case()
            if number:
                found[name].append(done)
    return found


def wall(runs: Sequence[Run]) -> float:
    """Return the median of the wall times, in seconds."""
    return statistics.median(r.wall for r in runs)


def cpu(runs: Sequence[Run]) -> float:
    """Return the median of the processor times, in seconds."""
    return statistics.median(r.cpu for r in runs)


def ratio(runs: Sequence[Run], floor: Sequence[Run]) -> float:
    """Return the median, over the rounds, of a wall time by the floor's in the same round."""
    return statistics.median(a.wall / b.wall for a, b in zip(runs, floor, strict=True))


def cpu_ratio(runs: Sequence[Run], floor: Sequence[Run]) -> float:
    """Return the same of the processor times: what other work on the machine does not change."""
    return statistics.median(a.cpu / b.cpu for a, b in zip(runs, floor, strict=True))
