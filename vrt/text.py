"""Foreign text made safe to show.

Everything that somebody else wrote (names, subjects, bodies, file names, messages of
other programs) passes ``shown`` or ``line`` before it reaches a terminal, and
``filename`` before it becomes a name on disk. Knows nothing of the rest of vrt.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

# C0 and C1 controls, DEL, the bidirectional controls (CVE-2021-42574), line and paragraph
# separators, zero-width and other invisible format characters, tags, and surrogates.
# U+200C and U+200D stay: Persian, Indic scripts and emoji need them.
_UNSAFE = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f"
)


@cache
def unsafe(also: str = "") -> re.Pattern[str]:
    """Return the pattern of one unsafe character, or one of ``also``. Compiling it takes 3 ms, hence not at import."""
    return re.compile(f"[{_UNSAFE}{also}]")


def _is_plain(text: str) -> bool:
    """Say quickly whether there is nothing to escape (may be wrong on the safe side)."""
    return text.isprintable() and _FILLERS.isdisjoint(text)


_FILLERS = frozenset("\u115f\u1160\u3164\uffa0")  # Hangul fillers: printable, yet nothing is seen


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def shown(text: str) -> str:
    """Return ``text`` with what could drive a terminal or hide text written as ``\\x1b`` escapes.

    Newlines and tabs stay; CRLF becomes LF.
    """
    return "\n".join(
        row if _is_plain(row) else unsafe().sub(_escape, row) for row in text.replace("\r\n", "\n").split("\n")
    )


def line(text: str) -> str:
    """Return ``text`` safe and on one line: newlines and tabs become a space."""
    if _is_plain(text):
        return text
    return unsafe("\t\n").sub(lambda m: " " if m.group() in "\t\n" else _escape(m), text.replace("\r\n", "\n"))


def width(text: str) -> int:
    """Return how many terminal cells ``text`` takes (wide East Asian characters take two)."""
    if text.isascii():
        return len(text)
    return sum(
        0
        if unicodedata.combining(c) or c in "\u200c\u200d\ufe0f"
        else 2
        if unicodedata.east_asian_width(c) in "WF"
        else 1
        for c in text
    )


def clip(text: str, cells: int) -> str:
    """Return ``text`` cut to at most ``cells`` terminal cells, with ``…`` where it was cut."""
    if width(text) <= cells:
        return text
    out, used = "", 0
    for c in text:
        step = width(c)
        if used + step > cells - 1:
            break
        out, used = out + c, used + step
    return out + "…"


def pad(text: str, cells: int) -> str:
    """Return ``text`` filled with spaces up to ``cells`` terminal cells."""
    return text + " " * max(0, cells - width(text))


_RESERVED = r"(?i)^(con|prn|aux|nul|com\d|lpt\d)(\..*)?$"


def filename(name: str, fallback: str = "unnamed") -> str:
    """Return ``name`` as a name safe to create in a folder on any system.

    No path separators, controls, leading dots or dashes, reserved device names; at most
    180 bytes of UTF-8 with the ending kept. An empty result becomes ``fallback``.
    """
    name = unicodedata.normalize("NFC", name.replace("\\", "/").rsplit("/", 1)[-1])
    name = re.sub(r'[<>:"|?*/\\]', "_", unsafe("\t\n").sub("", name)).lstrip(" .-").rstrip(" .")
    if re.match(_RESERVED, name):
        name = "_" + name
    stem, dot, end = name.rpartition(".")
    if not dot or len(end.encode()) > 16:
        stem, dot, end = name, "", ""
    room = 180 - len((dot + end).encode())
    return (stem.encode()[:room].decode("utf-8", "ignore").rstrip(" .") + dot + end) or fallback


def lower(address: str) -> str:
    """Return a mail address for comparing: A to Z in lower case, nothing else changed.

    Not ``str.lower``, for which the Kelvin sign is a k: another's address must never become one's own.
    """
    return address.lower() if address.isascii() else "".join(c.lower() if c.isascii() else c for c in address)


def mailbox(address: str) -> str:
    """Return the mailbox that an address leads to: ``lower``, without what stands after a ``+`` before the ``@``."""
    name, at, domain = lower(address).rpartition("@")
    return f"{name.partition('+')[0]}{at}{domain}"


def fold(text: str) -> str:
    """Return ``text`` as it is indexed and searched.

    Case folded, compatibility forms and accents removed (NFKD without combining marks), and every
    character of the scripts written without spaces (Han, Kana, Hangul, Thai, Lao, Khmer, Burmese)
    standing alone, so that a run of them is found as a phrase of single characters.
    """
    if text.isascii():
        return text.lower()
    # Piece by piece: the time that normalising takes is quadratic in a run of combining marks.
    text = "".join(_decomposed(text[i : i + 256]) for i in range(0, len(text), 256))
    text = _accents().sub("", text)
    text = _JAMO.sub(lambda run: unicodedata.normalize("NFC", run.group()), text)  # Korean syllables put together again
    return _alone().sub(lambda run: f" {' '.join(run.group())} ", text)


def _decomposed(text: str) -> str:
    return unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())


_JAMO = re.compile("[\u1100-\u11ff]+")


@cache
def _accents() -> re.Pattern[str]:
    """What a letter can carry: the characters of a combining class (Unicode Standard, 4.3) of the first plane.

    One of another plane would make Python's pattern forty times slower.
    """
    marks = [c for c in map(chr, range(0x300, 0x10000)) if unicodedata.combining(c)]
    return re.compile("[" + "".join(marks) + "]+")


@cache
def _alone() -> re.Pattern[str]:
    return re.compile(_SCRIPTS + "+")


_SCRIPTS = (
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u3100-\u312f\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]"
)
