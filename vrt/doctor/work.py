"""Checks of what is done with the desk: keys, index, remote, and what waits to get out."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vrt import dispatch
from vrt.doctor.finding import Finding, Patient, bad, count, ok, span, warn
from vrt.errors import NotAllowed, TryAgain
from vrt.storage import lock
from vrt.storage import remote as far
from vrt.storage.database import Unusable
from vrt.storage.spool import Spool

_PLAIN = b"SQLite format 3\0"  # what an unencrypted database begins with
_LATE = 86400  # seconds that something may wait to be published
_LIMIT = 60.0  # seconds for the remote to answer


def keys(patient: Patient) -> Iterator[Finding]:
    """Whether the keys at hand are those of this clone's card."""
    held = patient.desk.keys
    handle, card = held.config.card, patient.card
    if card is None:
        what = f"the desk has no card {handle}" if handle else "vrt/config.yaml names no card"
        yield bad(what, "vrt identity, and hand the card to an admin")
        return
    if card.dismissed:
        yield bad(f"{handle} was dismissed", "ask an admin: vrt agent list")
    wrong = [
        name for name, mine, theirs in (
            ("identity", held.recipient(), card.recipient), ("signing key", held.signing_public(), card.signing)
        ) if mine != theirs
    ]  # fmt: skip
    for name in wrong:
        yield bad(f"the {name} at hand is not that of the card {handle}", "set VRT_HOME; vrt status shows the keys")
    if not wrong:
        yield ok(f"identity and signing key are those of {handle} ({', '.join(card.roles)})")


def index(patient: Patient) -> Iterator[Finding]:
    """The index: encrypted, of this version, and not beyond the ledger."""
    path = patient.folder / "index.db"
    if path.is_file():
        with path.open("rb") as file:
            if file.read(len(_PLAIN)) == _PLAIN:
                yield bad("the index is not encrypted", "vrt index --rebuild")
                return
    try:
        known, heads = patient.index.heads(), patient.desk.repository.heads()
    except Unusable as exc:
        yield warn(f"the index is {exc}; it is made anew when it is needed", "vrt index --rebuild")
    except NotAllowed as exc:
        yield warn(f"not looked at: {exc.message}", exc.hint or "")
    else:
        if known == heads:
            yield ok("it has read all that is recorded")
        elif known.main and not patient.desk.repository.is_ancestor(known.main, heads.main):
            yield bad("the ledger does not continue what the index has read", "vrt verify; then vrt index --rebuild")
        else:
            yield ok("it will read what came since it was used last")


def remote(patient: Patient) -> Iterator[Finding]:
    """The remote: allowed, reachable if that may be tried, and whether all is published."""
    repository = patient.desk.repository
    where = far.url(repository)
    if not where:
        yield ok("none: this desk lives here alone")
        return
    shown, seen, heads = re.sub(r"//[^/@]*@", "//", where), far.seen(repository), repository.heads()
    if patient.network:
        yield from _reached(patient, where, shown)
    if not seen.main:
        yield warn(f"{shown} was never reached", "vrt sync")
        return
    times = patient.git("log", "--format=%ct", f"{seen.main}..{heads.main}", "--").split()
    if not times:
        yield ok(f"all is published to {shown}")
        return
    waits = patient.now - int(times[-1])
    text = f"{count(len(times), 'event is', 'events are')} not published to {shown}, since {span(waits)}"
    yield warn(text, "vrt sync") if waits > _LATE else ok(text)


def _reached(patient: Patient, where: str, shown: str) -> Iterator[Finding]:
    try:
        with lock.held(patient.folder / "sync.lock", lambda: None, patience=1):
            theirs = far.Remote(patient.desk.repository, where, _LIMIT).fetch()
    except TryAgain as exc:
        yield bad(exc.message, exc.hint or "")
        return
    if bool(theirs.main) != bool(theirs.keys):
        yield bad(f"{shown} lacks one of the two branches", "vrt sync says more")
    else:
        yield ok(f"{shown} answers")


def waiting(patient: Patient) -> Iterator[Finding]:
    """What was written or received here and is not out yet."""
    spool, kept = Spool(patient.path).names(), Spool(patient.path, "outbox").names()
    if spool:
        oldest = patient.now - min((patient.folder / "spool" / f"{n}.age").stat().st_mtime for n in spool)
        text = f"{count(len(spool), 'mail', 'mails')} received here and not published, since {span(oldest)}"
        yield warn(text, "vrt sync") if oldest > _LATE else ok(text)
    if kept:
        text = f"{count(len(kept), 'text', 'texts')} written and never recorded: {', '.join(kept[:3])}"
        yield warn(text, "vrt reply N goes on with it; or remove it from vrt/outbox")
    try:
        rows = dict(patient.index.sql("SELECT state, count(*) FROM outbox GROUP BY 1"))
    except Unusable as exc:
        yield warn(f"messages were not looked at: the index is {exc}", "vrt index --rebuild")
        return
    for state, words in (
        (dispatch.SENDING, "in doubt"),
        (dispatch.FAILED, "that failed"),
        (dispatch.BOUNCED, "that came back"),
    ):
        if rows.get(state):
            yield warn(f"messages {words}: {rows[state]:,}", "vrt outbox")
    if not spool and not kept and not rows:
        yield ok("nothing")
