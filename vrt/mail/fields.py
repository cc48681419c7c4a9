"""The fields of a header as we write them: folded, in ASCII, whatever the values hold (RFC 5322, 2047, 2231).

Knows nothing of messages. Values may come from strangers: no value makes a second field, and none is taken for
something encoded that is not. To read what others wrote is the work of ``vrt.mail.header``.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable

from vrt import text
from vrt.model import Address

_LINE = 78  # characters of a line without CR LF (RFC 5322 section 2.1.1)
_TOKEN = 64  # of what is not folded any more: fits into a line behind every field name of ours
MOST_TEXT, MOST_NAME = 900, 250  # characters of a text, of a display name: some servers cut long headers anywhere

_BREAKS = re.compile("[\t-\r\x1c-\x1f \x85\u2028\u2029]+")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]+")  # RFC 5322 section 3.2.3, several with spaces between
_ALNUM = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_PLAIN = frozenset(_ALNUM + b"!*+-/")  # in an encoded word of a display name (RFC 2047 section 5 (3))
_EXTENDED = frozenset(_ALNUM + b"!+-._")  # in the extended value of a parameter (RFC 2231 section 7)


def clean(value: str, most: int = MOST_TEXT) -> str:
    """Return ``value`` on one line without what hides text or turns its direction, cut to ``most`` characters.

    Line breaks and tabs become a space, as several spaces do. Controls, bidirectional and zero-width characters
    and lone surrogates are left out; the joiners stay, which Persian, Indic scripts and emoji need.
    """
    value = value[: 20 * most]  # so that the work is bounded too
    return text.unsafe().sub("", _BREAKS.sub(" ", value)).strip()[:most].rstrip()


def field(name: str, tokens: Iterable[str]) -> str:
    """Return a field with its CR LF: ``tokens``, each whole, with a space or a fold between them."""
    lines = [f"{name}:"]
    for token in tokens:
        if len(lines[-1]) + 1 + len(token) > _LINE and not lines[-1].endswith(":"):
            lines.append("")
        lines[-1] += f" {token}"
    return "\r\n".join(lines) + "\r\n"


def unstructured(value: str) -> list[str]:
    """Return the tokens of text such as a subject: its words, or encoded ones.

    All of it is encoded or nothing: mail-parser and others lose the space between a plain and an encoded word.
    """
    value = clean(value)
    words = value.split(" ")
    plain = value.isascii() and "=?" not in value and all(len(word) <= _TOKEN for word in words)
    return words if plain else _encoded(value)


def mailboxes(people: Iterable[Address]) -> list[str]:
    """Return the tokens of an address list; the addresses are to be ``compose.sendable``."""
    tokens: list[str] = []
    for person in people:
        if tokens:
            tokens[-1] += ","
        name = clean(person.name, MOST_NAME)
        tokens += [*_phrase(name), f"<{person.address}>"] if name else [person.address]
    return tokens


def _phrase(name: str) -> list[str]:
    """Return the tokens of a display name: atoms, one quoted string, or encoded words."""
    if not name.isascii() or "=?" in name or len(name) > _TOKEN:
        return _encoded(name)
    if _ATOMS.fullmatch(name):
        return name.split(" ")
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return [f'"{escaped}"'] if len(escaped) < _TOKEN - 1 else _encoded(name)


def _encoded(value: str) -> list[str]:
    """Return ``value`` in encoded words (RFC 2047): none splits a character or is longer than it may be."""
    data = value.encode()
    letters = sum(byte in _PLAIN or byte == 32 for byte in data)
    as_base64 = 4 * len(data) < 3 * (letters + 3 * (len(data) - letters))
    room = (_TOKEN - len("=?utf-8?b??=")) // 4 * 3 if as_base64 else _TOKEN - len("=?utf-8?q??=")
    pieces, used = [""], 0
    for c in value:
        size = len(c.encode()) if as_base64 else len(_q(c))
        if used + size > room:
            pieces.append("")
            used = 0
        pieces[-1] += c
        used += size
    if as_base64:
        return [f"=?utf-8?b?{base64.b64encode(piece.encode()).decode()}?=" for piece in pieces]
    return [f"=?utf-8?q?{''.join(map(_q, piece))}?=" for piece in pieces]


def _q(c: str) -> str:
    return "_" if c == " " else "".join(chr(b) if b in _PLAIN else f"={b:02X}" for b in c.encode())


def parameters(name: str, value: str) -> list[str]:
    """Return a parameter of a field after its ``;`` (RFC 2045; by RFC 2231 where it is not ASCII or is long).

    ``value`` holds no controls, ``"`` or ``\\``, as ``text.filename`` gives it.
    """
    if value.isascii() and "=?" not in value and len(value) <= _TOKEN - len(name):
        return [f'{name}="{value}"']
    room = _LINE - len(f" {name}*99*=;")
    pieces = ["utf-8''"]
    for c in value:
        coded = "".join(chr(byte) if byte in _EXTENDED else f"%{byte:02X}" for byte in c.encode())
        if len(pieces[-1]) + len(coded) > room:
            pieces.append("")
        pieces[-1] += coded
    if len(pieces) == 1:
        return [f"{name}*={pieces[0]}"]
    return [f"{name}*{i}*={piece}{';' * (i + 1 < len(pieces))}" for i, piece in enumerate(pieces)]
