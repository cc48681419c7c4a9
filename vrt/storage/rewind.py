"""The index taken back to an earlier place of the ledger, where what came after it is given up."""

from __future__ import annotations

from vrt.model import Ticket
from vrt.storage.git import Heads
from vrt.storage.index import Index, advance


def rewind(index: Index, to: Heads) -> None:
    """Make ``index`` forget all events after ``to.main``, which it has read; keys it learned since do no harm.

    Numbers and salts given out since stay known: they are not to be given out again.
    """
    ((place,),) = index.sql('SELECT seq FROM event WHERE "commit" = ?', [bytes.fromhex(to.main)])
    touched = [str(t) for (t,) in index.sql("SELECT DISTINCT ticket FROM event WHERE seq > ? AND ticket", [place])]
    before = {t: index.ticket(t) for t in touched}
    with index.writing():
        index.forget_after(place)
        list(index.sql("UPDATE seen SET seq = min(seq, ?)", [place]))
        for number in touched:
            ticket: Ticket | None = None
            for event in index.events(number):
                ticket = advance(ticket, event, None)
            had = before[number]
            if ticket and had:
                ticket = ticket._replace(title=had.title, requester=had.requester)
            index.put_ticket(number, ticket)
        index.set_heads(to)
