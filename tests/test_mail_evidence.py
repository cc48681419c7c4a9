"""What speaks for and against a sender: results of trusted hosts, signatures checked by ourselves, look-alikes."""

from __future__ import annotations

import base64
import logging
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import dkim as dkimpy
import pytest
from conftest import ROOT
from cryptography.hazmat.primitives import serialization as s
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from dkim.canonicalization import CanonicalizationPolicy
from hypothesis import given, settings
from hypothesis import strategies as st

from vrt.errors import UsageError
from vrt.mail import authres, dkim, evidence, header, lookalike
from vrt.mail.dkimkeys import DnsKeys, FileKeys, FirstOf
from vrt.mail.evidence import Evidence
from vrt.mail.parse import parse

VECTORS = Path(__file__).parent / "vectors"
CORPUS = Path(os.environ.get("VRT_CORPUS") or Path(__file__).parents[2] / "shared" / "corpus")
needs_corpus = pytest.mark.skipif(not (CORPUS / "mail").is_dir(), reason=f"no corpus of mails in {CORPUS}")

OURS = {"info-en@example.org", "example vrt", "help@example.org"}
TRUSTED = frozenset({"mx.example.org", "MX2.Example.org"})


def own(text: str) -> bool:
    return text in OURS


def of(
    raw: bytes,
    trusted: frozenset[str] = TRUSTED,
    lookup: Callable[[str], bytes | None] | None = None,
    owner: Callable[[str], bool] = own,
) -> Evidence:
    fields, _ = header.split(raw, set())
    found = evidence.of(raw, fields, parse(raw), trusted, lookup, owner)
    assert pickle.loads(pickle.dumps(found)) == found
    assert found.verdict in ("pass", "fail", "none")
    assert evidence.UNREAD not in found.notes  # the net under a bug of ours caught it
    return found


# --- results of trusted hosts ---


def told(*values: str, sender: str = "jane@example.com") -> Evidence:
    """Return what is made of these fields, the first on top; one that begins with a name is that field."""
    block = "".join(value if value[0] == "X" else f"Authentication-Results:{value}\n" for value in values)
    return of(f"{block}From: Jane <{sender}>\nSubject: x\n\nHello\n".encode())


MX = " mx.example.org;"
PASSED = MX + " dmarc=pass header.from=example.com"
FAILED = MX + " dmarc=fail header.from=example.com"
NOTHING = ("none", "", "", "", "")

# name: (the fields from the top, (verdict, dmarc, spf, dkim, by))
RESULTS: dict[str, tuple[tuple[str, ...], tuple[str, str, str, str, str]]] = {
    "pass": ((PASSED,), ("pass", "pass", "", "", "mx.example.org")),
    "fail": ((FAILED,), ("fail", "fail", "", "", "mx.example.org")),
    "all three": (
        (
            MX
            + " spf=pass smtp.mailfrom=example.com; dkim=pass header.d=example.com; dmarc=pass header.from=example.com",
        ),
        ("pass", "pass", "pass", "pass", "mx.example.org"),
    ),
    "upper case": (
        (" MX.EXAMPLE.ORG; DMARC=PASS Header.From=Example.COM",),
        ("pass", "pass", "", "", "mx.example.org"),
    ),
    "trusted in upper case": (
        (" mx2.example.org; dmarc=pass header.from=example.com",),
        ("pass", "pass", "", "", "mx2.example.org"),
    ),
    "folded": (
        ("\n mx.example.org;\n\tdmarc=pass\n header.from=example.com",),
        ("pass", "pass", "", "", "mx.example.org"),
    ),
    "folded with crlf": (
        (" mx.example.org;\r\n dmarc=pass\r\n header.from=example.com\r",),
        ("pass", "pass", "", "", "mx.example.org"),
    ),
    "comments": (
        ("(c) mx.example.org(c);(c)dmarc(c)=(c)pass(p=NONE)header.from=example.com(c)",),
        ("pass", "pass", "", "", "mx.example.org"),
    ),
    "nested comments": (
        (MX + " dmarc=pass (a (b (c) \\) ) d; dmarc=fail) header.from=example.com",),
        ("pass", "pass", "", "", "mx.example.org"),
    ),
    "gaps wherever allowed": (
        (MX + " dmarc / 1 = pass header . from = example.com",),
        ("pass", "pass", "", "", "mx.example.org"),
    ),
    "version 1": (
        (" mx.example.org 1; dmarc=pass header.from=example.com",),
        ("pass", "pass", "", "", "mx.example.org"),
    ),
    "version 2": ((" mx.example.org 2; dmarc=pass header.from=example.com",), ("none", "", "", "", "mx.example.org")),
    "version 2 over a lower pass": ((" mx.example.org 2; spf=pass", PASSED), ("none", "", "", "", "mx.example.org")),
    "method version 2": ((MX + " dmarc/2=pass header.from=example.com",), ("none", "none", "", "", "mx.example.org")),
    "quoted host": (
        (' "mx.example.org"; dmarc=pass header.from=example.com',),
        ("pass", "pass", "", "", "mx.example.org"),
    ),
    "quoted value": ((MX + ' dmarc=pass header.from="example.com"',), ("pass", "pass", "", "", "mx.example.org")),
    "quoted result": ((MX + ' dmarc="pass" header.from=example.com',), ("none", "none", "", "", "mx.example.org")),
    "reason": (
        (MX + ' dmarc=pass reason="good; dmarc=fail \\" x" header.from=example.com',),
        ("pass", "pass", "", "", "mx.example.org"),
    ),
    "policy reasons": (
        (MX + " dmarc=fail (p=reject dis=none) policy.dmarc=none reason=override header.from=example.com",),
        ("fail", "fail", "", "", "mx.example.org"),
    ),
    "none": ((MX + " none",), ("none", "", "", "", "mx.example.org")),
    "no results": ((" mx.example.org",), ("none", "", "", "", "mx.example.org")),
    "semicolons": (
        (" mx.example.org;; ;dmarc=pass header.from=example.com; ;",),
        ("pass", "pass", "", "", "mx.example.org"),
    ),
    "unknown host": ((" evil.example; dmarc=pass header.from=example.com",), NOTHING),
    "host that begins alike": ((" mx.example.org.evil.example; dmarc=pass header.from=example.com",), NOTHING),
    "host that ends alike": ((" evil-mx.example.org; dmarc=pass header.from=example.com",), NOTHING),
    "host in a comment": ((" evil.example (mx.example.org); dmarc=pass header.from=example.com",), NOTHING),
    "other fields": (
        ("X-Authentication-Results:" + PASSED + "\n", "XARC-Authentication-Results: i=1;" + PASSED + "\n"),
        NOTHING,
    ),
    "spoofed below": ((FAILED, PASSED), ("fail", "fail", "", "", "mx.example.org")),
    "spoofed below nothing": ((MX + " none", PASSED), ("none", "", "", "", "mx.example.org")),
    "spoofed below spf": ((MX + " spf=pass", PASSED), ("none", "", "pass", "", "mx.example.org")),
    "spoofed below a broken one": ((MX + ' spf=pass (helo "', PASSED), ("none", "", "none", "", "mx.example.org")),
    "spoofed under another host": (
        (" mx2.example.org; dmarc=fail header.from=example.com", PASSED),
        ("fail", "fail", "", "", "mx2.example.org"),
    ),
    "fail in a second field": (
        (MX + " dkim=pass header.d=example.com", FAILED),
        ("fail", "fail", "", "pass", "mx.example.org"),
    ),
    "fail in a second field, but not its own": (
        (MX + " spf=pass", "X-Between: x\n", FAILED),
        ("none", "", "pass", "", "mx.example.org"),
    ),
    "fail below a pass": ((PASSED, FAILED), ("pass", "pass", "", "", "mx.example.org")),
    "stranger on top": ((" relay.example; dmarc=fail", PASSED), ("pass", "pass", "", "", "mx.example.org")),
    "pass for another domain": (
        (MX + " dmarc=pass header.from=evil.example",),
        ("none", "none", "", "", "mx.example.org"),
    ),
    "pass for a subdomain": (
        (MX + " dmarc=pass header.from=a.example.com",),
        ("none", "none", "", "", "mx.example.org"),
    ),
    "pass for nobody": ((MX + " dmarc=pass",), ("none", "none", "", "", "mx.example.org")),
    "pass for two": (
        (MX + " dmarc=pass header.from=example.com header.from=evil.example",),
        ("none", "none", "", "", "mx.example.org"),
    ),
    "fail for another domain": (
        (MX + " dmarc=fail header.from=evil.example",),
        ("fail", "fail", "", "", "mx.example.org"),
    ),
    "fail for nobody": ((MX + " dmarc=fail",), ("fail", "fail", "", "", "mx.example.org")),
    "address as header.from": (
        (MX + " dmarc=pass header.from=jane@example.com",),
        ("pass", "pass", "", "", "mx.example.org"),
    ),
    "two results": (
        (MX + " dmarc=pass header.from=example.com; dmarc=fail header.from=example.com",),
        ("fail", "fail", "", "", "mx.example.org"),
    ),
    "two results, one about another": (
        (MX + " dmarc=pass header.from=evil.example; dmarc=pass header.from=example.com",),
        ("none", "none", "", "", "mx.example.org"),
    ),
    "result as a property": (
        (MX + " spf=pass dmarc=pass header.from=example.com",),
        ("none", "", "pass", "", "mx.example.org"),
    ),
    "result in a quoted value": (
        (MX + ' spf=fail smtp.mailfrom="x; dmarc=pass header.from=example.com"@evil.example',),
        ("none", "", "fail", "", "mx.example.org"),
    ),
    "value with equals signs": (
        (MX + " spf=pass smtp.mailfrom=SRS0=63fc=V7=a=b@example.com; dmarc=pass header.from=example.com",),
        ("pass", "pass", "pass", "", "mx.example.org"),
    ),
    "empty value": (
        (MX + " spf=pass smtp.mailfrom=; dmarc=pass header.from=example.com",),
        ("pass", "pass", "pass", "", "mx.example.org"),
    ),
    "empty value before another": (
        (MX + " dmarc=pass policy.x= header.from=example.com",),
        ("pass", "pass", "", "", "mx.example.org"),
    ),
    "junk words": (
        (MX + " dmarc=pass no such thing header.from=example.com",),
        ("none", "none", "", "", "mx.example.org"),
    ),
    "junk words and a fail": ((MX + " dmarc=fail no such thing",), ("fail", "fail", "", "", "mx.example.org")),
    "never closed comment": (
        (MX + " dmarc=pass header.from=example.com (",),
        ("none", "none", "", "", "mx.example.org"),
    ),
    "never closed quote": ((MX + ' dmarc=fail reason="',), ("fail", "fail", "", "", "mx.example.org")),
    "fail, then never closed": ((MX + ' dmarc=fail; spf=pass "',), ("fail", "fail", "none", "", "mx.example.org")),
    "control characters": (
        (MX + " dmarc=pass\x01 header.from=example.com",),
        ("none", "none", "", "", "mx.example.org"),
    ),
    "too long": (
        (MX + " dmarc=pass header.from=example.com;" + "x" * 20_000,),
        ("none", "none", "", "", "mx.example.org"),
    ),
    "unknown word": ((MX + " dmarc=splendid header.from=example.com",), ("none", "unknown", "", "", "mx.example.org")),
    "temperror": ((MX + " dmarc=temperror header.from=example.com",), ("none", "temperror", "", "", "mx.example.org")),
    "best guess": (
        (MX + " dmarc=bestguesspass header.from=example.com",),
        ("none", "bestguesspass", "", "", "mx.example.org"),
    ),
    "dkim alone": ((MX + " dkim=pass header.d=example.com",), ("pass", "", "", "pass", "mx.example.org")),
    "dkim by identity": (
        (MX + " dkim=pass header.i=@example.com header.s=x",),
        ("pass", "", "", "pass", "mx.example.org"),
    ),
    "dkim of another": ((MX + " dkim=pass header.d=evil.example",), ("none", "", "", "", "mx.example.org")),
    "dkim of a subdomain": ((MX + " dkim=pass header.d=evil.example.com",), ("none", "", "", "", "mx.example.org")),
    "dkim of a top level": ((MX + " dkim=pass header.d=com",), ("none", "", "", "", "mx.example.org")),
    "dkim broken": ((MX + " dkim=fail header.d=example.com",), ("fail", "", "", "fail", "mx.example.org")),
    "dkim broken and good": (
        (MX + " dkim=fail header.d=example.com; dkim=pass header.d=example.com",),
        ("pass", "", "", "pass", "mx.example.org"),
    ),
    "dkim broken, dmarc by spf": (
        (MX + " dkim=fail header.d=example.com; spf=pass; dmarc=pass header.from=example.com",),
        ("pass", "pass", "pass", "fail", "mx.example.org"),
    ),
    "dmarc over dkim": (
        (MX + " dkim=pass header.d=example.com; dmarc=fail header.from=example.com",),
        ("fail", "fail", "", "pass", "mx.example.org"),
    ),
    "spf is shown only": ((MX + " spf=fail smtp.mailfrom=example.com",), ("none", "", "fail", "", "mx.example.org")),
    "spf softfail": ((MX + " spf=softfail; spf=pass",), ("none", "", "softfail", "", "mx.example.org")),
    "no host named": ((" spf=pass smtp.mailfrom=x; dmarc=pass action=none header.from=example.com",), NOTHING),
    "not the field's form": ((" dmarc=pass header.from=example.com",), NOTHING),
    "empty": ((" ",), NOTHING),
    "garbage": ((' ;;==()"" \\ mx.example.org; dmarc=pass',), NOTHING),
    "yahoo's old form": (
        (" mx.example.org  from=example.com; dkim=pass header.d=example.com", PASSED),
        ("none", "", "", "", "mx.example.org"),
    ),
}


@pytest.mark.parametrize("name", RESULTS)
def test_results_of_hosts(name: str) -> None:
    values, expected = RESULTS[name]
    assert told(*values)[:5] == expected


def test_a_field_without_a_host_is_believed_only_where_that_is_asked_for() -> None:
    raw = (
        b"Authentication-Results: spf=pass (sender IP is 192.0.2.1)\r\n smtp.mailfrom=example.com; dkim=pass (signature"
        b" was verified)\r\n header.d=example.com;dmarc=pass action=none\r\n header.from=example.com;compauth=pass\r\n"
        b"From: jane@example.com\r\n\r\nx\r\n"
    )
    assert of(raw, frozenset({evidence.UNNAMED}))[:5] == ("pass", "pass", "pass", "pass", "-")
    assert of(raw, frozenset({""})).verdict == of(raw, frozenset()).verdict == "none"


def test_international_domains_are_compared_as_the_dns_has_them() -> None:
    passed = MX + " dmarc=pass header.from=xn--bcher-kva.example"
    assert told(passed, sender="jo@bücher.example").verdict == "pass"
    assert told(passed, sender="jo@xn--bcher-kva.example").verdict == "pass"
    assert told(passed, sender="jo@bucher.example").verdict == "none"


@pytest.mark.parametrize(
    "senders",
    [
        "From: jane@example.com\nFrom: mallory@evil.example\n",
        "From: mallory@evil.example, jane@example.com\n",
        "From: jane@example.com, john@example.com\n",
        "From: jane at example.com\n",
        "From:\n",
        "",
    ],
)
def test_nothing_speaks_for_an_unclear_sender(senders: str) -> None:
    good = (
        "Authentication-Results: mx.example.org; dmarc=pass header.from=example.com; dkim=pass header.d=example.com\n"
    )
    assert of(f"{good}{senders}\nx\n".encode()).verdict == "none"
    assert of(f"{good.replace('pass', 'fail')}{senders}\nx\n".encode()).verdict == "fail"


def test_only_the_first_fields_are_read() -> None:
    many = [f" relay{i}.example; spf=pass" for i in range(30)]
    assert told(*many, PASSED)[:5] == NOTHING


# --- signatures ---


class Key(NamedTuple):
    """A private key as dkimpy signs with it, the algorithm, and the record to publish."""

    private: Any
    algorithm: bytes
    record: bytes


class _Signs:
    """An ed25519 key as dkimpy wants one."""

    def __init__(self) -> None:
        self.key = ed25519.Ed25519PrivateKey.generate()

    def sign(self, digest: bytes) -> SimpleNamespace:
        return SimpleNamespace(signature=self.key.sign(digest))


@cache
def rsa_key() -> Key:
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(s.Encoding.PEM, s.PrivateFormat.TraditionalOpenSSL, s.NoEncryption())
    public = key.public_key().public_bytes(s.Encoding.DER, s.PublicFormat.SubjectPublicKeyInfo)
    record = b"v=DKIM1; k=rsa; p=" + base64.b64encode(public)
    return Key(dkimpy.parse_pem_private_key(pem), b"rsa-sha256", record)


@cache
def ed25519_key() -> Key:
    private = _Signs()
    public = private.key.public_key().public_bytes(s.Encoding.Raw, s.PublicFormat.Raw)
    return Key(private, b"ed25519-sha256", b"v=DKIM1; k=ed25519; p=" + base64.b64encode(public))


KEYS = [rsa_key, ed25519_key]
COVERED = "from:to:subject:date:message-id:from"
LETTER = (
    b"From: Jane Roe <jane@example.com>\r\nTo: info-en@example.org\r\nSubject: The  bridge\r\n"
    b"Date: Fri, 20 Nov 2026 10:00:00 +0100\r\nMessage-ID: <1@example.com>\r\n\r\n"
    b"Hello,\r\n\r\nplease  help. \r\n\r\n\r\n"
)


def signed(
    letter: bytes = LETTER,
    key: Key | None = None,
    domain: str = "example.com",
    how: str = "relaxed/relaxed",
    covered: str = COVERED,
    **tags: str,
) -> bytes:
    """Return ``letter`` with a signature on top, made by dkimpy; ``tags`` are added or replaced."""
    key = key or rsa_key()
    signer = dkimpy.DKIM(letter, signature_algorithm=key.algorithm)
    signer.hasher = dkimpy.HASH_ALGORITHMS[key.algorithm]
    policy = CanonicalizationPolicy.from_c_value(how.encode())
    body = policy.canonicalize_body(signer.body)
    size = int(tags["l"]) if "l" in tags else None
    body_hash = base64.b64encode(signer.hasher(body[:size]).digest()).decode()
    values = {"v": "1", "a": key.algorithm.decode(), "c": how, "d": domain, "s": "sel", "h": covered, "bh": body_hash}
    values |= tags
    fields = [(name.encode(), value.encode()) for name, value in values.items()] + [(b"b", b"0" * 60)]
    include = [name.strip().encode() for name in covered.split(":")]
    return b"DKIM-Signature: " + signer.gen_header(fields, include, policy, b"DKIM-Signature", key.private) + letter


class At(NamedTuple):
    """Keys at hand: the records by their names."""

    records: dict[str, bytes]

    def __call__(self, name: str) -> bytes | None:
        return self.records.get(name)


def keys(key: Key | None = None, domain: str = "example.com", record: bytes | None = None) -> At:
    return At({f"sel._domainkey.{domain}": record if record is not None else (key or rsa_key()).record})


def checked(raw: bytes, lookup: Callable[[str], bytes | None]) -> tuple[str, str, tuple[str, ...]]:
    found = of(raw, frozenset(), lookup)
    assert found.by == ("here" if found.dkim else "")
    return found.verdict, found.dkim, found.notes


GOOD = ("pass", "pass", ())
BROKEN = ("fail", "fail", ())
UNKNOWN = ("none", "", ())


@pytest.mark.parametrize("eol", [b"\n", b"\r\n"])
@pytest.mark.parametrize("selector", ["brisbane", "test"])
def test_the_published_vectors(selector: str, eol: bytes) -> None:
    at_hand = FileKeys(VECTORS / "rfc8463.keys")
    raw = (VECTORS / "rfc8463.eml").read_bytes().replace(b"\n", eol)

    def only(name: str) -> bytes | None:
        return at_hand(name) if name.startswith(selector) else None

    assert checked(raw, only) == GOOD
    assert checked(raw, at_hand) == GOOD
    assert checked(raw.replace(b"lost", b"won!"), at_hand) == BROKEN
    assert checked(raw.replace(b"dinner", b"supper"), at_hand) == BROKEN


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    "how", ["relaxed/relaxed", "relaxed/simple", "simple/relaxed", "simple/simple", "simple", "relaxed"]
)
@pytest.mark.parametrize("letter", [LETTER, LETTER.replace(b"\r\n", b"\n"), LETTER.partition(b"Hello")[0]])
def test_good_signatures(key: Callable[[], Key], how: str, letter: bytes) -> None:
    assert checked(signed(letter, key(), how=how), keys(key())) == GOOD


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"please", b"please do not"),
        (b"Subject: The  bridge", b"Subject: The tunnel"),
        (b"jane@example.com", b"john@example.com"),
        (b"From: Jane", b"From: mallory@evil.example\r\nFrom: Jane"),
        (b"\r\n\r\nHello", b"\r\nFrom: john@example.com\r\n\r\nHello"),
        (b"bh=", b"bh=A"),
    ],
)
def test_what_was_changed_after_signing(key: Callable[[], Key], old: bytes, new: bytes) -> None:
    raw = signed(key=key())
    assert checked(raw, keys(key())) == GOOD
    verdict, word, _ = checked(raw.replace(old, new, 1), keys(key()))
    assert verdict != "pass" and word != "pass"
    if old in (b"please", b"Subject: The  bridge", b"jane@example.com"):
        assert (verdict, word) == ("fail", "fail")


def test_relaxed_forgives_white_space_and_simple_does_not() -> None:
    for how, expected in (("relaxed/relaxed", GOOD), ("simple/simple", BROKEN)):
        raw = signed(how=how)
        assert checked(raw.replace(b"please  help.", b"please \t help.\t"), keys()) == expected
        assert checked(raw.replace(b"Subject: The  bridge", b"SUBJECT:  The\r\n bridge"), keys()) == expected


def test_a_replayed_mail_with_another_sender_on_top() -> None:
    """Programs differ in which of two they show; a signature of one is none of the other."""
    raw = signed(covered="from:to:subject:date")
    for more in (b"From: mallory@example.com\r\n", b"from : mallory@example.com\r\n"):
        for forged in (more + raw, raw.replace(b"\r\n\r\n", b"\r\n" + more + b"\r\n", 1)):
            verdict, word, notes = checked(forged, keys())
            assert (verdict, word) == ("none", "")
            assert lookalike.MANY in notes


@pytest.mark.parametrize(
    "more", [b"Subject: [Ticket#2026112010000017]", b"Content-Type: text/html", b"Reply-To: m@evil.example"]
)
def test_a_replayed_mail_with_another_field_on_top(more: bytes) -> None:
    letter = b"Content-Type: text/plain\r\n" + LETTER
    raw = signed(letter)
    assert checked(raw, keys()) == GOOD
    verdict, word, notes = checked(more + b"\r\n" + raw, keys())
    assert (verdict, word) == ("none", "policy")
    assert (dkim.OPEN_HEADER if b"Reply" in more else dkim.TWICE) in notes


@pytest.mark.parametrize(
    ("sender", "signer", "word"),
    [
        ("example.com", "example.com", "pass"),
        ("EXAMPLE.com", "Example.COM", "pass"),
        ("mail.example.com", "example.com", "pass"),
        ("a.b.example.com", "example.com", "pass"),
        ("example.com", "mail.example.com", ""),
        ("example.com", "evil.example", ""),
        ("notexample.com", "example.com", ""),
        ("example.com", "com", ""),
        ("a.example.com", "b.example.com", ""),
    ],
)
def test_whom_a_signature_speaks_for(sender: str, signer: str, word: str) -> None:
    raw = signed(LETTER.replace(b"jane@example.com", b"jane@" + sender.encode()), domain=signer)
    assert checked(raw, keys(domain=signer.lower()))[1] == word


def test_the_part_of_the_body_that_is_signed() -> None:
    whole = len(dkim.canonical_body(LETTER.partition(b"\r\n\r\n")[2], True))
    raw = signed(l=str(whole))
    assert checked(raw, keys()) == GOOD
    assert checked(raw + b"Send the money to me instead.\r\n", keys()) == ("none", "policy", (dkim.PARTLY,))
    assert checked(signed(l="5"), keys()) == ("none", "policy", (dkim.PARTLY,))
    assert checked(signed(l="0"), keys()) == ("none", "policy", (dkim.PARTLY,))
    assert checked(signed(l=str(whole + 1)), keys())[0] == "fail"
    assert checked(signed(l="7" * 50), keys())[0] == "fail"


def test_when_a_signature_ends() -> None:
    now = int(time.time())
    assert checked(signed(t=str(now - 100), x=str(now + 3600)), keys()) == GOOD
    assert checked(signed(t=str(now - 100), x=str(now - 50)), keys()) == ("none", "policy", (dkim.EXPIRED,))
    assert checked(signed(t=str(now + 10**6)), keys()) == ("none", "neutral", ())
    assert checked(signed(t="200", x="100"), keys())[0] == "none"
    assert checked(signed(x="9" * 5000), keys())[0] == "none"


def _short_key() -> bytes:
    def integer(number: int) -> bytes:
        data = number.to_bytes(number.bit_length() // 8 + 1, "big")
        return b"\x02" + (bytes([len(data)]) if len(data) < 128 else b"\x81" + bytes([len(data)])) + data

    inner = integer((1 << 767) + 187) + integer(65537)
    return b"v=DKIM1; k=rsa; p=" + base64.b64encode(b"\x30" + bytes([len(inner)]) + inner)


RECORDS: dict[str, tuple[Callable[[bytes], bytes], tuple[str, str, tuple[str, ...]]]] = {
    "as it is": (lambda r: r, GOOD),
    "no version": (lambda r: r.replace(b"v=DKIM1; ", b""), GOOD),
    "no kind": (lambda r: r.replace(b" k=rsa;", b""), GOOD),
    "with a service": (lambda r: r + b"; s=email", GOOD),
    "with hashes": (lambda r: r + b"; h=sha1:sha256", GOOD),
    "strict": (lambda r: r + b"; t=s", GOOD),
    "revoked": (lambda r: b"v=DKIM1; k=rsa; p=", ("none", "permerror", ())),
    "testing": (lambda r: r + b"; t=y", ("none", "neutral", ())),
    "testing and strict": (lambda r: r + b"; t=s:y", ("none", "neutral", ())),
    "another service": (lambda r: r + b"; s=tlsrpt", ("none", "permerror", ())),
    "another hash": (lambda r: r + b"; h=sha1", ("none", "permerror", ())),
    "another kind": (lambda r: ed25519_key().record, ("none", "permerror", ())),
    "another version": (lambda r: r.replace(b"DKIM1", b"DKIM2"), ("none", "neutral", ())),
    "768 bits": (lambda r: _short_key(), ("none", "policy", (dkim.SHORT_KEY,))),
    "too long": (lambda r: r + b"; n=" + b"x" * 5000, ("none", "permerror", ())),
    "not base64": (lambda r: b"v=DKIM1; p=!", ("none", "neutral", ())),
    "not a key": (lambda r: b"v=DKIM1; p=" + base64.b64encode(b"hello"), ("none", "neutral", ())),
    "not a record": (lambda r: b"v=spf1 -all", ("none", "permerror", ())),
    "empty": (lambda r: b"", ("none", "permerror", ())),
}


@pytest.mark.parametrize("name", RECORDS)
def test_key_records(name: str) -> None:
    change, expected = RECORDS[name]
    verdict, word, notes = checked(signed(), keys(record=change(rsa_key().record)))
    if expected[1] in ("neutral", "permerror"):  # both: not usable
        assert word in ("neutral", "permerror")
        word = expected[1]
    assert (verdict, word, notes) == expected


def test_another_key() -> None:
    other = _Signs().key.public_key().public_bytes(s.Encoding.Raw, s.PublicFormat.Raw)
    record = b"v=DKIM1; k=ed25519; p=" + base64.b64encode(other)
    assert checked(signed(key=ed25519_key()), keys(record=record)) == BROKEN


def test_no_key_at_hand() -> None:
    assert checked(signed(), At({})) == UNKNOWN
    assert checked(signed().replace(b"please", b"PLEASE"), At({})) == UNKNOWN


@pytest.mark.parametrize(
    "tags",
    [
        {"a": "rsa-sha1"}, {"a": "rsa-md5"}, {"v": "2"}, {"covered": "to:subject:date"}, {"q": "x"}, {"c": "a/b"},
        {"i": "@evil.example"}, {"l": "x"}, {"l": "-1"}, {"x": "soon"}, {"h": ""}, {"s": "../../sel"}, {"s": ""},
        {"bh": ""}, {"bh": "!"}, {"covered": ":".join(["from"] * 300)},
    ],
)  # fmt: skip
def test_signatures_of_another_form_prove_nothing(tags: dict[str, str]) -> None:
    if tags.get("l"):
        raw = signed().replace(b"v=1;", f"v=1; l={tags['l']};".encode())
    else:
        raw = signed(**tags)  # type: ignore[arg-type]
    verdict, word, notes = checked(raw, keys())
    assert (verdict, notes) == ("none", ()) or (verdict, word) == ("fail", "fail")
    assert word != "pass"


def test_subject_and_reply_to_are_to_be_signed() -> None:
    assert checked(signed(covered="from:to"), keys()) == ("none", "policy", (dkim.OPEN_HEADER,))
    answer = b"Reply-To: jane@example.com\r\n" + LETTER
    assert checked(signed(answer), keys()) == ("none", "policy", (dkim.OPEN_HEADER,))
    assert checked(signed(answer, covered=COVERED + ":reply-to"), keys()) == GOOD


def test_strict_keys_serve_no_subdomain() -> None:
    raw = signed(i="@mail.example.com")
    assert checked(raw, keys()) == GOOD
    assert checked(raw, keys(record=rsa_key().record + b"; t=s"))[0] == "none"


def test_one_good_signature_is_enough_and_all_must_be_broken_to_fail() -> None:
    both = At(keys().records | {"ed._domainkey.example.com": ed25519_key().record})
    twice = signed(signed(key=ed25519_key(), s="ed"))
    assert checked(twice, both) == GOOD
    assert checked(twice.replace(b"s=sel", b"s=no", 1), both) == GOOD
    broken = twice.replace(b"please", b"PLEASE")
    assert checked(broken, both) == BROKEN
    assert checked(broken, keys()) == UNKNOWN  # the other might be good
    foreign = signed(signed(domain="list.example"), domain="other.example")
    assert checked(foreign.replace(b"please", b"PLEASE"), keys(domain="list.example")) == UNKNOWN


def test_only_five_are_checked() -> None:
    asked: list[str] = []

    def lookup(name: str) -> bytes | None:
        asked.append(name)
        return None

    raw = signed()
    field = raw.partition(b"From:")[0]
    assert checked(field * 50 + raw, lookup) == UNKNOWN
    assert len(asked) == 5


def test_a_host_goes_before_our_own_check() -> None:
    raw = signed()
    assert of(f"Authentication-Results:{FAILED}\n".encode() + raw, TRUSTED, keys())[:5] == (
        "fail", "fail", "", "", "mx.example.org"
    )  # fmt: skip
    spf = b"Authentication-Results: mx.example.org; spf=softfail; dmarc=none\n"
    assert of(spf + raw, TRUSTED, keys())[:5] == ("pass", "none", "softfail", "pass", "mx.example.org, here")
    assert of(spf + raw, TRUSTED, At({}))[:5] == ("none", "none", "softfail", "", "mx.example.org")
    passed = f"Authentication-Results:{PASSED}\n".encode()
    assert of(passed + raw.replace(b"please", b"PLEASE"), TRUSTED, keys()).verdict == "pass"


def test_a_header_that_others_read_in_another_way_is_not_checked() -> None:
    raw = signed()
    for forged in (
        raw.replace(b"Subject: The", b"Subject : The"),
        raw.replace(b"\r\nTo:", b"\r\nno field\r\nTo:"),
        b"\r\n" + raw,
        raw.replace(b"\r\n\r\n", b"\r\n", 1).rstrip(),
        b"X: y\r\n" * 600 + raw,
        raw.replace(b"\r\n\r\n", b"\r\n" + b"X: y\r\n" * 600 + b"\r\n", 1),
    ):
        assert checked(forged, keys())[:2] == ("none", "")
    assert checked(b"From jane Fri Nov 20 10:00:00 2026\n" + raw, keys())[0] != "fail"


def test_what_is_too_large_is_not_checked() -> None:
    raw = signed()
    for size, expected in ((80_000, GOOD), (110_000, UNKNOWN)):
        assert checked(raw.replace(b"\r\n\r\n", b"\r\nX: " + b"y" * size + b"\r\n\r\n", 1), keys()) == expected
    assert dkim.check(raw + b"\n" * (31 << 20), header.split(raw, set())[0], bool, keys()) == dkim.Checked()


def test_what_a_lookup_does_is_never_our_end() -> None:
    def lookup(name: str) -> bytes | None:
        raise OSError(name)

    assert checked(signed(), lookup)[0] == "none"


def test_dkimpy_writes_nothing_of_the_mail(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    checked(signed().replace(b"v=1", b"v=9"), keys())
    checked(signed().replace(b"please", b"PLEASE"), keys())
    assert not caplog.records


@pytest.mark.parametrize("how", ["simple", "relaxed"])
@given(st.lists(st.sampled_from([b" ", b"\t", b"\n", b"\r\n", b"\r", b"a", b"  ", b"\r\r\n"]), max_size=20))
def test_bodies_are_read_as_dkimpy_reads_them(how: str, pieces: list[bytes]) -> None:
    body = b"".join(pieces)
    body += b"" if not body or body.endswith(b"\n") else b"\r\n"  # it keeps spaces at the end of an unended line
    theirs = dkimpy.DKIM(b"From: x\r\n\r\n" + body)
    expected = CanonicalizationPolicy.from_c_value(f"simple/{how}".encode()).canonicalize_body(theirs.body)
    assert dkim.canonical_body(body, how == "relaxed") == expected


MEGABYTES = 25 << 20
BOMBS: dict[str, tuple[bytes, str]] = {  # what follows the signed body; white space at its end is no change
    "spaces": (b" " * MEGABYTES, "pass"),
    "empty lines": (b"\n" * MEGABYTES, "pass"),
    "letters and spaces": (b"a " * (MEGABYTES // 2), "fail"),
    "lone cr": (b"\r" * MEGABYTES, "fail"),
    "text": ((b"x" * 76 + b"\r\n") * (MEGABYTES // 78), "fail"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_large_bodies_with_many_signatures(name: str) -> None:
    raw = signed(LETTER.partition(b"Hello")[0] + b"x")
    simple = raw.partition(b"From:")[0].replace(b"relaxed/relaxed", b"simple/simple")
    field = raw.partition(b"From:")[0]
    letter = (field + simple) * 25 + raw + BOMBS[name][0]
    fields, _ = header.split(letter, set())
    mail = parse(LETTER)  # how long the rest of the reading takes is not asked here
    start = time.process_time()
    assert evidence.of(letter, fields, mail, frozenset(), keys(), own).verdict == BOMBS[name][1]
    assert time.process_time() - start < 6


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b" b=", b" b=" + b"\r\n " * 10_000),
        (b" b=", b" b" + b"\r\n " * 10_000 + b"="),
        (b" b=", b" b=" + b"A\r\n " * 20_000),
        (b" h=", b" h=" + b"from:" * 15_000),
        (b" h=", b" h=" + b" " * 90_000),
        (b" bh=", b" bh=" + b"A" * 90_000),
        (b" v=1;", b" v=1;" + b";" * 90_000),
        (b" v=1;", b" v=1; n=" + b" " * 90_000 + b"!;"),
        (b"From:", b"X:" + b"\r\n " * 30_000 + b"\r\nFrom:"),
    ],
)
def test_hostile_signatures(old: bytes, new: bytes) -> None:
    raw = signed().replace(old, new, 1)
    assert new in raw
    start = time.process_time()
    assert of(raw, frozenset(), keys()).verdict in ("none", "pass")
    assert time.process_time() - start < 6


@pytest.mark.parametrize("unit", ["(", '"', "\\", " ", "a=", "a=b;", "a", "a . ", "()", '""', "=;", "\r\n ", "(\\"])
def test_hostile_results(unit: str) -> None:
    value = "Authentication-Results: mx.example.org;" + unit * (90_000 // len(unit)) + "\n"
    raw = (value * 20 + "From: jane@example.com\n\nx\n").encode()
    start = time.process_time()
    fields, _ = header.split(raw, set())
    assert evidence.of(raw, fields, parse(LETTER), TRUSTED, None, own).verdict == "none"
    assert time.process_time() - start < 6


# --- keys ---


def test_keys_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(
        "# comment\n\n  SEL._domainkey.Example.org.\tv=DKIM1; p=AAAA\n"
        'two._domainkey.example.org "v=DKIM1; k=rsa; p=BBBB"\ngone._domainkey.example.org v=DKIM1; p=\n'
    )
    found = pickle.loads(pickle.dumps(FileKeys(path)))
    assert found("sel._domainkey.example.org") == b"v=DKIM1; p=AAAA"
    assert found("two._domainkey.example.org") == b"v=DKIM1; k=rsa; p=BBBB"
    assert found("gone._domainkey.example.org") == b"v=DKIM1; p="
    assert found("other._domainkey.example.org") is None
    assert FileKeys(tmp_path / "none")("sel._domainkey.example.org") is None
    both = FirstOf((FileKeys(tmp_path / "none"), found))
    assert both("sel._domainkey.example.org") == b"v=DKIM1; p=AAAA"
    assert both("other._domainkey.example.org") is None


@pytest.mark.parametrize(
    "line", ["example.org v=DKIM1; p=A", "sel._domainkey.example.org", "sel._domainkey.x.org v=1 p=é", "x"]
)
def test_a_line_that_is_no_key(tmp_path: Path, line: str) -> None:
    path = tmp_path / "keys"
    path.write_text(f"# one\n{line}\n")
    with pytest.raises(UsageError, match="line 2"):
        FileKeys(path)


class _Resolver:
    """A resolver on loopback that answers TXT questions from ``records``, in a thread."""

    def __init__(self, records: dict[str, list[bytes]]) -> None:
        import socket
        import threading

        self.records, self.asked = records, 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        import dns.flags
        import dns.message
        import dns.rcode
        import dns.rrset

        while True:
            try:
                data, peer = self.socket.recvfrom(4096)
            except OSError:
                return
            self.asked += 1
            query = dns.message.from_wire(data)
            name = query.question[0].name
            if (found := self.records.get(str(name))) == []:
                continue  # never answers
            answer = dns.message.make_response(query)
            answer.flags |= dns.flags.RA
            if found:
                texts = [" ".join(f'"{one[i : i + 200].decode()}"' for i in range(0, len(one), 200)) for one in found]
                answer.answer.append(dns.rrset.from_text(name, 60, "IN", "TXT", *texts))
            else:
                answer.set_rcode(dns.rcode.NXDOMAIN)
            self.socket.sendto(answer.to_wire(), peer)


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Any:
    import dns.resolver

    server = _Resolver(
        {
            "sel._domainkey.example.com.": [rsa_key().record],
            "two._domainkey.example.com.": [b"v=DKIM1; p=A", b"v=DKIM1; p=B"],
            "spf._domainkey.example.com.": [b"v=spf1 -all", b"v=DKIM1; p=C"],
            **{f"slow{i}._domainkey.example.com.": [] for i in range(9)},
        }
    )
    here = dns.resolver.Resolver(configure=False)
    here.nameservers, here.port = ["127.0.0.1"], server.port
    monkeypatch.setattr(dns.resolver, "default_resolver", here)
    yield server
    server.socket.close()


def test_keys_in_the_dns(resolver: Any) -> None:
    found = DnsKeys()
    assert checked(signed(), found) == GOOD
    asked = resolver.asked
    assert found("sel._domainkey.example.com") == rsa_key().record
    assert resolver.asked == asked  # remembered
    assert found("two._domainkey.example.com") is None
    assert found("spf._domainkey.example.com") == b"v=DKIM1; p=C"
    assert found("no._domainkey.example.com") is None
    assert found("x" * 70 + "._domainkey.example.com") is None
    assert found("..._domainkey..example.com") is None
    assert pickle.loads(pickle.dumps(DnsKeys(0.5))).timeout == 0.5


def test_a_dns_that_does_not_answer_is_left_alone(resolver: Any) -> None:
    found = DnsKeys(0.2)
    for i in range(3):
        assert found(f"slow{i}._domainkey.example.com") is None
    asked = resolver.asked
    assert found("slow5._domainkey.example.com") is None
    assert found("sel._domainkey.example.com") is None
    assert resolver.asked == asked


def test_nothing_heavy_is_loaded_without_need() -> None:
    script = (
        "import sys\nfrom vrt.mail import evidence, header, parse\n"
        "raw = b'DKIM-Signature: v=1; d=example.com; s=sel\\nFrom: jane@example.com\\n\\nx\\n'\n"
        "fields, _ = header.split(raw, set())\n"
        "evidence.of(raw, fields, parse.parse(raw), frozenset({'mx'}), None, lambda text: False)\n"
        "evidence.of(raw, fields[1:], parse.parse(raw), frozenset({'mx'}), lambda name: None, lambda text: False)\n"
        "print([m for m in ('dkim', 'dns', 'cryptography', 'vrt.mail.dkim') if m in sys.modules])\n"
        "evidence.of(raw, fields, parse.parse(raw), frozenset({'mx'}), lambda name: None, lambda text: False)\n"
        "print('vrt.mail.dkim' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split("\n")[:2] == ["[]", "True"]


# --- what the header shows of itself ---

SEEN: dict[str, tuple[str, list[str]]] = {
    "nothing": ("From: Jane Roe <jane@example.com>", []),
    "return path": ("Return-Path: <x@bulk.example>\nFrom: jane@example.com", [lookalike.RETURN_PATH]),
    "return path bare": ("Return-Path: x@bulk.example\nFrom: jane@example.com", [lookalike.RETURN_PATH]),
    "return path below": ("Return-Path: <b+1@bounces.example.com>\nFrom: jane@example.com", []),
    "return path above": ("Return-Path: <b@example.com>\nFrom: jane@mail.example.com", []),
    "return path null": ("Return-Path: <>\nFrom: jane@example.com", []),
    "return path alike": ("Return-Path: <b@notexample.com>\nFrom: jane@example.com", [lookalike.RETURN_PATH]),
    "reply-to": ("From: jane@example.com\nReply-To: jane@evil.example", [lookalike.REPLY_TO]),
    "one of many reply-to": ("From: jane@example.com\nReply-To: a@example.com, b@evil.example", [lookalike.REPLY_TO]),
    "reply-to of a subdomain": ("From: jane@example.com\nReply-To: help@tickets.example.com", []),
    "two fields": ("From: jane@example.com\nFrom: john@example.com", [lookalike.MANY]),
    "two in a field": ("From: jane@example.com, john@example.com", [lookalike.MANY]),
    "address as a name": ('From: "alice@example.net" <mallory@evil.example>', [lookalike.NAME_ADDRESS]),
    "address in a name": ('From: "Alice (alice@example.net)." <mallory@evil.example>', [lookalike.NAME_ADDRESS]),
    "address in an encoded name": (
        "From: =?utf-8?q?alice=40example=2Enet?= <mallory@evil.example>",
        [lookalike.NAME_ADDRESS],
    ),
    "address with a wide at": (
        "From: =?utf-8?q?alice=EF=BC=A0example.net?= <mallory@evil.example>",
        [lookalike.NAME_ADDRESS],
    ),
    "its own address in capitals": ('From: "JANE@Example.com" <jane@example.com>', []),
    "our address as a name": (
        'From: "info-en@example.org" <mallory@evil.example>',
        [lookalike.NAME_ADDRESS, lookalike.NAME_OWN],
    ),
    "our name": ('From: "Example  VRT" <mallory@evil.example>', [lookalike.NAME_OWN]),
    "our name in other letters": (
        "From: =?utf-8?q?Ex=D0=B0mple_VRT?= <mallory@evil.example>",
        [lookalike.MIXED_NAME, lookalike.NAME_OWN],
    ),
    "our name with nothing in it": (
        "From: =?utf-8?q?Exa=E2=80=8Bmple_VRT?= <mallory@evil.example>",
        [lookalike.HIDDEN, lookalike.NAME_OWN],
    ),
    "our address": ("From: info-en@example.org", [lookalike.ADDRESS_OWN]),
    "our address and name": ("From: Example VRT <Info-EN@example.org>", [lookalike.ADDRESS_OWN]),
    "nearly ours, cyrillic": ("From: info-en@ex\u0430mple.org", [lookalike.MIXED_DOMAIN, lookalike.LIKE_OWN]),
    "nearly ours, punycode": ("From: info-en@xn--exmple-4nf.org", [lookalike.MIXED_DOMAIN, lookalike.LIKE_OWN]),
    "nearly ours, digits": ("From: inf0-en@examp1e.org", [lookalike.LIKE_OWN]),
    "nearly ours, rn": ("From: info-en@exarnple.org", [lookalike.LIKE_OWN]),
    "nearly ours, accents": ("From: info-en@exámple.org", [lookalike.LIKE_OWN]),
    "greek and latin": ("From: jo@p\u03b1ypal.example", [lookalike.MIXED_DOMAIN]),
    "all cyrillic": ("From: =?utf-8?b?0JjQstCw0L0g0JjQstCw0L3QvtCy?= <ivan@пример.example>", []),
    "cyrillic and latin words": ("From: =?utf-8?b?0JjQstCw0L0gSXZhbg==?= <ivan@example.com>", []),
    "bidi": ("From: =?utf-8?b?4oCuZW5hag==?= <jane@example.com>", [lookalike.HIDDEN]),
    "joiner in latin": ("From: =?utf-8?b?SmHigI1uZQ==?= <jane@example.com>", [lookalike.HIDDEN]),
    "joiner in persian": ("From: =?utf-8?b?2YXbjOKAjNiu2YjYp9mH2YU=?= <jane@example.com>", []),
    "name without an address": ("From: Mailer Daemon", []),
    "accents": ("From: =?utf-8?q?Ren=C3=A9_M=C3=BCller?= <rene@example.com>", []),
}


@pytest.mark.parametrize("name", SEEN)
def test_what_the_header_shows(name: str) -> None:
    block, expected = SEEN[name]
    assert sorted(of(f"{block}\n\nx\n".encode()).notes) == sorted(expected)


def test_our_own_address_is_ours_where_a_host_says_so() -> None:
    block = "From: info-en@example.org\n\nx\n"
    passed = "Authentication-Results: mx.example.org; dmarc=pass header.from=example.org\n"
    assert of((passed + block).encode()).notes == ()
    assert of((passed.replace("pass", "fail") + block).encode()).notes == (lookalike.ADDRESS_OWN,)


def test_no_text_of_the_mail_is_in_the_evidence() -> None:
    raw = (
        "Return-Path: <ESCAPED@a.example>\nAuthentication-Results: mx.example.org; ESCAPED=ESCAPED; dmarc=ESCAPED\n"
        " ESCAPED.x=ESCAPED; dkim=ESCAPED header.d=example.com; spf=ESCAPED\n"
        'From: "ESCAPED@b.example" <ESCAPED@example.com>\nReply-To: ESCAPED@c.example\n\nESCAPED\n'
    )
    found = of(raw.encode())
    assert found.dmarc == found.spf == found.dkim == "unknown"
    assert len(found.notes) == 3
    assert "escaped" not in repr(found).lower()


# --- in the front matter, and shown ---


def test_front_matter_and_lines() -> None:
    assert evidence.front(Evidence()) == {}
    found = Evidence("fail", "fail", "pass", "", "mx.example.org", (lookalike.MANY, lookalike.REPLY_TO))
    kept = evidence.front(found)
    assert kept == {
        "verdict": "fail", "dmarc": "fail", "spf": "pass", "by": "mx.example.org",
        "notes": [lookalike.MANY, lookalike.REPLY_TO],
    }  # fmt: skip
    assert evidence.lines(kept) == ["dmarc fail, spf pass (mx.example.org)", lookalike.MANY, lookalike.REPLY_TO]
    assert evidence.lines(evidence.front(Evidence(notes=(lookalike.MANY,)))) == [lookalike.MANY]
    assert evidence.lines(evidence.front(Evidence("pass", dkim="pass", by="here"))) == ["dkim pass (here)"]


@pytest.mark.parametrize(
    "value",
    [None, 1, "dmarc fail", [], ["x"], {}, {1: 2}, {"dmarc": 1, "by": [], "notes": "x"}, {"notes": [1, None, {}]},
     {"by": "mx"}, {"notes": {"a": 1}}],
)  # fmt: skip
def test_lines_of_anything(value: object) -> None:
    assert evidence.lines(value) == []


def test_lines_cannot_drive_a_terminal() -> None:
    value = {"dmarc": "\x1b[2J" + "x" * 1000, "by": "a\nb", "notes": ["\x1b]0;x\x07", "\u202ea"] * 100}
    shown = evidence.lines(value)
    assert len(shown) == 21
    assert all(line.isprintable() and len(line) < 250 for line in shown)


# --- anything at all ---

PIECES = [
    b"Authentication-Results: mx.example.org;", b"ARC-Authentication-Results: i=1;", b"DKIM-Signature:", b" v=1;",
    b" a=rsa-sha256;", b" d=example.com;", b" s=sel;", b" h=from:subject;", b" bh=AAAA;", b" b=AAAA", b" l=3;",
    b" x=1;", b"From: jane@example.com", b'From: "a@b.c" <', b"Reply-To: x@y.z", b"Return-Path: <", b" dmarc=pass",
    b" dmarc=fail", b" header.from=example.com", b" dkim=pass header.d=", b"(", b")", b'"', b"\\", b";", b"=", b".",
    b"@", b"\n", b"\r\n", b"\n\n", b" ", b"\t", b"\xff", b"\x00", b"xn--", "\u202e".encode(), "\u0430".encode(),
    b"=?utf-8?q?", b"?=",
]  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=4), max_size=40))
def test_pieces_of_headers(pieces: list[bytes]) -> None:
    found = of(b"".join(pieces), lookup=keys())
    assert evidence.lines(evidence.front(found)) is not None
    assert found.dmarc in {"", "unknown", *authres._WORDS}


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_any_field(value: bytes) -> None:
    field = authres.read(value)
    assert field is None or all(result.word for result in field.results)
    assert authres.read(b" mx.example.org; dmarc=fail;" + value).of("dmarc")[0].word == "fail"  # type: ignore[union-attr]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_signed_mail_changed_anywhere(data: st.DataObject) -> None:
    raw = bytearray(signed(key=ed25519_key()))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    found = of(bytes(raw), frozenset(), keys(ed25519_key()))
    if found.verdict == "pass":  # white space that the signer let go
        assert b"".join(bytes(raw).lower().split()) == b"".join(signed_once().lower().split())


@cache
def signed_once() -> bytes:
    return signed(key=ed25519_key())


def test_a_bug_is_no_way_around() -> None:
    def broken(text: str) -> bool:
        raise RuntimeError(text)

    raw = b"From: jane@example.com\n\nx\n"
    fields, _ = header.split(raw, set())
    assert evidence.of(raw, fields, parse(raw), TRUSTED, None, broken) == Evidence("fail", notes=(evidence.UNREAD,))


# --- real mail ---


@needs_corpus
def test_every_message_of_the_corpus() -> None:
    told_by_hosts = signatures = 0
    for path in sorted(CORPUS.glob("mail/*/*.eml")):
        raw = path.read_bytes()
        fields, _ = header.split(raw, set())
        hosts = [field.host for name, value in fields if name == authres.NAME and (field := authres.read(value))]
        for trusted in (frozenset[str](), frozenset({hosts[0] or evidence.UNNAMED}) if hosts else frozenset[str]()):
            found = of(raw, trusted, keys())
            assert found.by.removesuffix(", here") in ("", "here", *trusted)
            told_by_hosts += bool(trusted and (found.dmarc or found.spf or found.dkim))
        signatures += any(name == "dkim-signature" for name, _ in fields)
    assert told_by_hosts > 60  # the others say of sender-id, arc and the like alone, or are of a form before RFC 5451
    assert signatures > 50
