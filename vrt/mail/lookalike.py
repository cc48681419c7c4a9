"""What the header of a mail shows of its sender that is not what it seems: fixed phrases for agents to read.

Pure: fields and addresses in, phrases out; none of them holds text of the mail. Linear, raises on no input.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence

from vrt.model import Address

Own = Callable[[str], bool]

MANY = "more than one sender"
RETURN_PATH = "return path is of another domain than the sender"
REPLY_TO = "answers would go to another domain than the sender's"
NAME_ADDRESS = "name shows another address than the sender's"
NAME_OWN = "name is one of ours"
ADDRESS_OWN = "claims an address of ours"
LIKE_OWN = "address looks like one of ours"
HIDDEN = "hidden characters in the name"
MIXED_NAME = "scripts mixed within a word of the name"
MIXED_DOMAIN = "scripts mixed within the domain"

_MAX_NAME = 500  # characters of a name that are looked at
_MAX_PEOPLE = 20

_ADDRESS = re.compile(r"[^\s<>,;:\"'()\[\]@]{1,64}@[^\s<>,;:\"'()\[\]@]{1,255}")
_ANGLE = re.compile(rb"<([^<>]{0,500})>")
# Zero-width and bidirectional controls: nothing of them is seen, and they change what is.
_HIDDEN = re.compile("[\u00ad\u034f\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff]")
# Joiners that Persian, Indic scripts and emoji need, where Latin letters are on both sides.
_JOINERS = re.compile("[!-~][\u200c\u200d]+[!-~]")
_WORD = re.compile(r"\w+")

# Letters that most fonts draw like a Latin one (from the Unicode Standard's own cross-references).
_LIKE = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u04bb\u0501\u051b\u051d\u04cf\u043a\u043c\u0442\u0432\u043d"
    "\u03b1\u03bf\u03bd\u03c1\u03b9\u03ba\u03c4\u03c5\u03c7\u0131\u0261\u2018\u2019",
    "aeopcyxijshdqwlkmtbhaovpiktuxig''",
)
_DIGITS = str.maketrans("015", "ols")


def domain(address: str) -> str:
    """Return the domain of an address in lower case and as the DNS has it (``xn--…``); "" if there is none."""
    found = address.rpartition("@")[2].strip(". ").lower() if "@" in address else ""
    if found.isascii() or len(found) > 255:
        return found
    try:
        return found.encode("idna").decode().lower()
    except UnicodeError:
        return found


def related(one: str, other: str) -> bool:
    """Return whether two domains are the same or one lies in the other, which has at least two labels."""
    if one == other:
        return True
    long, short = (one, other) if len(one) > len(other) else (other, one)
    return "." in short and long.endswith("." + short)


def notes(
    fields: Sequence[tuple[str, bytes]], people: Sequence[Address], answers: Sequence[Address], own: Own
) -> list[str]:
    """Return what an agent should know of the sender, each phrase once.

    ``fields``: the header (names in lower case, raw values); ``people``: the addresses of From; ``answers``: those
    of Reply-To; ``own(text)``: whether an address or a display name (in lower case) is one of the desk's.
    """
    found = list(_of_header(fields, people, answers))
    for person in people[:_MAX_PEOPLE]:
        found += _of_person(person, own)
    return list(dict.fromkeys(found))


def _of_header(
    fields: Sequence[tuple[str, bytes]], people: Sequence[Address], answers: Sequence[Address]
) -> Iterator[str]:
    if len(people) > 1 or sum(1 for name, _ in fields if name == "from") > 1:
        yield MANY
    domains = {domain(person.address) for person in people[:_MAX_PEOPLE]} - {""}
    if not domains:
        return
    value = next((value for name, value in fields if name == "return-path"), b"")
    if b"@" in value:
        angle = _ANGLE.search(value[:2000])
        back = domain((angle[1] if angle else value[:500].strip()).decode("utf-8", "replace"))
        if back and not any(related(back, one) for one in domains):
            yield RETURN_PATH
    for answer in answers[:_MAX_PEOPLE]:
        to = domain(answer.address)
        if to and not any(related(to, one) for one in domains):
            yield REPLY_TO
            return


def _of_person(person: Address, own: Own) -> Iterator[str]:
    name, address = person.name[:_MAX_NAME], person.address[:_MAX_NAME].lower()
    if address:
        yield from _of_address(address, own)
    if not name:
        return
    if name.isascii():
        plain = name.lower()
    else:
        yield from _of_script(name)
        plain = _plain(name)
    if "@" in plain:
        # A name is a stranger's text: an address in it may stand in quotes, brackets or at the end of a sentence.
        shown = {match[0].rstrip(".") for match in _ADDRESS.finditer(plain)} - {address}
        if shown:
            yield NAME_ADDRESS
        if any(own(other) for other in shown):
            yield NAME_OWN
    if own(" ".join(plain.split())) and not own(address):
        yield NAME_OWN


def _of_address(address: str, own: Own) -> Iterator[str]:
    host = address.rpartition("@")[2]
    shown = host
    if "xn--" in host:
        shown = ".".join(_label(label) for label in host.split("."))
    if not shown.isascii() and any(_mixed(label) for label in shown.split(".")):
        yield MIXED_DOMAIN
    if own(address):
        yield ADDRESS_OWN
        return
    like = _plain(address[: len(address) - len(host)] + shown)
    if any(other != address and own(other) for other in {like, like.translate(_DIGITS), like.replace("rn", "m")}):
        yield LIKE_OWN


def _of_script(name: str) -> Iterator[str]:
    if _HIDDEN.search(name) or _JOINERS.search(name):
        yield HIDDEN
    if any(_mixed(word) for word in _WORD.findall(name)):
        yield MIXED_NAME


def _label(label: str) -> str:
    """Return a label of a domain as people see it."""
    if not label.startswith("xn--") or len(label) > 63:
        return label
    try:
        return label[4:].encode("ascii").decode("punycode")
    except UnicodeError:
        return label


def _mixed(word: str) -> bool:
    """Return whether a word has letters of Latin and of Cyrillic or Greek, or of both of these."""
    if word.isascii():
        return False
    scripts = {unicodedata.name(c, "").partition(" ")[0] for c in word[:_MAX_NAME] if c.isalpha()}
    return len(scripts & {"LATIN", "CYRILLIC", "GREEK"}) > 1


def _plain(text: str) -> str:
    """Return ``text`` in lower case with every letter that looks like a Latin one made that, and nothing hidden."""
    text = unicodedata.normalize("NFKD", _HIDDEN.sub("", text)).lower().translate(_LIKE)
    return "".join(c for c in text if not unicodedata.combining(c))
