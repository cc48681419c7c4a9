"""The desk's lock: one writer at a time, through flock(2) on ``vrt/lock``.

The descriptor is handed to git children, so that a killed vrt whose git still moves refs keeps the
others out until that is over; whoever holds the lock may remove what a dead holder left.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from vrt.errors import TryAgain

PATIENCE = 60.0  # seconds to wait for another writer


@contextmanager
def held(path: Path, clean: Callable[[], None], patience: float = PATIENCE) -> Iterator[int]:
    """Hold the lock at ``path`` and yield its descriptor; raises ``TryAgain`` after ``patience`` seconds.

    While it is held the file has a byte in it, which stays if anything goes wrong. Where it is found, the holder
    before, or a git of its, may have been killed, and ``clean`` runs first.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _wait(fd, path, patience)
        if os.fstat(fd).st_size:
            clean()
        else:
            os.pwrite(fd, b"1", 0)
        yield fd
        os.ftruncate(fd, 0)
    finally:
        os.close(fd)


def _wait(fd: int, path: Path, patience: float) -> None:
    end, pause = time.monotonic() + patience, 0.002
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= end:
                raise TryAgain(
                    f"another vrt has been writing to this desk for {patience:.0f} seconds",
                    f"wait for it, or see who holds it: fuser {path}",
                ) from None
            time.sleep(pause)
            pause = min(pause * 1.5, 0.05)
