"""One durable write: events and keys turned into signed commits of both branches, and recorded at once.

Refs moved is done. Until then nothing points to what was written, and a kill leaves the desk as it was.
"""

from __future__ import annotations

from vrt import law, ledger
from vrt.model import Event
from vrt.storage import objects
from vrt.storage.git import Heads, Repository
from vrt.storage.objects import Pack, Tree
from vrt.storage.signing import Signer


class Write:
    """Collects what one write records. Use it under the desk's lock only."""

    def __init__(self, repository: Repository, heads: Heads, signer: Signer, who: str, now: int) -> None:
        """Start from ``heads``; ``who`` is the card's git identity, ``now`` the clock (epoch seconds)."""
        self._repository = repository
        self._heads = heads
        self._signer = signer
        self._who = who
        self._reader = repository.reader()
        self.pack = Pack()
        self._main = Tree(self._read_tree, self._tree_of(heads.main))
        self._keys = Tree(self._read_tree, self._tree_of(heads.keys))
        self._key_files = 0
        self._committed = max(now, self._date_of(heads.main))
        self.main, self.keys = heads.main, heads.keys

    def _read_tree(self, oid: bytes) -> bytes:
        return self._reader.read(oid.hex())

    def _tree_of(self, commit: str) -> bytes | None:
        if not commit:
            return None
        return bytes.fromhex(self._reader.read(commit)[5:45].decode())

    def _date_of(self, commit: str) -> int:
        if not commit:
            return 0
        head = self._reader.read(commit).partition(b"\n\n")[0].decode()
        row = next(r for r in head.split("\n") if r.startswith("committer "))
        return int(row.rsplit(" ", 2)[1])

    def add(self, event: Event, files: dict[str, bytes]) -> tuple[str, dict[str, str]]:
        """Add one event with the files (path to content) that it adds; return its commit and the blobs' ids."""
        ledger.check_form(event)  # the last look before it can never be taken back
        blobs = {}
        for path, data in files.items():
            oid = self.pack.add("blob", data, level=0 if path.endswith(".age") else 1)
            self._main.put(path, oid)
            blobs[path] = oid.hex()
        tree = self._main.write(self.pack)
        self.main = self._commit(tree, self.main, event.time, self._committed, ledger.message(event))
        return self.main, blobs

    def add_key(self, path: str, data: bytes) -> None:
        """Add a file to the keyring; all files of one write are one commit."""
        self._keys.put(path, self.pack.add("blob", data))
        self._key_files += 1

    def key_names(self, folder: str) -> list[str]:
        """Return the names of the files that a folder of the keyring has had until now."""
        return list(self._reader.folder(self._heads.keys, folder))

    def key_file(self, path: str) -> bytes:
        """Return a file that the keyring has had until now."""
        return self._reader.read(f"{self._heads.keys}:{path}")

    def seal_keys(self) -> str:
        """Make the keyring's commit if anything was added, and return the keyring's head."""
        if self._key_files:
            committed = max(self._committed, self._date_of(self._heads.keys))
            text = law.key_message(self._key_files, self._heads.main)
            self.keys = self._commit(self._keys.write(self.pack), self.keys, committed, committed, text)
            self._key_files = 0
        return self.keys

    def _commit(self, tree: bytes, parent: str, authored: int, committed: int, text: str) -> str:
        payload = objects.commit(tree, parent, self._who, authored, committed, text)
        return self.pack.add("commit", objects.signed(payload, self._signer.sign(payload))).hex()

    def record(self, lock: int) -> Heads:
        """Write everything durably and move the refs; return the new heads."""
        self.seal_keys()
        new = Heads(self.main, self.keys)
        self._repository.store(self.pack, lock)
        self._repository.move(self._heads, new, lock)
        return new

    def close(self) -> None:
        """Let go of git."""
        self._reader.__exit__()
