"""Work spread over processes, where there is enough of it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from vrt.errors import TryAgain

Job = TypeVar("Job")
Result = TypeVar("Result")
Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]

CHUNK = 16


@contextmanager
def spread(pays: bool) -> Iterator[Map]:
    """Yield a ``map``: over worker processes if it ``pays`` and there is more than one processor, else here.

    Workers start afresh (no descriptor of ours, such as the desk's lock, lives on in them), leave Ctrl-C to
    their parent, and end when it does, however it ends.
    """
    if not pays or (os.cpu_count() or 1) < 2:
        yield map
        return
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    count = min(os.cpu_count() or 1, 8)
    pool = ProcessPoolExecutor(count, get_context("spawn"), _start, (os.getpid(),))
    try:
        yield lambda work, jobs: _submit(pool, work, jobs)
    except BrokenProcessPool as exc:
        raise TryAgain("a worker process was killed", "is there enough memory? repeat the call") from exc
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def ahead(jobs: Iterator[Job], start: Callable[[Job], Result], depth: int = 1) -> Iterator[tuple[Job, Result]]:
    """Yield each job with what ``start`` returned for it, ``depth`` jobs after it was started."""
    started: deque[tuple[Job, Result]] = deque()
    for job in jobs:
        started.append((job, start(job)))
        if len(started) > depth:
            yield started.popleft()
    yield from started


def _submit(pool: Any, work: Callable[[Any], Any], jobs: Iterable[Any]) -> Iterator[Any]:
    """Hand jobs to the pool; a worker that starts now starts deaf to Ctrl-C, which is its parent's."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        results: Iterator[Any] = pool.map(work, jobs, chunksize=CHUNK)
        return results
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start(parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
