"""What a desk agreed on: its settings (``desk.yaml``) and its intake rules, which lie sealed in the keyring."""

from __future__ import annotations

import re
from typing import Any

from vrt import roster
from vrt.changes import alone, record
from vrt.desk import Desk
from vrt.errors import NotAllowed, NotFound, UsageError, VrtError
from vrt.model import LIMITS, DeskConfig
from vrt.storage import keyring

LONGEST_NAME = 100


@alone
def set_desk(desk: Desk, /, **values: Any) -> DeskConfig:
    """Change settings of the desk and return them; raises ``UsageError`` for what is none or changes nothing."""
    old = desk.roster.desk
    new = old._replace(**values)
    new = new._replace(limits={n: v for n, v in new.limits.items() if v != LIMITS.get(n)})
    if new == old:
        raise UsageError("the desk is like that already", "vrt desk show")
    try:
        roster.read_desk(roster.write(new))
    except roster.BadDeskFile as exc:
        raise UsageError(str(exc)) from None
    _check_words(new)
    record(desk, "desk-set", {}, [new], [])
    return new


_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")


def _check_words(desk: DeskConfig) -> None:
    """Raise ``UsageError`` for a name that no mail can carry, or a host that no Authentication-Results can name."""
    if not desk.name.strip() or not desk.name.isprintable() or len(desk.name) > LONGEST_NAME:
        raise UsageError(f"the name of a desk is one line of at most {LONGEST_NAME} characters", "vrt desk show")
    for host in desk.authserv:
        if host != "-" and not _HOST.fullmatch(host):  # "-": a server that names itself not
            raise UsageError(f"{host!r} is no name of a host", "write it as mx.example.org")


def rules_of(desk: Desk) -> str:
    """Return the intake rules, an empty string for none; raises ``NotAllowed`` where the card may not read them."""
    found = desk.rules
    if found is None:
        raise NotAllowed("the intake rules are sealed to admins and intake nodes", "vrt agent list --role admin")
    return found


def check_rules(desk: Desk, text: str) -> None:
    """Raise ``UsageError`` unless ``text`` (YAML) holds rules, ``NotFound`` for a queue or tag that is not there."""
    from vrt.mail import rulefile

    try:
        made = rulefile.of_text(text)
    except rulefile.BadRules as exc:
        raise UsageError(f"the rules: {exc}", "vrt rules edit") from None
    except VrtError as exc:  # no YAML at all
        raise UsageError(exc.message, exc.hint or "vrt rules edit") from None
    queues, tags = made.words()
    for name in queues:
        desk.roster.queue(name)
    if unknown := sorted(set(tags) - set(desk.roster.desk.tags)):
        raise NotFound(f"this desk has no tag {unknown[0]}", "one of " + ", ".join(desk.roster.desk.tags))


@alone
def set_rules(desk: Desk, /, text: str) -> None:
    """Set the intake rules: sealed to admins and intake nodes; the event names them by a keyed digest."""
    check_rules(desk, text)
    text = text.strip()
    if text == rules_of(desk):
        raise UsageError("the rules are like that already", "vrt rules show")
    event = desk.event("rules-set", trailers={"Rules": desk.keyring.ref("rules", text.encode())})
    readers = desk.roster.with_roles(*roster.RULES_READERS)
    keys = [keyring.seal_rules(event.id[-8:], text, c.handle, c.recipient) for c in readers]
    record(desk, "rules-set", {}, [], keys, event=event)
