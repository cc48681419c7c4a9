"""What can go wrong, each with a sentence, a hint and an exit code.

Knows nothing of the rest of vrt. Everything that vrt foresees is raised as a
``VrtError``; any other exception that reaches the command line is a bug.
"""

from __future__ import annotations


class VrtError(Exception):
    """Something foreseen went wrong.

    ``message`` and ``hint`` are one line each: lower case, no full stop. The hint names
    the command or the change that helps. ``code`` is the exit code of the process.
    """

    code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(VrtError):
    """The command line, a query or a file given on it cannot be understood."""

    code = 2


class NotFound(VrtError):
    """No such ticket, queue, agent or template."""

    code = 4


class NotAllowed(VrtError):
    """The caller lacks the key or the right."""

    code = 5


class Conflict(VrtError):
    """Somebody else changed it or holds it."""

    code = 6


class Breach(VrtError):
    """The ledger, the keyring or an article is not what the law demands."""

    code = 7


class TryAgain(VrtError):
    """It may work later: a lock held too long, a full disk, a full day of numbers."""

    code = 75
