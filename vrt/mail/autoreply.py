"""Automatic replies: whether a mail gets one, and its text. RFC 3834; never to what no person wrote.

How often somebody was answered is remembered in a file of this machine, under the desk's lock, as keyed digests.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from vrt.desk import Desk
from vrt.errors import NotFound, UsageError
from vrt.mail import citing, compose
from vrt.mail.examine import Incoming
from vrt.model import ADMIN, AGENT, JUNK, MAILER, Address, Card, Queue
from vrt.storage import local
from vrt.storage.keyring import Keyring
from vrt.text import lower, mailbox

HOUR, DAY = 3600, 86400


class Answer(NamedTuple):
    """An automatic reply, ready to be sealed: its mail, what its article says, and the card that sends it."""

    raw: bytes
    front: dict[str, object]
    body: str
    message_id: str
    sender: Card


class Answered:
    """Who was answered when, of the last day."""

    def __init__(self, path: Path, ring: Keyring, now: int, a_day: int) -> None:
        """Read ``path``; ``now`` in epoch seconds, ``a_day`` answers to one address are the most."""
        self._path, self._ring, self._now, self._a_day = path, ring, now, a_day
        self._times: dict[str, list[tuple[int, str]]] = {}  # address -> when, and the refs of the mail
        self._changed = False
        if path.exists():
            try:
                found = json.loads(path.read_text())
                self._times = {str(k): [(int(t), str(m)) for t, m in v if int(t) > now - DAY] for k, v in found.items()}
            except (ValueError, AttributeError, TypeError, OverflowError, RecursionError):  # not what was written here
                self._times = {}

    def refuses(self, address: str, ticket: str, mail: str) -> str:
        """Return why ``address`` may not be answered now in ``ticket``, as the Suppressed trailer says it; else empty.

        One who writes from a new address each time is still answered in one ticket. What answered the same ``mail``
        (its refs) does not count: that answer was never recorded, or given up.
        """
        for name in (mailbox(address), ticket):
            known = [self._times.get(ref, []) for ref in self._ring.refs("answered", name.encode())]
            times = [t for found in known for t, about in found if about != mail]
            if any(t > self._now - HOUR for t in times):
                return "hourly"
            if len(times) >= self._a_day:
                return "daily"
        return ""

    def add(self, address: str, ticket: str, mail: str) -> None:
        """Remember that ``address`` is answered now in ``ticket``, for ``mail``."""
        for name in (mailbox(address), ticket):
            self._times.setdefault(self._ring.ref("answered", name.encode()), []).append((self._now, mail))
        self._changed = True

    def save(self) -> None:
        """Write the file, before the answers are recorded: a call that is cut off had better answer too seldom."""
        if self._changed:
            local.write_private(self._path, json.dumps({k: v for k, v in self._times.items() if v}).encode())


def suppressed(desk: Desk, got: Incoming, queue: Queue) -> str:
    """Return why a mail gets no automatic answer though its queue gives some (the trailer's word), "" if it does."""
    if got.spam or queue.name == JUNK:
        return "spam"
    if got.no_reply:
        return got.no_reply
    if got.too_large or not compose.is_address(got.answer_to):
        return "no-sender"
    if not queue.addresses:
        return "no-address"
    return "" if sends(desk) else "no-mailer"


def sends(desk: Desk) -> Card | None:
    """Return the card that sends: the caller's own where this machine says how, the desk's mailer, else the caller's.

    None where the caller is a machine, and there is no mailer.
    """
    if desk.me.has(ADMIN, AGENT) and desk.keys.config.delivery:
        return desk.me
    mailers = desk.roster.with_roles(MAILER)
    return mailers[0] if mailers else desk.me if desk.me.has(ADMIN, AGENT) else None


def answer(desk: Desk, got: Incoming, queue: Queue, ticket: str, event: str) -> Answer:
    """Return the automatic reply to a mail; ``event``: new, follow-up or rejected."""
    from vrt import templates  # jinja2 takes its time to load

    config, mail = desk.roster.desk, got.mail
    own = next((a for a in queue.addresses if lower(a) in mail.recipients), queue.addresses[0])
    hook = f"[{config.hook}{ticket}]"
    name = queue.title or config.name
    who = Address(mail.from_[0].name if mail.from_ else "", got.answer_to)
    values = templates.table(desk, queue, ticket, mail.subject, who, "", name, queue.language)
    body = _text(desk, f"auto-{event}", queue, values)
    subject = citing.reply_subject(mail.subject, hook, "Auto")
    message_id, sender = compose.new_message_id(config.domain), sends(desk)
    assert sender is not None
    by = Address(name, own)
    marks = {"Auto-Submitted": "auto-replied", "X-Auto-Response-Suppress": "All", "Precedence": "bulk", "X-Loop": own}
    refers = compose.references(mail.message_id, mail.references)
    to = (Address("", got.answer_to),)
    out = compose.Outgoing(
        by, to, subject, body, message_id, desk.now, in_reply_to=mail.message_id, refers=refers,
        more=tuple(marks.items()),
    )  # fmt: skip
    raw = compose.build(out)
    front: dict[str, object] = {
        "from": [{"name": by.name, "address": own}], "to": [{"name": "", "address": got.answer_to}],
        "subject": subject, "message_id": message_id,
    }  # fmt: skip
    return Answer(raw, front, body, message_id, sender)


def _text(desk: Desk, name: str, queue: Queue, values: dict[str, str]) -> str:
    """Return the desk's text, else the built-in one, in the queue's language, a wider one, or English.

    One of the desk's own that cannot be filled in is passed over: no mail is to wait for it.
    """
    from vrt import settings, templates  # jinja2 takes its time to load

    for own in (lambda words: settings.template(desk, words), lambda words: None):
        try:
            return templates.fill(templates.find(own, name, queue.language, queue.name), values)
        except UsageError:
            continue
    raise NotFound(f"no template {name}")
