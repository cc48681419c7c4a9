"""What an admin changed of the desk here, while another changed the same file and published first: done again there.

The intention is taken from what the event changed, and carried out by the command's own function on the desk as it is
now: whoever dismissed somebody still does so. Two who set the same setting to different values are told; the first has
it.
"""

from __future__ import annotations

from typing import Any

from vrt import kept, members, paths, queues, roster, settings
from vrt.desk import Desk
from vrt.errors import Conflict
from vrt.model import Card, DeskConfig, Event, Queue
from vrt.roster import Roster
from vrt.storage import articles


def after(before: Roster, files: dict[str, bytes]) -> Roster:
    """Return the roster that ``files`` (desk files by path) make of ``before``."""
    cards, queues_, config = dict(before.cards), dict(before.queues), before.desk
    for path, data in files.items():
        kind, name = paths.desk_file(path) or ("", "")
        if kind == "agents":
            cards[name] = roster.read_card(name, articles.load_yaml(data, path))
        elif kind == "queues":
            queues_[name] = roster.read_queue(name, articles.load_yaml(data, path))
        elif path == paths.DESK:
            config = roster.read_desk(articles.load_yaml(data, path))
    return Roster(config, cards, queues_)


def redo(desk: Desk, event: Event, old: Roster, new: Roster, files: dict[str, bytes]) -> None:
    """Do again what ``event`` did when it made ``new`` of ``old``; only within ``desk.writing()``.

    Raises ``VrtError`` where it cannot be done any more.
    """
    agent, queue = event.trailers.get("Agent", ""), event.trailers.get("Queue", "")
    was, card = old.cards.get(agent), new.cards.get(agent)
    match event.action:
        case "agent-dismiss":
            _do(members.dismiss, desk, agent)
        case "agent-rekey" if was and not was.dismissed and desk.roster.card(agent).dismissed:
            raise Conflict(
                f"{agent} was dismissed meanwhile", f"vrt agent rekey {agent} --card FILE lets them in again"
            )
        case "agent-rekey" if card:
            _do(members.rekey, desk, agent, _keys(card), "Stolen" in event.trailers)
        case "agent-add" if card:
            rest = card.roles, card.queues, card.agreed, card.supervised, bool(card.since)
            _do(members.add_agent, desk, agent, _keys(card), *rest)
        case "agent-queues" if card and was:
            join, leave = set(card.queues) - set(was.queues), set(was.queues) - set(card.queues)
            _do(members.set_queues, desk, agent, sorted(join), sorted(leave), bool(join & set(card.since)))
        case "agent-set" if card and was:
            _do(members.set_card, desk, agent, **_changed(was, card, desk.roster.card(agent)))
        case "queue-add":
            _do(queues.add_queue, desk, new.queues[queue])
        case "queue-set":
            _do(
                queues.set_queue,
                desk,
                queue,
                **_changed(old.queues[queue], new.queues[queue], desk.roster.queue(queue)),
            )
        case "desk-set":
            _do(settings.set_desk, desk, **_changed(old.desk, new.desk, desk.roster.desk))
        case "template-set":
            kept.put(desk, event.id, kept.Kept(next(iter(files.values())).decode("utf-8", "replace")))
            raise Conflict("others changed this template", f"the text is kept in vrt/outbox/{event.id}.age")
        case _:
            raise Conflict("others changed the same", "vrt rules show")


def _do(function: Any, desk: Desk, *args: Any, **values: Any) -> None:
    """Carry out a change of the desk under the lock that is held already."""
    function.__wrapped__(desk, *args, **values)


def _keys(card: Card) -> dict[str, str]:
    return {"recipient": card.recipient, "signing": card.signing}


def _changed(old: Any, new: Any, now: Card | Queue | DeskConfig) -> dict[str, Any]:
    """Return the settings that ``new`` changed of ``old``, as they are on top of ``now``; raises ``Conflict``."""
    found: dict[str, Any] = {}
    for name in old._fields:
        a, b, c = getattr(old, name), getattr(new, name), getattr(now, name)
        if a == b or c == b:
            continue
        if isinstance(a, tuple):
            found[name] = tuple(v for v in c if v in b or v not in a) + tuple(v for v in b if v not in a and v not in c)
        elif isinstance(a, dict):
            found[name] = {k: v for k, v in c.items() if k in b or k not in a} | {
                k: v for k, v in b.items() if a.get(k) != v
            }
        elif a == c:
            found[name] = b
        else:
            raise Conflict(f"others set {name} to {c} meanwhile", "set it again if it is to be otherwise")
    if not found:
        raise Conflict("others did the same", "vrt agent list, vrt queue list")
    return found
