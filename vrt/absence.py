"""Agents who are away: who, and until which day. A day is one of the desk's time zone; the last one counts."""

from __future__ import annotations

from vrt.desk import Desk
from vrt.errors import Conflict, UsageError


def absent(desk: Desk) -> dict[str, str]:
    """Return the agents who are away, each with the last day of it (YYYY-MM-DD)."""
    away = {c.handle: c.away for c in desk.roster.cards.values() if c.away}
    if not away:  # which spares looking for the time zone
        return {}
    today = desk.day()
    return {handle: last for handle, last in away.items() if last >= today}


def last_day(desk: Desk, text: str) -> str:
    """Return the day (YYYY-MM-DD) that ``text`` names: a date, ``tomorrow``, or a span from now (``2w``).

    Raises ``UsageError`` for what is none, or over.
    """
    from datetime import date, datetime

    from vrt.roster import zone

    try:
        day = date.fromisoformat(text).isoformat()
    except ValueError:
        day = datetime.fromtimestamp(desk.later(text), zone(desk.roster.desk.timezone)).date().isoformat()
    if day < desk.day():
        raise UsageError(f"{text} is over", "write the last day: 2026-12-01, or 2w")
    return day


def check_here(desk: Desk, handle: str) -> None:
    """Raise ``Conflict`` where an agent is away."""
    if last := absent(desk).get(handle):
        raise Conflict(f"{handle} is away until {last}", "assign it to somebody else, or --force")
