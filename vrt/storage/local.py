"""Files of this machine alone: the caller's settings, private files, and folders in memory."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from vrt.errors import NotAllowed, UsageError, VrtError

FOLDER = "vrt"  # in the repository's folder, mode 0700, never pushed


def home() -> Path:
    """Return the folder of the caller's keys: ``$VRT_HOME``, else ``~/.config/vrt``."""
    given = os.environ.get("VRT_HOME")
    return Path(given) if given else Path.home() / ".config" / "vrt"


def find_desk(given: str | None = None) -> Path:
    """Return the folder of the desk: ``given``, else ``$VRT_DESK``, else the current folder or one above it.

    Raises ``UsageError`` where there is none, or it is another user's: its settings may name programs.
    """
    start = given or os.environ.get("VRT_DESK")
    if start:
        path = Path(start).resolve()
        if not is_desk(path):
            raise UsageError(f"{start} is not a desk", "vrt init DIR --name NAME --domain DOMAIN makes one")
        return _own(path)
    here = Path.cwd()
    for path in (here, *here.parents):
        if is_desk(path):
            return _own(path)
    raise UsageError("this folder is not in a desk", "go to one, use -C DESK, or set VRT_DESK")


def _own(path: Path) -> Path:
    for folder in (path, path / FOLDER):
        if os.geteuid() not in (0, folder.stat().st_uid):  # root may look after everybody's
            raise UsageError(f"{folder} belongs to another user", "vrt clone makes a desk of your own")
    return path


def is_desk(path: Path) -> bool:
    """Say whether ``path`` is the folder of a desk."""
    return (path / "HEAD").is_file() and (path / FOLDER).is_dir()


def private_folder(path: Path) -> Path:
    """Make ``path`` a folder that only the caller can enter (0700) and return it."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def write_private(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` with mode 0600: whole or not at all, flushed before it takes the place."""
    import tempfile

    private_folder(path.parent)
    fd, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Flush a folder, so that names made in it last."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class Config(NamedTuple):
    """``vrt/config.yaml`` of a desk over ``config.yaml`` of the caller's home."""

    card: str = ""
    root: str = ""  # the first commit of the ledger: what the desk was taken to be when it was made or cloned
    identity: Path | None = None
    signing_key: Path | None = None
    passphrase_command: str = ""
    dkim_keys: Path | None = None  # a file with public keys, to check the signatures of mail ourselves
    dkim_dns: bool = False  # ask the DNS for such keys
    accounts: Mapping[str, Any] = {}  # as they stand in the file; ``vrt.mail.accounts`` checks them
    delivery: Mapping[str, Any] = {}  # likewise; ``vrt.mail.delivery`` checks it

    @property
    def identity_path(self) -> Path:
        """The age identity or SSH key that opens what is sealed to the caller."""
        return self.identity or home() / "identity.txt"

    @property
    def signing_path(self) -> Path:
        """The SSH key that signs."""
        return self.signing_key or home() / "signing"


def read_config(desk: Path | None) -> Config:
    """Return the settings that hold in ``desk`` (its repository folder), or outside any desk."""
    values: dict[str, object] = {}
    for path in (home() / "config.yaml", desk and desk / FOLDER / "config.yaml"):
        if path and path.exists():
            from vrt.storage.articles import load_yaml

            try:
                values |= load_yaml(path.read_bytes(), str(path))
            except OSError as exc:
                raise VrtError(f"{path}: {exc.strerror}") from exc
    known = {
        "card",
        "root",
        "identity",
        "signing_key",
        "passphrase_command",
        "dkim_keys",
        "dkim_dns",
        "accounts",
        "delivery",
    }
    if unknown := set(values) - known:
        raise UsageError(f"config.yaml: unknown setting {sorted(unknown)[0]}", f"known: {', '.join(sorted(known))}")
    paths = {k: Path(str(values[k])).expanduser() for k in ("identity", "signing_key", "dkim_keys") if values.get(k)}
    texts = {k: str(values[k]) for k in ("card", "root", "passphrase_command") if values.get(k)}
    tables = {k: values[k] for k in ("accounts", "delivery") if values.get(k)}
    for name, table in tables.items():
        if not isinstance(table, Mapping):
            what = "accounts" if name == "accounts" else "settings"
            raise UsageError(f"config.yaml: {name} holds no {what}", "docs/ADMIN.md shows an example")
    return Config(**texts, **paths, **tables, dkim_dns=values.get("dkim_dns") is True)  # type: ignore[arg-type]


def write_config(path: Path, config: Config) -> None:
    """Write ``config`` to ``path``."""
    from vrt.storage.articles import dump_yaml

    values = {k: v if isinstance(v, Mapping | bool) else str(v) for k, v in config._asdict().items() if v}
    write_private(path, dump_yaml(values) if values else b"")


def _memory_folders() -> list[Path]:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return ([Path(runtime) / "vrt"] if runtime else []) + [Path(f"/dev/shm/vrt-{os.getuid()}")]


def memory_folder() -> Path:
    """Return a folder of the caller's on tmpfs (``$XDG_RUNTIME_DIR/vrt`` or below ``/dev/shm``), mode 0700.

    Raises ``NotAllowed`` where there is none, rather than let plaintext reach a disk.
    """
    for path in _memory_folders():
        with suppress(OSError):
            path.mkdir(mode=0o700, exist_ok=True)
            found = path.lstat()
            if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077:
                return path
    raise NotAllowed(
        "there is no folder in memory for what must not reach the disk", "set XDG_RUNTIME_DIR, or use -m or -F"
    )


@contextmanager
def draft_file(text: str) -> Iterator[Path]:
    """Yield a file in memory that holds ``text``; it is gone afterwards, or after a crash at vrt's next start."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="draft-", dir=memory_folder()) as name, _alive(Path(name, "alive")):
        path = Path(name, "vrt.md")
        path.write_text(text)
        path.chmod(0o600)
        yield path


@contextmanager
def _alive(path: Path) -> Iterator[None]:
    """Hold a lock on ``path``, which tells others that this draft is still being written."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def sweep_drafts() -> None:
    """Remove the drafts of processes that are gone."""
    for folder in _memory_folders():
        for path in folder.glob("draft-*/alive"):
            with suppress(OSError), path.open() as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                import shutil

                shutil.rmtree(path.parent, ignore_errors=True)
