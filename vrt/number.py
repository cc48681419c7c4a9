"""Ticket numbers: OTRS's DateChecksum (Kernel/System/Ticket/Number/DateChecksum.pm).

``YYYYMMDD`` + system id + the day's counter (five digits) + a check digit. Pure: which
numbers exist is the index's business.
"""

from __future__ import annotations

import re

COUNTER_DIGITS = 5
LAST_COUNTER = 99_999

_FULL = re.compile("[0-9]{16,17}")
_FORM = re.compile(r"(?i)^\s*(?:\[?\s*ticket\s*[#:]\s*|#)?\s*([0-9]{4,17})\s*\]?\s*$")
_HINT = re.compile(r"ticket\s{0,3}[#:\uff03]\s{0,3}\d", re.IGNORECASE)
_HOOK = re.compile(r"(?i)ticket\s*#\s*([0-9]{16,17})(?![0-9])")


def check_digit(digits: str) -> str:
    """Return the check digit of ``digits``: weights 1, 2, 1, 2, … from the left, products added whole."""
    total = sum(map(int, digits[::2])) + 2 * sum(map(int, digits[1::2]))
    rest = 10 - total % 10
    return "1" if rest == 10 else str(rest)


def make(day: str, system_id: str, counter: int) -> str:
    """Return the number of ``day`` (``YYYYMMDD``), ``system_id`` and ``counter`` (1 to 99,999).

    Raises ``ValueError`` where the counter does not fit.
    """
    if not 1 <= counter <= LAST_COUNTER:
        raise ValueError(f"counter {counter} does not fit in {COUNTER_DIGITS} digits")
    digits = f"{day}{system_id}{counter:0{COUNTER_DIGITS}}"
    return digits + check_digit(digits)


def is_valid(number: str) -> bool:
    """Say whether ``number`` is a full ticket number with a date and a right check digit."""
    date = "01" <= number[4:6] <= "12" and "01" <= number[6:8] <= "31"
    return bool(_FULL.fullmatch(number)) and date and check_digit(number[:-1]) == number[-1]


def system_id(number: str) -> str:
    """Return the system id in a full ``number``."""
    return number[8 : -COUNTER_DIGITS - 1]


def counter(number: str) -> int:
    """Return the day's counter in a full ``number``."""
    return int(number[-COUNTER_DIGITS - 1 : -1])


def folder(number: str) -> str:
    """Return the folder of a ticket on both branches: ``tickets/2026/11/20/000/2026112010000081``."""
    return f"tickets/{number[:4]}/{number[4:6]}/{number[6:8]}/{number[-6:-3]}/{number}"


def parse(text: str) -> str | None:
    """Return the digits in what a person typed (``2026…``, ``0081``, ``#…``, ``[Ticket#…]``), or None."""
    match = _FORM.match(text)
    return match.group(1) if match else None


def in_subject(subject: str) -> list[str]:
    """Return the valid numbers that a subject carries after ``Ticket#``, in their order."""
    return [n for n in _HOOK.findall(subject) if is_valid(n)]


def hints(subject: str) -> bool:
    """Say whether a subject speaks of a ticket by its number, be it right or not, in whatever digits."""
    return bool(_HINT.search(subject[:2000]))


def neighbours(number: str) -> list[str]:
    """Return valid numbers near a mistyped one: the digit repaired, one digit off, or two swapped."""
    near = {number[:-1] + check_digit(number[:-1])}
    for i, old in enumerate(number):
        near |= {number[:i] + d + number[i + 1 :] for d in "0123456789" if d != old}
        if i + 1 < len(number):
            near.add(number[:i] + number[i + 1] + old + number[i + 2 :])
    return sorted(n for n in near if is_valid(n) and n != number)
