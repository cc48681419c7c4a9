"""Git objects made in memory: blobs, trees and commits collected into one pack stream.

Knows git's formats (gitformat-pack(5), git-hash-object(1)), not git itself: reading an existing
tree is a function handed in.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterator

_TYPES = {"commit": 1, "tree": 2, "blob": 3}
FILE, FOLDER = b"100644", b"40000"


class Pack:
    """New objects, each once, in the order added; ``stream`` yields them as one pack."""

    def __init__(self) -> None:
        self._objects: dict[bytes, bytes] = {}
        self.size = 0

    def __len__(self) -> int:
        return len(self._objects)

    def add(self, kind: str, data: bytes, level: int = 0) -> bytes:
        """Add an object and return its id (20 bytes).

        ``level`` is zlib's: trees and ciphertext hardly shrink, and ``maintain`` repacks.
        """
        oid = _hash(kind, data)
        if oid not in self._objects:
            packed = _header(_TYPES[kind], len(data)) + zlib.compress(data, level)
            self._objects[oid] = packed
            self.size += len(packed)
        return oid

    def stream(self) -> Iterator[bytes]:
        """Yield the pack: header, objects, checksum."""
        start = b"PACK" + (2).to_bytes(4, "big") + len(self._objects).to_bytes(4, "big")
        digest = hashlib.sha1(start, usedforsecurity=False)
        yield start
        for packed in self._objects.values():
            digest.update(packed)
            yield packed
        yield digest.digest()


def _hash(kind: str, data: bytes) -> bytes:
    digest = hashlib.sha1(b"%s %d\0" % (kind.encode(), len(data)), usedforsecurity=False)
    digest.update(data)
    return digest.digest()


def _header(number: int, size: int) -> bytes:
    """The type and size of a packed object: 4 bits of size, then 7 a byte, lowest first."""
    first, size = number << 4 | size & 15, size >> 4
    out = bytearray()
    while size:
        out.append(first | 0x80)
        first, size = size & 0x7F, size >> 7
    out.append(first)
    return bytes(out)


class Tree:
    """A tree being changed. Subtrees are read when first entered; ``write`` adds only what changed."""

    def __init__(self, read: Callable[[bytes], bytes], oid: bytes | None = None) -> None:
        self._read = read
        self._oid = oid
        self._rows: dict[bytes, bytes] = _rows(read(oid)) if oid else {}
        self._folders: dict[bytes, Tree] = {}
        self._changed: set[bytes] = set()

    def folder(self, name: str) -> Tree:
        """Return the subtree ``name``, new where there is none."""
        key = name.encode() + b"/"
        found = self._folders.get(key)
        if found is None:
            row = self._rows.get(key)
            found = self._folders[key] = Tree(self._read, row[-20:] if row else None)
        return found

    def put(self, path: str, blob: bytes) -> None:
        """Set the file at ``path`` (slashes part the folders) to ``blob``, an object id."""
        *folders, name = path.split("/")
        tree = self
        for folder in folders:
            tree._changed.add(folder.encode() + b"/")
            tree._oid = None
            tree = tree.folder(folder)
        tree._rows[name.encode()] = b"%s %s\0%s" % (FILE, name.encode(), blob)
        tree._oid = None

    def write(self, pack: Pack) -> bytes:
        """Add the trees that changed to ``pack`` and return this one's id."""
        if self._oid is None:
            for key in self._changed:
                self._rows[key] = b"%s %s\0%s" % (FOLDER, key[:-1], self._folders[key].write(pack))
            self._changed.clear()
            # Git sorts a folder as if its name ended in a slash; the keys are made that way.
            self._oid = pack.add("tree", b"".join(row for _, row in sorted(self._rows.items())))
        return self._oid


def _rows(data: bytes) -> dict[bytes, bytes]:
    """Part a tree object into its rows, by sort key."""
    rows, at = {}, 0
    while at < len(data):
        end = data.index(b"\0", at)
        mode, name = data[at:end].split(b" ", 1)
        rows[name + (b"/" if mode == FOLDER else b"")] = data[at : end + 21]
        at = end + 21
    return rows


def entries(data: bytes) -> dict[str, tuple[str, str]]:
    """Return ``{name: (mode, hex id)}`` of a tree object."""
    return {
        key.rstrip(b"/").decode(): (row.split(b" ", 1)[0].decode(), row[-20:].hex()) for key, row in _rows(data).items()
    }


def commit(tree: bytes, parent: str, who: str, authored: int, committed: int, message: str) -> bytes:
    """Return a commit object without a signature. ``who`` is ``name <mail>``; times are UTC; parent is hex or empty."""
    parents = f"parent {parent}\n" if parent else ""
    return (
        f"tree {tree.hex()}\n{parents}author {who} {authored} +0000\ncommitter {who} {committed} +0000\n\n{message}"
    ).encode()


def signed(payload: bytes, armor: str) -> bytes:
    """Return the commit ``payload`` with its signature in the ``gpgsig`` header."""
    head, _, body = payload.partition(b"\n\n")
    return head + b"\ngpgsig " + armor.rstrip("\n").replace("\n", "\n ").encode() + b"\n\n" + body


def unsigned(data: bytes) -> tuple[bytes, str]:
    """Part a commit object into its payload and the armored signature (empty if it has none)."""
    head, sep, body = data.partition(b"\n\n")
    before, mark, rest = head.partition(b"\ngpgsig ")
    if not mark:
        return data, ""
    lines = rest.split(b"\n")
    end = next((i for i, row in enumerate(lines[1:], 1) if not row.startswith(b" ")), len(lines))
    armor = b"\n".join([lines[0], *(row[1:] for row in lines[1:end])]) + b"\n"
    payload = b"\n".join([before, *lines[end:]]) + sep + body
    return payload, armor.decode("ascii", "replace")
