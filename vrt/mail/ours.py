"""A message of ours held against its article: what goes out is what was said, to whom it was said.

Read with the standard library, which knows nothing of how ``compose`` writes, and without the limits for strangers'
mail. Bytes and front matter in, a word out.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from vrt.mail import compose, fields
from vrt.text import lower

_FIELDS = {
    "from", "to", "cc", "bcc", "subject", "date", "message-id", "in-reply-to", "references", "mime-version",
    "content-type", "content-transfer-encoding",
}  # fmt: skip
_AUTOMATIC = {"auto-submitted", "x-auto-response-suppress", "precedence", "x-loop"}
_TAG = re.compile(r"<[^<>]*>")


def differs(raw: bytes, front: dict[str, Any], body: str, automatic: bool = False) -> str:
    """Return what of a message of ours is something else than its article says, an empty string for nothing."""
    from email import message_from_bytes

    message = message_from_bytes(raw)
    names = [name.lower() for name in message.keys()]  # noqa: SIM118 - a name may stand there twice
    if len(set(names)) < len(names) or not set(names) <= _FIELDS | (_AUTOMATIC if automatic else set()):
        return "header"
    if _envelope(raw) != _said(front):
        return "envelope"
    if _words(_decoded(message["Subject"])) != _words(fields.clean(str(front.get("subject") or ""))):
        return "subject"
    texts: dict[str, str] = {}
    files = []
    for part in (p for p in message.walk() if not p.is_multipart()):
        data = bytes(part.get_payload(decode=True) or b"")
        kind = part.get_content_type()
        if part.get_content_disposition() == "attachment":
            files.append(hashlib.sha256(data).hexdigest())
        elif kind in texts:
            return "text"
        else:
            texts[kind] = data.decode("utf-8", "replace")
    if files != [str(f.get("sha256")) for f in front.get("attachments") or []]:
        return "files"
    if _words(texts.get("text/plain", "")) != _words(body) or not set(texts) <= {"text/plain", "text/html"}:
        return "text"
    return "" if "text/html" not in texts or _same(texts["text/html"], body) else "HTML"


def redirected(raw: bytes, front: dict[str, Any], original: bytes) -> str:
    """Return what of a redirected message is something else than its article and the original say."""
    if _envelope(raw) != _said(front):
        return "envelope"
    block = re.match(rb"(?:Resent-[A-Za-z-]+:[^\r]*\r\n(?:[ \t][^\r]*\r\n)*){4}", raw)
    return "" if block and raw[block.end() :] == compose.as_sent(original) else "mail"


def _envelope(raw: bytes) -> tuple[str, list[str]]:
    try:
        by, recipients = compose.envelope(raw)
    except ValueError:
        return "", []
    return lower(by), sorted(map(lower, recipients))


def _said(front: dict[str, Any]) -> tuple[str, list[str]]:
    """Return what the article says of sender and recipients, in the form of ``_envelope``."""
    by = [lower(str(a.get("address"))) for a in front.get("from") or []]
    to = {lower(str(a.get("address"))) for name in ("to", "cc", "bcc") for a in front.get(name) or []}
    return (by or [""])[0], sorted(to)


def _decoded(value: Any) -> str:
    from email.header import decode_header, make_header

    try:
        return str(make_header(decode_header(str(value or ""))))
    except (ValueError, LookupError):
        return ""


def _words(text: str) -> list[str]:
    return text.replace("\ufeff", "").split()


def _same(html: str, body: str) -> bool:
    """Say whether HTML shows what our own converter makes of ``body``: the same words, and the same links."""
    from vrt.mail import markdown

    made = markdown.to_html(body)
    links = re.compile(r'href="[^"]*"')
    return _words(_TAG.sub(" ", html)) == _words(_TAG.sub(" ", made)) and links.findall(html) == links.findall(made)
