"""The index taken back to an earlier place of the ledger, where what came after it is given up."""

from __future__ import annotations

from vrt.model import Ticket
from vrt.roster import Roster
from vrt.storage.git import Heads
from vrt.storage.index import Index, advance
from vrt.storage.remembered import read_keyring, write_keyring, write_roster


def rewind(index: Index, to: Heads, known: Roster) -> None:
    """Make ``index`` forget all events after ``to.main``, which it has read, where the roster was ``known``.

    Numbers and salts given out since stay known: they are not to be given out again.
    """
    ((place,),) = index.sql('SELECT seq FROM event WHERE "commit" = ?', [bytes.fromhex(to.main)])
    touched = [str(t) for (t,) in index.sql("SELECT DISTINCT ticket FROM event WHERE seq > ? AND ticket", [place])]
    before = {t: index.ticket(t) for t in touched}
    with index.writing():
        index.forget_after(place)
        list(index.sql("UPDATE seen SET seq = min(seq, ?)", [place]))
        if (index.meta("checked") or [0])[0] > place:
            index.set_checked(place)
        index.set_meta("owed", min(index.meta("owed") or 0, place))
        for number in touched:
            ticket: Ticket | None = None
            for event in index.events(number):
                ticket = advance(ticket, event, None)
            had = before[number]
            if ticket and had:
                ticket = ticket._replace(title=had.title, requester=had.requester)
            index.put_ticket(number, ticket)
        ring = read_keyring(index)
        ring.now = known.desk.secret_epoch
        ring.keep_true(known)
        index.set_meta("keyring", write_keyring(ring))
        index.set_meta("roster", write_roster(known))
        index.set_heads(to)
