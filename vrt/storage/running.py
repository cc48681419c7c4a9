"""A program that runs beside vrt, a git: fed, listened to, ended, and what it said in the end made one sentence.

Knows nothing of repositories. What is said may come from a remote, which is not trusted: only its end is kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from threading import Thread
from typing import Any

from vrt.errors import TryAgain, VrtError

_HEARD = 1 << 16  # bytes kept of what it says on stderr, the last ones
_TOO_MUCH = 1 << 22  # bytes there, after which it is ended
_REASON = 300  # characters of that which are passed on
_HOOK = "remote: vrt: error: "  # of vrt hook pre-receive, which says which rule is broken


class Running:
    """A git that runs. What it says on stderr is collected, so that it never blocks on that."""

    def __init__(self, process: Any) -> None:
        self._keep = process  # GitPython ends the process when this goes
        self._process = process.proc
        self.stdin, self.stdout = self._process.stdin, self._process.stdout
        self.ended = ""  # why it was, by us, before its time
        self._said = b""
        self._listener = Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        heard = 0
        while chunk := self._process.stderr.read1(_HEARD):
            heard += len(chunk)
            self._said = (self._said + chunk)[-_HEARD:]
            if heard > _TOO_MUCH:
                self.end("the other side talks without end")
                self._process.stderr.close()
                return

    def bound(self, largest: int) -> None:
        """Let no file grow beyond ``largest`` bytes that it writes from now on, or a program that it starts."""
        import resource

        if hasattr(resource, "prlimit"):  # Linux
            with suppress(OSError):  # it has ended
                resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (largest, largest))

    def give(self, feed: Iterable[bytes]) -> None:
        """Write ``feed`` to its input and close that."""
        with suppress(BrokenPipeError):
            for chunk in feed:
                self.stdin.write(chunk)
        with suppress(BrokenPipeError):
            self.stdin.close()

    def end(self, why: str) -> None:
        """End it now: a git that waits for a remote which does not answer, or answers without end."""
        self.ended = why
        self._process.terminate()

    def wait(self) -> int:
        """Wait for its end and return its exit code."""
        code = int(self._process.wait())
        self._listener.join(0.2 if self.ended else None)  # an ssh that it leaves behind keeps stderr open for a while
        return code

    @property
    def errors(self) -> bytes:
        """What it said last on stderr; complete after ``wait``."""
        return self._said

    def failure(self, command: str, code: int) -> VrtError:
        """Return the error that says why it failed, in git's own words, or those of the remote it talked with."""
        rows = self.errors.decode("utf-8", "replace").strip().splitlines()
        text = "\n".join(rows)
        if self.ended:
            return TryAgain(f"git {command}: {self.ended}", "vrt sync")
        if "No space left" in text or "Disk quota" in text:
            return TryAgain(f"git {command}: the disk is full", "free some space; nothing was recorded")
        return VrtError(f"git {command}: {_said(rows)[:_REASON] or f'exit {code}'}")


def _said(rows: list[str]) -> str:
    """Return what git said that is worth most: why a remote refused, what failed, or its last words."""
    if told := next((row.strip() for row in rows if row.startswith(_HOOK)), ""):
        return f"the host refuses it: {told.removeprefix(_HOOK)}"
    if refused := next((row.strip() for row in rows if "rejected]" in row), ""):
        reason = next((row.removeprefix("remote: ").strip() for row in rows if row.startswith("remote: ")), "")
        return f"{refused}: {reason}" if reason else refused
    for i, row in enumerate(rows):
        if i and "Could not read from remote repository" in row:
            return rows[i - 1].strip()  # of ssh
        if row.startswith(("fatal:", "error:")):
            return row
    return rows[-1] if rows else ""
