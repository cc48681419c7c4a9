"""The index of a desk on this machine: opened, brought up to the heads, made anew when it cannot be used."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from vrt.errors import NotAllowed, VrtError
from vrt.storage import crypt, local, partial, seen
from vrt.storage.database import Unusable
from vrt.storage.git import Repository
from vrt.storage.identity import Keys
from vrt.storage.index import Article, Index
from vrt.storage.local import Config

if TYPE_CHECKING:
    from vrt.storage.lazy import Filler

# Shows how far a long work is: given its name and its size (None: unknown), yields a function that takes
# how many are done.
Progress = Callable[[str, int | None], AbstractContextManager[Callable[[int], None]]]
Locked = Callable[[], AbstractContextManager[int]]


class Cache:
    """Keeps the index of ``repository``. ``keys`` gives the caller's keys, ``warn`` takes a sentence."""

    def __init__(
        self, repository: Repository, keys: Callable[[], Keys], progress: Progress, warn: Callable[[str], None]
    ) -> None:
        self._repository, self._keys = repository, keys
        self._progress, self._warn = progress, warn
        self._folder = repository.path / local.FOLDER
        self._index: Index | None = None
        self._filler: Filler | None = None

    @property
    def index(self) -> Index:
        """The index as it is; only after ``bring_up``."""
        assert self._index is not None
        return self._index

    def bring_up(self, locked: Locked) -> None:
        """Open the index and bring it up to both heads, under the lock if need be."""
        heads = self._repository.heads()
        if self._index is None:
            try:
                self._use(Index(self._folder / "index.db", self._key()))
            except Unusable:
                self._open_or_rebuild(locked)
        if self.index.heads() != heads:
            with locked():
                self.follow()

    def _use(self, index: Index) -> None:
        self._index, self._filler = index, None
        index.fill = self._fill

    def _fill(self, said: list[Article]) -> bool:
        """Fetch what is not in this clone of ``said``."""
        if all(a.key for a in said) or not partial.is_partial(self._repository):
            return False
        from vrt.storage.lazy import Filler

        self._filler = self._filler or Filler(self._repository, self.index)
        return self._filler.fill(said)

    def _key(self) -> bytes:
        """Return the key of the index; raises ``Unusable`` where there is none that the caller's identity opens."""
        try:
            sealed = (self._folder / "index.key.age").read_bytes()
        except FileNotFoundError:
            raise Unusable("missing") from None
        # The default identity first: most people have no other, and it spares reading config.yaml.
        for keys in (Keys(Config()), None):
            if keys and not keys.config.identity_path.exists():
                continue
            try:
                return crypt.unseal(sealed, (keys or self._keys()).identities())
            except crypt.CannotOpen:
                continue
        raise Unusable("sealed to another key")

    def _open_or_rebuild(self, locked: Locked) -> None:
        with locked():
            try:  # another vrt may have made it while we waited for the lock
                self._use(Index(self._folder / "index.db", self._key()))
            except Unusable as exc:
                self.rebuild(str(exc))

    def rebuild(self, why: str) -> None:
        """Make the index anew; under the lock."""
        if self._index:
            self._index.close()
        head = self._repository.heads().main
        if not head:
            raise VrtError(
                "this desk has no ledger: its making was interrupted",
                f"remove {self._repository.path} and make it anew",
            )
        self._check_card(head)
        known = self._remembered()
        key = os.urandom(32)
        local.write_private(self._folder / "index.key.age", crypt.seal(key, self._keys().recipient()))
        self._use(Index.create(self._folder / "index.db", key))
        seen.remember(self.index, known)
        if why != "missing":
            self._warn(f"the index is {why}: making it anew")
        self.follow()

    def _remembered(self) -> seen.Remembered:
        """Return what only the index that is about to go knows: the two branches do not say what was seen."""
        try:
            return seen.remembered(self._folder / "index.db", self._key())
        except Unusable:
            return []

    def _check_card(self, head: str) -> None:
        """Raise ``NotAllowed`` unless the key at hand is that of this clone's card: the index is made for no other."""
        from vrt.storage.replay import roster_at

        keys = self._keys()
        with self._repository.reader() as reader:
            card = roster_at(reader, head).cards.get(keys.config.card)
        if card is None:
            raise NotAllowed("this clone has no card in the desk", "vrt identity, and hand the card to an admin")
        if card.recipient != keys.recipient():
            raise NotAllowed(
                f"the key at hand is not that of {card.handle}, whose desk this is",
                "set VRT_HOME, or identity in vrt/config.yaml",
            )

    def follow(self) -> None:
        """Read what is new on both branches into the index; under the lock."""
        from vrt.storage.replay import Replay

        old, new = self.index.heads(), self._repository.heads()
        if old == new:
            return
        if old.main and not self._repository.is_ancestor(old.main, new.main):
            raise VrtError(
                f"the ledger does not continue what was read before (it was at {old.main[:12]})",
                "vrt index --rebuild, if you know why",
            )
        keys = self._keys()
        replay = Replay(self.index, self._repository, keys.config.card, keys.identities())
        with self._progress("reading the ledger", None) as show:
            try:
                replay.run(new, show)
            except Unusable as exc:
                raise VrtError(f"the index is {exc}", "vrt index --rebuild") from exc
