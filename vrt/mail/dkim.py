"""Signatures of mail checked by ourselves (DKIM: RFC 6376, 8301, 8463).

Sole user of dkimpy. Knows nothing of where keys come from, nor of what a result means for a ticket. dkimpy reads the
tags, canonicalises the header and checks the signature; the body is hashed here, since its patterns take
quadratic time on long runs of spaces. What would take long is not checked, and what is not checked proves nothing.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import re
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

Lookup = Callable[[str], bytes | None]

MAX_SIGNATURES = 5  # checked in one mail
MAX_HEADER = 100_000
MAX_BODY = 30 << 20
MAX_RECORD = 4096
MIN_BITS, MAX_BITS = 1024, 8192  # of an RSA key: RFC 8301 section 3.2; larger ones take long
PATIENCE = 3.0  # seconds spent on keys of one mail before no more are asked for

SHORT_KEY = "signed with a key that is too short"
EXPIRED = "signature has expired"
PARTLY = "signature does not cover all of the text"
OPEN_HEADER = "signature does not cover all of the header"
TWICE = "signed header has a field twice"


class Checked(NamedTuple):
    """What became of a mail's signatures by its sender's domain.

    ``word`` is one of RFC 8601 section 2.7.1: ``pass``; ``fail``: all of them are broken; ``policy``: good, but not
    good enough, for the reasons in ``notes``; ``temperror``: no key at hand; ``permerror``, ``neutral``: not
    usable; "": there is none, or it was not checked.
    """

    word: str = ""
    notes: tuple[str, ...] = ()


def check(raw: bytes, fields: Sequence[tuple[str, bytes]], speaks: Callable[[str], bool], lookup: Lookup) -> Checked:
    """Check the signatures of a mail that speak for its sender. Never raises.

    ``raw``: the mail as it came; ``fields``: its header as we read it elsewhere, for the signature is to be of that
    very header; ``speaks(domain)``: whether a signer of that domain speaks for the sender; ``lookup``: the TXT
    record of a name like ``sel._domainkey.example.org``, or None.
    """
    try:
        mail = _Mail.of(raw, fields)
        return mail.check(speaks, lookup) if mail else Checked()
    except Exception:  # dkimpy raises many on hostile input (and a lookup is not ours)
        return Checked("neutral")


_HEADER_END = re.compile(rb"\n\r?\n")
_FIELD = re.compile(rb"([!-9;-~]{1,200}):([^\n]*(?:\n[ \t][^\n]*)*)(?:\n|\Z)")
_LONG_GAP = re.compile(rb"\s{100}")  # dkimpy takes the square of it
_SPACE = re.compile(rb"\s+")
_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9._-]{0,250}[a-z0-9_])?")

# Fields of which a second one changes who seems to have written what (RFC 5322 section 3.6: at most one each).
_SINGLE = frozenset(
    {b"from", b"sender", b"reply-to", b"to", b"cc", b"date", b"subject", b"message-id", b"in-reply-to", b"references",
     b"mime-version", b"content-type", b"content-transfer-encoding"}
)  # fmt: skip
# What must be signed if it is there: who wrote, what about, and where an answer goes to.
_COVERED = frozenset({b"from", b"subject", b"reply-to"})


def _crlf(data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


class _Mail:
    """A mail taken apart for dkimpy."""

    def __init__(self, header: list[tuple[bytes, bytes]], body: bytes) -> None:
        self._header, self._body = header, body
        self._bodies: dict[bytes, bytes] = {}
        self._deadline = time.monotonic() + PATIENCE
        names = [name.lower() for name, _ in header]
        self._names = set(names)
        self._twice = any(names.count(name) > 1 for name in self._names & _SINGLE)

    @classmethod
    def of(cls, raw: bytes, fields: Sequence[tuple[str, bytes]]) -> _Mail | None:
        """Take a mail apart, if it is one whose header can be read in one way only."""
        end = _HEADER_END.search(raw, 0, MAX_HEADER)
        if end is None or len(raw) - end.end() > MAX_BODY:
            return None
        block, header, at = raw[: end.start()], [], 0
        if block.startswith(b"From "):
            at = block.find(b"\n") + 1
        while at < len(block):
            match = _FIELD.match(block, at)
            if match is None:
                return None
            header.append((match[1], _crlf(match[2].removesuffix(b"\r")) + b"\r\n"))
            at = match.end()
        ours = [(name, value.replace(b"\r", b"")) for name, value in fields]
        if ours != [(name.decode().lower(), value.replace(b"\r", b"").removesuffix(b"\n")) for name, value in header]:
            return None
        return cls(header, raw[end.end() :])

    def check(self, speaks: Callable[[str], bool], lookup: Lookup) -> Checked:
        """Return what the signatures come to: see ``Checked``."""
        found: list[Checked] = []
        signatures = [value for name, value in self._header if name.lower() == b"dkim-signature"]
        for index, value in enumerate(signatures[: 4 * MAX_SIGNATURES]):
            if len(found) < MAX_SIGNATURES and speaks(_domain(value)):
                try:
                    found.append(self._one(index, value, lookup))
                except Exception:
                    found.append(Checked("neutral"))
                if found[-1].word == "pass":
                    return found[-1]
        if not found or all(one.word == "fail" for one in found):
            return found[0] if found else Checked()
        notes = dict.fromkeys(note for one in found for note in one.notes)
        return Checked(next(one.word for one in found if one.word != "fail"), tuple(notes))

    def _one(self, index: int, value: bytes, lookup: Lookup) -> Checked:
        """Check one signature, the one at ``index``; raises what dkimpy raises."""
        import dkim  # type: ignore[import-untyped]
        from dkim.util import parse_tag_value  # type: ignore[import-untyped]

        tags = parse_tag_value(value)
        if tags.get(b"x", b"").isdigit() and int(tags[b"x"]) < time.time():
            return Checked("policy", (EXPIRED,))  # neither good nor forged: mail may lie in a mailbox for long
        reader = dkim.DKIM(logger=_quiet())
        reader.headers = self._header
        tags, covered, values = reader.verify_headerprep(index)
        if b"from" not in covered or len(covered) > 200:
            return Checked("permerror")  # RFC 6376 section 6.1.1
        key = self._key(tags, lookup)
        if isinstance(key, Checked):
            return key
        good, whole = self._body_is(tags)
        if not good or not key.verify(reader, tags, covered, values[index]):
            return Checked("fail")
        notes = [PARTLY] if not whole else []
        if not (self._names & _COVERED) <= set(covered):
            notes.append(OPEN_HEADER)
        if self._twice:
            notes.append(TWICE)
        return Checked("policy", tuple(notes)) if notes else Checked("pass")

    def _key(self, tags: dict[bytes, bytes], lookup: Lookup) -> _Key | Checked:
        name = f"{tags[b's'].decode()}._domainkey.{tags[b'd'].decode()}".lower()
        if not _NAME.fullmatch(name):
            return Checked("permerror")
        record = lookup(name) if time.monotonic() < self._deadline else None
        return Checked("temperror") if record is None else _Key.of(name, record, tags)

    def _body_is(self, tags: dict[bytes, bytes]) -> tuple[bool, bool]:
        """Return whether the body is the one that was signed, and whether all of it was (no ``l=``)."""
        how = tags.get(b"c", b"simple/simple").partition(b"/")[2] or b"simple"
        if how not in (b"simple", b"relaxed"):
            raise ValueError("unknown canonicalization")
        if how not in self._bodies:
            self._bodies[how] = canonical_body(self._body, how == b"relaxed")
        body = self._bodies[how]
        size = int(tags[b"l"]) if b"l" in tags else len(body)
        digest = hashlib.sha256(memoryview(body)[:size]).digest()
        return digest == base64.b64decode(_SPACE.sub(b"", tags[b"bh"])) and size <= len(body), size == len(body)


class _Key(NamedTuple):
    """The public key of a signature."""

    kind: bytes  # rsa or ed25519
    key: Any

    @classmethod
    def of(cls, name: str, record: bytes, tags: dict[bytes, bytes]) -> _Key | Checked:
        """Read a key record (RFC 6376 section 3.6.1); return what becomes of the signature if it cannot serve."""
        import dkim
        from dkim.util import parse_tag_value

        if len(record) > MAX_RECORD:
            return Checked("permerror")
        told = parse_tag_value(record)
        flags = told.get(b"t", b"").replace(b" ", b"").split(b":")
        kind = told.get(b"k", b"rsa")
        hashes, services = (told.get(tag, b"*").replace(b" ", b"").split(b":") for tag in (b"h", b"s"))
        serves = {b"*", b"email"} & set(services) and {b"*", b"sha256"} & set(hashes)
        identity = tags.get(b"i", b"@" + tags[b"d"]).rpartition(b"@")[2].lower()
        strict = b"s" in flags and identity != tags[b"d"].lower()
        if not told.get(b"p") or not serves or strict or tags[b"a"] != kind + b"-sha256":
            return Checked("permerror")  # revoked, for something else, of another kind, or SHA-1 (RFC 8301 section 3.1)
        if b"y" in flags:
            return Checked("neutral")  # a domain that tests: as if unsigned, whatever the result
        if kind == b"ed25519":
            return cls(kind, _Ed25519(base64.b64decode(told[b"p"])))
        key, bits, _, _ = dkim.evaluate_pk(name, record)
        if bits < MIN_BITS:
            return Checked("policy", (SHORT_KEY,))
        if bits > MAX_BITS or key["publicExponent"] >= 1 << 33:
            return Checked("permerror")
        return cls(kind, key)

    def verify(self, reader: Any, tags: dict[bytes, bytes], covered: list[bytes], field: tuple[bytes, bytes]) -> bool:
        """Return whether the signature in ``field`` is of the header that ``reader`` has."""
        reader.pk, reader.ktag, reader.keysize = self.key, self.kind, MIN_BITS
        header_only = {tag: value for tag, value in tags.items() if tag != b"bh"}
        good = bool(reader.verify_sig_process(header_only, covered, field, None))
        return good and (self.kind == b"rsa" or self.key.good)


class _Ed25519:
    """An ed25519 key as dkimpy wants one: it would have a package for that which vrt has no other use for."""

    def __init__(self, public: bytes) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        self._key, self.good = Ed25519PublicKey.from_public_bytes(public), False

    def verify(self, digest: bytes, signature: bytes) -> None:
        """Keep in ``good`` whether ``signature`` is of ``digest`` (RFC 8463 section 3)."""
        from cryptography.exceptions import InvalidSignature

        try:
            self._key.verify(signature, digest)
            self.good = True
        except InvalidSignature:
            pass


def canonical_body(body: bytes, relaxed: bool) -> bytes:
    """Return the body as it is signed (RFC 6376 sections 3.4.3 and 3.4.4), in linear time."""
    text = _crlf(body)
    if text and not text.endswith(b"\r\n"):
        text += b"\r\n"
    if relaxed:
        text = text.replace(b"\t", b" ")
        while b"  " in text:  # each round halves the longest run
            text = text.replace(b"  ", b" ")
        text = text.replace(b" \r\n", b"\r\n")
    kept = len(text.rstrip(b"\r\n"))
    lone = text.rfind(b"\r\r", kept)  # a CR that ends no line stays
    text = text[: kept if lone < 0 else lone + 1]
    return text + b"\r\n" if text or not relaxed else b""


def _domain(value: bytes) -> str:
    """Return the d= of a signature in lower case; "" for one that is not worth looking at."""
    if len(value) > 8192 or _LONG_GAP.search(value):
        return ""
    for tag in value.split(b";"):
        name, _, found = tag.partition(b"=")
        if name.strip() == b"d":
            return found.strip().decode("ascii", "replace").lower()
    return ""


def _quiet() -> logging.Logger:
    logger = logging.getLogger("dkimpy")  # it would write of the mail
    logger.setLevel(logging.CRITICAL + 1)
    return logger
