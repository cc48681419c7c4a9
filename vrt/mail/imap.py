"""An IMAP folder as a box: RFC 3501, with IDLE (2177), UIDPLUS (4315) and MOVE (6851) where the server has them.

Messages are named by UID and UIDVALIDITY, and nothing relies on these beyond a connection. It knows nothing of the
desk, and of the library only what ``vrt.mail.imaplink`` hands out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from vrt.errors import TryAgain, VrtError
from vrt.mail.accounts import Account, After
from vrt.mail.box import BYTES, HEADER, Item, Look, Memory, header
from vrt.mail.imaplink import Refused, answers, connect
from vrt.mail.sources import Letter
from vrt.mail.wire import Lost, Stop, Wire

_LISTED = 500  # messages in one question for sizes
_MANY = 8 << 20  # bytes of a list of all messages


class ImapBox:
    """A folder of an IMAP account, selected. Opening it raises ``Lost``, ``TryAgain`` or ``VrtError``."""

    def __init__(self, account: Account, password: Callable[[], str], limit: int, memory: Memory, stop: Stop | None):
        self._account, self._limit, self._memory = account, limit, memory
        self._wire = Wire(account.host, account.port, account.tls, account.ca_file, stop)
        try:
            self._client = connect(self._wire, account, password)
            self._select()
        except BaseException:
            self._wire.close()
            raise

    def _select(self) -> None:
        with answers(self._wire, f"the folder {self._account.folder}"):
            found = self._client.select_folder(self._account.folder)
            self._total = int(found.get(b"EXISTS", 0))
            self._validity = int(found[b"UIDVALIDITY"])
            self._can = {w: self._client.has_capability(w) for w in ("IDLE", "MOVE", "UIDPLUS")}

    @contextmanager
    def _asking(self, doing: str, room: int = 0) -> Iterator[Any]:
        """Yield the client for one question, with what came unasked before put away; watch UIDVALIDITY."""
        self._client._imap.untagged_responses.clear()
        with answers(self._wire, doing, room):
            yield self._client
            for value in self._client._imap.untagged_responses.get("UIDVALIDITY", []):
                if int(value) != self._validity:
                    raise Lost(f"{self._account.host} renumbered the folder {self._account.folder}")

    # --- what is there ------------------------------------------------------------------------------

    def look(self) -> Look:
        """Count without fetching."""
        return Look(self._total, len(self._waiting()))

    def _waiting(self) -> list[int]:
        wanted = ["UNSEEN", "UNDELETED"] if self._account.after.what == "seen" else ["UNDELETED"]
        with self._asking("a search", _MANY) as client:
            found = sorted(set(client.search(wanted)))
        return [uid for uid in found if not self._memory.done((self._validity, uid))]

    def chunks(self) -> Iterator[list[Item]]:
        """Yield what is to be received; search again until nothing new is there."""
        done = set[int]()
        while waiting := [uid for uid in self._waiting() if uid not in done]:
            while waiting:
                sizes = self._sizes(waiting[:_LISTED])
                taken = waiting[:_LISTED]
                waiting = waiting[_LISTED:]
                done.update(taken)
                for group in self._groups([(uid, sizes[uid]) for uid in taken if uid in sizes]):
                    if items := self._fetch(group):
                        yield items

    def _sizes(self, uids: list[int]) -> dict[int, int]:
        with self._asking("a list of sizes") as client:
            found = client.fetch(uids, ["RFC822.SIZE"])
            return {uid: int(row[b"RFC822.SIZE"]) for uid, row in found.items() if b"RFC822.SIZE" in row}

    def _groups(self, sizes: list[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
        """Yield what is asked for at once; its number may change while this runs."""
        group: list[tuple[int, int]] = []
        for uid, size in sizes:
            alone = size > self._limit or (self._validity, uid) in self._memory.large
            full = len(group) >= self._memory.at_once or sum(s for _, s in group) + size > BYTES
            if group and (alone or full):
                yield group
                group = []
            group.append((uid, size))
            if alone:
                yield group
                group = []
        if group:
            yield group

    # --- fetching -------------------------------------------------------------------------------------

    def _fetch(self, group: list[tuple[int, int]]) -> list[Item]:
        self._memory.ask(*((self._validity, uid) for uid, _ in group))
        if len(group) == 1:
            uid, size = group[0]
            large = (self._validity, uid) in self._memory.large
            if large or (size > self._limit and self._is_large(uid)):
                items = self._header(uid, max(size, self._limit + 1))
                self._memory.came()
                return items
        # What is claimed is an estimate on some servers; asked for alone, a message may have what the desk takes.
        room = self._limit if len(group) == 1 else min(2 * sum(s for _, s in group), 2 * BYTES)
        try:
            bodies = self._bodies([uid for uid, _ in group], "BODY.PEEK[]", room)
        except (Refused, TryAgain) as exc:
            if isinstance(exc, Lost):
                raise
            return self._refused(group, exc)
        self._memory.came()
        return [item for uid, size in group if (item := self._item(uid, size, bodies)) is not None]

    def _item(self, uid: int, size: int, bodies: dict[int, bytes | None]) -> Item | None:
        key = (self._validity, uid)
        if uid not in bodies:  # somebody else took it away meanwhile
            return None
        raw = bodies[uid]
        if raw is None or (size and not raw):
            self._memory.skip(key, f"{self._account.host} gives nothing for a message")
            return None
        if len(raw) > self._limit:
            return Item(Letter(self._label(uid), header(raw), len(raw)), key)
        return Item(Letter(self._label(uid), raw), key)

    def _refused(self, group: list[tuple[int, int]], exc: VrtError) -> list[Item]:
        """Go on without the one message that the server refuses; None are fetched of a group: one by one next."""
        if len(group) == 1:
            self._memory.skip((self._validity, group[0][0]), exc.message)
            return []
        return [item for one in group for item in self._fetch([one])]

    def _bodies(self, uids: list[int], part: str, room: int) -> dict[int, bytes | None]:
        with self._asking("a message", room) as client:
            found = client.fetch(uids, [part])
        name = part.replace(".PEEK", "").partition("<")[0].encode()
        out: dict[int, bytes | None] = {}
        for uid in uids:
            for key, value in found.get(uid, {}).items():
                if key.partition(b"<")[0] == name:  # a part of a message is answered as BODY[]<0>
                    out[uid] = value if isinstance(value, bytes) else str(value).encode() if value else None
        return out

    def _is_large(self, uid: int) -> bool:
        """Say whether a message is larger than the limit, as claimed: whether there is a byte behind it."""
        found = self._bodies([uid], f"BODY.PEEK[]<{self._limit}.1>", 0)
        return bool(found.get(uid))

    def _header(self, uid: int, size: int) -> list[Item]:
        found = self._bodies([uid], f"BODY.PEEK[HEADER]<0.{HEADER}>", HEADER)
        raw = found.get(uid)
        if not raw:
            self._memory.skip((self._validity, uid), f"{self._account.host} gives no header of a message")
            return []
        return [Item(Letter(self._label(uid), header(raw), size), (self._validity, uid))]

    def _label(self, uid: int) -> str:
        return f"{self._account.name}:{uid}"

    # --- afterwards -------------------------------------------------------------------------------------

    def touch(self, items: list[Item]) -> None:
        """Flag, move or delete messages that are durable."""
        usual = [i.key[1] for i in items if not i.letter.too_large and isinstance(i.key, tuple)]
        large = [i.key[1] for i in items if i.letter.too_large and isinstance(i.key, tuple)]
        self._treat(usual, self._account.after)
        self._treat(large, self._account.too_large)

    def _treat(self, uids: list[int], after: After) -> None:
        if not uids:
            return
        if after.what == "leave":
            self._memory.left.update((self._validity, uid) for uid in uids)
        elif after.what == "seen":
            with self._asking("a flag") as client:
                client.add_flags(uids, [b"\\Seen"], silent=True)
        elif after.what == "delete":
            self._delete(uids)
        else:
            try:
                self._move(uids, after.folder)
            except Refused:  # most likely there is no such folder yet
                with suppress(Refused), self._asking(f"the folder {after.folder}") as client:
                    client.create_folder(after.folder)
                self._move(uids, after.folder)

    def _move(self, uids: list[int], folder: str) -> None:
        with self._asking(f"a move to {folder}") as client:
            if self._can["MOVE"]:
                client.move(uids, folder)
                return
            client.copy(uids, folder)
        self._delete(uids)

    def _delete(self, uids: list[int]) -> None:
        """Delete these and no others: a plain EXPUNGE would also remove what people have marked."""
        with self._asking("a deletion") as client:
            client.add_flags(uids, [b"\\Deleted"], silent=True)
            if self._can["UIDPLUS"]:
                client.uid_expunge(uids)
                return
        note = f"{self._account.host} has no UIDPLUS: messages were marked as deleted, and wait for an EXPUNGE"
        if note not in self._memory.notes:
            self._memory.notes.append(note)

    # --- waiting ------------------------------------------------------------------------------------------

    def idle(self) -> bool:
        """Ask to be told (RFC 2177); False where the server cannot."""
        if not self._can["IDLE"]:
            return False
        with answers(self._wire, "IDLE"):
            self._client.idle()
        return True

    def wake(self) -> None:
        """End ``idle``."""
        with answers(self._wire, "IDLE"):
            self._client.idle_done()

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._wire.fileno()

    def has_more(self) -> bool:
        """Say whether the server said something already, be it on the way into ``idle``."""
        return self._wire.has_more() or "EXISTS" in self._client._imap.untagged_responses

    def close(self) -> None:
        """Say good-bye, if that takes no time, and hang up."""
        if not self._wire.closed:
            with suppress(Exception):
                self._wire.send(b"bye LOGOUT\r\n")
        self._wire.close()
