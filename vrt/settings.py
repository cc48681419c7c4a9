"""What a desk agreed on: its settings (``desk.yaml``) and its intake rules, which lie sealed in the keyring."""

from __future__ import annotations

import re
from typing import Any

from vrt import ledger, paths, roster
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


def templates(desk: Desk) -> list[str]:
    """Return the desk's own templates as a Template trailer names them: ``de/closing``, ``de/info-de/closing``."""
    query = "SELECT DISTINCT json_extract(trailers, '$.Template') FROM event WHERE action = 'template-set'"
    names = [name for (name,) in desk.index.sql(query)]
    return sorted(name for name, text in zip(names, _texts(desk, names), strict=True) if text)


def template(desk: Desk, name: str) -> str | None:
    """Return the text of one of the desk's own templates, None where it has none of that name."""
    return next(iter(_texts(desk, [name] if re.fullmatch(ledger.TRAILERS["Template"], name) else [])), None)


def _texts(desk: Desk, names: list[str]) -> list[str | None]:
    head, found = desk.index.heads().main, list[str | None]()
    with desk.repository.reader() as reader:
        for name in names:
            data = reader.find(f"{head}:{paths.template(name)}")
            found.append(data.decode("utf-8", "replace") if data else None)  # an empty one was taken away
    return found


@alone
def set_template(desk: Desk, /, name: str, text: str | None) -> None:
    """Set one of the desk's own templates; None takes it away again.

    Raises ``UsageError`` for what is no template or changes nothing, ``NotFound`` where there is none to take away.
    """
    from vrt.templates import check

    if not re.fullmatch(ledger.TRAILERS["Template"], name):
        raise UsageError(f"{name!r} is no name of a template", "write it as de/closing or de/info-de/closing")
    text, before = check(text) if text else None, template(desk, name)
    if not text and not before:
        raise NotFound(f"the desk has no template {name} of its own", "vrt template list")
    if text == before:
        raise UsageError("the template is like that already", "vrt template list")
    record(desk, "template-set", {"Template": name}, [], [], texts={paths.template(name): text or ""})


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
