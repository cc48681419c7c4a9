"""Publishing by itself, where the desk says ``sync: auto``: a look before an act, and its publication after it.

It never stands in the way of work: a remote that is away costs one line, and then is left alone for a minute.
"""

from __future__ import annotations

import time
from pathlib import Path

from vrt.desk import Desk
from vrt.errors import VrtError
from vrt.storage import local

LIMIT = 10.0  # seconds that the remote may take for an answer
REST = 60  # seconds for which a remote that was away is not asked again
PATIENCE = 2.0  # seconds to wait for another sync of this desk


def wanted(desk: Desk) -> bool:
    """Say whether the desk publishes by itself."""
    return desk.roster.desk.sync == "auto" and bool(desk.remote)


def attempt(desk: Desk, *, asked: bool) -> None:
    """Sync, quietly; what goes wrong is one warning. ``asked``: something was done here that waits to be published."""
    away = _mark(desk)
    if away.exists() and 0 <= time.time() - away.stat().st_mtime < REST:
        if asked:
            desk.warn("not published: the remote was away a moment ago; vrt sync tries again")
        return
    from vrt.sync import sync

    try:
        sync(desk, limit=LIMIT, patience=PATIENCE)
    except VrtError as exc:
        if exc.code == 75:
            local.write_private(away, b"")
        desk.warn(f"{'not published' if asked else 'not up to date'}: {exc.message}")
    else:
        away.unlink(missing_ok=True)


def _mark(desk: Desk) -> Path:
    return desk.path / local.FOLDER / "away"
