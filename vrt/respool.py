"""Mail in the spool that is not on the ledger: given up for others who were first, or cut off before it was
recorded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from vrt.desk import Desk
from vrt.model import ADMIN, AGENT, INTAKE
from vrt.storage import crypt
from vrt.storage.spool import Spool

if TYPE_CHECKING:
    from vrt.mail.sources import Letter


def receive_again(desk: Desk) -> int:
    """Receive what the spool holds and the ledger does not; return how many mails that were."""
    spool, count = Spool(desk.path), 0
    with desk.writing():  # else it might be about to be recorded
        names = [name for name in spool.names() if not desk.index.has_event(name)]
    if names and not desk.me.has(ADMIN, AGENT, INTAKE):
        desk.warn(f"{len(names)} mails wait in vrt/spool, for {desk.me.handle} may not receive mail now")
    elif names:
        from vrt.mail import intake

        letters = list(_letters(desk, spool, names))
        count = sum(1 for _ in intake.receive(desk, [letter for _, letter in letters], map, lambda n: None))
        spool.drop([name for name, _ in letters])
    return count


def _letters(desk: Desk, spool: Spool, names: list[str]) -> Iterator[tuple[str, Letter]]:
    from vrt.mail.sources import Letter

    mine = desk.keys.identities()
    for name in names:
        try:
            yield name, Letter(*spool.read(name, mine))
        except (crypt.CannotOpen, OSError):
            desk.warn(f"vrt/spool/{name}.age cannot be opened and is left there")
