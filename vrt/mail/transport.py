"""Handing a message to this machine: into a Maildir, or to a program that takes mail as sendmail does.

Knows files and processes, and nothing of the desk. The message is never in a file on disk but in the Maildir that
the admin chose, and no shell sees an address.
"""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from vrt.errors import NotAllowed
from vrt.mail.delivery import SAID, InDoubt, Result, Unreachable, unsendable
from vrt.storage.local import memory_folder, sync_folder

LIMIT = 300.0  # seconds that the program has
_HEARD = 64 << 10  # bytes of what it says
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
# sysexits(3): what is wrong with the message or with who shall get it. All other codes are about the machine, its
# settings or the moment (EX_TEMPFAIL 75, EX_OSERR 71: no process, no memory; EX_CONFIG 78, EX_NOPERM 77 and EX_USAGE
# 64: until the operator acts), and so is what sysexits do not name: a wrapper that broke.
_REFUSED = {65: "5.6.0", 67: "5.1.1", 68: "5.1.2", 69: "5.0.0"}
_LATER = "4.3.0"  # RFC 3463, section 3.4: other or undefined mail system status


class Maildir:
    """A Maildir (https://cr.yp.to/proto/maildir.html), made where it is missing.

    The name of a message is that of its event, so that a second delivery finds the first and adds nothing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def send(
        self, name: str, envelope: str, recipients: Sequence[str], data: bytes, commit: Callable[[], None]
    ) -> Result:
        """Put a message into ``new``; see ``vrt.mail.delivery.Transport``."""
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no event id")
        new = self._folder / "new"
        try:
            self._make()
            waiting = None if self._has(name) else self._write(name, data)
        except OSError as exc:
            raise Unreachable(f"{exc.filename or self._folder}: {exc.strerror}") from exc
        try:
            commit()
            try:
                if waiting:
                    waiting.rename(new / name)
                sync_folder(new)
            except OSError as exc:  # another try finds the message, if it is there
                return Result("deferred", _LATER, f"{exc.filename or new}: {exc.strerror}"[:SAID])
        finally:
            if waiting:
                waiting.unlink(missing_ok=True)
        return Result("sent", "2.0.0")

    def _make(self) -> None:
        """Make the folders, but not the one they are in: a disk that is not mounted is noticed."""
        for path in (self._folder, *(self._folder / part for part in ("tmp", "new", "cur"))):
            path.mkdir(mode=0o700, exist_ok=True)

    def _has(self, name: str) -> bool:
        """Say whether a message is there; readers move it to ``cur`` and put flags behind its name."""
        if (self._folder / "new" / name).exists():
            return True
        with os.scandir(self._folder / "cur") as entries:
            return any(entry.name.partition(":")[0] == name for entry in entries)

    def _write(self, name: str, data: bytes) -> Path:
        fd, path = tempfile.mkstemp(dir=self._folder / "tmp", prefix=f"{name}.")
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            Path(path).unlink()
            raise
        return Path(path)


class Sendmail:
    """A program with the command line of sendmail(8), as Postfix, Exim, msmtp and others bring it."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = tuple(command)

    def send(
        self, name: str, envelope: str, recipients: Sequence[str], data: bytes, commit: Callable[[], None]
    ) -> Result:
        """Run the program with a message; see ``vrt.mail.delivery.Transport``."""
        if refused := unsendable(envelope, recipients):
            return refused
        program = self._command[0]
        if not os.access(program, os.X_OK) or not Path(program).is_file():
            raise Unreachable(f"{program} is no program that can be run", "set delivery: command in vrt/config.yaml")
        argv = [*self._command, "-i", "-f", envelope or "<>", "--", *recipients]
        with _in_memory(data.replace(b"\r\n", b"\n")) as file:  # the line end of this machine's programs
            commit()
            try:
                process = subprocess.Popen(
                    argv, stdin=file, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
                )
            except OSError as exc:
                return Result("deferred", _LATER, f"{program}: {exc.strerror}"[:SAID])
        return _judge(program, *_watch(process), recipients)


def _in_memory(data: bytes) -> IO[bytes]:
    """Return a file without a name, not on a disk. A pipe would not do: if vrt is killed while it writes, the
    program takes what it has for the whole message.
    """
    try:
        file = tempfile.TemporaryFile(dir=memory_folder())  # noqa: SIM115
        file.write(data)
        file.seek(0)
    except (OSError, NotAllowed) as exc:
        raise Unreachable("there is no room in memory to hand the message over", "set XDG_RUNTIME_DIR") from exc
    return file


def _judge(program: str, code: int | None, said: str, recipients: Sequence[str]) -> Result:
    """Return what an exit code means; None is a program that had to be ended."""
    if code is None:
        raise InDoubt(f"{program} did not end within {LIMIT:.0f} seconds, and was ended")
    if code < 0 or code > 128:  # a shell says 128 + signal
        raise InDoubt(f"{program} was killed by signal {-code if code < 0 else code - 128}")
    said = said or f"exit {code}"
    if code == 0:
        return Result("sent", "2.0.0", said)
    if code in _REFUSED:
        return Result("failed", _REFUSED[code], said, recipients[0] if len(recipients) == 1 else "")
    return Result("deferred", _LATER, said)


def _watch(process: subprocess.Popen[bytes]) -> tuple[int | None, str]:
    """Return a program's exit code (None: it had to be ended) and the first of what it said.

    What it leaves running in the background may keep the pipe, and is not waited for.
    """
    assert process.stdout
    said, until = b"", time.monotonic() + LIMIT
    with process.stdout as pipe:
        poll = select.poll()
        poll.register(pipe, select.POLLIN)
        code = None
        while code is None and time.monotonic() < until:
            code = process.poll()
            if poll.poll(50 if code is None else 0):
                piece = os.read(pipe.fileno(), _HEARD)
                said += piece[: _HEARD - len(said)]
                if not piece and code is None:
                    code = _wait(process, until)
    if code is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return code, said.decode("utf-8", "replace").strip()[:SAID]


def _wait(process: subprocess.Popen[bytes], until: float) -> int | None:
    with suppress(subprocess.TimeoutExpired):
        return process.wait(max(0.0, until - time.monotonic()))
    return None
