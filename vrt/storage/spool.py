"""Folders of texts that this machine keeps, sealed to its own card.

``spool``: the mail of an intake node that is recorded but not yet published. Until an event is published it may have to
be given up for what others published first, and the node cannot read what it sealed to the queue. So this is the only
copy beside the mailbox; it goes with the publishing. ``outbox``: what somebody wrote and could not record.
"""

from __future__ import annotations

import os
from pathlib import Path

from vrt.storage import crypt, local


class Spool:
    """The folder ``vrt/spool``, or another: a file for each text, named by its event or its ticket."""

    def __init__(self, desk: Path, folder: str = "spool") -> None:
        self._folder = desk / local.FOLDER / folder

    def put(self, event_id: str, label: str, raw: bytes, recipient: str) -> None:
        """Keep a text, sealed to ``recipient``; durable after ``flush``."""
        local.private_folder(self._folder)
        data = crypt.seal(label.encode("utf-8", "replace").replace(b"\n", b" ") + b"\n" + raw, recipient)
        fd = os.open(self._folder / f"{event_id}.age", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def flush(self) -> None:
        """Let what was put last."""
        if self._folder.is_dir():
            local.sync_folder(self._folder)

    def names(self) -> list[str]:
        """Return the events whose mail is here, oldest first."""
        return sorted(path.stem for path in self._folder.glob("*.age")) if self._folder.is_dir() else []

    def read(self, event_id: str, mine: list[crypt.Identity]) -> tuple[str, bytes]:
        """Return label and mail; raises ``CannotOpen`` for a file that was cut off: its mail was never reported."""
        label, _, raw = crypt.unseal((self._folder / f"{event_id}.age").read_bytes(), mine).partition(b"\n")
        return label.decode("utf-8", "replace"), raw

    def drop(self, names: list[str]) -> None:
        """Forget mails."""
        for name in names:
            (self._folder / f"{name}.age").unlink(missing_ok=True)
