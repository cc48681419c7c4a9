"""What git leaves in a desk when it is killed, told by name and age from what is being written.

Knows nothing of the desk's lock: whoever removes something holds it.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

OLD = 3600  # seconds; git writes to what it has begun without such pauses

_LOCKS = ("*.lock", "refs/**/*.lock", "objects/info/*.lock", "objects/info/commit-graphs/*.lock")
_TEMPORARY = (
    "objects/pack/tmp_*", "objects/pack/.tmp-*", "objects/??/tmp_obj_*", "objects/tmp_objdir-*",
    "objects/info/tmp_*", "objects/info/commit-graphs/tmp_*",
)  # fmt: skip
_KEEP = b"vrt"  # in a mark of ours


def leftovers(path: Path) -> Iterator[Path]:
    """Yield the files and folders in the repository at ``path`` that nobody will ever finish or use."""
    before = time.time() - OLD
    for pattern in (*_LOCKS, *_TEMPORARY):
        yield from (found for found in path.glob(pattern) if _changed(found) < before)
    for found in path.glob("objects/pack/pack-*.*"):
        if found.suffix in (".pack", ".rev", ".mtimes", ".bitmap") and not found.with_suffix(".idx").exists():
            lost = True  # git looks at an index first: without it the rest is waste
        else:
            lost = found.suffix == ".keep" and _is_ours(found)
        if lost and _changed(found) < before:
            yield found


def _is_ours(keep: Path) -> bool:
    with suppress(OSError):
        return keep.read_bytes().strip() == _KEEP
    return False


def _changed(path: Path) -> float:
    """When a file, or anything in a folder, was written last; far in the future where it is gone."""
    try:
        return max(float(p.lstat().st_mtime) for p in (path, *(path.rglob("*") if path.is_dir() else ())))
    except OSError:
        return float("inf")


def remove(path: Path) -> list[Path]:
    """Remove the ``leftovers`` of the repository at ``path`` and return them; only under the desk's lock."""
    found = list(leftovers(path))
    for some in found:
        if some.is_dir() and not some.is_symlink():
            shutil.rmtree(some, ignore_errors=True)
        else:
            some.unlink(missing_ok=True)
    return found
